"""Progress of the conversion on stderr: a line a stage, a bar for long work; nothing where ``quiet``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

Advance = Callable[..., None]
WIDTH_OF_A_PIPE = 200  # columns, where the output is no terminal


class Progress:
    """Where the pipeline says what it does; the base class says nothing.

    ``bar`` gives a function ``advance(done, text="")``.
    """

    def say(self, text: str) -> None:
        """Shows one finished stage."""

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Shows a table."""

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """Shows work of ``total`` steps while the block runs."""
        yield lambda done, text="": None


class ConsoleProgress(Progress):
    """Lines and rich's bars on stderr."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, highlight=False)

    def say(self, text: str) -> None:
        """Prints one line."""
        self._console.print(text, markup=False, soft_wrap=True)

    def table(self, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Draws a table, whole also where the output is no terminal."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        grid = Table()
        for heading in headings:
            grid.add_column(heading)
        for row in rows:
            grid.add_row(*(Text(cell) for cell in row))
        console = self._console if self._console.is_terminal else Console(stderr=True, width=WIDTH_OF_A_PIPE)
        console.print(grid)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """Draws a bar with the time left; it disappears when the block ends."""
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}"),
        )
        watched = self._console.is_terminal
        with RichProgress(*columns, console=self._console, transient=True, disable=not watched) as drawn:
            task = drawn.add_task(description, total=total, text="")
            yield lambda done, text="": drawn.update(task, completed=done, text=text)

"""Progress of the conversion on stderr: a line a stage, a bar for long work; nothing where ``quiet``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[..., None]


class Progress:
    """Where the pipeline says what it does; the base class says nothing.

    ``bar`` gives a function ``advance(done, text="")``.
    """

    def say(self, text: str) -> None:
        """Shows one finished stage."""

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

"""Progress bars of the training commands (rich); nothing is drawn where ``enabled`` is false or no one watches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")


def track(items: Sequence[Item], description: str, enabled: bool = True) -> Iterable[Item]:
    """Return the items, with a progress bar on stderr while they are taken."""
    if not enabled:
        return items
    from rich.console import Console
    from rich.progress import track as rich_track

    console = Console(stderr=True)
    return rich_track(items, description=description, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def track_bytes(path: Path, description: str, enabled: bool = True) -> Iterator[Callable[[int], None]]:
    """Yield a function ``advance(bytes)`` that moves a bar as long as the file ``path``."""
    if not enabled:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"{description} {path.name}", total=path.stat().st_size)
        yield lambda count: bar.advance(task, count)

"""Options that several commands share, and the progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

model_option = click.option(
    "--model",
    metavar="FILE",
    help="A .tflite written by `python -m convert`. Default: the trained model that ships in this package.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
threads_option = click.option(
    "--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads of the interpreter."
)
record_option = click.option(
    "--record", metavar="FILE.json", help="Write the record, which `python -m benchmarks` reads."
)


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, in all) that draws a bar on stderr; it draws nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    with click.progressbar(length=1, label=label, file=sys.stderr, show_pos=True) as bar:

        def tick(done: int, total: int) -> None:
            bar.length = total
            if done == total or done - bar.pos >= max(1, total // 100):
                bar.update(done - bar.pos)

        yield tick

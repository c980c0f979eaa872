"""Options that several commands share, and the progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


class Numbers(click.ParamType):
    """Whole numbers within bounds, separated by commas, each once: "1,2,4" is (1, 2, 4)."""

    name = "numbers"

    def __init__(self, low: int, high: int) -> None:
        """Take numbers in low..high."""
        self.low, self.high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers in their order; click's usage error for anything else."""
        if isinstance(value, tuple):
            return value
        words = str(value).split(",")
        numbers = tuple(int(word) for word in words if word.isascii() and word.isdigit())
        wrong = len(numbers) < len(words) or len(set(numbers)) < len(numbers)
        if wrong or not self.low <= min(numbers) <= max(numbers) <= self.high:
            self.fail(f"expected numbers in {self.low}..{self.high}, each once, as 1,2,4; got {value}", param, ctx)
        return numbers


model_option = click.option(
    "--model",
    metavar="FILE",
    help="A .tflite written by `python -m convert`, or small: the smaller of the two trained models that ship in this "
    "package. Default: the larger.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
align_option = click.option(
    "--align",
    type=click.Choice(["auto", "none", "eyes", "points"]),
    default="auto",
    show_default=True,
    help="How tilted faces are turned upright: not at all; by the line through the eyes; by all points that the "
    "detector gives, which place and size the crop too; auto: by the eyes where they are tilted by more than 10 "
    "degrees. Haar gives no points.",
)
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

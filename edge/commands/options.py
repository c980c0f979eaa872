"""Options that several commands share, and the progress bar."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from edge.cli import printable
from edge.files import check_writable


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
    help="A .tflite written by `python -m convert`, or default or small, the trained models that ship in this package: "
    "default is taken when none is named, small has a quarter of its size.",
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


def record_target(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Return the name that a record is to have; click's usage error where a file of another kind has it.

    A callback of click's. It is asked before anything is measured, so that no measurement ends at a wrong name.

    Raises:
        OutputError: it cannot be written there.
    """
    if value is None:
        return None
    if not os.fspath(value):
        raise click.UsageError(f"{option.opts[0]}: expected the name of a file; got an empty name")
    check_writable(value)
    if os.path.isfile(value) and os.path.getsize(value):
        try:
            with open(value, encoding="utf-8") as stream:
                found = json.load(stream)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or found.get("kind") in (None, "conversion"):
            raise click.UsageError(
                f"{option.opts[0]}: expected a new name, or a record to replace; got {printable(os.fspath(value))}, "
                "which is no record; choose another name"
            )
    return value


def refuse_overwriting(outputs: dict[str, str | None], inputs: Iterable[str | os.PathLike[str] | None]) -> None:
    """Raise click's usage error where a file to write is one that is read, or is to be written twice.

    Args:
        outputs: the name that each option gives; None: not asked for. A device, such as /dev/stdout, may come twice.
        inputs: what is read; None is left out. A file is known by all its names: links, `./` and the like.
    """
    read = {_identity(path) for path in inputs if path is not None}
    written: dict[object, str] = {}
    for option, name in outputs.items():
        if name is None or (os.path.exists(name) and not os.path.isfile(name)):
            continue
        identity = _identity(name)
        if identity in read:
            raise click.UsageError(f"{option}: expected another file than those read; got {printable(name)}")
        if identity in written:
            raise click.UsageError(f"{option}: expected another file than {written[identity]}'s; got {printable(name)}")
        written[identity] = option


def _identity(path: str | os.PathLike[str]) -> object:
    """Return what two names of one file have in common: its place on the disk, or the name that it would have."""
    try:
        status = os.stat(path)
    except OSError:
        return os.path.realpath(path)
    return os.path.realpath(path) if stat.S_ISDIR(status.st_mode) else (status.st_dev, status.st_ino)


record_option = click.option(
    "--record",
    metavar="FILE.json",
    callback=record_target,
    help="Write the record, which `python -m benchmarks` reads.",
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

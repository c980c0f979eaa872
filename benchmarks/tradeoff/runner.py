"""Runs a study's steps one after the other, each in a process of its own, and goes on past those that fail."""

from __future__ import annotations

import fcntl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.processes import environment, program
from benchmarks.tradeoff.ledger import Ledger
from benchmarks.tradeoff.steps import Step
from edge.errors import DataError

Say = Callable[[str], None]
_PATIENCE_S = 20  # for a child to end after it was asked to


@dataclass(frozen=True)
class Failure:
    """A step that failed, or could not begin, and why in one line."""

    step: str
    reason: str


def run_steps(steps: Sequence[Step], out: Path, say: Say, again: bool = False) -> list[Failure]:
    """Run the steps that are not done, in order; return what failed.

    Args:
        steps: of one study, earlier stages first.
        out: the study's folder.
        say: gets a line for each step that runs.
        again: run those that are done too.

    Raises:
        DataError: another run works in `out`.
    """
    with _alone(out) as lock:
        ledger = Ledger(out)
        failures: list[Failure] = []
        kept = 0
        groups = _groups(steps)
        for number, group in enumerate(groups, start=1):
            waiting = [step for step in group if again or not ledger.is_done(step)]
            kept += len(group) - len(waiting)
            if waiting:
                failures += _run_group(waiting, ledger, lock, _numbered(say, number, len(groups)))
        if kept:
            say(f"{kept} of {len(steps)} steps were done already")
        return failures


def _numbered(say: Say, number: int, count: int) -> Say:
    return lambda text: say(f"[{number}/{count}] {text}")


def _groups(steps: Sequence[Step]) -> list[list[Step]]:
    """Return the steps with conversions of one run put together."""
    groups: list[list[Step]] = []
    for step in steps:
        if step.recipe is not None and groups and groups[-1][0].words == step.words:
            groups[-1].append(step)
        else:
            groups.append([step])
    return groups


def _run_group(group: Sequence[Step], ledger: Ledger, lock: IO[str], say: Say) -> list[Failure]:
    """Run steps in one process; where it fails, those without products one by one."""
    missing = [path for path in group[0].reads if not path.exists()]
    if missing:
        reason = f"expected {missing[0]}; it is not there; mend what makes it, or give its stage"
        failures = [Failure(step.label, reason) for step in group]
    else:
        failures = _start(group, ledger, lock, say)
    if len(group) > 1 and failures and not missing:
        failed = {failure.step for failure in failures}
        again = [step for step in group if step.label in failed]
        return [failure for step in again for failure in _run_group([step], ledger, lock, say)]
    for failure in failures:
        say(f"failed: {failure.step}: {failure.reason}")
    return failures


def _start(group: Sequence[Step], ledger: Ledger, lock: IO[str], say: Say) -> list[Failure]:
    """Run one process for steps of the same words; each is judged by its own products."""
    goes_on = [ledger.begin(step) for step in group]
    recipes = [word for step in group if step.recipe is not None for word in ("--recipe", step.recipe)]
    words = [*group[0].words, *recipes, *(["--resume"] if any(goes_on) else [])]
    name = group[0].label + "".join(f", {step.recipe}" for step in group[1:])
    say(f"{name}{', goes on' if any(goes_on) else ''}")
    log = ledger.log(group[0])
    began = time.monotonic()
    code = _process(words, log, lock)
    seconds = time.monotonic() - began
    failures = []
    for step in group:
        made = all(path.exists() for path in step.writes)
        # In a group, a step whose products are there came before the one that failed.
        reason = None if made and (code == 0 or len(group) > 1) else _reason(code, log)
        ledger.settle(step, words, seconds / len(group), reason)
        if reason is not None:
            failures.append(Failure(step.label, reason))
    if not failures:
        say(f"{name}: {seconds:.0f} s")
    return failures


def _process(words: Sequence[str], log: Path, lock: IO[str]) -> int:
    """Run a command with its output in `log`; return its exit code. It is ended when this process is asked to end."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        # The child holds the lock too: if this process is killed, nobody else begins before the child has ended.
        child = subprocess.Popen(
            program(words), env=environment(), stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.STDOUT,
            pass_fds=(lock.fileno(),),
        )  # fmt: skip
        try:
            return child.wait()
        finally:
            if child.poll() is None:
                child.terminate()
                try:
                    child.wait(_PATIENCE_S)
                except subprocess.TimeoutExpired:
                    child.kill()
                    child.wait()


def _reason(code: int, log: Path) -> str:
    """Return in one line why a command failed: its own error, else its last line, and where the rest stands."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    own = [line for line in lines if line.lower().startswith("error: ")]
    ended = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
    return f"{(own or lines or ['no word'])[-1].removeprefix('error: ')[:400]} ({ended}; {log})"


@contextmanager
def _alone(out: Path) -> Iterator[IO[str]]:
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                f"{out}: expected no other run at work there; got one; wait for it, or choose another --out"
            ) from error
        yield lock

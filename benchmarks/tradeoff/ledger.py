"""What was done already: beside the products one note a step, with a fingerprint of all that made them.

A step counts as done when its note says so, its fingerprint is today's, and its products still have the content noted.
Times play no part, so a copied folder goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import edge
from benchmarks.tradeoff.steps import Step
from edge.files import sha256_of, write_atomically

BEGUN, DONE, FAILED = "begun", "done", "failed"


class Ledger:
    """The notes of one study's folder."""

    def __init__(self, out: Path) -> None:
        """Open the notes in `out`, which need not be there."""
        self._out = out
        self._sums: dict[Path, str] = {}  # of files that no step writes

    def is_done(self, step: Step) -> bool:
        """Return whether the step's products are there, made from what is there today."""
        note = self.note(step)
        if note.get("status") != DONE or not all(path.exists() for path in (*step.reads, *step.writes)):
            return False
        whole = {path.name: sha256_of(path) for path in step.writes}  # how reports were noted before `_content`
        return note.get("fingerprint") == self.fingerprint(step) and note.get("products") in (
            self._products(step),
            whole,
        )

    def note(self, step: Step) -> dict[str, Any]:
        """Return what was noted about the step; nothing where there is no note that can be read."""
        try:
            values = json.loads(self._path(step).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def fingerprint(self, step: Step) -> str:
        """Return 64 hexadecimal digits of the command, its files' content and the version, wherever the folder lies."""
        sums = {str(path): self._sum(path) for path in step.reads}
        known = self._placed(step) | sums
        words = [known.get(word, word) for word in step.words]
        parts = {"version": edge.__version__, "words": words, "recipe": step.recipe, "reads": sorted(sums.values())}
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def begin(self, step: Step) -> bool:
        """Clear what an earlier, different step left; return whether a run that was stopped can go on."""
        fingerprint, note = self.fingerprint(step), self.note(step)
        same = note.get("fingerprint") == fingerprint and note.get("status") != DONE
        goes_on = same and step.folder is not None and (step.folder / "run.json").is_file()
        if not goes_on:
            if step.folder is not None and note:  # made by this study: a folder without a note is not ours to empty
                shutil.rmtree(step.folder, ignore_errors=True)
            for path in step.writes if step.folder is None else ():
                path.unlink(missing_ok=True)
        self._write(step, {"status": BEGUN, "fingerprint": fingerprint})
        return goes_on

    def settle(self, step: Step, words: Sequence[str], seconds: float, reason: str | None) -> None:
        """Note the end of a step: done, or failed for a reason."""
        facts: dict[str, Any] = {"fingerprint": self.fingerprint(step), "command": list(words)}
        facts |= {"seconds": round(seconds, 1)}
        ending = {"status": DONE, "products": self._products(step)} if reason is None else {"status": FAILED}
        self._write(step, ending | facts | ({} if reason is None else {"reason": reason}))

    def log(self, step: Step) -> Path:
        """Return where the output of the step's command goes."""
        return self._out / "logs" / f"{_slug(step)}.log"

    def _placed(self, step: Step) -> dict[str, str]:
        """Return the step's files, and folders that hold them, in the study's folder: the word -> where it is there."""
        files = [*step.reads, *step.writes, *([step.folder] if step.folder else [])]
        every = {path for file in files for path in (file, *file.parents) if path.is_relative_to(self._out)}
        return {str(path): f"OUT/{path.relative_to(self._out).as_posix()}" for path in every - {self._out}}

    def _path(self, step: Step) -> Path:
        return self._out / "steps" / f"{_slug(step)}.json"

    def _write(self, step: Step, values: dict[str, Any]) -> None:
        write_atomically(self._path(step), json.dumps({"step": step.label} | values, indent=1) + "\n")

    def _products(self, step: Step) -> dict[str, str]:
        return {path.name: _content(path) for path in step.writes}

    def _sum(self, path: Path) -> str:
        """Return the sha256 of a file; of a folder (a data set's) that of its files' names and sizes."""
        if path.is_relative_to(self._out):
            return sha256_of(path)
        if path not in self._sums:
            self._sums[path] = _listing(path) if path.is_dir() else sha256_of(path)
        return self._sums[path]


def _content(path: Path) -> str:
    """Return the sha256 of a product; of a conversion's report without `latency`.

    `python -m convert` times a network's files in turns, and writes that into the reports of all of them: those of
    earlier commands too.
    """
    if path.suffix == ".json":
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return sha256_of(path)
        if isinstance(report, dict) and report.get("kind") == "conversion":
            report.pop("latency", None)
            return hashlib.sha256(json.dumps(report, sort_keys=True).encode()).hexdigest()
    return sha256_of(path)


def _slug(step: Step) -> str:
    return step.label.replace(" ", "-")


def _listing(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = (f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n" for path in files)
    return hashlib.sha256("".join(lines).encode()).hexdigest()

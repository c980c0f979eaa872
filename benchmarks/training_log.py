"""The table of the lab book: what each training run was told, what it learned from and what it reached.

`python -m benchmarks runs benchmarks/results/training/runs --page docs/training-log.md` writes it between the page's
markers, from the runs' own `run.json`, kept under the run's name. Figures are those of the part that picked the
checkpoint, single view; the part that is reported for shipped models alone is not shown. Runs under another protocol
than the most have a table of their own, since their figures are of other pictures; so do evaluations of test parts.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import evaluations
from benchmarks.evidence import record_files
from benchmarks.markdown import markdown_table
from benchmarks.runtime.record import one_line
from benchmarks.table import MISSING, share_text
from edge.errors import DataError
from edge.files import read_json
from train.recipes import RECIPES, Recipe, recipe
from train.runs import read_record

BEGIN, END = "<!-- runs:begin -->", "<!-- runs:end -->"
_COMMANDS = (
    "The command of each run, word for word, in the order of the table. They are no script: several wrote a folder of "
    "one name, and files and folders that they name are those of their time; how a run is repeated is told below."
)
_HEADINGS = (
    "Run", "Backbone, input", "Recipe, and what differs from it", "Learned from", "Accuracy (95 %)", "Macro-F1", "ECE",
    "Hours", "Computed on",
)  # fmt: skip
_NEEDED = ("metrics", "supervision", "teachers", "command", "backend", "devices")
PROTOCOL = "official-dedup"
"""Under which the runs of the first table are judged; one of any other has a table apart."""
_REMEDY = "keep the run.json of a finished `python -m train fit`"


@dataclass(frozen=True)
class Run:
    """One finished run, as its `run.json` tells it.

    Attributes:
        name: of its folder; of two runs of one name the earlier one's record is kept as NAME-SOMETHING.json, and that
            is its name here.
        protocol: under which its rows were taken from its data set.
        network: backbone and side of the input in pixels.
        recipe: what it was told, and the recipe of that name as it stands.
        changes: fields in which the two differ, as text.
        learned_from: labels, or what went beyond them; its teachers by name.
        figures: accuracy, its interval, macro-F1 and expected calibration error on the part that picked the checkpoint.
        hours: of wall clock, or None where the run does not say.
        device: backend and kind of device.
        command: what repeats it.
    """

    name: str
    protocol: str
    network: str
    recipe: str
    changes: str
    learned_from: str
    figures: Mapping[str, Any]
    hours: float | None
    device: str
    command: str


@dataclass(frozen=True)
class Log:
    """What the lab book's records say.

    Attributes:
        runs: the most accurate first.
        evaluations: rows of evaluations, by file name.
    """

    runs: tuple[Run, ...]
    evaluations: tuple[evaluations.Row, ...] = ()


def read_log(paths: Iterable[Path]) -> Log:
    """Return the runs and evaluations in files and folders.

    Raises:
        DataError: a file is no finished run's record and no evaluation, two runs are of one name, or an evaluation is
            of a run whose record is not there.
    """
    runs: list[Run] = []
    measured: list[evaluations.Row] = []
    for path in record_files(paths):
        values = read_json(path, _REMEDY)
        if isinstance(values, dict) and values.get("kind") == evaluations.KIND:
            measured += evaluations.read_rows(path, values)
            continue
        with one_line(path, _REMEDY):
            runs.append(_run(path))
            _cells(runs[-1])
    names = [run.name for run in runs]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"expected one record of the run {twice}; got another; keep the one that counts")
    stray = next((row.run for row in measured if row.run not in names), None)
    if stray is not None:
        raise DataError(f"expected the record of the run {stray}, which an evaluation is of; got none; {_REMEDY}")
    return Log(tuple(sorted(runs, key=lambda run: (-run.figures["accuracy"], run.name))), tuple(measured))


def markdown(log: Log) -> str:
    """Return the page's block: a table of runs and their commands for each protocol, then the evaluations."""
    protocols = sorted({run.protocol for run in log.runs}, key=lambda name: (name != PROTOCOL, name))
    blocks = []
    for protocol in protocols:
        runs = [run for run in log.runs if run.protocol == protocol]
        if protocol != PROTOCOL:
            blocks.append(f"Under the protocol `{protocol}`, on other pictures, so not to be compared with the above:")
        blocks.append(markdown_table(_HEADINGS, [_cells(run) for run in runs]))
        commands = "\n".join(run.command for run in runs)
        blocks.append(f"{_COMMANDS}\n\n```\n{commands}\n```")
    if log.evaluations:
        blocks.append("Measured on test parts with `python -m train evaluate`:")
        blocks.append(evaluations.markdown(log.evaluations))
    return "\n\n".join(blocks) + "\n"


def _run(path: Path) -> Run:
    values = read_record(path)
    missing = [key for key in _NEEDED if key not in values]
    if missing:
        raise DataError(f"{path}: expected {', '.join(_NEEDED)}; no {', '.join(missing)}; {_REMEDY}")
    told = Recipe.from_json(values["recipe"])
    part = values["data"]["roles"]["validation"]
    if part not in values["metrics"]:
        raise DataError(f"{path}: expected a finished run, with figures on {part}; got none; {_REMEDY}")
    teachers = ", ".join(teacher["name"] for teacher in values["teachers"])
    known = [f"teachers: {teachers}"] if teachers else []
    if "start" in values:
        known.append(f"first weights: {values['start']['name']} {values['start']['recipe']}")
    side = f"{values['input']['height']} px, {values['input']['colour']}"
    return Run(
        name=path.stem if path.stem.startswith(f"{values['name']}-") else values["name"],
        protocol=values["data"]["protocol"],
        network=f"{values['backbone']}, {side}",
        recipe=told.name,
        changes=", ".join(_changes(told)),
        learned_from=values["supervision"] + (f" ({'; '.join(known)})" if known else ""),
        figures=values["metrics"][part] | {"part": f"{values['data']['name']} {part}"},
        hours=values["seconds"] / 3600 if "seconds" in values else None,
        device=f"{values['backend']}, {values['devices']['kind']}",
        command=shlex.join(_words(values["command"])),
    )


def _words(command: Iterable[str]) -> Iterable[str]:
    """The words that repeat a run; `python -m train` is recorded as one, and of a resumed run the last command is."""
    for word in command:
        if word != "--resume":
            yield from word.split() if word.startswith("python -m ") else [word]


def _changes(told: Recipe) -> Iterable[str]:
    """Where a recipe differs from the one of its name; all of it where there is none."""
    if told.name not in RECIPES:
        return
    base = recipe(told.name).to_json()
    own = told.to_json()
    for field, value in own.items():
        if field == "phases":
            yield from _phase_changes(base["phases"], value)
        elif value != base[field] and field not in ("backbone", "size", "targets", "votes_share"):
            yield f"{field.replace('_', ' ')} {value}"


def _phase_changes(base: Sequence[Mapping[str, Any]], own: Sequence[Mapping[str, Any]]) -> Iterable[str]:
    if [phase["name"] for phase in base] != [phase["name"] for phase in own]:
        yield f"phases {', '.join(phase['name'] for phase in own)}"
        return
    for before, after in zip(base, own, strict=True):
        flat = {**after, **after["augment"]}
        known = {**before, **before["augment"]}
        for field, value in flat.items():
            if field != "augment" and value != known[field]:
                yield f"{after['name']}: {field.replace('_', ' ')} {value}"


def _cells(run: Run) -> tuple[str, ...]:
    return (
        run.name,
        run.network,
        run.recipe + (f": {run.changes}" if run.changes else ""),
        run.learned_from,
        share_text(run.figures["accuracy"], run.figures["ci95"]),
        f"{run.figures['macro_f1']:.4f}",
        f"{run.figures['ece']:.4f}",
        MISSING if run.hours is None else f"{run.hours:.1f}",
        run.device,
    )

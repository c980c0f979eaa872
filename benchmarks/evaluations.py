"""What `python -m train evaluate` measured of runs, as rows of the lab book: every view, and what was seen before.

For protocols whose test part a run may tell of although no model ships from it. A figure on pictures of which some were
trained on stands beside that of the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.markdown import markdown_table
from benchmarks.runtime.record import one_line
from benchmarks.table import share_text
from edge.benchmarking.statistics import macro_f1
from edge.errors import DataError

KIND = "evaluation"
_HEADINGS = ("Run", "Measured on", "Learned from", "View", "Pictures", "Accuracy (95 %)", "Macro-F1 (95 %)", "ECE")
_REMEDY = "keep the file that `python -m train evaluate` wrote"
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Row:
    """Figures of one view of some pictures.

    Attributes:
        run: name of the run.
        place: data set, part and protocol.
        learned_from: labels, or what went beyond them.
        view: ``single``, or which test-time augmentation.
        pictures: how many, and whether the run has seen some of them.
        figures: accuracy, macro-F1 (with their intervals) and expected calibration error.
    """

    run: str
    place: str
    learned_from: str
    view: str
    pictures: str
    figures: Mapping[str, Any]


def read_rows(path: Path, record: Mapping[str, Any]) -> tuple[Row, ...]:
    """Return the rows of one evaluation: all pictures by each view, then those that the run had not seen.

    Args:
        path: its file, for messages.
        record: what is in it.

    Raises:
        DataError: a field is missing or of another type, or a figure is not that of its own confusion matrix.
    """
    with one_line(path, _REMEDY):
        if record["schema"] != 1:
            raise DataError(f"{path}: expected schema 1; got {record['schema']!r}; {_REMEDY}")
        place = f"{record['dataset']} {record['part']} ({record['protocol']})"
        views = {"single_view": "single", "with_tta": f"TTA {record['tta']}"}
        groups = [(record, _pictures(record))]
        if "unseen" in record:
            groups.append((record["unseen"], f"{record['unseen']['single_view']['samples']:,} not seen before"))
        rows = []
        for group, pictures in groups:
            for key, view in views.items():
                if key in group:
                    figures = group[key]
                    _check(path, figures)
                    row = Row(record["run"], place, record["supervision"], view, pictures, figures)
                    _cells(row)
                    rows.append(row)
    return tuple(rows)


def markdown(rows: Iterable[Row]) -> str:
    """Return the table of evaluations."""
    return markdown_table(_HEADINGS, [_cells(row) for row in rows])


def _pictures(record: Mapping[str, Any]) -> str:
    samples, seen = record["single_view"]["samples"], record["seen"]
    if seen is None:
        return f"{samples:,}; how many were trained on is not known"
    told = [f"{seen[key]:,} {what}" for key, what in (("trained", "trained on"), ("selected", "selected on"))]
    text = f"{samples:,}" + (f", of them {' and '.join(told)}" if seen["trained"] or seen["selected"] else "")
    for each in record["seen_before"]:
        if each["seen"] is None:
            text += f"; how many {each['network']} was trained on is not known"
        elif each["seen"]["trained"]:
            text += f"; {each['seen']['trained']:,} trained on by {each['network']}"
    return text


def _check(path: Path, figures: Mapping[str, Any]) -> None:
    confusion = np.array(figures["confusion"])
    samples = int(confusion.sum())
    if samples == 0:
        raise DataError(f"{path}: expected a confusion matrix of at least one picture; got an empty one; {_REMEDY}")
    own = {"samples": samples, "accuracy": float(np.trace(confusion)) / samples, "macro_f1": macro_f1(confusion)}
    for name, value in own.items():
        if abs(value - figures[name]) > _TOLERANCE:
            raise DataError(
                f"{path}: expected {name} {value:.6g}, which its confusion matrix gives; got {figures[name]:.6g}; "
                f"{_REMEDY}"
            )


def _cells(row: Row) -> tuple[str, ...]:
    low, high = row.figures["macro_f1_ci95"]
    return (
        row.run,
        row.place,
        row.learned_from,
        row.view,
        row.pictures,
        share_text(row.figures["accuracy"], row.figures["ci95"]),
        f"{row.figures['macro_f1']:.4f} ({low:.3f} to {high:.3f})",
        f"{row.figures['ece']:.4f}",
    )

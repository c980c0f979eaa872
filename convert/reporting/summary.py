"""The last stage of the command: all files of one model side by side, in their reports and on one HTML page.

Latency is measured here, when the slow work is over, in turns over all files of the model in the folder; also those of
earlier commands, if they were made of the same network.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convert.reporting.page import HEADINGS, page, table
from convert.reporting.progress import Progress
from convert.tflite.export import RECIPES
from convert.verification.timing import side_by_side
from edge.errors import DataError
from edge.files import sha256_of, write_atomically, write_json

ROUNDS = 100


def summarize(paths: Sequence[Path], progress: Progress) -> Path:
    """Times the model's files in turns, puts that into their reports, and writes the page beside them.

    Args:
        paths: The .tflite files of this command, of one model; a report lies beside each.
        progress: Where to tell.

    Returns:
        The page, NAME.html.
    """
    chosen = _of_the_same_network(paths)
    with progress.bar("latency, in turns", ROUNDS) as advance:
        latency = side_by_side(
            {recipe: path.read_bytes() for recipe, (path, _) in chosen.items()},
            ROUNDS,
            tick=lambda done, _: advance(done),
        )
    reports = []
    for path, report in chosen.values():
        report["latency"] = latency
        write_json(path.with_suffix(".json"), report)
        reports.append(report)
    progress.table(HEADINGS, table(reports))
    name = reports[0]["source"]["name"]
    target = paths[0].with_name(f"{name}.html")
    write_atomically(target, page(reports))
    return target


def _of_the_same_network(paths: Sequence[Path]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Files and reports by recipe, in the recipes' order: this command's, and others of the same network."""
    own = json.loads(paths[0].with_suffix(".json").read_text(encoding="utf-8"))
    found = {}
    for recipe in RECIPES:
        path = paths[0].with_name(f"{own['source']['name']}-{recipe}.tflite")
        try:
            report = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            is_whole = report["sha256"] == sha256_of(path)
            is_same = _made_of(report) == _made_of(own)
        except (OSError, ValueError, KeyError, TypeError):  # not there, or not a whole report
            continue
        if is_whole and is_same:
            found[recipe] = (path, report)
    if not found:
        raise DataError(
            f"expected the files just written; came none at {paths[0].parent}; another program removed them"
        )
    return found


def _made_of(report: dict[str, Any]) -> list[Any]:
    """What two reports must have in common to stand on one page."""
    return [report["source"], report["data"], report["versions"], report["config"]["limit"]]

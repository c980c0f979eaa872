"""Fixtures: folders of handmade records."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.evidence import read_evidence, record_files
from benchmarks.report import Report, compose
from benchmarks.table import build
from tests.benchmarks import boards
from tests.benchmarks.handmade import accuracy, paired_latency

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes records into a folder (one file each) and returns the folder."""
    folder = tmp_path / "results"

    def _write(*records: dict[str, Any]) -> Path:
        folder.mkdir(exist_ok=True)
        for record in records:
            number = len(list(folder.iterdir()))
            (folder / f"{number}-{record['kind']}.json").write_text(json.dumps(record), encoding="utf-8")
        return folder

    return _write


def report_of(folder: Path) -> Report:
    """Return the report of a folder's records."""
    evidence = read_evidence([folder])
    return compose(evidence, build(evidence), record_files([folder]))


@pytest.fixture(scope="session")
def two_boards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the records of two boards, whose second network has a hostile name."""
    folder = tmp_path_factory.mktemp("boards")
    for number, record in enumerate(boards.records()):
        (folder / f"{number}-{record['kind']}.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def report(two_boards: Path) -> Report:
    """The report of the two boards, composed once."""
    return report_of(two_boards)


@pytest.fixture
def float_and_int8(write: Write) -> Path:
    """A folder with an accuracy record of each model and one record of interleaved pairs."""
    return write(
        accuracy("float32", "1111111100"),
        accuracy("qat-int8", "1111110010"),
        paired_latency("qat-int8", "float32", p50=2.0, against_p50=6.0),
    )

"""The record of a count, kind "instructions" (schema 1): written whole, read back through a check, shown as a table.

``boards`` holds the counts with the runtime ``runtime``. Where the same files were counted with further runtimes,
``others`` holds one block for each, with a ``runtime`` and ``boards`` of its own, whose models have one field more:
``times``, their instructions over those with the first runtime. ``xnnpack`` says which operators that runtime hands to
XNNPACK: ``partitions``, ``operators`` and those ``outside``, as in the records of `fer-edge benchmark`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.arm.boards import BOARDS
from benchmarks.arm.count import Count
from benchmarks.arm.estimate import BOARD, described, fit
from benchmarks.arm.runtimes import RUNTIME
from benchmarks.markdown import markdown_table
from edge import __version__
from edge.benchmarking.records import machine, now
from edge.errors import ContractError, DataError, ModelFileError
from edge.files import read_json, sha256_of, write_json
from edge.inference.modelfile import parse_model

SCHEMA, KIND = 1, "instructions"
MEANING = (
    "Executed ARM instructions per inference under user-mode emulation, one thread. They rank int8 models among "
    "themselves and float models among themselves; float also streams four times the weights from memory."
)
MISSES = (
    "L2 misses: 64-byte lines per inference that neither the first nor the second level of simulated data caches held "
    "(least recently used out first, nothing fetched ahead, nothing else running); what is missed comes from memory, "
    "on a Pi 5 first from a third level of 2 MiB, which is not simulated."
)
_FIELDS: dict[str, type | tuple[type, ...]] = {
    "schema": int, "kind": str, "created": str, "command": list, "fer_edge": str, "machine": dict, "suite": str,
    "runtime": dict, "qemu": str, "threads": int, "meaning": str, "boards": list,
}  # fmt: skip
_OF_BOARD: dict[str, type | tuple[type, ...]] = {"board": str, "title": str, "core": str, "models": list}
_OF_MODEL: dict[str, type | tuple[type, ...]] = {
    "name": str, "recipe": (str, type(None)), "file": str, "sha256": str, "size_bytes": int,
    "instructions_million": float, "spread": int, "sdot": int,
}  # fmt: skip
_OF_XNNPACK: dict[str, type | tuple[type, ...]] = {"partitions": int, "operators": int, "outside": dict}
_MISSING = "–"


@dataclass(frozen=True)
class Counted:
    """One model on one board.

    Attributes:
        name: the contract's, or the file's without suffix; ``recipe`` the contract's or None.
        file: the file's name; ``sha256`` and ``size_bytes`` its content's.
        board: key of ``BOARDS``; ``core`` its core.
        instructions_million: executed per inference; ``spread`` the largest less the smallest of the repeats, in
            instructions.
        sdot: dot-product instructions per inference.
        l2_misses: simulated, per inference; None where they were not counted.
        estimate_ms: see ``benchmarks.arm.estimate``; None where there is none. ``estimate_says`` what it is.
        runtime: name and version of the interpreter.
        times: instructions over those with the record's first runtime.
        xnnpack: ``partitions``, ``operators`` and those ``outside``; None in records from before it was kept.
    """

    name: str
    recipe: str | None
    file: str
    sha256: str
    size_bytes: int
    board: str
    core: str
    instructions_million: float
    spread: int
    sdot: int
    l2_misses: int | None = None
    estimate_ms: float | None = None
    estimate_says: str | None = None
    runtime: str = ""
    times: float = 1.0
    xnnpack: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Instructions:
    """A record as read back: where it lies, its fields, and one entry for each model and board.

    ``counted`` is with the record's first runtime, ``others`` with the further ones, one after the other.
    """

    path: Path
    fields: Mapping[str, Any]
    counted: tuple[Counted, ...]
    others: tuple[Counted, ...] = ()


def record(
    counts: Mapping[str, Sequence[Count]],
    *,
    suite: str,
    qemu: str,
    command: Sequence[str],
    runtime: str = RUNTIME,
    others: Mapping[str, Mapping[str, Sequence[Count]]] | None = None,
) -> dict[str, Any]:
    """Return the record of one run.

    Args:
        counts: by board, the models in the same order.
        runtime: name of the interpreter that they were counted with.
        others: the same boards and models with further interpreters, by name.
        suite: a key of ``SUITES``.
        qemu: version of the emulator.
        command: words of the command.
    """
    boards = _boards(counts)
    fields: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": KIND,
        "created": now(),
        "command": list(command),
        "fer_edge": __version__,
        "machine": machine(),
        "suite": suite,
        "runtime": _runtime(runtime, counts),
        "qemu": qemu,
        "threads": 1,
        "meaning": MEANING,
        "boards": boards,
    }
    if others:
        fields["others"] = [
            {"runtime": _runtime(name, found), "boards": _with_times(_boards(found), boards)}
            for name, found in others.items()
        ]
    return fields


def write_instructions(path: str | os.PathLike[str], fields: dict[str, Any]) -> None:
    """Write a record in one step, after checking it.

    Raises:
        DataError: a field is missing or of another type.
        OutputError: the file cannot be written.
    """
    _check(fields, path)
    write_json(path, fields)


def read_instructions(path: str | os.PathLike[str]) -> Instructions:
    """Return the record in a JSON file, checked.

    Raises:
        DataError: the file is missing, no JSON, no record of this kind and schema, or a field is missing or wrong.
    """
    fields = read_json(path, "count again with --record")
    return _check(fields, path)


def of_fields(fields: dict[str, Any]) -> Instructions:
    """Return a record that was not written."""
    return _check(fields, "record")


def table(records: Sequence[Instructions]) -> str:
    """Return the counts as a text table, with its meaning below."""
    rows = _rows(records)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) if column < 2 else cell.rjust(width)
                 for column, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, "", *_notes(records)]) + "\n"


def markdown(records: Sequence[Instructions]) -> str:
    """Return the counts as a Markdown table, with its meaning below."""
    head, *rows = _rows(records)
    found = markdown_table(head, rows, "|---|---|" + "--:|" * (len(head) - 2))
    return "\n".join([found, "", *_notes(records)]) + "\n"


def _runtime(name: str, counts: Mapping[str, Sequence[Count]]) -> dict[str, str]:
    return {"name": name, "version": next(iter(counts.values()))[0].runtime}


def _boards(counts: Mapping[str, Sequence[Count]]) -> list[dict[str, Any]]:
    return [
        {
            "board": board,
            "title": BOARDS[board].title,
            "core": BOARDS[board].core,
            "cache": asdict(BOARDS[board].cache),
            "models": [_model(found, board) for found in of_board],
        }
        for board, of_board in counts.items()
    ]


def _with_times(boards: list[dict[str, Any]], first: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for board, of_first in zip(boards, first, strict=True):
        for model, against in zip(board["models"], of_first["models"], strict=True):
            model["times"] = model["instructions_million"] / against["instructions_million"]
    return boards


def _model(found: Count, board: str) -> dict[str, Any]:
    content = found.model.read_bytes()
    try:
        contract = parse_model(content, found.model).contract
        name, recipe = contract.name, contract.recipe
    except (ModelFileError, ContractError):  # a peer's file, which does not describe itself
        name, recipe = found.model.stem, None
    fields: dict[str, Any] = {
        "name": name,
        "recipe": recipe,
        "file": found.model.name,
        "sha256": sha256_of(content),
        "size_bytes": len(content),
        "instructions_million": found.instructions / 1e6,
        "spread": found.spread,
        "sdot": found.sdot,
    }
    if found.l2_misses is not None:
        fields["l2_misses"] = found.l2_misses
        if board == BOARD:
            fitted = fit()
            fields["estimate"] = {
                "ms": fitted.ms(found.instructions, found.l2_misses),
                "worst_left_out": fitted.worst_left_out,
                "says": described(fitted),
            }
    if found.xnnpack is not None:
        fields["xnnpack"] = found.xnnpack.to_dict()
    if found.functions:
        fields["functions_million"] = {entry.name: entry.instructions / 1e6 for entry in found.functions[:20]}
    return fields


def _check(fields: Any, path: str | os.PathLike[str]) -> Instructions:
    if not isinstance(fields, dict) or (fields.get("schema"), fields.get("kind")) != (SCHEMA, KIND):
        came = f"schema {fields.get('schema')}, kind {fields.get('kind')}" if isinstance(fields, dict) else "no object"
        raise DataError(
            f"{path}: expected a record of schema {SCHEMA} and kind {KIND}; got {came}; "
            "write it with `python -m benchmarks instructions --record`"
        )
    _require(fields, _FIELDS, path, "")
    counted = _counted(fields, path)
    if not counted:
        raise DataError(f"{path}: expected at least one model; got none; count again with --record")
    others: list[Counted] = []
    for block in fields.get("others", []):
        _require(block, {"runtime": dict, "boards": list}, path, "others.")
        others += _counted(block, path, {"times": float})
    return Instructions(Path(path), fields, tuple(counted), tuple(others))


def _counted(block: Mapping[str, Any], path: Any, more: Mapping[str, type] | None = None) -> list[Counted]:
    """Return the entries of one runtime's boards, checked; ``more`` are fields that its models must have too."""
    _require(block["runtime"], {"name": str, "version": str}, path, "runtime.")
    counted = []
    for board in block["boards"]:
        _require(board, _OF_BOARD, path, "boards.")
        for model in board["models"]:
            _require(model, {**_OF_MODEL, **(more or {})}, path, f"{board['board']}.")
            if "l2_misses" in model:
                _require(model, {"l2_misses": int}, path, f"{board['board']}.")
            if "xnnpack" in model:
                _require(model["xnnpack"], _OF_XNNPACK, path, f"{board['board']}.xnnpack.")
            if "estimate" in model:
                _require(model["estimate"], {"ms": (int, float), "says": str}, path, f"{board['board']}.estimate.")
            counted.append(
                Counted(
                    **{key: model[key] for key in _OF_MODEL},
                    board=board["board"],
                    core=board["core"],
                    l2_misses=model.get("l2_misses"),
                    estimate_ms=model["estimate"]["ms"] if "estimate" in model else None,
                    estimate_says=model["estimate"]["says"] if "estimate" in model else None,
                    runtime=f"{block['runtime']['name']} {block['runtime']['version']}",
                    times=model.get("times", 1.0),
                    xnnpack=model.get("xnnpack"),
                )
            )
    return counted


def _require(fields: Any, wanted: Mapping[str, type | tuple[type, ...]], path: Any, where: str) -> None:
    for key, kind in wanted.items():
        value = fields.get(key, ...) if isinstance(fields, dict) else ...
        if value is ... or isinstance(value, bool) or not isinstance(value, kind):
            came = "none" if value is ... else repr(value)[:60]
            raise DataError(
                f"{path}: expected the field {where}{key}; got {came}; "
                "write it with `python -m benchmarks instructions --record`"
            )
        if isinstance(value, int | float) and not (math.isfinite(value) and value >= 0):
            raise DataError(f"{path}: expected {where}{key} finite and not negative; got {value}; count again")


def _rows(records: Sequence[Instructions]) -> list[list[str]]:
    """Return the heading and a row for each model; boards side by side, in the order of ``BOARDS``."""
    found: dict[tuple[str, str, str, int], dict[str, Counted]] = {}
    for entry in (entry for each in records for entry in each.counted):
        model = (entry.name, entry.recipe or _MISSING, entry.sha256, entry.size_bytes)
        found.setdefault(model, {})[entry.board] = entry
    boards = [board for board in BOARDS if any(board in by_board for by_board in found.values())]
    misses = any(entry.l2_misses is not None for by_board in found.values() for entry in by_board.values())
    head = ["Model", "Recipe", "Size, kB"]
    for board in boards:
        head += [f"{_short(board)}, M", f"{_short(board)} SDOT, M", *[f"{_short(board)} L2 misses, k"] * misses]
        head += [f"{_short(board)} estimate, ms"] * (misses and board == BOARD)
    rows = [head]
    for (name, recipe, _, size), by_board in found.items():
        row = [name, recipe, f"{size / 1e3:,.0f}"]
        for board in boards:
            row += _cells(by_board.get(board), misses, board == BOARD)
        rows.append(row)
    return rows


def _cells(entry: Counted | None, misses: bool, estimated: bool) -> list[str]:
    if entry is None:
        return [_MISSING] * (2 + misses + (misses and estimated))
    cells = [f"{entry.instructions_million:.2f}", f"{entry.sdot / 1e6:.2f}"]
    if misses:
        cells.append(_MISSING if entry.l2_misses is None else f"{entry.l2_misses / 1e3:.1f}")
        if estimated:
            cells.append(_MISSING if entry.estimate_ms is None else f"{entry.estimate_ms:.1f}")
    return cells


def _notes(records: Sequence[Instructions]) -> list[str]:
    """Return what the figures mean and how they came about."""
    versions = {
        (each.fields["runtime"]["name"], each.fields["runtime"]["version"], each.fields["qemu"]) for each in records
    }
    cores = {entry.board: entry.core for each in records for entry in each.counted}
    ran_on = ", ".join(f"{_short(board)}: {cores[board]}" for board in BOARDS if board in cores)
    ran_by = "; ".join(f"{name} {version} under QEMU {qemu}" for name, version, qemu in sorted(versions))
    notes = [MEANING, f"{ran_on}; {ran_by}."]
    if any(entry.l2_misses is not None for each in records for entry in each.counted):
        notes.append(f"{MISSES} {_caches(records)}".rstrip())
    says = {entry.estimate_says: None for each in records for entry in each.counted if entry.estimate_says}
    return [*notes, *says]


def _caches(records: Sequence[Instructions]) -> str:
    """Return the sizes of the simulated caches, as the records tell them."""
    told = {
        f"{_short(board['board'])}: {board['cache']['l1_kib']} KiB and {board['cache']['l2_kib']} KiB": None
        for each in records
        for board in each.fields["boards"]
        if "cache" in board and any("l2_misses" in model for model in board["models"])
    }
    return f"{', '.join(told)}." if told else ""


def _short(board: str) -> str:
    return board.replace("pi", "Pi ")

"""Tables of peers records: for the terminal (rich) and as Markdown for the README, every figure from the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from benchmarks.markdown import markdown_table, markdown_text
from benchmarks.peers.record import FAILED, NOT_RUN
from benchmarks.table import MISSING, share_text, signed, size_text
from edge.wording import counted

if TYPE_CHECKING:
    from rich.table import Table

REFERENCES = {
    "plain-float32": "Times as fast as plain float32 (95 %)",
    "plain-int8": "as plain int8",
    "plain-int8-batch1": "as plain int8, batch 1",
    "ai-edge-quantizer-int8-batch1": "as ai-edge-quantizer int8, batch 1",
    "onnxruntime-float32": "as ONNX Runtime float32",
    "onnxruntime-int8": "as ONNX Runtime int8",
    "ours-float32": "as ours float32",
}
"""Files that the others' speed is compared with, and the heading of their column."""
HEADINGS = (
    "File", "Size", "Accuracy (95 %)", "Drop against Keras, points (95 %)", "Agreement with Keras", "Macro-F1",
    "Partitions", "Outside XNNPACK", "p50 / p90 / p99 ms",
)  # fmt: skip


def headings(record: dict[str, Any], against: Sequence[str] | None = None) -> list[str]:
    """Return the headings of a record's table: those of `HEADINGS`, and one for each speed comparison that it has.

    Args:
        record: of `benchmarks.peers.record`.
        against: the comparisons wanted, some of `REFERENCES`; None for all of them and for those with rivals.
    """
    return [*HEADINGS, *(REFERENCES.get(name, f"as {name}") for name in _references(record, against))]


def rows(record: dict[str, Any], against: Sequence[str] | None = None) -> list[list[str]]:
    """Return the texts under `headings`: the Keras model, then each file; a failed one says why."""
    speeds = _references(record, against)
    return [_reference_row(record, speeds), *(_row(file, record, speeds) for file in record["files"])]


def caption(record: dict[str, Any]) -> str:
    """Return in one line what was measured, on what and how."""
    source, data, machine = (record[name] for name in ("source", "data", "machine"))
    taken = f"{data['samples']:,}"
    if data["samples"] < data["in_part"]:
        taken += f" of {data['in_part']:,}"
    height, width = source["input"][:2]
    interpreters = dict.fromkeys(f"{each['name']} {each['version']}" for each in _runtimes(record))
    interpreter = " and ".join(interpreters)
    rivals = dict.fromkeys(file["network"] for file in record["files"] if "network" in file)
    others = f"; other networks, whose drop and agreement are against it too: {', '.join(rivals)}" * bool(rivals)
    where = f"{machine['model']} ({counted(machine['cores'], 'core')}, load {record['load_average']:.1f})"
    return (
        f"{source['name']} ({source['backbone']}, {height}×{width}), {data['name']} {data['part']} ({taken} pictures, "
        f"{data['protocol']}), {record['rounds']} rounds in turns, {counted(record['threads'], 'thread')}, "
        f"{interpreter} on {where}, {record['calibration']['samples']:,} calibration pictures{others}"
    )


def table(record: dict[str, Any]) -> Table:
    """Return the table for the terminal."""
    from rich.table import Table as Grid
    from rich.text import Text

    grid = Grid(title=Text(caption(record)), title_justify="left")
    for heading in headings(record):
        grid.add_column(heading, no_wrap=heading == HEADINGS[0])
    for row in rows(record):
        grid.add_row(*(Text(cell) for cell in row))
    return grid


def markdown(records: Sequence[dict[str, Any]], against: Sequence[str] | None = None) -> str:
    """Return one captioned Markdown table a record, in the given order.

    Args:
        records: of `benchmarks.peers.record`.
        against: the speed comparisons to show, some of `REFERENCES`; None for all of them and for those with rivals.
    """
    tables = ((caption(record), markdown_table(headings(record, against), rows(record, against))) for record in records)
    return "\n".join(f"{markdown_text(words)}:\n\n{found}\n" for words, found in tables)


def _references(record: dict[str, Any], wanted: Sequence[str] | None) -> list[str]:
    """Return the wanted comparisons that the record has, in the order of `REFERENCES`, rivals last."""
    found = {entry["against"] for entry in record["ratios"]}
    known = [*REFERENCES, *(file["name"] for file in record["files"] if "network" in file)]
    return [name for name in known if name in found and (wanted is None or name in wanted)]


def _runtimes(record: dict[str, Any]) -> list[dict[str, str]]:
    """Return the interpreters that ran, that of TFLite files first."""
    return [record["runtime"], *(file["runtime"] for file in record["files"] if "runtime" in file)]


def _reference_row(record: dict[str, Any], speeds: Sequence[str]) -> list[str]:
    scored = [f"{record['source']['name']}, Keras", MISSING, _accuracy(record["reference"]), MISSING, MISSING]
    scored.append(f"{record['reference']['macro_f1']:.4f}")
    return [*scored, *[MISSING] * (len(HEADINGS) + len(speeds) - len(scored))]


def _row(file: dict[str, Any], record: dict[str, Any], speeds: Sequence[str]) -> list[str]:
    if file["status"] in (FAILED, NOT_RUN):
        cells = [file["name"], MISSING, f"{file['status']}: {file['error']}"]
        return [*cells, *[MISSING] * (len(HEADINGS) + len(speeds) - len(cells))]
    drop, times = file["drop"], file["latency_ms"]
    return [
        f"{file['name']} ({file['note']})" if "note" in file else file["name"],
        size_text(file["size_bytes"]),
        _accuracy(file),
        f"{signed(drop['points'])} ({signed(drop['low'])} to {signed(drop['high'])})",
        f"{100 * file['agreement']:.2f} %",
        f"{file['macro_f1']:.4f}",
        MISSING if file["partitions"] is None else str(file["partitions"]),
        _outside(file["outside"]),
        f"{times['p50']:.2f} / {times['p90']:.2f} / {times['p99']:.2f}",
        *(_speed(file["name"], name, record) for name in speeds),
    ]


def _outside(operators: dict[str, int] | None) -> str:
    if operators is None:
        return MISSING
    return ", ".join(f"{count} {name}" for name, count in sorted(operators.items())) or "none"


def _speed(model: str, against: str, record: dict[str, Any]) -> str:
    for entry in record["ratios"]:
        if (entry["model"], entry["against"]) == (model, against):
            low, high = entry["ci95"]
            return f"{entry['median']:.2f}× ({low:.2f} to {high:.2f})"
    return MISSING


def _accuracy(block: dict[str, Any]) -> str:
    return share_text(block["accuracy"], block["accuracy_ci95"])

"""A study's outcome as Markdown: what was run, the front of each number of threads, and every cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.machines import machine_text
from benchmarks.markdown import markdown_table, markdown_text
from benchmarks.table import MISSING, share_text, size_text
from benchmarks.tradeoff.front import pareto_front
from edge.benchmarking.stability import FINE
from edge.wording import counted

BEGIN, END = "<!-- tradeoff:begin -->", "<!-- tradeoff:end -->"
_HEADINGS = ("Backbone", "Input", "Recipe", "Threads", "Parameters", "Size", "Accuracy (95 %)", "Macro-F1", "p50 ms",
             "Times as fast as the baseline (95 %)", "Partitions", "Epochs", "Front")  # fmt: skip
_MEANING = (
    "Accuracy: share of right answers, single view, with its 95 % bootstrap interval, which tells how far it would "
    "scatter on other pictures: all cells were scored on the same ones, so that two whose intervals overlap may still "
    "differ, as `compare` tests picture by picture. p50: median milliseconds of one face through the network alone. "
    "Times as fast: median of the time ratios to the baseline over interleaved pairs, with its 95 % interval. "
    "Partitions: pieces into which XNNPACK cuts the graph. Front: no other cell of as many threads is at least as "
    "accurate and as fast, and better in one; by the measured values, without their intervals."
)


def fronts(record: Mapping[str, Any]) -> dict[int, list[Mapping[str, Any]]]:
    """Return the cells on the front, fastest first, by number of threads; cells without both figures are left out."""
    whole = [cell for cell in record["cells"] if cell["accuracy"] is not None and cell["latency_ms"] is not None]
    found: dict[int, list[Mapping[str, Any]]] = {}
    for threads in sorted({cell["threads"] for cell in whole}):
        group = [cell for cell in whole if cell["threads"] == threads]
        found[threads] = [group[index] for index in pareto_front([point(cell) for cell in group])]
    return found


def point(cell: Mapping[str, Any]) -> tuple[float, float]:
    """Return a cell's median milliseconds and its accuracy, 0..1."""
    return cell["latency_ms"]["p50"], cell["accuracy"]


def markdown(record: Mapping[str, Any], plots: Mapping[int, str]) -> str:
    """Return a study's block.

    Args:
        record: of kind tradeoff.
        plots: number of threads -> name of the picture beside the page.
    """
    study = record["study"]
    front = {id(cell) for cells in fronts(record).values() for cell in cells}
    rows = [_row(cell, id(cell) in front) for cell in record["cells"]]
    parts = [f"## {study['name']}\n", _summary(record)]
    parts += [f"\n![Accuracy against latency, {counted(threads, 'thread')}]({name})" for threads, name in plots.items()]
    parts += ["", markdown_table(_HEADINGS, rows), f"\n{_MEANING}"]
    if record["failures"]:
        parts.append("\nFailed:\n")
        parts += [f"* {failure['step']}: {markdown_text(failure['reason'])}" for failure in record["failures"]]
    return "\n".join(parts) + "\n"


def _summary(record: Mapping[str, Any]) -> str:
    """Return the sentences before the table: schedule, data and machine."""
    study, setting = record["study"], record["latency"]
    samples = f" ({study['samples']:,} pictures)" if study["samples"] else ""
    pictures = sorted({cell["train_pictures"] for cell in record["cells"] if cell["train_pictures"]})
    trained = f", on {_range(pictures)} training pictures" if pictures else ""
    lines = [
        f"Schedule: **{study['schedule']}**{trained}. Accuracy on {study['dataset']} {study['part']}{samples}, "
        f"protocol {study['protocol']}."
    ]
    if setting is None:
        lines.append("Latency is not measured yet.")
        return " ".join(lines)
    machine, runtime = setting["machine"], setting["runtime"]
    lines.append(f"Latency on {machine_text(machine)}, {runtime['name']} {runtime['version']}.")
    if setting["baseline"]:
        lines.append(f"Baseline: {setting['baseline']['name']} {setting['baseline']['recipe']}.")
    unsteady = [cell for cell in record["cells"] if cell["stability"] not in (None, FINE)]
    if unsteady:
        names = ", ".join(f"{cell['name']}: {cell['stability']}" for cell in unsteady)
        lines.append(f"Not measured in peace ({names}).")
    return " ".join(lines)


def _row(cell: Mapping[str, Any], on_front: bool) -> tuple[str, ...]:
    interval, ratio = cell["accuracy_ci95"], cell["ratio"]
    accuracy = MISSING
    if cell["accuracy"] is not None:
        accuracy = share_text(cell["accuracy"], interval)
    speed = MISSING
    if ratio is not None:
        speed = f"{ratio['median']:.2f}× ({ratio['ci95'][0]:.2f} to {ratio['ci95'][1]:.2f})"
    return (
        cell["backbone"],
        f"{cell['size']} px",
        cell["recipe"],
        str(cell["threads"]),
        f"{cell['parameters'] / 1e6:.2f} M" if cell["parameters"] else MISSING,
        size_text(cell["size_bytes"]) if cell["size_bytes"] else MISSING,
        accuracy,
        f"{cell['macro_f1']:.4f}" if cell["macro_f1"] is not None else MISSING,
        f"{cell['latency_ms']['p50']:.3f}" if cell["latency_ms"] else MISSING,
        speed,
        str(cell["partitions"]) if cell["partitions"] is not None else MISSING,
        str(cell["epochs"]) if cell["epochs"] is not None else MISSING,
        "yes" if on_front else "",
    )


def _range(values: Sequence[int]) -> str:
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,} to {values[-1]:,}"

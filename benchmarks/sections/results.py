"""The results, the speed comparisons and the conversions, as tables: what the README shows too."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.measures import Conversion, Model, Ratio
from benchmarks.sections.parts import Grid, Line, Section
from benchmarks.table import HEADINGS, MISSING, Table, mark, size_text
from edge.wording import counted

NOTES = (
    "Accuracy: share of right answers, single view unless TTA is named (flip: mean over a face and its mirror image, "
    "two inferences), with its 95 % bootstrap interval. Drop: accuracy of the float32 file minus this file's on the "
    "same samples, with the paired 95 % interval (Tango's score) and McNemar's exact p; a plus means that this file is "
    "worse. Latency: one face through the network alone (no decoding, no detection), in milliseconds. Speed-up: "
    "median of time ratios to the float32 file over interleaved pairs, with its 95 % interval; the latency of such a "
    "row is that of the same pairs, and float32's that of its pairs with qat-int8. Latencies of rows measured in "
    "different sessions differ by what else the machine did: compare speed-ups. Noisy: so says the run's own verdict."
)
_PAIR_HEADINGS = ("Model", "Against", "Speed-up (95 %)", "p10 to p90", "Pairs", "Threads", "Runtime", "Machine")
_CONVERSION_HEADINGS = (
    "Model", "Recipe", "Size", "Operators", "Partitions", "Outside XNNPACK", "In float", "Agreement with the network",
)  # fmt: skip
CONVERSION_NOTE = (
    "Partitions: pieces into which XNNPACK cuts the graph; 1 is best. Outside XNNPACK: operators left to slower "
    "kernels. In float: operators that compute in it. Agreement: share of samples where the file gives the class of "
    "the network that it was exported from."
)


def grids(table: Table) -> tuple[Grid, ...]:
    """Return the results, the pairs and the conversions; what has no row is left out."""
    found = (
        Grid("Results", HEADINGS, tuple(Line(row.cells(), row.setting.machine) for row in table.rows)),
        Grid("Interleaved pairs", _PAIR_HEADINGS, tuple(_pair(ratio) for ratio in sorted(table.ratios, key=_order))),
        Grid("Conversions", _CONVERSION_HEADINGS, tuple(Line(_conversion(each)) for each in table.conversions)),
    )
    return tuple(grid for grid in found if grid.lines)


def sections(table: Table) -> list[Section]:
    """Return a section for each of the three tables that has rows."""
    notes = {"Results": NOTES, "Conversions": CONVERSION_NOTE, "Interleaved pairs": PAIR_NOTE}
    return [
        Section(grid.title.lower().replace(" ", "-"), grid.title, grids=(Grid("", grid.headings, grid.lines),),
                note=notes[grid.title])
        for grid in grids(table)
    ]  # fmt: skip


PAIR_NOTE = (
    "Both took turns on one machine; a ratio is the time of the second over that of the first within one round, p10 to "
    "p90 those of the rounds; below 1, the first is slower. "
    "Figures of two machines are never divided by each other."
)


def _order(ratio: Ratio) -> tuple[object, ...]:
    return ratio.setting, ratio.model, ratio.against


def _pair(ratio: Ratio) -> Line:
    return Line(
        (
            _participant(ratio.model, ratio.threads, ratio),
            _participant(ratio.against, ratio.against_threads, ratio),
            f"{ratio.median:.2f}× ({ratio.low:.2f} to {ratio.high:.2f}){mark(ratio.stability)}",
            f"{ratio.p10:.2f} to {ratio.p90:.2f}",
            str(ratio.pairs),
            str(ratio.threads) if ratio.threads == ratio.against_threads else MISSING,
            ratio.setting.runtime,
            ratio.setting.machine,
        ),
        ratio.setting.machine,
    )


def _participant(model: Model, threads: int, ratio: Ratio) -> str:
    """Return a model's name, with its threads where the two of a ratio differ in them."""
    differ = ratio.threads != ratio.against_threads
    return f"{model.name} {model.recipe}" + (f", {counted(threads, 'thread')}" if differ else "")


def _conversion(conversion: Conversion) -> tuple[str, ...]:
    return (
        conversion.name,
        conversion.recipe,
        size_text(conversion.size_bytes),
        str(sum(conversion.operators.values())),
        str(conversion.partitions),
        _counts_text(conversion.outside),
        _counts_text(conversion.floats) if conversion.floats != conversion.operators else "all",
        ", ".join(f"{100 * share:.2f} % on {part}" for part, share in conversion.agreement.items()) or MISSING,
    )


def _counts_text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"

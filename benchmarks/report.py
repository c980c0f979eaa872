"""The report's two forms: Markdown (also a block of the README) and one HTML file that needs nothing else.

Every figure comes from a `Table`, which comes from records.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.evidence import Conversion, Ratio
from benchmarks.table import HEADINGS, MISSING, Table, size_text
from edge.errors import DataError
from edge.files import write_atomically

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
PLOT_NAME = "accuracy-latency.svg"
NOTES = (
    "Accuracy: share of right answers, single view, with its 95 % bootstrap interval. Drop: accuracy of the float32 "
    "file minus this file's on the same samples, with the paired 95 % bootstrap interval and McNemar's exact p; a plus "
    "means that this file is worse. Latency: one face through the network alone (no decoding, no detection), in "
    "milliseconds. Speed-up: median of time ratios to the float32 file over interleaved pairs, with its 95 % interval."
)
_PAIR_HEADINGS = ("Model", "Against", "Times faster (95 %)", "p10 to p90", "Pairs", "Threads", "Runtime", "Machine")
_CONVERSION_HEADINGS = (
    "Model", "Recipe", "Size", "Operators", "Partitions", "Outside XNNPACK", "In float", "Agreement with the network",
)  # fmt: skip
_STYLE = """
:root { color-scheme: light dark; --ink: #1d232b; --paper: #fff; --line: #d9dee5; --soft: #f4f6f9; --quiet: #5b6672; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ee; --paper: #14181d; --line: #333b45; --soft: #1c2229; --quiet: #98a3b0; }
}
body { margin: 0 auto; max-width: 76rem; padding: 2rem 1.25rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
p, li { max-width: 75ch; }
.quiet { color: var(--quiet); font-size: .9rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { background: var(--soft); font-weight: 600; white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
td { white-space: nowrap; }
td:last-child { white-space: normal; min-width: 16rem; }
figure { margin: 0; }
svg { max-width: 100%; height: auto; }
code { overflow-wrap: anywhere; }
"""


def markdown(table: Table) -> str:
    """Return the results, the speed comparisons and the conversions as Markdown tables with their notes."""
    parts = [_markdown_table(headings, rows) for _, headings, rows in _tables(table)]
    parts.append(NOTES)
    return "\n\n".join(parts) + "\n"


def markdown_page(table: Table, has_plot: bool, sources: Sequence[Path]) -> str:
    """Return report.md: title, tables, a link to the plot beside it and the names of the records."""
    plot = f"![Accuracy against latency]({PLOT_NAME})\n\n" if has_plot else ""
    return f"# fer-edge: accuracy against latency\n\n{markdown(table)}\n{plot}{_sources_line(table, sources)}\n"


def html_page(table: Table, plot_svg: str | None, sources: Sequence[Path]) -> str:
    """Return report.html: the same tables with the plot inlined; no script, no file and no address outside it."""
    figure = plot_svg or "<p>No model has both an accuracy and a latency record from one machine.</p>"
    tables = "\n".join(
        f"<h2>{html.escape(title)}</h2>\n{_html_table(headings, rows)}" for title, headings, rows in _tables(table)
    )
    sources_line = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(_sources_line(table, sources)))
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>fer-edge: accuracy against latency</title>
<style>{_STYLE}</style>
<h1>Accuracy against latency</h1>
<p class="quiet">{sources_line}</p>
<figure>{figure}</figure>
{tables}
<p class="quiet">{html.escape(NOTES)}</p>
</html>
"""


def with_block(readme: str, block: str, name: str = "README.md", begin: str = BEGIN, end: str = END) -> str:
    """Return the text of a README with `block` between the two markers.

    Args:
        readme: the README's text; holds each marker once, begin before end.
        block: Markdown to put between the markers.
        name: the README's name, for the error.
        begin: the marker before the block.
        end: the marker after it.

    Raises:
        DataError: the markers are not there once each and in order.
    """
    if readme.count(begin) != 1 or readme.count(end) != 1 or readme.index(begin) > readme.index(end):
        raise DataError(
            f"{name}: expected the markers {begin} and {end} once each and in this order; "
            f"got {readme.count(begin)} and {readme.count(end)}; put them where the table belongs"
        )
    before, rest = readme.split(begin)
    after = rest.split(end)[1]
    return f"{before}{begin}\n{block}{end}{after}"


def settle_page(page: Path, text: str, wanted: str, check: bool, command: str) -> bool:
    """Write a page whose blocks were made anew, or only check that they are in it; return whether it was written.

    Args:
        page: the file.
        text: what it holds.
        wanted: what it should hold.
        check: change nothing.
        command: what writes it, for the error.

    Raises:
        DataError: with `check`, it holds other figures.
        OutputError: it cannot be written.
    """
    if not check:
        write_atomically(page, wanted)
    elif wanted != text:
        raise DataError(
            f"{page}: expected the figures of the records between its markers; got others; run `{command} {page}`"
        )
    return not check


def _tables(table: Table) -> list[tuple[str, Sequence[str], list[tuple[str, ...]]]]:
    """Return title, headings and rows of each table that has rows."""
    tables: list[tuple[str, Sequence[str], list[tuple[str, ...]]]] = [
        ("Results", HEADINGS, [row.cells() for row in table.rows]),
        ("Interleaved pairs", _PAIR_HEADINGS, _pair_rows(table.ratios)),
        ("Conversions", _CONVERSION_HEADINGS, _conversion_rows(table.conversions)),
    ]
    return [(title, headings, rows) for title, headings, rows in tables if rows]


def _conversion_rows(conversions: Sequence[Conversion]) -> list[tuple[str, ...]]:
    return [
        (
            conversion.name,
            conversion.recipe,
            size_text(conversion.size_bytes),
            str(sum(conversion.operators.values())),
            str(conversion.partitions),
            _counts_text(conversion.outside),
            _counts_text(conversion.floats) if conversion.floats != conversion.operators else "all",
            ", ".join(f"{100 * share:.2f} % on {part}" for part, share in conversion.agreement.items()) or MISSING,
        )
        for conversion in conversions
    ]


def _counts_text(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"


def _pair_rows(ratios: Sequence[Ratio]) -> list[tuple[str, ...]]:
    return [
        (
            f"{ratio.model.name} {ratio.model.recipe}",
            f"{ratio.against.name} {ratio.against.recipe}",
            f"{ratio.median:.2f}× ({ratio.low:.2f} to {ratio.high:.2f})",
            f"{ratio.p10:.2f} to {ratio.p90:.2f}",
            str(ratio.pairs),
            str(ratio.threads),
            ratio.setting.runtime,
            ratio.setting.machine,
        )
        for ratio in sorted(ratios, key=lambda ratio: (ratio.setting, ratio.model, ratio.against))
    ]


def _sources_line(table: Table, sources: Sequence[Path]) -> str:
    """Return the sentence that names the records, and those that newer ones replaced."""
    text = f"Made by `python -m benchmarks report` from {', '.join(path.name for path in sources)}."
    if table.replaced:
        text += f" Left out for newer records: {', '.join(path.name for path in table.replaced)}."
    return text


def _markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(_markdown_cell(cell) for cell in line)} |" for line in lines)


def _markdown_cell(text: str) -> str:
    """Return a cell that neither ends its column nor begins an HTML tag or the README's end marker."""
    return text.replace("|", "/").replace("&", "&amp;").replace("<", "&lt;")


def _html_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(heading)}</th>" for heading in headings)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>'

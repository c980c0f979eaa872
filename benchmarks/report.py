"""The report's two forms: Markdown (its tables also a block of the README) and one HTML file that needs nothing else.

Every figure comes from records. Figures of two machines stand side by side, each row with its machine, and are never
put into one ratio.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.markdown import markdown_table, markdown_text
from benchmarks.measures import Evidence, Other
from benchmarks.sections import classes, distribution, facts, front, reliability, results, sizes, stages
from benchmarks.sections.parts import Plot, Section
from benchmarks.table import Table, said_once
from edge.errors import DataError
from edge.files import write_atomically

BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"
TITLE = "fer-edge: accuracy against latency"
PLOT_FOLDER = "plots"


@dataclass(frozen=True)
class Report:
    """Everything that both forms show.

    Attributes:
        doubts: a sentence for each run that was noisy or throttled.
        sources: the records that were read; `others` those that belong to other commands.
    """

    table: Table
    sections: tuple[Section, ...]
    doubts: tuple[str, ...]
    sources: tuple[Path, ...]
    others: tuple[Other, ...]

    @property
    def plots(self) -> list[Plot]:
        """Return the pictures of all sections, in order."""
        return [plot for section in self.sections for plot in section.plots]


def compose(evidence: Evidence, table: Table, sources: Sequence[Path]) -> Report:
    """Return the report of a table and of the evidence that it was built from."""
    found = [
        front.section(table),
        *results.sections(table)[:1],
        classes.section(table),
        distribution.section(table),
        stages.section(table),
        reliability.section(table),
        sizes.section(table),
        *results.sections(table)[1:],
        facts.section(evidence.facts),
    ]
    return Report(
        table=table,
        sections=tuple(section for section in found if section is not None),
        doubts=tuple(facts.doubts(each for each in evidence.facts if each.path not in table.replaced)),
        sources=tuple(sources),
        others=evidence.others,
    )


def markdown(table: Table) -> str:
    """Return the results, the speed comparisons and the conversions as Markdown tables with their notes."""
    notes = {"Interleaved pairs": results.PAIR_NOTE, "Conversions": results.CONVERSION_NOTE}
    parts: list[str] = []
    for grid in results.grids(table):
        common, headings, rows = said_once(grid.headings, [line.cells for line in grid.lines])
        parts += [f"{markdown_text('. '.join(common))}."] if common else []
        parts.append(markdown_table(headings, rows))
        parts.append(notes.get(grid.title, results.NOTES))
    return "\n\n".join(parts) + "\n"


def markdown_page(report: Report) -> str:
    """Return report.md: the sections with their tables, links to the plots beside it, and the names of the records."""
    parts = [f"# {TITLE}", *(markdown_text(f"**Doubtful:** {doubt}") for doubt in report.doubts)]
    for section in report.sections:
        parts.append(f"## {section.title}")
        parts += [markdown_text(text) for text in section.text]
        parts += [f"![{_alternative(plot)}]({PLOT_FOLDER}/{plot.name}.svg)" for plot in section.plots]
        for grid in section.grids:
            parts += [f"### {markdown_text(grid.title)}"] if grid.title else []
            parts.append(markdown_table(grid.headings, [line.cells for line in grid.lines]))
        parts += [section.note] if section.note else []
    parts.append(sources_text(report))
    return "\n\n".join(parts) + "\n"


def sources_text(report: Report) -> str:
    """Return the sentences that name the records, those that newer ones replaced, and those of other commands."""
    text = f"Made by `python -m benchmarks report` from {', '.join(path.name for path in report.sources)}."
    if report.table.replaced:
        text += f" Left out for newer records: {', '.join(path.name for path in report.table.replaced)}."
    for command in dict.fromkeys(other.command for other in report.others):
        names = [other.path.name for other in report.others if other.command == command]
        text += f" Left to `{command}`: {', '.join(names)}."
    return text


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


def _alternative(plot: Plot) -> str:
    return markdown_text(f"{plot.title}: {plot.note}").replace("]", "\\]")

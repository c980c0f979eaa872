"""One runtime beside another: the instructions of the same files, from records with ``others``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.arm.boards import BOARDS
from benchmarks.arm.record import Counted, Instructions
from benchmarks.markdown import markdown_table

MEANING = (
    "Times: instructions over those of the same file with the runtime named first. Outside XNNPACK: operators that the "
    "runtime's own kernels run."
)
_MISSING = "–"


def said(record: Instructions) -> list[str]:
    """Return a line for each file, board and further runtime of a record."""
    return [
        f"{entry.file} on a {BOARDS[entry.board].title}'s core: {entry.runtime} {entry.instructions_million:.2f} M, "
        f"{entry.times:.2f} times the {before.instructions_million:.2f} M of {before.runtime}; "
        f"outside XNNPACK: {outside(entry)}; {outside(before)}"
        for before, entry in _pairs(record)
    ]


def markdown(records: Sequence[Instructions]) -> str:
    """Return a table of the records with further runtimes: a row for each file and runtime, boards side by side."""
    rows: dict[tuple[str, str, str], dict[str, Counted]] = {}
    for record in records:
        for entry in (*record.counted, *record.others) if record.others else ():
            rows.setdefault((entry.name, entry.sha256, entry.runtime), {})[entry.board] = entry
    boards = [board for board in BOARDS if any(board in found for found in rows.values())]
    heads = ["Model", "Recipe", "Runtime", "Outside XNNPACK"]
    for board in boards:
        heads += [f"{board.replace('pi', 'Pi ')}, M", "times"]
    cells = [_row(rows[key], boards) for key in sorted(rows, key=lambda key: key[:2])]
    return f"{markdown_table(heads, cells)}\n\n{MEANING}\n"


def outside(entry: Counted) -> str:
    """Return how many operators XNNPACK does not run, of how many; a dash where the record does not tell."""
    if entry.xnnpack is None:
        return _MISSING
    return f"{sum(entry.xnnpack['outside'].values())} of {entry.xnnpack['operators']}"


def _row(by_board: dict[str, Counted], boards: Sequence[str]) -> list[str]:
    some = next(iter(by_board.values()))
    row = [some.name, some.recipe or _MISSING, some.runtime, outside(some)]
    for board in boards:
        entry = by_board.get(board)
        row += [_MISSING, _MISSING] if entry is None else [f"{entry.instructions_million:.2f}", f"{entry.times:.2f}"]
    return row


def _pairs(record: Instructions) -> Iterator[tuple[Counted, Counted]]:
    """Yield each further entry after that of the same file and board with the first runtime."""
    first = {(entry.sha256, entry.board): entry for entry in record.counted}
    for entry in record.others:
        yield first[entry.sha256, entry.board], entry

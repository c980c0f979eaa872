"""The machines side by side, and the conditions of every run: clock, heat, throttling, load, verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from benchmarks.machines import Facts
from benchmarks.sections.parts import Grid, Line, Section
from benchmarks.table import MISSING
from edge.benchmarking.stability import FINE

_HEADINGS = (
    "Machine", "Board", "CPU", "Cores", "Instruction sets", "Memory", "System", "Kernel", "Python", "Runtime",
    "Governor", "Clock MHz", "Before °C", "After °C", "Throttled", "Verdicts", "Records",
)  # fmt: skip
_RUN_HEADINGS = (
    "Record", "Kind", "Date", "Verdict", "Why", "Governor", "Clock MHz", "Before °C", "After °C", "Throttled", "Load",
    "Machine",
)  # fmt: skip
NOTE = (
    "A dash: no record of the machine says. Clock: of the fastest core after the run; temperatures: of the processor, "
    "before and after; load: of the minute before. Where records of one machine differ, the range or all values are "
    "given. A figure belongs to the machine in its row and to no other."
)


def section(facts: Sequence[Facts]) -> Section | None:
    """Return the section; None without records of a machine."""
    if not facts:
        return None
    groups: dict[object, list[Facts]] = {}
    for each in sorted(facts, key=lambda each: (each.setting, each.path.name)):
        groups.setdefault(each.setting, []).append(each)
    machines = Grid("", _HEADINGS, tuple(_machine(group) for group in groups.values()))
    runs = Grid("Each run", _RUN_HEADINGS, tuple(_run(each) for group in groups.values() for each in group))
    return Section("machines", "Machines", grids=(machines, runs), note=NOTE)


def doubts(facts: Iterable[Facts]) -> list[str]:
    """Return a sentence for each record that was noisy or throttled."""
    found = [each for each in facts if each.stability and each.stability.verdict != FINE]
    return [
        f"{each.path.name} ({each.setting.machine}) was {each.stability.verdict}: "
        f"{'; '.join(each.stability.reasons) or 'no reason given'}."
        for each in found
        if each.stability
    ]


def _machine(group: Sequence[Facts]) -> Line:
    first = group[0]
    heat_before = [each.temperature_before_c for each in group]
    heat_after = [each.temperature_after_c for each in group]
    cells = (
        first.model,
        _texts(group, lambda each: each.board),
        _texts(group, lambda each: each.cpu),
        f"{first.cores}, {first.arch}",
        _texts(group, _features),
        _range([each.memory_mb for each in group], ".0f", " MB"),
        first.system,
        _texts(group, lambda each: each.kernel),
        first.python,
        first.setting.runtime,
        _texts(group, lambda each: each.governor),
        _range([each.clock_mhz for each in group], ".0f"),
        _range(heat_before, ".1f"),
        _range(heat_after, ".1f"),
        _texts(group, _throttled),
        _verdicts(group),
        str(len(group)),
    )
    return Line(cells, first.setting.machine)


def _run(facts: Facts) -> Line:
    cells = (
        facts.path.name,
        facts.kind,
        facts.created[:10],
        facts.stability.verdict if facts.stability else MISSING,
        "; ".join(facts.stability.reasons) or MISSING if facts.stability else MISSING,
        facts.governor or MISSING,
        _range([facts.clock_mhz], ".0f"),
        _range([facts.temperature_before_c], ".1f"),
        _range([facts.temperature_after_c], ".1f"),
        _throttled(facts) or MISSING,
        _range([facts.load_1m], ".2f"),
        facts.setting.machine,
    )
    return Line(cells, facts.setting.machine)


def _features(facts: Facts) -> str | None:
    return None if facts.features is None else ", ".join(facts.features) or "none of those looked for"


def _throttled(facts: Facts) -> str | None:
    """Return what the firmware said during the run; what it said earlier since the last start is named as such."""
    if facts.throttled is None:
        return None
    earlier = [f"{each} (since the last start)" for each in facts.since_boot if each not in facts.throttled]
    return ", ".join((*facts.throttled, *earlier)) or "no"


def _verdicts(group: Sequence[Facts]) -> str:
    said = [each.stability.verdict for each in group if each.stability]
    return ", ".join(f"{said.count(verdict)} {verdict}" for verdict in dict.fromkeys(sorted(said))) or MISSING


def _texts(group: Sequence[Facts], take: Callable[[Facts], str | None]) -> str:
    return "; ".join(dict.fromkeys(text for each in group if (text := take(each)))) or MISSING


def _range(values: Sequence[float | None], form: str, unit: str = "") -> str:
    known = [format(value, form) for value in values if value is not None]
    if not known:
        return MISSING
    low, high = min(known, key=float), max(known, key=float)
    return (low if low == high else f"{low} to {high}") + unit

"""Rows of the results table: one model on one machine, runtime, thread count and part of a data set.

A row joins an accuracy record and a latency record by the sha256 of the model file and by where they were measured.
Figures of two machines or two runtimes are never joined; what was not measured there stays empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.evidence import Accuracy, Conversion, Data, Evidence, Latency, Model, Pipeline, Ratio, Setting
from benchmarks.machines import Stability
from benchmarks.paired import Drop, compare
from edge.errors import DataError

FLOAT = "float32"
SHIPPED = "qat-int8"
"""The recipe of the files that ship."""
MISSING = "–"
HEADINGS = (
    "Model", "Recipe", "Size", "Data", "Accuracy (95 %)", "Macro-F1", "Drop against float, points (95 %)",
    "p50 / p90 / p99 ms", "Speed-up (95 %)", "Threads", "Runtime", "Machine",
)  # fmt: skip

SAID_ONCE = ("Data", "Threads", "Runtime", "Machine")
"""Columns that become a line above their table when every row has the same."""

_Record = TypeVar("_Record", Latency, Ratio, Accuracy, Pipeline)


@dataclass(frozen=True)
class Row:
    """One line of the table; None where nothing was measured in this setting.

    Attributes:
        drop: against the float32 file of the same model, on the same samples and in the same setting.
        speedup: against the float32 file of the same model, from interleaved pairs.
    """

    model: Model
    setting: Setting
    threads: int | None
    accuracy: Accuracy | None
    latency: Latency | None
    drop: Drop | None
    speedup: Ratio | None

    def cells(self) -> tuple[str, ...]:
        """Return the texts under HEADINGS."""
        found, time, drop, ratio = self.accuracy, self.latency, self.drop, self.speedup
        return (
            self.model.name,
            self.model.recipe,
            size_text(self.model.size_bytes),
            data_text(found.data) if found else MISSING,
            share_text(found.accuracy, (found.low, found.high)) if found else MISSING,
            f"{found.macro_f1:.4f}" if found else MISSING,
            drop_text(drop) if drop else MISSING,
            f"{time.p50:.2f} / {time.p90:.2f} / {time.p99:.2f}{mark(time.stability)}" if time else MISSING,
            f"{ratio.median:.2f}× ({ratio.low:.2f} to {ratio.high:.2f}){mark(ratio.stability)}" if ratio else MISSING,
            str(self.threads) if self.threads else MISSING,
            self.setting.runtime,
            self.setting.machine,
        )


@dataclass(frozen=True)
class Table:
    """The rows in reading order, speed comparisons, conversions, pipelines, and records that newer ones replaced."""

    rows: tuple[Row, ...]
    ratios: tuple[Ratio, ...]
    conversions: tuple[Conversion, ...]
    replaced: tuple[Path, ...]
    pipelines: tuple[Pipeline, ...] = ()


def build(evidence: Evidence) -> Table:
    """Return the table of what was read.

    Of several records of the same model, setting and data, the newest counts: samples are never pooled. A latency
    record about a model counts before one in which it was the other half of a pair; before both, that of the pairs
    which give its speed-up, so that a row's latency and speed-up are of one session (see :func:`_of_its_pairs`). Two
    models in turns are one comparison, whichever of them the record is about.

    Raises:
        DataError: two different float32 files claim to be the reference of one model.
    """
    accuracies = _newest(evidence.accuracies, lambda a: (a.model.sha256, a.setting, a.data), lambda a: a.created)
    latencies = _newest(
        evidence.latencies, lambda t: (t.model.sha256, t.setting, t.threads), lambda t: (t.own, t.created)
    )
    ratios = _newest(
        evidence.ratios,
        lambda r: (frozenset({(r.model.sha256, r.threads), (r.against.sha256, r.against_threads)}), r.setting),
        lambda r: r.created,
    )
    latencies = [_of_its_pairs(latency, evidence.latencies, ratios) for latency in latencies]
    pipelines = _newest(
        evidence.pipelines,
        lambda p: (
            p.model.sha256, p.setting, p.threads, p.frame, p.detector, p.detect_every, p.infer_every, p.live_fps,
        ),
        lambda p: p.created,
    )
    rows = [
        Row(
            model=source.model,
            setting=source.setting,
            threads=latency.threads if latency else None,
            accuracy=accuracy,
            latency=latency,
            drop=_drop(accuracy, accuracies) if accuracy else None,
            speedup=_speedup(latency, ratios) if latency else None,
        )
        for source, accuracy, latency in _join(accuracies, latencies)
    ]
    kept = {record.path for records in (accuracies, latencies, ratios, pipelines) for record in records}
    return Table(
        rows=tuple(sorted(rows, key=_reading_order)),
        ratios=tuple(ratios),
        conversions=tuple(sorted(evidence.conversions, key=lambda c: (c.name, c.recipe != FLOAT, c.recipe))),
        replaced=tuple(sorted({facts.path for facts in evidence.facts} - kept)),
        pipelines=tuple(
            sorted(pipelines, key=lambda p: (p.setting, p.model, p.detector, p.detect_every, p.live_fps or 0))
        ),
    )


def said_once(
    headings: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[str], list[tuple[str, ...]]]:
    """Return what all rows of a table have in common, as "heading: text", then the headings and cells without that."""
    columns = list(zip(*rows, strict=True))
    common = [place for place, name in enumerate(headings) if name in SAID_ONCE and len(set(columns[place])) == 1]
    kept = [place for place in range(len(headings)) if place not in common]
    return (
        [f"{headings[place]}: {columns[place][0]}" for place in common],
        [headings[place] for place in kept],
        [tuple(row[place] for place in kept) for row in rows],
    )


def mark(stability: Stability | None) -> str:
    """Return what stands beside a figure of a run that was noisy or throttled; nothing beside any other."""
    return stability.mark if stability else ""


def size_text(size_bytes: int) -> str:
    """Return a file size in kB or MB (powers of ten)."""
    return f"{size_bytes / 1e6:.2f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:.0f} kB"


def share_text(share: float, interval: Sequence[float]) -> str:
    """Return a share of 0..1 in percent with the two ends of its interval."""
    low, high = interval
    return f"{100 * share:.2f} % ({100 * low:.1f} to {100 * high:.1f})"


def data_text(data: Data) -> str:
    """Return a data set's name, part and number of samples, how each was looked at if not once, and what was seen."""
    views = "" if data.tta == "none" else f", TTA {data.tta}"
    seen = {"none": "", "some": ", some trained on", "all": ", trained on"}[data.seen]
    return f"{data.name} {data.part} ({data.samples:,}{views}{seen})"


def drop_text(drop: Drop) -> str:
    """Return a drop with its interval and McNemar's p; a plus means that the model is worse than float."""
    return f"{signed(drop.points)} ({signed(drop.low)} to {signed(drop.high)}), p = {drop.p_value:.2g}"


def signed(points: float) -> str:
    """Return points with two decimals and their sign, a true minus."""
    return f"{points:+.2f}".replace("-", "−")


def _newest(records: Iterable[_Record], key: Callable[[_Record], Any], rank: Callable[[_Record], Any]) -> list[_Record]:
    """Return of each group of records with the same key the one that ranks highest."""
    best: dict[Any, _Record] = {}
    for record in sorted(records, key=rank):
        best[key(record)] = record
    return list(best.values())


def _join(
    accuracies: Sequence[Accuracy], latencies: Sequence[Latency]
) -> Iterator[tuple[Accuracy | Latency, Accuracy | None, Latency | None]]:
    """Yield each accuracy with each latency of the same model file and setting, then what found no partner.

    The first item of the three is whichever of the two is there: it names the row's model and setting. An accuracy
    with test-time augmentation finds no partner: a latency is one inference's.
    """
    by_model: dict[tuple[str, Setting], list[Latency]] = defaultdict(list)
    for latency in latencies:
        by_model[latency.model.sha256, latency.setting].append(latency)
    for accuracy in accuracies:
        single = accuracy.data.tta == "none"
        partners: list[Latency] = by_model.get((accuracy.model.sha256, accuracy.setting), []) if single else []
        yield from ((accuracy, accuracy, latency) for latency in partners)
        if not partners:
            yield accuracy, accuracy, None
    scored = {(each.model.sha256, each.setting) for each in accuracies if each.data.tta == "none"}
    for key, unscored in by_model.items():
        if key not in scored:
            yield from ((latency, None, latency) for latency in unscored)


def float_of(accuracy: Accuracy, accuracies: Iterable[Accuracy]) -> Accuracy | None:
    """Return the float32 record of the same model, setting and data; None if there is none.

    Raises:
        DataError: two different float32 files claim to be it.
    """
    if accuracy.model.recipe == FLOAT:
        return None
    references = [
        other
        for other in accuracies
        if is_float_of(other.model, accuracy.model) and (other.setting, other.data) == (accuracy.setting, accuracy.data)
    ]
    if len(references) > 1:
        raise DataError(
            f"{accuracy.path}: expected one {FLOAT} record of {accuracy.model.name}; got "
            f"{' and '.join(str(other.path) for other in references)}; name the records of one training run"
        )
    return references[0] if references else None


def _drop(accuracy: Accuracy, accuracies: Sequence[Accuracy]) -> Drop | None:
    reference = float_of(accuracy, accuracies)
    return compare(reference, accuracy) if reference else None


def _speedup(latency: Latency, ratios: Sequence[Ratio]) -> Ratio | None:
    """Return the comparison of this model with its own float32 file in the same setting; None if there is none."""
    found = [pair for pair in _with_float(latency, ratios) if pair.model.sha256 == latency.model.sha256]
    return max(found, key=lambda ratio: ratio.created) if found else None


def _of_its_pairs(latency: Latency, latencies: Iterable[Latency], ratios: Sequence[Ratio]) -> Latency:
    """Return a model's latency from the record of its pairs with float32, or as it is where there are none.

    Of a float32 file without a record of its own, it is that of the pairs with the recipe that ships, before others.
    """
    ratio = _speedup(latency, ratios)
    if ratio is None and not latency.own:
        pairs = [pair for pair in _with_float(latency, ratios) if pair.against.sha256 == latency.model.sha256]
        ratio = max(pairs, key=lambda pair: (pair.model.recipe == SHIPPED, pair.created), default=None)
    if ratio is None:
        return latency
    key = (ratio.path, latency.model.sha256, latency.threads)
    return next((each for each in latencies if (each.path, each.model.sha256, each.threads) == key), latency)


def _with_float(latency: Latency, ratios: Iterable[Ratio]) -> list[Ratio]:
    """Return the comparisons of files with their own float32 ones in a latency's setting, float32 as the other one.

    A record about the float32 file holds the ratio the other way round.
    """
    wanted = (latency.setting, latency.threads, latency.threads)
    return [
        ratio
        for each in ratios
        for ratio in (each, turned_round(each))
        if is_float_of(ratio.against, ratio.model) and (ratio.setting, ratio.threads, ratio.against_threads) == wanted
    ]


def turned_round(ratio: Ratio) -> Ratio:
    """Return the same pairs with their ratios inverted: order statistics, so that their inverses change places."""
    return replace(
        ratio,
        model=ratio.against,
        against=ratio.model,
        threads=ratio.against_threads,
        against_threads=ratio.threads,
        median=1 / ratio.median,
        p10=1 / ratio.p90,
        p90=1 / ratio.p10,
        low=1 / ratio.high,
        high=1 / ratio.low,
    )


def is_float_of(candidate: Model, model: Model) -> bool:
    """Return whether a file is the float32 one of the network that another file was made from."""
    same = (candidate.name, candidate.backbone, candidate.input) == (model.name, model.backbone, model.input)
    return same and candidate.recipe == FLOAT and candidate.sha256 != model.sha256


def _reading_order(row: Row) -> tuple[Any, ...]:
    """Return the sort key: machine by machine, data by data, model by model, float first, then by size."""
    data = data_text(row.accuracy.data) if row.accuracy else "~"
    return (
        row.setting, data, row.model.name, row.model.recipe != FLOAT, -row.model.size_bytes, row.model.sha256,
        row.threads or 0,
    )  # fmt: skip

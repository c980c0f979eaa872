"""Records and conversion reports as frozen values, checked once when they are read.

`fer-edge benchmark ... --record` writes latency and accuracy records, `python -m convert` the conversion reports; both
are told apart by their content, never by their file names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from benchmarks.fields import Fields
from benchmarks.machines import Facts, Setting, facts_of, setting_of, stability_of
from benchmarks.measures import (
    Accuracy,
    Bins,
    Conversion,
    Data,
    Evidence,
    Latency,
    Model,
    Other,
    Pipeline,
    Ratio,
    Score,
    Stage,
)
from edge.benchmarking import statistics
from edge.benchmarking.benchmark import PREDICTION_DIGITS
from edge.benchmarking.records import read_record
from edge.errors import DataError
from edge.files import parse_json, read_json

__all__ = [
    "ELSEWHERE",
    "Accuracy",
    "Bins",
    "Conversion",
    "Data",
    "Evidence",
    "Latency",
    "Model",
    "Other",
    "Pipeline",
    "Ratio",
    "Score",
    "Setting",
    "Stage",
    "read_evidence",
    "record_files",
]
ELSEWHERE: Mapping[str, str] = {
    "startup": "python -m benchmarks runtime",
    "soak": "python -m benchmarks runtime",
    "footprint": "python -m benchmarks runtime",
    "faces": "python -m benchmarks runtime",
    "fuzz": "python -m benchmarks runtime",
    "detectors": "python -m benchmarks runtime",
    "alignment": "python -m benchmarks runtime",
    "peers": "python -m benchmarks costs",
    "instructions": "python -m benchmarks costs",
    "tradeoff": "python -m benchmarks pareto",
    "robustness": "python -m benchmarks distorted",
    "evaluation": "python -m benchmarks runs",
    "throughput": "python -m train throughput",
}
"""Kinds of record that this report leaves out, and the command that shows (or, the last one, prints) them."""
ROUNDING = 1e-3
"""Share by which a median may differ from that of its samples, which are written with six decimals."""


def record_files(paths: Iterable[Path]) -> list[Path]:
    """Return the JSON files among `paths`, folders replaced by the *.json directly in them, sorted, each once.

    Raises:
        DataError: a path does not exist, or a folder holds no JSON file.
    """
    files: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found = sorted(path.glob("*.json"))
            if not found:
                raise DataError(f"{path}: expected records (*.json); the folder holds none; name another folder")
            files.update(dict.fromkeys(found))
        elif path.is_file():
            files[path] = None
        else:
            raise DataError(f"{path}: expected a record or a folder of records; no such file; check the path")
    return list(files)


def read_evidence(paths: Iterable[Path]) -> Evidence:
    """Return what the records and conversion reports in files and folders say.

    Raises:
        DataError: a path is missing, a file is no record of schema 1, or one of its fields has the wrong type or
            disagrees with another.
    """
    latencies: list[Latency] = []
    ratios: list[Ratio] = []
    accuracies: list[Accuracy] = []
    conversions: list[Conversion] = []
    pipelines: list[Pipeline] = []
    facts: list[Facts] = []
    others: list[Other] = []
    for path in record_files(paths):
        kind = _foreign_kind(path)
        if kind == "conversion":
            conversions.append(_conversion(_conversion_report(path)))
            continue
        if kind is not None:
            others.append(Other(path, kind, ELSEWHERE[kind]))
            continue
        record = Fields(path, "", read_record(path))
        facts.append(facts_of(record))
        if record.text("kind") == "accuracy":
            accuracies.append(_accuracy(record))
        elif record.text("kind") == "pipeline":
            pipelines.append(_pipeline(record))
        else:
            latencies.append(_latency(record, record))
            for other, ratio in _others(record):
                latencies.append(_latency(record, other))
                ratios.append(_ratio(record, other, ratio))
    return Evidence(
        tuple(latencies), tuple(ratios), tuple(accuracies), tuple(conversions), tuple(pipelines), tuple(facts),
        tuple(others),
    )  # fmt: skip


def _model(block: Fields) -> Model:
    sha256 = block.text("sha256")
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise block.fail("sha256", "64 hexadecimal digits")
    return Model(
        name=block.text("name"),
        recipe=block.text("recipe"),
        backbone=block.text("backbone"),
        sha256=sha256,
        size_bytes=block.whole("size_bytes"),
        input=tuple(int(size) for size in block.numbers("input", 3)),
    )


def _others(record: Fields) -> list[tuple[Fields, Fields]]:
    """Return the models that took turns with the record's own, each with what holds its ratio and threads."""
    if "against" in record.values:
        return [(record.block("against"), record)]
    return [(other, other) for other in record.blocks("others")]


def _latency(record: Fields, source: Fields) -> Latency:
    """Return the latency in `source`: the record itself, or a model that took turns with its own."""
    times = source.block("latency_ms")
    p50, p90, p99 = times.number("p50"), times.number("p90"), times.number("p99")
    if not 0 < p50 <= p90 <= p99:
        raise source.fail("latency_ms", "0 < p50 <= p90 <= p99")
    runs, samples = record.whole("runs"), source.positive("samples_ms")
    if len(samples) == runs and abs(float(np.median(samples)) - p50) > ROUNDING * p50:
        raise source.fail("samples_ms", f"samples whose median is the p50 {p50:g}")
    return Latency(
        path=record.path,
        created=record.text("created"),
        model=_model(source.block("model") if source is record else source),
        setting=setting_of(record),
        threads=(source if "threads" in source.values else record).whole("threads"),
        runs=runs,
        p50=p50,
        p90=p90,
        p99=p99,
        maximum=times.number("max", low=p99),
        mad=times.maybe_number("mad"),
        own=source is record,
        samples=samples,
        first_ms=source.maybe_number("first_inference_ms"),
        load_ms=source.maybe_number("load_ms"),
        peak_rss_mb=source.maybe_number("peak_rss_mb"),
        partitions=partitions.whole("partitions", low=0) if (partitions := source.maybe_block("xnnpack")) else None,
        stability=stability_of(record),
    )


def _ratio(record: Fields, other: Fields, source: Fields) -> Ratio:
    """Return the ratio in `source` of the record's own model to `other`."""
    ratio = source.block("ratio")
    own_threads = record.whole("threads") if source is record else source.whole("own_threads")
    median = ratio.number("median")
    low, high = ratio.numbers("ci95", 2)
    if not 0 < low <= median <= high:
        raise ratio.fail("ci95", f"an interval around the median {median:g}")
    p10, p90 = ratio.number("p10"), ratio.number("p90")
    if not 0 < p10 <= median <= p90:
        raise ratio.fail("p10", f"0 < p10 <= the median {median:g} <= p90")
    pairs, rounds = record.whole("pairs" if source is record else "runs"), source.positive("ratios")
    if rounds and len(rounds) != pairs:
        raise source.fail("ratios", f"one a round, {pairs}")
    for name, share in (("p10", 10), ("median", 50), ("p90", 90)) if rounds else ():
        own = float(np.percentile(rounds, share))
        if abs(own - ratio.number(name)) > ROUNDING * own:
            raise ratio.fail(name, f"{own:g} as in `ratios`")
    return Ratio(
        path=record.path,
        created=record.text("created"),
        model=_model(record.block("model")),
        against=_model(other),
        setting=setting_of(record),
        threads=own_threads,
        against_threads=own_threads if source is record else source.whole("threads"),
        pairs=pairs,
        median=median,
        p10=p10,
        p90=p90,
        low=low,
        high=high,
        stability=stability_of(record),
    )


def _accuracy(record: Fields) -> Accuracy:
    data = record.block("data")
    samples = data.whole("samples")
    correct, predictions = record.text("correct"), record.text("predictions")
    if len(correct) != samples or set(correct) - set("01"):
        raise record.fail("correct", f"{samples} characters 0 or 1, one a sample")
    if len(predictions) != samples:
        raise record.fail("predictions", f"{samples} characters, one a sample")
    share = record.number("accuracy", high=1.0)
    if abs(share - correct.count("1") / samples) > 1e-6:
        raise record.fail("accuracy", f"{correct.count('1')} / {samples} as in `correct`")
    low, high = record.numbers("accuracy_ci95", 2)
    if not 0 <= low <= share <= high <= 1:
        raise record.fail("accuracy_ci95", f"an interval around the accuracy {share:g}")
    labels = record.texts("labels") if "labels" in record.values else ()
    tta = record.text("tta") if "tta" in record.values else "none"
    seen = data.text("seen") if "seen" in data.values else "none"
    truth = _truth(record, samples)
    if truth and labels:
        _check_scores(record, truth, predictions, len(labels))
    calibration = record.maybe_block("calibration")
    return Accuracy(
        path=record.path,
        created=record.text("created"),
        model=_model(record.block("model")),
        setting=setting_of(record),
        data=Data(data.text("name"), data.text("part"), samples, data.text("fingerprint"), tta, seen),
        accuracy=share,
        low=low,
        high=high,
        macro_f1=record.number("macro_f1", high=1.0),
        weighted_f1=record.number("weighted_f1", high=1.0),
        correct=tuple(character == "1" for character in correct),
        predictions=predictions,
        labels=labels,
        truth=truth,
        per_class=_per_class(record.block("per_class")),
        ece=calibration.number("ece", high=1.0) if calibration else None,
        ece_interval=calibration.maybe_interval("ece_ci95") if calibration else None,
        nll=calibration.number("nll") if calibration else None,
        nll_interval=calibration.maybe_interval("nll_ci95") if calibration else None,
        bins=_bins(calibration.block("bins")) if calibration else None,
        content_sha256=data.maybe_text("content_sha256") or "",
    )


def _truth(record: Fields, samples: int) -> str:
    truth = record.maybe_text("truth") or ""
    if truth and len(truth) != samples:
        raise record.fail("truth", f"{samples} characters, one a sample")
    return truth


def _check_scores(record: Fields, truth: str, predictions: str, classes: int) -> None:
    """Raise DataError where what is said of the answers is not what they say."""
    known = PREDICTION_DIGITS[:classes]
    for name, text in (("truth", truth), ("predictions", predictions)):
        if set(text) - set(known):
            raise record.fail(name, f"characters of {known}, one for each of the {classes} labels")
    if record.text("correct") != "".join("01"[true == said] for true, said in zip(truth, predictions, strict=True)):
        raise record.fail("correct", "1 where `predictions` is as `truth`, else 0")
    true, said = (np.array([known.index(character) for character in text]) for text in (truth, predictions))
    confusion = statistics.confusion_matrix(true, said, classes)
    for name, own in (("macro_f1", statistics.macro_f1(confusion)), ("weighted_f1", statistics.weighted_f1(confusion))):
        if abs(record.number(name) - own) > 1e-6:
            raise record.fail(name, f"{own:g} as `truth` and `predictions` say")


def _per_class(block: Fields) -> dict[str, Score]:
    return {
        name: Score(
            precision=score.number("precision", high=1.0),
            recall=score.number("recall", high=1.0),
            f1=score.number("f1", high=1.0),
            support=score.whole("support", low=0),
        )
        for name in block.values
        for score in [block.block(name)]
    }


def _bins(block: Fields) -> Bins:
    counts = block.values.get("count")
    if not isinstance(counts, list) or not counts or not all(type(each) is int and each >= 0 for each in counts):
        raise block.fail("count", "a list of whole numbers")
    return Bins(tuple(counts), block.numbers("confidence", len(counts)), block.numbers("accuracy", len(counts)))


def _pipeline(record: Fields) -> Pipeline:
    stages, frame = record.block("stages_ms"), record.block("frame")
    frames = record.whole("frames")
    if not stages.values:
        raise record.fail("stages_ms", "a stage or more")
    return Pipeline(
        path=record.path,
        created=record.text("created"),
        model=_model(record.block("model")),
        setting=setting_of(record),
        threads=record.whole("threads"),
        frame=(frame.whole("width"), frame.whole("height")),
        frames=frames,
        detector=record.text("detector"),
        detect_every=record.whole("detect_every"),
        infer_every=record.whole("infer_every"),
        stages={name: _stage(stages.block(name), stages.block(name).whole("n")) for name in stages.values},
        whole=_stage(record.block("end_to_end_ms"), frames),
        stability=stability_of(record),
        live_fps=record.block("live").number("fps") if "live" in record.values else None,
    )


def _stage(times: Fields, count: int) -> Stage:
    p50, p90, p99, mean, maximum = (times.number(key) for key in ("p50", "p90", "p99", "mean", "max"))
    return Stage(p50, p90, p99, mean, maximum, count)


def _foreign_kind(path: Path) -> str | None:
    """Return "conversion" or a kind of ELSEWHERE; None for all else, which `read_record` judges."""
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    kind = values.get("kind") if isinstance(values, dict) and values.get("schema") == 1 else None
    return kind if kind == "conversion" or (isinstance(kind, str) and kind in ELSEWHERE) else None


def _conversion_report(path: Path) -> Fields:
    return Fields(path, "", read_json(path, "convert again"))


def _conversion(report: Fields) -> Conversion:
    inspection, parts = report.block("inspection"), report.block("parts")
    return Conversion(
        path=report.path,
        name=report.block("source").text("name"),
        recipe=report.text("recipe"),
        sha256=report.text("sha256"),
        size_bytes=report.whole("size_bytes"),
        operators=inspection.counts("operators"),
        outside=inspection.counts("outside"),
        floats=inspection.counts("float_operators"),
        partitions=inspection.whole("partitions", low=0),
        agreement={name: parts.block(name).number("agreement_with_network", high=1.0) for name in parts.values},
    )

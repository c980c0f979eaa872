"""What records and conversion reports say, as frozen values; `benchmarks.evidence` reads and checks them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machines import Facts, Setting, Stability


@dataclass(frozen=True, order=True)
class Model:
    """The model block of a record; `sha256` is its identity."""

    name: str
    recipe: str
    backbone: str
    sha256: str
    size_bytes: int
    input: tuple[int, ...]


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single inferences of one model.

    Attributes:
        p50: median; `p90` and `p99` the percentiles, `maximum` the slowest.
        mad: median absolute deviation from the median; None in older records.
        own: whether the record is about this model; else it took turns with the one that the record is about.
        samples: each inference in the order of time; empty where the record keeps none.
        first_ms: the first inference after loading; `load_ms` the loading.
        peak_rss_mb: highest resident memory of the process, MB; None in older records.
        partitions: pieces into which XNNPACK cut the graph; None in older records.
    """

    path: Path
    created: str
    model: Model
    setting: Setting
    threads: int
    runs: int
    p50: float
    p90: float
    p99: float
    maximum: float
    mad: float | None
    own: bool
    samples: tuple[float, ...]
    first_ms: float | None
    load_ms: float | None
    peak_rss_mb: float | None
    partitions: int | None
    stability: Stability | None


@dataclass(frozen=True)
class Ratio:
    """How many times faster `model` is than `against`, from interleaved pairs: time of `against` / time of `model`.

    Attributes:
        low: lower end of the 95 % interval of the median; `high` the upper end.
        threads: of `model`; `against_threads` of the other, which differ where one model is held against itself.
    """

    path: Path
    created: str
    model: Model
    against: Model
    setting: Setting
    threads: int
    against_threads: int
    pairs: int
    median: float
    p10: float
    p90: float
    low: float
    high: float
    stability: Stability | None


@dataclass(frozen=True, order=True)
class Data:
    """The labelled pictures of an accuracy record.

    `fingerprint` is their identity, `tta` how each was looked at, `seen` how many of them the model was trained on:
    "none" known, "some" or "all".
    """

    name: str
    part: str
    samples: int
    fingerprint: str
    tta: str = "none"
    seen: str = "none"


@dataclass(frozen=True)
class Score:
    """One class's precision, recall and F1, 0..1, and its number of true samples."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Bins:
    """Samples by their highest probability, in equal steps of 0..1: how many, how sure, and how often right.

    Attributes:
        count: samples of each bin; `confidence` their mean highest probability and `accuracy` the share that is right.
    """

    count: tuple[int, ...]
    confidence: tuple[float, ...]
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Accuracy:
    """How right one model was on one part of a data set.

    Attributes:
        accuracy: share of right answers, 0..1, with `low` and `high` its 95 % interval.
        macro_f1: plain mean F1 of the classes, 0..1; `weighted_f1` weighted by support.
        correct: one bool a sample, in the data's order.
        predictions: one character a sample, the predicted class in base 36.
        labels: the classes' names in order; `truth` like `predictions`; both empty where the record has none.
        per_class: class -> its scores; empty where the record has none.
        ece: expected calibration error, 0..1, of `bins`; `nll` negative log-likelihood, nats; None in older records.
            The intervals are the 95 % ones, (low, high).
        content_sha256: of the very faces that were scored; empty in older records.
    """

    path: Path
    created: str
    model: Model
    setting: Setting
    data: Data
    accuracy: float
    low: float
    high: float
    macro_f1: float
    weighted_f1: float
    correct: tuple[bool, ...]
    predictions: str
    labels: tuple[str, ...]
    truth: str
    per_class: Mapping[str, Score]
    ece: float | None
    ece_interval: tuple[float, float] | None
    nll: float | None
    nll_interval: tuple[float, float] | None
    bins: Bins | None
    content_sha256: str = ""


@dataclass(frozen=True)
class Conversion:
    """What `python -m convert` found in the file that it wrote.

    Attributes:
        operators: operator -> count in the whole file; `outside` those that XNNPACK leaves to slower kernels, and
            `floats` those that compute in float.
        partitions: pieces into which XNNPACK cuts the graph; 1 is best.
        agreement: part of the data -> share (0..1) of samples where the file gives the class of the network that it
            was exported from (for INT8: with fake quantization).
    """

    path: Path
    name: str
    recipe: str
    sha256: str
    size_bytes: int
    operators: Mapping[str, int]
    outside: Mapping[str, int]
    floats: Mapping[str, int]
    partitions: int
    agreement: Mapping[str, float]


@dataclass(frozen=True)
class Stage:
    """Milliseconds of one stage over the frames on which it ran, `count` of them."""

    p50: float
    p90: float
    p99: float
    mean: float
    maximum: float
    count: int


@dataclass(frozen=True)
class Pipeline:
    """Whole frames of one model, stage by stage.

    Attributes:
        frame: width and height in pixels.
        stages: name -> its times, in the order of the frame's way; `whole` the frame from end to end.
        detect_every: the detector runs on one frame in so many; `infer_every` the classifier.
        live_fps: frames a second that a capture thread decoded; None: decoding and reading took turns.
    """

    path: Path
    created: str
    model: Model
    setting: Setting
    threads: int
    frame: tuple[int, int]
    frames: int
    detector: str
    detect_every: int
    infer_every: int
    stages: Mapping[str, Stage]
    whole: Stage
    stability: Stability | None
    live_fps: float | None = None


@dataclass(frozen=True)
class Other:
    """A record that this report leaves out, and the command that it belongs to."""

    path: Path
    kind: str
    command: str


@dataclass(frozen=True)
class Evidence:
    """Everything that was read; `latencies` holds both models of an interleaved record, `facts` one item a record."""

    latencies: tuple[Latency, ...]
    ratios: tuple[Ratio, ...]
    accuracies: tuple[Accuracy, ...]
    conversions: tuple[Conversion, ...]
    pipelines: tuple[Pipeline, ...] = ()
    facts: tuple[Facts, ...] = ()
    others: tuple[Other, ...] = ()

"""A model against a reference record on the same faces: agreement, paired differences, and the change by class.

Comparing two models' own intervals would ignore that both saw the same faces; here every difference is paired. All
differences are this model minus the reference: a minus means that this model is worse.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.benchmarking import statistics
from edge.benchmarking.benchmark import encode_classes
from edge.benchmarking.records import read_record
from edge.benchmarking.resampling import interval_95, resample_pair
from edge.benchmarking.statistics import BOOTSTRAP_SEED
from edge.errors import DataError
from edge.files import sha256_of

_REMEDY = "measure both models on the same pack with `fer-edge benchmark accuracy --record`"
_OF_MODEL = ("name", "recipe", "sha256")
_IDENTITY = ("part", "samples", "fingerprint", "content_sha256")


@dataclass(frozen=True, eq=False)
class Reference:
    """A checked accuracy record on the faces that are to be scored.

    Attributes:
        about: file, sha256 of that file, and the reference's `created`, `model` and `runtime`.
        predicted: (n,) int64, its answers.
    """

    about: Mapping[str, Any]
    predicted: npt.NDArray[np.int64]


def read_reference(
    path: str | os.PathLike[str], data: Mapping[str, Any], labels: Sequence[str], truth: npt.NDArray[np.integer]
) -> Reference:
    """Return the record at `path`, if it is of the same faces under the same labels.

    Args:
        path: an accuracy record.
        data: the data block of the record that is being made.
        labels: class names in the model's order.
        truth: (n,) true classes in that order.

    Raises:
        DataError: no accuracy record, other labels, other faces, or answers that do not fit them.
    """
    record = read_record(path)
    if record["kind"] != "accuracy":
        raise DataError(f"{path}: expected an accuracy record as the reference; got kind {record['kind']}; {_REMEDY}")
    if record.get("labels") != list(labels):
        raise DataError(
            f"{path}: expected the labels {', '.join(labels)}; got {_shown(record.get('labels'))}; {_REMEDY}"
        )
    theirs = record["data"] if isinstance(record["data"], dict) else {}
    for key in _IDENTITY:
        if key == "content_sha256" and key not in theirs:  # records of fer-edge before it was added
            continue
        if theirs.get(key) != data[key]:
            raise DataError(
                f"{path}: expected a record of the same faces ({key} {_shown(data[key])}); got {key} "
                f"{_shown(theirs.get(key))}; {_REMEDY}"
            )
    model = record["model"]
    if not isinstance(model, dict) or not all(isinstance(model.get(key), str) for key in _OF_MODEL):
        raise DataError(f"{path}: expected a model with {', '.join(_OF_MODEL)}; got {_shown(model)}; {_REMEDY}")
    if record.get("truth") != encode_classes(truth):
        raise DataError(f"{path}: expected the same true classes in the same order; got others; {_REMEDY}")
    return Reference(
        about={
            "file": os.fspath(path),
            "sha256": sha256_of(path),
            **{key: record[key] for key in ("created", "model", "runtime", "tta") if key in record},
        },
        predicted=_decoded(record["predictions"], len(truth), len(labels), path),
    )


def comparison(
    reference: Reference, predicted: npt.NDArray[np.int64], truth: npt.NDArray[np.int64], labels: Sequence[str]
) -> dict[str, Any]:
    """Return the record's `reference` block: what this model's (n,) answers are against the reference's.

    Differences are in percentage points, this model minus the reference, with paired 95 % intervals: the score's for
    accuracy and recall, the bootstrap's for macro-F1. The agreement has Wilson's; `p_value` is McNemar's. Shares of a
    class without samples are None.
    """
    before, same = reference.predicted, predicted == reference.predicted
    ours, theirs = (statistics.confusion_matrix(truth, answers, len(labels)) for answers in (predicted, before))
    change = statistics.paired_difference(predicted == truth, before == truth)
    drawn = resample_pair(truth, before, predicted, len(labels), BOOTSTRAP_SEED)
    low, high = interval_95(statistics.macro_f1s(drawn[1]) - statistics.macro_f1s(drawn[0]))
    return {
        **reference.about,
        "agreement": float(same.mean()),
        "agreement_ci95": list(statistics.share_interval(int(same.sum()), len(same))),
        "accuracy": statistics.accuracy(theirs),
        "difference_points": change.points,
        "difference_ci95": [change.low, change.high],
        "only_this": change.only_first,
        "only_reference": change.only_second,
        "p_value": change.p_value,
        "macro_f1_difference_points": 100 * (statistics.macro_f1(ours) - statistics.macro_f1(theirs)),
        "macro_f1_difference_ci95": [100 * low, 100 * high],
        "per_class": _by_class(
            (statistics.per_class(ours, labels), statistics.per_class(theirs, labels)), predicted, before, truth
        ),
    }


def _by_class(
    scores: tuple[Mapping[str, statistics.ClassScore], Mapping[str, statistics.ClassScore]],
    predicted: npt.NDArray[np.int64],
    before: npt.NDArray[np.int64],
    truth: npt.NDArray[np.int64],
) -> dict[str, dict[str, Any]]:
    """Return each class's change; the recall's is the paired difference on the samples of the class."""
    ours, theirs = scores
    blocks = {}
    for i, name in enumerate(ours):
        own = truth == i
        block: dict[str, Any] = {
            "support": int(own.sum()),
            "f1_change_points": 100 * (ours[name]["f1"] - theirs[name]["f1"]),
            "agreement": None,
            "recall_change_points": None,
            "recall_change_ci95": None,
            "only_this": 0,
            "only_reference": 0,
        }
        if own.any():
            change = statistics.paired_difference(predicted[own] == i, before[own] == i)
            block |= {
                "agreement": float((predicted[own] == before[own]).mean()),
                "recall_change_points": change.points,
                "recall_change_ci95": [change.low, change.high],
                "only_this": change.only_first,
                "only_reference": change.only_second,
            }
        blocks[name] = block
    return blocks


def _decoded(text: Any, samples: int, classes: int, path: str | os.PathLike[str]) -> npt.NDArray[np.int64]:
    """Return the (n,) class numbers of a text with one base-36 digit a sample.

    Raises:
        DataError: another number of digits, or a class that is not there.
    """
    known = encode_classes(np.arange(classes))
    if not isinstance(text, str) or len(text) != samples or set(text) - set(known):
        raise DataError(f"{path}: expected {samples} predictions, each one of {known}; got others; {_REMEDY}")
    return np.array([known.index(character) for character in text], np.int64)


def _shown(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."

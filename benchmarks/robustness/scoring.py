"""Answers of one model or of several to the same distorted faces, and what they amount to. No printing here.

All figures are of single faces, one inference each, by the code of `fer-edge benchmark accuracy`. What a distortion
costs a model, and what one model loses against another, are paired: both are of the same faces.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.robustness.distortions import CLEAN, CONDITIONS, Condition, distorted
from edge.benchmarking import calibration, statistics
from edge.benchmarking.accuracy import Tick, calibration_block, figures, scored
from edge.benchmarking.benchmark import encode_classes
from edge.benchmarking.statistics import BOOTSTRAP_SEED
from edge.inference.interpreter import Classifier
from edge.pictures.packs import Pack
from edge.streams.stream import StreamSettings

CONFIDENCE_BINS = 10
UNCERTAIN_BELOW = StreamSettings.uncertain_below
Probabilities = npt.NDArray[np.floating[Any]]  # (n, classes), rows of sum 1
Answers = Mapping[str, Probabilities]  # by name of the condition


def answers(
    classifiers: Sequence[Classifier],
    pack: Pack,
    seed: int,
    conditions: Sequence[Condition] = CONDITIONS,
    tick: Tick | None = None,
) -> tuple[list[dict[str, Probabilities]], dict[str, str]]:
    """Return each model's probabilities under each condition, and the sha256 of each condition's faces.

    Every set of faces is made once and shown to all models.

    Args:
        classifiers: the models.
        pack: labelled faces.
        seed: of the distortions.
        conditions: what is done to the faces.
        tick: called with (answers given, answers in all).
    """
    found: list[dict[str, Probabilities]] = [{} for _ in classifiers]
    hashes = {}
    size, total = len(pack), len(pack) * len(conditions) * len(classifiers)
    done = 0
    for condition in conditions:
        shown = dataclasses.replace(pack, images=np.stack(list(distorted(pack.images, condition, seed))))
        hashes[condition.name] = shown.content_sha256
        for own, classifier in zip(found, classifiers, strict=True):
            own[condition.name] = scored(classifier, shown, _onwards(tick, done, total))[0]
            done += size
    return found, hashes


def results(
    found: Answers, truth: npt.NDArray[np.int64], labels: Sequence[str], reference: Answers | None = None
) -> dict[str, dict[str, Any]]:
    """Return a model's figures under each condition, by name.

    Each has the accuracy record's figures, `calibration` and `predictions`, and beside them `confidence`, `certain`,
    what the distortion cost (`lost`; not on the faces as they are) and, with a reference, the `drop` against it.

    Args:
        found: the model's probabilities.
        truth: (n,) true classes.
        labels: class names in the model's order.
        reference: another model's probabilities on the same faces.
    """
    blocks = {}
    right = {name: values.argmax(axis=1) == truth for name, values in found.items()}
    for name, probabilities in found.items():
        predicted = probabilities.argmax(axis=1)
        block = {
            **figures(truth, predicted, labels),
            "calibration": calibration_block(probabilities, truth),
            "confidence": calibration.reliability(probabilities, truth, CONFIDENCE_BINS).to_json(),
            "certain": certain(probabilities, truth),
            "predictions": encode_classes(predicted),
        }
        if name != CLEAN.name:
            block["lost"] = loss(right[CLEAN.name], right[name])
        if reference is not None:
            theirs = reference[name].argmax(axis=1)
            block["drop"] = {**loss(theirs == truth, right[name]), "agreement": float((theirs == predicted).mean())}
        blocks[name] = block
    return blocks


def loss(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return how much more often the first is right than the second on the same faces.

    `points` and `ci95` are percentage points with the paired 95 % score interval, a plus: the second is worse;
    `only_first` and `only_second` count the faces that one alone has right; `p_value` is McNemar's.
    """
    change = statistics.paired_difference(first, second)
    return {
        "points": change.points,
        "ci95": [change.low, change.high],
        "only_first": change.only_first,
        "only_second": change.only_second,
        "p_value": change.p_value,
    }


def certain(
    probabilities: Probabilities, truth: npt.NDArray[np.int64], uncertain_below: float = UNCERTAIN_BELOW
) -> dict[str, Any]:
    """Return the share of faces whose answer is not "uncertain" on a single picture, and how many of these are right.

    `coverage` and `accuracy` with their 95 % bootstrap intervals, 0..1; accuracy is None where no answer is certain.
    """
    sure = probabilities.max(axis=1) >= uncertain_below
    right = (probabilities.argmax(axis=1) == truth)[sure]
    return {
        "coverage": float(sure.mean()),
        "coverage_ci95": list(statistics.bootstrap_interval(sure, BOOTSTRAP_SEED)),
        "accuracy": float(right.mean()) if right.size else None,
        "accuracy_ci95": list(statistics.bootstrap_interval(right, BOOTSTRAP_SEED)) if right.size else None,
    }


def mean_over_kinds(
    found: Answers,
    truth: npt.NDArray[np.int64],
    conditions: Sequence[Condition] = CONDITIONS,
    reference: Answers | None = None,
) -> dict[str, Any]:
    """Return the accuracy over all distortions, each kind counting alike, with its interval; and the drop of it.

    A face's score is the mean over kinds of the share of the kind's conditions under which it is right, so that
    resampling faces keeps what their conditions have in common. `accuracy` is their mean, 0..1.

    Source: Hendrycks & Dietterich 2019, section 4.1 (severities are averaged first, then kinds), without its division
    by another network's errors.
    """
    own = _scores(found, truth, conditions)
    block: dict[str, Any] = {
        "accuracy": float(own.mean()),
        "accuracy_ci95": list(statistics.bootstrap_interval(own, BOOTSTRAP_SEED)),
    }
    if reference is not None:
        gap = 100 * (_scores(reference, truth, conditions) - own)
        block["drop"] = {
            "points": float(gap.mean()),
            "ci95": list(statistics.bootstrap_interval(gap, BOOTSTRAP_SEED)),
        }
    return block


def _onwards(tick: Tick | None, done: int, total: int) -> Tick | None:
    """Return what tells `tick` of a part's progress, `done` answers having been given before it."""
    return None if tick is None else lambda part, _: tick(done + part, total)


def _scores(found: Answers, truth: npt.NDArray[np.int64], conditions: Sequence[Condition]) -> npt.NDArray[np.float64]:
    """Return (n,) float64, 0..1: each face's score."""
    kinds: dict[str, list[npt.NDArray[np.bool_]]] = {}
    for condition in conditions:
        if condition.kind != CLEAN.kind:
            kinds.setdefault(condition.kind, []).append(found[condition.name].argmax(axis=1) == truth)
    means: npt.NDArray[np.float64] = np.mean([np.mean(group, axis=0) for group in kinds.values()], axis=0)
    return means

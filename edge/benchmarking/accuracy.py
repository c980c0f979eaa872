"""Accuracy of a model on labelled faces, how sure it is, and the record of both. No printing here.

One inference a face, or with test-time augmentation one for the face and one for its mirror image. Intervals are 95 %
bootstrap intervals; what they leave out is that the faces of another place or camera differ from these.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.benchmarking import calibration, statistics
from edge.benchmarking.agreement import comparison, read_reference
from edge.benchmarking.benchmark import common, encode_classes, percentiles
from edge.benchmarking.resampling import macro_f1_interval
from edge.benchmarking.statistics import BOOTSTRAP_SEED
from edge.errors import DataError
from edge.inference.contract import Contract
from edge.inference.interpreter import Classifier
from edge.pictures.packs import Pack, read_folder, read_pack
from edge.pictures.preprocess import fit_face
from edge.system.conditions import conditions, ended
from edge.system.machine import Machine

TTA = ("none", "flip")
"""Kinds of test-time augmentation: the face alone, or the mean of its probabilities and its mirror image's."""
_SAME_PICTURES = {"ferplus": "fer2013"}  # data set -> the one whose pictures it labels
_NAMED_ALIKE = ("folder",)  # what every user's own data set is called: known by its fingerprint
_PUBLISHED_VALIDATION = ("PublicTest",)  # parts that no edition draws from training pictures
_TRAINING_PARTS = ("Training", "train")  # of packs that do not tell their part's role
Tick = Callable[[int, int], None]  # (done, in all)


def read_data(path: str, classifier: Classifier, tick: Tick | None = None) -> Pack:
    """Return the labelled faces of a pack file or of a folder with one sub-folder a class.

    A folder's pictures come at the side that the training pictures had, where the contract names one, else in the
    model's size: scoring brings the faces of both kinds into that size by the same steps.

    Raises:
        DataError: neither, or damaged.
        ImageError: a picture of the folder cannot be read.
    """
    if not os.path.isdir(path):
        return read_pack(path)
    contract = classifier.model.contract
    height = contract.crop.resolution_px or contract.input.height
    width = contract.crop.resolution_px or contract.input.width
    return read_folder(path, classifier.labels, height, width, tick)


def accuracy_record(
    classifier: Classifier,
    pack: Pack,
    file: str,
    command: Sequence[str],
    reference: str | None = None,
    tick: Tick | None = None,
    machine: Machine | None = None,
    tta: str = "none",
) -> dict[str, Any]:
    """Return the accuracy record of a model on a pack.

    Args:
        classifier: the model.
        pack: labelled faces; its classes must be among the model's labels.
        file: where the pack came from.
        command: the words of the running command.
        reference: path of an accuracy record on the same faces, to compare with.
        tick: called with (faces done, faces in all).
        machine: where facts are read; None: this machine.
        tta: one of `TTA`.

    Raises:
        DataError: the pack has a class that the model does not know, or the reference is of other faces.
    """
    labels = classifier.labels
    truth = true_classes(pack, labels, file)
    data = data_block(pack, file)
    other = None if reference is None else read_reference(reference, data, labels, truth)
    where = Machine() if machine is None else machine
    before = conditions(where)
    probabilities, samples = scored(classifier, pack, tick, tta)
    course = ended(where, before)
    predicted = probabilities.argmax(axis=1)
    seen = seen_in_training(classifier.model.contract, pack)
    record = {
        **common("accuracy", classifier, command, course, where),
        "data": data if seen == "none" else {**data, "seen": seen},
        **({} if tta == "none" else {"tta": tta}),
        "labels": list(labels),
        **figures(truth, predicted, labels),
        "calibration": calibration_block(probabilities, truth),
        "predictions": encode_classes(predicted),
        "truth": encode_classes(truth),
        "correct": encode_classes((predicted == truth).astype(np.int64)),
        "latency_ms": percentiles(samples),
    }
    return record if other is None else {**record, "reference": comparison(other, predicted, truth, labels)}


def true_classes(pack: Pack, labels: Sequence[str], file: str) -> npt.NDArray[np.int64]:
    """Return the (n,) true class of each face, its place in `labels`.

    Args:
        pack: labelled faces.
        labels: a model's class names in order.
        file: where the pack came from, for the error.

    Raises:
        DataError: the pack has a class that is not among the labels.
    """
    strangers = [name for name in pack.classes if name not in labels]
    if strangers:
        raise DataError(
            f"{file}: expected classes among the model's ({', '.join(labels)}); got {', '.join(strangers)}; use a "
            "model with these labels"
        )
    found: npt.NDArray[np.int64] = np.array([labels.index(name) for name in pack.classes])[pack.labels]
    return found


def seen_in_training(contract: Contract, pack: Pack) -> str:
    """Return how many of a pack's faces a model was trained on, as far as both tell: "all", "some" or "none".

    "all": the pack is a training part of a data set that the model, or a network before it, learned from. "some": one
    of the two is cut from all rows of that data set anew (protocol seed), the other is not; or the pack is a validation
    part that another edition of the data set draws from its training pictures. `python -m train evaluate`
    counts rows; a pack or a folder does not tell enough to.
    """
    before = (entry.split() for entry in str(contract.data.get("before", "")).split(";"))
    learned = [tuple(str(contract.data.get(key, "")) for key in ("name", "protocol", "fingerprint"))]
    learned += [tuple(words) for words in before if len(words) == 3]
    named, fingerprint = str(pack.meta["dataset"]), str(pack.meta["fingerprint"])
    own = _SAME_PICTURES.get(named, named)
    known = [
        (protocol, theirs)
        for name, protocol, theirs in learned
        if _SAME_PICTURES.get(name, name) == own and (name not in _NAMED_ALIKE or theirs == fingerprint)
    ]
    if not known:
        return "none"
    protocols, fingerprints = {protocol for protocol, _ in known}, {theirs for _, theirs in known}
    part = str(pack.meta["part"])
    if pack.meta.get("role", "train" if part in _TRAINING_PARTS else part) == "train":
        return "all"
    drawn = pack.meta.get("role", part) == "validation" and part not in _PUBLISHED_VALIDATION
    if drawn and fingerprint not in fingerprints:
        return "some"
    anew = str(pack.meta.get("protocol", "")).startswith("seed")
    return "some" if any(protocol.startswith("seed") != anew for protocol in protocols) else "none"


def calibration_block(probabilities: npt.NDArray[np.floating], truth: npt.NDArray[np.integer]) -> dict[str, Any]:
    """Return the record's block on (n, classes) probabilities and the (n,) true classes.

    `ece`, `nll` (nats) and their intervals; `floor`: what a smaller probability of the true class counts as in `nll`,
    and `floored`, how many were smaller; `bins` of the highest probability, for a reliability plot.
    """
    bins, losses = calibration.reliability(probabilities, truth), calibration.losses(probabilities, truth)
    of_truth = probabilities[np.arange(len(truth)), truth]
    return {
        "ece": bins.error,
        "ece_ci95": list(calibration.error_interval(probabilities, truth, BOOTSTRAP_SEED)),
        "bins": bins.to_json(),
        "nll": float(losses.mean()),
        "nll_ci95": list(statistics.bootstrap_interval(losses, BOOTSTRAP_SEED)),
        "floor": calibration.PROBABILITY_FLOOR,
        "floored": int((of_truth < calibration.PROBABILITY_FLOOR).sum()),
    }


def figures(truth: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], labels: Sequence[str]) -> dict[str, Any]:
    """Return the record's fields on (n,) true and (n,) predicted classes: accuracy to confusion, with intervals."""
    confusion = statistics.confusion_matrix(truth, predicted, len(labels))
    return {
        "accuracy": statistics.accuracy(confusion),
        "accuracy_ci95": list(statistics.bootstrap_interval(truth == predicted, BOOTSTRAP_SEED)),
        "macro_f1": statistics.macro_f1(confusion),
        "macro_f1_ci95": list(macro_f1_interval(confusion, BOOTSTRAP_SEED)),
        "weighted_f1": statistics.weighted_f1(confusion),
        "per_class": statistics.per_class(confusion, labels),
        "confusion": confusion.tolist(),
    }


def data_block(pack: Pack, file: str) -> dict[str, Any]:
    """Return what a record says about its faces; `file`: where they came from."""
    return {
        "name": str(pack.meta["dataset"]),
        "part": str(pack.meta["part"]),
        "fingerprint": str(pack.meta["fingerprint"]),
        "content_sha256": pack.content_sha256,
        "samples": len(pack),
        "file": file,
    }


def scored(
    classifier: Classifier, pack: Pack, tick: Tick | None, tta: str = "none"
) -> tuple[npt.NDArray[np.float32], list[float]]:
    """Return the (n, classes) probabilities of a pack's faces, rows of sum 1, and the milliseconds of each inference.

    Args:
        classifier: the model.
        pack: labelled faces; they come to the model by `fit_face`, as on the device.
        tick: called with (faces done, faces in all).
        tta: one of `TTA`: "flip" takes two inferences a face.

    Raises:
        ValueError: another `tta`.
    """
    if tta not in TTA:
        raise ValueError(f"expected TTA {' or '.join(TTA)}; got {tta!r}")
    contract = classifier.model.contract
    probabilities = np.empty((len(pack), len(classifier.labels)), np.float32)
    samples = []
    for i, image in enumerate(pack.images):
        face = fit_face(image, contract.crop, contract.input.height, contract.input.width)[np.newaxis]
        views = (face,) if tta == "none" else (face, np.ascontiguousarray(face[:, :, ::-1]))
        answers = []
        for view in views:
            start = time.perf_counter_ns()
            raw = classifier.infer(view)
            samples.append((time.perf_counter_ns() - start) / 1e6)
            answers.append(classifier.dequantized(raw))
        probabilities[i] = np.mean(answers, axis=0)
        if tick is not None:
            tick(i + 1, len(pack))
    return probabilities, samples

"""The record of distorted faces (kind "robustness", schema 1): gathered, written whole, read through its schema."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.robustness.distortions import CLEAN, CONDITIONS, check_size
from benchmarks.robustness.scoring import UNCERTAIN_BELOW, answers, mean_over_kinds, results
from edge.benchmarking.accuracy import Tick, data_block, true_classes
from edge.benchmarking.benchmark import common, encode_classes, model_block, xnnpack
from edge.errors import DataError
from edge.files import read_json, rounded, write_json
from edge.inference.interpreter import Classifier
from edge.pictures.packs import Pack
from edge.schema import violations
from edge.system.conditions import conditions, ended
from edge.system.machine import Machine

KIND = "robustness"
_OF_ONE_MODEL = ("model", "xnnpack")
_REMEDY = "write it with `python -m benchmarks robustness --record`"
_CLOSE = 1e-9  # how near two shares are that are the same but for the order of sums
_LONG = ("per_class", "calibration", "confidence")  # of a condition's figures


def measure(
    classifiers: Sequence[Classifier],
    pack: Pack,
    file: str,
    command: Sequence[str],
    seed: int = 0,
    tick: Tick | None = None,
    machine: Machine | None = None,
) -> dict[str, Any]:
    """Return the record of models on a pack's faces under every condition; drops are against the first model.

    Args:
        classifiers: one or more, with the same labels in the same order.
        pack: labelled faces of more than 24 pixels a side.
        file: where the pack came from.
        command: the words of the running command.
        seed: of the distortions.
        tick: called with (answers given, answers in all).
        machine: where facts are read; None: this machine.

    Raises:
        DataError: labels differ, the pack has a class that the models do not know, or its faces are too small.
        ValueError: there is no model.
    """
    if not classifiers:
        raise ValueError("expected a model or several; got none; give --model")
    labels = _common_labels(classifiers)
    truth = true_classes(pack, labels, file)
    check_size(pack.images, file)
    where = Machine() if machine is None else machine
    before = conditions(where)
    found, hashes = answers(classifiers, pack, seed, tick=tick)
    said = common(KIND, classifiers[0], command, ended(where, before), where)
    models: list[dict[str, Any]] = []
    for classifier, own in zip(classifiers, found, strict=True):
        reference = found[0] if models else None
        models.append(
            model_block(classifier)
            | {
                "xnnpack": xnnpack(classifier),
                "mean_over_kinds": mean_over_kinds(own, truth, reference=reference),
                "results": brief(results(own, truth, labels, reference)),
            }
        )
    return {
        **{key: value for key, value in said.items() if key not in _OF_ONE_MODEL},
        "data": {
            **data_block(pack, file),
            "height_px": pack.images.shape[1],
            "width_px": pack.images.shape[2],
            "colour": "grey" if pack.images.ndim == 3 else "rgb",
        },
        "seed": seed,
        "uncertain_below": UNCERTAIN_BELOW,
        "labels": list(labels),
        "truth": encode_classes(truth),
        "conditions": [
            {
                "name": each.name,
                "kind": each.kind,
                "text": each.text,
                "strength": each.strength,
                "unit": each.unit,
                "content_sha256": hashes[each.name],
            }
            for each in CONDITIONS
        ],
        "models": models,
    }


def brief(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return results by condition with six digits in what is long: classes, calibration and confidence."""
    return {
        condition: {key: rounded(value) if key in _LONG else value for key, value in figures.items()}
        for condition, figures in found.items()
    }


def write(path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Write a record in one step, after checking it.

    Raises:
        DataError: it breaks the schema.
        OutputError: the file cannot be written.
    """
    _check(record, path)
    write_json(path, record)


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the robustness record in a JSON file.

    Raises:
        DataError: the file is missing, of another kind, breaks the schema or contradicts itself.
    """
    record: dict[str, Any] = read_json(path, _REMEDY)
    _check(record, path)
    return record


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the record."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("record.schema.json").read_text(encoding="utf-8"))
    return found


def _common_labels(classifiers: Sequence[Classifier]) -> tuple[str, ...]:
    first = classifiers[0]
    for other in classifiers[1:]:
        if other.labels != first.labels:
            raise DataError(
                f"{other.model.path}: expected the labels of {first.model.path} ({', '.join(first.labels)}); got "
                f"{', '.join(other.labels)}; compare models of the same classes"
            )
    return first.labels


def _check(record: Any, path: str | os.PathLike[str]) -> None:
    text = next(violations(record, schema()), None) or next(_contradictions(record), None)
    if text is not None:
        raise DataError(f"{path}: not a sound robustness record: {text}; {_REMEDY}")


def _contradictions(record: Mapping[str, Any]) -> Iterator[str]:
    """Yield one text for each thing that the schema cannot say: what must be there twice, or fit another field."""
    names = [each["name"] for each in record["conditions"]]
    if len(set(names)) < len(names) or CLEAN.name not in names:
        yield f"conditions: expected {CLEAN.name} among names that differ; got {', '.join(names)}"
        return
    samples = record["data"]["samples"]
    if len(record["truth"]) != samples:
        yield f"truth: expected {samples} classes; got {len(record['truth'])}"
    for place, model in enumerate(record["models"]):
        if set(model["results"]) != set(names):
            yield f"models[{place}].results: expected each condition once; got {', '.join(model['results'])}"
            return
        for name, result in model["results"].items():
            yield from _misfits(record, f"models[{place}].results.{name}", name, place, result)
        first = record["models"][0]["results"]
        clean = model["results"][CLEAN.name]["accuracy"]
        for name, result in model["results"].items():
            where = f"models[{place}].results.{name}"
            for key, other in (("lost", clean), ("drop", first[name]["accuracy"])):
                if key in result:
                    yield from _of_points(f"{where}.{key}", result[key], 100 * (other - result["accuracy"]))
        mean = _mean(record, model["results"])
        if abs(model["mean_over_kinds"]["accuracy"] - mean) > _CLOSE:
            yield f"models[{place}].mean_over_kinds.accuracy: expected {mean}, the mean over the kinds' means"
        if place and "drop" in model["mean_over_kinds"]:
            gap = 100 * (_mean(record, first) - mean)
            yield from _of_points(f"models[{place}].mean_over_kinds.drop", model["mean_over_kinds"]["drop"], gap)


def _of_points(where: str, change: Mapping[str, Any], points: float) -> Iterator[str]:
    low, high = change["ci95"]
    if abs(change["points"] - points) > 100 * _CLOSE:
        yield f"{where}.points: expected {points}, the difference of the accuracies; got {change['points']}"
    elif not low <= change["points"] <= high:
        yield f"{where}.ci95: expected an interval around {change['points']}; got {low} to {high}"


def _mean(record: Mapping[str, Any], results: Mapping[str, Any]) -> float:
    """Return the accuracy over all distortions, each kind counting alike."""
    kinds: dict[str, list[float]] = {}
    for each in record["conditions"]:
        if each["name"] != CLEAN.name:
            kinds.setdefault(each["kind"], []).append(results[each["name"]]["accuracy"])
    return sum(sum(found) / len(found) for found in kinds.values()) / len(kinds) if kinds else 0.0


def _misfits(record: Mapping[str, Any], where: str, name: str, place: int, result: Mapping[str, Any]) -> Iterator[str]:
    truth, said = record["truth"], result["predictions"]
    if len(said) != len(truth):
        yield f"{where}.predictions: expected {len(truth)} answers; got {len(said)}"
        return
    share = sum(a == b for a, b in zip(truth, said, strict=True)) / len(truth)
    if abs(share - result["accuracy"]) > _CLOSE:
        yield f"{where}.accuracy: expected {share}, the share of right predictions; got {result['accuracy']}"
    if ("drop" in result) != (place > 0):
        yield f"{where}.drop: expected of every model but the first, and only there; got another"
    if ("lost" in result) != (name != CLEAN.name):
        yield f"{where}.lost: expected under every distortion, and only there; got another"
    if set(result["per_class"]) != set(record["labels"]):
        yield f"{where}.per_class: expected the labels; got {', '.join(result['per_class'])}"

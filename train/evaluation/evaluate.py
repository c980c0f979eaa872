"""Evaluation of a run on a part of a data set: figures, per-class table, gain of TTA, calibration, plots.

The data set may be another one than the run's; the result says so. What the run has seen of the part is counted by
pictures, and the temperature that calibrates it comes from the run's own validation part alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.benchmarking.calibration import reliability
from edge.benchmarking.statistics import paired_difference
from edge.errors import DataError
from edge.files import write_atomically
from train.datasets import Dataset, Part
from train.datasets.mapping import map_labels
from train.evaluation.calibration import fit_temperature, softmax, temperature_effect
from train.evaluation.leakage import Ancestor, Exposure, exposure, grey_digests, is_own, seen_rows, supervision
from train.evaluation.metrics import summarize
from train.evaluation.plots import plot_confusion, plot_reliability
from train.evaluation.predictions import FOLDER, Predictions, predictions, stem
from train.runs import Run

KIND = "evaluation"  # of the record that `evaluate` keeps
LEAST_VALIDATION_SHARE = 0.5  # of the validation part that must be left to fit the temperature on


def evaluate_run(
    run: Run,
    dataset: Dataset,
    part: str,
    tta: str = "none",
    *,
    own: Dataset | None = None,
    ancestors: Sequence[Ancestor] = (),
    allow_leaks: bool = False,
) -> dict[str, Any]:
    """Return the figures of ``run`` on one part of a data set, mapped by class name; its predictions are kept.

    Args:
        run: a trained run.
        dataset: under a protocol; may be another data set than the run's, and may lack classes of the run.
        part: official name or role.
        tta: ``none``, ``flip`` or ``crops``; the single view's figures are always there.
        own: the run's own data set under its own protocol (``train.evaluation.leakage.own_dataset``); where ``dataset``
            is that, it need not be given. Without it neither leaks nor calibration are known, and the result says so.
        ancestors: what the run began with or learned from, where that saw other rows
            (``train.evaluation.leakage.ancestors``).
        allow_leaks: report a part that the run, or one of these, was trained on, marked as such, not refused.

    Returns:
        a record of kind ``evaluation``: what was measured of what, ``single_view`` and ``with_tta`` (figures of
        :func:`train.evaluation.metrics.summarize`), ``calibration``, and, where the run or what it comes from has seen
        some of the pictures in training or selection but not all, ``unseen`` with the same figures of the others alone;
        it is left out where one of these networks' rows are not known.

    Raises:
        DataError: unknown part, classes that the run does not know, or a leak (see :func:`refuse_leaks`).
    """
    name = dataset.part_name(part)
    config = run.config
    data = config["data"]
    if own is None and is_own(config, dataset) and dataset.protocol == data["protocol"]:
        own = dataset
    map_labels(dataset.parts[name].labels, dataset.labels, tuple(config["labels"]))  # refused before any work
    rows = seen_rows(own, dataset.parts[name]) if own is not None else None
    seen = None if rows is None else Exposure(len(rows[0]), int(rows[0].sum()), int(rows[1].sum()))
    if seen is not None and not allow_leaks:
        refuse_leaks(config, dataset, name, seen)
    before = seen_before(config, dataset, name, ancestors, allow_leaks=allow_leaks)
    found = predictions(run.path, config, dataset, name, tta, model=run.model, fresh=True)
    names = config["labels"]
    result = {
        "schema": 1,
        "kind": KIND,
        "run": config["name"],
        "model_sha256": found.model_sha256,
        "trained_on": {key: data[key] for key in ("name", "protocol", "fingerprint")},
        "supervision": supervision(config),
        "dataset": dataset.name,
        "part": name,
        "protocol": dataset.protocol,
        "fingerprint": dataset.fingerprint,
        "notes": list(dataset.notes),
        "cross_data_set": not is_own(config, dataset),
        "classes_without_samples": [label for i, label in enumerate(names) if not (found.labels == i).any()],
        "seen": None if seen is None else dataclasses.asdict(seen),
        "seen_before": before,
        "tta": tta,
        "stem": stem(config, dataset, name, tta),
        "single_view": summarize(found.labels, found.single_view, names),
        "calibration": _calibration(run, dataset, name, own, found),
    }
    if found.averaged is not None:
        result["with_tta"] = summarize(found.labels, found.averaged, names)
        result["tta_gain"] = tta_gain(found)
    unseen = _unseen(rows, dataset.parts[name], ancestors)
    if unseen is not None and 0 < unseen.sum() < len(unseen):
        views = {"single_view": found.single_view} | ({} if found.averaged is None else {"with_tta": found.averaged})
        result["unseen"] = {
            view: summarize(found.labels[unseen], probabilities[unseen], names) for view, probabilities in views.items()
        }
    return result


def _unseen(rows: tuple[np.ndarray, np.ndarray] | None, part: Part, ancestors: Sequence[Ancestor]) -> np.ndarray | None:
    """Return which pictures of a part neither the run nor what it comes from has seen; None where that is not known."""
    if rows is None or any(one.own is None for one in ancestors):
        return None
    seen = rows[0] | rows[1]
    for one in ancestors:
        if one.own is not None:
            trained, selected = seen_rows(one.own, part)
            seen = seen | trained | selected
    return np.asarray(~seen)


def refuse_leaks(config: Mapping[str, Any], dataset: Dataset, part: str, seen: Exposure) -> None:
    """Refuse a part that a run was trained on, unless it belongs to the run's own data set and protocol.

    Under its own protocol a run's test part is what the protocol says; repeats in it are reported, not refused.

    Raises:
        DataError: the run was trained on pictures of the part.
    """
    own = is_own(config, dataset) and dataset.protocol == config["data"]["protocol"]
    if seen.trained and not own:
        raise DataError(
            f"expected a part that run {config['name']} ({config['data']['name']}, {config['data']['protocol']}) was "
            f"not trained on; {seen.trained:,} of the {seen.samples:,} pictures of {dataset.name} {part} "
            f"({dataset.protocol}) were among its training pictures; fit a run under {dataset.protocol}, or add "
            "--allow-leaks for a figure that is marked as leaking"
        )


def seen_before(
    config: Mapping[str, Any], dataset: Dataset, part: str, ancestors: Sequence[Ancestor], *, allow_leaks: bool = False
) -> list[dict[str, Any]]:
    """Return what the networks that a run comes from have seen of a part: each in words, its data, ``seen`` or None.

    Raises:
        DataError: one was trained on pictures of the part under another protocol than the one reported, and
            ``allow_leaks`` is not set.
    """
    found = []
    for one in ancestors:
        seen = exposure(one.own, dataset.parts[part]) if one.own is not None else None
        held_out = (  # by the protocol that it was trained under: repeats are reported, not refused
            one.own is not None
            and (one.own.name, one.protocol) == (dataset.name, dataset.protocol)
            and part != one.own.roles.get("train")
        )
        if seen is not None and seen.trained and not held_out and not allow_leaks:
            raise DataError(
                f"expected a part that nothing before run {config['name']} was trained on; {seen.trained:,} of the "
                f"{seen.samples:,} pictures of {dataset.name} {part} ({dataset.protocol}) were among the training "
                f"pictures of {called(one)}; {_way_out(one, dataset, part)}, or add --allow-leaks for a figure that is "
                "marked as leaking"
            )
        found.append(
            {
                "network": called(one),
                "trained_on": {"name": one.dataset, "protocol": one.protocol} if one.dataset else None,
                "seen": None if seen is None else dataclasses.asdict(seen),
            }
        )
    return found


def called(one: Ancestor) -> str:
    """Return a network that a run comes from in words: role, name, and what it was trained on."""
    name = f", {one.name}" if one.name else ""
    return f"{one.role}{name}" + (f" ({one.dataset}, {one.protocol})" if one.dataset else "")


def _way_out(one: Ancestor, dataset: Dataset, part: str) -> str:
    known = one.protocol.partition("+")[0] == one.protocol and one.protocol != dataset.protocol
    if known and one.dataset == dataset.name and one.own is not None and part != one.own.roles.get("train"):
        return f"give --protocol {one.protocol}, where repeats are counted and reported"
    return "report another part"


def tta_gain(found: Predictions) -> dict[str, Any]:
    """Return what TTA gained over the single view on the same pictures, with paired interval and McNemar's exact p.

    Raises:
        ValueError: the predictions are without TTA.
    """
    if found.averaged is None:
        raise ValueError("expected predictions with TTA; got the single view alone; predict with flip or crops")
    right = found.averaged.argmax(axis=1) == found.labels
    gain = paired_difference(right, found.logits.argmax(axis=1) == found.labels)
    return {
        "points": gain.points,
        "ci95": [gain.low, gain.high],
        "only_tta_right": gain.only_first,
        "only_single_view_right": gain.only_second,
        "p_value": gain.p_value,
    }


def keep_evaluation(run: Path, result: dict[str, Any], names: Sequence[str]) -> Path:
    """Write the result as JSON, its confusion matrix and reliability diagram as PNG; returns the JSON's path."""
    import json

    file = run / FOLDER / f"{result['stem']}.json"
    file.parent.mkdir(exist_ok=True)
    shown = result.get("with_tta", result["single_view"])
    view = "" if result["tta"] == "none" else f", TTA {result['tta']}"
    title = f"{result['run']} on {result['dataset']} {result['part']} ({result['protocol']}){view}"
    plot_confusion(shown["confusion"], names, f"{title}: accuracy {shown['accuracy']:.1%}", file.with_suffix(".png"))
    single = f"{result['run']} on {result['dataset']} {result['part']} ({result['protocol']}), single view"
    plot_reliability(result["calibration"], single, file.with_name(f"{file.stem}-reliability.png"))
    write_atomically(file, json.dumps(result, indent=1) + "\n")
    return file


def _calibration(run: Run, dataset: Dataset, part: str, own: Dataset | None, found: Predictions) -> dict[str, Any]:
    """Return reliability bins of the single view, before and after the temperature of the run's validation part."""
    before = reliability(found.single_view, found.labels)
    result: dict[str, Any] = {"temperature": None, "ece_before": before.error, "before": before.to_json()}
    if own is None:
        return result | {"reason": "the run's own validation part is not at hand: give --run-data"}
    if own.roles.get("validation") not in own.parts:
        return result | {"reason": "the run's data set has no validation part"}
    validation = own.roles["validation"]
    reported = set(grey_digests(dataset.parts[part].images))
    apart = np.array([digest not in reported for digest in grey_digests(own.parts[validation].images)], bool)
    if apart.mean() < LEAST_VALIDATION_SHARE:
        return result | {"reason": "the reported part is the validation part, which a temperature is fitted on"}
    fitted_on = predictions(run.path, run.config, own, validation, model=run.model)
    temperature = fit_temperature(fitted_on.logits[apart], fitted_on.labels[apart])
    after = reliability(softmax(found.logits / temperature), found.labels)
    return (
        result
        | temperature_effect(found.logits, found.labels, temperature)
        | {
            "fitted_on": f"{own.name} {validation} ({own.protocol})",
            "fitted_samples": int(apart.sum()),
            "after": after.to_json(),
        }
    )

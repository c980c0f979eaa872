"""Runs against each other: two on the same pictures by the paired test, and FER2013's protocols side by side.

Two runs are compared picture by picture: McNemar's exact test on the pictures that only one of them has right, and
paired intervals (the score's of accuracy, the bootstrap's of macro-F1). Protocols have different test parts and
different training rows, so a table of them takes one run for each protocol, fitted under it: a run measured under
another's would have seen its test pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge.benchmarking.resampling import interval_95, resample_pair
from edge.benchmarking.statistics import BOOTSTRAP_SEED, macro_f1s, paired_difference
from edge.errors import DataError
from train.datasets import PROTOCOLS, Dataset
from train.evaluation.evaluate import refuse_leaks, seen_before, tta_gain
from train.evaluation.leakage import Ancestor, Exposure, exposure, supervision
from train.evaluation.metrics import summarize
from train.evaluation.predictions import Predictions, predictions
from train.runs import read_config

SAMENESS = ("backbone", "input", "recipe", "supervision")  # what runs must share for a difference to be the protocol's


def compare_runs(
    runs: tuple[Path, Path],
    dataset: Dataset,
    part: str,
    tta: str = "none",
    *,
    own: tuple[Dataset | None, Dataset | None] = (None, None),
    ancestors: tuple[Sequence[Ancestor], Sequence[Ancestor]] = ((), ()),
    allow_leaks: bool = False,
) -> dict[str, Any]:
    """Return what the second run does better or worse than the first on the same pictures, ready for JSON.

    Kept predictions are used where they are of the same model and pictures; otherwise they are computed and kept.

    Args:
        runs: two run folders.
        dataset: under a protocol; its classes must be known to both.
        part: official name or role.
        tta: ``none``, ``flip`` or ``crops``, for both.
        own: each run's own data set under its own protocol, to count the pictures that it was trained on.
        ancestors: what each run began with or learned from, where that saw other rows
            (``train.evaluation.leakage.ancestors``).
        allow_leaks: compare also on pictures that a run was trained on; the counts are in the result.

    Returns:
        ``runs`` (two: name, backbone, recipe, supervision, ``seen``, ``seen_before``, ``figures``), ``counts`` (both
        right, only the first, only the second, both wrong), ``difference_points`` (accuracy of the second minus the
        first) with ``difference_ci95`` and McNemar's ``p_value``, ``macro_f1_difference_points`` with its interval,
        ``f1_change_points`` and ``discordant`` (only the first right, only the second) by class, and ``agreement``.

    Raises:
        DataError: the same model twice, no such part, classes that a run does not know, or a leak.
    """
    name = dataset.part_name(part)
    configs = [read_config(run) for run in runs]
    seen = [exposure(mine, dataset.parts[name]) if mine is not None else None for mine in own]
    for config, exposed in zip(configs, seen, strict=True):
        if exposed is not None and not allow_leaks:
            refuse_leaks(config, dataset, name, exposed)
    before = [
        seen_before(config, dataset, name, theirs, allow_leaks=allow_leaks)
        for config, theirs in zip(configs, ancestors, strict=True)
    ]
    first, second = (predictions(run, config, dataset, name, tta) for run, config in zip(runs, configs, strict=True))
    if first.model_sha256 == second.model_sha256:
        raise DataError(f"expected two runs with different models; {runs[0]} and {runs[1]} hold the same; name another")
    names = list(dict.fromkeys([*configs[0]["labels"], *configs[1]["labels"]]))
    labels = _places(configs[0]["labels"], names)[first.labels]
    rows = [
        _spread(found.probabilities, config["labels"], names)
        for found, config in zip((first, second), configs, strict=True)
    ]
    figures = [summarize(labels, probabilities, names) for probabilities in rows]
    answers = [probabilities.argmax(axis=1) for probabilities in rows]
    right = [answer == labels for answer in answers]
    change = paired_difference(right[1], right[0])
    return {
        "kind": "comparison",
        "dataset": dataset.name,
        "part": name,
        "protocol": dataset.protocol,
        "fingerprint": dataset.fingerprint,
        "notes": list(dataset.notes),
        "tta": tta,
        "samples": len(labels),
        "runs": [
            described_run(config, found, exposed) | {"seen_before": earlier, "figures": summary}
            for config, found, exposed, earlier, summary in zip(
                configs, (first, second), seen, before, figures, strict=True
            )
        ],
        "counts": {
            "both_right": int((right[0] & right[1]).sum()),
            "only_first_right": change.only_second,
            "only_second_right": change.only_first,
            "both_wrong": int((~right[0] & ~right[1]).sum()),
        },
        "agreement": float((answers[0] == answers[1]).mean()),
        "difference_points": change.points,
        "difference_ci95": [change.low, change.high],
        "p_value": change.p_value,
        "macro_f1_difference_points": 100 * (figures[1]["macro_f1"] - figures[0]["macro_f1"]),
        "macro_f1_difference_ci95": list(macro_f1_interval(labels, answers[0], answers[1], len(names))),
        "f1_change_points": {
            label: 100 * (figures[1]["per_class"][label]["f1"] - figures[0]["per_class"][label]["f1"])
            for label in names
        },
        "discordant": {
            label: [int((right[0] & ~right[1])[labels == i].sum()), int((right[1] & ~right[0])[labels == i].sum())]
            for i, label in enumerate(names)
        },
    }


def macro_f1_interval(labels: np.ndarray, first: np.ndarray, second: np.ndarray, classes: int) -> tuple[float, float]:
    """Return the paired 95 % bootstrap interval, in points, of the second macro-F1 minus the first.

    Both are computed on the same resampled pictures.

    Args:
        labels: int64 ``(n,)``, 0 to ``classes`` − 1.
        first: int64 ``(n,)``, the first run's answers.
        second: int64 ``(n,)``, the second run's answers.
        classes: number of classes.
    """
    before, after = resample_pair(labels, first, second, classes, BOOTSTRAP_SEED)
    low, high = interval_95(macro_f1s(after) - macro_f1s(before))
    return 100 * low, 100 * high


def side_by_side(
    runs: Sequence[Path],
    owns: Sequence[Dataset],
    part: str,
    tta: str = "none",
    *,
    ancestors: Sequence[Sequence[Ancestor]] | None = None,
) -> dict[str, Any]:
    """Return one row a protocol, each from a run that was fitted under it, ready for JSON.

    Args:
        runs: run folders.
        owns: each run's own data set under its own protocol.
        part: role or official name that every protocol has.
        tta: ``none``, ``flip`` or ``crops``.
        ancestors: what each run began with or learned from, where that saw other rows; told, never refused.

    Returns:
        ``rows`` (protocol, part, ``run`` with what it has ``seen`` and ``seen_before``, ``figures``, and ``tta_gain``
        with TTA), ``missing`` protocols, and ``differing``: what else than the protocol differs between the runs.

    Raises:
        DataError: two runs of one protocol, or runs on different data.
    """
    configs = [read_config(run) for run in runs]
    by_protocol: dict[str, str] = {}
    for config, own in zip(configs, owns, strict=True):
        if own.protocol in by_protocol:
            raise DataError(
                f"expected one run for each protocol; {by_protocol[own.protocol]} and {config['name']} were both "
                f"trained under {own.protocol}; leave one out"
            )
        by_protocol[own.protocol] = config["name"]
    if len({(own.name, own.fingerprint) for own in owns}) > 1:
        raise DataError("expected runs on the same data; got different fingerprints; name runs of one data set")
    rows: list[dict[str, Any]] = []
    for run, config, own, theirs in zip(runs, configs, owns, ancestors or [()] * len(runs), strict=True):
        name = own.part_name(part)
        found = predictions(run, config, own, name, tta)
        row = {
            "protocol": own.protocol,
            "part": name,
            "notes": list(own.notes),
            "run": described_run(config, found, exposure(own, own.parts[name]))
            | {"seen_before": seen_before(config, own, name, theirs, allow_leaks=True)},
            "figures": summarize(found.labels, found.probabilities, config["labels"]),
        }
        rows.append(row | ({"tta_gain": tta_gain(found)} if tta != "none" else {}))
    order = {protocol: index for index, protocol in enumerate(PROTOCOLS)}
    rows.sort(key=lambda row: (order[str(row["protocol"]).partition("+")[0]], row["protocol"]))
    return {
        "kind": "protocols",
        "dataset": owns[0].name,
        "fingerprint": owns[0].fingerprint,
        "part": part,
        "tta": tta,
        "rows": rows,
        "missing": [protocol for protocol in PROTOCOLS if protocol not in by_protocol],
        "differing": [key for key in SAMENESS if any(config.get(key) != configs[0].get(key) for config in configs)],
    }


def described_run(config: Mapping[str, Any], found: Predictions, seen: Exposure | None) -> dict[str, Any]:
    """Return what a result says about a run: name, model, what it was trained on and with, what it has seen."""
    return {
        "name": config["name"],
        "model_sha256": found.model_sha256,
        "backbone": config["backbone"],
        "recipe": config["recipe"]["name"],
        "trained_on": {key: config["data"][key] for key in ("name", "protocol", "fingerprint")},
        "supervision": supervision(config),
        "seen": None if seen is None else dataclasses.asdict(seen),
    }


def counts_table(comparison: Mapping[str, Any]) -> str:
    """Return the four counts of right and wrong as Markdown: rows the first run, columns the second."""
    first, second = (run["name"] for run in comparison["runs"])
    counts = comparison["counts"]
    return "\n".join(
        [
            f"| | {second} right | {second} wrong |",
            "|---|---|---|",
            f"| {first} right | {counts['both_right']} | {counts['only_first_right']} |",
            f"| {first} wrong | {counts['only_second_right']} | {counts['both_wrong']} |",
        ]
    )


def change_table(comparison: Mapping[str, Any]) -> str:
    """Return the F1 of both runs, its change in points, and the discordant pictures by class, as Markdown."""
    first, second = comparison["runs"]
    lines = [
        f"| Class | F1 {first['name']} | F1 {second['name']} | Change, points | Only first right | Only second right | "
        "Support |",
        "|---|---|---|---|---|---|---|",
    ]
    for index, (label, change) in enumerate(comparison["f1_change_points"].items()):
        before, after = (run["figures"]["per_class"][label] for run in (first, second))
        only_first, only_second = comparison["discordant"][label]
        lines.append(
            f"| {index} {label} | {before['f1']:.3f} | {after['f1']:.3f} | {change:+.1f} | {only_first} "
            f"| {only_second} | {before['support']} |"
        )
    return "\n".join(lines)


def protocols_table(table: Mapping[str, Any]) -> str:
    """Return the protocols side by side as Markdown."""
    lines = [
        "| Protocol | Run | Part | Samples | Seen in training | Accuracy (95 %) | Macro-F1 (95 %) | Weighted F1 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in table["rows"]:
        figures, seen = row["figures"], row["run"]["seen"]
        (low, high), (low_f1, high_f1) = figures["ci95"], figures["macro_f1_ci95"]
        lines.append(
            f"| {row['protocol']} | {row['run']['name']} | {row['part']} | {figures['samples']} | {seen['trained']} "
            f"| {figures['accuracy']:.4f} ({low:.4f} to {high:.4f}) | {figures['macro_f1']:.4f} ({low_f1:.4f} to "
            f"{high_f1:.4f}) | {figures['weighted_f1']:.4f} |"
        )
    lines += [f"| {protocol} | – | – | – | – | – | – | – |" for protocol in table["missing"]]
    return "\n".join(lines)


def _places(source: Sequence[str], target: Sequence[str]) -> np.ndarray:
    """Return int64 ``(len(source),)``: where each name of ``source`` is in ``target``."""
    return np.array([target.index(name) for name in source], np.int64)


def _spread(probabilities: np.ndarray, source: Sequence[str], target: Sequence[str]) -> np.ndarray:
    """Return probabilities over the classes ``target``; a class that the run does not know gets 0."""
    wide = np.zeros((len(probabilities), len(target)))
    wide[:, _places(source, target)] = probabilities
    return wide

"""The after-checks of an exported file: what it must fulfil, and what its quantization cost.

``run_file`` gives the file's own probabilities; the rest compares them with the float and the fake-quant network.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from math import comb
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.config import AGREEMENT_FLOOR
from convert.lowering.graph import FLOAT_KINDS, Graph
from convert.lowering.parity import Parity
from convert.tflite.export import INT8_RECIPES
from convert.tflite.inspection import CONVERSIONS, Inspection
from edge.benchmarking.statistics import (
    BOOTSTRAP_SEED,
    accuracy,
    bootstrap_interval,
    confusion_matrix,
    macro_f1,
    paired_difference,
    per_class,
    weighted_f1,
)

if TYPE_CHECKING:
    from convert.verification.own_steps import OwnSteps

FEW_PICTURES = 1000  # below it, agreement is judged with its chance


class CheckError(ValueError):
    """An exported file did not do what it must."""


def run_file(content: bytes, images: np.ndarray, advance: Callable[[int], None] = lambda done: None) -> np.ndarray:
    """Probabilities of a packaged file for uint8 [n, height, width, 3], as it gives them (not divided by their sum).

    Returns:
        float32 [n, classes]; of a uint8 output multiples of 1/256, so that equal ones are ties.
    """
    from convert.tflite.export import quiet
    from edge.inference.interpreter import Classifier

    with quiet():
        classifier = Classifier(content)
    output = classifier.model.output
    rows = []
    for index in range(len(images)):
        raw = classifier.infer(np.ascontiguousarray(images[index : index + 1]))[0]
        rows.append((raw.astype(np.float32) - (output.zero_point or 0)) * (output.scale or 1.0))
        advance(index + 1)
    return np.asarray(rows, np.float32)


def agreement(expected: np.ndarray, came: np.ndarray) -> float:
    """Share of pictures for which one class is the highest in both, ties counted as agreement.

    Args:
        expected: Probabilities [n, classes] of the network to agree with, rounded like the file's.
        came: Probabilities [n, classes] of the file.
    """
    highest = (expected >= expected.max(axis=1, keepdims=True)) & (came >= came.max(axis=1, keepdims=True))
    return float(highest.any(axis=1).mean())


def as_uint8_output(rows: np.ndarray) -> np.ndarray:
    """Probabilities as a uint8 output of scale 1/256 holds them."""
    return np.asarray(np.clip(np.round(rows * 256), 0, 255) / 256, np.float32)


def as_device(rows: np.ndarray) -> np.ndarray:
    """Probabilities [n, classes] as devices give them: a quantized softmax's are divided by their sum."""
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), np.float32)


def divergence(goal: np.ndarray, came: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence, in nats, of probabilities ``came`` [n, classes] from ``goal``."""
    return float((goal * (np.log(goal + 1e-8) - np.log(came + 1e-8))).sum(axis=1).mean())


def figures(rows: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """Accuracy with its 95 % interval, F1 scores and the per-class table of probabilities [n, classes]."""
    predicted = rows.argmax(axis=1)
    table = confusion_matrix(labels, predicted, len(names))
    scores = per_class(table, names)
    return {
        "samples": len(labels),
        "accuracy": accuracy(table),
        "ci95": list(bootstrap_interval(predicted == labels, BOOTSTRAP_SEED)),
        "macro_f1": macro_f1(table),
        "weighted_f1": weighted_f1(table),
        "per_class": {name: dict(scores[name]) for name in names},
    }


def compare(reference: np.ndarray, came: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, Any]:
    """What the file lost against the float network on one part, with the paired interval of the drop.

    Args:
        reference: Probabilities [n, classes] of the float network.
        came: Probabilities [n, classes] of the file.
        labels: int64 [n].
        names: Class names.

    Returns:
        ``float`` and ``file`` figures, ``drop_points`` (float less file accuracy, in points) with ``drop_ci95``,
        ``macro_f1_drop_points``, ``per_class_f1_change_points``, ``agreement_with_float`` (of the first highest class)
        and ``ties``, the share of pictures for which the file calls several classes highest.
    """
    before, after = figures(reference, labels, names), figures(came, labels, names)
    drop = paired_difference(reference.argmax(1) == labels, came.argmax(1) == labels)
    return {
        "float": before,
        "file": after,
        "drop_points": drop.points,
        "drop_ci95": [drop.low, drop.high],
        "macro_f1_drop_points": 100 * (before["macro_f1"] - after["macro_f1"]),
        "per_class_f1_change_points": {
            name: 100 * (after["per_class"][name]["f1"] - before["per_class"][name]["f1"]) for name in names
        },
        "agreement_with_float": float((reference.argmax(axis=1) == came.argmax(axis=1)).mean()),
        "ties": float(((came >= came.max(axis=1, keepdims=True)).sum(axis=1) > 1).mean()),
    }


def require_parity(parity: Parity) -> None:
    """Refuses a lowering that does not compute what the Keras model computes.

    Raises:
        CheckError: The relative difference is above the tolerance.
    """
    if not parity.holds:
        raise CheckError(
            f"expected the lowered network within 1e-4 of the Keras model's logits (relative to their range); came "
            f"{parity.relative:.2e}; this is a fault of a lowering rule: report the model's layers"
        )


def require_sound(recipe: str, graph: Graph, inspection: Inspection, kept: Collection[str] = frozenset()) -> list[str]:
    """Refuses an int8 file that is not all int8 by channel with the fixed input; gives warnings for what is only slow.

    Args:
        recipe: Of the file.
        graph: The lowered network; its normalizations compute in float.
        inspection: Of the file.
        kept: Layers that were to stay in float (``convert.budget``).

    Raises:
        CheckError: Another layer in float, a kernel with one scale for all channels, or another input scale.
    """
    if recipe not in INT8_RECIPES:
        return []
    allowed = {node.name for node in graph if node.kind in FLOAT_KINDS} | set(kept)
    astray = [layer for layer in inspection.float_layers if layer not in allowed]
    if astray:
        raise CheckError(f"expected no float operator in {recipe}; came {', '.join(astray)}")
    if inspection.tensor_kernels:
        raise CheckError(
            f"expected kernels quantized by channel; came one scale for {', '.join(inspection.tensor_kernels)}"
        )
    expected = (graph.input_scale, graph.input_zero_point)
    if abs(inspection.input[0] / expected[0] - 1) > 1e-6 or inspection.input[1] != expected[1]:
        raise CheckError(f"expected the input at scale and zero point {expected}; came {inspection.input}")
    warnings = []
    if inspection.partitions != 1:
        warnings.append(f"{inspection.partitions} XNNPACK partitions instead of 1")
    outside = {name: n for name, n in inspection.outside.items() if name not in (*CONVERSIONS, "SOFTMAX", "RESHAPE")}
    if outside:
        warnings.append(f"outside XNNPACK: {_listed(outside)}")
    return warnings


def require_agreement(
    recipe: str,
    part: str,
    share: float,
    samples: int,
    decides: bool = True,
    steps: Callable[[], OwnSteps | None] = lambda: None,
) -> list[str]:
    """Refuses a file that does not give its network's classes; returns warnings where that is no fault.

    An int8 file's network is computed in integers (``convert.verification.integers``), so that the rounding of
    near-ties does not count. Of networks with concatenations, whose scales TFLiteConverter merges, that is not exact: a
    ptq-int8 file is only warned of. On a small part, a shortfall that chance explains (``is_chance``) is only warned
    of, too: 4 of 280 pictures are 98.6 %.

    Args:
        recipe: Of the file.
        part: That was measured.
        share: Of pictures on which file and network agree, 0..1.
        samples: Number of pictures.
        decides: Whether this is the part to decide on (validation); others are only warned of.
        steps: Asked where the file is refused, for the layer that differs; gives None where there is none to compare.

    Raises:
        CheckError: Less than 99 % of the pictures agree, of 1,000 or more; of fewer, too few for chance.
    """
    if share >= AGREEMENT_FLOOR:
        return []
    if recipe == "ptq-int8" or not decides or is_chance(share, samples):
        return [f"gives its network's class for {share:.2%} of {part}, less than {AGREEMENT_FLOOR:.0%}"]
    found = steps()
    apart = "" if found is None else f"; of {found.layer}'s values {found.least:.2%} are the network's"
    raise CheckError(
        f"expected the {recipe} file to give its network's class for {AGREEMENT_FLOOR:.0%} of {part}; "
        f"came {share:.2%}{apart}; report the model"
    )


def is_chance(share: float, samples: int) -> bool:
    """Whether fewer than 1,000 pictures may fall this short of the floor by chance, though the file keeps to it.

    The number of disagreements at the floor is binomial; chance is a probability of 5 % or more to see as many.

    Args:
        share: Of pictures on which file and network agree, 0..1.
        samples: Number of pictures.
    """
    if samples >= FEW_PICTURES:
        return False
    miss = 1 - AGREEMENT_FLOOR
    fewer = range(round((1 - share) * samples))
    return 1 - sum(comb(samples, k) * miss**k * AGREEMENT_FLOOR ** (samples - k) for k in fewer) >= 0.05


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())

"""Records written by hand: ten samples, two models, figures that can be checked with a pencil."""

from __future__ import annotations

import copy
from typing import Any

FLOAT_SHA, INT8_SHA = "a" * 64, "b" * 64
MACHINE = {
    "model": "Test CPU",
    "arch": "x86_64",
    "cores": 2,
    "os": "Linux-6.1.0-x86_64-with-glibc2.36",
    "python": "3.11.7",
}
OTHER_MACHINE = MACHINE | {"model": "Raspberry Pi 5", "arch": "aarch64", "cores": 4}

def model(recipe: str, **changes: Any) -> dict[str, Any]:
    """Return a record's model block."""
    block = {
        "name": "lite0",
        "recipe": recipe,
        "backbone": "efficientnet-lite0",
        "file": f"lite0-{recipe}.tflite",
        "sha256": FLOAT_SHA if recipe == "float32" else INT8_SHA,
        "size_bytes": 13_500_000 if recipe == "float32" else 3_600_000,
        "input": [64, 64, 3],
    }
    return block | changes


def common(kind: str, recipe: str) -> dict[str, Any]:
    """Return the fields that every record has."""
    return {
        "schema": 1,
        "kind": kind,
        "created": "2026-01-02T03:04:05+00:00",
        "fer_edge": "0.1.0",
        "command": ["fer-edge", "benchmark", kind],
        "model": model(recipe),
        "runtime": {"name": "ai_edge_litert", "version": "2.3.0"},
        "threads": 1,
        "machine": copy.deepcopy(MACHINE),
    }


def accuracy(recipe: str, correct: str, **changes: Any) -> dict[str, Any]:
    """Return an accuracy record whose samples are right where `correct` says 1; the true class is always 3."""
    share = correct.count("1") / len(correct)
    record = common("accuracy", recipe) | {
        "data": {
            "name": "fer2013",
            "part": "PrivateTest",
            "fingerprint": "f" * 64,
            "samples": len(correct),
            "file": "private.npz",
        },
        "accuracy": share,
        "accuracy_ci95": [max(0.0, share - 0.2), min(1.0, share + 0.15)],
        "macro_f1": 0.61,
        "weighted_f1": 0.66,
        "per_class": {},
        "confusion": [],
        "predictions": correct.replace("0", "6").replace("1", "3"),
        "correct": correct,
        "latency_ms": {"p50": 1.0, "p90": 1.1, "p99": 1.2, "mean": 1.0, "min": 0.9, "max": 1.3},
    }
    return record | changes


def latency(recipe: str, p50: float, **changes: Any) -> dict[str, Any]:
    """Return a latency record with p90 and p99 a tenth and a fifth above the median."""
    record = common("latency", recipe) | {
        "latency_ms": times(p50),
        "samples_ms": [p50],
        "warmup": 10,
        "runs": 200,
        "first_inference_ms": 2 * p50,
        "load_ms": 5.0,
    }
    return record | changes


def times(p50: float) -> dict[str, float]:
    """Return a block of latencies around a median in milliseconds."""
    return {"p50": p50, "p90": 1.1 * p50, "p99": 1.2 * p50, "mean": p50, "min": 0.9 * p50, "max": 1.3 * p50}


def paired_latency(recipe: str, against: str, p50: float, against_p50: float, **changes: Any) -> dict[str, Any]:
    """Return a latency record of interleaved pairs whose ratio is that of the two medians."""
    ratio = against_p50 / p50
    record = latency(recipe, p50) | {
        "against": model(against) | {"latency_ms": times(against_p50)},
        "pairs": 100,
        "ratio": {"median": ratio, "p10": 0.9 * ratio, "p90": 1.1 * ratio, "ci95": [0.98 * ratio, 1.02 * ratio]},
        "ratios": [0.9 * ratio] * 15 + [ratio] * 70 + [1.1 * ratio] * 15,
    }
    return record | changes


def conversion(recipe: str, **changes: Any) -> dict[str, Any]:
    """Return a conversion report of a network of 60 operators."""
    block = model(recipe)
    report = {
        "schema": 1,
        "kind": "conversion",
        "recipe": recipe,
        "sha256": block["sha256"],
        "size_bytes": block["size_bytes"],
        "source": {"name": block["name"], "backbone": block["backbone"]},
        "inspection": {
            "operators": {"CONV_2D": 57, "QUANTIZE": 2, "SOFTMAX": 1},
            "partitions": 1,
            "outside": {"QUANTIZE": 2, "SOFTMAX": 1},
            "float_operators": {},
        },
        "parts": {"PublicTest": {"agreement_with_network": 0.9955}},
    }
    return report | changes

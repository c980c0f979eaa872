"""A peers record written by hand: ten pictures, three rounds, two peers (one failed) and two files of ours."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.handmade import MACHINE

TRUTH = "0123456012"
PERCENTILES_MS: dict[
    tuple[float, ...], dict[str, float]
] = {  # linear between the neighbours: of 4, 6 and 8, p90 lies 0.8 of the way from 6 to 8
    (4.0, 8.0, 6.0): {"p50": 6.0, "p90": 7.6, "p99": 7.96},
    (4.0, 4.0, 3.0): {"p50": 4.0, "p90": 4.0, "p99": 4.0},
    (2.0, 2.0, 2.0): {"p50": 2.0, "p90": 2.0, "p99": 2.0},
}


def peers_record() -> dict[str, Any]:
    """Return the record. Ours float32 is right on 8 of 10, ours int8 and plain float32 on 7."""
    return {
        "schema": 1,
        "kind": "peers",
        "created": "2026-01-02T03:04:05+00:00",
        "fer_edge": "0.1.0",
        "command": ["python -m benchmarks", "peers"],
        "config": {"part": "validation"},
        "machine": dict(MACHINE),
        "load_average": 1.02,
        "runtime": {"name": "ai-edge-litert", "version": "2.3.0"},
        "threads": 1,
        "versions": {"tensorflow": "2.21.0"},
        "source": {
            "name": "lite0",
            "backbone": "efficientnet-lite0",
            "labels": ["a", "b", "c", "d", "e", "f", "g"],
            "input": [56, 56, 3],
            "sha256": "c" * 64,
        },
        "data": {
            "name": "fer2013",
            "part": "PublicTest",
            "protocol": "official",
            "fingerprint": "f" * 64,
            "samples": 10,
            "in_part": 3589,
        },
        "calibration": {"part": "Training", "samples": 1024},
        "reference": score("0123456033") | {"macro_f1": 0.75},
        "truth": TRUTH,
        "rounds": 3,
        "warmup": 1,
        "files": [
            measured("plain-float32", "0123456333", [4.0, 8.0, 6.0]),
            {"name": "plain-int8", "ours": False, "status": "failed", "error": "ConverterError: no | kernel <x>"},
            measured("ours-float32", "0123456033", [4.0, 4.0, 3.0]),
            measured("ours-qat-int8", "0123456333", [2.0, 2.0, 2.0]),
        ],
        "ratios": [
            compared("ours-float32", "plain-float32", median=2.0, p10=1.2, p90=2.0, low=1.0, high=2.0),
            compared("ours-qat-int8", "plain-float32", median=3.0, p10=2.2, p90=3.8, low=2.0, high=4.0),
            compared("ours-qat-int8", "ours-float32", median=2.0, p10=1.6, p90=2.0, low=1.5, high=2.0),
        ],
    }


def score(predictions: str) -> dict[str, Any]:
    """The accuracy of predictions, with an interval of 0.2 either way."""
    share = sum(a == b for a, b in zip(predictions, TRUTH, strict=True)) / len(TRUTH)
    return {"predictions": predictions, "accuracy": share, "accuracy_ci95": [share - 0.2, share + 0.2]}


def measured(name: str, predictions: str, samples_ms: list[float]) -> dict[str, Any]:
    """A measured file; its drop and its other figures are the same for all."""
    return {
        "name": name,
        "ours": name.startswith("ours"),
        "status": "measured",
        "file": f"lite0-{name}.tflite",
        "sha256": "d" * 64,
        "size_bytes": 3_600_000,
        "input": {"dtype": "uint8", "scale": 0.0, "zero_point": 0},
        "operators": {"CONV_2D": 33, "QUANTIZE": 2},
        "partitions": 1,
        "outside": {"QUANTIZE": 2},
        "float_operators": {},
        **score(predictions),
        "macro_f1": 0.7,
        "drop": {"points": -1.5, "low": -3.0, "high": 0.25, "p_value": 0.5},
        "agreement": 0.995,
        "ties": 0.0,
        "latency_ms": dict(PERCENTILES_MS[tuple(samples_ms)]),
        "samples_ms": samples_ms,
    }


def compared(model: str, against: str, **figures: float) -> dict[str, Any]:
    """A comparison of three rounds."""
    return {
        "model": model,
        "against": against,
        "median": figures["median"],
        "p10": figures["p10"],
        "p90": figures["p90"],
        "ci95": [figures["low"], figures["high"]],
        "pairs": 3,
    }

"""Records of two boards by hand, with everything that a record may hold: facts, verdicts, turns, stages, bins."""

from __future__ import annotations

from typing import Any

from tests.benchmarks import handmade

HOSTILE = """<script>document.title = "taken"</script><img src=x onerror="document.title='taken'">&"'"""
LABELS = ["angry", "happy"]
WORKSTATION = handmade.MACHINE | {
    "board": None, "cpu": "Test CPU", "features": {"AVX2": True, "VNNI": False}, "kernel": "6.1.0", "governor": None,
    "clock_mhz": 3000, "clock_max_mhz": None, "temperature_before_c": None, "temperature_after_c": None,
    "throttled": None, "load_1m": 0.1, "memory_mb": 8000.0, "memory_available_mb": 7000.0,
}  # fmt: skip
PI = handmade.OTHER_MACHINE | {
    "board": "Raspberry Pi 5", "cpu": "Cortex-A76", "features": {"NEON": True, "dotprod": True, "i8mm": False},
    "kernel": "6.6.51", "governor": "ondemand", "clock_mhz": 1500, "clock_max_mhz": 2400, "temperature_before_c": 55.5,
    "temperature_after_c": 84.0, "throttled": {"now": ["soft temperature limit"], "since_boot": ["under-voltage"]},
    "load_1m": 0.05, "memory_mb": 4000.0, "memory_available_mb": 3500.0,
}  # fmt: skip
FINE = {"verdict": "fine", "reasons": [], "measures": []}
NOISY = {"verdict": "noisy", "reasons": ["load 3.10 in the minute before"], "measures": []}
THROTTLED = {"verdict": "throttled", "reasons": ["the clock fell from 2400 to 1500 MHz during the run"]}
BINS: dict[str, list[Any]] = {"count": [0, 4, 16], "confidence": [0.0, 0.5, 0.9], "accuracy": [0.0, 0.25, 0.875]}
CALIBRATION = {
    "ece": 0.07, "ece_ci95": [0.01, 0.2], "bins": BINS, "nll": 0.4321, "nll_ci95": [0.3, 0.6], "floor": 1 / 512,
    "floored": 0,
}  # fmt: skip


def samples(p50: float, count: int = 21) -> list[float]:
    """Return an odd number of times around a median, the slowest half as long again."""
    half = count // 2
    return [p50 * (1 + 0.01 * (place - half)) for place in range(count - 1)] + [1.5 * p50]


def timing(p50: float) -> dict[str, Any]:
    """Return the fields that each model of a latency record has."""
    return {
        "latency_ms": handmade.times(p50) | {"max": 1.5 * p50, "mad": 0.05 * p50}, "samples_ms": samples(p50),
        "warmup_ms": [2 * p50], "steady_after": 1, "first_inference_ms": 2 * p50, "load_ms": 5.0,
        "rss_before_load_mb": 40.0, "peak_rss_mb": 60.0, "xnnpack": {"partitions": 1, "operators": 60, "outside": {}},
    }  # fmt: skip


def ratio(median: float) -> dict[str, Any]:
    """Return a ratio with an interval of 2 % about its median."""
    return {
        "ratio": {"median": median, "p10": 0.9 * median, "p90": 1.1 * median, "ci95": [0.98 * median, 1.02 * median]},
        "ratios": [0.9 * median] * 3 + [median] * 15 + [1.1 * median] * 3,
    }


def turns(machine: dict[str, Any], stability: dict[str, Any], scale: float, name: str = "lite0") -> dict[str, Any]:
    """Return a latency record of INT8 with 1 thread (2 ms times a scale), float32 (6) and INT8 with 2 threads (1.5)."""
    quantized, full = handmade.model("qat-int8", name=name), handmade.model("float32", name=name)
    head = handmade.common("latency", "qat-int8") | {"machine": machine, "model": quantized, "stability": stability}
    others = [
        {**full, "threads": 1, "own_threads": 1, **timing(6.0 * scale), **ratio(3.0)},
        {**quantized, "threads": 2, "own_threads": 1, **timing(1.5 * scale), **ratio(0.75)},
    ]
    return {**head, **timing(2.0 * scale), "warmup": 20, "runs": 21, "others": others}


def accuracy(recipe: str, machine: dict[str, Any], wrong: tuple[int, ...], name: str = "lite0") -> dict[str, Any]:
    """Return an accuracy record of 20 pictures, 4 angry and 16 happy, all right but those named."""
    truth = "0" * 4 + "1" * 16
    correct = "".join("0" if place in wrong else "1" for place in range(20))
    predictions = "".join(digit if place not in wrong else str(1 - int(digit)) for place, digit in enumerate(truth))
    per_class = {}
    for index, label in enumerate(LABELS):
        hits = sum(a == b == str(index) for a, b in zip(truth, predictions, strict=True))
        support, found = truth.count(str(index)), predictions.count(str(index))
        per_class[label] = {
            "precision": hits / found, "recall": hits / support, "f1": 2 * hits / (support + found), "support": support,
        }  # fmt: skip
    return handmade.accuracy(recipe, correct, machine=machine, model=handmade.model(recipe, name=name)) | {
        "labels": LABELS,
        "truth": truth,
        "predictions": predictions,
        "per_class": per_class,
        "macro_f1": sum(score["f1"] for score in per_class.values()) / 2,
        "weighted_f1": sum(score["f1"] * score["support"] for score in per_class.values()) / 20,
        "confusion": [
            [sum(pair == (str(row), str(column)) for pair in zip(truth, predictions, strict=True)) for column in (0, 1)]
            for row in (0, 1)
        ],
        "calibration": CALIBRATION,
    }


def pipeline(machine: dict[str, Any], stability: dict[str, Any], scale: float) -> dict[str, Any]:
    """Return a pipeline record of 30 frames of 10 ms each, times a scale: 1 decode, 6 detect, 2 crop, 0.9 infer."""
    times = {"decode": (1.0, 30), "detect": (18.0, 10), "crop": (2.0, 30), "infer": (0.9, 30)}
    return handmade.common("pipeline", "qat-int8") | {
        "machine": machine,
        "frame": {"width": 640, "height": 480},
        "frames": 30,
        "faces_per_frame": 1.0,
        "detector": "haar",
        "detect_every": 3,
        "infer_every": 1,
        "stages_ms": {name: handmade.times(scale * mean) | {"n": count} for name, (mean, count) in times.items()},
        "end_to_end_ms": handmade.times(scale * 10.0),
        "overhead": {"share": 0.3, "ci95": [0.29, 0.31], "cycles": 10},
        "stability": stability,
    }


def records() -> list[dict[str, Any]]:
    """Return the records of both boards; the network on the second has a name that no page may run."""
    found = []
    for machine, stability, scale, name in (
        (WORKSTATION, NOISY, 1.0, "lite0"), (PI, THROTTLED, 10.0, HOSTILE),
    ):  # fmt: skip
        found += [
            accuracy("float32", machine, (0,), name),
            accuracy("qat-int8", machine, (0, 1), name),
            turns(machine, stability, scale, name),
            pipeline(machine, FINE, scale),
        ]
    return found

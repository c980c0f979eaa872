"""Records of runtime studies by hand, every target met."""

from __future__ import annotations

from typing import Any

from benchmarks.runtime.soak import judged
from tests.benchmarks.handmade import MACHINE


def common(kind: str) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": kind,
        "created": "2026-01-02T03:04:05+00:00",
        "fer_edge": "0.1.0",
        "command": ["program", kind],
        "machine": dict(MACHINE),
    }


def pipeline(share: float = 0.05, width: int = 640, height: int = 480, every: int = 3) -> dict[str, Any]:
    return common("pipeline") | {
        "frame": {"width": width, "height": height},
        "frames": 300,
        "detector": "haar",
        "detect_every": every,
        "stages_ms": {
            name: {"p50": ms}
            for name, ms in (("decode", 4.0), ("detect", 20.0), ("crop", 0.5), ("infer", 1.0), ("post", 0.25))
        },
        "end_to_end_ms": {"p50": 22.0},
        "overhead": {"share": share, "ci95": [share - 0.01, share + 0.01]},
    }


def live(share: float = 0.05, with_capture: float = 0.08, fps: float = 30.0, width: int = 640) -> dict[str, Any]:
    record = pipeline(share, width=width)
    stages = {name: times for name, times in record["stages_ms"].items() if name != "decode"}
    return record | {
        "stages_ms": {"handover": {"p50": 0.125}, **stages},
        "live": {
            "fps": fps, "captured": 320, "dropped": 20, "decode_ms": {"p50": 0.5}, "capture_cpu_ms": 240.0,
            "share_with_capture": with_capture,
        },
    }  # fmt: skip


def startup(image_s: float = 0.8, help_s: float = 0.1) -> dict[str, Any]:
    seconds = {"fer-edge image": image_s, "fer-edge --help": help_s}
    return common("startup") | {
        "commands": [
            {"name": name, "repeats": 20, "seconds": {"median": median, "p90": 1.1 * median}}
            for name, median in seconds.items()
        ]
    }


def soak(frames: int = 100_000, waiting: int = 1, growth_mb: float = 0.0) -> dict[str, Any]:
    legs = []
    for name, dropped in (("every frame", 0), ("slow reader", 500)):
        samples = [
            {"frames": frames * i // 100, "rss_mb": 80 + growth_mb * i / 80, "dropped": dropped, "faces": 9,
             "events": 2, "waiting": waiting, "descriptors": 6, "threads": 3}
            for i in range(1, 101)
        ]  # fmt: skip
        of_leg = {"name": name, "frames": frames, "width": 160, "height": 120, "seconds": 9.0}
        legs.append(of_leg | judged(samples, slow=bool(dropped)))
    return common("soak") | {"verdict": "flat", "tolerance_mb": 5.0, "legs": legs}


def footprint(wheel_bytes: int = 3_400_000) -> dict[str, Any]:
    return common("footprint") | {
        "system": "x86_64, Linux",
        "python": "3.11.7",
        "emulated": False,
        "wheel_bytes": wheel_bytes,
        "size_bytes": 300_000_000,
        "packages": {"numpy": {"version": "2.4.6", "size_bytes": 57_000_000}},
        "asks_for": ["ai-edge-litert", "click", "numpy", "opencv-python-headless"],
        "import_s": 0.14,
        "first_answer_s": 0.18,
        "repeats": 10,
    }


def tool(name: str, size_mb: int, **more: Any) -> dict[str, Any]:
    packages = {name: "1.0", "numpy": "2.4.6"}
    common = {"name": name, "note": "by hand", "status": "measured", "size_bytes": size_mb * 10**6}
    return common | {"packages": packages} | more


def faces(against_fer: float = 2.0) -> dict[str, Any]:
    answers = {"drawn": [{"emotion": "happy", "score": 0.9}]}
    times = {"version": "1.0", "answers": answers, "face_ms": {"p50": 10.0, "p90": 11.0}}
    ratio = {"model": "fer-edge", "against": "fer", "median": against_fer, "p10": against_fer, "p90": against_fer,
             "ci95": [against_fer, against_fer], "pairs": 100}  # fmt: skip
    return common("faces") | {
        "rounds": 100,
        "pictures": ["drawn"],
        "compared": ["drawn"],
        "tools": [
            tool("fer-edge", 300, **times),
            tool("fer", 3300, **times),
            tool("deepface", 360, status="not runnable offline", error="ValueError: no | weights"),
        ],
        "ratios": [ratio],
    }


def fuzz(pictures: int = 10_000, wrong: int = 0) -> dict[str, Any]:
    def block(count: int, wrong: int) -> dict[str, Any]:
        return {"outcomes": {"taken": 10, "refused": count - 10 - wrong}, "wrong": ["picture 1: died"] * wrong}

    return common("fuzz") | {"seed": 0, "pictures": block(pictures, wrong), "models": block(2_000, 0)}

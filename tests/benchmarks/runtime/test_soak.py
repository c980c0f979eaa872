from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.runtime.flatness import flatness
from benchmarks.runtime.record import read
from benchmarks.runtime.scene import SceneCamera
from benchmarks.runtime.soak import SoakConfig, judged, soak
from edge.errors import DataError, EdgeError

pytestmark = pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="memory is read from /proc, not here")
SHORT = SoakConfig(frames=600, slow_frames=60, slow_pause_ms=15.0)
ROOT = Path(__file__).resolve().parents[3]


def planted(fault: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.benchmarks.leaky_soak", fault)


@pytest.mark.alone
def test_a_short_soak_of_the_real_stream_is_flat_and_its_record_reads_back(tmp_path: Path) -> None:
    words = ["soak", "--frames", "600", "--slow-frames", "60", "--slow-pause-ms", "15"]
    result = CliRunner().invoke(main, [*words, "--record", str(tmp_path / "soak.json")])
    assert result.exit_code == 0, result.output
    record = read(tmp_path / "soak.json")
    steady, slow = record["legs"]
    assert record["verdict"] == steady["verdict"] == slow["verdict"] == "flat"
    assert steady["faces"] > 100 and steady["dropped"] == 0
    assert slow["dropped"] > 30 and slow["waiting"] <= 1
    assert slow["frames"] == 60


def test_a_planted_leak_is_called_a_leak() -> None:
    record = soak(SHORT, ["soak"], child=planted("leak"))
    assert record["verdict"] == "not flat"
    assert record["legs"][0]["verdict"] == "memory grows"
    assert record["legs"][0]["memory_mb"]["growth"] == pytest.approx(48, rel=0.3)  # 480 frames after the warm-up


@pytest.mark.alone  # a reader that is starved falls behind the frames that are kept, and one more waits
def test_frames_that_queue_up_are_counted() -> None:
    record = soak(SHORT, ["soak"], child=planted("queue"))
    assert record["legs"][1]["verdict"] == "3 frames wait"


def test_a_child_that_dies_is_one_line_and_no_record() -> None:
    with pytest.raises(EdgeError, match="expected 600 frames; got exit code 1 after 0: planted end"):
        soak(SHORT, ["soak"], child=planted("die"))


@pytest.mark.alone
def test_a_terminated_soak_ends_its_child_and_leaves_nothing(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "benchmarks", "soak", "--frames", "1000000", "--record", str(tmp_path / "soak.json")]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    children: list[str] = []
    while not children and time.monotonic() < deadline:
        time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert children
    process.send_signal(signal.SIGTERM)
    assert "Traceback" not in process.communicate(timeout=60)[1]
    assert process.returncode == 143
    # A child that was just being started is not killed; it ends at its first word, which nobody reads any more.
    deadline = time.monotonic() + 30
    while any(Path("/proc", child).exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path("/proc", child).exists() for child in children)
    assert list(tmp_path.iterdir()) == []


def samples(memory: Any, **changes: Any) -> list[dict[str, Any]]:
    common = {"dropped": 9, "faces": 5, "events": 2, "waiting": 1, "descriptors": 6, "threads": 3} | changes
    return [common | {"frames": 10 * (i + 1), "rss_mb": float(mb)} for i, mb in enumerate(memory)]


def test_what_may_not_grow_is_told() -> None:
    even = np.full(100, 80.0)
    assert judged(samples(even), slow=True)["verdict"] == "flat"
    assert judged(samples(even, dropped=0), slow=True)["wrong"] == ["no frame was dropped"]
    assert judged(samples(even, dropped=0), slow=False)["verdict"] == "flat"
    opened = samples(even)
    opened[-1] |= {"descriptors": 7}
    assert judged(opened, slow=False)["wrong"] == ["descriptors grow"]


def test_growth_before_the_warm_up_is_over_does_not_count() -> None:
    memory = np.concatenate([np.linspace(40, 80, 20), np.full(80, 80.0)])
    assert flatness(range(1, 101), list(memory), 5).verdict == "flat"


def test_growth_is_told_in_the_samples_unit_with_its_interval() -> None:
    noise = np.random.default_rng(0).normal(0, 0.2, 1000)
    found = flatness(range(1000), list(80 + np.arange(1000) / 100 + noise), 5)
    assert found.verdict == "grows"
    assert found.growth == pytest.approx(8, abs=0.2)  # 0.01 a frame over 800 frames
    assert found.growth_ci95[0] < 8 < found.growth_ci95[1]


def test_a_single_jump_beyond_the_tolerance_is_not_flat() -> None:
    memory = np.full(100, 80.0)
    memory[60] = 86
    assert flatness(range(100), list(memory), 5).verdict == "unsteady"
    memory[60] = 84
    assert flatness(range(100), list(memory), 5).verdict == "flat"


def test_the_interval_covers_a_flat_line_as_often_as_it_says() -> None:
    generator = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        low, high = flatness(range(400), list(generator.normal(80, 1, 400)), 5).growth_ci95
        covered += low <= 0 <= high
    assert 0.91 < covered / 300 < 0.985


def test_too_short_a_run_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 10 or more samples after the warm-up; got 9"):
        flatness(range(1, 11), [80.0] * 10, 5)


def test_the_drawn_faces_leave_and_return() -> None:
    camera = SceneCamera(160, 120)
    ground = np.zeros((120, 160, 3), np.uint8) + camera.read()[0, 0]
    empty = [bool((camera.read() == ground).all()) for _ in range(1500)]
    changes = sum(a != b for a, b in pairwise(empty))
    assert any(empty) and not all(empty) and changes >= 2


def test_a_record_that_lacks_a_field_is_refused(tmp_path: Path) -> None:
    (tmp_path / "soak.json").write_text(json.dumps({"schema": 1, "kind": "soak", "created": "now"}))
    with pytest.raises(DataError, match="expected the field fer_edge; got a record without it"):
        read(tmp_path / "soak.json")

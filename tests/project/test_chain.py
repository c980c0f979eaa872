"""The README's own commands, word for word and one after the other, on a small FER2013 of drawn faces.

Flags that only make them quicker are added (`QUICKER`), and the first run begins with random weights, which answer
alike for every face: no rounding decides what passes. Nothing else is changed.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from benchmarks.report import BEGIN, END
from tests.project.readme import commands

ROOT = Path(__file__).resolve().parents[2]
USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
QUICKER = {
    "python -m train fit fer2013 --data fer2013.csv --recipe modern": "--size 32 --epochs 1 --quiet",
    "python -m train fit": "--size 32 --head-epochs 1 --epochs 1 --weights none --quiet",
    "python -m train throughput": "--size 32 --batch 4 --steps 1 --warmup 1 --rounds 2",
    "python -m convert": "--steps 2 --calibration 14 --quiet",
    "fer-edge benchmark latency": "--pairs 3 --warmup 1",
    "fer-edge serve": "--port 0",
}
# Needs the network; what runs it without one is named here.
ELSEWHERE = {f"fer-edge fetch {name}": "tests/edge/test_fetch.py" for name in ("yunet", "blazeface")}
DETECTOR = "face_detection_yunet_2023mar.onnx"

pytestmark = pytest.mark.slow


def own_commands() -> list[str]:
    """Return the README's commands of ours, in order."""
    return [line for line in commands(ROOT / "README.md") if line.startswith(("fer-edge ", "python -m "))]


@dataclass
class Walk:
    """A folder in which the commands are run in order, each once, and what they said."""

    folder: Path
    done: dict[str, subprocess.CompletedProcess[str]] = field(default_factory=dict)

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Return the result of a command after those before it in the README have run."""
        for line in own_commands():
            if line not in self.done and line not in ELSEWHERE and (DETECTOR not in line or line == command):
                self.done[line] = self._start(line)
            if line == command:
                break
        return self.done[command]

    def _start(self, command: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(command)
        program = ["-m", "edge", *words[1:]] if words[0] == "fer-edge" else words[1:]
        extra = next((flags for start, flags in QUICKER.items() if command.startswith(start)), "")
        return subprocess.run(
            [sys.executable, *program, *extra.split()],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    """A folder with what the README's reader has: photographs, fer2013.csv and a README."""
    import cv2
    from skimage import data

    folder = tmp_path_factory.mktemp("reader")
    (folder / "photos").mkdir()
    for name in ("photo.jpg", "photos/first.jpg", "photos/second.jpg"):
        assert cv2.imwrite(str(folder / name), data.astronaut()[..., ::-1])
    _write_video(folder / "clip.mp4", cv2.resize(data.astronaut()[..., ::-1], (256, 256)))
    _write_fer2013(folder / "fer2013.csv")
    (folder / "results").mkdir()
    (folder / "benchmarks").mkdir()
    (folder / "benchmarks" / "results").symlink_to(folder / "results")  # where this project keeps its own
    # The reader's own: the project's holds the card of the shipped model, whose records are not here.
    (folder / "README.md").write_text(f"# Mine\n\n{BEGIN}\n{END}\n", encoding="utf-8")
    yield Walk(folder)


def _write_video(path: Path, picture: np.ndarray) -> None:
    """Write half a second in which a picture stands still."""
    import cv2

    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (picture.shape[1], picture.shape[0]))
    for _ in range(5):
        video.write(picture)
    video.release()


def _write_fer2013(path: Path) -> None:
    """Write drawn faces in FER2013's format: grey, 48 pixels, with its columns and Usage names."""
    import cv2

    from train.datasets.synthetic import load_synthetic

    drawn = load_synthetic(progress=False, counts={"train": 10, "validation": 4, "test": 4})
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["emotion", "pixels", "Usage"])
        for role, part in drawn.roles.items():
            faces = drawn.parts[part]
            for image, label in zip(faces.images, faces.labels, strict=True):
                grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
                writer.writerow([int(label), " ".join(map(str, grey.ravel())), USAGES[role]])


@pytest.mark.parametrize("command", [line for line in own_commands() if line not in ELSEWHERE])
def test_the_readmes_command_works(command: str, walk: Walk, request: pytest.FixtureRequest) -> None:
    if DETECTOR in command:
        shared: Path = request.getfixturevalue("shared_data")
        shutil.copyfile(shared / "detectors" / DETECTOR, walk.folder / DETECTOR)
    result = walk.run(command)
    assert result.returncode == 0, f"$ {command}\n{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("test", sorted(ELSEWHERE.values()))
def test_what_needs_the_network_is_tested_elsewhere(test: str) -> None:
    assert (ROOT / test).is_file()


def test_the_chain_leaves_its_products(walk: Walk) -> None:
    walk.run(own_commands()[-1])
    for name in (
        "runs/lite0/model.keras",
        "runs/lite0/run.json",
        "runs/student/model.keras",
        "throughput.json",
        "exports/lite0-float32.tflite",
        "exports/lite0-qat-int8.tflite",
        "exports/lite0-qat-int8.json",
        "packs/private.npz",
        "report/report.html",
        "annotated/photo-faces.jpg",
    ):
        assert (walk.folder / name).stat().st_size > 0, name
    pages = (walk.folder / "report" / "report.md").read_text(encoding="utf-8")
    readme = (walk.folder / "README.md").read_text(encoding="utf-8")
    for text in (pages, readme):
        assert "| lite0 | qat-int8 |" in text
        assert "fer2013 PrivateTest (28)" in text


def test_the_records_of_the_chain_name_the_files_that_ran(walk: Walk) -> None:
    from edge.files import sha256_of

    walk.run(own_commands()[-1])
    accuracy = json.loads((walk.folder / "results" / "accuracy.json").read_text(encoding="utf-8"))
    latency = json.loads((walk.folder / "results" / "latency.json").read_text(encoding="utf-8"))
    int8 = sha256_of(walk.folder / "exports" / "lite0-qat-int8.tflite")
    assert accuracy["model"]["sha256"] == latency["model"]["sha256"] == int8
    assert latency["against"]["sha256"] == sha256_of(walk.folder / "exports" / "lite0-float32.tflite")
    assert len(accuracy["correct"]) == 28
    assert len(latency["ratios"]) == 3
    assert accuracy["reference"]["model"]["sha256"] == latency["against"]["sha256"]


def test_a_model_file_says_what_its_run_learned_from(walk: Walk) -> None:
    from edge.inference.modelfile import read_model

    walk.run(own_commands()[-1])
    run = json.loads((walk.folder / "runs" / "lite0" / "run.json").read_text(encoding="utf-8"))
    told = read_model(walk.folder / "exports" / "lite0-qat-int8.tflite").contract.data
    assert told["supervision"] == run["supervision"] == "labels"
    assert told["fingerprint"] == run["data"]["fingerprint"]


def test_the_records_of_the_chain_fit_their_schema(walk: Walk) -> None:
    from tests.record_schema import check_record

    walk.run(own_commands()[-1])
    paths = sorted((walk.folder / "results").glob("*.json"))
    assert {path.stem for path in paths} == {"float32", "accuracy", "latency"}
    for path in paths:
        check_record(path)


def test_json_of_the_readmes_folder_of_photographs_is_one_object_a_picture(walk: Walk) -> None:
    result = walk.run("fer-edge image photos/ --json")
    readings = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(reading["image"]).name for reading in readings] == ["first.jpg", "second.jpg"]
    for reading in readings:
        assert set(reading) == {"image", "width", "height", "faces", "latency_ms", "model", "detector", "align"}
        assert (reading["width"], reading["height"]) == (512, 512)
        assert reading["faces"]
        for face in reading["faces"]:
            assert set(face) == {"box", "detection_score", "emotion", "probabilities"}
            assert sum(face["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)
            assert face["emotion"] == max(face["probabilities"], key=lambda name: face["probabilities"][name])

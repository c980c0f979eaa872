"""The built wheel under user-mode emulation: Debian's Python for arm64, as a Raspberry Pi 4 and as a Raspberry Pi 5."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks.arm.boards import BOARDS, SUITES
from benchmarks.arm.emulator import Emulator, Interval
from benchmarks.arm.home import Home
from benchmarks.runtime.footprint import footprint_record
from benchmarks.runtime.record import write
from edge.files import sha256_of
from edge.inference.modelfile import SHIPPED, shipped_model_path
from tests.aarch64 import machines
from tests.conftest import SHARED_DATA
from tests.project.test_wheel import BASE, wheel  # noqa: F401  (the fixture)

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = "ai-edge-litert"
PICTURES = 8
DEVICE_TESTS = (
    "inference/test_interpreter.py",
    "test_recognizer.py",
    "inference/test_modelfile.py",
    "inference/test_flatbuffer.py",
    "test_labels.py",
)
LATENCY = ["benchmark", "latency", "--runs", "3", "--warmup", "1", "--record", "latency.json"]
MACHINES = [(suite, board) for suite in SUITES for board in BOARDS]

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Guest:
    """What one emulated machine answered."""

    suite: str
    board: str
    folder: Path
    answers: dict[str, Any]
    inferences: Interval

    def command(self, *words: str) -> dict[str, Any]:
        found: dict[str, Any] = self.answers["commands"][" ".join(words)]
        return found

    def faces(self, picture: Path) -> list[dict[str, Any]]:
        result = self.command("image", str(picture), "--json")
        assert result["exit_code"] == 0, result["stderr"]
        faces: list[dict[str, Any]] = json.loads(result["stdout"])["faces"]
        return faces


@pytest.fixture(scope="module")
def home(pytestconfig: pytest.Config) -> Home:
    return machines.home(pytestconfig)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded pictures in the shipped model's size, uint8 [n, height, width, 3], as .npy."""
    from edge.inference.modelfile import read_model

    generator = np.random.default_rng(2013)
    coarse = generator.integers(0, 256, (PICTURES, 7, 7, 3), np.uint8)
    _, height, width, _ = read_model().input.shape
    path = tmp_path_factory.mktemp("pictures") / "pictures.npy"
    np.save(path, np.stack([cv2.resize(each, (width, height), interpolation=cv2.INTER_CUBIC) for each in coarse]))
    return path


@pytest.fixture(scope="module")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """scikit-image's photograph of one face, at half its size: a cascade takes its time under emulation."""
    from skimage.data import astronaut as photograph

    small = cv2.resize(photograph(), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    path = tmp_path_factory.mktemp("photo") / "astronaut.png"
    assert cv2.imwrite(str(path), cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
    return path


@pytest.fixture(scope="module")
def photographs(astronaut: Path) -> list[Path]:
    hopper = SHARED_DATA / "photos" / "grace_hopper.jpg"
    return [astronaut, *[hopper] * hopper.is_file()]


@pytest.fixture(scope="module")
def device_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with the device's tests and without `edge`, so that they meet the wheel."""
    from tests.edge import models

    folder = tmp_path_factory.mktemp("device-tests")
    shutil.copytree(ROOT / "tests" / "edge", folder / "tests" / "edge", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "tests/__init__.py", "tests/conftest.py"):
        shutil.copyfile(ROOT / name, folder / name)
    for recipe in ("float32", "qat-int8"):
        (folder / f"{recipe}-7.tflite").write_bytes(models.flatbuffer(recipe))
    (folder / "qat-int8-6.tflite").write_bytes(models.flatbuffer("qat-int8", 6))
    return folder


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """The wheel alone, as pip installs it."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"]
    subprocess.run([*command, str(folder), str(wheel)], check=True)
    return folder


def requirements(wheel: Path) -> list[str]:  # noqa: F811
    """What the wheel asks for, the runtime in this environment's own version."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    lines = archive.read(name).decode("utf-8").splitlines()
    asked = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    base = [line for line in asked if "extra ==" not in line]
    return [*base, f"{RUNTIME}=={importlib.metadata.version(RUNTIME)}"]


@pytest.fixture(scope="module", params=MACHINES, ids=["-".join(words) for words in MACHINES])
def guest(
    request: pytest.FixtureRequest,
    home: Home,
    wheel: Path,  # noqa: F811
    installed: Path,
    pictures: Path,
    photographs: list[Path],
    device_tests: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Guest:
    """Everything that one machine is asked, in one process; leaves the base install's figures in the cache."""
    suite, board = request.param
    constraints = ROOT / "constraints.txt"
    with machines.or_skip():
        home.board(suite, board)
        site = home.site(suite, requirements(wheel), constraints)
        pytest_site = home.site(suite, ["pytest"], constraints)
    folder = tmp_path_factory.mktemp(f"{suite}-{board}")
    task: dict[str, Any] = {
        "commands": [
            ["doctor"], ["info", "--json"], LATENCY, *(["image", str(path), "--json"] for path in photographs),
        ],
        "photograph": str(photographs[0]),
        "pictures": str(pictures),
        "tests": {"folder": str(device_tests), "files": [f"tests/edge/{name}" for name in DEVICE_TESTS]},
    }
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    paths = os.pathsep.join(str(path.absolute()) for path in (installed, site, pytest_site))
    ran = Emulator(home, suite, board, site).run(
        [Path(__file__).with_name("guest.py"), folder / "task.json", folder / "answers.json"],
        count=True, environment={"PYTHONPATH": paths}, cwd=folder,
    )  # fmt: skip
    answers = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    first = {name: answers[name] for name in ("python", "import_s", "first_answer_s")} | {
        "answer": answers["first_answer"]
    }
    system = f"arm64 Debian {suite} as a {BOARDS[board].title}, emulated"
    command = ["python", "-m", "pytest", "tests/aarch64"]
    write(
        home.folder / f"base-install-{suite}-{board}.json",
        footprint_record([installed, site], wheel, [first], command, system, emulated=True),
    )
    return Guest(suite, board, folder, answers, ran.intervals[1])


def test_the_wheel_is_what_runs_there_on_that_suites_python(guest: Guest, installed: Path) -> None:
    assert Path(guest.answers["edge"]["file"]).is_relative_to(installed)
    assert guest.answers["python"].startswith(SUITES[guest.suite].python + ".")


def test_doctor_finds_the_board_and_nothing_wrong(guest: Guest) -> None:
    result = guest.command("doctor")
    assert result["exit_code"] == 0, result["stdout"]
    assert f"{BOARDS[guest.board].title}, aarch64, " in result["stdout"]


def test_the_latency_record_tells_the_board_its_features_and_that_so_few_runs_say_nothing(guest: Guest) -> None:
    result = guest.command(*LATENCY)
    assert result["exit_code"] == 0, result["stderr"]
    assert "stability: noisy" in result["stdout"]
    record = json.loads((guest.folder / "latency.json").read_text(encoding="utf-8"))
    machine = record["machine"]
    assert machine["arch"] == "aarch64" and BOARDS[guest.board].title in machine["board"]
    assert machine["features"]["NEON"] and machine["features"]["dot product"] is (guest.board == "pi5")
    assert record["xnnpack"]["partitions"] == 1
    assert len(record["samples_ms"]) == 3 and len(record["warmup_ms"]) == 2


def test_info_names_the_seven_labels(guest: Guest) -> None:
    result = guest.command("info", "--json")
    assert result["exit_code"] == 0, result["stderr"]
    assert len(json.loads(result["stdout"])["labels"]) == 7


def test_a_photograph_is_read_as_on_this_machine(guest: Guest, photographs: list[Path]) -> None:
    from click.testing import CliRunner

    from edge.__main__ import cli

    assert guest.answers["first_answer"] == guest.faces(photographs[0])[0]["emotion"]
    for path in photographs:
        expected = json.loads(CliRunner().invoke(cli, ["image", str(path), "--json"]).stdout)["faces"]
        came = guest.faces(path)
        assert len(came) == len(expected) >= 1
        for ours, theirs in zip(came, expected, strict=True):
            np.testing.assert_allclose(ours["box"], theirs["box"], atol=2)
            assert ours["emotion"] == theirs["emotion"]


def test_int8_outputs_equal_those_of_this_machine_bit_for_bit(guest: Guest, pictures: Path) -> None:
    from edge.inference.interpreter import Classifier
    from edge.inference.modelfile import read_model

    classifier = Classifier(read_model())
    assert guest.answers["outputs"]["runtime"] == classifier.runtime
    expected = np.array([classifier.infer(picture[None])[0] for picture in np.load(pictures)])
    came = np.array(guest.answers["outputs"]["rows"])
    assert expected.dtype == np.uint8
    assert len(np.unique(expected, axis=0)) == PICTURES  # pictures that are told apart
    np.testing.assert_array_equal(came, expected)


def test_dot_products_are_used_on_the_pi_5_and_not_on_the_pi_4(guest: Guest) -> None:
    assert guest.inferences.instructions > PICTURES * 1e6
    if guest.board == "pi5":
        assert guest.inferences.sdot > PICTURES * 1e6
    else:
        assert guest.inferences.sdot == 0


def test_the_devices_own_tests_pass_there(guest: Guest) -> None:
    result = guest.answers["tests"]
    assert result["exit_code"] == 0, result["said"]
    assert "passed" in result["said"]


def test_the_base_install_is_the_four_packages_and_what_they_ask_for(guest: Guest, home: Home) -> None:
    path = home.folder / f"base-install-{guest.suite}-{guest.board}.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    packages = record["packages"]
    assert record["models"] == {name: sha256_of(shipped_model_path(name)) for name in SHIPPED}
    assert {"fer-edge", *BASE} <= {name.replace("_", "-") for name in packages}
    assert not {"tensorflow", "keras", "scipy", "matplotlib"} & set(packages)

"""What must not be in the tree: data, pictures of people, big files, one machine's paths."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LARGEST_FILE_BYTES = 4 << 20  # outside edge/models
LARGEST_TREE_BYTES = 10 << 20
DATA_SUFFIXES = frozenset(
    {".csv", ".npz", ".npy", ".jpg", ".jpeg", ".png", ".keras", ".h5", ".onnx", ".zip", ".mp4", ".pkl"}
)
# "/home/me" is nobody's: tests write it where they need a home.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home/(?!me\b)|root/|Users/|mnt/|opt/|scratch/|tmp/|work/)\w")


def _tracked() -> list[Path]:
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if names.returncode != 0:
        pytest.fail(f"expected a git checkout in {ROOT}; got {names.stderr.strip()}; run the tests in a clone")
    return [ROOT / name for name in names.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_tracked_file_is_data_or_a_picture() -> None:
    assert [path.relative_to(ROOT).as_posix() for path in _tracked() if path.suffix.lower() in DATA_SUFFIXES] == []


def test_tracked_files_are_small() -> None:
    sizes = {path.relative_to(ROOT): path.stat().st_size for path in _tracked()}
    code = {path: size for path, size in sizes.items() if path.parts[:2] != ("edge", "models")}
    assert [str(path) for path, size in code.items() if size > LARGEST_FILE_BYTES] == []
    assert 0 < sum(sizes.values()) <= LARGEST_TREE_BYTES


def test_no_tracked_text_names_a_path_of_one_machine() -> None:
    found = []
    for path in _tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # the model
        if path != Path(__file__).resolve() and MACHINE_PATH.search(text):
            found.append(path.relative_to(ROOT).as_posix())
    assert found == []


@pytest.mark.parametrize("text", ["open('/home/ann/fer2013.csv')", "see /root/x", "/Users/ann/run", "--out /tmp/run1"])
def test_the_check_sees_a_path_of_one_machine(text: str) -> None:
    assert MACHINE_PATH.search(text)


@pytest.mark.parametrize(
    "text", ["~/.cache/fer-edge", "https://example.org/home/page", "/proc/cpuinfo", "tests/opt/x", "/home/me/.cache"]
)
def test_the_check_lets_other_paths_pass(text: str) -> None:
    assert not MACHINE_PATH.search(text)

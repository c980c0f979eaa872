from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from zipfile import ZipFile

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.runtime import faces as study
from benchmarks.runtime.environment import environment
from benchmarks.runtime.faces import compare, drawn_pictures
from benchmarks.runtime.footprint import asks_for, first_answers, footprint, footprint_record, without_installers
from benchmarks.runtime.record import read, write
from benchmarks.runtime.tools import TOOLS, answers_text
from edge.errors import DataError, EdgeError

HERE = Path(sys.executable)
FAKE = """
import json, sys, time
name = sys.argv[1]
if name == "deepface":
    print(json.dumps({"error": "ValueError: no weights in " + __import__("os").environ["HOME"]}), flush=True)
    sys.exit()
print(json.dumps({"ready": "1.2"}), flush=True)
for line in sys.stdin:
    if name == "fer-30px":
        sys.exit(3)
    found = [] if name == "fer" and line.strip() == "1" else [{"emotion": "happy", "score": 0.9}]
    print(json.dumps({"ms": {"fer-edge": 10, "fer": 20}[name] + int(line), "faces": found}), flush=True)
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers whose answers are known, in place of the tools."""
    (tmp_path / "fake.py").write_text(FAKE, encoding="utf-8")
    monkeypatch.setattr(study, "WORKER", tmp_path / "fake.py")


def two(folder: Path) -> dict[str, Path]:
    return {"first": folder / "first.png", "second": folder / "second.png"}


@pytest.mark.usefixtures("fake")
def test_tools_are_compared_on_the_pictures_where_each_found_one_face(tmp_path: Path) -> None:
    record = compare({"fer-edge": HERE, "fer": HERE}, two(tmp_path), 8, 2, ["faces"])
    assert record["compared"] == ["first"]
    ours, theirs = record["tools"]
    assert (ours["face_ms"]["p50"], theirs["face_ms"]["p50"]) == (10, 20)
    assert len(ours["samples_ms"]) == 8
    assert ours["picture_ms"] == {"first": 10, "second": 11}
    assert theirs["answers"]["second"] == []
    (ratio,) = record["ratios"]
    assert (ratio["model"], ratio["against"], ratio["median"], ratio["pairs"]) == ("fer-edge", "fer", 2.0, 8)
    write(tmp_path / "record.json", record)
    assert read(tmp_path / "record.json") == record


@pytest.mark.usefixtures("fake")
def test_a_tool_that_does_not_run_is_recorded_with_its_error_and_no_path_of_this_machine(tmp_path: Path) -> None:
    record = compare(dict.fromkeys(("fer-edge", "deepface", "fer-30px"), HERE), two(tmp_path), 2, 0, ["faces"])
    _, deepface, fer = record["tools"]
    assert deepface["status"] == fer["status"] == "not runnable offline"
    assert deepface["error"] == "ValueError: no weights in ~"
    assert fer["error"] == "ended with code 3"
    assert record["ratios"] == [] and record["compared"] == ["first", "second"]


def test_a_comparison_without_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected fer-edge among the tools; got fer"):
        compare({"fer": HERE}, two(tmp_path), 1, 0, ["faces"])


def test_the_real_worker_reads_the_pictures_with_fer_edge(tmp_path: Path) -> None:
    words = ["faces", "--tool", "fer-edge", "--environment", f"fer-edge={sys.executable}", "--rounds", "2"]
    result = CliRunner().invoke(main, [*words, "--warmup", "0", "--record", str(tmp_path / "faces.json")])
    assert result.exit_code == 0, result.output
    (tool,) = read(tmp_path / "faces.json")["tools"]
    assert [face["emotion"] for face in tool["answers"]["astronaut, 512×512"]] == ["happy"]
    assert [len(found) for found in tool["answers"].values()] == [1, 1, 1]
    assert f"; {answers_text(tool['answers'])}\n" in result.output
    assert tool["face_ms"]["p50"] > 0


def test_answers_are_told_picture_by_picture_and_so_is_that_no_face_was_found() -> None:
    assert answers_text({"a": [{"emotion": "happy"}, {"emotion": "sad"}], "b": []}) == "a: happy, sad; b: no face"
    assert answers_text({}) == ""


def test_a_package_that_is_not_there_is_told_in_its_own_words(tmp_path: Path) -> None:
    pictures = drawn_pictures(tmp_path)
    record = compare({"fer-edge": HERE, "deepface": HERE}, pictures, 1, 0, ["faces"])
    assert record["tools"][1]["error"] == "ModuleNotFoundError: No module named 'deepface'"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--environment", "fer"], "--environment: expected one of fer-edge"),
        (["--environment", "fer=/nowhere"], "--environment: expected one of fer-edge"),
        (["--tool", "fer-edge-yunet"], "needs --yunet FILE"),
    ],
)
def test_wrong_words_are_a_usage_error(words: list[str], text: str) -> None:
    result = CliRunner().invoke(main, ["faces", *words])
    assert result.exit_code == 2 and text in result.stderr


def test_every_tool_has_an_adapter() -> None:
    from benchmarks.runtime.faces_worker import ADAPTERS

    assert {tool.adapter for tool in TOOLS.values()} == set(ADAPTERS)


def test_an_environment_that_cannot_be_made_is_one_line_and_is_begun_anew(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"expected .* -m pip .*to succeed; got exit code 1") as caught:
        environment(tmp_path, "none", [str(tmp_path / "none.txt" / "nothing")])
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("*/.installed"))


def test_the_footprint_of_this_environment_names_what_fer_edge_asks_for(tmp_path: Path) -> None:
    import sysconfig

    folder = Path(sysconfig.get_path("purelib"))
    answers = first_answers(HERE, next(iter(drawn_pictures(tmp_path).values())), 1)
    wheel = tmp_path / "a.whl"
    with ZipFile(wheel, "w") as content:
        content.writestr("edge/models/tiny.tflite", b"")
        content.writestr("edge/models/NOTICE", b"")
        content.writestr("elsewhere/other.tflite", b"")
    record = footprint_record([folder], wheel, answers, ["footprint"], "here")
    assert asks_for([folder]) == ["ai-edge-litert", "click", "numpy", "opencv-python-headless"]
    assert record["wheel_bytes"] == wheel.stat().st_size and record["repeats"] == 1
    assert record["models"] == {"tiny": sha256(b"").hexdigest()}
    assert 0 < record["import_s"] < record["first_answer_s"]
    assert record["answer"] is not None
    write(tmp_path / "record.json", record)


def package(folder: Path, name: str, size: int) -> None:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}.py").write_bytes(bytes(size))
    (folder / f"{name}.pyc").write_bytes(bytes(10 * size))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "RECORD").write_text(f"{name}.py,,\n{name}.pyc,,\n")


def test_sizes_are_those_of_the_files_without_byte_code_and_installers(tmp_path: Path) -> None:
    package(tmp_path, "small", 100)
    package(tmp_path, "large", 300)
    package(tmp_path, "pip", 5000)
    found = footprint([tmp_path])
    assert found["size_bytes"] == 5400
    ours = without_installers(found)
    assert ours["size_bytes"] == 400
    assert list(ours["packages"]) == ["large", "small"]
    assert ours["packages"]["large"] == {"version": "1.0", "size_bytes": 300}
    with pytest.raises(EdgeError, match=r"expected fer-edge in .*; got other packages"):
        asks_for([tmp_path])


def test_a_python_without_fer_edge_gives_no_first_answer(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="got exit code"):
        first_answers(HERE, tmp_path / "missing.png", 1)


@pytest.mark.slow
def test_the_base_install_is_measured_in_an_environment_of_its_own(tmp_path: Path) -> None:
    words = ["footprint", "--repeats", "1", "--home", str(tmp_path / "home"), "--record", str(tmp_path / "record.json")]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    record = read(tmp_path / "record.json")
    assert record["wheel_bytes"] <= 6_000_000
    assert {"fer-edge", "numpy", "click"} <= set(record["packages"])
    assert not {"pip", "scipy", "tensorflow", "keras"} & set(record["packages"])


def test_two_pictures_of_one_name_are_refused_before_anything_is_installed(tmp_path: Path) -> None:
    pictures = [tmp_path / folder / "a.png" for folder in ("one", "two")]
    for picture in pictures:
        picture.parent.mkdir()
        picture.touch()
    words = [word for picture in pictures for word in ("--picture", str(picture))]
    result = CliRunner().invoke(main, ["faces", "--no-photograph", "--home", str(tmp_path / "home"), *words])
    assert result.exit_code == 1
    assert "expected pictures of different names; got a second a.png; rename one" in result.stderr
    assert not (tmp_path / "home").exists()

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from edge import __version__
from edge.files import sha256_of
from edge.pictures.images import read_image
from tests.edge import models
from tests.edge.conftest import Run
from tests.edge.finding import Fixed

HOPPER = (176, 100, 357, 338)


@pytest.fixture
def photos(shared_data: Path) -> Path:
    return shared_data / "photos"


@pytest.fixture
def yunet(shared_data: Path) -> Path:
    return shared_data / "detectors" / "face_detection_yunet_2023mar.onnx"


def objects(stdout: str) -> list[dict[str, Any]]:
    """Return the JSON objects printed one a line."""
    return [json.loads(line) for line in stdout.splitlines()]


def test_json_is_one_object_a_picture_with_the_documented_fields(
    run: Run, int8_path: Path, photos: Path, yunet: Path
) -> None:
    result = run("image", photos, "--model", int8_path, "--json", "--detector-model", yunet)
    assert (result.exit_code, result.stderr) == (0, "")
    coral, hopper = objects(result.stdout)
    assert coral["image"] == str(photos / "coral_face.jpg")
    assert (coral["width"], coral["height"], len(coral["faces"])) == (512, 355, 4)
    assert len(hopper["faces"]) == 1
    assert set(hopper["latency_ms"]) == {"decode", "detect", "crop", "infer"}
    for face in (*coral["faces"], *hopper["faces"]):
        left, top, right, bottom = face["box"]
        assert 0 <= left < right <= 512 and 0 <= top < bottom <= 600
        assert 0 < face["detection_score"] <= 1
        assert list(face["probabilities"]) == list(models.CONTRACT.labels)
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert face["emotion"] == max(face["probabilities"], key=lambda name: face["probabilities"][name])


@pytest.mark.parametrize("words", [("image", "photo.png"), ("camera", "synthetic", "--max-frames", "1")])
def test_the_detection_side_reaches_the_detector(
    words: tuple[str, ...], run: Run, int8_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sides: list[int] = []

    def recording(name: str, model: str | None, side_px: int) -> Fixed:
        sides.append(side_px)
        return Fixed()

    monkeypatch.setattr("edge.recognizer.load_detector", recording)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 30)).save("photo.png")
    for flags in (("--detection-side", "321"), ()):
        result = run(*words, "--model", int8_path, *flags)
        assert result.exit_code == 0, result.output
    assert sides == [321, 640]


def test_text_names_the_picture_its_faces_and_their_emotions(run: Run, int8_path: Path, photos: Path) -> None:
    result = run("image", photos / "grace_hopper.jpg", "--model", int8_path)
    assert result.exit_code == 0
    first, second = result.stdout.splitlines()
    assert first == f"{photos / 'grace_hopper.jpg'}: 512 x 600, 1 face"
    assert second.split()[0] in models.CONTRACT.labels and " box " in second and "%" in second


def test_boxes_are_in_the_upright_pictures_pixels(run: Run, int8_path: Path, photos: Path, tmp_path: Path) -> None:
    upright = Image.open(photos / "grace_hopper.jpg")
    exif = Image.Exif()
    exif[274] = 6  # stored turned to the left; upright after a quarter turn to the right
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    result = run("image", tmp_path / "turned.png", "--model", int8_path, "--json")
    (reading,) = objects(result.stdout)
    assert (reading["width"], reading["height"]) == (512, 600)
    assert np.abs(np.array(reading["faces"][0]["box"]) - HOPPER).max() <= 6


def test_one_bad_picture_costs_one_line_and_the_others_are_read(
    run: Run, int8_path: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "short.jpg").write_bytes((photos / "coral_face.jpg").read_bytes()[:9000])
    shutil.copy(photos / "grace_hopper.jpg", tmp_path / "sound.jpg")
    result = run("image", tmp_path, tmp_path / "none.png", tmp_path / "*.webp", "--model", int8_path, "--json")
    assert result.exit_code == 1
    assert [Path(reading["image"]).name for reading in objects(result.stdout)] == ["sound.jpg"]
    lines = result.stderr.splitlines()
    assert len(lines) == 4 and all(line.startswith("error: ") for line in lines)
    for text in ("*.webp: expected a pattern", "empty.jpg: expected a picture; got an empty", "short.jpg: expected a "
                 "whole JPEG", "none.png: expected a picture; got no such file"):  # fmt: skip
        assert sum(text in line for line in lines) == 1, text


def test_a_batch_without_a_bad_picture_exits_with_0(run: Run, int8_path: Path, photos: Path) -> None:
    assert run("image", photos / "*.jpg", "--model", int8_path).exit_code == 0


def test_annotated_pictures_go_to_a_file_or_a_folder(run: Run, int8_path: Path, photos: Path, tmp_path: Path) -> None:
    one = run("image", photos / "grace_hopper.jpg", "--model", int8_path, "--out", tmp_path / "new" / "one.png")
    assert one.exit_code == 0, one.stderr
    difference = (read_image(tmp_path / "new" / "one.png") != read_image(photos / "grace_hopper.jpg")).any(axis=2)
    told = run("image", photos / "grace_hopper.jpg", "--model", int8_path, "--json")
    ((left, top, right, _),) = (face["box"] for face in json.loads(told.stdout)["faces"])
    assert difference[top, left + 20 : right - 20].all() and not difference[400:].any()
    many = run("image", photos, "--model", int8_path, "--out", tmp_path / "many")
    assert many.exit_code == 0, many.stderr
    assert sorted(path.name for path in (tmp_path / "many").iterdir()) == [
        "coral_face-faces.jpg",
        "grace_hopper-faces.jpg",
    ]


def test_pictures_of_one_name_do_not_overwrite_each_other(
    run: Run, int8_path: Path, photos: Path, tmp_path: Path
) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(photos / "grace_hopper.jpg", tmp_path / folder / "x.jpg")
    result = run("image", tmp_path / "a", tmp_path / "b", "--model", int8_path, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x-faces-2.jpg", "x-faces.jpg"]


def test_out_never_overwrites_a_picture_that_is_read(run: Run, int8_path: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "grace_hopper.jpg", tmp_path / "x.jpg")
    before = (tmp_path / "x.jpg").read_bytes()
    result = run("image", tmp_path / "x.jpg", "--model", int8_path, "--out", tmp_path / "x.jpg")
    assert result.exit_code == 2 and "expected another file than the pictures read" in result.stderr
    assert (tmp_path / "x.jpg").read_bytes() == before


def test_a_folder_may_be_its_own_out_again_and_again(run: Run, int8_path: Path, photos: Path, tmp_path: Path) -> None:
    for name in ("x.jpg", "y.jpg", "z-faces.jpg"):  # the last is nobody's copy
        shutil.copy(photos / "grace_hopper.jpg", tmp_path / name)
    words = ("image", tmp_path, "--model", int8_path, "--json", "--out", tmp_path)
    sources = ["x.jpg", "y.jpg", "z-faces.jpg"]
    first = run(*words)
    assert (first.exit_code, first.stderr) == (0, "")
    copies = {"x-faces.jpg", "y-faces.jpg", "z-faces-faces.jpg"}
    assert {path.name for path in tmp_path.iterdir()} == copies | set(sources)
    before = {name: (tmp_path / name).stat().st_ino for name in copies}
    second = run(*words)
    assert second.exit_code == 0
    assert second.stderr == f"note: 3 not read, being named as an earlier copy: {', '.join(sorted(copies))}\n"
    assert [Path(reading["image"]).name for reading in objects(second.stdout)] == sources
    assert before == {name: (tmp_path / name).stat().st_ino for name in copies}
    singly = run("image", tmp_path / "x.jpg", tmp_path / "x-faces.jpg", *words[2:])
    assert singly.exit_code == 0 and len(objects(singly.stdout)) == 2  # named, hence read


def test_a_folder_for_out_is_made_with_its_first_copy_and_not_in_a_files_place(
    run: Run, int8_path: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "file").touch()
    assert run("image", tmp_path / "bad.jpg", "--model", int8_path, "--out", tmp_path / "new").exit_code == 1
    assert not (tmp_path / "new").exists()
    for out, text in ((tmp_path / "file", "expected a folder; got"), ("", "expected a folder; got an empty name")):
        refused = run("image", photos, "--model", int8_path, "--out", out)
        assert refused.exit_code == 2 and text in refused.stderr
    below = run("image", photos, "--model", int8_path, "--out", tmp_path / "file" / "new")
    assert below.exit_code == 1
    lines = below.stderr.splitlines()
    assert len(lines) == 2 and all(f"error: expected to write {tmp_path / 'file' / 'new'}/" in line for line in lines)


def test_one_picture_under_two_names_is_read_once_and_an_empty_name_refused(
    run: Run, int8_path: Path, photos: Path
) -> None:
    twice = run("image", photos / "grace_hopper.jpg", photos / ".." / "photos" / "grace_hopper.jpg", "",
                "--model", int8_path, "--json")  # fmt: skip
    assert twice.exit_code == 1 and len(objects(twice.stdout)) == 1
    assert twice.stderr == (
        "error: expected the name of a picture; got an empty name; leave it out, or name the file\n"
    )


def test_a_file_name_cannot_forge_a_line(run: Run, int8_path: Path, photos: Path, tmp_path: Path) -> None:
    name = "x\n\x1b[2Kother.jpg: 1 x 1, no face.jpg"
    shutil.copy(photos / "grace_hopper.jpg", tmp_path / name)
    text = run("image", tmp_path, "--model", int8_path)
    assert len(text.stdout.splitlines()) == 2 and "\x1b" not in text.stdout and r"x\n\x1b[2Kother" in text.stdout
    (as_json,) = objects(run("image", tmp_path, "--model", int8_path, "--json").stdout)
    assert as_json["image"] == str(tmp_path / name)
    shutil.copy(int8_path, tmp_path / "m\n\x1b[2K.tflite")
    info = run("info", "--model", tmp_path / "m\n\x1b[2K.tflite").stdout
    assert "\x1b" not in info and r"m\n\x1b[2K.tflite" in info


@pytest.mark.parametrize(("out", "text"), [("one.png", "expected a folder for 2 pictures"), ("a.gif", "got")])
def test_an_out_that_cannot_serve_is_wrong_usage(
    run: Run, int8_path: Path, photos: Path, tmp_path: Path, out: str, text: str
) -> None:
    result = run("image", photos, "--model", int8_path, "--out", tmp_path / out)
    assert result.exit_code == 2 and text in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_bad_picture_leaves_no_annotated_copy(run: Run, int8_path: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    result = run("image", tmp_path / "bad.jpg", "--model", int8_path, "--out", tmp_path / "out.png")
    assert result.exit_code == 1
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--model", "none.tflite"), "none.tflite: expected a model file; got no such file"),
        (("--detector", "yunet"), "expected YuNet's ONNX file; got no such file"),
        (("--detector", "haar", "--detector-model", "x.onnx"), "expected no detector model with haar"),
    ],
)
def test_a_missing_model_or_detector_is_one_line(
    run: Run, int8_path: Path, photos: Path, options: tuple[str, ...], text: str
) -> None:
    result = run("image", photos, "--model", int8_path, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1 and text in result.stderr


def test_an_account_without_a_home_reads_pictures_and_is_told_in_a_line_where_it_cannot(
    run: Run, int8_path: Path, photos: Path, without_home: None
) -> None:
    words = ("image", photos / "grace_hopper.jpg", "--model", int8_path)
    assert run(*words).exit_code == 0
    result = run(*words, "--detector", "yunet", env={"FER_EDGE_NO_NOTICE": "1"})
    assert result.exit_code == 1 and "set FER_EDGE_CACHE" in result.stderr and result.stderr.count("\n") == 1


def test_info_says_what_the_file_says(run: Run, int8_path: Path) -> None:
    result = run("info", "--model", int8_path, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["path"] == str(int8_path)
    assert found["labels"] == list(models.CONTRACT.labels)
    assert (found["input"]["shape"], found["input"]["dtype"]) == ([1, 32, 32, 3], "uint8")
    assert found["metrics"] == [models.METRIC]
    assert found["licence"] == "Apache-2.0"
    assert len(found["sha256"]) == 64 and found["crop"]["side_scale"] == 1.0
    text = run("info", "--model", int8_path).stdout
    assert "65.00% (63.00% to 67.00%)" in text and "angry, disgust" in text
    assert "learned   labels with 30% of FER+ votes\n" in text


def test_info_on_a_damaged_file_is_one_line(run: Run, int8_path: Path, tmp_path: Path) -> None:
    (tmp_path / "short.tflite").write_bytes(int8_path.read_bytes()[:-100])
    result = run("info", "--model", tmp_path / "short.tflite")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {tmp_path / 'short.tflite'}: expected") and result.stderr.count("\n") == 1
    assert "got a folder; name the model file" in run("info", "--model", tmp_path).stderr


def test_every_command_has_help(run: Run) -> None:
    for words in ((), ("image",), ("info",), ("benchmark", "latency"), ("benchmark", "accuracy"), ("fetch", "yunet"),
                  ("doctor",), ("about",), ("video",), ("camera",)):  # fmt: skip
        result = run(*words, "--help")
        assert result.exit_code == 0 and "Usage: fer-edge" in result.stdout
    assert run("imgae").exit_code == 2
    assert run("--version").stdout == f"fer-edge, version {__version__}\n"


def console(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m edge` as a user does, in a process of its own."""
    command = [sys.executable, "-m", "edge", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | environment)


def test_native_libraries_keep_off_the_users_terminal(int8_path: Path, photos: Path, tmp_path: Path) -> None:
    Image.fromarray(data.astronaut()).save(tmp_path / "astronaut.png")
    damaged = bytearray((photos / "coral_face.jpg").read_bytes())
    damaged[20_000:20_040] = bytes(40)  # OpenCV's decoder complains on stderr, and reads on
    (tmp_path / "damaged.jpg").write_bytes(damaged)
    words = ("image", tmp_path / "astronaut.png", tmp_path / "damaged.jpg", "--model", int8_path, "--json")
    quiet = console(*words)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert len(objects(quiet.stdout)[0]["faces"]) == 1
    assert console(*words, FER_EDGE_DEBUG="1").stderr != ""


def test_a_users_error_still_reaches_the_terminal() -> None:
    done = console("image", "none.jpg")
    assert done.returncode == 1
    assert done.stderr == "error: none.jpg: expected a picture; got no such file; check the path\n" or (
        "ships no model" in done.stderr and done.stderr.count("\n") == 1
    )


def test_a_reader_that_goes_away_is_no_traceback(int8_path: Path, photos: Path) -> None:
    command = f"{sys.executable} -m edge image {photos} --model {int8_path} --json | head -c 5"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout == '{"ima' and "Traceback" not in done.stderr


def test_faces_cut_out_can_be_scored_and_json_says_who_read_and_what_was_written(
    run: Run, int8_path: Path, photos: Path, yunet: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    copies.mkdir()
    for name in ("a/one.jpg", "b/one.jpg"):  # two pictures of one name
        (tmp_path / name).parent.mkdir()
        shutil.copy(photos / "grace_hopper.jpg", tmp_path / name)
    words = ("image", tmp_path / "a", tmp_path / "b", "--model", int8_path, "--detector-model", yunet)
    result = run(*words, "--json", "--crops", tmp_path / "faces" / "neutral", "--out", copies)
    assert (result.exit_code, result.stderr) == (0, "")
    first, second = objects(result.stdout)
    assert (first["detector"], first["align"]) == ("yunet", "auto")
    assert first["model"] == {"name": "colours", "recipe": "qat-int8", "sha256": sha256_of(int8_path)}
    folder = tmp_path / "faces" / "neutral"
    assert first["crops"] == [str(folder / "one-face-1.png")] and second["crops"] == [str(folder / "one-2-face-1.png")]
    assert [first["out"], second["out"]] == [str(copies / "one-faces.jpg"), str(copies / "one-faces-2.jpg")]
    square = read_image(folder / "one-face-1.png")
    left, top, right, bottom = first["faces"][0]["box"]
    assert square.shape[0] == square.shape[1] and abs(square.shape[0] - max(right - left, bottom - top)) <= 2
    scored = run("benchmark", "accuracy", "--model", int8_path, "--data", tmp_path / "faces")
    assert "faces folder, 2 faces: accuracy" in scored.stdout and "whole photographs" not in scored.stderr
    text = run(*words, "--out", copies)
    assert f"one.jpg: 512 x 600, 1 face -> {copies / 'one-faces.jpg'}\n" in text.stdout
    assert "crops" not in objects(run(*words, "--json").stdout)[0]


def test_crops_go_to_a_folder_of_their_own(run: Run, int8_path: Path, photos: Path, tmp_path: Path) -> None:
    shutil.copy(photos / "grace_hopper.jpg", tmp_path / "a.jpg")
    refusals = (
        (tmp_path, "expected another folder than the pictures'"),
        (tmp_path / "a.jpg", "expected a folder; got"),
        ("", "expected a folder; got an empty name"),
    )
    for folder, text in refusals:
        result = run("image", tmp_path / "a.jpg", "--model", int8_path, "--crops", folder)
        assert (result.exit_code, result.stdout) == (2, "") and text in result.stderr
    assert os.listdir(tmp_path) == ["a.jpg"]


def test_haar_that_found_nothing_is_told_once(run: Run, int8_path: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (200, 200)).save(tmp_path / f"{name}.png")
    result = run("image", tmp_path, "--model", int8_path, "--detector", "haar")
    assert result.exit_code == 0 and result.stdout.count("no faces") == 2
    assert result.stderr.count("note: no face in 2 pictures by Haar") == 1 == result.stderr.count("fetch yunet")


def test_other_faces_of_a_name_are_kept_beside_and_the_same_ones_not_doubled(
    run: Run, int8_path: Path, photos: Path, yunet: Path, tmp_path: Path
) -> None:
    faces = tmp_path / "faces"
    for folder, source in (("a", "grace_hopper.jpg"), ("b", "coral_face.jpg")):
        (tmp_path / folder).mkdir()
        shutil.copy(photos / source, tmp_path / folder / "IMG_1.jpg")
    words = ("--model", int8_path, "--detector-model", yunet, "--crops", faces, "--json")
    first = objects(run("image", tmp_path / "a", *words).stdout)[0]["crops"]
    kept = Path(first[0]).read_bytes()
    assert objects(run("image", tmp_path / "a", *words).stdout)[0]["crops"] == first
    second = objects(run("image", tmp_path / "b", *words).stdout)[0]["crops"]
    assert second == [str(faces / f"IMG_1-2-face-{number}.png") for number in (1, 2, 3, 4)]
    assert Path(first[0]).read_bytes() == kept and len(os.listdir(faces)) == 5
    (faces / "IMG_1-face-1.png").write_text("a label of mine")
    third = objects(run("image", tmp_path / "a", *words).stdout)[0]["crops"]
    assert third == [str(faces / "IMG_1-3-face-1.png")]

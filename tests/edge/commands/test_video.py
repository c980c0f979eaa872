from __future__ import annotations

import contextlib
import csv
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import click.testing
import cv2
import numpy as np
import pytest

from edge.__main__ import cli as every_command
from edge.commands.streaming import _ended_by_signals
from edge.errors import OutputError
from edge.streams.videos import AnnotatedVideo
from tests.edge.scenes import astronaut_frame, cli, write_video

Run = Callable[..., click.testing.Result]
FRAMES = 45
ON_ITS_TERMINAL = """
import fcntl, runpy, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
runpy.run_module("tests.edge.scenes", run_name="__main__")
"""


@pytest.fixture
def _hangups() -> Iterator[None]:
    """Programs started here are ended by SIGHUP, as by a shell's, though the tests themselves run under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with the notice of first use silenced; stdout and stderr are kept apart."""
    monkeypatch.setenv("FER_EDGE_NO_NOTICE", "1")

    def invoke(*arguments: object) -> click.testing.Result:
        return click.testing.CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="fer-edge")

    return invoke


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person who moves, comes nearer, is blurred, leaves and returns."""
    frames = []
    for number in range(FRAMES):
        x = 150 + number if number < 15 else 900 if number < 35 else 160
        frame = astronaut_frame(x, 120, 0.8 + number / 200)
        frames.append(np.asarray(cv2.GaussianBlur(frame, (0, 0), 0.3 + number % 10 / 12), np.uint8))
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4", frames, fps=5)


@pytest.fixture(scope="module")
def long_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute that no test waits for."""
    frames = [astronaut_frame(160 + number % 5, 120, 0.9, 640, 480) for number in range(20)]
    return write_video(tmp_path_factory.mktemp("film") / "long.mp4", frames * 90)


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def frames_in(path: Path) -> int:
    capture, count = cv2.VideoCapture(str(path)), 0
    while capture.read()[0]:
        count += 1
    return count


def test_a_film_becomes_json_csv_and_an_annotated_film_of_each_frame(
    run: Run, int8_path: Path, film: Path, tmp_path: Path
) -> None:
    out, jsonl, table = tmp_path / "out.mp4", tmp_path / "out.jsonl", tmp_path / "out.csv"
    result = run("video", film, "--model", int8_path, "--detector", "haar", "--json", "--out", out, "--jsonl", jsonl,
                 "--csv", table, "--detect-every", 1)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    meta, *frames = lines_of(result.stdout)
    assert [frame["index"] for frame in frames] == list(range(FRAMES))
    assert {key: value for key, value in lines_of(jsonl.read_text())[0].items() if key != "started"} == {
        key: value for key, value in meta.items() if key != "started"
    }
    assert len(lines_of(jsonl.read_text())) == 1 + FRAMES and frames_in(out) == FRAMES
    assert (meta["type"], meta["detector"], meta["smoothing_ms"], meta["half_way_after_ms"], meta["live"]) == (
        "meta", "haar", 400, 277.3, False,
    )  # fmt: skip
    assert meta["align"] == "auto"
    events = [(event["kind"], event["track"]) for frame in frames for event in frame["events"]]
    assert [event for event in events if event[0] != "changed"] == [("appeared", 1), ("left", 1), ("appeared", 2)]
    rows = list(csv.DictReader(table.open()))
    assert len(rows) == sum(len(frame["faces"]) for frame in frames) > 20
    assert {row["track"] for row in rows} == {"1", "2"} and {row["time_utc"] for row in rows} == {""}


def test_the_run_opens_with_the_model_its_accuracy_and_the_lag_and_ends_with_a_summary(
    run: Run, int8_path: Path, film: Path
) -> None:
    result = run("video", film, "--model", int8_path, "--detector", "haar", "--max-frames", 4, "--smoothing-ms", 1000)
    assert result.exit_code == 0
    opening, source, lag, summary = result.stderr.splitlines()
    assert opening == ("model colours (qat-int8), accuracy 65.0% on fer2013 PrivateTest (official, 3,589 faces)")
    assert source == f"source {film}: 320 x 240, 5 frames a second; detector haar on one frame in 3"
    assert "half of a sudden change shows after 693 ms" in lag and '"uncertain" below 50%' in lag
    assert re.match(r"4 frames in \d+\.\d s \(\d+\.\d a second\), 0 skipped, 1 face; median ms of a stage", summary)
    assert all(stage in summary for stage in ("detect", "crop", "infer", "track"))
    assert result.stdout.split()[:5] == ["0.00", "s", "face", "1", "appeared:"]


def test_each_nth_frame_can_be_read_and_the_detector_run_seldom(run: Run, int8_path: Path, film: Path) -> None:
    words = ("video", film, "--model", int8_path, "--detector", "haar", "--json")
    frames = lines_of(run(*words, "--every", 5).stdout)[1:]
    assert [frame["index"] for frame in frames] == list(range(0, FRAMES, 5))
    assert [frame["dropped"] for frame in frames] == [0] + [4] * 8
    seldom = lines_of(run(*words, "--detect-every", 4, "--max-frames", 8).stdout)[1:]
    assert [bool(frame["latency_ms"]["detect"]) for frame in seldom] == [True, False, False, False] * 2


def test_frames_far_apart_are_all_in_the_annotated_film(run: Run, int8_path: Path, film: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.avi"
    result = run("video", film, "--model", int8_path, "--detector", "haar", "--every", 20, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert frames_in(out) == 3  # of 45, four seconds apart


def test_pictures_can_stand_for_a_film(run: Run, int8_path: Path, tmp_path: Path) -> None:
    for number in range(3):
        frame = astronaut_frame(160 + 3 * number, 120)
        cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    result = run("video", tmp_path, "--model", int8_path, "--detector", "haar", "--json")
    assert [[face["track"] for face in frame["faces"]] for frame in lines_of(result.stdout)[1:]] == [[1], [1], [1]]


def test_a_face_is_found_in_each_of_a_folder_s_pictures_of_different_sizes(
    run: Run, int8_path: Path, tmp_path: Path
) -> None:
    for number in range(6):
        frame = astronaut_frame(160, 120)[: 240 - number % 2]
        cv2.imwrite(str(tmp_path / f"{number}.png"), cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    result = run("video", tmp_path, "--model", int8_path, "--detector", "haar", "--json")
    assert [len(frame["faces"]) for frame in lines_of(result.stdout)[1:]] == [1] * 6


def test_two_photographed_people_who_cross_keep_their_numbers(
    run: Run, int8_path: Path, shared_data: Path, tmp_path: Path
) -> None:
    from edge.pictures.images import read_image
    from tests.edge.scenes import astronaut_face, paste, plain_canvas

    hopper = read_image(shared_data / "photos" / "grace_hopper.jpg")[60:420, 110:430]
    frames = []
    for number in range(50):
        frame, step = plain_canvas(), 180 * number / 49
        paste(frame, astronaut_face(), (250 - step, 126), 104)
        paste(frame, hopper, (70 + step, 120), 120)
        frames.append(frame)
    film = write_video(tmp_path / "cross.mp4", frames)
    yunet = shared_data / "detectors" / "face_detection_yunet_2023mar.onnx"
    result = run("video", film, "--model", int8_path, "--detector-model", yunet, "--json")
    shown = [{face["track"]: face["box"][0] for face in frame["faces"]} for frame in lines_of(result.stdout)[1:]]
    assert set(shown[0]) == set(shown[-1]) == {1, 2}
    assert all((shown[0][track] < 130) == (shown[-1][track] > 130) for track in (1, 2))


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"no film" * 100, "expected a video; got a file without a frame"), (b"", "got an empty file"), (None, "no such")],
)
def test_what_is_no_video_is_one_line_and_writes_nothing(
    content: bytes | None, text: str, run: Run, int8_path: Path, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "bad.mp4").write_bytes(content)
    result = run("video", tmp_path / "bad.mp4", "--model", int8_path, "--jsonl", tmp_path / "a.jsonl")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"error: {tmp_path / 'bad.mp4'}: expected") and result.stderr.count("\n") == 1
    assert text in result.stderr and not (tmp_path / "a.jsonl").exists()


def test_a_camera_is_pointed_to_its_own_command(run: Run) -> None:
    result = run("video", "0")
    assert result.exit_code == 2 and "use `fer-edge camera 0`" in result.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_is_one_line_and_the_other_files_stay_sound(
    run: Run, int8_path: Path, film: Path, tmp_path: Path
) -> None:
    result = run("video", film, "--model", int8_path, "--detector", "haar", "--jsonl", tmp_path / "a.jsonl",
                 "--csv", "/dev/full")  # fmt: skip
    assert result.exit_code == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: expected to write /dev/full; got: No space left on device; make room or choose another name"
    ]
    assert [line["type"] for line in lines_of((tmp_path / "a.jsonl").read_text())] == ["meta"]


def test_a_disk_that_fills_later_ends_the_run_and_keeps_what_was_read(
    run: Run, int8_path: Path, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = AnnotatedVideo.write

    def fills(self: AnnotatedVideo, reading: Any) -> None:
        if reading.frame.index == 6:
            raise OutputError("expected room on the disk; got none")
        real(self, reading)

    monkeypatch.setattr(AnnotatedVideo, "write", fills)
    result = run("video", film, "--model", int8_path, "--detector", "haar", "--jsonl", tmp_path / "a.jsonl",
                 "--out", tmp_path / "a.mp4")  # fmt: skip
    assert result.exit_code == 1 and result.stderr.splitlines()[-1] == "error: expected room on the disk; got none"
    assert frames_in(tmp_path / "a.mp4") == 6 and len(lines_of((tmp_path / "a.jsonl").read_text())) == 1 + 7


def started(*arguments: object) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    command = [sys.executable, "-m", "tests.edge.scenes", *map(str, arguments)]
    environment = os.environ | {"FER_EDGE_NO_NOTICE": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def running(_hangups: None, int8_path: Path, long_film: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A run in the middle of the long film, with every output."""
    process = started("video", long_film, "--model", int8_path, "--detector", "haar", "--jsonl", tmp_path / "a.jsonl",
                      "--csv", tmp_path / "a.csv", "--out", tmp_path / "a.mp4")  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (tmp_path / "a.csv").exists() and (tmp_path / "a.csv").read_text().count("\n") > 5:
            break
        time.sleep(0.05)
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_on_a_terminal_a_bar_shows_how_far_it_is_and_lines_take_its_place(int8_path: Path, film: Path) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "tests.edge.scenes", "video", str(film), "--model", str(int8_path), "--detector",
               "haar", "--max-frames", "6"]  # fmt: skip
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, env=os.environ | {"FER_EDGE_NO_NOTICE": "1"})
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(controller, 4096)
        except OSError:  # the program ended
            break
        if not part:
            break
        shown += part
    os.close(controller)
    assert process.wait(60) == 0, shown
    text = shown.decode()
    assert "frames  [" in text and "6/6" in text
    assert re.search(r"\x1b\[K     0\.00 s  face 1 appeared", text)
    piped = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "frames  [" not in piped.stderr and "\x1b" not in piped.stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_run_closes_its_files_in_order(
    number: int, code: int, running: subprocess.Popen[str], tmp_path: Path
) -> None:
    running.send_signal(number)
    stderr = running.communicate(timeout=60)[1]
    assert running.returncode == code, stderr
    assert "Traceback" not in stderr and " frames in " in stderr.splitlines()[-1]
    count = len(lines_of((tmp_path / "a.jsonl").read_text())) - 1
    assert 5 <= count < 1800 and frames_in(tmp_path / "a.mp4") == count
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.jsonl", "a.mp4"]


def test_a_terminal_that_is_gone_leaves_whole_files(
    _hangups: None, int8_path: Path, long_film: Path, tmp_path: Path
) -> None:
    controller, terminal = pty.openpty()
    words = ("video", long_film, "--model", int8_path, "--detector", "haar", "--csv", tmp_path / "a.csv", "--out",
             tmp_path / "a.mp4")  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", ON_ITS_TERMINAL, *map(str, words)], stdin=terminal, stdout=terminal, stderr=terminal,
        env=os.environ | {"FER_EDGE_NO_NOTICE": "1"}, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if (tmp_path / "a.csv").exists() and (tmp_path / "a.csv").read_text().count("\n") > 5:
            break
        time.sleep(0.05)
    os.close(controller)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGHUP)  # as its shell does too
    process.wait(60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "a.mp4"]
    assert 5 <= frames_in(tmp_path / "a.mp4") < 1800


@pytest.mark.parametrize(("handler", "stopped"), [(signal.SIG_IGN, False), (lambda number, frame: None, True)])
def test_a_run_under_nohup_goes_on_without_its_terminal(handler: Any, stopped: bool) -> None:
    source = Mock()
    before = signal.signal(signal.SIGHUP, handler)
    try:
        with _ended_by_signals(source) as ended:
            signal.raise_signal(signal.SIGHUP)
        assert (ended, source.stop.called) == ([signal.SIGHUP] if stopped else [], stopped)
        assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_killed_run_leaves_no_half_video_and_the_next_one_works(
    running: subprocess.Popen[str], run: Run, int8_path: Path, film: Path, tmp_path: Path
) -> None:
    running.kill()
    running.communicate()
    assert running.returncode == -signal.SIGKILL
    assert not (tmp_path / "a.mp4").exists()
    whole = (tmp_path / "a.jsonl").read_text().rpartition("\n")[0]
    count = len(lines_of(whole))
    assert count > 1
    result = run("video", film, "--model", int8_path, "--detector", "haar", "--max-frames", 5, "--append",
                 "--jsonl", tmp_path / "a.jsonl", "--out", tmp_path / "a.mp4")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert frames_in(tmp_path / "a.mp4") == 5
    assert [line["type"] for line in lines_of((tmp_path / "a.jsonl").read_text())[count:]] == ["meta", *["frame"] * 5]


def test_no_output_falls_on_what_is_read_or_on_another_output(
    run: Run, int8_path: Path, film: Path, tmp_path: Path
) -> None:
    own = tmp_path / "own.mp4"
    own.write_bytes(film.read_bytes())
    (tmp_path / "link.mp4").symlink_to(own)
    os.link(own, tmp_path / "hard.mp4")
    network = tmp_path / "m.tflite"
    network.write_bytes(int8_path.read_bytes())
    words = ("video", own, "--model", network, "--detector", "haar", "--max-frames", "2")
    taken = (
        ("--out", own),
        ("--jsonl", own),
        ("--csv", network),
        ("--out", tmp_path / "link.mp4"),
        ("--csv", tmp_path / "hard.mp4"),
        ("--csv", f"{tmp_path}/../{tmp_path.name}/own.mp4"),
    )
    for option, name in taken:
        result = run(*words, option, name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{option}: expected another file than those read; got {name}" in result.stderr
    both = run(*words, "--jsonl", tmp_path / "a", "--csv", tmp_path / "." / "a")
    assert both.exit_code == 2 and "--csv: expected another file than --jsonl's; got" in both.stderr
    assert own.read_bytes() == film.read_bytes() and network.read_bytes() == int8_path.read_bytes()
    assert not (tmp_path / "a").exists()
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    cv2.imwrite(str(pictures / "1.png"), np.zeros((60, 80, 3), np.uint8))
    for command in ("video", "serve"):
        result = click.testing.CliRunner().invoke(
            every_command, [command, str(pictures), "--csv", str(pictures / "1.png")]
        )
        assert result.exit_code == 2 and "--csv: expected another file than those read" in result.stderr
    assert run(*words, "--jsonl", tmp_path / "a", "--csv", tmp_path / "b", "--out", tmp_path / "c.mp4").exit_code == 0
    assert run(*words, "--jsonl", "/dev/null", "--csv", "/dev/null").exit_code == 0


def test_a_folder_is_one_film_and_says_so(run: Run, int8_path: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / "pictures" / f"{number}.png"), np.zeros((60, 80, 3), np.uint8))
    result = run("video", tmp_path / "pictures", "--model", int8_path, "--detector", "haar")
    assert result.exit_code == 0 and "2 frames in" in result.stderr
    assert "note: frames of one film; to read each picture by itself: fer-edge image" in result.stderr
    result = run("video", tmp_path / "pictures" / "0.png", "--model", int8_path, "--detector", "haar")
    assert result.exit_code == 0 and "one film" not in result.stderr

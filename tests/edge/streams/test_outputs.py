from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import time
from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import OutputError
from edge.labels import EMOTIONS
from edge.sources import Frame
from edge.streams.outputs import CsvFile, EventLines, JsonLines, LineFile
from edge.streams.stream import Event, StreamReading, TrackedFace
from edge.streams.videos import AnnotatedVideo, drawn

Usage = namedtuple("Usage", "total used free")


def face(track: int = 1, emotion: str = "happy", share: float = 0.4) -> TrackedFace:
    rest = (1 - share) / 6
    probabilities = MappingProxyType({name: share if name == "happy" else rest for name in EMOTIONS})
    return TrackedFace(track, (10, 12, 40, 44), 0.9, emotion, probabilities, None, 1.5, True)


def reading(
    number: int = 0, *faces: TrackedFace, events: tuple[Event, ...] = (), at_s: float | None = None
) -> StreamReading:
    picture = np.full((48, 64, 3), 60, np.uint8)
    frame = Frame(picture, number, number / 25 if at_s is None else at_s, 0)
    return StreamReading(
        frame, faces, events, MappingProxyType({"detect": 1.0, "crop": 0.1, "infer": 2.0, "track": 0.2})
    )


def frames_in(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (picture := capture.read()[1]) is not None:
        frames.append(picture)
    return frames


def test_json_lines_begin_with_what_was_run_and_go_on_with_a_frame_each(tmp_path: Path) -> None:
    with JsonLines.to_file(tmp_path / "new" / "a.jsonl", {"source": "0", "smoothing_ms": 400}) as output:
        for number in range(3):
            output.write(reading(number, face()))
    first, *rest = [json.loads(line) for line in (tmp_path / "new" / "a.jsonl").read_text().splitlines()]
    assert first == {"type": "meta", "source": "0", "smoothing_ms": 400}
    assert [line["index"] for line in rest] == [0, 1, 2] and {line["type"] for line in rest} == {"frame"}
    assert rest[0]["faces"][0]["probabilities"]["happy"] == 0.4


def test_each_line_is_in_the_file_before_the_next_frame(tmp_path: Path) -> None:
    output = JsonLines.to_file(tmp_path / "a.jsonl", {})
    for number in range(3):
        output.write(reading(number))
        assert len((tmp_path / "a.jsonl").read_text().splitlines()) == number + 2
    output.close()
    output.close()


def test_csv_has_a_heading_and_a_row_a_face(tmp_path: Path) -> None:
    with CsvFile(tmp_path / "a.csv", EMOTIONS) as output:
        output.write(reading(0, face(1), face(2, "uncertain")))
        output.write(reading(1))
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [(row["index"], row["track"], row["emotion"]) for row in rows] == [
        ("0", "1", "happy"),
        ("0", "2", "uncertain"),
    ]
    assert [rows[0][name] for name in ("left", "top", "right", "bottom", "detected", "happy")] == [
        "10", "12", "40", "44", "1", "0.400000",
    ]  # fmt: skip


def test_a_cameras_rows_have_their_time_and_a_files_none(tmp_path: Path) -> None:
    for live in (True, False):
        before = datetime.now(UTC)
        with CsvFile(tmp_path / "a.csv", EMOTIONS, live=live) as output:
            output.write(reading(0, face(), at_s=time.monotonic() - 3600))
        (row,) = csv.DictReader((tmp_path / "a.csv").open())
        if live:
            ago = before - datetime.fromisoformat(row["time_utc"])
            assert abs(ago - timedelta(hours=1)) < timedelta(minutes=1) and row["time_utc"].endswith("+00:00")
        else:
            assert row["time_utc"] == ""


def test_events_are_lines_for_people() -> None:
    lines: list[str] = []
    output = EventLines(lines.append)
    output.write(reading(0, face(), events=(Event("appeared", 1, "happy", 100.0),), at_s=100.0))
    output.write(reading(1, face(), at_s=101.0))
    output.write(reading(2, events=(Event("left", 1, "happy", 102.5),), at_s=102.5))
    assert [line.split() for line in lines] == [
        ["0.00", "s", "face", "1", "appeared:", "happy", "(40%)"],
        ["2.50", "s", "face", "1", "left,", "last", "happy"],
    ]


def test_a_new_run_replaces_a_file_or_goes_on_in_it(tmp_path: Path) -> None:
    for append, count in ((False, 1), (False, 1), (True, 2)):
        with CsvFile(tmp_path / "a.csv", EMOTIONS, append) as output:
            output.write(reading(0, face()))
        lines = (tmp_path / "a.csv").read_text().splitlines()
        assert len(lines) == 1 + count and sum(line.startswith("index") for line in lines) == 1


def test_going_on_drops_a_line_that_a_killed_run_did_not_finish(tmp_path: Path) -> None:
    def ours(tail: bytes) -> bool:
        return tail[:1] in (b"t", b"x")

    (tmp_path / "a").write_text("one\ntwo\nthr")
    with LineFile(tmp_path / "a", True, ours) as file:
        file.write_line("four")
    assert (tmp_path / "a").read_text() == "one\ntwo\nfour\n"
    (tmp_path / "b").write_text("x" * 100_000)
    with LineFile(tmp_path / "b", True, ours) as file:
        assert file.empty
        file.write_line("one")
    assert (tmp_path / "b").read_text() == "one\n"
    (tmp_path / "c").write_text("one\n" + "x" * 200_000)
    LineFile(tmp_path / "c", True, ours).close()
    assert (tmp_path / "c").read_text() == "one\n"
    for kept in ("one\nno newline", "no newline"):
        (tmp_path / "d").write_text(kept)
        with LineFile(tmp_path / "d", True, ours) as file:
            assert not file.empty
            file.write_line("four")
        assert (tmp_path / "d").read_text() == f"{kept}\nfour\n"


@pytest.mark.parametrize("before", ["", "a line\n"])
def test_going_on_in_json_lines_drops_nothing_but_a_part_of_one(before: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with JsonLines.to_file(path, {}) as output:
        output.write(reading(0, face()))
    whole = path.read_text().splitlines()[1]
    cases = [("{", ""), (whole[:11], ""), (whole[:-1], ""), (whole, f"{whole}\n"), ("notes", "notes\n"),
             ('{"type', ""), ('{"mine":1', '{"mine":1\n')]  # fmt: skip
    for tail, kept in cases:
        path.write_text(before + tail)
        JsonLines.to_file(path, {}, append=True).close()
        assert path.read_text() == before + kept + '{"type":"meta"}\n', tail


def test_going_on_in_a_csv_drops_nothing_but_a_part_of_a_row_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with CsvFile(path, EMOTIONS) as output:
        output.write(reading(0, face()))
    heading, row, _ = path.read_text().split("\n")
    cases = [(f"{heading}\n", row[:9], ""), (f"{heading}\n", row[:-1], ""), (f"{heading}\n{row}\n", "1", ""),
             (f"{heading}\n", row, f"{row}\n"), ("", heading, f"{heading}\n"),
             ("a,b\n", "1,2", "1,2\n"), ("", "notes", "notes\n"),
             (f"{heading}\n", "x" * 200_000, "x" * 200_000 + "\n"),
             (f"{heading}\n", "paused here", "paused here\n")]  # fmt: skip
    for before, tail, kept in cases:
        path.write_text(before + tail)
        with CsvFile(path, EMOTIONS, append=True) as output:
            output.write(reading(0, face()))
        assert path.read_text() == f"{before}{kept}{row}\n", tail
    path.write_text(heading[:20])
    CsvFile(path, EMOTIONS, append=True).close()
    assert path.read_text() == f"{heading}\n"


def test_going_on_in_a_csv_of_other_columns_is_refused_and_one_without_a_heading_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    CsvFile(path, EMOTIONS).close()
    for other in (path.read_text().replace("time_utc,", ""), path.read_text().replace(",neutral", ",calm")):
        path.write_text(other)
        with pytest.raises(
            OutputError, match=r"expected .*a\.csv to have the columns of this model's rows; got another"
        ):
            CsvFile(path, EMOTIONS, append=True)
        assert path.read_text() == other
    path.write_text("7,1.0,,1,0,0,9,9,0.9,happy,1,0.1,0.900000\n")  # its heading is in the file that logrotate took
    with CsvFile(path, EMOTIONS, append=True) as output:
        output.write(reading(0, face()))
    assert path.read_text().count("\n") == 2


def test_a_full_disk_leaves_whole_lines_and_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = JsonLines.to_file(tmp_path / "a.jsonl", {})
    output.write(reading(0))
    before = (tmp_path / "a.jsonl").read_text()
    real, left = os.write, [10]

    def full(descriptor: int, content: Any) -> int:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = real(descriptor, bytes(content)[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match=r"a\.jsonl; got: No space left on device; make room") as caught:
        output.write(reading(1))
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert (tmp_path / "a.jsonl").read_text() == before  # the ten bytes are gone again
    output.write(reading(1))  # room was made
    output.close()
    assert [json.loads(line)["type"] for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [
        "meta", "frame", "frame",
    ]  # fmt: skip


def test_a_file_that_is_cut_while_it_is_written_goes_on_from_its_beginning(tmp_path: Path) -> None:
    """What logrotate does with `copytruncate`."""
    for append in (False, True):
        with LineFile(tmp_path / "a", append) as file:
            file.write_line("one, which is long")
            os.truncate(tmp_path / "a", 0)
            file.write_line("two")
        assert (tmp_path / "a").read_bytes() == b"two\n"


def test_a_full_disk_after_the_file_was_cut_leaves_whole_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write

    def full(descriptor: int, content: Any) -> int:
        if len(content) < 5:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, bytes(content)[:5])

    with LineFile(tmp_path / "a") as file:
        file.write_line("one, which is long")
        os.truncate(tmp_path / "a", 0)
        file.write_line("two")
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(OutputError, match="No space left on device"):
            file.write_line("three")
        monkeypatch.undo()
        assert (tmp_path / "a").read_bytes() == b"two\n"
        file.write_line("four")
    assert (tmp_path / "a").read_bytes() == b"two\nfour\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_the_full_device_is_a_full_disk() -> None:
    with pytest.raises(OutputError, match="expected to write /dev/full; got: No space left on device"):
        JsonLines.to_file("/dev/full", {})


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "a.jsonl"):
        with pytest.raises(OutputError, match=f"expected to write {path}; got: "):
            JsonLines.to_file(path, {})


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_the_video_holds_each_frame_with_its_faces_drawn(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"out{suffix}"
    output = AnnotatedVideo(path, 64, 48, 25)
    for number in range(20):
        output.write(reading(number, face()))
        assert not path.exists()  # until it is whole
    output.close()
    output.close()
    frames = frames_in(path)
    assert len(frames) == 20 and frames[0].shape == (48, 64, 3)
    assert list(tmp_path.iterdir()) == [path]
    assert np.abs(frames[5].astype(int) - 60).max() > 80  # the box; the ground alone is 60 everywhere
    bare = AnnotatedVideo(tmp_path / "bare.avi", 64, 48, 25)
    bare.write(reading(0))
    bare.close()
    assert np.abs(frames_in(tmp_path / "bare.avi")[0].astype(int) - 60).max() < 20


def test_an_uncertain_face_can_be_drawn_and_the_frame_stays_as_it_was() -> None:
    taken = reading(0, face(3, "uncertain"))
    picture = drawn(taken)
    assert picture.shape == (48, 64, 3) and (picture != taken.frame.picture).any()
    assert (taken.frame.picture == 60).all()


def test_a_slow_cameras_frames_are_repeated_to_keep_time_but_an_outage_is_cut(tmp_path: Path) -> None:
    output = AnnotatedVideo(tmp_path / "a.avi", 64, 48, 10)
    for at_s in (1000.0, 1000.5, 1001.0, 4601.0, 4601.5):  # an hour without frames
        output.write(reading(0, at_s=at_s))
    output.close()
    assert len(frames_in(tmp_path / "a.avi")) == 1 + 5 + 5 + 20 + 5
    quick = AnnotatedVideo(tmp_path / "b.avi", 64, 48, 10)
    for number in range(31):
        quick.write(reading(0, at_s=number / 30))
    quick.close()
    assert len(frames_in(tmp_path / "b.avi")) == 11


def test_a_file_s_frames_keep_their_time_however_far_apart_and_a_slow_camera_s_none_is_lost(tmp_path: Path) -> None:
    film = AnnotatedVideo(tmp_path / "a.avi", 64, 48, 10, live=False)
    for at_s in (0.0, 4.0, 8.0):
        film.write(reading(0, at_s=at_s))
    film.close()
    assert len(frames_in(tmp_path / "a.avi")) == 1 + 40 + 40
    slow = AnnotatedVideo(tmp_path / "b.avi", 64, 48, 0.25)
    for at_s in (0.0, 4.0, 8.0, 3600.0):
        slow.write(reading(0, at_s=at_s))
    slow.close()
    assert len(frames_in(tmp_path / "b.avi")) == 4


def test_frames_of_another_size_are_scaled_into_the_video(tmp_path: Path) -> None:
    output = AnnotatedVideo(tmp_path / "a.avi", 32, 24, 25)
    output.write(reading(0))
    output.close()
    assert frames_in(tmp_path / "a.avi")[0].shape == (24, 32, 3)


def test_a_video_without_frames_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")
    output = AnnotatedVideo(tmp_path / "a.mp4", 64, 48, 25)
    with pytest.raises(OutputError, match="expected frames to write"):
        output.close()
    assert (tmp_path / "a.mp4").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_what_fails_before_the_first_frame_is_told_and_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")
    with (
        pytest.raises(BrokenPipeError, match="the reader went away"),
        AnnotatedVideo(tmp_path / "a.mp4", 64, 48, 25) as output,
    ):
        raise BrokenPipeError("the reader went away")
    output.close()
    assert (tmp_path / "a.mp4").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_names_and_codecs_that_do_not_work_are_refused_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match=r"expected a name ending in \.mp4 or \.avi; got '\.gif'"):
        AnnotatedVideo(tmp_path / "a.gif", 64, 48, 25)
    monkeypatch.setattr("edge.streams.videos.CODECS", {".avi": ("????", "MJPG")})
    fallen_back = AnnotatedVideo(tmp_path / "a.avi", 64, 48, 25)
    assert fallen_back.codec == "MJPG"
    fallen_back.write(reading(0))
    fallen_back.close()
    monkeypatch.setattr("edge.streams.videos.CODECS", {".avi": ("????",)})
    with pytest.raises(OutputError, match=r"expected a codec of \?\?\?\? in OpenCV"):
        AnnotatedVideo(tmp_path / "b.avi", 64, 48, 25)
    assert [path.name for path in tmp_path.iterdir()] == ["a.avi"]


def test_a_disk_about_to_fill_ends_the_video_while_it_can_still_be_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = AnnotatedVideo(tmp_path / "a.mp4", 64, 48, 25)
    for number in range(15):
        output.write(reading(number))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 30, 1 << 30, 1 << 20))
    with pytest.raises(OutputError, match=r"expected room on the disk for .*; got 1,048,576 bytes free"):
        output.write(reading(15))
    output.close()
    assert len(frames_in(tmp_path / "a.mp4")) == 15


def test_room_is_looked_for_while_a_frame_is_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([1 << 30] * 3)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1 << 30, 0, next(free, 1 << 20)))
    output = AnnotatedVideo(tmp_path / "a.mp4", 64, 48, 25, live=False)
    output.write(reading(0, at_s=0.0))
    with pytest.raises(OutputError, match="expected room on the disk"):
        output.write(reading(1, at_s=3600.0))
    output.close()
    assert len(frames_in(tmp_path / "a.mp4")) == 45


def test_a_video_that_the_system_cut_is_not_passed_off_as_whole(tmp_path: Path) -> None:
    """The encoder tells of no failed write, so the file is read back; the limit on its size stands for a full disk."""
    code = (
        "import resource, sys, numpy as np\n"
        "from tests.edge.streams.test_outputs import AnnotatedVideo, OutputError, reading\n"
        "import dataclasses\n"
        "from edge.sources import Frame\n"
        "output = AnnotatedVideo(sys.argv[1], 320, 240, 25)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))\n"
        "draw = np.random.default_rng(0)\n"
        "for number in range(40):\n"
        "    frame = Frame(draw.integers(0, 255, (240, 320, 3), np.uint8), number, number / 25, 0)\n"
        "    output.write(dataclasses.replace(reading(number), frame=frame))\n"
        "try:\n    output.close()\nexcept OutputError as error:\n    print(error)\n"
    )
    for limit, text in ((200_000, "expected to write"), (100_000_000, "")):
        path = tmp_path / f"{limit}.mp4"
        done = subprocess.run(
            [sys.executable, "-c", code, str(path), str(limit)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(text) and path.exists() == (text == "")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_pipe_can_take_the_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with LineFile(tmp_path / "pipe") as file:
        file.write_line("one")
    assert os.read(reader, 100) == b"one\n" and stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    os.close(reader)


def test_a_picture_of_another_shape_keeps_it_in_the_video(tmp_path: Path) -> None:
    square = np.full((96, 96, 3), 200, np.uint8)
    with AnnotatedVideo(tmp_path / "a.avi", 64, 48, 25) as video:
        video.write(reading(0))
        video.write(dataclasses.replace(reading(1), frame=Frame(square, 1, 1 / 25, 0)))
    shown = frames_in(tmp_path / "a.avi")[1]
    assert shown.shape == (48, 64, 3)
    assert shown[:, 12:52].min() > 180 and shown[:, :6].max() < 20 and shown[:, 58:].max() < 20

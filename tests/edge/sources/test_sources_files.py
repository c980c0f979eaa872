from __future__ import annotations

import http.server
import os
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.errors import CameraError, ImageError
from edge.sources import Status, open_source
from tests.edge.scenes import write_video

GREYS = [20 + 8 * number for number in range(25)]  # a frame's grey tells its number


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = [np.full((48, 64, 3), grey, np.uint8) for grey in GREYS]
    return write_video(tmp_path_factory.mktemp("film") / "film.avi", frames, fps=10, codec="MJPG")


def shown(picture: np.ndarray) -> int:
    """Return the number of a frame of the film."""
    return round((float(picture.mean()) - 20) / 8)


def test_a_video_hands_out_every_frame_with_its_own_time(film: Path) -> None:
    with open_source(film) as source:
        assert (source.width, source.height, source.fps, source.total, source.live) == (64, 48, 10, 25, False)
        frames = list(source.frames())
    assert [shown(frame.picture) for frame in frames] == list(range(25))
    assert [frame.index for frame in frames] == list(range(25))
    assert [frame.captured_s for frame in frames] == pytest.approx([number / 10 for number in range(25)], abs=0.01)
    assert {frame.dropped for frame in frames} == {0}


def test_each_nth_frame_keeps_its_index_and_time(film: Path) -> None:
    with open_source(film, every=4) as source:
        assert (source.total, source.fps) == (7, 2.5)
        frames = list(source.frames())
    assert [shown(frame.picture) for frame in frames] == [frame.index for frame in frames] == [0, 4, 8, 12, 16, 20, 24]
    assert [frame.captured_s for frame in frames] == pytest.approx([0, 0.4, 0.8, 1.2, 1.6, 2.0, 2.4], abs=0.01)
    assert [frame.dropped for frame in frames] == [0, 3, 3, 3, 3, 3, 3]


def test_a_videos_colours_are_rgb(tmp_path: Path) -> None:
    path = write_video(tmp_path / "red.avi", [np.full((48, 64, 3), (200, 20, 20), np.uint8)], codec="MJPG")
    with open_source(path) as source:
        (frame,) = source.frames()
    assert frame.picture[24, 32, 0] > 150 and frame.picture[24, 32, 2] < 80


def test_stop_ends_a_video(film: Path) -> None:
    with open_source(film) as source:
        frames = source.frames()
        next(frames)
        source.stop()
        assert list(frames) == []


def test_a_video_that_was_cut_short_gives_its_frames_and_says_so(film: Path, tmp_path: Path) -> None:
    heard: list[Status] = []
    with open_source(film, on_status=heard.append) as source:
        assert len(list(source.frames())) == 25
    assert heard == []
    (tmp_path / "half.avi").write_bytes(film.read_bytes()[: film.stat().st_size // 2])
    with open_source(tmp_path / "half.avi", on_status=heard.append) as source:
        count = len(list(source.frames()))
    assert 0 < count < 25
    if source.total == 25:  # the header's count; FFmpeg may have noticed the cut itself
        assert [status.kind for status in heard] == ["cut-short"]
        assert f"it ends after {count} of 25 announced frames" in heard[0].text


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"no video at all" * 100, "got a file without a frame that OpenCV"), (b"", r"got an empty file \(0 bytes\)")],
)
def test_what_is_no_video_is_an_error_of_one_line(content: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(CameraError, match=text) as caught:
        open_source(tmp_path / "bad.mp4")
    assert str(caught.value).startswith(str(tmp_path / "bad.mp4")) and "\n" not in str(caught.value)


def test_an_mp4_without_its_end_is_an_error(tmp_path: Path) -> None:
    path = write_video(tmp_path / "sound.mp4", [np.full((48, 64, 3), grey, np.uint8) for grey in GREYS])
    (tmp_path / "cut.mp4").write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # its index stands at the end
    with pytest.raises(CameraError, match="got a file without a frame"):
        open_source(tmp_path / "cut.mp4")


def test_missing_files_and_what_is_no_ordinary_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match=r"none\.mp4: expected a video; got: no such file"):
        open_source(tmp_path / "none.mp4")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CameraError, match="expected an ordinary file; got a device, folder or pipe"):
        open_source(tmp_path / "pipe")
    with pytest.raises(CameraError, match="no such file"):
        open_source("rtsp://127.0.0.1:1/stream")


def test_a_playlist_does_not_reach_the_network(tmp_path: Path) -> None:
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *words: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/part.ts"
    text = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{address}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(text)
    with pytest.raises(CameraError, match="without a frame"):
        open_source(tmp_path / "list.m3u8")
    assert asked == []
    server.shutdown()
    server.server_close()


def test_a_folder_is_its_pictures_by_name_and_a_bad_one_is_left_out(tmp_path: Path) -> None:
    for number, name in enumerate(("a.png", "b.png", "d.png")):
        cv2.imwrite(str(tmp_path / name), np.full((8, 8, 3), GREYS[number], np.uint8))
    (tmp_path / "c.png").write_bytes(b"no picture")
    heard: list[Status] = []
    with open_source(tmp_path, fps=2, on_status=heard.append) as source:
        frames = list(source.frames())
        assert (source.total, source.fps, source.live, source.width) == (4, 2, False, 8)
    assert [shown(frame.picture) for frame in frames] == [0, 1, 2]
    assert [(frame.index, frame.captured_s, frame.dropped) for frame in frames] == [(0, 0, 0), (1, 0.5, 0), (3, 1.5, 1)]
    assert [status.kind for status in heard] == ["skipped"] and "c.png: expected" in heard[0].text


def test_one_picture_is_one_frame_and_an_empty_folder_an_error(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(ImageError, match="expected a folder with pictures"):
        open_source(tmp_path / "none")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8, 3), 20, np.uint8))
    with open_source(tmp_path / "a.png") as source:
        assert [frame.index for frame in source.frames()] == [0]


def test_every_must_be_positive(film: Path) -> None:
    with pytest.raises(ValueError, match="expected every 1 or more; got 0"):
        open_source(film, every=0)

from __future__ import annotations

import sys
import time
import types
from typing import Any

import cv2
import numpy as np
import pytest

from edge.detectors import Haar
from edge.errors import CameraError, ImageError
from edge.pictures.images import read_image
from edge.sources import LiveSettings, is_camera, open_source
from edge.sources.devices import OpenCVCamera, PiCamera, SyntheticCamera

RED_BGR, RED_RGB = (0, 0, 200), (200, 0, 0)


class FakeCapture:
    """What `cv2.VideoCapture` gives, with a red picture."""

    opens, delivers = True, True
    size = (640.0, 480.0)  # its own

    def __init__(self, camera: int | str, backend: int) -> None:
        self.camera, self.settings = camera, {
            cv2.CAP_PROP_FPS: 30.0, cv2.CAP_PROP_FRAME_WIDTH: self.size[0], cv2.CAP_PROP_FRAME_HEIGHT: self.size[1],
        }  # fmt: skip
        self.order: list[int] = []
        FakeCapture.last = self

    last: FakeCapture

    def isOpened(self) -> bool:  # noqa: N802
        return self.opens

    def set(self, key: int, value: float) -> bool:
        self.settings[key] = value
        self.order.append(key)
        return True

    def get(self, key: int) -> float:
        return self.settings[key]

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, np.full((48, 64, 3), RED_BGR, np.uint8)) if self.delivers else (False, None)

    def release(self) -> None:
        self.opens = False


@pytest.fixture
def capture(monkeypatch: pytest.MonkeyPatch) -> type[FakeCapture]:
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    monkeypatch.setattr(FakeCapture, "opens", True)
    monkeypatch.setattr(FakeCapture, "delivers", True)
    return FakeCapture


def test_a_cameras_frames_come_as_rgb_at_the_size_and_rate_asked_for(capture: type[FakeCapture]) -> None:
    camera = OpenCVCamera("/dev", 320, 240, 15)  # an existing path: the fake opens it
    picture = camera.read()
    assert picture is not None and (picture == RED_RGB).all()
    asked = capture.last.settings
    assert (asked[cv2.CAP_PROP_FRAME_WIDTH], asked[cv2.CAP_PROP_FRAME_HEIGHT], camera.fps) == (320, 240, 15)
    assert cv2.CAP_PROP_FOURCC not in asked
    camera.close()
    assert not capture.last.opens


@pytest.mark.parametrize(
    ("own", "options", "size"),
    [((1920.0, 1080.0), {"width": 1280}, (1280, 720)), ((1920.0, 1080.0), {"height": 360}, (640, 360)),
     ((640.0, 480.0), {"height": 240}, (320, 240)), ((0.0, 0.0), {"width": 320}, (320, 240)),
     ((1920.0, 1080.0), {"width": 1, "height": 3}, (1, 3))],
)  # fmt: skip
def test_a_width_or_height_alone_is_asked_for_with_the_other_by_the_cameras_own_ratio(
    own: tuple[float, float],
    options: dict[str, int],
    size: tuple[int, int],
    capture: type[FakeCapture],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FakeCapture, "size", own)
    OpenCVCamera("/dev", **options)
    asked = [key for key in capture.last.order if key != cv2.CAP_PROP_FOURCC]
    assert asked == [cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT]
    assert tuple(capture.last.settings[key] for key in asked) == size


def test_without_a_size_the_camera_keeps_its_own(capture: type[FakeCapture]) -> None:
    OpenCVCamera("/dev")
    assert capture.last.order == []


def test_large_frames_are_asked_for_as_jpeg_before_their_size(capture: type[FakeCapture]) -> None:
    OpenCVCamera("/dev", 1280, 720)
    assert capture.last.order[0] == cv2.CAP_PROP_FOURCC
    assert capture.last.settings[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")


def test_a_rate_that_is_no_number_counts_as_unknown(capture: type[FakeCapture]) -> None:
    assert OpenCVCamera("/dev", fps=float("nan")).fps == 0


def test_a_missing_device_says_which_there_are_and_a_refusal_what_to_check(capture: type[FakeCapture]) -> None:
    with pytest.raises(CameraError, match=r"^camera 978: expected /dev/video978; got no such device; .*cable"):
        open_source("978")
    with pytest.raises(CameraError, match=r"^/dev/nocam: expected /dev/nocam; got no such device"):
        open_source("/dev/nocam")
    capture.opens = False
    with pytest.raises(CameraError, match="expected a camera that OpenCV can open; got a refusal"):
        open_source("/dev/null")


def test_on_a_raspberry_pi_the_error_names_the_ribbon_cable_and_picamera2(
    capture: type[FakeCapture], monkeypatch: pytest.MonkeyPatch
) -> None:
    capture.opens = False
    with pytest.raises(CameraError) as elsewhere:
        OpenCVCamera("/dev/null")
    assert "picamera2" not in str(elsewhere.value)
    monkeypatch.setattr("edge.system.board.board", lambda machine: "Raspberry Pi 5 Model B Rev 1.0")
    with pytest.raises(CameraError, match=r"ribbon cable speaks libcamera.*python3-picamera2.*source picamera2") as pi:
        OpenCVCamera("/dev/null")
    assert "\n" not in str(pi.value)


def test_a_camera_that_opens_and_delivers_nothing_is_an_error(capture: type[FakeCapture]) -> None:
    capture.delivers = False
    with pytest.raises(CameraError, match="/dev/null: expected a camera that delivers pictures; got: it delivers no"):
        open_source("/dev/null", settings=LiveSettings(open_s=2))


class FakePicamera2:
    """What picamera2 gives: arrays whose bytes are red, green, blue for the format BGR888."""

    cameras = 1
    last: FakePicamera2

    def __init__(self, number: int) -> None:
        if number >= self.cameras:
            raise IndexError("list index out of range")
        self.calls: list[str] = []
        FakePicamera2.last = self

    def create_video_configuration(self, main: dict[str, Any], controls: dict[str, Any]) -> dict[str, Any]:
        return {"main": main, "controls": controls}

    def configure(self, configuration: dict[str, Any]) -> None:
        self.configuration = configuration

    def start(self) -> None:
        self.calls.append("start")

    def capture_array(self, name: str) -> np.ndarray:
        width, height = self.configuration["main"]["size"]
        colour = RED_RGB if self.configuration["main"]["format"] == "BGR888" else RED_BGR
        return np.full((height, width, 3), colour, np.uint8)

    def stop(self) -> None:
        self.calls.append("stop")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def picamera2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", types.SimpleNamespace(Picamera2=FakePicamera2))


def test_a_raspberry_pi_camera_is_configured_started_read_as_rgb_and_given_back(picamera2: None) -> None:
    with open_source("picamera2", width=320, height=240, fps=15) as source:
        assert (source.width, source.height, source.fps, source.live) == (320, 240, 15, True)
        assert (next(iter(source.frames())).picture == RED_RGB).all()
    assert FakePicamera2.last.configuration["controls"] == {"FrameRate": 15}
    assert FakePicamera2.last.calls == ["start", "stop", "close"]


def test_a_raspberry_pi_camera_that_is_not_there_is_an_error(picamera2: None) -> None:
    with pytest.raises(CameraError, match=r"^picamera2:1: expected a Raspberry Pi camera; got: list index"):
        open_source("picamera2:1")


def test_picamera2_is_imported_only_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)  # its import fails
    with open_source("synthetic"):
        pass
    with pytest.raises(CameraError, match=r"expected the package picamera2; got: .*; run `sudo apt install"):
        PiCamera()


def test_the_drawn_camera_shows_one_face_that_moves() -> None:
    camera, haar = SyntheticCamera(320, 240, fps=0), Haar()
    centres = []
    for number in range(60):
        picture = camera.read()
        assert picture is not None and picture.shape == (240, 320, 3) and picture.dtype == np.uint8
        if number % 20 == 0:
            (found,) = haar.detect(picture)
            centres.append((found.box[0] + found.box[2]) / 2)
    assert max(centres) - min(centres) > 10


def test_the_drawn_camera_repeats_itself_and_keeps_its_rate() -> None:
    first, second = SyntheticCamera(64, 48, 30), SyntheticCamera(64, 48, 0)
    begun = time.monotonic()
    frames = [np.array(first.read()) for _ in range(11)]
    assert time.monotonic() - begun >= 10 / 30 - 0.01
    assert all(np.array_equal(frame, np.array(second.read())) for frame in frames)
    assert not np.array_equal(frames[0], frames[10])


def test_the_drawn_camera_shows_a_given_picture(tmp_path: Any) -> None:
    cv2.imwrite(str(tmp_path / "red.png"), np.full((30, 20, 3), RED_BGR, np.uint8))
    with open_source(f"synthetic:{tmp_path / 'red.png'}", width=64, height=48) as source:
        picture = next(iter(source.frames())).picture
    assert (picture[24, 32] == RED_RGB).all() and (read_image(tmp_path / "red.png") == RED_RGB).all()
    with pytest.raises(ImageError, match="got no such file"):
        open_source(f"synthetic:{tmp_path / 'none.png'}")


@pytest.mark.parametrize("spec", ["0", "12", "/dev/video0", "picamera2", "picamera2:1", "synthetic", "synthetic:a.jpg"])
def test_cameras_are_told_from_files(spec: str) -> None:
    assert is_camera(spec)


@pytest.mark.parametrize("spec", ["0.mp4", "video0", "picamera2.mp4", "picamera2:", "synthetical", "dev/video0", "²"])
def test_files_are_told_from_cameras(spec: str) -> None:
    assert not is_camera(spec)


@pytest.mark.parametrize(
    ("options", "text"),
    [({"width": 0}, "expected a width of 1 to 16384"), ({"height": 20000}, "expected a height"),
     ({"fps": -1.0}, "expected 0 to 1000 frames a second"), ({"seconds": 0.0}, "expected seconds above 0")],
)  # fmt: skip
def test_options_outside_their_range_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        open_source("synthetic", **options)


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(CameraError, match="got an empty name"):
        open_source("")

"""The cameras themselves: USB and other V4L2 cameras by OpenCV, Raspberry Pi cameras by picamera2, and a drawn one.

Each class is a `Device` of `edge.sources.live`; opening one raises `CameraError` that says what to do.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge.errors import CameraError

DEFAULT_SIZE = (640, 480)  # width, height in pixels
DEFAULT_FPS = 30.0
_MOST_FPS = 1000.0
# Ribbon cameras show up as /dev/video0 on a Raspberry Pi, open, and deliver nothing: opencv/opencv#22820.
_RIBBON = (
    "a camera on the Raspberry Pi's ribbon cable speaks libcamera, which OpenCV does not: install it with `sudo apt "
    "install python3-picamera2` and name the source picamera2"
)


class OpenCVCamera:
    """A camera by `cv2.VideoCapture`: on Linux, V4L2."""

    def __init__(
        self, camera: int | str, width: int | None = None, height: int | None = None, fps: float | None = None
    ) -> None:
        """Open the camera.

        Args:
            camera: its number, or its path below /dev (one below /dev/v4l/by-id survives being plugged in again).
            width: wanted, pixels; the camera takes the nearest that it can; None: its own, or, with a height, by the
                ratio of its own.
            height: likewise.
            fps: frames a second wanted; None or 0: its own.

        Raises:
            CameraError: it cannot be opened.
        """
        name = camera_name(camera)
        path = Path(f"/dev/video{camera}" if isinstance(camera, int) else camera)
        if path.parent.exists() and not path.exists():
            raise CameraError(f"{name}: expected {path}; got no such device; {_advice()}")
        self._capture: Any = cv2.VideoCapture(camera, cv2.CAP_V4L2 if _has_v4l2() else cv2.CAP_ANY)
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraError(
                f"{name}: expected a camera that OpenCV can open; got a refusal (in use, or not yours to read?); "
                f"{_advice()}"
            )
        if width or height:
            width, height = self._whole_size(width, height)
        if width and height and width * height > DEFAULT_SIZE[0] * DEFAULT_SIZE[1]:
            # Raw pictures of this size do not pass USB 2 at full rate, so ask for JPEG; a camera without it ignores it.
            self._capture.set(cv2.CAP_PROP_FOURCC, _fourcc("MJPG"))
        for key, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, width),
            (cv2.CAP_PROP_FRAME_HEIGHT, height),
            (cv2.CAP_PROP_FPS, fps),
        ):
            if value:
                self._capture.set(key, float(value))
        self.fps = sound_fps(self._capture.get(cv2.CAP_PROP_FPS))

    def _whole_size(self, width: int | None, height: int | None) -> tuple[int, int]:
        """Return both sides in pixels, a missing one by the camera's own ratio: OpenCV sets V4L2's only together."""
        own = (self._capture.get(cv2.CAP_PROP_FRAME_WIDTH), self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        own_width, own_height = own if min(own) > 0 else DEFAULT_SIZE
        return (
            width or max(1, round((height or own_height) * own_width / own_height)),
            height or max(1, round((width or own_width) * own_height / own_width)),
        )

    def read(self) -> npt.NDArray[np.uint8] | None:
        """Return the next frame, (height, width, 3) uint8 RGB; None where none came."""
        done, picture = self._capture.read()
        if not done or picture is None:
            return None
        if picture.ndim == 3 and picture.shape[2] == 3 and picture.size:
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        frame: npt.NDArray[np.uint8] = picture
        return frame

    def close(self) -> None:
        """Give the camera back."""
        self._capture.release()


class PiCamera:
    """A Raspberry Pi camera by picamera2, which comes from Raspberry Pi OS and is imported only here."""

    def __init__(
        self, number: int = 0, width: int | None = None, height: int | None = None, fps: float | None = None
    ) -> None:
        """Open the camera and start it.

        Args:
            number: of the camera; a Raspberry Pi 5 has two connectors.
            width: pixels; None: 640.
            height: pixels; None: 480.
            fps: frames a second; None or 0: 30.

        Raises:
            CameraError: picamera2 is not installed, or there is no such camera.
        """
        name = "picamera2" if number == 0 else f"picamera2:{number}"
        try:
            from picamera2 import Picamera2  # type: ignore[import-not-found]
        except ImportError as error:
            raise CameraError(
                f"{name}: expected the package picamera2; got: {' '.join(str(error).split())}; run `sudo apt install "
                "python3-picamera2` and make the virtual environment with --system-site-packages"
            ) from error
        self.fps = float(fps or DEFAULT_FPS)
        camera: Any = None
        try:
            camera = Picamera2(number)
            size = (width or DEFAULT_SIZE[0], height or DEFAULT_SIZE[1])
            # libcamera names the order of bytes in a word, hence BGR888 for red, green, blue in memory.
            configuration = camera.create_video_configuration(
                main={"size": size, "format": "BGR888"}, controls={"FrameRate": self.fps}
            )
            camera.configure(configuration)
            camera.start()
        except Exception as error:  # IndexError without a camera, RuntimeError where it is in use
            if camera is not None:
                camera.close()
            raise CameraError(
                f"{name}: expected a Raspberry Pi camera; got: {' '.join(str(error).split()) or type(error).__name__}; "
                "check its cable, see `rpicam-hello --list-cameras`, and end other programs that use it"
            ) from error
        self._camera = camera

    def read(self) -> npt.NDArray[np.uint8] | None:
        """Return the next frame, (height, width, 3) uint8 RGB."""
        frame: npt.NDArray[np.uint8] = self._camera.capture_array("main")
        return frame

    def close(self) -> None:
        """Give the camera back."""
        self._camera.stop()
        self._camera.close()


class SyntheticCamera:
    """A camera without a camera, for tests and a first look: a drawn face, or a given picture, that wanders about."""

    def __init__(
        self,
        width: int | None = None,
        height: int | None = None,
        fps: float | None = None,
        picture: npt.NDArray[np.uint8] | None = None,
    ) -> None:
        """Draw what it will show.

        Args:
            width: pixels; None: 640.
            height: pixels; None: 480.
            fps: frames a second; None: 30; 0: as many as are read.
            picture: (h, w, 3) uint8 RGB, shown instead of the drawn face; scaled to the frame's height.
        """
        self._width, self._height = width or DEFAULT_SIZE[0], height or DEFAULT_SIZE[1]
        self.fps = DEFAULT_FPS if fps is None else float(fps)
        self._count = 0
        self._begun_s = 0.0
        if picture is None:
            self._sprite = drawn_face(max(8, round(0.6 * self._height)))
        else:
            scale = self._height / picture.shape[0]
            size = (max(1, round(picture.shape[1] * scale)), self._height)
            self._sprite = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)

    def read(self) -> npt.NDArray[np.uint8]:
        """Return the next frame, (height, width, 3) uint8 RGB, when its time has come."""
        if self._count == 0:
            self._begun_s = time.monotonic()
        if self.fps > 0:
            time.sleep(max(0.0, self._begun_s + self._count / self.fps - time.monotonic()))
        seconds = self._count / (self.fps or DEFAULT_FPS)
        self._count += 1
        height, width = self._sprite.shape[:2]
        left = (self._width - width) / 2 + 0.15 * self._width * math.sin(seconds)
        top = (self._height - height) / 2 + 0.05 * self._height * math.sin(1.7 * seconds)
        shift = np.array([[1, 0, left], [0, 1, top]], np.float32)
        frame = cv2.warpAffine(
            self._sprite, shift, (self._width, self._height), flags=cv2.INTER_NEAREST, borderValue=(96, 112, 128)
        )
        return frame.astype(np.uint8, copy=False)

    def close(self) -> None:
        """Do nothing: it holds nothing."""


def drawn_face(side: int) -> npt.NDArray[np.uint8]:
    """Return a (side, side, 3) uint8 RGB face, drawn so that the Haar cascade finds it."""
    scale = 4  # drawn larger, then averaged, for smooth shading
    size = side * scale
    canvas = np.full((size, size, 3), (96, 112, 128), np.uint8)

    def oval(x: float, y: float, half_width: float, half_height: float, colour: tuple[int, int, int]) -> None:
        centre, axes = (round(x * size), round(y * size)), (round(half_width * size), round(half_height * size))
        cv2.ellipse(canvas, centre, axes, 0, 0, 360, colour, cv2.FILLED)

    oval(0.50, 0.42, 0.40, 0.41, (60, 40, 30))  # hair
    oval(0.50, 0.52, 0.34, 0.44, (224, 178, 150))  # head
    for x in (0.37, 0.63):
        oval(x, 0.40, 0.095, 0.022, (80, 52, 40))  # brow
        oval(x, 0.46, 0.085, 0.045, (150, 104, 84))  # socket
        oval(x, 0.465, 0.055, 0.026, (245, 245, 245))
        oval(x, 0.465, 0.025, 0.026, (40, 30, 25))
        oval(x, 0.62, 0.08, 0.06, (236, 188, 162))  # cheek
    oval(0.50, 0.55, 0.028, 0.10, (236, 196, 170))  # bridge of the nose
    oval(0.50, 0.645, 0.06, 0.022, (176, 124, 102))
    oval(0.50, 0.76, 0.12, 0.035, (160, 66, 62))  # mouth
    blurred = cv2.GaussianBlur(canvas, (0, 0), 0.012 * size)
    return cv2.resize(blurred, (side, side), interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def camera_name(camera: int | str) -> str:
    """Return what messages call a camera: "camera 0", or its path."""
    return f"camera {camera}" if isinstance(camera, int) else camera


def sound_fps(value: float) -> float:
    """Return the frames a second that a driver or file announces, or 0 where that is no sensible number."""
    return float(value) if math.isfinite(value) and 0 < value <= _MOST_FPS else 0.0


def _advice() -> str:
    """Return what to do about a camera that does not open, on this machine."""
    from edge.system.board import board, raspberry_pi
    from edge.system.machine import Machine

    found = sorted(str(path) for path in Path("/dev").glob("video*"))
    present = f"devices here: {', '.join(found)}" if found else "there is no /dev/video* here"
    if raspberry_pi(board(Machine())) is not None:
        return f"{present}; {_RIBBON}"
    return f"{present}; check its cable and the group video, or name another source"


def _has_v4l2() -> bool:
    return bool(cv2.videoio_registry.hasBackend(cv2.CAP_V4L2))


def _fourcc(code: str) -> float:
    return float(cv2.VideoWriter.fourcc(*code))

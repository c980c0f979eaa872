"""Where frames come from: cameras, videos, pictures, and a drawn camera; all behind `open_source`.

with open_source("0") as source:
    for frame in source.frames():
        ...
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from edge.errors import CameraError
from edge.sources.frames import Frame, OnStatus, Source, Status
from edge.sources.live import LiveSettings, LiveSource

__all__ = ["Frame", "LiveSettings", "LiveSource", "OnStatus", "Source", "Status", "open_source"]

_PICAMERA = re.compile(r"picamera2(?::(\d+))?")


def open_source(
    spec: str | Path,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    every: int = 1,
    seconds: float | None = None,
    settings: LiveSettings | None = None,
    on_status: OnStatus | None = None,
) -> Source:
    """Return an open source.

    Args:
        spec: "0" or "/dev/video0": a USB or other V4L2 camera; "picamera2" or "picamera2:1": a Raspberry Pi camera;
            "synthetic" or "synthetic:PICTURE": a camera that draws; else a video, a picture, or a folder of pictures.
        width: of a camera's frames, pixels; it takes the nearest that it can. None: the camera's own.
        height: likewise.
        fps: frames a second of a camera or of pictures; None: the camera's own, 25 for pictures.
        every: of a file: hand out each n-th frame.
        seconds: of a camera: end after so long; None: never.
        settings: when a camera counts as failed; None: the defaults.
        on_status: told, by the thread that takes the frames, what a user should hear about the source.

    Raises:
        CameraError: the camera or video cannot be opened.
        ImageError: a picture cannot be read.
        ValueError: an argument outside its range.
    """
    for name, value in (("width", width), ("height", height)):
        if value is not None and not 1 <= value <= 16384:
            raise ValueError(f"expected a {name} of 1 to 16384 pixels; got {value}")
    if fps is not None and not 0 <= fps <= 1000:
        raise ValueError(f"expected 0 to 1000 frames a second; got {fps}")
    live = dataclasses.replace(settings or LiveSettings(), seconds=seconds)
    text = str(spec)
    picamera = _PICAMERA.fullmatch(text)
    if not text:
        raise CameraError("expected a camera or a file; got an empty name; name one, for example 0 or a video")
    if is_camera(spec) and picamera is None and not text.startswith("synthetic"):
        from edge.sources.devices import OpenCVCamera, camera_name

        camera = int(text) if text.isdecimal() else text
        return LiveSource(camera_name(camera), lambda: OpenCVCamera(camera, width, height, fps), live, on_status)
    if picamera is not None:
        from edge.sources.devices import PiCamera

        number = int(picamera[1] or 0)
        return LiveSource(text, lambda: PiCamera(number, width, height, fps), live, on_status)
    if is_camera(spec):
        from edge.pictures.images import read_image
        from edge.sources.devices import SyntheticCamera

        shown = text.partition(":")[2]
        picture = read_image(shown) if shown else None
        return LiveSource("synthetic", lambda: SyntheticCamera(width, height, fps, picture), live, on_status)
    from edge.sources.files import Pictures, VideoFile, is_picture_folder_or_file

    path = Path(text)
    if is_picture_folder_or_file(path):
        return Pictures(path, fps, every, on_status)
    return VideoFile(path, every, on_status)


def is_camera(spec: str | Path) -> bool:
    """Return whether a source is a camera: a number, a path below /dev, picamera2 or synthetic."""
    text = str(spec)
    if isinstance(spec, Path):
        return text.startswith("/dev/")
    return (
        (text.isascii() and text.isdecimal())
        or text.startswith("/dev/")
        or _PICAMERA.fullmatch(text) is not None
        or text == "synthetic"
        or text.startswith("synthetic:")
    )

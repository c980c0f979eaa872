"""The cameras that the kernel shows (Video4Linux), and whether the Pi's own camera can be used from Python.

Source: Linux media documentation, VIDIOC_QUERYCAP (struct v4l2_capability and its flags).
"""

from __future__ import annotations

import os
import re
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from edge.system.machine import Machine

_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability), 104 bytes
_CAPABILITY = struct.Struct("<16s32s32sIII12x")
_VIDEO_CAPTURE, _VIDEO_CAPTURE_MPLANE, _DEVICE_CAPS = 0x1, 0x1000, 0x80000000
# Nodes of the Pi's image pipeline: raw sensors, image processor, decoders. No program gets a usable picture there
# without libcamera.
_PIPELINE = re.compile(r"unicam|bcm2835-(isp|codec)|rp1-cfe|pispbe|hevc|rpivid", re.IGNORECASE)
PICAMERA2 = "picamera2"


@dataclass(frozen=True)
class Camera:
    """One video device.

    Attributes:
        device: its path, "/dev/video0".
        name: what the driver calls it; None where it is not said.
        captures: whether it delivers pictures (a webcam has a second node for metadata alone); None: it did not say.
        permitted: whether this user may open it.
        pipeline: whether it is a part of the Pi's image pipeline, to be used by libcamera.
    """

    device: str
    name: str | None
    captures: bool | None
    permitted: bool
    pipeline: bool


def cameras(machine: Machine) -> tuple[Camera, ...]:
    """Return the video devices in /dev, in the order of their numbers."""
    found = []
    for name in machine.names("dev/video[0-9]*"):
        path = machine.path(name)
        label = machine.text(f"sys/class/video4linux/{path.name}/name")
        pipeline = bool(_PIPELINE.search(label or ""))
        permitted = os.access(path, os.R_OK | os.W_OK)
        # A second node of one device (index 1 and above) carries metadata where the driver answers no question.
        captures = _captures(path) if permitted else None
        if captures is None and (machine.number(f"sys/class/video4linux/{path.name}/index") or 0) > 0:
            captures = False
        found.append(Camera(f"/{name}", label, captures, permitted, pipeline))
    return tuple(found)


def picamera2_problem(machine: Machine) -> str | None:
    """Return why Python cannot use picamera2, in one line; None if it can.

    It is imported in a process of its own: its compiled parts may not fit this environment's NumPy. With -P, a file of
    that name where the command runs is not it.
    """
    done = machine.run((sys.executable, "-P", "-c", f"import {PICAMERA2}"))
    if done is None:
        return "it could not be tried, or did not end"
    if done.code == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1].strip() if lines else f"exit code {done.code}"


def _captures(path: Path) -> bool | None:
    """Return whether the driver says that the device delivers pictures; None where it does not answer."""
    try:
        import fcntl
    except ImportError:  # no Unix
        return None
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        answer = fcntl.ioctl(descriptor, _QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:  # no video device
        return None
    finally:
        os.close(descriptor)
    return captures_pictures(answer)


def captures_pictures(answer: bytes) -> bool:
    """Return whether an answer to VIDIOC_QUERYCAP (struct v4l2_capability, 104 bytes) is a picture source's."""
    *_, capabilities, device_capabilities = _CAPABILITY.unpack(answer)
    flags = device_capabilities if capabilities & _DEVICE_CAPS else capabilities
    return bool(flags & (_VIDEO_CAPTURE | _VIDEO_CAPTURE_MPLANE))

"""A camera that runs for days: the newest frame wins, and what fails is reported once, retried and resumed.

One thread reads the device into a slot of one: a reader that is slower than the camera gets the newest frame and is
told how many it missed, and nothing queues up. The device is judged from outside the thread, because a read may block
for ever: OpenCV's on a lost camera (opencv/opencv#4468, #22677), picamera2's on a hung one (raspberrypi/picamera2#794).
A thread that hangs is left behind, at most `MAX_STUCK` of them, and its device is closed when its read returns.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from edge.errors import CameraError
from edge.sources.frames import Closing, Frame, OnStatus, Status
from edge.wording import counted

MAX_STUCK = 2  # threads left behind in a read; with more, no new attempt is made until one of them returns
_LOOK_S = 0.1  # how often a waiting reader looks at the clock and at `stop`
_JOIN_S = 2.0


class Device(Protocol):
    """An open camera.

    Attributes:
        fps: frames a second that it announces; 0 where unknown.
    """

    fps: float

    def read(self) -> npt.NDArray[np.uint8] | None:
        """Return the next frame, (height, width, 3) uint8 RGB; None where the device failed to deliver one.

        It may block, raise, or return what is no picture.
        """

    def close(self) -> None:
        """Give the device back."""


OpenDevice = Callable[[], Device]  # raises CameraError, saying what to do


@dataclass(frozen=True)
class LiveSettings:
    """When a camera counts as failed, and how often it is tried again.

    Attributes:
        stall_s: seconds without a frame after which it counts as stalled.
        corrupt_s: seconds of unusable frames only, after which it counts as corrupt; shorter runs are skipped.
        open_s: seconds allowed from opening it to its first frame.
        first_retry_s: pause before the first new attempt; it doubles with every attempt that fails.
        longest_retry_s: upper limit of that pause.
        seconds: how long to run, from the first frame; None: until stopped.
    """

    stall_s: float = 5.0
    corrupt_s: float = 1.0
    open_s: float = 15.0
    first_retry_s: float = 0.5
    longest_retry_s: float = 30.0
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Check that the times are positive."""
        for name in ("stall_s", "corrupt_s", "open_s", "first_retry_s", "longest_retry_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"expected {name} above 0; got {getattr(self, name)}")
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"expected seconds above 0, or None; got {self.seconds}")


class _Connection:
    """One attempt at the device: its thread, and what the thread has delivered. Fields are guarded by `ready`."""

    def __init__(self, open_device: OpenDevice, ready: threading.Condition, corrupt_s: float) -> None:
        self._open_device, self._ready, self._corrupt_s = open_device, ready, corrupt_s
        self.begun_s = time.monotonic()
        self.last_s: float | None = None  # when the newest good frame arrived
        self.newest: npt.NDArray[np.uint8] | None = None
        self.count = 0  # good frames so far
        self.shape: tuple[int, ...] | None = None
        self.fps = 0.0
        self.fault: tuple[Literal["lost", "corrupt"], str] | None = None
        self.left = False  # nobody waits for this connection any more
        self.thread = threading.Thread(target=self._run, name="fer-edge camera", daemon=True)
        self.thread.start()

    def leave(self) -> None:
        """Ask the thread to close the device as soon as its read returns."""
        self.left = True

    def _run(self) -> None:
        try:
            device = self._open_device()
        except Exception as error:  # whatever a driver raises is this camera's fault, not ours
            self._fail("lost", _reason(error))
            return
        try:
            self.fps = float(device.fps)
            self._read(device)
        except Exception as error:
            self._fail("lost", _reason(error))
        finally:
            try:
                device.close()
            except Exception as error:
                self._fail("lost", _reason(error))

    def _read(self, device: Device) -> None:
        bad_since: float | None = None
        while not self.left:
            picture = device.read()
            now = time.monotonic()
            if picture is None:
                self._fail("lost", "it delivers no frame")
                return
            problem = _problem(picture, self.shape)
            with self._ready:
                if self.left:
                    return
                if problem is None:
                    bad_since = None
                    self.shape = picture.shape
                    self.newest, self.last_s = picture, now
                    self.count += 1
                    self._ready.notify_all()
                    continue
            bad_since = now if bad_since is None else bad_since
            if now - bad_since >= self._corrupt_s:
                self._fail("corrupt", problem)
                return

    def _fail(self, kind: Literal["lost", "corrupt"], text: str) -> None:
        with self._ready:
            if self.fault is None:
                self.fault = (kind, text)
            self._ready.notify_all()


class LiveSource(Closing):
    """A camera as a `Source`; made by `open_source`, or with any `open_device` that tests inject."""

    live = True
    total: int | None = None

    def __init__(
        self,
        name: str,
        open_device: OpenDevice,
        settings: LiveSettings | None = None,
        on_status: OnStatus | None = None,
    ) -> None:
        """Open the device and wait for its first frame.

        Args:
            name: what to call it in messages.
            open_device: returns a fresh device; called again after every failure, in a thread of its own.
            settings: None: the defaults.
            on_status: told of every outage once, and of its end.

        Raises:
            CameraError: the device cannot be opened or delivers no picture.
        """
        self.name = name
        self.settings = settings or LiveSettings()
        self.status: Status | None = None  # the last one reported
        self._open_device, self._on_status = open_device, on_status
        self._ready = threading.Condition()
        self._stopped = False
        self._stuck: deque[threading.Thread] = deque()
        self._connection: _Connection | None = self._connect()
        first = self._first_frame(self._connection)
        self.height, self.width = first.shape[:2]
        self.fps = self._connection.fps
        self._begun_s = time.monotonic()
        self._outage_s: float | None = None  # since when no frames have come
        self._attempts = 0
        self._retry_s = self.settings.first_retry_s
        self._retry_at_s = 0.0
        self._base = 0  # frames produced by earlier connections
        self._next = 0  # the index that follows the last frame handed out

    def frames(self) -> Iterator[Frame]:
        """Yield the newest frame each time one is asked for, waiting for one that was not handed out yet."""
        while not self._stopped:
            frame = self._newest()
            if frame is not None:
                yield frame
            if self.settings.seconds is not None and time.monotonic() - self._begun_s >= self.settings.seconds:
                return

    def stop(self) -> None:
        """Let `frames` end within a fraction of a second; takes no lock, so a signal handler may call it."""
        self._stopped = True

    def close(self) -> None:
        """Stop, and give the device back; a read that hangs is waited for two seconds, then left to itself."""
        self._stopped = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.leave()
            connection.thread.join(_JOIN_S)

    def _connect(self) -> _Connection:
        return _Connection(self._open_device, self._ready, self.settings.corrupt_s)

    def _first_frame(self, connection: _Connection) -> npt.NDArray[np.uint8]:
        """Return the first frame, which stays to be handed out; raise CameraError where none comes."""
        with self._ready:
            self._ready.wait_for(
                lambda: connection.newest is not None or connection.fault is not None, self.settings.open_s
            )
            newest, fault = connection.newest, connection.fault
        if newest is not None:
            return newest
        self.close()
        if fault is not None and fault[1].startswith(self.name):  # the device's own full sentence
            raise CameraError(fault[1])
        came = fault[1] if fault else f"no frame within {self.settings.open_s:g} s"
        raise CameraError(f"{self.name}: expected a camera that delivers pictures; got: {came}; check it and its cable")

    def _newest(self) -> Frame | None:
        """Return the newest frame if there is one that was not handed out, else wait a little and look after it."""
        connection = self._connection
        if connection is None:
            self._try_again()
            return None
        with self._ready:
            if self._base + connection.count <= self._next and connection.fault is None:
                self._ready.wait(_LOOK_S)
            picture, connection.newest = connection.newest, None
            index, captured_s = self._base + connection.count - 1, connection.last_s
            fault = connection.fault
        if picture is not None and captured_s is not None:
            self._report_end_of_outage()
            dropped, self._next = index - self._next, index + 1
            return Frame(picture, index, captured_s, dropped)
        if fault is not None:
            self._give_up(connection, *fault)
        else:
            since = captured_s if captured_s is not None else connection.begun_s
            limit = self.settings.stall_s if captured_s is not None else self.settings.open_s
            if time.monotonic() - since >= limit:
                self._give_up(connection, "stalled", f"no frame for {limit:g} s")
        return None

    def _give_up(self, connection: _Connection, kind: Literal["lost", "stalled", "corrupt"], text: str) -> None:
        """Leave a failed connection, report the outage if it is a new one, and set the time of the next attempt."""
        connection.leave()
        if connection.thread.is_alive():
            self._stuck.append(connection.thread)
        self._connection = None
        self._base += connection.count
        now = time.monotonic()
        if connection.last_s is not None and connection.last_s - connection.begun_s >= self._retry_s:
            self._retry_s = self.settings.first_retry_s  # it held longer than the pause: a flapping camera does not
        self._retry_at_s = now + self._retry_s
        self._retry_s = min(2 * self._retry_s, self.settings.longest_retry_s)
        if self._outage_s is None:
            self._outage_s = connection.last_s if connection.last_s is not None else now
            self._attempts = 0
            self._report(kind, f"{self.name}: {_SAYS[kind]} ({text}); it is tried again until it comes back")

    def _try_again(self) -> None:
        """Connect anew when its time has come and not too many threads hang; else wait a little."""
        for thread in [thread for thread in self._stuck if not thread.is_alive()]:
            self._stuck.remove(thread)
        if time.monotonic() >= self._retry_at_s and len(self._stuck) < MAX_STUCK:
            self._attempts += 1
            self._connection = self._connect()
        else:
            time.sleep(min(_LOOK_S, max(0.001, self._retry_at_s - time.monotonic())))

    def _report_end_of_outage(self) -> None:
        if self._outage_s is not None:
            away_s = time.monotonic() - self._outage_s
            tries = counted(self._attempts, "attempt")
            self._outage_s = None
            self._report("resumed", f"{self.name}: frames again after {away_s:.1f} s and {tries}")

    def _report(self, kind: Literal["lost", "stalled", "corrupt", "resumed"], text: str) -> None:
        self.status = Status(kind, text, time.monotonic())
        if self._on_status is not None:
            self._on_status(self.status)


_SAYS = {"lost": "the camera failed", "stalled": "the camera stalled", "corrupt": "the camera delivers no pictures"}


def _problem(picture: object, shape: tuple[int, ...] | None) -> str | None:
    """Return what is wrong with a frame, or None; within a connection the shape stays the same."""
    if not isinstance(picture, np.ndarray):
        return f"a {type(picture).__name__} instead of a picture"
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
        return f"frames of {picture.dtype} {picture.shape} instead of uint8 (height, width, 3)"
    if shape is not None and picture.shape != shape:
        return f"frames of {picture.shape} instead of {shape}"
    return None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

"""What a frame takes on this machine, stage by stage, and the share that is neither detection nor inference.

A camera's frames come as JPEG: drawn ones are encoded before the clock starts and decoded under it, in turn with the
reading or in a capture thread (`edge.benchmarking.frame_times`). The clock wraps the whole frame, so that nothing hides
between the stages. Nothing is drawn or written. No printing here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.benchmarking import statistics
from edge.benchmarking.benchmark import common, summary_ms
from edge.benchmarking.frame_times import STAGES, FrameTimes, Tick, in_turn, live
from edge.benchmarking.stability import Series, judge
from edge.benchmarking.statistics import BOOTSTRAP_SEED
from edge.errors import DataError
from edge.pictures.images import encode_jpeg
from edge.recognizer import Recognizer
from edge.sources.devices import SyntheticCamera
from edge.streams.stream import Stream, StreamSettings
from edge.system.conditions import clock_mhz, conditions, ended
from edge.system.machine import Machine

JPEG_QUALITY = 90
_KEPT_FRAMES = 300  # played forwards and backwards, so that faces never jump


def pipeline_record(
    recognizer: Recognizer,
    settings: StreamSettings,
    pictures: Sequence[bytes],
    frames: int,
    warmup: int,
    command: Sequence[str],
    tick: Tick | None = None,
    machine: Machine | None = None,
    live_fps: float | None = None,
) -> dict[str, Any]:
    """Return the pipeline record of a stream of encoded pictures.

    `overhead.share` is the median over detection cycles (`detect_every` frames) of the cycle's time that is neither
    detection nor inference, 0..1, with its 95 % bootstrap interval. `stability` is judged by whole cycles. A live
    record says in `live` what the capture thread did beside, and the share with its CPU time counted in.

    Args:
        recognizer: detector and classifier.
        settings: of the stream.
        pictures: encoded, all of one size.
        frames: timed, at least one detection cycle; what is beyond whole cycles is read, and left out of the share.
        warmup: untimed frames before them.
        command: the words of the running command.
        tick: called with (frames done, frames in all).
        machine: where facts are read; None: this machine.
        live_fps: frames a second that a capture thread decodes, newest first; None: decoding and reading take turns.

    Raises:
        CameraError: with `live_fps`, a picture cannot be decoded.
        DataError: no face was found in any frame: crop and inference were not measured.
        ImageError: a picture cannot be decoded.
        ValueError: frames or warmup out of range, a pace that is not positive, or no picture.
    """
    if frames < settings.detect_every or warmup < 0 or not pictures:
        raise ValueError(
            f"expected {settings.detect_every} or more frames, 0 or more for warm-up and a picture; got {frames}, "
            f"{warmup} and {len(pictures)}"
        )
    if live_fps is not None and not live_fps > 0:
        raise ValueError(f"expected live_fps above 0, or None; got {live_fps}")
    where = Machine() if machine is None else machine
    before, start_mhz = conditions(where), None

    def begin() -> None:
        nonlocal start_mhz
        start_mhz = clock_mhz(where)

    stream = Stream(recognizer, settings)
    if live_fps is None:
        times = in_turn(stream, pictures, frames, warmup, begin, tick)
    else:
        times = live(stream, pictures, live_fps, frames, warmup, begin, tick)
    course = ended(where, before, start_mhz)
    if not times.faces:
        raise DataError(f"expected a face in the frames; got none in {frames}; use another --picture or --detector")
    return {
        **common("pipeline", recognizer.classifier, command, course, where),
        "frame": {"width": times.width, "height": times.height},
        "frames": frames,
        "warmup": warmup,
        "faces_per_frame": times.faces / frames,
        "detector": recognizer.detector.name,
        "detect_every": settings.detect_every,
        "infer_every": settings.infer_every,
        "stages_ms": {
            name: {**summary_ms(ran.tolist()), "n": len(ran)}
            for name, column in zip(STAGES, times.stages_ms.T, strict=True)
            if len(ran := column[column > 0])
        },
        "end_to_end_ms": summary_ms(times.whole_ms.tolist()),
        "overhead": overhead(times.whole_ms, times.model_ms, settings.detect_every),
        **({} if times.live is None else {"live": {**times.live, **with_capture(times)}}),
        "stability": judge(
            [Series("detection cycles", in_cycles(times.whole_ms, settings.detect_every).tolist())],
            course,
            recognizer.classifier.threads,
        ),
    }


def with_capture(times: FrameTimes) -> dict[str, float]:
    """Return what a live record says of both threads together.

    `busy_share` is the share of the time, 0..1, in which the reader was at work and not waiting for the camera;
    `share_with_capture` the overhead, of all timed frames, with the capture thread's CPU time counted as overhead.

    Args:
        times: of a live run.

    Raises:
        ValueError: they are of another.
    """
    if times.live is None:
        raise ValueError("expected times of a live run; got those of frames decoded in turn")
    busy_ms = float(times.whole_ms.sum())
    all_ms = busy_ms + times.live["capture_cpu_ms"]
    return {
        "busy_share": min(1.0, busy_ms / (1e3 * times.live["seconds"])),
        "share_with_capture": 1 - float(times.model_ms.sum()) / all_ms,
    }


def overhead(whole_ms: npt.NDArray[np.float64], model_ms: npt.NDArray[np.float64], detect_every: int) -> dict[str, Any]:
    """Return {"share": median over cycles, 0..1, "ci95": [low, high], "cycles": number}.

    Args:
        whole_ms: (n,) time of each frame, milliseconds.
        model_ms: (n,) of it in detection and inference.
        detect_every: frames of a cycle; a last part of one is left out.
    """
    shares = 1 - in_cycles(model_ms, detect_every) / in_cycles(whole_ms, detect_every)
    return {
        "share": float(np.median(shares)),
        "ci95": list(statistics.bootstrap_interval(shares, BOOTSTRAP_SEED, statistic="median")),
        "cycles": len(shares),
    }


def in_cycles(times_ms: npt.NDArray[np.float64], detect_every: int) -> npt.NDArray[np.float64]:
    """Return the sums (cycles,) of frames' times (n,), `detect_every` frames each; a last part of one is left out."""
    cycles = len(times_ms) // detect_every
    sums: npt.NDArray[np.float64] = times_ms[: cycles * detect_every].reshape(cycles, detect_every).sum(axis=1)
    return sums


def drawn_frames(width: int, height: int, picture: npt.NDArray[np.uint8] | None = None) -> list[bytes]:
    """Return frames as a camera's JPEGs: a drawn face, or a picture (h, w, 3) uint8 RGB, that wanders about."""
    camera = SyntheticCamera(width, height, fps=0, picture=picture)
    return [encode_jpeg(camera.read(), JPEG_QUALITY) for _ in range(_KEPT_FRAMES)]

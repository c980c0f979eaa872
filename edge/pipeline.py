"""What a frame takes on this machine, stage by stage, and the share that is neither detection nor inference.

A camera's frames come as JPEG: drawn ones are encoded before the clock starts and decoded under it. The clock wraps
the whole frame, so that nothing hides between the stages. Nothing is drawn or written. No printing here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from edge import statistics
from edge.benchmark import common, summary_ms
from edge.errors import DataError
from edge.images import decode_image, encode_jpeg
from edge.recognizer import Recognizer
from edge.sources.devices import SyntheticCamera
from edge.sources.frames import Frame
from edge.stability import Series, judge
from edge.statistics import BOOTSTRAP_SEED
from edge.stream import Stream, StreamSettings
from edge.system.conditions import clock_mhz, conditions, ended
from edge.system.machine import Machine

Tick = Callable[[int, int], None]  # (done, in all)

STAGES = ("decode", "detect", "crop", "infer", "post")  # post: association, following, smoothing, events
FPS = 30.0  # the pace that the frames are stamped with; they are read as fast as they can be
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
) -> dict[str, Any]:
    """Return the pipeline record of a stream of encoded pictures.

    `overhead.share` is the median over detection cycles (`detect_every` frames) of the cycle's time that is neither
    detection nor inference, 0..1, with its 95 % bootstrap interval. `stability` is judged by whole cycles.

    Args:
        recognizer: detector and classifier.
        settings: of the stream.
        pictures: encoded, all of one size.
        frames: timed, at least one detection cycle; what is beyond whole cycles is read, and left out of the share.
        warmup: untimed frames before them.
        command: the words of the running command.
        tick: called with (frames done, frames in all).
        machine: where facts are read; None: this machine.

    Raises:
        DataError: no face was found in any frame: crop and inference were not measured.
        ImageError: a picture cannot be decoded.
        ValueError: frames or warmup out of range, or no picture.
    """
    if frames < settings.detect_every or warmup < 0 or not pictures:
        raise ValueError(
            f"expected {settings.detect_every} or more frames, 0 or more for warm-up and a picture; got {frames}, "
            f"{warmup} and {len(pictures)}"
        )
    where = Machine() if machine is None else machine
    before, start_mhz = conditions(where), None
    stream = Stream(recognizer, settings)
    rows, faces = [], 0
    height = width = 0
    for index, content in zip(range(-warmup, frames), _there_and_back(pictures), strict=False):
        if index == 0:
            start_mhz = clock_mhz(where)
        start = time.perf_counter_ns()
        picture = decode_image(content)
        decoded = time.perf_counter_ns()
        reading = stream(Frame(picture, index + warmup, (index + warmup) / FPS, 0))
        end = time.perf_counter_ns()
        height, width = picture.shape[:2]
        if index >= 0:
            spent = reading.latency_ms
            stages = (spent["detect"], spent["crop"], spent["infer"], spent["track"])
            rows.append(((decoded - start) / 1e6, *stages, (end - start) / 1e6))
            faces += len(reading.faces)
            if tick is not None:
                tick(index + 1, frames)
    course = ended(where, before, start_mhz)
    if not faces:
        raise DataError(f"expected a face in the frames; got none in {frames}; use another --picture or --detector")
    times = np.array(rows)
    return {
        **common("pipeline", recognizer.classifier, command, course, where),
        "frame": {"width": width, "height": height},
        "frames": frames,
        "warmup": warmup,
        "faces_per_frame": faces / frames,
        "detector": recognizer.detector.name,
        "detect_every": settings.detect_every,
        "infer_every": settings.infer_every,
        "stages_ms": {
            name: {**summary_ms(ran.tolist()), "n": len(ran)}
            for name, column in zip(STAGES, times.T, strict=False)
            if len(ran := column[column > 0])
        },
        "end_to_end_ms": summary_ms(times[:, -1].tolist()),
        "overhead": overhead(times[:, -1], times[:, STAGES.index("detect")] + times[:, STAGES.index("infer")],
                             settings.detect_every),
        "stability": judge(
            [Series("detection cycles", in_cycles(times[:, -1], settings.detect_every).tolist())],
            course,
            recognizer.classifier.threads,
        ),
    }  # fmt: skip


def overhead(
    whole_ms: npt.NDArray[np.float64], model_ms: npt.NDArray[np.float64], detect_every: int
) -> dict[str, Any]:
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


def _there_and_back(pictures: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from pictures
        yield from reversed(pictures)

"""What `fer-edge video`, `camera` and `serve` share: options, the loop, and what is said before and after it.

The first Ctrl-C, SIGTERM or SIGHUP (the terminal is gone) lets the frame in work end and closes the outputs; a second
Ctrl-C or SIGTERM ends the program at once.
"""

from __future__ import annotations

import os
import signal
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Literal

import click

from edge.cli import printable
from edge.commands.options import align_option, json_option, model_option, progress, refuse_overwriting
from edge.wording import counted

if TYPE_CHECKING:
    from edge.inference.contract import Contract
    from edge.recognizer import Recognizer
    from edge.sources import Source, Status
    from edge.streams.outputs import Output
    from edge.streams.stream import Stream, StreamReading, StreamSettings

_KEPT_LATENCIES = 1000  # frames that the medians of the summary are taken over
_ERASE_LINE = "\r\x1b[K"
_MOST_LIVE_VIDEO_FPS = 15.0  # of a camera's annotated video: a device seldom reads more, and encodes each

LAG = (
    "Answers are averaged over time: after a sudden change of expression the average has gone half the way after 0.69 "
    'times --smoothing-ms (277 ms at 400). Where the best answer\'s average is below --uncertain-below, "uncertain" is '
    "said; the model's probabilities are calibrated on single pictures."
)


@dataclass(frozen=True)
class StreamConfig:
    """The flags that `fer-edge video`, `fer-edge camera` and `fer-edge serve` share."""

    model: str | None
    as_json: bool
    detector: Literal["auto", "yunet", "blazeface", "haar"]
    detector_model: str | None
    detection_side: int
    align: Literal["auto", "none", "eyes", "points"]
    detect_every: int
    infer_every: int
    smoothing_ms: float
    uncertain_below: float
    out: str | None
    jsonl: str | None
    csv: str | None
    append: bool
    threads: int | None
    max_frames: int | None


_OPTIONS = (
    model_option,
    click.option(
        "--detector",
        type=click.Choice(["auto", "yunet", "blazeface", "haar"]),
        default="auto",
        show_default=True,
        help="auto: what --detector-model is, else YuNet or BlazeFace where `fer-edge fetch` has brought it, "
        "else Haar.",
    ),
    click.option("--detector-model", metavar="FILE", help="YuNet's ONNX file or BlazeFace's TFLite file."),
    click.option(
        "--detection-side",
        type=click.IntRange(32, 8192),
        default=640,
        show_default=True,
        help="Longest side in pixels at which YuNet and Haar look for faces; smaller is faster.",
    ),
    align_option,
    click.option(
        "--detect-every",
        type=click.IntRange(1, 1000),
        default=3,
        show_default=True,
        help="Run the detector on each n-th frame of a scene; between, faces are followed by their motion.",
    ),
    click.option(
        "--infer-every",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        help="Run the classifier on each n-th frame.",
    ),
    click.option(
        "--smoothing-ms",
        type=click.FloatRange(0, 60_000),
        default=400.0,
        show_default=True,
        help="Time constant of the average over a face's answers; half of a sudden change shows after 0.69 times it. "
        "0: no average.",
    ),
    click.option(
        "--uncertain-below",
        type=click.FloatRange(0, 1),
        default=0.5,
        show_default=True,
        help='Averaged probability of the best answer below which "uncertain" is said.',
    ),
    click.option("--out", metavar="FILE.mp4|.avi", help="Write a video with the faces drawn in."),
    click.option("--jsonl", metavar="FILE", help="Write the lines of --json to a file."),
    click.option("--csv", metavar="FILE", help="Write a row a face and frame; a camera's with its time in UTC."),
    click.option("--append", is_flag=True, help="Add to the files of --jsonl and --csv instead of replacing them."),
    json_option,
    click.option(
        "--threads", type=click.IntRange(1, 64), help="Threads of the interpreter. Default: the cores, at most 4."
    ),
    click.option("--max-frames", type=click.IntRange(1), help="End after so many frames."),
)

_CAMERA_OPTIONS = (
    click.option("--width", type=click.IntRange(1, 16384), help="Width of the frames; the nearest that it has."),
    click.option("--height", type=click.IntRange(1, 16384), help="Height of the frames."),
    click.option("--fps", type=click.FloatRange(0, 1000), help="Frames a second to ask the camera for."),
    click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End after so long."),
)


def stream_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the shared options to a command."""
    return _with(_OPTIONS, command)


def camera_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of what may be a camera to a command."""
    return _with(_CAMERA_OPTIONS, command)


def _with(options: Sequence[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def check_files(config: StreamConfig, source: str | None = None) -> None:
    """Raise click's usage error where an output would fall on the source, the model or another output.

    Args:
        config: the flags.
        source: the file or folder of pictures that is read; None: a camera.
    """
    from edge.pictures.images import list_images

    inputs: list[Any] = [config.model, config.detector_model]
    if source:
        inputs += list_images([source]) if os.path.isdir(source) else [source]
    refuse_overwriting({"--out": config.out, "--jsonl": config.jsonl, "--csv": config.csv}, inputs)


def load(config: StreamConfig) -> tuple[Recognizer, StreamSettings]:
    """Return the recognizer, warmed up, and the settings that the flags ask for."""
    from edge.notice import first_use
    from edge.recognizer import load
    from edge.streams.stream import StreamSettings

    first_use()
    settings = StreamSettings(config.detect_every, config.infer_every, config.smoothing_ms, config.uncertain_below)
    recognizer = load(
        config.model, config.detector, config.detector_model, config.threads, config.detection_side, config.align
    )
    recognizer.warm_up()
    return recognizer, settings


def say(status: Status) -> None:
    """Print what a source has to say, in one line on stderr."""
    click.echo(f"note: {printable(status.text)}", err=True)


def run(
    config: StreamConfig, source: Source, recognizer: Recognizer, settings: StreamSettings, *more: Output
) -> int | None:
    """Read the source to its end; return the number of the signal that ended it, or None.

    Args:
        config: the flags.
        source: closed at the end.
        recognizer: reads the frames.
        settings: how they are read.
        more: outputs beside those of the flags; they get each reading last and are not closed.

    Raises:
        EdgeError: an output cannot be written, or the source failed for good.
    """
    from edge.streams.stream import Stream

    stream = Stream(recognizer, settings)
    click.echo(_opening(source, recognizer, settings), err=True)
    tally = _Tally()
    with source, _ended_by_signals(source) as ended:
        try:
            with ExitStack() as stack:
                outputs = [stack.enter_context(output) for output in _outputs(config, source, stream)]
                outputs.extend(more)
                tick = stack.enter_context(_bar(config, source))
                _loop(config, source, stream, outputs, tally, tick)
        finally:
            if tally.frames:
                with suppress(OSError) if ended else nullcontext():  # a terminal that is gone takes no words
                    click.echo(tally.summary(), err=True)
    return ended[0] if ended else None


def _loop(
    config: StreamConfig,
    source: Source,
    stream: Stream,
    outputs: list[Output],
    tally: _Tally,
    tick: Callable[[int, int], None],
) -> None:
    total = source.total if config.max_frames is None else min(config.max_frames, source.total or config.max_frames)
    for frame in source.frames():
        reading = stream(frame)
        for output in outputs:
            output.write(reading)
        tally.add(reading)
        if total is not None:
            tick(min(tally.frames, total), total)
        if tally.frames == config.max_frames:
            return
    if total is not None and tally.frames:
        tick(total, total)


def _outputs(config: StreamConfig, source: Source, stream: Stream) -> Iterator[Any]:
    """Yield the outputs that the flags ask for, each opened when the one before is in safe hands."""
    from edge.streams.outputs import CsvFile, EventLines, JsonLines

    meta = meta_of(source, stream.recognizer, stream.settings)
    if config.as_json:
        yield JsonLines(click.echo, meta)
    else:
        yield EventLines(_echo_over_bar)
    if config.jsonl is not None:
        yield JsonLines.to_file(config.jsonl, meta, config.append)
    if config.csv is not None:
        yield CsvFile(config.csv, stream.recognizer.classifier.labels, config.append, source.live)
    if config.out is not None:
        from edge.streams.videos import AnnotatedVideo

        fps = min(source.fps or _MOST_LIVE_VIDEO_FPS, _MOST_LIVE_VIDEO_FPS) if source.live else source.fps
        yield AnnotatedVideo(config.out, source.width, source.height, fps, source.live)


def meta_of(source: Source, recognizer: Recognizer, settings: StreamSettings) -> dict[str, Any]:
    """Return what the first line of JSON says: source, model, settings."""
    from edge import __version__
    from edge.benchmarking.records import now

    return {
        "fer_edge": __version__,
        "source": source.name,
        "live": source.live,
        "started": now(),
        "started_s": round(time.monotonic(), 4) if source.live else 0.0,
        **recognizer.about(),
        "labels": list(recognizer.classifier.labels),
        "detect_every": settings.detect_every,
        "infer_every": settings.infer_every,
        "smoothing_ms": settings.smoothing_ms,
        "half_way_after_ms": round(settings.lag_ms, 1),
        "uncertain_below": settings.uncertain_below,
    }


def accuracy(contract: Contract) -> str:
    """Return a model's own figures for people, or "not stated"."""
    figures = [
        f"{entry['accuracy']:.1%} on {entry['dataset']} {entry['part']} ({entry['protocol']}, {entry['samples']:,} "
        "faces)"
        for entry in contract.metrics
    ]
    return "; ".join(figures) or "not stated"


def _opening(source: Source, recognizer: Recognizer, settings: StreamSettings) -> str:
    """Return what is said before the first frame: model and its accuracy, detector, source, lag."""
    contract = recognizer.classifier.model.contract
    fps = f", {source.fps:g} frames a second" if source.fps else ""
    lines = [
        f"model {contract.name} ({contract.recipe}), accuracy {accuracy(contract)}",
        f"source {source.name}: {source.width} x {source.height}{fps}; detector {recognizer.detector.name}"
        f"{' on each frame' if settings.detect_every == 1 else f' on one frame in {settings.detect_every}'}",
        f"answers averaged over {settings.smoothing_ms:g} ms: half of a sudden change shows after "
        f'{settings.lag_ms:.0f} ms; "uncertain" below {settings.uncertain_below:.0%}',
    ]
    return "\n".join(map(printable, lines))


class _Tally:
    """What the summary counts; its memory does not grow."""

    def __init__(self) -> None:
        self.frames = self.dropped = 0
        self._faces: int = 0
        self._begun_s = time.monotonic()
        self._latencies: dict[str, deque[float]] = {}

    def add(self, reading: StreamReading) -> None:
        self.frames += 1
        self.dropped += reading.frame.dropped
        self._faces += sum(event.kind == "appeared" for event in reading.events)
        for stage, ms in reading.latency_ms.items():
            if ms > 0:
                self._latencies.setdefault(stage, deque(maxlen=_KEPT_LATENCIES)).append(ms)

    def summary(self) -> str:
        seconds = max(1e-9, time.monotonic() - self._begun_s)
        medians = ", ".join(f"{stage} {statistics.median(ms):.2f}" for stage, ms in self._latencies.items())
        return (
            f"{counted(self.frames, 'frame')} in {seconds:.1f} s ({self.frames / seconds:.1f} a second), "
            f"{self.dropped:,} skipped, {counted(self._faces, 'face')}; median ms of a stage where it ran: {medians}"
        )


@contextmanager
def _ended_by_signals(source: Source) -> Iterator[list[int]]:
    """Yield a list that gets the number of the signal that stops the source; a second one ends the program."""
    ended: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if ended and number in (signal.SIGINT, signal.SIGTERM):  # a hangup comes from the terminal and from its shell
            raise KeyboardInterrupt
        ended.append(number)
        source.stop()

    try:
        before = {number: signal.signal(number, stop) for number in _ending_signals()}
    except ValueError:  # not the main thread, where Python allows no handlers
        before = {}
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ending_signals() -> tuple[int, ...]:
    """Return the signals that end a run: SIGHUP among them where the system has it, unless it is ignored (nohup)."""
    hangup: int | None = getattr(signal, "SIGHUP", None)
    if hangup is None or signal.getsignal(hangup) is signal.SIG_IGN:
        return (signal.SIGINT, signal.SIGTERM)
    return (signal.SIGINT, signal.SIGTERM, hangup)


def _bar(config: StreamConfig, source: Source) -> Any:
    """Return a progress bar for a file of known length, unless JSON goes to the same terminal."""
    known = source.total is not None or config.max_frames is not None
    if source.live or not known or (config.as_json and sys.stdout.isatty()):
        return nullcontext(lambda done, total: None)
    return progress("frames")


def _echo_over_bar(line: str) -> None:
    """Print a line; where a bar stands on the same terminal, in its place (the bar is drawn again below)."""
    if sys.stdout.isatty() and sys.stderr.isatty():
        click.echo(_ERASE_LINE, nl=False, err=True)
    click.echo(printable(line))

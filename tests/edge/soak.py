"""Run a stream of drawn frames for as long as asked and record its memory.

python -m tests.edge.soak --frames 100000 --record soak.json
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import click

_MOST_SAMPLES = 400  # of memory over the run
_WARM_UP = 0.2  # share of the run after which growth counts: arenas and caches have filled


@click.command()
@click.option("--frames", type=click.IntRange(50), default=1000, show_default=True, help="Frames to read.")
@click.option("--seconds", type=float, help="End after so long.")
@click.option("--slow-ms", type=click.FloatRange(0), default=0.0, help="Pause of the reader after each frame.")
@click.option("--fps", type=click.FloatRange(0), default=0.0, help="Of the camera; 0: as fast as it draws.")
@click.option("--width", type=int, default=640, show_default=True)
@click.option("--height", type=int, default=480, show_default=True)
@click.option("--detect-every", type=click.IntRange(1), default=3, show_default=True)
@click.option("--model", metavar="FILE", help="Default: the model that ships.")
@click.option("--detector", type=click.Choice(["auto", "yunet", "blazeface", "haar"]), default="haar")
@click.option("--detector-model", metavar="FILE")
@click.option("--record", metavar="FILE.json")
def soak(
    frames: int,
    seconds: float | None,
    slow_ms: float,
    fps: float,
    width: int,
    height: int,
    detect_every: int,
    model: str | None,
    detector: str,
    detector_model: str | None,
    record: str | None,
) -> None:
    """Read drawn frames and record the resident memory over the run."""
    from edge.files import write_atomically
    from edge.outputs import JsonLines
    from edge.recognizer import load
    from edge.records import machine, now
    from edge.sources import open_source
    from edge.stream import Stream, StreamSettings

    recognizer = load(model, detector, detector_model, threads=1)  # type: ignore[arg-type]
    stream = Stream(recognizer, StreamSettings(detect_every=detect_every))
    begun, created = time.monotonic(), now()
    memory: list[tuple[int, float]] = []
    count = dropped = faces = 0
    due_s = pause_s = 0.1
    with (
        open_source("synthetic", width=width, height=height, fps=fps, seconds=seconds) as source,
        JsonLines.to_file(os.devnull, {}) as output,
    ):
        for frame in source.frames():
            reading = stream(frame)
            output.write(reading)
            count, dropped, faces = count + 1, dropped + frame.dropped, faces + len(reading.faces)
            if slow_ms:
                time.sleep(slow_ms / 1000)
            if time.monotonic() - begun >= due_s:
                memory.append((count, resident_mb()))
                if len(memory) >= _MOST_SAMPLES:  # a long run: half of them, half as often
                    memory, pause_s = memory[::2], 2 * pause_s
                due_s = time.monotonic() - begun + pause_s
            if count == frames:
                break
    memory.append((count, resident_mb()))
    elapsed_s = time.monotonic() - begun
    warm = [mb for at, mb in memory if at >= _WARM_UP * count]
    result = {
        "kind": "soak",
        "created": created,
        "machine": machine(),
        "model": {"name": recognizer.classifier.model.contract.name, "sha256": recognizer.classifier.model.sha256},
        "detector": recognizer.detector.name,
        "detect_every": detect_every,
        "width": width,
        "height": height,
        "slow_ms": slow_ms,
        "frames": count,
        "dropped": dropped,
        "faces": faces,
        "seconds": round(elapsed_s, 1),
        "rss_warm_mb": warm[0],
        "rss_end_mb": warm[-1],
        "rss_growth_mb": round(max(warm) - warm[0], 2),
        "rss_mb": [[at, mb] for at, mb in memory],
    }
    if record is not None:
        write_atomically(record, json.dumps(result) + "\n")
    click.echo(json.dumps({key: value for key, value in result.items() if key != "rss_mb"}))


def resident_mb() -> float:
    """Return this process's resident memory in MB (10^6 bytes)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)


if __name__ == "__main__":
    soak()

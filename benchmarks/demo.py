"""`make demo`: the whole chain on data that needs no download, by the commands that a user would type.

The small model learns from drawn faces, so its accuracy says nothing about real ones; the photograph is read by the
model that ships in the package.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import time
from pathlib import Path

import click

from benchmarks.processes import environment, program
from edge.errors import DataError, EdgeError
from edge.files import atomic_path

MARK = ".fer-edge-demo"  # marks a folder that the demo made and may empty
NAME = "drawn-faces"
TRAINING = (
    "--weights", "none", "--size", "48", "--head-epochs", "0", "--epochs", "13", "--patience", "13", "--batch", "16",
    "--learning-rate", "0.003", "--quiet",
)  # fmt: skip
FINE_TUNING = ("--epochs", "2")
PAIRS = 100


def steps(out: Path) -> list[tuple[str, list[str]]]:
    """Return the demo's steps in order: what it does, and the command's words."""
    run, exports, records = out / NAME, out / "exports", out / "records"
    pack = out / "synthetic-test.npz"
    model = {recipe: exports / f"{NAME}-{recipe}.tflite" for recipe in ("float32", "qat-int8")}
    train: list[str | Path] = ["python", "-m", "train"]
    accuracy: list[str | Path] = ["fer-edge", "benchmark", "accuracy", "--data", pack]
    lines: list[tuple[str, list[str | Path]]] = [
        (
            "Train EfficientNet-Lite0 from scratch on faces drawn in code",
            [*train, "fit", "synthetic", "--backbone", "efficientnet-lite0", *TRAINING, "--out", run],
        ),
        (
            "Convert it: float32, and INT8 by quantization-aware fine-tuning",
            ["python", "-m", "convert", run, "--recipe", "float32", "--recipe", "qat-int8", "--dataset", "synthetic",
             *FINE_TUNING, "--out", exports],
        ),
        (
            "Run the model that ships in the package on a photograph",
            ["fer-edge", "image", out / "astronaut.png", "--json", "--out", out / "annotated.png"],
        ),
        (
            "Pack the test faces for the device",
            [*train, "pack", "--dataset", "synthetic", "--part", "test", "--out", pack],
        ),
        (
            "Benchmark the accuracy of float32",
            [*accuracy, "--model", model["float32"], "--record", records / "accuracy-float32.json"],
        ),
        (
            "Benchmark the accuracy of INT8",
            [*accuracy, "--model", model["qat-int8"], "--record", records / "accuracy-qat-int8.json"],
        ),
        (
            "Benchmark INT8 against float32, turn by turn, one thread",
            ["fer-edge", "benchmark", "latency", "--model", model["qat-int8"], "--against", model["float32"],
             "--pairs", str(PAIRS), "--threads", "1", "--record", records / "latency.json"],
        ),
        ("Report", ["python", "-m", "benchmarks", "report", records, exports, "--out", out]),
    ]  # fmt: skip
    return [(title, [str(word) for word in words]) for title, words in lines]


def run(out: Path) -> None:
    """Run every step in order, showing each command; leaves its products in `out`.

    Raises:
        DataError: `out` holds something that the demo did not make.
        EdgeError: a step failed; its own message stands above.
    """
    _empty(out)
    _write_photograph(out / "astronaut.png")
    start = time.monotonic()
    for number, (title, words) in enumerate(steps(out), start=1):
        click.secho(f"\n== {number}. {title}", bold=True)
        click.echo(f"$ {shlex.join(words)}")
        began = time.monotonic()
        code = subprocess.run(program(words), env=environment(), check=False).returncode
        if code != 0:
            raise EdgeError(f"demo: expected step {number} to succeed; got exit code {code}; its message stands above")
        click.echo(f"   {time.monotonic() - began:.0f} s")
    click.echo(f"\nThe demo took {time.monotonic() - start:.0f} s.")
    click.echo(f"The report: {out / 'report.html'}. The photograph with its face: {out / 'annotated.png'}.")


def _empty(out: Path) -> None:
    """Make an empty folder, or empty the one that an earlier demo made."""
    if out.exists():
        if any(out.iterdir()) and not (out / MARK).is_file():
            raise DataError(f"{out}: expected a new or empty folder; got one with files in it; name another with --out")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()


def _write_photograph(path: Path) -> None:
    """Write scikit-image's portrait of Eileen Collins (NASA, public domain) as a PNG."""
    import cv2
    from skimage import data

    with atomic_path(path) as temporary:
        if not cv2.imwrite(str(temporary), data.astronaut()[..., ::-1]):
            raise DataError(f"{path}: expected a PNG to be written; OpenCV wrote none; check the folder")

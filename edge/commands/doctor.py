"""`fer-edge doctor`: whether this machine has what the runtime needs, each check by using it."""

from __future__ import annotations

import platform
from collections.abc import Callable

import click

from edge.cli import one_line, printable
from edge.commands.options import model_option


@click.command(short_help="Check this machine: runtime, OpenCV, detector, model.")
@model_option
@click.pass_context
def doctor(context: click.Context, model: str | None) -> None:
    """Check this machine by using it: runtime, OpenCV, detector, model. The exit code is 1 if a check fails."""
    checks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("machine", _machine),
        ("OpenCV", _opencv),
        ("runtime", _runtime),
        ("detector", _detector),
        ("model", lambda: _model(model)),
    )
    failed = False
    for name, check in checks:
        try:
            click.echo(f"ok    {name:<9} {printable(check())}")
        except Exception as error:  # a doctor reports whatever is wrong, and goes on
            click.echo(f"FAIL  {name:<9} {one_line(error)}")
            failed = True
    context.exit(1 if failed else 0)


def _machine() -> str:
    from edge.records import machine

    found = machine()
    return f"{found['model']}, {found['arch']}, {found['cores']} cores, Python {platform.python_version()}"


def _opencv() -> str:
    import cv2
    import numpy as np

    from edge.images import decode_image

    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    encoded = cv2.imencode(".png", picture)[1].tobytes()
    if not np.array_equal(decode_image(encoded), picture[:, :, ::-1]):
        raise ValueError("expected a PNG to come back unchanged; got other pixels; reinstall OpenCV")
    return f"{cv2.__version__}, numpy {np.__version__}"


def _runtime() -> str:
    from edge.interpreter import find_runtime

    found = find_runtime()[1]
    return f"{found['name']} {found['version']}"


def _detector() -> str:
    import numpy as np

    from edge.detectors import load_detector

    detector = load_detector()
    detector.detect(np.zeros((64, 64, 3), np.uint8))
    return f"{detector.name}" + (" (better: `fer-edge fetch yunet`)" if detector.name == "haar" else "")


def _model(path: str | None) -> str:
    from edge.benchmark import latency_record
    from edge.interpreter import Classifier
    from edge.modelfile import read_model

    classifier = Classifier(read_model(path))
    median_ms = latency_record(classifier, [], runs=20, warmup=3)["latency_ms"]["p50"]
    contract = classifier.model.contract
    return f"{contract.name} {contract.version} ({contract.recipe}): {median_ms:.2f} ms a face with one thread"

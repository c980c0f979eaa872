"""Runs inside the emulated Raspberry Pi, in one process, as importing numpy takes seconds there; knows the wheel alone.

guest.py TASK.json ANSWERS.json
"""

from __future__ import annotations

import io
import json
import os
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any


def main() -> None:
    """Answer the task: imports, first reading, commands, raw outputs between two markers, the device's own tests."""
    task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    answers: dict[str, Any] = {}
    start = time.perf_counter()
    import edge
    from edge.pictures.images import read_image

    recognizer = edge.load()
    answers["import_s"] = time.perf_counter() - start
    answers["first_answer"] = recognizer(read_image(task["photograph"])).faces[0].emotion
    answers["first_answer_s"] = time.perf_counter() - start
    answers["edge"] = {"version": edge.__version__, "file": edge.__file__}
    answers["python"] = sys.version.split()[0]
    answers["commands"] = {" ".join(words): _command(words) for words in task["commands"]}
    answers["outputs"] = _outputs(task["pictures"])
    answers["tests"] = _tests(task["tests"])
    Path(sys.argv[2]).write_text(json.dumps(answers), encoding="utf-8")


def _command(words: list[str]) -> dict[str, Any]:
    """Return exit code and output of `fer-edge` with arguments, in this process."""
    import click.testing

    from edge.__main__ import cli

    result = click.testing.CliRunner().invoke(cli, words, prog_name="fer-edge")
    return {"exit_code": result.exit_code, "stdout": result.stdout, "stderr": result.stderr}


def _outputs(path: str) -> dict[str, Any]:
    """Return the shipped model's raw outputs for pictures uint8 [n, height, width, 3]."""
    import numpy as np

    from edge.inference.interpreter import Classifier
    from edge.inference.modelfile import read_model

    classifier = Classifier(read_model())
    pictures = np.load(path)
    classifier.infer(pictures[:1])
    os.getpriority(os.PRIO_PROCESS, 0)  # the plugin's marker
    rows = [classifier.infer(picture[None])[0].tolist() for picture in pictures]
    os.getpriority(os.PRIO_PROCESS, 0)
    return {"runtime": classifier.runtime, "rows": rows}


def _tests(task: dict[str, Any]) -> dict[str, Any]:
    """Run the device's tests in a copied tree; the tiny networks come from files, as no TensorFlow is here."""
    import pytest

    os.chdir(task["folder"])
    sys.path.insert(0, task["folder"])
    from tests.edge import models

    def from_file(recipe: str, classes: int = 7) -> bytes:
        return Path(task["folder"], f"{recipe}-{classes}.tflite").read_bytes()

    models.flatbuffer = from_file
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", "-c", "setup.cfg", "--no-header"]
    said = io.StringIO()
    with redirect_stdout(said):
        code = pytest.main([*options, *task["files"]])
    return {"exit_code": int(code), "said": said.getvalue()}


if __name__ == "__main__":
    main()

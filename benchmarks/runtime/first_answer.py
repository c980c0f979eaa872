"""Runs in a base install, or in an emulated one, and knows the wheel alone: how long until fer-edge answers.

first_answer.py PICTURE

Seconds are counted from this file's first line on: Python itself has started by then.
"""

from __future__ import annotations

import time

_START = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402


def main() -> None:
    """Print import_s (edge and what its recognizer needs, loaded), first_answer_s, the answer and Python's version."""
    import edge

    recognizer = edge.load()
    import_s = time.perf_counter() - _START
    reading = recognizer(edge.read_image(sys.argv[1]))
    first_answer_s = time.perf_counter() - _START
    answer = reading.faces[0].emotion if reading.faces else None
    python = sys.version.split()[0]
    print(json.dumps({"import_s": import_s, "first_answer_s": first_answer_s, "answer": answer, "python": python}))


if __name__ == "__main__":
    main()

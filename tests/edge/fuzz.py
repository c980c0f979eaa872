"""Damaged pictures and models by the thousand, in a child process: nothing may crash, hang or fail in another way.

    python -m tests.edge.fuzz --pictures 10000 --models 2000 --record benchmarks/results/runtime/fuzz.json

Every case comes from its seed and number alone, so that a finding can be repeated: `--seed S --first N --pictures 1`.
The child says which case it begins and how it ended; where it dies or falls silent, the parent notes the case and
starts another child behind it.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import edge
from benchmarks.runtime.record import common_fields
from edge.errors import ContractError, ImageError, ModelFileError
from edge.files import write_atomically
from tests.edge import mutations

ROOT = Path(__file__).resolve().parents[2]
CHILD = (sys.executable, "-m", "tests.edge.fuzz")
SILENCE_S = 120.0  # without an answer to a case, after which the child counts as hung
MOST_PIXELS = 1 << 20  # of a picture that is given to the recognizer; larger ones are only decoded


@dataclass
class Findings:
    """What came of some cases.

    Attributes:
        outcomes: "taken", "refused" -> number of cases.
        wrong: what may not happen, by case: "picture 17 (rgb.png, flip): died of SIGSEGV".
        seconds: wall-clock time.
        peak_mb: largest resident memory of a child, in units of 2**20 bytes.
    """

    outcomes: dict[str, int] = field(default_factory=lambda: {"taken": 0, "refused": 0})
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    peak_mb: int = 0


def search(
    kind: str,
    count: int,
    seed: int = 0,
    first: int = 0,
    silence_s: float = SILENCE_S,
    child: Sequence[str] = CHILD,
) -> Findings:
    """Return what came of cases `first` to `first + count - 1` of a kind ("picture" or "model")."""
    findings, start, number = Findings(), time.perf_counter(), first
    while number < first + count:
        words = ["--child", kind, "--seed", str(seed), "--first", str(number), "--count", str(first + count - number)]
        number = _watch(kind, range(number, first + count), [*child, *words], silence_s, findings)
    findings.seconds = round(time.perf_counter() - start, 1)
    return findings


def _watch(kind: str, numbers: range, command: Sequence[str], silence_s: float, findings: Findings) -> int:
    """Run one child over the cases and return the first case that is still to do."""
    with tempfile.TemporaryFile("w+") as noise:  # decoders write to stderr; only a dying child's last words matter
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=noise, text=True)
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_pump, args=(child.stdout, lines), daemon=True).start()
        number, label = numbers.start, "the start"
        try:
            while (line := lines.get(timeout=silence_s)) is not None:
                said = json.loads(line)
                if "begins" in said:
                    number, label = said["number"], said["begins"]
                    continue
                findings.peak_mb = max(findings.peak_mb, said["peak_mb"])
                if said["outcome"] in findings.outcomes:
                    findings.outcomes[said["outcome"]] += 1
                else:
                    findings.wrong.append(f"{kind} {number} ({label}): {said['why']}")
        except queue.Empty:
            child.kill()
            child.wait()
            findings.wrong.append(f"{kind} {number} ({label}): no answer for {silence_s:.0f} s")
            return number + 1
        code = child.wait()
        if code:
            noise.seek(0)
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}: {noise.read()[-300:]}"
            findings.wrong.append(f"{kind} {number} ({label}): died of {how}")
            return number + 1
        return numbers.stop


def _pump(stream: Any, lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _child(kind: str, numbers: range, seed: int) -> None:
    """Try the cases and say how each ended, one JSON line before and one after."""
    with tempfile.TemporaryDirectory() as folder:
        cases, attempt = _pictures(Path(folder)) if kind == "picture" else _models(Path(folder))
        for number in numbers:
            label, content, must_be_refused = cases(random.Random(f"{kind}-{seed}-{number}"))
            print(json.dumps({"begins": label, "number": number}), flush=True)
            said = _outcome(attempt, content, must_be_refused)
            said["peak_mb"] = _peak_mb()
            print(json.dumps(said), flush=True)


def _peak_mb() -> int:
    """Largest resident memory of this process, in units of 2**20 bytes.

    Not getrusage's: that keeps the memory of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) >> 10
    raise RuntimeError("expected VmHWM in /proc/self/status; got none; run this on Linux")


def _outcome(attempt: Callable[[bytes], None], content: bytes, must_be_refused: bool) -> dict[str, Any]:
    try:
        attempt(content)
    except (ImageError, ModelFileError, ContractError) as error:
        if "\n" in str(error):
            return {"outcome": "wrong", "why": f"more than one line: {str(error)[:200]!r}"}
        return {"outcome": "refused"}
    except Exception:
        return {"outcome": "wrong", "why": traceback.format_exc()[-600:]}
    if must_be_refused:
        return {"outcome": "wrong", "why": "taken, although the network is not the one described"}
    return {"outcome": "taken"}


Case = Callable[[random.Random], tuple[str, bytes, bool]]


def _pictures(folder: Path) -> tuple[Case, Callable[[bytes], None]]:
    """Return the maker of damaged pictures and what is done with them: read, and recognized."""
    recognizer = edge.load(detector="haar", threads=1)
    seeds = mutations.pictures()

    def attempt(content: bytes) -> None:
        path = folder / "picture"
        path.write_bytes(content)
        pixels = edge.read_image(path)
        if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != "uint8" or not pixels.size:
            raise TypeError(f"read_image gave {pixels.dtype} {pixels.shape}")
        if pixels.size <= 3 * MOST_PIXELS:
            recognizer(pixels)

    def case(generator: random.Random) -> tuple[str, bytes, bool]:
        label, content = mutations.damaged_picture(seeds, generator)
        return label, content, False

    return case, attempt


def _models(folder: Path) -> tuple[Case, Callable[[bytes], None]]:
    """Return the maker of damaged models and what is done with them: read, and where they pass, run."""
    import numpy as np

    from edge.inference.interpreter import Classifier
    from edge.inference.modelfile import default_model_path, read_model

    whole = default_model_path().read_bytes()
    network = mutations.network_of(whole)

    def attempt(content: bytes) -> None:
        path = folder / "model.tflite"
        path.write_bytes(content)
        model = read_model(path)
        if content.startswith(network):  # any other network has a digest made to fit: its signature is read, no more
            classifier = Classifier(model)
            classifier.probabilities(np.zeros(model.input.shape[1:], np.uint8))

    def case(generator: random.Random) -> tuple[str, bytes, bool]:
        label, content = mutations.damaged_model(whole, generator)
        return label, content, label != "digest made to fit" and not content.startswith(network)

    return case, attempt


def main() -> int:
    """Search, print what was found, and return 1 where anything was wrong."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--pictures", type=int, default=0, help="number of damaged pictures")
    parser.add_argument("--models", type=int, default=0, help="number of damaged models")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--record", metavar="FILE.json", help="write what was found")
    parser.add_argument("--child", choices=["picture", "model"], help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=0, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.child:
        _child(words.child, range(words.first, words.first + words.count), words.seed)
        return 0
    found = dict(_searches(words))
    document = document_of(words.seed, words.first, found)
    print(json.dumps(document, indent=2))
    if words.record:
        write_atomically(words.record, json.dumps(document, indent=2) + "\n")
    return 1 if any(entry.wrong for entry in found.values()) else 0


def document_of(seed: int, first: int, found: Mapping[str, Findings]) -> dict[str, Any]:
    """Return the record, kind "fuzz"; `python -m benchmarks runtime` shows it."""
    return {
        **common_fields("fuzz", ["python", "-m", "tests.edge.fuzz", *sys.argv[1:]]),
        "seed": seed,
        "first": first,
        **{kind: asdict(entry) for kind, entry in found.items()},
    }


def _searches(words: argparse.Namespace) -> Iterator[tuple[str, Findings]]:
    for kind, count in (("picture", words.pictures), ("model", words.models)):
        if count:
            yield f"{kind}s", search(kind, count, words.seed, words.first)


if __name__ == "__main__":
    sys.exit(main())

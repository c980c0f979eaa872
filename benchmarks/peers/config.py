"""The configuration of one `python -m benchmarks peers`: its flags, resolved, kept in the record."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class PeersConfig:
    """What to compare, on what, and how.

    Attributes:
        model: run folder of ``python -m train fit``, or a ``.keras`` file.
        dataset: name in ``train.datasets.DATASETS``.
        data: where the data set lies; None for the synthetic faces.
        part: official name or role of the part that is scored.
        limit: score on so many pictures only, drawn by class; None for all.
        exports: folder with our own files NAME-RECIPE.tflite; None to leave them out.
        out: folder for the peers' files, which are taken from there when they are of the same making.
        peers: some of ``benchmarks.peers.exports.PEERS``; empty for all that can be made.
        quantizer_python: the Python that has ai-edge-quantizer.
        rivals: run folders, ``.keras`` and ``.tflite`` files of other networks.
        rival_range: of the pixels that a rival's ``.keras`` or foreign ``.tflite`` file takes.
        name: of the model; None takes the run's or the file's.
        protocol: which rows count; None takes the run's.
        colour: "auto", "grey" or "rgb".
        calibration: training pictures that the int8 peers see.
        rounds: timed rounds, every file once in each.
        warmup: untimed rounds before them.
        threads: of the interpreter.
        seed: of calibration pictures, sample, noise faces and bootstrap.
    """

    model: Path
    dataset: str
    data: Path | None
    part: str
    limit: int | None
    exports: Path | None
    out: Path | None
    peers: tuple[str, ...]
    quantizer_python: str
    rivals: tuple[Path, ...]
    rival_range: str
    name: str | None
    protocol: str | None
    colour: str
    calibration: int
    rounds: int
    warmup: int
    threads: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values.

        Without the quantizer's Python, whose place says nothing: the record has the quantizer's version.
        """
        kept = {key: value for key, value in asdict(self).items() if key != "quantizer_python"}
        kept["rivals"] = [path.name for path in self.rivals]
        return {key: str(value) if isinstance(value, Path) else value for key, value in kept.items()}

"""Rivals: other networks on the same pictures in the same turns, such as mini-Xception, as trained here or as found.

A run folder or a ``.keras`` file is converted by TensorFlow Lite without any optimization, for a batch of one; where
our own exports of it lie beside the others' (NAME-RECIPE.tflite), they run too. A ``.tflite`` file runs as it is: one
of ours says what it takes, of another the size is read, the range of its pixels must be told, and its classes must be
in the model's order. Pictures come in the rival's own size, and as grey (ITU-R BT.601) where it takes one channel.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers.candidates import our_files
from benchmarks.peers.config import PeersConfig
from benchmarks.peers.exports import PLAIN_FLOAT, PLAIN_FLOAT_1, Making, PeerError, make
from benchmarks.peers.measure import Candidate
from benchmarks.peers.runner import Runner
from convert.config import ConvertConfig
from convert.reporting.progress import Progress
from convert.source import Source, load_source, pictures, require_own_parts, run_record
from convert.tflite.export import RECIPES
from edge.errors import ContractError, DataError, ModelFileError
from edge.inference.modelfile import ModelFile, parse_model

SPANS = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
"""What a pixel's 0 and 255 become, by the name of the range."""
_HARM = "this rival would be measured on some that it was trained on"
_REMEDY = "leave it out, or give the --protocol that all were trained under"


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """What is scored: the same pictures for every network.

    Attributes:
        config: of the command; ``as_convert`` the same as the converter takes it.
        source: the trained model that the rivals stand beside.
        dataset: ``train.datasets.Dataset`` under the protocol.
        rows: of the part that are scored.
    """

    config: PeersConfig
    as_convert: ConvertConfig
    source: Source
    dataset: Any
    rows: npt.NDArray[np.int64]

    def pictures(self, height: int, width: int, channels: int, colour: str) -> npt.NDArray[np.uint8]:
        """Return the scored pictures, uint8 (n, height, width, channels), channels 3 or 1."""
        like = dataclasses.replace(self.source, height=height, width=width, colour=colour)
        images = pictures(like, self.dataset, self.config.part, None).images[self.rows]
        return images if channels == 3 else _grey(images)


def rival_files(scene: Scene, progress: Progress) -> list[Candidate]:
    """Return the rivals' files, in the order of the command.

    Raises:
        DataError: a rival cannot be read, has other classes, the name of another network, or was trained on the same
            data set under another protocol.
    """
    found: list[Candidate] = []
    for path in scene.config.rivals:
        progress.say(f"rival {path}")
        found += _found(path, scene) if path.suffix == ".tflite" else _trained(path, scene)
    names = [scene.source.name, *dict.fromkeys(candidate.network or "" for candidate in found)]
    if len(set(names)) < len(names) or len({candidate.name for candidate in found}) < len(found):
        raise DataError(f"expected every network under a name of its own; got {', '.join(names)}; rename a rival")
    return found


def _found(path: Path, scene: Scene) -> list[Candidate]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: expected a model file; got: {error.strerror}; check the path") from error
    try:
        file = parse_model(content, path)
        known = file.contract
        _check_labels(known.labels, scene.source, path)
        require_own_parts(_told(file), scene.dataset, _HARM, _REMEDY)
        height, width, channels, as_bytes = known.input.height, known.input.width, 3, True
    except (ModelFileError, ContractError):  # it does not describe itself
        runner = Runner(content, path.name, as_bytes=False)
        (height, width, channels), as_bytes = runner.shape, False
        if runner.classes_given != len(scene.source.labels):
            raise _unlike(path, scene.source, f"{runner.classes_given} outputs") from None
    shown = scene.pictures(height, width, channels, scene.source.colour)
    span = (0.0, 255.0) if as_bytes else SPANS[scene.config.rival_range]
    note = "as found" if as_bytes else f"as found, pixels as {scene.config.rival_range}"
    return [Candidate(path.stem, False, path.name, content, as_bytes, path.stem, shown, span, note)]


def _told(file: ModelFile) -> dict[str, Any]:
    """What a file of ours tells of the data behind it; nothing where it was converted from a model without a run."""
    from train.networks.quantized import record_of

    try:
        return record_of(file)
    except DataError:
        return {}


def _trained(path: Path, scene: Scene) -> list[Candidate]:
    if path.is_dir():
        theirs = dataclasses.replace(scene.as_convert, model=path, name=None)
        require_own_parts(run_record(path), scene.dataset, _HARM, _REMEDY)
        rival = load_source(theirs, scene.dataset)
        _check_labels(rival.labels, scene.source, path)
        model, name, colour, span, note = rival.model, rival.name, rival.colour, SPANS["0..255"], ""
    else:
        model, name, colour = _keras_file(path), path.stem, scene.source.colour
        span = SPANS[scene.config.rival_range]
        note = f"pixels as {scene.config.rival_range}"
    shape = tuple(model.inputs[0].shape[1:])
    if len(shape) != 3 or None in shape or shape[2] not in (1, 3):
        raise DataError(f"{path}: expected an input of one size and 3 channels or 1; got {shape}; build it so")
    if model.outputs[0].shape[-1] != len(scene.source.labels):
        raise _unlike(path, scene.source, f"{model.outputs[0].shape[-1]} outputs")
    height, width, channels = shape
    shown = scene.pictures(height, width, channels, colour)
    content: bytes | PeerError
    try:
        content = make(PLAIN_FLOAT_1, Making(model, shown[:0], {}, ""))
    except PeerError as error:
        content = error
    title = f"{name}-{PLAIN_FLOAT}"
    plain = Candidate(title, False, f"{title}.tflite", content, False, name, shown, span, note)
    like = dataclasses.replace(scene.source, name=name, height=height, width=width)
    return [plain, *(_ours(like, shown, scene.config.exports) if channels == 3 else ())]


def _ours(rival: Source, shown: npt.NDArray[np.uint8], exports: Path | None) -> list[Candidate]:
    """Return our own exports of a rival, if there are any."""
    if exports is None or not any((exports / f"{rival.name}-{recipe}.tflite").is_file() for recipe in RECIPES):
        return []
    return [
        dataclasses.replace(file, name=f"{rival.name}-{file.name}", network=rival.name, pictures=shown)
        for file in our_files(exports, rival).values()
    ]


def _keras_file(path: Path) -> Any:
    from train.runs import load_model

    if path.suffix != ".keras":
        raise DataError(
            f"{path}: expected a run folder, a .keras or a .tflite file; other formats may carry code; convert it to "
            ".tflite where it was trained"
        )
    return load_model(path)


def _grey(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    import cv2

    flat = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    return np.asarray(flat, np.uint8)[..., np.newaxis]


def _check_labels(labels: Sequence[str], source: Source, path: Path) -> None:
    if tuple(labels) != source.labels:
        raise _unlike(path, source, ", ".join(labels))


def _unlike(path: Path, source: Source, came: str) -> DataError:
    return DataError(
        f"{path}: expected the classes of {source.name} in their order ({', '.join(source.labels)}); got {came}; "
        "choose a network of the same classes"
    )

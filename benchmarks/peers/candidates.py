"""Which files are compared and on which pictures: ours from a folder, the peers' made anew or taken from theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.peers import cache
from benchmarks.peers.config import PeersConfig
from benchmarks.peers.exports import NEEDS, OURS_FLOAT, PEERS, TAKES_BYTES, Making, PeerError, suffix
from benchmarks.peers.measure import Candidate
from convert.reporting.progress import Progress
from convert.source import Source, calibration_pictures
from convert.tflite.export import RECIPES
from edge.errors import DataError
from edge.files import sha256_of
from edge.inference.modelfile import parse_model

OURS = "ours-"


def stratified(labels: npt.NDArray[np.integer], limit: int | None, seed: int) -> npt.NDArray[np.int64]:
    """Return the rows of a sample that keeps the classes' shares, in ascending order.

    Each class gives its share of `limit` rounded down; the classes with the largest remainders give one more.

    Args:
        labels: (n,) class numbers.
        limit: rows to take, 1 or more; None or n and more takes all.
        seed: of the drawing.

    Raises:
        ValueError: limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"expected a limit of 1 or more; got {limit}")
    if limit is None or limit >= len(labels):
        return np.arange(len(labels))
    classes, counts = np.unique(labels, return_counts=True)
    shares = counts * limit / len(labels)
    taken = np.floor(shares).astype(np.int64)
    largest = np.argsort(-(shares - taken), kind="stable")[: limit - taken.sum()]
    taken[largest] += 1
    generator = np.random.default_rng(seed)
    drawn = [
        generator.choice(np.flatnonzero(labels == name), count, replace=False)
        for name, count in zip(classes, taken, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def our_files(folder: Path, source: Source) -> dict[str, Candidate]:
    """Return what `python -m convert` exported of this model, by name, in the order of its recipes.

    Raises:
        DataError: none is there, or one has other labels or another input than the Keras model.
    """
    found = {}
    for recipe in RECIPES:
        path = folder / f"{source.name}-{recipe}.tflite"
        if not path.is_file():
            continue
        content = path.read_bytes()
        known = parse_model(content).contract
        wanted = (source.labels, source.height, source.width)
        if (known.labels, known.input.height, known.input.width) != wanted:
            raise DataError(
                f"{path}: expected the labels and input of {source.name}; got {known.name} with "
                f"{len(known.labels)} labels at {known.input.height}x{known.input.width}; convert this model"
            )
        found[OURS + recipe] = Candidate(OURS + recipe, True, path.name, content, as_bytes=True)
    if not found:
        raise DataError(
            f"expected {source.name}-RECIPE.tflite in {folder}; got none; run `python -m convert`, or give --name"
        )
    return found


def peer_files(
    config: PeersConfig, source: Source, dataset: Any, ours: dict[str, Candidate], progress: Progress
) -> list[Candidate]:
    """Return the peers' files, made or taken from the folder; a peer that failed with why.

    Args:
        config: which peers, and where their files are kept.
        source: the trained model.
        dataset: for the calibration pictures.
        ours: of `our_files`.
        progress: where to tell.
    """
    chosen = config.peers or tuple(peer for peer in PEERS if NEEDS.get(peer) != OURS_FLOAT or OURS_FLOAT in ours)
    made = {name: candidate.content for name, candidate in ours.items() if isinstance(candidate.content, bytes)}
    calibration = calibration_pictures(source, dataset, config.calibration, config.seed)  # as `python -m convert` does
    making = Making(source.model, calibration, made, config.quantizer_python)
    origin = {
        "source_sha256": source_sha256(config.model),
        "data": dataset.fingerprint,
        "protocol": dataset.protocol,
        "colour": source.colour,
        "calibration": len(calibration),
        "seed": config.seed,
    }
    contents: dict[str, bytes | PeerError] = {}
    needed = {NEEDS[peer] for peer in chosen if peer in NEEDS}
    for peer in PEERS:  # in this order: what another one quantizes comes first
        if peer not in chosen and peer not in needed:
            continue
        path = None if config.out is None else config.out / _file(source, peer)
        try:
            contents[peer] = making.files[peer] = cache.made(peer, making, origin, path, progress)
        except PeerError as error:
            contents[peer] = error
            if peer not in chosen:
                progress.say(f"{peer}: {error}")
    return [Candidate(peer, False, _file(source, peer), contents[peer], peer in TAKES_BYTES) for peer in chosen]


def _file(source: Source, peer: str) -> str:
    return f"{source.name}-{peer}{suffix(peer)}"


def source_sha256(model: Path) -> str:
    """Return the sha256 of a run's Keras model, or of a .keras file."""
    from train.runs import MODEL_FILE

    return sha256_of(model / MODEL_FILE if model.is_dir() else model)

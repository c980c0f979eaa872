"""The steps of `python -m benchmarks peers`: load, make the peers' files, score, time in turns, gather the record.

Model, pictures, calibration pictures and their preprocessing come from `convert.source`, as `python -m convert` takes
them, so that every file answers for the same model on the same data.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import edge
from benchmarks.peers.candidates import OURS, our_files, peer_files, source_sha256, stratified
from benchmarks.peers.config import PeersConfig
from benchmarks.peers.exports import OURS_FLOAT, PEERS, QUANTIZER, onnx_versions, quantizer_version
from benchmarks.peers.measure import Candidate, Scored, Truth, measure, reference_block
from benchmarks.peers.record import KIND, SCHEMA
from benchmarks.peers.rivals import Scene, rival_files
from benchmarks.peers.turns import ratio
from convert.config import ConvertConfig
from convert.reporting.progress import Progress
from convert.reporting.report import versions
from convert.source import described, load_dataset, load_source, pictures, require_own_parts, run_record
from edge.benchmarking import records
from edge.errors import DataError


def run(config: PeersConfig, command: list[str], progress: Progress) -> dict[str, Any]:
    """Return the record of all files.

    Args:
        config: resolved flags.
        command: words of the command, for the record.
        progress: where to tell.

    Raises:
        DataError: model, data or our own exports are not what they should be, the protocol is not the run's, or no file
            could be measured.
        EdgeError: no interpreter is installed.
    """
    from train.evaluation.predict import predict_logits

    as_convert = _as_convert(config)
    dataset = load_dataset(as_convert)
    require_own_parts(
        run_record(config.model),
        dataset,
        "the files would be measured on some that the run was trained on",
        f"leave --protocol out, or fit a run under {dataset.protocol}",
    )
    source = load_source(as_convert, dataset)
    part = pictures(source, dataset, config.part, None)
    rows = stratified(part.labels, config.limit, config.seed)
    progress.say(f"{source.name}: Keras model on {len(rows):,} pictures of {part.name}")
    images = part.images[rows]
    truth = Truth(images, part.labels[rows], predict_logits(source.model, images).argmax(axis=1), source.labels)
    ours = {} if config.exports is None else our_files(config.exports, source)
    rivals = rival_files(Scene(config, as_convert, source, dataset, rows), progress)
    candidates = [*peer_files(config, source, dataset, ours, progress), *ours.values(), *rivals]
    files = measure(candidates, truth, config.rounds, config.warmup, config.threads, config.seed, progress)
    load = os.getloadavg()[0]  # of the last minute: the rounds were at its end
    scored = {file.name: file for file in files if isinstance(file, Scored)}
    if not scored:
        why = "; ".join(f"{file.name}: {file.block()['error']}" for file in files)
        raise DataError(f"expected a file that could be measured; got none: {why}")
    return {
        "schema": SCHEMA,
        "kind": KIND,
        "created": records.now(),
        "fer_edge": edge.__version__,
        "command": command,
        "config": config.to_json(),
        "machine": records.machine(),
        "load_average": load,
        "runtime": _runtime(list(scored.values())),
        "threads": config.threads,
        "versions": versions() | _tools(config, candidates),
        "source": described(source) | {"sha256": source_sha256(config.model)},
        "data": {
            "name": dataset.name,
            "part": part.name,
            "protocol": dataset.protocol,
            "fingerprint": dataset.fingerprint,
            "samples": len(rows),
            "in_part": len(part.labels),
            "seed": config.seed,
        },
        "calibration": {
            "part": dataset.part_name("train"),
            "samples": min(config.calibration, len(dataset.part("train").images)),
            "seed": config.seed,
        },
        "reference": reference_block(truth),
        "truth": truth.encoded,
        "rounds": config.rounds,
        "warmup": config.warmup,
        "files": [file.block() for file in files],
        "ratios": [
            {"model": model, "against": against, **ratio(scored[model].samples_ms, scored[against].samples_ms)}
            for model, against in compared(list(scored))
        ],
    }


def compared(names: list[str]) -> list[tuple[str, str]]:
    """Return which files are compared in speed, as (model, against).

    Each of ours against every peer and our own float32; every other peer against plain float32.
    """
    plain = next(iter(PEERS))
    found = []
    for model in names:
        if model.startswith(OURS):
            found += [(model, against) for against in names if not against.startswith(OURS) or against == OURS_FLOAT]
        else:
            found += [(model, against) for against in names if against == plain]
    return [(model, against) for model, against in found if model != against]


def _tools(config: PeersConfig, candidates: list[Candidate]) -> dict[str, str]:
    """Return the versions of the other converters that made a file."""
    made = [candidate for candidate in candidates if isinstance(candidate.content, bytes)]
    found = {}
    if any(QUANTIZER in candidate.name for candidate in made):
        found[QUANTIZER] = quantizer_version(config.quantizer_python)
    if any(candidate.file.endswith(".onnx") for candidate in made):
        found |= onnx_versions()
    return found


def _runtime(scored: list[Scored]) -> dict[str, str]:
    """Return the interpreter of TFLite files, or what ran where there was none; other files name theirs themselves."""
    return next((file.runtime for file in scored if "runtime" not in file.figures), scored[0].runtime)


def _as_convert(config: PeersConfig) -> ConvertConfig:
    return ConvertConfig(
        model=config.model,
        recipes=("float32",),
        dataset=config.dataset,
        data=config.data,
        out=config.out or Path(),
        name=config.name,
        protocol=config.protocol,
        colour=config.colour,
        calibration=config.calibration,
        seed=config.seed,
        quiet=True,
    )

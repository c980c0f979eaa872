"""A study as steps, each one command of this project with the files that it reads and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks.tradeoff.study import Flags, Network, Study
from edge.errors import DataError
from edge.inference.modelfile import SHIPPED, shipped_model_path
from edge.wording import counted

STAGES = ("train", "convert", "accuracy", "latency")
_OF_THE_STUDY = {  # flags that a study sets by itself
    "train": ("data", "backbone", "size", "protocol", "out", "resume", "quiet", "help"),
    "convert": ("recipe", "dataset", "data", "out", "name", "protocol", "quiet", "help"),
    "latency": ("model", "against", "threads", "record", "runs", "help"),
}
_FILES_OF_FIT = ("weights", "votes", "teacher")  # flags of `fit` that name files or folders


@dataclass(frozen=True)
class Cell:
    """One combination of a study, and the files that tell about it."""

    network: Network
    size: int
    recipe: str
    threads: int
    run: Path
    model: Path
    report: Path
    accuracy: Path
    latency: Path


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        stage: one of `STAGES`.
        name: what it is about; with the stage, its name.
        words: of the command; for conversions without `--recipe`.
        recipe: of a conversion; several of one run go into one process.
        reads: files and folders whose content decides what comes out.
        writes: files that must be there afterwards.
        folder: run folder that the command makes, and can go on with.
    """

    stage: str
    name: str
    words: tuple[str, ...]
    reads: tuple[Path, ...]
    writes: tuple[Path, ...]
    recipe: str | None = None
    folder: Path | None = None

    @property
    def label(self) -> str:
        """Return the name that no other step has."""
        return f"{self.stage} {self.name}"


def cells(study: Study, out: Path) -> list[Cell]:
    """Return the study's cells: backbones, then sizes, recipes and threads."""
    found = []
    for network, size in runs(study):
        name = run_name(network, size)
        for recipe in study.recipes:
            model, records = out / "exports" / f"{name}-{recipe}.tflite", out / "records"
            for threads in study.threads:
                latency = records / f"{name}-{recipe}-latency-{threads}.json"
                found.append(
                    Cell(network, size, recipe, threads, out / "runs" / name, model, model.with_suffix(".json"),
                         records / f"{name}-{recipe}-accuracy.json", latency)
                )  # fmt: skip
    return found


def steps(study: Study, data: Path | None, out: Path) -> list[Step]:
    """Return the study's steps, stage by stage; latency last, so that nothing else runs beside it.

    Args:
        study: what to sweep.
        data: where the data set lies; None for one that needs no file.
        out: folder of all products.

    Raises:
        DataError: a flag of the study that its command does not take.
    """
    return [*_train(study, data, out), *_convert(study, data, out), *_accuracy(study, data, out), *_latency(study, out)]


def runs(study: Study) -> Iterator[tuple[Network, int]]:
    """Yield each backbone with each size."""
    for network in study.networks:
        for size in study.sizes:
            yield network, size


def run_name(network: Network, size: int) -> str:
    """Return the name of a run."""
    return f"{network.name}-{size}px"


def _train(study: Study, data: Path | None, out: Path) -> Iterator[Step]:
    from train.commands.fit import fit

    for network, size in runs(study):
        name = run_name(network, size)
        folder = out / "runs" / name
        words = [
            "python", "-m", "train", "fit", study.dataset, *_data(data), "--backbone", network.backbone,
            "--size", str(size), "--protocol", study.protocol, *_flags(network.flags, "train"), "--quiet",
            "--out", str(folder),
        ]  # fmt: skip
        _check(fit, words[4:], f"backbones.{network.name}")
        yield Step(
            "train", name, tuple(words), (*_read(data), *_files(network)),
            tuple(folder / file for file in ("model.keras", "run.json", "history.csv")), folder=folder,
        )  # fmt: skip


def _convert(study: Study, data: Path | None, out: Path) -> Iterator[Step]:
    from convert.__main__ import main

    for network, size in runs(study):
        name = run_name(network, size)
        run = out / "runs" / name
        words = [
            "python", "-m", "convert", str(run), "--dataset", study.dataset, *_data(data),
            *_flags(study.convert, "convert"), "--quiet", "--out", str(out / "exports"),
        ]  # fmt: skip
        _check(main, [*words[3:], "--recipe", study.recipes[0]], "convert")
        for recipe in study.recipes:
            model = out / "exports" / f"{name}-{recipe}.tflite"
            yield Step(
                "convert", f"{name} {recipe}", tuple(words), (*_read(data), run / "model.keras"),
                (model, model.with_suffix(".json")), recipe=recipe,
            )  # fmt: skip


def _accuracy(study: Study, data: Path | None, out: Path) -> Iterator[Step]:
    pack = out / "packs" / f"{study.dataset}-{study.part}.npz"
    packing = (
        "python", "-m", "train", "pack", "--dataset", study.dataset, *_data(data), "--part", study.part,
        "--protocol", study.protocol, "--out", str(pack),
    )  # fmt: skip
    yield Step("accuracy", f"pack of {study.part}", packing, _read(data), (pack,))
    for cell in cells(study, out):
        if cell.threads == study.threads[0]:  # threads change no answer
            words = ("fer-edge", "benchmark", "accuracy", "--model", str(cell.model), "--data", str(pack),
                     "--record", str(cell.accuracy))  # fmt: skip
            yield Step("accuracy", cell.model.stem, words, (cell.model, pack), (cell.accuracy,))


def _latency(study: Study, out: Path) -> Iterator[Step]:
    from edge.commands.benchmark import benchmark

    found = cells(study, out)
    baseline, flags = found[0].model, _flags(study.latency, "latency")
    _check(benchmark.commands["latency"], ["--against", str(baseline), *flags], "latency")
    alone = ["--runs" if word == "--pairs" else word for word in flags]  # as many inferences as the others have pairs
    for cell in found:
        turns = alone if cell.model == baseline else ["--against", str(baseline), *flags]
        words = ("fer-edge", "benchmark", "latency", "--model", str(cell.model), "--threads", str(cell.threads), *turns,
                 "--record", str(cell.latency))  # fmt: skip
        name = f"{cell.model.stem} {counted(cell.threads, 'thread')}"
        yield Step("latency", name, words, tuple(dict.fromkeys((cell.model, baseline))), (cell.latency,))


def _files(network: Network) -> Iterator[Path]:
    """Yield what a training reads beside the data."""
    if network.backbone.endswith(".keras"):
        yield Path(network.backbone)
    for flag in _FILES_OF_FIT:
        value = network.flags.get(flag, [])
        named = value if isinstance(value, list) else [value]
        for name in named:
            if name in SHIPPED:  # its content decides, whatever it is called
                yield shipped_model_path(str(name))
            elif name not in ("none", "imagenet"):
                yield Path(str(name))


def _data(data: Path | None) -> list[str]:
    return [] if data is None else ["--data", str(data)]


def _read(data: Path | None) -> tuple[Path, ...]:
    return () if data is None else (data,)


def _flags(flags: Flags, table: str) -> list[str]:
    """Return flags as words; true is a flag without a value, a list repeats it."""
    words: list[str] = []
    for name, value in flags.items():
        if name in _OF_THE_STUDY[table]:
            raise DataError(f"[{table}]: {name}: expected a flag that the study leaves open; got one that it sets")
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name}"] if one is True else [f"--{name}", str(one)]
    return words


def _check(command: click.Command, words: list[str], table: str) -> None:
    """Raise DataError where a command would not take the words; nothing is run."""
    make: Callable[..., Any] = command.make_context
    try:
        make(command.name or "", list(words))
    except click.UsageError as error:
        raise DataError(f"[{table}]: expected flags that the command takes; got: {error.format_message()}") from error

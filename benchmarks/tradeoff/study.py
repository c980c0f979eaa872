"""A study as a small TOML file: which backbones, sizes, recipes and threads, and the flags that all runs share.

    name = "fer2013-short"
    schedule = "short"            # a label, shown beside every figure
    dataset = "fer2013"
    part = "PublicTest"           # what accuracy is measured on
    sizes = [48, 64]              # pixels a side
    recipes = ["float32", "ptq-int8"]
    threads = [1]

    [train]                       # flags of `python -m train fit`, for every backbone
    epochs = 1

    [convert]                     # flags of `python -m convert`
    calibration = 512

    [latency]                     # flags of `fer-edge benchmark latency`
    pairs = 200

    [backbones.efficientnet-lite0]
    weights = "weights.npz"       # flags of `fit` again, for this one alone

    [backbones.mobilenet-v2]
    model = "mobilenet-v2.keras"  # a functional Keras model in place of a name that `fit` knows

Files are looked for from the folder in which the command runs, as everywhere.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import DataError

TABLES = ("train", "convert", "latency")
_KEYS = ("name", "schedule", "dataset", "protocol", "part", "sizes", "recipes", "threads", "backbones", *TABLES)
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_SIZES_PX = (32, 512)
_THREADS = (1, 64)
Flags = Mapping[str, Any]  # name of a flag without its dashes -> value


@dataclass(frozen=True)
class Network:
    """One backbone of a study.

    Attributes:
        name: as shown and as its runs are called.
        backbone: for `fit --backbone`: a known name, or a `.keras` file.
        flags: of `fit`, the study's own and this backbone's.
    """

    name: str
    backbone: str
    flags: Flags


@dataclass(frozen=True)
class Study:
    """What to sweep.

    Attributes:
        name: of the study.
        schedule: how long training is, in a word that is shown beside the figures.
        dataset: known to `python -m train`.
        protocol: which rows are trained and selected on.
        part: that accuracy is measured on.
        networks: the backbones, in the file's order.
        sizes: of the input, pixels a side.
        recipes: of `python -m convert`.
        threads: of the interpreter.
        convert: flags of `python -m convert`.
        latency: flags of `fer-edge benchmark latency`.
    """

    name: str
    schedule: str
    dataset: str
    protocol: str
    part: str
    networks: tuple[Network, ...]
    sizes: tuple[int, ...]
    recipes: tuple[str, ...]
    threads: tuple[int, ...]
    convert: Flags = field(default_factory=dict)
    latency: Flags = field(default_factory=dict)


def read_study(path: Path) -> Study:
    """Return the study in a TOML file.

    Raises:
        DataError: no such file, no TOML, an unknown or missing key, backbone, recipe, data set or protocol, or a value
            of another kind.
    """
    values = _toml(path)
    _known(path, "key", values, _KEYS)
    for table in TABLES:
        if not isinstance(values.get(table, {}), dict):
            raise DataError(f"{path}: expected a table [{table}]; got {values[table]!r:.40}; write flags below it")
    from convert.tflite.export import RECIPES
    from train.datasets import DATASETS, PROTOCOLS

    return Study(
        name=_name(path, "name", _text(path, values, "name")),
        schedule=_text(path, values, "schedule"),
        dataset=_one(path, "data set", _text(path, values, "dataset"), DATASETS),
        protocol=_one(path, "protocol", _text(path, values, "protocol", "official-dedup"), PROTOCOLS),
        part=_text(path, values, "part", "validation"),
        networks=_networks(path, values),
        sizes=_numbers(path, values, "sizes", _SIZES_PX),
        recipes=_recipes(path, values, RECIPES),
        threads=_numbers(path, {"threads": [1]} | values, "threads", _THREADS),
        convert=values.get("convert", {}),
        latency=values.get("latency", {}),
    )


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: expected a study (TOML); got: {error.strerror}; check the path") from error
    except ValueError as error:  # of TOML or of UTF-8
        raise DataError(f"{path}: expected a study (TOML); got: {error}; mend that line") from error


def _networks(path: Path, values: Mapping[str, Any]) -> tuple[Network, ...]:
    from convert.tflite.export import quiet

    with quiet():
        from train.networks.backbones import BACKBONES

    tables = values.get("backbones")
    if not isinstance(tables, dict) or not tables:
        raise DataError(f"{path}: expected tables [backbones.NAME]; got {tables!r:.40}; name one backbone or more")
    networks = []
    for name, own in tables.items():
        if not isinstance(own, dict):
            raise DataError(f"{path}: expected a table [backbones.{name}]; got {own!r:.40}; write flags below it")
        model = own.get("model")
        if model is None:
            backbone = _one(path, "backbone", name, BACKBONES, '; for a network of your own give model = "FILE.keras"')
        elif isinstance(model, str) and model.endswith(".keras"):
            backbone = model
        else:
            raise DataError(f"{path}: expected model of {name} as a .keras file; got {model!r:.60}; name such a file")
        flags = {**values.get("train", {}), **own}
        flags.pop("model", None)
        networks.append(Network(_name(path, "backbone", name), backbone, flags))
    return tuple(networks)


def _recipes(path: Path, values: Mapping[str, Any], known: Sequence[str]) -> tuple[str, ...]:
    came = values.get("recipes")
    if not isinstance(came, list) or not came or len(set(map(str, came))) != len(came):
        raise DataError(f"{path}: expected recipes as a list, each once; got {came!r:.60}; known: {', '.join(known)}")
    return tuple(_one(path, "recipe", recipe, known) for recipe in came)


def _numbers(path: Path, values: Mapping[str, Any], key: str, span: tuple[int, int]) -> tuple[int, ...]:
    came, (low, high) = values.get(key), span
    whole = isinstance(came, list) and all(type(number) is int and low <= number <= high for number in came)
    if not isinstance(came, list) or not came or not whole or len(set(came)) != len(came):
        raise DataError(f"{path}: expected {key} as a list of numbers in {low}..{high}, each once; got {came!r:.60}")
    return tuple(came)


def _text(path: Path, values: Mapping[str, Any], key: str, default: str | None = None) -> str:
    came = values.get(key, default)
    if not isinstance(came, str) or not came:
        raise DataError(f"{path}: expected {key} as a text; got {'none' if came is None else repr(came)[:40]}; add it")
    return came


def _name(path: Path, what: str, came: str) -> str:
    if not _NAME.fullmatch(came):
        raise DataError(f"{path}: expected a {what} of small letters, digits, dots and dashes; got {came!r}")
    return came


def _one(path: Path, what: str, came: Any, known: Sequence[str] | Mapping[str, Any], more: str = "") -> str:
    if not isinstance(came, str) or came not in known:
        raise DataError(f"{path}: unknown {what} {came!r}; known: {', '.join(known)}; choose one of them{more}")
    return came


def _known(path: Path, what: str, values: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in values:
        _one(path, what, key, known)

"""Tiny models, built once a session, and a way to run `fer-edge` in this process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from tests.edge import models

Run = Callable[..., click.testing.Result]


@pytest.fixture(scope="session")
def networks() -> dict[str, bytes]:
    """The colour network's flatbuffers, by recipe."""
    return {recipe: models.flatbuffer(recipe) for recipe in ("float32", "qat-int8")}


@pytest.fixture(scope="session")
def model_paths(networks: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The colour network's model files, by recipe."""
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for recipe, network in networks.items():
        paths[recipe] = folder / f"colours-{recipe}.tflite"
        contract = dataclasses.replace(models.CONTRACT, recipe=recipe)
        paths[recipe].write_bytes(models.packed(network, contract))
    return paths


@pytest.fixture(scope="session")
def int8_path(model_paths: dict[str, Path]) -> Path:
    """The colour network in int8."""
    return model_paths["qat-int8"]


@pytest.fixture
def run() -> Run:
    """Run `fer-edge` with arguments; stdout and stderr are kept apart. A record that it writes must fit its schema."""
    from edge.__main__ import cli
    from tests.record_schema import check_record

    def invoke(*arguments: object, env: dict[str, str] | None = None) -> click.testing.Result:
        words = [str(argument) for argument in arguments]
        result = click.testing.CliRunner().invoke(cli, words, prog_name="fer-edge", env=env)
        if "--record" in words and result.exit_code == 0:
            check_record(Path(words[words.index("--record") + 1]))
        return result

    return invoke


@pytest.fixture
def without_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """An account without a home folder, and without a variable that names the cache folder."""

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("FER_EDGE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)

"""The throughput benchmark: what its record says, and that a slow pipeline shows."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from tests.train.conftest import tiny_model
from train.__main__ import main
from train.fitting import throughput
from train.fitting.throughput import Cost, Load, measure
from train.recipes import recipe

FIELDS = (
    "schema", "kind", "created", "fer_edge", "command", "machine", "backend", "devices", "xla", "precision",
    "versions", "backbone", "parameters", "size", "batch", "source_px", "recipe", "augment", "steps", "warmup",
    "rounds", "pipelines",
)  # fmt: skip


def test_cost_is_the_median_of_each_round_s_own_ratio() -> None:
    cost = Cost(
        images=60, on=((1.1, 2.0), (4.4, 3.0), (3.0, 5.0)), off=((1.0, 2.0), (2.0, 2.5), (3.0, 4.0)), make_ms=0.5
    )
    assert cost.shares == pytest.approx([0.1, 1.2, 0.0])
    figures = cost.to_json()
    assert figures["cost"] == pytest.approx(0.1)
    assert figures["cpu_cost"] == pytest.approx(0.2)
    assert figures["images_per_s_on"] == pytest.approx(20)
    assert figures["images_per_s_off"] == pytest.approx(30)


def test_slow_pipeline_shows_and_a_step_pays_for_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slower than the workers can hide: a batch takes 60 ms, so four threads give at most one in 15 ms."""
    from train.augmentation.batches import Batches

    quick = Batches._make

    def slow(self: Batches, order: np.ndarray, epoch: int, index: int) -> Any:
        time.sleep(0.06)
        return quick(self, order, epoch, index)

    monkeypatch.setattr(Batches, "_make", slow)
    cost = measure(tiny_model(), Load(recipe("fer2013-two-phase"), 4, 20, 10, 1), ("cpu",))["cpu"]
    assert cost.make_ms > 60
    assert cost.on[0][0] > 20 * 0.015 * 0.8
    assert cost.images == 80


def test_command_writes_a_record_of_both_pipelines(tmp_path: Path) -> None:
    tiny_model().save(tmp_path / "own.keras")
    words = ["throughput", "--backbone", str(tmp_path / "own.keras"), "--size", "32", "--batch", "4", "--steps", "2"]
    words += ["--warmup", "1", "--rounds", "3", "--recipe", "modern", "--augment-on", "both", "--stochastic-depth", "0"]
    result = CliRunner().invoke(main, [*words, "--record", str(tmp_path / "t.json")])
    assert result.exit_code == 0, result.output
    assert "made by OpenCV in threads" in result.output
    assert "made in the training model" in result.output
    record = json.loads((tmp_path / "t.json").read_text())
    assert sorted(record) == sorted(FIELDS)
    assert (record["kind"], record["schema"]) == ("throughput", 1)
    assert record["command"][-1] == str(tmp_path / "t.json")
    assert (record["size"], record["batch"], record["rounds"]) == (32, 4, 3)
    assert record["augment"]["randaugment_ops"] == recipe("modern").phases[-1].augment.randaugment_ops
    assert record["parameters"] > 0
    for place in ("cpu", "device"):
        figures = record["pipelines"][place]
        assert len(figures["seconds_on"]) == len(figures["seconds_off"]) == 3
        assert min(figures["seconds_on"] + figures["seconds_off"]) > 0
        assert figures["make_ms"] > 0
        assert figures["images_per_s_on"] == pytest.approx(8 / sorted(figures["seconds_on"])[1])


def test_every_field_of_the_record_is_described() -> None:
    for field in FIELDS:
        assert f"``{field}``" in (throughput.__doc__ or "")
    assert "``colour``" not in (throughput.__doc__ or "")


def test_record_into_a_missing_folder_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["throughput", "--record", str(tmp_path / "none" / "t.json")])
    assert result.exit_code == 1
    assert "expected a folder to write --record in" in result.output

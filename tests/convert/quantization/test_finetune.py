from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.conversion import predict
from convert.lowering.emission import emit
from convert.lowering.parity import normalize
from convert.lowering.rules import GREY, split_grey
from convert.quantization.finetune import QatConfig, finetune, learning_rate
from convert.tflite.export import probabilities
from tests.convert.networks import lowered_network, pictures

IMAGES = pictures(64)
LABELS = np.zeros(64, np.int64)


class KilledError(Exception):
    """What stands for a kill in these tests."""


def batches(step: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(step).integers(0, 64, 16)
    return IMAGES[rows], LABELS[rows]


def tune(
    folder: Path,
    config: QatConfig,
    grey: bool = False,
    kill_at: int = 0,
    identity: str = "one",
    batches: Any = batches,
    scores: Sequence[float] = (),
    seen: list[list[np.ndarray]] | None = None,
) -> tuple[Any, Any]:
    """Fine-tunes a spoiled copy of the small network.

    The score of each check is the closeness to the float network, or the next of ``scores``; ``seen`` gets its weights.
    """
    from convert.quantization.fakequant import calibrate, fake_quantize

    _, graph = lowered_network()
    graph = split_grey(graph) if grey else graph
    teacher = emit(graph)
    goal = probabilities(predict(teacher, graph, IMAGES))
    model = fake_quantize(graph)
    calibrate(model, graph, [normalize(IMAGES, graph)])
    for variable in model.trainable_variables:
        variable.assign(variable * 0.8)

    given = iter(scores)

    def evaluate(candidate: Any) -> dict[str, float]:
        if seen is not None:
            seen.append([np.array(value) for value in candidate.get_weights()])
        if scores:
            return {"score": next(given), "accuracy": 0.5}
        distance = float(np.abs(probabilities(predict(candidate, graph, IMAGES)) - goal).mean())
        return {"score": -distance, "accuracy": 1 - distance}

    def advance(step: int, text: str) -> None:
        if step == kill_at:
            raise KilledError

    state = folder / "state.npz"
    return model, finetune(model, teacher, graph, batches, evaluate, config, state, identity, advance)


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    """Whether two networks have the same weights, bit for bit."""
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def test_fine_tuning_brings_a_spoiled_network_nearer_to_the_float_one(tmp_path: Path) -> None:
    _, tuned = tune(tmp_path, QatConfig(steps=60, checks=3, learning_rate=5e-3))
    scores = [row["score"] for row in tuned.history]
    assert [row["step"] for row in tuned.history] == [0, 20, 40, 60]
    assert max(scores) > 0.7 * scores[0]  # scores are negative: at least 30 % nearer
    assert tuned.best_step == tuned.history[int(np.argmax(scores))]["step"] > 0


def test_the_best_weights_are_kept_when_later_ones_are_worse(tmp_path: Path) -> None:
    seen: list[list[np.ndarray]] = []
    model, tuned = tune(tmp_path, QatConfig(steps=4, checks=4, learning_rate=0.5), seen=seen)
    assert tuned.best_step == int(np.argmax([row["score"] for row in tuned.history])) < 4
    assert same(model.get_weights(), seen[tuned.best_step])
    assert not same(seen[4], seen[tuned.best_step])


def test_the_weights_of_the_best_check_are_kept_and_of_two_as_good_the_first(tmp_path: Path) -> None:
    seen: list[list[np.ndarray]] = []
    config = QatConfig(steps=4, checks=4, learning_rate=1e-2)
    model, tuned = tune(tmp_path, config, scores=(0.0, 2.0, 3.0, 1.0, 3.0), seen=seen)
    assert tuned.best_step == 2
    assert [same(model.get_weights(), weights) for weights in seen] == [False, False, True, False, False]


def test_a_killed_run_goes_on_where_it_was_and_ends_the_same(tmp_path: Path) -> None:
    config = QatConfig(steps=12, checks=4)
    whole, first = tune(tmp_path / "whole", config)
    with pytest.raises(KilledError):
        tune(tmp_path / "cut", config, kill_at=8)
    resumed, second = tune(tmp_path / "cut", config)
    assert second.resumed_step == 6
    assert [row["step"] for row in second.history] == [0, 3, 6, 9, 12]
    for expected, came in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_allclose(came, expected, rtol=1e-4, atol=1e-5)
    assert first.resumed_step == 0


def test_the_state_of_another_conversion_is_not_taken_up(tmp_path: Path) -> None:
    config = QatConfig(steps=12, checks=4)
    with pytest.raises(KilledError):
        tune(tmp_path, config, kill_at=8)
    _, tuned = tune(tmp_path, config, identity="another")
    assert tuned.resumed_step == 0


def archive(**arrays: Any) -> bytes:
    """An npz with the given arrays."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"half a file",
        b"",
        archive(header=np.array('{"identity": "one"}'), now0=np.zeros(99))[:-60],
        archive(header=np.array('{"step": 3}')),
        archive(header=np.array("[]")),
    ],
)
def test_a_damaged_state_starts_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.npz").write_bytes(content)
    _, tuned = tune(tmp_path, QatConfig(steps=2, checks=1))
    assert tuned.resumed_step == 0


def test_the_layer_that_makes_grey_stays_through_fine_tuning_while_the_stem_moves(tmp_path: Path) -> None:
    from convert.lowering.emission import with_trained_weights
    from convert.quantization.fakequant import ranged_layers

    model, _ = tune(tmp_path, QatConfig(steps=10, checks=1, learning_rate=1e-2), grey=True)
    graph = split_grey(lowered_network()[1])
    wrapped = model.get_layer(f"quant_{GREY}")
    (kernel,) = (value for value in wrapped.get_weights() if value.shape == (1, 1, 3, 1))
    np.testing.assert_array_equal(kernel, graph[GREY].weights["kernel"])
    assert wrapped not in ranged_layers(model)
    trained = with_trained_weights(graph, model)
    assert np.abs(trained["stem"].weights["kernel"] - graph["stem"].weights["kernel"]).max() > 1e-3


def test_a_loss_that_is_not_a_number_stops_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected a finite loss; came .* at step .*; lower --learning-rate"):
        tune(tmp_path, QatConfig(steps=40, checks=1, learning_rate=1e30))


def test_ranges_stand_still_in_the_last_part(tmp_path: Path) -> None:
    from convert.quantization.fakequant import ranged_layers

    bright = QatConfig(steps=4, checks=1, frozen_share=1.0)
    model, _ = tune(tmp_path, bright)
    start, _ = tune(tmp_path / "start", QatConfig(steps=0))
    moved, _ = tune(tmp_path / "moved", QatConfig(steps=4, checks=1, frozen_share=0.0, learning_rate=1e-9))
    frozen, calibrated, moving = (
        [float(layer._output_quantizer_vars["maximum"].numpy()) for layer in ranged_layers(m)]
        for m in (model, start, moved)
    )
    assert frozen == calibrated
    assert moving != calibrated


def test_the_rate_warms_up_and_falls_to_five_percent() -> None:
    config = QatConfig(steps=100, learning_rate=1.0)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)  # 1 of 5 warm-up steps
    assert rates[4] == pytest.approx(1.0)
    assert rates[52] == pytest.approx(0.05 + 0.95 / 2, abs=0.02)
    assert rates[99] == pytest.approx(0.05, abs=0.001)


def test_a_step_moves_each_channel_by_a_share_of_its_largest_weight() -> None:
    import tensorflow as tf

    from convert.quantization.optimizer import RelativeAdam

    kernel = tf.Variable([[100.0, 0.1, 0.0], [-50.0, 0.02, 0.0]])
    bias = tf.Variable([0.5, -2.0, 0.0])
    optimizer = RelativeAdam([kernel, bias], [1, None])
    optimizer.apply([tf.constant([[1.0, 1.0, 1.0], [-7.0, 1e-3, 1.0]]), tf.constant([1.0, 1.0, -1.0])], 0.01)
    # Adam's first step is the gradient's sign: 1 % of 100, of 0.1, of 0; of the largest bias, 2.
    np.testing.assert_allclose(kernel.numpy(), [[99.0, 0.099, 0.0], [-49.0, 0.019, 0.0]], rtol=1e-4)
    np.testing.assert_allclose(bias.numpy(), [0.48, -2.02, 0.02], rtol=1e-4)

"""Losses against numbers worked out by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from edge.errors import DataError
from train.fitting.objectives import make_accuracy, make_loss
from train.losses import Distillation

LN2, LN3 = 0.693147, 1.098612
TWO_TO_ONE = [[LN2, 0.0]]  # probabilities 2/3 and 1/3
FIRST = [[1.0, 0.0]]


def _value(loss: keras.losses.Loss, targets: object, outputs: object, weights: object = None) -> float:
    arrays = [np.asarray(each, np.float32) for each in (targets, outputs)]
    return float(loss(*arrays, sample_weight=None if weights is None else np.asarray(weights, np.float32)))


def test_cross_entropy_of_hard_and_soft_targets() -> None:
    loss = make_loss("cross-entropy")
    assert _value(loss, FIRST, TWO_TO_ONE) == pytest.approx(0.405465, abs=1e-5)  # ln 1.5
    soft = 0.25 * 0.405465 + 0.75 * LN3
    assert _value(loss, [[0.25, 0.75]], TWO_TO_ONE) == pytest.approx(soft, abs=1e-5)
    assert _value(loss, [[0.75, 0.25]], TWO_TO_ONE) != pytest.approx(soft, abs=0.1)


def test_label_smoothing_spreads_its_share_over_all_classes() -> None:
    loss = make_loss("cross-entropy", label_smoothing=0.1)
    assert _value(loss, FIRST, TWO_TO_ONE) == pytest.approx(0.95 * 0.405465 + 0.05 * LN3, abs=1e-5)


def test_sample_weights_weigh_and_the_mean_is_over_the_batch() -> None:
    outputs, targets = [[LN2, 0.0], [0.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]
    loss = make_loss("cross-entropy")
    assert _value(loss, targets, outputs, [3.0, 1.0]) == pytest.approx((3 * 0.405465 + LN2) / 2, abs=1e-5)


def test_focal_loss_turns_away_from_easy_pictures() -> None:
    focal = make_loss("focal", focal_gamma=2.0)
    assert _value(focal, FIRST, TWO_TO_ONE) == pytest.approx(0.405465 / 9, abs=1e-6)  # (1 - 2/3)^2 = 1/9
    soft = 0.25 * 0.405465 / 9 + 0.75 * LN3 * 4 / 9
    assert _value(focal, [[0.25, 0.75]], TWO_TO_ONE) == pytest.approx(soft, abs=1e-5)
    plain = make_loss("focal", focal_gamma=0.0)
    assert _value(plain, FIRST, TWO_TO_ONE) == pytest.approx(0.405465, abs=1e-5)
    keras_own = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0, from_logits=True)
    assert _value(focal, FIRST, TWO_TO_ONE) == pytest.approx(_value(keras_own, FIRST, TWO_TO_ONE), abs=1e-6)


def test_focal_loss_still_pulls_where_keras_own_has_gone_flat() -> None:
    keras_own = keras.losses.CategoricalFocalCrossentropy(alpha=1.0, gamma=2.0, from_logits=True)
    for loss, slope in ((make_loss("focal"), 1.0), (keras_own, 0.0)):
        rise = _value(loss, FIRST, [[0.0, 41.0]]) - _value(loss, FIRST, [[0.0, 40.0]])
        assert rise == pytest.approx(slope, abs=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
def test_focal_loss_and_its_slope_stay_finite_at_certainty(gamma: float) -> None:
    logits = keras.Input((2,))
    scaled = keras.Model(logits, keras.layers.Dense(2, use_bias=False, kernel_initializer="identity")(logits))
    scaled.compile(keras.optimizers.SGD(0.1), make_loss("focal", focal_gamma=gamma), jit_compile=False)
    outputs = np.array([[200.0, -200.0], [-200.0, 200.0]], np.float32)
    right, wrong = np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)[::-1]
    assert float(scaled.train_on_batch(outputs, right)) == pytest.approx(0, abs=1e-6)
    assert np.allclose(scaled.get_weights()[0], np.eye(2))
    assert float(scaled.train_on_batch(outputs, wrong)) == pytest.approx(400, rel=1e-5)
    assert np.isfinite(scaled.get_weights()[0]).all()
    assert not np.allclose(scaled.get_weights()[0], np.eye(2))


def test_distillation_compares_softened_distributions_and_keeps_the_gradient_s_size() -> None:
    student, teacher = [0.0, 0.0], [2 * LN3, 0.0]
    # At T = 2 the teacher says 3/4 and 1/4, the student 1/2 and 1/2: KL = 3/4 ln 1.5 + 1/4 ln 0.5 = 0.130812.
    alone = make_loss("cross-entropy", distillation=Distillation(weight=1.0, temperature=2.0))
    assert _value(alone, FIRST, [student + teacher]) == pytest.approx(4 * 0.130812, abs=1e-5)
    half = make_loss("cross-entropy", distillation=Distillation(weight=0.5, temperature=2.0))
    assert _value(half, FIRST, [student + teacher]) == pytest.approx(0.5 * LN2 + 0.5 * 4 * 0.130812, abs=1e-5)
    assert _value(alone, FIRST, [teacher + teacher]) == pytest.approx(0, abs=1e-6)
    none = make_loss("cross-entropy", distillation=Distillation(weight=0.0))
    assert _value(none, FIRST, [student + teacher]) == pytest.approx(LN2, abs=1e-5)


def test_teacher_s_logits_get_no_gradient() -> None:
    inputs = keras.Input((4,))
    both = keras.Model(inputs, keras.layers.Dense(4, use_bias=False, kernel_initializer="identity")(inputs))
    both.compile(keras.optimizers.SGD(1.0), make_loss("cross-entropy", distillation=Distillation()), jit_compile=False)
    both.train_on_batch(np.array([[0.3, 0.1, 2.0, -1.0]], np.float32), np.array(FIRST, np.float32))
    moved = both.get_weights()[0] - np.eye(4)
    assert not moved[:, 2:].any()
    assert np.abs(moved[:, :2]).min() > 1e-3


@pytest.mark.parametrize("kind", ["cross-entropy", "focal"])
def test_losses_compute_in_float32_from_16_bit_logits(kind: str) -> None:
    loss = make_loss(kind, distillation=Distillation(0.5, 4.0))
    exact = np.array([[30.0, -30.0, 24.0, -16.0]], np.float32)  # representable in bfloat16
    targets = np.array([[0.0, 1.0]], np.float32)
    for policy in ("bfloat16", "float16"):
        low = keras.ops.convert_to_tensor(exact, dtype=policy)
        value = loss(targets, low)
        assert keras.backend.standardize_dtype(value.dtype) == "float32"
        assert float(value) == pytest.approx(_value(loss, targets, exact), rel=1e-6)


def test_accuracy_looks_at_the_student_alone() -> None:
    metric = make_accuracy(2)
    metric.update_state(np.eye(2, dtype=np.float32), np.array([[2.0, 1.0, 0.0, 9.0], [2.0, 1.0, 0.0, 9.0]], np.float32))
    assert float(metric.result()) == 0.5
    assert metric.name == "accuracy"


def test_unknown_losses_and_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="expected a loss of cross-entropy, focal; got 'hinge'"):
        make_loss("hinge")
    with pytest.raises(DataError, match="label smoothing from 0 to 1; got 2"):
        make_loss("focal", label_smoothing=2)
    with pytest.raises(DataError, match="focal gamma of 0 or more; got -1"):
        make_loss("focal", focal_gamma=-1)

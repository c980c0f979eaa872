"""Class weights against numbers worked out by hand, and what a recipe's loss refuses."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import DataError
from train.losses import Distillation, class_weights, effective_number_weights


def test_effective_number_weights_follow_the_paper_s_formula() -> None:
    # Cui et al. 2019, eq. 2 at beta = 0.9: E(1) = 1, E(2) = (1 - 0.81)/0.1 = 1.9; weights 1 and 1/1.9, scaled to sum 2.
    assert effective_number_weights(np.array([1, 2]), 0.9) == pytest.approx([3.8 / 2.9, 2 / 2.9], abs=1e-6)
    three = effective_number_weights(np.array([5000, 500, 50]), 0.999)
    assert three.sum() == pytest.approx(3, abs=1e-5)
    # E(5000) = (1 - 0.999^5000)/0.001 = 993.3, E(50) = (1 - 0.999^50)/0.001 = 48.79
    assert three[2] / three[0] == pytest.approx(993.28 / 48.792, rel=1e-3)


def test_effective_number_weights_run_from_equal_to_inverse_counts() -> None:
    counts = np.array([4953, 547, 5121])
    assert np.allclose(effective_number_weights(counts, 0.0), 1)
    inverse = 1 / counts
    assert effective_number_weights(counts, 1 - 1e-9) == pytest.approx(3 * inverse / inverse.sum(), rel=1e-4)
    assert not np.allclose(effective_number_weights(counts, 0.9999), 1, atol=0.1)
    with pytest.raises(DataError, match=r"beta from 0 to below 1; got 1\.0"):
        effective_number_weights(counts, 1.0)


@pytest.mark.parametrize("beta", [0.0, 0.9])
def test_absent_class_gets_no_weight(beta: float) -> None:
    weights = effective_number_weights(np.array([3, 0]), beta)
    assert weights.tolist() == [2.0, 0.0]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", [1.0, 1.0, 0.0]),
        ("sqrt", [0.845299, 1.464102, 0.0]),  # 1/sqrt(3) : 1, three rows and one
        ("balanced", [2 / 3, 2.0, 0.0]),
        ("effective", [0.700526, 1.898424, 0.0]),  # beta 0.9: 1/2.71 : 1
    ],
)
def test_class_weights_have_mean_one_over_the_rows(kind: str, expected: list[float]) -> None:
    labels = np.array([0, 0, 0, 1])
    weights = class_weights(labels, 3, kind, beta=0.9)
    assert weights == pytest.approx(expected, abs=1e-5)
    assert weights.dtype == np.float32
    assert weights[labels].mean() == pytest.approx(1)


def test_unknown_weights_and_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="expected class weights none, sqrt, balanced, effective; got 'heavy'"):
        class_weights(np.array([0]), 1, "heavy")
    with pytest.raises(DataError, match=r"distillation weight from 0 to 1; got 1\.1"):
        Distillation(weight=1.1)
    with pytest.raises(DataError, match="distillation temperature above 0; got 0"):
        Distillation(temperature=0)

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from edge.benchmarking.statistics import (
    accuracy,
    bootstrap_interval,
    confusion_matrix,
    difference_interval,
    macro_f1,
    mcnemar,
    paired_difference,
    per_class,
    share_interval,
    weighted_f1,
)

TRUE = np.array([0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 1, 1, 1, 0])


def test_rows_are_the_truth_and_columns_the_predictions() -> None:
    assert confusion_matrix(TRUE, PREDICTED, 3).tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]


def test_figures_worked_out_by_hand() -> None:
    confusion = confusion_matrix(TRUE, PREDICTED, 3)
    scores = per_class(confusion, ("a", "b", "c"))
    assert accuracy(confusion) == pytest.approx(4 / 6)
    assert scores["a"] == {"precision": 2 / 3, "recall": 2 / 3, "f1": pytest.approx(2 / 3), "support": 3}
    assert scores["b"] == {"precision": 2 / 3, "recall": 1.0, "f1": pytest.approx(0.8), "support": 2}
    assert scores["c"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 1}
    assert macro_f1(confusion) == pytest.approx((2 / 3 + 0.8) / 3)
    assert weighted_f1(confusion) == pytest.approx((3 * 2 / 3 + 2 * 0.8) / 6)


@pytest.mark.parametrize(("used", "answered"), [(7, 7), (4, 4), (4, 6), (6, 3)])
def test_figures_are_scikit_learns_also_where_classes_do_not_occur(used: int, answered: int) -> None:
    generator = np.random.default_rng(used)
    true, predicted = generator.integers(0, used, 500), generator.integers(0, answered, 500)
    confusion = confusion_matrix(true, predicted, 7)
    assert accuracy(confusion) == pytest.approx(metrics.accuracy_score(true, predicted))
    expected = metrics.f1_score(true, predicted, average="macro", labels=np.unique(true), zero_division=0)
    assert macro_f1(confusion) == pytest.approx(expected)
    weighted = metrics.f1_score(true, predicted, average="weighted", zero_division=0)
    assert weighted_f1(confusion) == pytest.approx(weighted)


def test_a_class_without_samples_does_not_pull_macro_f1_down_for_being_named_once() -> None:
    # a: 2 of 3 right, no other called a: F1 0.8; b: 1 of 1: F1 1; c never occurs, and is named once.
    confusion = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 3)
    assert macro_f1(confusion) == pytest.approx((0.8 + 1) / 2)


def test_lists_that_do_not_match_or_reach_beyond_the_classes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"equal length; got shapes \(6,\) and \(5,\)"):
        confusion_matrix(TRUE, PREDICTED[:5], 3)
    with pytest.raises(ValueError, match=r"classes 0\.\.1; got 0\.\.2"):
        confusion_matrix(TRUE, PREDICTED, 2)
    with pytest.raises(ValueError, match="non-empty"):
        confusion_matrix(np.array([], int), np.array([], int), 2)
    with pytest.raises(ValueError, match="expected 3 class names; got 2"):
        per_class(confusion_matrix(TRUE, PREDICTED, 3), ("a", "b"))


def test_the_interval_of_a_share_is_the_binomials() -> None:
    correct = np.arange(1000) < 650
    low, high = bootstrap_interval(correct, seed=0)
    deviation = (0.65 * 0.35 / 1000) ** 0.5
    assert low == pytest.approx(0.65 - 1.96 * deviation, abs=0.003)
    assert high == pytest.approx(0.65 + 1.96 * deviation, abs=0.003)


def test_the_interval_repeats_with_its_seed_and_changes_with_it() -> None:
    values = np.random.default_rng(0).normal(size=200)
    assert bootstrap_interval(values, 1) == bootstrap_interval(values, 1)
    assert bootstrap_interval(values, 1) != bootstrap_interval(values, 2)


def test_the_median_is_not_moved_by_one_wild_value() -> None:
    values = np.array([1.0] * 50 + [1e6])
    assert bootstrap_interval(values, 0, statistic="median") == (1.0, 1.0)
    assert bootstrap_interval(values, 0)[1] > 1e3


@pytest.mark.parametrize("values", [[], [1.0, float("nan")]])
def test_an_interval_of_nothing_or_of_nan_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="non-empty list of finite numbers"):
        bootstrap_interval(np.array(values), 0)


@pytest.mark.parametrize(
    ("first", "second", "p_value"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),  # 2 · 1/2
        (5, 0, 0.0625),  # 2 · 1/32
        (0, 5, 0.0625),
        (8, 2, 2 * (1 + 10 + 45) / 1024),
        (3000, 3000, 1.0),
    ],
)
def test_mcnemar_agrees_with_the_sign_test_worked_out_by_hand(first: int, second: int, p_value: float) -> None:
    assert mcnemar(first, second) == pytest.approx(p_value)


def test_mcnemar_of_thousands_of_discordant_samples_does_not_overflow() -> None:
    assert 0 < mcnemar(2200, 2000) < 0.01


def test_negative_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 0; got -1 and 2"):
        mcnemar(-1, 2)


def test_mcnemar_is_scipys_binomial_test_of_the_discordant_samples() -> None:
    for first, second in ((31, 12), (3, 9), (250, 301)):
        assert mcnemar(first, second) == pytest.approx(binomtest(first, first + second, 0.5).pvalue)


def test_paired_difference_counts_what_one_model_alone_has_right() -> None:
    first = np.array([True] * 8 + [False] * 2)
    second = np.array([True] * 6 + [False] * 2 + [True, False])
    found = paired_difference(first, second)
    assert (found.only_first, found.only_second) == (2, 1)
    assert found.points == pytest.approx(10)  # 8 of 10 against 7 of 10
    assert found.p_value == pytest.approx(1)
    assert found.low < 10 < found.high
    reverse = paired_difference(second, first)
    assert reverse.points == pytest.approx(-10)
    assert reverse.only_first == 1


def test_the_interval_of_a_paired_difference_is_tangos() -> None:
    # 12 and 2 of 50: 0.20 (0.061 to 0.345), Tango 1998, and Newcombe 1998, Statistics in Medicine 17, table II
    assert difference_interval(12, 2, 50) == pytest.approx((0.0611, 0.3447), abs=1e-4)
    assert difference_interval(2, 12, 50) == pytest.approx((-0.3447, -0.0611), abs=1e-4)
    for counts in ((12, 2, 50), (3, 0, 55), (0, 0, 55), (55, 0, 55)):  # the ends, where the score is 1.96
        low, high = difference_interval(*counts)
        for end in {low, high} - {1.0, -1.0}:
            assert _score(end, *counts) == pytest.approx(1.96, abs=1e-3)


def _score(difference: float, only_first: int, only_second: int, samples: int) -> float:
    """Deviations from a true difference, the rate of the second's discordances found by trying them all."""
    least = max(0.0, -difference)
    rates = np.linspace(least, (1 - difference) / 2, 200_001)[1:-1]  # of samples that only the second has right
    both = 1 - difference - 2 * rates
    likelihood = (samples - only_first - only_second) * np.log(np.maximum(both, 1e-300))
    likelihood += only_first * np.log(np.maximum(rates + difference, 1e-300)) + only_second * np.log(rates)
    rate = rates[likelihood.argmax()]
    variance = samples * (2 * rate + difference * (1 - difference))
    return abs(only_first - only_second - samples * difference) / np.sqrt(variance)


def test_models_that_differ_nowhere_may_differ_by_a_little_all_the_same() -> None:
    same = paired_difference(np.ones(3589, bool), np.ones(3589, bool))
    assert (same.points, same.p_value) == (0, 1)
    assert same.low == pytest.approx(-0.107, abs=1e-3) and same.high == pytest.approx(0.107, abs=1e-3)
    less = paired_difference(np.ones(55, bool), np.ones(55, bool))
    assert less.high > 6  # points: of 55 faces, none says little


@pytest.mark.parametrize("counts", [(-1, 0, 5), (3, 3, 5), (0, 0, 0)])
def test_counts_that_are_no_discordances_are_refused(counts: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"expected counts of 0\.\.samples, and samples; got"):
        difference_interval(*counts)


def test_the_interval_of_a_share_is_wilsons_and_never_without_width() -> None:
    # 81 of 263: 0.3080 (0.2553 to 0.3662); 0 of 20: to 0.1611. Newcombe 1998, Statistics in Medicine 17, table I
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert share_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)
    assert share_interval(3589, 3589) == pytest.approx((0.99893, 1), abs=1e-5)
    with pytest.raises(ValueError, match="expected hits of 0"):
        share_interval(3, 2)


def test_lists_of_different_samples_are_not_paired() -> None:
    with pytest.raises(ValueError, match=r"equal length; got shapes \(3,\) and \(2,\)"):
        paired_difference(np.ones(3, bool), np.ones(2, bool))

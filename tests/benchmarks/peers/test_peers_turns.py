"""Files timed in turns, and the ratios of their times round by round."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.peers.turns import ratio, take_turns
from edge.benchmarking import turns


class Clock:
    """A clock that only the files' own inferences move, in nanoseconds."""

    def __init__(self) -> None:
        self.now = 0

    def perf_counter_ns(self) -> int:
        return self.now

    def file(self, milliseconds: Callable[[int], float]) -> Callable[[int], None]:
        """A file that takes so many milliseconds in a round."""

        def infer(number: int) -> None:
            self.now += round(milliseconds(number) * 1e6)

        return infer

    def constant(self, milliseconds: float) -> Callable[[int], None]:
        """A file that always takes the same time."""
        return self.file(lambda _: milliseconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(turns, "time", made)
    return made


def nothing(done: int) -> None:
    pass


def test_a_file_with_an_added_delay_comes_out_slower_by_that_much(clock: Clock) -> None:
    def load(number: int) -> float:
        return 1 + 0.02 * (number % 5)  # what else the machine does: up to 8 %

    plain, delayed = clock.file(lambda number: 4 * load(number)), clock.file(lambda number: 4 * load(number) + 6)
    fast, slow = take_turns([plain, delayed], 20, 5, nothing).T
    assert ratio(fast, slow)["median"] == pytest.approx(2.5, rel=0.05)
    assert ratio(slow, fast)["median"] == pytest.approx(0.4, rel=0.05)


def test_a_file_that_sleeps_longer_comes_out_slower() -> None:
    fast, slow = take_turns([lambda _: time.sleep(0.001), lambda _: time.sleep(0.03)], 9, 1, nothing).T
    assert ratio(fast, slow)["median"] > 1 > ratio(slow, fast)["median"]


def test_each_file_keeps_its_own_times_and_no_other_ones(clock: Clock) -> None:
    samples = take_turns([clock.constant(ms) for ms in (2.0, 6.0, 3.0)], 7, 2, nothing)
    assert samples.tolist() == [[2.0, 6.0, 3.0]] * 7
    found = ratio(samples[:, 0], samples[:, 1])
    assert found == {"median": 3.0, "p10": 3.0, "p90": 3.0, "ci95": [3.0, 3.0], "pairs": 7}


def test_a_disturbance_of_whole_rounds_leaves_the_ratio_exact(clock: Clock) -> None:
    def busy(milliseconds: float) -> Callable[[int], None]:
        return clock.file(lambda number: milliseconds * {1: 10.0, 4: 50.0}.get(number, 1.0))

    samples = take_turns([busy(2.0), busy(5.0)], 6, 0, nothing)
    assert samples[:, 0].tolist() == [2.0, 20.0, 2.0, 2.0, 100.0, 2.0]
    found = ratio(samples[:, 0], samples[:, 1])
    assert (found["median"], found["ci95"]) == (2.5, [2.5, 2.5])


def test_rounds_before_the_timed_ones_are_run_and_not_kept(clock: Clock) -> None:
    done: list[int] = []
    samples = take_turns([clock.file(lambda number: 100.0 if number < 3 else 1.0)], 4, 3, done.append)
    assert samples.tolist() == [[1.0]] * 4
    assert done == [1, 2, 3, 4, 5, 6, 7]


def test_ratios_are_taken_within_a_round_and_not_of_the_medians() -> None:
    model, against = [1.0, 2.0, 4.0], [2.0, 4.0, 8.0]
    assert ratio(model, against)["median"] == 2.0
    shuffled = [8.0, 2.0, 4.0]  # the same samples, so the same medians: ratios 8, 1 and 1
    found = ratio(model, shuffled)
    assert np.median(shuffled) / np.median(model) == 2.0
    assert found["median"] == 1.0
    assert found["p10"] == pytest.approx(1.0)
    assert found["p90"] == pytest.approx(6.6)  # 1 + 0.8 x 7: between the second and the third of 1, 1, 8
    assert found["ci95"] == [1.0, 8.0]


def test_shuffled_rounds_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    load = generator.uniform(1, 3, 100)
    model, against = 2 * load, 4 * load * generator.uniform(0.99, 1.01, 100)
    low, high = ratio(model, against)["ci95"]
    lowest, highest = ratio(model, generator.permutation(against))["ci95"]
    assert 1.99 < low < high < 2.01
    assert highest - lowest > 10 * (high - low)


def test_the_collector_is_off_while_timing_and_on_again_after_a_failure() -> None:
    states: list[bool] = []

    def infer(number: int) -> None:
        states.append(gc.isenabled())
        if number == 1:
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        take_turns([infer], 3, 0, nothing)
    assert states == [False, False]
    assert gc.isenabled()


@pytest.mark.parametrize(("rounds", "warmup", "files"), [(0, 0, 1), (1, -1, 1), (1, 0, 0)])
def test_numbers_that_mean_nothing_are_refused(rounds: int, warmup: int, files: int) -> None:
    with pytest.raises(ValueError, match="expected 1 or more rounds and files"):
        take_turns([nothing] * files, rounds, warmup, nothing)


@pytest.mark.parametrize(
    ("model", "against", "text"),
    [
        ([1.0], [1.0, 2.0], "equal length"),
        ([], [], "non-empty"),
        ([1.0, 0.0], [1.0, 1.0], "positive times; got 0.0 ms"),
    ],
)
def test_times_that_make_no_pairs_are_refused(model: list[float], against: list[float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ratio(model, against)

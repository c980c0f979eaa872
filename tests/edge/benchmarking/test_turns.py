"""The order in which models take turns, and that each sample is the time of its own run."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from edge.benchmarking import turns
from edge.benchmarking.turns import order_of_round, take_turns


class Clock:
    """A clock that only the participants' own runs move."""

    def __init__(self) -> None:
        self.now, self.order = 0, ""

    def perf_counter_ns(self) -> int:
        return self.now

    def participant(self, name: str, milliseconds: Callable[[int], float]) -> Callable[[int], None]:
        """A participant that takes so many milliseconds in a round."""

        def infer(number: int) -> None:
            self.order += name
            self.now += round(milliseconds(number) * 1e6)

        return infer


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(turns, "time", made)
    return made


def test_two_take_turns_and_the_order_is_turned(clock: Clock) -> None:
    take_turns([clock.participant(name, lambda _: 1) for name in "AB"], 6)
    assert clock.order == "ABBABAABABBA"


def test_a_round_of_four_starts_from_both_ends() -> None:
    assert [order_of_round(number, 4) for number in range(5)] == [
        [0, 3, 1, 2],
        [1, 0, 2, 3],
        [2, 1, 3, 0],
        [3, 2, 0, 1],
        [2, 1, 3, 0],  # the second sweep runs backwards
    ]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 9, 10])
def test_each_runs_first_and_right_after_every_other_equally_often(count: int) -> None:
    orders = [order_of_round(number, count) for number in range(2 * count)]
    assert all(sorted(order) == list(range(count)) for order in orders)
    assert Counter(order[0] for order in orders) == dict.fromkeys(range(count), 2)
    after = Counter(pair for order in orders for pair in pairwise(order))
    assert after == {(a, b): 2 for a in range(count) for b in range(count) if a != b}


def test_samples_are_those_of_their_own_participant_and_round(clock: Clock) -> None:
    # 1, 2, 3 ms in rounds 4, 5, 6 for the first; always 10 ms for the second. A pooled or swapped sample would show.
    taken = take_turns([clock.participant("A", lambda n: n - 3), clock.participant("B", lambda _: 10)], 3, first=4)
    assert taken.tolist() == [[1.0, 10.0], [2.0, 10.0], [3.0, 10.0]]


def test_a_settling_run_is_the_participants_own_and_not_timed(clock: Clock) -> None:
    costs = iter([5.0, 1.0, 7.0, 2.0])
    taken = take_turns([clock.participant("A", lambda _: next(costs))], 2, settle=True)
    assert taken.tolist() == [[1.0], [2.0]] and clock.order == "AAAA"


def test_the_collector_rests_meanwhile_and_is_as_before_afterwards() -> None:
    seen: list[bool] = []
    take_turns([lambda _: seen.append(gc.isenabled())], 1)
    assert seen == [False] and gc.isenabled()
    gc.disable()
    try:
        take_turns([lambda _: None], 1)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_progress_is_told_after_every_round() -> None:
    told: list[tuple[int, int]] = []
    take_turns([lambda _: None], 2, tick=lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]

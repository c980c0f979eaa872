"""Latency of one model or of several in turns, by number of threads, and the record of it. No printing here.

A sample is the wall-clock milliseconds of set_tensor + invoke + get_tensor by `time.perf_counter_ns`. Several models or
thread counts run in turns with a rotating order (`edge.benchmarking.turns`); a ratio is the median of the rounds' own
ratios, and samples of two of them are never pooled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from edge.benchmarking.benchmark import common, model_block, noise_faces, summary_ms, xnnpack
from edge.benchmarking.coldstart import ColdStart
from edge.benchmarking.stability import Series, judge, steady_after
from edge.benchmarking.turns import Tick, ratio_block, take_turns
from edge.inference.interpreter import Classifier
from edge.system.conditions import Conditions, clock_mhz, conditions, ended
from edge.system.machine import Machine
from edge.wording import counted

Grid = Sequence[Sequence[Classifier]]  # a row a number of threads, a column a model; the record is about [0][0]


@dataclass(frozen=True)
class Rounds:
    """How often each model runs.

    Attributes:
        timed: runs whose times are the samples, 1 or more.
        warmup: runs before them, after the cold first one, 0 or more.
        seed: of the noise faces.
    """

    timed: int
    warmup: int
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError where a number is out of range."""
        if self.timed < 1 or self.warmup < 0:
            raise ValueError(f"expected 1 or more runs and 0 or more for warm-up; got {self.timed} and {self.warmup}")


@dataclass(frozen=True)
class Timed:
    """Times of several classifiers in turns.

    Attributes:
        warmup: (warm-up rounds + 1, classifiers) float64 milliseconds, the cold first round first.
        samples: (timed rounds, classifiers) float64 milliseconds.
        start_mhz: the clock when the timed rounds began; None: not said.
    """

    warmup: npt.NDArray[np.float64]
    samples: npt.NDArray[np.float64]
    start_mhz: int | None


def timed_in_turns(
    classifiers: Sequence[Classifier], rounds: Rounds, tick: Tick | None = None, machine: Machine | None = None
) -> Timed:
    """Return the times of freshly loaded classifiers, every round each of them once.

    Args:
        classifiers: the first rounds of which are cold.
        rounds: how many.
        tick: called with (timed rounds done, in all).
        machine: where the clock is read; None: this machine.
    """
    infer = [partial(_infer, each, list(noise_faces(each.model.input.shape, rounds.seed))) for each in classifiers]
    settle = len({classifier.threads for classifier in classifiers}) > 1
    cold = take_turns(infer, 1)
    warm = take_turns(infer, rounds.warmup, first=1, settle=settle)
    start_mhz = clock_mhz(Machine() if machine is None else machine)
    samples = take_turns(infer, rounds.timed, first=1 + rounds.warmup, settle=settle, tick=tick)
    return Timed(np.concatenate([cold, warm]), samples, start_mhz)


def latency_record(
    grid: Grid,
    rounds: Rounds,
    command: Sequence[str],
    cold: Sequence[ColdStart | None] = (),
    tick: Tick | None = None,
    machine: Machine | None = None,
    before: Conditions | None = None,
) -> dict[str, Any]:
    """Return the latency record of the grid's first model, with all others in turns with it.

    With one other model at one number of threads it is the record's `against`, else all others are in `others`. A
    ratio is the time of the other over that of the record's own model in one round: how many times as fast the own
    model is. Another model is held against the own one with the same threads, the own model with other threads against
    itself with the first number of threads.

    Args:
        grid: freshly loaded models: a row for each number of threads, the same models in each.
        rounds: how many.
        command: the words of the running command.
        cold: the cold start of each, row after row; where it is None or left out, loading and first inference are those
            of this process, and memory is None.
        tick: called with (timed rounds done, in all).
        machine: where facts are read; None: this machine.
        before: its state before the models were loaded and their cold starts measured; None: now.

    Raises:
        ValueError: the classifiers of a row differ in threads, or rows in length.
    """
    classifiers = _checked(grid)
    where = Machine() if machine is None else machine
    before = conditions(where) if before is None else before
    timed = timed_in_turns(classifiers, rounds, tick, where)
    course = ended(where, before, timed.start_mhz)
    series = [
        Series(_name(classifier), timed.samples[:, place].tolist(), timed.warmup[:, place].tolist())
        for place, classifier in enumerate(classifiers)
    ]
    starts = cold or [None] * len(classifiers)
    blocks = [_fields(*parts) for parts in zip(classifiers, series, starts, strict=True)]
    record = {
        **common("latency", classifiers[0], command, course, where),
        **blocks[0],
        "warmup": rounds.warmup,
        "runs": rounds.timed,
        "stability": judge(series, course, max(classifier.threads for classifier in classifiers)),
    }
    others = [
        {
            **_head(classifiers[place]),
            **blocks[place],
            **_ratio(timed.samples, place, own),
            "own_threads": classifiers[own].threads,
        }
        for place, own in _pairs(len(grid[0]), len(classifiers))
    ]
    if len(grid) == 1 and len(others) == 1:
        ratio = {name: others[0].pop(name) for name in ("ratio", "ratios")}
        return {**record, "against": others[0], "pairs": rounds.timed, **ratio}
    return {**record, "others": others} if others else record


def _checked(grid: Grid) -> list[Classifier]:
    for row in grid:
        threads = {classifier.threads for classifier in row}
        if len(threads) != 1:
            raise ValueError(f"expected equal threads; got {' and '.join(map(str, sorted(threads))) or 'no model'}")
    if len({len(row) for row in grid}) != 1:
        raise ValueError(f"expected rows of one length; got {[len(row) for row in grid]}")
    return list(chain.from_iterable(grid))


def _infer(classifier: Classifier, faces: Sequence[npt.NDArray[np.uint8]], number: int) -> None:
    classifier.infer(faces[number % len(faces)])


def _name(classifier: Classifier) -> str:
    contract = classifier.model.contract
    return f"{contract.name} {contract.recipe}, {counted(classifier.threads, 'thread')}"


def _pairs(models: int, count: int) -> list[tuple[int, int]]:
    """Return which participant each one but the first is held against, as places in the flattened grid."""
    return [(place, place - place % models if place % models else 0) for place in range(1, count)]


def _head(classifier: Classifier) -> dict[str, Any]:
    return {**model_block(classifier), "threads": classifier.threads, "xnnpack": xnnpack(classifier)}


def _fields(classifier: Classifier, series: Series, cold: ColdStart | None) -> Mapping[str, Any]:
    return {
        "latency_ms": summary_ms(series.samples),
        "samples_ms": [round(sample, 6) for sample in series.samples],
        "warmup_ms": [round(sample, 6) for sample in series.warmup],
        "steady_after": steady_after(series),
        "first_inference_ms": series.warmup[0] if cold is None else cold.first_ms,
        "load_ms": classifier.load_ms if cold is None else cold.load_ms,
        "rss_before_load_mb": None if cold is None else cold.rss_before_load_mb,
        "peak_rss_mb": None if cold is None else cold.peak_rss_mb,
    }


def _ratio(samples: npt.NDArray[np.float64], place: int, own: int) -> dict[str, Any]:
    """Return `ratio` and `ratios` of a participant's times over those of another, round by round."""
    ratios = samples[:, place] / samples[:, own]
    return {"ratio": ratio_block(ratios), "ratios": ratios.tolist()}

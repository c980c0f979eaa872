"""Whether a benchmark may be trusted: throttled, noisy or fine, with the measure that says so.

Throttled goes before noisy: a machine that lowers its clock measures its cooling, however calm its samples are. A limit
that the machine's sensors do not give is not tested; `fine` means that nothing was found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.system.conditions import Conditions, Course
from edge.system.speed import Throttling
from edge.wording import counted

FINE, NOISY, THROTTLED = "fine", "noisy", "throttled"
VERDICTS = (FINE, NOISY, THROTTLED)

# pyperf calls a benchmark unstable from a standard deviation of 10 % of the mean on. Of a normal distribution, that is
# 1.4826 times the median absolute deviation (MAD), which a single late run, unlike the deviation, does not move.
SIGMA_OF_MAD = 1.4826
MAD_LIMIT = 0.10 / SIGMA_OF_MAD
# Idle machines have their 90th percentile 5 to 20 % above the median; half as long again means that something else
# takes the core in every tenth run, which the MAD, made to overlook such runs, does not show.
TAIL_LIMIT = 0.50
# A median that moves by a tenth within one run would pass for a regression between two. Idle virtual machines gave 6 %
# at most (200 runs of 0.4 to 18 ms); beyond it, the move must be more than the thirds' medians differ by chance.
DRIFT_LIMIT = 0.10
DRIFT_ERRORS = 3.0
_MEDIAN_ERROR = 1.2533  # standard error of a median over that of a mean, normal distribution: sqrt(pi / 2)
# Governors step by 5 % and more of the highest clock, and processors that boost move by a few percent.
CLOCK_DROP_LIMIT = 0.10
# A core must be left to each thread; half a one more is what a desktop and the commands typed just now leave behind.
LOAD_SLACK = 0.5
FEWEST_SAMPLES = 10  # below it, a third of the samples holds three at most, and spread says nothing
# A run belongs to the steady part when it and the two after it are no slower than this above the steady median.
STEADY_RUNS = 3
STEADY_SHARE = 0.05
STEADY_SIGMAS = 3.0


@dataclass(frozen=True)
class Series:
    """Samples that belong together: of one model and number of threads, or of one command.

    Attributes:
        name: what messages call them.
        samples: in the order of time, in any unit.
        warmup: what went before them, the cold first run first, in the same unit.
    """

    name: str
    samples: Sequence[float]
    warmup: Sequence[float] = ()


def judge(series: Sequence[Series], course: Course, threads: int) -> dict[str, Any]:
    """Return the record's `stability`: verdict ("throttled", "noisy", "fine"), reasons, and measures of each series.

    Args:
        series: judged one by one, never pooled.
        course: the machine before and after.
        threads: that the benchmark kept busy at most.
    """
    throttled = _throttled(course)
    noisy = [*_load(course, threads), *(reason for one in series for reason in _spread(one))]
    return {
        "verdict": THROTTLED if throttled else NOISY if noisy else FINE,
        "reasons": [*throttled, *noisy],
        "measures": [
            {
                "of": one.name,
                "samples": len(one.samples),
                "mad_share": mad_share(one.samples),
                "tail": tail(one.samples),
                "drift": drift(one.samples),
            }
            for one in series
        ],
    }


def mad(samples: Sequence[float]) -> float:
    """Return the median absolute deviation from the median, in the samples' unit (not scaled to a sigma)."""
    values = np.asarray(samples, np.float64)
    return float(np.median(np.abs(values - np.median(values))))


def mad_share(samples: Sequence[float]) -> float:
    """Return the median absolute deviation as a share of the median."""
    return mad(samples) / float(np.median(samples))


def tail(samples: Sequence[float]) -> float:
    """Return by how much the 90th percentile is above the median, as a share of it."""
    return float(np.percentile(samples, 90) / np.median(samples) - 1)


def drift(samples: Sequence[float]) -> float:
    """Return by how much the last third's median is above the first third's, as a share; 0 below three samples."""
    third = len(samples) // 3
    if not third:
        return 0.0
    return float(np.median(samples[-third:]) / np.median(samples[:third]) - 1)


def steady_after(series: Series) -> int | None:
    """Return how many runs, the cold first one among them, went before the steady part; None if it never came.

    Steady is where three runs in a row are no slower than the timed samples' median by more than 5 % or three sigmas.
    """
    median = float(np.median(series.samples))
    limit = median + max(STEADY_SHARE * median, STEADY_SIGMAS * SIGMA_OF_MAD * mad(series.samples))
    runs = [value <= limit for value in (*series.warmup, *series.samples)]
    places = range(len(runs) - STEADY_RUNS + 1)
    return next((place for place in places if all(runs[place : place + STEADY_RUNS])), None)


def _throttled(course: Course) -> list[str]:
    reasons = [*_flags(course.before, course.after)]
    temperatures = [end.temperature_c for end in (course.before, course.after) if end.temperature_c is not None]
    if course.limit_c is not None and temperatures and max(temperatures) >= course.limit_c:
        reasons.append(f"{max(temperatures):.1f} C: the clock is lowered from {course.limit_c:.0f} C on; cool it")
    start, end = course.start_mhz, course.after.clock_mhz
    if start and end is not None and end < (1 - CLOCK_DROP_LIMIT) * start:
        reasons.append(f"the clock fell from {start} to {end} MHz during the run")
    return reasons


def _flags(before: Conditions, after: Conditions) -> list[str]:
    first, last = (end.throttling or Throttling((), ()) for end in (before, after))
    now = list(dict.fromkeys((*first.now, *last.now)))
    past = [meaning for meaning in last.since_boot if meaning not in now]
    during = [meaning for meaning in past if before.throttling is not None and meaning not in first.since_boot]
    unclear = [meaning for meaning in past if meaning not in during]
    reasons = []
    if now or during:
        reasons.append(f"the firmware says: {', '.join((*now, *during))}, during the run")
    if unclear:
        reasons.append(
            f"the firmware says: {', '.join(unclear)}, since the last boot, perhaps during the run; restart the board"
        )
    return reasons


def _load(course: Course, threads: int) -> list[str]:
    load = course.before.load_1m
    if load is None or course.cores is None or load + threads <= course.cores + LOAD_SLACK:
        return []
    return [
        f"load {load:.2f} in the minute before, beside {counted(threads, 'thread')} on "
        f"{counted(course.cores, 'core')}; end other programs, or wait a minute"
    ]


def _spread(series: Series) -> list[str]:
    count = len(series.samples)
    if count < FEWEST_SAMPLES:
        return [f"{series.name}: {count} samples; fewer than {FEWEST_SAMPLES} say nothing about the spread"]
    reasons = []
    share, late = mad_share(series.samples), tail(series.samples)
    if share > MAD_LIMIT:
        reasons.append(f"{series.name}: the MAD is {share:.1%} of the median; more than {MAD_LIMIT:.1%} is noise")
    if late > TAIL_LIMIT:
        reasons.append(f"{series.name}: p90 is {late:.0%} above the median; more than {TAIL_LIMIT:.0%} is noise")
    moved = drift(series.samples)
    error = _MEDIAN_ERROR * SIGMA_OF_MAD * share * (2 / (count // 3)) ** 0.5
    if abs(moved) > max(DRIFT_LIMIT, DRIFT_ERRORS * error):
        reasons.append(f"{series.name}: the last third's median is {moved:+.1%} off the first third's")
    steady = steady_after(series)
    if series.warmup and (steady is None or steady > len(series.warmup)):
        came = "never steady" if steady is None else f"steady after {steady} runs"
        reasons.append(f"{series.name}: {came}, and {len(series.warmup)} ran before the clock; raise --warmup")
    return reasons

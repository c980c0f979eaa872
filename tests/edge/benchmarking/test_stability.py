"""The verdict: a throttled machine is called throttled, a calm one fine, scattered and drifting samples noisy."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from edge.benchmarking import stability
from edge.benchmarking.stability import Series, drift, judge, mad, steady_after, tail
from edge.system.conditions import Conditions, Course, clock_mhz, conditions, ended
from edge.system.machine import Outcome
from edge.system.speed import Throttling
from tests.edge.machines import PI4, PI5, fake, silent, tools

Run = Callable[[Sequence[str]], Outcome | None]
CALM = Series("m", [10.0, 10.1, 9.9] * 10)
QUIET = Course(Conditions(load_1m=0.1), Conditions(), cores=4)
FREQUENCY = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"
FULL_SPEED = {FREQUENCY.format(core): "1800000\n" for core in range(4)}


def verdict(course: Course, samples: Series = CALM, threads: int = 1) -> tuple[str, str]:
    found = judge([samples], course, threads)
    return found["verdict"], "; ".join(found["reasons"])


def course_of(tmp_path: Path, before: dict[str, str], after: dict[str, str], run: Run = silent) -> Course:
    """The course of a benchmark on a machine whose files change from `before` to `after`."""
    machine = fake(tmp_path, before, run)
    begun, start_mhz = conditions(machine), clock_mhz(machine)
    fake(tmp_path, after)
    return ended(machine, begun, start_mhz)


def test_a_calm_raspberry_pi_is_fine(tmp_path: Path) -> None:
    course = course_of(tmp_path, PI4 | FULL_SPEED, {})
    assert (course.limit_c, course.start_mhz, course.cores) == (80.0, 1800, 4)
    assert verdict(course) == ("fine", "")


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        ({FIRMWARE: "50005\n"}, "the firmware says: under-voltage, throttled, during the run"),
        ({FIRMWARE: "40000\n"}, "the firmware says: throttled, during the run"),  # came and went
        ({"sys/class/thermal/thermal_zone0/temp": "80000\n"}, "80.0 C: the clock is lowered from 80 C on"),
        ({FREQUENCY.format(core): "1000000\n" for core in range(4)}, "the clock fell from 1800 to 1000 MHz"),
    ],
)
def test_a_machine_that_is_held_back_is_throttled(tmp_path: Path, after: dict[str, str], reason: str) -> None:
    found, said = verdict(course_of(tmp_path, PI4 | FULL_SPEED, after))
    assert found == "throttled" and reason in said


def test_vcgencmd_says_it_where_the_kernel_does_not(tmp_path: Path) -> None:
    cool = PI5 | {"sys/class/thermal/thermal_zone0/temp": "50000\n"}
    found, said = verdict(course_of(tmp_path, cool, {}, tools(vcgencmd=Outcome(0, "throttled=0x4\n", ""))))
    assert (found, said) == ("throttled", "the firmware says: throttled, during the run")
    assert verdict(course_of(tmp_path, cool, {}, tools(vcgencmd=Outcome(0, "throttled=0x0\n", "")))) == ("fine", "")


def test_a_flag_from_before_cannot_be_told_apart_and_counts(tmp_path: Path) -> None:
    found, said = verdict(course_of(tmp_path, PI4 | {FIRMWARE: "10000\n"}, {}))
    assert found == "throttled" and "under-voltage, since the last boot, perhaps during the run; restart" in said


def test_a_pc_has_the_limit_that_its_kernel_cools_at(tmp_path: Path) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    files = {
        f"{zone}/type": "x86_pkg_temp", f"{zone}/temp": "91000", f"{zone}/trip_point_0_type": "critical",
        f"{zone}/trip_point_0_temp": "105000", f"{zone}/trip_point_1_type": "passive",
    }  # fmt: skip
    warm = course_of(tmp_path, files | {f"{zone}/trip_point_1_temp": "95000"}, {})
    assert warm.limit_c == 95.0 and verdict(warm)[0] == "fine"
    assert verdict(course_of(tmp_path, files | {f"{zone}/trip_point_1_temp": "91000"}, {}))[0] == "throttled"
    assert course_of(tmp_path / "none", {f"{zone}/temp": "91000"}, {}).limit_c is None


def test_a_clock_that_moves_a_little_or_rises_is_no_throttling() -> None:
    for end in (1650, 2400):  # 8 % lower; a governor that was late
        assert verdict(dataclasses.replace(QUIET, after=Conditions(clock_mhz=end), start_mhz=1800))[0] == "fine"


def test_what_the_machine_does_not_say_is_no_reason() -> None:
    assert verdict(Course(Conditions(), Conditions())) == ("fine", "")
    once = Course(Conditions(throttling=Throttling(("throttled",), ())), Conditions())
    assert verdict(once)[0] == "throttled"  # though it could not be read again


@pytest.mark.parametrize(
    ("load", "cores", "threads", "expected"),
    [
        (3.5, 4, 1, "fine"), (3.6, 4, 1, "noisy"), (0.5, 4, 4, "fine"), (0.6, 4, 4, "noisy"), (0.4, 1, 1, "fine"),
        (None, 4, 1, "fine"), (9.0, None, 1, "fine"),
    ],
)  # fmt: skip
def test_a_core_must_be_free_for_each_thread(
    load: float | None, cores: int | None, threads: int, expected: str
) -> None:
    course = Course(Conditions(load_1m=load), Conditions(), cores=cores)
    found, said = verdict(course, threads=threads)
    assert found == expected and ("in the minute before" in said) is (expected == "noisy")


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        ([9.0, 10.0, 11.0] * 10, "the MAD is 10.0% of the median; more than 6.7% is noise"),
        ([10.0, 10.0, 10.0, 10.0, 16.0] * 6, "p90 is 60% above the median; more than 50% is noise"),
        (np.linspace(10, 12, 30).tolist(), "the last third's median is +13.4% off the first third's"),
        (np.linspace(12, 10, 30).tolist(), "the last third's median is -11.8% off the first third's"),
        ([10.0] * 9, "9 samples; fewer than 10 say nothing about the spread"),
    ],
)
def test_scattered_drifting_or_few_samples_are_noisy(samples: list[float], reason: str) -> None:
    found, said = verdict(QUIET, Series("lite0, 1 thread", samples))
    assert found == "noisy" and f"lite0, 1 thread: {reason}" in said


@pytest.mark.parametrize(
    "samples",
    [
        [9.4, 10.0, 10.6] * 10,  # a MAD of 6 %
        np.linspace(10, 11, 30).tolist(),  # a drift of 6.9 %
        [*[10.0] * 29, 1000.0],  # one hiccup
    ],
)
def test_samples_within_the_limits_are_fine(samples: list[float]) -> None:
    assert verdict(QUIET, Series("m", samples)) == ("fine", "")


def test_chance_is_rarely_called_drift() -> None:
    """Steady samples of 12 % scatter are noisy by their MAD; the thirds of so few differ by chance."""
    generator = np.random.default_rng(0)
    calls = [judge([Series("m", generator.normal(10, 1.2, 12).tolist())], QUIET, 1)["reasons"] for _ in range(200)]
    assert sum("third" in reason for reasons in calls for reason in reasons) <= 4


def test_two_models_far_apart_are_fine_as_they_are_never_pooled() -> None:
    fast, slow = Series("fast", [1.0, 1.01] * 20), Series("slow", [9.0, 9.05] * 20)
    found = judge([fast, slow], QUIET, 1)
    assert found["verdict"] == "fine" and [entry["of"] for entry in found["measures"]] == ["fast", "slow"]
    assert judge([Series("pooled", [*fast.samples, *slow.samples])], QUIET, 1)["verdict"] == "noisy"


def test_measures_are_worked_out_by_hand() -> None:
    # Sorted 1 2 3 4 9: the median is 3, the deviations 2 1 0 1 6; at nine tenths of the way 7.
    samples = [9.0, 1.0, 4.0, 2.0, 3.0]
    assert mad(samples) == 1.0 and tail(samples) == pytest.approx(4 / 3)
    assert drift([2.0, 2.0, 5.0, 5.0, 3.0, 3.0]) == pytest.approx(0.5) and drift([1.0, 2.0]) == 0.0
    assert 0.0674 < stability.MAD_LIMIT < 0.0675


def test_warming_up_ends_with_three_steady_runs() -> None:
    samples = [10.0, 10.1, 9.9] * 10
    assert steady_after(Series("m", samples, [30.0, 20.0, 10.0, 15.0, 10.0, 10.0, 10.0])) == 4
    assert steady_after(Series("m", samples, [30.0])) == 1
    assert steady_after(Series("m", samples)) == 0
    assert steady_after(Series("m", [10.0, 10.0])) is None  # too short to tell


def test_a_warm_up_that_ends_within_the_samples_is_noisy() -> None:
    late = Series("m", [20.0, 20.0, *[10.0] * 40], [30.0])
    assert verdict(QUIET, late) == ("noisy", "m: steady after 3 runs, and 1 ran before the clock; raise --warmup")
    assert verdict(QUIET, dataclasses.replace(late, warmup=[30.0, 20.0, 20.0], samples=[10.0] * 40))[0] == "fine"


def test_throttled_goes_before_noisy_and_keeps_its_reasons() -> None:
    hot = Course(Conditions(load_1m=9.0), Conditions(temperature_c=85.0), limit_c=80.0, cores=4)
    found, said = verdict(hot)
    assert found == "throttled" and "85.0 C" in said and "load 9.00" in said

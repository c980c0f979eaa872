"""What a record says of its machine: read where the system says it, null where it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.system import board
from edge.system.conditions import Conditions, conditions, ended, facts
from edge.system.machine import Machine
from tests.edge.machines import PI4, fake

A72 = "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd08\n"


def test_a_raspberry_pi_is_told_before_and_after(tmp_path: Path) -> None:
    machine = fake(tmp_path, PI4 | {"proc/sys/kernel/osrelease": "6.6.51+rpt-rpi-v8\n"})
    before = conditions(machine)
    changed = {
        "sys/class/thermal/thermal_zone0/temp": "61250\n",
        "proc/loadavg": "1.10 0.10 0.05 1/150 999\n",
        "sys/devices/platform/soc/soc:firmware/get_throttled": "50000\n",
        "sys/devices/system/cpu/cpu2/cpufreq/scaling_cur_freq": "1800000\n",
    }
    course = ended(fake(tmp_path, changed), before)
    assert facts(machine, course) == {
        "board": "Raspberry Pi 4 Model B Rev 1.4",
        "cpu": None,  # this /proc/cpuinfo gives no part
        "features": {"NEON": True, "dot product": False, "i8mm": False, "SVE": False},
        "kernel": "6.6.51+rpt-rpi-v8",
        "governor": "ondemand",
        "clock_mhz": 1800,
        "clock_max_mhz": 1800,
        "temperature_before_c": 48.686,
        "temperature_after_c": 61.25,
        "throttled": {"now": [], "since_boot": ["under-voltage", "throttled"]},
        "load_1m": 0.25,
        "memory_mb": 3977.5,
        "memory_available_mb": 3221.2,
    }


def test_a_bare_container_says_nothing_and_nothing_is_invented(tmp_path: Path) -> None:
    machine = fake(tmp_path, {})
    found = facts(machine, ended(machine, conditions(machine)))
    assert set(found.values()) == {None} and len(found) == 13


def test_a_flag_of_either_end_is_kept(tmp_path: Path) -> None:
    name = "sys/devices/platform/soc/soc:firmware/get_throttled"
    before = conditions(fake(tmp_path, {name: "4\n"}))
    course = ended(fake(tmp_path, {name: "40001\n"}), before)
    assert facts(fake(tmp_path, {}), course)["throttled"] == {
        "now": ["throttled", "under-voltage"], "since_boot": ["throttled"],
    }  # fmt: skip
    assert facts(fake(tmp_path, {}), ended(fake(tmp_path, {}), Conditions()))["throttled"] is not None


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (A72 * 4, "Cortex-A72"),
        (A72.replace("d08", "d05") * 4 + A72.replace("d08", "d0b") * 4, "Cortex-A55 + Cortex-A76"),
        (A72 + A72.replace("d08", "fff"), None),
        (A72.replace("0x41", "0x61"), None),  # another maker's numbers mean other cores
        ("model name\t: Some CPU @ 2 GHz\n", "Some CPU @ 2 GHz"),
        ("", None),
    ],
)
def test_cores_are_named_by_arms_numbers(tmp_path: Path, text: str, name: str | None) -> None:
    assert board.processor(fake(tmp_path, {"proc/cpuinfo": text})) == name


def test_resident_memory_is_read_in_kibibytes(tmp_path: Path) -> None:
    files = {"proc/self/status": "Name:\tpython\nVmPeak:\t 9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"}
    assert board.resident(fake(tmp_path, files)) == (1 << 20, 2 << 20)
    assert board.resident(fake(tmp_path / "none", {})) == (None, None)


def test_this_process_takes_memory() -> None:
    now, most = board.resident(Machine())
    assert now is not None and most is not None and most >= now > 10e6

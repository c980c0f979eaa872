"""How fast the processor runs just now, and what holds it back: governor, clock, temperature, the Pi's throttling.

Sources: Documentation/admin-guide/pm/cpufreq.rst; Documentation/driver-api/thermal/sysfs-api.rst (zones,
passive trip points); Raspberry Pi documentation, "vcgencmd", get_throttled (the bits), and "frequency management and
thermal control" (80 degrees).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from edge.system.machine import Machine

_CPUFREQ = "sys/devices/system/cpu/cpu[0-9]*/cpufreq"
_ZONES = "sys/class/thermal/thermal_zone*"
_FIRMWARE = "sys/devices/platform/soc*/soc*:firmware/get_throttled"
_CPU_ZONE = re.compile(r"cpu|soc|x86_pkg|k10temp", re.IGNORECASE)
PI_LIMIT_C = 80.0  # a Raspberry Pi's firmware lowers the clock from here on
_SANE_MILLIDEGREES = (-50_000, 200_000)  # a sensor that is switched off says -274 degrees or 0xFFFF
THROTTLE_BITS = (
    (0, 16, "under-voltage"),
    (1, 17, "frequency capped"),
    (2, 18, "throttled"),
    (3, 19, "soft temperature limit"),
)  # bit for now, bit for since the last boot, meaning


@dataclass(frozen=True)
class Throttling:
    """What the Raspberry Pi's firmware says.

    Attributes:
        now: what holds the processor back at this moment.
        since_boot: what did so at any time since the last boot.
    """

    now: tuple[str, ...]
    since_boot: tuple[str, ...]


def governors(machine: Machine) -> tuple[str, ...]:
    """Return the cores' frequency governors, each name once; () where the kernel shows none."""
    found = (machine.text(f"{folder}/scaling_governor") for folder in machine.names(_CPUFREQ))
    return tuple(dict.fromkeys(name for name in found if name is not None))


def clock_mhz(machine: Machine) -> tuple[int, int] | None:
    """Return the fastest core's frequency now and the highest that it can reach, in MHz."""
    now, most = [], []
    for folder in machine.names(_CPUFREQ):
        current = machine.number(f"{folder}/scaling_cur_freq") or machine.number(f"{folder}/cpuinfo_cur_freq")
        highest = machine.number(f"{folder}/cpuinfo_max_freq")
        if current is not None and highest is not None:
            now.append(current)
            most.append(highest)
    return (round(max(now) / 1000), round(max(most) / 1000)) if now else None


def temperature_c(machine: Machine) -> float | None:
    """Return the hottest sensor's temperature in degrees Celsius: the processor's, where one says that it is."""
    all_zones, of_cpu = [], []
    for zone in machine.names(_ZONES):
        value = machine.number(f"{zone}/temp")
        if value is None or not _SANE_MILLIDEGREES[0] < value < _SANE_MILLIDEGREES[1]:
            continue
        all_zones.append(value / 1000)
        if _CPU_ZONE.search(machine.text(f"{zone}/type") or ""):
            of_cpu.append(value / 1000)
    return max(of_cpu or all_zones, default=None)


def passive_trip_c(machine: Machine) -> float | None:
    """Return the temperature from which on the kernel cools a processor by slowing it down; None where it has none."""
    found = []
    for zone in machine.names(_ZONES):
        if not _CPU_ZONE.search(machine.text(f"{zone}/type") or ""):
            continue
        for kind in machine.names(f"{zone}/trip_point_*_type"):
            value = machine.number(f"{kind.removesuffix('_type')}_temp")
            if machine.text(kind) == "passive" and value is not None and 0 < value < _SANE_MILLIDEGREES[1]:
                found.append(value / 1000)
    return min(found, default=None)


def throttling(machine: Machine) -> Throttling | None:
    """Return what the Pi's firmware says, from the kernel's file or else vcgencmd; None on other machines."""
    for name in machine.names(_FIRMWARE):
        text = machine.text(name) or ""
        if re.fullmatch(r"(0x)?[0-9a-fA-F]+", text):
            return decode_throttled(int(text, 16))
    done = machine.run(("vcgencmd", "get_throttled"))
    found = re.fullmatch(r"throttled=0x([0-9a-fA-F]+)\s*", done.stdout) if done is not None else None
    return decode_throttled(int(found[1], 16)) if found else None


def decode_throttled(value: int) -> Throttling:
    """Return the meaning of get_throttled's number."""
    return Throttling(
        now=tuple(meaning for bit, _, meaning in THROTTLE_BITS if value >> bit & 1),
        since_boot=tuple(meaning for _, bit, meaning in THROTTLE_BITS if value >> bit & 1),
    )

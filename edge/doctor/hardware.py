"""Checks of the machine: board, system, processor, memory, what slows it down, cameras."""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any

from edge.doctor.check import Check, mib
from edge.system import board, cameras, speed
from edge.system.machine import Machine

LOW_MEMORY_BYTES = 256 << 20  # `fer-edge image` takes 110 MB (x86-64); below this the system soon swaps
SLOW_GOVERNORS = frozenset({"powersave", "ondemand", "conservative"})


def machine(where: Machine) -> Check:
    """Which board or processor this is."""
    name = board.board(where)
    pi = board.raspberry_pi(name)
    model = name or board.processor(where)
    count = board.cores(where)
    facts = {
        "board": name, "raspberry_pi": pi, "processor": board.processor(where), "arch": where.arch,
        "cores": count, "usable_cores": where.usable_cores,
    }  # fmt: skip
    cores = f"{count or 'an unknown number of'} cores"
    if count is not None and where.usable_cores is not None and where.usable_cores < count:
        cores += f", {where.usable_cores} of them for this process"
    return Check(
        "machine", "ok" if model else "unknown", f"{model or 'unknown board'}, {where.arch}, {cores}", facts=facts
    )


def system(where: Machine) -> Check:
    """Which system, and whether programs are 32-bit on a 64-bit processor."""
    name = board.os_release(where)
    facts = {"os": name, "bits": where.bits, "arch": where.arch}
    detail = f"{name or 'unknown system'}, {where.bits}-bit"
    if where.bits == 32 and where.arch in ("aarch64", "x86_64"):
        return Check(
            "system",
            "warn",
            f"{detail} over a 64-bit kernel",
            "install the 64-bit system: LiteRT has no wheel for 32-bit",
            facts,
        )
    return Check("system", "ok" if name else "unknown", detail, facts=facts)


def python(where: Machine) -> Check:
    """Which Python, and whether wheels exist for it."""
    version = platform.python_version()
    facts = {"version": version, "bits": where.bits}
    if where.bits == 32:
        advice = "on 32-bit only tflite-runtime serves, with NumPy below 2: see docs/raspberry-pi.md"
        return Check("python", "warn", f"{version}, 32-bit", advice, facts)
    return Check("python", "ok", f"{version}, {where.bits}-bit", facts=facts)


def cpu(where: Machine) -> Check:
    """Which instructions for int8 the processor has."""
    found = board.cpu_features(where)
    if found is None:
        return Check("cpu", "unknown", "the kernel does not list the processor's features", facts={"features": None})
    facts = {"features": found}
    present = ", ".join(name for name, there in found.items() if there)
    missing = ", ".join(name for name, there in found.items() if not there)
    if not present:
        return Check("cpu", "warn", f"none of {missing}", "expect slow inference: XNNPACK needs one of them", facts)
    if found.get("NEON") and not found["dot product"]:
        missing += " (int8 gains less over float than on processors with the dot product)"
    return Check("cpu", "ok", present + (f"; without {missing}" if missing else ""), facts=facts)


def memory(where: Machine) -> Check:
    """How much memory there is."""
    found = board.memory(where)
    facts = {"total_bytes": found.total, "available_bytes": found.available, "limit_bytes": found.limit}
    if found.available is None and found.limit is None:
        return Check("memory", "unknown", "the system does not say", facts=facts)
    detail = f"{mib(found.available)} available of {mib(found.total)}"
    if found.limit is not None:
        detail += f", limited to {mib(found.limit)} by the control group"
    usable = min(value for value in (found.available, found.limit) if value is not None)
    if usable < LOW_MEMORY_BYTES:
        return Check("memory", "warn", detail, "end other programs, or add swap", facts)
    return Check("memory", "ok", detail, facts=facts)


def load(where: Machine) -> Check:
    """Whether other programs keep the processor busy."""
    value, cores = board.load(where), where.usable_cores
    facts = {"load_1min": value}
    if value is None:
        return Check("load", "unknown", "the system does not say", facts=facts)
    detail = f"{value:.2f} in the last minute"
    if cores is not None and value >= cores:
        return Check("load", "warn", f"{detail} on {cores} cores", "wait or end other programs: timings suffer", facts)
    return Check("load", "ok", detail, facts=facts)


def governor(where: Machine) -> Check:
    """Whether the clock follows the load, which blurs benchmarks."""
    found = speed.governors(where)
    facts = {"governors": list(found)}
    if not found:
        return Check("governor", "unknown", "the kernel shows no frequency control", facts=facts)
    slow = sorted(SLOW_GOVERNORS & set(found))
    if slow:
        advice = (
            "fine in use; before a benchmark: "
            "echo performance | sudo tee /sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
        )
        return Check("governor", "warn", ", ".join(found), advice, facts)
    return Check("governor", "ok", ", ".join(found), facts=facts)


def clock(where: Machine) -> Check:
    """The clock now and at most."""
    found = speed.clock_mhz(where)
    if found is None:
        return Check("clock", "unknown", "the kernel does not say", facts={"now_mhz": None, "max_mhz": None})
    now, most = found
    return Check("clock", "ok", f"{now} of {most} MHz now", facts={"now_mhz": now, "max_mhz": most})


def temperature(where: Machine) -> Check:
    """Whether the processor is hot."""
    value = speed.temperature_c(where)
    facts = {"temperature_c": value}
    if value is None:
        return Check("temperature", "unknown", "no sensor", facts=facts)
    if value >= speed.PI_LIMIT_C:
        advice = f"cool it (heat sink, fan): a Raspberry Pi lowers its clock from {speed.PI_LIMIT_C:.0f} C on"
        return Check("temperature", "warn", f"{value:.1f} C", advice, facts)
    return Check("temperature", "ok", f"{value:.1f} C", facts=facts)


def throttling(where: Machine) -> Check:
    """Whether a Raspberry Pi holds its clock back."""
    found = speed.throttling(where)
    if found is None:
        detail = "no word from a Raspberry Pi's firmware"
        return Check("throttling", "unknown", detail, facts={"now": None, "since_boot": None})
    facts = {"now": list(found.now), "since_boot": list(found.since_boot)}
    if not found.now and not found.since_boot:
        return Check("throttling", "ok", "none since the last boot", facts=facts)
    detail = f"now: {', '.join(found.now) or 'none'}; since boot: {', '.join(found.since_boot) or 'none'}"
    meanings = {*found.now, *found.since_boot}
    advice = "use the board's own power supply and a short cable" if "under-voltage" in meanings else "cool it"
    return Check("throttling", "warn", detail, f"{advice}; benchmarks of this boot do not count", facts)


def camera(where: Machine) -> Check:
    """Which cameras there are, and whether they can be opened."""
    found = cameras.cameras(where)
    sources = [entry for entry in found if entry.captures is not False and not entry.pipeline]
    is_pi = board.raspberry_pi(board.board(where)) is not None
    facts: dict[str, Any] = {
        "devices": [
            {"device": entry.device, "name": entry.name, "captures": entry.captures, "permitted": entry.permitted}
            for entry in sources
        ],
        "picamera2_problem": cameras.picamera2_problem(where) if is_pi else None,
    }
    detail = ", ".join(f"{entry.device} ({entry.name or 'no name'})" for entry in sources) or "no webcam"
    forbidden = [entry.device for entry in sources if not entry.permitted]
    if forbidden:
        advice = "sudo usermod -aG video $USER, then log in again"
        return Check("camera", "warn", f"{detail}; {', '.join(forbidden)} may not be opened", advice, facts)
    problem = facts["picamera2_problem"]
    if not is_pi:
        return Check("camera", "ok", detail, facts=facts)
    if problem is None:
        advice = "" if sources else "the Pi's own camera: rpicam-hello --list-cameras"
        return Check("camera", "ok", f"{detail}; picamera2 is there", advice, facts)
    return Check(
        "camera",
        "ok" if sources else "warn",
        f"{detail}; no picamera2 ({problem})",
        _picamera2_advice(problem),
        facts,
    )


def _picamera2_advice(problem: str) -> str:
    if "No module named" in problem:
        return (
            "for the Pi's own camera: sudo apt install python3-picamera2, and make the venv with --system-site-packages"
        )
    if "size changed" in problem:  # apt's picamera2 is built against the NumPy 1 of Bookworm
        return "its NumPy is another one: pip install 'numpy<2' 'opencv-python-headless<4.12'"
    return "try it alone: python -c 'import picamera2'"


HARDWARE: tuple[tuple[str, Callable[[Machine], Check]], ...] = (
    ("machine", machine),
    ("system", system),
    ("python", python),
    ("cpu", cpu),
    ("memory", memory),
    ("load", load),
    ("governor", governor),
    ("clock", clock),
    ("temperature", temperature),
    ("throttling", throttling),
    ("camera", camera),
)

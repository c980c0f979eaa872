"""Where a figure was measured: the setting that keeps figures apart, the machine's facts, and whether to trust the run.

Facts and verdict are optional: older records, and machines that do not say, lack them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.fields import Fields
from edge.benchmarking.stability import FINE, VERDICTS
from edge.wording import counted

LOWEST_C = -60.0
"""Degrees Celsius below which a reading is no processor's temperature."""


@dataclass(frozen=True, order=True)
class Setting:
    """Where and with what a figure was measured; figures of two settings never share a row.

    Attributes:
        machine: model, cores, architecture, system (short) and Python, as shown.
        runtime: name and version of the interpreter, as shown.
        system: the operating system in full, which is compared but not shown.
    """

    machine: str
    runtime: str
    system: str


@dataclass(frozen=True)
class Stability:
    """What the benchmark says of its own run: fine, noisy or throttled, and why."""

    verdict: str
    reasons: tuple[str, ...]

    @property
    def mark(self) -> str:
        """Return what stands beside a figure of this run: nothing where it is fine."""
        return "" if self.verdict == FINE else f" ({self.verdict})"


@dataclass(frozen=True)
class Facts:
    """One record's machine at the time of its run; None where the record does not say.

    Attributes:
        model: the board, or the processor where the board has no name; `cpu` always the processor.
        features: names of instruction sets that the processor has, of those looked for.
        clock_mhz: of the fastest core after the run.
        temperature_before_c: of the processor, degrees Celsius; `temperature_after_c` after the run.
        throttled: what the firmware said during the run; empty: nothing.
        since_boot: what it said at any time since the last start.
        load_1m: load average of the minute before.
    """

    path: Path
    kind: str
    created: str
    setting: Setting
    model: str
    arch: str
    cores: int
    system: str
    python: str
    board: str | None
    cpu: str | None
    features: tuple[str, ...] | None
    kernel: str | None
    memory_mb: float | None
    governor: str | None
    clock_mhz: float | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    throttled: tuple[str, ...] | None
    since_boot: tuple[str, ...]
    load_1m: float | None
    stability: Stability | None


def machine_text(machine: Mapping[str, Any]) -> str:
    """Return the machine block of a record as text: model, cores and architecture."""
    return f"{machine['model']}, {counted(machine['cores'], 'core')}, {machine['arch']}"


def setting_of(record: Fields) -> Setting:
    """Return the setting of a record."""
    machine, runtime = record.block("machine"), record.block("runtime")
    named = {"model": machine.text("model"), "cores": machine.whole("cores"), "arch": machine.text("arch")}
    system = machine.text("os")
    short = " ".join(system.split("-")[:2])  # Linux-6.1.21-v8+-aarch64-with-glibc2.36 -> Linux 6.1.21
    return Setting(
        machine=f"{machine_text(named)}, {short}, Python {machine.text('python')}",
        runtime=f"{runtime.text('name')} {runtime.text('version')}",
        system=system,
    )


def stability_of(record: Fields) -> Stability | None:
    """Return the record's verdict on its own run; None where it has none.

    Raises:
        DataError: the verdict is none of the three.
    """
    block = record.maybe_block("stability")
    if block is None:
        return None
    verdict = block.text("verdict")
    if verdict not in VERDICTS:
        raise block.fail("verdict", f"one of {', '.join(VERDICTS)}")
    return Stability(verdict, block.texts("reasons"))


def facts_of(record: Fields) -> Facts:
    """Return what a record says about its machine."""
    machine = record.block("machine")
    flags = machine.maybe_block("throttled")
    return Facts(
        path=record.path,
        kind=record.text("kind"),
        created=record.text("created"),
        setting=setting_of(record),
        model=machine.text("model"),
        arch=machine.text("arch"),
        cores=machine.whole("cores"),
        system=machine.text("os"),
        python=machine.text("python"),
        board=machine.maybe_text("board"),
        cpu=machine.maybe_text("cpu"),
        features=_features(machine),
        kernel=machine.maybe_text("kernel"),
        memory_mb=machine.maybe_number("memory_mb"),
        governor=machine.maybe_text("governor"),
        clock_mhz=machine.maybe_number("clock_mhz"),
        temperature_before_c=machine.maybe_number("temperature_before_c", low=LOWEST_C),
        temperature_after_c=machine.maybe_number("temperature_after_c", low=LOWEST_C),
        throttled=flags.texts("now") if flags else None,
        since_boot=flags.texts("since_boot") if flags else (),
        load_1m=machine.maybe_number("load_1m"),
        stability=stability_of(record),
    )


def _features(machine: Fields) -> tuple[str, ...] | None:
    block = machine.maybe_block("features")
    if block is None:
        return None
    for name, has in block.values.items():
        if not isinstance(has, bool):
            raise block.fail(name, "true or false")
    return tuple(name for name, has in block.values.items() if has)

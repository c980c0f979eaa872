"""Which board and system this is: device tree, os-release, kernel, processor, memory, load.

Sources: devicetree.org ("model" of the root node); os-release(5); proc(5); Documentation/arch/arm64/elf_hwcaps.rst
(asimd, asimddp, i8mm) and arch/x86/include/asm/cpufeatures.h; Documentation/admin-guide/cgroup-v2.rst; util-linux,
sys-utils/lscpu-arm.c (the numbers of ARM's cores).
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from edge.system.machine import Machine

# What XNNPACK's int8 kernels look for: our name, and the kernel's flags of which one suffices.
ARM_FEATURES = (
    ("NEON", ("asimd", "neon")),
    ("dot product", ("asimddp",)),
    ("i8mm", ("i8mm",)),
    ("SVE", ("sve",)),
)
X86_FEATURES = (
    ("AVX2", ("avx2",)),
    ("AVX-512", ("avx512f",)),
    ("VNNI", ("avx512_vnni", "avx_vnni")),
    ("AMX int8", ("amx_int8",)),
)
_ARM = "0x41"  # ARM's own number among the "CPU implementer"s
ARM_CORES = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77", "0xd40": "Neoverse-V1", "0xd41": "Cortex-A78",
    "0xd49": "Neoverse-N2",
}  # fmt: skip
_NO_LIMIT_BYTES = 1 << 60  # cgroup 1 writes a number near 2^63 for "no limit"


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes; None where the system does not say.

    Attributes:
        total: of the machine.
        available: what a new program may take without swapping.
        limit: of this process's control group (a container's or a service's).
    """

    total: int | None
    available: int | None
    limit: int | None


def board(machine: Machine) -> str | None:
    """Return the board's name from the device tree ("Raspberry Pi 4 Model B Rev 1.4")."""
    return machine.text("proc/device-tree/model") or machine.text("sys/firmware/devicetree/base/model")


def raspberry_pi(name: str | None) -> str | None:
    """Return a Raspberry Pi's model ("4 Model B", "5", "Zero 2 W") from the board's name; None for other boards."""
    found = re.fullmatch(r"Raspberry Pi (.+?)(?: Rev [\d.]+)?", name or "")
    return found[1] if found else None


def processor(machine: Machine) -> str | None:
    """Return the processor's name from /proc/cpuinfo; ARM kernels give numbers, of which those of known cores count."""
    name = _cpuinfo(machine).get("model name")
    return name if name is not None else _arm_cores(machine)


def cores(machine: Machine) -> int | None:
    """Return the number of processors in /proc/cpuinfo."""
    text = machine.text("proc/cpuinfo") or ""
    return len(re.findall(r"^processor\s*:", text, re.MULTILINE)) or None


def cpu_features(machine: Machine) -> dict[str, bool] | None:
    """Return which of the features that int8 kernels use the processor has, by name; None where it is not said."""
    info = _cpuinfo(machine)
    table, text = (X86_FEATURES, info.get("flags")) if "flags" in info else (ARM_FEATURES, info.get("features"))
    if text is None:
        return None
    flags = set(text.split())
    return {name: any(flag in flags for flag in wanted) for name, wanted in table}


def kernel(machine: Machine) -> str | None:
    """Return the kernel's release ("6.6.51+rpt-rpi-v8")."""
    return machine.text("proc/sys/kernel/osrelease")


def os_release(machine: Machine) -> str | None:
    """Return the system's name and version ("Debian GNU/Linux 12 (bookworm)")."""
    for line in (machine.text("etc/os-release") or machine.text("usr/lib/os-release") or "").splitlines():
        name, _, value = line.partition("=")
        if name == "PRETTY_NAME":
            try:
                return " ".join(shlex.split(value)) or None
            except ValueError:  # an unclosed quotation mark
                return None
    return None


def memory(machine: Machine) -> Memory:
    """Return the machine's memory and this process's limit."""
    found = dict(re.findall(r"^(\w+):\s*(\d+) kB$", machine.text("proc/meminfo") or "", re.MULTILINE))
    total, available = (int(found[name]) * 1024 if name in found else None for name in ("MemTotal", "MemAvailable"))
    return Memory(total, available, _memory_limit(machine))


def resident(machine: Machine) -> tuple[int | None, int | None]:
    """Return this process's resident memory now and its highest so far, in bytes; None where it is not said."""
    found = dict(re.findall(r"^(Vm\w+):\s*(\d+) kB$", machine.text("proc/self/status") or "", re.MULTILINE))
    now, most = (int(found[name]) * 1024 if name in found else None for name in ("VmRSS", "VmHWM"))
    return now, most


def load(machine: Machine) -> float | None:
    """Return the load average of the last minute: how many processes wanted to run."""
    first = (machine.text("proc/loadavg") or "").split(" ")[0]
    return float(first) if re.fullmatch(r"\d+\.\d+", first) else None


def _arm_cores(machine: Machine) -> str | None:
    """Return the kinds of core ("Cortex-A72", "Cortex-A55 + Cortex-A76"); None where one is unknown."""
    text = machine.text("proc/cpuinfo") or ""
    makers = re.findall(r"^CPU implementer\s*: (\S+)$", text, re.MULTILINE)
    parts = re.findall(r"^CPU part\s*: (\S+)$", text, re.MULTILINE)
    kinds = [ARM_CORES.get(part) if maker == _ARM else None for maker, part in zip(makers, parts, strict=False)]
    named = [kind for kind in dict.fromkeys(kinds) if kind is not None]
    return None if not kinds or None in kinds else " + ".join(named)


def _cpuinfo(machine: Machine) -> dict[str, str]:
    """Return the first processor's fields, names in lower case."""
    fields: dict[str, str] = {}
    for line in (machine.text("proc/cpuinfo") or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    return fields


def _memory_limit(machine: Machine) -> int | None:
    """Return the smallest limit on the way from this process's control group up to the root group."""
    limits = []
    for line in (machine.text("proc/self/cgroup") or "").splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if hierarchy == "0":
            base, file = "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            base, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in group.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            limit = machine.number("/".join((base, *parts[:depth], file)))  # "max" is no number: no limit
            if limit is not None and limit < _NO_LIMIT_BYTES:
                limits.append(limit)
    return min(limits, default=None)

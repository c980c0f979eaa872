"""The facts of the two boards and of the two Debian suites that Raspberry Pi OS is made of, as tables.

``/proc/cpuinfo`` and ``/sys/devices/system/cpu`` are what the runtime reads to choose its kernels: under emulation it
would find the host's, so ``benchmarks.arm.home`` lays the board's own there.

Source: Arm's technical reference manuals of Cortex-A72 and Cortex-A76 (part numbers, features); Broadcom BCM2711 and
BCM2712 (caches, clocks); Raspberry Pi documentation, "Revision codes".
"""

from __future__ import annotations

from dataclasses import dataclass

CORES = 4


@dataclass(frozen=True)
class Cache:
    """Sizes of the simulated data caches, 64 bytes a line, least recently used out first, nothing fetched ahead.

    Attributes:
        l1_kib: first level, KiB; ``l1_ways`` its ways.
        l2_kib: second level, KiB; ``l2_ways`` its ways. A Pi 4's four cores share it, and memory comes next; a Pi 5's
            core has it alone, and a third level of 2 MiB, which is not simulated, comes next.
    """

    l1_kib: int
    l1_ways: int
    l2_kib: int
    l2_ways: int


@dataclass(frozen=True)
class Board:
    """One board.

    Attributes:
        title: as the board calls itself.
        core: the emulator's name of its core.
        features: the line ``Features`` of its ``/proc/cpuinfo``.
        variant: of the core; ``part`` and ``revision`` likewise.
        clock_khz: (least, greatest).
        code: the board's revision code.
        cache: what misses are counted on.
    """

    title: str
    core: str
    features: str
    variant: str
    part: str
    revision: int
    clock_khz: tuple[int, int]
    code: str
    cache: Cache

    def cpuinfo(self) -> str:
        """Return the text of ``/proc/cpuinfo``."""
        core = (
            f"BogoMIPS\t: 108.00\nFeatures\t: {self.features}\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
            f"CPU variant\t: {self.variant}\nCPU part\t: {self.part}\nCPU revision\t: {self.revision}\n\n"
        )
        cores = "".join(f"processor\t: {number}\n{core}" for number in range(CORES))
        return f"{cores}Revision\t: {self.code}\nModel\t\t: {self.title}\n"

    def sysfs(self) -> dict[str, str]:
        """Return the files below ``/sys/devices/system/cpu`` by name."""
        everyone = f"0-{CORES - 1}"
        files = {"possible": everyone, "present": everyone, "online": everyone, "kernel_max": "31"}
        for number in range(CORES):
            files |= {
                f"cpu{number}/cpufreq/cpuinfo_min_freq": str(self.clock_khz[0]),
                f"cpu{number}/cpufreq/cpuinfo_max_freq": str(self.clock_khz[1]),
                f"cpu{number}/topology/physical_package_id": "0",
                f"cpu{number}/topology/core_id": str(number),
                f"cpu{number}/topology/core_siblings": f"{(1 << CORES) - 1:x}",
                f"cpu{number}/topology/core_siblings_list": everyone,
                f"cpu{number}/topology/package_cpus_list": everyone,
                f"cpu{number}/topology/cluster_cpus_list": everyone,
                f"cpu{number}/topology/thread_siblings": f"{1 << number:x}",
                f"cpu{number}/topology/thread_siblings_list": str(number),
            }
        return {name: text + "\n" for name, text in files.items()}


BOARDS = {
    "pi4": Board(
        "Raspberry Pi 4 Model B Rev 1.4", "cortex-a72", "fp asimd evtstrm crc32 cpuid",
        "0x0", "0xd08", 3, (600_000, 1_800_000), "c03114", Cache(32, 2, 1024, 16),
    ),
    "pi5": Board(
        "Raspberry Pi 5 Model B Rev 1.0", "cortex-a76",
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
        "0x4", "0xd0b", 1, (1_500_000, 2_400_000), "d04170", Cache(64, 4, 512, 8),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Suite:
    """One Debian suite: its Python, and the minor version of its glibc 2 (which wheels pip takes there)."""

    python: str
    glibc_minor: int

    def platforms(self) -> list[str]:
        """Return the platform tags of wheels that pip takes on arm64, newest first."""
        tags = [f"manylinux_2_{minor}_aarch64" for minor in range(self.glibc_minor, 16, -1)]
        return [*tags, "manylinux2014_aarch64"]


SUITES = {"bookworm": Suite("3.11", 36), "trixie": Suite("3.13", 41)}

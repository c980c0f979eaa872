"""Machines made of files: a calm Raspberry Pi 4, a hot Raspberry Pi 5, and a way to fake any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from edge.system.machine import Machine, Outcome

CORE = "processor\t: {}\nBogoMIPS\t: 108.00\nFeatures\t: {}\nCPU implementer\t: 0x41\n\n"
PI4_FEATURES = "fp asimd evtstrm crc32 cpuid"
PI5_FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
BOOKWORM = 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\n'
PI4: dict[str, str] = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/cpuinfo": "".join(CORE.format(i, PI4_FEATURES) for i in range(4))
    + "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n",
    "proc/meminfo": "MemTotal:        3884304 kB\nMemFree:          1000 kB\nMemAvailable:    3145728 kB\n",
    "proc/loadavg": "0.25 0.10 0.05 1/150 999\n",
    "proc/self/cgroup": "0::/user.slice/session-1.scope\n",
    "sys/fs/cgroup/user.slice/memory.max": "max\n",
    "etc/os-release": BOOKWORM,
    **{f"sys/devices/system/cpu/cpu{i}/cpufreq/scaling_governor": "ondemand\n" for i in range(4)},
    **{f"sys/devices/system/cpu/cpu{i}/cpufreq/scaling_cur_freq": "600000\n" for i in range(4)},
    **{f"sys/devices/system/cpu/cpu{i}/cpufreq/cpuinfo_max_freq": "1800000\n" for i in range(4)},
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "48686\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
    "dev/video0": "",
    "dev/video1": "",
    "dev/video10": "",
    "sys/class/video4linux/video0/name": "HD Webcam: HD Webcam\n",
    "sys/class/video4linux/video0/index": "0\n",
    "sys/class/video4linux/video1/name": "HD Webcam: HD Webcam\n",
    "sys/class/video4linux/video1/index": "1\n",
    "sys/class/video4linux/video10/name": "bcm2835-codec-decode\n",
    "sys/class/video4linux/video10/index": "0\n",
}
PI5: dict[str, str] = {
    **{name: text for name, text in PI4.items() if "video" not in name and "firmware" not in name},
    "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "proc/cpuinfo": "".join(CORE.format(i, PI5_FEATURES) for i in range(4)),
    **{f"sys/devices/system/cpu/cpu{i}/cpufreq/scaling_governor": "performance\n" for i in range(4)},
    "sys/class/thermal/thermal_zone0/temp": "85100\n",
}


def silent(command: Sequence[str]) -> Outcome | None:
    """A machine without tools."""
    return None


def tools(**outcomes: Outcome) -> Callable[[Sequence[str]], Outcome | None]:
    """A machine with these tools; `python` stands for this Python."""
    return lambda command: outcomes.get("python" if "python" in Path(command[0]).name else command[0])


def fake(
    root: Path,
    files: Mapping[str, str],
    run: Callable[[Sequence[str]], Outcome | None] = silent,
    arch: str = "aarch64",
    bits: int = 64,
    usable_cores: int | None = 4,
) -> Machine:
    """A machine with these files below a root of its own."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Machine(root, arch, bits, usable_cores, run)

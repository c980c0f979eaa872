"""The folder that holds the emulated machines: made once, re-used by every run.

    HOME/root-SUITE-…           arm64 Debian with Python, from the host's own Debian mirror (80 MB)
    HOME/board-SUITE-BOARD-…    the same as links, plus the /proc and /sys of a Raspberry Pi
    HOME/plugin-….so            plugin.c, compiled
    HOME/site-SUITE-…           arm64 wheels, for PYTHONPATH

Names end in a digest of what they are made of, so that a change makes a new one. Each is made under a temporary name
and moved into place. No root rights, no container, no chroot; the host's package database is not touched.

Source: QEMU user-mode emulation; apt.conf(5), "Dir" and "Acquire"; pip install --platform.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arm.boards import BOARDS, SUITES
from edge.errors import EdgeError
from edge.files import atomic_path, cache_dir, sha256_of

QEMU = "qemu-aarch64"
PACKAGES = ("python3", "libpython3-stdlib", "libstdc++6", "libgomp1", "ca-certificates")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
INSTALL = "apt-get install -y --no-install-recommends"
_NEEDED = {
    QEMU: f"{INSTALL} qemu-user",
    "gcc": f"{INSTALL} gcc libc6-dev",
    "nm": f"{INSTALL} binutils",
    "apt-get": "run on Debian, or give a --home that was made there",
    "apt-config": "run on Debian, or give a --home that was made there",
    "dpkg-deb": "run on Debian, or give a --home that was made there",
    "tar": f"{INSTALL} tar",
}
_APT_CONFIGURATION = """\
APT::Architecture "arm64"; APT::Architectures {{ "arm64"; }};
APT::Install-Recommends "false"; APT::Sandbox::User ""; Acquire::Languages "none";
Dir::State "{apt}"; Dir::State::lists "{apt}/lists"; Dir::State::status "{apt}/status"; Dir::Cache "{apt}/cache";
Dir::Etc "{apt}"; Dir::Etc::sourcelist "{apt}/sources.list"; Dir::Etc::sourceparts "-"; Dir::Etc::parts "-";
Dir::Etc::preferencesparts "-"; Dir::Etc::trustedparts "/etc/apt/trusted.gpg.d";
"""


class MissingError(EdgeError):
    """Something that emulated machines are made with is not here: a program, Debian's keys or its packages."""


@dataclass(frozen=True)
class Home:
    """The folder of emulated machines.

    Attributes:
        folder: where everything lies; made when needed.
        mirror: of Debian; None: the host's own.
        say: gets a line before each long step.
    """

    folder: Path
    mirror: str | None = None
    say: Callable[[str], None] = lambda _: None

    def root(self, suite: str) -> Path:
        """Return the arm64 root folder of a suite, made at the first call (10 seconds, 80 MB)."""
        target = self.folder / f"root-{suite}-{_digest(*PACKAGES)}"
        if not target.is_dir():
            self.say(f"making arm64 Debian {suite} in {target} (once, about 80 MB)")
            with _folder(target) as temporary:
                _fill_root(temporary, suite, self.mirror or _host_mirror())
        return target

    def board(self, suite: str, board: str) -> Path:
        """Return the root folder as one board shows it: links, and the files that tell a core apart."""
        facts, root = BOARDS[board], self.root(suite)
        target = self.folder / f"board-{suite}-{board}-{_digest(root.name, repr(facts))}"
        if not target.is_dir():
            with _folder(target) as temporary:
                for entry in root.iterdir():
                    (temporary / entry.name).symlink_to(Path("..", root.name, entry.name))
                files = {f"sys/devices/system/cpu/{name}": text for name, text in facts.sysfs().items()}
                files |= {"proc/cpuinfo": facts.cpuinfo(), "proc/device-tree/model": facts.title + "\0"}
                for name, text in files.items():
                    (temporary / name).parent.mkdir(parents=True, exist_ok=True)
                    (temporary / name).write_text(text, encoding="utf-8")
        return target

    def plugin(self) -> Path:
        """Return the compiled counter, made for the emulator that is installed."""
        source = Path(__file__).with_name("plugin.c")
        api = _plugin_api(qemu_version())
        target = self.folder / f"plugin-{_digest(sha256_of(source), str(api))}.so"
        if not target.is_file():
            with atomic_path(target) as temporary:
                options = ["-O2", "-shared", "-fPIC", f"-DPLUGIN_API={api}"]
                _run([need("gcc"), *options, "-o", str(temporary), str(source)], "gcc")
        return target

    def site(self, suite: str, requirements: Sequence[str], constraints: Path | None = None) -> Path:
        """Return a folder with arm64 wheels of ``requirements`` and what they ask for, for that suite's Python.

        Args:
            suite: a key of ``SUITES``.
            requirements: as pip takes them; the path of a wheel counts with its content.
            constraints: a pip constraints file.
        """
        facts = SUITES[suite]
        made_of = [sha256_of(word) if word.endswith(".whl") else word for word in requirements]
        made_of += [constraints.read_text(encoding="utf-8")] if constraints else []
        target = self.folder / f"site-{suite}-{_digest(facts.python, *made_of)}"
        if not target.is_dir():
            self.say(f"fetching arm64 wheels for Python {facts.python} into {target} (once)")
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            command += ["--no-compile", "--only-binary=:all:", "--implementation", "cp"]
            command += ["--python-version", facts.python]
            command += [word for tag in facts.platforms() for word in ("--platform", tag)]
            command += ["--constraint", str(constraints)] if constraints else []
            _need_pip()
            with _folder(target) as temporary:
                _run([*command, "--target", str(temporary), *requirements], "pip")
        return target


def default_folder() -> Path:
    """Return where the emulated machines lie unless told otherwise."""
    return cache_dir() / "arm"


def need(program: str) -> str:
    """Return the path of a program.

    Raises:
        MissingError: it is not installed; the text says how to.
    """
    found = shutil.which(program)
    if found is None:
        raise MissingError(f"expected the program {program}; got none on the PATH; {_NEEDED[program]}")
    return found


def qemu_version() -> str:
    """Return the version of the installed emulator, such as 7.2.22."""
    text = _run([need(QEMU), "--version"], QEMU)
    match = re.search(r"version (\d+(?:\.\d+)+)", text)
    if match is None:
        raise EdgeError(f"expected {QEMU} to tell its version; got {text.strip()[:80]!r}; {_NEEDED[QEMU]}")
    return match[1]


def _plugin_api(version: str) -> int:
    """Return the plugin interface that an emulator offers: inserting callbacks, and reading code, changed twice."""
    number = tuple(int(part) for part in version.split(".")[:2])
    return 1 if number < (9, 0) else 2 if number < (9, 1) else 3


def _fill_root(folder: Path, suite: str, mirror: str) -> None:
    """Download the packages with apt, for arm64 and into folders of its own, and unpack them without their scripts."""
    for program in ("apt-get", "dpkg-deb", "tar"):
        need(program)
    if not KEYRING.is_file():
        raise MissingError(f"expected Debian's keys in {KEYRING}; got no such file; {INSTALL} debian-archive-keyring")
    apt = folder / ".apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    source = f"deb [arch=arm64 signed-by={KEYRING}] {mirror} {suite} main\n"
    (apt / "sources.list").write_text(source, encoding="utf-8")
    settings = _APT_CONFIGURATION.format(apt=apt) + _proxy_settings()
    (apt / "apt.conf").write_text(settings, encoding="utf-8")
    environment = os.environ | {"APT_CONFIG": str(apt / "apt.conf")}
    _update(mirror, environment)
    _run(["apt-get", "-qq", "-y", "--download-only", "install", *PACKAGES], "apt-get", environment)
    for archive in sorted((apt / "cache/archives").glob("*.deb")):
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as stream:
            command = ["tar", "-x", "-C", str(folder), "--no-same-owner", "--keep-directory-symlink"]
            unpacked = subprocess.run(command, stdin=stream.stdout, capture_output=True, text=True, check=False)
        if unpacked.returncode or stream.returncode:
            raise EdgeError(f"expected to unpack {archive.name}; got: {_last_line(unpacked.stderr)}; try again")
    if not (folder / "lib").exists():  # trixie's packages leave this link to a script that is not run here
        (folder / "lib").symlink_to("usr/lib")
    shutil.rmtree(apt)


def _update(mirror: str, environment: dict[str, str]) -> None:
    """Fetch a mirror's lists of packages; but for the error mode, apt-get would only warn that it cannot be reached."""
    try:
        _run(["apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update"], "apt-get", environment)
    except EdgeError as error:
        reason = f"expected Debian's packages at {mirror}; {error}; check the network, or give --mirror"
        raise MissingError(reason) from error


def _host_mirror() -> str:
    """Return the address that the host itself takes its Debian from."""
    need("apt-get")
    release = Path("/etc/os-release").read_text(encoding="utf-8")
    match = re.search(r"^VERSION_CODENAME=\"?(\w+)", release, re.MULTILINE)
    targets = _run(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"], "apt-get").split("\n")
    for line in targets:
        suite, _, address = line.partition(" ")
        if match and suite == match[1] and "debian" in address:
            return address
    raise MissingError(
        "expected a Debian mirror among this machine's package sources; got none; "
        "run `apt-get update` on Debian, or give --mirror"
    )


def _proxy_settings() -> str:
    """Return the host's own settings of how apt reaches the network."""
    lines = _run([need("apt-config"), "dump"], "apt-config").splitlines()
    return "".join(f"{line}\n" for line in lines if re.match(r"Acquire::https?::", line))


def _need_pip() -> None:
    tried = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=False)
    if tried.returncode:
        raise MissingError(f"expected pip beside {sys.executable}; got none; {sys.executable} -m ensurepip")


@contextmanager
def _folder(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder; it becomes ``target`` when the block ends well, else it is removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}").absolute()
    temporary.mkdir()
    try:
        yield temporary
        with suppress(OSError):  # another process was first: its folder is the same
            temporary.rename(target)
        if not target.is_dir():
            raise EdgeError(f"expected to write {target}; got no such folder; check its rights")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _run(command: Sequence[str], name: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise EdgeError(f"expected {name} to succeed; got exit code {done.returncode}: {_last_line(done.stderr)}")
    return done.stdout


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "no reason given"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:10]

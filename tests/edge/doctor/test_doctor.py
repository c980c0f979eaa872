from __future__ import annotations

import importlib.metadata
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest

from edge.doctor import examine, hardware, report, software
from edge.doctor.check import Check
from edge.errors import DetectorError, ModelFileError
from edge.inference.delegation import delegation, taken_over
from edge.system import board, cameras, speed
from edge.system.machine import Machine, Outcome, run_tool
from tests.edge.conftest import Run
from tests.edge.machines import BOOKWORM, PI4, PI5, fake, silent, tools

NAMES = [
    "machine", "system", "python", "cpu", "memory", "load", "governor", "clock", "temperature", "throttling", "camera",
    "opencv", "runtime", "detector", "model", "xnnpack", "disk",
]  # fmt: skip
WITHOUT_PICAMERA2 = tools(python=Outcome(1, "", "Traceback:\nModuleNotFoundError: No module named 'picamera2'\n"))


def by_name(machine: Machine) -> dict[str, Check]:
    """The checks of the machine's hardware, by name."""
    return {name: check(machine) for name, check in hardware.HARDWARE}


def test_a_raspberry_pi_4_is_described(tmp_path: Path) -> None:
    found = by_name(fake(tmp_path, PI4, WITHOUT_PICAMERA2))
    assert found["machine"].detail == "Raspberry Pi 4 Model B Rev 1.4, aarch64, 4 cores"
    assert found["machine"].facts["raspberry_pi"] == "4 Model B"
    assert found["system"].detail == "Debian GNU/Linux 12 (bookworm), 64-bit"
    assert found["cpu"].facts["features"] == {"NEON": True, "dot product": False, "i8mm": False, "SVE": False}
    assert found["memory"].facts == {"total_bytes": 3884304 * 1024, "available_bytes": 3 << 30, "limit_bytes": None}
    assert found["load"].facts == {"load_1min": 0.25}
    assert found["clock"].detail == "600 of 1800 MHz now"
    assert found["temperature"].detail == "48.7 C"
    assert found["throttling"].detail == "none since the last boot"
    devices = [entry["device"] for entry in found["camera"].facts["devices"]]
    assert devices == ["/dev/video0"]  # 1 is the webcam's metadata, 10 the video decoder
    assert "apt install python3-picamera2" in found["camera"].advice
    assert {name: check.status for name, check in found.items() if check.status != "ok"} == {"governor": "warn"}
    assert "before a benchmark" in found["governor"].advice and "performance" in found["governor"].advice


def test_a_hot_raspberry_pi_5_on_a_weak_supply_is_warned_about(tmp_path: Path) -> None:
    run = tools(vcgencmd=Outcome(0, "throttled=0x50005\n", ""), python=Outcome(0, "", ""))
    found = by_name(fake(tmp_path, PI5, run))
    assert found["cpu"].facts["features"]["dot product"] is True
    assert found["governor"].status == "ok"
    assert (found["temperature"].status, found["temperature"].facts["temperature_c"]) == ("warn", 85.1)
    assert found["throttling"].status == "warn"
    assert found["throttling"].facts == {
        "now": ["under-voltage", "throttled"],
        "since_boot": ["under-voltage", "throttled"],
    }
    assert "power supply" in found["throttling"].advice
    assert found["camera"].status == "ok" and "picamera2 is there" in found["camera"].detail


def test_a_bare_container_is_unknown_and_nothing_is_guessed(tmp_path: Path) -> None:
    found = by_name(fake(tmp_path, {}, arch="x86_64", usable_cores=None))
    unknown = {name for name, check in found.items() if check.status == "unknown"}
    assert unknown == {
        "machine", "system", "cpu", "memory", "load", "governor", "clock", "temperature", "throttling",
    }  # fmt: skip
    assert {check.status for check in found.values()} == {"unknown", "ok"}  # python runs, and no camera is a fact
    assert found["machine"].detail == "unknown board, x86_64, an unknown number of cores"
    values = [value for name in unknown - {"machine", "system"} for value in found[name].facts.values()]
    assert values and all(value in (None, []) for value in values)


@pytest.mark.parametrize(
    ("text", "now", "since_boot"),
    [
        ("0", (), ()),
        ("0x0", (), ()),
        ("1", ("under-voltage",), ()),
        ("50000", (), ("under-voltage", "throttled")),
        ("20002", ("frequency capped",), ("frequency capped",)),
        ("80008", ("soft temperature limit",), ("soft temperature limit",)),
        ("f000f", tuple(m for *_, m in speed.THROTTLE_BITS), tuple(m for *_, m in speed.THROTTLE_BITS)),
    ],
)
def test_the_bits_of_get_throttled_are_told(tmp_path: Path, text: str, now: Any, since_boot: Any) -> None:
    machine = fake(tmp_path, {"sys/devices/platform/soc/soc:firmware/get_throttled": f"{text}\n"})
    assert speed.throttling(machine) == speed.Throttling(now, since_boot)


@pytest.mark.parametrize("said", ["", "throttled=\n", "VCHI initialization failed\n", "throttled=0x5 and more\n"])
def test_a_firmware_that_says_something_else_is_unknown(tmp_path: Path, said: str) -> None:
    assert speed.throttling(fake(tmp_path, {}, tools(vcgencmd=Outcome(255, said, "")))) is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("Raspberry Pi 4 Model B Rev 1.4", "4 Model B"),
        ("Raspberry Pi Zero 2 W Rev 1.0", "Zero 2 W"),
        ("Raspberry Pi Compute Module 5 Rev 1.0", "Compute Module 5"),
        ("Raspberry Pi 5", "5"),
        ("Orange Pi 5", None),
        ("", None),
        (None, None),
    ],
)
def test_a_raspberry_pis_model_is_read_from_the_boards_name(name: str | None, model: str | None) -> None:
    assert board.raspberry_pi(name) == model


@pytest.mark.parametrize(
    ("line", "present"),
    [
        (
            "Features\t: half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32",
            ["NEON"],
        ),
        ("Features\t: half thumb fastmult vfp edsp java tls", []),  # ARMv6: Raspberry Pi 1 and Zero
        ("Features\t: fp asimd asimddp i8mm sve", ["NEON", "dot product", "i8mm", "SVE"]),
        ("flags\t\t: fpu sse2 avx2", ["AVX2"]),
        ("flags\t\t: fpu avx2 avx512f avx_vnni amx_tile amx_int8", ["AVX2", "AVX-512", "VNNI", "AMX int8"]),
    ],
)
def test_features_of_processors_are_told_apart(tmp_path: Path, line: str, present: list[str]) -> None:
    machine = fake(tmp_path, {"proc/cpuinfo": f"processor\t: 0\n{line}\n"})
    found = board.cpu_features(machine)
    assert found is not None and [name for name, there in found.items() if there] == present
    assert hardware.cpu(machine).status == ("ok" if present else "warn")


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/system.slice/fer-edge.service\n",
                "sys/fs/cgroup/system.slice/memory.max": "1073741824\n",
                "sys/fs/cgroup/system.slice/fer-edge.service/memory.max": "max\n",
            },
            1 << 30,
        ),
        (
            {
                "proc/self/cgroup": "0::/system.slice/fer-edge.service\n",
                "sys/fs/cgroup/system.slice/memory.max": "1073741824\n",
                "sys/fs/cgroup/system.slice/fer-edge.service/memory.max": "536870912\n",
            },
            512 << 20,
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/docker/a\n4:memory:/docker/a\n",
                "sys/fs/cgroup/memory/docker/a/memory.limit_in_bytes": "209715200\n",
            },
            200 << 20,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            None,
        ),
    ],
)
def test_the_limit_of_a_container_or_service_is_found(tmp_path: Path, files: dict[str, str], limit: int | None) -> None:
    assert board.memory(fake(tmp_path, files)).limit == limit


def test_little_memory_is_warned_about(tmp_path: Path) -> None:
    files = {"proc/meminfo": "MemTotal: 441344 kB\nMemAvailable: 262143 kB\n"}
    assert hardware.memory(fake(tmp_path / "low", files)).status == "warn"  # one kilobyte below 256 MiB
    files = {"proc/meminfo": "MemTotal: 441344 kB\nMemAvailable: 262144 kB\n"}
    assert hardware.memory(fake(tmp_path / "enough", files)).status == "ok"


@pytest.mark.parametrize(("load", "status"), [("1.99", "ok"), ("2.00", "warn"), ("none", "unknown")])
def test_load_is_measured_against_this_processs_cores(tmp_path: Path, load: str, status: str) -> None:
    machine = fake(tmp_path, {"proc/loadavg": f"{load} 0.1 0.1 1/2 3\n"}, usable_cores=2)
    assert hardware.load(machine).status == status


@pytest.mark.parametrize(("millidegrees", "status"), [("79999", "ok"), ("80000", "warn"), ("-274000", "unknown")])
def test_temperature_is_warned_about_from_80_degrees(tmp_path: Path, millidegrees: str, status: str) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    machine = fake(tmp_path, {f"{zone}/type": "cpu-thermal", f"{zone}/temp": millidegrees})
    assert hardware.temperature(machine).status == status


def test_the_processors_sensor_counts_and_not_the_batterys(tmp_path: Path) -> None:
    zones = "sys/class/thermal/thermal_zone"
    files = {f"{zones}0/type": "battery", f"{zones}0/temp": "90000", f"{zones}1/type": "cpu-thermal"}
    assert speed.temperature_c(fake(tmp_path, {**files, f"{zones}1/temp": "50000"})) == 50.0


def test_32_bit_is_warned_about(tmp_path: Path) -> None:
    machine = fake(tmp_path, {"etc/os-release": BOOKWORM}, bits=32)
    assert (hardware.system(machine).status, hardware.python(machine).status) == ("warn", "warn")
    assert "64-bit kernel" in hardware.system(machine).detail and "tflite-runtime" in hardware.python(machine).advice
    armv7 = fake(tmp_path, {}, arch="armv7l", bits=32)
    assert hardware.system(armv7).status == "ok" and hardware.python(armv7).status == "warn"


def test_fewer_cores_for_this_process_are_told(tmp_path: Path) -> None:
    assert "4 cores, 2 of them for this process" in hardware.machine(fake(tmp_path, PI4, usable_cores=2)).detail


@pytest.mark.parametrize(
    ("complaint", "advice"),
    [
        ("ModuleNotFoundError: No module named 'picamera2'", "--system-site-packages"),
        ("ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96", "'numpy<2'"),
        ("OSError: something else", "try it alone"),
    ],
)
def test_a_picamera2_that_does_not_load_gets_the_right_advice(tmp_path: Path, complaint: str, advice: str) -> None:
    check = hardware.camera(fake(tmp_path, PI5, tools(python=Outcome(1, "", f"Traceback\n{complaint}\n"))))
    assert check.status == "warn" and complaint in check.detail and advice in check.advice


def test_a_file_named_picamera2_in_the_current_folder_is_not_the_camera_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "picamera2.py").write_text("raise RuntimeError('another')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    problem = cameras.picamera2_problem(Machine())
    assert problem is None or "another" not in problem


def test_a_camera_that_may_not_be_opened_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = fake(tmp_path, PI4, WITHOUT_PICAMERA2)
    monkeypatch.setattr("edge.system.cameras.os.access", lambda path, mode: False)
    check = hardware.camera(machine)
    assert check.status == "warn" and "usermod -aG video" in check.advice


def capability(capabilities: int, device_capabilities: int) -> bytes:
    """An answer to VIDIOC_QUERYCAP, field by field as the kernel's header lays it out."""
    driver, card, bus = (name.ljust(size, b"\0") for name, size in ((b"uvcvideo", 16), (b"Webcam", 32), (b"usb-1", 32)))
    return driver + card + bus + struct.pack("<3I", 0x60607, capabilities, device_capabilities) + bytes(12)


def test_a_webcams_metadata_node_is_told_from_its_pictures() -> None:
    whole = 0x84A00001  # what the whole device can: capture, metadata, streaming, and "device_caps is filled in"
    assert cameras.captures_pictures(capability(whole, 0x04200001))
    assert not cameras.captures_pictures(capability(whole, 0x04A00000))
    assert cameras.captures_pictures(capability(0x04000001, 0))  # an old driver without device_caps


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"none\n", b"1 2"])
def test_a_file_without_a_number_is_unknown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "value").write_bytes(content)
    assert Machine(tmp_path).number("value") is None
    (tmp_path / "value").write_bytes(b" 42\n\0")
    assert Machine(tmp_path).number("value") == 42


def test_a_tool_that_is_missing_or_hangs_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_tool(("no-such-tool-here",)) is None
    monkeypatch.setattr("edge.system.machine.TOOL_TIMEOUT_S", 0.1)
    assert run_tool(("sleep", "5")) is None
    assert run_tool(("sh", "-c", "echo out; echo err >&2; exit 3")) == Outcome(3, "out\n", "err\n")


def test_this_machine_is_examined_without_a_failure(run: Run, int8_path: Path) -> None:
    result = run("doctor", "--model", int8_path)
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert [line.split()[1] for line in lines] == NAMES
    assert {line.split()[0] for line in lines} <= {"ok", "warn", "?"}


def test_json_is_one_object_with_the_documented_fields(run: Run, int8_path: Path) -> None:
    result = run("doctor", "--model", int8_path, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert set(found) == {"schema", "ok", "checks"} and (found["schema"], found["ok"]) == (1, True)
    assert [check["name"] for check in found["checks"]] == NAMES
    for check in found["checks"]:
        assert set(check) == {"name", "status", "detail", "advice", "facts"}
        assert check["status"] in ("ok", "warn", "FAIL", "unknown") and check["detail"] and check["facts"]
    facts = {check["name"]: check["facts"] for check in found["checks"]}
    assert len(facts["model"]["sha256"]) == 64 and facts["model"]["median_ms"] > 0
    assert facts["xnnpack"]["partitions"] >= 0 and facts["disk"]["free_bytes"] > 0


def test_a_broken_model_is_a_failure_and_the_checks_go_on(run: Run, tmp_path: Path) -> None:
    result = run("doctor", "--model", tmp_path / "none.tflite")
    assert result.exit_code == 1
    failed = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("FAIL")]
    assert failed == ["model", "xnnpack"]
    assert "expected a model file; got no such file" in result.stdout
    assert result.stdout.splitlines()[-1].split()[1] == "disk"
    found = json.loads(run("doctor", "--model", tmp_path / "none.tflite", "--json").stdout)
    assert found["ok"] is False


def test_a_machine_without_a_runtime_fails(run: Run, int8_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses() -> None:
        raise ModelFileError("no runtime here")

    monkeypatch.setattr("edge.inference.interpreter.find_runtime", refuses)
    result = run("doctor", "--model", int8_path)
    assert result.exit_code == 1 and "FAIL  runtime     no runtime here" in result.stdout


@pytest.mark.parametrize(
    ("name", "status", "advice"),
    [
        ("ai-edge-litert", "ok", ""),
        ("tflite-runtime", "warn", "outside XNNPACK, with 1.9 (Pi 4)"),
        ("tensorflow", "warn", "ai-edge-litert"),
    ],
)
def test_the_slower_runtimes_are_warned_about(
    monkeypatch: pytest.MonkeyPatch, name: str, status: str, advice: str
) -> None:
    monkeypatch.setattr("edge.inference.interpreter.find_runtime", lambda: (None, {"name": name, "version": "1.0"}))
    check = software.runtime()
    assert (check.status, check.detail) == (status, f"{name} 1.0") and advice in check.advice


def test_the_detector_in_use_and_the_files_there_are_told(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FER_EDGE_CACHE", str(tmp_path))
    check = software.detector()
    assert check.facts == {"name": "haar", "cached": []} and "fetch yunet" in check.advice
    shutil.copy(shared_data / "detectors" / "face_detection_yunet_2023mar.onnx", tmp_path)
    check = software.detector()
    assert check.facts == {"name": "yunet", "cached": ["face_detection_yunet_2023mar.onnx"]} and not check.advice
    (tmp_path / "face_detection_yunet_2023mar.onnx").write_bytes(b"damaged")
    with pytest.raises(DetectorError, match="fetch yunet"):
        software.detector()


def test_two_opencv_distributions_are_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    assert software.opencv().status == "ok"
    version = importlib.metadata.version
    monkeypatch.setattr("importlib.metadata.version", lambda name: "4.9" if "opencv-contrib" in name else version(name))
    check = software.opencv()
    assert check.status == "warn" and "opencv-contrib-python 4.9" in check.detail and "uninstall" in check.advice


def test_xnnpack_runs_the_shipped_model_but_for_its_ends() -> None:
    check = software.xnnpack()
    assert (check.status, check.facts["partitions"]) == ("ok", 1)
    assert check.facts["outside"] == {"QUANTIZE": 2, "SOFTMAX": 1}  # as in the README's table
    assert f"{check.facts['operators'] - 3} of {check.facts['operators']} operators" in check.detail


def test_an_interpreter_without_xnnpack_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    def plain(**arguments: Any) -> Any:
        resolver = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        return Interpreter(**arguments, experimental_op_resolver_type=resolver)

    monkeypatch.setattr("edge.inference.interpreter.find_runtime", lambda: (plain, {"name": "plain", "version": "1"}))
    check = software.xnnpack()
    assert (check.status, check.facts["partitions"]) == ("warn", 0)
    assert "not in use" in check.detail and sum(check.facts["outside"].values()) == check.facts["operators"]


def test_operators_between_a_partitions_ends_are_inside() -> None:
    """0 -> A -> 1 -> B -> 2 -> C -> 3; D takes 1 too and makes 4. The partition takes 1 and gives 3."""
    chain = [([0], [1]), ([1, -1], [2]), ([2], [3]), ([1], [4])]
    operators = [{"op_name": name, "inputs": i, "outputs": o} for name, (i, o) in zip("ABCD", chain, strict=True)]
    partition = {"op_name": "DELEGATE", "inputs": [1], "outputs": [3]}
    assert taken_over(operators, [partition]) == {1, 2}
    assert taken_over(operators, []) == set()

    class Lists:
        def _get_ops_details(self) -> list[dict[str, Any]]:
            return [*operators, partition]

    found = delegation(Lists())
    assert found is not None and (found.operators, found.partitions, found.outside) == (4, 1, {"A": 1, "D": 1})
    assert delegation(object()) is None


def test_a_full_disk_and_a_read_only_cache_are_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    assert software.disk().status == "ok"
    usage = type("Usage", (), {"free": software.LOW_DISK_BYTES - 1})
    monkeypatch.setattr("edge.doctor.software.shutil.disk_usage", lambda path: usage)
    assert "make room" in software.disk().advice
    monkeypatch.setattr("edge.doctor.software.os.access", lambda path, mode: False)
    assert "FER_EDGE_CACHE" in software.disk().advice and software.disk().status == "warn"


def test_an_account_without_a_home_is_warned_and_has_a_detector(without_home: None) -> None:
    assert (software.disk().status, software.disk().facts["cache"]) == ("warn", None)
    assert "FER_EDGE_CACHE" in software.disk().advice
    assert software.detector().facts == {"name": "haar", "cached": []}


def test_only_a_failure_makes_the_report_not_ok(tmp_path: Path, int8_path: Path) -> None:
    checks = list(examine(int8_path, fake(tmp_path, PI5, silent)))
    assert [check.name for check in checks] == NAMES
    assert {"warn", "unknown"} <= {check.status for check in checks}
    assert report(checks)["ok"] is True
    assert report([*checks, Check("x", "FAIL", "broken")])["ok"] is False

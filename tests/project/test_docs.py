"""What docs/ shows is there: commands and flags exist, links lead somewhere, the unit parses, numbers agree."""

from __future__ import annotations

import configparser
import importlib
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import click
import click.testing
import pytest

from benchmarks.arm.record import read_instructions
from edge.__main__ import cli
from edge.detectors import from_blazeface
from edge.doctor.hardware import HARDWARE
from edge.doctor.software import SOFTWARE, runtime
from edge.inference.modelfile import read_model
from tests.project.readme import blocks, commands

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"
DOCUMENTS = sorted(FOLDER.glob("*.md"))
UNIT = FOLDER / "fer-edge.service"
WORKSTATION = ("train", "convert", "benchmarks")
# Other programs that the documents may call.
SHELL = (
    "sudo apt install ", "sudo useradd ", "sudo userdel ", "sudo python3 -m venv ", "sudo cp ", "sudo rm ",
    "sudo systemctl ", "sudo /usr/local/lib/fer-edge/bin/pip install ", "python3 -m venv ", ". ~/fer-edge/bin/activate",
    "pip install ", "python -m tests.edge.fuzz ", "echo performance | sudo tee ", "journalctl ",
)  # fmt: skip


def root_command() -> click.Group:
    """`fer-edge` with its commands, and the workstation's `python -m NAME` as commands of these names."""
    group = click.Group("fer-edge", commands=dict(cli.commands))
    for name in WORKSTATION:
        group.add_command(importlib.import_module(f"{name}.__main__").main, name)
    return group


def own_words(line: str) -> list[str] | None:
    """Return the words after `fer-edge` or `python -m` in a shell line (behind sudo, variables and a path).

    None: another program.
    """
    words = shlex.split(line)
    while words and (words[0] == "sudo" or re.fullmatch(r"[A-Z_]+=\S*", words[0])):
        words.pop(0)
    if words[:2] == ["python", "-m"] and words[2:3] and words[2] in WORKSTATION:
        return words[2:]
    return words[1:] if words and words[0].rpartition("/")[2] == "fer-edge" else None


def problem(words: list[str]) -> str | None:
    """Return what is wrong with a command line of ours, None if every command, flag and value is known to click."""
    command: click.Command = root_command()
    arguments = list(words)
    while isinstance(command, click.Group) and arguments and arguments[0] != "--help":
        name = arguments.pop(0)
        found = command.commands.get(name)
        if found is None:
            return f"no command {name}"
        command = found
    try:
        command.make_context("fer-edge", arguments)
    except click.exceptions.Exit:  # --help
        return None
    except click.UsageError as error:
        return error.format_message()
    return None


LINES = [line for document in (*DOCUMENTS, ROOT / "README.md") for line in commands(document)]
OWN = sorted({line for line in LINES if own_words(line) is not None})


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of the reader's own."""
    monkeypatch.chdir(tmp_path)
    yield


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("line", OWN)
def test_a_command_of_the_documents_has_existing_commands_and_flags(line: str) -> None:
    words = own_words(line)
    assert words is not None
    assert problem(words) is None


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("fer-edge kamera", "no command kamera"),
        ("python -m benchmarks pears", "no command pears"),
        ("python -m convert runs/lite0 --recipe int3", "Invalid value"),
        ("sudo A=1 /usr/local/lib/fer-edge/bin/fer-edge fetch yunit", "no command yunit"),
        ("fer-edge doctor --jsno", "No such option"),
        ("fer-edge benchmark latency --threads none", "Invalid value"),
        ("fer-edge image", "Missing argument"),
    ],
)
def test_a_wrong_command_is_seen(line: str, text: str) -> None:
    words = own_words(line)
    assert words is not None
    assert text in (problem(words) or "")


def test_the_documents_show_the_doctor_the_camera_and_fetch() -> None:
    shown = {(own_words(line) or [""])[0] for document in DOCUMENTS for line in commands(document)}
    assert {"doctor", "camera", "fetch", "image", "benchmark", "info"} <= shown


def test_every_other_line_calls_a_known_program() -> None:
    others = [line for document in DOCUMENTS for line in commands(document) if own_words(line) is None]
    assert others and [line for line in others if not line.startswith(SHELL)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_flags_in_running_text_exist(document: Path) -> None:
    spans = re.findall(r"`([^`\n]+)`", running_text(document))
    known = flags_of(root_command()) | {"--no-deps", "--system-site-packages", "--list-cameras"}
    for span in spans:
        words = shlex.split(span) if span.startswith("fer-edge ") else []
        command: click.Command = root_command()
        for word in words[1:]:
            if word.startswith("-") or not isinstance(command, click.Group):
                break
            assert word in command.commands, span
            command = command.commands[word]
        assert [flag for flag in re.findall(r"(?<!\S)--[a-z-]+", span) if flag not in known] == [], span


def running_text(document: Path) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def flags_of(command: click.Command) -> set[str]:
    """Return every flag of a command and of those below it."""
    found = {flag for parameter in command.params for flag in parameter.opts} | {"--help", "--version"}
    if isinstance(command, click.Group):
        for below in command.commands.values():
            found |= flags_of(below)
    return found


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub gives to a document's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)]+)\)", running_text(document)):
        name, _, heading = target.partition("#")
        file = (FOLDER / name).resolve() if name else document
        assert file.is_file(), target
        if heading:
            assert heading in anchors(file.read_text(encoding="utf-8")), target


def test_every_document_is_in_the_index() -> None:
    linked = set(re.findall(r"\]\(([\w.-]+)\)", (FOLDER / "README.md").read_text(encoding="utf-8")))
    assert linked == {path.name for path in FOLDER.iterdir() if path.name != "README.md"}


def unit() -> Mapping[str, dict[str, list[str]]]:
    """Return the unit's sections: key -> its values in order."""
    sections: dict[str, dict[str, list[str]]] = {}
    section: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        if re.fullmatch(r"\[\w+\]", line):
            section = sections.setdefault(line[1:-1], {})
        elif line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            assert equals and re.fullmatch(r"[A-Z]\w+", key), line
            section.setdefault(key, []).append(value)
    return sections


@pytest.mark.usefixtures("reader")
def test_the_unit_starts_a_command_that_exists_in_the_folder_that_the_guide_makes() -> None:
    (line,) = unit()["Service"]["ExecStart"]
    words = own_words(line)
    assert words is not None and words[0] == "camera" and "--jsonl" in words
    assert "--append" in words  # a restart keeps what was written
    assert problem(words) is None
    program = line.split()[0]
    guide = (FOLDER / "raspberry-pi.md").read_text(encoding="utf-8")
    assert f"venv --system-site-packages {program.removesuffix('/bin/fer-edge')}\n" in guide
    for override in re.findall(r"^ExecStart=(\S.*)$", guide, re.MULTILINE):
        assert override.split()[0] == program and problem(own_words(override) or []) is None


def test_the_unit_is_confined_and_starts_again() -> None:
    service = {key: values[-1] for key, values in unit()["Service"].items()}
    assert service["Restart"] == "on-failure" and int(service["RestartSec"]) >= 1
    assert service["User"] not in ("root", "0") and "video" in service["SupplementaryGroups"].split()
    for key in ("NoNewPrivileges", "PrivateNetwork", "PrivateTmp", "ProtectHome", "ProtectKernelModules"):
        assert service[key] == "yes", key
    assert service["ProtectSystem"] == "strict" and service["CapabilityBoundingSet"] == ""
    assert service["StandardOutput"] == "null"  # readings of people do not go to the journal unasked
    assert "WatchdogSec" not in service  # nobody pets a watchdog here
    cache = f"FER_EDGE_CACHE=/var/cache/{service['CacheDirectory']}"
    assert cache in unit()["Service"]["Environment"]
    assert f"sudo {cache} " in (FOLDER / "raspberry-pi.md").read_text(encoding="utf-8")  # where YuNet is fetched to
    assert unit()["Install"]["WantedBy"] == ["multi-user.target"]


def verify(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run systemd's own check on a unit whose program is there."""
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("expected systemd-analyze; got none on this machine; install systemd to run this check")
    file = folder / "fer-edge.service"
    file.write_text(re.sub(r"^(ExecStart=)\S+", rf"\g<1>{shutil.which('true')}", text, flags=re.MULTILINE))
    return subprocess.run([tool, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False)


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = UNIT.read_text(encoding="utf-8")
    done = verify(text, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "RestartSecond" in verify(text.replace("RestartSec=", "RestartSecond="), tmp_path).stderr


def test_the_guide_explains_every_check_of_the_doctor() -> None:
    guide = (FOLDER / "raspberry-pi.md").read_text(encoding="utf-8")
    table = guide[guide.index("| check | what it looks at |") :].split("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(name for name, _ in (*HARDWARE, *SOFTWARE))


def test_the_mobile_guides_numbers_are_the_shipped_models() -> None:
    text = (FOLDER / "mobile.md").read_text(encoding="utf-8")
    model = read_model()
    crop = model.contract.crop
    kotlin = dict(re.findall(r"const val ([A-Z_]+) = (\S+)", text))
    assert {name: float(value) for name, value in kotlin.items()} == {
        "SIDE_SCALE": crop.side_scale, "OFFSET_X": crop.offset_x, "OFFSET_Y": crop.offset_y,
        "RESOLUTION": crop.resolution_px, "INPUT": model.input.shape[1],
    }  # fmt: skip
    swift = dict(re.findall(r"^private let (\w+) = (-?[\d.]+)$", text, re.MULTILINE))
    assert {name: float(value) for name, value in swift.items()} == {
        "sideScale": crop.side_scale, "offsetX": crop.offset_x, "offsetY": crop.offset_y,
        "resolution": crop.resolution_px,
    }  # fmt: skip
    (labels,) = re.findall(r"listOf\((.*)\)", text)
    assert tuple(json.loads(f"[{labels}]")) == model.labels
    assert ", ".join(model.labels) in text
    assert f"`{list(model.input.shape)}` {model.input.dtype}" in text
    assert f"`{list(model.output.shape)}` {model.output.dtype}" in text
    assert model.output.scale == 1 / 256 and "value / 256" in text and "/ 256f" in text


def test_the_mobile_guides_blazeface_box_is_converted_as_edge_does() -> None:
    """From the corner (0, 0) to (1, 1): the box's own coordinates are the constants."""
    text = (FOLDER / "mobile.md").read_text(encoding="utf-8")
    left, top, right, bottom = from_blazeface(0.0, 0.0, 1.0, 1.0)
    expected = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    kotlin = [float(value) for value in re.findall(r"(\d\.\d+)f \* box\.(?:width|height)\(\)", text)]
    swift = dict(re.findall(r"let (width|height|centerX|centerY) = .*?(\d\.\d+) \* box", text))
    assert kotlin == pytest.approx(expected)
    assert [float(swift[name]) for name in ("centerX", "centerY", "width", "height")] == pytest.approx(expected)


def test_the_privacy_page_says_what_about_says() -> None:
    text = (FOLDER / "privacy.md").read_text(encoding="utf-8")
    law = json.loads(click.testing.CliRunner().invoke(cli, ["about", "--json"]).stdout)["law"]
    rows = re.findall(r"^\| (article .+?) \| (\S+) \| (.+) \|$", text, re.MULTILINE)
    assert [(row[0], row[1]) for row in rows] == [(e["provision"], e["applies_from"]) for e in law["provisions"]]
    for (_, _, said), entry in zip(rows, law["provisions"], strict=True):
        assert entry["summary"].startswith(said.rstrip("."))


def test_the_32_bit_route_agrees_with_the_extra_of_the_package() -> None:
    configuration = configparser.RawConfigParser()
    configuration.read(ROOT / "setup.cfg", encoding="utf-8")
    wanted = [
        line
        for line in configuration["options.extras_require"]["tflite-runtime"].split("\n")
        if line and line[0] != "#"
    ]
    (line,) = [line for line in commands(FOLDER / "raspberry-pi.md") if "tflite-runtime>=" in line]
    given = {re.split("[<>=]", word)[0]: word for word in shlex.split(line)[2:]}
    for requirement in wanted:
        name = re.split("[<>=]", requirement)[0]
        bound = requirement.removeprefix(name)
        assert bound in given[name], (requirement, given[name])
    assert "click" in given


def test_the_fenced_blocks_are_closed() -> None:
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        assert text.count("\n```") % 2 == 0, document.name
        assert blocks(text, "console", "kotlin", "swift", "ini", "ruby") or document.name in ("README.md", "privacy.md")


def test_the_costs_page_holds_the_figures_of_its_records() -> None:
    from click.testing import CliRunner

    from benchmarks.__main__ import main

    words = ["costs", str(RESULTS / "conversion"), "--page", str(FOLDER / "conversion.md"), "--check"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output


def quoted(text: str) -> list[tuple[str, str]]:
    """How many times the instructions a text says that the older interpreter executes on a Pi 4 and on a Pi 5."""
    return re.findall(r"([\d.]+) \(Pi 4\)\s+to\s+([\d.]+)\s+\(Pi 5\)\s+times\s+the\s+instructions", text)


def test_what_is_said_of_the_older_interpreter_is_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    record = read_instructions(RESULTS / "conversion" / "runtimes-instructions.json")
    times = {entry.board: f"{entry.times:.1f}" for entry in record.others if entry.file == "default.tflite"}
    found = {"name": "tflite-runtime", "version": "2.14.0"}
    monkeypatch.setattr("edge.inference.interpreter.find_runtime", lambda: (None, found))
    said = [runtime().advice, *(path.read_text(encoding="utf-8") for path in (
        ROOT / "README.md", FOLDER / "benchmarks.md", FOLDER / "raspberry-pi.md",
    ))]  # fmt: skip
    for text in said:
        assert set(quoted(text)) == {(times["pi4"], times["pi5"])}
    assert quoted("with 4.0 (Pi 4)\nto 8.0 (Pi 5) times the instructions") == [("4.0", "8.0")]
    assert not any(re.search(r"\d\s+to\s+\d\s+times\s+the\s+instructions", text) for text in said)


def test_the_runtime_page_holds_the_figures_of_its_records() -> None:
    words = ["runtime", str(RESULTS / "runtime"), "--page", str(FOLDER / "runtime.md"), "--check"]
    result = click.testing.CliRunner().invoke(importlib.import_module("benchmarks.__main__").main, words)
    assert result.exit_code == 0, result.output


def test_the_training_log_holds_the_runs_of_its_records_and_says_why_each_was_made() -> None:
    page = FOLDER / "training-log.md"
    records = [str(RESULTS / "training" / name) for name in ("runs", "evaluations")]
    words = ["runs", *records, "--page", str(page), "--check"]
    result = click.testing.CliRunner().invoke(importlib.import_module("benchmarks.__main__").main, words)
    assert result.exit_code == 0, result.output
    reasons = page.read_text(encoding="utf-8").partition("## Why")[2]
    names = [path.stem for path in (RESULTS / "training" / "runs").glob("*.json")]
    assert names and all(f"**{name}.**" in reasons for name in names)


def test_the_limits_of_the_verdict_are_the_codes() -> None:
    from edge.benchmarking import stability
    from edge.system.speed import PI_LIMIT_C

    text = (FOLDER / "benchmarks.md").read_text(encoding="utf-8")
    throttled, noisy = re.findall(r"^\| `(?:throttled|noisy)` \| (.+) \|$", text, re.MULTILINE)
    assert f"fell by more than {stability.CLOCK_DROP_LIMIT:.0%}".replace("%", " %") in throttled
    assert f"{PI_LIMIT_C:.0f} °C on a Raspberry Pi" in throttled
    for measure, share in (
        ("MAD", f"{stability.MAD_LIMIT:.1%}"),
        ("p90", f"{stability.TAIL_LIMIT:.0%}"),
        ("third's median", f"{stability.DRIFT_LIMIT:.0%}"),
    ):
        assert f"{measure} is more than {share}".replace("%", " %") in noisy
    assert f"fewer than {stability.FEWEST_SAMPLES} samples" in noisy


def test_the_tradeoff_page_holds_the_figures_of_its_records() -> None:
    words = ["pareto", str(RESULTS / "tradeoff"), "--page", str(FOLDER / "tradeoff.md"), "--check"]
    result = click.testing.CliRunner().invoke(importlib.import_module("benchmarks.__main__").main, words)
    assert result.exit_code == 0, result.output


def test_the_robustness_page_holds_the_figures_of_its_records_and_every_condition() -> None:
    from benchmarks.robustness.distortions import CONDITIONS

    page, records = FOLDER / "robustness.md", RESULTS / "robustness"
    words = ["distorted", *([str(records)] if records.is_dir() else []), "--page", str(page), "--check"]
    result = click.testing.CliRunner().invoke(importlib.import_module("benchmarks.__main__").main, words)
    assert result.exit_code == 0, result.output
    told = page.read_text(encoding="utf-8").partition("## What is not covered")[0]
    assert re.findall(r"^\| (.+?) \| .+ \|$", told, re.MULTILINE)[1:] == [each.text for each in CONDITIONS]


def test_pictures_of_the_documents_are_there_and_small() -> None:
    shown = [
        (document, target)
        for document in DOCUMENTS
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", document.read_text(encoding="utf-8"))
    ]
    for document, target in shown:
        assert (document.parent / target).stat().st_size < 200_000, f"{document.name}: {target}"

"""Steps of a study in processes: done ones are kept, failed ones told, killed ones taken up again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.processes import program
from benchmarks.tradeoff.ledger import Ledger
from benchmarks.tradeoff.runner import run_steps
from benchmarks.tradeoff.steps import Step
from edge.errors import DataError
from edge.files import sha256_of

ROOT = Path(__file__).resolve().parents[3]
# Writes its arguments' last word; a conversion writes one file for each --recipe and stops at "bad".
WRITE = "import sys, pathlib; pathlib.Path(sys.argv[-1]).write_text('made')"
CONVERT = """
import sys, pathlib
folder = pathlib.Path(sys.argv[1])
with (folder / "starts").open("a") as starts:
    starts.write(" ".join(sys.argv[2:]) + "\\n")
for recipe in [word for word in sys.argv[2:] if word != "--recipe"]:
    if recipe == "bad":
        sys.exit("error: bad cannot be made")
    (folder / recipe).write_text(recipe)
"""


def writes(out: Path, name: str, *reads: Path, code: str = WRITE) -> Step:
    product = out / name
    return Step("accuracy", name, ("python", "-c", code, str(product)), reads, (product,))


def conversion(out: Path, recipe: str) -> Step:
    words = ("python", "-c", CONVERT, str(out))
    return Step("convert", f"run {recipe}", words, (), (out / recipe,), recipe=recipe)


def ran(steps: list[Step], out: Path, again: bool = False) -> tuple[list[str], list[str]]:
    """Return what was said, and the reasons of failures."""
    said: list[str] = []
    failures = run_steps(steps, out, said.append, again)
    return said, [f"{failure.step}: {failure.reason}" for failure in failures]


def starts(said: list[str]) -> list[str]:
    return [
        line.partition("] ")[2]
        for line in said
        if line.startswith("[") and not line.endswith(" s") and "failed:" not in line
    ]


def test_steps_run_in_order_and_are_kept_the_next_time(tmp_path: Path) -> None:
    steps = [writes(tmp_path, "a"), writes(tmp_path, "b", tmp_path / "a")]
    said, failures = ran(steps, tmp_path)
    assert (starts(said), failures) == (["accuracy a", "accuracy b"], [])
    said, failures = ran(steps, tmp_path)
    assert (said, failures) == (["2 of 2 steps were done already"], [])


def test_again_runs_what_was_done(tmp_path: Path) -> None:
    steps = [writes(tmp_path, "a")]
    ran(steps, tmp_path)
    assert starts(ran(steps, tmp_path, again=True)[0]) == ["accuracy a"]


def test_a_changed_input_command_or_product_is_made_anew_and_nothing_else(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    data.write_text("1", encoding="utf-8")
    out = tmp_path / "out"
    steps = [writes(out, "a", data), writes(out, "b")]
    ran(steps, out)
    data.write_text("2", encoding="utf-8")
    assert starts(ran(steps, out)[0]) == ["accuracy a"]
    (out / "b").write_text("another", encoding="utf-8")
    assert starts(ran(steps, out)[0]) == ["accuracy b"]
    other = [steps[0], writes(out, "b", code=WRITE + "; 1")]
    assert starts(ran(other, out)[0]) == ["accuracy b"]
    (out / "a").unlink()
    assert starts(ran(other, out)[0]) == ["accuracy a"]


def test_a_copied_folder_goes_on_where_it_stopped(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    ran([writes(before, "a")], before)
    before.rename(after)
    assert starts(ran([writes(after, "a")], after)[0]) == []


@pytest.mark.parametrize("word", ["fer2013", "fer2013-data/faces.csv", "--note=fer2013/runs", "a fer2013"])
def test_only_words_that_are_the_steps_own_files_move_with_the_folder(word: str) -> None:
    def fingerprint(out: Path, word: str, product: str) -> str:
        folder = out / "runs" / "a"
        words = ("python", "-c", WRITE, word, str(folder.parent), str(folder / product))
        return Ledger(out).fingerprint(Step("train", "a", words, (), (folder / product,)))

    here = fingerprint(Path("fer2013"), word, "model.keras")
    assert fingerprint(Path("moved"), word, "model.keras") == here
    assert fingerprint(Path("moved"), word.replace("fer2013", "moved"), "model.keras") != here
    assert fingerprint(Path("moved"), word, "other.keras") != here


def test_a_step_that_fails_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    bad = writes(tmp_path, "bad", code="import sys; print('much'); sys.exit('error: no such thing')")
    needs_it = writes(tmp_path, "after", tmp_path / "bad")
    _, failures = ran([bad, needs_it, writes(tmp_path, "c")], tmp_path)
    assert (tmp_path / "c").read_text(encoding="utf-8") == "made"
    assert failures[0].startswith("accuracy bad: no such thing (exit code 1; ")
    assert failures[1].startswith(f"accuracy after: expected {tmp_path / 'bad'}; it is not there")
    assert len(failures) == 2
    note = json.loads((tmp_path / "steps" / "accuracy-bad.json").read_text(encoding="utf-8"))
    assert note["status"] == "failed"
    assert starts(ran([bad], tmp_path)[0]) == ["accuracy bad"]  # tried again


def test_a_command_that_leaves_no_product_has_failed(tmp_path: Path) -> None:
    _, failures = ran([writes(tmp_path, "none", code="print('all well')")], tmp_path)
    assert failures[0].startswith("accuracy none: all well (exit code 0; ")


def test_an_old_product_does_not_hide_a_failure(tmp_path: Path) -> None:
    ran([writes(tmp_path, "a")], tmp_path)
    _, failures = ran([writes(tmp_path, "a", code="import sys; sys.exit('error: broken')")], tmp_path)
    assert len(failures) == 1
    assert not (tmp_path / "a").exists()


def test_conversions_of_one_run_share_a_process(tmp_path: Path) -> None:
    said, failures = ran([conversion(tmp_path, "x"), conversion(tmp_path, "y")], tmp_path)
    assert (starts(said), failures) == (["convert run x, y"], [])
    (tmp_path / "y").unlink()
    assert starts(ran([conversion(tmp_path, "x"), conversion(tmp_path, "y")], tmp_path)[0]) == ["convert run y"]


def test_a_recipe_that_fails_takes_no_other_with_it(tmp_path: Path) -> None:
    _, failures = ran([conversion(tmp_path, name) for name in ("x", "bad", "y")], tmp_path)
    assert [failure.partition(" (")[0] for failure in failures] == ["convert run bad: bad cannot be made"]
    assert (tmp_path / "x").is_file() and (tmp_path / "y").is_file()
    assert (tmp_path / "starts").read_text(encoding="utf-8").splitlines() == [
        "--recipe x --recipe bad --recipe y",
        "--recipe bad",
        "--recipe y",
    ]


TIMED = """
import json, pathlib, sys
folder, recipe = pathlib.Path(sys.argv[1]), sys.argv[3]
(folder / f"{recipe}.json").write_text(json.dumps({"kind": "conversion", "recipe": recipe, "size_bytes": 1}))
for report in folder.glob("*.json"):  # as python -m convert does: all files of a network in turns
    values = json.loads(report.read_text())
    report.write_text(json.dumps(values | {"latency": {"measured_for": recipe}}, indent=1))
"""


def test_a_conversion_whose_report_another_one_timed_again_is_kept_and_one_with_other_facts_is_not(
    tmp_path: Path,
) -> None:
    words = ("python", "-c", TIMED, str(tmp_path))
    steps = [
        Step("convert", f"run {recipe}", words, (), (tmp_path / f"{recipe}.json",), recipe=recipe)
        for recipe in ("x", "y")
    ]
    ran(steps[:1], tmp_path)
    assert starts(ran(steps, tmp_path)[0]) == ["convert run y"]
    report = json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))
    assert report["latency"] == {"measured_for": "y"}
    assert ran(steps, tmp_path) == (["2 of 2 steps were done already"], [])
    (tmp_path / "x.json").write_text(json.dumps(report | {"size_bytes": 2}), encoding="utf-8")
    assert starts(ran(steps, tmp_path)[0]) == ["convert run x"]


def test_a_report_that_was_noted_by_its_whole_content_is_done_too(tmp_path: Path) -> None:
    step = Step("convert", "run x", ("python", "-c", TIMED, str(tmp_path)), (), (tmp_path / "x.json",), recipe="x")
    ran([step], tmp_path)
    (note,) = (tmp_path / "steps").iterdir()
    values = json.loads(note.read_text(encoding="utf-8"))
    for products, done in (({"x.json": sha256_of(tmp_path / "x.json")}, True), ({"x.json": "0" * 64}, False)):
        note.write_text(json.dumps(values | {"products": products}), encoding="utf-8")
        assert Ledger(tmp_path).is_done(step) is done


def training(out: Path, code: str) -> Step:
    folder = out / "runs" / "a"
    return Step("train", "a", ("python", "-c", code, str(folder)), (), (folder / "model.keras",), folder=folder)


FIT = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
(folder / "run.json").write_text("{}")
if "--resume" in sys.argv:
    (folder / "model.keras").write_text("resumed")
else:
    (folder / "waits").write_text("")
    time.sleep(60)
"""


def killed_in_training(out: Path, number: int) -> subprocess.Popen[bytes]:
    """Start a study in a process of its own, and send it a signal while it trains."""
    code = (
        "import signal, sys\nfrom pathlib import Path\n"
        "from benchmarks.tradeoff.runner import run_steps\n"
        "from tests.benchmarks.tradeoff.test_tradeoff_runner import *\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n"
        f"run_steps([training(Path({str(out)!r}), FIT)], Path({str(out)!r}), print)"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (out / "runs" / "a" / "waits").exists():
        assert time.monotonic() < deadline, "the training did not begin"
        time.sleep(0.05)
    process.send_signal(number)
    process.wait(30)
    return process


def test_a_killed_training_goes_on_with_resume(tmp_path: Path) -> None:
    killed_in_training(tmp_path, signal.SIGTERM)
    said, failures = ran([training(tmp_path, FIT)], tmp_path)
    assert (starts(said), failures) == (["train a, goes on"], [])
    assert (tmp_path / "runs" / "a" / "model.keras").read_text(encoding="utf-8") == "resumed"


def test_a_training_of_other_settings_does_not_go_on(tmp_path: Path) -> None:
    killed_in_training(tmp_path, signal.SIGTERM)
    other = FIT.replace("time.sleep(60)", "(folder / 'model.keras').write_text('fresh')")
    said, failures = ran([training(tmp_path, other)], tmp_path)
    assert (starts(said), failures) == (["train a"], [])
    assert (tmp_path / "runs" / "a" / "model.keras").read_text(encoding="utf-8") == "fresh"


def test_a_run_folder_that_the_study_did_not_make_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "runs" / "a" / "precious"
    precious.parent.mkdir(parents=True)
    precious.write_text("mine", encoding="utf-8")
    ran([training(tmp_path, FIT.replace("time.sleep(60)", "sys.exit('error: holds a run')"))], tmp_path)
    assert precious.read_text(encoding="utf-8") == "mine"


def test_nobody_begins_while_the_child_of_a_killed_run_is_at_work(tmp_path: Path) -> None:
    killed_in_training(tmp_path, signal.SIGKILL)
    step = training(tmp_path, FIT)
    with pytest.raises(DataError, match="no other run at work"):
        ran([step], tmp_path)
    os.kill(_child(tmp_path), signal.SIGTERM)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            _, failures = ran([step], tmp_path)
            break
        except DataError:
            time.sleep(0.05)
    assert failures == []


def _child(out: Path) -> int:
    """Return the process that has the folder as an argument."""
    for folder in Path("/proc").iterdir():
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if folder.name.isdigit() and str(out / "runs" / "a").encode() in words:
            return int(folder.name)
    raise AssertionError("expected the child to live on; got none")


def test_a_note_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    step = writes(tmp_path, "a")
    ran([step], tmp_path)
    (tmp_path / "steps" / "accuracy-a.json").write_text("{", encoding="utf-8")
    assert not Ledger(tmp_path).is_done(step)


def test_only_python_and_fer_edge_are_started() -> None:
    assert program(["python", "-m", "train"]) == [sys.executable, "-m", "train"]
    assert program(["fer-edge", "info"]) == [sys.executable, "-m", "edge", "info"]
    with pytest.raises(ValueError, match="python or fer-edge; got rm"):
        program(["rm", "-r"])

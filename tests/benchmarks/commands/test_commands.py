"""`python -m benchmarks`, run for real."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.report import BEGIN, END
from tests.benchmarks import handmade
from tests.benchmarks.conftest import Write

ROOT = Path(__file__).resolve().parents[3]


def _benchmarks(*words: str | Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, words)],
        cwd=ROOT,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        text=True,
        encoding=encoding,
        check=False,
    )


def test_report_prints_the_table_and_writes_both_pages(float_and_int8: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    result = _benchmarks("report", float_and_int8, "--out", out)
    assert (result.returncode, result.stderr) == (0, "")
    assert "80.00 % (60.0 to 95.0)" in result.stdout
    assert "3.00× (2.94 to 3.06)" in result.stdout
    assert "Machine: Test CPU, 2 cores" in result.stdout
    assert sorted(path.name for path in out.iterdir()) == ["plots", "report.html", "report.md"]
    assert sorted(path.name for path in (out / "plots").iterdir()) == ["accuracy-latency.svg", "size.svg"]


def test_a_name_with_the_terminals_markup_is_printed_as_it_is(write: Write) -> None:
    name = "[/bold]:warning:"
    result = _benchmarks("report", write(handmade.latency("float32", 6.0, model=handmade.model("float32", name=name))))
    assert (result.returncode, result.stderr) == (0, "")
    assert name in result.stdout


def test_records_of_other_commands_alone_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "counted.json").write_text('{"schema": 1, "kind": "instructions"}', encoding="utf-8")
    result = _benchmarks("report", tmp_path, "--out", tmp_path / "report")
    assert (result.returncode, result.stderr) == (0, "")
    assert "no accuracy or latency record among them" in result.stdout


@pytest.mark.parametrize(("encoding", "times"), [("utf-8", "×"), ("latin-1", "×"), ("ascii", "?")])
def test_a_sign_that_the_output_lacks_is_replaced(
    float_and_int8: Path, tmp_path: Path, encoding: str, times: str
) -> None:
    result = _benchmarks("report", float_and_int8, "--out", tmp_path / "report", encoding=encoding)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"3.00{times} (2.94 to 3.06)" in result.stdout
    assert "3.00× (2.94 to 3.06)" in (tmp_path / "report" / "report.md").read_text(encoding="utf-8")


def test_the_readme_block_is_rewritten_and_then_passes_the_check(float_and_int8: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# A title\n{BEGIN}\n{END}\nThe end.\n", encoding="utf-8")
    stale = _benchmarks("report", float_and_int8, "--readme", readme, "--check")
    assert stale.returncode == 1
    assert "expected the figures of the records between its markers" in stale.stderr
    assert "lite0" not in readme.read_text(encoding="utf-8")  # --check changes nothing
    assert _benchmarks("report", float_and_int8, "--readme", readme).returncode == 0
    text = readme.read_text(encoding="utf-8")
    assert text.startswith(f"# A title\n{BEGIN}\nData: fer2013 PrivateTest (10). Threads: 1. ")
    assert text.endswith(f"{END}\nThe end.\n")
    assert _benchmarks("report", float_and_int8, "--readme", readme, "--check").returncode == 0
    readme.write_text(text.replace("80.00 %", "80.01 %"), encoding="utf-8")
    assert _benchmarks("report", float_and_int8, "--readme", readme, "--check").returncode == 1


def test_a_foreign_file_is_one_line_and_exit_code_1_and_no_page_is_left(write: Write, tmp_path: Path) -> None:
    folder = write(handmade.latency("float32", 6.0))
    (folder / "package.json").write_text('{"name": "x"}', encoding="utf-8")
    result = _benchmarks("report", folder, "--out", tmp_path / "report")
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "package.json: expected a record" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "report").exists()


def test_check_without_a_readme_is_a_usage_error(float_and_int8: Path) -> None:
    result = _benchmarks("report", float_and_int8, "--check")
    assert result.returncode == 2
    assert "--check needs --readme FILE" in result.stderr


def test_help_answers_without_loading_matplotlib() -> None:
    code = "import sys, benchmarks.__main__ as m; m.main(['--help'], standalone_mode=False); "
    code += "sys.exit(bool({'matplotlib', 'rich', 'keras', 'tensorflow', 'cv2'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "report" in result.stdout

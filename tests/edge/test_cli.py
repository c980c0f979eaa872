from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from edge.cli import OneLineCommand, OneLineGroup, command_line, one_line, printable
from edge.errors import EdgeError, ImageError, ModelFileError


@click.group(cls=OneLineGroup)
def cli() -> None:
    pass


@cli.command()
@click.argument("name")
def fail(name: str) -> None:
    errors: dict[str, Exception] = {
        "image": ImageError("expected a picture;\n got none"),
        "value": ValueError("expected 1; got 2"),
        "file": FileNotFoundError(2, "No such file or directory", "x.jpg"),
        "bug": KeyError("bug"),
    }
    raise errors[name]


@cli.command()
@click.option("--flag")
def words(flag: str) -> None:
    click.echo(" ".join(command_line()))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("image", "error: expected a picture; got none\n"),
        ("value", "error: expected 1; got 2\n"),
        ("file", "error: x.jpg: No such file or directory\n"),
    ],
)
def test_a_users_error_is_one_line_on_stderr_and_exit_code_1(name: str, line: str) -> None:
    result = CliRunner().invoke(cli, ["fail", name])
    assert (result.exit_code, result.stderr, result.stdout) == (1, line, "")


def test_a_bug_is_not_dressed_up_as_a_users_error() -> None:
    result = CliRunner().invoke(cli, ["fail", "bug"])
    assert isinstance(result.exception, KeyError)


def test_the_debug_variable_shows_the_traceback_before_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_EDGE_DEBUG", "1")
    result = CliRunner().invoke(cli, ["fail", "value"])
    assert "Traceback" in result.stderr
    assert result.stderr.endswith("error: expected 1; got 2\n")


@pytest.mark.parametrize(("kind", "code", "line"), [(OneLineCommand, 1, "error: expected 1; got 2\n"), (None, 1, "")])
def test_a_command_without_a_group_has_the_same_one_line(
    kind: type[click.Command] | None, code: int, line: str
) -> None:
    @click.command(cls=kind)
    @click.argument("name")
    def alone(name: str) -> None:
        raise ValueError(f"expected 1; got {len(command_line())}")

    result = CliRunner().invoke(alone, ["name"], prog_name="alone")
    assert (result.exit_code, result.stderr, result.stdout) == (code, line, "")
    assert isinstance(result.exception, SystemExit if kind else ValueError)  # click's own kind lets it through


def test_control_characters_are_escaped_and_other_letters_kept() -> None:
    assert printable("a\x1b[2K\nb\u202e\udcff") == r"a\x1b[2K\nb\u202e\udcff"
    assert printable("Bild\u202fgrüß 笑.jpg") == "Bild\u202fgrüß 笑.jpg"
    assert one_line(ImageError("\x1b[31mred.jpg:\n none")) == r"\x1b[31mred.jpg: none"


def test_wrong_usage_is_exit_code_2() -> None:
    assert CliRunner().invoke(cli, ["fail"]).exit_code == 2


def test_the_command_line_is_kept_as_it_was_given() -> None:
    result = CliRunner().invoke(cli, ["words", "--flag", "a"], prog_name="fer-edge")
    assert result.stdout == "fer-edge words --flag a\n"


def test_an_error_without_text_gives_its_name() -> None:
    assert one_line(EdgeError()) == "EdgeError"
    assert issubclass(ModelFileError, EdgeError)


def test_help_answers_without_numpy_opencv_or_a_runtime() -> None:
    code = (
        "import sys; sys.argv = ['fer-edge', '--help']\n"
        "from edge.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'numpy', 'cv2', 'ai_edge_litert', 'tensorflow'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "image" in done.stdout

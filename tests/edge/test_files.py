from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from edge.errors import DataError, EdgeError, OutputError
from edge.files import (
    ONE_LINE,
    atomic_path,
    cache_dir,
    check_writable,
    read_json,
    record_text,
    rounded,
    sha256_of,
    write_atomically,
    write_json,
)


def test_text_and_bytes_are_written_whole_into_folders_that_are_made(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.txt", "grüß")
    write_atomically(tmp_path / "a" / "c.bin", b"\x00\x01")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "grüß".encode()
    assert (tmp_path / "a" / "c.bin").read_bytes() == b"\x00\x01"


def test_a_failed_block_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"), atomic_path(path) as temporary:
        temporary.write_text("new")
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_ends_well_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    path.write_text("old")
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".npz" and temporary.parent == tmp_path
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"wrote no file: .*x\.txt"), atomic_path(tmp_path / "x.txt"):
        pass


def test_a_link_is_written_through_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "x.txt")
    for text in ("made", "replaced"):
        write_atomically(tmp_path / "link.txt", text)
        assert (tmp_path / "link.txt").is_symlink()
        assert (tmp_path / "real" / "x.txt").read_text() == text
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["link.txt", "real", "x.txt"]


def test_a_folder_and_a_pipe_are_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    for name, came in (("folder", "a folder"), ("pipe", "a device or pipe"), ("link", "a device or pipe")):
        with pytest.raises(OutputError, match=f"expected an ordinary file to write at .*/{name}; got {came}; choose"):
            write_atomically(tmp_path / name, "x")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]


def test_what_hinders_writing_is_told_with_the_targets_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, reason in ((tmp_path / "file" / "x.txt", "Not a directory"), (tmp_path / "loop", "Too many levels")):
        with pytest.raises(OutputError, match=f"expected to write {path}; got: {reason}.*; choose another name or"):
            write_atomically(path, "x")

    def refuses(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "a temporary name")

    for owner, name in ((Path, "mkdir"), (Path, "touch"), (Path, "open"), (os, "replace")):  # root may do anything
        with monkeypatch.context() as patch, pytest.raises(OutputError) as caught:
            patch.setattr(owner, name, refuses)
            write_atomically(tmp_path / "file", "new")
        assert str(caught.value).startswith(f"expected to write {tmp_path / 'file'}; got: Permission denied; ")
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file", tmp_path / "loop"]


def test_an_os_error_of_the_block_passes_through(tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="its own"), atomic_path(tmp_path / "x.txt"):
        raise PermissionError(13, "its own")


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000  # more than one block
    (tmp_path / "x").write_bytes(content)
    assert sha256_of(tmp_path / "x") == sha256_of(content) == hashlib.sha256(content).hexdigest()
    assert sha256_of(content[:-1]) != sha256_of(content)


def test_the_cache_folder_is_our_own_variable_then_xdg_then_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_EDGE_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_dir() == Path("/own")
    monkeypatch.delenv("FER_EDGE_CACHE")
    assert cache_dir() == Path("/xdg/fer-edge")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_dir() == Path("/home/me/.cache/fer-edge")


def test_an_account_without_a_home_is_told_the_variable_and_needs_none_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, without_home: None
) -> None:
    with pytest.raises(EdgeError, match="got an account without one; set FER_EDGE_CACHE to a folder"):
        cache_dir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "fer-edge"


def test_a_record_comes_back_as_it_was_written_and_one_with_nan_replaces_nothing(tmp_path: Path) -> None:
    path, record = tmp_path / "r.json", {"name": "Lite0 é", "samples": [1.5, 2]}
    write_json(path, record)
    assert read_json(path, "measure again") == record
    assert "é" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"samples": [float("nan")]})
    assert read_json(path, "measure again") == record
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_short_or_plain_in_a_record_shares_a_line() -> None:
    samples = [round(0.1 * i, 1) for i in range(100)]  # plain values, however many
    rows = [{"n": 1, "of": ["x"]}, {"n": 2, "of": None}]
    record = {"name": "é", "samples": samples, "parts": [{"rows": rows}, {"text": "x" * ONE_LINE, "of": [[1]]}]}
    assert record_text(record) == (
        f'{{\n "name": "é",\n "samples": {samples},\n "parts": [\n'
        '  {"rows": [{"n": 1, "of": ["x"]}, {"n": 2, "of": null}]},\n'
        f'  {{\n   "text": "{"x" * ONE_LINE}",\n   "of": [[1]]\n  }}\n ]\n}}\n'
    )
    assert json.loads(record_text(record)) == record
    assert record_text({}) == "{}\n"
    with pytest.raises(ValueError, match="not JSON compliant"):
        record_text({"parts": [{"n": float("inf")}]})


def test_rounded_values_keep_six_digits_and_nothing_but_floats_changes() -> None:
    value = {"step": 0.0009968930389732122, "many": [123456789.0, (2.0, "1.23456789")], "n": 1234567890, "none": None}
    kept = {"step": 0.000996893, "many": [123457000.0, [2.0, "1.23456789"]], "n": 1234567890, "none": None}
    assert rounded(value) == kept
    assert rounded(True) is True


def test_what_is_no_json_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "cut.json").write_text('{"name": ', encoding="utf-8")
    with pytest.raises(DataError, match=r"cut\.json: expected a JSON record; got .*; measure again$"):
        read_json(tmp_path / "cut.json", "measure again")
    with pytest.raises(DataError, match=r"none\.json: expected a record; got No such file .*; check the path"):
        read_json(tmp_path / "none.json", "measure again")


@pytest.mark.parametrize("number", ["2" + "0" * 308, "-" + "1" * 9_999, "1e999", "-Infinity", "NaN"])
def test_the_place_of_a_number_that_no_float_holds_is_named(number: str, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(f'{{"samples": [1.5, {number}]}}', encoding="utf-8")
    with pytest.raises(DataError, match=r"r\.json: expected a JSON record; got .*, in samples\.1; measure again$"):
        read_json(path, "measure again")
    assert read_json(path, "measure again", finite=False)["samples"][0] == 1.5
    path.write_text(f'{{"samples": [1e308, -{"1" * 308}, 7]}}', encoding="utf-8")
    assert read_json(path, "measure again")["samples"] == [1e308, -int("1" * 308), 7]


def test_whether_a_file_can_be_written_is_known_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "new", tmp_path / "a" / "b" / "new", tmp_path / "file"):
        check_writable(path)
    assert sorted(tmp_path.iterdir()) == [tmp_path / "file"]  # nothing was made
    with pytest.raises(OutputError, match=r"expected to write .*file/new; got: Not a directory; choose another name"):
        check_writable(tmp_path / "file" / "new")
    with pytest.raises(OutputError, match=r"expected an ordinary file to write .*; got a folder"):
        check_writable(tmp_path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, whom no permission stops
    with pytest.raises(OutputError, match=r"expected to write .*new; got: Permission denied"):
        check_writable(tmp_path / "a" / "new")

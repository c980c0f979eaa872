from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from edge.files import atomic_path, cache_dir, sha256_of, write_atomically


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
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x.txt"):
        pass


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

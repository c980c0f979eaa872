from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge.errors import DataError, ImageError
from edge.pictures.packs import Pack, read_folder, read_pack, write_pack

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([0, 1, 1])
CLASSES = ("x", "y")
META = {"dataset": "fer2013", "part": "PrivateTest", "fingerprint": "sha256:1", "crop": "already cropped"}


@pytest.mark.parametrize("images", [IMAGES, np.repeat(IMAGES[..., np.newaxis], 3, axis=3)])
def test_a_pack_comes_back_as_it_was_written(tmp_path: Path, images: np.ndarray) -> None:
    write_pack(tmp_path / "a.npz", images, LABELS, ("x", "y"), META)
    pack = read_pack(tmp_path / "a.npz")
    assert np.array_equal(pack.images, images) and pack.images.dtype == np.uint8
    assert np.array_equal(pack.labels, LABELS) and pack.labels.dtype == np.int64
    assert (pack.classes, pack.meta, len(pack)) == (("x", "y"), META, 3)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"images": IMAGES.astype(np.float32)}, "expected uint8 images"),
        ({"images": IMAGES[:2]}, "one label an image, and some; got 2 images"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "and some; got 0 images"),
        ({"labels": np.array([0, 1, 2])}, r"labels 0\.\.1; got 0\.\.2"),
        ({"labels": np.array([0, 1, -1])}, r"labels 0\.\.1; got -1\.\.1"),
        ({"classes": ("x", "x")}, "two or more different classes; got x, x"),
        ({"meta": {"dataset": "a", "part": "b"}}, "got no fingerprint"),
    ],
)
def test_arrays_that_do_not_fit_together_are_not_written(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    arguments = {"images": IMAGES, "labels": LABELS, "classes": ("x", "y"), "meta": META, **change}
    with pytest.raises(DataError, match=text):
        write_pack(tmp_path / "a.npz", **arguments)
    assert not list(tmp_path.iterdir())


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"name to end in .npz; got '.dat'"):
        write_pack(tmp_path / "a.dat", IMAGES, LABELS, ("x", "y"), META)


def test_a_missing_empty_truncated_or_foreign_pack_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a pack.*; got no such file"):
        read_pack(tmp_path / "none.npz")
    write_pack(tmp_path / "a.npz", IMAGES, LABELS, ("x", "y"), META)
    content = (tmp_path / "a.npz").read_bytes()
    for name, damaged in (("empty", b""), ("short", content[: len(content) // 2]), ("text", b"emotion,pixels\n")):
        (tmp_path / f"{name}.npz").write_bytes(damaged)
        with pytest.raises(DataError, match=f"{name}.npz: expected a (readable )?pack") as caught:
            read_pack(tmp_path / f"{name}.npz")
        assert "pickle" not in str(caught.value)  # numpy's advice to load it unsafely
    with (tmp_path / "array.npz").open("wb") as stream:
        np.save(stream, IMAGES)
    with pytest.raises(DataError, match=r"expected a pack \(\.npz\); got a single array \(\.npy\)"):
        read_pack(tmp_path / "array.npz")


def test_a_header_that_claims_more_than_the_file_holds_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = io.BytesIO()
    claim = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 48, 48)}
    np.lib.format.write_array_header_1_0(header, claim)
    with zipfile.ZipFile(tmp_path / "claim.npz", "w") as archive:
        for key in ("images", "labels", "classes", "meta"):
            archive.writestr(f"{key}.npy", header.getvalue())
    with pytest.raises(DataError, match=r"expected 2,304,000,000,000 bytes in the key images as its header says; got"):
        read_pack(tmp_path / "claim.npz")

    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    write_pack(tmp_path / "a.npz", IMAGES, LABELS, ("x", "y"), META)
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", exhausted)
    with pytest.raises(DataError, match="expected a pack that fits into memory"):
        read_pack(tmp_path / "a.npz")


def test_a_pack_without_a_key_or_with_pickled_objects_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "keys.npz", images=IMAGES, labels=LABELS)
    with pytest.raises(DataError, match="got no classes, meta"):
        read_pack(tmp_path / "keys.npz")
    objects = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "pickle.npz", images=IMAGES, labels=LABELS, classes=objects, meta=objects)
    with pytest.raises(DataError, match="expected plain arrays; got Python objects in the key classes"):
        read_pack(tmp_path / "pickle.npz")


def write_folder(root: Path, sizes: dict[str, list[int]]) -> None:
    for name, sides in sizes.items():
        (root / name).mkdir(parents=True)
        for i, side in enumerate(sides):
            cv2.imwrite(str(root / name / f"{i}.png"), np.full((side, side), 40 * i, np.uint8))


def test_a_folder_a_class_is_read_in_order_at_one_size(tmp_path: Path) -> None:
    write_folder(tmp_path / "d", {"y": [8, 9], "x": [10]})
    ticks: list[tuple[int, int]] = []
    pack = read_folder(tmp_path / "d", ("x", "y", "z"), 8, 6, progress=lambda done, total: ticks.append((done, total)))
    assert pack.images.shape == (3, 8, 6, 3)
    assert pack.labels.tolist() == [0, 1, 1]
    assert pack.images[:, 0, 0, 0].tolist() == [0, 0, 40]
    assert ticks == [(1, 3), (2, 3), (3, 3)]
    assert pack.meta["dataset"] == "d"


def test_a_folders_fingerprint_follows_its_files_and_classes_not_the_size_that_is_asked_for(tmp_path: Path) -> None:
    for name, sides in (("a", {"x": [8], "y": [8, 8]}), ("b", {"x": [8], "y": [8, 8]}), ("c", {"x": [8, 8], "y": [8]})):
        write_folder(tmp_path / name, sides)
    packs = [read_folder(tmp_path / name, ("x", "y"), side, side) for name, side in (("a", 8), ("b", 16), ("c", 8))]
    prints = [pack.meta["fingerprint"] for pack in packs]
    assert prints[0] == prints[1] != prints[2]
    assert prints[0] == f"sha256:{packs[0].content_sha256}"
    write_folder(tmp_path / "d", {"x": [8], "y": [8, 9]})
    assert read_folder(tmp_path / "d", ("x", "y"), 8, 8).meta["fingerprint"] != prints[0]


def test_a_packs_content_is_its_pixels_and_classes_whatever_its_meta_claims() -> None:
    pack = Pack(IMAGES, LABELS, CLASSES, META)
    darker, other = IMAGES.copy(), LABELS.copy()
    darker[0, 0, 0] ^= 1
    other[0] = 1 - other[0]
    assert Pack(IMAGES, LABELS, CLASSES, {**META, "part": "x"}).content_sha256 == pack.content_sha256
    assert Pack(darker, LABELS, CLASSES, META).content_sha256 != pack.content_sha256
    assert Pack(IMAGES, other, CLASSES, META).content_sha256 != pack.content_sha256
    reordered = tuple(reversed(CLASSES))
    same = np.array([reordered.index(CLASSES[label]) for label in LABELS])
    assert Pack(IMAGES, same, reordered, META).content_sha256 == pack.content_sha256


def test_a_sub_folder_that_is_no_class_is_refused_not_guessed(tmp_path: Path) -> None:
    write_folder(tmp_path / "d", {"Happy": [8], "sad": [8]})
    with pytest.raises(DataError, match="sub-folders named happy, sad; got Happy"):
        read_folder(tmp_path / "d", ("happy", "sad"), 8, 8)


def test_a_folder_without_classes_or_a_missing_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="got none"):
        read_folder(tmp_path, ("x", "y"), 8, 8)
    with pytest.raises(DataError, match="got no folder"):
        read_folder(tmp_path / "none", ("x", "y"), 8, 8)


def test_a_damaged_picture_in_a_folder_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "d", {"x": [8], "y": [8]})
    (tmp_path / "d" / "y" / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"bad\.png: expected a picture"):
        read_folder(tmp_path / "d", ("x", "y"), 8, 8)

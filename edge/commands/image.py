"""`fer-edge image`: the faces in pictures and their emotions, as text or JSON, and as annotated pictures."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from edge.cli import one_line, printable
from edge.commands.options import align_option, json_option, model_option
from edge.errors import ImageError, OutputError
from edge.wording import counted

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from edge.recognizer import Reading, Recognizer

_FACE = "-face"  # ends the stem of a face cut out, before its number
_OUR_NAME = re.compile(r"(.+)-faces(-\d+)?")  # the stem of an annotated copy in a folder, and its picture's stem


@dataclass(frozen=True)
class ImageConfig:
    """The flags of `fer-edge image`."""

    files: tuple[str, ...]
    model: str | None
    as_json: bool
    out: str | None
    crops: str | None
    detector: Literal["auto", "yunet", "blazeface", "haar"]
    detector_model: str | None
    detection_side: int
    align: Literal["auto", "none", "eyes", "points"]
    threads: int | None


@click.command(short_help="Find the faces in pictures and say their emotions.")
@click.argument("files", nargs=-1, required=True, metavar="FILE|FOLDER|GLOB...")
@model_option
@json_option
@click.option("--out", metavar="FILE|FOLDER", help="Write annotated pictures: a file for one picture, else a folder.")
@click.option(
    "--crops",
    metavar="FOLDER",
    help="Write each face's square, upright, as NAME-face-1.png and so on, the largest first: faces to label, to train "
    "on, or for `fer-edge benchmark accuracy --data`. Other faces of such a name are kept: NAME-2-face-1.png.",
)
@click.option(
    "--detector",
    type=click.Choice(["auto", "yunet", "blazeface", "haar"]),
    default="auto",
    show_default=True,
    help="auto: what --detector-model is, else YuNet or BlazeFace where `fer-edge fetch` has brought it, else Haar.",
)
@click.option("--detector-model", metavar="FILE", help="YuNet's ONNX file or BlazeFace's TFLite file.")
@click.option(
    "--detection-side",
    type=click.IntRange(32, 8192),
    default=640,
    show_default=True,
    help="Longest side in pixels at which YuNet and Haar look for faces; raise it for small faces in large pictures.",
)
@align_option
@click.option(
    "--threads", type=click.IntRange(1, 64), help="Threads of the interpreter. Default: the cores, at most 4."
)
@click.pass_context
def image(context: click.Context, **flags: Any) -> None:
    """Find the faces in pictures and say their emotions.

    Folders and patterns stand for the pictures in them; sub-folders are entered by a pattern alone: 'photos/**/*'. The
    best of the model's labels is named, however unsure it is: its probability stands beside it. A picture that cannot
    be read costs one line on stderr; the others are still read, and the exit code is 1. With --json, one object a
    picture, one a line. Boxes are (left, top, right, bottom) in pixels of the upright picture; faces come largest
    first.

    In the folder --out, a copy is named after its picture: NAME-faces, with a number where that name is taken. Where
    --out is a folder of pictures itself, earlier copies in it are neither read nor overwritten.
    """
    config = ImageConfig(**flags)
    pictures, copies, failed = _pictures(config.files, config.out)
    if copies:
        click.echo(f"note: {len(copies)} not read, being named as an earlier copy: {_names(copies)}", err=True)
    targets = _targets(pictures, copies, config.out)
    crops = _crop_stems(pictures, config.crops)
    if pictures:
        recognizer = _recognizer(config)
        alone = 0
        for picture, target, crop in zip(pictures, targets, crops, strict=True):
            found = _read_one(recognizer, picture, target, crop, config.as_json)
            failed |= found is None
            alone += found == 0
        if alone and recognizer.detector.name == "haar":
            click.echo(
                f"note: no face in {counted(alone, 'picture')} by Haar, which finds frontal faces alone; a better "
                "detector: fer-edge fetch yunet",
                err=True,
            )
    context.exit(1 if failed else 0)


def _pictures(files: Sequence[str], out: str | None) -> tuple[list[Path], list[Path], bool]:
    """Return the pictures that the arguments name, each once, those left out as our own, and whether one named none.

    Left out are the pictures in the folder `out` with the name of another one's annotated copy, unless named singly.
    """
    from edge.pictures.images import list_images

    pictures: dict[str, Path] = {}
    singly: set[str] = set()
    failed = False
    for file in files:
        try:
            found = list_images([file])
        except ImageError as error:
            click.echo(f"error: {one_line(error)}", err=True)
            failed = True
            continue
        for picture in found:
            pictures.setdefault(os.path.realpath(picture), picture)
        if found == [Path(file)]:
            singly.add(os.path.realpath(file))
    stems = {picture.stem for picture in pictures.values()}
    folder = None if out is None else os.path.realpath(out)
    copies = {}
    for resolved, picture in pictures.items():
        named = _OUR_NAME.fullmatch(picture.stem)
        if named and named[1] in stems and os.path.dirname(resolved) == folder and resolved not in singly:
            copies[resolved] = picture
    return [picture for resolved, picture in pictures.items() if resolved not in copies], list(copies.values()), failed


def _names(pictures: Sequence[Path]) -> str:
    shown = ", ".join(printable(picture.name) for picture in pictures[:3])
    return shown if len(pictures) <= 3 else f"{shown}, ..."


def _recognizer(config: ImageConfig) -> Recognizer:
    from edge.notice import first_use
    from edge.recognizer import load

    first_use()
    return load(
        config.model, config.detector, config.detector_model, config.threads, config.detection_side, config.align
    )


def _read_one(
    recognizer: Recognizer, picture: Path, target: Path | None, crop: Path | None, as_json: bool
) -> int | None:
    """Read one picture, print its faces, write it annotated and its faces cut out; return how many faces, or None.

    None is for a failure, which is told in a line on stderr.
    """
    from edge.annotate import annotate, save_image
    from edge.pictures.images import read_image

    try:
        start = time.perf_counter_ns()
        pixels = read_image(picture)
        decode_ms = (time.perf_counter_ns() - start) / 1e6
        reading, squares = (recognizer(pixels), []) if crop is None else recognizer.read_and_cut(pixels)
        if target is not None:
            save_image(target, annotate(pixels, reading.faces))
        cut = [] if crop is None else _crop_names(crop, squares)
        for path, square in zip(cut, squares, strict=True):
            save_image(path, square)
    except (ImageError, OutputError, OSError) as error:
        click.echo(f"error: {one_line(error)}", err=True)
        return None
    name = str(picture)
    if as_json:
        told = _told(recognizer, reading.to_dict(name, decode_ms), target, cut if crop else None)
        click.echo(json.dumps(told, allow_nan=False))
    else:
        click.echo(_text(name, reading, target))
    return len(reading.faces)


def _told(
    recognizer: Recognizer, reading: dict[str, Any], target: Path | None, cut: Sequence[Path] | None
) -> dict[str, Any]:
    """Return the object of --json: the reading, who read it, and what was written."""
    return {
        **reading,
        **recognizer.about(),
        **({} if target is None else {"out": str(target)}),
        **({} if cut is None else {"crops": [str(path) for path in cut]}),
    }


def _text(name: str, reading: Reading, target: Path | None) -> str:
    found = counted(len(reading.faces), "face") if reading.faces else "no faces"
    written = "" if target is None else f" -> {target}"
    lines = [f"{name}: {reading.width} x {reading.height}, {found}{written}"]
    for face in reading.faces:
        best = sorted(face.probabilities.items(), key=lambda item: -item[1])
        others = ", ".join(f"{label} {p:.0%}" for label, p in best[1:3])
        left, top, right, bottom = face.box
        lines.append(
            f"  {best[0][0]:<8} {best[0][1]:>4.0%}  ({others})  box {left},{top} to {right},{bottom}  "
            f"detection {face.detection_score:.2f}"
        )
    return "\n".join(printable(line) for line in lines)


def _crop_names(stem: Path, squares: Sequence[npt.NDArray[np.uint8]]) -> list[Path]:
    """Return the names of a picture's faces: with a number in them where other faces have those without.

    The same faces keep their names, so that a folder that is filled again does not grow.
    """
    number = 1
    while True:
        own = stem if number == 1 else stem.with_name(f"{stem.name.removesuffix(_FACE)}-{number}{_FACE}")
        names = [own.with_name(f"{own.name}-{i}.png") for i in range(1, len(squares) + 1)]
        if all(_is_free(name, square) for name, square in zip(names, squares, strict=True)):
            return names
        number += 1


def _is_free(path: Path, square: npt.NDArray[np.uint8]) -> bool:
    """Return whether nothing is at a path, or this very picture."""
    import numpy as np

    from edge.pictures.images import read_image

    if not os.path.lexists(path):
        return True
    try:
        return path.is_file() and np.array_equal(read_image(path), square)
    except ImageError:
        return False


def _crop_stems(pictures: Sequence[Path], folder: str | None) -> list[Path | None]:
    """Return how the names of each picture's faces begin: the folder and NAME-face, with a number where that is taken.

    Raises:
        UsageError: the folder is none, or holds pictures that are read, which its files could replace.
    """
    if folder is None:
        return [None] * len(pictures)
    path = Path(folder)
    if not folder or (os.path.lexists(path) and not os.path.isdir(path)):
        raise click.UsageError(f"--crops: expected a folder; got {printable(folder) or 'an empty name'}")
    if any(os.path.dirname(os.path.realpath(picture)) == os.path.realpath(path) for picture in pictures):
        raise click.UsageError(f"--crops: expected another folder than the pictures'; got {printable(folder)}")
    stems: list[Path | None] = []
    taken = set()
    for picture in pictures:
        stem, number = f"{picture.stem}{_FACE}", 1
        while stem in taken:  # by a picture of the same name from another folder, or of another format
            number += 1
            stem = f"{picture.stem}-{number}{_FACE}"
        taken.add(stem)
        stems.append(path / stem)
    return stems


def _targets(pictures: Sequence[Path], copies: Sequence[Path], out: str | None) -> list[Path | None]:
    """Return where each picture's annotated copy goes; never onto a picture that is read or an earlier copy.

    A folder is made when its first copy is written.

    Raises:
        UsageError: one file for several pictures, a suffix that cannot be written, a file in the folder's place, or a
            picture would be overwritten.
    """
    from edge.annotate import WRITABLE_SUFFIXES

    if out is None:
        return [None] * len(pictures)
    path, shown = Path(out), printable(out)
    taken = {os.path.realpath(picture) for picture in (*pictures, *copies)}
    if path.suffix and not os.path.isdir(path) and not out.endswith("/"):
        if path.suffix.lower() not in WRITABLE_SUFFIXES:
            raise click.UsageError(f"--out: expected a folder or a name in {', '.join(WRITABLE_SUFFIXES)}; got {shown}")
        if len(pictures) > 1:
            raise click.UsageError(f"--out: expected a folder for {len(pictures)} pictures; got the file {shown}")
        if os.path.realpath(path) in taken:
            raise click.UsageError(f"--out: expected another file than the pictures read; got {shown}")
        return [path] * len(pictures)
    if not out or (os.path.lexists(path) and not os.path.isdir(path)):
        raise click.UsageError(f"--out: expected a folder; got {shown or 'an empty name'}; choose another name")
    targets: list[Path | None] = []
    for picture in pictures:
        suffix = picture.suffix if picture.suffix.lower() in WRITABLE_SUFFIXES else ".png"
        target, number = path / f"{picture.stem}-faces{suffix}", 1
        while os.path.realpath(target) in taken:  # also by a picture of the same name from another folder
            number += 1
            target = path / f"{picture.stem}-faces-{number}{suffix}"
        taken.add(os.path.realpath(target))
        targets.append(target)
    return targets

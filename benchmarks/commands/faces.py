"""`python -m benchmarks faces`: other packages beside fer-edge on the same pictures."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.commands.footprint import environment_of
from benchmarks.runtime.tools import OURS, TOOLS, YUNET, answers_text
from edge.cli import OneLineCommand, command_line
from edge.commands.options import record_target
from edge.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROUNDS = 100


@click.command(cls=OneLineCommand, short_help="Compare fer-edge with other packages, picture by picture.")
@click.option("--tool", "tools", multiple=True, type=click.Choice(list(TOOLS)), help="One or more; default: all.")
@click.option(
    "--environment", "given", multiple=True, metavar="TOOL=PYTHON", help="Take this Python, which has the tool."
)
@click.option("--picture", "pictures", multiple=True, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--photograph/--no-photograph", default=True, help="scikit-image's astronaut.")
@click.option("--yunet", type=click.Path(path_type=Path, dir_okay=False), help="YuNet's file: fer-edge with it, too.")
@click.option("--rounds", default=_ROUNDS, show_default=True, type=click.IntRange(1))
@click.option("--warmup", default=3, show_default=True, type=click.IntRange(0))
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="Folder of the environments.")
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), callback=record_target, help="Write the record here."
)
def faces(
    tools: tuple[str, ...],
    given: tuple[str, ...],
    pictures: tuple[Path, ...],
    photograph: bool,
    yunet: Path | None,
    rounds: int,
    warmup: int,
    home: Path | None,
    record: Path | None,
) -> None:
    """Let fer-edge and the PyPI packages fer and deepface read the same pictures in turns, on one core, offline.

    Each has an environment of its own, made by pip (gigabytes for fer) unless --environment gives one.
    """
    pythons = dict(_given(given))
    from benchmarks.runtime.faces import astronaut, compare, drawn_pictures
    from benchmarks.runtime.record import write

    if YUNET in tools and yunet is None:
        raise click.UsageError(f"--tool {YUNET} needs --yunet FILE")
    for path in (*pictures, *((yunet,) if yunet else ())):
        if not path.is_file():
            raise DataError(f"expected a file at {path}; got none; check the path")
    wanted = [name for name in dict.fromkeys((OURS, *(tools or TOOLS))) if name != YUNET or yunet is not None]
    with tempfile.TemporaryDirectory(prefix="fer-edge-pictures-") as folder:
        place = Path(folder)
        read = {**(astronaut(place) if photograph else {}), **drawn_pictures(place)}
        for path in pictures:
            if path.name in read:
                raise DataError(f"{path}: expected pictures of different names; got a second {path.name}; rename one")
            read[path.name] = path
        environments: dict[str, Path] = {}
        for name in wanted:
            asked = TOOLS[name].requirements
            alike = (path for other, path in environments.items() if TOOLS[other].requirements == asked)
            environments[name] = pythons.get(name) or next(alike, None) or environment_of(name, home, place)
        found = compare(environments, read, rounds, warmup, command_line(), yunet)
    for tool in found["tools"]:
        size = f"{tool['size_bytes'] / 1e6:,.0f} MB in {len(tool['packages'])} packages"
        if "error" in tool:
            click.echo(f"{tool['name']}: {tool['status']}: {tool['error']}; {size}")
            continue
        times = tool["face_ms"]
        median = f"{times['p50']:.1f} ms a face" if times else "no picture in which all found one face"
        click.echo(f"{tool['name']} {tool['version']}: {median}; {size}; {answers_text(tool['answers'])}")
    for entry in found["ratios"]:
        low, high = entry["ci95"]
        pair = f"{entry['model']} against {entry['against']}"
        click.echo(f"{pair}: {entry['median']:.2f}× ({low:.2f} to {high:.2f}) as fast")
    if record is not None:
        write(record, found)
        click.echo(f"wrote {record}", err=True)


def _given(words: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    for word in words:
        name, equals, path = word.partition("=")
        if name not in TOOLS or not equals or not Path(path).is_file():
            raise click.UsageError(f"--environment: expected one of {', '.join(TOOLS)}, then =PYTHON; got {word}")
        yield name, Path(path).absolute()

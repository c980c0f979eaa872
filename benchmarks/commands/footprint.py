"""`python -m benchmarks footprint`: what a base install takes; and the environments that `faces` measures in."""

from __future__ import annotations

import platform
import tempfile
from pathlib import Path

import click

from benchmarks.runtime.tools import OURS, TOOLS
from edge.cli import OneLineCommand, command_line
from edge.commands.options import record_target


@click.command(cls=OneLineCommand, short_help="Tell what a base install takes.")
@click.option("--repeats", default=10, show_default=True, type=click.IntRange(1), help="Timed processes.")
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="Folder of the environment.")
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), callback=record_target, help="Write the record here."
)
def footprint(repeats: int, home: Path | None, record: Path | None) -> None:
    """Build the wheel, install it into a fresh environment, and measure size, packages, import and first answer."""
    from benchmarks.runtime.environment import build_wheel, site_packages
    from benchmarks.runtime.faces import drawn_pictures
    from benchmarks.runtime.footprint import first_answers, footprint_record
    from benchmarks.runtime.record import write

    with tempfile.TemporaryDirectory(prefix="fer-edge-footprint-") as folder:
        place = Path(folder)
        wheel = build_wheel(place)
        python = environment_of(OURS, home, place, wheel)
        picture = next(iter(drawn_pictures(place).values()))
        answers = first_answers(python, picture, repeats)
        system = f"{platform.machine()}, {platform.system()}"
        found = footprint_record([site_packages(python)], wheel, answers, command_line(), system)
    for name, entry in found["packages"].items():
        click.echo(f"{entry['size_bytes'] / 1e6:9.2f} MB  {name} {entry['version']}")
    click.echo(
        f"{found['size_bytes'] / 1e6:9.2f} MB  together, without byte code; wheel {found['wheel_bytes'] / 1e6:.2f} MB; "
        f"import and load {found['import_s']:.2f} s, first answer {found['first_answer_s']:.2f} s"
    )
    if record is not None:
        write(record, found)
        click.echo(f"wrote {record}", err=True)


def environment_of(name: str, home: Path | None, folder: Path, wheel: Path | None = None) -> Path:
    """Return the Python of a tool's environment, made by pip where it is not there.

    Args:
        name: a key of `TOOLS`.
        home: folder of the environments; None: one in the cache.
        folder: where fer-edge's wheel is built.
        wheel: fer-edge's, where it is built already.

    Raises:
        EdgeError: git, the build or pip fails.
    """
    from benchmarks.runtime.environment import ROOT, build_wheel, environment
    from edge.files import cache_dir

    def say(text: str) -> None:
        click.echo(text, err=True)

    place = (home or cache_dir() / "environments").resolve()
    if name != OURS:
        return environment(place, name, TOOLS[name].requirements, say=say)
    return environment(place, name, [str(wheel or build_wheel(folder))], ROOT / "constraints.txt", say)

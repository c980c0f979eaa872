"""`python -m benchmarks instructions` and `references`: what an inference executes on a Raspberry Pi's core; no Pi."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from benchmarks.arm.boards import BOARDS, SUITES
from benchmarks.arm.runtimes import RUNTIME, RUNTIMES
from edge.cli import OneLineCommand, command_line
from edge.commands.options import record_target

if TYPE_CHECKING:
    from benchmarks.arm.count import Count

_FUNCTIONS_SHOWN = 12


def _note(text: str) -> None:
    click.echo(text, err=True)


@click.command(cls=OneLineCommand)
@click.argument("models", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--board", "boards", multiple=True, type=click.Choice(list(BOARDS)), help="One or more; default: all.")
@click.option("--suite", type=click.Choice(list(SUITES)), default="bookworm", show_default=True, help="Debian suite.")
@click.option(
    "--runtime", "runtimes", multiple=True, type=click.Choice(list(RUNTIMES)),
    help=f"One or more; the others are held against the first.  [default: {RUNTIME}]",
)  # fmt: skip
@click.option("--cache", is_flag=True, help="Simulate the data caches too, and estimate a Pi 4's milliseconds.")
@click.option("--functions", is_flag=True, help="Tell which kernels of the runtime spend the instructions.")
@click.option(
    "--record",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=record_target,
    help="Write the counts as JSON.",
)
@click.option("--home", type=click.Path(path_type=Path, file_okay=False), help="Folder of the emulated machines.")
@click.option("--mirror", help="Debian mirror to make them from; default: this machine's own.")
def instructions(
    models: tuple[Path, ...],
    boards: tuple[str, ...],
    suite: str,
    runtimes: tuple[str, ...],
    cache: bool,
    functions: bool,
    record: Path | None,
    home: Path | None,
    mirror: str | None,
) -> None:
    """Count the ARM instructions of an inference of MODELS (any .tflite) under emulation of a Pi 4 and a Pi 5.

    Needs qemu-aarch64 and gcc; the first run makes an arm64 Debian of 80 MB in a cache folder.
    """
    from benchmarks.arm import beside
    from benchmarks.arm import record as records
    from benchmarks.arm.count import count, emulator
    from benchmarks.arm.home import Home, default_folder, qemu_version

    first, *further = dict.fromkeys(runtimes or [RUNTIME])
    _need_wheels((first, *further), suite)
    place = Home(home or default_folder(), mirror, _note)
    counts: dict[str, dict[str, tuple[Count, ...]]] = {}
    for name in (first, *further):
        counts[name] = {
            board: count(emulator(place, suite, board, name), models, name, cache=cache, functions=functions)
            for board in dict.fromkeys(boards or BOARDS)
        }
    found = records.record(
        counts[first], suite=suite, qemu=qemu_version(), command=command_line(), runtime=first,
        others={name: counts[name] for name in further},
    )  # fmt: skip
    read = records.of_fields(found)
    click.echo(records.table([read]), nl=False)
    for line in beside.said(read):
        click.echo(line)
    for name, of_runtime in counts.items():
        for board, of_board in of_runtime.items():
            for entry in of_board:
                _show_functions(f"{board} with {name}", entry)
    if record is not None:
        records.write_instructions(record, found)
        _note(f"wrote {record}")


@click.command(cls=OneLineCommand, short_help="Write the networks that the estimate of milliseconds is fitted to.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder of the files.")
def references(out: Path) -> None:
    """Write MobileNetV1 and MobileNetV2, float32 and int8, whose times on a Raspberry Pi 4 others have published.

    Count them with `instructions OUT/*.tflite --board pi4 --cache`.
    """
    from convert.__main__ import settle_frameworks

    settle_frameworks()
    from benchmarks.arm.references import write

    for path in write(out):
        click.echo(f"{path} ({path.stat().st_size:,} bytes)")


def _need_wheels(runtimes: tuple[str, ...], suite: str) -> None:
    for name in runtimes:
        if suite not in RUNTIMES[name].suites:
            raise click.UsageError(
                f"expected --suite {' or '.join(RUNTIMES[name].suites)} with --runtime {name}; got {suite}; "
                f"there is no wheel of it for Python {SUITES[suite].python}"
            )


def _show_functions(board: str, entry: Count) -> None:
    if not entry.functions:
        return
    click.echo(f"\n{entry.model.name} on {board}, million instructions by function:")
    for function in entry.functions[:_FUNCTIONS_SHOWN]:
        share = function.instructions / entry.instructions
        click.echo(f"{function.instructions / 1e6:9.3f} {share:6.1%}  {function.name}")

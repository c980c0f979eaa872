"""`python -m benchmarks costs`, `runtime`, `runs`: what converting, running and training gave; pages from records."""

from __future__ import annotations

from pathlib import Path

import click

from edge.cli import OneLineCommand

_RECORDS = click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
_PAGE = click.option(
    "--page", type=click.Path(path_type=Path, dir_okay=False), help="Markdown file whose block to rewrite."
)
_CHECK = click.option("--check", is_flag=True, help="With --page: change nothing, fail if the block is out of date.")


@click.command(cls=OneLineCommand, short_help="Tell what conversions cost and won.")
@_RECORDS
@_PAGE
@_CHECK
def costs(records: tuple[Path, ...], page: Path | None, check: bool) -> None:
    """Print targets, conversions, peers and ARM instructions of RECORDS (JSON files or folders of them) as Markdown."""
    _need_page(page, check)
    from benchmarks.costs import BEGIN, END, markdown, read_costs
    from benchmarks.targets import show_or_settle

    block = markdown(read_costs(records))
    show_or_settle(block, page, check, (BEGIN, END), "python -m benchmarks costs RECORDS --page")


@click.command(cls=OneLineCommand, short_help="Tell what running costs.")
@_RECORDS
@_PAGE
@_CHECK
def runtime(records: tuple[Path, ...], page: Path | None, check: bool) -> None:
    """Print targets and tables of RECORDS (pipeline, startup, soak, footprint, faces, fuzz) as Markdown."""
    _need_page(page, check)
    from benchmarks.runtime.page import BEGIN, END, markdown, read_runtime
    from benchmarks.targets import show_or_settle

    block = markdown(read_runtime(records))
    show_or_settle(block, page, check, (BEGIN, END), "python -m benchmarks runtime RECORDS --page")


@click.command(cls=OneLineCommand, short_help="Tell what training runs were told and reached.")
@_RECORDS
@_PAGE
@_CHECK
def runs(records: tuple[Path, ...], page: Path | None, check: bool) -> None:
    """Print the training runs and evaluations in RECORDS (JSON files or folders of them) as Markdown."""
    _need_page(page, check)
    from benchmarks.targets import show_or_settle
    from benchmarks.training_log import BEGIN, END, markdown, read_log

    block = markdown(read_log(records))
    show_or_settle(block, page, check, (BEGIN, END), "python -m benchmarks runs RECORDS --page")


def _need_page(page: Path | None, check: bool) -> None:
    if check and page is None:
        raise click.UsageError("--check needs --page FILE")

"""`python -m benchmarks costs`: what conversions cost and won, as one page from their records."""

from __future__ import annotations

from pathlib import Path

import click

from edge.cli import OneLineCommand


@click.command(cls=OneLineCommand, short_help="Tell what conversions cost and won.")
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--page", type=click.Path(path_type=Path, dir_okay=False), help="Markdown file whose block to rewrite.")
@click.option("--check", is_flag=True, help="With --page: change nothing, fail if the block is out of date.")
def costs(records: tuple[Path, ...], page: Path | None, check: bool) -> None:
    """Print targets, conversions, peers and ARM instructions of RECORDS (JSON files or folders of them) as Markdown."""
    if check and page is None:
        raise click.UsageError("--check needs --page FILE")
    from benchmarks.costs import BEGIN, END, markdown, read_costs
    from benchmarks.report import settle_page, with_block

    block = markdown(read_costs(records))
    if page is None:
        click.echo(block, nl=False)
        return
    text = page.read_text(encoding="utf-8")
    wanted = with_block(text, block, str(page), BEGIN, END)
    if settle_page(page, text, wanted, check, "python -m benchmarks costs RECORDS --page"):
        click.echo(f"wrote the costs into {page}")

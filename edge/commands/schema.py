"""`fer-edge benchmark schema`: the JSON Schema of the records, for those who read or check them."""

from __future__ import annotations

import json

import click

from edge.benchmarking.records import KINDS


@click.command(short_help="Print the JSON Schema of the records.")
@click.argument("kind", required=False, type=click.Choice(KINDS))
def schema(kind: str | None) -> None:
    """Print the JSON Schema (draft 2020-12) of the records of one KIND, or of all kinds.

    It refers to nothing outside itself, so that any validator takes it.
    """
    from edge.schema import record_schema

    click.echo(json.dumps(record_schema(kind), indent=2, ensure_ascii=False))

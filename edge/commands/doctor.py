"""`fer-edge doctor`: whether this machine has what the runtime needs, each check by using it, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from edge.cli import printable
from edge.commands.options import json_option, model_option

if TYPE_CHECKING:
    from edge.doctor.check import Check

_SIGNS = {"unknown": "?"}


@click.command(short_help="Check this machine: board, speed, cameras, runtime, model.")
@model_option
@json_option
@click.pass_context
def doctor(context: click.Context, model: str | None, as_json: bool) -> None:
    """Check this machine by using it: board, speed, cameras, OpenCV, runtime, detector, model.

    One line a check: ok; warn: it works, but not as well as it could; FAIL; or ? for what the machine does not say.
    What to do stands behind the arrow. The exit code is 1 if a check fails. --json prints one object: schema, ok,
    checks (each with name, status, detail, advice, facts).
    """
    from edge.doctor import examine, report

    checks = []
    for check in examine(model):
        checks.append(check)
        if not as_json:
            click.echo(_line(check))
    found = report(checks)
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    context.exit(0 if found["ok"] else 1)


def _line(check: Check) -> str:
    advice = f" -> {check.advice}" if check.advice else ""
    return printable(f"{_SIGNS.get(check.status, check.status):<5} {check.name:<11} {check.detail}{advice}")

"""`fer-edge about`: what this is, what it must not be used for, and whose work is in it."""

from __future__ import annotations

import click

from edge import __version__
from edge.cli import printable

_TEXT = """\
fer-edge {version}: facial emotion recognition from a workstation to a Raspberry Pi. Licence: Apache-2.0.

It labels facial expressions in pictures. An expression is not a feeling: do not use it to judge people, in hiring,
schooling, policing, insurance, medicine, or to identify anyone; in the European Union, inferring emotions at work and
in education is prohibited (Regulation 2024/1689, article 5). Pictures stay on this machine: nothing is sent anywhere.

Third parties: OpenCV (Apache-2.0) with Lienhart's Haar cascade (Intel licence); LiteRT (Apache-2.0);
YuNet (MIT), only if fetched."""


@click.command(short_help="What this is, what it must not be used for, whose work is in it.")
def about() -> None:
    """Say what this is, what it must not be used for, and whose work is in it."""
    from edge.modelfile import default_model_path, read_model

    click.echo(_TEXT.format(version=__version__))
    if default_model_path().exists():
        contract = read_model().contract
        click.echo()
        for line in (
            f"Model: {contract.name} {contract.version}, {contract.licence}. {contract.description}",
            f"For: {contract.intended_use}",
            f"Not for: {contract.not_for}",
        ):
            click.echo(printable(line))

"""Options that several commands of ``python -m train`` share."""

from __future__ import annotations

import click

from train.augmentation.augment import TTA_VIEWS
from train.devices import BACKENDS, choose_backend

tta_option = click.option(
    "--tta",
    is_flag=False,
    flag_value="flip",
    default="none",
    show_default=True,
    type=click.Choice(TTA_VIEWS),
    help="Test-time augmentation; alone it means flip.",
)


def with_backend(command: click.Command) -> click.Command:
    """Return the command with ``--backend`` added: it is set before the command itself, and so Keras, starts."""

    def choose(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
        if not context.resilient_parsing:
            choose_backend(value)

    option = click.Option(
        ["--backend"],
        type=click.Choice(BACKENDS),
        expose_value=False,
        is_eager=True,
        callback=choose,
        help="What Keras computes with.  [default: KERAS_BACKEND, else Keras' own]",
    )
    command.params.append(option)
    return command

"""What every command of ``python -m train`` takes beside its own options."""

from __future__ import annotations

import click

from train.devices import BACKENDS, choose_backend


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

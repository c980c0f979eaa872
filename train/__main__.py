"""``python -m train``: fit, evaluate, pack."""

from __future__ import annotations

import click

from edge.cli import OneLineGroup
from edge.quiet import silence_native_libraries
from train.commands.evaluate import evaluate
from train.commands.fit import fit
from train.commands.pack import pack


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train and evaluate models for facial emotion recognition."""


for command in (fit, evaluate, pack):
    main.add_command(command)

if __name__ == "__main__":
    silence_native_libraries()
    main(prog_name="python -m train")

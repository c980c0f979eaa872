"""``python -m train``: fit, recipes, evaluate, compare, protocols, audit, pack."""

from __future__ import annotations

import click

from edge.cli import OneLineGroup
from edge.quiet import silence_native_libraries
from train.commands.audit import audit
from train.commands.compare import compare, protocols
from train.commands.evaluate import evaluate
from train.commands.fit import fit
from train.commands.options import with_backend
from train.commands.pack import pack
from train.commands.recipes import recipes
from train.commands.throughput import throughput
from train.devices import keep_heap


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train and evaluate models for facial emotion recognition."""


for command in (fit, recipes, evaluate, compare, protocols, pack, audit, throughput):
    main.add_command(with_backend(command))

if __name__ == "__main__":
    silence_native_libraries()
    keep_heap()
    main(prog_name="python -m train")

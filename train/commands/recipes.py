"""``python -m train recipes``: the training recipes in full."""

from __future__ import annotations

import click

from train.recipes import RECIPES, describe
from train.recipes import recipe as recipe_by_name


@click.command()
@click.argument("name", required=False)
def recipes(name: str | None) -> None:
    """Print the recipe NAME, or all of them."""
    for recipe in [recipe_by_name(name)] if name else RECIPES.values():
        click.echo(describe(recipe))

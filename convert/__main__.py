"""``python -m convert``: a trained run or .keras file in, one checked TFLite file a recipe out.

python -m convert runs/fer --recipe qat-int8 --dataset fer2013 --data fer2013.csv --out exports
python -m convert model.keras --recipe all --dataset folder --data faces/ --out exports --steps 200
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import click

from convert.config import INTENDED_USE, NOT_FOR, ConvertConfig
from convert.tflite.export import RECIPES, quiet
from edge.cli import OneLineCommand, command_line
from train.devices import keep_heap


@click.command(cls=OneLineCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    required=True,
    type=click.Choice((*RECIPES, "all")),
    help="The arithmetic of the file; may be repeated.",
)
@click.option("--dataset", required=True, help="Data set for calibration, fine-tuning and checks (see train).")
@click.option("--data", type=click.Path(path_type=Path), help="Where the data set lies.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder for NAME-RECIPE.tflite and .json.")
@click.option("--name", help="Of the model; the run's or the file's name without it.")
@click.option("--protocol", help="Rows to train and select on; the run's own without it.")
@click.option("--part", "parts", multiple=True, help="Measure on this part too; may be repeated.")
@click.option("--colour", default="auto", show_default=True, type=click.Choice(("auto", "grey", "rgb")))
@click.option("--epochs", default=2.0, show_default=True, type=click.FloatRange(0), help="Of fine-tuning.")
@click.option("--steps", type=click.IntRange(0), help="Of fine-tuning, in place of --epochs.")
@click.option("--batch", default=64, show_default=True, type=click.IntRange(1), help="Pictures a step.")
@click.option(
    "--learning-rate",
    default=2e-4,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Highest, as a share of each channel's largest weight.",
)
@click.option(
    "--hard-share", default=0.0, show_default=True, type=click.FloatRange(0, 1), help="Weight of true labels."
)
@click.option("--calibration", default=1024, show_default=True, type=click.IntRange(1), help="Pictures for the ranges.")
@click.option(
    "--accuracy-budget",
    type=click.FloatRange(0),
    metavar="POINTS",
    help="Keep the costliest layers of an int8 file in float until it drops by no more on the validation part.",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0))
@click.option("--without", multiple=True, metavar="RULE", help="Leave a lowering rule out; may be repeated.")
@click.option("--limit", type=click.IntRange(1), help="Only the first N pictures of each part (for trials).")
@click.option("--model-version", "version", default="1.0.0", show_default=True, help="Into the file's metadata.")
@click.option("--licence", default="Apache-2.0", show_default=True, help="Into the file's metadata.")
@click.option("--intended-use", default=INTENDED_USE, help="Into the file's metadata.")
@click.option("--not-for", default=NOT_FOR, help="Into the file's metadata.")
@click.option("--allow-leaks", is_flag=True, help="Take another --protocol than the run's; the file tells of it.")
@click.option("--quiet", is_flag=True, help="No progress; only the files' names.")
def main(recipes: tuple[str, ...], **flags: Any) -> None:
    """Convert MODEL (a run folder or a .keras file) into self-describing TFLite files, each checked before writing.

    All files take one uint8 RGB face and give calibrated probabilities. qat-int8 fine-tunes with quantization in the
    loop and can be taken up again after a kill. NAME.html compares all files: accuracy, latency, layers, delegation.
    """
    chosen = RECIPES if "all" in recipes else tuple(dict.fromkeys(recipes))
    config = ConvertConfig(recipes=chosen, **flags)
    settle_frameworks()
    from convert.conversion import convert
    from convert.reporting.progress import ConsoleProgress, Progress

    progress = Progress() if config.quiet else ConsoleProgress()
    for path in convert(config, command_line(), progress):
        click.echo(f"{path} ({path.stat().st_size:,} bytes)")


def settle_frameworks() -> None:
    """Chooses Keras' backend and loads TensorFlow with its chatter turned off."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    for name in ("tensorflow", "absl", "tf_keras"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with quiet():
        import tensorflow  # noqa: F401
        import tf_keras  # noqa: F401


if __name__ == "__main__":
    keep_heap()
    main(prog_name="python -m convert")

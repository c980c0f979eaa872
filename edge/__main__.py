"""`fer-edge`, the device's command (also `python -m edge`)."""

from __future__ import annotations

import click

from edge import __version__
from edge.cli import OneLineGroup
from edge.commands.about import about
from edge.commands.benchmark import benchmark
from edge.commands.camera import camera
from edge.commands.doctor import doctor
from edge.commands.fetch import fetch
from edge.commands.image import image
from edge.commands.info import info
from edge.commands.serve import serve
from edge.commands.video import video
from edge.quiet import silence_native_libraries


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fer-edge")
def cli() -> None:
    """Facial emotion recognition on the device: the faces in pictures, videos and cameras, and their emotions."""


for _command in (image, video, camera, serve, info, benchmark, fetch, doctor, about):
    cli.add_command(_command)


def main() -> None:
    """Run the command line."""
    silence_native_libraries()
    cli(prog_name="fer-edge")


if __name__ == "__main__":
    main()

"""The shared click group: failures become one line on stderr and exit code 1, never a traceback.

Used by `fer-edge` and by the commands of train, convert and benchmarks:

    @click.group(cls=OneLineGroup)
    def main() -> None: ...

Exit codes: 0 it worked, 1 it failed (one line says why), 2 wrong usage (click's own). `FER_EDGE_DEBUG=1` shows the
traceback as well.
"""

from __future__ import annotations

import os
import sys
import traceback
import unicodedata
from typing import IO, Any

import click

from edge.errors import EdgeError

_ARGUMENTS_KEY = "edge.cli.arguments"
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, direction marks, undecodable bytes, line separators


class Failure(click.ClickException):
    """A failed command: `error: TEXT` in one line on stderr, exit code 1."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the one line on stderr (or `file`)."""
        click.echo(f"error: {self.format_message()}", file=file, err=file is None)


class _OneLine(click.Command):
    """What turns EdgeError, ValueError and OSError into one line and exit code 1."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Return click's context, which remembers the arguments for `command_line`."""
        arguments = list(args)
        context = super().make_context(info_name, args, parent=parent, **extra)
        context.meta.setdefault(_ARGUMENTS_KEY, [info_name or "", *arguments])
        return context

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; raise `Failure` for the errors that a user can meet."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # the reader of our output went away (| head): click ends quietly
            raise
        except (EdgeError, ValueError, OSError) as error:
            if os.environ.get("FER_EDGE_DEBUG"):
                traceback.print_exc(file=sys.stderr)
            raise Failure(one_line(error)) from error


class OneLineCommand(_OneLine):
    """A click command that turns EdgeError, ValueError and OSError into one line and exit code 1."""


class OneLineGroup(_OneLine, click.Group):
    """A click group whose commands turn EdgeError, ValueError and OSError into one line and exit code 1."""


def command_line() -> list[str]:
    """Return the running command's words, program name first, as records keep them."""
    context = click.get_current_context(silent=True)
    if context is None or _ARGUMENTS_KEY not in context.meta:
        return list(sys.argv)
    return list(context.meta[_ARGUMENTS_KEY])


def one_line(error: BaseException) -> str:
    """Return the error's text in one line; an OSError names its file and the system's reason."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    else:
        text = str(error) or type(error).__name__
    return printable(" ".join(text.split()))


def printable(text: str) -> str:
    """Return the text with control characters escaped (a newline as two signs), so that no name can forge a line."""
    return "".join(
        character.encode("unicode_escape").decode("ascii") if unicodedata.category(character) in _UNSEEN else character
        for character in text
    )

"""What a command that fails prints, and the code it exits with.

====  ==================================================
code  meaning
====  ==================================================
0     fine
1     ours: a mistake in commonspace
2     the user's: a `CommonspaceError`, or wrong options
130   interrupted
====  ==================================================
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from commonspace.errors import CommonspaceError

DEBUG_VARIABLE = "COMMONSPACE_DEBUG"

# The base of all errors of parsing, wherever this version of typer keeps it.
UsageError: Any = typer.BadParameter.__base__


class Commands(TyperGroup):
    """The group of all commands: ends every failure with a message and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit."""
        given = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(given, prog_name, complete_var, False, windows_expand_args, **extra)
        except Exception as error:  # whatever it is: a message and a code
            code = report(error, as_json="--json" in given)
        sys.exit(code if isinstance(code, int) else 0)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was parsed; Ctrl-C ends it with one line."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None


def report(error: Exception, *, as_json: bool) -> int:
    """Print an error for people or, as one JSON object on stdout, for programs.

    Returns:
        The exit code.
    """
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exception(error)
    kind, message, code = describe(error)
    if as_json:
        typer.echo(json.dumps({"error": {"code": kind, "message": message}}))
    elif isinstance(error, UsageError):
        error.show()
    else:
        typer.echo(f"{kind}: {message}", err=True)
    return code


def describe(error: Exception) -> tuple[str, str, int]:
    """Return the name, the message and the exit code of an error."""
    if isinstance(error, CommonspaceError):
        return type(error).__name__, str(error), 2
    if isinstance(error, UsageError):
        return "UsageError", str(error.format_message()), 2
    if isinstance(error, typer.Abort):
        return "Aborted", "aborted", 130
    hint = f"This is a mistake in commonspace; {DEBUG_VARIABLE}=1 shows where."
    return "InternalError", f"{type(error).__name__}: {error}. {hint}", 1

"""The command line: parse, call the library, print.

Everything a command does is one call of a public function; `main` is the entry point.
"""

from commonspace.cli.commands import app, main

__all__ = ["app", "main"]

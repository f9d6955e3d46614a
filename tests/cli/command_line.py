"""The command line run in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from commonspace.cli import app

TINY = ("--set", "hidden=[16]", "--set", "dim=8", "--set", "epochs=2", "--jobs", "1")


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout; fails if there is anything else."""
        return json.loads(self.out)


def run(*arguments: object) -> Done:
    """Run the command line in this process."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return Done(result.exit_code, result.stdout, result.stderr)


def ran(*arguments: object) -> Any:
    """Run with --json, expect success and return the object."""
    done = run(*arguments, "--json")
    assert done.code == 0, done.out + done.err
    return done.json

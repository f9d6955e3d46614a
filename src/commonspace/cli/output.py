"""Tables, progress and JSON. What users wrote is never taken for markup or terminal codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from commonspace.types import JsonDict

_PIPED_WIDTH = 160  # of tables that go to a file, where nothing says how wide it is


def print_json(result: Any) -> None:
    """Print one JSON object, in ASCII, so that any terminal and any reader takes it."""
    typer.echo(json.dumps(result, indent=2, allow_nan=False))


def print_line(*parts: Any) -> None:
    """Print one line of plain text."""
    typer.echo(plain(" ".join(map(str, parts))))


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; a column of nothing but numbers is aligned to the right."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for at, name in enumerate(header):
        cells = [row[at] for row in rows]
        numbers = all(isinstance(cell, int | float) or cell is None for cell in cells)
        table.add_column(name, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(cell)) for cell in row))
    console().print(table)


def print_benchmark(result: JsonDict, as_json: bool) -> None:
    """Print what a benchmark returned: as JSON, or its tables and ratios."""
    if as_json:
        return print_json(result)
    _print_rows(result["rows"])
    for more in ("tests", "gaps", "sizes"):
        if result.get(more):
            print_line()
            _print_rows(result[more])
    for name, value in result["ratios"].items():
        print_line(f"{name}: {value:.3g}")
    return None


def results_alone() -> AbstractContextManager[Any]:
    """Send to stderr what is printed meanwhile, such as what Ray says of lost workers."""
    return redirect_stdout(sys.stderr)


def say(line: str) -> None:
    """Print a line of progress on stderr."""
    typer.echo(plain(line), err=True)


def console(*, stderr: bool = False) -> Console:
    """A console that interprets nothing."""
    from rich.console import Console

    width = None if (sys.stderr if stderr else sys.stdout).isatty() else _PIPED_WIDTH
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)


def plain(text: str) -> str:
    """Show control characters and other unprintable ones as escapes; keep line ends."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A function to call with the rows done and their total; draws on stderr if it is a terminal.

    Args:
        what: What is being done.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as Remaining

    columns = TextColumn(what, markup=False), BarColumn(), MofNCompleteColumn(), Remaining()
    shown = Progress(*columns, console=console(stderr=True), disable=not is_terminal())
    with shown as bars:
        task = bars.add_task(what, total=None)

        def update(done: int, total: int) -> None:
            bars.update(task, completed=done, total=total)

        yield update


def is_terminal() -> bool:
    """Whether somebody watches stderr."""
    return sys.stderr.isatty()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else plain(str(value)).replace("\n", " ")


def _print_rows(rows: Sequence[JsonDict]) -> None:
    header = list(dict.fromkeys(key for row in rows for key in row))
    print_table(header, [[row.get(key) for key in header] for row in rows])

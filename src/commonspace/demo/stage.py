"""What the demo says and how long each part took: results on stdout, progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_PIPED_WIDTH = 100  # columns where nobody says how wide the page is


class Stage:
    """Speaks through rich, or not at all, and keeps the seconds of each phase.

    Args:
        quiet: Say nothing.

    Attributes:
        seconds: Of each phase, by name, in the order in which they ended.
        watched: Whether progress bars have somebody to look at them.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.watched = not quiet and sys.stderr.isatty()
        self._results = _console(quiet=quiet, stderr=False)
        self._progress = _console(quiet=quiet, stderr=True)

    @contextmanager
    def phase(self, name: str, doing: str) -> Iterator[None]:
        """Say what is being done, and measure it."""
        self._progress.print(f"… {doing}", style="dim")
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 2)
        self._progress.print(f"  {self.seconds[name]:.1f} s", style="dim")

    def title(self, text: str) -> None:
        """Begin a chapter."""
        self._results.print(f"\n{text}", style="bold")

    def say(self, *lines: str) -> None:
        """Print lines of plain text, never cut."""
        for line in lines:
            self._results.print(line, soft_wrap=True)

    def scores(self, columns: Sequence[str], rows: Mapping[str, Sequence[float]]) -> None:
        """Print a table of scores, the best of each column in bold."""
        best = [max(column) for column in zip(*rows.values(), strict=True)]
        cells = [
            [name, *(_score(score, top) for score, top in zip(scores, best, strict=True))]
            for name, scores in rows.items()
        ]
        self.table(["mAP", *columns], cells, numbers=True)

    def table(
        self,
        header: Sequence[str],
        rows: Sequence[Sequence[RenderableType]],
        *,
        numbers: bool = False,
    ) -> None:
        """Print a table; with ``numbers``, every column but the first is aligned to the right."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for at, name in enumerate(header):
            table.add_column(name, justify="right" if numbers and at else "left", no_wrap=at == 0)
        for row in rows:
            table.add_row(*row)
        self._results.print(table)


def _score(score: float, best: float) -> RenderableType:
    from rich.text import Text

    return Text(f"{score:.3f}", style="bold" if score == best else "")


def _console(*, quiet: bool, stderr: bool) -> Console:
    from rich.console import Console

    watched = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(
        quiet=quiet,
        stderr=stderr,
        markup=False,
        emoji=False,
        highlight=False,
        width=None if watched else _PIPED_WIDTH,
    )

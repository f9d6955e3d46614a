"""How commands read raw items: the cache, processes, broken files, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commonspace.cli.output import print_line, progress_bar, results_alone

if TYPE_CHECKING:
    from commonspace.cluster import Engine
    from commonspace.data import Dataset, Splits
    from commonspace.encoders import EncodeRun
    from commonspace.types import JsonDict

Cache = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where features of raw items are kept [default: $COMMONSPACE_CACHE, else the user's "
        "cache folder].",
    ),
]
KeepFeatures = Annotated[
    bool, typer.Option("--cached/--no-cache", help="Keep features of raw items, and take those.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="A file that cannot be read is an error, not left out.")
]


@contextmanager
def encode_run(
    *,
    cache: Path | None = None,
    keep: bool = True,
    strict: bool = False,
    jobs: int | None = None,
    show: bool = True,
    engine: Engine = "local",
    address: str | None = None,
) -> Iterator[EncodeRun]:
    """How to encode raw items, with a bar on stderr once there are any; stdout is for results.

    Args:
        cache: Folder of the cache; None takes the default one.
        keep: Whether there is a cache at all.
        strict: Whether a broken item is an error.
        jobs: Processes; None is one a processor core.
        show: Whether to draw the bar.
        engine: Where it is computed.
        address: Of the cluster.
    """
    from commonspace.encoders import EncodeRun, default_cache
    from commonspace.machine import available_cores

    bar: list[Any] = []
    with results_alone(), _later(bar):

        def progress(done: int, total: int) -> None:
            if show and total:
                bar[0](done, total)

        yield EncodeRun(
            cache=(cache or default_cache()) if keep else None,
            jobs=jobs or available_cores(),
            on_error="raise" if strict else "skip",
            progress=progress,
            engine=engine,
            address=address,
        )


def rows_for(
    model: Any,
    data: str,
    split: str,
    modalities: Sequence[str] | None = None,
    *,
    root: Path | None = None,
) -> Dataset:
    """A split of a data set as a model takes it: features, of raw items too.

    Args:
        model: A fitted method.
        data: Name or folder of the data set.
        split: Which of its splits.
        modalities: Some of those that both have; None for all.
        root: Where data sets are.
    """
    from commonspace.data import load_dataset
    from commonspace.store.pipelines import model_inputs

    part = load_dataset(data, root=root)[split]
    with encode_run() as run:
        return model_inputs(model, part if modalities is None else part.select(modalities), run=run)


@contextmanager
def _later(bar: list[Any]) -> Iterator[None]:
    """A bar that is made when it is first drawn, so that nothing is shown where nothing is done."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def first(done: int, total: int) -> None:
            bar[0] = stack.enter_context(progress_bar("encoding"))
            bar[0](done, total)

        bar.append(first)
        yield


def left_out(splits: Splits, run: EncodeRun) -> list[JsonDict]:
    """What was not read of a data set, and why: at import and when it was encoded."""
    at_import: list[JsonDict] = list(splits.provenance.get("left_out", []))
    return at_import + [asdict(broken) for broken in run.broken]


def show_left_out(entries: list[JsonDict]) -> None:
    """Name what was not read."""
    for entry in entries:
        print_line(f"left out: {entry['item']}: {entry['reason']}")

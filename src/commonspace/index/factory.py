"""Make an index by the name of its kind, or read one from a file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

from commonspace.checks import not_found
from commonspace.errors import InputError, StorageError
from commonspace.index.base import Index
from commonspace.index.binary import BinaryIndex
from commonspace.index.choice import Wish, choose
from commonspace.index.codes import CodesIndex, FastCodesIndex
from commonspace.index.exact import ExactIndex
from commonspace.index.files import read_parts
from commonspace.index.hnsw import HNSWIndex
from commonspace.index.ivf import IVFIndex
from commonspace.index.product import OPQIndex, PQIndex
from commonspace.index.vectors import Metric

_CLASSES: dict[str, Any] = {
    index.kind: index
    for index in (
        ExactIndex,
        IVFIndex,
        HNSWIndex,
        PQIndex,
        OPQIndex,
        CodesIndex,
        FastCodesIndex,
        BinaryIndex,
    )
}
KINDS: tuple[str, ...] = tuple(_CLASSES)


def make_index(
    kind: str = "exact",
    *,
    metric: Metric = "cosine",
    dim: int | None = None,
    n_items: int | None = None,
    memory: int | None = None,
    recall: float = 0.95,
    **options: Any,
) -> Index:
    """Make an empty index.

    Args:
        kind: Among `KINDS`, or "auto": chosen by `choose` from the three arguments below.
        metric: As `ExactIndex`.
        dim: Width of the vectors; "auto" needs it.
        n_items: How many items are expected; "auto" needs it.
        memory: Bytes that the index may take; None sets no bound.
        recall: Share of the true neighbours that should be found.
        options: Of the kind; see the classes.

    Raises:
        NotFoundError: There is no such kind.
        InputError: An option that the kind does not have, or a value out of its range.

    Example:
        >>> index = make_index("ivf", n_lists=2)
        >>> index.add([7, 8, 9], [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
        >>> index.search([[0.0, 3.0]], k=1).keys
        array([[7]])
    """
    if kind == "auto":
        if dim is None or n_items is None:
            raise InputError("index 'auto' needs dim and n_items to choose by. Pass both.")
        kind, options = choose(Wish(n_items, dim, memory, recall, metric, options))
    if kind not in _CLASSES:
        raise not_found("index kind", kind, ("auto", *KINDS))
    try:
        index: Index = _CLASSES[kind](metric, dim=dim, **options)
    except TypeError as error:
        known = ", ".join(_options(kind)) or "none"
        raise InputError(f"index {kind!r}: {error}. Its options are: {known}.") from error
    return index


def read_index(path: Path, *, metric: Metric = "cosine", n_threads: int = 1) -> Index:
    """Read what ``write`` of any kind wrote.

    An exact index does not know whether it is of "cosine" or "inner", so the caller says it.

    Raises:
        StorageError: Missing, damaged, or of another metric.
    """
    if not zipfile.is_zipfile(path):
        return ExactIndex.read(path, metric=metric, n_threads=n_threads)
    settings, _, _ = read_parts(path, arrays=False)
    kind = str(settings.get("kind"))
    if kind not in _CLASSES or settings.get("metric") != metric:
        raise StorageError(
            f"{path}: expected an index of metric {metric!r} and a known kind, got "
            f"{settings.get('metric')!r} and {kind!r}."
        )
    index: Index = _CLASSES[kind].read(path, n_threads=n_threads)
    return index


def _options(kind: str) -> tuple[str, ...]:
    options: tuple[str, ...] = getattr(_CLASSES[kind], "options", ())
    extra = () if kind == "exact" else ("effort",)
    return (*options, *extra, *(("quantizer",) if kind.startswith("codes") else ()))

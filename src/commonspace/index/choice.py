"""Which kind of index for how many items, how much memory and what recall.

The rule, in order; `docs/indexes.md` has the measurements behind its numbers:

1. Room for the vectors, and few items or nearly all true neighbours wanted: exact.
2. Room for the vectors: IVF. Where it turns out that a query has to read more than `MOST_READ` of
   the rows to find its neighbours, whoever makes the index takes exact search after all.
3. Else our 4-bit codes by the fast scan, ranked again by the finest second code that has room.

A graph (HNSW) is never chosen: it was no faster than lists at equal recall, takes three times as
long to build and keeps what is removed. Nor are PQ, OPQ and binary codes: ours rank better at equal
bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from commonspace.checks import check_range
from commonspace.errors import InputError
from commonspace.index.vectors import Metric
from commonspace.types import JsonDict

MOST_READ = 1 / 6
"""Share of the rows that lists may have to read. Exact search of many queries at once multiplies
matrices, and so compares a row in about a sixth of the time that lists need for it."""

# An exact query over so many numbers takes a millisecond, which a served query takes anyway.
_FEW_NUMBERS = 1_500_000
_ALL = 0.999
# A key, a slot, and whether it holds an item.
_PLACE = 17
# Bits of the fast scan and of the code that ranks again; best first.
_CODES: tuple[tuple[int, int | None], ...] = ((64, 128), (32, 64), (32, None), (16, None))


@dataclass(frozen=True)
class Wish:
    """What an index is wanted for.

    Attributes:
        n_items: How many items.
        dim: Width of the vectors.
        memory: Bytes that the index may take; None sets no bound.
        recall: Share of the true neighbours that should be found.
        metric: Codes know no "euclidean".
        options: Given by hand; those that the chosen kind does not have are left out.
    """

    n_items: int
    dim: int
    memory: int | None = None
    recall: float = 0.95
    metric: Metric = "cosine"
    options: JsonDict = field(default_factory=dict)


def choose(wish: Wish) -> tuple[str, JsonDict]:
    """Return a kind and its options.

    Raises:
        InputError: Nothing fits into the memory, or a wish is out of range.

    Example:
        >>> choose(Wish(n_items=1_000_000, dim=128, memory=10**8))
        ('codes4', {'bits': 64, 'rerank': 128})
    """
    check_range("n_items", wish.n_items, low=0, integer=True)
    check_range("recall", wish.recall, low=0, high=1)
    if wish.memory is not None:
        check_range("memory", wish.memory, low=1, integer=True)
    for kind, options in _candidates(wish):
        needed = wish.n_items * bytes_per_item(kind, wish.dim, options)
        if wish.memory is None or needed <= wish.memory:
            return kind, {**options, **_fitting(kind, wish.options)}
    raise InputError(
        f"memory: {wish.n_items} items need at least {needed} bytes, even as codes of 16 bits; got "
        f"{wish.memory}. Allow more, or split the items over several collections."
    )


def bytes_per_item(kind: str, dim: int, options: JsonDict) -> int:
    """Bytes of memory that an item takes, codebooks and centres aside."""
    floats = 4 * dim
    if kind == "exact":
        return floats + _PLACE
    if kind == "ivf":
        return floats + _PLACE
    if kind == "hnsw":
        return floats + 8 * int(options.get("links", 16)) + 20 + _PLACE
    code, rerank = int(options.get("bits", 64)) // 8, options.get("rerank")
    if rerank == "float":
        return code + floats + _PLACE
    if rerank == "code":
        return 2 * code + _PLACE
    return code + int(rerank or 0) // 8 + _PLACE


def _candidates(wish: Wish) -> list[tuple[str, JsonDict]]:
    exact: list[tuple[str, JsonDict]] = [("exact", {})]
    floats: list[tuple[str, JsonDict]] = [("ivf", {})]
    if wish.n_items * wish.dim <= _FEW_NUMBERS or wish.recall >= _ALL:
        floats = exact
    if wish.metric == "euclidean":
        return [*floats, *exact]
    return [*floats, *(("codes4", {"bits": bits, "rerank": finer}) for bits, finer in _CODES)]


def _fitting(kind: str, options: JsonDict) -> JsonDict:
    known = ("n_lists", "effort") if kind == "ivf" else ()
    return {name: value for name, value in options.items() if name in known}

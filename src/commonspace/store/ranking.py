"""Lists of keys, ranked: by cosine, by match probability, by words and vectors at once, in pages.

Keys of lists have shape (n_queries, n); where one query finds fewer than another, its row ends in
`NONE`, with a score of -inf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from commonspace.checks import as_features, check_range, not_found
from commonspace.errors import InputError
from commonspace.store.engine import Engine
from commonspace.store.hits import NONE
from commonspace.store.matching import MatchCalibration
from commonspace.types import BoolArray, FloatArray, IntArray

FUSION_DEPTH = 1000
"""Ranks of vectors and of words that are fused."""
_RANK_OFFSET = 60.0  # of reciprocal rank fusion, as in its paper
_FIRST_DEPTH = 128  # of a search for all that match; doubled until it is past them

Modalities = str | Sequence[str] | None


@dataclass(frozen=True)
class Request:
    """What is asked beside the vectors; see `Collection.search`."""

    k: int | None = 10
    modality: Modalities = None
    where: Mapping[str, Any] | None = None
    offset: int = 0
    per_modality: int | None = None
    text: str | None = None
    query_modality: str | None = None
    match: bool | None = None
    at_least: float | None = None
    without: tuple[int, ...] = ()

    def check(self) -> None:
        """Raise `InputError` for what does not fit."""
        check_range("offset", self.offset, low=0, integer=True)
        if self.k is not None:
            check_range("k", self.k, low=1, integer=True)
        elif self.at_least is None:
            raise InputError("k: expected a number; None (all) goes with at_least=.")
        if self.per_modality is not None:
            check_range("per_modality", self.per_modality, low=1, integer=True)
        if self.at_least is not None:
            check_range("at_least", self.at_least, low=0, high=1)
        if self.text is not None and not isinstance(self.text, str):
            raise InputError(f"text: expected a string, got {type(self.text).__name__}.")
        clashes = [name for name in ("per_modality", "text") if getattr(self, name) is not None]
        if self.at_least is not None and clashes:
            raise InputError(f"at_least: is not for use with {clashes[0]}=. Ask twice.")
        if len(clashes) == 2:
            raise InputError("per_modality: is not for use with text=. Ask once a modality.")

    @property
    def plain(self) -> bool:
        """Whether nothing but the best k by cosine is asked."""
        return self == replace(Request(), k=self.k, modality=self.modality, where=self.where)


class Ranked(NamedTuple):
    """Keys, scores and cosines, best first, `NONE` at the end; ties go to the older item."""

    keys: IntArray
    scores: FloatArray
    cosines: FloatArray

    def page(self, offset: int, k: int | None) -> Ranked:
        """Ranks ``offset`` to ``offset + k``, without columns that no query fills."""
        cut = self._cut(slice(offset, None if k is None else offset + k))
        return cut._cut(slice(int((cut.keys != NONE).sum(axis=1).max(initial=0))))

    def only(self, keep: BoolArray) -> Ranked:
        """Without the others."""
        scores, cosines = (np.where(keep, x, -np.inf) for x in (self.scores, self.cosines))
        return _sorted(Ranked(np.where(keep, self.keys, NONE), scores, cosines))

    def _cut(self, columns: slice) -> Ranked:
        return Ranked(self.keys[:, columns], self.scores[:, columns], self.cosines[:, columns])


class Ranker:
    """Answers a request; within `Items.snapshot`.

    Args:
        engine: What finds items.
        calibration: Reads that of the collection, if it has one.
    """

    def __init__(self, engine: Engine, calibration: Callable[[], MatchCalibration | None]) -> None:
        self._engine, self._calibration = engine, calibration

    def answer(self, vectors: Any, request: Request) -> Ranked:
        """The list that is asked for."""
        request.check()
        if request.plain and request.k is not None:
            return self._nearest(vectors, request, request.modality, request.k)
        if request.at_least is not None:
            return self._at_least(vectors, request, request.at_least)
        if request.per_modality is not None:
            each = request.per_modality
            lists = self._by_modality(vectors, request, request.offset + each)
            return _merged([part.page(request.offset, each) for part in lists])
        if request.text is not None:
            found = self._best(vectors, request, FUSION_DEPTH)
            found = fused([found.keys, self._lexical(request, len(found.keys))])
        else:
            assert request.k is not None
            found = self._best(vectors, request, request.offset + request.k)
        return found.page(request.offset, request.k)

    def _best(self, vectors: Any, request: Request, depth: int) -> Ranked:
        if self._by_match(request):
            return _merged(self._by_modality(vectors, request, depth)).page(0, depth)
        return self._nearest(vectors, request, request.modality, depth)

    def _at_least(self, vectors: Any, request: Request, line: float) -> Ranked:
        """All whose match probability is large enough: ever deeper, until the last one's is not."""
        request = replace(request, match=True)
        most = None if request.k is None else request.offset + request.k
        depth = _FIRST_DEPTH
        while True:
            depth = depth if most is None else min(depth, most)
            lists = self._by_modality(vectors, request, depth)
            if depth == most or all(_is_past(part, depth, line) for part in lists):
                found = _merged(lists)
                return found.only(found.scores >= line).page(request.offset, request.k)
            depth *= 2

    def _by_match(self, request: Request) -> bool:
        """Whether to rank by match probability: where asked, or where it is known."""
        if request.match is False:
            return False
        if request.query_modality is None:
            if request.match:
                raise InputError("query_modality: name what the queries are of, such as 'image'.")
            return False
        known, names = self._calibration(), self._names(request)
        if known is not None and known.knows(request.query_modality, names):
            return True
        if request.match:
            raise InputError(
                f"match: this collection has no calibration from {request.query_modality!r} to "
                f"all of {', '.join(map(repr, names))}. Learn one from validation rows with "
                "Collection.calibrate."
            )
        return False

    def _names(self, request: Request) -> Sequence[str]:
        """Item modalities that are searched."""
        names = chosen(request.modality, self._engine.modality_names)
        return self._engine.modality_names() if names is None else names

    def _by_modality(self, vectors: Any, request: Request, depth: int) -> list[Ranked]:
        """The best of each modality, by match probability or cosine."""
        query = request.query_modality
        known = self._calibration() if self._by_match(request) else None
        lists = []
        for name in self._names(request):
            found = self._nearest(vectors, request, name, depth)
            if known is not None and query is not None:
                scores = known.probability(query, name, found.cosines)
                found = found._replace(scores=np.where(found.keys == NONE, -np.inf, scores))
            lists.append(found)
        return lists or [self._nearest(vectors, request, None, depth)]  # of an empty collection

    def _nearest(self, vectors: Any, request: Request, modality: Modalities, depth: int) -> Ranked:
        """The nearest items by cosine."""
        names = chosen(modality, self._engine.modality_names)
        deep = depth + len(request.without)
        found = self._engine.nearest(vectors, deep, names, request.where)
        nearest = Ranked(found.keys, found.scores, found.scores)
        if not request.without:
            return nearest
        return nearest.only(~np.isin(found.keys, request.without)).page(0, depth)

    def _lexical(self, request: Request, n_queries: int) -> IntArray:
        """Keys of the items that hold the words, best first, the same for every query."""
        assert request.text is not None
        names = chosen(request.modality, self._engine.modality_names)
        keys, _ = self._engine.match(request.text, FUSION_DEPTH, names, request.where)
        keys = keys[~np.isin(keys, request.without)]
        return np.broadcast_to(keys, (n_queries, len(keys)))


def chosen(modality: Modalities, known: Callable[[], Sequence[str]]) -> list[str] | None:
    """Return names of modalities that are there; None for all.

    Raises:
        InputError: No names.
        NotFoundError: There is no modality of such a name.
    """
    if modality is None:
        return None
    names = [modality] if isinstance(modality, str) else sorted({str(m) for m in modality})
    if not names:
        raise InputError("modality: expected at least one name, or None for all.")
    there = known()
    for name in names:
        if name not in there:
            raise not_found("modality", name, there)
    return names


def fused(lists: Sequence[IntArray]) -> Ranked:
    """Fuse lists of keys by reciprocal ranks: an item scores the sum of 1 / (60 + rank).

    Args:
        lists: Keys best first, each of shape (n_queries, n), `NONE` where a list has ended.

    References:
        Cormack, Clarke, Büttcher. Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank
        Learning Methods. SIGIR 2009.
    """
    keys = np.concatenate(lists, axis=1)
    gains = np.concatenate([1 / (_RANK_OFFSET + 1 + np.arange(part.shape[1])) for part in lists])
    order = np.argsort(keys, axis=1, kind="stable")
    keys, gains = np.take_along_axis(keys, order, axis=1), gains[order]
    if not keys.size:
        return Ranked(keys, gains, gains)
    # Equal keys stand together: the first takes the sum of their gains, the others fall out.
    first = np.ones(keys.shape, dtype=bool)
    first[:, 1:] = keys[:, 1:] != keys[:, :-1]
    sums = np.add.reduceat(gains.ravel(), np.flatnonzero(first))
    scores = np.zeros(keys.shape)
    scores[first] = sums
    return Ranked(keys, scores, scores).only(first & (keys != NONE))


def _is_past(part: Ranked, depth: int, line: float) -> bool:
    """Whether a list has ended, or its last items are below the line."""
    return part.keys.shape[1] < depth or not (part.scores[:, -1] >= line).any()


def _merged(lists: Sequence[Ranked]) -> Ranked:
    """One list of several, by score; what scores the same goes by its cosine."""
    keys = np.concatenate([part.keys for part in lists], axis=1)
    scores = np.concatenate([part.scores for part in lists], axis=1)
    return _sorted(Ranked(keys, scores, np.concatenate([part.cosines for part in lists], axis=1)))


def _sorted(found: Ranked) -> Ranked:
    order = np.lexsort((found.keys, -found.cosines, -found.scores), axis=-1)
    scores, cosines = (np.take_along_axis(x, order, 1) for x in (found.scores, found.cosines))
    return Ranked(np.take_along_axis(found.keys, order, 1), scores, cosines)


def blend(vectors: Any, weights: Sequence[float] | None = None) -> FloatArray:
    """One query of several: items come in the order of the weighted sum of their cosines.

    Args:
        vectors: Of any modalities, shape (n, dim).
        weights: One a vector; below 0: rather not like this one. None weighs all the same.

    Returns:
        Shape (1, dim).

    Raises:
        InputError: The weights do not fit, or the vectors cancel out.
    """
    rows = as_features(vectors, where="vectors to blend").astype(np.float64)
    share = np.ones(len(rows)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (len(rows),) or not np.isfinite(share).all():
        raise InputError(
            f"weights: expected {len(rows)} finite numbers (one a vector), got {weights!r}."
        )
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    summed = (share[:, None] * rows / np.where(lengths > 0, lengths, 1)).sum(axis=0, keepdims=True)
    if np.linalg.norm(summed) <= 1e-6 * np.abs(share).sum():
        raise InputError("weights: these vectors cancel out, and no direction is left to search.")
    return np.asarray(summed)

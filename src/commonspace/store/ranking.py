"""Lists of keys, ranked: by cosine, by match probability, by words and vectors at once, in pages.

Keys of lists have shape (n_queries, n); where one query finds fewer than another, its row ends in
`NONE`, with a score of -inf.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, NoReturn

import numpy as np

from commonspace.checks import as_features, check_range, not_found
from commonspace.errors import InputError
from commonspace.store.engine import Engine
from commonspace.store.hits import NONE, Measure
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
    measure: Measure = "cosine"

    def page(self, offset: int, k: int | None) -> Ranked:
        """Ranks ``offset`` to ``offset + k``, without columns that no query fills."""
        cut = self._cut(slice(offset, None if k is None else offset + k))
        return cut._cut(slice(int((cut.keys != NONE).sum(axis=1).max(initial=0))))

    def only(self, keep: BoolArray) -> Ranked:
        """Without the others."""
        scores, cosines = (np.where(keep, x, -np.inf) for x in (self.scores, self.cosines))
        kept = np.where(keep, self.keys, NONE)
        return _sorted(self._replace(keys=kept, scores=scores, cosines=cosines))

    def _cut(self, columns: slice) -> Ranked:
        scores, cosines = self.scores[:, columns], self.cosines[:, columns]
        return self._replace(keys=self.keys[:, columns], scores=scores, cosines=cosines)


class Ranker:
    """Answers one request; within `Items.snapshot`.

    What it has to ask the engine it asks once: in a cluster each question is a round trip.

    Args:
        engine: What finds items.
        calibration: Reads that of the collection, if it has one.
        vectors: The queries.
        request: What is asked of them.
    """

    def __init__(
        self,
        engine: Engine,
        calibration: Callable[[], MatchCalibration | None],
        vectors: Any,
        request: Request,
    ) -> None:
        request.check()
        self._engine, self._calibration = engine, calibration
        self._vectors, self._request = vectors, request

    def answer(self) -> Ranked:
        """The list that is asked for."""
        request = self._request
        if request.plain and request.k is not None:
            return self._nearest(self._chosen, request.k)
        if request.at_least is not None:
            return self._at_least(request.at_least)
        if request.per_modality is not None:
            each = request.per_modality
            lists = self._by_modality(request.offset + each)
            return _merged([part.page(request.offset, each) for part in lists])
        if request.text is not None:
            found = self._best(FUSION_DEPTH)
            found = fused([found.keys, self._lexical(request.text, len(found.keys))])
        else:
            assert request.k is not None
            found = self._best(request.offset + request.k)
        return found.page(request.offset, request.k)

    @cached_property
    def _chosen(self) -> Sequence[str] | None:
        """Item modalities that are asked for; None for all."""
        return chosen(self._request.modality, self._engine.modality_names)

    @cached_property
    def _names(self) -> Sequence[str]:
        """Item modalities that are searched."""
        return self._engine.modality_names() if self._chosen is None else self._chosen

    @cached_property
    def _matching(self) -> MatchCalibration | None:
        """The probabilities to rank by: where that is asked for, or where they are known."""
        request, known = self._request, None
        insists = bool(request.match) or request.at_least is not None
        if request.match is False and not insists:
            return None
        if request.query_modality is not None:
            known = self._calibration()
            if known is not None and known.knows(request.query_modality, self._names):
                return known
        if insists:
            self._refuse()
        return None

    def _refuse(self) -> NoReturn:
        query = self._request.query_modality
        if query is None:
            raise InputError("query_modality: name what the queries are of, such as 'image'.")
        raise InputError(
            f"match: this collection has no calibration from {query!r} to all of "
            f"{', '.join(map(repr, self._names))}. Learn one from validation rows with "
            "Collection.calibrate."
        )

    def _best(self, depth: int) -> Ranked:
        if self._matching is not None:
            return _merged(self._by_modality(depth)).page(0, depth)
        return self._nearest(self._chosen, depth)

    def _at_least(self, line: float) -> Ranked:
        """All whose match probability is large enough: ever deeper, until the last one's is not."""
        request = self._request
        most = None if request.k is None else request.offset + request.k
        depth = _FIRST_DEPTH
        while True:
            depth = depth if most is None else min(depth, most)
            lists = self._by_modality(depth)
            if depth == most or all(_is_past(part, depth, line) for part in lists):
                found = _merged(lists)
                return found.only(found.scores >= line).page(request.offset, request.k)
            depth *= 2

    def _by_modality(self, depth: int) -> list[Ranked]:
        """The best of each modality, by match probability or cosine."""
        query, known = self._request.query_modality, self._matching
        lists = []
        for name in self._names:
            found = self._nearest([name], depth)
            if known is not None and query is not None:
                scores = known.probability(query, name, found.cosines)
                scores = np.where(found.keys == NONE, -np.inf, scores)
                found = found._replace(scores=scores, measure="match")
            lists.append(found)
        if lists:
            return lists
        empty: Measure = "cosine" if known is None or query is None else "match"
        return [self._nearest(None, depth)._replace(measure=empty)]

    def _nearest(self, names: Sequence[str] | None, depth: int) -> Ranked:
        """The nearest items by cosine."""
        request = self._request
        deep = depth + len(request.without)
        found = self._engine.nearest(self._vectors, deep, names, request.where)
        nearest = Ranked(found.keys, found.scores, found.scores)
        if not request.without:
            return nearest
        return nearest.only(~np.isin(found.keys, request.without)).page(0, depth)

    def _lexical(self, words: str, n_queries: int) -> IntArray:
        """Keys of the items that hold the words, best first, the same for every query."""
        where, without = self._request.where, self._request.without
        keys, _ = self._engine.match(words, FUSION_DEPTH, self._chosen, where)
        keys = keys[~np.isin(keys, without)]
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
        return Ranked(keys, gains, gains, "fusion")
    # Equal keys stand together: the first takes the sum of their gains, the others fall out.
    first = np.ones(keys.shape, dtype=bool)
    first[:, 1:] = keys[:, 1:] != keys[:, :-1]
    sums = np.add.reduceat(gains.ravel(), np.flatnonzero(first))
    scores = np.zeros(keys.shape)
    scores[first] = sums
    return Ranked(keys, scores, scores, "fusion").only(first & (keys != NONE))


def _is_past(part: Ranked, depth: int, line: float) -> bool:
    """Whether a list has ended, or its last items are below the line."""
    return part.keys.shape[1] < depth or not (part.scores[:, -1] >= line).any()


def _merged(lists: Sequence[Ranked]) -> Ranked:
    """One list of several, by score; what scores the same goes by its cosine."""
    keys = np.concatenate([part.keys for part in lists], axis=1)
    scores = np.concatenate([part.scores for part in lists], axis=1)
    cosines = np.concatenate([part.cosines for part in lists], axis=1)
    return _sorted(Ranked(keys, scores, cosines, lists[0].measure))


def _sorted(found: Ranked) -> Ranked:
    order = np.lexsort((found.keys, -found.cosines, -found.scores), axis=-1)
    scores, cosines = (np.take_along_axis(x, order, 1) for x in (found.scores, found.cosines))
    keys = np.take_along_axis(found.keys, order, 1)
    return found._replace(keys=keys, scores=scores, cosines=cosines)


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

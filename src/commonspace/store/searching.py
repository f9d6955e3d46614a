"""Searches in an open collection: by vectors, by words, by both, by what is there already."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from commonspace.checks import check_range
from commonspace.errors import InputError, NotFoundError
from commonspace.store.hits import Hits, hits_of
from commonspace.store.inputs import check_name, id_strings
from commonspace.store.maintenance import Maintained
from commonspace.store.ranking import Modalities, Ranker, Request, blend, chosen
from commonspace.types import Float32Array, JsonDict

Where = Mapping[str, Any] | None
T = TypeVar("T")


class Searched(Maintained):
    """An open collection that answers."""

    def search(
        self,
        vectors: Any,
        k: int | None = 10,
        *,
        modality: Modalities = None,
        where: Where = None,
        offset: int = 0,
        per_modality: int | None = None,
        text: str | None = None,
        query_modality: str | None = None,
        match: bool | None = None,
        at_least: float | None = None,
    ) -> Hits:
        """Return the items most similar to each query by cosine.

        How surely they are the most similar ones is the index's; "exact" is exact, and gives ties
        to the older item.

        Args:
            vectors: Queries of any modality, shape (n_queries, dim).
            k: How many items for each; fewer come back where fewer match. None, all that match,
                goes with ``at_least``.
            modality: Search among one modality, several, or all (None).
            where: Conditions on payload fields, see `commonspace.store.conditions`:
                ``{"lang": "fr", "year": [1999, 2000], "size": {"gte": 3, "lt": 9}}``.
            offset: Ranks to leave out, for the next page. The order is the same from page to page
                as long as nothing is written, up to what an approximate index finds.
            per_modality: So many items of each modality, instead of ``k`` of all.
            text: Words, as of `search_text`; their list and that of the vectors are fused by
                reciprocal ranks, 1000 of each.
            query_modality: What the queries are of. Where the collection is calibrated
                (`calibrate`), lists are then ranked, and scored, by the probability of a match.
            match: True insists on that; False ranks by cosine all the same.
            at_least: Only items that match so probably, 0 to 1; needs ``query_modality``.

        Raises:
            InputError: Queries, k, ``where`` or the others are not what is needed.
            NotFoundError: A modality has no items.
        """
        request = Request(
            k, modality, where, offset, per_modality, text, query_modality, match, at_least
        )
        with self._reading():
            return self._ranked(vectors, request)

    def search_like(
        self,
        examples: Sequence[tuple[str, str]],
        k: int | None = 10,
        *,
        weights: Sequence[float] | None = None,
        modality: Modalities = None,
        where: Where = None,
        offset: int = 0,
        per_modality: int | None = None,
        text: str | None = None,
    ) -> Hits:
        """Return the items that are most like several stored ones, which are left out themselves.

        Items come in the order of the weighted sum of their cosines to the examples; scores are
        the cosines to the direction of that sum.

        Args:
            examples: (modality, id) of each.
            k: How many items.
            weights: One an example; below 0: rather not like this one. None weighs all the same.
            modality: As of `search`, and so are the others.
            where: Conditions.
            offset: Ranks to leave out.
            per_modality: So many items of each modality.
            text: Words too.

        Returns:
            Hits of one query.

        Raises:
            NotFoundError: An example is not there.
            InputError: No examples, or the weights do not fit.
        """
        pairs = [(str(modality), str(id_)) for modality, id_ in examples]
        if not pairs:
            raise InputError("examples: expected (modality, id) of at least one item, got none.")
        query = blend(np.concatenate([self.vectors([i], m) for m, i in pairs]), weights)
        with self._reading():
            own = [int(key) for m, i in pairs for key in self._items.find([i], m)]
            request = Request(k, modality, where, offset, per_modality, text, without=tuple(own))
            return self._ranked(query, request)

    def search_text(
        self,
        words: str,
        k: int = 10,
        *,
        modality: Modalities = None,
        where: Where = None,
    ) -> Hits:
        """Return the items whose payload strings hold the words, best first by BM25.

        Any of the words is enough, more and rarer ones score higher; accents and case do not
        count. Nothing in ``words`` is an operator.

        Returns:
            Hits of one query, shape (1, k) or less.
        """
        if not isinstance(words, str):
            raise InputError(f"words: expected a string, got {type(words).__name__}.")
        check_range("k", k, low=1, integer=True)
        limit = min(int(k), 2**62)
        with self._reading():
            names = chosen(modality, self._engine.modality_names)
            keys, scores = self._engine.match(words, limit, names, where)
            return hits_of(self._items, keys[None], scores[None], "bm25")

    def vectors(self, ids: Iterable[Any], modality: str) -> Float32Array:
        """Return stored vectors in the order asked, shape (n, dim), equal to the bit.

        Raises:
            NotFoundError: An id is not there in this modality.
        """
        blobs = self._all_of(ids, modality, self._items.vectors_of)
        stored = np.frombuffer(b"".join(blobs), dtype="<f4").reshape(len(blobs), self.space.dim)
        return stored.astype(np.float32)

    def payloads(self, ids: Iterable[Any], modality: str) -> list[JsonDict]:
        """Return payloads in the order asked.

        Raises:
            NotFoundError: An id is not there in this modality.
        """
        return [json.loads(text) for text in self._all_of(ids, modality, self._items.payloads_of)]

    def get(self, ids: Iterable[Any], modality: str | None = None) -> list[JsonDict]:
        """Return stored items in the order asked, an id once for each modality that has it.

        Args:
            ids: Those that are not there are passed over.
            modality: Look in one modality, or in all (None).

        Returns:
            ``{"id", "modality", "payload"}`` of each item.
        """
        names = list(dict.fromkeys(id_strings(ids)))
        if modality is not None:
            check_name("modality", modality)
        with self._reading():
            described = self._items.describe(self._items.find(names, modality)).values()
        found: dict[str, list[JsonDict]] = {}
        for id_, kind, payload in sorted(described, key=lambda row: row[1]):
            item = {"id": id_, "modality": kind, "payload": json.loads(payload)}
            found.setdefault(id_, []).append(item)
        return [item for name in names for item in found.get(name, [])]

    def _all_of(
        self, ids: Iterable[Any], modality: str, read: Callable[[Sequence[str], str], dict[str, T]]
    ) -> list[T]:
        """What is stored of each id, in the order asked; raise where one is not there."""
        names = id_strings(ids)
        check_name("modality", modality)
        with self._reading():
            known = read(names, modality)
        missing = [name for name in names if name not in known]
        if missing:
            raise NotFoundError(
                f"{self.place}: no item {missing[0]!r} of modality {modality!r} "
                f"({len(missing)} of {len(names)} ids are not there)."
            )
        return [known[name] for name in names]

    def _ranked(self, vectors: Any, request: Request) -> Hits:
        found = Ranker(self._engine, self._calibration, vectors, request).answer()
        return hits_of(self._items, found.keys, found.scores, found.measure)

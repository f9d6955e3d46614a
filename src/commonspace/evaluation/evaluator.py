"""`evaluate`: a model against labelled data, every direction under one protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from commonspace.checks import as_features, check_names, check_range, not_found
from commonspace.errors import InputError
from commonspace.evaluation.engine import (
    DEFAULT_PROTOCOL,
    MEMORY,
    block_rows,
    score_vectors,
    to_score,
)
from commonspace.evaluation.gains import BYTES_PER_PAIR as GAIN_BYTES
from commonspace.evaluation.gains import Gains, GradedScores, discounts, normalised
from commonspace.evaluation.graded import expected_wap
from commonspace.evaluation.protocol import Divisor, Protocol, check_protocol
from commonspace.evaluation.ranking import QueryScores
from commonspace.evaluation.relevance import Relevance
from commonspace.evaluation.report import Report, Score
from commonspace.evaluation.ties import TieGroups, TieMath
from commonspace.types import (
    AnyArray,
    BoolArray,
    Float32Array,
    LabelledData,
    ModalityTable,
    SupportsTransform,
)


def evaluate(
    model: SupportsTransform | Mapping[str, Any],
    data: LabelledData,
    *,
    protocol: Protocol = DEFAULT_PROTOCOL,
    gallery: LabelledData | None = None,
    modalities: Sequence[str] | None = None,
    k: int | None = None,
    divide_by: Divisor | None = None,
    seed: int = 0,
    n_bootstrap: int = 1000,
    curves: bool = False,
    scopes: Sequence[int] | None = None,
    cutoffs: Sequence[int] = (),
    memory: int = MEMORY,
) -> Report:
    """Score retrieval between every ordered pair of modalities.

    Exact: every query is ranked against the whole gallery, in blocks of bounded memory. Rows
    whose labels are unknown are neither queries nor items of a gallery; each score counts them.

    Args:
        model: Anything with ``transform(modality, x)``, or vectors already made: a mapping of
            modality to shape (n, dim), rows as in ``data``.
        data: The queries, and the galleries too unless ``gallery`` is given.
        protocol: How the numbers are made.
        gallery: Items to search, where they are not the queries' own data set. Nothing leaves a
            ranking then, as no row is the query itself.
        modalities: Which modalities; None takes all of ``data``.
        k: Overrides the protocol's cut-off.
        divide_by: Overrides the protocol's divisor.
        seed: Of the bootstrap.
        n_bootstrap: Resamples of the intervals; 0 leaves them out.
        curves: Keep precision-recall and precision-scope curves.
        scopes: Of the precision-scope curve; None takes about fifty.
        cutoffs: Keep curves, with the mean average precision at each of these cut-offs R too.
        memory: Bound of working memory in bytes, beyond vectors and labels.

    Returns:
        A score for each direction, and their means.

    Raises:
        InputError: Vectors and labels do not fit, a modality has no row of known labels, or
            there is no direction to score.
        NotFoundError: ``data`` or ``model`` has no modality of that name.
    """
    check_protocol(protocol)
    protocol = _override(protocol, k=k, divide_by=divide_by)
    _check_model(model)
    names = chosen_modalities(data, modalities)
    directions = _directions(names, protocol)
    if gallery is not None:
        _check_gallery(model, data, gallery)
    queries = {name: Side.of(model, data[name], name) for name in names}
    items = (
        queries
        if gallery is None
        else {name: Side.of(model, gallery[name], name) for name in names}
    )
    scores = {}
    for direction in directions:
        query, item = queries[direction[0]], items[direction[1]]
        score = score_vectors(
            query.vectors,
            item.vectors,
            query.labels,
            item.labels,
            protocol=protocol,
            exclude_self=query is item and not protocol.keep_self,
            seed=seed,
            n_bootstrap=n_bootstrap,
            curves=curves,
            scopes=scopes,
            cutoffs=cutoffs,
            memory=memory,
        )
        scores[direction] = _with_unlabelled(score, query, item)
    return Report(protocol, scores)


def chance(
    data: LabelledData,
    *,
    protocol: Protocol = DEFAULT_PROTOCOL,
    gallery: LabelledData | None = None,
    modalities: Sequence[str] | None = None,
    seed: int = 0,
    n_bootstrap: int = 1000,
) -> Report:
    """Return what a random ranking scores in expectation: the floor of every report.

    Exact, not sampled: the whole gallery is one group of ties. So `Score.worst` and `Score.best`
    are those of the worst and best ranking there is.

    Args:
        data: The queries, and the galleries too unless ``gallery`` is given.
        protocol: How the numbers are made; ties are always read by expectation here.
        gallery: Items to search, where they are not the queries' own data set.
        modalities: Which modalities; None takes all of ``data``.
        seed: Of the bootstrap.
        n_bootstrap: Resamples of the intervals; 0 leaves them out.

    Raises:
        InputError: A modality has no row of known labels, or there is no direction to score.
        NotFoundError: ``data`` has no modality of that name.

    References:
        [1] Bestgen. Exact expected average precision of the random baseline for system
            evaluation. Prague Bulletin of Mathematical Linguistics 2015.
    """
    check_protocol(protocol)
    check_range("seed", seed, low=0, integer=True)
    names = chosen_modalities(data, modalities)
    queries = {name: _labels(data[name], name) for name in names}
    items = queries if gallery is None else {name: _labels(gallery[name], name) for name in names}
    scores = {}
    for direction in _directions(names, protocol):
        query, item = queries[direction[0]], items[direction[1]]
        exclude_self = query is item and not protocol.keep_self
        relevance = Relevance.of(query, item, exclude_self=exclude_self)
        found = _chance_scores(relevance, protocol)
        if protocol.gain is not None:
            gains = Gains.of(query, item, exclude_self=exclude_self)
            found = replace(found, **_chance_graded(gains, protocol)._asdict())
        scores[direction] = to_score(found, relevance, protocol, seed=seed, n_bootstrap=n_bootstrap)
    return Report(protocol, scores)


@dataclass(frozen=True, eq=False)
class Side:
    """Vectors and labels of one modality, rows of unknown labels left out."""

    vectors: Float32Array
    labels: AnyArray
    n_unlabelled: int

    @classmethod
    def of(
        cls, model: SupportsTransform | Mapping[str, Any], table: ModalityTable, name: str
    ) -> Side:
        """Read one modality, or say what does not fit."""
        known = np.asarray(table.labels.known, dtype=np.bool_)
        labels = _labels(table, name)
        vectors = _transform(model, table, known, name)
        return cls(vectors, labels, len(known) - len(labels))


def _transform(
    model: SupportsTransform | Mapping[str, Any],
    table: ModalityTable,
    known: BoolArray,
    name: str,
) -> Float32Array:
    where = f"vectors of modality {name!r}"
    if isinstance(model, Mapping):
        if name not in model:
            raise not_found("modality", name, model)
        vectors, expected = as_features(model[name], where=where), len(known)
        if len(vectors) == expected and not known.all():
            vectors, expected = vectors[known], int(known.sum())
    else:
        x = table.x if known.all() else table.x[known]
        vectors, expected = as_features(model.transform(name, x), where=where), int(known.sum())
    if len(vectors) != expected:
        raise InputError(f"{where}: expected {expected} rows, as in the data, got {len(vectors)}.")
    return vectors


def _labels(table: ModalityTable, name: str) -> AnyArray:
    known = np.asarray(table.labels.known, dtype=np.bool_)
    if not known.any():
        raise InputError(
            f"modality {name!r}: expected rows with known labels, got none in {len(known)} rows. "
            "Leave it out with modalities=[...]."
        )
    weights = table.labels.dense()
    return weights if known.all() else weights[known]


def _with_unlabelled(score: Score, query: Side, item: Side) -> Score:
    dropped = query.n_unlabelled + (0 if query is item else item.n_unlabelled)
    return replace(score, n_unlabelled=dropped)


def _chance_scores(relevance: Relevance, protocol: Protocol) -> QueryScores:
    n_items = relevance.n_gallery - int(relevance.exclude_self)
    n_relevant = relevance.counts()
    values, at = np.unique(n_relevant, return_inverse=True)
    ties = TieMath(n_items)
    scores = np.zeros((len(values), 3))
    for row, value in enumerate(values):
        one = TieGroups(*(np.array([part]) for part in (0, n_items, 0, int(value))))
        scores[row] = ties.average_precision(one, k=protocol.k, divide_by=protocol.divide_by)
    expected, worst, best = scores[at].T
    return QueryScores(expected, worst, best, n_relevant, n_relevant == 0)


def _chance_graded(gains: Gains, protocol: Protocol) -> GradedScores:
    """Every item counts with the mean gain of the gallery: it is one group of ties."""
    n_queries, n_gallery = len(gains.query), len(gains.gallery)
    n_items = n_gallery - int(gains.exclude_self)
    discount = discounts(n_items, protocol.k)
    step = block_rows(n_gallery, MEMORY, bytes_per_pair=GAIN_BYTES)
    parts = []
    for start in range(0, n_queries, step):
        mean, best_first = gains.mean_block(start, min(start + step, n_queries))
        ndcg = normalised(mean * discount.sum(), best_first, discount)
        # Of the query itself, which is worth nothing, the last of the best order is rid.
        wap = expected_wap(best_first[:, :n_items], k=protocol.k, divide_by=protocol.divide_by)
        nothing = best_first[:, 0] == 0
        wap[nothing] = np.nan
        parts.append((ndcg, wap, np.where(nothing, np.nan, mean)))
    ndcg, wap, acg = (np.concatenate(part) for part in zip(*parts, strict=True))
    return GradedScores(ndcg, wap, None if protocol.k is None else acg)


def _override(protocol: Protocol, *, k: int | None, divide_by: Divisor | None) -> Protocol:
    if k is not None:
        protocol = replace(protocol, k=k)
    return protocol if divide_by is None else replace(protocol, divide_by=divide_by)


def chosen_modalities(data: LabelledData, modalities: Sequence[str] | None) -> tuple[str, ...]:
    """Return the modalities asked for, or all there are.

    Raises:
        InputError: Not labelled data, or not a list of names.
        NotFoundError: There is no modality of that name.
    """
    if not hasattr(data, "modalities") or not hasattr(data, "classes"):
        raise InputError(
            f"data: expected a data set with labels, got {type(data).__name__}. Build one with "
            "Dataset.from_arrays."
        )
    if modalities is not None:
        check_names("modalities", modalities)
    names = tuple(data.modalities) if modalities is None else tuple(modalities)
    for name in names:
        if name not in data.modalities:
            raise not_found("modality", name, data.modalities)
    return tuple(dict.fromkeys(names))


def _directions(names: tuple[str, ...], protocol: Protocol) -> list[tuple[str, str]]:
    pairs = [(a, b) for a in names for b in names if a != b or protocol.within]
    if not pairs:
        raise InputError(
            f"modalities: expected at least two to search from one to another, got {names!r}. "
            "Protocol(within=True) scores a modality against itself."
        )
    return pairs


def _check_model(model: Any) -> None:
    if not isinstance(model, SupportsTransform | Mapping):
        raise InputError(
            "model: expected something with transform(modality, x), or vectors by modality, got "
            f"{type(model).__name__}. A stored model is read by commonspace.load."
        )


def _check_gallery(
    model: SupportsTransform | Mapping[str, Any], data: LabelledData, gallery: LabelledData
) -> None:
    if isinstance(model, Mapping):
        raise InputError(
            "gallery: vectors already made belong to one data set. Pass a model, or call "
            "score_vectors for each direction."
        )
    if tuple(data.classes) != tuple(gallery.classes):
        raise InputError(
            f"gallery: expected the classes of the queries, in order; got {len(gallery.classes)} "
            f"classes against {len(data.classes)}."
        )

"""``/v1/search``: by text, vector, uploaded file, item, words, or several of them mixed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from commonspace.checks import as_features
from commonspace.errors import InputError
from commonspace.service.batching import Limited
from commonspace.service.bodies import json_answer, lines_answer, read_either, wants_lines
from commonspace.service.errors import Refused, too_large
from commonspace.service.lifecycle import Version, in_thread
from commonspace.service.limits import Limits
from commonspace.service.openapi import body_of
from commonspace.service.queries import Query, query_of
from commonspace.service.schema import Part, SearchAnswer, SearchRequest
from commonspace.service.state import State, state_of
from commonspace.store.hits import Hits
from commonspace.types import Float32Array, JsonDict

router = APIRouter(tags=["search"])

_OF_ONE = (
    "match: probabilities are known from one modality to another. Ask by one part, which says its "
    "`modality` if it is a vector; or by vectors, with a `query_modality`."
)


@router.post(
    "/v1/search",
    response_model=SearchAnswer,
    openapi_extra=body_of("SearchRequest", form=True),
)
async def search(request: Request) -> Response:
    """Find the items nearest to a query of any modality.

    JSON, or a form of files `file` and the same JSON in a text field `request`; without a `query`
    in it, each file is a part. With `Accept: application/x-ndjson` hits come one JSON object a
    line, with the number of their query and their rank.
    """
    state = state_of(request)
    ask, files = await read_either(request, SearchRequest, state.limits)
    parts = _parts(ask, files, state.limits)
    with state.shelf[ask.collection].lease() as version:
        try:
            async with asyncio.timeout(state.limits.seconds):
                hits = await _find(state, version, ask, parts, files)
        except TimeoutError as error:
            raise Refused(408, "Timeout", "the search took too long; ask for less.") from error
    name = state.shelf[ask.collection].name
    rows = hits.rows()
    page = [found[ask.offset : ask.offset + ask.k] for found in rows]
    if wants_lines(request):
        return lines_answer(_numbered(page, ask.offset))
    more = any(len(found) == ask.k for found in page)
    following = ask.offset + ask.k if more else None
    answer = {"collection": name, "measure": hits.measure, "hits": page}
    return json_answer({**answer, "next_offset": following})


async def _find(
    state: State,
    version: Version,
    ask: SearchRequest,
    parts: Sequence[Part],
    files: Sequence[bytes],
) -> Hits:
    modality = [ask.modality] if isinstance(ask.modality, str) else ask.modality
    k = ask.k + ask.offset
    if ask.words is not None:
        return await _by_words(state, version, ask, modality)
    if ask.vectors is not None:
        rows = _checked(version, ask.vectors, state.limits, k)
        query = Query(rows, ask.query_modality)
    else:
        _check_hits(1, k, state.limits)
        encoding = state.shelf.threads.encoding
        query = await in_thread(encoding, query_of, version, parts, files, state.limits)
    if ask.match and query.modality is None:
        raise InputError(_OF_ONE)
    among = tuple(modality) if modality else None
    limited = Limited(k, among, ask.where, query.modality, ask.match)
    return await version.batcher.search(query.vectors, limited)


async def _by_words(
    state: State, version: Version, ask: SearchRequest, modality: list[str] | None
) -> Hits:
    k = ask.k + ask.offset
    _check_hits(1, k, state.limits)

    def call() -> Hits:
        words = ask.words or ""
        return version.collection.search_text(words, k, modality=modality, where=ask.where)

    return await in_thread(state.shelf.threads.searching, call)


def _parts(ask: SearchRequest, files: Sequence[bytes], limits: Limits) -> list[Part]:
    """The parts of the query, after a check that there is exactly one way to search."""
    query = ask.query
    if query is None and files:
        query = [Part(file=place) for place in range(len(files))]
    given = {"query": query, "vectors": ask.vectors, "words": ask.words}
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(named) or "none"
        raise InputError(f"search: expected one of query, vectors and words, got {got}.")
    parts = [query] if isinstance(query, Part) else query or []
    if query is not None and not parts:
        raise InputError("query: expected at least one part, got none.")
    if ask.query_modality is not None and ask.vectors is None:
        raise InputError("query_modality: is for use with vectors; a part has a modality.")
    if ask.match is not None and ask.words is not None:
        raise InputError("match: is not for use with words, which BM25 ranks.")
    if len(parts) > limits.parts:
        raise too_large(f"query: expected at most {limits.parts} parts, got {len(parts)}.")
    return parts


def _checked(version: Version, vectors: list[list[float]], limits: Limits, k: int) -> Float32Array:
    if len(vectors) > limits.queries:
        raise too_large(f"vectors: expected at most {limits.queries}, got {len(vectors)}.")
    _check_hits(len(vectors), k, limits)
    return as_features(vectors, where="vectors", n_features=version.collection.space.dim)


def _check_hits(n_queries: int, k: int, limits: Limits) -> None:
    if n_queries * k > limits.hits:
        raise too_large(
            f"k: expected at most {limits.hits} hits in all, got {n_queries} queries of k + offset "
            f"= {k}. Ask for fewer, or in pages."
        )


def _numbered(page: list[list[JsonDict]], offset: int) -> Iterator[dict[str, Any]]:
    for query, found in enumerate(page):
        for rank, hit in enumerate(found, start=offset + 1):
            yield {"query": query, "rank": rank, **hit}

"""``/v1/collections``, ``/v1/modalities``, and what those ask who watch over a service."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from commonspace.errors import CommonspaceError
from commonspace.service.bodies import json_answer, query_values, read_json
from commonspace.service.errors import Refused
from commonspace.service.lifecycle import Served, Version, in_thread
from commonspace.service.metrics import CONTENT_TYPE
from commonspace.service.openapi import body_of, parameters
from commonspace.service.schema import (
    Collections,
    Modalities,
    Reopened,
    ReopenRequest,
    State,
)
from commonspace.service.state import state_of
from commonspace.types import JsonDict

router = APIRouter()


@router.get("/v1/collections", response_model=Collections, tags=["collections"])
async def collections(request: Request) -> Response:
    """List the collections, with the space and size of each."""
    shelf = state_of(request).shelf
    listed = []
    for served in shelf.collections.values():
        with served.lease() as version:
            listed.append(await in_thread(shelf.threads.searching, _describe, served, version))
    return json_answer({"collections": listed})


@router.post(
    "/v1/collections/reopen",
    response_model=Reopened,
    tags=["collections"],
    openapi_extra=body_of("ReopenRequest"),
)
async def reopen(request: Request) -> Response:
    """Take up the folder that a collection's link points to now; nobody waits for it.

    Requests that were begun end with the version they began with.
    """
    ask = await read_json(request, ReopenRequest)
    return json_answer({"reopened": await state_of(request).shelf.reopen(ask.collection)})


@router.get(
    "/v1/modalities",
    response_model=Modalities,
    tags=["collections"],
    openapi_extra=parameters(collection="One, instead of all."),
)
async def modalities(request: Request) -> Response:
    """List the modalities: how many items each has, and what can be a query of it."""
    shelf = state_of(request).shelf
    named = query_values(request, ("collection",)).get("collection")
    chosen = [*shelf.collections.values()] if named is None else [shelf[named[-1]]]
    listed: list[JsonDict] = []
    for served in chosen:
        with served.lease() as version:
            listed += await in_thread(shelf.threads.searching, _modalities, served, version)
    return json_answer({"modalities": listed})


@router.get("/healthz", response_model=State, tags=["health"])
async def healthz() -> Response:
    """Say that the process is alive."""
    return json_answer({"status": "alive"})


@router.get("/readyz", response_model=State, tags=["health"])
async def readyz(request: Request) -> Response:
    """Say whether every collection answers."""
    shelf = state_of(request).shelf
    if not shelf.open:
        raise Refused(503, "Busy", "the service is starting or shutting down.")
    for served in shelf.collections.values():
        with served.lease() as version:
            await in_thread(shelf.threads.searching, len, version.collection)
    return json_answer({"status": "ready"})


@router.get("/metrics", response_class=Response, tags=["health"])
async def metrics(request: Request) -> Response:
    """Return counters in Prometheus's text form."""
    state = state_of(request)
    state.metrics.items.clear()
    for served in state.shelf.collections.values():
        with served.lease() as version:
            counts = await in_thread(state.shelf.threads.searching, _counts, version)
        for modality, count in counts.items():
            state.metrics.items.labels(served.name, modality).set(count)
    return Response(state.metrics.text(), media_type=CONTENT_TYPE)


def _counts(version: Version) -> dict[str, int]:
    return version.collection.modalities


def _describe(served: Served, version: Version) -> JsonDict:
    counts = version.collection.modalities
    space = version.collection.space
    return {
        "name": served.name,
        "items": sum(counts.values()),
        "modalities": counts,
        "dim": space.dim,
        "space": space.fingerprint,
        "classes": list(space.classes),
        "version": served.number,
        "read_only": served.read_only,
        "model": type(version.model).__name__ if version.has_model else None,
    }


def _modalities(served: Served, version: Version) -> list[JsonDict]:
    counts = version.collection.modalities
    model = version.model if version.has_model else None
    names = dict.fromkeys([*counts, *(model.modalities if model else ())])
    return [
        {
            "collection": served.name,
            "name": name,
            "items": counts.get(name, 0),
            **_reads(model, name),
        }
        for name in names
    ]


def _reads(model: Any, name: str) -> JsonDict:
    """What can be a query of a modality."""
    unknown = {"reads": None, "encoder": None, "features": None}
    if model is None or name not in model.modalities:
        return unknown
    from commonspace.encoders import kept_encoder

    found = {**unknown, "features": int(model.n_features(name))}
    spec = model.encoders_.get(name)
    try:
        encoder = None if spec is None else kept_encoder(spec)
    except CommonspaceError:
        return found  # made by an encoder of somebody else's
    if encoder is None:
        return found
    return {**found, "reads": encoder.modality_kind, "encoder": encoder.id}

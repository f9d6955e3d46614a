"""``/v1/items``: add, get and delete; an answer of success means that it is on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from commonspace.checks import as_features
from commonspace.errors import InputError, NotFoundError
from commonspace.service.bodies import (
    checked,
    json_answer,
    lines_answer,
    query_values,
    read_either,
    read_json,
    wants_lines,
)
from commonspace.service.errors import Refused, too_large
from commonspace.service.lifecycle import Served, Version, in_thread
from commonspace.service.limits import Limits
from commonspace.service.openapi import body_of, parameters
from commonspace.service.queries import file_query
from commonspace.service.schema import Added, AddRequest, Deleted, ItemsAnswer, ItemsRequest
from commonspace.service.state import State, state_of
from commonspace.store.collection import Collection
from commonspace.types import AnyArray, Float32Array, JsonDict

router = APIRouter(tags=["items"])

_KINDS = ("vector", "features", "text", "file")
_COLLECTION = "Its name; needed if there are several."
_WHICH = {"id": "Of the item; may be repeated.", "modality": "One, instead of all."}
_WHICH["collection"] = _COLLECTION


@router.post("/v1/items", response_model=Added, openapi_extra=body_of("AddRequest", form=True))
async def add(request: Request) -> Response:
    """Add items, or replace those of the same id and modality; all are durable, or none is there.

    Give each item a `vector` of the space, or `features`, a `text` or a `file` that the model
    encodes; files come in a form, with this JSON in its text field `request`.
    """
    state = state_of(request)
    ask, files = await read_either(request, AddRequest, state.limits)
    _check_many(len(ask.items), state)
    served = _writable(state.shelf[ask.collection])
    with served.lease() as version:
        rows = await in_thread(
            state.shelf.threads.encoding, _rows, version, ask, files, state.limits
        )
        store = partial(
            version.collection.add,
            [item.id for item in ask.items],
            rows,
            modality=ask.modality,
            payloads=[item.payload for item in ask.items],
        )
        await in_thread(state.shelf.threads.writing, store)
    return json_answer({"collection": served.name, "added": len(ask.items)})


@router.get(
    "/v1/items",
    response_model=ItemsAnswer,
    openapi_extra=parameters(**_WHICH, vectors="true gives their vectors too."),
)
async def get(request: Request) -> Response:
    """Return items by `id`, which may be repeated; 404 if none of them is there."""
    return await _get(request, _from_query(request, "vectors"))


@router.post("/v1/items/get", response_model=ItemsAnswer, openapi_extra=body_of("ItemsRequest"))
async def get_many(request: Request) -> Response:
    """Return items by their ids, those that are there; 404 if none is."""
    return await _get(request, await read_json(request, ItemsRequest))


@router.delete("/v1/items", response_model=Deleted, openapi_extra=parameters(**_WHICH))
async def delete(request: Request) -> Response:
    """Delete items by `id`, which may be repeated, in one modality or in all."""
    return await _delete(request, _from_query(request))


@router.post("/v1/items/delete", response_model=Deleted, openapi_extra=body_of("ItemsRequest"))
async def delete_many(request: Request) -> Response:
    """Delete items by their ids; ids that are not there are passed over."""
    return await _delete(request, await read_json(request, ItemsRequest))


async def _get(request: Request, ask: ItemsRequest) -> Response:
    state = state_of(request)
    _check_many(len(ask.ids), state)
    served = state.shelf[ask.collection]
    with served.lease() as version:
        items = await in_thread(state.shelf.threads.searching, _stored, version.collection, ask)
    if not items:
        raise NotFoundError(f"collection {served.name!r}: no item {ask.ids[0]!r}.")
    if wants_lines(request):
        return lines_answer(items)
    return json_answer({"collection": served.name, "items": items})


async def _delete(request: Request, ask: ItemsRequest) -> Response:
    state = state_of(request)
    _check_many(len(ask.ids), state)
    served = _writable(state.shelf[ask.collection])
    with served.lease() as version:
        call = partial(version.collection.delete, ask.ids, ask.modality)
        deleted = await in_thread(state.shelf.threads.writing, call)
    return json_answer({"collection": served.name, "deleted": deleted})


def _from_query(request: Request, *more: str) -> ItemsRequest:
    values = query_values(request, ("id", "modality", "collection", *more))
    for name in ("modality", "collection", *more):
        if len(values.get(name, [])) > 1:
            raise InputError(f"{name}: expected one, got {len(values[name])}.")
    if "id" not in values:
        raise InputError("id: expected at least one.")
    flag = values.get("vectors", ["false"])[0]
    if flag not in ("true", "false"):
        raise InputError(f"vectors: expected true or false, got {flag!r}.")
    one: JsonDict = {name: values[name][0] for name in ("modality", "collection") if name in values}
    return checked({**one, "ids": values["id"], "vectors": flag == "true"}, ItemsRequest)


def _stored(collection: Collection, ask: ItemsRequest) -> list[JsonDict]:
    items = collection.get(ask.ids, ask.modality)
    if ask.vectors:
        for modality in {item["modality"] for item in items}:
            same = [item for item in items if item["modality"] == modality]
            found = collection.vectors([item["id"] for item in same], modality)
            for item, vector in zip(same, found, strict=True):
                item["vector"] = vector.tolist()
    return items


def _rows(
    version: Version, ask: AddRequest, files: Sequence[bytes], limits: Limits
) -> Float32Array:
    """Vectors of new items, in their order."""
    kinds = {
        tuple(kind for kind in _KINDS if getattr(item, kind) is not None) for item in ask.items
    }
    kind = next(iter(kinds))
    if len(kinds) > 1 or len(kind) != 1:
        raise InputError(f"items: expected one of {', '.join(_KINDS)}, the same in all of them.")
    values = [getattr(item, kind[0]) for item in ask.items]
    if kind[0] == "vector":
        dim = version.collection.space.dim
        return as_features(values, where="item vectors", n_features=dim)
    if kind[0] == "file":
        queries = [file_query(version, place, files, ask.modality, limits) for place in values]
        return np.concatenate([query.vectors for query in queries])
    x = _features_of(version.model, ask.modality, values) if kind[0] == "text" else values
    vectors: Float32Array = version.model.transform(ask.modality, as_features(x, where="features"))
    return vectors


def _features_of(model: Any, modality: str, texts: list[str]) -> AnyArray:
    from commonspace.encoders import kept_encoder

    model.n_features(modality)
    spec = model.encoders_.get(modality)
    encoder = None if spec is None else kept_encoder(spec)
    # An encoder of pictures would take a text for the path of a file.
    if encoder is None or encoder.modality_kind != "text":
        raise InputError(
            f"modality {modality!r}: no encoder of texts is on record for it. Give features."
        )
    return np.asarray(encoder.encode(texts))


def _writable(served: Served) -> Served:
    if served.read_only:
        raise Refused(403, "Forbidden", f"collection {served.name!r} is served read-only.")
    return served


def _check_many(count: int, state: State) -> None:
    if count > state.limits.items:
        raise too_large(f"items: expected at most {state.limits.items} at once, got {count}.")

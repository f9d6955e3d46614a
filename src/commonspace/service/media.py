"""The files behind items, and small pictures of them, from one folder that the operator named.

The path is the one in the item's payload, never one of the request, and counts only inside that
folder: whoever may add items could write any path into a payload. What a file is, its bytes say.
"""

from __future__ import annotations

import io
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.responses import FileResponse

from commonspace.errors import InputError, NotFoundError
from commonspace.service.bodies import query_values
from commonspace.service.errors import Refused, too_large
from commonspace.service.lifecycle import in_thread
from commonspace.service.openapi import parameters
from commonspace.service.state import State, state_of
from commonspace.service.uploads import open_picture, sniff
from commonspace.store.collection import Collection

router = APIRouter(tags=["items"])

_HEAD = 64  # bytes that say what a file is
_CACHED = {"Cache-Control": "private, max-age=3600"}
_SANDBOX = {"Content-Security-Policy": "default-src 'none'; sandbox"}
_WHICH = {"id": "Of the item.", "modality": "One, instead of all.", "collection": "Its name."}


@router.get("/v1/items/media", response_class=Response, openapi_extra=parameters(**_WHICH))
async def media(request: Request) -> Response:
    """Return the picture, sound or film of an item; parts of it by `Range`."""
    state = state_of(request)
    path, kind, _ = await _file_of(request, state)
    return FileResponse(path, media_type=kind, headers={**_CACHED, **_SANDBOX})


@router.get(
    "/v1/items/thumbnail",
    response_class=Response,
    openapi_extra=parameters(**_WHICH, size="Longer side in pixels, 16 to 1024."),
)
async def thumbnail(request: Request) -> Response:
    """Return the picture of an item, no larger than `size` (256), as PNG."""
    state = state_of(request)
    path, kind, size = await _file_of(request, state)
    if not kind.startswith("image/"):
        raise Refused(415, "UnsupportedMedia", f"the item is a file of {kind}, and no picture.")
    content = await in_thread(state.shelf.threads.encoding, _small, path, size, state)
    return Response(content, media_type="image/png", headers={**_CACHED, **_SANDBOX})


async def _file_of(request: Request, state: State) -> tuple[Path, str, int]:
    """The file of the item that a request names, what it is, and the size asked for."""
    values = query_values(request, ("id", "modality", "collection", "size"))
    if len(values.get("id", [])) != 1:
        raise InputError(f"id: expected one, got {len(values.get('id', []))}.")
    modality = values.get("modality", [None])[-1]
    with state.shelf[values.get("collection", [None])[-1]].lease() as version:
        path, kind = await in_thread(
            state.shelf.threads.searching,
            _find,
            version.collection,
            values["id"][0],
            modality,
            state.media,
        )
    return path, kind, _size(values.get("size", ["256"])[-1])


def _find(
    collection: Collection, id_: str, modality: str | None, root: Path | None
) -> tuple[Path, str]:
    for item in collection.get([id_], modality):
        named = item["payload"].get("path")
        path = _inside(root, named) if isinstance(named, str) and root is not None else None
        kind = None if path is None else _kind(path)
        if path is not None and kind is not None:
            return path, kind
    raise NotFoundError(f"item {id_!r}: there is none, or it has no file that is shown here.")


def _inside(root: Path, named: str) -> Path | None:
    """The file of a payload, if it is one inside the folder, links resolved."""
    try:
        folder = root.resolve()
        path = (folder / named).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return path if path.is_relative_to(folder) and path.is_file() else None


def _kind(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return sniff(file.read(_HEAD))
    except OSError:
        return None


def _size(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and len(text) < 5 and 16 <= int(text) <= 1024):
        raise InputError(f"size: expected a whole number from 16 up to 1024, got {text!r}.")
    return int(text)


def _small(path: Path, size: int, state: State) -> bytes:
    if path.stat().st_size > state.limits.upload_bytes:
        raise too_large(f"expected a file of at most {state.limits.upload_bytes} bytes.")
    picture = open_picture(path.read_bytes(), state.limits, where="the item's picture")
    picture.thumbnail((size, size))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()

"""The ASGI app over one collection or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.staticfiles import StaticFiles

from commonspace.errors import CommonspaceError, InputError
from commonspace.service import info, items, media, search, views
from commonspace.service.errors import answer_error
from commonspace.service.guard import Guard
from commonspace.service.keys import KeyFile
from commonspace.service.lifecycle import Shelf
from commonspace.service.limits import Limits
from commonspace.service.metrics import Metrics
from commonspace.service.openapi import document
from commonspace.service.state import State
from commonspace.store.milvus import as_folder

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_PAGE = Path(__file__).with_name("page")


def create_app(
    collections: str | Path | Iterable[str | Path] | Mapping[str, str | Path],
    *,
    keys: KeyFile | None = None,
    limits: Limits | None = None,
    model: str | Path | None = None,
    media: str | Path | None = None,
    read_only: bool = False,
    hosts: Iterable[str] | None = LOOPBACK,
) -> FastAPI:
    """Make the app; collections open when it starts, and close when it ends.

    Args:
        collections: A folder, several, or folders by the name that requests call them; without
            names, the folders' own.
        keys: Who may ask. None lets everyone who reaches the app read and write: loopback only.
        limits: Bounds of requests; None takes the defaults.
        model: Folder of the model behind them; None looks where each collection says.
        media: Folder whose files may be shown where a payload's "path" names them; None: no files.
        read_only: Refuse writes, and leave the collections to another writer.
        hosts: Names that requests without keys may address; None: any.

    Raises:
        InputError: No collection, or two of one name; ``media`` is no folder.
    """
    if media is not None and not Path(media).is_dir():
        raise InputError(f"media: {media} is no folder. Name the one that payloads' paths are in.")
    limits, metrics = limits or Limits(), Metrics()
    shelf = Shelf(
        _named(collections),
        read_only=read_only,
        model_folder=None if model is None else Path(model),
        limits=limits,
        metrics=metrics,
    )
    state = State(
        shelf,
        limits,
        metrics,
        keys,
        None if media is None else Path(media),
        None if keys is not None or hosts is None else frozenset(hosts),
    )
    return _app(state)


def _app(state: State) -> FastAPI:
    app = FastAPI(
        title="commonspace",
        version="1",
        lifespan=state.shelf.lifespan,
        docs_url=None,  # its page would load scripts from elsewhere
        redoc_url=None,
        exception_handlers={CommonspaceError: _answer, HTTPException: _answer},
    )
    app.state.service = state
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    for room in (search, items, media, info, views):
        app.include_router(room.router)
    if _PAGE.is_dir():
        app.mount("/", StaticFiles(directory=_PAGE, html=True))
    app.add_middleware(Guard, state=state)
    return app


async def _answer(request: Request, error: Any) -> JSONResponse:
    """Answer an error in the library's words, folders called by the names of their collections."""
    answer = answer_error(error, request.state.request_id)
    state: State = request.app.state.service
    for served in state.shelf.collections.values():
        for folder in (served.folder.resolve(), served.folder):
            answer.body = bytes(answer.body).replace(str(folder).encode(), served.name.encode())
    answer.headers["content-length"] = str(len(answer.body))
    return answer


def _named(collections: Any) -> dict[str, Path]:
    if isinstance(collections, Mapping):
        named = {str(name): _folder(place) for name, place in collections.items()}
    else:
        one = isinstance(collections, str | Path)
        folders = [_folder(place) for place in ([collections] if one else collections)]
        named = {folder.absolute().name: folder for folder in folders}
        if len(named) < len(folders):
            raise InputError("collections: two folders have the same name. Give each its own.")
    if not named:
        raise InputError("collections: expected at least one folder.")
    return named


def _folder(place: str | Path) -> Path:
    return as_folder(place, what="a service")

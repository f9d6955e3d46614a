"""What the page shows beside hits: filters, the map, the health report; read from derived files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from commonspace.errors import NotFoundError, StorageError
from commonspace.service.bodies import json_answer, query_values
from commonspace.service.lifecycle import Version, in_thread
from commonspace.service.maps import read_map
from commonspace.service.openapi import parameters
from commonspace.service.state import State, state_of
from commonspace.store.sampling import sample_items
from commonspace.types import JsonDict

router = APIRouter(tags=["page"])

HEALTH = "health.json"
_LARGEST = 8 << 20  # bytes of a health report
_SAMPLED = 2000  # items whose payloads tell which fields there are
_MOST_FIELDS, _MOST_VALUES = 12, 60
_LONGEST = 60  # characters of a value to choose
_SCALARS = (str, int, float, bool)
_NO_FILTERS = {"path", "text"}
# What conditions take for a path into nested fields, or refuse.
_NO_CONDITION = re.compile(r'[."\\\x00-\x1f]|^$')
_WHICH = {"collection": "Its name; needed if there are several."}


class PageField(BaseModel):
    """A payload field to filter by: with values to choose, or numbers in a range."""

    name: str
    values: list[str | int | float | bool] | None = None
    low: float | None = None
    high: float | None = None


class PageInfo(BaseModel):
    """What the page can show of a collection."""

    collection: str
    media: Annotated[bool, Field(description="Whether files behind items are shown.")]
    map: Annotated[bool, Field(description="Whether there is a map.")]
    health: Annotated[bool, Field(description="Whether there is a health report.")]
    fields: list[PageField]


@router.get("/v1/page", response_model=PageInfo, openapi_extra=parameters(**_WHICH))
async def page(request: Request) -> Response:
    """Say what there is to show of a collection, and which payload fields can be conditions."""
    return json_answer(await _read(request, _info))


@router.get("/v1/page/map", response_model=dict[str, Any], openapi_extra=parameters(**_WHICH))
async def map_(request: Request) -> Response:
    """Return the map that `commonspace map` stored beside a collection."""
    return json_answer(await _read(request, _map))


@router.get("/v1/page/health", response_model=dict[str, Any], openapi_extra=parameters(**_WHICH))
async def health(request: Request) -> Response:
    """Return the report that ``commonspace inspect --json`` wrote beside a collection."""
    return json_answer(await _read(request, _health))


async def _read(request: Request, reader: Any) -> JsonDict:
    state = state_of(request)
    served = state.shelf[query_values(request, ("collection",)).get("collection", [None])[-1]]
    with served.lease() as version:
        # Files are read beside the searches, which wait for nobody.
        call = state.shelf.threads.encoding
        found: JsonDict = await in_thread(call, reader, state, served.name, version)
        return found


def _info(state: State, name: str, version: Version) -> JsonDict:
    folder = version.folder
    return {
        "collection": name,
        "media": state.media is not None,
        "map": read_map(folder) is not None,
        "health": (folder / HEALTH).is_file(),
        "fields": fields_of(sample_items(folder, _SAMPLED).payloads),
    }


def _map(state: State, name: str, version: Version) -> JsonDict:
    found = read_map(version.folder)
    if found is None:
        raise NotFoundError(f"collection {name!r} has no map. Make one: commonspace map {name}")
    return found


def _health(state: State, name: str, version: Version) -> JsonDict:
    path = version.folder / HEALTH
    if not path.is_file():
        raise NotFoundError(
            f"collection {name!r} has no health report. Make one: commonspace inspect MODEL DATA "
            f"--json > {name}/{HEALTH}"
        )
    return _report(path)


def _report(path: Path) -> JsonDict:
    try:
        if path.stat().st_size > _LARGEST:
            raise StorageError(f"{path.name}: expected {_LARGEST} bytes at most.")
        content = json.loads(path.read_text(encoding="utf-8"))
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()  # as it is answered
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{path.name} is damaged: it is not readable JSON.") from error
    if not isinstance(content, dict) or "verdict" not in content:
        raise StorageError(f"{path.name} is no report of `commonspace inspect --json`.")
    return content


def fields_of(payloads: Iterable[JsonDict]) -> list[JsonDict]:
    """Return the payload fields worth a filter, the most frequent first.

    A field of few different texts, numbers or truth values gives them all; one of many numbers
    gives their range; one of many texts is left to search.

    Example:
        >>> fields_of([{"lang": "fr", "classes": ["a", "b"]}, {"lang": "de"}])
        [{'name': 'lang', 'values': ['de', 'fr']}, {'name': 'classes', 'values': ['a', 'b']}]
    """
    found: dict[str, set[Any]] = {}
    counts: dict[str, int] = {}
    for payload in payloads:
        for name, value in payload.items():
            counts[name] = counts.get(name, 0) + 1
            cells = value if isinstance(value, list) else [value]
            found.setdefault(name, set()).update(c for c in cells if isinstance(c, _SCALARS))
    names = sorted((name for name in found if name not in _NO_FILTERS), key=lambda n: -counts[n])
    fields = [field for name in names if (field := _field(name, found[name])) is not None]
    return fields[:_MOST_FIELDS]


def _field(name: str, values: set[Any]) -> JsonDict | None:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if not values or _NO_CONDITION.search(name):
        return None
    if len(numbers) == len(values) > _MOST_VALUES // 4:
        return {"name": name, "low": min(numbers), "high": max(numbers)}
    short = all(len(str(value)) <= _LONGEST for value in values)
    if len(values) > _MOST_VALUES or not short:
        return None
    return {"name": name, "values": sorted(values, key=lambda value: (str(type(value)), value))}

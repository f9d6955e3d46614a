"""From the bytes of a request to a typed request and its uploads; to bytes from an answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from commonspace.errors import InputError
from commonspace.service.errors import Refused, too_large
from commonspace.service.limits import Limits

JSON = "application/json"
FORM = "multipart/form-data"
LINES = "application/x-ndjson"

M = TypeVar("M", bound=BaseModel)
_LINES_AT_ONCE = 500


async def read_json(request: Request, model: type[M]) -> M:
    """Read a JSON body as one kind of request."""
    _check_type(request, JSON)
    return parse(await request.body(), model)


async def read_either(request: Request, model: type[M], limits: Limits) -> tuple[M, list[bytes]]:
    """Read a JSON body, or a form of ``request`` (JSON) and files ``file``.

    Returns:
        The request, and the bytes of the files.
    """
    if _media_type(request) == FORM:
        body, files = await _read_form(request, limits)
        return parse(body, model), files
    _check_type(request, JSON, FORM)
    return parse(await request.body(), model), []


def parse(body: bytes, model: type[M]) -> M:
    """Read JSON as one kind of request, or say which field is wrong."""
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise _wrong(error, model) from error


def checked(values: Mapping[str, Any], model: type[M]) -> M:
    """Take values of a query string as one kind of request, or say which one is wrong."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _wrong(error, model) from error


def json_answer(content: Any, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(_dumps(content), status, media_type=JSON)


def lines_answer(rows: Iterable[Mapping[str, Any]]) -> Response:
    """Answer with a JSON object a line, sent while they are written."""
    return StreamingResponse(_lines(rows), media_type=LINES)


def wants_lines(request: Request) -> bool:
    """Whether the caller asks for JSON lines."""
    return LINES in request.headers.get("accept", "")


def query_values(request: Request, allowed: Sequence[str]) -> dict[str, list[str]]:
    """Return the values of a query string by name.

    Raises:
        InputError: A name that is not known, or a value that is no text.
    """
    values: dict[str, list[str]] = {}
    for name, value in request.query_params.multi_items():
        if name not in allowed:
            raise InputError(f"{name!r}: no such parameter; there are {', '.join(allowed)}.")
        if not value or "\0" in value or "\ufffd" in value:
            raise InputError(f"{name}: expected a text, got {value!r}.")
        values.setdefault(name, []).append(value)
    return values


def _wrong(error: ValidationError, model: type[BaseModel]) -> Exception:
    """What to tell of the first problem."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid":
        return Refused(400, "MalformedRequest", f"body: {first['msg']}.")
    place = ".".join(str(part) for part in first["loc"] if part not in ("one", "many"))
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        said = f"no such field; there are {', '.join(model.model_fields)}"
    more = f" ({error.error_count()} problems in all)" if error.error_count() > 1 else ""
    return InputError(f"{place or 'body'}: {said}{more}.")


async def _read_form(request: Request, limits: Limits) -> tuple[bytes, list[bytes]]:
    try:
        async with request.form(
            max_files=limits.files, max_fields=1, max_part_size=limits.body_bytes
        ) as form:
            return await _parts_of(form, limits)
    except Refused:
        raise
    except HTTPException as error:  # what the parser of forms raises, limits included
        raise Refused(400, "MalformedRequest", f"form: {error.detail}") from error


async def _parts_of(form: FormData, limits: Limits) -> tuple[bytes, list[bytes]]:
    body, files = b"", []
    for name, value in form.multi_items():
        if name == "file" and isinstance(value, UploadFile):
            files.append(await _bytes_of(value, limits))
        elif name == "request":
            body = value.encode(errors="replace") if isinstance(value, str) else await value.read()
        else:
            raise InputError(f"form: expected files 'file' and a text 'request', got {name!r}.")
    return body, files


async def _bytes_of(file: UploadFile, limits: Limits) -> bytes:
    if (file.size or 0) > limits.upload_bytes:
        raise too_large(f"file: expected {limits.upload_bytes} bytes at most, got {file.size}.")
    return await file.read()


def _check_type(request: Request, *expected: str) -> None:
    if _media_type(request) not in expected:
        got = request.headers.get("content-type", "none")
        raise Refused(
            415,
            "UnsupportedMedia",
            f"Content-Type: expected {' or '.join(expected)}, got {got[:100]!r}.",
        )


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _dumps(content: Any) -> bytes:
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    waiting = []
    for row in rows:
        waiting.append(_dumps(row))
        if len(waiting) == _LINES_AT_ONCE:
            yield b"\n".join(waiting) + b"\n"
            waiting = []
    if waiting:
        yield b"\n".join(waiting) + b"\n"

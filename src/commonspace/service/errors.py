"""Errors as answers: a status, a stable code, and the library's own words.

The code is the name of the error, as the command line prints it with ``--json``: that of a
`CommonspaceError`, or of a refusal of the service itself.

======================  ======  ==================================================
code                    status  meaning
======================  ======  ==================================================
InputError              422     an argument is not what is needed
SpaceMismatchError      409     vectors of another space
NotFoundError           404     no collection, modality or item of that name
UnsupportedError        422     the method or collection cannot do it
StorageError            503     the disk, or a folder on it
MissingExtraError       501     the server lacks an optional package
MalformedRequest        400     no JSON, or no form, where it was needed
Unauthorized            401     no key, or one that does not count
Forbidden               403     the key may read only, or the collection is read-only
CrossOrigin             403     a page of another site asks
UnknownHost             421     addressed by a name that is not this machine's
Timeout                 408     the body, or the answer, took too long
TooLarge                413     more bytes, pixels, items or hits than the limits allow
UnsupportedMedia        415     a content type or file that is not read here
RateLimited             429     too many requests: ``Retry-After`` says when
Busy                    503     too many at once, or shutting down
InternalError           500     a mistake in commonspace
======================  ======  ==================================================
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from commonspace import errors

_STATUS: dict[type[errors.CommonspaceError], int] = {
    errors.SpaceMismatchError: 409,
    errors.InputError: 422,
    errors.NotFoundError: 404,
    errors.UnsupportedError: 422,
    errors.StorageError: 503,
    errors.MissingExtraError: 501,
}
_CODES = {404: "NotFoundError", 405: "MethodNotAllowed", 400: "MalformedRequest"}


class Refused(HTTPException):
    """The service itself says no."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.code = code


def too_large(message: str) -> Refused:
    """Return the refusal of what is beyond a limit."""
    return Refused(413, "TooLarge", message)


def answer_error(error: Exception, request_id: str) -> JSONResponse:
    """Return the answer to a request that failed; what is ours is not told in detail."""
    headers = None
    if isinstance(error, HTTPException):
        status, message, headers = error.status_code, str(error.detail), error.headers
        code = getattr(error, "code", _CODES.get(status, "HTTPError"))
    elif isinstance(error, errors.CommonspaceError):
        status = next((s for kind, s in _STATUS.items() if isinstance(error, kind)), 422)
        code, message = type(error).__name__, str(error)
    else:
        status, code = 500, "InternalError"
        message = "This is a mistake in commonspace; the log of the service has more by this id."
    content = {"error": {"code": code, "message": message, "request_id": request_id}}
    return JSONResponse(content, status, headers)

"""What stands before every endpoint: who asks, from where, how often, how much, and for how long.

One ASGI layer, so that a request without a key is refused before a byte of its body is read. What
it lets in gets an id, a line in the log, a count in the metrics, and headers that tell browsers to
trust nothing.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from commonspace.errors import CommonspaceError
from commonspace.service.errors import Refused, answer_error, too_large
from commonspace.service.keys import Key
from commonspace.service.limits import TokenBuckets
from commonspace.service.logs import access, events
from commonspace.service.state import State

# All other requests need a key of scope "write", unless they are GET or HEAD.
_READING_POSTS = {"/v1/search", "/v1/items/get"}
_GUARDED = ("/v1/", "/metrics")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_FAILURES = (2.0, 20)  # of keys that do not count: a second, and at once, for each address
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "content-security-policy": (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
}


@dataclass
class _Visit:
    """One request on its way."""

    method: str
    path: str
    headers: Headers
    address: str
    id: str
    begun: float = field(default_factory=time.perf_counter)
    key: Key | None = None
    received: int = 0
    sent: int = 0
    status: int = 0


class Guard:
    """Lets requests through to the endpoints, or answers them with the reason why not."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app, self._state = app, state
        limits = state.limits
        self._rate = None if limits.rate is None else TokenBuckets(limits.rate, limits.burst)
        self._failures = TokenBuckets(*_FAILURES)
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        visit = _visit(scope)
        scope.setdefault("state", {})["request_id"] = visit.id
        self._in_flight += 1
        self._state.metrics.in_flight.set(self._in_flight)
        sending = self._sending(visit, send)
        try:
            self._admit(visit)
            await self._app(scope, self._receiving(visit, receive), sending)
        except Exception as error:
            await self._fail(visit, error, scope, receive, sending)
        finally:
            self._in_flight -= 1
            self._state.metrics.in_flight.set(self._in_flight)
            self._record(visit, scope)
        return None

    def _admit(self, visit: _Visit) -> None:
        limits = self._state.limits
        if self._in_flight > limits.in_flight:
            raise Refused(503, "Busy", "too many requests at once.", {"Retry-After": "1"})
        self._check_host(visit)
        if visit.path.startswith(_GUARDED):
            self._check_origin(visit)
            self._check_key(visit)
            self._check_rate(visit)
        declared = visit.headers.get("content-length", "0")
        if declared.isdecimal() and int(declared) > limits.body_bytes:
            raise too_large(f"body: expected at most {limits.body_bytes} bytes, got {declared}.")

    def _check_host(self, visit: _Visit) -> None:
        """Refuse names of other machines that somebody made point to this one."""
        host = visit.headers.get("host", "")
        hosts = self._state.hosts
        if hosts is not None and _name_of(host) not in hosts:
            raise Refused(
                421,
                "UnknownHost",
                f"Host: expected one of {', '.join(sorted(hosts))}, got {host[:100]!r}.",
            )

    def _check_origin(self, visit: _Visit) -> None:
        """Refuse pages of other sites that ask through a browser on this machine."""
        if self._state.keys is not None:
            return  # a key is nothing that a browser adds by itself
        origin = visit.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != visit.headers.get("host")
        if foreign or visit.headers.get("sec-fetch-site") == "cross-site":
            raise Refused(403, "CrossOrigin", "pages of other sites may not ask here.")

    def _check_key(self, visit: _Visit) -> None:
        keys = self._state.keys
        if keys is None:
            return
        scheme, _, text = visit.headers.get("authorization", "").partition(" ")
        key = keys.check(text.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            wait = self._failures.wait(visit.address)
            if wait:
                raise _rate_limited(wait)
            raise Refused(
                401,
                "Unauthorized",
                "expected a key that counts, as: Authorization: Bearer cs_...",
                {"WWW-Authenticate": "Bearer"},
            )
        visit.key = key
        reads = visit.method in ("GET", "HEAD") or visit.path in _READING_POSTS
        if not reads and key.scope != "write":
            raise Refused(403, "Forbidden", f"key {key.id} may read only; this needs one to write.")

    def _check_rate(self, visit: _Visit) -> None:
        if self._rate is not None:
            wait = self._rate.wait(visit.key.id if visit.key else visit.address)
            if wait:
                raise _rate_limited(wait)

    def _receiving(self, visit: _Visit, receive: Receive) -> Receive:
        """Receive a body that is neither too large nor too slow."""
        limits = self._state.limits
        until = visit.begun + limits.seconds
        complete = False

        async def receiving() -> Message:
            nonlocal complete
            if complete:  # only waits for the caller to go
                return await receive()
            try:
                left = max(0.0, until - time.perf_counter())
                message = await asyncio.wait_for(receive(), left)
            except TimeoutError as error:
                raise Refused(408, "Timeout", "the body took too long to arrive.") from error
            visit.received += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if visit.received > limits.body_bytes:
                raise too_large(f"body: expected at most {limits.body_bytes} bytes.")
            return message

        return receiving

    def _sending(self, visit: _Visit, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.status = message["status"]
                _add_headers(message, visit)
            visit.sent += len(message.get("body", b""))
            await send(message)

        return sending

    async def _fail(
        self, visit: _Visit, error: Exception, scope: Scope, receive: Receive, sending: Send
    ) -> None:
        if not isinstance(error, CommonspaceError | Refused):
            events.error("request %s failed", visit.id, exc_info=error)
        if visit.status:  # part of the answer is under way: the connection has to end
            raise error
        await answer_error(error, visit.id)(scope, receive, sending)

    def _record(self, visit: _Visit, scope: Scope) -> None:
        route = getattr(scope.get("route"), "path", None) or "other"
        seconds = time.perf_counter() - visit.begun
        method = visit.method if visit.method in _METHODS else "OTHER"
        self._state.metrics.requests.labels(route, method, str(visit.status)).inc()
        self._state.metrics.seconds.labels(route).observe(seconds)
        fields = {
            "request_id": visit.id,
            "method": method,
            "route": route,
            "status": visit.status,
            "milliseconds": round(1000 * seconds, 2),
            "bytes_in": visit.received,
            "bytes_out": visit.sent,
            "key": visit.key.id if visit.key else None,
            "address": visit.address,
        }
        access.info("request", extra={"fields": fields})


_METHODS = {"GET", "HEAD", "POST", "DELETE", "PUT", "PATCH", "OPTIONS"}


def _visit(scope: Scope) -> _Visit:
    headers = Headers(scope=scope)
    given = headers.get("x-request-id", "")
    id_ = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    address = scope["client"][0] if scope.get("client") else "local"
    return _Visit(scope["method"], scope["path"], headers, address, id_)


def _add_headers(message: MutableMapping[str, Any], visit: _Visit) -> None:
    listed = list(message.get("headers", []))
    there = {name.lower() for name, _ in listed}
    new = {**_HEADERS, "x-request-id": visit.id}
    if visit.path.startswith(_GUARDED):
        new["cache-control"] = "no-store"
    listed += [(n.encode(), v.encode()) for n, v in new.items() if n.encode() not in there]
    message["headers"] = listed


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _rate_limited(wait: float) -> Refused:
    seconds = max(1, round(wait + 0.5))
    return Refused(
        429,
        "RateLimited",
        f"too many requests; come back in {seconds} s.",
        {"Retry-After": str(seconds)},
    )

"""A process that serves: uvicorn around the app, loopback unless there are keys."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from commonspace.checks import check_range, require
from commonspace.errors import InputError, StorageError
from commonspace.service.app import LOOPBACK, create_app
from commonspace.service.keys import KeyFile
from commonspace.service.limits import Limits
from commonspace.service.logs import events, log_json

_KEEP_ALIVE = 30  # seconds that an idle connection stays
_BACKLOG = 512
# Of one key where nobody said otherwise: people and pages stay far below, a runaway loop does not.
_RATE_WITH_KEYS = 200.0


def serve(
    collections: str | Path | Iterable[str | Path] | Mapping[str, str | Path],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    keys: str | Path | None = None,
    limits: Limits | None = None,
    model: str | Path | None = None,
    media: str | Path | None = None,
    read_only: bool = False,
    access_log: bool = True,
) -> None:
    """Serve collections until SIGINT or SIGTERM, then finish what was begun.

    SIGHUP takes up new versions of the collections, see `create_app` and ``docs/service.md``.

    Args:
        collections: As `create_app` takes them.
        host: Address to listen at. Any but this machine's own needs keys.
        port: To listen at; 0 takes a free one and logs it.
        keys: File of keys, as `KeyFile` makes it.
        limits: Bounds of requests; None takes the defaults, and with keys 200 requests a second.
        model: Folder of the model behind the collections; None looks where each one says.
        media: Folder whose files may be shown.
        read_only: Refuse writes, and leave the collections to another writer.
        access_log: Log every request.

    Raises:
        InputError: An address for others without keys, or a file without one that counts.
        StorageError: The address is taken, or a collection does not open.
        NotFoundError: A folder is not a collection.
    """
    file = _checked_keys(host, keys)
    limits = limits or default_limits(with_keys=file is not None)
    app = create_app(
        collections,
        keys=file,
        limits=limits,
        model=model,
        media=media,
        read_only=read_only,
        hosts=LOOPBACK | {host},
    )
    _reopen_on_hangup(app)
    with _listen(host, port) as listening:
        app.state.service.shelf.start()
        log_json(access_log=access_log)
        at, number = listening.getsockname()[:2]
        page = f"http://{f'[{at}]' if ':' in at else at}:{number}/"
        events.info("serving", extra={"fields": {"host": at, "port": number, "page": page}})
        _run(app, listening, limits)


def default_limits(*, with_keys: bool, rate: float | None = None, upload_mb: int = 16) -> Limits:
    """Limits of a service, with a rate where strangers may hold keys."""
    if rate is None and with_keys:
        rate = _RATE_WITH_KEYS
    upload = upload_mb << 20
    body = max(Limits.body_bytes, 2 * upload)
    return Limits(rate=rate, upload_bytes=upload, body_bytes=body)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address.

    Example:
        >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _checked_keys(host: str, keys: str | Path | None) -> KeyFile | None:
    if keys is None:
        if not is_loopback(host):
            raise InputError(
                f"host {host!r}: others can reach it, so it needs keys. Make one with: commonspace "
                "keys add FILE NAME, and serve with --keys FILE."
            )
        return None
    file = KeyFile(keys)
    if all(key.revoked for key in file.list()):
        raise InputError(f"{keys}: no key in it counts. Make one: commonspace keys add {keys} NAME")
    return file


def _listen(host: str, port: int) -> socket.socket:
    check_range("port", port, low=0, high=65_535, integer=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise StorageError(
            f"cannot listen at {host}, port {port}: {error.strerror}. Name another --port."
        ) from error
    return listening


def _run(app: Any, listening: socket.socket, limits: Limits) -> None:
    uvicorn = require("uvicorn", extra="service", what="serving")
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=int(limits.seconds),
        limit_concurrency=2 * limits.in_flight,
        h11_max_incomplete_event_size=64 << 10,
    )
    with _ends_in_peace():
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def _ends_in_peace() -> Iterator[None]:
    """Let SIGTERM and SIGINT end with exit code 0: uvicorn raises them again when it is done."""
    asked = signal.SIGTERM, signal.SIGINT
    before = [signal.signal(number, lambda *_: None) for number in asked]
    try:
        yield
    finally:
        for number, handler in zip(asked, before, strict=True):
            signal.signal(number, handler)


def _reopen_on_hangup(app: Any) -> None:
    inner = app.router.lifespan_context
    shelf = app.state.service.shelf

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        tasks: set[asyncio.Task[None]] = set()  # a loop alone would forget them

        def hang_up() -> None:
            task = loop.create_task(shelf.reopen_quietly())
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        async with inner(app) as state:
            loop.add_signal_handler(signal.SIGHUP, hang_up)
            yield state

    app.router.lifespan_context = lifespan

"""A service in this process, on a real socket of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from commonspace.service.run import _listen

PATIENCE = 120.0  # seconds


@contextmanager
def running(app: Any, **settings: Any) -> Iterator[str]:
    """Serve an app from another thread; yields its address."""
    listening = _listen("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, server_header=False, **settings)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        until = time.monotonic() + 60
        while not server.started:
            assert thread.is_alive() and time.monotonic() < until, "the service did not start"
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def client_of(address: str) -> httpx.Client:
    """A client that waits for a machine that is busy."""
    return httpx.Client(base_url=address, timeout=PATIENCE)


def code_of(response: Any) -> str:
    """The stable code of an error."""
    return str(response.json()["error"]["code"])

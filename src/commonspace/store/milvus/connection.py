"""Calls of pymilvus, in pieces that Milvus takes, and its refusals in our words."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from commonspace.checks import require
from commonspace.errors import StorageError
from commonspace.store.milvus.address import Address
from commonspace.types import JsonDict

MOST_ROWS = 16_384
"""Rows that Milvus answers with at most."""
MOST_BYTES = 8 << 20
"""Bytes of one request; servers refuse 64 MB."""
_MOST_KEYS = 4096
_TIMEOUT = 10.0  # seconds to connect
_CALL_TIMEOUT = 60.0  # seconds that a call may take
_WORK_TIMEOUT = 86_400.0  # the same of one that waits for work on all items
_WORK = ("create_collection", "create_index", "flush", "load_collection")
# They log, with a traceback, what they also raise.
_LOUD = ("pymilvus", "milvus_lite", "grpc._server")

_lite_lock = threading.Lock()
_lite_users: dict[str, int] = {}


class Connection:
    """A client of one server, or of Milvus Lite in this process.

    Raises:
        MissingExtraError: pymilvus, or milvus-lite for a file, is not installed.
        StorageError: Nobody answers, or lets us in.
    """

    def __init__(self, address: Address) -> None:
        pymilvus = require("pymilvus", extra="milvus", what="a collection in Milvus")
        if address.lite:
            require("milvus_lite", extra="milvus-lite", what="a collection in Milvus Lite")
        for name in _LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.address = address
        grpc = require("grpc", extra="milvus", what="a collection in Milvus")
        # Some refusals of a server, such as of a token, come as gRPC has them.
        self._errors: tuple[type[Exception], ...] = (
            pymilvus.MilvusException,
            grpc.RpcError,
            grpc.FutureTimeoutError,
        )
        if address.lite:
            _use(address.uri)
        try:
            self.client = pymilvus.MilvusClient(
                uri=address.uri, token=address.token, timeout=_TIMEOUT
            )
        except BaseException as error:
            self._give_back()
            if isinstance(error, (*self._errors, OSError, RuntimeError, ValueError)):
                raise self._refused(error) from None
            raise

    def __call__(self, method: str, *args: Any, **options: Any) -> Any:
        """Call a method of the client.

        Raises:
            StorageError: Milvus refuses, or does not answer in time.
        """
        options.setdefault("timeout", _WORK_TIMEOUT if method in _WORK else _CALL_TIMEOUT)
        try:
            return getattr(self.client, method)(*args, **options)
        except self._errors as error:
            raise self._refused(error) from error

    def upsert(self, name: str, rows: Iterable[JsonDict], *, row_bytes: int) -> None:
        """Write rows in the place of those of the same keys."""
        for some in in_pieces(rows, max(1, MOST_BYTES // row_bytes)):
            self("upsert", name, some)

    def get(self, name: str, keys: Sequence[str], fields: Sequence[str]) -> list[JsonDict]:
        """Rows by their primary keys, those that are there."""
        found: list[JsonDict] = []
        for some in in_pieces(keys, _MOST_KEYS):
            found += self("get", name, ids=some, output_fields=list(fields))
        return found

    def delete(self, name: str, keys: Sequence[str]) -> None:
        """Delete rows by their primary keys."""
        for some in in_pieces(keys, _MOST_KEYS):
            self("delete", name, ids=some)

    def count(self, name: str, expression: str = "") -> int:
        """How many rows an expression holds for; empty: all."""
        answer = self("query", name, filter=expression, output_fields=["count(*)"])
        return int(answer[0]["count(*)"])

    def close(self) -> None:
        """Give the connection back, and the file if it is one that nobody else here uses."""
        try:
            self.client.close()
        finally:
            self._give_back()

    def _give_back(self) -> None:
        if self.address.lite:
            _leave(self.address.uri)

    def _refused(self, error: BaseException) -> StorageError:
        details = getattr(error, "details", None)  # of gRPC, whose text has many lines
        said = str(getattr(error, "message", "") or (details() if callable(details) else error))
        said = said or type(error).__name__
        hint = ""
        if self.address.lite:
            hint = " Milvus Lite lets one process open a file; is it open elsewhere?"
        return StorageError(f"{self.address.place}: Milvus says {said!r}.{hint}")


def in_pieces(rows: Iterable[Any], most: int) -> Iterator[list[Any]]:
    """Lists of so many rows at most."""
    some: list[Any] = []
    for row in rows:
        some.append(row)
        if len(some) == most:
            yield some
            some = []
    if some:
        yield some


def _use(file: str) -> None:
    with _lite_lock:
        _lite_users[file] = _lite_users.get(file, 0) + 1


def _leave(file: str) -> None:
    """End Milvus Lite with its last user here; else the file stays locked until we end."""
    from milvus_lite.server_manager import server_manager_instance

    with _lite_lock:
        _lite_users[file] -= 1
        if not _lite_users[file]:
            del _lite_users[file]
            server_manager_instance.release_server(file)

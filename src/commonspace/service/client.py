"""A collection that is elsewhere: the calls of `commonspace.Collection`, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from commonspace import errors
from commonspace.checks import as_features, as_ids, require
from commonspace.errors import InputError, NotFoundError, ServiceError
from commonspace.store.hits import Hits
from commonspace.types import Float32Array, JsonDict

Modalities = str | Sequence[str] | None


class Client:
    """Ask a service as if its collection were here.

    What `add` and `delete` return from is on the service's disk. Errors are those of the library;
    what only a service can answer (no key, too many requests) is a `ServiceError`.

    Args:
        url: Where it serves, such as ``http://127.0.0.1:8000``.
        key: Shown with every request.
        collection: Which one; None takes the only one.
        timeout: Seconds to wait for an answer.
        transport: Of httpx, instead of the network.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        collection: str | None = None,
        timeout: float = 30.0,
        transport: Any = None,
    ) -> None:
        httpx = require("httpx", extra="service", what="Client")
        self.url = url
        self.collection = collection
        self._transport_error: type[Exception] = httpx.HTTPError
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(
            base_url=_checked(url), headers=headers, timeout=timeout, transport=transport
        )

    def add(
        self,
        ids: Iterable[Any],
        vectors: Any,
        *,
        modality: str,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Store items; when this returns they are durable and found. As `Collection.add`."""
        rows = as_features(vectors, where="vectors")
        names = [str(value) for value in ids]
        as_ids(names, where="ids", n=len(rows))
        if payloads is not None and len(payloads) != len(rows):
            raise InputError(f"payloads: expected {len(rows)}, got {len(payloads)}.")
        if names:
            cells = zip(names, rows.tolist(), payloads or [None] * len(rows), strict=True)
            items = [{"id": i, "vector": v, "payload": p} for i, v, p in cells]
            self._post("/v1/items", {"modality": modality, "items": items})

    def delete(self, ids: Iterable[Any], modality: str | None = None) -> int:
        """Delete items durably, in one modality or in all, and return how many there were."""
        names = [str(value) for value in ids]
        if not names:
            return 0
        answer = self._post("/v1/items/delete", {"ids": names, "modality": modality})
        return int(answer["deleted"])

    def get(self, ids: Iterable[Any], modality: str | None = None) -> list[JsonDict]:
        """Return stored items, those that are there. As `Collection.get`."""
        return [
            {name: item[name] for name in ("id", "modality", "payload")}
            for item in self._items(ids, modality, vectors=False)
        ]

    def vectors(self, ids: Iterable[Any], modality: str) -> Float32Array:
        """Return stored vectors in the order asked, shape (n, dim). As `Collection.vectors`."""
        names = [str(value) for value in ids]
        found = {item["id"]: item["vector"] for item in self._items(names, modality, vectors=True)}
        missing = [name for name in names if name not in found]
        if missing:
            raise NotFoundError(
                f"{self.url}: no item {missing[0]!r} of modality {modality!r} "
                f"({len(missing)} of {len(names)} ids are not there)."
            )
        return np.array([found[name] for name in names], np.float32)

    def search(
        self,
        vectors: Any,
        k: int = 10,
        *,
        modality: Modalities = None,
        where: Mapping[str, Any] | None = None,
        query_modality: str | None = None,
        match: bool | None = None,
    ) -> Hits:
        """Return the items most similar to each query. As `Collection.search`."""
        rows = as_features(vectors, where="queries")
        by = {"vectors": rows.tolist(), "query_modality": query_modality, "match": match}
        return self._search(by, k, modality, where)

    def search_text(
        self,
        words: str,
        k: int = 10,
        *,
        modality: Modalities = None,
        where: Mapping[str, Any] | None = None,
    ) -> Hits:
        """Return the items whose payloads hold the words. As `Collection.search_text`."""
        return self._search({"words": words}, k, modality, where)

    def find(
        self,
        *parts: Mapping[str, Any],
        k: int = 10,
        modality: Modalities = None,
        where: Mapping[str, Any] | None = None,
        match: bool | None = None,
    ) -> Hits:
        """Return the items nearest to raw queries, mixed into one.

        Args:
            parts: Each one of ``{"text": ...}``, ``{"file": path}``, ``{"item": id}``,
                ``{"features": [...], "modality": ...}``, ``{"vector": [...]}``, with a
                ``"weight"`` if it is not 1. Files are read here and uploaded.
            k: How many items.
            modality: Search among one modality, several, or all (None).
            where: Conditions on payload fields.
            match: As of `Collection.search`; the modality of a single part is known.

        Returns:
            Hits of one query, shape (1, k) or less.
        """
        files: list[tuple[str, tuple[str, bytes]]] = []
        query = []
        for part in parts:
            if "file" in part:
                files.append(("file", ("upload", Path(part["file"]).read_bytes())))
                part = {**part, "file": len(files) - 1}
            query.append(dict(part))
        return self._search({"query": query, "match": match}, k, modality, where, files)

    @property
    def modalities(self) -> dict[str, int]:
        """How many items each modality has, by name."""
        return dict(self._info()["modalities"])

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __len__(self) -> int:
        return int(self._info()["items"])

    def __contains__(self, id_: object) -> bool:
        return bool(self._items([id_], None, vectors=False))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client({self.url!r}, collection={self.collection!r})"

    def _search(
        self,
        by: JsonDict,
        k: int,
        modality: Modalities,
        where: Mapping[str, Any] | None,
        files: Sequence[Any] = (),
    ) -> Hits:
        named = modality if modality is None or isinstance(modality, str) else list(modality)
        limits = {"k": k, "modality": named, "where": None if where is None else dict(where)}
        return _hits(self._post("/v1/search", {**by, **limits}, files))

    def _items(self, ids: Iterable[Any], modality: str | None, *, vectors: bool) -> list[JsonDict]:
        names = [str(value) for value in ids]
        if not names:
            return []
        ask = {"ids": names, "modality": modality, "vectors": vectors}
        try:
            items: list[JsonDict] = self._post("/v1/items/get", ask)["items"]
        except NotFoundError:
            self._info()  # a collection that is not there is another matter
            return []
        return items

    def _info(self) -> JsonDict:
        listed: list[JsonDict] = self._ask("GET", "/v1/collections")["collections"]
        for info in listed:
            if self.collection in (None, info["name"]):
                return info
        raise NotFoundError(f"{self.url}: no collection {self.collection!r}.")

    def _post(self, path: str, ask: JsonDict, files: Sequence[Any] = ()) -> JsonDict:
        content = {"collection": self.collection, **ask}
        if files:
            form = {"request": _dumps(content)}
            return self._ask("POST", path, data=form, files=list(files))
        headers = {"Content-Type": "application/json"}
        return self._ask("POST", path, content=_dumps(content), headers=headers)

    def _ask(self, method: str, path: str, **more: Any) -> JsonDict:
        try:
            response = self._http.request(method, path, **more)
        except self._transport_error as error:
            raise ServiceError(
                f"{self.url}: no answer ({error or type(error).__name__})."
            ) from error
        try:
            answer = response.json()
        except ValueError as error:
            raise ServiceError(f"{self.url}: expected JSON, got {response.text[:80]!r}.") from error
        if response.status_code < 400:
            return dict(answer)
        raise _error(answer, response.status_code)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"url: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise InputError(f"url: expected one such as 'http://127.0.0.1:8000', got {url!r}.")
    return url


def _dumps(content: JsonDict) -> bytes:
    try:
        return json.dumps(content, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"expected what JSON can hold; {error}.") from error


def _hits(answer: JsonDict) -> Hits:
    """The arrays that the service's lists were made from."""
    rows: list[list[JsonDict]] = answer["hits"]
    shape = len(rows), len(rows[0]) if rows else 0
    cells = [hit for found in rows for hit in found]
    payloads = np.empty(len(cells), dtype=object)
    payloads[:] = [hit["payload"] for hit in cells]
    return Hits(
        np.array([hit["id"] for hit in cells], np.str_).reshape(shape),
        np.array([hit["score"] for hit in cells], np.float32).reshape(shape),
        np.array([hit["modality"] for hit in cells], np.str_).reshape(shape),
        payloads.reshape(shape),
        answer["measure"],
    )


def _error(answer: Any, status: int) -> Exception:
    """The error that the service met, as the library would raise it here."""
    told = answer.get("error", {}) if isinstance(answer, dict) else {}
    code, message = str(told.get("code")), str(told.get("message"))
    kind = getattr(errors, code, None)
    if code != "MissingExtraError" and isinstance(kind, type):
        if issubclass(kind, errors.CommonspaceError):
            return kind(message)
    return ServiceError(f"{message} ({code}, status {status})")

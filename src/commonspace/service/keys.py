"""API keys: who may read, who may write, and a file that holds no key.

A key is ``cs_<id>_<secret>`` with 256 random bits of secret, and the file keeps its SHA-256. A slow
salted hash protects what people choose, since that can be guessed; 256 random bits cannot, at any
speed, so the fast hash gives nothing away and costs a request microseconds instead of a second.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from commonspace.checks import check_one_of, not_found
from commonspace.disk import read_json, write_json
from commonspace.errors import InputError, StorageError

Scope = Literal["read", "write"]

_KIND = "commonspace-keys"
_VERSION = 1
_FORM = re.compile(r"cs_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Key:
    """What is known of a key; not the key itself.

    Attributes:
        id: Names the key in lists and logs.
        name: Whose it is.
        scope: "read" may search and get; "write" also adds, deletes and reopens.
        sha256: Of the key.
        created: When, UTC.
        revoked: When, or None.
    """

    id: str
    name: str
    scope: Scope
    sha256: str
    created: str
    revoked: str | None = None


class KeyFile:
    """The keys of a service. A change of the file counts from the next request on.

    Args:
        path: A JSON file; `add` makes it, readable by its owner alone.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._seen: tuple[int, ...] | None = None
        self._keys: dict[str, Key] = {}

    def add(self, name: str, scope: Scope = "read") -> str:
        """Make a key and return it: the only time that it is seen.

        Raises:
            InputError: No name, or no such scope.
        """
        if not name or not name.isprintable():
            raise InputError(f"name: expected whose key it is, got {name!r}.")
        check_one_of("scope", scope, get_args(Scope))
        keys = {} if not self.path.exists() else self._read()
        id_ = secrets.token_hex(6)
        key = f"cs_{id_}_{secrets.token_urlsafe(32)}"
        keys[id_] = Key(id_, name, scope, _digest(key), _now())
        self._write(keys)
        return key

    def revoke(self, id_: str) -> Key:
        """Refuse a key from now on.

        Raises:
            NotFoundError: There is no key of that id.
        """
        keys = self._read()
        if id_ not in keys:
            raise not_found("key", id_, keys)
        if keys[id_].revoked is None:
            keys[id_] = replace(keys[id_], revoked=_now())
            self._write(keys)
        return keys[id_]

    def list(self) -> list[Key]:
        """All keys, the revoked ones too, in the order they were made."""
        return [*self._current().values()]

    def check(self, text: str) -> Key | None:
        """Return the key that a caller showed; None if it is none, unknown or revoked."""
        match = _FORM.fullmatch(text)
        key = self._current().get(match[1]) if match else None
        same = hmac.compare_digest(_digest(text), key.sha256 if key else "0" * 64)
        return key if key is not None and same and key.revoked is None else None

    def _current(self) -> dict[str, Key]:
        try:
            state = self.path.stat()
        except OSError as error:
            raise StorageError(f"{self.path} cannot be read, so no key counts.") from error
        seen = (state.st_ino, state.st_size, state.st_mtime_ns)
        if seen != self._seen:
            self._keys, self._seen = self._read(), seen
        return self._keys

    def _read(self) -> dict[str, Key]:
        content = read_json(self.path, kind=_KIND, max_version=_VERSION)
        try:
            return {entry["id"]: Key(**entry) for entry in content["keys"]}
        except (KeyError, TypeError) as error:
            raise StorageError(f"{self.path} is damaged: its keys do not read.") from error

    def _write(self, keys: dict[str, Key]) -> None:
        listed = [asdict(key) for key in keys.values()]
        write_json(self.path, {"kind": _KIND, "format_version": _VERSION, "keys": listed})
        os.chmod(self.path, 0o600)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

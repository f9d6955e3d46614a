"""Where a collection in Milvus is.

::

    milvus://HOST:PORT/NAME             a server or a cluster; port 19530 if none is given
    milvus+tls://HOST:PORT/NAME         the same, encrypted
    milvus+lite:///FOLDER/FILE.db/NAME  Milvus Lite in this process; one slash less: a relative path

A token, or user and password, comes from the environment variable ``COMMONSPACE_MILVUS_TOKEN``
(``user:password``), or stands before the host: ``milvus://user:password@HOST/NAME``. It is never
part of a message.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from commonspace.errors import InputError, UnsupportedError

TOKEN = "COMMONSPACE_MILVUS_TOKEN"
_LITE = "milvus+lite"
_SCHEMES = {"milvus": "http", "milvus+tls": "https"}
_PORT = 19530
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
REGISTER = "__register"
"""How the name of what goes beside a collection ends."""
_EXPECTED = (
    "expected milvus://HOST:PORT/NAME, milvus+tls://HOST:PORT/NAME or "
    "milvus+lite:///FOLDER/FILE.db/NAME"
)


@dataclass(frozen=True)
class Address:
    """Parts of an address.

    Attributes:
        uri: As pymilvus takes it: of a server, or the file of Milvus Lite.
        name: Of the collection in it.
        place: The address without what is secret.
        lite: Whether it is a file.
        token: What lets us in; empty without.
    """

    uri: str
    name: str
    place: str
    lite: bool
    token: str = field(default="", repr=False)


def is_address(place: Any) -> bool:
    """Whether a place is an address rather than a folder."""
    return isinstance(place, str) and "://" in place


def as_folder(place: str | Path, *, what: str) -> Path:
    """Return the folder that a place is, for what only works on folders.

    Raises:
        UnsupportedError: It is an address.
    """
    if is_address(place):
        shown = parse_address(place).place
        raise UnsupportedError(f"{shown}: {what} needs a collection in a folder, not in Milvus.")
    return Path(place)


def parse_address(place: Any) -> Address:
    """Read an address.

    Raises:
        InputError: It is none, or the name is not one that Milvus takes.
    """
    scheme, _, rest = str(place).partition("://")
    # Before the host stands what is secret; a file may have the sign in its name.
    shown = f"{scheme}://{rest if scheme == _LITE else rest.rpartition('@')[2]}"
    parent, _, name = rest.rpartition("/")
    if scheme not in (*_SCHEMES, _LITE) or not parent:
        raise InputError(f"collection {shown!r}: {_EXPECTED}.")
    if not _NAME.fullmatch(name):
        raise InputError(
            f"collection {shown!r}: expected a name of letters, digits and underscores, at most "
            f"200, got {name!r}."
        )
    if name.endswith(REGISTER):
        raise InputError(
            f"collection {shown!r}: expected a name that does not end in {REGISTER!r}, as what is "
            "stored beside a collection does."
        )
    if scheme == _LITE:
        return _in_file(parent, name, shown)
    return _at_server(scheme, parent, name, shown)


def _in_file(file: str, name: str, shown: str) -> Address:
    if not file.endswith(".db"):
        raise InputError(f"collection {shown!r}: expected a file that ends in .db, got {file!r}.")
    return Address(str(Path(file).absolute()), name, shown, lite=True)


def _at_server(scheme: str, parent: str, name: str, shown: str) -> Address:
    try:
        parts = urlsplit(f"{scheme}://{parent}")
        host, port = parts.hostname, parts.port or _PORT
    except ValueError:
        host = None
    if not host or parts.path or parts.query:
        raise InputError(f"collection {shown!r}: {_EXPECTED}.")
    given = unquote(parts.netloc.rpartition("@")[0])
    host = f"[{host}]" if ":" in host else host
    return Address(
        f"{_SCHEMES[scheme]}://{host}:{port}",
        name,
        f"{scheme}://{host}:{port}/{name}",
        lite=False,
        token=given or os.environ.get(TOKEN, ""),
    )

"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from commonspace.cluster import ENGINES, Engine, check_address, connect
from commonspace.errors import InputError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA", help="A data set: a folder, a known name, or a file that can be imported."
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where the files of known data sets lie [default: $COMMONSPACE_DATA]."
    ),
]
EngineName = Annotated[
    str, typer.Option("--engine", help="Where it is computed: local, or ray (a Ray cluster).")
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT",
        help="Of the Ray cluster [default: $RAY_ADDRESS, else a Ray of this machine alone].",
    ),
]
Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder of a trained model.")]
CollectionPlace = Annotated[
    str, typer.Argument(metavar="COLLECTION", help="As `commonspace index` makes it.")
]

_CONDITION = re.compile(r"(.+?)(>=|<=|>|<|=)(.*)", re.DOTALL)
_OPERATORS = {">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}


def join_engine(name: str, address: str | None) -> Engine:
    """Join what is to compute before anything long begins.

    Raises:
        InputError: There is no such engine, or the address is none of its.
        ServiceError: The cluster does not answer.
    """
    from commonspace.checks import check_one_of

    check_one_of("--engine", name, ENGINES)
    check_address(name, address)
    if name == "ray":
        connect(address)
        return "ray"
    return "local"


def parse_value(text: str) -> Any:
    """Read JSON, or take the text as it is."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)  # NaN and Infinity are no JSON

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return text


def parse_setting(text: str) -> Any:
    """Read an argument of a method: as `parse_value`, and True, False and None as in Python."""
    return {"True": True, "False": False, "None": None}.get(text, parse_value(text))


def parse_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Read ``NAME=VALUE`` texts.

    Raises:
        InputError: No name, no ``=``, or a name given twice.
    """
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"{option}: expected NAME=VALUE, got {text!r}.")
        if name in pairs:
            raise InputError(f"{option}: {name!r} is given twice.")
        pairs[name] = value
    return pairs


def parse_where(texts: Sequence[str]) -> dict[str, Any] | None:
    """Read conditions such as ``lang=fr``, ``size>=3`` or ``lang=["fr","de"]``, or JSON objects.

    Returns:
        What `Collection.search` takes as ``where``.

    Raises:
        InputError: Not a condition, or a field that is to be equal and something else too.
    """
    where: dict[str, Any] = {}
    for text in texts:
        if text.lstrip().startswith("{"):
            where.setdefault("$and", []).append(_parse_object(text))
            continue
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise InputError(f"--where: expected FIELD=VALUE or FIELD>=VALUE, got {text!r}.")
        field, operator, value = match[1], match[2], parse_value(match[3])
        ranges = where.setdefault(field, {} if operator != "=" else value)
        if operator == "=" and ranges is not value:
            raise InputError(f'--where: {field!r} is given twice. For any of: {field}=["a","b"].')
        if operator != "=":
            if not isinstance(ranges, dict):
                raise InputError(f"--where: {field!r} is given twice, once as equal.")
            ranges[_OPERATORS[operator]] = value
    return where or None


def _parse_object(text: str) -> dict[str, Any]:
    value = parse_value(text)
    if not isinstance(value, dict):
        raise InputError(
            f'--where: expected a JSON object such as {{"$not": {{"lang": "fr"}}}}, got {text!r}.'
        )
    return value


def parse_list(text: str | None) -> list[str] | None:
    """Read names between commas; None stays None."""
    return None if text is None else [name for name in map(str.strip, text.split(",")) if name]

"""Methods as the command line names them: a class, a preset, arguments, a file of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from commonspace.cli.arguments import parse_pairs, parse_setting
from commonspace.errors import InputError

if TYPE_CHECKING:
    from commonspace.methods.base import Method

Preset = Annotated[str | None, typer.Option(help="Settings with a name, such as paper.")]


def make_method(
    name: str,
    *,
    preset: str | None = None,
    settings: list[str],
    seed: int | None = None,
    found: Mapping[str, Any] | None = None,
) -> Method:
    """Build a method from what the command line says.

    Args:
        name: Of the method.
        preset: Of its settings.
        settings: Texts ``NAME=VALUE``.
        seed: Its random state.
        found: Arguments of a settings file; what else is said wins over them.

    Raises:
        NotFoundError: No such method, preset or argument; the message lists those there are.
    """
    make = find_maker(name, preset)
    arguments = {**(found or {}), **method_arguments(make, settings)}
    check_arguments(make, arguments)
    if seed is not None:
        arguments["random_state"] = seed
    return make(**arguments)


def find_maker(name: str, preset: str | None) -> Callable[..., Method]:
    """Return the class of that name, or what makes its preset."""
    from commonspace.benchmarks.contestants import find_method

    return find_method(name if preset is None else f"{name}.{preset}")


def method_arguments(make: Callable[..., Method], settings: list[str]) -> dict[str, Any]:
    """Read texts ``NAME=VALUE`` as arguments of a method."""
    values = {key: parse_setting(text) for key, text in parse_pairs("--set", settings).items()}
    check_arguments(make, values)
    return {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}


def check_arguments(make: Callable[..., Method], arguments: Mapping[str, Any]) -> None:
    """Raise `NotFoundError` for an argument that the method does not have."""
    from commonspace.checks import not_found

    cls = type(make())
    allowed = [key for key in signature(cls).parameters if key != "space"]
    for key in arguments:
        if key not in allowed:
            raise not_found(f"argument of {cls.__name__}", key, allowed)


def read_tuned(path: Path, method: str | None) -> tuple[str, dict[str, Any]]:
    """Read a settings file; a method named beside it must be its own."""
    from commonspace.store.settings import read_settings

    name, found = read_settings(path)
    if method is not None and method.lower() != name.lower():
        raise InputError(f"--settings: {path} is for {name}, and --method says {method}.")
    return name, found

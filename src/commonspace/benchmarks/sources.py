"""Which sources of the library code runs through, so that results know when they are old.

What counts is the code: its comments, docstrings and layout may change.

The imports of a module are read from its text, and theirs in turn. A name that the ``__init__`` of
a room only passes on leads to the file it comes from: a new neighbour in a room changes nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from commonspace.disk import sha256_bytes

PACKAGE = Path(__file__).parents[1]
DECIDING = (  # the other rooms read, check and show, and change no figure
    "data",
    "encoders",
    "evaluation",
    "methods",
    "networks",
    "objectives",
    "quantization",
    "space",
    "training",
)


def digest_of(*used: Any) -> str:
    """Digest of the sources that decide about what these classes or functions compute."""
    return _digest(tuple(sorted({thing.__module__ for thing in used})))


def modules_of(*roots: str) -> list[str]:
    """Names of the modules that these import, directly or through others, themselves included."""
    seen: dict[str, None] = {}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in seen:
            seen[module] = None
            waiting += [found for found in _imports(module) if found not in seen]
    return sorted(seen)


@cache
def _digest(roots: tuple[str, ...]) -> str:
    used = modules_of(*roots)
    deciding = [name for name in used if name in roots or _room(name) in DECIDING]
    return sha256_bytes(*(_code(name).encode() for name in deciding))


@cache
def _code(module: str) -> str:
    """What a module does, without what is said of it."""
    tree = ast.parse(_file(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                del node.body[0]
    return ast.dump(tree)


def _room(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Modules of this package that one names in its imports."""
    found = []
    for node in _statements(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            found += [_home(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if _is_ours(alias.name)]
    return tuple(found)


@cache
def _home(package: str, name: str) -> str:
    """The module that a name imported from a package or module is written in."""
    inner = f"{package}.{name}"
    if _exists(inner):
        return inner
    if _file(package).name != "__init__.py":
        return package
    for node in _tree(package).body:
        if isinstance(node, ast.ImportFrom) and node.module and _is_ours(node.module):
            if name in [alias.asname or alias.name for alias in node.names]:
                return _home(node.module, name)
    return package


def _statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements, in functions too, but those for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)):
            yield node
            yield from _statements(node)


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text(encoding="utf-8"))


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE.name


def _exists(module: str) -> bool:
    return _file(module).exists()


def _file(module: str) -> Path:
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")

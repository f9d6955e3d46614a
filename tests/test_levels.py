from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import commonspace

ROOT = Path(commonspace.__file__).parent
LEVELS = (
    "errors types",
    "checks cluster disk machine media",
    "space",
    "data objectives networks quantization evaluation encoders",
    "training index",
    "methods",
    "store",
    "benchmarks service demo",
    "cli",
    "__main__",
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms.split()}


def imported_rooms(source: str) -> set[str]:
    """Rooms of ours that a module imports, at its top, in a function or for types alone."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("commonspace.")}


MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down_the_levels(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for other in imported_rooms(path.read_text()) - {room, "__version__"}:
        assert other in LEVEL, f"{path} imports {other}, which has no level"
        assert LEVEL[other] < LEVEL[room], f"{room} may not import {other}"


def test_the_reader_of_imports_sees_every_form():
    source = """
import commonspace.data.labels
from commonspace import store
def late():
    from commonspace.methods.base import Method
"""
    assert imported_rooms(source) == {"data", "store", "methods"}


def test_the_import_alone_loads_nothing_heavy():
    heavy = {"torch", "sklearn", "faiss", "scipy", "joblib", "rich", "typer", "matplotlib"}
    code = f"import commonspace, sys; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", commonspace.__all__)
def test_every_public_name_imports(name):
    assert getattr(commonspace, name) is not None
    assert name in dir(commonspace)


def test_unknown_names_are_refused_as_python_does():
    with pytest.raises(AttributeError, match="no attribute 'SDLM'"):
        commonspace.SDLM  # noqa: B018
    assert commonspace.__version__

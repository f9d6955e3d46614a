"""Results know the sources they were made by, and no others."""

from __future__ import annotations

import subprocess
import sys

import pytest

from commonspace.benchmarks import sources
from commonspace.benchmarks.coders import Coder
from commonspace.benchmarks.reproduce.scoring import score
from commonspace.benchmarks.scoring import fit_and_score
from commonspace.evaluation import evaluate
from commonspace.methods import MSDMML, SDML, SM, Ridge


def test_a_method_runs_through_what_it_imports_directly_or_not():
    found = sources.modules_of(SDML.__module__)
    assert {"commonspace.methods.sdml", "commonspace.methods.sdml_training"} <= set(found)
    assert {"commonspace.networks.posterior", "commonspace.training.loop"} <= set(found)
    assert "commonspace.space" in found


def test_neighbours_in_a_room_change_nothing():
    found = sources.modules_of(SM.__module__)
    others = ("baselines.ridge", "sdml", "msdmml", "spdq", "sequential")
    assert not {f"commonspace.methods.{name}" for name in others} & set(found)
    others = ("metric", "picture", "posterior", "spdq", "unified")
    assert not {f"commonspace.networks.{name}" for name in others} & set(found)


@pytest.mark.parametrize("used", [fit_and_score, score, Coder, evaluate])
def test_what_scores_any_method_names_none(used):
    """Else a change of one method would make the results of all others old."""
    found = sources.modules_of(used.__module__)
    assert not [name for name in found if name.startswith("commonspace.methods")]


@pytest.mark.parametrize("kind", [SM, Ridge, SDML])
def test_what_is_found_is_what_python_loads(kind):
    """Python also runs the rooms' ``__init__``, and so loads at least what is named."""
    named = sources.modules_of(kind.__module__)
    code = f"import sys, {kind.__module__}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    late = {"commonspace.machine", "commonspace.data.folder", "commonspace.training.progress"}
    assert set(named) - late <= set(run.stdout.split())


def test_digests_differ_by_what_is_used_and_not_by_its_order():
    assert sources.digest_of(SM, evaluate) == sources.digest_of(evaluate, SM)
    digests = {sources.digest_of(kind, evaluate) for kind in (SM, Ridge, SDML, MSDMML)}
    assert len(digests) == 4


def forget() -> None:
    for kept in ("_digest", "_code", "_imports", "_home", "_tree"):
        getattr(sources, kept).cache_clear()


def test_a_changed_file_gives_another_digest(monkeypatch, tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/__init__.py").write_text("from demo.methods.one import One\n")
    one = tmp_path / "methods/one.py"
    one.write_text("from demo.methods.base import Base\nfrom demo import methods\n")
    (tmp_path / "methods/base.py").write_text(
        "def late():\n    'It.'\n    from demo.methods import One\n"
    )
    package = tmp_path.rename(tmp_path.parent / "demo")
    monkeypatch.setattr(sources, "PACKAGE", package)

    def digest():
        forget()
        return sources._digest(("demo.methods.one",))

    first = digest()
    assert "demo.methods.one" in sources.modules_of("demo.methods.base")  # in a function, by a room
    told = (
        '"""More."""\n\n\ndef late():\n    """When."""\n    from demo.methods import One  # why\n'
    )
    (package / "methods/base.py").write_text(told)
    assert digest() == first  # what is said of the code is not the code
    (package / "methods/base.py").write_text(told.replace("late", "later"))
    assert digest() != first
    forget()

"""The commands of the page run as they stand there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from serving import running

from commonspace.service import KeyFile, create_app
from commonspace.service.errors import _STATUS
from commonspace.service.errors import __doc__ as codes

PAGE = Path(__file__).parents[2].joinpath("docs", "service.md").read_text(encoding="utf-8")
BLOCKS = [block for block in re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL) if "curl" in block]


@pytest.fixture(scope="module")
def documented(store, tmp_path_factory):
    """A folder with a picture, and the variables that the page speaks of."""
    if shutil.which("curl") is None:
        pytest.skip(f"curl is not installed: {len(BLOCKS)} examples were not run")
    root = tmp_path_factory.mktemp("docs")
    (root / "apple.png").write_bytes((store.pictures / "0.png").read_bytes())
    keys = KeyFile(root / "keys.json")
    key = keys.add("docs", "write")
    folder = store.copy(root / "photos")
    with running(create_app(folder, keys=keys, media=store.pictures)) as address:
        yield root, {"URL": address, "AUTH": f"Authorization: Bearer {key}"}


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_an_example_is_answered(block, documented):
    root, variables = documented
    done = subprocess.run(
        ["bash", "-e", "-c", block.replace("curl -s", "curl -sS --fail-with-body")],
        cwd=root,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in done.stdout.replace("}{", "}\n{").splitlines():
        answer = json.loads(line)
        assert answer.get("hits", True), line
    if "small.png" in block:
        assert (root / "small.png").read_bytes().startswith(b"\x89PNG")


def test_every_code_and_route_is_on_the_page():
    for code in re.findall(r"^(\w+) +\d{3} ", codes, re.MULTILINE):
        assert code in PAGE
    assert {kind.__name__ for kind in _STATUS} <= set(re.findall(r"\w+", codes))
    for path, operations in create_app("x").openapi()["paths"].items():
        assert path in PAGE, path
        assert operations

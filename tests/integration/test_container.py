"""The Dockerfile, read and not built: what it names has to be there."""

from __future__ import annotations

import json
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
KNOWN = set(
    "FROM ARG ENV RUN COPY WORKDIR USER VOLUME EXPOSE HEALTHCHECK STOPSIGNAL ENTRYPOINT CMD".split()
)


def instructions() -> list[tuple[str, str]]:
    """Each instruction and its text, continued lines joined, comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(word, " ".join(rest.split())) for word, rest in lines]


def every(word: str) -> list[str]:
    return [rest for name, rest in instructions() if name == word]


def copied() -> list[str]:
    """Files of the repository that are copied into the image."""
    own = [rest.split() for rest in every("COPY") if not rest.startswith("--from")]
    return [source for parts in own for source in parts[:-1]]


def ignored(path: str) -> bool:
    """Whether .dockerignore leaves a path of the top folder out: the last rule that fits holds."""
    out = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        rule = line.removeprefix("!")
        if line and not line.startswith("#") and fnmatch(path, rule):
            out = not line.startswith("!")
    return out


def test_it_is_made_of_instructions_that_exist():
    assert {name for name, _ in instructions()} <= KNOWN
    stages = [re.findall(r" AS (\w+)$", rest) for rest in every("FROM")]
    assert stages == [["build"], []]
    assert all(rest.startswith("--from=build ") for rest in every("COPY")[-1:])


def test_what_it_copies_is_there_and_not_ignored():
    assert copied()
    for path in copied():
        assert (ROOT / path).exists() and not ignored(path), path
    for path in (".git", ".venv", "build", "tests", "docs", "runs"):
        assert ignored(path), path


def test_what_the_build_reads_is_copied():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = [project["project"]["readme"], *project["project"]["license-files"]]
    assert {*asked, "pyproject.toml", "src"} <= set(copied())
    (install,) = [rest for rest in every("RUN") if "pip install" in rest]
    (extras,) = re.findall(r"\.\[([\w,]+)\]", install)
    assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"])
    (python,) = {rest.split()[0] for rest in every("FROM")}
    minimum = project["project"]["requires-python"].removeprefix(">=3.")
    assert int(re.findall(r":3\.(\d+)", python)[0]) >= int(minimum)


def test_it_runs_as_nobody_special_with_the_health_checked():
    words = [name for name, _ in instructions()]
    (user,) = every("USER")
    assert int(user) > 0 and f"--uid {user} " in " ".join(every("RUN"))
    assert words.index("USER") > max(i for i, word in enumerate(words) if word in ("RUN", "COPY"))
    (check,) = every("HEALTHCHECK")
    command = json.loads(check.split(" CMD ")[1])
    compile(command[-1], "health check", "exec")
    assert "/healthz" in command[-1] and f":{every('EXPOSE')[0]}/" in command[-1]


def test_it_serves():
    (entry,), (options,) = every("ENTRYPOINT"), every("CMD")
    assert json.loads(entry) == ["commonspace", "serve"]
    asked = json.loads(options)
    assert asked[0].startswith(every("VOLUME")[0])
    assert asked[asked.index("--port") + 1] == every("EXPOSE")[0]
    assert "--keys" in asked  # an address that others reach needs keys


def test_the_command_knows_the_options():
    from typer.main import get_command

    from commonspace.cli import app

    known = get_command(app).commands
    if "serve" in known:
        options = {name for parameter in known["serve"].params for name in parameter.opts}
        (asked,) = every("CMD")
        assert {word for word in json.loads(asked) if word.startswith("--")} <= options

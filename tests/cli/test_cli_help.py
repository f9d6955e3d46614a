from __future__ import annotations

import subprocess
import sys

import pytest
from command_line import run

COMMANDS = [
    (),
    *(
        (name,)
        for name in (
            "demo train tune add-modality evaluate inspect encode index search data bench reproduce"
        ).split()
    ),
    *((name,) for name in "serve keys".split()),
    *(("data", name) for name in "list show import check".split()),
    *(("keys", name) for name in "add list revoke".split()),
    ("bench", "evaluate"),
    ("bench", "serve"),
    ("bench", "labels"),
    ("bench", "tune"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_ends_with_an_example_of_the_command(command):
    done = run(*command, "--help")
    assert done.code == 0
    last = done.out.rstrip().split("\n\n")[-1].strip()
    assert last.startswith(" ".join(("Example: commonspace", *command))), last


def test_without_a_command_there_is_help():
    done = run()
    assert done.code == 2 and "Commands:" in done.out + done.err


def test_help_loads_nothing_heavy():
    heavy = {"numpy", "scipy", "sklearn", "torch", "faiss", "joblib", "rich", "matplotlib"}
    code = (
        "import sys\n"
        "from commonspace.cli import main\n"
        "sys.argv = ['commonspace', 'train', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code\n"
        f"print('HEAVY', *sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY"

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
from command_line import ran

from commonspace.data import Dataset, Splits
from commonspace.errors import CommonspaceError
from commonspace.store.collection import Collection
from commonspace.store.models import load

N = 4000


def test_a_killed_index_run_loses_nothing_and_goes_on(shop, tmp_path):
    rng = np.random.default_rng(0)
    x = {"text": rng.normal(size=(N, 6)).astype(np.float32)}
    classes = load(shop.model).space_.classes
    Splits({"test": Dataset.from_arrays(x, rng.integers(3, size=N), classes=classes)}).save(
        tmp_path / "many"
    )
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from commonspace.cli import main; main()"]
    command += ["index", shop.model, tmp_path / "many", "--out", out, "--batch", 4]
    process = subprocess.Popen([str(part) for part in command], stderr=subprocess.PIPE)
    seen = _wait_for_items(out, process, more_than=40)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    with Collection.open(out, read_only=True) as collection:
        acknowledged = len(collection)
    assert seen <= acknowledged < N

    done = ran("index", shop.model, tmp_path / "many", "--out", out)
    assert done["items"] == done["added"] + done["already_there"] == N
    assert acknowledged - 4 <= done["already_there"] <= acknowledged
    with Collection.open(out, read_only=True) as collection:
        stored = collection.vectors(map(str, range(N)), "text")
        payloads = collection.search(stored[:1], k=N).payloads
    np.testing.assert_array_equal(stored, load(shop.model).transform("text", x["text"]))
    assert payloads.shape == (1, N) and all("classes" in cell for cell in payloads[0])


def _wait_for_items(folder, process, *, more_than: int) -> int:
    """How many items a reader sees once there are enough of them."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        try:
            with Collection.open(folder, read_only=True) as collection:
                if len(collection) > more_than:
                    return len(collection)
        except CommonspaceError:
            pass  # not made yet
        time.sleep(0.02)
    process.kill()
    raise AssertionError("the run indexed nothing")


def test_a_process_that_searched_ends_well(shop):
    command = [sys.executable, "-c", "from commonspace.cli import main; main()"]
    command += ["search", shop.collection, "--item", "0", "--modality", "text", "--json"]
    done = subprocess.run([str(part) for part in command], capture_output=True)
    assert json.loads(done.stdout)["hits"][0]["id"] == "0"
    assert done.returncode == 0

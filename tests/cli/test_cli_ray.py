"""Commands whose work a real Ray does."""

from __future__ import annotations

from typing import Any

import pytest
from command_line import TINY, ran, run

from commonspace import cluster as cluster_module
from commonspace.cli.encoding import encode_run
from commonspace.store.pipelines import modality_digests


@pytest.fixture
def talkative(monkeypatch):
    """Each result comes with words on stdout, as when Ray has lost a worker."""
    result = cluster_module._result

    def said(*arguments: Any) -> Any:
        print("(raylet) A worker died")
        return result(*arguments)

    monkeypatch.setattr(cluster_module, "_result", said)


def test_training_writes_the_same_bytes(cluster, shop, tmp_path, talkative):
    there = ("--engine", "ray", "--address", cluster)
    made = ran(
        "train", shop.data, "--out", tmp_path / "m", "--modalities", "image,text", *TINY, *there
    )
    assert modality_digests(tmp_path / "m") == modality_digests(shop.model)
    assert made["space"] == shop.trained["space"]
    ran("add-modality", tmp_path / "m", shop.data, "--modality", "audio", *there)
    assert set(modality_digests(tmp_path / "m")) == {"image", "text", "audio"}


def test_nothing_but_results_is_on_stdout_while_items_are_encoded(capsys, tmp_path):
    with encode_run(cache=tmp_path, engine="ray"):
        print("(raylet) A worker died")
    print("{}")
    assert capsys.readouterr() == ("{}\n", "(raylet) A worker died\n")


def test_another_cluster_is_refused_before_anything_is_read(cluster, tmp_path):
    there = ("--engine", "ray", "--address", "10.0.0.1:6379")
    for command in ("train", "add-modality", "encode", "index"):
        more = {"train": (), "add-modality": ("m", "--modality", "x")}.get(command, ("m",))
        out = () if command == "add-modality" else ("--out", tmp_path / "out")
        done = run(command, *more[:1], "no such data", *more[1:], *out, *there)
        assert done.code == 2 and "has joined the Ray cluster" in done.err, done.err

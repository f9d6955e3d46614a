"""Which encoder made a vector, and encoding again what an older one made."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

import commonspace as cs
from commonspace.data import Splits, make_dataset
from commonspace.errors import InputError, NotFoundError, SpaceMismatchError
from commonspace.store.copying import check_collection
from commonspace.store.pipelines import index_dataset
from commonspace.store.reencoding import reencode
from commonspace.store.versions import model_digests
from commonspace.training import Run

SMALL = {"dim": 8, "hidden": (8,), "epochs": 2, "members": 1, "effort": 0.1}


@pytest.fixture(scope="module")
def data():
    made = make_dataset(n_items=30, dims={"image": 6, "text": 5}, seed=0)
    return Splits({"train": made["train"]}, "tiny")


@pytest.fixture(scope="module")
def old(data):
    return cs.SDML(**SMALL, random_state=0).fit(data["train"], run=Run(jobs=1))


@pytest.fixture(scope="module")
def new(data, old):
    """The text encoder trained again for the same space, the image encoder as it was."""
    model = cs.SDML(**SMALL, random_state=0, space=old.space_).fit(
        data["train"].select(["image"]), run=Run(jobs=1)
    )
    model.random_state = 7
    text = data["train"]["text"]
    return model.fit_modality("text", text.x, text.labels, items=text.items, run=Run(jobs=1))


def test_encoders_are_on_record_and_stale_items_are_listed(tmp_path: Path, data, old, new):
    index_dataset(old, data, tmp_path / "col").close()
    before, after = (model_digests(model, ["image", "text"]) for model in (old, new))
    assert before["text"] != after["text"]
    with cs.Collection.open(tmp_path / "col") as items:
        n = len(data["train"]["text"])
        assert items.encoders == {name: {before[name]: n} for name in ("image", "text")}
        assert items.stale(old) == {}
        stale = items.stale(new)
        assert stale["text"] == data["train"]["text"].items.tolist()
        items.add(["x"], np.ones((1, 8)), modality="text")
        assert items.encoders["text"] == {None: 1, before["text"]: n}
        assert items.stale(new)["text"][-1] == "x"


def test_stale_vectors_are_encoded_again_and_nothing_else(tmp_path: Path, data, old, new):
    text = data["train"]["text"]
    with index_dataset(old, data, tmp_path / "col") as items:
        items.add(["elsewhere"], np.ones((1, 8)), modality="text", payloads=[{"a": 1}])
        payloads = items.payloads(text.items, "text")
        seen: list[tuple[int, int]] = []
        done = reencode(items, new, data, batch=11, progress=lambda *at: seen.append(at))
        made = sum(done.made.values())
        assert done.made["text"] == len(text) and done.left["text"] == ["elsewhere"]
        assert seen[0] == (0, made) and seen[-1] == (made, made)
        assert done.to_dict()["left"]["text"] == 1
        fresh = new.transform("text", text.x)
        np.testing.assert_allclose(items.vectors(text.items, "text"), fresh, atol=1e-6)
        assert items.payloads(text.items, "text") == payloads
        assert items.payloads(["elsewhere"], "text") == [{"a": 1}]
        assert reencode(items, new, data).made == {}
        assert items.verify() == []
        found = items.search(fresh[3:4], k=1, modality="text", where=None)
        assert found.scores[0, 0] == pytest.approx(1, abs=1e-5)


def test_encoding_again_goes_on_where_it_was_cut_off(tmp_path: Path, data, old, new):
    with index_dataset(old, data, tmp_path / "col") as items:

        def stop(done: int, total: int) -> None:
            if done >= 7:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            reencode(items, new, data, batch=7, progress=stop)
        total = sum(map(len, items.stale(new).values()))
        assert sum(reencode(items, new, data).made.values()) == total > 0


def test_a_retrained_model_goes_on_indexing(tmp_path: Path, data, old, new):
    half = Splits({"train": data["train"].select(["text"])}, "tiny")
    index_dataset(old, half, tmp_path / "col").close()
    with index_dataset(new, data, tmp_path / "col") as items:
        assert items.stale(old).keys() <= {"image"} and "text" in items.stale(new)


def test_another_space_is_refused(tmp_path: Path, data, old):
    stranger = cs.SDML(**{**SMALL, "dim": 10}, random_state=0).fit(data["train"], run=Run(jobs=1))
    with index_dataset(old, data, tmp_path / "col") as items:
        with pytest.raises(SpaceMismatchError):
            items.stale(stranger)
        with pytest.raises(SpaceMismatchError):
            items.add(["x"], np.ones((1, 8)), modality="text", space=stranger.space_)
        with pytest.raises(NotFoundError, match="no item 'nobody' of modality 'text'"):
            items.payloads(["nobody"], "text")
        with pytest.raises(InputError, match="encoder"):
            items.add(["x"], np.ones((1, 8)), modality="text", encoder="")


def test_a_file_of_the_second_format_is_read_and_brought_up(tmp_path: Path, data, old):
    index_dataset(old, data, tmp_path / "col").close()
    sql = sqlite3.connect(tmp_path / "col" / "collection.sqlite")
    sql.executescript(
        "ALTER TABLE items DROP COLUMN crc; DROP TABLE made_by; "
        "UPDATE meta SET value = 2 WHERE name = 'format_version'"
    )
    sql.close()
    n = len(data["train"]["text"])
    with cs.Collection.open(tmp_path / "col", read_only=True) as items:
        assert items.encoders["text"] == {None: n} and len(items.stale(old)["text"]) == n
    assert check_collection(tmp_path / "col") == []
    with cs.Collection.open(tmp_path / "col") as items:
        assert reencode(items, old, data).made["text"] == n
        assert items.stale(old) == {} and items.verify() == []


def test_a_changed_payload_is_named(tmp_path: Path, data, old):
    index_dataset(old, data, tmp_path / "col").close()
    sql = sqlite3.connect(tmp_path / "col" / "collection.sqlite")
    with sql:
        sql.execute("UPDATE items SET payload = replace(payload, 'train', 'troin') WHERE key = 3")
    sql.close()
    problems = check_collection(tmp_path / "col")
    assert len(problems) == 1 and "the id or payload of item" in problems[0]

"""A collection and the model behind it, where that model goes on to learn."""

from __future__ import annotations

import logging

import pytest

import commonspace as cs
from commonspace.data import Splits, make_dataset
from commonspace.errors import InputError
from commonspace.store.pipelines import index_dataset, model_of

SMALL = {"dim": 16, "width": 12, "hidden": (16,), "steps": 10}


def test_vectors_from_before_a_model_learned_on_are_not_mixed_with_later_ones(tmp_path, caplog):
    data = make_dataset(n_items=30, dims={"image": 6, "text": 5, "audio": 4}, seed=0)["train"]
    splits = Splits({"train": data}, "tiny")
    model = cs.Sequential(**SMALL).fit(data.select(["image", "text"]))
    cs.save(model, tmp_path / "model")
    where = {"folder": tmp_path / "items", "model_folder": tmp_path / "model"}
    with index_dataset(model, splits.select(["image", "text"]), **where) as items:
        model_of(items)
        assert not caplog.records
    audio = data["audio"]
    model.fit_modality("audio", audio.x, audio.labels, items=audio.items)
    cs.save(model, tmp_path / "model")
    with pytest.raises(InputError, match=r"has learned since .* Index into a\s+new folder"):
        index_dataset(model, splits.select(["audio"]), **where)
    with (
        caplog.at_level(logging.WARNING, logger="commonspace.store.origin"),
        cs.Collection.open(tmp_path / "items", read_only=True) as items,
    ):
        assert model_of(items).modalities == ("image", "text", "audio")
    assert "has learned since" in caplog.text


def test_a_method_that_keeps_its_vectors_may_add_to_a_collection(tmp_path, caplog):
    data = make_dataset(n_items=30, dims={"image": 6, "text": 5}, seed=0)["train"]
    splits = Splits({"train": data}, "tiny")
    model = cs.Ridge(dim=16).fit(data.select(["image"]))
    index_dataset(model, splits.select(["image"]), tmp_path / "items").close()
    text = data["text"]
    model.fit_modality("text", text.x, text.labels, items=text.items)
    with index_dataset(model, splits.select(["text"]), tmp_path / "items") as items:
        cs.save(model, tmp_path / "model")
        model_of(items, model_folder=tmp_path / "model")
        assert len(items) == 2 * len(data["image"]) and not caplog.records

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from commonspace.data import list_datasets, load_dataset, make_dataset
from commonspace.data.catalog import CATALOG, find_root
from commonspace.errors import InputError, NotFoundError

AVAILABLE = [entry.name for entry in list_datasets() if entry.available]
load_once = cache(load_dataset)
real_data = pytest.mark.skipif(not AVAILABLE, reason="no folder of data sets here")


@real_data
@pytest.mark.parametrize("name", AVAILABLE)
def test_every_set_is_as_the_catalogue_says(name):
    entry, splits = CATALOG[name], load_once(name)
    counts = {
        m: sum(len(part[m]) for part in splits.values() if m in part) for m in splits.modalities
    }
    assert splits.name == name and counts == dict(entry.n_items)
    assert len(splits.classes) == entry.n_classes
    assert splits["train"].label_kind == entry.label_kind
    first, second = splits.modalities[:2]
    assert (len(splits["test"].pairs(first, second)[0]) > 0) == entry.paired
    assert splits.provenance["source"] and splits.provenance["split"]
    for part in splits.values():
        for modality in part.values():
            assert modality.labels.known.all()
            if name.endswith("_raw"):
                assert modality.x.dtype.kind == "U" or modality.x.dtype == np.uint8
                continue
            assert modality.x.dtype == np.float32 and modality.x.ndim == 2
            assert np.isfinite(modality.x).all()


@real_data
@pytest.mark.parametrize("name", AVAILABLE)
def test_no_item_is_in_two_splits(name):
    splits = load_once(name)
    for modality in splits.modalities:
        ids = [set(part[modality].items) for part in splits.values() if modality in part]
        assert len(set().union(*ids)) == sum(map(len, ids))


@pytest.mark.skipif("wikipedia" not in AVAILABLE, reason="wikipedia is not here")
def test_wikipedia_has_the_papers_split():
    splits = load_once("wikipedia")
    assert [(name, len(part["image"])) for name, part in splits.items()] == [
        ("train", 2173),
        ("valid", 231),
        ("test", 462),
    ]
    assert splits["train"].x("image").shape[1] == 128 and splits["test"].x("text").shape[1] == 10


@pytest.mark.skipif("emoji" not in AVAILABLE, reason="emoji is not here")
def test_emoji_sets_share_ids_and_nest():
    five, nine, groups = (load_once(n) for n in ("emoji", "emoji_all", "emoji_subgroups"))
    ids = five["train"]["image_twemoji"].items
    assert np.array_equal(ids, nine["train"]["text_hi"].items)
    assert np.array_equal(five["test"].x("text_ja"), groups["test"].x("text_ja"))
    assert set(five.modalities) < set(nine.modalities) and len(groups.classes) == 97


@pytest.mark.parametrize("entry", CATALOG.values(), ids=str)
def test_every_entry_tells_where_it_comes_from(entry):
    assert {"source", "features", "split"} <= set(entry.provenance) and entry.how_to_get
    assert entry.modalities == tuple(entry.n_items) and entry.layouts


def test_names_folders_and_files(tmp_path, monkeypatch):
    make_dataset(n_items=20).save(tmp_path / "mine")
    (tmp_path / "t.csv").write_text("image,label\n1 2,a\n")
    monkeypatch.chdir(tmp_path)
    assert load_dataset("mine").modalities == ("image", "text")
    assert load_dataset(tmp_path / "mine").name == "synthetic"
    assert load_dataset("t.csv").modalities == ("image",)
    with pytest.raises(NotFoundError, match=r"'wikpedia'.*Did you mean 'wikipedia'"):
        load_dataset("wikpedia")
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match=r"dataset\.json"):
        load_dataset("empty")


def test_root_by_argument_variable_and_place(tmp_path, monkeypatch):
    monkeypatch.setenv("COMMONSPACE_DATA", str(tmp_path / "a"))
    assert find_root() == tmp_path / "a" and find_root(tmp_path) == tmp_path
    monkeypatch.delenv("COMMONSPACE_DATA")
    (tmp_path / "work").mkdir()
    (tmp_path / "shared" / "data").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    assert find_root() == tmp_path / "shared" / "data"
    assert not any(entry.available for entry in list_datasets())


def test_a_compact_file_of_another_kind_is_refused(tmp_path):
    np.savez(tmp_path / "mfeat.npz", image=np.zeros((2, 2)))
    with pytest.raises(NotFoundError, match=r"'view_fac'.*image \(2, 2\)"):
        load_dataset("mfeat", root=tmp_path)
    (tmp_path / "mfeat.npz").write_bytes(b"PK nothing")
    with pytest.raises(InputError, match=r"mfeat\.npz cannot be read"):
        load_dataset("mfeat", root=tmp_path)


def test_a_name_that_hides_a_folder_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    with pytest.raises(NotFoundError):
        load_dataset("digits", root=tmp_path)
    assert "what is here is ./digits" in caplog.text
    caplog.clear()
    with pytest.raises(NotFoundError, match="no data set"):  # the folder, which is empty
        load_dataset("./digits", root=tmp_path)
    assert caplog.text == ""

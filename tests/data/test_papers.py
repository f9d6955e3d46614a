"""Small files in the layouts in which the papers' data sets were released."""

from __future__ import annotations

from functools import partial

import h5py
import numpy as np
import pytest
from scipy import io, sparse

from commonspace.data import load_dataset
from commonspace.data.catalog import CATALOG
from commonspace.data.sets import papers
from commonspace.errors import InputError, NotFoundError

rng = np.random.default_rng(0)


def write_wikipedia(folder, n_train=40, n_test=300):
    content = {}
    for end, name, n in (("tr", "train", n_train), ("te", "test", n_test)):
        content[f"I_{end}"] = rng.normal(size=(n, 8))
        content[f"T_{end}"] = np.abs(rng.normal(size=(n, 4)))
        rows = [f"{name}text-{row}\timage{row}\t{row % 10 + 1}\n" for row in range(n)]
        (folder / f"{name}set_txt_img_cat.list").write_text("".join(rows))
    io.savemat(folder / "raw_features.mat", content)
    return content


def test_wikipedia_release(tmp_path):
    content = write_wikipedia(tmp_path)
    splits = papers.load_wikipedia_release(tmp_path, {}, sizes=None)
    assert {name: len(part["image"]) for name, part in splits.items()} == {
        "train": 40,
        "valid": 231,
        "test": 69,
    }
    assert np.allclose(splits["valid"].x("text"), content["T_te"][:231])
    assert np.allclose(splits["test"].x("image"), content["I_te"][231:])
    assert splits["test"].labels("image").codes.tolist() == [r % 10 for r in range(231, 300)]
    assert splits.classes[0] == "art" and splits.classes[9] == "warfare"
    assert splits["train"]["text"].items[3] == "traintext-3"
    assert len(splits["train"].pairs("image", "text")[0]) == 40


def test_wikipedia_release_of_another_size_or_form_is_refused(tmp_path):
    write_wikipedia(tmp_path)
    with pytest.raises(InputError, match=r"expected \(2173, 231, 462\).*got \(40, 231, 69\)"):
        load_dataset("wikipedia", root=tmp_path)
    (tmp_path / "testset_txt_img_cat.list").write_text("text image art\n")
    with pytest.raises(InputError, match=r"testset_txt_img_cat\.list, line 1.*'text image art'"):
        papers.load_wikipedia_release(tmp_path, {}, sizes=None)
    (tmp_path / "trainset_txt_img_cat.list").write_text("text\timage\t1\n")
    with pytest.raises(InputError, match=r"trainset_txt_img_cat\.list: expected 40 lines.*got 1"):
        papers.load_wikipedia_release(tmp_path, {}, sizes=None)


def write_deep(path, multi=False, text_labels=None):
    with h5py.File(path, "w") as file:
        for split, n in (("train", 30), ("test", 12)):
            file[f"{split}_imgs_deep"] = rng.normal(size=(n, 6)).astype(np.float32)
            file[f"{split}_text"] = rng.normal(size=(n, 3))
            # numbered from 1, as columns; the last class is missing from the test part
            labels = np.arange(n)[:, None] % (5 if split == "train" else 4) + 1
            labels = rng.integers(0, 2, size=(n, 7)) if multi else labels
            file[f"{split}_imgs_labels"] = labels
            file[f"{split}_texts_labels"] = labels if text_labels is None else text_labels[:n]


load_small = partial(papers.load_deep_pairs, name="wikipedia_deep", valid_rows=5, sizes=None)


def test_deep_pairs(tmp_path):
    path = tmp_path / "wiki_deep_doc2vec_data_corr_ae.h5py"
    write_deep(path)
    splits = load_small(path, {"source": "here"})
    assert [len(part["text"]) for part in splits.values()] == [30, 5, 7]
    with h5py.File(path) as file:
        assert np.array_equal(splits["valid"].x("image"), file["test_imgs_deep"][:5])
        assert np.array_equal(splits["test"].x("image"), file["test_imgs_deep"][5:])
    assert splits.classes == ("0", "1", "2", "3", "4")
    assert splits["test"].labels("text").codes.tolist() == [r % 4 for r in range(5, 12)]
    assert len(splits["test"].pairs("image", "text")[0]) == 7
    with pytest.raises(InputError, match=r"expected \(2173, 231, 462\)"):
        load_dataset("wikipedia_deep", root=tmp_path)


def test_deep_pairs_with_several_classes(tmp_path):
    write_deep(tmp_path / "coco.h5py", multi=True)
    splits = load_small(tmp_path / "coco.h5py", {})
    assert splits["train"].label_kind == "multi" and len(splits.classes) == 7


def test_deep_rows_whose_labels_differ_are_no_pairs(tmp_path):
    write_deep(tmp_path / "a.h5py", text_labels=np.full((30, 1), 1))
    splits = load_small(tmp_path / "a.h5py", {})
    assert len(splits["train"].pairs("image", "text")[0]) == 0


SMALL_XMEDIA = {"Img": (40, 10), "Txt": (40, 10), "Aud": (20, 6), "3d": (20, 4), "Vid": (21, 8)}


def write_xmedia(path):
    content = {}
    keys = {"Img": "I_{}_CNN", "Txt": "T_{}_BOW", "Aud": "A_{}", "3d": "d3_{}", "Vid": "V_{}_CNN"}
    for width, (category, counts) in enumerate(SMALL_XMEDIA.items(), start=3):
        for end, n in zip(("tr", "te"), counts, strict=True):
            content[keys[category].format(end)] = np.round(rng.normal(size=(n, width)), 3)
            content[f"{end}{category}Cat"] = np.arange(n)[:, None] % 20 + 1
    content["T_tr_BOW"] = sparse.csc_matrix(content["T_tr_BOW"])
    io.savemat(path, content)
    return content


def test_xmedia_takes_the_first_half_as_test(tmp_path):
    content = write_xmedia(tmp_path / "XMediaFeatures.mat")
    splits = papers.load_xmedia(tmp_path / "XMediaFeatures.mat", {}, sizes=None)
    assert splits.modalities == ("image", "text", "audio", "model3d", "video")
    counts = {
        m: tuple(len(splits[s][m]) for s in ("train", "valid", "test")) for m in splits["test"]
    }
    assert counts == {
        "image": (40, 5, 5),
        "text": (40, 5, 5),
        "audio": (20, 3, 3),
        "model3d": (20, 2, 2),
        "video": (21, 4, 4),
    }
    assert np.allclose(splits["test"].x("audio"), content["A_te"][:3])
    assert np.allclose(splits["valid"].x("video"), content["V_te_CNN"][4:])
    assert splits.classes[0] == "1" and len(splits.classes) == 20
    assert splits["test"].labels("image").codes.tolist() == [0, 1, 2, 3, 4]
    assert len(splits["train"].pairs("image", "text")[0]) == 40
    assert len(splits["train"].pairs("audio", "video")[0]) == 0
    with pytest.raises(InputError, match=r"expected \(4000, 500, 500\) rows of 'image'"):
        load_dataset("xmedia", root=tmp_path)


@pytest.mark.parametrize("name", ["xmedia", "nus_wide", "ms_coco", "wikipedia_deep", "wikipedia"])
def test_what_is_absent_says_what_to_put_where(name, tmp_path):
    with pytest.raises(NotFoundError) as caught:
        load_dataset(name, root=tmp_path)
    message = str(caught.value)
    for layout in CATALOG[name].layouts:
        assert all(file in message for file in layout.files)
    assert str(tmp_path) in message and "COMMONSPACE_DATA" in message


def test_sizes_are_those_of_the_paper():
    assert sum(sum(rows) for rows in papers.XMEDIA_SIZES.values()) == 12_643
    assert CATALOG["nus_wide"].n_items["image"] == 71_602
    assert CATALOG["ms_coco"].n_items["text"] == 122_218

"""Small files in the layouts of the NUS-WIDE and MIRFlickr-25k releases."""

from __future__ import annotations

import numpy as np
import pytest

from commonspace.data import load_dataset
from commonspace.data.catalog import CATALOG
from commonspace.data.sets import flickr
from commonspace.errors import InputError, NotFoundError

COUNTS = {"Train": 60, "Test": 40}
LOW = {"CH": 3, "CM55": 2, "CORR": 2, "EDH": 1, "WT": 2}


def write_table(path, table):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(" ".join(map(str, row)) for row in table.tolist()) + "\n")


@pytest.fixture
def nus_wide(tmp_path):
    rng = np.random.default_rng(0)
    truth, tags = {}, {}
    for part, n in COUNTS.items():
        names = [f"actor\\{row:04d}_{part}.jpg" for row in range(n)]
        (tmp_path / "ImageList").mkdir(exist_ok=True)
        (tmp_path / "ImageList" / f"{part}Imagelist.txt").write_text("\r\n".join(names) + "\r\n")
        truth[part] = (rng.random((n, 81)) < np.linspace(0.3, 0.01, 81)).astype(int)
        truth[part][:3] = 0
        for column in range(81):
            name = f"Labels_c{column:02d}_{part}.txt"
            path = tmp_path / "Groundtruth" / "TrainTestLabels" / name
            write_table(path, truth[part][:, column, None])
        tags[part] = (rng.random((n, 1000)) < 0.01).astype(int)
        tags[part][3:6] = 0
        write_table(tmp_path / "NUS_WID_Tags" / f"{part}_Tags1k.dat", tags[part])
        for kind, width in LOW.items():
            values = np.round(rng.normal(size=(n, width)), 3)
            write_table(tmp_path / "Low_Level_Features" / f"{part}_Normalized_{kind}.dat", values)
    return tmp_path, truth, tags


def test_nus_wide_takes_its_rows_from_the_official_lists(nus_wide):
    folder, truth, tags = nus_wide
    sizes = {"train": 30, "valid": 10, "test": 20}
    splits = flickr.load_nus_wide_81(folder, {"source": "here"}, sizes=sizes)
    assert {name: len(part["text"]) for name, part in splits.items()} == sizes
    assert len(splits.classes) == 81 and splits.classes[0] == "c00"
    assert splits.provenance == {"source": "here", "split_seed": 0}
    seen = set()
    for name, part in splits.items():
        list_name = "Test" if name == "test" else "Train"
        for row, item in enumerate(part["text"].items):
            assert item.startswith("actor/") and item.endswith(f"_{list_name}.jpg")
            at = int(item[6:10])
            assert at >= 6, "rows without a label or a tag are dropped"
            np.testing.assert_array_equal(part.x("text")[row], tags[list_name][at])
            np.testing.assert_array_equal(part.labels("image").dense()[row], truth[list_name][at])
        assert len(part.pairs("image", "text")[0]) == len(part["image"])
        assert part.x("image").shape[1] == sum(LOW.values())
        seen |= set(part["image"].items)
    assert len(seen) == sum(sizes.values())
    again = flickr.load_nus_wide_81(folder, {}, sizes=sizes)
    other = flickr.load_nus_wide_81(folder, {}, sizes=sizes, seed=1)
    assert again["train"].fingerprint() == splits["train"].fingerprint()
    assert other["train"].fingerprint() != splits["train"].fingerprint()


def test_nus_wide_with_its_ten_most_frequent_concepts(nus_wide):
    folder, truth, _ = nus_wide
    splits = flickr.load_nus_wide_10(folder, {}, sizes=None)
    y = np.concatenate(list(truth.values()))
    top = np.sort(np.argsort(-y.sum(axis=0), kind="stable")[:10])
    assert splits.classes == tuple(f"c{column:02d}" for column in top)
    kept = int((y[:, top] > 0).any(axis=1).sum())
    counts = {name: len(part["image"]) for name, part in splits.items()}
    assert counts["test"] + counts["retrieval"] == kept
    gallery, test = (set(splits[name]["text"].items) for name in ("retrieval", "test"))
    assert not gallery & test and set(splits["train"]["text"].items) <= gallery
    with pytest.raises(InputError, match=f"expected 186577 pairs, as in the paper, got {kept}"):
        load_dataset("nus_wide_10", root=folder)


def test_features_of_ones_own_take_the_place_of_the_pictures(nus_wide):
    folder, _, _ = nus_wide
    own = np.arange(500, dtype=np.float32).reshape(100, 5)
    np.save(folder / "image_features.npy", own)
    sizes = {"train": 5, "valid": 2, "test": 3}
    splits = flickr.load_nus_wide_81(folder, {}, sizes=sizes)
    for split, part in splits.items():
        for row, item in enumerate(part["image"].items):
            at = int(item[6:10]) + (60 if split == "test" else 0)
            np.testing.assert_array_equal(part.x("image")[row], own[at])
    np.save(folder / "image_features.npy", own[1:])
    with pytest.raises(InputError, match=r"one row for each of 100 pictures, .* \(99, 5\)"):
        flickr.load_nus_wide_81(folder, {}, sizes=sizes)
    whole = (folder / "image_features.npy").read_bytes()
    for damaged in (b"", b"not an array", whole[:-9], whole[:20]):
        (folder / "image_features.npy").write_bytes(damaged)
        with pytest.raises(InputError, match=r"image_features\.npy: not an array"):
            flickr.load_nus_wide_81(folder, {}, sizes=sizes)


def test_a_nus_wide_that_is_not_whole_is_refused(nus_wide):
    folder, _, _ = nus_wide
    with pytest.raises(InputError, match="expected at least 22000 pairs to draw from, got"):
        load_dataset("nus_wide_81", root=folder)
    path = folder / "NUS_WID_Tags" / "Test_Tags1k.dat"
    path.write_text(path.read_text().partition("\n")[2])
    with pytest.raises(InputError, match=r"Test_Tags1k\.dat: expected 40 lines .* got 39 lines"):
        flickr.load_nus_wide_10(folder, {}, sizes=None)
    path.write_text("0 1 x\n")
    with pytest.raises(InputError, match=r"Test_Tags1k\.dat: expected a table of numbers"):
        flickr.load_nus_wide_10(folder, {}, sizes=None)
    path.unlink()
    with pytest.raises(InputError, match="there is no such file"):
        flickr.load_nus_wide_10(folder, {}, sizes=None)
    (folder / "Groundtruth" / "TrainTestLabels" / "Labels_c07_Train.txt").unlink()
    with pytest.raises(InputError, match=r"expected .* of 81 concepts, got 80"):
        flickr.load_nus_wide_10(folder, {}, sizes=None)


PICTURES = 30


@pytest.fixture
def mirflickr(tmp_path):
    rng = np.random.default_rng(1)
    notes = tmp_path / "mirflickr25k_annotations_v080"
    notes.mkdir()
    (notes / "README.txt").write_text("not a concept")
    names = ["sky", *(f"concept{k:02d}" for k in range(23))]
    names += [f"{name}_r1" for name in names[:14]]
    truth = {}
    for name in names:
        rows = np.flatnonzero(rng.random(PICTURES) < 0.2) + 1
        rows = rows[rows != 1]  # picture 1 has no label
        truth[name] = set(rows.tolist())
        (notes / f"{name}.txt").write_text("".join(f"{row}\r\n" for row in rows))
    tags = tmp_path / "mirflickr" / "meta" / "tags"
    tags.mkdir(parents=True)
    words = {}
    for picture in range(1, PICTURES + 1):
        some = {"everywhere"} | {f"word{k}" for k in range(6) if rng.random() < 0.3}
        words[picture] = set() if picture == 2 else some | {f"once{picture}"}
        (tags / f"tags{picture}.txt").write_text(
            "".join(f"{w}\r\n" for w in sorted(words[picture]))
        )
    return tmp_path, truth, words


def test_mirflickr_with_38_concepts(mirflickr):
    folder, truth, words = mirflickr
    splits = flickr.load_mirflickr_38(folder, {}, sizes=None, n_pictures=PICTURES)
    kept = [p for p in words if words[p] and any(p in rows for rows in truth.values())]
    items = [item for part in splits.values() for item in part["text"].items]
    assert sorted(items) == sorted(f"im{p}" for p in kept) and 1 not in kept and 2 not in kept
    assert set(splits.classes) == set(truth)
    part = splits["test"]
    for row, item in enumerate(part["text"].items):
        picture = int(item[2:])
        assert part.x("text")[row].sum() == len(words[picture])
        assert part.x("text")[row, 0] == 1, "the most frequent tag has the first column"
        shown = {splits.classes[k] for k in np.flatnonzero(part.labels("text").dense()[row])}
        assert shown == {name for name, rows in truth.items() if picture in rows}
        assert part.x("image")[row].endswith(f"mirflickr/im{picture}.jpg")
    small = {"train": 2, "valid": 1, "test": 1}
    with pytest.raises(InputError, match=f"expected 4 pairs with .* got {len(kept)}"):
        flickr.load_mirflickr_38(folder, {}, sizes=small, n_pictures=PICTURES)


def test_mirflickr_with_24_concepts_and_tags_that_are_not_rare(mirflickr):
    folder, truth, words = mirflickr
    splits = flickr.load_mirflickr_24(folder, {}, sizes=None, n_pictures=PICTURES, min_count=3)
    counts = [sum(f"word{k}" in some for some in words.values()) for k in range(6)]
    assert splits["test"].x("text").shape[1] == 1 + sum(count >= 3 for count in counts)
    assert set(splits.classes) == {name for name in truth if not name.endswith("_r1")}
    assert len(splits["test"]["image"]) == 1
    gallery = set(splits["retrieval"]["text"].items)
    assert set(splits["train"]["text"].items) <= gallery
    assert not gallery & set(splits["test"]["text"].items)


def test_a_mirflickr_that_is_not_whole_is_refused(mirflickr):
    folder, _, _ = mirflickr
    with pytest.raises(InputError, match=r"tags31\.txt: there is no such file"):
        load_dataset("mirflickr_38", root=folder)
    notes = folder / "mirflickr25k_annotations_v080"
    (notes / "sky.txt").write_text("0\n7\n")
    with pytest.raises(InputError, match=r"sky\.txt: expected picture numbers from 1 to 30, got 0"):
        flickr.load_mirflickr_24(folder, {}, sizes=None, n_pictures=PICTURES)
    (notes / "sky.txt").unlink()
    with pytest.raises(InputError, match="expected 24 concepts, got 23"):
        flickr.load_mirflickr_24(folder, {}, sizes=None, n_pictures=PICTURES)


@pytest.mark.parametrize("name", ["nus_wide_81", "nus_wide_10", "mirflickr_38", "mirflickr_24"])
def test_what_is_absent_says_what_to_put_where(name, tmp_path):
    with pytest.raises(NotFoundError) as caught:
        load_dataset(name, root=tmp_path)
    message = str(caught.value)
    assert all(file in message for file in CATALOG[name].layouts[0].files)


def test_sizes_are_those_of_the_papers():
    assert sum(flickr.NUS_WIDE_81.values()) == 32_000
    assert flickr.NUS_WIDE_10["test"] + flickr.NUS_WIDE_10["retrieval"] == 186_577
    assert sum(flickr.MIRFLICKR_38.values()) == 21_093
    assert flickr.MIRFLICKR_24["test"] + flickr.MIRFLICKR_24["retrieval"] == 20_015

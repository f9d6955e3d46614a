"""Thinned training data against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from commonspace.benchmarks.thinning import drop_unpaired, mislabel, unlabel, unpair
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError

EVERY = (unpair, drop_unpaired, unlabel, mislabel)
SHARES = (0.0, 0.05, 0.25, 0.4, 0.5, 1.0)
DIMS = {"image": 4, "text": 3, "audio": 2}


def made(kind="single", **more):
    return make_dataset(n_items=100, n_classes=5, dims=DIMS, label_kind=kind, **more)["train"]


@pytest.fixture(scope="module")
def data():
    return made()


@pytest.fixture(scope="module")
def several():
    return made("multi")


def ids(data, name="image"):
    return set(data[name].items.tolist())


def dense(data, name):
    return data.labels(name).dense()


@pytest.mark.parametrize("thin", EVERY)
def test_the_input_stays_and_a_seed_tells_all(thin, data):
    before = data.fingerprint()
    first, again, other = thin(data, 0.3, 0), thin(data, 0.3, 0), thin(data, 0.3, 1)
    assert data.fingerprint() == before
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
    assert first.classes == data.classes and first.modalities == data.modalities


@pytest.mark.parametrize("thin", EVERY)
@pytest.mark.parametrize("share", [-0.1, 1.1, "half"])
def test_a_share_is_a_share(thin, share, data):
    with pytest.raises(InputError, match="share"):
        thin(data, share, 0)


@pytest.mark.parametrize("thin", EVERY)
def test_the_share_that_changes_nothing_changes_nothing(thin, data, several):
    for rows in (data, several):
        whole = 0.0 if thin is mislabel else 1.0
        assert thin(rows, whole, 0).fingerprint() == rows.fingerprint()


@pytest.mark.parametrize("share", SHARES)
def test_pairs_are_dissolved_by_ids_alone(share, data):
    thinned = unpair(data, share, 3)
    n = len(data["image"])
    for name, part in thinned.items():
        np.testing.assert_array_equal(part.x, data.x(name))
        np.testing.assert_array_equal(dense(thinned, name), dense(data, name))
        assert len(set(part.items.tolist())) == n
    for pair in (("image", "text"), ("text", "audio")):
        rows = thinned.pairs(*pair)
        assert len(rows[0]) == round(share * n)
        np.testing.assert_array_equal(rows[0], rows[1])


def test_new_ids_are_nobodys():
    items = {"a": ["x", "x of b", "z"], "b": ["x", "w", "z"]}
    x = {name: np.zeros((3, 2)) for name in items}
    data = Dataset.from_arrays(x, {name: [0, 1, 0] for name in items}, items=items)
    thinned = unpair(data, 0.0, 0)
    assert not len(thinned.pairs("a", "b")[0]) and "x of b" in ids(thinned, "a")
    assert ids(thinned, "b") == {"x of b'", "w", "z of b"}


@pytest.mark.parametrize("share", SHARES)
def test_rows_without_their_pair_are_left_out(share, data):
    kept, dropped = unpair(data, share, 3), drop_unpaired(data, share, 3)
    assert ids(dropped) == ids(dropped, "audio") == ids(kept) & ids(kept, "text")
    assert len(dropped["text"]) == round(share * len(data["text"]))


def test_rows_that_never_had_a_pair_stay():
    alone = made(paired=False)
    for thin in (unpair, drop_unpaired):
        assert thin(alone, 0.0, 0).fingerprint() == alone.fingerprint()


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("kind", ["single", "multi"])
def test_labels_of_a_share_of_the_rows_stay(share, kind):
    data = made(kind)
    thinned = unlabel(data, share, 0)
    for name, part in thinned.items():
        known = part.labels.known
        assert known.sum() == round(share * len(known))
        np.testing.assert_array_equal(dense(thinned, name)[known], dense(data, name)[known])
        assert not part.labels.labelled[~known].any()
        np.testing.assert_array_equal(known, thinned["image"].labels.known)
        np.testing.assert_array_equal(part.items, data[name].items)


def test_rows_unknown_before_do_not_count():
    y = np.array([0, 1, -1, -1, 1, 0, -1, 1, 0, 1])
    data = Dataset.from_arrays({"a": np.zeros((10, 2))}, y)
    thinned = unlabel(data, 0.5, 0)["a"].labels
    assert thinned.known.sum() == round(0.5 * 7) and not thinned.known[y < 0].any()
    noisy = mislabel(data, 1.0, 0)["a"].labels
    np.testing.assert_array_equal(noisy.codes, np.where(y < 0, -1, 1 - y))


@pytest.mark.parametrize("share", SHARES)
def test_a_wrong_label_is_of_another_class(share, data):
    noisy = mislabel(data, share, 0)
    for name in data:
        before, after = data.labels(name).codes, noisy.labels(name).codes
        assert (before != after).sum() == round(share * len(before))
        np.testing.assert_array_equal(after, noisy.labels("image").codes)
        np.testing.assert_array_equal(noisy.x(name), data.x(name))


@pytest.mark.parametrize("share", SHARES)
def test_of_several_labels_one_moves(share, several):
    noisy = mislabel(several, share, 0)
    for name in several:
        before, after = dense(several, name), dense(noisy, name)
        changed = (before != after).any(axis=1)
        movable = (before.sum(axis=1) < 5).sum()
        assert changed.sum() == min(round(share * len(before)), movable)
        np.testing.assert_array_equal(after.sum(axis=1), before.sum(axis=1))
        assert (np.abs(before - after)[changed].sum(axis=1) == 2).all()


def test_a_grade_moves_with_its_label_and_a_full_row_stays():
    y = np.array([[0.3, 0.0, 0.7], [1.0, 0.5, 0.2]])
    data = Dataset.from_arrays({"a": np.zeros((2, 2))}, y)
    noisy = dense(mislabel(data, 1.0, 0), "a")
    np.testing.assert_allclose(np.sort(noisy[0]), [0.0, 0.3, 0.7], atol=1e-7)
    assert noisy[0, 1] > 0
    np.testing.assert_allclose(noisy[1], y[1])


def test_wrong_classes_are_drawn_evenly():
    data = Dataset.from_arrays(
        {"a": np.zeros((6000, 1))}, np.zeros(6000, int), classes=list("abcd")
    )
    counts = np.bincount(mislabel(data, 1.0, 0)["a"].labels.codes, minlength=4)
    assert counts[0] == 0 and np.abs(counts[1:] - 2000).max() < 5 * np.sqrt(6000 * 2 / 9)


def test_smaller_shares_are_within_larger_ones(data):
    for small, large in ((0.1, 0.25), (0.25, 0.4)):
        known = [unlabel(data, share, 0)["text"].labels.known for share in (small, large)]
        assert (known[0] <= known[1]).all()
        pairs = [ids(drop_unpaired(data, share, 0)) for share in (small, large)]
        assert pairs[0] < pairs[1]
        noisy = [mislabel(data, share, 0).labels("text").codes for share in (small, large)]
        wrong = noisy[0] != data.labels("text").codes
        np.testing.assert_array_equal(noisy[0][wrong], noisy[1][wrong])


def test_the_order_of_rows_does_not_matter(data):
    order = np.random.default_rng(0).permutation(len(data["image"]))
    turned = data.take(dict.fromkeys(data, order))
    for thin in (unpair, unlabel, mislabel):
        first, second = thin(data, 0.4, 0), thin(turned, 0.4, 0)
        for name in data:
            np.testing.assert_array_equal(dense(first, name)[order], dense(second, name))
            np.testing.assert_array_equal(first[name].items[order], second[name].items)

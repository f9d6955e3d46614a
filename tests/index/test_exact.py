from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonspace.errors import InputError, StorageError
from commonspace.index import ExactIndex, Index, Metric

METRICS = get_args(Metric)


def brute_force(x, queries, metric):
    """All scores in float64, rounded once: an independent truth for small cases."""
    x, queries = x.astype(np.float64), queries.astype(np.float64)
    if metric == "euclidean":
        return -np.sqrt(((queries[:, None] - x[None]) ** 2).sum(-1))
    if metric == "cosine":
        x, queries = unit(x), unit(queries)
    return queries @ x.T


def unit(x):
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(norms == 0, 1, norms)


def expected(x, keys, queries, k, metric, allowed=None):
    scores = brute_force(x, queries, metric)
    if allowed is not None:
        chosen = np.isin(keys, allowed)
        scores, keys = scores[:, chosen], keys[chosen]
    order = np.lexsort((np.broadcast_to(keys, scores.shape), -scores), axis=-1)[:, :k]
    return keys[order], np.take_along_axis(scores, order, axis=1)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("n_queries", [1, 7, 50])
@pytest.mark.parametrize("fraction", [None, 0.5, 0.01])
def test_matches_brute_force(metric: Metric, n_queries, fraction):
    rng = np.random.default_rng(n_queries)
    x = rng.standard_normal((700, 33)).astype(np.float32)
    queries = rng.standard_normal((n_queries, 33)).astype(np.float32)
    keys = rng.permutation(10_000)[:700]
    allowed = None if fraction is None else rng.choice(keys, int(700 * fraction), replace=False)
    index = ExactIndex(metric)
    index.add(keys[:300], x[:300])
    index.add(keys[300:], x[300:])
    found = index.search(queries, k=20, allowed=allowed)
    want_keys, want_scores = expected(x, keys, queries, 20, metric, allowed)
    np.testing.assert_array_equal(found.keys, want_keys)
    np.testing.assert_allclose(found.scores, want_scores, atol=1e-5, rtol=1e-6)
    assert found.keys.dtype == np.int64 and found.scores.dtype == np.float32


@pytest.mark.parametrize("metric", METRICS)
def test_remove_equals_never_added(metric: Metric):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 8)).astype(np.float32)
    gone = rng.permutation(300)[:140]
    index, fresh = ExactIndex(metric), ExactIndex(metric)
    index.add(np.arange(300), x)
    assert index.remove([*gone.tolist(), 9999, int(gone[0])]) == 140
    assert index.remove(gone) == 0
    left = np.setdiff1d(np.arange(300), gone)
    fresh.add(left, x[left])
    for n in (5, 40):
        a, b = index.search(x[:n], k=200), fresh.search(x[:n], k=200)
        np.testing.assert_array_equal(a.keys, b.keys)
        np.testing.assert_array_equal(a.scores, b.scores)
    assert len(index) == 160
    np.testing.assert_array_equal(index.keys, left)
    index.add(gone, x[gone])
    assert index.search(x[gone[:1]], k=1).keys[0, 0] == gone[0]


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_smaller_key_and_batches_do_not_matter(metric: Metric):
    rng = np.random.default_rng(1)
    x = np.repeat(rng.standard_normal((9, 37)).astype(np.float32), 101, axis=0)
    keys = rng.permutation(len(x))
    index = ExactIndex(metric)
    index.add(keys, x)
    queries = rng.standard_normal((60, 37)).astype(np.float32)
    together = index.search(queries, k=150)
    for row in (0, 31, 59):
        alone = index.search(queries[row : row + 1], k=150)
        np.testing.assert_array_equal(alone.keys[0], together.keys[row])
        np.testing.assert_array_equal(alone.scores[0], together.scores[row])
    best = int(np.argmax(brute_force(x, queries[:1], metric)[0])) // 101
    np.testing.assert_array_equal(
        together.keys[0, :101], np.sort(keys[best * 101 : (best + 1) * 101])
    )


def test_many_equal_rows_of_which_k_is_few():
    index = ExactIndex()
    index.add(np.arange(5000)[::-1], np.ones((5000, 4)))
    np.testing.assert_array_equal(index.search(np.ones((20, 4)), k=3).keys, [[0, 1, 2]] * 20)


def test_cosine_of_zero_and_of_extreme_lengths():
    index = ExactIndex()
    index.add([1, 2, 3, 4], [[0, 0], [1e-42, 0], [3e38, 3e38], [-1, 0]])
    found = index.search([[5.0, 0.0], [0.0, 0.0]], k=4)
    assert found.keys[0].tolist() == [2, 3, 1, 4]
    np.testing.assert_allclose(found.scores[0], [1, np.sqrt(0.5), 0, -1], rtol=1e-6)
    assert found.scores[1].tolist() == [0, 0, 0, 0] and found.keys[1].tolist() == [1, 2, 3, 4]


def test_euclidean_near_cancellation_is_ordered_right():
    """|x|^2 + |q|^2 - 2xq in float32 cannot tell these apart; the answer must."""
    base = np.full((1, 64), 1000.0, dtype=np.float32)
    x = np.repeat(base, 200, axis=0)
    x[:, 0] += np.arange(200, 0, -1, dtype=np.float32) / 512
    index = ExactIndex("euclidean")
    index.add(np.arange(200), x)
    found = index.search(np.repeat(base, 32, axis=0), k=10)
    assert found.keys.tolist() == [list(range(199, 189, -1))] * 32


@pytest.mark.parametrize("metric", METRICS)
def test_file_round_trip(metric: Metric, tmp_path: Path):
    x = np.random.default_rng(2).standard_normal((50, 5)).astype(np.float32)
    index = ExactIndex(metric)
    index.add(np.arange(50) * 3, x)
    index.remove([0, 3])
    digest = index.write(tmp_path / "a.faiss")
    again = ExactIndex.read(tmp_path / "a.faiss", metric=metric)
    assert len(digest) == 64 and again.dim == 5 and len(again) == 48
    del index
    again.add([1000], x[:1])
    again.remove([6])
    assert again.search(x[:1], k=1).keys[0, 0] == 1000
    assert again.write(tmp_path / "b.faiss") != digest


@pytest.mark.parametrize("change", ["add", "remove", "update"])
def test_rows_mapped_from_a_file_outlive_it_and_change_in_memory_alone(change, tmp_path: Path):
    x = np.random.default_rng(2).standard_normal((50, 5)).astype(np.float32)
    made = ExactIndex()
    made.add(np.arange(50), x)
    made.write(tmp_path / "index")
    content = (tmp_path / "index").read_bytes()
    changed, untouched = (ExactIndex.read(tmp_path / "index") for _ in range(2))
    for index in (made, changed):
        if change == "add":
            index.add([50], -x[:1])
        elif change == "remove":
            index.remove([0, 3, 49])
        else:
            index.update([3], -x[3:4])
    assert (tmp_path / "index").read_bytes() == content
    (tmp_path / "index").unlink()
    for ours, theirs in ((changed, made), (untouched, ExactIndex())):
        if not len(theirs):
            theirs.add(np.arange(50), x)
        a, b = ours.search(x, 50), theirs.search(x, 50)
        np.testing.assert_array_equal(a.keys, b.keys)
        np.testing.assert_array_equal(a.scores, b.scores)


def test_damaged_and_foreign_files_are_refused(tmp_path: Path):
    index = ExactIndex("inner", dim=4)
    index.write(tmp_path / "empty.faiss")
    assert len(ExactIndex.read(tmp_path / "empty.faiss", metric="inner")) == 0
    with pytest.raises(StorageError, match="euclidean"):
        ExactIndex.read(tmp_path / "empty.faiss", metric="euclidean")
    (tmp_path / "bad.faiss").write_bytes(b"not an index at all")
    with pytest.raises(StorageError, match="damaged"):
        ExactIndex.read(tmp_path / "bad.faiss")
    with pytest.raises(StorageError, match="missing"):
        ExactIndex.read(tmp_path / "absent.faiss")
    with pytest.raises(InputError, match="without dim"):
        ExactIndex().write(tmp_path / "none.faiss")


def test_empty_answers():
    index = ExactIndex()
    assert index.search(np.ones((3, 2)), k=5).keys.shape == (3, 0)
    assert index.remove([1]) == 0
    index.add([1], [[1.0, 2.0]])
    assert index.search(np.ones((3, 2)), k=5).keys.shape == (3, 1)
    assert index.search(np.ones((0, 2)), k=5).keys.shape == (0, 1)
    assert index.search(np.ones((3, 2)), k=5, allowed=[]).keys.shape == (3, 0)
    assert index.search(np.ones((3, 2)), k=5, allowed=[77]).keys.shape == (3, 0)
    index.remove([1])
    assert index.search(np.ones((3, 2)), k=5).keys.shape == (3, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda i: i.add([1, 1], np.ones((2, 3))), "1 stands at more than one row"),
        (lambda i: i.add([7], np.ones((1, 3))), "7 is in the index already"),
        (lambda i: i.add([1], np.ones((2, 3))), "expected 2"),
        (lambda i: i.add([1.5], np.ones((1, 3))), "integers"),
        (lambda i: i.add([1], np.ones((1, 4))), "expected 3 features"),
        (lambda i: i.add([1], [[np.nan, 0, 0]]), "row 0, column 0"),
        (lambda i: i.search(np.ones((1, 3)), k=0), "k: expected"),
        (lambda i: i.search(np.ones(3)), "matrix"),
        (lambda i: ExactIndex("dot"), "'cosine'"),
        (lambda i: ExactIndex("inner").add([1], [[1e30, 0]]), "range of float32"),
    ],
)
def test_wrong_input_is_named(call: Any, message: str):
    index = ExactIndex()
    index.add([7], np.ones((1, 3)))
    with pytest.raises(InputError, match=message):
        call(index)
    assert len(index) == 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_sequence_equals_a_dict(data: st.DataObject):
    """Small integers as coordinates: ties abound, and inner products are exact."""
    index, model = ExactIndex("inner", dim=3), {}
    row = st.tuples(*[st.integers(-2, 2)] * 3)
    for _ in range(data.draw(st.integers(1, 6))):
        batch = data.draw(st.dictionaries(st.integers(0, 40), row, max_size=12))
        batch = {key: value for key, value in batch.items() if key not in model}
        index.add(list(batch), np.array(list(batch.values()), dtype=float).reshape(-1, 3))
        model |= batch
        gone = data.draw(st.lists(st.integers(0, 40), max_size=8))
        assert index.remove(gone) == len(model.keys() & set(gone))
        model = {key: value for key, value in model.items() if key not in gone}
    allowed = data.draw(st.none() | st.lists(st.integers(0, 40), max_size=20))
    query = np.array(data.draw(row))
    k = data.draw(st.integers(1, 9))
    chosen = [key for key in model if allowed is None or key in allowed]
    want = sorted(chosen, key=lambda key: (-(query @ model[key]), key))[:k]
    n = data.draw(st.sampled_from([1, 20]))
    found = index.search(np.repeat(query[None], n, axis=0), k=k, allowed=allowed)
    assert found.keys.tolist() == [want] * n


def test_satisfies_the_protocol_and_leaves_inputs_alone():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    before = x.copy()
    index: Index = ExactIndex()
    index.add([0, 1], x)
    index.search(x, k=1)
    np.testing.assert_array_equal(x, before)


def test_importing_the_room_does_not_import_faiss():
    rooms = "commonspace.index, commonspace.store.collection"
    code = f"import sys, {rooms}; assert 'faiss' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

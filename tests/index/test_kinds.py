"""Every kind of index against naive loops, exact search, FAISS itself, and what it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commonspace.errors import InputError, NotFoundError, StorageError
from commonspace.index import KINDS, ExactIndex, Index, make_index, read_index
from commonspace.quantization import Quantizer

DIM, N = 16, 900
# What makes each kind look at everything, so that only its codes are approximate.
WHOLE: dict[str, dict[str, Any]] = {
    "exact": {},
    "ivf": {"n_lists": 12, "effort": 12},
    "hnsw": {"effort": 600},
    "pq": {"bits": 32},
    "opq": {"bits": 32},
    "codes": {"bits": 16},
    "codes4": {"bits": 32},
    "binary": {"bits": 16},
}
RERANKED: dict[str, dict[str, Any]] = {
    "pq": {"bits": 32, "rerank": "float", "effort": 500},
    "opq": {"bits": 32, "rerank": "float", "effort": 500},
    "codes": {"bits": 16, "rerank": "float", "effort": 500},
    "codes4": {"bits": 16, "rerank": "float", "effort": 500},
    "binary": {"bits": 16, "rerank": "float", "effort": 500},
}
CASES = [*WHOLE.items(), *RERANKED.items(), ("codes4", {"bits": 16, "rerank": "code"})]
CASES += [("codes4", {"bits": 16, "rerank": 32}), ("binary", {"bits": 40, "method": "sign"})]
IDS = [f"{kind}-{options.get('rerank')}" for kind, options in CASES]


def clustered(n: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((20, DIM))
    return (centres[rng.integers(0, 20, n)] + 0.4 * rng.standard_normal((n, DIM))).astype("f4")


X, QUERIES = clustered(N), clustered(30, seed=1)
_BUILT: dict[str, Any] = {}


def built(kind: str, options: dict[str, Any], tmp: Path) -> Index:
    """An index of all rows, learned once and read for each test."""
    name = f"{kind}-{sorted(options.items())}"
    if name not in _BUILT:
        index = make_index(kind, **options)
        index.add(np.arange(N) * 2, X)
        path = tmp / "made"
        index.write(path)
        _BUILT[name] = path.read_bytes()
    (tmp / "index").write_bytes(_BUILT[name])
    return read_index(tmp / "index")


def exact_keys(k: int, rows: Any = None) -> Any:
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    scores = QUERIES @ unit.T
    if rows is not None:
        scores[:, ~np.isin(np.arange(N), rows)] = -np.inf
    return 2 * np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(found: Any, true: Any) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(true, found, strict=True)]))


def test_every_kind_is_tested():
    assert set(WHOLE) == set(KINDS)


@pytest.mark.parametrize(("kind", "options"), CASES, ids=IDS)
def test_changes_files_and_allowed(kind, options, tmp_path: Path):
    """One walk through all that an index can do, since learning is what takes time."""
    index = built(kind, options, tmp_path)
    assert index.kind == kind and len(index) == N
    first = index.search(QUERIES, 7)
    assert first.keys.shape == first.scores.shape == (30, 7)
    assert (np.diff(first.scores, axis=1) <= 1e-6).all()
    assert all(len(set(row)) == 7 for row in first.keys.tolist())

    # Removed rows are never returned, whatever else is.
    gone = np.unique(first.keys[:, :3])
    assert index.remove([*gone.tolist(), 1, 10**9]) == len(gone)
    assert index.remove(gone) == 0 and len(index) == N - len(gone)
    left = index.search(QUERIES, N)
    assert left.keys.shape == (30, N - len(gone))
    assert not np.isin(left.keys, gone).any()
    np.testing.assert_array_equal(np.sort(left.keys, axis=1)[4], index.keys)

    # Only what is allowed is returned, and all of it if k is large enough.
    for share in (0.02, 0.3, 0.9):
        allowed = np.random.default_rng(3).choice(N * 2, int(N * 2 * share), replace=False)
        there = np.intersect1d(allowed, index.keys)
        among = index.search(QUERIES, 5, allowed=allowed)
        assert np.isin(among.keys, there).all()
        np.testing.assert_array_equal(
            np.sort(index.search(QUERIES[:2], N, allowed=allowed).keys, axis=1), [there, there]
        )
    assert index.search(QUERIES, 5, allowed=[1]).keys.shape == (30, 0)

    # What was removed comes back, and an update takes the place of what was there.
    index.add(gone, X[gone // 2])
    np.testing.assert_allclose(index.search(QUERIES, 7).scores, first.scores, atol=1e-5)
    index.update([0, 7777], np.stack([QUERIES[0], QUERIES[1]]) * 3)
    assert len(index) == N + 1
    if kind not in ("binary", "pq", "opq") or options.get("rerank") == "float":
        assert index.search(QUERIES[:1], 60 if "codes" in kind else 1).keys[0].tolist().count(0)
    with pytest.raises(InputError, match="in the index already"):
        index.add([7777], X[:1])

    # Compaction and the file change no answer.
    before = index.search(QUERIES, 9)
    compact = index.compacted()
    assert compact.n_dead == 0 and len(compact) == len(index)
    np.testing.assert_array_equal(compact.keys, index.keys)
    if kind != "hnsw" and not isinstance(options.get("rerank"), int):
        np.testing.assert_array_equal(compact.search(QUERIES, 9).scores, before.scores)
    index.write(tmp_path / "again")
    again = read_index(tmp_path / "again")
    assert again.settings == index.settings and again.n_trained == index.n_trained
    after = again.search(QUERIES, 9)
    np.testing.assert_array_equal(after.keys, before.keys)
    np.testing.assert_array_equal(after.scores, before.scores)
    again.remove(again.keys[:5])
    again.add([0], X[:1])
    assert len(again) == N + 1 - 4


@pytest.mark.parametrize(
    ("kind", "options"),
    [("ivf", WHOLE["ivf"]), ("hnsw", WHOLE["hnsw"]), *RERANKED.items()],
)
def test_looking_at_everything_is_exact(kind, options, tmp_path: Path):
    index = built(kind, options, tmp_path)
    np.testing.assert_array_equal(index.search(QUERIES, 10).keys, exact_keys(10))
    rows = np.arange(0, N, 3)
    found = index.search(QUERIES, 10, allowed=rows * 2)
    np.testing.assert_array_equal(found.keys, exact_keys(10, rows))


@pytest.mark.parametrize("kind", ["exact", "ivf", "hnsw", "pq", "opq"])
def test_euclidean(kind):
    index = make_index(kind, metric="euclidean", **WHOLE[kind])
    index.add(np.arange(N), X)
    found = index.search(QUERIES, 5)
    apart = np.linalg.norm(QUERIES[:, None] - X[None], axis=2)
    assert (found.scores <= 0).all()
    if "pq" not in kind:
        np.testing.assert_array_equal(found.keys, np.argsort(apart, axis=1)[:, :5])
        np.testing.assert_allclose(found.scores, -np.sort(apart, axis=1)[:, :5], atol=1e-3)
    else:
        assert recall(found.keys, np.argsort(apart, axis=1)[:, :5]) > 0.3


@pytest.mark.parametrize(("kind", "bits_per_word"), [("codes", 8), ("codes4", 4)])
def test_our_codes_score_as_their_quantizer_says(kind, bits_per_word):
    """Against sums over the decoded vectors: exact for 8-bit words, rounded for 4-bit ones."""
    quantizer = Quantizer(16, bits_per_word, iterations=1).fit(X)
    index = make_index(kind, metric="inner", quantizer=quantizer)
    index.add(np.arange(N), X)
    truth = QUERIES @ quantizer.decode(quantizer.encode(X)).T
    found = index.search(QUERIES, 20)
    want = np.take_along_axis(truth, found.keys, axis=1)
    scale = np.abs(truth).max()
    np.testing.assert_allclose(found.scores, want, atol=(1e-5 if kind == "codes" else 0.03) * scale)
    best = -np.sort(-truth, axis=1)[:, :20]
    np.testing.assert_allclose(want, best, atol=(1e-5 if kind == "codes" else 0.06) * scale)
    exact = make_index(kind, metric="inner", quantizer=quantizer, rerank="code", effort=20)
    exact.add(np.arange(N), X)
    np.testing.assert_allclose(exact.search(QUERIES, 20).scores, best, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", ["codes", "codes4"])
def test_codes_made_elsewhere_are_taken(kind):
    quantizer = Quantizer(16, 8 if kind == "codes" else 4, iterations=1).fit(X)
    one, other = (make_index(kind, quantizer=quantizer, metric="inner") for _ in range(2))
    one.add(np.arange(N), X)
    other.add_codes(np.arange(N), quantizer.encode(X))
    a, b = one.search(QUERIES, 8), other.search(QUERIES, 8)
    np.testing.assert_array_equal(a.scores, b.scores)


def test_answers_are_those_of_faiss():
    """The same lists asked directly."""
    index = make_index("ivf", n_lists=9, effort=3)
    index.add(np.arange(N), X)
    unit = QUERIES / np.linalg.norm(QUERIES, axis=1, keepdims=True)
    index.faiss_index.nprobe = 3
    scores, rows = index.faiss_index.search(unit.astype("f4"), 6)
    found = index.search(QUERIES, 6)
    np.testing.assert_array_equal(found.keys, rows)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)


@pytest.mark.parametrize("kind", ["ivf", "hnsw", "codes4"])
def test_tuning_reaches_the_recall_it_says(kind):
    index = make_index(kind, **({"rerank": "float", "bits": 16} if kind == "codes4" else {}))
    keys = np.arange(N) * 2
    index.add(keys, X)
    assert index.tune(X[:50], 0.5, own=keys[:50]) >= 0.5
    low = index.effort
    reached = index.tune(QUERIES, 0.99)
    assert reached >= 0.99 and index.effort >= low
    assert recall(index.search(QUERIES, 10).keys, exact_keys(10)) == pytest.approx(reached)


def test_share_read_is_the_rows_of_the_lists_that_are_opened():
    """Four directions with 10, 20, 30 and 40 rows: a list each, and a query of each."""
    rows = np.eye(4, DIM, dtype=np.float32)[np.repeat(range(4), (10, 20, 30, 40))]
    index = make_index("ivf", n_lists=4, effort=1)
    index.train(np.eye(4, DIM))
    index.add(np.arange(100), rows)
    assert index.share_read(np.eye(4, DIM)) == pytest.approx(0.25)
    assert index.share_read(np.eye(4, DIM)[3:]) == pytest.approx(0.4)
    index.effort = 9
    assert index.share_read(np.eye(4, DIM)) == pytest.approx(1.0)


@pytest.mark.parametrize("n", [2, 15, 16, 17, 24, 30])
@pytest.mark.parametrize("kind", ["codes4", "binary"])
def test_many_queries_at_once_find_what_each_finds_alone(kind, n):
    index = make_index(kind, bits=16, rerank="float")
    index.add(np.arange(N), X)
    together = index.search(QUERIES[:n], 5)
    alone = [index.search(query[None], 5) for query in QUERIES[:n]]
    np.testing.assert_allclose(together.scores, np.vstack([a.scores for a in alone]), atol=1e-6)
    np.testing.assert_array_equal(together.keys, np.vstack([a.keys for a in alone]))


def test_a_short_list_is_filled_from_the_others():
    """One list of a query holds two rows; k is five."""
    index = make_index("ivf", n_lists=40, effort=1)
    index.add(np.arange(120), X[:120])
    found = index.search(QUERIES, 50)
    assert found.keys.shape == (30, 50) and (found.keys >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_odd_sizes(kind):
    index = make_index(kind, **WHOLE[kind])
    assert len(index) == 0 and index.remove([1]) == 0
    assert index.search(np.ones((2, DIM)), 3).keys.shape == (2, 0)
    index.train(X)
    index.add(np.empty(0, int), np.empty((0, DIM)))
    assert index.search(QUERIES, 3).keys.shape == (30, 0)
    index.add([-5], X[:1])
    assert index.search(QUERIES, 3).keys.tolist() == [[-5]] * 30
    index.remove([-5])
    assert index.search(QUERIES, 3).keys.shape == (30, 0)
    assert index.search(np.empty((0, DIM)), 3).keys.shape == (0, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_index("ivf", bits=8), "n_lists, effort"),
        (lambda: make_index("auto"), "n_items"),
        (lambda: make_index("codes", metric="euclidean"), "'cosine', 'inner'"),
        (lambda: make_index("codes", rerank="x"), "rerank"),
        (lambda: make_index("codes", bits=12), "multiple of 8"),
        (lambda: make_index("codes4", quantizer=Quantizer(8).fit(X[:50])), "words of 4 bits"),
        (lambda: make_index("pq").add([1], X[:1]), "at least 256"),
        (lambda: make_index("binary", bits=64).train(X), "fewer bits"),
        (lambda: make_index("codes").add_codes([1], [[1]]), "no quantizer"),
        (lambda: make_index("hnsw").write(Path("x")), "learned nothing"),
        (lambda: make_index("hnsw").add([1, 1], X[:2]), "more than one row"),
        (lambda: make_index("ivf").train(X[:0]), "at least one row"),
    ],
)
def test_wrong_input_is_named(call: Any, message: str):
    with pytest.raises(InputError, match=message):
        call()


def test_unknown_kinds_and_damaged_files(tmp_path: Path):
    with pytest.raises(NotFoundError, match="hnsw"):
        make_index("hnws")
    index = make_index("ivf", n_lists=3)
    index.add(np.arange(50), X[:50])
    path = tmp_path / "index"
    index.write(path)
    with pytest.raises(StorageError, match="metric"):
        read_index(path, metric="inner")
    content = path.read_bytes()
    for damaged in (content[:-300], content[:200], b"", content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(StorageError):
            read_index(path)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_sequence_of_changes_keeps_the_keys(data: st.DataObject):
    """The kinds that take rows out, leave tombstones, or pack codes in blocks of 32."""
    kind = data.draw(st.sampled_from(["ivf", "hnsw", "codes4"]))
    index = make_index(kind, **({"n_lists": 4} if kind == "ivf" else {}))
    index.train(X[:60])
    model: set[int] = set()
    for _ in range(data.draw(st.integers(1, 5))):
        new = sorted(data.draw(st.sets(st.integers(0, 80), max_size=50)) - model)
        index.add(new, X[new].reshape(-1, DIM))
        model |= set(new)
        gone = data.draw(st.lists(st.integers(0, 80), max_size=30))
        assert index.remove(gone) == len(model & set(gone))
        model -= set(gone)
        if data.draw(st.booleans()):
            index = index.compacted()
    found = index.search(QUERIES[:2], 100).keys
    assert [set(row) for row in found.tolist()] == [model] * 2


def test_exact_is_the_default():
    assert isinstance(make_index(), ExactIndex)
    assert faiss.__version__


@pytest.mark.parametrize("kind", ["exact", "ivf", "hnsw", "codes4"])
def test_an_array_that_cannot_change_is_looked_up_once_and_forgotten_with_a_change(kind):
    index = make_index(kind, **WHOLE[kind])
    index.add(np.arange(N), X)
    allowed = np.arange(0, N, 2)
    allowed.setflags(write=False)
    first = index.search(QUERIES, 5, allowed=allowed)
    again = index.search(QUERIES, 5, allowed=allowed)
    np.testing.assert_array_equal(again.keys, first.keys)
    index.remove(first.keys[:, 0])
    after = index.search(QUERIES, 5, allowed=allowed)
    assert not np.isin(after.keys, first.keys[:, 0]).any() and (after.keys % 2 == 0).all()

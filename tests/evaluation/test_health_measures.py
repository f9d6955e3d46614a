"""Each measure of an inspection against a naive loop, a closed form, scikit-learn or a plant."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy.stats import skew
from sklearn.neighbors import NearestNeighbors

from commonspace.evaluation.health.gap import measure_gap
from commonspace.evaluation.health.neighbours import Neighbours, nearest, shares_label, votes
from commonspace.evaluation.health.pairs import check_pairs, unit
from commonspace.evaluation.health.reliability import count_pairs, measure_calibration
from commonspace.evaluation.health.retrieval import measure_confusion, measure_hubness
from commonspace.evaluation.health.spread import (
    effective_rank,
    measure_spread,
    participation_ratio,
)
from commonspace.evaluation.health.suspects import find_suspects, mates, score_labels

from .slow import cosine

CLASSES = ("a", "b", "c", "d")
MEMORY = 1 << 20


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def vectors(rng, n, dim=6):
    return rng.normal(size=(n, dim)).astype(np.float32)


def single(rng, n, n_classes=4):
    return np.eye(n_classes, dtype=np.float32)[rng.integers(0, n_classes, n)]


def several(rng, n, n_classes=4):
    return (rng.random((n, n_classes)) < 0.4).astype(np.float32)


@pytest.mark.parametrize("memory", [1, MEMORY])
@pytest.mark.parametrize("within", [False, True])
def test_neighbours_are_those_of_scikit_learn(rng, memory, within):
    z = vectors(rng, 40)
    w = z if within else vectors(rng, 30)
    found = nearest(z, w, k=5, exclude_self=within, memory=memory)
    model = NearestNeighbors(n_neighbors=5 + within, metric="cosine").fit(w)
    far, at = model.kneighbors(z)
    np.testing.assert_array_equal(found.at, at[:, int(within) :])
    np.testing.assert_allclose(found.similarity, 1 - far[:, int(within) :], atol=1e-6)


def test_memory_is_bounded(rng):
    z, w = vectors(rng, 300), vectors(rng, 20_000)  # all pairs would take 48 MB
    y, g = single(rng, 300), single(rng, 20_000)
    tracemalloc.start()
    nearest(z, w, k=5, memory=4 * MEMORY)
    labels = {"metric": "cosine", "span": (-1, 1), "shared": True, "memory": 4 * MEMORY}
    count_pairs(z, w, y, g, **labels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6 * MEMORY


def test_there_are_no_more_neighbours_than_items(rng):
    z = vectors(rng, 4)
    assert nearest(z, z[:3], k=10).at.shape == (4, 3)
    assert nearest(z, z, k=10, exclude_self=True).at.shape == (4, 3)
    assert nearest(z[:1], z[:1], k=10, exclude_self=True).at.shape == (1, 0)


def test_a_mate_leaves_the_list_and_others_lose_their_last():
    near = Neighbours(np.array([[5, 7, 9], [5, 7, 9]]), np.array([[0.3, 0.2, 0.1]] * 2))
    left = near.without(np.array([7, -1]))
    assert left.at.tolist() == [[5, 9], [5, 7]]
    assert left.similarity.tolist() == [[0.3, 0.1], [0.3, 0.2]]


def test_votes_and_shared_labels_are_plain_loops(rng):
    y, g = several(rng, 12), several(rng, 20)
    near = nearest(vectors(rng, 12), vectors(rng, 20), k=4)
    for i, row in enumerate(near.at):
        np.testing.assert_allclose(votes(near, g)[i], g[row].mean(axis=0), rtol=1e-6)
        assert shares_label(near, y, g)[i].tolist() == [bool((y[i] * g[j]).any()) for j in row]


def test_ranks_have_their_closed_forms(rng):
    assert effective_rank(np.ones(7)) == pytest.approx(7)
    assert participation_ratio(np.array([3.0, 1.0])) == pytest.approx(16 / 10)
    assert effective_rank(np.zeros(3)) == participation_ratio(np.zeros(3)) == 0
    z = np.concatenate([np.eye(6), -np.eye(6)]).astype(np.float32)
    spread = measure_spread(z, single(rng, 12), nearest(z, z, k=3, exclude_self=True))
    assert [spread.effective_rank, spread.participation] == pytest.approx([6, 6])
    assert spread.concentration == pytest.approx(0) and spread.constant == 0


def test_spread_is_that_of_numpy(rng):
    u, y = unit(vectors(rng, 50) + 1), single(rng, 50)
    spread = measure_spread(u, y, nearest(u, u, k=3, exclude_self=True))
    values = np.linalg.eigvalsh(np.cov(u.astype(np.float64).T, bias=True))
    shares = values / values.sum()
    assert spread.effective_rank == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert spread.participation == pytest.approx(values.sum() ** 2 / (values**2).sum())
    assert spread.concentration == pytest.approx(float(np.mean(cosine(u, u))), abs=1e-6)


def test_collapse_shows_in_every_number(rng):
    y = single(rng, 40)
    one = np.tile(unit(vectors(rng, 1)), (40, 1))
    spread = measure_spread(one, y, nearest(one, one, k=5, exclude_self=True))
    assert spread.concentration == pytest.approx(1, abs=1e-5) and spread.constant == 1
    assert spread.effective_rank == spread.class_rank == 0 and spread.twins == 1
    assert 0.5 < spread.merged < 1
    flat = np.eye(4, 8, dtype=np.float32)[y.argmax(axis=1)]
    flat[:2] = 0
    spread = measure_spread(flat, y, nearest(flat, flat, k=5, exclude_self=True))
    assert spread.n_zero == 2 and spread.constant == 0.5 and spread.merged == 0
    assert spread.class_rank == pytest.approx(3, abs=0.3)


def test_a_gap_is_the_distance_that_was_planted_and_classes_make_none(rng):
    y, w = single(rng, 300), np.eye(4, dtype=np.float32)[rng.choice(4, 200, p=[0.7, 0.1, 0.1, 0.1])]
    a = np.pad(3 * y + 0.1 * rng.normal(size=y.shape), ((0, 0), (0, 2))).astype(np.float32)
    b = np.pad(3 * w + 0.1 * rng.normal(size=w.shape), ((0, 0), (0, 2))).astype(np.float32)
    same = measure_gap(a, y, b, w)
    assert same.p > 0.01 and same.distance < 2 * same.expected and same.share < 0.01
    assert abs(same.separable - 0.5) < 0.2
    b[:, 4] += 2
    moved = measure_gap(a, y, b, w)
    assert moved.distance == pytest.approx(2, abs=0.05) and moved.p == pytest.approx(0.01)
    assert moved.separable == 1
    squares = ((a[:, None] - b[None]) ** 2).sum(axis=2).mean()
    assert moved.share == pytest.approx(moved.distance**2 / squares, rel=1e-3)


@pytest.mark.parametrize("labels", [single, several])
@pytest.mark.parametrize("within", [False, True])
def test_confusions_are_plain_loops(rng, labels, within):
    z, y = vectors(rng, 30), labels(rng, 30)
    w, g = (z, y) if within else (vectors(rng, 25), labels(rng, 25))
    near = nearest(z, w, k=4, exclude_self=within)
    found = measure_confusion(near, y, g, CLASSES, exclude_self=within, memory=MEMORY)
    matrix, agree = np.zeros((4, 4)), []
    for i in range(30):
        for j in near.at[i]:
            agree.append((y[i] * g[j]).any())
            for p in range(4):
                for q in range(4):
                    wrong = p != q and not agree[-1]
                    matrix[p, q] += y[i, p] * g[j, q] * (p == q or wrong)
    matrix /= np.maximum(4 * y.sum(axis=0), 1)[:, None]
    np.testing.assert_allclose(found.matrix, matrix)
    assert found.agreement == pytest.approx(np.mean(agree))
    pairs = [(y[i] * g[j]).any() for i in range(30) for j in range(len(g)) if i != j or not within]
    assert found.chance == pytest.approx(np.mean(pairs))
    q, f, share = found.pairs[0]
    np.fill_diagonal(matrix, 0)
    assert share == pytest.approx(matrix.max()) == matrix[CLASSES.index(q), CLASSES.index(f)]


def test_classes_that_nobody_finds_are_named(rng):
    z = np.array([[1, 0], [0, 1]], dtype=np.float32)
    y = np.eye(3, dtype=np.float32)[[0, 1]]
    w = np.array([[1, 0], [0, 1]] + 6 * [[-1, -1]], dtype=np.float32)
    g = np.eye(3, dtype=np.float32)[[0, 1, 2, 2, 2, 2, 2, 2]]
    near = nearest(z, w, k=1)
    found = measure_confusion(near, y, g, tuple("abc"), exclude_self=False, memory=1)
    assert found.unseen == ("c",) and found.agreement == 1 and found.lift == 1
    assert found.n_frequent == found.n_frequent_unseen == 1


@pytest.mark.parametrize("labels", [single, several])
def test_hubness_is_a_plain_count(rng, labels):
    y, g, items = labels(rng, 40), labels(rng, 25), np.array([f"i{j}" for j in range(25)])
    near = nearest(vectors(rng, 40), vectors(rng, 25), k=3)
    found = measure_hubness(near, y, g, items)
    counts = np.array([(near.at == j).sum() for j in range(25)])
    np.testing.assert_array_equal(found.counts, counts)
    assert found.skew == pytest.approx(skew(counts))
    assert found.never == np.mean(counts == 0) and found.largest == counts.max() / 40
    room = [sum((row * item).any() for item in g) for row in y]  # past it none is a mistake
    reach = []
    for j in range(25):
        others = [i for i in range(40) if not (y[i] * g[j]).any()]
        reach.append(sum(j in near.at[i][: room[i]] for i in others) / max(1, len(others)))
    assert found.reach == pytest.approx(max(reach))
    assert found.reach_item == f"i{int(np.argmax(reach))}"


def test_calibration_is_a_plain_histogram(rng):
    q, p = rng.dirichlet(np.ones(3), 60), rng.dirichlet(np.ones(3), 80)
    y = np.eye(3, dtype=np.float32)[[rng.choice(3, p=row) for row in q]]
    g = np.eye(3, dtype=np.float32)[[rng.choice(3, p=row) for row in p]]
    z, w = q.astype(np.float32), p.astype(np.float32)
    found = measure_calibration(z, w, y, g, probabilities=None, memory=1)
    score, outcome = (z @ w.T).ravel(), (y @ g.T).ravel()
    at = np.minimum((score * 15).astype(int), 14)
    error = sum(
        abs(score[at == b].mean() - outcome[at == b].mean()) * (at == b).mean() for b in set(at)
    )
    assert found.claimed.error == pytest.approx(error, abs=2e-3)
    brier = np.mean((score - outcome) ** 2)
    assert found.claimed.skill == pytest.approx(1 - brier / outcome.var(), abs=1e-3)
    assert found.claimed.pairs.sum() == 60 * 80
    assert 0 < found.fitted.skill < 1
    twice = measure_calibration(2 * z, w, y, g, probabilities=True, memory=MEMORY)
    assert twice.claimed.error > 3 * found.claimed.error
    assert twice.fitted.error == pytest.approx(found.fitted.error)  # cosine does not know lengths
    assert measure_calibration(-z, w, y, g, probabilities=None, memory=1).claimed is None
    assert measure_calibration(z, w, y, g, probabilities=False, memory=1).claimed is None
    unit_length = measure_calibration(unit(z), unit(w), y, g, probabilities=None, memory=1)
    assert unit_length.claimed is None


def test_several_labels_are_counted_where_the_space_claims_their_number(rng):
    y = several(rng, 30)
    found = measure_calibration(y, y[::-1].copy(), y, y[::-1], probabilities=True, memory=MEMORY)
    assert found.claimed.error == pytest.approx(0, abs=1e-6)
    assert found.claimed.skill == pytest.approx(1)
    halves = count_pairs(
        y, y, y, y, metric="inner", span=(-1, 5), shared=True, memory=MEMORY
    ).n.sum(axis=1)
    assert halves.tolist() == [450, 450]


def test_labels_are_scored_as_a_hand_worked_case():
    share = np.array([[0.1, 0.7, 0.2], [0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.2, 0.2, 0.6]])
    y = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0]], dtype=np.float32)
    items, known = np.array(list("wxyz")), np.ones(4, bool)
    found = score_labels(share, y, items, np.arange(4), known=known)
    np.testing.assert_allclose(found.score[0], (2 * 0.9 + 0.7) / 3)
    np.testing.assert_allclose(found.score[1], (2 * 0.1 + 0.1) / 3)
    np.testing.assert_allclose(found.score[2], (2 * (1 - 0.45) + 0.1) / 3)
    np.testing.assert_allclose(found.score[3], (2 * 0.6 + 0.6) / 3)  # of none, votes for one
    assert found.doubtful.tolist() == [0, 0, 1, -1] and found.suggested.tolist() == [1, 1, 2, 2]
    first = found.table(("a", "b", "c"), 1)[0]
    assert first["item"] == "w" and (first["label"], first["suggested"]) == ("a", "b")
    everything = score_labels(share, np.ones_like(y), items, np.arange(4), known=~known)
    assert everything.suggested.tolist() == [-1] * 4 and (everything.score == 0.5).all()


def test_rows_of_one_item_pool_their_votes_and_never_vote_for_themselves():
    """Of four items the first is labelled wrong in both modalities, and a is blind to classes."""
    y = np.eye(2, dtype=np.float32)[[1, 0, 0, 0, 1, 1, 1]]
    z = {"a": np.ones((7, 2), np.float32), "b": np.eye(2, dtype=np.float32)[[0, 0, 0, 0, 1, 1, 1]]}
    items = {name: np.array(list("pqrstuv")) for name in z}
    near, lifts = {}, {}
    for one in z:
        for two in z:
            found = nearest(z[one], z[two], k=3 + (one != two), exclude_self=one == two)
            own = mates(items[one], items[two])
            near[one, two] = found if one == two else found.without(own)
            assert one == two or not (near[one, two].at == own[:, None]).any()
            lifts[one, two] = 1.0 if one == two == "b" else 0.0
    rows = dict.fromkeys(z, np.arange(7))
    suspects = find_suspects(near, dict.fromkeys(z, y), items, rows, lifts)
    for found in suspects.values():
        assert found.ranked(1).tolist() == [0] and found.score[0] > 0.9
        assert found.score[1:].max() < 0.5


def test_pairs_are_plain_loops_and_conflicts_are_counted(rng):
    y, g = single(rng, 12), single(rng, 15)
    z, w = vectors(rng, 12) + 1, vectors(rng, 15) + 1
    items, others = np.array(list("abcdefghijkl")), np.array(list("zyxlkjihgfedcba"))
    found = check_pairs(z, w, y, g, items, others, memory=1)
    sims = cosine(z, w)
    for at, item in enumerate(found.items):
        i, j = list(items).index(item), list(others).index(item)
        forth = [sims[i, n] for n in range(15) if (y[i] * g[n]).any() and n != j]
        back = [sims[n, j] for n in range(12) if (g[j] * y[n]).any() and n != i]
        expected = max((np.mean(forth or [0]) + np.mean(back or [0])) / 2, 0.05)
        score = 1 - np.clip(sims[i, j] / expected, 0, 2) / 2
        score = score if (y[i] * g[j]).any() else (1 + score) / 2
        assert found.score[at] == pytest.approx(score, abs=1e-6)
    assert len(found.items) == 12 and 0 < found.conflicts < 1
    none = check_pairs(z, w, y, g, items, np.char.upper(others), memory=1)
    assert len(none.items) == 0 and none.flagged == none.conflicts == 0

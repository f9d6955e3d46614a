"""Lists ranked otherwise than by cosine alone, against loops and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from commonspace.data import Dataset
from commonspace.errors import InputError, NotFoundError, StorageError
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.matching import MatchCalibration, rising
from commonspace.store.ranking import NONE, blend, fused

DIM = 8
KINDS = ("audio", "image", "text")


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).standard_normal((90, DIM)).astype(np.float32)


@pytest.fixture
def col(tmp_path, x):
    with Collection.create(tmp_path / "col", space=Space.create(DIM)) as items:
        for at, kind in enumerate(KINDS):
            payloads = [{"n": n, "words": f"w{n % 3} {kind}"} for n in range(at, 90, 3)]
            items.add(range(at, 90, 3), x[at::3], modality=kind, payloads=payloads)
        yield items


# Cosines and the log-odds at each.
CURVES = {
    ("text", "audio"): (np.array([-0.5, 1.0]), np.array([-6.0, 6.0])),
    ("text", "image"): (np.array([-1.0, 0.5]), np.array([-2.2, 0.4])),
    ("text", "text"): (np.array([0.0]), np.array([-0.8])),
}


def matched(x, queries):
    """Ids and probabilities by a loop: by probability, then cosine."""
    lists = []
    for query in queries:
        scored = []
        for row in range(len(x)):
            cosine = float(unit(x[row].astype(np.float64)) @ unit(query.astype(np.float64)))
            x_of, odds = CURVES["text", KINDS[row % 3]]
            found = np.interp(-math.acos(cosine), [-math.acos(at) for at in x_of], odds)
            scored.append((-1 / (1 + math.exp(-found)), -cosine, str(row)))
        lists.append([(row, -p) for p, _, row in sorted(scored)])
    return lists


def test_lists_go_by_match_probability(col, x):
    queries = np.random.default_rng(1).standard_normal((4, DIM)).astype(np.float32)
    plain = col.search(queries, k=12)
    col.calibrate(MatchCalibration(CURVES))
    expected = matched(x, queries)
    hits = col.search(queries, k=12, query_modality="text")
    assert hits.ids.tolist() == [[row for row, _ in one[:12]] for one in expected]
    np.testing.assert_allclose(hits.scores, [[p for _, p in one[:12]] for one in expected], 1e-5)
    unasked = col.search(queries, k=12), col.search(queries, 12, query_modality="text", match=False)
    assert all(found.ids.tolist() == plain.ids.tolist() for found in unasked)
    pages = [col.search(queries, k=4, offset=at, query_modality="text").ids for at in (0, 4, 8)]
    assert np.hstack(pages).tolist() == hits.ids.tolist()
    for line in (0.35, 0.55, 0.99):
        found = col.search(queries, None, query_modality="text", at_least=line)
        lists = [[hit["id"] for hit in rows] for rows in found.rows()]
        assert lists == [[row for row, p in one if p >= line] for one in expected]
        assert found.found.sum() == sum(map(len, lists))
        few = col.search(queries, 3, offset=1, query_modality="text", at_least=line)
        assert [[h["id"] for h in rows] for rows in few.rows()] == [one[1:4] for one in lists]


def test_hits_say_what_their_scores_are(col, x):
    asked = {"query_modality": "text"}

    def measures(**more):
        return col.search(x[:1], **more).measure

    assert measures() == measures(**asked) == measures(per_modality=2, **asked) == "cosine"
    col.calibrate(MatchCalibration(CURVES))
    assert measures() == measures(match=False, **asked) == measures(per_modality=2) == "cosine"
    for more in ({}, {"offset": 50}, {"per_modality": 2}, {"modality": "image"}):
        assert measures(**asked, **more) == "match"
    assert measures(k=None, at_least=0.5, **asked) == "match"
    assert measures(query_modality="image") == "cosine"  # from which nothing was measured
    assert measures(text="w1", **asked) == measures(text="nowhere") == "fusion"
    assert col.search_text("w1").measure == col.search_text("nowhere").measure == "bm25"
    assert col.search_like([("text", "2")], k=3).measure == "cosine"


def test_searches_without_a_calibration_are_refused_where_it_is_insisted_on(col, x):
    col.search(x[:1], query_modality="text")
    with pytest.raises(InputError, match="no calibration from 'text' to all of 'audio', 'image'"):
        col.search(x[:1], query_modality="text", match=True)
    with pytest.raises(InputError, match="query_modality: name what the queries are"):
        col.search(x[:1], at_least=0.5)
    for wrong, message in (
        ({"k": None}, "None .all. goes with at_least"),
        ({"offset": -1}, "offset"),
        ({"at_least": 1.5}, "at_least"),
        ({"at_least": 0.5, "text": "a"}, "Ask twice"),
        ({"per_modality": 2, "text": "a"}, "Ask once a modality"),
    ):
        with pytest.raises(InputError, match=message):
            col.search(x[:1], **wrong)


def test_so_many_of_each_modality(col, x):
    hits = col.search(x[:5], per_modality=4)
    for query in range(5):
        for kind in KINDS:
            of = hits.modalities[query] == kind
            alone = col.search(x[query : query + 1], k=4, modality=kind)
            assert hits.ids[query][of].tolist() == alone.ids[0].tolist()
    assert (np.diff(hits.scores, axis=1) <= 0).all() and hits.ids.shape == (5, 12)
    after = col.search(x[:5], per_modality=4, offset=4, modality=["text", "image"])
    alone = col.search(x[:1], k=8, modality="image").ids[0, 4:]
    assert after.ids[0][after.modalities[0] == "image"].tolist() == alone.tolist()


def test_pages_follow_one_another(col, x):
    whole = col.search(x[:3], k=90)
    pages = [col.search(x[:3], k=20, offset=at).ids for at in range(0, 120, 20)]
    assert np.hstack(pages).tolist() == whole.ids.tolist()


def test_reciprocal_ranks_by_hand():
    found = fused([np.array([[7, 8, 9], [1, 2, NONE]]), np.array([[9, 5], [2, 3]])])
    # 9: 1/63 + 1/61; 7: 1/61; then 8 and 5, both 1/62, the older first.
    assert found.keys[0, :4].tolist() == [9, 7, 5, 8]
    np.testing.assert_allclose(found.scores[0, :2], [1 / 63 + 1 / 61, 1 / 61])
    assert found.keys[1].tolist() == [2, 1, 3, NONE, NONE]
    assert found.scores[1, 3] == -np.inf


def test_words_and_vectors_are_fused(col, x):
    by_words = col.search_text("w1 image", k=100).ids[0].tolist()
    by_vector = col.search(x[4:6], k=100).ids.tolist()
    hits = col.search(x[4:6], k=90, text="w1 image")
    for query in range(2):
        scores = {}
        for ranked in (by_words, by_vector[query]):
            for rank, name in enumerate(ranked, start=1):
                scores[name] = scores.get(name, 0) + 1 / (60 + rank)
        best = sorted(scores, key=lambda name: -scores[name])
        got = hits.ids[query].tolist()
        np.testing.assert_allclose(hits.scores[query], [scores[n] for n in best], rtol=1e-5)
        assert sorted(got) == sorted(best) and got[:3] == best[:3]
    limited = col.search(x[4:5], k=90, text="w1", where={"n": {"lt": 10}}, modality="text")
    assert set(limited.ids[0].tolist()) == {"2", "5", "8"}
    assert col.search(x[:1], k=3, text="nothing of this").ids.shape == (1, 3)


@pytest.mark.parametrize("weights", [None, [2.0, 0.5, 1.0], [1.0, -0.7, 1.0]])
def test_examples_of_several_modalities_at_once(col, x, weights):
    examples = [("audio", "3"), ("image", "4"), ("text", "5")]
    share = np.ones(3) if weights is None else np.array(weights)
    cosines = unit(x.astype(np.float64)) @ unit(x[[3, 4, 5]].astype(np.float64)).T
    order = [str(row) for row in np.argsort(-(cosines @ share)) if row not in (3, 4, 5)]
    hits = col.search_like(examples, k=20, weights=weights)
    assert hits.ids[0].tolist() == order[:20]
    second = col.search_like(examples, k=20, offset=20, weights=weights)
    assert second.ids[0].tolist() == order[20:40]
    each = col.search_like(examples, per_modality=2, weights=weights)
    assert sorted(each.modalities[0].tolist()) == sorted(2 * KINDS)
    assert not set(each.ids[0].tolist()) & {"3", "4", "5"}


def test_wrong_examples_are_named(col, x):
    with pytest.raises(InputError, match="at least one item"):
        col.search_like([])
    with pytest.raises(NotFoundError, match="no item 'none' of modality 'text'"):
        col.search_like([("text", "none")])
    with pytest.raises(InputError, match="expected 1 finite numbers"):
        col.search_like([("text", "5")], weights=[1, 2])
    with pytest.raises(InputError, match="cancel out"):
        blend(np.stack([x[0], -2 * x[0]]))


def test_an_empty_collection_answers_nothing(tmp_path, x):
    with Collection.create(tmp_path / "none", space=Space.create(DIM)) as items:
        assert items.search(x[:2], per_modality=3).ids.shape == (2, 0)
        assert items.search(x[:2], text="word").ids.shape == (2, 0)
        assert items.search(x[:2], offset=3).ids.shape == (2, 0)


# ---------------------------------------------------------------- calibration


class Identity:
    def transform(self, modality, x):
        return x


def test_log_odds_that_are_a_line_are_found():
    angles = np.linspace(0.05, 3.1, 200)
    truth = 2.0 - 3.0 * angles  # of the log-odds
    shares = 1 / (1 + np.exp(-truth))
    x, y = rising(np.cos(angles)[::-1], shares[::-1], np.full(200, 1e6))
    assert x[0] == -1 and x[-1] == 1 and len(x) <= 17
    np.testing.assert_allclose(y, 2.0 - 3.0 * np.arccos(x), atol=0.05)


@pytest.mark.parametrize(
    "shares",
    [[0.0, 0.0, 1.0, 1.0], [0.9, 0.4, 0.4, 0.1], [0.0] * 4, [1.0] * 4],
    ids=["apart", "falling", "never", "always"],
)
def test_the_more_similar_is_always_the_more_probable(shares):
    weights = np.array([50.0, 10.0, 10.0, 30.0])
    curve = rising(np.array([-0.2, 0.3, 0.31, 0.9]), np.array(shares), weights)
    p = MatchCalibration({("a", "b"): curve}).probability("a", "b", np.linspace(-1, 1, 500))
    assert (np.diff(p) > 0).all() and 0 < p[0] and p[-1] < 1
    assert abs(np.average(p[[200, 325, 327, 474]], weights=weights) - weights @ shares / 100) < 0.02


def test_one_group_of_pairs_is_enough():
    x, y = rising(np.array([0.5]), np.array([0.25]), np.array([400.0]))
    at = MatchCalibration({("a", "b"): (x, y)}).probability("a", "b", np.array([0.5]))
    np.testing.assert_allclose(at, 0.25, atol=0.005)


def drawn(seed):
    rng, centres = np.random.default_rng(seed), np.eye(3, DIM)[np.arange(600) % 3]
    spread = {"text": 0.15, "image": 0.3, "audio": 0.45}
    noise = {name: rng.standard_normal((600, DIM)) for name in spread}
    return {k: (centres + s * noise[k]).astype(np.float32) for k, s in spread.items()}


def test_probabilities_are_what_is_observed(col):
    labels, fresh = np.arange(600) % 3, drawn(1)
    learned = MatchCalibration.fit(Identity(), Dataset.from_arrays(drawn(0), labels))
    again = MatchCalibration.from_dict(learned.to_dict())
    col.calibrate(again)
    assert col.calibration.to_dict() == learned.to_dict()
    for query, item in (("text", "text"), ("text", "audio"), ("image", "text")):
        cosines = unit(fresh[query]) @ unit(fresh[item]).T
        match = (labels[:, None] == labels) & ~np.eye(600, dtype=bool)
        p = again.probability(query, item, cosines)
        assert p.min() >= 0 and p.max() <= 1
        for low, high in ((0, 0.3), (0.3, 0.6), (0.6, 1.01)):
            inside = (p >= low) & (p < high)
            if inside.sum() > 2000:
                assert abs(p[inside].mean() - match[inside].mean()) < 0.06
    col.calibrate(None)
    assert col.calibration is None


def test_a_calibration_of_an_older_version_is_told_from_a_damaged_one():
    entry = {"query": "text", "item": "image", "cosine": [-1.0, 1.0]}
    with pytest.raises(StorageError, match=r"of an older commonspace.* --calibrate SPLIT"):
        MatchCalibration.from_dict({"curves": [{**entry, "probability": [0.1, 0.9]}]})
    for damaged in ({"curves": [entry]}, {"curves": [3]}, {}, None):
        with pytest.raises(StorageError, match=r"is damaged.* --calibrate SPLIT"):
            MatchCalibration.from_dict(damaged)


def test_a_calibration_needs_labels_and_whole_numbers():
    rows = np.eye(5, DIM, dtype=np.float32)
    data = Dataset.from_arrays({"text": rows}, np.array([0, 1, -1, -1, -1]))
    with pytest.raises(InputError, match="'text': calibration needs 4 rows"):
        MatchCalibration.fit(Identity(), data)
    with pytest.raises(StorageError, match=r"calibration is damaged.*index MODEL DATA"):
        MatchCalibration.from_dict({"curves": [{"query": "a"}]})

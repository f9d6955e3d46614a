"""Search options and retrained encoders on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import TINY, ran, run

from commonspace.benchmarks import filters, mixed, versions
from commonspace.methods import Ridge
from commonspace.store import wish
from commonspace.store.collection import Collection


@pytest.fixture(scope="module")
def calibrated(shop, tmp_path_factory):
    out = tmp_path_factory.mktemp("calibrated") / "col"
    options = ("--calibrate", "test", "--field", "split")
    ran("index", shop.model, shop.data, "--out", out, *options)
    return out


def found(col, *options):
    return ran("search", col, *options)["hits"]


def test_lists_by_match_probability(calibrated):
    with Collection.open(calibrated, read_only=True) as items:
        assert items.indexed_fields == ['$."split"'] and items.calibration is not None
        vector = items.vectors(["0"], "text")
        best = items.search(vector, k=5, query_modality="text")
    by_match = found(calibrated, "--item", "text:0", "-k", 5)
    assert [hit["score"] for hit in by_match] == pytest.approx(best.scores[0].tolist())
    assert all(0 <= hit["score"] <= 1 for hit in by_match)
    by_cosine = found(calibrated, "--item", "text:0", "-k", 5, "--cosine")
    assert by_cosine[0]["id"] == "0" and by_cosine[0]["score"] == pytest.approx(1, abs=1e-5)
    options = ("--item", "text:0"), ("--item", "text:0", "--cosine"), ("--lexical", "test")
    assert [ran("search", calibrated, *one)["measure"] for one in options] == [
        "match",
        "cosine",
        "bm25",
    ]
    likely = found(calibrated, "--item", "text:0", "--at-least", 0.0)
    with Collection.open(calibrated, read_only=True) as items:
        assert len(likely) == len(items)


def test_pages_each_and_examples(calibrated):
    whole = found(calibrated, "--item", "text:0", "-k", 6)
    later = found(calibrated, "--item", "text:0", "-k", 3, "--offset", 3)
    assert whole[3:] == later
    each = found(calibrated, "--item", "text:0", "--each", 2)
    assert sorted(hit["modality"] for hit in each) == ["image", "image", "text", "text"]
    pair = ("--item", "text:0", "--item", "image:0", "--weight", 1, "--weight", 0.5)
    both = found(calibrated, *pair, "-k", 4)
    ids = {(hit["modality"], hit["id"]) for hit in both}
    assert len(both) == 4 and not ids & {("text", "0"), ("image", "0")}
    fused = found(calibrated, "--item", "text:0", "--lexical", "test", "-k", 2)
    assert 1 / 61 < fused[0]["score"] <= 2 / 61 + 1e-6
    either = '{"$or": [{"split": "train"}, {"$not": {"split": "train"}}]}'
    assert len(found(calibrated, "--item", "text:0", "-k", 500, "--where", either)) > 6
    none = found(
        calibrated, "--item", "text:0", "--where", '{"$not": {"split": ["train", "test"]}}'
    )
    assert {hit["payload"]["split"] for hit in none} <= {"valid"}
    wrong = run("search", calibrated, "--item", "text:0", "--where", '{"$or": ')
    assert wrong.code == 2 and "--where" in wrong.err
    wrong = run("search", calibrated, "--item", "text:0", "--weight", 1, "--weight", 2)
    assert wrong.code == 2 and "expected 1 finite numbers" in wrong.err


def test_a_retrained_encoder_goes_on_and_brings_up_what_is_stale(shop, tmp_path):
    ran("index", shop.model, shop.data, "--out", tmp_path / "col")
    options = ("--modalities", "image,text", "--seed", 9, *TINY)
    assert run("train", shop.data, "--out", tmp_path / "other", *options).code == 0
    index = ("index", tmp_path / "other", shop.data, "--out", tmp_path / "col")
    kept = ran(*index)
    assert kept["added"] == 0 and sum(kept["stale"].values()) == kept["items"]
    assert "older encoders" in run(*index).out.replace("\n", " ")
    again = ran(*index, "--restale")
    assert again["stale"] == {} and again["reencoded"] == again["modalities"]


class _Fast:
    @staticmethod
    def fast(*, dim: int, random_state: int, space=None) -> Ridge:
        return Ridge(dim=dim)


@pytest.fixture
def tiny(monkeypatch, splits, tmp_path):
    for module in (mixed, versions):
        monkeypatch.setattr(module, "SDML", _Fast)
    monkeypatch.setattr("commonspace.benchmarks.search.SDML", _Fast)
    monkeypatch.setattr(wish, "LEAST_ITEMS", 20)
    splits.save(tmp_path / "tiny")
    return tmp_path / "tiny"


def test_versions_mixed_lists_and_filters_are_measured(tiny):
    one = ran("bench", "versions", "--set", tiny, "--dim", 8)["rows"][0]
    assert one["new_asks_old"] == pytest.approx(one["same"])  # Ridge has no random state
    rows = ran("bench", "mixed", "--set", tiny, "--dim", 8)["rows"]
    assert [row["ranked_by"] for row in rows] == ["cosine", "match"]
    assert all(0 <= row["unfair"] <= 1 and 0 <= row["ece"] <= 1 for row in rows)
    options = ("--items", 1000, "--dim", 8, "--queries", 10, "--kind", "exact", "--kind", "ivf")
    rows = ran("bench", "filters", "--set", tiny, *options)["rows"]
    assert [row["share"] for row in rows] == [0.01, 0.1, 0.5, 1.0] * 2
    assert all(row["recall"] >= 0.95 for row in rows[:7])
    assert filters.KINDS.keys() >= {"exact", "ivf", "hnsw"}


def test_expected_error_by_hand():
    p, outcome = np.array([0.05, 0.05, 0.9, 0.9]), np.array([False, True, True, True])
    # bin of 0.05: |0.1 - 1| of the sums; bin of 0.9: |1.8 - 2|; over four pairs.
    assert mixed.expected_error(p, outcome) == pytest.approx((0.9 + 0.2) / 4)

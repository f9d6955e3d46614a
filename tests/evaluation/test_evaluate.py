import json
import subprocess
import sys

import numpy as np
import pytest

from commonspace.errors import InputError, NotFoundError
from commonspace.evaluation import Protocol, Report, chance, evaluate, score_vectors

from .slow import Data, Identity, all_orders_ap, table


def make(seed=0, n=(40, 50, 30), multi=False, unknown=False):
    rng = np.random.default_rng(seed)
    tables = {}
    for name, count in zip(("image", "text", "audio"), n, strict=True):
        labels = (
            (rng.random((count, 4)) < 0.4).astype(float) if multi else rng.integers(0, 4, count)
        )
        if unknown:
            labels[::7] = np.nan if multi else -1
        tables[name] = table(rng.standard_normal((count, 6)), labels, 4)
    return Data(tables, ("a", "b", "c", "d"))


def test_every_ordered_pair_of_modalities():
    data = make()
    report = evaluate(Identity(), data)
    assert len(report.scores) == 6 and ("image", "image") not in report.scores
    assert report.mean_ap == pytest.approx(np.mean([s.mean_ap for s in report.scores.values()]))
    assert report.mean_ap_within is None
    one = report["image", "text"]
    assert (one.n_queries, one.n_gallery, one.n_unlabelled) == (40, 50, 0)
    assert one.ci[0] <= one.mean_ap <= one.ci[1]
    assert one.ap.dtype == np.float64 and one.ap.shape == (40,)
    direct = score_vectors(
        data["image"].x,
        data["text"].x,
        data["image"].labels.dense(),
        data["text"].labels.dense(),
    )
    np.testing.assert_array_equal(direct.ap, one.ap)


def test_within_excludes_self_unless_kept():
    data = make()
    report = evaluate(Identity(), data, protocol=Protocol(within=True))
    kept = evaluate(Identity(), data, protocol=Protocol(within=True, keep_self=True))
    assert len(report.scores) == 9
    assert report["text", "text"].n_gallery == 49 and kept["text", "text"].n_gallery == 50
    assert report.mean_ap_within < kept.mean_ap_within
    assert report.mean_ap == kept.mean_ap
    alone = evaluate(Identity(), data, protocol=Protocol(within=True), modalities=["text"])
    assert np.isnan(alone.mean_ap) and alone.to_dict()["mean_ap"] is None


@pytest.mark.parametrize("multi", [False, True])
def test_rows_of_unknown_labels_are_left_out_and_counted(multi):
    data = make(multi=multi, unknown=True)
    report = evaluate(Identity(), data, protocol=Protocol(within=True))
    keep = {name: data[name].labels.known for name in data.modalities}
    clean = Data(
        {n: table(data[n].x[keep[n]], data[n].labels.dense()[keep[n]], 4) for n in keep},
        data.classes,
    )
    expected = evaluate(Identity(), clean, protocol=Protocol(within=True))
    for direction, score in report.scores.items():
        np.testing.assert_array_equal(score.ap, expected[direction].ap)
    assert report["image", "text"].n_unlabelled == 6 + 8
    assert report["image", "image"].n_unlabelled == 6


def test_vectors_already_made_serve_as_the_model():
    data = make(unknown=True)
    vectors = {name: data[name].x.astype(np.float64) for name in data.modalities}
    ours, theirs = evaluate(vectors, data), evaluate(Identity(), data)
    assert ours.to_dict() == theirs.to_dict()
    with pytest.raises(InputError, match="expected 40 rows"):
        evaluate(vectors | {"image": vectors["image"][:-1]}, data)
    with pytest.raises(NotFoundError, match="audio"):
        evaluate({"image": vectors["image"], "text": vectors["text"]}, data)


def test_a_gallery_of_its_own():
    queries, gallery = make(1, n=(5, 6, 7)), make(2)
    report = evaluate(Identity(), queries, gallery=gallery, protocol=Protocol(within=True))
    assert report["image", "image"].n_gallery == 40 and report["image", "text"].n_queries == 5
    with pytest.raises(InputError, match="Pass a model"):
        evaluate({}, queries, gallery=gallery)
    with pytest.raises(InputError, match="classes"):
        evaluate(Identity(), queries, gallery=Data(gallery.tables, ("a", "b", "d", "c")))


def test_overrides_and_choices_are_named():
    data = make()
    report = evaluate(Identity(), data, k=5, divide_by="found", modalities=["image", "text"])
    assert report.protocol == Protocol(k=5, divide_by="found")
    assert list(report.scores) == [("image", "text"), ("text", "image")]
    with pytest.raises(NotFoundError, match="Did you mean 'image'"):
        evaluate(Identity(), data, modalities=["imag"])
    with pytest.raises(InputError, match="at least two"):
        evaluate(Identity(), data, modalities=["image"])
    with pytest.raises(NotFoundError, match=r"image->video"):
        report["image", "video"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "folder"}, r"model: expected something with transform.* got str.*load"),
        ({"data": np.zeros((3, 2))}, "data: expected a data set with labels, got ndarray"),
        ({"protocol": "sdml"}, r"protocol: expected a Protocol, got 'sdml'.*Protocol\.sdml\(\)"),
        ({"modalities": "image"}, "modalities: expected a list of names"),
        ({"seed": -1}, "seed: expected a whole number from 0, got -1"),
        ({"seed": "a"}, "seed"),
    ],
)
def test_wrong_arguments_are_named(changes, words):
    with pytest.raises(InputError, match=words):
        evaluate(**{"model": Identity(), "data": make(), **changes})
    rest = {name: value for name, value in changes.items() if name != "model"}
    if rest:
        with pytest.raises(InputError, match=words):
            chance(**{"data": make(), **rest})


@pytest.mark.parametrize("step", [0.0, 0.5], ids=["apart", "tied"])
@pytest.mark.parametrize("divide_by", ["all", "found"])
def test_curves_at_a_cut_off_are_what_the_cut_off_gives(divide_by, step):
    data, options = make(), {"divide_by": divide_by, "n_bootstrap": 0}
    vectors = {name: np.asarray(data[name].x, np.float64) for name in data.modalities}
    if step:  # coarse vectors tie
        vectors = {name: np.round(x / step) * step for name, x in vectors.items()}
    curves = evaluate(vectors, data, cutoffs=[3, 7], **options)["image", "text"].curves
    for k, found in zip(curves.cutoffs, curves.mean_ap_at, strict=True):
        expected = evaluate(vectors, data, k=int(k), **options)["image", "text"].mean_ap
        assert found == pytest.approx(expected)


def test_no_known_labels_is_refused():
    data = make()
    data.tables["text"] = table(data["text"].x, np.full(50, -1), 4)
    with pytest.raises(InputError, match="'text': expected rows with known labels"):
        evaluate(Identity(), data)


def test_chance_is_the_expectation_of_a_random_ranking():
    data = make(3, n=(4, 8, 5))
    for protocol in (Protocol(), Protocol(k=3, divide_by="found", within=True)):
        report = chance(data, protocol=protocol)
        for (a, b), score in report.scores.items():
            ya = data[a].labels.dense().argmax(axis=1)
            yb = data[b].labels.dense().argmax(axis=1)
            for row, value in enumerate(score.ap):
                relevant = yb == ya[row]
                if a == b:
                    relevant = np.delete(relevant, row)
                flat = np.zeros(len(relevant))
                slow = all_orders_ap(flat, relevant, protocol.k, protocol.divide_by)
                assert value == pytest.approx(slow[0], abs=1e-12)
    constant = {name: np.ones((len(data[name].x), 2)) for name in data.modalities}
    same = evaluate(constant, data, protocol=Protocol(within=True))
    floor = chance(data, protocol=Protocol(within=True))
    for direction, score in same.scores.items():
        np.testing.assert_allclose(score.ap, floor[direction].ap, atol=1e-12)
        assert score.best == pytest.approx(floor[direction].best)


def test_json_has_the_promised_shape():
    data = make()
    report = evaluate(Identity(), data, protocol=Protocol(within=True), curves=True)
    values = json.loads(report.to_json())
    assert list(values) == ["protocol", "directions", "mean_ap", "mean_ap_within"]
    assert values["protocol"] == report.protocol.to_dict()
    one = values["directions"]["image->text"]
    assert {"map", "ci", "queries", "gallery"} <= set(one) and len(one["ci"]) == 2
    again = Report.from_dict(values)
    assert again.to_dict() == values
    full = Report.from_dict(json.loads(report.to_json(per_query=True)))
    np.testing.assert_array_equal(full["image", "text"].ap, report["image", "text"].ap)
    with pytest.raises(InputError, match=r"Report\.to_dict"):
        Report.from_dict({"directions": {}})


def test_skipped_queries_survive_json():
    data = make()
    labels = data["image"].labels.weights
    labels[0] = 0
    report = evaluate(Identity(), data, protocol=Protocol(empty="skip"))
    again = Report.from_dict(json.loads(report.to_json(per_query=True)))
    np.testing.assert_array_equal(again["image", "text"].ap, report["image", "text"].ap)
    assert report["image", "text"].n_empty == 1


def test_prints_as_a_table():
    text = str(evaluate(Identity(), make(), protocol=Protocol(k=5, within=True)))
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["query", "gallery", "mAP"]
    assert "first 5 ranks" in lines[-1]
    assert any(line.startswith("mean, cross-modal") for line in lines)
    assert max(map(len, lines)) <= 100


def test_same_seed_same_interval():
    data = make()
    a, b, c = (evaluate(Identity(), data, seed=seed) for seed in (0, 0, 1))
    assert a["image", "text"].ci == b["image", "text"].ci != c["image", "text"].ci
    assert evaluate(Identity(), data, n_bootstrap=0)["image", "text"].ci is None


def test_import_brings_numpy_only():
    heavy = ["torch", "sklearn", "scipy", "matplotlib", "faiss"]
    code = f"import sys, commonspace.evaluation; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

"""`inspect` on spaces that are well, and on spaces with planted faults."""

from __future__ import annotations

import json

import numpy as np
import pytest

import commonspace as cs
from commonspace.data import Dataset
from commonspace.errors import InputError, NotFoundError
from commonspace.evaluation import inspect, plot_health
from commonspace.evaluation.health import RULES

N, C, DIM = 160, 4, 12
NAMES = ("ant", "bee", "cat", "dog")


def space(seed=0, n=N, noise=0.25):
    """Vectors of three paired modalities around orthogonal classes, and their data."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % C
    centres = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0][:C]
    z = {
        name: (centres[y] + noise * rng.normal(size=(n, DIM))).astype(np.float32)
        for name in ("image", "text", "audio")
    }
    return z, Dataset.from_arrays(z, y, classes=NAMES)


def relabelled(data, y, names):
    parts = {
        name: Dataset.from_arrays(
            {name: data.x(name)},
            y if name in names else data.labels(name),
            classes=NAMES,
            items=list(data[name].items),
        )[name]
        for name in data.modalities
    }
    return Dataset(parts, data.classes)


def severity(health, rule, where=None):
    found = [f for f in health.findings if f.what == rule and where in (None, f.where)]
    return max(found, key=lambda f: f.value).severity


def test_a_healthy_space_is_fine():
    z, data = space()
    health = cs.inspect(z, data)
    assert health.verdict == "fine", health
    assert {finding.what for finding in health.findings} == set(RULES) - {"calibration"}
    assert health.confusions["image", "text"].agreement > 0.9
    assert max(found.score.max() for found in health.suspects.values()) < 0.9


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("both", [False, True])
def test_wrong_labels_head_the_list(seed, both):
    z, data = space(seed)
    rng = np.random.default_rng(seed)
    y, wrong = np.arange(N) % C, rng.permutation(N)[:16]
    y[wrong] = (y[wrong] + rng.integers(1, C, 16)) % C
    health = inspect(z, relabelled(data, y, data.modalities if both else ["text"]))
    found = health.suspects["text"]
    assert set(found.ranked(16)) == set(wrong)
    suggested = found.suggested[wrong]
    np.testing.assert_array_equal(suggested, wrong % C)
    assert severity(health, "suspect labels", "text") == "look"
    expected = "fine" if both else "look"
    assert severity(health, "label conflicts", "image, text") == expected
    rows = health.suspect_rows(16)
    assert {row["row"] for row in rows} <= set(wrong) and rows[0]["item"] == str(rows[0]["row"])
    assert severity(health, "suspect labels", "image") == ("look" if both else "fine")


@pytest.mark.parametrize("seed", range(2))
def test_a_collapsed_encoder_is_broken(seed):
    z, data = space(seed)
    one = np.tile(z["text"][:1], (N, 1))
    health = inspect({**z, "text": one}, data)
    assert health.verdict == "broken"
    for rule in ("one direction", "merged items", "dead coordinates", "class directions"):
        assert severity(health, rule, "text") == "broken", rule
        assert severity(health, rule, "image") == "fine", rule
    assert severity(health, "agreement", "image->text") == "broken"
    assert severity(health, "agreement", "image->audio") == "fine"
    near = one + 1e-3 * np.random.default_rng(seed).normal(size=one.shape).astype(np.float32)
    assert severity(inspect({**z, "text": near}, data), "one direction", "text") == "broken"
    zero = inspect({**z, "text": np.zeros_like(one)}, data)
    assert severity(zero, "zero vectors", "text") == "broken"
    json.loads(zero.to_json())


@pytest.mark.parametrize("seed", range(2))
def test_shuffled_rows_hubs_gaps_and_rotations_are_found(seed):
    z, data = space(seed)
    rng = np.random.default_rng(seed)
    order = np.arange(N)
    order[: N // 2] = rng.permutation(N // 2)
    health = inspect({**z, "text": z["text"][order]}, data)
    changed = np.flatnonzero(order % C != np.arange(N) % C)
    found = health.pairs["image", "text"]
    listed = found.items[found.ranked(len(changed))].astype(int)
    assert np.isin(listed, changed).mean() > 0.7 > 1.5 * len(changed) / N
    assert severity(health, "shuffled pairs", "image, text") != "fine"
    assert severity(health, "shuffled pairs", "image, audio") == "fine"
    every = inspect({**z, "text": z["text"][rng.permutation(N)]}, data)
    assert severity(every, "agreement", "image->text") == "broken"
    hub = z["text"][5] / np.linalg.norm(z["text"][5])
    health = inspect({**z, "image": 0.3 * z["image"] + hub}, data)
    assert severity(health, "hub", "image->text") == "broken"
    assert health.hubs["image", "text"].reach_item == "5"
    apart = z["image"] + 6 * np.linalg.svd(z["image"])[2][-1]
    health = inspect({**z, "image": apart}, data)
    assert severity(health, "modality gap", "image, text") == "broken"
    turned = z["image"] @ np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    health = inspect({**z, "image": turned}, data)
    assert severity(health, "agreement") == "broken"


def test_blocks_change_nothing_and_unknown_labels_leave():
    z, data = space(n=48)
    y = np.arange(48) % C
    y[[3, 9]] = -1
    some = relabelled(data, y, ["text"])
    big, small = inspect(z, some), inspect(z, some, memory=1)
    assert big.to_dict() == small.to_dict()
    assert big.n_unlabelled == {"image": 0, "text": 2, "audio": 0}
    assert big.spreads["text"].n_items == 46
    assert {3, 9}.isdisjoint(row["row"] for row in big.suspects["text"].table(NAMES))


def test_several_labels_a_row():
    rng = np.random.default_rng(0)
    y = (rng.random((N, C)) < 0.4).astype(np.float32)
    y[:, 0] = np.maximum(y[:, 0], ~y.any(axis=1))
    basis = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0][:C]
    z = {n: (y @ basis + 0.1 * rng.normal(size=(N, DIM))).astype(np.float32) for n in "ab"}
    data = Dataset.from_arrays(z, y, classes=NAMES)
    health = inspect(z, data)
    assert health.verdict != "broken", health
    wrong = y.copy()
    wrong[:8] = 1 - wrong[:8]
    found = inspect(z, Dataset.from_arrays(z, wrong, classes=NAMES)).suspects["a"]
    assert set(found.ranked(10)) >= set(range(8)) - set(np.flatnonzero(~wrong.any(axis=1)))
    assert wrong[0, found.doubtful[0]] == 1 and wrong[0, found.suggested[0]] == 0


def test_claims_of_probability_are_judged():
    rng = np.random.default_rng(0)
    q = {name: rng.dirichlet(np.ones(C) / 3, 400).astype(np.float32) for name in "ab"}
    y = {name: np.array([rng.choice(C, p=row / row.sum()) for row in q[name]]) for name in q}
    data = Dataset.from_arrays(q, y, classes=NAMES)
    assert severity(inspect(q, data), "calibration") == "fine"
    sure = {name: np.eye(C, dtype=np.float32)[rng.integers(0, C, 400)] * 0.999 for name in q}
    sure["a"][0] = 0.25
    assert severity(inspect(sure, data), "calibration") == "look"


@pytest.mark.parametrize("n", [2, 3, 5])
def test_tiny_sets_one_class_and_one_modality_are_measured(n):
    z, data = space(n=n)
    health = inspect(z, data)
    json.loads(health.to_json())
    assert health.k == 1 and health.verdict != "broken", health
    alone = inspect(z, data, modalities=["text"])
    assert not alone.hubs and not alone.gaps and "text" in str(alone)
    assert alone.verdict == "look"  # nobody votes for the label of the only item of a class
    single = Dataset.from_arrays(z, np.zeros(n, int), classes=("all",))
    health = inspect(z, single)
    assert health.confusions["image", "text"].lift == 0
    assert not any(f.what == "agreement" for f in health.findings)
    assert severity(health, "hub") == "fine" if n > 2 else health.worst_of("hub") is None


@pytest.mark.parametrize("n", [2, 3, 8, 10, 12, 30])
def test_a_perfect_space_is_never_broken(n):
    """Whatever k: past the items of a class, all are equally near, and one has to be taken."""
    z, data = space(n=n, noise=0.0)
    z, data = {name: z[name] for name in ("image", "text")}, data.select(["image", "text"])
    assert cs.evaluate(z, data).mean_ap == 1
    assert inspect(z, data).verdict == "fine" if n >= 2 * C else "look"
    for k in {1, (n - 1) // 2, n // 2, n - 1} - {0}:
        health = inspect(z, data, k=k)
        assert health.verdict != "broken", (k, health)
        judged = {finding.what for finding in health.findings}
        assert ({"hub", "agreement"} <= judged) == (2 * k < n) and health.k == k


def test_as_many_neighbours_as_there_are_items_are_refused():
    z, data = space(n=8)
    with pytest.raises(InputError, match=r"k: expected fewer .* 'image' has 8 .* got 8"):
        inspect(z, data, k=8)
    fewer = {"image": z["image"], "text": z["text"][:5]}
    some = data.select(["image", "text"]).take({"image": np.arange(8), "text": np.arange(5)})
    with pytest.raises(InputError, match=r"'text' has 5 labelled rows, got 6"):
        inspect(fewer, some, k=6)
    assert inspect(fewer, some).k == 1


def test_a_hub_is_found_where_classes_are_smaller_than_k():
    z, _ = space(n=30)
    y = np.arange(30) % 10
    few = Dataset.from_arrays(z, y)
    hub = z["text"][5] / np.linalg.norm(z["text"][5])
    health = inspect({**z, "image": 0.3 * z["image"] + 2 * hub}, few)
    assert health.k == 10 and severity(health, "hub", "image->text") == "broken"


def test_it_says_what_is_wrong_with_its_input():
    z, data = space(n=8)
    with pytest.raises(NotFoundError, match="imgae"):
        inspect(z, data, modalities=["imgae"])
    with pytest.raises(InputError, match="k: expected a whole number from 1"):
        inspect(z, data, k=0)
    with pytest.raises(InputError, match="one space"):
        inspect({**z, "text": z["text"][:, :3]}, data)
    with pytest.raises(InputError, match="at least 2 rows"):
        inspect({n: v[:1] for n, v in z.items()}, data.take(dict.fromkeys(z, np.array([0]))))
    with pytest.raises(InputError, match="probabilities"):
        inspect(z, data, probabilities="yes")


def test_table_and_json_say_the_same(tmp_path):
    z, data = space()
    z["text"][:] = z["text"][:1]
    health = inspect(z, data)
    told = json.loads(health.to_json(n=3))
    assert told["verdict"] == "broken" and len(told["suspects"]) == 3
    assert set(told["directions"]) == {
        f"{a}->{b}" for a in data.modalities for b in data.modalities if a != b
    }
    text = str(health)
    assert text.startswith("verdict: broken") and RULES["one direction"].meaning in text
    for finding in told["findings"]:
        if finding["severity"] != "fine":
            line = f"{finding['severity']}: {finding['what']}, {finding['where']}"
            assert line in text


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    z, data = space(n=40)
    files = plot_health(inspect(z, data, modalities=["image", "text"]), tmp_path / "plots")
    assert [file.name for file in files] == [
        "gap.png",
        *(
            f"{kind}_{a}_{b}.png"
            for a, b in (("image", "text"), ("text", "image"))
            for kind in ("confusion", "hubs", "reliability")
        ),
    ]
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)

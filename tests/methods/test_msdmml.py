"""What is special to MS-DMML: graded pairs, ablations, modalities added against anchors."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError, NotFoundError, UnsupportedError
from commonspace.evaluation import Protocol, chance
from commonspace.methods import MSDMML
from commonspace.methods.msdmml_job import make_job, similarity
from commonspace.methods.msdmml_training import MetricTask, Part
from commonspace.training import Run

SMALL = {"dim": 16, "hidden": (32,), "epochs": 15, "batch_size": 32}
FEW = {**SMALL, "epochs": 2}


def job(parts, **changes):
    """What `MetricTask` needs, with branches that leave unit vectors as they are."""
    options = {"hidden": [], "dim": 3, "members": 1, "standardize": False}
    return {
        "parts": parts,
        "valid": {},
        "anchors": None,
        "options": dict.fromkeys(parts, options),
        "rates": dict.fromkeys(parts, 1e-3),
        "several": False,
        "similarity": "graded",
        "members": 1,
        "alpha": 0.4,
        "beta": 0.6,
        "margin": 1.0,
        "lambdas": (0.6, 0.2, 0.2),
        "reduction": "mean",
        "seed": 0,
        **changes,
    }


def unit_part(y, items, seed=0):
    x = np.random.default_rng(seed).normal(size=(len(y), 3)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return Part(x, np.asarray(y, np.float32), np.asarray(items))


def make_transparent(task):
    for branch in task.branches.values():
        (layer,) = branch.members[0]
        torch.nn.init.eye_(layer.weight)
        torch.nn.init.zeros_(layer.bias)
    return task


@pytest.mark.parametrize("members", [1, 3])
def test_a_batch_is_scored_as_equation_11_says(members):
    y = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
    parts = {"a": unit_part(y, [0, 1, 2]), "b": unit_part(y, [0, 1, 2], seed=1)}
    task = make_transparent(MetricTask(job(parts)))
    loss = task.loss({"a": np.arange(3)}).item()
    unit = y / np.linalg.norm(y, axis=1, keepdims=True)
    s = unit @ unit.T

    def mean_loss(f, g, pairs):
        values = []
        for m, n in pairs:
            d2 = float(((f[m] - g[n]) ** 2).sum())
            values.append(0.4 * d2 * s[m, n] + 0.6 * max(0, 1 - d2) * (s[m, n] == 0))
        return np.mean(values)

    every = [(m, n) for m in range(3) for n in range(3)]
    others = [(m, n) for m, n in every if m != n]
    a, b = parts["a"].x, parts["b"].x
    expected = 0.6 * mean_loss(a, b, every)
    expected += 0.2 * mean_loss(a, a, others) + 0.2 * mean_loss(b, b, others)
    assert loss == pytest.approx(expected, rel=1e-5)
    if members > 1:  # the same vectors side by side: each member has the same loss
        wide = {name: Part(np.tile(p.x, members), p.y, p.items) for name, p in parts.items()}
        options = {"hidden": [], "dim": 3 * members, "members": members, "standardize": False}
        copies = MetricTask(job(wide, members=members, options=dict.fromkeys(parts, options)))
        for branch in copies.branches.values():
            for member in branch.members:
                torch.nn.init.zeros_(member[0].bias)
                with torch.no_grad():
                    member[0].weight.copy_(torch.eye(3).repeat(1, members))
        assert copies.loss({"a": np.arange(3)}).item() == pytest.approx(members * loss, rel=1e-5)


def test_rows_that_are_alike_leave_every_reduction_the_same():
    y = np.eye(3).repeat(2, axis=0)
    parts = {"a": unit_part(y, range(6)), "b": unit_part(y, range(6), seed=1)}
    rows = {"a": np.arange(6)}
    losses = {
        reduction: make_transparent(MetricTask(job(parts, reduction=reduction))).loss(rows).item()
        for reduction in ("mean", "rows", "sum")
    }
    assert losses["rows"] == pytest.approx(losses["mean"], rel=1e-5)
    assert losses["sum"] > losses["mean"]


def test_same_items_share_batches_and_others_do_not():
    y = np.eye(4)
    parts = {
        "a": unit_part(y, [0, 1, 2, 3]),
        "b": unit_part(y, [0, 1, 2, 3]),
        "c": unit_part(y, [0, 1, 3, 2]),
    }
    assert MetricTask(job(parts)).n_rows == {"a": 4, "c": 4}


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_it_beats_chance_by_far_on_pairs_and_without(kind):
    for paired in (True, False):
        data = make_dataset(n_items=200, n_classes=4, label_kind=kind, paired=paired, seed=1)
        model = MSDMML(**SMALL).fit(data["train"])
        protocol = Protocol(within=True)
        report = cs.evaluate(model, data["test"], protocol=protocol, n_bootstrap=0)
        floor = chance(data["test"], protocol=protocol, n_bootstrap=0)
        assert report.mean_ap > floor.mean_ap + 0.2
        assert report.mean_ap_within > floor.mean_ap_within + 0.2


def test_graded_labels_order_what_binary_ones_cannot():
    """Items of one rare class beside a common one: only degrees tell the pairs apart."""
    rng = np.random.default_rng(0)
    kinds = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]], np.float32)
    y = kinds[rng.integers(0, 4, 400)]
    maps = {m: rng.normal(size=(4, 12)) for m in ("image", "text")}
    x = {m: (y @ a + 0.3 * rng.normal(size=(400, 12))).astype(np.float32) for m, a in maps.items()}
    train = Dataset.from_arrays({m: v[:300] for m, v in x.items()}, y[:300])
    test = Dataset.from_arrays({m: v[300:] for m, v in x.items()}, y[300:])

    def short_of_perfect(make):
        models = [make(**{**SMALL, "epochs": 3}, random_state=seed).fit(train) for seed in range(3)]
        protocol = Protocol(gain="overlap")
        return [1 - cs.evaluate(model, test, protocol=protocol).mean_ndcg for model in models]

    graded, binary = short_of_perfect(MSDMML), short_of_perfect(MSDMML.bin)
    assert all(a < b for a, b in zip(graded, binary, strict=True))
    assert sum(graded) < 0.85 * sum(binary)


def test_binary_similarity_of_single_labels_is_that_of_items(train):
    model = MSDMML.bin(**FEW)
    assert model.ablation == "bin" and similarity(model, several=True) == "shared"
    assert similarity(model, several=False) == "item"
    model.fit(train)
    with pytest.raises(UnsupportedError, match="only pairs of one item attract"):
        model.fit_modality("audio", train.x("text"), train.labels("text"))


def test_binary_similarity_of_single_labels_needs_an_item_in_two_modalities():
    data = make_dataset(n_items=40, n_classes=2, paired=False, seed=0)["train"]
    for apart in (data, data.select(list(data)[:1])):
        with pytest.raises(InputError, match="no labelled item is in two of them"):
            MSDMML.bin(**FEW).fit(apart)


def test_ablations_are_weights():
    y = np.eye(3)
    parts = {"a": unit_part(y, [0, 1, 2]), "b": unit_part(y, [0, 1, 2], seed=1)}
    train = Dataset.from_arrays({name: part.x for name, part in parts.items()}, y)
    for ablation, expected in (("inter", (1, 0, 0)), ("intra", (0, 0.5, 0.5)), (None, (3, 2, 1))):
        model = MSDMML(ablation=ablation, lambdas=(3, 2, 1))
        assert make_job(model, "joint", train, None, several=False)["lambdas"] == expected
    assert [MSDMML.inter().ablation, MSDMML.intra().ablation] == ["inter", "intra"]


def test_a_modality_added_later_finds_the_others(splits):
    data = make_dataset(
        n_items=240, n_classes=4, dims={"image": 12, "text": 8, "audio": 6}, noise=0.4, seed=2
    )
    model = MSDMML(**SMALL).fit(data["train"].select(["image", "text"]))
    audio = data["train"]["audio"]
    model.fit_modality("audio", audio.x, audio.labels, items=audio.items)
    report = cs.evaluate(model, data["test"], n_bootstrap=0)
    floor = chance(data["test"], n_bootstrap=0).mean_ap
    assert report["audio", "image"].mean_ap > floor + 0.25
    assert report["text", "audio"].mean_ap > floor + 0.25


def test_against_anchors_a_new_modality_weighs_as_any_but_the_first():
    new = unit_part([[1.0, 0], [0, 1], [1, 1]], [0, 1, 2])
    anchors = unit_part([[1.0, 0], [0, 1]], [-1, -2])
    lambdas = (0.6, 0.1, 0.4)
    task = MetricTask(job({"new": new}, anchors=anchors, lambdas=lambdas))
    inter, within = lambdas[0] / (2 * 3 * 2), lambdas[2] / (3 * 2)
    wanted = np.full((5, 5), inter)
    wanted[:3, :3] = within
    wanted[3:, 3:] = 0  # what stays as it is
    np.fill_diagonal(wanted, 0)
    np.testing.assert_allclose(task._pairs([3, 2]), wanted, rtol=1e-6)


def test_anchors_are_few_seeded_and_may_be_none(train):
    model = MSDMML(**FEW, anchors=10).fit(train)
    assert model.anchors_["vectors"].shape == (10, 16)
    np.testing.assert_allclose(np.linalg.norm(model.anchors_["vectors"], axis=1), 1, rtol=1e-5)
    assert len(MSDMML(**FEW, anchors=10**6).fit(train).anchors_["labels"]) <= 2 * len(train["text"])
    none = MSDMML(**FEW, anchors=0).fit(train)
    with pytest.raises(UnsupportedError, match=r"keeps no vectors .* \(anchors=0\)"):
        none.fit_modality("audio", train.x("text"), train.labels("text"))


def test_vectors_have_unit_length_and_members_average_cosines(train, test):
    model = MSDMML(**FEW, members=2).fit(train)
    z = model.transform("image", test.x("image"))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, rtol=1e-5)
    halves = np.sqrt(2) * z[:, :8], np.sqrt(2) * z[:, 8:]
    for half in halves:
        np.testing.assert_allclose(np.linalg.norm(half, axis=1), 1, rtol=1e-5)
    mean = (halves[0] @ halves[0].T + halves[1] @ halves[1].T) / 2
    np.testing.assert_allclose(z @ z.T, mean, atol=1e-5)


def test_the_paper_has_no_negative_coordinate_and_says_where_none_is_left(train, test, caplog):
    published = MSDMML.paper(dim=8, hidden=(16,), epochs=1).fit(train)
    z = published.transform("text", test.x("text"))
    assert (z >= 0).all() and published.history_["text"][0].keys() == {"epoch", "train_loss"}
    weights = published.networks_["text"].members[0][0].weight
    assert 0.01 < weights.std().item() < 0.03
    with caplog.at_level(logging.WARNING, logger="commonspace.methods.msdmml"):
        MSDMML.paper(dim=1, hidden=(2,), epochs=1).fit(train)
    assert "have no direction" in caplog.text and "final_relu=False" in caplog.text


def test_validation_rows_choose_one_epoch_for_all_modalities(train):
    model = MSDMML(**{**FEW, "epochs": 6}, learning_rate=0.05, validation_fraction=0.1).fit(train)
    history = model.history_["image"]
    assert all(0 <= row["valid_loss"] <= 1 for row in history)
    assert model.history_["text"] == history, "all modalities stop at one epoch"


def test_a_training_that_was_cut_off_continues_to_the_same_bits(train, test, tmp_path):
    whole = MSDMML(**{**FEW, "epochs": 4}).fit(train)

    class CutOff:
        def on_epoch(self, name, epoch, epochs, metrics):
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MSDMML(**{**FEW, "epochs": 4}).fit(
            train, run=Run(checkpoints=tmp_path, callbacks=(CutOff(),))
        )
    again = MSDMML(**{**FEW, "epochs": 4}).fit(train, run=Run(checkpoints=tmp_path))
    x = test.x("image")
    np.testing.assert_array_equal(again.transform("image", x), whole.transform("image", x))
    assert [row["epoch"] for row in again.history_["image"]] == [1, 2, 3, 4]


def test_rows_of_unknown_labels_and_lonely_modalities(train):
    y = train.labels("image").dense()
    y[5:] = 0
    lonely = Dataset.from_arrays({"image": train.x("image")}, y)
    model = MSDMML(**FEW).fit(lonely)
    assert np.isfinite(model.transform("image", train.x("image"))).all()
    one = train.take({"text": np.array([3])})
    assert np.isfinite(MSDMML(**FEW).fit(one).transform("text", train.x("text"))).all()


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"dim": 9, "members": 2}, InputError, "dim: expected a multiple of members=2, got 9"),
        ({"margin": 5}, InputError, "margin: expected a number from 0 up to 4, got 5"),
        ({"lambdas": (1, 2)}, InputError, "lambdas: expected three weights"),
        ({"lambdas": (1, 2, -1)}, InputError, "lambdas: expected a number from 0"),
        ({"ablation": "none"}, InputError, "ablation: expected one of None, 'bin'"),
        ({"reduction": "median"}, InputError, "reduction: expected one of 'rows'"),
        ({"hidden": "wide"}, InputError, "hidden: expected a list of widths"),
        ({"batch_norm": "False"}, InputError, "batch_norm: expected True or False, got 'False'"),
        ({"final_relu": None}, InputError, "final_relu: expected True or False"),
        ({"branches": "image"}, InputError, "branches: expected a mapping from modalities"),
        ({"branches": ["image"]}, InputError, "branches: expected a mapping from modalities"),
        ({"branches": {"image": 3}}, InputError, "branches: expected a mapping for 'image'"),
        ({"branches": {"image": {"corp": 3}}}, NotFoundError, "'corp'.*Did you mean 'crop'"),
        ({"branches": {"image": {"backbone": "vgg"}}}, InputError, "backbone: expected one of"),
        ({"branches": {"image": {}}}, InputError, "'image': expected pixels of shape"),
    ],
)
def test_wrong_settings_are_named(train, settings, error, message):
    with pytest.raises(error, match=message):
        MSDMML(**{**FEW, **settings}).fit(train)


def test_settings_for_modalities_that_are_not_there_are_named(train, caplog):
    with caplog.at_level(logging.WARNING, logger="commonspace.methods.msdmml"):
        MSDMML(**FEW, learning_rate={"imgae": 1e-2, "*": 1e-3}).fit(train)
    assert "no modality yet for settings of 'imgae'" in caplog.text
    pixels = np.random.default_rng(0).integers(0, 256, (12, 192), dtype=np.uint8)
    data = Dataset.from_arrays({"picture": pixels}, np.arange(12) % 2)
    with pytest.raises(InputError, match=r"one for 'image', which is no modality .* 'picture'"):
        MSDMML(**FEW, branches={"image": {}}).fit(data)

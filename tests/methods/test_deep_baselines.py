"""What is special to each of the gradient-trained baselines."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from commonspace.data import make_dataset
from commonspace.errors import InputError
from commonspace.methods import CMPM, AdaMine, CorrAE, DeepSM, Recipe, SupCon
from commonspace.methods.baselines.joint_training import Batch
from commonspace.objectives import (
    adaptive_triplet_loss,
    cosine_pair_loss,
    projection_matching_loss,
)

TINY = {"hidden": (16,), "epochs": 2, "batch_size": 16}


def batch_of(y, *, modules=None, several=False, n_modalities=2, width=4):
    """A batch of matched rows with these labels."""
    generator = torch.Generator().manual_seed(0)
    names = ["a", "b", "c"][:n_modalities]
    z = {name: torch.randn(len(y), width, generator=generator).double() for name in names}
    y_BC = torch.as_tensor(np.asarray(y, np.float64))
    items = torch.arange(len(y))
    return Batch(
        x=z,
        z=z,
        y=dict.fromkeys(names, y_BC),
        items=dict.fromkeys(names, items),
        networks={},
        modules=modules or {},
        several=several,
        matched=True,
        progress=0.0,
    )


SINGLE = np.eye(3)[[0, 1, 2, 0, 1, 0]]
SEVERAL = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1], [1, 0, 1]])


def contrastive_by_loop(z, y, temperature):
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        total = sum(np.exp(z[i] @ z[a] / temperature) for a in others)
        positive = [p for p in others if y[i] @ y[p] > 0]
        logs = [np.log(np.exp(z[i] @ z[p] / temperature) / total) for p in positive]
        losses.append(-np.mean(logs))
    return np.mean(losses)


@pytest.mark.parametrize("y", [SINGLE, SEVERAL])
@pytest.mark.parametrize("n_modalities", [2, 3])
def test_sup_con_is_the_published_formula_over_the_rows_of_all_modalities(y, n_modalities):
    batch = batch_of(y, n_modalities=n_modalities)
    rows = np.concatenate([z.numpy() for z in batch.z.values()])
    expected = contrastive_by_loop(rows, np.tile(y, (n_modalities, 1)), 0.2)
    assert float(SupCon(temperature=0.2)._loss(batch)) == pytest.approx(expected, rel=1e-6)


def test_sup_con_of_rows_of_one_class_alone_is_finite():
    assert float(SupCon()._loss(batch_of(np.eye(3)[[0, 0]]))) == 0


@pytest.mark.parametrize("y", [SINGLE, SEVERAL])
def test_adamine_is_four_terms(y):
    batch = batch_of(y)
    eye, share = torch.eye(6).bool(), torch.from_numpy(y @ y.T > 0)
    expected = 0.0
    for a, b in (("a", "b"), ("b", "a")):
        z = batch.z[a], batch.z[b]
        expected += adaptive_triplet_loss(*z, eye, ~eye, margin=0.1)
        expected += adaptive_triplet_loss(*z, share & ~eye, ~share, margin=0.1)
    assert float(AdaMine()._loss(batch)) == pytest.approx(float(expected))


def test_recipe_weighs_its_pairs_and_its_classifier():
    classifier = torch.nn.Linear(4, 3).double()
    batch = batch_of(SINGLE, modules={"classifier": classifier})
    z = batch.z["a"], batch.z["b"]
    pairs = cosine_pair_loss(*z, torch.eye(6).double(), margin=0.1, mismatched=0.8)
    codes = torch.from_numpy(SINGLE.argmax(axis=1))
    entropies = [torch.nn.functional.cross_entropy(classifier(part), codes) for part in z]
    expected = 0.9 * pairs + 0.05 * (entropies[0] + entropies[1])
    with torch.no_grad():
        found = Recipe(semantic=0.05)._loss(batch)
    assert float(found) == pytest.approx(float(expected.detach()))


def test_cmpm_alone_has_no_classifier_and_takes_shared_labels_as_matches():
    batch = batch_of(SEVERAL, several=True)
    share = torch.from_numpy(SEVERAL @ SEVERAL.T > 0).double()
    expected = projection_matching_loss(batch.z["a"], batch.z["b"], share)
    assert float(CMPM(classify=False)._loss(batch)) == pytest.approx(float(expected))


def test_losses_of_three_modalities_are_means_over_pairs():
    """Pairs of which two are equal modalities: the mean of three known values."""
    batch = batch_of(SINGLE, n_modalities=3)
    values = []
    for a, b in batch.pairs():
        pair = batch_of(SINGLE)
        pair = Batch(**{**vars(pair), "z": {"a": batch.z[a], "b": batch.z[b]}})
        values.append(float(AdaMine()._loss(pair)))
    assert len(values) == 3
    assert float(AdaMine()._loss(batch)) == pytest.approx(np.mean(values))


def test_corr_ae_with_most_weight_on_the_tie_brings_codes_of_an_item_together():
    data = make_dataset(n_items=120, n_classes=3)["train"]
    apart = []
    for tie in (0.0, 0.9):
        settings = {"epochs": 30, "learning_rate": 0.01, "validation_fraction": 0.0}
        model = CorrAE(dim=8, hidden=(16,), tie=tie, **settings).fit(data)
        first, second = (model.transform(name, data.x(name)) for name in data)
        apart.append(np.square(first - second).mean() / np.square(first).mean())
    assert apart[1] < 0.5 * apart[0]


def test_corr_ae_with_no_weight_on_the_tie_is_two_autoencoders():
    """One dimension cannot hold eight features, eight can."""
    data = make_dataset(n_items=200, n_classes=2, dims={"a": 8, "b": 8}, test_fraction=0.0)["train"]
    losses = []
    for dim in (1, 8):
        settings = {"hidden": (), "epochs": 40, "learning_rate": 0.02, "validation_fraction": 0.0}
        model = CorrAE(dim=dim, tie=0.0, **settings).fit(data)
        losses.append(model.history_["a"][-1]["train_loss"])
    assert losses[1] < 0.1 < 0.3 < losses[0]


@pytest.mark.parametrize("label_kind", ["single", "multi"])
def test_deep_sm_gives_posteriors(label_kind):
    data = make_dataset(n_items=80, n_classes=4, label_kind=label_kind)
    model = DeepSM(**TINY).fit(data["train"])
    z = model.transform("text", data["test"].x("text"))
    assert z.min() >= 0 and z.max() <= 1 and model.space_.dim == 4
    if label_kind == "single":
        np.testing.assert_allclose(z.sum(axis=1), 1, atol=1e-5)


def test_deep_sm_learns_a_modality_as_if_it_were_alone():
    data = make_dataset(n_items=80, n_classes=4)["train"]
    both, alone = DeepSM(**TINY).fit(data), DeepSM(**TINY).fit(data.select(["text"]))
    x = data.x("text")
    np.testing.assert_array_equal(both.transform("text", x), alone.transform("text", x))


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (CMPM, {"classify": "no"}),
        (CorrAE, {"tie": 1.5}),
        (Recipe, {"margin": 2}),
        (Recipe, {"mismatched": -0.1}),
        (Recipe, {"semantic": 0.6}),
        (AdaMine, {"margin": -1}),
        (AdaMine, {"items": -1}),
        (AdaMine, {"semantic": -1}),
        (SupCon, {"temperature": 0}),
    ],
)
def test_arguments_out_of_range_are_named(kind, arguments):
    data = make_dataset(n_items=20, n_classes=2)["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        kind(**arguments).fit(data)

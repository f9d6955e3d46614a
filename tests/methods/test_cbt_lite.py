"""CBT-lite: its loss by hand, and what it needs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_sets import of_few_classes

import commonspace as cs
from commonspace.data import make_dataset
from commonspace.errors import InputError
from commonspace.methods import CBTLite
from commonspace.methods.baselines.joint_training import Batch, Sizes

DIMS = {"image": 8, "text": 6}
TINY = {"hidden": (16,), "width": 12, "epochs": 8, "batch_size": 16, "learning_rate": 5e-3}


def make_batch(method: CBTLite) -> Batch:
    rng, rows = np.random.default_rng(0), 7
    method.sizes_ = Sizes(DIMS, 3, False)
    x = {k: torch.tensor(rng.normal(size=(rows, d))).float() for k, d in DIMS.items()}
    networks = {name: method._branch(d) for name, d in DIMS.items()}
    return Batch(
        x=x,
        z={name: networks[name].encode(rows_BD) for name, rows_BD in x.items()},
        y=dict.fromkeys(x, torch.eye(3)[torch.arange(rows) % 3]),
        items=dict.fromkeys(x, torch.arange(rows)),
        matched=True,
        networks=networks,
        modules=method._build_modules(),
        several=False,
        progress=0.0,
    )


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1))


@pytest.mark.parametrize("inter", [0.0, 0.3])
def test_its_loss_is_what_the_formula_says(inter):
    method = CBTLite(hidden=(5,), width=4, alpha=0.7, inter=inter)
    batch = make_batch(method)
    modules, networks = batch.modules, batch.networks

    def translate(name: str, rows: torch.Tensor) -> torch.Tensor:
        return modules[f"from {name}"](modules["shared"](networks[name].encode(rows)))

    expected = 0.0
    for name, other in (("image", "text"), ("text", "image")):
        there = translate(name, batch.x[name])
        back = translate(other, there)
        own = torch.log(0.5 * (1 + cosine(batch.x[name], back))).mean()
        mates = torch.log(0.5 * (1 + cosine(batch.x[other], there))).mean()
        posterior = method._embedding(name, batch.z[name], modules)
        likelihood = torch.log((posterior * batch.y[name]).sum(dim=1)).mean()
        expected = expected - 0.7 * likelihood - (1 - inter) * own - inter * mates
    assert method._loss(batch).item() == pytest.approx(expected.item(), rel=1e-4)


def test_it_beats_chance_and_answers_posteriors():
    data = make_dataset(n_items=160, n_classes=4, noise=0.5, dims=DIMS)
    model = CBTLite(**TINY).fit(data["train"])
    assert cs.evaluate(model, data["test"]).mean_ap > 0.5  # chance: 0.25
    z = model.transform("text", data["test"].x("text"))
    assert z.shape[1] == 4 and (z >= 0).all()
    np.testing.assert_allclose(z.sum(axis=1), 1, atol=1e-5)


def test_modalities_of_one_name_or_width_are_not_mixed_up():
    dims = {"shared": 5, "classifier": 5}
    data = make_dataset(n_items=40, n_classes=2, dims=dims)["train"]
    model = CBTLite(**{**TINY, "epochs": 1}).fit(data)
    assert set(model.modules_) == {"shared", "classifier"}


@pytest.mark.parametrize("n_classes", [1, 2])
def test_few_classes_and_constant_features(n_classes):
    data = of_few_classes(n_classes)
    model = CBTLite(**{**TINY, "epochs": 2}).fit(data)
    assert np.isfinite(model.transform("text", data.x("text"))).all()


@pytest.mark.parametrize("arguments", [{"inter": 1.5}, {"width": 0}, {"alpha": -1.0}])
def test_arguments_out_of_range_are_named(arguments):
    data = make_dataset(n_items=20, n_classes=2, dims=DIMS)["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        CBTLite(**arguments).fit(data)

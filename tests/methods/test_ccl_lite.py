"""CCL-lite: its two stages apart, its loss by hand, and that both stages go on where they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_sets import of_few_classes

import commonspace as cs
from commonspace.data import make_dataset
from commonspace.errors import InputError
from commonspace.methods import CCLLite, CorrAE
from commonspace.methods.baselines.joint_training import Batch, Sizes
from commonspace.training import Run

DIMS = {"image": 8, "text": 6}
TINY = {
    "dim": 8,
    "hidden": (16,),
    "epochs": 3,
    "batch_size": 16,
    "learning_rate": 5e-3,
    "dropout": 0.0,
    "code": 5,
    "code_hidden": (12,),
    "code_epochs": 2,
}


@pytest.fixture(scope="module")
def data():
    return make_dataset(n_items=160, n_classes=4, noise=0.5, dims=DIMS)


def test_its_first_stage_is_the_correspondence_autoencoder(data):
    train, x = data["train"], data["test"].x("text")
    stay, held = train.split(0.1, seed=0)
    model = CCLLite(**TINY, validation_fraction=0.1).fit(train)
    alone = CorrAE(dim=5, hidden=(12,), epochs=2, tie=0.3, validation_fraction=0.0)
    expected = alone.fit(stay, held).transform("text", x)
    np.testing.assert_array_equal(model._codes("text", x), expected)
    assert model.n_features("text") == 6 and model.sizes_.features == {"image": 5, "text": 5}


def test_both_stages_match_rows_as_asked():
    apart = make_dataset(n_items=80, n_classes=4, dims=DIMS, paired=False)["train"]
    with pytest.raises(InputError, match="pairing='classes'"):
        CCLLite(**TINY).fit(apart)
    model = CCLLite(**TINY, pairing="classes").fit(apart)
    assert model.codes_.pairing == "classes"


def test_effort_is_that_of_both_stages(data):
    open_ended = {**TINY, "epochs": None, "code_epochs": None}
    half, whole = (CCLLite(**open_ended, effort=e).fit(data["train"]) for e in (0.1, 0.2))
    for first, second in ((half.codes_, whole.codes_), (half, whole)):
        epochs = [len(model.history_["image"]) for model in (first, second)]
        assert abs(2 * epochs[0] - epochs[1]) <= 1 and epochs[0] > 1


def test_validation_rows_are_those_of_both_stages(data):
    stay, held = data["train"].split(0.2, seed=0)
    model = CCLLite(**TINY).fit(stay, held)
    for stage in (model.codes_, model):
        assert all(0 < row["valid_loss"] < 1 for row in stage.history_["text"])


def test_its_loss_is_what_slow_loops_say():
    rng, rows = np.random.default_rng(0), 6
    method = CCLLite(dim=3, margin=0.8)
    torch.manual_seed(0)
    modules = method._make(Sizes(dict.fromkeys(DIMS, 5), 3, False))
    z = {name: torch.tensor(rng.normal(size=(rows, 3))).float() for name in DIMS}
    codes = {"image": np.arange(rows) % 3, "text": np.arange(rows) // 2}
    y = {name: torch.eye(3)[torch.from_numpy(c)] for name, c in codes.items()}
    batch = Batch(
        x=z,
        z=z,
        y=y,
        items=dict.fromkeys(z, torch.arange(rows)),
        matched=True,
        networks={},
        modules=modules,
        several=False,
        progress=0.0,
    )
    expected = 0.0
    for i, u in enumerate(z["image"].sigmoid()):
        for j, v in enumerate(z["text"].sigmoid()):
            distance = float((u - v).norm())
            same = codes["image"][i] == codes["text"][j]
            term = distance**2 if same else max(0.0, 0.8 - distance) ** 2
            expected += term / (2 * rows)
    for name in DIMS:
        p = modules[name](z[name]).softmax(dim=1)
        expected -= float(torch.log(p[torch.arange(rows), codes[name]]).mean().detach())
    assert method._loss(batch).item() == pytest.approx(expected, rel=1e-4)


def test_it_beats_chance_and_is_stored_whole(data, tmp_path):
    wide = {"code": 16, "code_hidden": (32,), "code_epochs": 40, "epochs": 12}
    model = CCLLite(**{**TINY, **wide}).fit(data["train"])
    assert cs.evaluate(model, data["test"]).mean_ap > 0.5  # chance: 0.25
    cs.save(model, tmp_path)
    x = data["test"].x("image")
    np.testing.assert_array_equal(cs.load(tmp_path)._codes("image", x), model._codes("image", x))


def test_both_stages_are_resumed(data, tmp_path):
    run = Run(checkpoints=tmp_path, jobs=1)
    first = CCLLite(**TINY).fit(data["train"], run=run)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    again, x = CCLLite(**TINY).fit(data["train"], run=run), data["test"].x("image")
    np.testing.assert_array_equal(first.transform("image", x), again.transform("image", x))


@pytest.mark.parametrize("n_classes", [1, 2])
def test_few_classes_and_constant_features(n_classes):
    data = of_few_classes(n_classes)
    model = CCLLite(**{**TINY, "epochs": 2}).fit(data)
    assert np.isfinite(model.transform("text", data.x("text"))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"tie": 2.0}, "tie"), ({"code": 0}, "code"), ({"code_hidden": (0,)}, "hidden")],
)
def test_arguments_out_of_range_are_named(data, arguments, message):
    with pytest.raises(InputError, match=message):
        CCLLite(**arguments).fit(data["train"])

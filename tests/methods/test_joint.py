"""The frame of all baselines that train one network a modality together."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.evaluation import score_vectors
from commonspace.methods import CMPM, AdaMine, DeepSM, Recipe, SupCon, parts
from commonspace.methods.baselines import joint_training
from commonspace.methods.baselines.joint import JointMethod, PairedMethod
from commonspace.methods.baselines.joint_draw import balanced
from commonspace.methods.baselines.joint_training import Affine
from commonspace.networks import Dropout
from commonspace.training import Run

TINY = {"hidden": (8,), "epochs": 3, "batch_size": 10}
SEEN: list = []


@dataclass(eq=False, repr=False, kw_only=True)
class Own(JointMethod):
    """Notes its batches; a constant target keeps the loss a loss."""

    dim: int = 4
    kept: int = field(default=2)

    def _loss(self, batch):
        SEEN.append(batch)
        return batch.mean_over_modalities(lambda name: (batch.z[name] - 1).square().mean())


@dataclass(eq=False, repr=False, kw_only=True)
class Paired(PairedMethod):
    """The same on pairs, with modules, one of which the vectors pass through."""

    keeps = ("scale",)

    dim: int = 4

    def _make(self, sizes):
        assert sizes.n_classes == 3 and list(sizes.features.values()) == [8, 6]
        return {"scale": nn.Linear(self.dim, 5), "other": nn.Linear(self.dim, 1)}

    def _loss(self, batch):
        SEEN.append(batch)
        z = [batch.modules["scale"](z) for z in batch.z.values()]
        return (z[0] - z[1]).square().mean() + batch.modules["other"](
            batch.z["text"]
        ).square().mean()

    def _embedding(self, modality, z_BE, modules):
        return modules["scale"](z_BE)


@dataclass(eq=False, repr=False, kw_only=True)
class Unlabelled(Paired):
    needs_labels = False


@dataclass(eq=False, repr=False, kw_only=True)
class Balanced(Own):
    balanced = True


@dataclass(eq=False, repr=False, kw_only=True)
class Aligned(Own):
    aligns = True

    def _align(self, z, y):
        return {name: Affine(rows.mean(axis=0), np.eye(4)[:, :2]) for name, rows in z.items()}


@pytest.fixture
def seen():
    SEEN.clear()
    return SEEN


def test_the_arguments_of_all_are_those_of_each():
    model = Own(kept=3, dropout=0.1)
    assert model.get_params()["kept"] == 3 and "hidden" in model.get_params()
    assert "networks_" not in model.get_params()
    with pytest.raises(TypeError):
        Own(3)


def test_matched_batches_show_one_item_a_row(train, seen):
    shuffled = train.take({"text": np.random.default_rng(0).permutation(len(train["text"]))})
    Paired(**TINY).fit(shuffled)
    for batch in seen:
        assert batch.matched
        np.testing.assert_array_equal(batch.items["image"], batch.items["text"])
        np.testing.assert_array_equal(batch.y["image"], batch.y["text"])
        assert torch.equal(batch.same_item("image", "text"), torch.eye(10))
        assert batch.x["image"].shape == (10, 8) and batch.z["text"].shape == (10, 4)
    rows = np.concatenate([batch.items["image"] for batch in seen[:3]])
    assert len(np.unique(rows)) == len(rows)


def test_own_batches_hold_labelled_rows_alone(train, seen):
    codes = {name: part.labels.codes.copy() for name, part in train.items()}
    codes["text"][:20] = -1
    x = {name: part.x for name, part in train.items()}
    Own(**TINY).fit(Dataset.from_arrays(x, codes, classes=train.classes))
    assert not any(batch.matched for batch in seen)
    assert all((batch.y[name].sum(dim=1) == 1).all() for batch in seen for name in batch.y)


def test_a_row_without_a_label_has_that_of_its_partner(train, seen):
    codes = {name: part.labels.codes.copy() for name, part in train.items()}
    codes["image"][:10] = -1  # the text of these says it
    codes["image"][10:15] = codes["text"][10:15] = -1  # nobody does
    x = {name: part.x for name, part in train.items()}
    items = {name: part.items for name, part in train.items()}
    data = Dataset.from_arrays(x, codes, classes=train.classes, items=items)
    fill = Paired(**TINY, validation_fraction=0.0)
    n = len(fill.fit(data)._draw(data, np.sort(train["image"].items)).order["image"])
    assert n == len(train["image"]) - 5
    for batch in seen:
        np.testing.assert_array_equal(batch.y["image"], batch.y["text"])
    everyone = Unlabelled(**TINY)
    order = everyone._draw(data, np.sort(train["image"].items)).order
    assert len(order["image"]) == len(train["image"])


def test_balanced_rows_hold_every_class_alike(seen):
    y = np.eye(3, dtype=np.float32)[[0] * 7 + [1] * 2 + [2]]
    rows = balanced(y, seed=0)
    np.testing.assert_array_equal(y[rows].sum(axis=0), [7, 7, 7])
    np.testing.assert_array_equal(np.unique(rows), np.arange(10))
    data = Dataset.from_arrays({"a": np.random.default_rng(0).normal(size=(10, 3))}, y)
    Balanced(**TINY, validation_fraction=0.0).fit(data)
    total = sum(batch.y["a"].sum(dim=0) for batch in seen[:2])
    assert total.min() >= 4


def test_progress_runs_from_0_to_1_and_is_known_to_a_resumed_training(train, seen, tmp_path):
    class StopError(Exception):
        pass

    class StopAfter:
        def on_epoch(self, name, epoch, epochs, metrics):
            if epoch == 2:
                raise StopError

    whole = Paired(**TINY).fit(train)
    progress = [batch.progress for batch in seen]
    np.testing.assert_allclose(progress, np.arange(len(progress)) / len(progress))
    seen.clear()
    resumed = Paired(**TINY)
    with pytest.raises(StopError):
        resumed.fit(train, run=Run(checkpoints=tmp_path, callbacks=(StopAfter(),)))
    first = len(seen)
    resumed.fit(train, run=Run(checkpoints=tmp_path))
    assert [b.progress for b in seen[first:]] == progress[first:]
    for name in whole.modalities:
        x = train.x(name)
        np.testing.assert_array_equal(whole.transform(name, x), resumed.transform(name, x))


def test_modules_that_vectors_pass_through_are_kept_and_stored(train, tmp_path):
    model = Paired(**TINY).fit(train)
    assert list(model.modules_) == ["scale"] and model.space_.dim == 5
    assert list(model.state().shared) == ["scale.weight", "scale.bias"]


def test_a_linear_step_after_training_is_part_of_the_vectors(train):
    model = Aligned(**TINY).fit(train)
    z = model.transform("image", train.x("image"))
    assert z.shape[1] == model.space_.dim == 2
    back = Aligned(**TINY).restore(
        model.state(),
        space=model.space_,
        meta={k: getattr(model, f"{k}_") for k in ("inputs", "encoders", "history", "training")},
    )
    np.testing.assert_array_equal(back.transform("image", train.x("image")), z)


def test_learning_rates_are_those_of_networks_and_modules(train):
    rates = {"image": 0.1, "scale": 0.2, "*": 0.3}
    model = Paired(learning_rate=rates)
    found = model._rates(["image", "text"], ["scale", "other"])
    assert found == {"image": 0.1, "text": 0.3, "all/scale": 0.2, "all/other": 0.3}
    frozen = Paired(**TINY, learning_rate={"image": 1e-12, "*": 0.01}).fit(train)
    start = Paired(**{**TINY, "epochs": 1}, learning_rate=1e-12).fit(train)
    kept = [m.networks_["image"].layers[0].weight.detach().numpy() for m in (frozen, start)]
    np.testing.assert_allclose(*kept, atol=1e-9)


def test_steps_and_passes_follow_rows_and_width(train):
    data = make_dataset(n_items=1200, n_classes=3)["train"]
    settings = Own()._settings(Own()._draw(data, np.sort(data["image"].items)))
    assert settings.batch_size == 64 and settings.steps == 13
    assert 200 <= settings.steps * settings.epochs <= 3000
    few = Own(epochs=2, batch_size=7)._settings(Own()._draw(train, np.sort(train["image"].items)))
    assert (few.epochs, few.batch_size) == (2, 7)


def test_how_it_trains_is_as_asked(train):
    asked = {
        "epochs": 7,
        "batch_size": 9,
        "betas": (0.5, 0.9),
        "weight_decay": 0.1,
        "clip": 0.3,
        "schedule": "constant",
    }
    draw = Own()._draw(train, np.sort(train["image"].items))
    settings = Own(**asked)._settings(draw)
    assert {key: getattr(settings, key) for key in asked} == asked
    passes = [Own(effort=effort)._settings(draw).epochs for effort in (1.0, 2.0)]
    assert abs(2 * passes[0] - passes[1]) <= 1


def test_features_and_hidden_units_have_a_dropout_of_their_own(train):
    branch = Own(hidden=(8, 6), input_dropout=0.1, dropout=0.4)._branch(5)
    assert branch.dropout.p == 0.1
    hidden = [layer.p for layer in branch.layers.modules() if isinstance(layer, Dropout)]
    assert hidden == [0.4, 0.4]


@pytest.mark.parametrize("kind", [AdaMine, CMPM, Recipe])
def test_unpaired_items_are_paired_by_class_where_asked(kind):
    data = make_dataset(n_items=160, n_classes=4, paired=False, noise=0.3)
    with pytest.raises(InputError, match="pairing='classes'"):
        kind(**TINY).fit(data["train"])
    model = kind(hidden=(32,), epochs=12, batch_size=32, pairing="classes").fit(data["train"])
    assert cs.evaluate(model, data["test"]).mean_ap > 0.5  # chance: 0.25


@pytest.mark.parametrize("kind", [AdaMine, CMPM, DeepSM, Recipe, SupCon])
@pytest.mark.parametrize("label_kind", ["single", "multi"])
def test_they_beat_chance_with_three_modalities(kind, label_kind):
    dims = {"image": 12, "text": 9, "audio": 7}
    data = make_dataset(n_items=200, n_classes=6, dims=dims, label_kind=label_kind, noise=0.3)
    model = kind(hidden=(32,), epochs=6, batch_size=32, learning_rate=0.01, dropout=0.1)
    learned = cs.evaluate(model.fit(data["train"]), data["test"]).mean_ap
    model.set_params(epochs=1, learning_rate=1e-9)
    assert learned > cs.evaluate(model.fit(data["train"]), data["test"]).mean_ap + 0.15


@pytest.mark.parametrize("kind", [CMPM, DeepSM, SupCon])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_few_rows_one_class_and_constant_features(kind, n):
    x = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    x[:, 2] = 1
    for codes in (np.zeros(n, int), np.arange(n) % 2):
        data = Dataset.from_arrays({"a": x, "b": x[:, :3]}, codes, classes=["p", "q"])
        model = kind(hidden=(4,), epochs=2, batch_norm=True).fit(data)
        assert np.isfinite(model.transform("b", x[:, :3])).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"dim": 0},
        {"hidden": 3},
        {"activation": "step"},
        {"dropout": 1.0},
        {"input_dropout": -0.1},
        {"epochs": 0},
        {"effort": 0},
        {"learning_rate": -1},
        {"betas": (0.9,)},
        {"clip": 0},
        {"schedule": "cosine"},
        {"validation_fraction": 1.0},
        {"pairing": "rows"},
        {"batch_norm": "yes"},
    ],
)
def test_arguments_out_of_range_are_named(arguments, train):
    with pytest.raises(InputError, match=next(iter(arguments))):
        Paired(**arguments).fit(train)


def test_a_modality_without_a_label_and_one_alone_are_named(train):
    labels = {"image": train["image"].labels, "text": None}
    x = {name: part.x for name, part in train.items()}
    with pytest.raises(InputError, match="'text': Own learns from labels"):
        Own().fit(Dataset.from_arrays(x, labels, classes=train.classes))
    with pytest.raises(InputError, match="image alone"):
        Paired().fit(train.select(["image"]))


@pytest.fixture
def kept(monkeypatch):
    """The validation losses by epoch of a `Own` whose vectors are dictated, and the epoch kept."""

    def run(sides_by_epoch):
        data = make_dataset(n_items=40, n_classes=2, noise=0.5)["train"]
        shown, weights = iter(sides_by_epoch), []

        def sides(task):
            weights.append(parameters(task.branches["image"]))
            return next(shown)

        monkeypatch.setattr(joint_training.JointTask, "_sides", sides)
        epochs = len(sides_by_epoch) - 2  # the last and the best are looked at once more
        model = Own(hidden=(8,), epochs=epochs, batch_size=5).fit(data)
        found = parameters(model.networks_["image"])
        losses = [row["valid_loss"] for row in model.history_["image"]]
        return losses, [torch.equal(found, each) for each in weights[:epochs]].index(True) + 1

    return run


def parameters(network):
    return torch.cat([p.detach().flatten().clone() for p in network.parameters()])


def sides(places):
    """Two modalities of four items, each with a label of its own, the second in these places."""
    z = np.eye(4, dtype=np.float32)
    return {"image": (z, z), "text": (z[list(places)], z)}


RIGHT, TWO_WRONG, WRONG = sides((0, 1, 2, 3)), sides((1, 0, 2, 3)), sides((1, 2, 3, 0))


def test_the_last_epoch_stays_unless_an_earlier_one_retrieves_clearly_better(kept):
    losses, epoch = kept([RIGHT, WRONG, WRONG, WRONG, RIGHT])
    assert losses[0] == 0 and losses[1] == losses[2] > 0.5 and epoch == 1
    losses, epoch = kept([TWO_WRONG, RIGHT, RIGHT, RIGHT, RIGHT])
    assert losses[0] > 0 and epoch == 3  # as good as the second: later steps are smaller
    assert kept([WRONG, RIGHT, TWO_WRONG, TWO_WRONG, RIGHT])[1] == 2


def test_every_row_trains_where_none_is_asked_to_validate():
    data = make_dataset(n_items=20, n_classes=2)["train"]
    model = Own(hidden=(8,), epochs=1, batch_size=5).fit(data)
    assert model.sizes_ and "valid_loss" not in model.history_["image"][0]
    x = data.x("image")
    alone, held = (
        DeepSM(**TINY, validation_fraction=fraction).fit(data).transform("image", x)
        for fraction in (0.0, 0.3)
    )
    np.testing.assert_array_equal(alone, held)  # one modality alone cannot retrieve across


def test_validation_rows_without_anything_to_find_choose_no_epoch():
    classes = {"image": [0, 0, 1, 1], "text": [2, 2, 3, 3]}
    y = {name: np.eye(4, dtype=np.float32)[codes] for name, codes in classes.items()}
    z = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    assert np.isnan(parts.mean_ap_among({name: (z, y[name]) for name in y}))
    assert not len(parts.average_precisions({name: (z, y[name]) for name in y}))
    both = {"image": (z, y["image"]), "text": (z, y["image"]), "audio": (z, y["text"])}
    found = parts.average_precisions(both)
    assert len(found) == 8 and parts.mean_ap_among(both) == pytest.approx(found.mean())
    expected = score_vectors(z, z, y["image"], y["image"], n_bootstrap=0).mean_ap
    assert found.mean() == pytest.approx(expected)

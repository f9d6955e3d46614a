"""SPDQ: codes, ablations, several modalities, and what the paper leaves open."""

from __future__ import annotations

import numpy as np
import pytest

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods.spdq_training import SPDQTask
from commonspace.training import Run

SMALL = {"shared": 16, "private": 4, "hidden": (16,), "epochs": 3, "batch_size": 32, "bits": 16}
LEARNED = {
    **SMALL,
    "shared": 32,
    "hidden": (32,),
    "epochs": 10,
    "batch_size": 32,
    "dropout": 0.1,
    "bits_per_word": 4,
}


@pytest.fixture(scope="module")
def data():
    return make_dataset(
        n_items=240, n_classes=4, dims={"image": 10, "text": 8, "audio": 6}, noise=0.5, seed=0
    )


@pytest.fixture(scope="module")
def pair(data):
    return data["train"].select(["image", "text"])


@pytest.fixture(scope="module")
def base(pair):
    return cs.SPDQ(**SMALL).fit(pair)


@pytest.fixture(scope="module")
def learned(data):
    return cs.SPDQ(**LEARNED).fit(data["train"])


def test_it_retrieves_and_its_codes_nearly_as_well(learned, data):
    test = data["test"]
    found = cs.evaluate(learned, test).mean_ap
    assert found > 0.8

    class Coded:
        def transform(self, modality, x):
            return learned.decode(learned.encode(modality, x))

    assert cs.evaluate(Coded(), test).mean_ap > 0.9 * found


def test_c_is_orthogonal_and_transform_is_c_s(learned, data):
    import torch

    for name, network in learned.networks_.items():
        c = network.C.numpy()
        np.testing.assert_allclose(c @ c.T, np.eye(len(c)), atol=1e-5)
        x = data["test"].x(name)
        with torch.inference_mode():
            s = network.represent(torch.tensor(x)).shared.numpy()
        assert np.abs(s).max() <= 1
        np.testing.assert_allclose(learned.transform(name, x), s @ c.T, atol=1e-5)


def test_label_codes_know_nothing_but_the_label(learned, data):
    part = data["test"]["text"]
    with pytest.raises(InputError, match="db_coding='label' and only there"):
        learned.encode("text", part.x, db_coding="label")
    with pytest.raises(InputError, match="only there"):
        learned.encode("text", part.x, labels=part.labels)
    with pytest.raises(InputError, match="db_coding"):
        learned.encode("text", part.x, db_coding="lable", labels=part.labels)
    codes = learned.encode("text", part.x, db_coding="label", labels=part.labels)
    for k in range(4):
        assert len(np.unique(codes[part.labels.codes == k], axis=0)) == 1
    assert len(np.unique(codes, axis=0)) == 4
    assert len(np.unique(learned.encode("text", part.x), axis=0)) > 4


def test_rows_without_a_label_have_no_label_code(learned, data):
    part = data["test"]["text"]
    labels = part.labels.codes.copy()
    labels[3] = -1
    with pytest.raises(InputError, match=r"none at row 3\. Use db_coding='encoder'"):
        learned.encode("text", part.x, db_coding="label", labels=labels)


@pytest.mark.parametrize("kind", ["several", "none"])
def test_a_softmax_needs_one_class_a_row(pair, kind):
    tables = {name: pair.labels(name).dense() for name in pair.modalities}
    for table in tables.values():
        table[0] = 1 if kind == "several" else 0
    train = Dataset.from_arrays({name: pair.x(name) for name in tables}, tables)
    with pytest.raises(InputError, match="sigmoid=None or True"):
        cs.SPDQ(**SMALL, sigmoid=False).fit(train)


def test_scores_of_codes_are_dense_products(learned, data):
    x = data["test"].x
    codes, q = learned.encode("text", x("text")), learned.transform("image", x("image"))
    by_table = learned.quantizer_.inner_products(q, codes)
    np.testing.assert_allclose(by_table, q @ learned.decode(codes).T, atol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"private_term": False},
        {"alpha": 0.0},
        {"label_alignment": False},
        {"gamma": 0.0},
        {"lam": 0.0},
        {"codebooks": "labels"},
        {"estimator": "linear", "class_reduction": "sum"},
    ],
    ids=str,
)
def test_every_term_can_be_left_out_and_changes_what_is_learned(data, pair, base, changes):
    train, x = pair, data["test"].x("image")
    model = cs.SPDQ(**{**SMALL, **changes}).fit(train)
    assert np.isfinite(model.transform("image", x)).all()
    codes = model.encode("image", x)
    assert codes.shape == (len(x), 2)
    assert not np.array_equal(base.decode(base.encode("image", x)), model.decode(codes))


def test_items_without_alignment_have_no_label_codes(data):
    part = data["test"]["text"]
    model = cs.SPDQ(**SMALL, label_alignment=False).fit(data["train"])
    with pytest.raises(InputError, match="label_alignment=True"):
        model.encode("text", part.x, db_coding="label", labels=part.labels)


def test_modalities_may_be_unpaired_and_of_different_sizes(data):
    whole = data["train"]
    rows = {"image": np.arange(0, 150), "text": np.arange(90, 160), "audio": np.arange(30, 61)}
    part = whole.take(rows)
    train = Dataset.from_arrays(
        {name: part.x(name) for name in rows}, {name: part.labels(name) for name in rows}
    )
    model = cs.SPDQ(**LEARNED).fit(train)
    assert model.modalities == ("image", "text", "audio")
    assert cs.evaluate(model, data["test"]).mean_ap > 0.6


def test_one_modality_alone_trains(data):
    model = cs.SPDQ(**SMALL).fit(data["train"].select(["text"]))
    assert model.transform("text", data["test"].x("text")).shape[1] == 16


def test_a_killed_training_goes_on_to_the_same_bits(data, tmp_path, monkeypatch):
    train, x = data["train"].select(["image", "text"]), data["test"].x("image")
    whole = cs.SPDQ(**SMALL).fit(train)
    inner = SPDQTask.alternate

    def stop(self, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        inner(self, epoch)

    run = Run(checkpoints=tmp_path, jobs=1)
    with monkeypatch.context() as patch:
        patch.setattr(SPDQTask, "alternate", stop)
        with pytest.raises(KeyboardInterrupt):
            cs.SPDQ(**SMALL).fit(train, run=run)
    resumed = cs.SPDQ(**SMALL).fit(train, run=run)
    np.testing.assert_array_equal(resumed.transform("image", x), whole.transform("image", x))
    np.testing.assert_array_equal(resumed.encode("image", x), whole.encode("image", x))
    assert resumed.history_ == whole.history_


def test_the_published_settings(data):
    published = cs.SPDQ.paper().get_params()
    expected = {"alpha": 1.0, "beta": 1.0, "lam": 0.001, "shared": 256, "private": 48}
    assert expected.items() <= published.items()
    assert published["estimator"] == "linear" and published["codebooks"] == "labels"
    assert published["hidden"] == (4096, 4096) and not published["orthogonal"]
    changed = cs.SPDQ.paper(hidden=(8,), bits=64)
    assert (changed.hidden, changed.bits, changed.lam) == ((8,), 64, 0.001)
    model = cs.SPDQ.paper(**SMALL).fit(data["train"].select(["image", "text"]))
    assert np.isfinite(model.transform("text", data["test"].x("text"))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"bits": 20}, "bits"),
        ({"lam": -1}, "lam"),
        ({"dropout": 1.0}, "dropout"),
        ({"hidden": "512"}, "hidden"),
        ({"estimator": "cubic"}, "estimator"),
        ({"epochs": 0}, "epochs"),
        ({"betas": (0.9,)}, "betas"),
        ({"betas": (0.9, 1.0)}, "betas"),
        ({"sigmoid": "yes"}, "sigmoid"),
    ],
)
def test_wrong_arguments_are_named(data, arguments, message):
    with pytest.raises(InputError, match=message):
        cs.SPDQ(**arguments).fit(data["train"])


def test_a_modality_without_labels_is_named(data):
    train = data["train"].select(["image", "text"])
    labels = {"image": train.labels("image").codes, "text": np.full(len(train["text"]), -1)}
    x = {name: train.x(name) for name in labels}
    with pytest.raises(InputError, match="'text': SPDQ learns from labels"):
        cs.SPDQ(**SMALL).fit(Dataset.from_arrays(x, labels, classes=train.classes))

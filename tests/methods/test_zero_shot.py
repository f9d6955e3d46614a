"""ZeroShot by hand, and its contract over modalities of one width."""

from __future__ import annotations

import doctest
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError, NotFittedError, NotFoundError
from commonspace.methods import ZeroShot
from commonspace.methods.base import Method
from commonspace.methods.baselines import zero_shot

CLIP = {"image": {"id": "clip-image"}, "text": {"id": "clip-text"}}


def pair(seed: int = 0, encoders: Any = None) -> Dataset:
    rng = np.random.default_rng(seed)
    x = {name: rng.normal(size=(9, 4)).astype(np.float32) for name in ("image", "text")}
    return Dataset.from_arrays(x, np.arange(9) % 3, encoders=encoders)


def test_rows_are_scaled_to_unit_length_and_nothing_else():
    model = ZeroShot().fit(pair())
    x = [[3, 4, 0, 0], [0, 0, -2, 0], [0, 0, 0, 0], [1e30, 0, 0, 1e30], [0, 1e-30, 0, 0]]
    half = np.sqrt(0.5)
    expected = [[0.6, 0.8, 0, 0], [0, 0, -1, 0], [0, 0, 0, 0], [half, 0, 0, half], [0, 1, 0, 0]]
    for name in ("image", "text"):
        z = model.transform(name, x)
        np.testing.assert_allclose(z, expected, rtol=1e-6)
        assert z.dtype == np.float32
        assert model.transform(name, np.empty((0, 4))).shape == (0, 4)


def test_it_ranks_as_the_cosine_of_the_features_does():
    made = make_dataset(n_items=60, n_classes=3, dims={"image": 6})["train"]["image"]
    noisy = made.x + np.random.default_rng(0).normal(size=made.x.shape).astype(np.float32)
    data = Dataset.from_arrays({"image": made.x, "copy": noisy}, made.labels)
    raw = type("Raw", (), {"transform": lambda self, modality, x: x})()
    found, expected = (cs.evaluate(m, data).mean_ap for m in (ZeroShot().fit(data), raw))
    assert found == pytest.approx(expected, abs=1e-9) and found > 0.5


def test_other_widths_are_refused():
    x = {"image": np.eye(3, 4), "text": np.eye(3, 5)}
    with pytest.raises(InputError, match=r"'text': .* 4 of them as modality 'image' has, got 5"):
        ZeroShot().fit(Dataset.from_arrays(x, [0, 1, 0]))
    model = ZeroShot().fit(pair())
    with pytest.raises(InputError, match=r"'audio': .* 4 of them as the space has, got 3"):
        model.fit_modality("audio", np.eye(3), [0, 1, 0])
    assert model.modalities == ("image", "text")
    with pytest.raises(InputError, match=r"'text': expected 4 features .* got 3"):
        model.transform("text", np.eye(3))


def test_models_over_the_same_encoders_share_a_space():
    first, second = (ZeroShot().fit(pair(seed, CLIP)) for seed in (0, 1))
    first.space_.check_same(second.space_, where="here")
    other = ZeroShot().fit(pair(0, {**CLIP, "text": {"id": "bert"}}))
    assert other.space_.fingerprint != first.space_.fingerprint
    unknown, again, elsewhere = (ZeroShot().fit(pair(seed)) for seed in (0, 0, 1))
    assert unknown.space_.fingerprint == again.space_.fingerprint
    assert unknown.space_.fingerprint != elsewhere.space_.fingerprint


@pytest.mark.parametrize("labels", [None, np.eye(9, 3)[::-1] * 0.5])
def test_no_labels_or_any_labels(labels):
    x = {name: part.x for name, part in pair().items()}
    data = Dataset.from_arrays(x, labels, classes=["a", "b", "c"])
    assert ZeroShot().fit(data).space_.classes == ("a", "b", "c")


def test_a_modality_joins_later(tmp_path):
    model = ZeroShot().fit(pair(encoders=CLIP))
    before = model.space_.fingerprint
    cs.save(model, tmp_path)
    files = {p.name: p.read_bytes() for p in tmp_path.glob("*.safetensors")}
    model.fit_modality("audio", np.eye(4), ["1", "bark", None, "1"], encoder={"id": "clap"})
    assert model.modalities == ("image", "text", "audio")
    assert model.space_.fingerprint == before and model.space_.classes[-1] == "bark"
    model.fit_modality("video", np.eye(4), None)
    cs.save(model, tmp_path)
    assert all((tmp_path / name).read_bytes() == content for name, content in files.items())


def test_saved_and_loaded_it_answers_the_same_bits(tmp_path):
    data = pair(encoders=CLIP)
    model = ZeroShot(random_state=3).fit(data)
    cs.save(model, tmp_path / "a")
    back = cs.load(tmp_path / "a")
    cs.save(back, tmp_path / "b")
    for name, part in data.items():
        z = model.transform(name, part.x)
        np.testing.assert_array_equal(back.transform(name, part.x), z)
    assert back.get_params() == {"random_state": 3} and back.training_ == model.training_
    assert back.space_.fingerprint == model.space_.fingerprint
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / f).iterdir()} for f in "ab")
    assert first == second


def test_the_rest_of_the_contract():
    data = pair()
    before = data.fingerprint()
    model = ZeroShot()
    with pytest.raises(NotFittedError, match="this ZeroShot is not fitted"):
        model.transform("image", np.eye(4))
    assert model.fit(data) is model and data.fingerprint() == before
    assert model.fit(data, data).modalities == ("image", "text")
    assert isinstance(model, Method) and clone(model).get_params() == model.get_params()
    z = model.transform("image", data.x("image"))
    assert not np.shares_memory(z, data.x("image")) and z.flags.writeable
    np.testing.assert_array_equal(model.transform("image", data.x("image")[4:5]), z[4:5])
    with pytest.raises(NotFoundError, match="modality named 'txet'"):
        model.transform("txet", np.eye(4))
    with pytest.raises(InputError, match="'image': expected finite numbers"):
        model.transform("image", [[np.nan, 0, 0, 0]])


def test_the_example():
    assert doctest.testmod(zero_shot).attempted and not doctest.testmod(zero_shot).failed

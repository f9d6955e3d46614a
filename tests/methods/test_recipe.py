"""The default recipe of SDML: what it is better at, and what it must survive."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.evaluation import chance
from commonspace.methods.calibration import calibrated_error, fit_temperature
from commonspace.methods.sdml_job import make_jobs
from commonspace.methods.sdml_posterior import PosteriorPart
from commonspace.methods.sdml_settings import EXPERTS, RELEASED_RATES
from commonspace.methods.sdml_training import assemble, fit_network, trainings_of
from commonspace.networks.posterior import FILL
from commonspace.training import Run

SMALL = {"dim": 128, "hidden": (32,), "epochs": 3, "schedule": "serial"}


def vectors(model: cs.SDML, data: Dataset) -> dict[str, np.ndarray]:
    return {name: model.transform(name, part.x) for name, part in data.items()}


def check_finite(model: cs.SDML, data: Dataset) -> None:
    for name, z in vectors(model, data).items():
        assert np.isfinite(z).all(), name
        assert np.linalg.norm(z, axis=1).min() > 0.01, name  # a cosine exists
    for state in model.state().parts.values():
        assert all(np.isfinite(array).all() for array in state.arrays.values())


def circles(n: int = 240, n_classes: int = 4, seed: int = 0) -> Dataset:
    """Classes on nested circles: nothing linear tells them apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes

    def show(width: int, mix: np.ndarray) -> np.ndarray:
        angle = rng.uniform(0, 2 * np.pi, n)
        radius = 1 + y + 0.15 * rng.normal(size=n)
        plane = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        return (plane @ mix + 0.05 * rng.normal(size=(n, width))).astype(np.float32)

    maps = np.random.default_rng(9)
    x = {"image": show(6, maps.normal(size=(2, 6))), "text": show(3, maps.normal(size=(2, 3)))}
    return Dataset.from_arrays(x, y, classes=[f"ring-{k}" for k in range(n_classes)])


@pytest.mark.parametrize(
    "make", [cs.SDML.fast, pytest.param(cs.SDML, marks=pytest.mark.slow)], ids=["fast", "default"]
)
def test_it_beats_chance_and_linear_methods_where_classes_are_not_linear(make):
    train, test = circles(160), circles(seed=1)
    score = cs.evaluate(make().fit(train, run=Run(jobs=1)), test).mean_ap
    linear = cs.evaluate(cs.SM().fit(train), test).mean_ap
    assert score > 0.25 + 0.4 and score > linear + 0.2


def pair(
    n: int = 40, n_classes: int = 4, *, widths: tuple[int, int] = (6, 3), seed: int = 0
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    x = {
        name: rng.normal(size=(n_classes, width))[y] * 3 + rng.normal(size=(n, width))
        for name, width in zip(("image", "text"), widths, strict=True)
    }
    return {name: value.astype(np.float32) for name, value in x.items()}, y


HARD = {
    "one row a class": lambda: pair(6, 6),
    "two rows a class": lambda: pair(12, 6),
    "one class only": lambda: pair(20, 1),
    "one row in all": lambda: pair(1, 1),
    "two rows in all": lambda: pair(2, 2),
    "17 rows, batches of 16": lambda: pair(17, 2),
    "two features": lambda: pair(40, 4, widths=(2, 2)),
    "one feature": lambda: pair(40, 4, widths=(1, 1)),
    "300 classes": lambda: pair(600, 300),
}


@pytest.mark.parametrize("name", HARD)
def test_small_and_odd_sets_train(name):
    x, y = HARD[name]()
    data = Dataset.from_arrays(x, y)
    check_finite(cs.SDML(**SMALL).fit(data), data)


@pytest.mark.parametrize("kind", ["single", "multi"])
def test_more_classes_than_dimensions_train(kind):
    x, y = pair(72, 12, widths=(12, 10))
    labels = y if kind == "single" else np.maximum(np.eye(12)[y], np.eye(12)[(y * 7 + 1) % 12])
    data = Dataset.from_arrays(x, labels)
    model = cs.SDML(**{**SMALL, "dim": 8, "epochs": 30, "learning_rate": 1e-2}).fit(data)
    check_finite(model, data)
    assert cs.evaluate(model, data).mean_ap > chance(data).mean_ap + 0.2


CHANGES = {
    "constant features": lambda x: np.full_like(x, 7),
    "all zero": np.zeros_like,
    "one constant feature": lambda x: np.hstack([x, np.full((len(x), 1), 1e8, np.float32)]),
    "duplicated rows": lambda x: np.repeat(x[:4], len(x) // 4, axis=0),
    "the first half is one row": lambda x: np.vstack([np.tile(x[:1], (20, 1)), x[20:]]),
    "scale 1e-8": lambda x: x * np.float32(1e-8),
    "scale 1e8": lambda x: x * np.float32(1e8),
    "scale 1e-30": lambda x: x * np.float32(1e-30),
    "scale 1e30": lambda x: x * np.float32(1e30),
    "the largest numbers": lambda x: np.float32(3.4e38) * np.sign(x),
    "one outlier": lambda x: np.vstack([x[:-1], 1e20 * np.ones_like(x[:1])]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_odd_features_train(change):
    x, y = pair()
    odd = {"image": CHANGES[change](x["image"]), "text": x["text"]}
    data = Dataset.from_arrays(odd, y)
    check_finite(cs.SDML(**SMALL).fit(data), data)


def test_features_smaller_than_normal_numbers_train():
    x, y = pair()
    data = Dataset.from_arrays({"image": x["image"] * np.float32(1e-41)}, y)
    check_finite(cs.SDML(**SMALL).fit(data), data)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_the_scale_of_features_does_not_matter(scale):
    x, y = pair()
    plain = cs.SDML(**SMALL).fit(Dataset.from_arrays(x, y))
    other = {name: value * np.float32(scale) for name, value in x.items()}
    scaled = cs.SDML(**SMALL).fit(Dataset.from_arrays(other, y))
    for name in x:
        np.testing.assert_allclose(
            scaled.transform(name, other[name]), plain.transform(name, x[name]), atol=0.02
        )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_labelled", [1, 2, 8])
def test_nearly_everything_unlabelled(n_labelled, seed):
    x, y = pair(160, 4)
    known = np.full(160, -1)
    known[np.random.default_rng(seed).choice(160, n_labelled, replace=False)] = 0
    known = np.where(known == 0, y, -1)
    data = Dataset.from_arrays(x, known, classes=["a", "b", "c", "d"])
    check_finite(cs.SDML(**{**SMALL, "random_state": seed}).fit(data), data)


def test_without_any_label_it_says_what_to_do():
    x, _ = pair()
    data = Dataset.from_arrays(x, np.full(40, -1), classes=["a", "b"])
    with pytest.raises(InputError, match="learns from labels"):
        cs.SDML(**SMALL).fit(data)


def test_a_class_that_only_validation_rows_have():
    x, y = pair()
    train = Dataset.from_arrays({k: v[y < 3] for k, v in x.items()}, y[y < 3], classes=list("abcd"))
    valid = Dataset.from_arrays(
        {k: v[y == 3] for k, v in x.items()}, y[y == 3], classes=list("abcd")
    )
    check_finite(cs.SDML(**SMALL).fit(train, valid), valid)


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"batch_size": 7}, {"batch_size": 1000}])
@pytest.mark.parametrize("fraction", [0, 0.5])
def test_batch_norm_with_batches_of_any_size(settings, fraction):
    x, y = pair(21, 3)
    data = Dataset.from_arrays(x, y)
    model = cs.SDML(**SMALL, **settings, validation_fraction=fraction).fit(data)
    check_finite(model, data)


@pytest.mark.parametrize("label_kind", ["single", "multi"])
def test_serial_and_parallel_and_one_by_one_are_the_same_bits(label_kind):
    """And a modality that joins later learns what it would have learned from the start."""
    data = make_dataset(
        n_items=60,
        n_classes=3,
        dims={"image": 8, "text": 6, "audio": 5},
        label_kind=label_kind,
        noise=0.3,
    )
    train, test = data["train"], data["test"]
    serial = vectors(cs.SDML(**SMALL).fit(train), test)
    parallel = cs.SDML(**{**SMALL, "schedule": "parallel"}).fit(train, run=Run(jobs=2))
    grown = cs.SDML(**SMALL).fit(train.select(["image", "text"]))
    part = train["audio"]
    grown.fit_modality("audio", part.x, part.labels, items=part.items)
    for name, z in serial.items():
        np.testing.assert_array_equal(parallel.transform(name, test.x(name)), z)
        np.testing.assert_array_equal(grown.transform(name, test.x(name)), z)


class StopError(RuntimeError):
    pass


class StopAfter:
    """Stop in an epoch of one training; note all epochs."""

    def __init__(self, name: str, epoch: int) -> None:
        self.at, self.seen = (name, epoch), []

    def on_epoch(self, name, epoch, epochs, metrics):
        self.seen.append((name, epoch))
        if (name, epoch) == self.at:
            raise StopError


def test_every_network_is_a_training_that_goes_on_where_it_stood(tmp_path):
    train = make_dataset(n_items=60, n_classes=3, dims={"image": 8, "text": 6})["train"]
    whole = cs.SDML(**SMALL).fit(train)
    stop, watch = StopAfter("text/light0", 2), StopAfter("nothing", 0)
    with pytest.raises(StopError):
        cs.SDML(**SMALL).fit(train, run=Run(jobs=1, checkpoints=tmp_path, callbacks=(stop,)))
    run = Run(jobs=1, checkpoints=tmp_path, callbacks=(watch,))
    resumed = cs.SDML(**SMALL).fit(train, run=run)
    networks = [
        f"{name}/{key}" for name in train for key in ("strong0", "light0", "strong1", "light1")
    ]
    assert stop.seen + watch.seen == [(key, epoch) for key in networks for epoch in (1, 2, 3)]
    assert resumed.history_ == whole.history_
    for name, z in vectors(whole, train).items():
        np.testing.assert_array_equal(resumed.transform(name, train.x(name)), z)


def test_networks_of_a_modality_share_passes_and_batches_and_nothing_else():
    """Three of them train beside one that knows nothing of them, and it learns the same."""
    train = make_dataset(n_items=60, n_classes=3, dims={"image": 8}, seed=3)["train"]
    model = cs.SDML(**{**SMALL, "epochs": None, "effort": 0.05, "landmarks": 0})
    space = cs.Space.create(128, train.classes).with_modalities(train)
    job = make_jobs(model, train, None, space, several=False)["image"]
    trainings = trainings_of(job)
    assert len({one["seed"] for one in trainings.values()}) == len(trainings) == 4
    assert len({(one["epochs"], one["batch_size"]) for one in trainings.values()}) == 1
    np.testing.assert_array_equal(
        np.concatenate([one["held"] for one in trainings.values()]), job["held"]
    )
    done = {key: fit_network(job=one, checkpoint=None) for key, one in trainings.items()}
    encoder, history = assemble(job, done)
    x = torch.tensor(train.x("image"))
    with torch.inference_mode():
        alone = [network.posterior(network.inputs(x)) for network, _ in done.values()]
        together = encoder.posterior(encoder.inputs(x))
    np.testing.assert_allclose(together, torch.stack(alone).mean(dim=0), atol=1e-6)
    assert [row["epoch"] for row in history] == list(
        range(1, trainings["image/light1"]["epochs"] + 1)
    )
    for at, row in enumerate(history):
        losses = {key: rows[at]["valid_loss"] for key, (_, rows) in done.items()}
        assert {key: row[f"valid_loss/{key}"] for key in losses} == losses
        assert row["valid_loss"] == pytest.approx(np.mean(list(losses.values())))
        assert row["train_loss"] == pytest.approx(
            sum(r[at]["train_loss"] for _, r in done.values())
        )


def test_what_is_learned_does_not_depend_on_the_threads_around_it():
    data = make_dataset(n_items=60, n_classes=3)
    before, first = torch.get_num_threads(), cs.SDML(**SMALL).fit(data["train"])
    try:
        torch.set_num_threads(2)
        second = cs.SDML(**SMALL).fit(data["train"])
    finally:
        torch.set_num_threads(before)
    for (_, one), (_, other) in zip(
        first.state().parts.items(), second.state().parts.items(), strict=True
    ):
        for key, array in one.arrays.items():
            np.testing.assert_array_equal(array, other.arrays[key])


def test_the_presets_are_the_settings_they_document():
    default = cs.SDML().get_params()
    fast = {**default, "hidden": (256, 256), "effort": 0.5, "learning_rate": 5e-3, "members": 1}
    assert cs.SDML.fast().get_params() == fast
    assert cs.SDML.best().get_params() == {**default, "members": 5}
    published = cs.SDML.paper().get_params()
    assert (published["variant"], published["lam"], published["dim"]) == ("code", 0.5, 512)
    assert published["hidden"] == (1024, 1024) and published["standardize"] is False
    assert (published["epochs"], published["batch_size"]) == (200, 100)
    assert published["betas"] == (0.5, 0.999)
    assert published["learning_rate"] == RELEASED_RATES == {"image": 1e-4, "*": 2e-4}
    for preset in (cs.SDML.fast, cs.SDML.best, cs.SDML.paper):
        changed = preset(dim=64, random_state=3, hidden=(8,))
        assert (changed.dim, changed.random_state, changed.hidden) == (64, 3, (8,))


def test_best_trains_five_networks_of_each_kind():
    x, y = pair()
    data = Dataset.from_arrays(x, y)
    model = cs.SDML.best(**SMALL).fit(data)
    encoder = model.networks_["image"]
    assert sorted(encoder.experts) == sorted(f"{key}{i}" for key in EXPERTS for i in range(5))
    first, second = (encoder.experts[f"strong{i}"][-1][0].weight for i in (0, 1))
    assert not np.allclose(first.detach(), second.detach())
    check_finite(model, data)


def test_one_regularisation_alone_has_its_networks_alone():
    x, y = pair()
    data = Dataset.from_arrays(x, y)
    both = cs.SDML(**{**SMALL, "members": 1}).fit(data).networks_["image"].experts
    one = cs.SDML(**{**SMALL, "members": 1}, regularization="light").fit(data)
    assert list(one.networks_["image"].experts) == ["light0"]
    assert sorted(both) == ["light0", "strong0"]
    with pytest.raises(InputError, match="regularization: expected one of 'both', 'strong', 'lig"):
        cs.SDML(regularization="none").fit(data)


def test_the_projection_of_a_vector_is_a_posterior():
    x, y = pair()
    data = Dataset.from_arrays(x, y)
    model = cs.SDML(**{**SMALL, "epochs": 60}).fit(data)
    for name in x:
        q = model.transform(name, x[name]) @ model.space_.P
        np.testing.assert_allclose(q.sum(axis=1), 1, atol=1e-5)
        assert q.min() > -1e-6 and (q.argmax(axis=1) == y).mean() > 0.7


def test_the_data_say_how_many_steps():
    """15 to 50 passes, fewer for wide inputs; 300 to 6000 steps; batches of an eighth."""
    from commonspace.methods.sdml_settings import settings_for

    def steps(n: int, n_features: int = 1024, **changes) -> tuple[int, int]:
        job = {
            "name": "image",
            "x": np.empty((n, n_features), np.float32),
            "options": {},
            "batch_size": None,
            "epochs": None,
            "effort": 1.0,
            "betas": (0.9, 0.99),
            "schedule": "one-cycle",
        }
        found = settings_for({**job, **changes}, n)
        return found.batch_size, found.epochs * max(1, n // found.batch_size)

    assert steps(1) == (16, 300) and steps(100) == (16, 300)
    assert steps(2000) == (128, 20 * 15) and steps(2000, 100) == (128, 50 * 15)
    assert steps(4000, 4096) == (128, 15 * 31)
    assert steps(10**5, 100) == (128, 8 * 781)  # a whole number of passes near 6000 steps
    assert steps(10**6, 2) == (128, 7812)  # at least one pass
    assert steps(2000, effort=0.2) == (128, 60) and steps(2000, epochs=2) == (128, 30)
    assert steps(2000, batch_size=100) == (100, 400)


@pytest.fixture(scope="module")
def fitted_and_part():
    """A fitted model, and what one of its modalities trained on, with the networks it found."""
    data = make_dataset(n_items=200, n_classes=4, dims={"image": 12, "text": 9}, noise=0.8, seed=2)
    train = data["train"]
    model = cs.SDML(dim=64, hidden=(16,), epochs=8, schedule="serial").fit(train)
    part = PosteriorPart(make_jobs(model, train, None, model.space_, several=False)["image"])
    part.encoder.load_state_dict(model.networks_["image"].state_dict())
    part.encoder.eval()
    return model, part


def test_every_network_holds_back_rows_of_its_own_and_learns_from_all_others(fitted_and_part):
    _, part = fitted_and_part
    n = len(part.x)
    assert len(part.held) == len(part.networks) == 4
    for key, held in part.held.items():
        assert 0.05 * n < len(held) < 0.15 * n
        np.testing.assert_array_equal(np.sort([*part.rows[key], *held]), np.arange(n))
    assert len({tuple(held) for held in part.held.values()}) == 4


def test_validation_rows_of_the_callers_leave_every_row_to_learn_from():
    splits = make_dataset(n_items=100, n_classes=3, dims={"image": 6}, seed=0)
    model = cs.SDML(**SMALL).fit(splits["train"], splits["test"])
    job = make_jobs(model, splits["train"], splits["test"], model.space_, several=False)["image"]
    part = PosteriorPart(job)
    assert not part.held
    assert all(len(rows) == len(part.x) for rows in part.rows.values())


def test_what_is_kept_is_calibrated_and_selected_on_the_rows_held_back(fitted_and_part):
    """The temperature, and an error in the history, are those of the held rows alone."""
    model, part = fitted_and_part
    for k, (key, expert) in enumerate(part.networks.items()):
        rows = part.held[key]
        with torch.inference_mode():
            logits = expert(part.encoder.inputs(torch.tensor(part.x[rows]))).double().numpy()
        y = part.labels[rows].toarray().astype(float)
        found = fit_temperature(logits, y, several=False)
        assert float(part.encoder.temperature[k]) == pytest.approx(found, rel=1e-4)
        curve = [entry[f"valid_loss/{key}"] for entry in model.history_["image"]]
        error = calibrated_error(logits, y, several=False)
        assert error in (pytest.approx(curve[-1], rel=1e-4), pytest.approx(min(curve), rel=1e-4))
    assert len(set(part.encoder.temperature.tolist())) == 4


def test_a_fitted_vector_has_its_components_in_its_own_place(fitted_and_part):
    model, part = fitted_and_part
    z = model.transform("image", part.x).astype(float)
    q = z @ model.space_.P
    first, end = model.space_.place("image")
    own = z @ model.space_.basis[:, first:end]
    expected = FILL * (1 - np.square(q).sum(axis=1))
    np.testing.assert_allclose(np.square(own).sum(axis=1), expected, atol=1e-5)
    scaled = np.clip((part.x - part.x.mean(axis=0)) / part.x.std(axis=0), -10, 10)
    u = PCA(8, whiten=True).fit_transform(scaled)
    cosines = normalize(own) @ normalize(own).T
    np.testing.assert_allclose(cosines, normalize(u) @ normalize(u).T, atol=1e-3)


@pytest.mark.parametrize("members", [1, 2])
def test_what_tells_more_may_stay_louder_and_is_so_for_all_parts(members):
    """A few loud features of an embedding tell the classes, many faint ones tell nothing."""
    rng = np.random.default_rng(3)
    y = rng.integers(3, size=400)
    tells = 4 * (rng.normal(size=(3, 4))[y] + rng.normal(size=(400, 4)))
    faint = 0.2 * rng.normal(size=(400, 60))
    x = np.column_stack([tells, faint]).astype(np.float32)
    data = cs.Dataset.from_arrays({"image": x, "text": x / x.std(axis=0)}, labels=y)
    model = cs.SDML(**{**SMALL, "members": members}).fit(data)
    image, text = model.networks_["image"], model.networks_["text"]
    spread = x.std(axis=0)
    expected = spread / np.sqrt(np.square(spread).mean())
    np.testing.assert_allclose(image.inputs.loudness, expected, rtol=1e-4)
    assert (text.inputs.loudness == 1).all()
    scaled = np.clip((x - x.mean(axis=0)) / spread, -10, 10) * expected
    np.testing.assert_allclose(image.inputs(torch.from_numpy(x)), scaled, atol=1e-4)
    rows = np.linspace(0, 399, len(image.kernel.landmarks)).astype(int)
    np.testing.assert_allclose(image.kernel.landmarks, scaled[rows], atol=1e-4)
    alone = cs.SDML(**{**SMALL, "members": members}).fit(data.select(["image"]))
    np.testing.assert_array_equal(alone.transform("image", x), model.transform("image", x))


def test_an_encoder_of_before_there_was_a_loudness_has_every_feature_alike(fitted_and_part):
    encoder = fitted_and_part[1].encoder
    state = {key: value for key, value in encoder.state_dict().items() if key != "inputs.loudness"}
    before = encoder.inputs.loudness.clone()
    encoder.inputs.loudness.fill_(7)
    encoder.load_state_dict(state)
    assert (encoder.inputs.loudness == 1).all()
    encoder.inputs.loudness.copy_(before)


def test_landmarks_are_training_rows_and_may_be_left_out():
    data = make_dataset(n_items=60, n_classes=3, dims={"image": 6, "text": 5}, seed=4)["train"]
    machine = cs.SDML(**SMALL, landmarks=20).fit(data).networks_["image"]
    assert tuple(machine.kernel.landmarks.shape) == (20, 6)
    rows = machine.inputs(torch.tensor(data.x("image")))
    taken = np.linspace(0, len(rows) - 1, 20).astype(int)
    np.testing.assert_allclose(machine.kernel.landmarks, rows[taken], atol=1e-6)
    without = cs.SDML(**SMALL, landmarks=0).fit(data)
    assert without.networks_["text"].kernel is None
    assert not any("kernel" in key for key in without.state().parts["text"].arrays)
    with pytest.raises(InputError, match="landmarks: expected"):
        cs.SDML(landmarks=-1).fit(data)
    with pytest.raises(InputError, match=r"landmarks: expected .* up to 8192, got 8193"):
        cs.SDML(landmarks=8193).fit(data)  # more rows than the kernel machine learns from


def test_a_model_of_before_the_kernel_machine_still_answers():
    """Its options do not speak of landmarks."""
    data = make_dataset(n_items=60, n_classes=3, dims={"image": 6}, seed=4)["train"]
    model = cs.SDML(**SMALL, landmarks=0).fit(data)
    state = model.state()
    for part in state.parts.values():
        del part.info["network"]["landmarks"]
    meta = {
        name: getattr(model, f"{name}_") for name in ("inputs", "encoders", "history", "training")
    }
    back = cs.SDML(**SMALL).restore(state, space=model.space_, meta=meta)
    x = data.x("image")
    np.testing.assert_array_equal(back.transform("image", x), model.transform("image", x))

"""What every method in `commonspace.methods.__all__` promises."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

import commonspace as cs
from commonspace import methods
from commonspace.data import Dataset
from commonspace.errors import (
    InputError,
    NotFittedError,
    NotFoundError,
    StorageError,
    UnsupportedError,
)
from commonspace.methods.base import Method
from commonspace.store.models import read_manifest


@dataclass(frozen=True)
class Case:
    """A method with settings that make it tiny.

    Attributes:
        method: Name in `commonspace.methods`.
        settings: Arguments.
        random: Whether ``random_state`` changes what is learned.
        grows: Whether `fit_modality` takes classes that `fit` has not seen.
        unlabelled: Whether one modality among others may be without any label.
        apart: Whether modalities learn nothing from each other, so that one added later is as if
            it had always been there.
        dim: Argument that sets the dimensions; None where they are the classes.
    """

    method: str
    settings: dict[str, Any] = field(default_factory=dict)
    random: bool = True
    grows: bool = True
    unlabelled: bool = False
    apart: bool = True
    dim: str | None = "dim"

    @property
    def kind(self) -> type[Method]:
        return getattr(methods, self.method)

    def make(self, **changes: Any) -> Method:
        return self.kind(**{**self.settings, **changes})


NETWORK = {"dim": 8, "hidden": (16,), "epochs": 3, "batch_size": 16, "schedule": "serial"}
UNIFIED = {"dim": 8, "width": 12, "hidden": (16,), "steps": 10, "batch_size": 8, "memory": 12}
METRIC = {"dim": 8, "hidden": (16,), "epochs": 3, "batch_size": 16}
PUBLISHED = {"standardize": False, "batch_norm": False, "init_std": 0.02, "schedule": "constant"}
JOINT = {"hidden": (16,), "epochs": 3, "batch_size": 16}
CASES = {
    "CCA": Case("CCA", {"dim": 8}, random=False, unlabelled=True),
    "CFA": Case("CFA", {"dim": 8}, random=False, unlabelled=True),
    "KCCA": Case("KCCA", {"dim": 8, "landmarks": 20}, unlabelled=True),
    "MCCA": Case("MCCA", {"dim": 8}, random=False, unlabelled=True),
    "MLCCA": Case("MLCCA", {"dim": 8}, random=False),
    "PLS": Case("PLS", {"dim": 8}, random=False, unlabelled=True),
    "ThreeViewCCA": Case("ThreeViewCCA", {"dim": 8}, random=False, unlabelled=True),
    "ACMR": Case("ACMR", {**JOINT, "dim": 8}),
    "ACMR parity": Case("ACMR", {**JOINT, "dim": 8, "parity": True}),
    "CBTLite": Case("CBTLite", {**JOINT, "width": 8}, dim=None),
    "CCLLite": Case(
        "CCLLite", {**JOINT, "dim": 8, "code": 6, "code_hidden": (12,), "code_epochs": 2}
    ),
    "CDQ": Case("CDQ", {**JOINT, "dim": 8, "bits": 16, "bits_per_word": 4}),
    "MvDN": Case("MvDN", {**JOINT, "dim": 8, "width": 12, "common": (10,)}),
    "MvLDAN": Case("MvLDAN", {**JOINT, "dim": 8}),
    "MvLDAN pairs": Case("MvLDAN", {**JOINT, "dim": 8, "correlation": 0.01}),
    "AdaMine": Case("AdaMine", {**JOINT, "dim": 8}),
    "CMPM": Case("CMPM", {**JOINT, "dim": 8}),
    "CMPM alone": Case("CMPM", {**JOINT, "dim": 8, "classify": False}),
    "CorrAE": Case("CorrAE", {**JOINT, "dim": 8}),
    "DCCA": Case("DCCA", {**JOINT, "dim": 4}),
    "DCCAE": Case("DCCAE", {**JOINT, "dim": 4}),
    "DeepSM": Case("DeepSM", JOINT, grows=False, dim=None),
    "Recipe": Case("Recipe", {**JOINT, "dim": 8}),
    "SupCon": Case("SupCon", {**JOINT, "dim": 8}),
    "SDML": Case("SDML", NETWORK),
    "SDML code": Case("SDML", {**NETWORK, "variant": "code", "standardize": True}, unlabelled=True),
    "SDML paper": Case(
        "SDML", {**NETWORK, "variant": "paper", "standardize": False}, unlabelled=True
    ),
    "SPDQ": Case(
        "SPDQ",
        {
            "bits": 16,
            "bits_per_word": 4,
            "shared": 8,
            "private": 4,
            "hidden": (16,),
            "epochs": 3,
            "batch_size": 16,
        },
        dim="shared",
    ),
    "MSDMML": Case("MSDMML", METRIC, grows=False, apart=False),
    "MSDMML paper": Case("MSDMML", {**METRIC, **PUBLISHED}, grows=False, apart=False),
    "Ridge": Case("Ridge", {"dim": 8}, random=False),
    "Sequential": Case("Sequential", UNIFIED),
    "Sequential lookahead": Case("Sequential", {**UNIFIED, "strategy": "lookahead"}),
    "SM": Case("SM", {"C": 0.1}, random=False, grows=False, dim=None),
    "GMLDA": Case("GMLDA", random=False),
    "GMLDA items": Case("GMLDA", {"align": "items"}, random=False),
    "MvDA": Case("MvDA", {"view_consistency": 0.0}, random=False),
    "MvDA-VC": Case("MvDA", random=False),
    "JRL": Case("JRL", {"neighbours": 5}, random=False, dim=None),
    "GSSSL": Case("GSSSL", {"neighbours": 5}, random=False, dim=None),
}

# Take no modalities of different widths, as these tests have: see tests/methods of each.
ONE_WIDTH = {"ZeroShot"}


def cases(wanted: Callable[[Case], bool]) -> pytest.MarkDecorator:
    """Run a test for every case that is wanted."""
    chosen = [pytest.param(case, id=name) for name, case in CASES.items() if wanted(case)]
    return pytest.mark.parametrize("case", chosen)


each = cases(lambda case: True)


@pytest.fixture(scope="session")
def fitted(train):
    """Return the fitted model of a case: one for all tests, not to be changed."""

    @cache
    def fit(name: str) -> Method:
        case = CASES[name]
        return case.make(random_state=0).fit(train)

    return lambda case: fit(next(name for name, c in CASES.items() if c is case))


def equal_vectors(first: Method, second: Method, data: Dataset) -> bool:
    return all(
        np.array_equal(first.transform(m, data.x(m)), second.transform(m, data.x(m)))
        for m in first.modalities
    )


def relabelled(data: Dataset, labels: dict[str, Any], classes: Any = None) -> Dataset:
    x = {name: part.x for name, part in data.items()}
    items = {name: part.items for name, part in data.items()}
    return Dataset.from_arrays(x, labels, classes=classes or data.classes, items=items)


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_every_method_has_a_case():
    missing = set(methods.__all__) - {case.method for case in CASES.values()} - ONE_WIDTH
    assert not missing, f"add tiny settings for {missing} to CASES"


@each
def test_arguments_are_stored_untouched(case, train):
    model = case.make()
    before = dict(vars(model))
    assert set(before) == set(model.get_params(deep=False))
    for name, value in case.settings.items():
        assert before[name] is value
    assert model.fit(train) is model
    for name, value in before.items():
        assert getattr(model, name) is value
    learned = set(vars(model)) - set(before)
    assert all(name.endswith("_") for name in learned)


@each
def test_scikit_learn_clones_it(case, fitted):
    model = fitted(case)
    other = clone(model)
    assert other.get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        other.check_fitted()
    assert type(model).__name__ in repr(model)
    assert other.set_params(random_state=5).random_state == 5


@each
def test_the_same_seed_gives_the_same_bits(case, fitted, train, test):
    again = case.make(random_state=0).fit(train)
    assert equal_vectors(fitted(case), again, test)
    assert again.space_.fingerprint == fitted(case).space_.fingerprint
    assert again.fit(train) is again and equal_vectors(fitted(case), again, test)
    other = case.make(random_state=1).fit(train)
    assert equal_vectors(fitted(case), other, test) != case.random


@each
def test_inputs_are_not_changed_and_may_be_memory_maps(case, fitted, train, test, tmp_path):
    before = train.fingerprint(), test.fingerprint()
    mapped = {}
    for name, part in train.items():
        np.save(tmp_path / f"{name}.npy", part.x)
        mapped[name] = np.load(tmp_path / f"{name}.npy", mmap_mode="r")
    data = Dataset.from_arrays(mapped, train["image"].labels, items=train["image"].items)
    model = case.make(random_state=0).fit(data)
    for name in train:
        z = model.transform(name, np.load(tmp_path / f"{name}.npy", mmap_mode="r"))
        np.testing.assert_array_equal(z, fitted(case).transform(name, train.x(name)))
        assert isinstance(z, np.ndarray) and not isinstance(z, np.memmap) and z.flags.writeable
    assert (train.fingerprint(), test.fingerprint()) == before


@each
def test_shapes_and_types(case, fitted, test):
    model = fitted(case)
    assert model.modalities == ("image", "text")
    assert model.inputs_ == {"image": 8, "text": 6} and model.n_features("text") == 6
    for name in model.modalities:
        x = test.x(name)
        z = model.transform(name, x)
        assert z.shape == (len(x), model.space_.dim) and z.dtype == np.float32
        assert np.isfinite(z).all() and z.std() > 0
        for other in (x.tolist(), x.astype(np.float64), np.asfortranarray(x)):
            np.testing.assert_array_equal(model.transform(name, other), z)
        assert model.transform(name, x[:0]).shape == (0, model.space_.dim)
    assert model.space_.classes == test.classes


@each
def test_the_order_of_items_does_not_matter(case, fitted, test):
    model, order = fitted(case), np.random.default_rng(0).permutation(len(test["image"]))
    for name in model.modalities:
        x = test.x(name)
        z = model.transform(name, x)
        np.testing.assert_allclose(model.transform(name, x[order]), z[order], rtol=0, atol=1e-6)
        for row in (0, len(x) - 1):
            one = model.transform(name, x[row : row + 1])
            np.testing.assert_allclose(one[0], z[row], rtol=0, atol=1e-5)


@each
def test_unfitted_use_is_refused(case, test, tmp_path):
    model = case.make()
    uses = [
        lambda: model.transform("image", test.x("image")),
        lambda: model.modalities,
        lambda: model.n_features("image"),
        lambda: model.state(),
        lambda: cs.save(model, tmp_path / "model"),
    ]
    if case.kind.can_add_modality:
        uses.append(lambda: model.fit_modality("a", test.x("audio"), test.labels("audio")))
    for use in uses:
        with pytest.raises(NotFittedError, match=f"this {case.method} is not fitted"):
            use()
    assert not (tmp_path / "model").exists()


@each
def test_saved_and_loaded_it_answers_the_same_bits(case, fitted, test, tmp_path):
    model = fitted(case)
    cs.save(model, tmp_path / "a", scores={"mean_ap": 0.5})
    back = cs.load(tmp_path / "a")
    assert type(back) is type(model) and back.get_params() == model.get_params()
    assert equal_vectors(back, model, test)
    assert back.space_.fingerprint == model.space_.fingerprint
    assert back.history_ == model.history_ and back.training_ == model.training_
    cs.save(back, tmp_path / "b", scores={"mean_ap": 0.5})
    assert files(tmp_path / "a") == files(tmp_path / "b")
    manifest = read_manifest(tmp_path / "a")
    assert manifest["method"] == case.method and manifest["scores"] == {"mean_ap": 0.5}
    assert list(manifest["modalities"]) == ["image", "text"]


@each
def test_saving_twice_leaves_every_byte(case, fitted, tmp_path):
    cs.save(fitted(case), tmp_path)
    first = files(tmp_path), {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.safetensors")}
    cs.save(fitted(case), tmp_path)
    times = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("*.safetensors")}
    assert (files(tmp_path), times) == first


@each
@pytest.mark.parametrize(
    ("modality", "change", "error", "message"),
    [
        ("image", lambda x: x[:, :-1], InputError, "'image': expected 8 features .* got 7"),
        ("text", lambda x: x[0], InputError, r"'text': .* got shape \(6,\)"),
        ("text", lambda x: x[None], InputError, "'text': expected a matrix"),
        ("text", lambda x: np.where(x == x[3, 2], np.nan, x), InputError, "'text': .* row 3, col"),
        ("text", lambda x: np.where(x == x[3, 2], np.inf, x), InputError, "'text': .* got inf"),
        ("text", lambda x: x.astype(str), InputError, "'text': expected numbers"),
        ("txet", lambda x: x, NotFoundError, "modality named 'txet'.*Did you mean 'text'"),
    ],
)
def test_a_wrong_item_is_named(case, fitted, test, modality, change, error, message):
    x = change(test.x("image" if modality == "image" else "text"))
    with pytest.raises(error, match=message):
        fitted(case).transform(modality, x)


def broken(data: Dataset, change: str) -> Any:
    if change == "nan":
        x = data.x("text").copy()
        x[4, 1] = np.nan
        return Dataset.from_arrays({"image": data.x("image"), "text": x}, data.labels("image"))
    if change == "raw":
        words = {"text": np.array(["a", "b"])}
        return Dataset.from_arrays(words, [0, 1])
    if change == "empty":
        return data.take({"text": np.arange(0)})
    return data.x("image")


@each
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("nan", "'text': expected finite numbers, got nan at row 4, column 1"),
        ("raw", "'text': expected numbers"),
        ("empty", "'text': expected at least one row"),
        ("array", "fit: expected a Dataset, got ndarray"),
    ],
)
def test_wrong_training_data_is_named(case, train, change, message):
    model = case.make()
    with pytest.raises(InputError, match=message):
        model.fit(broken(train, change))
    with pytest.raises(NotFittedError):
        model.check_fitted()


@each
def test_a_whole_data_set_is_not_a_split(case, splits, train):
    with pytest.raises(InputError, match=r"splits train, test\. Pass data\['train'\]"):
        case.make().fit(splits)
    with pytest.raises(InputError, match="valid: expected a Dataset, got Splits"):
        case.make().fit(train, splits)


@each
def test_wrong_validation_data_is_named(case, train, test):
    valid = test.select(["image", "text"])
    narrow = Dataset.from_arrays({"text": valid.x("text")[:, 1:]}, valid.labels("text"))
    with pytest.raises(InputError, match="'text': expected 6 features"):
        case.make().fit(train, narrow)
    other = Dataset.from_arrays({"text": valid.x("text")[:2]}, ["class-0", "stranger"])
    with pytest.raises(NotFoundError, match="'stranger'"):
        case.make().fit(train, other)
    assert case.make().fit(train, valid).modalities == ("image", "text")


@each
def test_a_refit_that_fails_leaves_the_model_as_it_was(case, fitted, train, test, monkeypatch):
    model = copy.deepcopy(fitted(case))
    with pytest.raises(InputError):
        model.fit(broken(train, "nan"))
    inner = model._fit

    def fail(_: Method, *arguments: Any) -> None:
        inner(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(type(model), "_fit", fail)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(random_state=5).fit(train)
    assert equal_vectors(model, fitted(case), test) and model.history_ == fitted(case).history_


@each
def test_labels_where_they_are_needed(case, train, test):
    nothing = relabelled(train, {}, train.classes)
    model = case.make()
    if case.kind.needs_labels:
        with pytest.raises(InputError, match=f"{case.method} learns from labels"):
            model.fit(nothing)
    else:
        z = model.fit(nothing).transform("image", test.x("image"))
        assert np.isfinite(z).all()


@each
def test_rows_without_labels_are_welcome(case, train, test):
    codes = {name: part.labels.codes.copy() for name, part in train.items()}
    codes["image"][::3] = -1
    codes["text"][::2] = -1
    model = case.make().fit(relabelled(train, codes))
    for name in model.modalities:
        assert np.isfinite(model.transform(name, test.x(name))).all()


@each
@pytest.mark.parametrize("kind", ["multi", "graded"])
def test_several_and_graded_labels(case, train, test, kind, tmp_path):
    y = train.labels("image").dense()
    y[::2, 0] = 1 if kind == "multi" else 0.4
    y[1] = np.nan
    data = relabelled(train, {"image": y, "text": y})
    assert data.label_kind == kind
    if not case.kind.multi_label:
        with pytest.raises(InputError, match=f"one class a row, got {kind}"):
            case.make().fit(data)
        return
    model = case.make().fit(data)
    cs.save(model, tmp_path)
    assert equal_vectors(cs.load(tmp_path), model, test)
    for name in model.modalities:
        assert np.isfinite(model.transform(name, test.x(name))).all()


@cases(lambda case: case.dim is not None)
def test_more_classes_than_dimensions(case, test, train):
    n = len(train["image"])
    codes = np.arange(n) % 7
    data = relabelled(train, {"image": codes, "text": codes}, [f"c{k}" for k in range(7)])
    model = case.make(**{case.dim: 4}).fit(data)
    assert model.space_.P.shape == (4, 7)
    assert model.transform("text", test.x("text")).shape == (len(test["text"]), 4)


@each
def test_codes(case, fitted, test):
    model = fitted(case)
    if not model.emits_codes:
        assert not hasattr(model, "encode")
        return
    codes = model.encode("image", test.x("image"))
    assert codes.dtype == np.uint8 and len(codes) == len(test["image"])
    assert model.decode(codes).shape == (len(codes), model.space_.dim)
    np.testing.assert_array_equal(model.encode("image", test.x("image")), codes)


adding = cases(lambda case: case.kind.can_add_modality)
adding_apart = cases(lambda case: case.kind.can_add_modality and case.apart)


@each
def test_a_method_that_cannot_add_a_modality_says_so(case, fitted, splits):
    if case.kind.can_add_modality:
        return
    audio = splits["train"]["audio"]
    with pytest.raises(UnsupportedError, match=f"{case.method} cannot add a modality"):
        copy.deepcopy(fitted(case)).fit_modality("audio", audio.x, audio.labels)


@adding
def test_a_modality_added_later_changes_nothing_else(case, fitted, splits, test, tmp_path):
    model, audio = copy.deepcopy(fitted(case)), splits["train"]["audio"]
    cs.save(model, tmp_path)
    before = files(tmp_path)
    encoder = {"id": "mfcc"}
    added = model.fit_modality("audio", audio.x, audio.labels, items=audio.items, encoder=encoder)
    assert added is model and model.modalities == ("image", "text", "audio")
    assert equal_vectors(fitted(case), model, test) == case.kind.keeps_vectors
    assert model.space_.fingerprint == fitted(case).space_.fingerprint
    assert model.encoders_["audio"] == encoder and model.n_features("audio") == 5
    cs.save(model, tmp_path)
    after = files(tmp_path)
    shared = () if case.kind.keeps_vectors else ("shared-",)  # of one network for all
    kept = [name for name in before if not name.startswith(("model.json", *shared))]
    assert [after[name] for name in kept] == [before[name] for name in kept]
    assert len(after) == len(before) + 1
    assert equal_vectors(cs.load(tmp_path), model, test)


@adding_apart
def test_a_modality_added_later_is_as_if_it_had_always_been_there(case, fitted, splits, test):
    audio = splits["train"]["audio"]
    later = copy.deepcopy(fitted(case))
    later.fit_modality("audio", audio.x, audio.labels, items=audio.items)
    always = case.make(random_state=0).fit(splits["train"])
    assert equal_vectors(always, later, test)


@adding
def test_a_modality_is_added_to_a_loaded_model_with_validation_data(
    case, fitted, splits, test, tmp_path
):
    audio, held = splits["train"]["audio"], test["audio"]
    cs.save(fitted(case), tmp_path)
    models = [cs.load(tmp_path), copy.deepcopy(fitted(case))]
    for model in models:
        codes = audio.labels.codes
        model.fit_modality("audio", audio.x, codes, valid=(held.x, held.labels.codes))
    assert equal_vectors(*models, test)


@adding
@pytest.mark.parametrize(
    ("name", "change", "error", "message"),
    [
        ("image", lambda x, y: (x, y), InputError, "'image' is there already"),
        ("audio", lambda x, y: (x[:-1], y), InputError, "'audio'"),
        ("audio", lambda x, y: (np.full_like(x, np.nan), y), InputError, "'audio': .* nan"),
        ("audio", lambda x, y: (x[0], y), InputError, "'audio'"),
        ("audio", lambda x, y: (x[:0], y[:0]), InputError, "'audio': .* at least one row"),
        ("audio", lambda x, y: (x, y + 1), InputError, "labels.*: .* from 0 to 2 .* got 3"),
        ("audio", lambda x, y: (x, y * 1.5), InputError, "labels.*: expected whole class numbers"),
    ],
)
def test_a_wrong_new_modality_is_named_and_not_added(
    case, fitted, splits, test, name, change, error, message
):
    audio = splits["train"]["audio"]
    model = copy.deepcopy(fitted(case))
    x, y = change(audio.x, audio.labels.codes)
    with pytest.raises(error, match=message):
        model.fit_modality(name, x, y)
    assert model.modalities == ("image", "text") and equal_vectors(model, fitted(case), test)


@adding
def test_a_new_modality_may_bring_classes_of_its_own(case, fitted, splits, test, tmp_path):
    audio = splits["train"]["audio"]
    names = np.array(audio.labels.classes)[audio.labels.codes].astype(object)
    names[:3] = "bark"
    names[3] = None
    model = copy.deepcopy(fitted(case))
    if not case.grows:
        with pytest.raises(NotFoundError, match="'bark'"):
            model.fit_modality("audio", audio.x, names)
        assert model.modalities == ("image", "text")
        return
    model.fit_modality("audio", audio.x, names)
    assert model.space_.classes == (*fitted(case).space_.classes, "bark")
    assert model.space_.fingerprint == fitted(case).space_.fingerprint
    model.space_.check_same(fitted(case).space_, where="here")
    assert equal_vectors(fitted(case), model, test) == case.kind.keeps_vectors
    cs.save(model, tmp_path)
    back = cs.load(tmp_path)
    assert back.space_.classes[-1] == "bark" and equal_vectors(back, model, test)


@adding
def test_a_new_modality_without_labels(case, fitted, splits, test):
    audio = splits["train"]["audio"]
    model = copy.deepcopy(fitted(case))
    if not case.unlabelled:
        with pytest.raises(InputError, match="label"):
            model.fit_modality("audio", audio.x, None)
    else:
        model.fit_modality("audio", audio.x, None)
        assert np.isfinite(model.transform("audio", test.x("audio"))).all()


@adding
def test_every_form_of_labels_is_one_to_a_new_modality(case, fitted, splits, test):
    audio = splits["train"]["audio"]
    classes = np.array(audio.labels.classes)
    forms = [
        audio.labels,
        audio.labels.codes,
        audio.labels.codes.tolist(),
        classes[audio.labels.codes],
        classes[audio.labels.codes].tolist(),
        audio.labels.dense(),
        audio.labels.weights,
    ]
    vectors = []
    for form in forms:
        model = copy.deepcopy(fitted(case)).fit_modality("audio", audio.x, form)
        vectors.append(model.transform("audio", test.x("audio")))
    for other in vectors[1:]:
        np.testing.assert_array_equal(other, vectors[0])


@each
def test_a_folder_of_something_else_is_left_alone(case, fitted, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises((InputError, StorageError), match="holds no model"):
        cs.save(fitted(case), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]

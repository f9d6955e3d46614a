"""GSS-SL: its objective by loops, the minimum of it by another optimiser, labels by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from directions import standardized
from scipy.optimize import minimize
from scipy.sparse import csr_array
from small_sets import joined_by_loops, partly_labelled

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import GSSSL
from commonspace.methods.baselines.graphs import FLOOR, laplacian
from commonspace.methods.baselines.gsssl import Items, known_labels, label_graph, predicted

SETTINGS = {"eta": 0.6, "gamma": 2.0, "neighbours": 4}


def edges(z: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The label graph by loops: nearest rows, but not of another known class."""
    joined = joined_by_loops(z, SETTINGS["neighbours"])
    for a in range(len(z)):
        for b in range(len(z)):
            if codes[a] >= 0 and codes[b] >= 0 and codes[a] != codes[b]:
                joined[a, b] = 0
    return joined


def objective(data: Dataset, u: dict[str, torch.Tensor], f: torch.Tensor) -> torch.Tensor:
    """The docstring's formula, term by term; the items are those of the images, in their order."""
    total = torch.tensor(0.0, dtype=torch.float64)
    for name, part in data.items():
        z = standardized(part.x)
        q, mine = torch.from_numpy(z) @ u[name], f[: len(z)]
        total += ((q - mine) ** 2).sum()
        joined = edges(z, part.labels.codes)
        degree = joined.sum(axis=1)
        a, b = np.nonzero(joined)
        root = torch.from_numpy(np.sqrt(np.maximum(degree, 1)))[:, None]
        for value, weight in ((mine, 1.0), (q, SETTINGS["eta"])):
            apart = value[a] / root[a] - value[b] / root[b]
            total += weight * 0.5 * (apart**2).sum()
        total += SETTINGS["gamma"] * torch.sqrt((u[name] ** 2).sum(dim=1) + FLOOR**2).sum()
    return total


def minimum(data: Dataset) -> tuple[dict[str, np.ndarray], float]:
    part = data["image"]
    free = torch.from_numpy(~part.labels.known)
    labels = torch.from_numpy(part.labels.dense()).double()

    def unpack(flat: torch.Tensor) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        f = labels.clone()
        f[free] = flat[21:].view(-1, 3)
        return {"image": flat[:12].view(-1, 3), "text": flat[12:21].view(-1, 3)}, f

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.from_numpy(flat.copy()).requires_grad_()
        value = objective(data, *unpack(leaf))
        value.backward()
        return value.item(), leaf.grad.numpy()

    start = np.full(21 + 3 * int(free.sum()), 0.1)
    found = minimize(value_and_slope, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14})
    u, _ = unpack(torch.from_numpy(found.x))
    return {name: value.numpy() for name, value in u.items()}, float(found.fun)


def test_it_reaches_the_minimum_of_its_objective():
    data = partly_labelled(n_items=32, every=2, short=4, noise=1.5)
    model = GSSSL(**SETTINGS, iterations=300).fit(data)
    expected, value = minimum(data)
    losses = [row["train_loss"] for row in model.history_["image"]]
    assert (np.diff(losses) <= 1e-6).all() and losses[0] > losses[-1]
    assert losses[-1] == pytest.approx(value, rel=1e-5)
    for name in data:
        np.testing.assert_allclose(model.parts_[name]["weights"], expected[name], atol=1e-3)


def test_with_all_labels_and_nothing_else_it_is_least_squares():
    data = make_dataset(n_items=60, n_classes=4, dims={"image": 7, "text": 5}, noise=1.0)["train"]
    model = GSSSL(eta=0.0, gamma=0.0, iterations=1).fit(data)
    for name, part in data.items():
        expected, *_ = np.linalg.lstsq(standardized(part.x), part.labels.dense(), rcond=None)
        np.testing.assert_allclose(model.parts_[name]["weights"], expected, atol=1e-5)


def test_labels_spread_along_a_chain_by_hand():
    """a - u - b with degrees 1, 2, 1: f_u is (y_a + y_b) / √2. An item alone gets none."""
    chain = csr_array(np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0.0]]))
    labels = np.array([[1, 0], [0, 0], [0, 1], [0, 0.0]])
    items = Items(labels, np.array([True, False, True, False]))
    found = predicted(items, laplacian(chain), [])
    half = np.sqrt(0.5)
    np.testing.assert_allclose(found, [[1, 0], [half, half], [0, 1], [0, 0]], atol=1e-7)
    np.testing.assert_array_equal(items.labels, labels)


def test_edges_weigh_the_cosine_of_labels_where_both_are_known():
    full = csr_array(np.ones((4, 4)) - np.eye(4))
    labels = np.array([[1, 0], [1, 1], [0, 1], [0, 0.0]])
    found = label_graph(full, labels, np.array([True, True, True, False])).toarray()
    half = np.sqrt(0.5)
    expected = [[0, half, 0, 1], [half, 0, half, 1], [0, half, 0, 1], [1, 1, 1, 0]]
    np.testing.assert_allclose(found, expected)


def test_an_item_has_the_labels_of_its_rows_in_any_modality():
    x = {"image": np.eye(3), "text": np.eye(3)}
    labels = {"image": [0, -1, -1], "text": [1, 0, -1]}
    ids = {"image": ["p", "q", "r"], "text": ["s", "q", "p"]}
    items, numbers = known_labels(Dataset.from_arrays(x, labels, classes=["a", "b"], items=ids))
    np.testing.assert_array_equal(items.labels, [[1, 0], [1, 0], [0, 0], [0, 1]])
    np.testing.assert_array_equal(items.known, [True, True, False, True])
    np.testing.assert_array_equal(numbers["text"], [3, 1, 0])


def test_rows_without_labels_help():
    """Two labels a class: with all other rows beside them it is better than with them alone."""
    data = make_dataset(n_items=200, n_classes=4, noise=0.8, seed=5)
    codes = data["train"].labels("image").codes.copy()
    first = np.concatenate([np.flatnonzero(codes == k)[:2] for k in range(4)])
    few = np.full_like(codes, -1)
    few[first] = codes[first]
    x = {name: part.x for name, part in data["train"].items()}
    some = Dataset.from_arrays(x, few, classes=data["train"].classes)
    alone = data["train"].take(dict.fromkeys(x, first))
    found, without = (cs.evaluate(GSSSL().fit(d), data["test"]).mean_ap for d in (some, alone))
    assert found > without + 0.1


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("label_kind", ["single", "multi"])
def test_it_beats_chance(paired, label_kind):
    data = make_dataset(n_items=160, n_classes=5, paired=paired, label_kind=label_kind)
    model = GSSSL().fit(data["train"])
    rng = np.random.default_rng(0)
    noise = {name: rng.normal(size=(part.x.shape[1], 5)) for name, part in data["test"].items()}
    chance = type("Random", (), {"transform": lambda self, name, x: x @ noise[name]})()
    found = cs.evaluate(model, data["test"]).mean_ap
    assert found > cs.evaluate(chance, data["test"]).mean_ap + 0.2


def test_a_modality_that_no_label_reaches_is_refused():
    x = {"image": np.eye(4), "text": np.eye(4, 3)}
    labels = {"image": [0, 1, 0, 1]}
    data = Dataset.from_arrays(x, labels, classes=["a", "b"])
    with pytest.raises(InputError, match="modality 'text': GSSSL learns from labels"):
        GSSSL().fit(data)
    ids = {name: list("pqrs") for name in x}
    paired = Dataset.from_arrays(x, labels, classes=["a", "b"], items=ids)
    assert GSSSL(gamma=0.1).fit(paired).transform("text", x["text"]).any()


@pytest.mark.parametrize("n", [2, 4])
def test_few_rows_one_class_and_constant_features(n):
    x = np.random.default_rng(0).normal(size=(n, 12)).astype(np.float32)
    x[:, 3], x[:, 5] = 7.0, x[:, 4]
    data = Dataset.from_arrays({"image": x, "text": x[:, :6]}, np.zeros(n, int), classes=["a", "b"])
    for gamma in (0.0, 10.0):
        assert np.isfinite(GSSSL(gamma=gamma).fit(data).transform("image", x)).all()


@pytest.mark.parametrize(
    "arguments", [{"eta": -1.0}, {"gamma": -1.0}, {"neighbours": 0}, {"iterations": 0}]
)
def test_arguments_out_of_range_are_named(arguments):
    data = make_dataset(n_items=20, n_classes=2)["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        GSSSL(**arguments).fit(data)

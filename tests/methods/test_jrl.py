"""JRL: its objective by loops over edges and rows, and its minimum found by another optimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from directions import standardized
from scipy.optimize import minimize
from small_sets import joined_by_loops, partly_labelled

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import JRL
from commonspace.methods.baselines.graphs import (
    FLOOR,
    laplacian,
    neighbour_graph,
    reweighted_step,
    row_norms,
)

SETTINGS = {"gamma": 3.0, "sigma": 0.7, "lam": 0.4, "mu": 1.3, "neighbours": 3}


def small() -> Dataset:
    return partly_labelled(n_items=30, every=4, short=3, noise=1.0)


def objective(data: Dataset, p: dict[str, torch.Tensor]) -> torch.Tensor:
    """The docstring's formula, term by term."""
    total = torch.tensor(0.0, dtype=torch.float64)
    projected = {}
    for name, part in data.items():
        z = standardized(part.x)
        q = projected[name] = torch.from_numpy(z) @ p[name]
        y = part.labels.dense()
        for row in np.flatnonzero(part.labels.labelled):
            total += SETTINGS["mu"] * ((q[row] - torch.from_numpy(y[row])) ** 2).sum()
        joined = joined_by_loops(z, SETTINGS["neighbours"])
        degree = joined.sum(axis=1)
        a, b = np.nonzero(joined)
        root = torch.from_numpy(np.sqrt(degree))[:, None]
        total += SETTINGS["sigma"] * 0.5 * ((q[a] / root[a] - q[b] / root[b]) ** 2).sum()
        total += SETTINGS["gamma"] * torch.sqrt((p[name] ** 2).sum(dim=1) + FLOOR**2).sum()
    for a, b in zip(*data.pairs("image", "text"), strict=True):
        total += SETTINGS["lam"] * ((projected["image"][a] - projected["text"][b]) ** 2).sum()
    return total


def minimum(data: Dataset) -> tuple[dict[str, np.ndarray], float]:
    widths = {name: part.x.shape[1] for name, part in data.items()}
    cut = widths["image"] * 3

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.from_numpy(flat.copy()).requires_grad_()
        p = {"image": leaf[:cut].view(-1, 3), "text": leaf[cut:].view(-1, 3)}
        value = objective(data, p)
        value.backward()
        return value.item(), leaf.grad.numpy()

    start = np.full(sum(widths.values()) * 3, 0.1)
    found = minimize(value_and_slope, start, jac=True, method="L-BFGS-B", options={"ftol": 1e-14})
    both = {"image": found.x[:cut].reshape(-1, 3), "text": found.x[cut:].reshape(-1, 3)}
    return both, float(found.fun)


def test_it_reaches_the_minimum_of_its_objective():
    data = small()
    model = JRL(**SETTINGS, iterations=200).fit(data)
    expected, value = minimum(data)
    losses = [row["train_loss"] for row in model.history_["image"]]
    assert losses[-1] == pytest.approx(value, rel=1e-6)
    for name in data:
        np.testing.assert_allclose(model.parts_[name]["weights"], expected[name], atol=2e-4)


def test_the_loss_is_the_objective_and_never_rises():
    data = small()
    model = JRL(**SETTINGS, iterations=8).fit(data)
    losses = [row["train_loss"] for row in model.history_["text"]]
    assert len(losses) == 8 and (np.diff(losses) <= 1e-9).all() and losses[0] > losses[-1]
    p = {name: torch.from_numpy(part["weights"]).double() for name, part in model.parts_.items()}
    assert objective(data, p).item() == pytest.approx(losses[-1], rel=1e-5)


def test_a_step_stays_below_the_form_that_touches_the_norm():
    rng = np.random.default_rng(0)
    root, target = rng.normal(size=(8, 5)), rng.normal(size=(5, 2))
    quadratic, weights = root.T @ root, rng.normal(size=(5, 2))

    def value(p: np.ndarray) -> float:
        return float(
            (p * (quadratic @ p)).sum() - 2 * (p * target).sum() + 2.0 * row_norms(p).sum()
        )

    for _ in range(20):
        after = reweighted_step(quadratic, target, 2.0, weights)
        assert value(after) <= value(weights) + 1e-12
        weights = after


def test_the_graph_of_four_points_by_hand():
    """On a line at 0, 1, 3, 7, each joined to its nearest: 0-1, 1-3, 3-7."""
    graph = neighbour_graph(np.array([[0.0], [1.0], [3.0], [7.0]]), 1)
    np.testing.assert_array_equal(
        graph.toarray(), [[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]]
    )
    half = -np.sqrt(0.5)
    expected = [[1, half, 0, 0], [half, 1, -0.5, 0], [0, -0.5, 1, half], [0, 0, half, 1]]
    np.testing.assert_allclose(laplacian(graph).toarray(), expected)
    assert neighbour_graph(np.zeros((1, 2)), 3).shape == (1, 1)


def test_features_that_tell_nothing_are_left_out():
    rng = np.random.default_rng(0)
    data = make_dataset(n_items=120, n_classes=3, noise=0.3)["train"]
    noise = rng.normal(size=(len(data["image"]), 5)).astype(np.float32)
    x = {"image": np.hstack([data.x("image"), noise]), "text": data.x("text")}
    model = JRL(gamma=30.0, iterations=50).fit(Dataset.from_arrays(x, data.labels("image")))
    lengths = np.linalg.norm(model.parts_["image"]["weights"], axis=1)
    assert lengths[-5:].max() < 0.02 * lengths.max()


def test_rows_without_labels_take_part():
    data = small()
    rows = {name: np.flatnonzero(part.labels.labelled) for name, part in data.items()}
    z = [
        JRL(neighbours=5).fit(d).transform("image", data.x("image"))
        for d in (data, data.take(rows))
    ]
    assert not np.allclose(z[0], z[1], atol=1e-3)


def test_it_beats_chance():
    data = make_dataset(n_items=160, n_classes=5, noise=1.0)
    assert cs.evaluate(JRL().fit(data["train"]), data["test"]).mean_ap > 0.5  # chance: 0.2


def test_pairs_and_labels_of_each_modality_are_needed():
    data = make_dataset(n_items=40, n_classes=3, paired=False)["train"]
    with pytest.raises(InputError, match="pairing='classes'"):
        JRL().fit(data)
    assert JRL(pairing="classes").fit(data).space_.dim == 3
    x = {name: part.x for name, part in small().select(["image"]).items()}
    x["text"] = x["image"]
    ids = small()["image"].items
    half = Dataset.from_arrays(
        x, {"image": small().labels("image")}, items=ids, classes=small().classes
    )
    with pytest.raises(InputError, match="modality 'text': JRL learns from labels"):
        JRL().fit(half)


@pytest.mark.parametrize("n", [2, 4])
def test_few_rows_one_class_and_constant_features(n):
    x = np.random.default_rng(0).normal(size=(n, 12)).astype(np.float32)
    x[:, 3], x[:, 5] = 7.0, x[:, 4]
    data = Dataset.from_arrays({"image": x, "text": x[:, :6]}, np.zeros(n, int), classes=["a", "b"])
    for gamma in (0.0, 10.0):
        model = JRL(gamma=gamma).fit(data)
        assert np.isfinite(model.transform("image", x)).all()


@pytest.mark.parametrize(
    "arguments",
    [
        {"gamma": -1.0},
        {"sigma": -1.0},
        {"lam": -1.0},
        {"mu": 0.0},
        {"neighbours": 0},
        {"iterations": 0},
        {"pairing": "rows"},
    ],
)
def test_arguments_out_of_range_are_named(arguments):
    data = make_dataset(n_items=20, n_classes=2)["train"]
    with pytest.raises(InputError, match=next(iter(arguments))):
        JRL(**arguments).fit(data)

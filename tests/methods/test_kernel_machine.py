"""The kernel machine's regression against solving it row by row, and at its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.special import logit
from sklearn.metrics.pairwise import rbf_kernel

from commonspace.methods.calibration import fit_temperature
from commonspace.methods.jobs import evenly
from commonspace.methods.kernel_machine import RIDGES, loudness, solve_kernel_machine
from commonspace.networks import KernelMachine
from commonspace.networks.kernel import LEAST, SHARPNESS


def problem(n: int = 30, n_classes: int = 3, *, several: bool, seed: int = 0):
    """Blobs, and their labels: one class a row, or each class by the sign of a feature."""
    rng = np.random.default_rng(seed)
    y = np.eye(n_classes)[np.arange(n) % n_classes]
    x = (y @ rng.normal(size=(n_classes, 4)) + 0.6 * rng.normal(size=(n, 4))).astype(np.float32)
    return x, (x[:, :n_classes] > 0).astype(float) if several else y


def solved(x, y, n_landmarks: int | None = None, *, several: bool = False) -> KernelMachine:
    machine = KernelMachine(n_landmarks or len(x), x.shape[1], y.shape[1], several=several)
    x = torch.from_numpy(x)
    solve_kernel_machine(machine, lambda rows: x[rows], sparse.csr_array(y.astype(np.float32)))
    return machine


def slow_scores(k_train, y, k_new, ridge: float):
    """Ridge regression in the kernel's space, features and labels less their means."""
    n = len(y)
    centre = np.eye(n) - 1 / n
    dual = np.linalg.solve(centre @ k_train @ centre + ridge * np.eye(n), y - y.mean(axis=0))
    return y.mean(axis=0) + (k_new - k_train.mean(axis=0)) @ centre @ dual


@pytest.mark.parametrize("several", [False, True])
def test_ridge_and_temperature_are_those_of_leaving_out_one_row_after_the_other(several):
    """Each row's score by a machine that never saw it, its intercept without a penalty."""
    x, y = problem(several=several)
    machine = solved(x, y, several=several)
    squared = ((x[:, None].astype(float) - x[None]) ** 2).sum(axis=2)
    gamma = 1 / np.median(squared[np.triu_indices(len(x), 1)])
    assert float(machine.gamma) == pytest.approx(gamma, rel=1e-5)
    k = rbf_kernel(x.astype(float), gamma=gamma)
    mean = k.mean(axis=0)
    k_centred = k - mean - mean[:, None] + k.mean()
    errors, scores = [], []
    for ridge in RIDGES:
        out = np.empty_like(y)
        for row in range(len(x)):
            rest = np.arange(len(x)) != row
            m = rest.sum()
            seen, one = k_centred[np.ix_(rest, rest)] + ridge * np.eye(m), np.ones((m, 1))
            system = np.block([[seen, one], [one.T, 0 * one[:1]]])
            solution = np.linalg.solve(system, np.vstack([y[rest], np.zeros((1, y.shape[1]))]))
            out[row] = k_centred[row, rest] @ solution[:-1] + solution[-1]
        errors.append(np.square(out - y).sum())
        scores.append(out)
    best = int(np.argmin(errors))
    assert 0 < best < len(RIDGES) - 1  # else the test shows nothing
    inside = scores[best].clip(LEAST, 1 - LEAST)
    logits = logit(inside) if several else SHARPNESS * scores[best]
    expected = fit_temperature(logits, y, several=several)
    assert float(machine.temperature) == pytest.approx(expected, rel=1e-2)
    new = np.random.default_rng(5).normal(size=(7, 4)).astype(np.float32)
    found = _scores(machine, new)
    k_new = rbf_kernel(new.astype(float), x.astype(float), gamma=gamma)
    np.testing.assert_allclose(found, slow_scores(k, y, k_new, RIDGES[best]), atol=2e-3)


def _scores(machine: KernelMachine, x: np.ndarray) -> np.ndarray:
    squared = ((x[:, None] - machine.landmarks.numpy()[None]) ** 2).sum(axis=2)
    k = np.exp(-float(machine.gamma) * squared)
    return k @ machine.weights.numpy() + machine.intercept.numpy()


def test_fewer_landmarks_are_even_rows_and_nearly_as_good():
    x, y = problem(300, several=False)
    whole, part = solved(x, y), solved(x, y, 60)
    np.testing.assert_array_equal(part.landmarks, x[evenly(300, 60)])
    new, y_new = problem(300, several=False, seed=0)
    new = new + 0.1
    right = [
        float((m(torch.from_numpy(new)).argmax(dim=1).numpy() == y_new.argmax(axis=1)).mean())
        for m in (whole, part)
    ]
    assert right[1] > right[0] - 0.05 and right[0] > 0.8


@pytest.mark.parametrize(("n", "seed"), [(400, 0), (300, 7)])
def test_of_more_rows_than_landmarks_those_validate_that_are_no_landmarks(n, seed):
    """Of so few others as 240 all rows do; each left out in turn, the landmarks as they are."""
    n_landmarks = 60
    x, y = problem(n, several=False, seed=seed)
    machine = solved(x, y, n_landmarks)
    landmarks = x[evenly(n, n_landmarks)].astype(float)
    gamma = float(machine.gamma)
    k = rbf_kernel(landmarks, gamma=gamma) + 1e-6 * n_landmarks * np.eye(n_landmarks)
    f = np.linalg.solve(
        np.linalg.cholesky(k), rbf_kernel(landmarks, x.astype(float), gamma=gamma)
    ).T
    f = f - f.mean(axis=0)

    def slow(ridge: float, left_out: int | None) -> np.ndarray:
        """Scores of all rows; the intercept is a column of its own, without a penalty."""
        rest = np.arange(n) != left_out
        a = np.column_stack([f, np.ones(n)])
        penalty = ridge * np.diag([*np.ones(f.shape[1]), 0])
        return a @ np.linalg.solve(a[rest].T @ a[rest] + penalty, a[rest].T @ y[rest])

    errors = {}
    for kind, rows in {
        "landmarks": evenly(n, n_landmarks),
        "meant": np.setdiff1d(np.arange(n), evenly(n, n_landmarks)) if n == 400 else np.arange(n),
    }.items():
        for ridge in RIDGES:
            out = np.stack([slow(ridge, row)[row] for row in rows])
            errors[kind, ridge] = np.square(out - y[rows]).sum()
    best = {
        kind: min(RIDGES, key=lambda r, k=kind: errors[k, r]) for kind in ("landmarks", "meant")
    }
    assert best["landmarks"] != best["meant"]  # else the test shows nothing
    np.testing.assert_allclose(_scores(machine, x), slow(best["meant"], None), atol=2e-3)


def test_features_are_asked_for_in_blocks():
    x, y = problem(3000, several=False)
    asked = []

    def features(rows):
        asked.append(len(rows))
        return torch.from_numpy(x[rows])

    machine = KernelMachine(8, x.shape[1], y.shape[1], several=False)
    solve_kernel_machine(machine, features, sparse.csr_array(y))
    assert asked[0] == 8 and sum(asked[1:]) == 3000 and max(asked) <= 1024


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("case", ["one row", "equal rows", "two equal rows", "one class", "far"])
def test_whatever_the_rows_are_posteriors_are_numbers(case, several):
    x, y = problem(several=several)
    if case == "one row":
        x, y = x[:1], np.ones((1, 3)) if several else y[:1]
    elif case == "equal rows":
        x = np.repeat(x[:1], len(x), axis=0)
    elif case == "two equal rows":
        x = np.concatenate([x, x[:1]])
        y = np.concatenate([y, y[1:2]])
    elif case == "one class":
        y = np.ones((len(x), 1))
    machine = solved(x, y, several=several)
    q = machine(torch.from_numpy(x * (1e3 if case == "far" else 1))).numpy()
    assert np.isfinite(q).all() and q.min() >= 0 and q.max() <= 1
    if case == "equal rows" and not several:
        np.testing.assert_allclose(q, 1 / 3, atol=1e-5)


def test_rows_that_are_mostly_equal_leave_gamma_to_the_others():
    """Distances of equal rows are rounding, and so would be their median."""
    x, y = problem(100, several=False)
    x[:90] = x[0] + 30  # squares of several thousands round to more than 0
    machine = solved(x, y)
    squared = ((x[:, None].astype(float) - x[None]) ** 2).sum(axis=2)[np.triu_indices(100, 1)]
    gamma = 1 / np.median(squared[squared > 1e-9])
    assert float(machine.gamma) == pytest.approx(gamma, rel=1e-4)
    x[:] = x[0]
    assert float(solved(x, y).gamma) == 0


def test_rows_are_evenly_spread():
    np.testing.assert_array_equal(evenly(5, 9), np.arange(5))
    np.testing.assert_array_equal(evenly(9, 3), [0, 4, 8])
    np.testing.assert_array_equal(evenly(1, 3), [0])


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("loud", ["what tells", "noise"])
def test_features_stay_as_loud_as_they_were_where_that_helps(loud, several):
    """Four features tell the classes, twenty do not; either kind had the larger spread."""
    x, y = problem(400, several=several)
    rng = np.random.default_rng(1)
    x = np.column_stack([x / x.std(axis=0), rng.normal(size=(400, 20))]).astype(np.float32)
    tells, noise = (3.0, 0.3) if loud == "what tells" else (0.3, 3.0)
    spread = torch.tensor([tells] * 4 + [noise] * 20)
    rows, labels = torch.from_numpy(x), sparse.csr_array(y)
    found = loudness(lambda some: rows[some], labels, spread, several=several)
    expected = spread / spread.square().mean().sqrt() if loud == "what tells" else torch.ones(24)
    torch.testing.assert_close(found, expected)


def test_loudness_is_left_alone_where_it_is_not_told_apart():
    """Features of one spread, constant ones, and labels that no feature tells anything of."""
    rng = np.random.default_rng(2)
    rows, y = torch.from_numpy(rng.normal(size=(300, 6)).astype(np.float32)), np.eye(3)
    labels = sparse.csr_array(y[rng.integers(3, size=300)])

    def found(spread):
        return loudness(lambda some: rows[some], labels, torch.tensor(spread), several=False)

    for spread in ([2.0] * 6, [0.0] * 6, [3.0, 3.0, 3.0, 1.0, 1.0, 1.0]):
        assert (found(spread) == 1).all()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_of_few_rows_nothing_is_known_about_loudness(n):
    x, y = problem(n, several=False)
    rows, spread = torch.from_numpy(x), torch.tensor([1.0, 2, 3, 4])
    found = loudness(lambda some: rows[some], sparse.csr_array(y), spread, several=False)
    assert found.isfinite().all()

"""How the kernel machine of SDML's default recipe is solved for: regression with landmarks.

The class labels are regressed on the Gaussian kernel between rows and landmarks. The strength of
the ridge and the temperature are those of the smallest leave-one-out error, which least squares
gives in closed form: so rows that teach also validate. `TAUGHT` rows at most teach, and `JUDGED` of
them at most validate, of those that are no landmarks: leaving a landmark out of the regression does
not take it out of the landmarks, so its error tends to be smaller than that of a new row, the more
so under a strong ridge. Where all rows or nearly all are landmarks, all of them validate.

A small machine of the same kind says how loud features should be, see `loudness`.

References:
    [1] Williams, Seeger. Using the Nyström Method to Speed Up Kernel Machines. NIPS 2000.
    [2] Rifkin, Lippert. Notes on Regularized Least Squares. MIT CSAIL TR-2007-025, 2007.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from scipy.linalg import LinAlgError, cholesky, solve_triangular
from torch import Tensor

from commonspace.methods.calibration import fit_temperature
from commonspace.methods.jobs import evenly
from commonspace.networks import KernelMachine
from commonspace.networks.kernel import likeness, logits_of, squared_distances
from commonspace.training.loop import is_clearly_worse
from commonspace.types import FloatArray, IntArray

TAUGHT = 8192  # rows are enough for the weights of a thousand landmarks
JUDGED = 1024  # rows are enough to choose a ridge by
FEWEST_JUDGED = 256  # rows that are no landmarks; of fewer, all rows validate
BLOCK = 1024  # rows whose features are held at once
SMALL = 256  # landmarks are enough to say how loud features should be
RIDGES = tuple(10.0 ** (k / 2) for k in range(6, -7, -1))  # the largest first: it wins a tie
NEGLIGIBLE = 1e-6  # against 1, the largest value of a kernel: rounding of float32
SAME = 1e-5  # squared distance against the largest squared norm: rounding of equal float32 rows

Features = Callable[[IntArray], Tensor]


class _Solution(NamedTuple):
    """A machine as arrays, and what the rows that judged it have: scores left out, and labels."""

    landmarks: Tensor
    gamma: float
    weights: FloatArray
    intercept: FloatArray
    left_out: FloatArray  # leave-one-out scores
    labels: FloatArray

    def errors(self) -> FloatArray:
        """Squared leave-one-out error of each row."""
        found: FloatArray = np.square(self.left_out - self.labels).sum(axis=1)
        return found


def solve_kernel_machine(
    machine: KernelMachine, features: Features, labels_NC: sparse.csr_array
) -> None:
    """Set what a machine has learned from labelled rows.

    Args:
        machine: Changed.
        features: Returns scaled features of some of the rows, which are `TAUGHT` or fewer; asked
            for `BLOCK` rows at a time, or for as many as there are landmarks.
        labels_NC: Label weights; of one class a row they are scaled to sum 1.
    """
    found = _solved(features, labels_NC, len(machine.landmarks), several=machine.several)
    machine.landmarks.copy_(found.landmarks)
    machine.gamma.fill_(found.gamma)
    machine.weights.copy_(torch.from_numpy(found.weights))
    machine.intercept.copy_(torch.from_numpy(found.intercept))
    logits = logits_of(torch.from_numpy(found.left_out), several=machine.several).numpy()
    machine.temperature.fill_(fit_temperature(logits, found.labels, several=machine.several))


def loudness(
    features: Features, labels_NC: sparse.csr_array, spread_D: Tensor, *, several: bool
) -> Tensor:
    """How loud each standardised feature should be: all alike, or as they were.

    Standardising features of one unit, as those of an embedding, makes the many that hardly vary
    as loud as the few that tell things apart; features of many units have to be made alike. Which
    is the case, a kernel machine of `SMALL` landmarks says: features stay as loud as they were
    where its leave-one-out error is smaller then, by more than two standard errors.

    Args:
        features: Returns standardised features of some of the rows.
        labels_NC: Label weights of the rows, 2048 or so: more change little.
        spread_D: Of each feature before it was standardised.
        several: Rows may belong to several classes.

    Returns:
        What standardised features are multiplied by, shape (D,): ones, or the spread with mean
        square 1.
    """
    alike_D = torch.ones_like(spread_D)
    if not spread_D.any():
        return alike_D
    spread_D = spread_D.double() / spread_D.max()
    loud_D = (spread_D / spread_D.square().mean().sqrt()).float()
    if torch.allclose(loud_D, alike_D, rtol=1e-3):
        return alike_D

    def loud_features(rows: IntArray) -> Tensor:
        return loud_D * features(rows)

    alike, loud = (
        _solved(each, labels_NC, SMALL, several=several).errors()
        for each in (features, loud_features)
    )
    return loud_D if is_clearly_worse(alike, loud, errors=2) else alike_D


def _solved(
    features: Features, labels_NC: sparse.csr_array, n_landmarks: int, *, several: bool
) -> _Solution:
    y_NC = labels_NC.astype(np.float64)
    if not several:
        y_NC = sparse.csr_array(sparse.diags_array(1 / y_NC.sum(axis=1)) @ y_NC)
    n = y_NC.shape[0]
    judged = _to_judge_by(n, n_landmarks)
    landmarks_LD = features(evenly(n, n_landmarks))
    gamma = _gamma(landmarks_LD)
    factor_LL = _factor(likeness(landmarks_LD, landmarks_LD, gamma).double().numpy())
    blocks = np.array_split(np.arange(n), -(-n // BLOCK))
    k_NL = torch.cat([likeness(features(rows), landmarks_LD, gamma) for rows in blocks])
    f_NL = solve_triangular(factor_LL, k_NL.double().numpy().T, lower=True).T
    w_LC, b_C, left_out_MC = _regression(f_NL, y_NC, judged)
    w_LC = solve_triangular(factor_LL, w_LC, lower=True, trans="T")
    known_MC = y_NC[judged].toarray()
    return _Solution(landmarks_LD, gamma, w_LC, b_C, left_out_MC, known_MC)


def _to_judge_by(n: int, n_landmarks: int) -> IntArray:
    """Rows that are no landmarks, where they are enough, else all."""
    others = np.setdiff1d(np.arange(n), evenly(n, n_landmarks))
    if len(others) < FEWEST_JUDGED:
        return np.arange(n)
    rows: IntArray = others[evenly(len(others), JUDGED)]
    return rows


def _gamma(x_LD: Tensor) -> float:
    """One over the median squared distance of two rows; 0 where all are the same.

    Where most rows are the same it is the median of the distances that are more than rounding.
    """
    distances = squared_distances(x_LD, x_LD).numpy()[np.triu_indices(len(x_LD), 1)]
    rounding = SAME * float(x_LD.square().sum(dim=1).max())
    if distances.size and np.median(distances) <= rounding:
        distances = distances[distances > rounding]
    return 1 / float(np.median(distances)) if distances.size else 0.0


def _factor(k_LL: FloatArray) -> FloatArray:
    """Lower Cholesky factor R of the kernel between landmarks, a little added to its diagonal.

    R⁻¹ k turns likeness with the landmarks into coordinates whose inner products are the
    kernel's [1].
    """
    added = NEGLIGIBLE * len(k_LL)
    while True:
        try:
            found: FloatArray = cholesky(k_LL + added * np.eye(len(k_LL)), lower=True)
            return found
        except LinAlgError:  # rounding is larger
            added *= 10


def _regression(
    f_NF: FloatArray, y_NC: sparse.csr_array, judged: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Ridge regression, its strength by the leave-one-out error of some rows [2].

    Returns:
        Weights, intercept, and leave-one-out scores of the rows that were judged by.
    """
    center_F, mean_C = f_NF.mean(axis=0), np.asarray(y_NC.mean(axis=0))
    f_NF = f_NF - center_F
    values, v_FF = np.linalg.eigh(f_NF.T @ f_NF)
    values = values.clip(min=0)
    a_FC = v_FF.T @ (y_NC.T @ f_NF).T
    u_MF, y_MC = f_NF[judged] @ v_FF, y_NC[judged].toarray()

    def left_out(ridge: float) -> FloatArray:
        leverage_M = (u_MF**2 / (values + ridge)).sum(axis=1) + 1 / len(f_NF)
        residual_MC = y_MC - mean_C - u_MF @ (a_FC / (values + ridge)[:, None])
        scores_MC: FloatArray = y_MC - residual_MC / (1 - leverage_M).clip(min=NEGLIGIBLE)[:, None]
        return scores_MC

    ridge = min(RIDGES, key=lambda ridge: float(np.square(left_out(ridge) - y_MC).sum()))
    w_FC = v_FF @ (a_FC / (values + ridge)[:, None])
    return w_FC, mean_C - center_F @ w_FC, left_out(ridge)

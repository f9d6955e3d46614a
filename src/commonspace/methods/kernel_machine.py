"""How the kernel machine of SDML's default recipe is solved for: regression with landmarks.

The class labels are regressed on the Gaussian kernel between rows and landmarks. The strength of
the ridge and the temperature are those of the smallest leave-one-out error, which least squares
gives in closed form: so rows that teach also validate. `TAUGHT` rows at most teach, and `JUDGED`
of them at most validate; all do both where there are no more than that.

A known weakness: with more rows than landmarks, the rows judged by are chosen as the landmarks are,
and with as many of either (the default) they are the landmarks themselves. Leaving one out of the
regression does not take it out of the landmarks, so its error tends to be smaller than that of a
new row.

References:
    [1] Williams, Seeger. Using the Nyström Method to Speed Up Kernel Machines. NIPS 2000.
    [2] Rifkin, Lippert. Notes on Regularized Least Squares. MIT CSAIL TR-2007-025, 2007.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from commonspace.methods.calibration import fit_temperature
from commonspace.methods.jobs import evenly
from commonspace.networks import KernelMachine
from commonspace.networks.kernel import likeness, logits_of, squared_distances
from commonspace.types import FloatArray, IntArray

TAUGHT = 8192  # rows are enough for the weights of a thousand landmarks
JUDGED = 1024  # rows are enough to choose a ridge by
RIDGES = tuple(10.0 ** (k / 2) for k in range(6, -7, -1))  # the largest first: it wins a tie
NEGLIGIBLE = 1e-6  # eigenvalue against the first: rounding of float32 kernels
SAME = 1e-5  # squared distance against the largest squared norm: rounding of equal float32 rows


def solve_kernel_machine(machine: KernelMachine, x_ND: Tensor, labels_NC: sparse.csr_array) -> None:
    """Set what a machine has learned from labelled rows.

    Args:
        machine: Changed.
        x_ND: Standardised features, `TAUGHT` rows or fewer.
        labels_NC: Label weights; of one class a row they are scaled to sum 1.
    """
    y_NC = labels_NC.astype(np.float64)
    if not machine.several:
        y_NC = sparse.csr_array(sparse.diags_array(1 / y_NC.sum(axis=1)) @ y_NC)
    landmarks_LD = x_ND[evenly(len(x_ND), len(machine.landmarks))]
    gamma = _gamma(landmarks_LD)
    phi_LF = _coordinates(likeness(landmarks_LD, landmarks_LD, gamma).double().numpy())
    f_NF = likeness(x_ND, landmarks_LD, gamma).double().numpy() @ phi_LF
    w_FC, b_C, loo_MC, judged = _regression(f_NF, y_NC)
    machine.landmarks.copy_(landmarks_LD)
    machine.gamma.fill_(gamma)
    machine.weights.copy_(torch.from_numpy(phi_LF @ w_FC))
    machine.intercept.copy_(torch.from_numpy(b_C))
    logits = logits_of(torch.from_numpy(loo_MC), several=machine.several).numpy()
    known = y_NC[judged].toarray()
    machine.temperature.fill_(fit_temperature(logits, known, several=machine.several))


def _gamma(x_LD: Tensor) -> float:
    """One over the median squared distance of two rows; 0 where all are the same.

    Where most rows are the same it is the median of the distances that are more than rounding.
    """
    distances = squared_distances(x_LD, x_LD).numpy()[np.triu_indices(len(x_LD), 1)]
    rounding = SAME * float(x_LD.square().sum(dim=1).max())
    if distances.size and np.median(distances) <= rounding:
        distances = distances[distances > rounding]
    return 1 / float(np.median(distances)) if distances.size else 0.0


def _coordinates(k_LL: FloatArray) -> FloatArray:
    """From likeness with the landmarks to coordinates whose inner products are the kernel's [1]."""
    values, vectors = np.linalg.eigh(k_LL)
    kept = values > NEGLIGIBLE * values[-1]
    found: FloatArray = vectors[:, kept] / np.sqrt(values[kept])
    return found


def _regression(
    f_NF: FloatArray, y_NC: sparse.csr_array
) -> tuple[FloatArray, FloatArray, FloatArray, IntArray]:
    """Ridge regression, its strength by the leave-one-out error of some rows [2].

    Returns:
        Weights, intercept, leave-one-out scores of the rows that were judged by, and which.
    """
    n, center_F, mean_C = len(f_NF), f_NF.mean(axis=0), np.asarray(y_NC.mean(axis=0))
    f_NF = f_NF - center_F
    values, v_FF = np.linalg.eigh(f_NF.T @ f_NF)
    values = values.clip(min=0)
    a_FC = v_FF.T @ (y_NC.T @ f_NF).T
    judged = evenly(n, JUDGED)
    u_MF, y_MC = f_NF[judged] @ v_FF, y_NC[judged].toarray()

    def left_out(ridge: float) -> FloatArray:
        leverage_M = (u_MF**2 / (values + ridge)).sum(axis=1) + 1 / n
        residual_MC = y_MC - mean_C - u_MF @ (a_FC / (values + ridge)[:, None])
        scores_MC: FloatArray = y_MC - residual_MC / (1 - leverage_M).clip(min=NEGLIGIBLE)[:, None]
        return scores_MC

    ridge = min(RIDGES, key=lambda ridge: float(np.square(left_out(ridge) - y_MC).sum()))
    w_FC = v_FF @ (a_FC / (values + ridge)[:, None])
    return w_FC, mean_C - center_F @ w_FC, left_out(ridge), judged

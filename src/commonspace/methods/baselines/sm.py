"""Semantic matching: the linear baseline that everyone would write first.

Each modality gets a logistic regression of its own on standardised features, as loud as labels say
(see `loudness`); the class posteriors are the common space, compared by cosine. With one matrix
product a query, and no pairing, it is hard to beat by little: every table carries it.

References:
    [1] Rasiwasia et al. A New Approach to Cross-Modal Multimedia Retrieval. ACM MM 2010.
        doi:10.1145/1873951.1873987 (semantic matching, section 4.2)
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, log_expit, log_softmax, logsumexp, softmax
from torch import nn

from commonspace.checks import check_range
from commonspace.data import Modality
from commonspace.methods.baselines.partwise import PartwiseMethod
from commonspace.methods.scaling import loud_standardization
from commonspace.networks import LinearMap
from commonspace.space import Space
from commonspace.types import AnyArray, Float32Array, FloatArray


class SM(PartwiseMethod):
    """Semantic matching by multinomial logistic regression a modality [1].

    Several or graded labels a row: one-vs-rest logistic regressions. Rows without labels are
    left out. The classes are those of `fit`, for they are the axes of the space.

    Args:
        C: Inverse strength of the L2 penalty, per row: the loss is
            ``C Σ_rows cross-entropy + ½ ‖W‖²`` as in scikit-learn.
        max_iter: Largest number of L-BFGS iterations.
        random_state: Unused; the problem is convex. Here for the contract.
    """

    def __init__(self, *, C: float = 0.02, max_iter: int = 500, random_state: int = 0) -> None:
        self.C = C
        self.max_iter = max_iter
        self.random_state = random_state

    def _check_arguments(self) -> None:
        check_range("C", self.C, low=1e-12)
        check_range("max_iter", self.max_iter, low=1, integer=True)

    def _make_space(self, classes: tuple[str, ...]) -> Space:
        return Space.identity(classes)

    def _solve(self, name: str, part: Modality, several: bool) -> dict[str, AnyArray]:
        rows = self._labelled_rows(name, part)
        rows = np.flatnonzero(part.labels.known) if several else rows
        y_NC = part.labels.take(rows).dense()
        mean, scale = loud_standardization(part.x[rows], y_NC, several=several)
        z_ND = (part.x[rows] - mean) * scale
        weights, intercept = _logistic_regression(z_ND, y_NC, self.C, self.max_iter, multi=several)
        fitted = {"mean": mean, "scale": scale, "weights": weights, "intercept": intercept}
        return {**fitted, "several": np.array([True])} if several else fitted

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        part = self.parts_[modality]
        logits = ((x_ND - part["mean"]) * part["scale"]) @ part["weights"] + part["intercept"]
        posterior = expit(logits) if "several" in part else softmax(logits, axis=1)
        return np.asarray(posterior, dtype=np.float32)

    def _module(self, modality: str) -> nn.Module:
        part = self.parts_[modality]
        logits = LinearMap(part["mean"], part["scale"], part["weights"], part["intercept"])
        return nn.Sequential(logits, nn.Sigmoid() if "several" in part else nn.Softmax(dim=1))


def _logistic_regression(
    z_ND: Float32Array, y_NC: Float32Array, C: float, max_iter: int, *, multi: bool
) -> tuple[Float32Array, Float32Array]:
    """Minimise C Σ cross-entropy + ½‖W‖² over all classes at once by L-BFGS.

    The one-vs-rest problems are separable, so their sum has the same minimum as each alone. A class
    without rows keeps zero weights and, one-vs-rest, an intercept that drifts to minus infinity
    slowly; the softmax handles it likewise.
    """
    n_features, n_classes = z_ND.shape[1], y_NC.shape[1]
    z = z_ND.astype(np.float64)
    y = y_NC.astype(np.float64)
    if not multi:
        y /= y.sum(axis=1, keepdims=True)

    def objective(flat: FloatArray) -> tuple[float, FloatArray]:
        w = flat.reshape(n_features + 1, n_classes)
        logits = z @ w[:-1] + w[-1]
        if multi:
            loss = -(y * log_expit(logits) + (1 - y) * log_expit(-logits)).sum()
            slope = expit(logits) - y
        else:
            loss = -(y * log_softmax(logits, axis=1)).sum()
            slope = np.exp(logits - logsumexp(logits, axis=1, keepdims=True)) - y
        gradient = np.vstack([C * (z.T @ slope) + w[:-1], C * slope.sum(axis=0)])
        return C * loss + 0.5 * float((w[:-1] ** 2).sum()), gradient.ravel()

    start = np.zeros((n_features + 1, n_classes))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = minimize(
            objective,
            start.ravel(),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_iter, "ftol": 1e-10, "gtol": 1e-5},
        )
    w = found.x.reshape(n_features + 1, n_classes).astype(np.float32)
    return w[:-1], w[-1]

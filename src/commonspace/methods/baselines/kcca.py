"""Kernel CCA: canonical correlations between features that a kernel implies.

References:
    [1] Hardoon, Szedmak, Shawe-Taylor. Canonical Correlation Analysis: An Overview with
        Application to Learning Methods. Neural Computation 16, 2004.
    [2] Williams, Seeger. Using the Nyström Method to Speed Up Kernel Machines. NIPS 2000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch import nn

from commonspace.checks import check_one_of, check_range
from commonspace.data import Dataset
from commonspace.errors import InputError
from commonspace.methods.baselines.mcca import multiset_cca
from commonspace.methods.baselines.pairing import Pairing
from commonspace.methods.baselines.projection import (
    Coordinates,
    PairedProjectionMethod,
    whitening,
)
from commonspace.networks import KernelMap
from commonspace.types import AnyArray, Float32Array, FloatArray, IntArray

BLOCK = 4096  # rows whose kernel is held at once


class KCCA(PairedProjectionMethod):
    """Kernel canonical correlation analysis of any number of modalities [1].

    `MCCA` (of two modalities: CCA) in the feature space of a kernel of standardised features,
    spanned by ``landmarks`` rows [2]: with at most as many rows to learn from, all of them are
    landmarks and the solution is that of kernel CCA. Labels are not looked at, unless they pair
    rows.

    Args:
        dim: Dimensions of the space; fewer where fewer are shared. The default was chosen
            as that of `CCA`, but on one draw of held-back rows, with 400 landmarks.
        kernel: "rbf": ``exp(−γ ‖x − x'‖²)``; "linear": ``xᵀx'``.
        gamma: γ; None: 1 / median of the squared distances between landmarks, of each modality.
        c: Shrinkage of the covariances in feature space towards the identity.
        landmarks: The most rows to span the feature space by, drawn from those learned from.
        standardize: Scale every feature to variance 1; else one scale for all.
        pairing: Which rows belong together: those of one item, or of one class, see
            `matched_rows`.
        random_state: Of the landmarks, and of what ``pairing="classes"`` draws.
    """

    def __init__(
        self,
        *,
        dim: int = 32,
        kernel: Literal["rbf", "linear"] = "rbf",
        gamma: float | None = None,
        c: float = 0.1,
        landmarks: int = 1000,
        standardize: bool = True,
        pairing: Pairing = "items",
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.kernel = kernel
        self.gamma = gamma
        self.c = c
        self.landmarks = landmarks
        self.standardize = standardize
        self.pairing = pairing
        self.random_state = random_state

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_one_of("kernel", self.kernel, ("rbf", "linear"))
        check_range("c", self.c, low=0, high=1)
        check_range("landmarks", self.landmarks, low=2, integer=True)
        if self.gamma is not None:
            check_range("gamma", self.gamma, low=1e-12)

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        views = self._coordinates(self._matched(train))
        count = len(next(iter(views.values())).rows)
        chosen = np.random.default_rng(self.random_state).permutation(count)[: self.landmarks]
        spans = {name: self._span(name, view, np.sort(chosen)) for name, view in views.items()}
        mapped = {name: span.features(views[name].rows) for name, span in spans.items()}
        centres = {name: phi.mean(axis=0) for name, phi in mapped.items()}
        rows = [phi - centres[name] for name, phi in mapped.items()]
        found = multiset_cca(rows, [self.c] * len(rows), self.dim)
        return {
            name: _arrays(views[name], spans[name], centres[name], w)
            for name, w in zip(views, found.weights, strict=True)
        }

    def _span(self, name: str, view: Coordinates, chosen: IntArray) -> Span:
        landmarks = view.rows[chosen]
        gamma = 0.0
        if self.kernel == "rbf":
            gamma = float(self.gamma) if self.gamma is not None else _gamma(view.rows, landmarks)
        if not (landmarks != landmarks[0]).any():
            raise InputError(
                f"modality {name!r}: the {len(landmarks)} landmarks drawn are all alike. Raise "
                f"landmarks={self.landmarks}, or change random_state."
            )
        return Span(landmarks, gamma, whitening(kernel(landmarks, landmarks, gamma), 0.0))

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        part = self.parts_[modality]
        z_NE = np.empty((len(x_ND), part["weights"].shape[1]), np.float32)
        for start in range(0, len(x_ND), BLOCK):
            rows = (x_ND[start : start + BLOCK] - part["mean"]) * part["scale"]
            rows = rows @ part["basis"] if "basis" in part else rows
            k_NL = kernel(rows, part["landmarks"], float(part["gamma"][0]))
            z_NE[start : start + BLOCK] = k_NL @ part["weights"] - part["offset"]
        return z_NE

    def _module(self, modality: str) -> nn.Module:
        part = self.parts_[modality]
        return KernelMap(
            part["mean"],
            part["scale"],
            basis=part.get("basis"),
            landmarks=part["landmarks"],
            gamma=float(part["gamma"][0]),
            weights=part["weights"],
            offset=part["offset"],
        )


@dataclass(frozen=True)
class Span:
    """The feature space that landmarks span.

    Attributes:
        landmarks: Coordinates, shape (n_landmarks, n_coordinates).
        gamma: Of the Gaussian kernel; 0 means the linear one.
        map: From kernels with the landmarks to orthonormal features, (n_landmarks, rank).
    """

    landmarks: FloatArray
    gamma: float
    map: FloatArray

    def features(self, rows: FloatArray) -> FloatArray:
        """Return the features of rows, whose inner products are their kernels."""
        starts = range(0, len(rows), BLOCK)
        blocks = [
            kernel(rows[s : s + BLOCK], self.landmarks, self.gamma) @ self.map for s in starts
        ]
        return np.concatenate(blocks)


def kernel(rows: FloatArray, landmarks: FloatArray, gamma: float) -> FloatArray:
    """The Gaussian kernel of these rows with the landmarks, or with γ = 0 the linear one."""
    from sklearn.metrics.pairwise import rbf_kernel

    rows = rows.astype(np.float64)
    k_NL: FloatArray = rbf_kernel(rows, landmarks, gamma) if gamma else rows @ landmarks.T
    return k_NL


def _gamma(rows: FloatArray, landmarks: FloatArray) -> float:
    """1 / median squared distance; where most landmarks are alike, 1 / mean of all rows."""
    from sklearn.metrics.pairwise import euclidean_distances

    distance = euclidean_distances(landmarks, squared=True)
    median = float(np.median(distance[np.triu_indices(len(landmarks), 1)]))
    return 1 / (median if median > 0 else 2 * float(rows.var(axis=0).sum()))


def _arrays(
    view: Coordinates, span: Span, centre: FloatArray, weights: FloatArray
) -> dict[str, AnyArray]:
    basis = {} if view.basis is None else {"basis": view.basis.astype(np.float32)}
    return {
        "mean": view.mean,
        "scale": view.scale,
        **basis,
        "landmarks": span.landmarks,
        "gamma": np.array([span.gamma]),
        "weights": span.map @ weights,
        "offset": centre @ weights,
    }

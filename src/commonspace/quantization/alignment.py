"""Which errors of a reconstruction matter: those that a query can see.

A query q ranks by ``⟨q, x̂⟩``, so what a code should keep is the score: the squared error of the
score, in the mean over queries, is a quadratic form of the error of the vector,

    E_q ⟨q, x − x̂⟩²  =  (x − x̂)ᵀ A (x − x̂),     A = E[q qᵀ].

Labels say where queries are: around the prototype of their class. With prototypes Z, which are the
closed form of label alignment [1], ``‖X − Z L‖² → Z = X Lᵀ (L Lᵀ)⁻¹``, and a share 1 − w of queries
that may be anywhere,

    A  =  (1 − w) I / E  +  w Z Zᵀ / tr(Z Zᵀ).

w = 0 is the Euclidean error. As w grows, codes are spent on what tells classes apart.

References:
    [1] Yang et al. Shared Predictive Cross-Modal Deep Quantization. IEEE TNNLS 2018, eqs. 6-8.
    [2] Guo et al. Accelerating Large-Scale Inference with Anisotropic Vector Quantization.
        ICML 2020 (the error of the score in place of the error of the vector).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from commonspace.types import AnyArray, Float32Array

EPS = 1e-6


@dataclass(frozen=True, eq=False)
class Alignment:
    """The quadratic form ``A = rest · I + VᵀV``.

    Attributes:
        V_CE: Scaled prototypes.
        rest: Weight of every direction.
    """

    V_CE: Float32Array
    rest: float

    @classmethod
    def of(cls, x_NE: AnyArray, y_NC: AnyArray, *, weight: float) -> Alignment:
        """The form of given vectors and labels.

        Args:
            x_NE: Vectors.
            y_NC: Label weights; rows of zeros have no label.
            weight: w, from 0 to 1.
        """
        z_CE = prototypes(x_NE, y_NC)
        spread = float(np.square(z_CE).sum())
        if not spread:  # prototypes that are all zero tell no direction from another
            return cls(np.zeros(z_CE.shape, np.float32), 1 / x_NE.shape[1])
        scale = (weight / spread) ** 0.5
        return cls((scale * z_CE).astype(np.float32), (1 - weight) / x_NE.shape[1])

    def apply(self, x_NE: Float32Array) -> Float32Array:
        """Return x A of every row."""
        return np.asarray(self.rest * x_NE + (x_NE @ self.V_CE.T) @ self.V_CE, np.float32)

    def coordinates(self, x_NE: Float32Array) -> Float32Array:
        """Return coordinates in which A is the Euclidean norm, shape (n, dim)."""
        gram = self.V_CE.T.astype(np.float64) @ self.V_CE
        values, vectors = np.linalg.eigh(gram + self.rest * np.eye(len(gram)))
        root = vectors * np.sqrt(np.clip(values, 0, None))
        return np.asarray(x_NE @ root.astype(np.float32), np.float32)


def prototypes(x_NE: AnyArray, y_NC: AnyArray) -> AnyArray:
    """One row a class, ``(L Lᵀ + ε I)⁻¹ L X``: class means where each row has one class."""
    y = np.asarray(y_NC, np.float64)
    gram = y.T @ y
    gram[np.diag_indices_from(gram)] += EPS
    return np.asarray(np.linalg.solve(gram, y.T @ np.asarray(x_NE, np.float64)))

"""The quantiser of SPDQ: C, Z, D and B in turn; no step increases O_q.

For shared representations S_m of the modalities m and label columns L_m, eqs. 6-8 of [1] are::

    O_q = Σ_m ‖C_m S_m − Z L_m‖²  +  β ‖Z L − D B‖²        C_m C_mᵀ = I,  B one-hot by blocks

The paper has two modalities and pairs; here modalities may be several, with rows of their own, and
the second term counts a label set with its mean number of rows over modalities, which is the
paper's sum when rows are paired. All rows of one label set share one target ``Z l``, so everything
is computed from the sums of S over label sets, and no step depends on the number of rows. The step
of C is exact, those of Z and D are but for a ridge, and that of B is a heuristic for an NP-hard
problem.

Without label alignment, an ablation, every item is a label set of its own, and Z its target.

References:
    [1] Yang et al. Shared Predictive Cross-Modal Deep Quantization. IEEE TNNLS 2018, steps 2-5 of
        Algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, svd

from commonspace.quantization import Assigner, decode_words, update_codebooks
from commonspace.quantization.codebooks import residual_codebooks
from commonspace.types import AnyArray, Float32Array, IntArray

RIDGE_D, RIDGE_Z = 1e-3, 1e-6


@dataclass(frozen=True, eq=False)
class Groups:
    """Label sets, and which rows of each modality have which.

    Attributes:
        labels: One label set a row, shape (G, K); K is the number of classes (or of items).
        index: Label set of each row, by modality.
    """

    labels: sparse.csr_array
    index: dict[str, IntArray]

    @classmethod
    def of_labels(cls, tables: dict[str, AnyArray]) -> Groups:
        """Equal label rows, of shape (n, K) by modality, are one label set."""
        stacked = np.concatenate(list(tables.values()))
        labels, inverse = np.unique(stacked, axis=0, return_inverse=True)
        return cls(sparse.csr_array(labels), _split(inverse.reshape(-1), tables))

    @classmethod
    def of_items(cls, items: dict[str, AnyArray]) -> Groups:
        """Every item its own label set: no alignment by labels."""
        names, inverse = np.unique(np.concatenate(list(items.values())), return_inverse=True)
        labels = sparse.csr_array(sparse.eye_array(len(names), dtype=np.float32))
        return cls(labels, _split(inverse, items))

    def __len__(self) -> int:
        return int(self.labels.shape[0])

    def counts(self, modality: str) -> AnyArray:
        """Rows of each label set, shape (G,)."""
        return np.bincount(self.index[modality], minlength=len(self)).astype(np.float64)


@dataclass(frozen=True, eq=False)
class Sums:
    """All that O_q needs to know of one modality's S.

    Attributes:
        sums: Sums of the representations over the rows of each label set.
        counts: Rows of each label set.
        squares: Squared Frobenius norm of S.
    """

    sums: AnyArray
    counts: AnyArray
    squares: float

    @classmethod
    def of(cls, s_NE: Float32Array, groups: Groups, modality: str) -> Sums:
        """Sum up the representations of a modality's rows."""
        index = groups.index[modality]
        ones = np.ones(len(index))
        member = sparse.csr_array((ones, (index, np.arange(len(index)))), (len(groups), len(index)))
        wide = s_NE.astype(np.float64)
        return cls(member @ wide, groups.counts(modality), float(np.square(wide).sum()))


@dataclass(eq=False)
class LabelQuantizer:
    """C, Z, D and B, and the steps that improve them.

    Attributes:
        C: Orthogonal map of each modality, each of shape (E, E).
        Z: Prototypes, one a row, shape (K, E).
        D: Codebooks, shape (M, Q, E).
        words: B, words of each label set, shape (G, M).
        beta: Weight of the quantisation error.
        orthogonal: Keep the prototypes orthogonal and of one length. The free ones of the paper may
            all shrink to zero together with S, which O_q alone rewards.
    """

    C: dict[str, AnyArray]
    Z: AnyArray
    D: Float32Array
    words: IntArray
    beta: float
    orthogonal: bool

    @classmethod
    def start(
        cls,
        sums: dict[str, Sums],
        groups: Groups,
        *,
        n_words: int,
        n_entries: int,
        beta: float,
        orthogonal: bool,
        seed: int,
    ) -> LabelQuantizer:
        """Random prototypes of the length of S, C by Procrustes, D by residual k-means."""
        dim = next(iter(sums.values())).sums.shape[1]
        n_rows = sum(float(part.counts.sum()) for part in sums.values())
        length = (sum(part.squares for part in sums.values()) / n_rows) ** 0.5
        Z = length * _frame(groups.labels.shape[1], dim, seed)
        targets = np.asarray(groups.labels @ Z, np.float32)
        D = residual_codebooks(targets, n_words=n_words, n_entries=n_entries, seed=seed)
        words = Assigner(D).assign(targets, beam=4)
        square = orthogonal and groups.labels.shape[1] <= dim
        found = cls({}, Z, D, words, beta, square)
        found.step_c(sums, groups)
        return found

    def update(self, sums: dict[str, Sums], groups: Groups, *, rounds: int = 3) -> None:
        """Take all four steps, in the order of Algorithm 1."""
        for _ in range(rounds):
            self.step_c(sums, groups)
            self.step_z(sums, groups)
            self.step_d(sums, groups)
            self.step_b(groups)

    def targets(self, groups: Groups) -> Float32Array:
        """Z l of every label set, shape (G, E)."""
        return np.asarray(groups.labels @ self.Z, np.float32)

    def step_c(self, sums: dict[str, Sums], groups: Groups) -> None:
        """Orthogonal Procrustes: ``Z L Sᵀ = U Y Wᵀ``, C = U Wᵀ."""
        targets = groups.labels @ self.Z
        for name, part in sums.items():
            self.C[name] = _polar(targets.T @ part.sums)

    def step_z(self, sums: dict[str, Sums], groups: Groups) -> None:
        """``Z = [Σ C_m S_m L_mᵀ + β D B Lᵀ] ((n_modalities + β) L Lᵀ)⁻¹``, or its polar factor."""
        shares = _shares(sums)
        labels = groups.labels.astype(np.float64)
        decoded = decode_words(self.D, self.words).astype(np.float64)
        pull = sum(part.sums @ self.C[name].T for name, part in sums.items())
        right = labels.T @ (pull + self.beta * shares[:, None] * decoded)
        if self.orthogonal:
            length = float(np.linalg.norm(self.Z[0]))
            self.Z = length * _polar(right)
            return
        gram = labels.T @ labels.multiply(shares[:, None]).tocsr()
        self.Z = _solve(gram * (len(sums) + self.beta), right)

    def step_d(self, sums: dict[str, Sums], groups: Groups) -> None:
        """Ridge regression on the one-hot words."""
        weights = _shares(sums)
        self.D = update_codebooks(
            self.targets(groups), self.words, self.D, ridge=RIDGE_D, weights=weights
        )

    def step_b(self, groups: Groups) -> None:
        """ICM from the words there are, or a beam search where that is better."""
        self.words = Assigner(self.D).assign(self.targets(groups), beam=4, start=self.words)

    def objective(self, sums: dict[str, Sums], groups: Groups) -> float:
        """O_q."""
        targets = np.asarray(groups.labels.astype(np.float64) @ self.Z)
        lengths = np.square(targets).sum(axis=1)
        total = 0.0
        for name, part in sums.items():
            product = float(((part.sums @ self.C[name].T) * targets).sum())
            total += part.squares - 2 * product + float(part.counts @ lengths)
        errors = np.square(targets - decode_words(self.D, self.words)).sum(axis=1)
        return total + self.beta * float(_shares(sums) @ errors)


def _shares(sums: dict[str, Sums]) -> AnyArray:
    """Mean number of rows of each label set over the modalities."""
    return np.asarray(sum(part.counts for part in sums.values()) / len(sums))


def _polar(matrix: AnyArray) -> AnyArray:
    """The nearest matrix with orthonormal rows or columns."""
    try:
        u, _, vt = svd(matrix, full_matrices=False)
    except LinAlgError:  # the fast driver fails on some finite matrices of low rank
        u, _, vt = svd(matrix, full_matrices=False, lapack_driver="gesvd")
    return np.asarray(u @ vt)


def _frame(n: int, dim: int, seed: int) -> AnyArray:
    """Random unit rows, orthogonal up to ``dim`` of them."""
    rows = np.random.default_rng([seed, n, dim]).standard_normal((n, dim))
    if n <= dim:
        return np.ascontiguousarray(np.linalg.qr(rows.T)[0].T)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def _solve(gram: sparse.csr_array, right: AnyArray) -> AnyArray:
    """Solve a symmetric system; diagonal ones, as of one class a row, by division."""
    diagonal = gram.diagonal()
    if gram.nnz <= np.count_nonzero(diagonal):
        return np.asarray(right / (diagonal + RIDGE_Z)[:, None])
    dense = gram.toarray()
    dense[np.diag_indices_from(dense)] += RIDGE_Z
    return np.asarray(np.linalg.solve(dense, right))


def _split(stacked: AnyArray, parts: dict[str, AnyArray]) -> dict[str, IntArray]:
    sizes = np.cumsum([len(part) for part in parts.values()])[:-1]
    return dict(zip(parts, np.split(stacked.astype(np.int64), sizes), strict=True))

"""Find the words of an additive code: beam search, then iterated conditional modes.

With codebooks D_1 ... D_M of Q codewords each, the error of words b is

    ‖x − Σ_m D_m[b_m]‖² − ‖x‖²  =  Σ_m u_m(b_m)  +  Σ_{m≠m'} ⟨D_m[b_m], D_m'[b_m']⟩

with ``u_m(q) = ‖D_m[q]‖² − 2 ⟨x, D_m[q]⟩``. The second sum does not know x, so its terms come from
a table of all products of codewords, and changing a word costs M − 1 rows of that table and no
vector of the item. All norms and products are those of an `Alignment`, where there is one.
Minimising over all words is NP-hard; ICM takes the best word at one place after the other while the
rest stand still, which never increases the error [1, 2].

References:
    [1] Babenko, Lempitsky. Additive Quantization for Extreme Vector Compression. CVPR 2014.
    [2] Yang et al. Shared Predictive Cross-Modal Deep Quantization. IEEE TNNLS 2018, step 5 of
        Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from commonspace.quantization.alignment import Alignment
from commonspace.types import Float32Array, FloatArray, IntArray

BLOCK_BYTES = 1 << 20  # of unary terms at once: what the second-level cache holds


class Assigner:
    """Assigns words to vectors under fixed codebooks.

    Args:
        D_MQE: The codebooks.
        alignment: The norm in which errors count; None is the Euclidean one.
    """

    def __init__(self, D_MQE: Float32Array, alignment: Alignment | None = None) -> None:
        self.n_words, self.n_entries, self.dim = D_MQE.shape
        flat = np.array(D_MQE.reshape(-1, self.dim))
        self._origin = D_MQE[0].mean(axis=0)  # or a large mean would use up the digits of float32
        flat[: self.n_entries] -= self._origin
        seen = flat if alignment is None else alignment.apply(flat)
        self._cross = np.ascontiguousarray(-2 * seen.T)
        self._norms = np.einsum("ke,ke->k", flat, seen)
        products = (2 * (flat @ seen.T)).reshape(self.n_words, self.n_entries, self.n_words, -1)
        self._pairs = np.ascontiguousarray(products.transpose(0, 2, 1, 3))  # m', m: (Q, Q)
        self._block = max(16, BLOCK_BYTES // (4 * len(flat)))

    def assign(
        self, x_NE: Float32Array, *, beam: int = 1, sweeps: int = 3, start: IntArray | None = None
    ) -> IntArray:
        """Return words of shape (n, M).

        Args:
            x_NE: Vectors.
            beam: Partial codes kept a row by the beam search.
            sweeps: Passes of ICM over the words, ended early once nothing changes.
            start: Words to begin from in place of a beam search; with ``beam`` above 1 the better
                of both, so that the error is never larger than that of ``start``.
        """
        words = np.empty((len(x_NE), self.n_words), np.int64)
        for rows in self._blocks(len(x_NE)):
            unary = self._unary(x_NE[rows])
            found = start[rows].copy() if start is not None else self._search(unary, beam)
            self._sweep(unary, found, sweeps)
            if start is not None and beam > 1:
                other = self._search(unary, beam)
                self._sweep(unary, other, sweeps)
                better = self._error(unary, other) < self._error(unary, found)
                found[better] = other[better]
            words[rows] = found
        return words

    def _blocks(self, n: int) -> Iterator[slice]:
        return (slice(at, at + self._block) for at in range(0, n, self._block))

    def _unary(self, x_BE: Float32Array) -> Float32Array:
        """Terms u of a block, shape (M, B, Q)."""
        out = (x_BE - self._origin) @ self._cross
        out += self._norms
        shaped = out.reshape(len(x_BE), self.n_words, self.n_entries)
        return np.ascontiguousarray(shaped.transpose(1, 0, 2))

    def _sweep(self, unary: Float32Array, words: IntArray, sweeps: int) -> None:
        """ICM in place; rows that a whole sweep left as they were are done."""
        rows = np.arange(len(words))
        for _ in range(sweeps):
            before = words[rows]
            for m in range(self.n_words):
                costs = unary[m] if len(rows) == len(words) else unary[m, rows]
                words[rows, m] = self._conditional(costs, words[rows], m).argmin(axis=1)
            rows = rows[(words[rows] != before).any(axis=1)]
            if not len(rows):
                return

    def _conditional(self, costs_BQ: Float32Array, words: IntArray, m: int) -> Float32Array:
        """Cost of every entry at place m while the other places stand still, shape (B, Q)."""
        out = costs_BQ.copy()
        gathered = np.empty_like(out)
        for other in range(self.n_words):
            if other != m:
                out += np.take(self._pairs[other, m], words[:, other], axis=0, out=gathered)
        return out

    def _search(self, unary: Float32Array, beam: int) -> IntArray:
        """Beam search over the places: the best ``beam`` partial codes of each row go on."""
        n = unary.shape[1]
        errors = np.zeros((n, 1), np.float32)
        words = np.empty((n, 1, 0), np.int64)
        for m in range(self.n_words):
            costs = errors[:, :, None] + unary[m][:, None, :]
            for other in range(m):
                costs += self._pairs[other, m][words[:, :, other]]
            kept = beam if m + 1 < self.n_words else 1
            errors, words = _best(costs, words, kept)
        return words[:, 0]

    def _error(self, unary: Float32Array, words: IntArray) -> FloatArray:
        """‖x − Σ D b‖² of every row, up to a constant of its own."""
        rows = np.arange(len(words))
        total = np.zeros(len(words))
        for m in range(self.n_words):
            total += unary[m, rows, words[:, m]]
            for other in range(m):
                total += self._pairs[other, m][words[:, other], words[:, m]]
        return total


def _best(costs: Float32Array, words: IntArray, kept: int) -> tuple[Float32Array, IntArray]:
    """Continue the partial codes of each row by their cheapest entries; overwrites ``costs``.

    A few passes for the smallest are several times faster than a partition.
    """
    n, _, n_entries = costs.shape
    flat = costs.reshape(n, -1)
    kept = min(kept, flat.shape[1])
    rows = np.arange(n)
    chosen = np.empty((n, kept), np.int64)
    errors = np.empty((n, kept), np.float32)
    for place in range(kept):
        at = chosen[:, place] = flat.argmin(axis=1)
        errors[:, place] = flat[rows, at]
        flat[rows, at] = np.inf
    parents = np.take_along_axis(words, (chosen // n_entries)[:, :, None], axis=1)
    return errors, np.concatenate([parents, (chosen % n_entries)[:, :, None]], axis=2)

"""What all kinds do to vectors before FAISS sees them, and how FAISS is called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from commonspace.checks import as_features
from commonspace.errors import InputError
from commonspace.types import AnyArray, Float32Array, FloatArray

Metric = Literal["cosine", "inner", "euclidean"]

# From this many queries on FAISS multiplies matrices instead of scanning row by row. FAISS 1.15
# switches at 128 000; measured on 100 000 x 512, one thread: 16 queries 118 ms against 240 ms, 100
# queries 0.4 s against 1.5 s.
MATRIX_QUERIES = 16
# Beyond this norm, squares leave the range of float32.
_MAX_NORM = 1e18
_faiss: Any = None


def prepare(x: Float32Array, metric: Metric, *, where: str) -> tuple[Float32Array, FloatArray]:
    """Bring rows to unit length where the metric asks for it; also return their lengths before."""
    lengths = row_lengths(x)
    if metric == "cosine":
        length = np.where(lengths > 0, lengths, 1.0)[:, None]
        out = np.empty_like(x)
        for part in parts(x):
            out[part] = x[part] / length[part]
        return out, lengths
    if lengths.max(initial=0.0) > _MAX_NORM:
        row = int(np.argmax(lengths))
        raise InputError(
            f"{where}: row {row} has length {lengths[row]:.3g}; beyond {_MAX_NORM:.0e} products "
            "leave the range of float32. Scale the vectors down, or use metric='cosine'."
        )
    return x, lengths


def as_queries(vectors: Any, metric: Metric, dim: int | None) -> tuple[Float32Array, FloatArray]:
    """Check queries and `prepare` them."""
    if metric == "cosine" and dim is not None and _is_plain_row(vectors, dim):
        # The same numbers to the bit, for the one query that has to be quick.
        wide = vectors.astype(np.float64)
        lengths: FloatArray = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        length = float(lengths[0])
        if np.inf > length:  # and so all numbers are finite
            return (wide / (length or 1.0)).astype(np.float32), lengths
    queries = as_features(vectors, where="queries", n_features=dim)
    return prepare(queries, metric, where="queries")


def _is_plain_row(x: Any, dim: int) -> bool:
    return isinstance(x, np.ndarray) and x.dtype == np.float32 and x.shape == (1, dim)


def row_lengths(x: Float32Array) -> FloatArray:
    """Lengths of rows, summed in float64."""
    found = np.empty(len(x))
    for part in parts(x):
        wide = x[part].astype(np.float64)
        found[part] = np.sqrt(np.einsum("nd,nd->n", wide, wide))
    return found


def parts(x: AnyArray) -> Iterator[slice]:
    """Blocks of rows of about a million numbers."""
    step = max(1, (1 << 20) // x.shape[1])
    return (slice(start, start + step) for start in range(0, len(x), step))


def load_faiss() -> Any:
    """Import FAISS when it is first needed, and let it multiply matrices for batches of queries."""
    global _faiss
    if _faiss is None:
        import faiss

        switch = faiss.cvar.distance_compute_blas_threshold
        faiss.cvar.distance_compute_blas_threshold = min(switch, MATRIX_QUERIES)
        _faiss = faiss
    return _faiss


def faiss_metric(metric: Metric) -> int:
    """FAISS's number of a metric; a cosine is the product of unit vectors."""
    faiss = load_faiss()
    return int(faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT)


class threads:  # noqa: N801 (used as a function is)
    """Run FAISS with n OpenMP threads; the setting belongs to the calling thread alone."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __enter__(self) -> None:
        faiss = load_faiss()
        self.before = faiss.omp_get_max_threads()
        if self.before != self.n:
            faiss.omp_set_num_threads(self.n)

    def __exit__(self, *_: object) -> None:
        if self.before != self.n:
            load_faiss().omp_set_num_threads(self.before)


def selector(places: AnyArray, n: int) -> Any:
    """FAISS's selector of some of n rows."""
    bits = np.zeros(n, dtype=bool)
    bits[places] = True
    return load_faiss().IDSelectorBitmap(np.packbits(bits, bitorder="little"))

"""What all kinds do to vectors before FAISS sees them, and how FAISS is called."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np

from commonspace.errors import InputError
from commonspace.types import AnyArray, Float32Array, FloatArray

Metric = Literal["cosine", "inner", "euclidean"]

# From this many queries on FAISS multiplies matrices instead of scanning row by row. FAISS 1.15
# switches at 128 000; measured on 100 000 x 512, one thread: 16 queries 118 ms against 240 ms, 100
# queries 0.4 s against 1.5 s.
MATRIX_QUERIES = 16
# Beyond this norm, squares leave the range of float32.
_MAX_NORM = 1e18


def prepare(x: Float32Array, metric: Metric, *, where: str) -> tuple[Float32Array, FloatArray]:
    """Bring rows to unit length where the metric asks for it; also return their lengths before."""
    lengths = row_lengths(x)
    if metric == "cosine":
        length = np.where(lengths > 0, lengths, 1.0)[:, None]
        if len(x) == 1:
            return (x / length).astype(np.float32), lengths
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
    import faiss

    switch = faiss.cvar.distance_compute_blas_threshold
    if switch > MATRIX_QUERIES:
        faiss.cvar.distance_compute_blas_threshold = MATRIX_QUERIES
    return faiss


def faiss_metric(metric: Metric) -> int:
    """FAISS's number of a metric; a cosine is the product of unit vectors."""
    faiss = load_faiss()
    return int(faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT)


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run FAISS with n OpenMP threads; the setting belongs to the calling thread alone."""
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    if before == n:
        yield
        return
    faiss.omp_set_num_threads(n)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def selector(places: AnyArray, n: int) -> Any:
    """FAISS's selector of some of n rows."""
    bits = np.zeros(n, dtype=bool)
    bits[places] = True
    return load_faiss().IDSelectorBitmap(np.packbits(bits, bitorder="little"))

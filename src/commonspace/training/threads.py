"""How much of the machine one training takes, and which matrix product it uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

MAX_RELATIVE_ERROR = 2e-6  # of a fast float32 product against float64: true float32 is ~5e-7


@contextmanager
def compute_settings(*, threads: int = 1) -> Iterator[None]:
    """Train with a fixed number of threads and the fastest float32 product that is exact enough.

    oneDNN's float32 product is about twice as fast as MKL's on AMD processors. Torch reaches it
    through ``float32_matmul_precision("medium")``, which on other processors means bfloat16
    arithmetic, so it is used only where its error, measured here, is that of float32. NumPy's
    linear algebra gets as many threads: its last bits may depend on their number.
    Everything is as it was when the context ends.
    """
    from threadpoolctl import threadpool_limits

    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(threads)
    try:
        torch.set_float32_matmul_precision("medium" if _onednn_is_float32() else "highest")
        with threadpool_limits(threads, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.set_float32_matmul_precision(before[1])


@cache
def _onednn_is_float32() -> bool:
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(128, 512, generator=generator)
    b = torch.randn(512, 128, generator=generator)
    exact = a.double() @ b.double()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        # The layout of a linear layer: x @ weight.T
        fast = torch.nn.functional.linear(a, b.T.contiguous())
    finally:
        torch.set_float32_matmul_precision(before)
    error = float((fast - exact).norm() / exact.norm())
    return error < MAX_RELATIVE_ERROR

"""What the trainings of all methods share.

Rows in blocks, networks as arrays, how many passes, and whether a training is the same one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import metadata
from typing import Any, TypeVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from commonspace.data import Dataset
from commonspace.disk import sha256_bytes
from commonspace.types import AnyArray, Float32Array, IntArray

FORWARD_ROWS = 4096

Network = TypeVar("Network", bound=nn.Module)


def as_tensor(x: AnyArray) -> Tensor:
    """Rows as a float32 tensor, copied only where they must be."""
    array = np.ascontiguousarray(x, dtype=np.float32)
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def in_blocks(
    function: Callable[[Tensor], Tensor],
    x: AnyArray,
    dim: int,
    *,
    as_input: Callable[[AnyArray], Tensor] = as_tensor,
    block: int = FORWARD_ROWS,
) -> Float32Array:
    """Return what a function makes of all rows, shape (n, dim), a block of rows at a time."""
    out = np.empty((len(x), dim), np.float32)
    with torch.inference_mode():
        for start in range(0, len(x), block):
            rows = slice(start, start + block)
            out[rows] = function(as_input(x[rows])).numpy()
    return out


def arrays_of(network: nn.Module) -> dict[str, AnyArray]:
    """All that a network has learned, to be stored."""
    return {key: tensor.numpy() for key, tensor in network.state_dict().items()}


def with_arrays(network: Network, arrays: Mapping[str, AnyArray]) -> Network:
    """The network with what `arrays_of` stored, ready to transform."""
    network.load_state_dict({key: torch.from_numpy(value) for key, value in arrays.items()})
    return network.eval()


def passes_for(
    width: int,
    steps: int,
    *,
    at_1024: float,
    passes: tuple[float, float],
    within: tuple[float, float],
) -> float:
    """Return how many passes over the rows a network needs.

    Wide inputs overfit earlier and cost more, so passes fall with the square root of the width;
    small sets need more of them, for a network needs so many steps to learn, and no more.

    Args:
        width: Number of features.
        steps: Of one pass.
        at_1024: Passes for 1024 features.
        passes: The fewest and the most that the width asks for.
        within: The fewest and the most steps in all, which go first (but one pass at least).
    """
    asked = np.clip(at_1024 * (1024 / width) ** 0.5, *passes)
    return float(np.clip(asked, within[0] / steps, max(1, within[1] / steps)))


def learned_digest(networks: Mapping[str, nn.Module]) -> str:
    """Digest of all that some networks have learned, in their order."""
    chunks = []
    for network in networks.values():
        arrays = arrays_of(network).values()
        chunks.append(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays))
    return sha256_bytes(*chunks)


def digest_of(params: Mapping[str, Any], train: Dataset, valid: Dataset | None, *more: str) -> str:
    """Identity of a training by arguments and data, so that only the same one is resumed."""
    versions = metadata.version("commonspace"), torch.__version__
    data = [part.fingerprint() for part in (train, valid) if part is not None]
    return sha256_bytes(repr((versions, sorted(params.items()), data, more)).encode())


def identity(job: Mapping[str, Any]) -> str:
    """Digest of all a training depends on, so that only the same training is resumed."""
    chunks: list[bytes] = [metadata.version("commonspace").encode(), torch.__version__.encode()]
    for key, value in sorted(job.items()):
        arrays: list[Any] = [value] if isinstance(value, np.ndarray) else []
        if sparse.issparse(value):
            arrays = [value.data, value.indices, value.indptr]
        chunks.append(key.encode())
        chunks += [np.ascontiguousarray(array).tobytes() for array in arrays]
        if not arrays:
            chunks.append(repr(value).encode())
    return sha256_bytes(*chunks)


def evenly(n: int, count: int) -> IntArray:
    """At most so many of n rows, at even distances."""
    rows: IntArray = np.linspace(0, n - 1, min(n, count)).astype(np.int64)
    return rows

"""Search over vectors: exact first, approximate kinds behind the same methods."""

from commonspace.index.base import Index, Neighbours
from commonspace.index.exact import ExactIndex, Metric

__all__ = ["ExactIndex", "Index", "Metric", "Neighbours"]

"""Aliases for arrays, and the small protocols by which rooms know each other.

Legend of the capital suffixes that numerical code uses for shapes (``z_NE`` has shape (N, E)):

====== ==========================================
letter meaning
====== ==========================================
N      items (rows) of one modality
D      features of one modality's input
E      dimensions of the common space
C      classes
B      items in a batch
Q      queries
G      items of the gallery
K      results kept per query
====== ==========================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]
StrArray = npt.NDArray[np.str_]
AnyArray = npt.NDArray[Any]
JsonDict = dict[str, Any]


@runtime_checkable
class SupportsTransform(Protocol):
    """Anything that brings features of a named modality into a common space."""

    def transform(self, modality: str, x: Any) -> AnyArray:
        """Return vectors of shape (n, dim), one row per row of ``x``."""
        ...


class LabelTable(Protocol):
    """What evaluation needs to know of labels; `commonspace.data.Labels` is one."""

    @property
    def known(self) -> BoolArray:
        """Whether the labels of each row are known, shape (n,)."""
        ...

    def dense(self) -> Float32Array:
        """Label weights, shape (n, n_classes); rows of unknown labels are zero."""
        ...

    def __len__(self) -> int: ...


class ModalityTable(Protocol):
    """One modality's rows; `commonspace.data.Modality` is one."""

    @property
    def x(self) -> AnyArray:
        """Features, first axis the rows."""
        ...

    @property
    def labels(self) -> LabelTable:
        """Labels of the rows."""
        ...

    @property
    def items(self) -> StrArray:
        """Item id of each row: equal ids in two modalities are a pair."""
        ...


class LabelledData(Protocol):
    """Named modalities over one class list; `commonspace.data.Dataset` is one."""

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order of their columns."""
        ...

    def __getitem__(self, modality: str) -> ModalityTable: ...


Names = Sequence[str]
Features = Mapping[str, AnyArray]

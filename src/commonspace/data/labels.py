"""One representation for single, multiple, graded and unknown labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy import sparse

from commonspace.checks import check_names, not_found
from commonspace.errors import InputError
from commonspace.types import AnyArray, BoolArray, Float32Array, IntArray

LabelKind = Literal["single", "multi", "graded"]


@dataclass(frozen=True, eq=False)
class Labels:
    """The labels of n rows over a fixed list of classes.

    Attributes:
        weights: Sparse matrix (n, n_classes), float32: 1 where a row belongs to a class, another
            weight in (0, 1] where membership is graded. Rows of unknown labels are empty.
        known: Whether the labels of each row are known, shape (n,). A known row may be empty:
            it belongs to none of the classes.
        classes: Names of the classes, in order of the columns.
    """

    weights: sparse.csr_array
    known: BoolArray
    classes: tuple[str, ...]

    @classmethod
    def from_any(
        cls, labels: Any, *, classes: Sequence[str] | None = None, where: str = "labels"
    ) -> Labels:
        """Read labels in any of the accepted forms.

        Args:
            labels: One of: `Labels`; (n,) class numbers, where -1 is unknown; (n,) class names,
                where None is unknown; (n, n_classes) multi-hot or graded weights in [0, 1], where
                a row of NaN is unknown.
            classes: Names of the classes. None names numbered classes "0", "1", ... and sorts
                the names found among named ones.
            where: What messages call them.

        Raises:
            InputError: Another shape or type, a number out of range, a weight outside [0, 1].
            NotFoundError: A name that is not among ``classes``.
        """
        if isinstance(labels, Labels):
            return labels if classes is None else labels.with_classes(classes)
        named = None if classes is None else _class_names(classes)
        if sparse.issparse(labels):
            return cls._from_sparse(labels, named, where)
        values = _as_array(labels, where)
        if values.ndim == 2:
            return cls._from_matrix(values, named, where)
        if values.dtype.kind in "iu":
            return cls._from_numbers(values.astype(np.int64), named, where)
        return cls._from_names(values, named, where)

    @classmethod
    def unknown(cls, n: int, classes: Sequence[str]) -> Labels:
        """Return n rows whose labels are unknown."""
        return cls._from_numbers(np.full(n, -1, np.int64), _class_names(classes), "labels")

    @classmethod
    def _from_numbers(cls, codes: IntArray, classes: tuple[str, ...] | None, where: str) -> Labels:
        known = codes >= 0
        if classes is None:
            classes = tuple(str(k) for k in range(int(codes.max(initial=-1)) + 1))
        wrong = (codes < -1) | (codes >= len(classes))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise InputError(
                f"{where}: expected class numbers from 0 to {len(classes) - 1} (-1 for unknown), "
                f"got {codes[row]} at row {row}."
            )
        indptr = np.concatenate([[0], np.cumsum(known)])
        ones = np.ones(int(known.sum()), np.float32)
        shape = (len(codes), len(classes))
        return cls(sparse.csr_array((ones, codes[known], indptr), shape=shape), known, classes)

    @classmethod
    def _from_names(cls, values: AnyArray, classes: tuple[str, ...] | None, where: str) -> Labels:
        for row, value in enumerate(values):
            if value is not None and not isinstance(value, (str, int, np.integer)):
                raise InputError(
                    f"{where}: expected a class name, a whole number or None, got {value!r} at "
                    f"row {row}."
                )
        names = [None if v is None or v == "" or v == -1 else str(v) for v in values]
        if classes is None:
            classes = tuple(sorted({name for name in names if name is not None}))
        column = {name: k for k, name in enumerate(classes)}
        codes = np.full(len(names), -1, np.int64)
        for row, name in enumerate(names):
            if name is not None:
                if name not in column:
                    raise not_found(
                        "class", name, classes, hint=f"It stands in {where}, row {row}."
                    )
                codes[row] = column[name]
        return cls._from_numbers(codes, classes, where)

    @classmethod
    def _from_matrix(cls, values: AnyArray, classes: tuple[str, ...] | None, where: str) -> Labels:
        if values.dtype.kind not in "fiub":
            raise InputError(f"{where}: expected numbers in a label matrix, got {values.dtype}.")
        weights = values.astype(np.float32)
        classes = _classes_of_columns(weights.shape, classes, where)
        missing = np.isnan(weights)
        known: BoolArray = ~np.all(missing, axis=1) if classes else np.ones(len(weights), bool)
        weights[~known] = 0
        wrong = ~((weights >= 0) & (weights <= 1))
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise InputError(
                f"{where}: expected weights in [0, 1] (or a whole row of NaN for unknown), got "
                f"{weights[row, column]} at row {row}, class {classes[column]!r}."
            )
        return cls(sparse.csr_array(weights), known, classes)

    @classmethod
    def _from_sparse(cls, matrix: Any, classes: tuple[str, ...] | None, where: str) -> Labels:
        csr = sparse.csr_array(matrix, dtype=np.float32)
        csr.sum_duplicates()
        csr.eliminate_zeros()
        classes = _classes_of_columns(csr.shape, classes, where)
        if not ((csr.data >= 0) & (csr.data <= 1)).all():
            raise InputError(f"{where}: expected weights in [0, 1] in a sparse label matrix.")
        return cls(csr, np.ones(csr.shape[0], bool), classes)

    def __len__(self) -> int:
        return int(self.weights.shape[0])

    def __repr__(self) -> str:
        return (
            f"Labels({len(self)} rows, {len(self.classes)} classes, {self.kind}, "
            f"{int((~self.known).sum())} unknown)"
        )

    @property
    def n_classes(self) -> int:
        """Number of classes, owned by a row or not."""
        return len(self.classes)

    @property
    def kind(self) -> LabelKind:
        """Either "single" (every known row has exactly one class), "multi" or "graded"."""
        if (self.weights.data != 1).any():
            return "graded"
        single = (np.diff(self.weights.indptr)[self.known] == 1).all()
        return "single" if single else "multi"

    @property
    def codes(self) -> IntArray:
        """The class number of each row of single labels, -1 for unknown, shape (n,).

        Raises:
            InputError: Some row has several classes, or none, or a graded one.
        """
        if self.kind != "single":
            raise InputError(f"expected one class a row, got {self.kind} labels.")
        codes = np.full(len(self), -1, np.int64)
        codes[self.known] = self.weights.indices
        return codes

    def dense(self) -> Float32Array:
        """The weights as a dense matrix, shape (n, n_classes), float32."""
        dense: Float32Array = self.weights.toarray()
        return dense

    @property
    def labelled(self) -> BoolArray:
        """Whether each row belongs to at least one class, shape (n,)."""
        return np.asarray(np.diff(self.weights.indptr) > 0)

    def take(self, rows: AnyArray) -> Labels:
        """Return the labels of some rows, in their order."""
        return Labels(sparse.csr_array(self.weights[rows]), self.known[rows], self.classes)

    def with_classes(self, classes: Sequence[str]) -> Labels:
        """Return the same labels over another list of classes that holds all of ours in use.

        Raises:
            NotFoundError: A class that some row belongs to is not in ``classes``.
        """
        names = _class_names(classes)
        if names == self.classes:
            return self
        column = {name: k for k, name in enumerate(names)}
        used = np.unique(self.weights.indices)
        for k in used:
            if self.classes[k] not in column:
                raise not_found("class", self.classes[k], names, hint="Some row belongs to it.")
        target = np.array([column.get(name, -1) for name in self.classes], np.int64)
        matrix = sparse.csr_array(
            (self.weights.data, target[self.weights.indices], self.weights.indptr),
            shape=(len(self), len(names)),
        )
        matrix.sort_indices()
        return Labels(matrix, self.known, names)

    def arrays(self) -> dict[str, AnyArray]:
        """The plain arrays that `from_arrays` rebuilds these labels from."""
        return {
            "label_indptr": self.weights.indptr.astype(np.int64),
            "label_indices": self.weights.indices.astype(np.int64),
            "label_weights": self.weights.data.astype(np.float32),
            "label_known": self.known,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, AnyArray], classes: Sequence[str]) -> Labels:
        """Rebuild labels from `arrays`."""
        known = np.asarray(arrays["label_known"], dtype=bool)
        names = tuple(classes)
        csr = sparse.csr_array(
            (
                np.asarray(arrays["label_weights"], dtype=np.float32),
                np.asarray(arrays["label_indices"]),
                np.asarray(arrays["label_indptr"]),
            ),
            shape=(len(known), len(names)),
        )
        return cls(csr, known, names)


def concatenate_labels(parts: Sequence[Labels]) -> Labels:
    """Stack labels over the same classes, rows after rows."""
    weights = sparse.csr_array(sparse.vstack([part.weights for part in parts], format="csr"))
    return Labels(weights, np.concatenate([part.known for part in parts]), parts[0].classes)


def _class_names(classes: Sequence[str]) -> tuple[str, ...]:
    check_names("classes", classes)
    names = tuple(str(name) for name in classes)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"classes: {twice!r} is named twice. Class names must be unique.")
    return names


def _classes_of_columns(
    shape: tuple[int, ...], classes: tuple[str, ...] | None, where: str
) -> tuple[str, ...]:
    if classes is None:
        return tuple(str(k) for k in range(shape[1]))
    if shape[1] != len(classes):
        raise InputError(
            f"{where}: expected one column for each of the {len(classes)} classes, got shape "
            f"{shape}."
        )
    return classes


def _as_array(labels: Any, where: str) -> AnyArray:
    if not isinstance(labels, np.ndarray) and hasattr(labels, "__len__"):
        scalar = all(value is None or isinstance(value, (str, int, np.integer)) for value in labels)
        if scalar and any(value is None or isinstance(value, str) for value in labels):
            return np.array([*labels, None], dtype=object)[:-1]
    try:
        values = np.asarray(labels)
    except ValueError as error:
        raise InputError(f"{where}: expected rows of equal length.") from error
    if values.dtype.kind == "b" and values.ndim == 1:
        raise InputError(
            f"{where}: expected class numbers or names, got booleans. For two classes pass 0 and "
            "1; for one tag pass a matrix of one column."
        )
    if values.ndim == 1 and values.dtype.kind == "f":
        return _whole_numbers(values, where)
    if values.ndim not in (1, 2):
        raise InputError(
            f"{where}: expected (n,) classes or an (n, n_classes) matrix, got shape {values.shape}."
        )
    return values.astype(object) if values.dtype.kind in "US" else values


def _whole_numbers(values: AnyArray, where: str) -> IntArray:
    unknown = np.isnan(values)
    filled = np.where(unknown, -1, values)
    wrong = filled != np.floor(filled)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise InputError(f"{where}: expected whole class numbers, got {values[row]} at row {row}.")
    return filled.astype(np.int64)

"""Named modalities with their labels: paired, unpaired, partly paired, or of different counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from commonspace.checks import as_ids, check_mapping, check_names, check_range, not_found
from commonspace.data.labels import Labels, concatenate_labels
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError
from commonspace.types import AnyArray, BoolArray, IntArray, JsonDict, StrArray


@dataclass(frozen=True, eq=False)
class Modality:
    """The rows of one modality.

    Attributes:
        x: Features (n, d), or raw items (texts as a string array, pictures as uint8), first axis
            the rows.
        labels: Labels of the rows.
        items: Item id of each row, unique within the modality: the same id in two modalities is
            a pair, and nothing else pairs rows.
        encoder: Which encoder made ``x`` from raw items (its id and settings); None if unknown.
    """

    x: AnyArray
    labels: Labels
    items: StrArray
    encoder: JsonDict | None = None

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: AnyArray) -> Modality:
        """Return some rows, in their order."""
        x = np.asarray(self.x)[rows]
        return replace(self, x=x, labels=self.labels.take(rows), items=self.items[rows])


@dataclass(frozen=True, eq=False)
class Dataset(Mapping[str, Modality]):
    """Named modalities over one list of classes.

    A mapping from modality name to `Modality`. Rows of two modalities belong together if and only
    if they carry the same item id, so that paired, unpaired and partly paired data, missing
    modalities and different counts are all this one type.

    Example:
        >>> images, texts = np.zeros((3, 4)), np.ones((3, 2))
        >>> data = Dataset.from_arrays({"image": images, "text": texts}, labels=["a", "b", "a"])
        >>> data.modalities, data.classes
        (('image', 'text'), ('a', 'b'))
        >>> data["text"].x.shape, data["text"].labels.codes
        ((3, 2), array([0, 1, 0]))
    """

    parts: dict[str, Modality] = field(repr=False)
    classes: tuple[str, ...]

    @classmethod
    def from_arrays(
        cls,
        x: Mapping[str, Any],
        labels: Any,
        *,
        classes: Sequence[str] | None = None,
        items: Mapping[str, Sequence[Any]] | Sequence[Any] | None = None,
        encoders: Mapping[str, JsonDict | None] | None = None,
    ) -> Dataset:
        """Build a data set from arrays in memory.

        Args:
            x: Features of each modality, (n_m, d_m). Never copied or changed.
            labels: One array for all modalities (then equal rows are one item: paired), or a
                mapping with one array a modality (then nothing is paired unless ``items`` says
                so). See `Labels.from_any` for the forms; None or a missing entry: unknown.
            classes: Names of the classes, in the order of their numbers.
            items: Item ids, one sequence for all modalities or a mapping.
            encoders: Which encoder made the features of each modality, kept as it is.

        Raises:
            InputError: Counts differ, ids repeat, labels of an unknown form, no mapping.
        """
        check_mapping("x", x, example="{'image': array}")
        if encoders is not None:
            check_mapping("encoders", encoders, example="{'image': settings}")
        if not x:
            raise InputError("x: expected at least one modality, got none.")
        arrays = {str(name): _rows(name, value) for name, value in x.items()}
        tables = _read_labels(arrays, labels, classes)
        ids = _read_items(arrays, items, paired=not isinstance(labels, Mapping))
        parts = {}
        for name, array in arrays.items():
            if len(tables[name]) != len(array):
                raise InputError(
                    f"modality {name!r}: expected {len(array)} labels (one a row of x, shape "
                    f"{array.shape}), got {len(tables[name])}."
                )
            encoder = (encoders or {}).get(name)
            parts[name] = Modality(array, tables[name], ids[name], encoder)
        return cls(parts, next(iter(tables.values())).classes)

    def __getitem__(self, modality: str) -> Modality:
        try:
            return self.parts[modality]
        except (KeyError, TypeError):
            raise not_found("modality", modality, self.parts) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {part.x.shape}" for name, part in self.items())
        return f"Dataset({shapes}; {len(self.classes)} classes)"

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities, in order."""
        return tuple(self.parts)

    @property
    def label_kind(self) -> str:
        """The widest kind among the modalities: "single", "multi" or "graded"."""
        kinds = {part.labels.kind for part in self.parts.values()}
        return next((kind for kind in ("graded", "multi") if kind in kinds), "single")

    def x(self, modality: str) -> AnyArray:
        """Features of one modality: short for ``self[modality].x``."""
        return self[modality].x

    def labels(self, modality: str) -> Labels:
        """Labels of one modality: short for ``self[modality].labels``."""
        return self[modality].labels

    def pairs(self, first: str, second: str) -> tuple[IntArray, IntArray]:
        """Return rows of two modalities that are the same item, both of shape (n_pairs,)."""
        _, a, b = np.intersect1d(
            self[first].items, self[second].items, assume_unique=True, return_indices=True
        )
        order = np.argsort(a, kind="stable")
        return a[order].astype(np.int64), b[order].astype(np.int64)

    def select(self, modalities: Sequence[str]) -> Dataset:
        """Return only the named modalities.

        Raises:
            InputError: Not a list of names.
            NotFoundError: There is no modality of that name.
        """
        check_names("modalities", modalities)
        return Dataset({name: self[name] for name in modalities}, self.classes)

    def take(self, rows: Mapping[str, AnyArray]) -> Dataset:
        """Return some rows of each modality (all of a modality that ``rows`` does not name).

        Args:
            rows: Row numbers, or one bool a row, of each modality.

        Raises:
            InputError: Not row numbers, or beyond the rows there are.
            NotFoundError: There is no modality of that name.
        """
        taken = dict(self.parts)
        for name, chosen in rows.items():
            try:
                taken[name] = self[name].take(chosen)
            except IndexError as error:
                raise InputError(f"rows of {name!r}: {error}.") from error
        return Dataset(taken, self.classes)

    def split(self, fraction: float, *, seed: int) -> tuple[Dataset, Dataset]:
        """Hold back a share of the rows of each modality, stratified by their first class.

        Which rows depends on nothing but the seed and the item ids and labels of that modality:
        not on the order of rows, nor on the other modalities, so that a modality added later is
        split as it would have been at first. Modalities with the same items and labels hold back
        the same items.

        Args:
            fraction: Share to hold back, in (0, 1). Of a class with n items, the nearest whole
                number is held back, but never all of them.
            seed: Of the choice.

        Returns:
            The rows that stay, and those held back.
        """
        held = self.held_back(fraction, seed=seed)
        stay = {name: np.flatnonzero(~mask) for name, mask in held.items()}
        return self.take(stay), self.take({k: np.flatnonzero(mask) for k, mask in held.items()})

    def held_back(self, fraction: float, *, seed: int) -> dict[str, BoolArray]:
        """Return which rows of each modality `split` holds back."""
        check_range("fraction", fraction, low=0.0, high=1.0)
        check_range("seed", seed, integer=True)
        return {name: _held_back(part, fraction, seed) for name, part in self.parts.items()}

    def with_classes(self, classes: Sequence[str]) -> Dataset:
        """Return the same rows over another list of classes (see `Labels.with_classes`)."""
        if tuple(classes) == self.classes:
            return self
        parts = {
            name: replace(part, labels=part.labels.with_classes(classes))
            for name, part in self.parts.items()
        }
        return Dataset(parts, tuple(classes))

    def fingerprint(self) -> str:
        """SHA-256 over names, features, labels and ids: which data a model was trained on."""
        chunks: list[bytes] = ["\0".join(self.classes).encode()]
        for name, part in self.parts.items():
            chunks += [name.encode(), str((part.x.shape, part.x.dtype.str)).encode()]
            chunks += [np.ascontiguousarray(part.x).tobytes(), "\0".join(part.items).encode()]
            chunks += [array.tobytes() for array in part.labels.arrays().values()]
        return sha256_bytes(*chunks)


def concatenate(first: Dataset, second: Dataset) -> Dataset:
    """Append the rows of ``second`` to those of ``first``: same modalities, same classes."""
    parts = {}
    for name, part in first.parts.items():
        other = second[name]
        parts[name] = Modality(
            np.concatenate([part.x, other.x]),
            concatenate_labels([part.labels, other.labels.with_classes(first.classes)]),
            as_ids(np.concatenate([part.items, other.items]), where=f"modality {name!r}"),
            part.encoder,
        )
    return Dataset(parts, first.classes)


def _held_back(part: Modality, fraction: float, seed: int) -> BoolArray:
    """Order each class's items by a seeded hash of their id and hold back the first few."""
    draw = np.array([_hash01(item, seed) for item in part.items])
    weights = part.labels.weights
    starts = weights.indptr[:-1]
    group = np.full(len(part), -1, np.int64)
    has = part.labels.labelled
    group[has] = weights.indices[starts[has]]
    mask = np.zeros(len(part), bool)
    for k in np.unique(group):
        rows = np.flatnonzero(group == k)
        count = min(round(fraction * len(rows)), len(rows) - 1)
        mask[rows[np.argsort(draw[rows], kind="stable")[:count]]] = True
    return mask


def _hash01(item: str, seed: int) -> float:
    return int(sha256_bytes(f"{seed}\0{item}".encode())[:13], 16) / 16**13


def _rows(name: str, value: Any) -> AnyArray:
    try:
        array = value if isinstance(value, np.ndarray) else np.asarray(value)
    except ValueError as error:
        raise InputError(f"modality {name!r}: expected rows of equal length.") from error
    if array.ndim == 0 or array.dtype == object:
        raise InputError(
            f"modality {name!r}: expected an array with one row an item, got shape {array.shape} "
            f"and dtype {array.dtype}."
        )
    return array


def _read_labels(
    arrays: Mapping[str, AnyArray], labels: Any, classes: Sequence[str] | None
) -> dict[str, Labels]:
    if not isinstance(labels, Mapping):
        n = len(next(iter(arrays.values())))
        shared = Labels.unknown(n, classes or ()) if labels is None else None
        table = shared or Labels.from_any(labels, classes=classes)
        return dict.fromkeys(arrays, table)
    extra = set(labels) - set(arrays)
    if extra:
        raise not_found("modality", sorted(extra)[0], arrays, hint="It stands in labels.")
    read = {
        name: Labels.from_any(labels[name], classes=classes, where=f"labels of {name!r}")
        for name in arrays
        if labels.get(name) is not None
    }
    names = tuple(classes) if classes is not None else _union([t.classes for t in read.values()])
    read = {name: table.with_classes(names) for name, table in read.items()}
    return {
        name: read.get(name) or Labels.unknown(len(array), names) for name, array in arrays.items()
    }


def _union(lists: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """All names; numbered classes stay in the order of their numbers."""
    longest = max(lists, key=len, default=())
    names = set().union(*lists) if lists else set()
    return longest if names == set(longest) else tuple(sorted(names))


def _read_items(arrays: Mapping[str, AnyArray], items: Any, *, paired: bool) -> dict[str, StrArray]:
    if items is None and paired:
        return {name: _numbered("", len(array)) for name, array in arrays.items()}
    named = items if isinstance(items, Mapping) else {}
    extra = set(named) - set(arrays)
    if extra:
        raise not_found("modality", sorted(extra)[0], arrays, hint="It stands in items.")
    read = {}
    for name, array in arrays.items():
        given = items if items is not None and not isinstance(items, Mapping) else named.get(name)
        if given is None:
            read[name] = _numbered(f"{name}-", len(array))
        else:
            read[name] = as_ids(given, where=f"items of {name!r}", n=len(array))
    return read


def _numbered(prefix: str, n: int) -> StrArray:
    return np.array([f"{prefix}{row}" for row in range(n)], dtype=np.str_)

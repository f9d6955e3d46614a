"""The common space as a contract that is fixed before anything is learned.

A `Space` is a dimension, a fixed orthogonal basis and an append-only list of class names; class k
owns column k. Encoders are trained *towards* it, one modality at a time, and so agree without ever
meeting [1]. Two vectors are comparable if and only if their spaces have one fingerprint.

References:
    [1] Hu, Zhen, Peng, Liu. Scalable Deep Multimodal Learning for Cross-Modal Retrieval.
        SIGIR 2019. doi:10.1145/3331184.3331213
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from commonspace.checks import as_features, check_names, check_range, not_found
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError, SpaceMismatchError
from commonspace.types import Float32Array, JsonDict

MIN_PLACE = 4  # in fewer dimensions, any two items look alike


@dataclass(frozen=True, eq=False)
class Space:
    """A fixed dim x dim orthogonal basis, the classes that own its columns, and a fingerprint.

    Make one with `Space.create`, `Space.from_label_embeddings` or `Space.learned`.

    Attributes:
        basis: Orthogonal matrix, shape (dim, dim), float32. Class k < dim owns column k; the
            columns not yet owned are reserved for classes that come later.
        classes: Names of the classes, in the order in which they joined.
        modalities: Names of the modalities, in the order in which they joined, see
            `place`.
        recipe: How the basis was made, including the founding classes: part of the fingerprint,
            so that equal seeds with different classes are different contracts.
        fingerprint: SHA-256 (hexadecimal) of basis and recipe. Adding a class or a modality
            keeps it.
    """

    basis: Float32Array
    classes: tuple[str, ...]
    recipe: JsonDict = field(repr=False)
    fingerprint: str = ""
    modalities: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        basis = np.ascontiguousarray(self.basis, dtype=np.float32)
        if basis.flags.writeable:
            basis = basis.copy()  # the caller's array stays the caller's
            basis.setflags(write=False)
        object.__setattr__(self, "basis", basis)
        recipe = json.dumps(self.recipe, sort_keys=True, ensure_ascii=False).encode()
        fingerprint = sha256_bytes(basis.astype("<f4", copy=False).tobytes(), recipe)
        if self.fingerprint and self.fingerprint != fingerprint:
            raise SpaceMismatchError(
                f"the space is damaged: its basis gives fingerprint {fingerprint[:12]}..., "
                f"expected {self.fingerprint[:12]}...."
            )
        object.__setattr__(self, "fingerprint", fingerprint)
        if len(set(self.classes)) != len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise InputError(f"classes: {twice!r} is named twice. Class names must be unique.")

    @classmethod
    def create(cls, dim: int, classes: Sequence[str] = (), *, seed: int = 0) -> Space:
        """Fix a random orthogonal basis (Haar measure) for ``dim`` dimensions.

        Args:
            dim: Dimensions of the common space.
            classes: The founding classes. More than ``dim`` are allowed, see `directions`.
            seed: Of the random basis.

        Raises:
            InputError: A number is out of range, or classes are no list of names of their own.
        """
        check_range("dim", dim, low=1, integer=True)
        check_range("seed", seed, low=0, integer=True)
        check_names("classes", classes)
        founding = tuple(str(name) for name in classes)
        gaussian = np.random.default_rng([seed, dim]).standard_normal((dim, dim))
        q, r = np.linalg.qr(gaussian)
        recipe = {"kind": "orthogonal", "dim": dim, "seed": seed, "founding_classes": founding}
        return cls(_float32(q * np.sign(np.diag(r))), founding, _plain(recipe))

    @classmethod
    def identity(cls, classes: Sequence[str]) -> Space:
        """The space whose axes are the classes themselves: posteriors live in it."""
        founding = tuple(str(name) for name in classes)
        recipe = {"kind": "identity", "dim": len(founding), "founding_classes": founding}
        return cls(np.eye(len(founding), dtype=np.float32), founding, _plain(recipe))

    @classmethod
    def from_label_embeddings(
        cls, dim: int, classes: Sequence[str], embeddings: Any, *, seed: int = 0
    ) -> Space:
        """Fix the orthogonal basis whose owned columns are nearest to embeddings of the labels.

        The owned columns are the polar factor of the embeddings (the nearest matrix with
        orthonormal columns in the Frobenius norm), the reserved ones a random completion.

        Args:
            dim: Dimensions of the common space; at least the number of classes and the width of
                the embeddings, which are padded with zeros.
            classes: Names of the classes.
            embeddings: One row a class, shape (n_classes, width), of full row rank.
            seed: Of the completion.

        Raises:
            InputError: Shapes do not fit, or the rows are linearly dependent.
        """
        check_range("dim", dim, low=1, integer=True)
        check_range("seed", seed, low=0, integer=True)
        check_names("classes", classes)
        e_CD = as_features(embeddings, where="label embeddings")
        n, width = e_CD.shape
        if n != len(classes) or max(n, width) > dim:
            raise InputError(
                f"label embeddings: expected {len(classes)} rows of at most {dim} columns and no "
                f"more classes than dim={dim}, got shape {e_CD.shape}."
            )
        target = np.zeros((dim, n))
        target[:width] = e_CD.T
        u, s, vt = np.linalg.svd(target, full_matrices=False)
        if s[-1] < 1e-6 * s[0]:
            raise InputError(
                "label embeddings: the rows are linearly dependent, so no orthonormal frame is "
                "nearest to them. Drop duplicate rows or use embeddings of a larger width."
            )
        owned = u @ vt
        rest = np.random.default_rng([seed, dim]).standard_normal((dim, dim - n))
        q, _ = np.linalg.qr(np.hstack([owned, rest]))
        founding = tuple(str(name) for name in classes)
        recipe = {"kind": "semantic", "dim": dim, "seed": seed, "founding_classes": founding}
        return cls(_float32(np.hstack([owned, q[:, n:]])), founding, _plain(recipe))

    @classmethod
    def learned(cls, dim: int, classes: Sequence[str], *, learned_from: str) -> Space:
        """The space of a method that learns it jointly: a refit is a new space.

        Args:
            dim: Dimensions.
            classes: Names of the classes, may be empty.
            learned_from: A digest of everything that was learned.
        """
        founding = tuple(str(name) for name in classes)
        recipe = {"kind": "learned", "dim": dim, "learned_from": learned_from}
        return cls(np.eye(dim, dtype=np.float32), founding, _plain(recipe))

    @property
    def dim(self) -> int:
        """Dimensions of the space."""
        return int(self.basis.shape[0])

    @property
    def n_classes(self) -> int:
        """How many classes own a column."""
        return len(self.classes)

    @cached_property
    def P(self) -> Float32Array:  # noqa: N802 - the paper's symbol
        """The owned columns, shape (dim, n_classes), read-only: the paper's P."""
        return self.directions(self.n_classes)

    def directions(self, n_classes: int) -> Float32Array:
        """Return the unit directions of the first ``n_classes`` classes, shape (dim, n_classes).

        Up to dim classes these are columns of the basis, exactly orthogonal. Beyond, block b
        of dim further classes is ``basis @ diag(signs_b) @ DCT``, itself orthonormal, with
        inner products of at most sqrt(2 / dim) with the basis and of about
        sqrt(2 ln(dim) / dim) with other blocks: a low-coherence frame of any size that depends
        on nothing but the basis, so that adding classes never moves a direction.
        """
        blocks = [self.basis]
        for block in range(1, -(-n_classes // self.dim)):
            signs = np.random.default_rng([block, self.dim]).choice([-1.0, 1.0], size=self.dim)
            k = np.arange(self.dim)
            dct = np.cos(np.pi * np.outer(k, 2 * k + 1) / (2 * self.dim)) * np.sqrt(2 / self.dim)
            dct[0] /= np.sqrt(2)
            blocks.append(_float32((self.basis.astype(np.float64) * signs) @ dct))
        out = np.ascontiguousarray(np.hstack(blocks)[:, :n_classes])
        out.setflags(write=False)
        return out

    def index(self, name: str) -> int:
        """Return the column of a class, or raise `NotFoundError`."""
        try:
            return self.classes.index(name)
        except ValueError:
            raise not_found("class", name, self.classes) from None

    def with_classes(self, names: Sequence[str]) -> Space:
        """Return this space with the names it does not know appended: same fingerprint."""
        known = set(self.classes)
        new = tuple(str(name) for name in names if str(name) not in known)
        return replace(self, classes=self.classes + new) if new else self

    def with_modalities(self, names: Iterable[str]) -> Space:
        """Return this space with the names it does not know appended: same fingerprint."""
        new = tuple(name for name in names if name not in self.modalities)
        return replace(self, modalities=self.modalities + new) if new else self

    def place(self, modality: str) -> tuple[int, int]:
        """Return which columns a modality may use for what is its own: first, and one past last.

        Modalities take an eighth of the dimensions each, from the end of the basis, in the order
        in which they joined; what lies there is orthogonal to every class there is now and to
        every other modality. Columns that a class owns are not given away, so the more classes,
        the fewer places; once all are taken, the next modality shares the first one's. With none
        left, or of less than 4 columns, the place is empty.

        Raises:
            NotFoundError: The modality has not joined.
        """
        if modality not in self.modalities:
            raise not_found("modality", modality, self.modalities)
        width = self.dim // 8
        places = max(0, self.dim - self.n_classes) // max(1, width)
        if not places or width < MIN_PLACE:
            return self.dim, self.dim
        end = self.dim - width * (self.modalities.index(modality) % places)
        return end - width, end

    def check_same(self, other: Space, *, where: str) -> None:
        """Raise `SpaceMismatchError` unless vectors of ``other`` compare with ours.

        The fingerprints must match, and of the class lists one must continue the other: two
        parties that appended different classes own the same columns under different names.
        """
        if self.fingerprint != other.fingerprint:
            raise SpaceMismatchError(
                f"{where}: expected vectors of space {self.fingerprint[:12]}... "
                f"(dim {self.dim}), got space {other.fingerprint[:12]}... (dim {other.dim}). "
                "Encode the items with a model of the same space, or start a new collection."
            )
        for column, (ours, theirs) in enumerate(zip(self.classes, other.classes, strict=False)):
            if ours != theirs:
                raise SpaceMismatchError(
                    f"{where}: both spaces grew from one contract but column {column} belongs to "
                    f"class {ours!r} here and to {theirs!r} there. Add classes in one place."
                )

    def manifest(self) -> JsonDict:
        """Everything but the basis, for a JSON manifest."""
        return {
            "dim": self.dim,
            "classes": list(self.classes),
            "modalities": list(self.modalities),
            "recipe": self.recipe,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_manifest(cls, manifest: JsonDict, basis: Float32Array) -> Space:
        """Rebuild a space from `manifest` and its basis; checks the fingerprint."""
        return cls(
            basis,
            tuple(manifest["classes"]),
            manifest["recipe"],
            manifest["fingerprint"],
            tuple(manifest.get("modalities", ())),
        )


def _float32(x: np.ndarray[Any, Any]) -> Float32Array:
    return np.ascontiguousarray(x, dtype=np.float32)


def _plain(recipe: JsonDict) -> JsonDict:
    plain: JsonDict = json.loads(json.dumps(recipe))
    return plain

"""The contract of every method: what a caller may ask, call and store."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from torch import nn

from commonspace.checks import as_features, not_found
from commonspace.data import Dataset, Labels, Modality, Splits
from commonspace.errors import InputError, NotFittedError, UnsupportedError
from commonspace.methods.joining import check_rows, labels_in_space
from commonspace.space import Space
from commonspace.training import History, Run
from commonspace.training.run import as_run
from commonspace.types import AnyArray, Float32Array, JsonDict


@dataclass(frozen=True)
class PartState:
    """What one modality learned: plain arrays and JSON."""

    arrays: dict[str, AnyArray]
    info: JsonDict = field(default_factory=dict)


@dataclass(frozen=True)
class MethodState:
    """What a method learned, besides its arguments and its space."""

    parts: dict[str, PartState]
    shared: dict[str, AnyArray] = field(default_factory=dict)
    info: JsonDict = field(default_factory=dict)


class Method(BaseEstimator, ABC):
    """Learns to bring every modality of a `Dataset` into one space.

    The contract is scikit-learn's: ``__init__`` only stores its arguments, `fit` learns and returns
    self, what is learned ends in an underscore, and ``random_state`` is the only randomness.

    Attributes:
        needs_pairs: Learns from items that are present in several modalities.
        needs_labels: Learns nothing from rows without labels alone.
        multi_label: Accepts several and graded labels a row.
        max_modalities: The most it takes at once; None is any number.
        can_add_modality: Has `fit_modality`.
        can_add_classes: `fit_modality` takes classes that `fit` has not seen.
        keeps_vectors: `fit_modality` leaves the vectors of the other modalities as they were.
        emits_codes: Has ``encode`` and ``decode``.
        space_: The common space.
        inputs_: Number of features of each modality.
        encoders_: Which encoder made each modality's features, as the data set told.
        history_: Losses by epoch, for methods that have epochs.
        training_: Data fingerprint and seconds of each fit.
    """

    needs_pairs: ClassVar[bool] = False
    needs_labels: ClassVar[bool] = True
    multi_label: ClassVar[bool] = True
    max_modalities: ClassVar[int | None] = None
    can_add_modality: ClassVar[bool] = False
    can_add_classes: ClassVar[bool] = False
    keeps_vectors: ClassVar[bool] = True
    emits_codes: ClassVar[bool] = False

    space_: Space
    inputs_: dict[str, int]
    encoders_: dict[str, JsonDict | None]
    history_: dict[str, History]
    training_: JsonDict

    def fit(self, train: Dataset, valid: Dataset | None = None, *, run: Run | None = None) -> Self:
        """Learn from labelled items.

        Args:
            train: Features and labels of each modality.
            valid: For model selection. None holds back a seeded 10 % of ``train``, where the
                method selects at all.
            run: How many trainings at once, checkpoints, progress; never changes what is learned.

        Returns:
            self

        Raises:
            InputError: Features or labels are not what the method needs; the message says where.
        """
        train = self._check_train(train)
        run = as_run(run)
        if valid is not None:
            valid = self._check_valid(train, valid)
        start = time.perf_counter()
        before = dict(vars(self))
        self.history_ = {}
        try:
            self._fit(train, valid, run)
        except BaseException:  # what was learned earlier stays whole
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        self.inputs_ = {name: int(part.x.shape[1]) for name, part in train.items()}
        self.encoders_ = {name: part.encoder for name, part in train.items()}
        self.training_ = {
            "data": train.fingerprint(),
            "seconds": round(time.perf_counter() - start, 3),
        }
        return self

    def transform(self, modality: str, x: Any) -> Float32Array:
        """Bring features of one modality into the common space.

        Args:
            modality: One of `modalities`.
            x: Shape (n, n_features), with as many features as in `fit`.

        Returns:
            Shape (n, dim), float32. Compare rows by cosine.

        Raises:
            NotFittedError: Before `fit`.
            NotFoundError: No such modality.
            InputError: Another number of features, not finite, not two-dimensional.
        """
        x_ND = self._read(modality, x, self.n_features(modality))
        return self._transform(modality, x_ND)

    def module(self, modality: str) -> nn.Module:
        """Return what `transform` does to one modality as a torch module, ready to export.

        It takes float32 rows, shape (n, n_features), pixels as numbers from 0 to 255, checks
        nothing, and agrees with `transform` to rounding. Its weights are the model's own.

        Raises:
            NotFittedError: Before `fit`.
            NotFoundError: No such modality.
            UnsupportedError: The method is no torch module.
        """
        self.n_features(modality)
        return self._module(modality).eval()

    def n_features(self, modality: str) -> int:
        """How many features this modality had in `fit`."""
        self.check_fitted()
        if not isinstance(modality, str) or modality not in self.inputs_:
            raise not_found("modality", modality, self.inputs_)
        return self.inputs_[modality]

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities learned so far."""
        self.check_fitted()
        return tuple(self.inputs_)

    def check_fitted(self) -> None:
        """Raise `NotFittedError` before `fit`."""
        if not hasattr(self, "inputs_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit first.")

    def fit_modality(
        self,
        modality: str,
        x: Any,
        labels: Any,
        *,
        items: Any = None,
        valid: tuple[Any, Any] | None = None,
        encoder: JsonDict | None = None,
        run: Run | None = None,
    ) -> Self:
        """Add a modality to a fitted model; nothing that exists changes where ``keeps_vectors``.

        Where modalities learn nothing from each other, what is learned with the same items, labels
        and ``random_state`` is the same, to the bit, as if it had been there from the start,
        given the same list of classes.

        Args:
            modality: A new name.
            x: Features, shape (n, n_features).
            labels: As in `Dataset.from_arrays`; numbers refer to the classes of `space_`, and
                names that it does not know are appended to it where ``can_add_classes``.
            items: Item ids; by default the row numbers.
            valid: Features and labels for model selection; None holds back a seeded 10 %, where
                the method selects at all.
            encoder: Which encoder made the features.
            run: See `fit`.

        Raises:
            UnsupportedError: The method cannot (``can_add_modality`` is False).
            InputError: The name is taken, or features or labels are not what is needed.
        """
        self._check_can_add(modality)
        run = as_run(run)
        check_rows(modality, x, valid)
        start = time.perf_counter()
        space, table = labels_in_space(
            self.space_, labels, n=len(x), can_add_classes=self.can_add_classes
        )
        space = space.with_modalities([modality])
        data = Dataset.from_arrays({modality: x}, table, items=items, encoders={modality: encoder})
        part = self._check_part(modality, data)
        train = Dataset({modality: part}, space.classes)
        held = None
        if valid is not None:
            table = Labels.from_any(valid[1], classes=space.classes, where="valid labels")
            held = self._check_valid(train, Dataset.from_arrays({modality: valid[0]}, table))
        self._add(modality, train, held, space, run)
        self.space_ = space
        self.inputs_[modality] = int(part.x.shape[1])
        self.encoders_[modality] = encoder
        seconds = round(time.perf_counter() - start, 3)
        added = {"data": train.fingerprint(), "seconds": seconds}
        self.training_ = {**self.training_, f"added {modality}": added}
        return self

    def _check_can_add(self, modality: str) -> None:
        name = type(self).__name__
        if not self.can_add_modality:
            raise UnsupportedError(
                f"{name} cannot add a modality to a fitted model (can_add_modality is False): "
                "fit again with all of them, or use SDML."
            )
        self.check_fitted()
        if not isinstance(modality, str) or not modality:
            raise InputError(f"modality: expected a name, got {modality!r}.")
        if modality in self.inputs_:
            raise InputError(
                f"modality {modality!r} is there already. Stored vectors of it would go stale; "
                "to replace it, fit a new model on the same space and encode again."
            )

    def state(self) -> MethodState:
        """What was learned, as plain arrays and JSON."""
        self.check_fitted()
        return self._state()

    def restore(self, state: MethodState, *, space: Space, meta: Mapping[str, Any]) -> Self:
        """Take over what `state` returned: the model answers as before, to the bit.

        Args:
            state: What was learned.
            space: The model's space.
            meta: The attributes inputs, encoders, history and training, by name.
        """
        self.space_ = space
        self.inputs_ = dict(meta["inputs"])
        self.encoders_ = dict(meta["encoders"])
        self.history_ = dict(meta["history"])
        self.training_ = dict(meta["training"])
        self._restore(state)
        return self

    @abstractmethod
    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        """Learn; set `space_` and what `_transform` needs."""

    def _add(
        self, modality: str, train: Dataset, valid: Dataset | None, space: Space, run: Run
    ) -> None:
        """Learn one more modality, the only one of ``train``; where ``can_add_modality``."""
        raise UnsupportedError(f"{type(self).__name__} cannot add a modality to a fitted model.")

    @abstractmethod
    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        """Transform checked features of a known modality."""

    def _module(self, modality: str) -> nn.Module:
        """See `module`; where it can be one."""
        raise UnsupportedError(
            f"{type(self).__name__} cannot be exported: what it does to {modality!r} is no torch "
            "module. Encode with transform, or train another method."
        )

    @abstractmethod
    def _state(self) -> MethodState:
        """See `state`."""

    @abstractmethod
    def _restore(self, state: MethodState) -> None:
        """See `restore`."""

    def _check_train(self, train: Dataset) -> Dataset:
        name = type(self).__name__
        if isinstance(train, Splits):
            raise InputError(
                f"{name}.fit: expected one split, got a whole data set with splits "
                f"{', '.join(train)}. Pass data['train']."
            )
        if not isinstance(train, Dataset):
            raise InputError(
                f"{name}.fit: expected a Dataset, got {type(train).__name__}. Build one with "
                "Dataset.from_arrays."
            )
        if self.max_modalities is not None and len(train) > self.max_modalities:
            raise InputError(
                f"{name} takes {self.max_modalities} modalities, got {len(train)}: "
                f"{', '.join(train)}. Choose with train.select([...])."
            )
        if not self.multi_label and train.label_kind != "single":
            raise InputError(f"{name} needs one class a row, got {train.label_kind} labels.")
        checked = {modality: self._check_part(modality, train) for modality in train}
        if self.needs_labels and not any(p.labels.labelled.any() for p in checked.values()):
            raise InputError(f"{name} learns from labels, and no row of any modality has one.")
        return Dataset(checked, train.classes)

    def _check_part(self, modality: str, data: Dataset, n_features: int | None = None) -> Modality:
        part = data[modality]
        x = self._read(modality, part.x, n_features)
        if not len(x):
            raise InputError(f"modality {modality!r}: expected at least one row, got none.")
        return replace(part, x=x)

    def _read(self, modality: str, x: Any, n_features: int | None) -> AnyArray:
        """Check the input of one modality; None: any number of features."""
        return as_features(x, where=f"modality {modality!r}", n_features=n_features)

    def _check_valid(self, train: Dataset, valid: Dataset) -> Dataset:
        if not isinstance(valid, Dataset):
            raise InputError(f"valid: expected a Dataset, got {type(valid).__name__}.")
        parts = {
            modality: self._check_part(modality, valid, n_features=part.x.shape[1])
            for modality, part in train.items()
            if modality in valid and len(valid[modality])
        }
        if not parts:
            raise InputError(
                f"valid: expected rows of at least one modality of train ({', '.join(train)}), got "
                f"{', '.join(valid) or 'none'}. Leave it out to hold back a share of train."
            )
        return Dataset(parts, valid.classes).with_classes(train.classes)


TINY = 1e-37  # a smaller spread has no reciprocal in float32: the feature counts as constant


def standardization(x_ND: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Mean and 1 / standard deviation of each feature; 0 for a feature that does not vary.

    Computed in float64 by blocks of rows, so that scales from 1e-8 to 1e8 are safe and a memory
    map is never held whole.
    """
    block = max(1, (1 << 22) // x_ND.shape[1])
    starts = range(0, len(x_ND), block)
    mean = sum(x_ND[s : s + block].sum(axis=0, dtype=np.float64) for s in starts) / len(x_ND)
    squares = sum(np.square(x_ND[s : s + block] - mean).sum(axis=0) for s in starts)
    spread = np.sqrt(squares / len(x_ND))
    varies = spread > 1e-6 * np.abs(mean)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies & (spread > TINY))
    return mean.astype(np.float32), scale.astype(np.float32)

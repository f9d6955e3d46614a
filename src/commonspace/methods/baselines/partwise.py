"""Baselines that solve each modality on its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

import numpy as np

from commonspace.data import Dataset, Modality
from commonspace.errors import InputError
from commonspace.methods.base import Method, MethodState, PartState
from commonspace.space import Space
from commonspace.training import Run
from commonspace.types import AnyArray


class PartwiseMethod(Method):
    """A method that solves each modality on its own, in closed form or nearly so.

    A subclass makes the space and solves one part; the arrays it returns are all that is kept.
    """

    can_add_modality: ClassVar[bool] = True

    parts_: dict[str, dict[str, AnyArray]]

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        self._check_arguments()
        space = self._make_space(train.classes)
        data = train.with_classes(space.classes)
        several = train.label_kind != "single"
        self.parts_ = {name: self._solve(name, part, several) for name, part in data.items()}
        self.space_ = space.with_modalities(train)

    def _add(
        self, modality: str, train: Dataset, valid: Dataset | None, space: Space, run: Run
    ) -> None:
        several = train.label_kind != "single" or any("several" in p for p in self.parts_.values())
        self.parts_[modality] = self._solve(modality, train[modality], several)

    def _labelled_rows(self, name: str, part: Modality) -> AnyArray:
        rows = np.flatnonzero(part.labels.labelled)
        if not len(rows):
            raise InputError(
                f"modality {name!r}: {type(self).__name__} learns from labels, and no row has one."
            )
        return rows

    def _state(self) -> MethodState:
        return MethodState({name: PartState(dict(part)) for name, part in self.parts_.items()})

    def _restore(self, state: MethodState) -> None:
        self.parts_ = {name: part.arrays for name, part in state.parts.items()}

    @abstractmethod
    def _check_arguments(self) -> None:
        """Raise `InputError` for an argument out of range."""

    @abstractmethod
    def _make_space(self, classes: tuple[str, ...]) -> Space:
        """The common space for these classes."""

    @abstractmethod
    def _solve(self, name: str, part: Modality, several: bool) -> dict[str, AnyArray]:
        """Learn one modality; with ``several``, keep an array of that name."""

"""Zero-shot: no training at all, for encoders that share a space as they are."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from commonspace.data import Dataset
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError
from commonspace.methods.base import Method, MethodState, PartState
from commonspace.space import Space
from commonspace.training import Run
from commonspace.types import Float32Array


class ZeroShot(Method):
    """Compare features as they are: rows scaled to unit length, nothing learned.

    For modalities whose encoders were trained to share a space (such as the two of a CLIP model,
    or one text encoder for several languages): what they give without any labels here, which a
    trained method has to beat. All modalities must be of one width, the space's.

    The fingerprint of the space is made of the encoders, where the data set names them for all
    modalities: models over the same encoders share a space. Else it is made of the training data.

    Args:
        random_state: Unused; nothing is learned. Here for the contract.

    Example:
        >>> data = Dataset.from_arrays({"image": [[3., 4.]], "text": [[0., 2.]]}, ["a"])
        >>> ZeroShot().fit(data).transform("image", [[3., 4.], [0., 0.]])
        array([[0.6, 0.8],
               [0. , 0. ]], dtype=float32)
    """

    needs_labels: ClassVar[bool] = False
    can_add_modality: ClassVar[bool] = True
    can_add_classes: ClassVar[bool] = True

    def __init__(self, *, random_state: int = 0) -> None:
        self.random_state = random_state

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        widths = {name: int(part.x.shape[1]) for name, part in train.items()}
        dim = next(iter(widths.values()))
        for name, width in widths.items():
            _check_width(name, width, dim, where=f"modality {next(iter(widths))!r}")
        encoders = {name: train[name].encoder for name in sorted(train)}
        named = all(encoder is not None for encoder in encoders.values())
        source = repr(encoders) if named else train.fingerprint()
        learned = sha256_bytes(f"{type(self).__name__}\0{source}".encode())
        self.space_ = Space.learned(dim, train.classes, learned_from=learned).with_modalities(train)

    def _add(
        self, modality: str, train: Dataset, valid: Dataset | None, space: Space, run: Run
    ) -> None:
        _check_width(modality, train.x(modality).shape[1], space.dim, where="the space")

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        largest = np.abs(x_ND).max(axis=1, keepdims=True, initial=0)  # squares neither vanish
        scaled = x_ND / np.where(largest > 0, largest, 1)  # nor overflow
        length = np.linalg.norm(scaled, axis=1, keepdims=True)
        return np.asarray(scaled / np.where(length > 0, length, 1), dtype=np.float32)

    def _state(self) -> MethodState:
        return MethodState({name: PartState({}) for name in self.inputs_})

    def _restore(self, state: MethodState) -> None:
        """Nothing is kept but the space."""


def _check_width(name: str, width: int, dim: int, *, where: str) -> None:
    if width != dim:
        raise InputError(
            f"modality {name!r}: ZeroShot compares features as they are, so it needs {dim} of them "
            f"as {where} has, got {width}. Encode all modalities with encoders that share a space, "
            "or take a method that learns one, such as SDML."
        )

"""CDQ: outputs whose inner product tells whether a label is shared, and one set of codebooks.

References:
    [1] Cao, Long, Wang, Liu. Collective Deep Quantization for Efficient Cross-Modal Retrieval.
        AAAI 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import nn

from commonspace.checks import check_range, check_rates, check_widths
from commonspace.data import Dataset
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError
from commonspace.methods.base import Method, MethodState, PartState
from commonspace.methods.baselines.cdq_training import JOINT, build, fit_cdq
from commonspace.methods.jobs import (
    arrays_of,
    digest_of,
    in_blocks,
    learned_digest,
    with_arrays,
)
from commonspace.methods.parts import Part, item_ids, labelled_part, validation_parts
from commonspace.networks import Branch
from commonspace.quantization import Quantizer
from commonspace.space import Space
from commonspace.training import Run, Settings, run_all
from commonspace.types import Float32Array, JsonDict, StrArray, UInt8Array


class CDQ(Method):
    """Collective deep quantization [1].

    With outputs u and v (tanh) of the two modalities, s = 1 where two items share a label, codes b
    and codebooks C of both modalities alike::

        L = mean over pairs of  log(1 + e^(uᵀv)) − s uᵀv
          + λ · mean over rows of  ‖u − C b_u‖²  +  λ · mean over rows of  ‖v − C b_v‖²

    Before each epoch but the first, codes by ICM and ``C = U Bᵀ (B Bᵀ + 10⁻³ I)⁻¹``. Labels are all
    it needs; items need no pairs. `transform` answers u, compared by inner product with decoded
    codes as published, or by cosine; `encode` and `decode` the codes.

    Args:
        dim: Dimensions of the outputs.
        bits: Of a code, 8 to 128.
        bits_per_word: 8, as published, or 4.
        hidden: Widths of the hidden layers of each network.
        lam: λ, weight of the quantisation error.
        input_dropout: Share of the features dropped in training.
        dropout: Share of the hidden units dropped in training.
        batch_norm: Normalise hidden units over the batch.
        epochs: Passes over the rows of the larger modality.
        batch_size: Rows of each modality a step.
        learning_rate: Of Adam.
        weight_decay: Of AdamW.
        validation_fraction: Share of the rows held back to choose the epoch by retrieval, when
            `fit` gets no validation set; 0 holds none back: every row trains, and the last epoch
            stays.
        random_state: Seed of weights, batches and codebooks.

    Attributes:
        networks_: The trained network of each modality.
        quantizer_: The codebooks, a fitted `Quantizer`.

    Differs from the paper: features in place of raw pictures, standardised; one hidden layer with
    dropout in both networks; Adam in place of SGD; words and codebooks take a few last steps after
    the last epoch, or after an earlier one whose outputs retrieved clearly better among validation
    rows; codes of new items by beam search and ICM.
    """

    max_modalities: ClassVar[int | None] = 2
    emits_codes: ClassVar[bool] = True

    networks_: dict[str, Branch]
    quantizer_: Quantizer

    def __init__(
        self,
        *,
        dim: int = 128,
        bits: int = 32,
        bits_per_word: int = 8,
        hidden: Sequence[int] = (512,),
        lam: float = 0.003,
        input_dropout: float = 0.2,
        dropout: float = 0.5,
        batch_norm: bool = False,
        epochs: int = 30,
        batch_size: int = 128,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        validation_fraction: float = 0.0,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.bits = bits
        self.bits_per_word = bits_per_word
        self.hidden = hidden
        self.lam = lam
        self.input_dropout = input_dropout
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.random_state = random_state

    def encode(self, modality: str, x: Any) -> UInt8Array:
        """Return the codes of items, shape (n, bits / 8), uint8.

        Args:
            modality: One of `modalities`.
            x: Features, shape (n, n_features).

        Raises:
            InputError: As `transform`.
        """
        return self.quantizer_.encode(self.transform(modality, x))

    def decode(self, codes: Any) -> Float32Array:
        """Return the vectors that codes stand for, shape (n, dim)."""
        self.check_fitted()
        return self.quantizer_.decode(codes)

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        self._check_arguments()
        if len(train) < 2:
            raise InputError(f"CDQ learns from two modalities, got {', '.join(train)} alone.")
        if valid is None and self.validation_fraction > 0:
            train, valid = train.split(self.validation_fraction, seed=self.random_state)
        job = self._job(train, valid)
        digest = "" if run.checkpoints is None else digest_of(self.get_params(), train, valid)
        call = {"job": job, "checkpoint": run.checkpoint(JOINT, digest)}
        found = run_all(fit_cdq, {JOINT: call}, run, epochs=self.epochs)[JOINT]
        self.networks_, D, history = found
        self.options_ = job["options"]
        self.history_ = dict.fromkeys(self.networks_, history)
        self.quantizer_ = self._quantizer().restore({"D": D, "weight": np.zeros(1)})
        learned = sha256_bytes(learned_digest(self.networks_).encode(), D.tobytes())
        self.space_ = Space.learned(self.dim, train.classes, learned_from=learned)

    def _job(self, train: Dataset, valid: Dataset | None) -> JsonDict:
        known = item_ids(train, valid)
        return {
            "parts": {name: self._part(name, train, known) for name in train},
            "valid": validation_parts(valid, known),
            "options": self._network_options(),
            "several": train.label_kind != "single",
            "settings": Settings(
                epochs=int(self.epochs),
                batch_size=int(self.batch_size),
                weight_decay=float(self.weight_decay),
            ),
            "n_words": self.bits // self.bits_per_word,
            "n_entries": 2**self.bits_per_word,
            "lam": float(self.lam),
            "learning_rate": float(self.learning_rate),
            "seed": int(self.random_state),
        }

    def _part(self, name: str, train: Dataset, known: StrArray) -> Part:
        if not train[name].labels.labelled.any():
            raise InputError(
                f"modality {name!r}: CDQ learns from labels, and none of its {len(train[name])} "
                "rows has one. Label some rows, or leave the modality out."
            )
        return labelled_part(train[name], known)

    def _network_options(self) -> JsonDict:
        return {
            "hidden": [int(width) for width in self.hidden],
            "dim": int(self.dim),
            "input_dropout": float(self.input_dropout),
            "dropout": float(self.dropout),
            "batch_norm": bool(self.batch_norm),
        }

    def _quantizer(self) -> Quantizer:
        return Quantizer(self.bits, self.bits_per_word, random_state=self.random_state)

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        return in_blocks(self.networks_[modality], x_ND, self.space_.dim)

    def _module(self, modality: str) -> nn.Module:
        return self.networks_[modality]

    def _state(self) -> MethodState:
        parts = {name: PartState(arrays_of(network)) for name, network in self.networks_.items()}
        sizes = {"bits": self.bits, "bits_per_word": self.bits_per_word}
        info = {"network": self.options_, "codes": sizes}
        return MethodState(parts, self.quantizer_.state(), info)

    def _restore(self, state: MethodState) -> None:
        self.options_, self.networks_ = state.info["network"], {}
        for name, part in state.parts.items():
            network = build(self.inputs_[name], self.options_)
            self.networks_[name] = with_arrays(network, part.arrays)
        sizes = state.info["codes"]
        self.quantizer_ = Quantizer(**sizes, random_state=self.random_state).restore(state.shared)

    def _check_arguments(self) -> None:
        self._quantizer()._check_arguments()
        for name in ("dim", "epochs", "batch_size"):
            check_range(name, getattr(self, name), low=1, integer=True)
        for name in ("lam", "weight_decay"):
            check_range(name, getattr(self, name), low=0)
        for name in ("input_dropout", "dropout"):
            check_range(name, getattr(self, name), low=0, high=0.99)
        check_range("validation_fraction", self.validation_fraction, low=0, high=0.9)
        check_rates(self.learning_rate)
        check_widths(self.hidden)

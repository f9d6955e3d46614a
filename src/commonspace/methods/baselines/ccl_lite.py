"""CCL-lite: codes of correspondence autoencoders, then what is near between and told apart within.

References:
    [1] Peng, Qi, Huang, Yuan. CCL: Cross-modal Correlation Learning with Multi-grained Fusion by
        Hierarchical Network. IEEE TMM 20(2), 2018. doi:10.1109/TMM.2017.2742704
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from torch import Tensor, nn

from commonspace.checks import check_range, check_widths
from commonspace.data import Dataset
from commonspace.methods.base import MethodState, PartState
from commonspace.methods.baselines.corr_ae import CorrAE
from commonspace.methods.baselines.joint import PairedMethod
from commonspace.methods.baselines.joint_training import Batch, Sizes
from commonspace.objectives import contrastive_loss, log_loss
from commonspace.training import Run
from commonspace.types import AnyArray, Float32Array

CODES = "codes"


@dataclass(eq=False, repr=False, kw_only=True)
class CCLLite(PairedMethod):
    """Cross-modal correlation learning [1], of whole items alone.

    First a `CorrAE` learns codes from pairs. Then a network a modality reads them; its outputs z
    feed two branches, which train together with equal weight::

        inter   1/(2B) Σ over pairs of a batch  d² of one class,  max(0, m − d)² of two;
                d the distance of the sigmoids of z
        intra   cross-entropy of a classifier of each modality

    Further arguments are those of `JointMethod`, of the second stage.

    Args:
        dim: Dimensions of the common space.
        margin: m.
        code: Width of the autoencoders' codes.
        code_hidden: Widths of their hidden layers.
        code_epochs: Their passes; None as in `JointMethod`.
        tie: λ of `CorrAE`.

    Differs from the paper: no parts of items, no Boltzmann machines and no joint model between the
    stages; smaller layers, ReLU in place of sigmoid, and dropout; tie 0.3 in place of 0.7; AdamW in
    place of SGD. The name says so.
    """

    max_modalities: ClassVar[int | None] = 2
    multi_label: ClassVar[bool] = False

    dim: int = 256
    hidden: Sequence[int] = (512,)
    input_dropout: float = 0.0
    dropout: float = 0.5
    margin: float = 1.0
    code: int = 256
    code_hidden: Sequence[int] = (512,)
    code_epochs: int | None = None
    tie: float = 0.3

    codes_: CorrAE = field(init=False)

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        self._check_arguments()
        if valid is None and self.validation_fraction > 0:
            train, valid = train.split(self.validation_fraction, seed=self.random_state)
        folder = None if run.checkpoints is None else run.checkpoints / CODES
        self.codes_ = self._autoencoders().fit(train, valid, run=replace(run, checkpoints=folder))
        coded = None if valid is None else self._coded(valid)
        super()._fit(self._coded(train), coded, run)

    def _autoencoders(self) -> CorrAE:
        return CorrAE(
            dim=self.code,
            tie=self.tie,
            hidden=self.code_hidden,
            epochs=self.code_epochs,
            pairing=self.pairing,
            effort=self.effort,
            validation_fraction=0.0,
            random_state=self.random_state,
        )

    def _coded(self, data: Dataset) -> Dataset:
        parts = {name: replace(part, x=self._codes(name, part.x)) for name, part in data.items()}
        return Dataset(parts, data.classes)

    def _codes(self, modality: str, x_ND: AnyArray) -> Float32Array:
        return self.codes_._vectors(modality, x_ND)

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        return {name: nn.Linear(self.dim, sizes.n_classes) for name in sizes.features}

    def _loss(self, batch: Batch) -> Tensor:
        (u, v), (y_u, y_v) = batch.z.values(), batch.y.values()
        related = (y_u @ y_v.T).gt(0)
        inter = contrastive_loss(u.sigmoid(), v.sigmoid(), related, margin=self.margin)
        intra = batch.mean_over_modalities(
            lambda name: log_loss(
                batch.modules[name](batch.z[name]), batch.y[name], several=batch.several
            )
        )
        return inter + 2 * intra

    def _transform(self, modality: str, x_ND: Float32Array) -> Float32Array:
        return super()._transform(modality, self._codes(modality, x_ND))

    def _module(self, modality: str) -> nn.Module:
        return nn.Sequential(self.codes_._module(modality), super()._module(modality))

    def _state(self) -> MethodState:
        state, codes = super()._state(), self.codes_._state()
        parts = {
            name: PartState(
                {**part.arrays, **{f"{CODES}.{k}": a for k, a in codes.parts[name].arrays.items()}},
                part.info,
            )
            for name, part in state.parts.items()
        }
        return MethodState(parts, state.shared, {**state.info, CODES: codes.info})

    def _restore(self, state: MethodState) -> None:
        super()._restore(state)
        start = f"{CODES}."
        parts = {
            name: PartState(
                {k.removeprefix(start): a for k, a in part.arrays.items() if k.startswith(start)}
            )
            for name, part in state.parts.items()
        }
        self.codes_ = self._autoencoders()
        self.codes_._restore(MethodState(parts, {}, state.info[CODES]))

    def _check_own(self) -> None:
        check_range("margin", self.margin, low=0)
        check_range("tie", self.tie, low=0, high=1)
        check_range("code", self.code, low=1, integer=True)
        if self.code_epochs is not None:
            check_range("code_epochs", self.code_epochs, low=1, integer=True)
        check_widths(self.code_hidden)

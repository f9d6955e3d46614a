"""DeepSM: semantic matching by a network a modality, whose class posterior is the common space.

References:
    [1] Wei, Zhao, Lu, Wei, Liu, Zhu, Yan. Cross-Modal Retrieval with CNN Visual Features: A New
        Baseline. IEEE Transactions on Cybernetics 47(2), 2017. doi:10.1109/TCYB.2016.2519449
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from commonspace.data import Dataset
from commonspace.methods.baselines.joint import JointMethod
from commonspace.methods.baselines.joint_training import Batch, Sizes
from commonspace.objectives import log_loss
from commonspace.space import Space
from commonspace.training import Run


@dataclass(eq=False, repr=False, kw_only=True)
class DeepSM(JointMethod):
    """Semantic matching by deep networks [1]: a classifier a modality, compared by its posteriors.

    Modalities learn nothing from each other, so that one can be added later. One class a row: cross
    entropy and softmax. Several or graded labels: a yes-or-no of every class, and sigmoid. The
    classes are those of `fit`, for they are the axes of the space. Further arguments are those of
    `JointMethod`.

    Differs from the paper: the networks read feature vectors, where [1] fine-tunes a convolutional
    network by the squared error of its softmax.
    """

    can_add_modality: ClassVar[bool] = True
    keeps: ClassVar[tuple[str, ...]] = ("posterior",)

    input_dropout: float = 0.2
    dropout: float = 0.5

    def _output_width(self) -> int:
        return self.sizes_.n_classes

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        return {"posterior": nn.Sigmoid() if sizes.several else nn.Softmax(dim=1)}

    def _loss(self, batch: Batch) -> Tensor:
        return batch.mean_over_modalities(
            lambda name: log_loss(batch.z[name], batch.y[name], several=batch.several)
        )

    def _embedding(self, modality: str, z_BE: Tensor, modules: Mapping[str, nn.Module]) -> Tensor:
        posterior_BE: Tensor = modules["posterior"](z_BE)
        return posterior_BE

    def _fit(self, train: Dataset, valid: Dataset | None, run: Run) -> None:
        self._start(train)
        self.networks_, self.maps_, self.modules_ = {}, {}, self._build_modules()
        self.space_ = Space.identity(train.classes)
        for name in train:
            held = valid.select([name]) if valid is not None and name in valid else None
            self._add(name, train.select([name]), held, self.space_, run)
        self.space_ = self.space_.with_modalities(train)

    def _add(
        self, modality: str, train: Dataset, valid: Dataset | None, space: Space, run: Run
    ) -> None:
        learned = self._learn(modality, train, valid, run)
        self.networks_ = {**self.networks_, **learned.branches}
        self.history_[modality] = learned.history

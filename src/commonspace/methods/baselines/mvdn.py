"""MvDN: a network a modality and a common one on top, under Fisher's criterion.

References:
    [1] Kan, Shan, Chen. Multi-view Deep Network for Cross-view Classification. CVPR 2016.
        doi:10.1109/CVPR.2016.524
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from commonspace.checks import check_one_of, check_range, check_widths
from commonspace.methods.baselines.discriminant_step import discriminant_maps
from commonspace.methods.baselines.joint import JointMethod
from commonspace.methods.baselines.joint_training import Affine, Batch, Sizes
from commonspace.networks import MLP
from commonspace.objectives import trace_ratio, unexplained_share
from commonspace.types import Float32Array


@dataclass(eq=False, repr=False, kw_only=True)
class MvDN(JointMethod):
    """Multi-view deep network [1].

    Networks f_m of the modalities and g, common to all, minimise Fisher's criterion of the scatter
    of g(f_m(x)) within and between classes, rows of all modalities pooled. Last comes a linear
    discriminant analysis of the pooled outputs, which leaves at most one dimension fewer than there
    are classes. Rows are drawn so that classes are equally frequent; items need no pairs. Further
    arguments are those of `JointMethod`.

    Args:
        dim: Most dimensions of the common space; also the width of g's output.
        width: Of f's output.
        common: Widths of the hidden layers of g.
        criterion: "share": ``tr (S_W + S_B)⁻¹ S_W``, which asks for every direction that classes
            may span. "trace": ``tr S_W / tr S_B``, which deep networks make small by spreading
            all outputs along the one direction that separates best.

    Differs from the paper, of which no code is public: criterion, widths, optimiser and the last
    step are our choice.
    """

    multi_label: ClassVar[bool] = False
    balanced: ClassVar[bool] = True
    batch_sizes: ClassVar[tuple[int, int]] = (32, 256)  # scatter of classes needs many rows
    aligns: ClassVar[bool] = True
    final: ClassVar[str | None] = "relu"
    keeps: ClassVar[tuple[str, ...]] = ("common",)

    dim: int = 64
    hidden: Sequence[int] = (512,)
    width: int = 256
    criterion: Literal["share", "trace"] = "share"
    common: Sequence[int] = (128,)
    input_dropout: float = 0.0
    dropout: float = 0.5

    def _output_width(self) -> int:
        return self.width

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        return {"common": MLP([self.width, *self.common, self.dim])}

    def _embedding(self, modality: str, z_BE: Tensor, modules: Mapping[str, nn.Module]) -> Tensor:
        common_BE: Tensor = modules["common"](z_BE)
        return common_BE

    def _loss(self, batch: Batch) -> Tensor:
        pooled_BE = batch.modules["common"](torch.cat(list(batch.z.values())))
        y_BC = torch.cat(list(batch.y.values()))
        criterion = trace_ratio if self.criterion == "trace" else unexplained_share
        return criterion(pooled_BE, y_BC)

    def _align(
        self, z: Mapping[str, Float32Array], y: Mapping[str, Float32Array]
    ) -> Mapping[str, Affine]:
        pooled = {"": np.concatenate(list(z.values()))}
        labels = {"": np.concatenate(list(y.values()))}
        found = discriminant_maps(pooled, labels, dim=self.dim)[""]
        return dict.fromkeys(z, found)

    def _check_own(self) -> None:
        check_range("width", self.width, low=1, integer=True)
        check_widths(self.common)
        check_one_of("criterion", self.criterion, ("share", "trace"))

"""CBT-lite: translators between the features of two modalities, rewarded for what comes back.

References:
    [1] Qi, Peng. Cross-modal Bidirectional Translation via Reinforcement Learning. IJCAI 2018.
        doi:10.24963/ijcai.2018/365
    [2] Peng, Qi. Reinforced Cross-Media Correlation Learning by Context-Aware Bidirectional
        Translation. IEEE TCSVT 30(6), 2020. Its code is public; that of [1] is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from commonspace.checks import check_range
from commonspace.methods.baselines.joint import PairedMethod
from commonspace.methods.baselines.joint_training import Batch, Sizes
from commonspace.networks import MLP
from commonspace.objectives import log_loss, translation_reward

SHARED, CLASSIFIER = "shared", "classifier"


@dataclass(eq=False, repr=False, kw_only=True)
class CBTLite(PairedMethod):
    """Cross-modal bidirectional translation [1, 2], of global features alone.

    Two translators, one each way, read the features of one modality and write those of the other;
    they meet in one shared layer. Its class posteriors are the common space. With x translated
    there and back, x'', and x' the translation of x beside its pair mate y, each direction has::

        L = α · cross-entropy of the class  −  (1 − h) log ½(1 + cos(x, x''))
                                            −  h log ½(1 + cos(y, x'))

    Further arguments are those of `JointMethod`.

    Args:
        hidden: Widths of the layers before the last that is a translator's own.
        width: Of that and of the shared layer.
        alpha: α, weight of the classes.
        inter: h, share of the reward between modalities; the released code has 0.

    Differs from the paper: global features alone, without recurrent networks, attention and parts;
    the reward is followed by its gradient, not by sampling; features are standardised, and a
    translator's output is linear; smaller layers; AdamW in place of SGD. The name says so.
    """

    max_modalities: ClassVar[int | None] = 2
    multi_label: ClassVar[bool] = False
    final: ClassVar[str | None] = "tanh"
    keeps: ClassVar[tuple[str, ...]] = (SHARED, CLASSIFIER)

    hidden: Sequence[int] = (256,)
    activation: Literal["relu", "tanh", "sigmoid"] = "tanh"
    input_dropout: float = 0.0
    dropout: float = 0.0
    width: int = 256
    alpha: float = 0.1
    inter: float = 0.0

    def _output_width(self) -> int:
        return self.width

    def _make(self, sizes: Sizes) -> dict[str, nn.Module]:
        (first, wide), (second, other) = sizes.features.items()
        return {
            SHARED: nn.Sequential(nn.Linear(self.width, self.width), nn.Tanh()),
            CLASSIFIER: nn.Linear(self.width, sizes.n_classes),
            _writer(first): MLP([self.width, self.width, other], activation=nn.Tanh),
            _writer(second): MLP([self.width, self.width, wide], activation=nn.Tanh),
        }

    def _embedding(self, modality: str, z_BE: Tensor, modules: Mapping[str, nn.Module]) -> Tensor:
        posterior_BC: Tensor = modules[CLASSIFIER](modules[SHARED](z_BE)).softmax(dim=1)
        return posterior_BC

    def _loss(self, batch: Batch) -> Tensor:
        first, second = batch.z
        return self._direction(batch, first, second) + self._direction(batch, second, first)

    def _direction(self, batch: Batch, name: str, other: str) -> Tensor:
        """The loss of a modality that is translated to the other and back."""
        shared_BE = batch.modules[SHARED](batch.z[name])
        there_BD = batch.modules[_writer(name)](shared_BE)
        read_BE = batch.modules[SHARED](batch.networks[other].encode(there_BD))
        back_BD = batch.modules[_writer(other)](read_BE)
        logits_BC = batch.modules[CLASSIFIER](shared_BE)
        reward = (1 - self.inter) * translation_reward(batch.x[name], back_BD).mean()
        if self.inter:
            mates = translation_reward(batch.x[other], there_BD).mean()
            reward = reward + self.inter * mates
        return self.alpha * log_loss(logits_BC, batch.y[name], several=False) - reward

    def _check_own(self) -> None:
        check_range("width", self.width, low=1, integer=True)
        check_range("alpha", self.alpha, low=0)
        check_range("inter", self.inter, low=0, high=1)


def _writer(name: str) -> str:
    """What writes the translations of a modality."""
    return f"from {name}"

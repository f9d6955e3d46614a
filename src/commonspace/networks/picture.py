"""A branch of MS-DMML that looks at pixels: a convolutional network, then the branch of features.

In training every picture is seen through a crop at a random place, else through its centre [1,
section 4.2]. The first stages may be frozen: they are not trained, and keep no gradient.

References:
    [1] Hua, Yang, Du. Deep Multi-Modal Metric Learning with Multi-Scale Correlation for
        Image-Text Retrieval. Electronics 2020, 9(3), 466. doi:10.3390/electronics9030466
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from commonspace.networks.metric import MetricBranch


class PictureBranch(nn.Module):
    """Pixels → crop → stages of a backbone → mean over the map → `MetricBranch`.

    Args:
        stages: Of the backbone, from the stem on.
        head: What the pooled maps go through.
        side: Pictures are squares of ``side`` pixels.
        crop: What is seen of them, a square of at most ``side`` pixels.
        freeze: How many stages, from the stem on, stay as they are.
        centre: To subtract from red, green and blue.
        scale: To divide by then.
    """

    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        stages: Sequence[nn.Module],
        head: MetricBranch,
        *,
        side: int,
        crop: int,
        freeze: int,
        centre: Sequence[float],
        scale: Sequence[float],
    ) -> None:
        super().__init__()
        self.side, self.crop = side, crop
        self.frozen = nn.Sequential(*stages[:freeze]).requires_grad_(False).eval()
        self.trained = nn.Sequential(*stages[freeze:])
        self.head = head
        self.register_buffer("centre", torch.tensor(centre).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(scale).reshape(1, 3, 1, 1))

    def train(self, mode: bool = True) -> PictureBranch:
        """Set the mode of all but the frozen stages."""
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x_BD: Tensor) -> Tensor:
        """Bring pictures to the common space, shape (B, dim).

        Args:
            x_BD: Shape (B, 3 * side²), values 0 to 255, rows of pixels from the top.
        """
        out_BE: Tensor = self.head(self.pooled(x_BD))
        return out_BE

    def pooled(self, x_BD: Tensor) -> Tensor:
        """What the backbone makes of pictures: the mean over each map, shape (B, width)."""
        x = self._cropped(x_BD.reshape(-1, self.side, self.side, 3))
        x = (x.permute(0, 3, 1, 2).float() - self.centre) / self.scale
        with torch.no_grad():
            x = self.frozen(x)
        maps: Tensor = self.trained(x)
        return maps.mean((2, 3))

    def _cropped(self, x_BHWC: Tensor) -> Tensor:
        spare = self.side - self.crop
        if not self.head.training:
            start = spare // 2
            return x_BHWC[:, start : start + self.crop, start : start + self.crop]
        count = len(x_BHWC)
        at = torch.randint(0, spare + 1, (2, count, 1)) + torch.arange(self.crop)
        every = torch.arange(count).reshape(-1, 1, 1)
        return x_BHWC[every, at[0].unsqueeze(2), at[1].unsqueeze(1)]

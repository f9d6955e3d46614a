"""GMLDA: linear discriminant analysis of every modality, tied by the means of the classes.

References:
    [1] Sharma, Kumar, Daume, Jacobs. Generalized Multiview Analysis: A Discriminative Latent
        Space. CVPR 2012. doi:10.1109/CVPR.2012.6247923 (equations 5-8), and the authors' code
        (Newgma.m, mode "lda").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from scipy.linalg import block_diag

from commonspace.checks import check_one_of, check_range
from commonspace.data import Dataset
from commonspace.methods.baselines.discriminant import (
    ClassMoments,
    blocks,
    by_modality,
    class_moments,
    coordinates_of,
    labelled_part,
    leading_directions,
)
from commonspace.methods.baselines.pairing import matched_rows
from commonspace.methods.baselines.projection import Coordinates, ProjectionMethod, projections
from commonspace.types import AnyArray, FloatArray


class GMLDA(ProjectionMethod):
    """Generalized multiview linear discriminant analysis [1].

    For the directions w = (w₁, ..., w_m) of all modalities together::

        maximise  Σ_v w_vᵀ A_v w_v + α Σ_{v≠u} w_vᵀ Z_vᵀ Z_u w_u
        so that   Σ_v w_vᵀ (B_v + ridge) w_v = 1

    A_v is the scatter of the class means of modality v, B_v that of its rows around them, and Z_v
    are its aligned samples: the class means, or all rows of items that every modality shows. One
    generalised eigenproblem; rows without labels take no part. Modalities of more than 1000
    features, or more than rows, pass through principal components, as the authors advise.

    Args:
        dim: Dimensions of the common space; at most the number of classes less one is found.
        alpha: α, how strongly the modalities are tied. Below 1, directions in which they oppose
            each other can be among the best, and retrieval across them falls towards chance.
        align: What Z_v are: "classes", the class means, which needs no pairs, or "items".
        shrinkage: Ridge on B, as a share of the mean of its diagonal.
        standardize: Scale every feature to variance 1, then leave them as loud as labels say, see
            `loudness`; else one scale for all.
        random_state: Unused; the problem has a closed form. Here for the contract.

    Differs from the paper: class means in Z_v are weighted by the square root of their number of
    rows, as A_v weighs them by that number, so that α means the same whatever the number of rows
    (the code's α is ours times the rows a class, where classes are of one size). So the units
    differ: ``alpha=10`` is not the strength of a published α of 10, which here is 10 / the rows a
    class; it is our default, not the paper's. Modalities weigh alike (μ = 1). The ridge is
    relative; the code adds 1e-6.

    Example:
        >>> x = np.array([[0., 1.], [1., 0.], [0., 2.], [2., 1.]])
        >>> data = Dataset.from_arrays({"image": x, "text": x[:, ::-1]}, ["a", "b", "a", "b"])
        >>> GMLDA().fit(data).transform("text", x).shape
        (4, 1)
    """

    needs_labels: ClassVar[bool] = True
    multi_label: ClassVar[bool] = False

    def __init__(
        self,
        *,
        dim: int = 256,
        alpha: float = 10.0,
        align: Literal["classes", "items"] = "classes",
        shrinkage: float = 0.3,
        standardize: bool = True,
        random_state: int = 0,
    ) -> None:
        self.dim = dim
        self.alpha = alpha
        self.align = align
        self.shrinkage = shrinkage
        self.standardize = standardize
        self.random_state = random_state

    def _check_arguments(self) -> None:
        super()._check_arguments()
        check_range("alpha", self.alpha, low=0.0)
        check_one_of("align", self.align, ("classes", "items"))
        check_range("shrinkage", self.shrinkage, low=0.0)

    def _solve(self, train: Dataset) -> dict[str, dict[str, AnyArray]]:
        labelled = labelled_part(train, "GMLDA")
        views = coordinates_of(labelled, standardize=self.standardize)
        moments = class_moments(labelled, views)
        aligned = self._aligned(labelled, views, moments)
        between = self._between(moments, aligned)
        within = block_diag(*(moment.within for moment in moments))
        n_classes = int(np.any([moment.counts > 0 for moment in moments], axis=0).sum())
        count = min(self.dim, n_classes - 1)
        found = leading_directions(between, within, count, shrinkage=self.shrinkage)
        return projections(views, by_modality(found, views))

    def _aligned(
        self, labelled: Dataset, views: Mapping[str, Coordinates], moments: list[ClassMoments]
    ) -> list[FloatArray]:
        if self.align == "classes":
            return [moment.means * np.sqrt(moment.counts)[:, None] for moment in moments]
        rows = matched_rows(labelled, pairing="items", seed=self.random_state)
        return [view.rows[rows[name]] for name, view in views.items()]

    def _between(self, moments: list[ClassMoments], aligned: list[FloatArray]) -> FloatArray:
        joined = np.hstack(aligned)
        between = self.alpha * (joined.T @ joined)
        own = [(moment.means.T * moment.counts) @ moment.means for moment in moments]
        for place, block in zip(blocks([len(block) for block in own]), own, strict=True):
            between[place, place] = block
        return np.asarray(between)

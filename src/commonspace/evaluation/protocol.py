"""How a number is made: every choice that changes an average precision, under a name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from commonspace.checks import check_one_of, check_range
from commonspace.errors import InputError
from commonspace.types import JsonDict

Divisor = Literal["all", "found"]
Empty = Literal["zero", "skip"]
Ties = Literal["expected", "stable"]
Metric = Literal["cosine", "inner", "euclidean"]
Gain = Literal["overlap"]

_CHOICES: dict[str, tuple[str | None, ...]] = {
    "divide_by": ("all", "found"),
    "empty": ("zero", "skip"),
    "ties": ("expected", "stable"),
    "metric": ("cosine", "inner", "euclidean"),
    "relevance": ("shared",),
    "gain": (None, "overlap"),
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a mean average precision is made; reports of different protocols do not compare.

    Attributes:
        k: How many ranks to look at; None looks at the whole gallery, and so does a ``k`` larger
            than the gallery.
        divide_by: Divide the summed precisions by "all" relevant items of the gallery, or by
            those "found" within the first ``k``. Without ``k`` the two are one.
        empty: A query with nothing to find scores "zero" or is left out of the mean ("skip").
            Nothing to find means no relevant item in the gallery, or, with divide_by="found",
            none within the first ``k`` in any order of the ties.
        ties: Items of equal score are read in random order and the score is its "expected"
            value, or they stand in gallery order ("stable", for parity with code that sorts).
        metric: What ranks: "cosine", "inner" product, or "euclidean" distance.
        within: Also score each modality against itself.
        keep_self: Within a modality, leave the query itself in its ranking.
        relevance: "shared": an item is relevant if it shares a class (weight > 0).
        gain: Also measure graded relevance over the first ``k`` ranks, by nDCG, by average
            precision weighted by gains (WAP) and, where there is a ``k``, by the mean gain (ACG):
            "overlap" is the sum over classes of the smaller weight, for plain labels the number of
            shared classes. None measures none. Ties and empty queries are read as for average
            precision; nothing to find means that no item of the gallery has a gain.
    """

    k: int | None = None
    divide_by: Divisor = "all"
    empty: Empty = "zero"
    ties: Ties = "expected"
    metric: Metric = "cosine"
    within: bool = False
    keep_self: bool = False
    relevance: Literal["shared"] = "shared"
    gain: Gain | None = None

    def __post_init__(self) -> None:
        if self.k is not None:
            check_range("k", self.k, low=1, integer=True)
            object.__setattr__(self, "k", int(self.k))
        for name, allowed in _CHOICES.items():
            check_one_of(name, getattr(self, name), allowed)
        for name in ("within", "keep_self"):
            check_one_of(name, getattr(self, name), (True, False))
            object.__setattr__(self, name, bool(getattr(self, name)))

    @classmethod
    def sdml(cls, r: int | None = None) -> Protocol:
        """The protocol of SDML [1]: cosine, each ordered pair of modalities, all results.

        With a cut-off ``r`` the released code divides by the relevant items found.

        References:
            [1] Hu, Zhen, Peng, Liu. Scalable Deep Multimodal Learning for Cross-Modal
                Retrieval. SIGIR 2019. doi:10.1145/3331184.3331213
        """
        return cls(k=r, divide_by="found")

    @classmethod
    def msdmml(cls, r: int | None = 100) -> Protocol:
        """The protocol of MS-DMML [1], eq. 12: mAP@R over the items found, within modality too.

        The paper does not say whether the query itself stays in its own ranking; it leaves.

        References:
            [1] Hua, Yang, Du. Deep Multi-Modal Metric Learning with Multi-Scale Correlation.
                Electronics 2020.
        """
        return cls(k=r, divide_by="found", within=True)

    @classmethod
    def spdq(cls, r: int | None = 50) -> Protocol:
        """The protocol of SPDQ [1]: mAP@50, divided by the relevant items found.

        Eq. 24 reads as a division by all relevant items, but the published numbers are only
        reached by dividing by those found.

        References:
            [1] Yang, Deng, Li, Liu, Li, Tao. Shared Predictive Cross-Modal Deep Quantization.
                IEEE TNNLS 2018. arXiv:1904.07488
        """
        return cls(k=r, divide_by="found")

    def to_dict(self) -> JsonDict:
        """Return the fields by name, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Protocol:
        """Rebuild a protocol from `to_dict`.

        Raises:
            InputError: A field is unknown or its value is not allowed.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise InputError(
                f"protocol: unknown field {unknown[0]!r}. Was it written by a newer commonspace?"
            )
        return cls(**values)


def check_protocol(protocol: Any) -> None:
    """Raise `InputError` unless this is a protocol: the name of one is none."""
    if not isinstance(protocol, Protocol):
        raise InputError(
            f"protocol: expected a Protocol, got {protocol!r}. Such as Protocol(k=50), or one of a "
            "paper: Protocol.sdml()."
        )

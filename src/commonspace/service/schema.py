"""What requests and answers look like; the OpenAPI document is made from these."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

_Name = Annotated[str, Field(min_length=1, max_length=512)]
_Vector = Annotated[list[float], Field(min_length=1, max_length=65_536)]
_Names = Annotated[list[_Name], Field(min_length=1, max_length=256)]
_Where = Annotated[
    dict[str, Any] | None,
    Field(description="Conditions on payload fields: equal, any of a list, or gt, gte, lt, lte."),
]

_PART = ("text", "vector", "features", "item", "file")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class Part(_Model):
    """One thing to search by: exactly one of text, vector, features, item and file."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "a castle"}]})

    text: Annotated[str, Field(max_length=100_000)] | None = None
    vector: Annotated[_Vector | None, Field(description="A vector of the common space itself.")] = (
        None
    )
    features: Annotated[
        _Vector | None, Field(description="Features of `modality`, as its encoder makes them.")
    ] = None
    item: Annotated[_Name | None, Field(description="Id of an item that is there.")] = None
    file: Annotated[
        int | None, Field(ge=0, description="An uploaded file by its place, from 0.")
    ] = None
    modality: Annotated[_Name | None, Field(description="What it is of, if not plain.")] = None
    weight: Annotated[
        float, Field(ge=-100, le=100, description="Its share; negative: away from it.")
    ] = 1.0

    @model_validator(mode="after")
    def _one(self) -> Part:
        given = [name for name in _PART if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ValueError(f"expected exactly one of {', '.join(_PART)}, got {got}")
        return self


def _count(value: Any) -> str:
    return "many" if isinstance(value, list) else "one"


# Told apart by what they are, so that a message speaks of the one that was meant.
_OneOrMany = Annotated[
    Annotated[Part, Tag("one")] | Annotated[list[Part], Tag("many")], Discriminator(_count)
]
_OneOrManyNames = Annotated[
    Annotated[_Name, Tag("one")] | Annotated[_Names, Tag("many")], Discriminator(_count)
]


class SearchRequest(_Model):
    """A search by one of `query`, `vectors` and `words`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"query": {"text": "a castle"}, "modality": "image", "k": 5},
                {"query": [{"item": "cat-1", "weight": 2}, {"text": "at night"}]},
                {"words": "old town", "where": {"year": {"gte": 1999}}},
            ]
        }
    )

    collection: Annotated[_Name | None, Field(description="Needed if there are several.")] = None
    query: Annotated[
        _OneOrMany | None,
        Field(description="Parts, brought to unit length, weighted and summed to one vector."),
    ] = None
    vectors: Annotated[
        list[_Vector] | None,
        Field(min_length=1, description="Many queries at once: vectors of the common space."),
    ] = None
    words: Annotated[
        str | None, Field(max_length=100_000, description="Words in payloads, ranked by BM25.")
    ] = None
    k: Annotated[int, Field(ge=1, le=100_000, description="Hits of each query.")] = 10
    offset: Annotated[int, Field(ge=0, le=100_000, description="Hits to skip, for pages.")] = 0
    modality: Annotated[
        _OneOrManyNames | None, Field(description="Search among one, several, or all (null).")
    ] = None
    where: _Where = None
    query_modality: Annotated[
        _Name | None, Field(description="What `vectors` are of; a part of a query has `modality`.")
    ] = None
    match: Annotated[
        bool | None,
        Field(
            description="Rank by the probability of a match: true insists, false ranks by cosine, "
            "null does it where the collection is calibrated and the query is of one modality."
        ),
    ] = None


class Hit(_Model):
    """An item that was found."""

    id: str
    score: Annotated[float, Field(description="What `measure` says; larger is better.")]
    modality: str
    payload: dict[str, Any]


class SearchAnswer(_Model):
    """Hits of each query, best first."""

    collection: str
    measure: Annotated[
        Literal["cosine", "match", "bm25"],
        Field(description="What scores are: cosines, probabilities of a match, or of words."),
    ]
    hits: list[list[Hit]]
    next_offset: Annotated[
        int | None, Field(description="Where the next page starts; null at the end.")
    ]


class NewItem(_Model):
    """An item to add: a vector of the space, or what the model encodes."""

    id: _Name
    vector: _Vector | None = None
    features: _Vector | None = None
    text: Annotated[str, Field(max_length=100_000)] | None = None
    file: Annotated[
        int | None, Field(ge=0, description="An uploaded file by its place, from 0.")
    ] = None
    payload: dict[str, Any] | None = None


class AddRequest(_Model):
    """Items of one modality; all are stored or none is."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "modality": "text",
                    "items": [{"id": "t-1", "text": "a castle", "payload": {"year": 1999}}],
                }
            ]
        }
    )

    collection: _Name | None = None
    modality: _Name
    items: Annotated[list[NewItem], Field(min_length=1)]


class ItemsRequest(_Model):
    """Items by their ids, in one modality or in all."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"ids": ["t-1", "t-2"]}]})

    collection: _Name | None = None
    modality: _Name | None = None
    ids: Annotated[list[_Name], Field(min_length=1)]
    vectors: Annotated[bool, Field(description="Give their vectors too.")] = False


class ReopenRequest(_Model):
    """Which collection to take up again; all if none is named."""

    model_config = ConfigDict(json_schema_extra={"examples": [{}]})

    collection: _Name | None = None


class Item(_Model):
    """A stored item."""

    id: str
    modality: str
    payload: dict[str, Any]
    vector: list[float] | None = None


class ItemsAnswer(_Model):
    """Stored items in the order asked, an id once for each modality that has it."""

    collection: str
    items: list[Item]


class Added(_Model):
    """How many items are stored now; they survive a crash."""

    collection: str
    added: int


class Deleted(_Model):
    """How many items were there and are deleted now."""

    collection: str
    deleted: int


class CollectionInfo(_Model):
    """A collection as it is served."""

    name: str
    items: int
    modalities: dict[str, int]
    dim: int
    space: Annotated[str, Field(description="Fingerprint: vectors compare if it is equal.")]
    classes: list[str]
    version: Annotated[int, Field(description="How often it was opened.")]
    read_only: bool
    model: Annotated[str | None, Field(description="The method behind it, if it is at hand.")]


class Collections(_Model):
    """All collections."""

    collections: list[CollectionInfo]


class ModalityInfo(_Model):
    """A modality: its items, and what can be a query of it."""

    collection: str
    name: str
    items: int
    reads: Annotated[str | None, Field(description="Kind of raw items its encoder reads.")]
    encoder: Annotated[str | None, Field(description="Id of that encoder.")]
    features: Annotated[int | None, Field(description="Numbers that `features` must have.")]


class Modalities(_Model):
    """All modalities that a collection or its model knows."""

    modalities: list[ModalityInfo]


class Reopened(_Model):
    """Which collections had a new version."""

    reopened: dict[str, bool]


class State(_Model):
    """Whether the service is there."""

    status: str


class ErrorDetail(_Model):
    """What went wrong."""

    code: str
    message: str
    request_id: str


class ErrorAnswer(_Model):
    """Every answer of status 400 and above."""

    error: ErrorDetail

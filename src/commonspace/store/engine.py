"""What a `Collection` stands on: something that keeps items and finds the nearest of them.

`store.embedded` is the folder with SQLite and FAISS, `store.milvus` a cluster. The collection
checks what it is given, ranks and describes; an engine stores and finds. Items are known inside one
`Items.snapshot` by keys: integers that mean nothing outside of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from commonspace.index import Neighbours
from commonspace.space import Space
from commonspace.store.wish import IndexWish
from commonspace.types import Float32Array, IntArray, JsonDict

Where = Mapping[str, Any] | None


class Items(Protocol):
    """What an engine keeps, to read within `snapshot`, and what was stored beside it."""

    @property
    def space(self) -> Space:
        """The space of all vectors."""
        ...

    def snapshot(self) -> AbstractContextManager[None]:
        """Let all reads inside see one state, where the store can do that."""
        ...

    def count(self) -> int:
        """How many items there are."""
        ...

    def modalities(self) -> dict[str, int]:
        """How many items each modality has, by name."""
        ...

    def encoders(self) -> dict[str, dict[str | None, int]]:
        """How many items of each modality each encoder made; None is not on record."""
        ...

    def made_by_others(self, modality: str, encoder: str) -> list[str]:
        """Ids of the items whose vectors this encoder did not make."""
        ...

    def find(self, ids: Sequence[str], modality: str | None) -> IntArray:
        """Keys of the items of these ids, in one modality or all."""
        ...

    def describe(self, keys: IntArray) -> dict[int, tuple[str, str, str]]:
        """Id, modality and payload (JSON) by key."""
        ...

    def vectors_of(self, ids: Sequence[str], modality: str) -> dict[str, bytes]:
        """Stored vectors by id, those that are there."""
        ...

    def payloads_of(self, ids: Sequence[str], modality: str) -> dict[str, str]:
        """Payloads (JSON) by id, those that are there."""
        ...

    def metadata(self) -> JsonDict:
        """What the caller stored, by name."""
        ...

    def metadata_text(self, name: str) -> str | None:
        """The JSON of what the caller stored under a name."""
        ...

    def set_metadata(self, name: str, value: str) -> None:
        """Store JSON under a name, durably."""
        ...


class Engine(Protocol):
    """Takes one call at a time, with arguments that are checked; the collection sees to both.

    What an engine cannot do raises `UnsupportedError`; what its store refuses, `StorageError`.
    """

    learns_codes: bool
    """Whether its index takes a quantizer of ours."""

    @property
    def items(self) -> Items:
        """What it keeps."""
        ...

    @property
    def place(self) -> str:
        """Where that is, as messages say it."""
        ...

    @property
    def folder(self) -> Path:
        """The folder, if it is one."""
        ...

    @property
    def read_only(self) -> bool:
        """Whether it was opened to read."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...

    def modality_names(self) -> Sequence[str]:
        """What can be searched among; within `Items.snapshot`, as are the next two."""
        ...

    def nearest(
        self, vectors: Any, k: int, modalities: Sequence[str] | None, where: Where
    ) -> Neighbours:
        """The nearest items by cosine, in some modalities or all (None), with their keys."""
        ...

    def match(
        self, words: str, k: int, modalities: Sequence[str] | None, where: Where
    ) -> tuple[IntArray, Float32Array]:
        """Keys and BM25 scores (larger is better) of the k best items that hold the words."""
        ...

    def put(
        self,
        ids: Sequence[str],
        modality: str,
        payloads: Sequence[str] | None,
        texts: Sequence[str],
        vectors: Float32Array,
        encoder: str | None,
    ) -> None:
        """Store items, with their JSON and their words, in the place of those of the same ids."""
        ...

    def remove(self, ids: Sequence[str], modality: str | None) -> int:
        """Delete items, in one modality or all, and return how many there were."""
        ...

    def describe_index(self) -> JsonDict:
        """The search index there is now; within `Items.snapshot`."""
        ...

    def set_index(self, wish: IndexWish) -> None:
        """Record another wish for the index, for `compact` to make."""
        ...

    def index_field(self, name: str, *, drop: bool = False) -> None:
        """Keep the values of a payload field looked up, or forget that."""
        ...

    def indexed_fields(self) -> list[str]:
        """JSON paths of the payload fields that are looked up."""
        ...

    def outgrown(self) -> bool:
        """Whether the search index should be made again."""
        ...

    def compact(self) -> Callable[[], None]:
        """Begin to make the search index again; the answer returns when that is done."""
        ...

    def flush(self) -> None:
        """Write the search index."""
        ...

    def snapshot(self, folder: Path) -> None:
        """Write a copy to a new folder."""
        ...

    def verify(self) -> list[str]:
        """Look for damage; one sentence a problem."""
        ...

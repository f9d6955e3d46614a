"""Items of many modalities in one space, durable, searchable, any-to-any: in a folder or a cluster.

In a folder ``collection.sqlite`` is the truth; ``index.faiss`` and ``index.json`` are derived from
it and can be deleted at any time. One process writes (``writer.lock``), any number read. With an
address such as ``milvus://localhost:19530/photos`` the same calls go to Milvus, see `store.milvus`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from commonspace.checks import as_features
from commonspace.errors import InputError
from commonspace.quantization import Quantizer
from commonspace.space import Space
from commonspace.store.embedded import Embedded
from commonspace.store.inputs import check_name, dump_json, id_strings, item_ids, stored_payloads
from commonspace.store.milvus import MilvusEngine, is_address
from commonspace.store.searching import Searched
from commonspace.store.versions import model_digests
from commonspace.store.wish import IndexWish
from commonspace.types import JsonDict


class Collection(Searched):
    """Items of many modalities, searchable by any vector of their space.

    Make one with `Collection.create` or `Collection.open`. An item is known by its id *and* its
    modality: one id in two modalities is a pair. What `add` and `delete` acknowledge by returning
    survives a crash of the process and of the machine; a batch that was not acknowledged is there
    whole or not at all. A collection may be used from several threads, which take turns. It is
    not for use across ``fork``.

    Example:
        >>> from tempfile import mkdtemp
        >>> with Collection.create(mkdtemp(), space=Space.create(2)) as col:
        ...     col.add(["cat", "dog"], [[1, 0], [0, 1]], modality="text", payloads=[{"n": 3}, {}])
        ...     hits = col.search([[1.0, 0.2]], k=1)
        ...     hits.ids, hits.payloads
        (array([['cat']], dtype='<U3'), array([[{'n': 3}]], dtype=object))
    """

    @classmethod
    def create(
        cls,
        folder: str | Path,
        *,
        space: Space,
        index: str = "auto",
        memory: int | None = None,
        recall: float | None = None,
        quantizer: Quantizer | None = None,
        **options: Any,
    ) -> Collection:
        """Make an empty collection for vectors of one space, and open it for writing.

        Args:
            folder: A folder that is empty or not there yet; or the address of a collection in
                Milvus, see `commonspace.store.milvus.address`.
            space: The contract of all vectors, such as ``model.space_``.
            index: The kind of its search index, among `commonspace.index.KINDS`; "auto" goes by
                the number of items, ``memory`` and ``recall``, and changes as the items grow.
                Fewer than 1,000 items are searched exactly by every kind that has to learn.
            memory: Bytes that an "auto" index may take; None sets no bound.
            recall: Share of the true neighbours to find, which the index is tuned to when it is
                made. None is 0.95 for "auto", and no tuning for a kind that is named.
            quantizer: Of "codes" and "codes4"; None learns one from the items.
            options: Of the kind, such as ``bits=32``.

        Raises:
            StorageError: The folder holds something already, or cannot be written.
            InputError: The kind does not have such options.
            UnsupportedError: Milvus has no such index.
        """
        wish = IndexWish(index, memory, recall, options, quantizer)
        return cls(_engine(folder).create(folder, space, wish))

    @classmethod
    def open(cls, folder: str | Path, *, read_only: bool = False) -> Collection:
        """Open a collection: for writing (one at a time), or to read what others commit.

        Raises:
            NotFoundError: There is no collection.
            StorageError: Another writer has it open, it is damaged, or of a newer format.
        """
        return cls(_engine(folder).open(folder, read_only=read_only))

    def add(
        self,
        ids: Iterable[Any],
        vectors: Any,
        *,
        modality: str,
        payloads: Sequence[Mapping[str, Any] | None] | None = None,
        space: Space | None = None,
        encoder: str | None = None,
    ) -> None:
        """Store items; when this returns they are durable and found.

        An item whose id is there in this modality is replaced, payload and all, and counts as the
        newest.

        Args:
            ids: Strings or integers (kept as strings), distinct, one a vector.
            vectors: Shape (n, dim); stored as float32, unchanged.
            modality: What the items are, such as "image".
            payloads: What to give back with a hit, one mapping a vector, read back as JSON; its
                strings are what `search_text` finds.
            space: The space the vectors are of, checked if given.
            encoder: What made them, such as a digest of `commonspace.store.versions`; see `stale`.

        Raises:
            SpaceMismatchError: ``space`` is another than the collection's.
            InputError: Something does not fit; nothing was stored.
            StorageError: Read-only, closed, or the disk refused; nothing was stored.
        """
        if space is not None:
            self.space.check_same(space, where=f"collection {self.place}")
        check_name("modality", modality)
        if encoder is not None:
            check_name("encoder", encoder)
        rows = as_features(vectors, where="vectors", n_features=self.space.dim)
        names = item_ids(ids, n=len(rows))
        stored, texts = stored_payloads(payloads, len(rows))
        with self._writing():
            if names:
                self._engine.put(names, modality, stored, texts, rows, encoder)

    def delete(self, ids: Iterable[Any], modality: str | None = None) -> int:
        """Delete items in one modality, or in all, durably; ids that are not there are passed over.

        Returns:
            How many items were deleted.
        """
        names = list(dict.fromkeys(id_strings(ids)))
        if modality is not None:
            check_name("modality", modality)
        with self._writing():
            return self._engine.remove(names, modality)

    @property
    def modalities(self) -> dict[str, int]:
        """How many items each modality has, by name."""
        with self._reading():
            return self._items.modalities()

    @property
    def encoders(self) -> dict[str, dict[str | None, int]]:
        """How many items of each modality each encoder made, as `add` was told; None: untold."""
        with self._reading():
            return self._items.encoders()

    def stale(self, model: Any) -> dict[str, list[str]]:
        """Return ids, by modality, of the items whose vectors another version of an encoder made.

        They are comparable all the same, as long as the space is the same one; what the newer
        encoder does better they lack. `commonspace.store.reencoding.reencode` brings them up to it.

        Args:
            model: A fitted method of the same space. Modalities that it does not know are left
                out, and so are those without stale items.

        Raises:
            SpaceMismatchError: It is of another space.
        """
        self.space.check_same(model.space_, where=f"collection {self.place}")
        names = [name for name in self.modalities if name in model.modalities]
        digests = model_digests(model, names)
        with self._reading():
            found = {n: self._items.made_by_others(n, d) for n, d in digests.items()}
        return {name: ids for name, ids in found.items() if ids}

    @property
    def metadata(self) -> JsonDict:
        """A copy of what `set_metadata` stored, by name."""
        with self._reading():
            return self._items.metadata()

    def set_metadata(self, name: str, value: Any) -> None:
        """Store a JSON value with the collection, such as the path of the model behind it."""
        check_name("name", name)
        text = dump_json(value, where=f"metadata {name!r}")
        with self._writing():
            self._items.set_metadata(name, text)

    def __len__(self) -> int:
        with self._reading():
            return self._items.count()

    def __contains__(self, id_: object) -> bool:
        try:
            names = id_strings([id_])
        except InputError:
            return False
        with self._reading():
            return bool(len(self._items.find(names, None)))


def _engine(place: str | Path) -> type[Embedded] | type[MilvusEngine]:
    """What keeps a collection at such a place."""
    return MilvusEngine if is_address(place) else Embedded

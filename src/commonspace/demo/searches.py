"""Example searches of the demo: what was asked, what was found, and whether it is right.

Every answer comes from emoji that no training has seen (``where={"split": "test"}``). A result is
right if it belongs to the group of the query.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.data import Dataset
from commonspace.demo.emoji import EmojiRaw
from commonspace.demo.gallery import GalleryRow, Item, Result, Section
from commonspace.demo.scores import LANGUAGE_NAMES, PICTURE, text_modality
from commonspace.store.collection import Collection
from commonspace.store.pipelines import query_vector
from commonspace.types import AnyArray, JsonDict

N_RESULTS = 8
N_QUERIES = 5
_UNSEEN = {"split": "test"}


@dataclass(frozen=True)
class Word:
    """A query somebody may type, and the group that it means."""

    text: str
    language: str
    group: str


TYPED = (
    Word("cat", "en", "Animals & Nature"),
    Word("pizza", "en", "Food & Drink"),
    Word("Flagge", "de", "Flags"),
    Word("avión", "es", "Travel & Places"),
    Word("얼굴", "ko", "Smileys & Emotion"),
    Word("كرة", "ar", "Activities"),
    Word("лицо", "ru", "Smileys & Emotion"),
    Word("цветок", "ru", "Animals & Nature"),
    Word("автомобиль", "ru", "Travel & Places"),
    Word("strawberry", "en", "Food & Drink"),
    Word("Katze", "de", "Animals & Nature"),
    Word("bandera", "es", "Flags"),
    Word("tren", "es", "Travel & Places"),
    Word("케이크", "ko", "Food & Drink"),
)


@dataclass(frozen=True)
class Searcher:
    """A collection, the model behind it, and what its items look like.

    Attributes:
        model: A fitted method.
        items: The collection to search.
        raw: The emoji.
        test: Features of those not seen in training.
    """

    model: Any
    items: Collection
    raw: EmojiRaw
    test: Dataset
    _rows: dict[str, int] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._rows.update({id_: row for row, id_ in enumerate(self.raw.ids)})

    def picture_to_word(self, title: str, languages: Sequence[str], note: str = "") -> Section:
        """Search words by pictures of different groups."""
        words = [text_modality(language) for language in languages]
        rows = [self._by_picture(id_, words) for id_ in self._pictures()]
        return Section(title, rows, note)

    def word_to_picture(self, title: str, words: Sequence[Word], note: str = "") -> Section:
        """Search pictures by words as somebody types them."""
        return Section(title, [self._by_word(word, [PICTURE]) for word in words], note)

    def word_to_word(
        self, title: str, words: Sequence[Word], languages: Sequence[str], note: str = ""
    ) -> Section:
        """Search the words of all languages but the query's own."""
        rows = []
        for word in words:
            others = [text_modality(name) for name in languages if name != word.language]
            rows.append(self._by_word(word, others))
        return Section(title, rows, note)

    def _by_picture(self, id_: str, modalities: Sequence[str]) -> GalleryRow:
        at = self.test[PICTURE].items.tolist().index(id_)
        vector = self.model.transform(PICTURE, self.test.x(PICTURE)[at : at + 1])
        query = self._item(id_, PICTURE)
        query = replace(query, caption=query.text)
        return GalleryRow(query, self._results(vector, modalities, query.class_name))

    def _by_word(self, word: Word, modalities: Sequence[str]) -> GalleryRow:
        vector = query_vector(self.model, text=word.text, modality=text_modality(word.language))
        query = Item(
            word.text, word.group, lang=word.language, caption=LANGUAGE_NAMES[word.language]
        )
        return GalleryRow(query, self._results(vector, modalities, word.group))

    def _results(self, vector: AnyArray, modalities: Sequence[str], group: str) -> list[Result]:
        hits = self.items.search(vector, k=N_RESULTS, modality=modalities, where=_UNSEEN)
        results = []
        for hit in hits.rows()[0]:
            item = self._item(hit["id"], hit["modality"])
            results.append(Result(item, float(hit["score"]), item.class_name == group))
        return results

    def _item(self, id_: str, modality: str) -> Item:
        row = self._rows[id_]
        group = self.raw.classes[self.raw.labels[row]]
        if modality == PICTURE:
            return Item(self.raw.names["en"][row], group, self.raw.images[row], lang="en")
        language = modality.removeprefix("text_")
        name = self.raw.names[language][row]
        return Item(name, group, lang=language, caption=LANGUAGE_NAMES[language])

    def _pictures(self) -> list[str]:
        """The middle picture of each group: nobody chose them by their results."""
        part = self.test[PICTURE]
        codes = part.labels.codes
        groups = [np.flatnonzero(codes == k) for k in np.unique(codes)]
        return [str(part.items[rows[len(rows) // 2]]) for rows in groups]


def typed_in(languages: Sequence[str], count: int = N_QUERIES) -> tuple[Word, ...]:
    """The first few queries that are typed in one of the languages."""
    return tuple(word for word in TYPED if word.language in languages)[:count]


def table_rows(section: Section, n_shown: int = 3) -> Iterator[tuple[str, str]]:
    """Return a line a query for the terminal: what was asked, and the first results."""
    for row in section.rows:
        found = "  ".join(_short(result) for result in row.results[:n_shown])
        yield _label(row.query), found


def to_records(section: Section) -> list[JsonDict]:
    """Return queries and results for JSON."""
    return [
        {
            "query": _record(row.query),
            "results": [
                {**_record(result.item), "score": round(result.score, 4), "right": result.relevant}
                for result in row.results
            ],
        }
        for row in section.rows
    ]


def _record(item: Item) -> JsonDict:
    modality = PICTURE if item.image is not None else text_modality(item.lang)
    return {"text": item.text, "modality": modality, "group": item.class_name}


def _short(result: Result) -> str:
    return f"{'✓' if result.relevant else '✗'} {_label(result.item)}"


def _label(item: Item) -> str:
    if item.image is None:
        return f"{item.text} ({item.lang})"
    return f"{_character(item)} {item.text}"


def _character(item: Item) -> str:
    """The emoji itself, which names its picture file."""
    assert isinstance(item.image, Path)
    return "".join(chr(int(point, 16)) for point in item.image.stem.split("-"))

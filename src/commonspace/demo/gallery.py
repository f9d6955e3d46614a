"""Retrieval results as one HTML page that needs nothing else: pictures, scores, right or wrong."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from commonspace.checks import require
from commonspace.disk import atomic_file
from commonspace.errors import InputError
from commonspace.types import AnyArray

if TYPE_CHECKING:
    from PIL.Image import Image

_THUMBNAIL = 72  # pixels; what the page shows at most is a little more
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Item:
    """A query or a result: a text, or a picture with a caption.

    Attributes:
        text: The text, or what the picture shows in words (its alternative text).
        class_name: The class it belongs to; "" if unknown.
        image: Picture file, or its pixels, uint8 of shape (height, width, 3); None for a text.
        caption: A few small words below, such as the modality.
        lang: Language of the text, such as "ja", for fonts and screen readers; "" if unknown.
    """

    text: str
    class_name: str = ""
    image: Path | AnyArray | None = None
    caption: str = ""
    lang: str = ""


@dataclass(frozen=True)
class Result:
    """An item that was found, its score, and whether it is what was looked for."""

    item: Item
    score: float
    relevant: bool


@dataclass(frozen=True)
class GalleryRow:
    """A query and its results, best first."""

    query: Item
    results: Sequence[Result]


@dataclass(frozen=True)
class Section:
    """Rows of one kind of retrieval, such as picture to word."""

    title: str
    rows: Sequence[GalleryRow]
    note: str = ""


@dataclass(frozen=True)
class SummaryTable:
    """Scores: a row a method, a column a direction; the largest of a column is set in bold.

    Attributes:
        title: Heading.
        columns: Names of the columns.
        rows: Scores of each method in the order of the columns; None where there is none.
        note: One sentence on how the numbers were made.
    """

    title: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[float | None]]
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """A PNG file to show, with the words that say what one sees in it."""

    path: Path
    caption: str


def write_gallery(
    path: str | Path,
    sections: Sequence[Section],
    *,
    title: str = "Retrieval examples",
    lead: str = "",
    summary: Sequence[SummaryTable] = (),
    plots: Sequence[Plot] = (),
    footer: str = "",
) -> Path:
    """Write a self-contained HTML page; nothing is fetched when it is opened.

    Pictures are embedded as PNG thumbnails, plots as they are. All text is escaped.

    Args:
        path: The file; replaced when the new page is whole.
        sections: The examples.
        title: Title of the page.
        lead: A sentence or two below the title.
        summary: Tables of scores above the examples.
        plots: Plots between tables and examples.
        footer: Attribution of the pictures and the like.

    Returns:
        The path written.

    Raises:
        InputError: A picture cannot be read, or a table's row has not one score a column.
        StorageError: The disk refuses.
    """
    thumbnails: dict[Path, str] = {}
    body = [
        f"<header><h1>{escape(title)}</h1>{_paragraph(lead)}{_contents(sections)}</header><main>",
        *(_table(table) for table in summary),
        _plots(plots),
        *(part for n, section in enumerate(sections) for part in _section(n, section, thumbnails)),
        f"</main><footer>{escape(footer)}</footer>",
    ]
    with atomic_file(Path(path)) as file:
        file.write((_head(title) + "\n".join(body) + "\n</body>\n</html>\n").encode())
    return Path(path)


def _head(title: str) -> str:
    css = files("commonspace.demo").joinpath("gallery.css").read_text(encoding="utf-8")
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
    )


def _paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>" if text else ""


def _contents(sections: Sequence[Section]) -> str:
    links = (f'<a href="#s{n}">{escape(section.title)}</a>' for n, section in enumerate(sections))
    return f'<nav aria-label="Examples">{" ".join(links)}</nav>' if len(sections) > 1 else ""


def _table(table: SummaryTable) -> str:
    for name, scores in table.rows.items():
        if len(scores) != len(table.columns):
            raise InputError(
                f"summary table {table.title!r}: expected {len(table.columns)} scores (one a "
                f"column) for {name!r}, got {len(scores)}."
            )
    columns = zip(*table.rows.values(), strict=True)
    best = [max((s for s in column if s is not None), default=None) for column in columns]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.columns)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(_score(score, top) for score, top in zip(scores, best, strict=True))
        + "</tr>"
        for name, scores in table.rows.items()
    )
    return (
        f"<section><h2>{escape(table.title)}</h2>{_paragraph(table.note)}\n"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}">'
        f'<table><thead><tr><th scope="col">Method</th>{head}</tr></thead>'
        f"<tbody>\n{rows}\n</tbody></table></div></section>"
    )


def _score(score: float | None, best: float | None) -> str:
    if score is None:
        return "<td>&ndash;</td>"
    return f'<td class="best">{score:.3f}</td>' if score == best else f"<td>{score:.3f}</td>"


def _plots(plots: Sequence[Plot]) -> str:
    shown = "\n".join(
        f'<figure><img src="{_plot_uri(plot.path)}" alt="{escape(plot.caption)}">'
        f"<figcaption>{escape(plot.caption)}</figcaption></figure>"
        for plot in plots
    )
    return f'<section><h2>Plots</h2><div class="plots">\n{shown}\n</div></section>' if plots else ""


def _section(number: int, section: Section, thumbnails: dict[Path, str]) -> Iterator[str]:
    yield f'<section id="s{number}"><h2>{escape(section.title)}</h2>{_paragraph(section.note)}'
    for row in section.rows:
        yield f'<div class="row">{_item(row.query, "query", "", thumbnails)}<ol class="results">'
        for result in row.results:
            look = "yes" if result.relevant else "no"
            yield f"<li>{_item(result.item, look, _verdict(result), thumbnails)}</li>"
        yield "</ol></div>"
    yield "</section>"


def _item(item: Item, look: str, verdict: str, thumbnails: dict[Path, str]) -> str:
    lang = f' lang="{escape(item.lang)}"' if item.lang else ""
    if item.image is None:
        shown = f'<span class="word" dir="auto"{lang}>{escape(item.text)}</span>'
    else:
        source = _thumbnail(item.image, thumbnails)
        shown = f'<img src="{source}" alt="{escape(item.text)}"{lang} loading="lazy">'
    small = "".join(
        f'<span class="{name}">{escape(text)}</span>'
        for name, text in (("caption", item.caption), ("class", item.class_name))
        if text
    )
    return f'<div class="item {look}">{shown}{small}{verdict}</div>'


def _verdict(result: Result) -> str:
    mark, words = ("✓", "relevant") if result.relevant else ("✗", "not relevant")
    return (
        f'<span class="verdict"><b aria-hidden="true">{mark}</b>'
        f'<span class="hidden">{words}, score</span> {result.score:.3f}</span>'
    )


def _thumbnail(picture: Path | AnyArray, made: dict[Path, str]) -> str:
    if not isinstance(picture, Path):
        module = require("PIL.Image", extra="image", what="the gallery")
        return _small_png(module.fromarray(np.ascontiguousarray(picture)))
    path = picture
    if path not in made:
        module = require("PIL.Image", extra="image", what="the gallery")
        try:
            with module.open(path) as image:
                small = image.convert("RGBA")
        except (OSError, ValueError, SyntaxError, module.DecompressionBombError) as error:
            raise InputError(f"image {path}: not a picture, or damaged ({error}).") from error
        made[path] = _small_png(small)
    return made[path]


def _small_png(image: Image) -> str:
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    content = BytesIO()
    image.save(content, format="PNG", optimize=True)
    return _data_uri(content.getvalue())


def _plot_uri(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"plot {path}: cannot be read ({error.strerror}).") from error
    if not content.startswith(_PNG):
        raise InputError(f"plot {path}: expected a PNG file, got another format.")
    return _data_uri(content)


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")

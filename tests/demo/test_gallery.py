import base64
import re
from html.parser import HTMLParser

import pytest

from commonspace.demo import GalleryRow, Item, Plot, Result, Section, SummaryTable, write_gallery
from commonspace.errors import InputError, StorageError

Image = pytest.importorskip("PIL.Image")

HOSTILE = "<script>alert('1')</script>\" onload=\"x & </title>"
VOID = {"meta", "img", "link", "br"}


class Checker(HTMLParser):
    """Follows the tags, raises where one is closed that is not open, collects what is there."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.seen, self.attributes, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.attributes += [(tag, *attr) for attr in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.text.append(data)


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "big.png"
    Image.new("RGBA", (200, 100), (255, 0, 0, 128)).save(path)
    return path


def sections(picture, text="dog"):
    word, photo = Item(text, "animals", lang="en", caption="word"), Item(text, "food", picture)
    rows = [GalleryRow(word, [Result(photo, 0.5, True), Result(word, 0.25, False)])]
    return [Section("Word to picture", rows, note=text), Section(text, [GalleryRow(photo, [])])]


def written(path, picture, text="dog", **more):
    return write_gallery(path, sections(picture, text), **more).read_text(encoding="utf-8")


def test_page_is_well_formed_and_needs_nothing_else(tmp_path, picture):
    page = written(tmp_path / "page.html", picture)
    found = Checker(page)
    assert page.startswith("<!DOCTYPE html>")
    sources = [value for _, name, value in found.attributes if name in ("src", "href")]
    assert sources and all(value.startswith(("data:image/png", "#s")) for value in sources)
    assert "url(" not in page and "@import" not in page and "http://" not in page
    assert {"script", "link", "iframe"}.isdisjoint(found.seen)


def test_hostile_text_stays_text(tmp_path, picture):
    table = SummaryTable(HOSTILE, [HOSTILE], {HOSTILE: [0.5]}, note=HOSTILE)
    more = {"title": HOSTILE, "lead": HOSTILE, "footer": HOSTILE}
    plots = [Plot(picture, HOSTILE)]
    page = written(tmp_path / "page.html", picture, HOSTILE, summary=[table], plots=plots, **more)
    found = Checker(page)
    assert "script" not in found.seen and "<script" not in page
    assert not any(name.startswith("on") for _, name, _ in found.attributes)
    assert "".join(found.text).count(HOSTILE) >= 10
    assert ("img", "alt", HOSTILE) in found.attributes


def test_relevance_is_marked_by_symbol_and_words_and_score(tmp_path, picture):
    text = " ".join("".join(Checker(written(tmp_path / "p.html", picture)).text).split())
    assert "✓relevant, score 0.500" in text and "✗not relevant, score 0.250" in text


def test_every_picture_has_an_alternative_text(tmp_path, picture):
    page = written(tmp_path / "page.html", picture, plots=[Plot(picture, "a plot")])
    images = re.findall(r"<img [^>]*>", page)
    assert len(images) == 3 and all(re.search(r'alt="[^"]+"', tag) for tag in images)


def test_thumbnails_are_small_png(tmp_path, picture):
    page = written(tmp_path / "page.html", picture)
    content = base64.b64decode(re.search(r"base64,([^\"]+)", page).group(1))
    (tmp_path / "thumbnail.png").write_bytes(content)
    with Image.open(tmp_path / "thumbnail.png") as image:
        assert image.format == "PNG" and image.size == (72, 36)


def test_table_marks_the_best_and_shows_what_is_missing(tmp_path):
    table = SummaryTable("mAP", ["a", "b"], {"one": [0.25, None], "two": [0.5, None]})
    page = write_gallery(tmp_path / "page.html", [], summary=[table]).read_text(encoding="utf-8")
    Checker(page)
    assert '<td class="best">0.500</td>' in page and "<td>0.250</td>" in page and "&ndash;" in page
    with pytest.raises(InputError, match="expected 2 scores"):
        write_gallery(tmp_path / "p.html", [], summary=[SummaryTable("x", ["a", "b"], {"m": [1]})])


def test_same_input_same_bytes_and_replaced_whole(tmp_path, picture):
    path = tmp_path / "page.html"
    first = written(path, picture)
    assert written(path, picture) == first
    with pytest.raises(InputError, match=r"gone\.png"):
        write_gallery(path, sections(tmp_path / "gone.png"))
    assert path.read_text(encoding="utf-8") == first


def test_what_cannot_be_read_or_written_is_named(tmp_path, picture):
    (tmp_path / "words.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"words\.png: not a picture"):
        write_gallery(tmp_path / "page.html", sections(tmp_path / "words.png"))
    for name in ("words.png", "gone.png"):
        with pytest.raises(InputError, match=f"plot .*{name}"):
            write_gallery(tmp_path / "page.html", [], plots=[Plot(tmp_path / name, "plot")])
    with pytest.raises(StorageError):
        write_gallery(tmp_path / "words.png" / "page.html", [])

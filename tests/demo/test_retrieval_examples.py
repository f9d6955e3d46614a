"""The page of examples: who is asked, what is found, right or wrong, nothing unescaped."""

from __future__ import annotations

import re

import numpy as np
import pytest

from commonspace.data import Dataset
from commonspace.demo.examples import write_examples
from commonspace.errors import InputError, NotFoundError

Image = pytest.importorskip("PIL.Image")
N = 24
SHOWN = re.compile(r'<span class="word"[^>]*>(.*?)</span>|alt="(.*?)"')


class Model:
    """Vectors are the features themselves."""

    modalities = ("image", "text")
    encoders_ = property(lambda self: dict.fromkeys(self.modalities))

    def transform(self, modality, x):
        return x


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = (rng.random((N, 9)) < 0.3).astype(np.float32)
    y[0] = 0
    x = {m: rng.normal(size=(N, 6)).astype(np.float32) for m in ("image", "text")}
    ids = [f"<b>item {row}</b>" for row in range(N)]
    return Dataset.from_arrays(x, y, classes=[f"class & {k}" for k in range(9)], items=ids)


def page(path):
    return path.read_text(encoding="utf-8")


def test_results_are_in_order_and_marked_as_a_loop_would(data, tmp_path):
    html = page(write_examples(tmp_path / "page.html", Model(), data, queries=3, k=5, seed=1))
    sections = html.split("<section ")[1:]
    names = [("image", "image"), ("image", "text"), ("text", "image"), ("text", "text")]
    assert len(sections) == 4
    asked = []
    for section, (a, b) in zip(sections, names, strict=True):
        assert f"{a} → {b}" in section
        rows = section.split('<div class="row">')[1:]
        assert len(rows) == 3
        for row in rows:
            ids = [int(re.search(r"item (\d+)", "".join(m))[1]) for m in SHOWN.findall(row)]
            query, found = ids[0], ids[1:]
            asked.append((a, query))
            z, w = data.x(a), data.x(b)
            cosines = (w @ z[query]) / np.linalg.norm(w, axis=1)
            if a == b:
                cosines[query] = -np.inf
            assert found == np.argsort(-cosines)[:5].tolist()
            y = data.labels(a).dense()
            right = [bool((y[query] * y[item]).any()) for item in found]
            assert [mark == "✓" for mark in re.findall(r"[✓✗]", row)] == right
    assert "<b>item" not in html and "class &amp; " in html and "<script" not in html
    assert len({query for _, query in asked}) == 3, "the same items in every direction"


def test_raw_items_are_shown_in_place_of_features(data, tmp_path):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (N, 12, 12, 3), dtype=np.uint8)
    texts = np.array([f"words <i>{row}</i> " + "long " * 40 for row in range(N)])
    raw = Dataset.from_arrays(
        {"image": pictures, "text": texts}, None, items=data["text"].items.tolist()
    )
    path = write_examples(tmp_path / "a.html", Model(), data, shown=raw, queries=2, k=3)
    html = page(path)
    assert html.count("data:image/png;base64,") == 2 + 2 * 3 + 2 + 2 * 3 + 0
    assert "words &lt;i&gt;" in html and "…" in html and "<i>" not in html
    files = []
    for row in range(N):
        Image.fromarray(pictures[row]).save(tmp_path / f"{row}.png")
        files.append(str(tmp_path / f"{row}.png"))
    paths = Dataset.from_arrays({"image": np.array(files)}, None, items=raw["text"].items.tolist())
    other = write_examples(tmp_path / "b.html", Model(), data, shown=paths, queries=2, k=3)
    assert page(other).count("data:image/png;base64,") == 16


def test_one_class_in_turn_and_seeds(data, tmp_path):
    single = Dataset.from_arrays(
        {"image": data.x("image")}, np.arange(N) % 3, items=data["text"].items.tolist()
    )
    html = page(write_examples(tmp_path / "a.html", Model(), single, queries=3, k=2, seed=0))
    rows = html.split('<div class="row">')[1:]
    classes = [re.search(r'<span class="class">(.*?)</span>', row)[1] for row in rows]
    assert sorted(classes) == ["0", "1", "2"]
    other = page(write_examples(tmp_path / "b.html", Model(), single, queries=3, k=2, seed=3))
    again = page(write_examples(tmp_path / "c.html", Model(), single, queries=3, k=2, seed=0))
    assert again == html != other


def test_a_gallery_of_one_item_has_a_result_and_unknown_rows_have_no_mark(data, tmp_path):
    x = {"image": data.x("image"), "text": data.x("text")[:1]}
    y = {"image": ["b", "b", None, *"a" * (N - 3)], "text": ["b"]}
    few = Dataset.from_arrays(x, y, classes=["a", "b"])
    model = Model()
    asked = []
    model.transform = lambda modality, rows: asked.append((modality, len(rows))) or rows
    html = page(write_examples(tmp_path / "a.html", model, few, queries=2, k=N))
    assert asked == [("image", N - 1), ("text", 1)]
    sections = dict(zip(("ii", "it", "ti", "tt"), html.split("<section ")[1:], strict=True))
    marks = {name: len(re.findall(r"[✓✗]", section)) for name, section in sections.items()}
    assert marks == {"ii": 2 * (N - 2), "it": 2, "ti": N - 1, "tt": 0}


def test_mistakes_are_named(data, tmp_path):
    path = tmp_path / "page.html"
    with pytest.raises(NotFoundError, match="'audio'"):
        write_examples(path, Model(), data, modalities=["audio"])
    with pytest.raises(InputError, match="queries: expected a whole number from 1"):
        write_examples(path, Model(), data, queries=0)
    unknown = Dataset.from_arrays({"image": data.x("image")}, None)
    with pytest.raises(InputError, match="'image': expected known labels"):
        write_examples(path, Model(), unknown)
    assert not path.exists()

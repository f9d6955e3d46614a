"""Recipes run: figures against plain calculations, refusals, and all forms of one table."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import commonspace as cs
from commonspace.benchmarks import contestants
from commonspace.benchmarks.reproduce import formats, load_recipe, reproduce, studies
from commonspace.benchmarks.reproduce.fits import SideBySide
from commonspace.benchmarks.reproduce.scoring import prepared
from commonspace.benchmarks.reproduce.site import write_pages
from commonspace.benchmarks.reproduce.statistics import shares, standings
from commonspace.benchmarks.scoring import (
    Parts,
    check_one_protocol,
    fit_and_score,
    merged,
    plain_score,
)
from commonspace.data import Splits, make_dataset
from commonspace.errors import InputError, ProtocolMismatchError
from commonspace.evaluation import Protocol, Report, evaluate, holm
from commonspace.methods import Ridge
from commonspace.training import Run

HEAD = 'format = 1\ntitle = "Tiny"\npaper = "none"\ntable = "a table"\nstudy = true\n'
TINY = "dim = 8, hidden = [8], epochs = 2, batch_size = 16"
ROOT = Path(__file__).parents[2]


class TwoRidge(Ridge):
    """Ridge for two modalities, one class a row, learned from pairs."""

    max_modalities = 2
    multi_label = False
    needs_pairs = True

    def __init__(self, *, dim=16, pairing="items", random_state=0):
        super().__init__(dim=dim, random_state=random_state)
        self.pairing = pairing


class Rounding(Ridge):
    """Ridge whose codes are signs."""

    emits_codes = True

    def __init__(self, *, dim=16, random_state=0):
        super().__init__(dim=dim, random_state=random_state)

    def encode(self, modality, x):
        return (self.transform(modality, x) > 0).astype(np.uint8)

    def decode(self, codes):
        return codes.astype(np.float32) - 0.5


class Broken(Ridge):
    def _solve(self, name, part, several):
        raise ZeroDivisionError("a mistake")


@pytest.fixture(autouse=True)
def guests(monkeypatch):
    for cls in (TwoRidge, Rounding, Broken):
        monkeypatch.setitem(
            contestants.METHODS,
            cls.__name__,
            lambda seed, cls=cls, **s: cls(**s, random_state=seed),
        )


@pytest.fixture
def write(tmp_path, splits):
    """Write a recipe over the tiny set; return its path."""
    splits.save(tmp_path / "tiny")

    def written(text: str, data: str | None = None) -> Path:
        path = tmp_path / "mine.toml"
        path.write_text(f"{HEAD}data = '{data or tmp_path / 'tiny'}'\n{text}")
        return path

    return written


def made(path: Path, **options) -> dict:
    (table,) = reproduce([load_recipe(path)], cells=path.parent / "cells", jobs=1, **options)
    return table


def by_label(table: dict) -> dict:
    return {row["label"]: row for row in table["rows"]}


def test_a_tiny_table_end_to_end(write, splits):
    path = write(
        "protocol = {within = true}\n[[methods]]\nname = 'Ridge'\nsettings = {dim = 16}\n"
        f"[[methods]]\nname = 'SDML'\nsettings = {{{TINY}, landmarks = 0}}"
    )
    said: list[str] = []
    table = made(path, seeds=2, say=said.append)
    rows = by_label(table)
    assert list(rows) == ["chance", "SM", "Ridge", "SDML"]  # the floor is in every table
    assert [row["seeds"] for row in rows.values()] == [None, 1, 1, 2]
    model = Ridge(dim=16).fit(splits["train"], run=Run(jobs=1))
    report = evaluate(model, splits["test"], protocol=Protocol(within=True))
    cells = rows["Ridge"]["cells"]
    assert cells["mean"]["ours"] == report.mean_ap
    assert cells["within"]["ours"] == report.mean_ap_within
    assert cells["image->audio"]["ours"] == report["image", "audio"].mean_ap
    assert cells["image->audio"]["low"] <= report["image", "audio"].mean_ap
    for key in ("mean", "within", "all"):
        assert cells[key]["low"] < cells[key]["ours"] < cells[key]["high"]
    assert cells["all"]["ours"] == pytest.approx(
        np.mean([s.mean_ap for s in report.scores.values()])
    )
    assert rows["SDML"]["cells"]["mean"]["sd"] > 0 and cells["mean"]["sd"] is None
    assert rows["SM"]["cells"]["seconds"]["ours"] > 0
    assert sum(bool(row["best"]) for row in rows.values()) == 1
    assert rows["chance"]["tied"] is False and rows["chance"]["p_holm"] < 0.01
    assert len(said) == 4  # cells: SM, Ridge, two of SDML
    again = made(path, seeds=2, say=said.append)
    assert len(said) == 4 and again["rows"] == table["rows"]  # taken up again


def naive_map(z_query, z_gallery, y_query, y_gallery) -> float:
    total = 0.0
    for z, y in zip(z_query, y_query, strict=True):
        cosine = z_gallery @ z / (np.linalg.norm(z_gallery, axis=1) * np.linalg.norm(z))
        hits, found = 0, 0.0
        for rank, at in enumerate(np.argsort(-cosine), start=1):
            if y_gallery[at] == y:
                hits += 1
                found += hits / rank
        total += found / hits
    return total / len(z_query)


def test_one_model_a_pair_against_plain_loops(write, splits):
    train, test = splits["train"], splits["test"]
    expected = {}
    for pair in itertools.combinations(train.modalities, 2):
        model = Ridge(dim=16).fit(train.select(pair))
        z = {name: model.transform(name, test.x(name)).astype(np.float64) for name in pair}
        y = {name: test.labels(name).codes for name in pair}
        for a, b in itertools.permutations(pair):
            expected[f"{a}->{b}"] = naive_map(z[a], z[b], y[a], y[b])
    table = made(write("protocol = {within = true}\n[[methods]]\nname = 'TwoRidge'"), seeds=1)
    row = by_label(table)["TwoRidge"]
    for direction, value in expected.items():
        assert row["cells"][direction]["ours"] == pytest.approx(value, abs=1e-9)
    assert row["cells"]["mean"]["ours"] == pytest.approx(np.mean(list(expected.values())))
    assert row["cells"]["within"]["ours"] is None  # of which model?
    assert row["cells"]["image->image"]["ours"] is None
    assert row["notes"] == ["one model a pair of modalities (3)"]
    assert by_label(table)["SM"]["cells"]["image->image"]["ours"] is not None


def test_two_modalities_keep_their_figures_within(splits):
    parts = Parts(splits["train"].select(["image", "text"]), None, splits["test"])
    parts = parts.select(["image", "text"])
    found = fit_and_score(TwoRidge(), parts, plain_score(Protocol(within=True)))
    assert set(found.report.scores) >= {("image", "image"), ("text", "text")}
    assert found.seconds > 0


def test_reports_of_different_protocols_are_refused(splits):
    model = Ridge(dim=16).fit(splits["train"])
    data = splits["test"]
    whole = evaluate(model, data.select(["image", "text"]), n_bootstrap=0)
    first = evaluate(model, data.select(["image", "audio"]), k=5, n_bootstrap=0)
    with pytest.raises(ProtocolMismatchError, match="k is None for model 1 and 5 for model 2"):
        merged([whole, first])
    with pytest.raises(InputError, match="expected one model, got two"):
        merged([whole, whole])
    inner = evaluate(model, data, protocol=Protocol(metric="inner"), n_bootstrap=0)
    with pytest.raises(ProtocolMismatchError, match="metric"):
        check_one_protocol({"a": whole, "b": inner})
    check_one_protocol({"a": whole, "b": inner}, metrics=True)  # where the label says it
    rows = {name: np.arange(9) for name in data}
    fewer = evaluate(model, data.take(rows), n_bootstrap=0)
    with pytest.raises(ProtocolMismatchError, match="same rows"):
        check_one_protocol({"a": whole, "b": fewer})


def test_what_a_method_cannot_take_is_said_and_not_faked(write, tmp_path):
    several = make_dataset(
        n_items=60, n_classes=3, dims={"image": 8, "text": 6}, label_kind="multi", seed=1
    )
    several.save(tmp_path / "several")
    text = "[[methods]]\nname = 'TwoRidge'\n[[methods]]\nname = 'Ridge'\ncodes = true"
    rows = by_label(made(write(text, str(tmp_path / "several")), seeds=1))
    assert rows["TwoRidge"]["notes"] == ["not for several labels"]
    assert rows["Ridge"]["notes"] == ["has no codes"]
    for name in ("TwoRidge", "Ridge"):
        assert rows[name]["status"] == "left out"
        assert all(cell["ours"] is None for cell in rows[name]["cells"].values())


def test_rows_without_pairs_are_paired_by_class_and_said_so():
    apart = make_dataset(n_items=40, n_classes=2, dims={"a": 4, "b": 3}, paired=False)["train"]
    learner, notes = prepared(TwoRidge(), apart)
    assert learner.pairing == "classes" and "no pairs" in notes[0]
    together = make_dataset(n_items=40, n_classes=2, dims={"a": 4, "b": 3})["train"]
    learner, notes = prepared(TwoRidge(), together)
    assert learner.pairing == "items" and not notes


def test_codes_are_searched_by_floats(write, splits):
    text = "protocol = {k = 5, divide_by = 'found'}\n"
    text += "[[methods]]\nname = 'Rounding'\ncodes = true\nmetric = 'inner'"
    row = by_label(made(write(text), seeds=1))["Rounding"]
    model, test = Rounding().fit(splits["train"]), splits["test"]
    z = model.transform("image", test.x("image"))
    signs = np.where(model.transform("text", test.x("text")) > 0, 0.5, -0.5).astype(np.float32)
    protocol = Protocol(k=5, divide_by="found", metric="inner")
    pair = test.select(["image", "text"])
    # As if signs were the vectors of text: only image->text asks them with floats.
    report = evaluate({"image": z, "text": signs}, pair, protocol=protocol)
    assert row["cells"]["image->text"]["ours"] == report["image", "text"].mean_ap


class Weighted(Ridge):
    """Ridge whose vectors depend on the random state."""

    def transform(self, modality, x):
        z = super().transform(modality, x)
        seed = [self.random_state, x.shape[1]]  # other weights in each modality: it ranks badly
        weights = np.random.default_rng(seed).normal(0, 1, z.shape[1])
        return (z * weights).astype(np.float32)


def test_fits_side_by_side_rank_by_the_mean_of_their_cosines(write, splits, monkeypatch):
    monkeypatch.setitem(contestants.METHODS, "Weighted", lambda seed: Weighted(random_state=seed))
    text = "[[methods]]\nname = 'Weighted'\n[[methods]]\nname = 'Weighted'\nfits = 3\n"
    rows = by_label(made(write(text), seeds=2))
    found = []
    for state in range(6):
        model, test = Weighted(random_state=state).fit(splits["train"]), splits["test"]
        image, text = (model.transform(name, test.x(name)) for name in ("image", "text"))
        found.append(cosines(image, text))
    y = [test.labels(name).codes for name in ("image", "text")]
    # The random states of the second seed are others than those of the first.
    expected = [naive_mean_ap(np.mean(found[at : at + 3], axis=0), *y) for at in (0, 3)]
    row = rows["Weighted, 3 fits"]
    assert expected[0] != expected[1]
    assert row["cells"]["image->text"]["ours"] == pytest.approx(np.mean(expected), abs=1e-9)
    assert row["notes"] == ["3 fits of other random states, mean of their cosines"]


def test_a_fit_that_says_nothing_of_a_row_adds_nothing():
    class Silent(Ridge):
        def fit(self, train, valid=None, *, run=None):
            return self

        def transform(self, modality, x):
            return np.float32([[0, 0], [3, 4]]) * (self.random_state + 1)

    z = SideBySide(Silent(random_state=1), 2).fit(None).transform("any", None)
    assert z == pytest.approx(np.float32([[0, 0, 0, 0], [0.6, 0.8, 0.6, 0.8]]) / np.sqrt(2))


def test_fits_of_a_method_for_two_modalities_are_of_one_pair(write, splits):
    text = "[[methods]]\nname = 'TwoRidge'\n[[methods]]\nname = 'TwoRidge'\nfits = 2\n"
    rows = by_label(made(write(text), seeds=1))
    one, two = rows["TwoRidge"], rows["TwoRidge, 2 fits"]
    assert two["notes"][0] == "one model a pair of modalities (3)"
    for key in ("image->text", "audio->image", "mean"):  # a closed form twice is itself
        assert two["cells"][key]["ours"] == pytest.approx(one["cells"][key]["ours"])


def cosines(a, b):
    out = np.zeros((len(a), len(b)))
    for i, j in itertools.product(range(len(a)), range(len(b))):
        x, y = a[i].astype(np.float64), b[j].astype(np.float64)
        out[i, j] = x @ y / np.sqrt((x @ x) * (y @ y))
    return out


def naive_mean_ap(scores, y_query, y_gallery) -> float:
    from sklearn.metrics import average_precision_score

    each = zip(scores, y_query, strict=True)
    return float(np.mean([average_precision_score(y_gallery == own, row) for row, own in each]))


def test_a_gallery_of_its_own_is_searched(write, splits, tmp_path):
    parts = {**splits, "retrieval": splits["train"]}
    Splits(parts, "both", {}).save(tmp_path / "both")
    text = "modalities = ['image', 'text']\ngallery = 'retrieval'\n[[methods]]\nname = 'Rounding'\n"
    text += "[[methods]]\nname = 'Rounding'\nlabel = 'codes'\ncodes = true"
    rows = by_label(made(write(text, str(tmp_path / "both")), seeds=1))
    train, test = (splits[name].select(["image", "text"]) for name in ("train", "test"))
    model = Rounding().fit(train)
    report = evaluate(model, test, gallery=train)
    assert rows["Rounding"]["cells"]["mean"]["ours"] == report.mean_ap
    z = model.transform("image", test.x("image")).astype(np.float64)
    signs = np.where(model.transform("text", train.x("text")) > 0, 0.5, -0.5)
    expected = asked_with_floats(z, signs, test, train)
    assert rows["codes"]["cells"]["image->text"]["ours"] == pytest.approx(expected)


def asked_with_floats(z, signs, test, train) -> float:
    from commonspace.evaluation import score_vectors

    y, given = test.labels("image").dense(), train.labels("text").dense()
    vectors = (z.astype(np.float32), signs.astype(np.float32))
    return score_vectors(*vectors, y, given, protocol=Protocol()).mean_ap


def test_shares_sum_to_the_mean_and_keep_items_together(splits):
    test = splits["test"]
    model = Ridge(dim=16).fit(splits["train"])
    report = evaluate(model, test, n_bootstrap=0)
    items = {name: part.items for name, part in test.items()}
    found = shares([report, report], items, list(report.scores))
    assert found.mean == pytest.approx(report.mean_ap)
    assert len(found.values) == len(test["image"])  # the same items in all modalities
    item = test["image"].items[3]
    own = sum(score.ap[3] / len(score.ap) for score in report.scores.values()) / 6
    assert found.values[sorted(items["image"]).index(item)] == pytest.approx(own)
    low, high = found.interval()
    assert low < report.mean_ap < high
    with pytest.raises(InputError, match="one a query"):
        shares([Report.from_dict(report.to_dict())], items, list(report.scores))


def test_intervals_of_items_in_unequal_numbers_of_kinds():
    """Against the normal limit: sums over kinds resampled apart add their variances."""
    rng = np.random.default_rng(3)
    sizes, spreads = (300, 40, 700), (1.0, 6.0, 0.2)
    parts = [rng.normal(at, s, n) for at, (n, s) in enumerate(zip(sizes, spreads, strict=True))]
    kinds = np.repeat(np.arange(3), sizes)
    order = rng.permutation(len(kinds))
    found = as_shares(np.concatenate(parts)[order], kinds[order])
    low, high = found.interval()
    spread = np.sqrt(sum(len(part) * part.var() for part in parts))
    assert (high - low) / 2 == pytest.approx(1.96 * spread, rel=0.06)
    assert (high + low) / 2 == pytest.approx(found.mean, abs=0.1 * spread)
    together = as_shares(found.values, np.zeros(len(kinds), int)).interval()
    assert together[1] - together[0] > 1.1 * (high - low)  # kinds lie apart: not one sample


def test_shares_of_modalities_with_unequal_items_are_resampled_by_what_they_ask(splits):
    """Items of one modality alone, and of both, are kinds of their own."""
    test = splits["test"].select(["image", "text"])
    rows = {"image": np.arange(len(test["image"])), "text": np.arange(12)}
    part = test.take(rows)
    report = evaluate(Ridge(dim=16).fit(splits["train"].select(["image", "text"])), part)
    items = {name: each.items for name, each in part.items()}
    found = shares([report], items, list(report.scores))
    assert found.mean == pytest.approx(report.mean_ap)
    both = set(items["image"]) & set(items["text"])
    assert sorted(np.bincount(found.kinds)) == sorted([len(both), len(items["image"]) - len(both)])
    rng, sums = np.random.default_rng(1), []
    at = {name: {item: i for i, item in enumerate(items[name])} for name in items}
    names = [sorted(both), sorted(set(items["image"]) - both)]
    for _ in range(2000):  # items are drawn, and each brings all that it asks
        total = 0.0
        for some in names:
            for item in rng.choice(some, len(some)):
                for (a, _), score in report.scores.items():
                    total += score.ap[at[a][item]] / len(score.ap) / 2 if item in at[a] else 0.0
        sums.append(total)
    low, high = np.quantile(sums, [0.025, 0.975])
    assert found.interval() == pytest.approx((low, high), abs=0.15 * (high - low))


def test_standings_against_plain_resampling():
    rng = np.random.default_rng(0)
    base = rng.normal(size=12)
    rows = {"a": base, "b": base - 0.02 + 0.1 * rng.normal(size=12), "c": base - 1}
    kinds = np.zeros(12, int)
    found = standings({name: as_shares(values, kinds) for name, values in rows.items()})
    signs = np.array(list(itertools.product([1, -1], repeat=12)))
    order = sorted(rows, key=lambda name: -rows[name].sum())
    p = []
    for name in order[1:]:
        gap = rows[order[0]] - rows[name]
        p.append(np.mean(np.abs(signs @ gap) >= abs(gap.sum()) - 1e-9))
    corrected = holm(p)
    assert found[order[0]].best and found[order[0]].against == order[1]
    for name, raw, adjusted in zip(order[1:], p, corrected, strict=True):
        assert found[name].p == pytest.approx(raw)
        assert found[name].p_holm == pytest.approx(adjusted)
        assert found[name].tied == (adjusted > 0.05)


def as_shares(values, kinds):
    from commonspace.benchmarks.reproduce.statistics import Shares

    return Shares(values, kinds)


PUBLISHED = """tolerance = 0.1
differs = ["other features", "other split"]
[[methods]]
name = "Ridge"
differs = "another strength"
[published]
source = "Table 9"
columns = ["image->text", "mean"]
[published.rows]
Ridge = [0.5, 0.0]
CMSSH = [0.25, nan]
[published.doubtful]
CMSSH = "a slip"
"""


def test_a_papers_table_has_deviations_and_reasons(write):
    path = write("modalities = ['image', 'text']\n" + PUBLISHED)
    path.write_text(path.read_text().replace("study = true\n", ""))
    table = made(path, seeds=1)
    row = by_label(table)["Ridge"]
    cell = row["cells"]["mean"]
    assert cell["paper"] == 0.0 and cell["deviation"] == cell["ours"] > 0.1
    assert cell["within_tolerance"] is False
    assert row["why"] == ["other features", "other split", "another strength"]
    paper = by_label(table)["CMSSH"]
    assert paper["status"] == "in the paper alone" and paper["cells"]["mean"]["paper"] is None
    (alone,) = reproduce([load_recipe(path).narrowed([], ["SM"])], cells=path.parent / "cells")
    status = {label: row["status"] for label, row in by_label(alone).items()}
    assert status["Ridge"] == "not run" and status["CMSSH"] == "in the paper alone"
    text = formats.to_markdown(table)
    for word in ("published numbers: Table 9", "a: other features", "| 0.5 |", "c: another"):
        assert word in text


def test_every_reason_has_a_letter_of_its_own():
    table = {"rows": [{"why": [f"reason {at}" for at in range(26 * 27 + 1)]}]}
    letters = list(formats._letters(table).values())
    assert [letters[at] for at in (0, 25, 26, 27, 51, 52, 701, 702)] == (
        ["a", "z", "aa", "ab", "az", "ba", "zz", "aaa"]
    )
    assert len(set(letters)) == len(letters)


def test_all_forms_say_the_same(write, tmp_path):
    path = write("modalities = ['image', 'text']\n[[methods]]\nname = 'Ridge'")
    table = made(path, seeds=1, out=tmp_path / "out")
    stored = json.loads((tmp_path / "out" / "mine.tiny.json").read_text())
    assert stored == json.loads(json.dumps(table))
    lines = list(csv.DictReader(io.StringIO((tmp_path / "out" / "mine.tiny.csv").read_text())))
    assert len(lines) == len(table["rows"]) * len(table["columns"])
    rows = by_label(table)
    for line in lines:
        cell = rows[line["method"]]["cells"][line["column"]]
        for key in ("ours", "low", "high"):
            assert (float(line[key]) if line[key] else None) == cell[key]
    markdown = (tmp_path / "out" / "mine.tiny.md").read_text()
    grid = [line for line in markdown.splitlines() if line.startswith("|")]
    header, _, *body = [[cell.strip(" *") for cell in line.strip("|").split("|")] for line in grid]
    shown = {line[0]: dict(zip(header, line, strict=True)) for line in body}
    assert set(shown) == set(rows)
    for name, line in shown.items():
        assert line["image→text"] == f"{rows[name]['cells']['image->text']['ours']:.4f}"
        assert line["mean mAP"] == f"{rows[name]['cells']['mean']['ours']:.4f}"
    best = next(row["label"] for row in table["rows"] if row["best"])
    assert f"| **{best}** |" in markdown
    assert "Study on other data" in markdown


def test_losses_costs_of_growing_and_orders(write, monkeypatch, splits):
    entry = f"[[methods]]\nname = 'SDML'\nsettings = {{{TINY}}}\n"
    table = made(write("kind = 'convergence'\n" + entry), seeds=1)
    model = cs.SDML(dim=8, hidden=(8,), epochs=2, batch_size=16)
    losses = model.fit(splits["train"], run=Run(jobs=1)).history_
    name, epochs = next(iter(losses.items()))
    key = next(key for key in epochs[0] if "loss" in key)
    row = by_label(table)[f"SDML, {name}, {key}"]
    assert row["cells"]["epoch 2"]["ours"] == pytest.approx(epochs[1][key])
    grown = made(write("kind = 'growth'\n" + entry + "[[methods]]\nname = 'TwoRidge'"), seeds=1)
    rows = by_label(grown)
    assert rows["SDML, the new one alone"]["cells"]["audio seconds"]["ours"] > 0
    assert rows["TwoRidge"]["status"] == "left out"
    few = {name: studies.CONTESTANTS[name] for name in ("hold", "finetune")}
    monkeypatch.setattr(studies, "CONTESTANTS", few)
    options = "options = {orders = 2, rows = 20, test_rows = 10, memory = 9, steps = 3}"
    rows = by_label(made(write(f"kind = 'orders'\n{options}"), seeds=1))
    assert list(rows) == ["chance", "SM", "hold", "finetune"]
    assert rows["finetune"]["seeds"] == 2 and 0 < rows["hold"]["cells"]["final"]["ours"] <= 1
    with pytest.raises(InputError, match="'row'"):
        made(write("kind = 'orders'\noptions = {row = 3}"), seeds=1)


def test_pages_with_pictures_build_strictly(write, tmp_path):
    sweep = "[[methods]]\nname = 'Ridge'\nsweep = {dim = [3, 16]}"
    results = tmp_path / "results"
    options = "curves = true\nscopes = [5, 500]\nmodalities = ['image', 'text']\n"
    made(write(options + sweep), seeds=1, out=results)  # more ranks than there are items
    docs = tmp_path / "docs"
    shutil.copytree(ROOT / "docs", docs, ignore=shutil.ignore_patterns("results"))
    pages = write_pages(results, docs / "results")
    assert [page.name for page in pages] == ["index.md", "mine.md"]
    pictures = {path.name for path in (docs / "results" / "figures").rglob("*") if path.is_file()}
    assert "mine.tiny.sweep.svg" in pictures and "pr_image_text.png" in pictures
    before = (docs / "results" / "figures" / "mine.tiny.sweep.svg").read_bytes()
    write_pages(results, docs / "results")
    assert (docs / "results" / "figures" / "mine.tiny.sweep.svg").read_bytes() == before
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-q"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    html = (tmp_path / "site" / "results" / "mine.html").read_text()
    assert "Study on other data" in html and "googleapis" not in html


def test_without_results_there_are_no_pages(tmp_path):
    with pytest.raises(InputError, match="reproduce all"):
        write_pages(tmp_path, tmp_path / "docs")


def test_a_summary_counts_fits_of_all_random_states_and_the_run_apart():
    def row(name, seconds, seeds, best):
        cells = {"mean": {"ours": 0.5}, "seconds": {"ours": seconds}}
        label = {"label": name, "name": name, "best": best, "tied": False, "p_holm": 0.01}
        return {**label, "cells": cells, "seeds": seeds, "status": "scored", "settings": {}}

    head = {"recipe": "one", "set": "here", "study": True, "skipped": None}
    rows = [row("chance", None, 1, False), row("SM", 2.0, 1, False), row("SDML", 30.0, 3, True)]
    made = {**head, "rows": rows, "wall_seconds": 6.0}
    absent = {**head, "set": "gone", "skipped": "it needs a file", "rows": []}
    header, lines = formats.summary([made, absent])
    assert all(len(line) == len(header) for line in lines)
    assert lines[0][-2:] == ["92", "6"] and lines[1][3] == "skipped"
    assert formats.totals([made, absent]) == (
        "1 tables made, 1 skipped for want of data; their fits 1.5 min, this run 0.1 min."
    )


def test_the_order_of_methods_is_held_against_the_published_one():
    def table(places):
        rows = [
            {"name": name, "label": name, "cells": {"mean": {"paper": paper, "ours": ours}}}
            for name, paper, ours in places
        ]
        return {"rows": rows}

    published = {"A": 0.5, "B": 0.4, "C": 0.3, "D": 0.2, "E": 0.1}
    same = [(name, score, score / 2) for name, score in published.items()]
    extra = [("A.paper", 0.5, 0.0), ("F", None, 0.9), ("G", 0.05, None)]
    printed_wrong = {"name": "H", "label": "H", "doubtful": "its columns say otherwise"}
    whole = table([*same, *extra])
    whole["rows"].append({**printed_wrong, "cells": {"mean": {"paper": 0.01, "ours": 0.9}}})
    found = formats.order_kept(whole)
    assert found == "Order of 5 methods against the published one: Kendall's tau 1.00."
    turned = [("A", 0.5, 0.06), *same[1:]]  # A comes after B, C and D: 3 pairs of 10
    found = formats.order_kept(table(turned))
    assert "tau 0.40. 3 places apart or more: A (1 there, 4 here)." in found
    assert formats.order_kept(table(same[:4])) is None

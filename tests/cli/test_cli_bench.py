"""The benchmarks on problems that are tiny."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from command_line import ran, run
from scipy.stats import ttest_1samp

from commonspace.benchmarks import ablation, cells, contestants, sequential, train
from commonspace.benchmarks.sequential_tests import t_interval
from commonspace.data import Dataset, Splits, make_dataset
from commonspace.methods import SDML, sdml_job, sdml_posterior
from commonspace.networks import posterior

SMALL = ("--rows", 120, "--features", "image=6", "--features", "text=4", "--classes", 3)
QUICK = ("--dim", 8, "--width", 16, "--epochs", 3, "--repeats", 1, "--effort", 0.01)


@pytest.fixture(scope="module")
def timed():
    return ran("bench", "train", *SMALL, *QUICK)


def test_train_has_the_form_of_all_benchmarks(timed):
    assert set(timed) == {"bench", "machine", "rows", "ratios"} and timed["bench"] == "train"
    methods = [row["method"] for row in timed["rows"]]
    assert methods[:2] == ["SDML.paper, threads=1", "released, threads=1"]
    assert methods[-2:] == ["SDML, effort 0.01", "released, 200 epochs (extrapolated)"]
    for row in timed["rows"]:
        assert row["wall_seconds"] > 0 and row["cpu_seconds"] > 0
    assert all(0 < row["share_of_gemm_peak"] < 1 for row in timed["rows"] if row["unit"] == "epoch")


def test_train_ratios_are_the_quotients_of_its_rows(timed):
    rows, ratios = timed["rows"], timed["ratios"]
    for kind in ("wall", "cpu"):
        best = min(row[f"{kind}_seconds"] for row in rows[1:-2])
        assert ratios[f"{kind}_epoch"] == pytest.approx(best / rows[0][f"{kind}_seconds"])
        fit = rows[-2][f"{kind}_seconds"]
        assert ratios[f"{kind}_default_fit"] == pytest.approx(200 * best / fit)


def test_train_times_one_and_the_same_training(timed):
    """From the same weights and batches the released loop shows our losses, and not others."""
    assert 0 <= timed["ratios"]["max_loss_difference"] < 1e-5


def test_train_refuses_to_time_another_training(monkeypatch):
    monkeypatch.setattr(train, "RELEASED_RATES", {"image": 1e-2, "*": 1e-2})
    done = run("bench", "train", *SMALL, *QUICK)
    assert done.code != 0 and "losses differ" in done.err


@pytest.mark.parametrize("features", ["image", "image=", "image=x", "image=0", "=3"])
def test_train_names_a_wrong_width(features):
    done = run("bench", "train", "--features", features)
    assert done.code == 2 and "--features" in done.err


def test_flops_are_counted_layer_by_layer():
    """2-3-2 and back, two batches of 100: forward 4 products, backward 8 but the first."""
    data = train._draw(250, {"image": 2}, 2, 0, 0)
    problem = train.Problem(data, data, dim=2, hidden=(3,), epochs=2, seed=0)
    forward = 2 * 200 * (2 * 3 + 3 * 2 + 2 * 3 + 3 * 2)
    assert train._flops(problem, "image") == 3 * forward - 2 * 200 * 2 * 3


@pytest.fixture
def tiny_recipes(monkeypatch, splits, tmp_path):
    """Networks of a few units, and a data set in a folder."""
    splits.save(tmp_path / "tiny")
    for name, learner in (("SDML", SDML), ("SDML.paper", SDML.paper)):
        small = {"dim": 8, "hidden": (8,), "epochs": 2, "batch_size": 16}
        monkeypatch.setitem(
            contestants.METHODS,
            name,
            lambda seed, learner=learner, small=small: learner(random_state=seed, **small),
        )
    return tmp_path / "tiny"


def asked(folder, *more):
    methods = (arg for name in ("SM", "SDML", "SDML.paper") for arg in ("--method", name))
    cells = ("--cells", folder.parent / "cells")
    return ("bench", "recipe", "--set", folder, *methods, "--seeds", 2, "--jobs", 1, *cells, *more)


def test_recipe_fills_a_table_and_tests_it(tiny_recipes):
    done = run(*asked(tiny_recipes, "--json"))
    assert done.code == 0, done.err
    found = done.json
    rows = {row["method"]: row for row in found["rows"]}
    assert list(rows) == ["chance", "SM", "SDML", "SDML.paper"]
    assert [row["seeds"] for row in rows.values()] == [1, 1, 2, 2]
    assert rows["SM"]["mean_ap"] > rows["chance"]["mean_ap"] and rows["SM"]["sd"] == 0
    assert [test["against"] for test in found["tests"]] == ["SM", "SDML.paper"]
    for test in found["tests"]:
        assert 0 < test["p"] <= test["p_holm"] <= 1 and np.isfinite(test["difference"])
    assert len(done.err.splitlines()) == 5 and "SDML-1: " in done.err  # 1 + 2 + 2 cells


def test_recipe_keeps_finished_cells_and_prints_two_tables(tiny_recipes):
    first = run(*asked(tiny_recipes))
    again = run(*asked(tiny_recipes))
    assert first.code == again.code == 0 and first.err and not again.err
    assert first.out == again.out
    for word in ("chance", "mean_ap", "SDML.paper", "against", "p_holm"):
        assert word in first.out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(("--method", "SDLM"), "SDML"), (("--set", "wikipedai", "--method", "SM"), "wikipedai")],
)
def test_recipe_names_what_it_does_not_know(arguments, word, tmp_path):
    done = run("bench", "recipe", *arguments, "--data-root", tmp_path, "--cells", tmp_path / "c")
    assert done.code == 2 and word in done.err


@pytest.fixture
def tiny_ablation(monkeypatch, tmp_path):
    """A problem that nothing solves, so that every part of a recipe shows.

    Of each modality most features are faint and say nothing: they are better left so.
    """
    data = make_dataset(n_items=120, n_classes=4, dims={"image": 8, "text": 6}, noise=2.0)
    rng = np.random.default_rng(0)
    parts = {}
    for split, part in data.items():
        faint = rng.normal(size=(len(part["image"].x), 40)) / 20
        x = {name: np.column_stack([modality.x, faint]) for name, modality in part.items()}
        parts[split] = Dataset.from_arrays(x, labels=part["image"].labels)
    Splits(parts).save(tmp_path / "tiny")
    small = {"dim": 64, "hidden": (8,), "effort": 0.1, "learning_rate": 0.03, "members": 1}
    monkeypatch.setitem(ablation.PRESETS, "SDML.fast", lambda **more: SDML(**{**small, **more}))
    return tmp_path / "tiny"


def test_ablation_takes_out_one_part_at_a_time(tiny_ablation, tmp_path):
    cells = ("--cells", tmp_path / "cells")
    parts = [arg for name in ablation.FACTORS for arg in ("--without", name)]
    told = ran("bench", "ablation", "--set", tiny_ablation, *cells, *parts)
    rows = {row["without"]: row for row in told["rows"]}
    assert list(rows) == list(ablation.FACTORS)
    whole = rows["nothing"]
    assert whole["change"] == 0 and 0 < whole["mean_ap"] <= 1
    for name, row in rows.items():
        assert row["change"] == pytest.approx(row["mean_ap"] - whole["mean_ap"])
        if name != "nothing":
            assert row["change"] or row["change_within"], f"{name} changed nothing"
    again = ran("bench", "ablation", "--set", tiny_ablation, *cells, *parts)
    assert again["rows"] == told["rows"]


def test_ablation_leaves_the_recipe_as_it_was(tiny_ablation, tmp_path):
    before = [dict(vars(module)) for module in (sdml_job, sdml_posterior, posterior)]
    ran("bench", "ablation", "--set", tiny_ablation, "--cells", tmp_path / "cells")
    assert [dict(vars(module)) for module in (sdml_job, sdml_posterior, posterior)] == before


def test_ablation_names_an_unknown_part(tiny_ablation):
    done = run("bench", "ablation", "--set", tiny_ablation, "--without", "luck")
    assert done.code == 2 and "luck" in done.err and "dropout" in done.err


def in_turn(folder, *more):
    tiny = ("--rows", 20, "--test-rows", 12, "--memory", 9, "--steps", 10, "--orders", 2)
    cells = ("--cells", folder.parent / "runs")
    names = ("hold", "replay", "joint")
    strategies = (arg for name in names for arg in ("--strategy", name))
    return ("bench", "sequential", "--set", folder, *strategies, *tiny, *cells, *more)


def test_sequential_fills_a_table_tests_it_and_draws_it(tiny_recipes, tmp_path):
    picture = tmp_path / "out.png"
    first = run(*in_turn(tiny_recipes, "--json", "--plot", picture))
    assert first.code == 0, first.err
    found = first.json
    assert set(found) == {"bench", "machine", "scale", "rows", "tests", "gaps", "ratios"}
    assert not found["gaps"]
    assert [row["method"] for row in found["rows"]] == ["hold", "replay", "joint"]
    for row in found["rows"]:
        assert row["runs"] == (1 if row["method"] == "joint" else 2)
        assert 0 < row["final"] <= 1 and row["evaluations"] > 0
    joint, replay = found["rows"][2], found["rows"][1]
    assert joint["forgetting"] == joint["memory_bytes"] == 0 < replay["memory_bytes"]
    assert {(test["against"], test["of"]) for test in found["tests"]} == {
        ("replay", of) for of in ("final", "forgetting")
    }
    final = {row["method"]: row["final"] for row in found["rows"]}
    (left,) = found["ratios"].values()
    gap = (final["joint"] - final["hold"]) / (final["joint"] - final["replay"])
    assert left == pytest.approx(gap)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    again = run(*in_turn(tiny_recipes, "--json"))
    assert not again.err and again.json["rows"] == found["rows"]
    assert len(first.err.splitlines()) == 2 + 2 + 1  # one run stands for all orders of joint


def test_sequential_says_how_far_joint_training_is_over_seeds(tiny_recipes):
    found = ran(*in_turn(tiny_recipes, "--seeds", 2))
    final = {row["method"]: row["final"] for row in found["rows"]}
    for gap in found["gaps"]:
        assert gap["gap"] == pytest.approx(final["joint"] - final[gap["of"]])
        assert gap["n"] == 2 and (gap["low"] + gap["high"]) / 2 == pytest.approx(gap["gap"])
    assert [gap["of"] for gap in found["gaps"]] == ["hold", "replay"]
    values = np.random.default_rng(0).standard_normal(7)
    ends = ttest_1samp(values, 0).confidence_interval()
    assert t_interval(values) == pytest.approx([ends.low, ends.high])


def test_a_cell_is_computed_once_and_again_when_what_it_depends_on_changes(monkeypatch, tmp_path):
    said, computed = [], []

    def get(name="tiny-SM-0", depends_on=("settings", "rows")):
        kept = cells.Cells(tmp_path, said.append)
        compute = lambda: computed.append(name) or {"mean_ap": 0.5}  # noqa: E731
        tell = lambda cell: f"{cell['mean_ap']:.2f}"  # noqa: E731
        return kept.get(name, depends_on, compute, tell, uses=())

    assert get() == get() == {"mean_ap": 0.5}
    assert said == ["tiny-SM-0: 0.50"] and len(computed) == 1
    get(depends_on=("settings", "other rows"))
    get(name="tiny-SM-1")
    monkeypatch.setattr(cells, "digest_of", lambda *used: "of another version")
    get()
    assert len(computed) == len(said) == len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("bench", ["recipe", "ablation"])
def test_other_rows_under_the_same_name_are_other_cells(bench, tiny_recipes, tmp_path):
    asked = ("bench", bench, "--set", tiny_recipes, "--seeds", 1, "--cells", tmp_path / "cells")
    asked += ("--method", "SM") if bench == "recipe" else ("--without", "dropout")
    assert ran(*asked)["rows"] == ran(*asked)["rows"]
    before = set((tmp_path / "cells").iterdir())
    other = make_dataset(n_items=60, n_classes=3, dims={"image": 8, "text": 6}, noise=0.9, seed=8)
    shutil.rmtree(tiny_recipes)
    other.save(tiny_recipes)
    ran(*asked)
    after = set((tmp_path / "cells").iterdir())
    assert before < after and len(after) == 2 * len(before)


def test_sequential_names_what_it_does_not_know(tiny_recipes):
    done = run("bench", "sequential", "--set", tiny_recipes, "--strategy", "repaly")
    assert done.code == 2 and "replay" in done.err


def test_orders_are_drawn_without_repetition():
    orders = sequential.draw_orders("abcd", 24)
    assert len(set(orders)) == 24 and len(sequential.draw_orders("abcde", 7)) == 7
    many = sequential.draw_orders([str(at) for at in range(40)], 9)
    assert len(set(many)) == 9 and all(len(set(order)) == 40 for order in many)
    assert sequential.draw_orders("abc", 100) == sequential.draw_orders("abc", 6)


@pytest.fixture
def tiny_codes(monkeypatch, splits, tmp_path):
    """Vectors of Ridge for a space, a data set in a folder, coders of few words."""
    from commonspace.benchmarks import codes
    from commonspace.methods import Ridge

    splits.save(tmp_path / "tiny")
    monkeypatch.setitem(codes.SPACES, "SDML", lambda seed: Ridge(dim=8))
    monkeypatch.setattr(codes, "SHARES", (0.5, 1.0))
    monkeypatch.setattr(codes, "SHARE_CODERS", ("Quantizer 4-bit", "own codes"))
    names = ("Quantizer 4-bit", "ITQ", "sign")
    methods = [arg for name in names for arg in ("--method", name)]
    cells = ("--cells", tmp_path / "cells", "--plots", tmp_path / "plots")
    bits = ("--bits", 8, "--bits", 32)
    return ("bench", "codes", "--set", tmp_path / "tiny", *methods, *bits, "--seeds", 2, *cells)


def test_codes_fill_a_table_pictures_and_a_study_of_rows(tiny_codes, splits, tmp_path):
    found = ran(*tiny_codes, "--sizes")
    assert set(found) == {"bench", "machine", "rows", "sizes", "ratios", "plots"}
    rows = {(row["method"], row["bits"]): row for row in found["rows"]}
    assert (
        len(rows) == 1 + 3 * 2 - 1
        and ("ITQ", 32) not in rows
        and all(row["seeds"] == 2 for row in found["rows"])
    )
    whole = rows["float", 0]["mean_ap"]
    ours = rows["Quantizer 4-bit", 32]
    assert ours["of_float"] == pytest.approx(ours["mean_ap"] / whole) and ours["of_float"] > 0.9
    assert ours["items_per_second"] > 0 and rows["float", 0]["items_per_second"] is None
    n_rows = sum(map(len, splits["train"].values()))
    assert [row["rows"] for row in found["sizes"]] == [round(n_rows / 2), n_rows]
    assert found["sizes"][1]["mean_ap"] == ours["mean_ap"]
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "tiny_SDML.png",
        "tiny_SDML_rows.png",
        "tiny_SDML_scope.png",
    ]
    again = run(*tiny_codes)
    assert again.code == 0 and not again.err and "Quantizer 4-bit" in again.out


def test_codes_of_sets_that_are_too_small_are_left_out_with_a_line(tiny_codes):
    methods = ("--method", "PQ", "--method", "OPQ", "--method", "RQ")
    done = run(*tiny_codes, *methods, "--json")
    assert done.code == 0, done.err
    assert {row["method"] for row in done.json["rows"]} == {
        "float",
        "Quantizer 4-bit",
        "ITQ",
        "sign",
    }
    for word in ("PQ1x8", "OPQ4_64,PQ4x8", "RQ4x8"):
        assert f"{word}: expected at least 256 training vectors" in done.err
    assert "at most one bit a dimension, 8 here, got 32" in done.err


def test_own_codes_stand_beside_the_vectors_of_their_own_model(tiny_codes, monkeypatch):
    from commonspace.benchmarks import codes
    from commonspace.methods import SPDQ

    small = {"shared": 16, "private": 4, "hidden": (16,), "epochs": 2, "bits_per_word": 4}
    monkeypatch.setitem(codes.SPACES, "SPDQ", lambda seed: SPDQ(**small, random_state=seed))
    own = ("--method", "own codes", "--space", "SDML", "--space", "SPDQ")
    found = ran(*tiny_codes, *own, "--sizes")
    rows = [row for row in found["rows"] if row["method"] == "own codes"]
    assert [(row["space"], row["bits"]) for row in rows] == [("SPDQ", 8), ("SPDQ", 32)]
    assert all(0 < row["of_float"] < 1.5 and row["items_per_second"] > 0 for row in rows)
    study = [row for row in found["sizes"] if row["method"] == "own codes"]
    assert study[0]["rows"] < study[1]["rows"] and study[1]["mean_ap"] == rows[1]["mean_ap"]
    alone = ran(*tiny_codes[:4], "--method", "own codes", *own[2:], *tiny_codes[-8:])
    assert [row["method"] for row in alone["rows"]] == ["own codes"]


@pytest.mark.parametrize("name", ["PQ", "Quantizer"])
def test_coders_keep_most_of_the_vectors(name):
    """At 8 bits, one codeword a row, all are k-means of 256 centres."""
    from commonspace.benchmarks.coders import CODERS

    rng = np.random.default_rng(0)
    y = np.arange(600) % 300
    x = rng.standard_normal((300, 12)).astype(np.float32)[y]
    x += 0.05 * rng.standard_normal(x.shape).astype(np.float32)
    coder = CODERS[name](8, 0)
    coder.fit(x, np.eye(300, dtype=np.float32)[y])
    codes_ = coder.encode(x)
    assert codes_.shape == (600, 1) and codes_.dtype == np.uint8
    kept = np.square(coder.queries(x) - coder.decode(codes_)).sum() / np.square(x).sum()
    assert kept < 0.3


def test_codes_of_ours_are_compared_with_the_best_of_faiss(monkeypatch, tmp_path):
    from commonspace.benchmarks import codes
    from commonspace.methods import Ridge

    make_dataset(n_items=500, n_classes=4, dims={"image": 8, "text": 6}, noise=1.0).save(
        tmp_path / "enough"
    )
    monkeypatch.setitem(codes.SPACES, "SDML", lambda seed: Ridge(dim=8))
    methods = [arg for name in ("Quantizer", "PQ") for arg in ("--method", name)]
    where = ("--set", tmp_path / "enough", "--cells", tmp_path / "cells")
    found = ran("bench", "codes", *where, *methods, "--bits", 8, "--seeds", 1)
    value = {row["method"]: row["mean_ap"] for row in found["rows"]}
    ratio = found["ratios"]["quantizer_over_best_8_bits"]
    assert ratio == pytest.approx(value["Quantizer"] / value["PQ"]) and ratio > 0.98


def test_codes_name_what_they_do_not_know(tmp_path):
    done = run("bench", "codes", "--method", "PPQ", "--cells", tmp_path)
    assert done.code == 2 and "'PQ'" in done.err
    done = run("bench", "codes", "--space", "SDLM", "--cells", tmp_path)
    assert done.code == 2 and "'SDML'" in done.err
    done = run("bench", "codes", "--bits", 12, "--cells", tmp_path)
    assert done.code == 2 and "multiple of 8" in done.err

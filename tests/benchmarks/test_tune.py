"""The search over settings, on problems that are solved in milliseconds."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from commonspace.benchmarks import tune as module
from commonspace.benchmarks.contestants import find_method
from commonspace.benchmarks.scoring import Parts, fit_and_score, plain_score
from commonspace.benchmarks.search_spaces import Choice, Range
from commonspace.benchmarks.study import Study
from commonspace.benchmarks.tune import HELD_BACK, HOPELESS, tune
from commonspace.data import make_dataset
from commonspace.errors import InputError, MissingExtraError, NotFoundError, StorageError
from commonspace.evaluation import Protocol, evaluate
from commonspace.methods import SDML, SM, Ridge
from commonspace.training import derive_seed

SPACE = {"C": Range(1e-5, 10.0, log=True)}
DIMS = {"image": 8, "text": 6}


@pytest.fixture(scope="module")
def rows():
    """Rows that are hard to tell apart, so that settings matter."""
    return make_dataset(n_items=120, n_classes=4, dims=DIMS, noise=2.0)["train"]


@pytest.fixture(scope="module")
def found(rows):
    return tune(SM, rows, space=SPACE, trials=6)


def tried(tuning):
    return [(trial.settings, trial.score, trial.error) for trial in tuning.trials]


def by_hand(learner, part) -> float:
    return evaluate(learner.fit(part[0]), part[1], n_bootstrap=0).mean_ap


def test_the_defaults_come_first_and_scores_are_those_of_rows_held_back(rows, found):
    part = rows.split(HELD_BACK, seed=derive_seed(0, "tune", "fold 0"))
    assert found.trials[0].settings == {} and len(found.trials) == 6
    assert found.default_score == found.trials[0].score == by_hand(SM(), part)
    for trial in found.trials[1:]:
        assert trial.score == by_hand(SM(C=trial.settings["C"]), part)
    assert found.best_score == max(trial.score for trial in found.trials)
    assert found.gain == found.best_score - found.default_score


def test_settings_are_what_differs_from_the_class_and_meet_the_defaults_on_other_rows(rows, found):
    assert found.method == "SM" and found.settings == found.best.settings
    assert found.settings, "nothing beat the defaults: the test shows nothing"
    part = rows.split(HELD_BACK, seed=derive_seed(0, "tune", "another draw"))
    expected = {"defaults": by_hand(SM(), part), "best": by_hand(SM(**found.settings), part)}
    assert found.other_rows == expected


def test_a_preset_has_its_own_defaults_and_fixed_arguments_are_not_searched(rows):
    small = {"hidden": (8,), "dim": 8, "epochs": 2}
    got = tune(SDML.fast, rows, fixed=small, trials=2, check=False)
    assert set(got.trials[1].settings) == {"learning_rate", "batch_size"}
    assert got.settings["hidden"] == (8,) and got.settings["epochs"] == 2
    assert got.row == "SDML.fast" and got.method == "SDML" and got.settings["members"] == 1
    alone = tune(SDML.fast, rows, fixed=small, trials=1, check=False)
    assert alone.settings["members"] == 1 and alone.settings["learning_rate"] == 5e-3


def test_a_search_in_pieces_is_the_search_in_one_go(rows, found, tmp_path):
    first = tune(SM, rows, space=SPACE, trials=3, study=tmp_path / "study.db")
    assert tried(first) == tried(found)[:3]
    again = tune(SM, rows, space=SPACE, trials=6, study=tmp_path / "study.db")
    assert tried(again) == tried(found) and again.trials[:3] == first.trials
    assert again.settings == found.settings and again.other_rows == found.other_rows
    done = tune(SM, rows, space=SPACE, trials=6, study=tmp_path / "study.db")
    assert done == again


def test_another_seed_tries_other_settings(rows, found):
    other = tune(SM, rows, space=SPACE, trials=3, seed=1)
    assert {str(t.settings) for t in other.trials[1:]}.isdisjoint(str(t) for t in tried(found))


KILLED = """
import os, signal
from commonspace.benchmarks.search_spaces import Range
from commonspace.benchmarks.tune import tune
from commonspace.data import make_dataset
from commonspace.methods import SM
rows = make_dataset(n_items=120, n_classes=4, dims={"image": 8, "text": 6}, noise=2.0)["train"]
fit, count = SM._fit, [0]
def fit_or_die(self, *rest):
    count[0] += 1
    if count[0] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return fit(self, *rest)
SM._fit = fit_or_die
tune(SM, rows, space={"C": Range(1e-5, 10.0, log=True)}, trials=6, study="study.db")
"""


def test_a_killed_search_loses_the_trial_that_ran_and_nothing_else(rows, found, tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED], cwd=tmp_path, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    said = []
    again = tune(SM, rows, space=SPACE, trials=6, study=tmp_path / "study.db", say=said.append)
    assert tried(again) == tried(found)
    assert [line.split()[0] for line in said] == ["trial"] * 3 + ["on"] * 2
    assert [trial.number for trial in again.trials] == [0, 1, 2, 4, 5, 6]


def test_a_trial_that_fails_is_recorded_and_the_search_goes_on(rows):
    space = {"C": Choice(-1.0, -2.0, 0.5)}
    said = []
    got = tune(SM, rows, space=space, trials=8, say=said.append)
    failed = [trial for trial in got.trials if trial.score is None]
    assert failed and len(got.trials) == 8 and got.best_score > 0.25
    for trial in failed:
        assert trial.settings["C"] < 0 and trial.error.startswith("InputError: C: expected")
    assert sum("failed: InputError" in line for line in said) == len(failed)


class Failing(SM):
    """One that never learns."""

    def _fit(self, train, valid, run):
        raise InputError("a mistake")


class OneClass(SM):
    """One for one class a row."""

    multi_label = False


def test_what_no_trial_can_mend_is_said_before_the_first(rows):
    said = []
    with pytest.raises(InputError, match="C: expected"):
        tune(SM, rows, fixed={"C": "abc"}, say=said.append)
    with pytest.raises(InputError, match="max_iter: expected"):
        tune(SM, rows, fixed={"max_iter": 0}, say=said.append)
    several = make_dataset(n_items=40, n_classes=4, dims=DIMS, label_kind="multi")["train"]
    with pytest.raises(InputError, match="OneClass needs one class a row, got multi labels"):
        tune(OneClass, several, space=SPACE, say=said.append)
    assert not said


def test_the_check_is_announced_and_can_be_left_out(rows):
    said = []
    left_out = tune(SM, rows, space=SPACE, trials=1, check=False, say=said.append)
    assert left_out.other_rows is None and len(said) == 1
    found = tune(SM, rows, space=SPACE, trials=1, say=said.append)
    assert said[2:] == ["on another draw, beside the budget: the defaults"]
    assert found.other_rows["defaults"] == found.other_rows["best"] is not None


def test_a_draw_for_the_check_shares_rows_with_the_one_that_chose(rows):
    """The page says a quarter for one fold."""
    many = make_dataset(n_items=4000, n_classes=4, dims=DIMS)["train"]
    held = [
        many.held_back(HELD_BACK, seed=derive_seed(0, "tune", name))["image"]
        for name in ("fold 0", "another draw")
    ]
    assert np.mean(held[0][held[1]]) == pytest.approx(HELD_BACK, abs=0.05)


def test_a_search_in_which_nothing_works_is_given_up_with_the_reason(rows):
    said = []
    with pytest.raises(InputError, match=r"none of 5 trials.*a mistake"):
        tune(Failing, rows, space=SPACE, trials=50, say=said.append)
    assert len(said) == HOPELESS


def test_time_is_a_budget_too(rows):
    assert len(tune(SM, rows, space=SPACE, seconds=0, check=False).trials) == 1
    assert len(tune(SM, rows, space=SPACE, seconds=1e6, trials=2, check=False).trials) == 2


def test_a_study_answers_for_one_question_alone(rows, tmp_path):
    file = tmp_path / "study.db"
    tune(Ridge, rows, trials=1, study=file, check=False)
    for changes, word in (({"seed": 1}, "seed"), ({"folds": 2}, "folds"), ({"make": SM}, "method")):
        asked = {"make": Ridge, "trials": 2, **changes}
        with pytest.raises(InputError, match=f"something else: .*{word}"):
            tune(asked.pop("make"), rows, study=file, **asked)
    with pytest.raises(InputError, match="data"):
        tune(Ridge, rows.take({"text": np.arange(40)}), study=file)


def test_in_a_folder_every_question_has_a_study_of_its_own(rows, tmp_path):
    for seed in (0, 1, 0):
        found = tune(SM, rows, trials=1, study=tmp_path / "studies", seed=seed, check=False)
        assert len(found.trials) == 1
    assert len(list((tmp_path / "studies").glob("SM-*.db"))) == 2


def test_a_study_that_is_damaged_or_in_use_is_refused(rows, tmp_path):
    (tmp_path / "bad.db").write_text("no database, but long enough to have a header" * 9)
    with pytest.raises(StorageError, match=r"bad\.db is not a study"):
        tune(SM, rows, study=tmp_path / "bad.db")
    held = Study(tmp_path / "held.db", space=SPACE, identity={}, seed=0)
    with pytest.raises(StorageError, match="another process"):
        tune(SM, rows, study=tmp_path / "held.db")
    held.close()


def test_without_optuna_the_message_says_how_to_get_it(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'commonspace\[tune\]'"):
        tune(SM, rows)


class PairRidge(Ridge):
    """One that takes two modalities at once."""

    max_modalities = 2


def test_a_method_for_two_modalities_is_scored_on_every_pair(splits):
    data = splits["train"]
    parts = data.split(HELD_BACK, seed=derive_seed(0, "tune", "fold 0"))
    scores = [
        by_hand(Ridge(), [part.select(pair) for part in parts])
        for pair in combinations(data.modalities, 2)
    ]
    got = tune(PairRidge, data, space={"dim": Choice(512)}, trials=1)
    assert len(scores) == 3 and got.default_score == pytest.approx(np.mean(scores), abs=1e-12)


class Still(SM):
    """One without settings."""

    def __init__(self, *, random_state=0):
        super().__init__(random_state=random_state)

    def get_params(self, deep=True):
        return {"random_state": self.random_state}


def test_a_method_without_settings_has_its_defaults(rows):
    got = tune(Still, rows, trials=5)
    assert len(got.trials) == 1 and got.settings == {} and got.gain == 0


def test_folds_are_averaged(rows):
    parts = [rows.split(HELD_BACK, seed=derive_seed(0, "tune", f"fold {k}")) for k in range(3)]
    got = tune(SM, rows, space=SPACE, trials=1, folds=3)
    assert got.default_score == pytest.approx(np.mean([by_hand(SM(), p) for p in parts]))


def test_importance_is_told_once_there_are_trials_enough(rows, monkeypatch):
    monkeypatch.setattr("commonspace.benchmarks.study.ENOUGH", 5)
    space = {**SPACE, "max_iter": Range(100, 500, whole=True)}
    got = tune(SM, rows, space=space, trials=10, check=False)
    assert set(got.importance) == set(space) and got.importance["C"] > 0.5
    assert all(isinstance(trial.settings["max_iter"], int) for trial in got.trials[1:])


def test_graded_gains_are_scored_beside_average_precision():
    made = make_dataset(n_items=80, n_classes=4, dims=DIMS, label_kind="multi")
    parts, score = Parts(made["train"], None, made["test"]), plain_score(Protocol(gain="overlap"))
    graded = fit_and_score(SM(), parts, score).means()
    report = evaluate(SM().fit(made["train"]), made["test"], protocol=Protocol(gain="overlap"))
    assert graded["mean_ndcg"] == pytest.approx(report.mean_ndcg)
    assert graded["mean_ap"] == pytest.approx(report.mean_ap)


def test_methods_are_found_by_name_and_preset():
    assert find_method("sdml") is SDML and find_method("SDML.fast")().members == 1
    for name, word in (
        ("SDLM", "SDLM.*Did you mean 'SDML'"),
        ("sdlm", "'SDML'"),
        ("SDML.quick", "fast"),
    ):
        with pytest.raises(NotFoundError, match=word):
            find_method(name)


def test_budgets_out_of_range_are_named(rows):
    for changes, word in (({"trials": 0}, "trials"), ({"seconds": -1}, "seconds")):
        with pytest.raises(InputError, match=word):
            tune(SM, rows, **changes)


def test_the_lines_it_says_tell_settings_and_the_best_so_far(found):
    line = module._line(found.trials[1], list(found.trials[:2]))
    best = max(trial.score for trial in found.trials[:2])
    assert f"C={found.trials[1].settings['C']:.4g}" in line and line.endswith(f"best {best:.4f}")
    failed = replace(found.trials[1], score=None, error="why")
    assert module._line(failed, []).endswith("failed: why")

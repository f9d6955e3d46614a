"""Search over a method's settings by how well it retrieves rows held back from training.

A quarter of the training rows is held back, every trial is fitted on the others and retrieves
among those. The defaults are the first trial, so that a gain is a gain over them. The best of many
scores is flattering; so the best settings and the defaults meet once more on rows held back by
another draw. Some of those chose, too, about a quarter for one fold: it warns, and is no test.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.benchmarks.contestants import Maker, check_values, name_of
from commonspace.benchmarks.scoring import Parts, fit_and_score, plain_score
from commonspace.benchmarks.search_spaces import SearchSpace, search_space
from commonspace.benchmarks.sources import digest_of
from commonspace.benchmarks.study import Study, Trial
from commonspace.checks import check_range
from commonspace.data import Dataset
from commonspace.disk import sha256_bytes
from commonspace.errors import InputError
from commonspace.evaluation import evaluate
from commonspace.methods.base import Method
from commonspace.store.settings import as_arguments
from commonspace.training import Run, derive_seed
from commonspace.types import JsonDict

HELD_BACK = 0.25
TRIALS = 20
HOPELESS = 5  # a study whose first so many trials all failed is given up
Part = tuple[Dataset, Dataset]


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Attributes:
        method: Class of the method.
        row: The class or preset that was tuned, such as "SDML.fast": whose defaults they were.
        settings: All arguments that differ from the defaults of the class, or from those of the
            preset, as JSON has them.
        default_score: Mean average precision of the defaults on rows held back; None if they fail.
        best_score: Of the best trial.
        other_rows: "defaults" and "best" on rows held back by another draw; None if not asked.
        importance: Share of the score's variance that each setting explains; empty for few trials.
        best: The best trial.
        trials: All that ended.
    """

    method: str
    row: str
    settings: JsonDict
    default_score: float | None
    best_score: float
    other_rows: dict[str, float | None] | None
    importance: dict[str, float]
    best: Trial
    trials: tuple[Trial, ...]

    @property
    def gain(self) -> float | None:
        """Best minus defaults on the rows that chose; None if the defaults failed."""
        return None if self.default_score is None else self.best_score - self.default_score

    @property
    def seconds(self) -> float:
        """How long the trials took in all."""
        return round(sum(trial.seconds for trial in self.trials), 1)

    def to_dict(self) -> JsonDict:
        """Return all of it for JSON."""
        return {**asdict(self), "gain": self.gain}


def tune(
    make: Maker,
    train: Dataset,
    *,
    space: SearchSpace | None = None,
    fixed: Mapping[str, Any] | None = None,
    trials: int | None = None,
    seconds: float | None = None,
    folds: int = 1,
    check: bool = True,
    valid: Dataset | None = None,
    study: str | Path | None = None,
    seed: int = 0,
    run: Run | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Tuning:
    """Search settings of a method for the best retrieval of training rows held back.

    A trial that fails is recorded with its error and the search goes on, unless the first five all
    fail. A method for two modalities is fitted for each pair, and the mean over pairs counts. One
    without settings has its defaults alone.

    Args:
        make: A class of `methods`, or a preset such as ``SDML.fast``: its settings are the
            defaults, and the first trial.
        train: Rows to learn from and to hold back; never the test split.
        space: Argument to `Range` or `Choice`; None takes those of `search_spaces`.
        fixed: Arguments that are not searched; defaults have them too.
        trials: Stop after so many in all, with the defaults and those of earlier runs of the
            study. None: 20 if there is no other budget.
        seconds: Start no trial once those that ended took so long in all. The one that runs is let
            finish, so that the time is exceeded by less than a trial; the check comes on top.
        folds: Draws of rows to hold back; a trial's score is the mean over them.
        check: Compare the best settings and the defaults once more, on another draw: two fits
            more, which no budget counts.
        valid: For model selection within `fit`, as there; None: the method holds back its own.
        study: SQLite file to keep trials in and to go on from, or a folder for such files, one
            for every question.
        seed: Of suggestions, of the rows held back, and the ``random_state`` of the method.
        run: How the trainings of one trial run.
        say: Called with a line after each trial, and before each fit of the check.

    Raises:
        InputError: A fixed argument is out of range, all is fixed, the method takes one class a
            row and the rows have several, the study is of something else, or no trial works.
        MissingExtraError: Optuna is not installed.
    """
    _check_budget(trials, seconds, folds)
    fixed = {"random_state": seed, **(fixed or {})}
    default = make(**fixed)
    check_values(default)
    _check_labels(default, train)
    searched = search_space(default, space, fixed=fixed)
    identity = _identity(default, train, valid, searched, folds, seed)
    record = Study(study_file(study, identity), space=searched, identity=identity, seed=seed)
    try:
        search = _Search(make, fixed, train, valid, folds, seed, run or Run(jobs=1))
        _spend(record, search, default, _Budget(trials, seconds), say)
        return _result(record, search, check, say)
    finally:
        record.close()


@dataclass(frozen=True)
class _Budget:
    trials: int | None
    seconds: float | None

    def is_spent(self, done: list[Trial]) -> bool:
        most = TRIALS if self.trials is None and self.seconds is None else self.trials
        if most is not None and len(done) >= most:
            return True
        return self.seconds is not None and sum(t.seconds for t in done) >= self.seconds


@dataclass(frozen=True)
class _Search:
    """Scores settings on rows held back."""

    make: Maker
    fixed: Mapping[str, Any]
    train: Dataset
    valid: Dataset | None
    folds: int
    seed: int
    run: Run

    @cached_property
    def parts(self) -> list[Part]:
        """The draws that choose."""
        return [self.draw(f"fold {fold}") for fold in range(self.folds)]

    def draw(self, name: str) -> Part:
        """Training rows, and those held back."""
        return self.train.split(HELD_BACK, seed=derive_seed(self.seed, "tune", name))

    def score(self, settings: JsonDict, parts: list[Part]) -> float:
        """Mean average precision of the settings, over draws."""
        arguments = {**self.fixed, **as_arguments(settings)}
        learner, score = self.make(**arguments), plain_score()
        found = [
            fit_and_score(learner, Parts(train, self.valid, held), score, run=self.run)
            for train, held in parts
        ]
        return float(np.mean([each.means()["mean_ap"] for each in found]))

    def attempt(self, settings: JsonDict) -> tuple[float | None, JsonDict]:
        """The score, None where it fails, and how long it took or why it failed."""
        start = time.perf_counter()
        score, error = None, {}
        try:
            score = self.score(settings, self.parts)
        except Exception as problem:  # of these settings: the next may do
            error = {"error": f"{type(problem).__name__}: {problem}"}
        return score, {"seconds": round(time.perf_counter() - start, 3), **error}


def _spend(
    record: Study,
    search: _Search,
    default: Method,
    budget: _Budget,
    say: Callable[[str], None],
) -> None:
    if not record.trials():
        first = record.add_default(default.get_params(deep=False), search.attempt)
        say(_line(first, [first]))
    while record.space and not budget.is_spent(done := record.trials()):
        if len(done) == HOPELESS and all(trial.score is None for trial in done):
            break
        trial = record.try_next(search.attempt)
        say(_line(trial, [*done, trial]))


def _result(record: Study, search: _Search, check: bool, say: Callable[[str], None]) -> Tuning:
    done = record.trials()
    if all(trial.score is None for trial in done):
        raise InputError(f"none of {len(done)} trials worked. The first: {done[0].error}")
    best = _best(done)
    final = search.make(**{**search.fixed, **as_arguments(best.settings)})
    first = next((trial for trial in done if not trial.settings), None)
    return Tuning(
        method=type(final).__name__,
        row=name_of(search.make),
        settings=_changed(final, search.make),
        default_score=None if first is None else first.score,
        best_score=_score(best),
        other_rows=_on_other_rows(record, search, best, say) if check else None,
        importance=record.importance(),
        best=best,
        trials=tuple(done),
    )


def _on_other_rows(
    record: Study, search: _Search, best: Trial, say: Callable[[str], None]
) -> dict[str, float | None]:
    parts = [search.draw("another draw")]

    def compute(settings: JsonDict) -> float | None:
        say(f"on another draw, beside the budget: {'the best' if settings else 'the defaults'}")
        try:
            return search.score(settings, parts)
        except Exception:  # the defaults may fail where others do not
            return None

    default = record.keep("other rows: defaults", lambda: compute({}))
    if not best.settings:
        return {"defaults": default, "best": default}
    found = record.keep(f"other rows: trial {best.number}", lambda: compute(best.settings))
    return {"defaults": default, "best": found}


def _best(trials: list[Trial]) -> Trial:
    """The first of those that scored highest."""
    return max((trial for trial in trials if trial.score is not None), key=_score)


def _score(trial: Trial) -> float:
    assert trial.score is not None
    return trial.score


def _changed(method: Method, make: Maker) -> JsonDict:
    """Arguments that differ from those of the class or of the preset, apart from the seed."""
    plain = [each().get_params(deep=False) for each in (type(method), make)]
    found = method.get_params(deep=False)
    return {
        k: v
        for k, v in found.items()
        if k != "random_state" and not all(_same(v, each[k]) for each in plain)
    }


def _same(first: Any, second: Any) -> bool:
    if isinstance(first, list | tuple) and isinstance(second, list | tuple):
        return list(first) == list(second)
    return type(first) is type(second) and bool(first == second)


def _line(trial: Trial, done: list[Trial]) -> str:
    shown = ", ".join(f"{name}={_short(value)}" for name, value in trial.settings.items())
    what = f"trial {trial.number} ({shown or 'the defaults'})"
    if trial.score is None:
        return f"{what} failed: {trial.error}"
    return f"{what}: {trial.score:.4f} in {trial.seconds:.1f} s, best {_score(_best(done)):.4f}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _identity(
    default: Method,
    train: Dataset,
    valid: Dataset | None,
    space: SearchSpace,
    folds: int,
    seed: int,
) -> JsonDict:
    settings = sorted(default.get_params(deep=False).items())
    return {
        "method": type(default).__name__,
        "settings": repr(settings),
        "space": repr(sorted(space.items())),
        "data": train.fingerprint(),
        "validation data": None if valid is None else valid.fingerprint(),
        "folds": folds,
        "seed": seed,
        "sources of the method": digest_of(type(default), evaluate)[:16],
    }


def study_file(study: str | Path | None, identity: JsonDict) -> Path | None:
    """The file of a study: as named, or in a folder one of its own for every question."""
    if study is None:
        return None
    path = Path(study)
    if path.suffix and not path.is_dir():
        return path
    digest = sha256_bytes(repr(sorted(identity.items())).encode())[:12]
    return path / f"{identity['method']}-{digest}.db"


def _check_labels(method: Method, train: Dataset) -> None:
    if not method.multi_label and train.label_kind != "single":
        name = type(method).__name__
        raise InputError(f"{name} needs one class a row, got {train.label_kind} labels.")


def _check_budget(trials: int | None, seconds: float | None, folds: int) -> None:
    if trials is not None:
        check_range("trials", trials, low=1, integer=True)
    if seconds is not None:
        check_range("seconds", seconds, low=0)
    check_range("folds", folds, low=1, high=20, integer=True)

"""The record of a search: what was tried, what it scored, and what to try next.

Optuna keeps the record, in memory or in an SQLite file, and suggests. What it suggests depends on
the seed and the trials that ended, and not on when the search was stopped or how often: the
sampler is seeded anew for each trial. A trial that was cut off is marked and tried again.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from commonspace.benchmarks.search_spaces import Range, SearchSpace, Setting
from commonspace.checks import require
from commonspace.errors import InputError, StorageError
from commonspace.store.lock import WriterLock
from commonspace.training import derive_seed
from commonspace.types import JsonDict

ENOUGH = 10  # trials that scored, before one speaks of the importance of settings


@dataclass(frozen=True)
class Trial:
    """One trial that ended.

    Attributes:
        number: Its place in the study; trials that were cut off leave gaps.
        settings: What was searched, as JSON has it; empty for the defaults.
        score: None if it failed.
        seconds: How long it took.
        error: Why it failed.
    """

    number: int
    settings: JsonDict
    score: float | None
    seconds: float
    error: str | None

    def to_dict(self) -> JsonDict:
        """Return the attributes for JSON."""
        return asdict(self)


class Study:
    """A study, opened or begun; `close` lets others open it.

    Args:
        path: The SQLite file; None keeps the study in memory.
        space: What is searched.
        identity: All that scores depend on, as JSON; a study of anything else is refused.
        seed: Of the suggestions.
    """

    def __init__(
        self, path: Path | None, *, space: SearchSpace, identity: JsonDict, seed: int
    ) -> None:
        self._optuna: Any = require("optuna", extra="tune", what="tune")
        self._optuna.logging.set_verbosity(self._optuna.logging.WARNING)
        self.space, self._seed = space, seed
        self._lock = None if path is None else _lock(path)
        try:
            self._study = self._open(path)
            self._check(identity, path)
            self._end_what_was_cut_off()
        except BaseException:  # Ctrl-C too: the lock is let go
            self.close()
            raise

    def _open(self, path: Path | None) -> Any:
        if path is None:
            return self._optuna.create_study(direction="maximize")
        try:
            storage = self._optuna.storages.RDBStorage(f"sqlite:///{path.resolve()}")
            return self._optuna.create_study(
                storage=storage, study_name="commonspace", direction="maximize", load_if_exists=True
            )
        except Exception as error:  # of SQLAlchemy, SQLite or Optuna
            first = str(error).partition("\n")[0]
            raise StorageError(f"{path} is not a study that can be read: {first}") from error

    def _check(self, identity: JsonDict, path: Path | None) -> None:
        mine = json.loads(json.dumps(identity))
        theirs = self._study.user_attrs.get("identity")
        if theirs is None:
            self._study.set_user_attr("identity", mine)
        elif theirs != mine:
            other = [key for key in {**theirs, **mine} if theirs.get(key) != mine.get(key)]
            raise InputError(
                f"{path} is a study of something else: {', '.join(sorted(other))} differ, and "
                "scores do not compare. Name another file for this one."
            )

    def _end_what_was_cut_off(self) -> None:
        states = self._optuna.trial.TrialState
        for trial in self._study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            self._study.tell(trial.number, state=states.FAIL)

    def close(self) -> None:
        """Let other processes open the study."""
        if self._lock is not None:
            self._lock.release()

    def trials(self) -> list[Trial]:
        """The trials that ended, in order."""
        return [self._read(t) for t in self._study.get_trials() if "seconds" in t.user_attrs]

    def _read(self, trial: Any) -> Trial:
        default = trial.user_attrs.get("default", False)
        return Trial(
            number=trial.number,
            settings={} if default else self._decode(trial.params),
            score=trial.value,
            seconds=trial.user_attrs["seconds"],
            error=trial.user_attrs.get("error"),
        )

    def try_next(self, score: Callable[[JsonDict], tuple[float | None, JsonDict]]) -> Trial:
        """Suggest settings, have them scored, record it.

        Args:
            score: Takes settings; returns the score, None for a failure, and notes: "seconds",
                and "error" where it failed.
        """
        seed = derive_seed(self._seed, "suggestion", len(self.trials())) % 2**32
        self._study.sampler = self._optuna.samplers.TPESampler(seed=seed)
        forms = {name: self._form(setting) for name, setting in self.space.items()}
        trial = self._study.ask(forms)
        value, notes = score(self._decode(trial.params))
        for key, note in notes.items():
            trial.set_user_attr(key, note)
        failed = self._optuna.trial.TrialState.FAIL if value is None else None
        return self._read(self._study.tell(trial, value, state=failed))

    def add_default(
        self, values: Mapping[str, Any], score: Callable[[JsonDict], tuple[float | None, JsonDict]]
    ) -> Trial:
        """Score the defaults and record it; what the space can express counts for suggestions."""
        value, notes = score({})
        known = {name: s for name, s in self.space.items() if s.holds(values[name])}
        states = self._optuna.trial.TrialState
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=states.FAIL if value is None else states.COMPLETE,
                value=value,
                params={name: _encode(s, values[name]) for name, s in known.items()},
                distributions={name: self._form(s) for name, s in known.items()},
                user_attrs={**notes, "default": True},
            )
        )
        return self.trials()[-1]

    def importance(self) -> dict[str, float]:
        """How much of the variance of the score each setting explains; empty for few trials."""
        if sum(trial.score is not None for trial in self.trials()) < ENOUGH:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = self._optuna.importance.get_param_importances(self._study)
            except (RuntimeError, ValueError):  # all scores are equal
                return {}
        return {name: float(value) for name, value in found.items()}

    def keep(self, key: str, compute: Callable[[], Any]) -> Any:
        """Return a JSON value kept with the study, computed where it is not there."""
        if key not in self._study.user_attrs:
            self._study.set_user_attr(key, compute())
        return self._study.user_attrs[key]

    def _form(self, setting: Setting) -> Any:
        distributions = self._optuna.distributions
        if not isinstance(setting, Range):
            return distributions.CategoricalDistribution(setting.texts)
        if setting.whole:
            low, high = int(setting.low), int(setting.high)
            return distributions.IntDistribution(low, high, log=setting.log)
        return distributions.FloatDistribution(setting.low, setting.high, log=setting.log)

    def _decode(self, params: Mapping[str, Any]) -> JsonDict:
        return {
            name: value if isinstance(self.space[name], Range) else json.loads(value)
            for name, value in params.items()
        }


def _encode(setting: Setting, value: Any) -> Any:
    if not isinstance(setting, Range):
        return json.dumps(value)
    return int(value) if setting.whole else float(value)


def _lock(path: Path) -> WriterLock:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return WriterLock(path.with_name(f".{path.name}.lock"))
    except StorageError as error:
        raise StorageError(
            f"{path} cannot be used: another process searches there, or the folder is read-only."
        ) from error

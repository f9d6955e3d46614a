"""A table of methods: cells fitted and scored, chance and SM among them, tested, and set out.

What comes out is plain JSON, the same for the terminal, Markdown, CSV and the results site.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.benchmarks.cells import Cells, settings
from commonspace.benchmarks.contestants import SEEDLESS, group_of, make, method_of
from commonspace.benchmarks.reproduce.fits import SideBySide
from commonspace.benchmarks.reproduce.memory import PeakMemory
from commonspace.benchmarks.reproduce.recipe import Entry, Recipe
from commonspace.benchmarks.reproduce.scoring import BY_CLASS, Measure, prepared, score
from commonspace.benchmarks.reproduce.statistics import Direction, Shares, shares, standings
from commonspace.benchmarks.scoring import Parts, check_one_protocol, fit_and_score
from commonspace.errors import CommonspaceError, InputError
from commonspace.evaluation import Protocol, Report, bootstrap_interval, chance
from commonspace.training import Run
from commonspace.types import JsonDict, StrArray

CHANCE = Entry("", "chance", published="chance")
SM = Entry("SM", "SM", published="SM")
MEAN, WITHIN, ALL, NDCG = "mean", "within", "all", "ndcg"
AVERAGED = "{n} fits of other random states, mean of their cosines"
SECONDS, MEMORY = "seconds", "memory_mib"
COSTS = (SECONDS, MEMORY)
CURVES_OF = 2  # modalities: of more there are too many directions to draw

SCORED, LEFT_OUT, FAILED = "scored", "left out", "failed"
PAPER, NOT_RUN = "in the paper alone", "not run"


@dataclass(frozen=True)
class Row:
    """What became of an entry.

    Attributes:
        entry: The entry.
        status: Scored, left out, or failed.
        notes: On how it was scored, or why not.
        cells: One a random state: "report" (with values per query), "seconds" of all fits, and
            "memory_mib", the most of one.
        reports: Of the cells.
        shares: Contributions of the items.
    """

    entry: Entry
    status: str
    notes: tuple[str, ...] = ()
    cells: tuple[JsonDict, ...] = ()
    reports: tuple[Report, ...] = ()
    shares: Shares | None = None


@dataclass(frozen=True)
class Bench:
    """What all rows of a table share."""

    recipe: Recipe
    set_name: str
    parts: Parts
    protocol: Protocol
    kept: Cells
    seeds: int
    jobs: int | None

    @property
    def items(self) -> dict[str, StrArray]:
        """Item ids of the queries of each modality."""
        queries = self.parts.queries
        return {name: part.items[part.labels.known] for name, part in queries.items()}

    @property
    def directions(self) -> list[Direction]:
        """Between different modalities."""
        names = self.parts.queries.modalities
        return [(a, b) for a in names for b in names if a != b]

    def measure(self, entry: Entry) -> Measure:
        """What is measured of a row."""
        protocol = self.protocol
        if entry.metric is not None:
            protocol = replace(protocol, metric=entry.metric)
        if entry.codes:
            protocol = replace(protocol, within=False, gain=None)
        curves = self.recipe.curves and len(self.parts.queries) <= CURVES_OF
        cutoffs = self.recipe.cutoffs if len(self.parts.queries) <= CURVES_OF else ()
        return Measure(protocol, entry.codes, curves, self.recipe.scopes, cutoffs)


def methods_table(bench: Bench) -> JsonDict:
    """Run all rows of a recipe on a data set and set them out."""
    rows = [_chance(bench), *(_row(bench, entry) for entry in _with_floor(bench.recipe.entries))]
    scored = {row.entry.label: row for row in rows if row.shares is not None}
    check_one_protocol(
        {name: _comparable(row, bench.protocol) for name, row in scored.items()}, metrics=True
    )
    found = standings({name: row.shares for name, row in scored.items() if row.shares})
    columns = _columns(bench, list(scored.values()))
    out = [_set_out(bench, row, columns) for row in rows]
    for row in out:
        stand = found.get(row["label"])
        if stand is not None:
            row |= {"best": stand.best, "tied": stand.tied, "p": stand.p}
            row |= {"p_holm": stand.p_holm, "against": stand.against}
    out += _paper_rows(bench.recipe, out, columns)
    result: JsonDict = {"columns": columns, "rows": out}
    curves = _curves(scored)
    return {**result, "curves": curves} if curves else result


def _with_floor(entries: Sequence[Entry]) -> list[Entry]:
    """SM is in every table."""
    plain = any(method_of(e.name) == "SM" and not e.settings and not e.metric for e in entries)
    return list(entries) if plain else [SM, *entries]


def _comparable(row: Row, protocol: Protocol) -> Report:
    """The report under the fields that rows of codes leave out."""
    report = row.reports[0]
    same = replace(report.protocol, within=protocol.within, gain=protocol.gain)
    return Report(same, report.scores) if row.entry.codes else report


def _chance(bench: Bench) -> Row:
    parts = bench.parts
    report = chance(parts.queries, gallery=parts.gallery, protocol=bench.protocol, n_bootstrap=0)
    of_items = shares([report], bench.items, bench.directions)
    return Row(CHANCE, SCORED, reports=(report,), shares=of_items)


def _row(bench: Bench, entry: Entry) -> Row:
    try:
        cells, notes = _cells(bench, entry)
        reports = tuple(Report.from_dict(cell["report"]) for cell in cells)
        of_items = shares(reports, bench.items, bench.directions)
    except CommonspaceError as error:
        return Row(entry, LEFT_OUT, (_first_sentence(str(error)),))
    except Exception as error:  # one broken method costs its row; the table says so, and the exit
        return Row(entry, FAILED, (f"{type(error).__name__}: {error}",))
    tuned = bench.recipe.tuned_on(bench.set_name, entry)
    notes = notes if tuned is None else [*notes, tuned.note]
    return Row(entry, SCORED, tuple(notes), tuple(cells), reports, of_items)


def _cells(bench: Bench, entry: Entry) -> tuple[list[JsonDict], list[str]]:
    wanted = bench.recipe.settings_on(bench.set_name, entry)
    cells: list[JsonDict] = []
    notes: list[str] = []
    for seed in range(bench.seeds):
        learner, notes = prepared(
            make(entry.name, seed, wanted), bench.parts.train, codes=entry.codes
        )
        if seed and entry.name in SEEDLESS and BY_CLASS not in notes:
            break
        cells.append(_cell_of(bench, entry, learner, seed))
    averaged = [AVERAGED.format(n=entry.fits)] if entry.fits > 1 else []
    return cells, [*notes, *averaged]


def _cell_of(bench: Bench, entry: Entry, learner: Any, seed: int) -> JsonDict:
    """What one random state scored, computed where it is not there."""
    measure, stem = bench.measure(entry), f"{Path(bench.set_name).name}-{entry.name}"
    depends_on: Any = (settings(learner), measure, bench.parts.fingerprints())
    uses: tuple[Any, ...] = (type(learner), fit_and_score, score)
    if entry.fits > 1:
        learner = SideBySide(learner, entry.fits)
        stem, depends_on = f"{stem} x{entry.fits}", (entry.fits, depends_on)
        uses = (*uses, SideBySide)
    compute, tell = _computing(learner, bench, measure), _telling(entry.label)
    return bench.kept.get(f"{stem}-{seed}", depends_on, compute, tell, uses=uses)


def _computing(learner: Any, bench: Bench, measure: Measure) -> Callable[[], JsonDict]:
    def compute() -> JsonDict:
        with warnings.catch_warnings():
            # A paper's scopes may be wider than the gallery; misses are what it means then.
            warnings.filterwarnings("ignore", message="precision within .* ranks of a gallery")
            return _measured(learner, bench, measure)

    return compute


def _measured(learner: Any, bench: Bench, measure: Measure) -> JsonDict:
    found = fit_and_score(
        learner,
        bench.parts,
        lambda model, parts: score(model, parts, measure),
        run=Run(jobs=bench.jobs),
        watch=PeakMemory,
    )
    peaks = [peak.mib for peak in found.watched if peak.mib is not None]
    return {
        "seconds": round(found.seconds, 3),
        "memory_mib": max(peaks) if peaks else None,
        "report": found.report.to_dict(per_query=True),
    }


def _telling(label: str) -> Callable[[JsonDict], str]:
    return lambda cell: f"{label}, {cell['report']['mean_ap']:.4f} in {cell['seconds']:.1f} s"


def _columns(bench: Bench, rows: Sequence[Row]) -> list[JsonDict]:
    """All columns there are figures for; "shown" ones are for people."""
    protocol, names = bench.protocol, bench.parts.queries.modalities
    inside = protocol.within and any(
        (name, name) in report.scores for row in rows for report in row.reports for name in names
    )
    keys = ["->".join(direction) for direction in bench.directions]
    keys += [f"{name}->{name}" for name in names] if inside else []
    few = len(keys) <= 4
    keys += [MEAN, *([WITHIN, ALL] if inside else [])]
    keys += [NDCG] if protocol.gain is not None else []
    keys += [*COSTS]
    shown = bench.recipe.columns or [key for key in keys if key != ALL and (few or "->" not in key)]
    for key in shown:
        if key not in keys:
            raise InputError(
                f"{bench.recipe.name}, key 'columns': expected some of {', '.join(keys)}, got "
                f"{key!r}."
            )
    order = [*shown, *(key for key in keys if key not in shown)]
    return [{"key": key, "shown": key in shown} for key in order]


def _set_out(bench: Bench, row: Row, columns: Sequence[JsonDict]) -> JsonDict:
    entry = row.entry
    published = bench.recipe.published
    doubtful = published.doubtful.get(entry.published) if published is not None else None
    why = [*bench.recipe.differs] if published is not None else []
    own = [entry.differs] if entry.differs else []
    own += [f"not a target: {doubtful}"] if doubtful else []
    out: JsonDict = {
        "label": entry.label,
        "name": entry.name or None,
        "group": group_of(entry.name) if entry.name else "floor",
        "status": row.status,
        "doubtful": doubtful,
        "notes": [*row.notes],
        "settings": bench.recipe.settings_on(bench.set_name, entry),
        "seeds": len(row.cells) or None,
        "cells": {c["key"]: _cell(bench, row, c["key"]) for c in columns},
    }
    if entry.at is not None:
        out["at"] = {"argument": entry.at[0], "value": entry.at[1]}
    if published is not None and entry.published in published.rows:
        out["why"] = [*why, *own]
    return out


def _cell(bench: Bench, row: Row, key: str) -> JsonDict:
    """One figure of a row: ours with its interval and spread, and the paper's."""
    cell: JsonDict = {"ours": None, "low": None, "high": None, "sd": None}
    values = [_figure(row, report, at, key) for at, report in enumerate(row.reports)]
    known = [value for value in values if value is not None and np.isfinite(value)]
    if known and len(known) == len(values):
        typical = np.median(known) if key in COSTS else np.mean(known)
        cell["ours"] = float(typical)
        cell["sd"] = float(np.std(known, ddof=1)) if len(known) > 1 else None
        cell["low"], cell["high"] = _interval(bench, row, key)
    published, recipe = bench.recipe.published, bench.recipe
    if published is None:
        return cell
    paper = published.value(row.entry.published, key)
    cell |= {"paper": paper, "deviation": None, "within_tolerance": None}
    if paper is not None and cell["ours"] is not None and key not in COSTS:
        cell["deviation"] = cell["ours"] - paper
        cell["within_tolerance"] = abs(cell["deviation"]) <= recipe.tolerance
    return cell


def _figure(row: Row, report: Report, at: int, key: str) -> float | None:
    if key in COSTS:
        value = row.cells[at][key] if row.cells else None
        return None if value is None else float(value)
    if key == ALL:
        inside = [score.mean_ap for score in report.scores.values()]
        return float(np.mean(inside)) if report.mean_ap_within is not None else None
    if key in (MEAN, WITHIN, NDCG):
        name = {MEAN: "mean_ap", WITHIN: "mean_ap_within", NDCG: "mean_ndcg"}[key]
        return getattr(report, name)  # type: ignore[no-any-return]
    a, _, b = key.partition("->")
    score = report.scores.get((a, b))
    return None if score is None else score.mean_ap


def _interval(bench: Bench, row: Row, key: str) -> tuple[float | None, float | None]:
    """Of a direction, or of a mean over directions; None of others."""
    known = list(row.reports[0].scores)
    means = {
        MEAN: [(a, b) for a, b in known if a != b],
        WITHIN: [(a, b) for a, b in known if a == b],
        ALL: known,
    }
    if means.get(key):
        return shares(row.reports, bench.items, means[key]).interval()
    a, arrow, b = key.partition("->")
    if not arrow:
        return None, None
    ap = np.mean([report.scores[a, b].ap for report in row.reports], axis=0)
    counted = ap[~np.isnan(ap)]
    return bootstrap_interval(counted) if len(counted) else (None, None)


def _paper_rows(
    recipe: Recipe, rows: Sequence[JsonDict], columns: Sequence[JsonDict]
) -> list[JsonDict]:
    """Rows that the paper has and this run has not."""
    if recipe.published is None:
        return []
    taken = {row["label"] for row in rows} | {entry.published for entry in recipe.entries}
    return [
        {
            "label": name,
            "name": None,
            "group": "paper",
            "status": NOT_RUN if name in recipe.not_run else PAPER,
            "notes": [],
            "seeds": None,
            "why": [],
            "cells": {c["key"]: _paper_cell(recipe, name, c["key"]) for c in columns},
        }
        for name in recipe.published.rows
        if name not in taken
    ]


def _paper_cell(recipe: Recipe, name: str, key: str) -> JsonDict:
    empty = dict.fromkeys(("ours", "low", "high", "sd", "deviation", "within_tolerance"))
    paper = recipe.published.value(name, key) if recipe.published is not None else None
    return {**empty, "paper": paper}


def _curves(rows: Mapping[str, Row]) -> JsonDict:
    """Reports of the first random state with curves, by label."""
    return {
        name: row.reports[0].to_dict()
        for name, row in rows.items()
        if all(score.curves is not None for score in row.reports[0].scores.values())
    }


def _first_sentence(text: str) -> str:
    return text.split(". ")[0].rstrip(".")

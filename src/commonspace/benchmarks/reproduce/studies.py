"""Tables that are not methods by directions: losses by epoch, cost of growing, orders.

They have the form of `tables.methods_table`: columns, and rows with a figure for each.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.benchmarks.cells import settings
from commonspace.benchmarks.contestants import group_of, make
from commonspace.benchmarks.reproduce.memory import PeakMemory
from commonspace.benchmarks.reproduce.recipe import Entry, Published, Recipe
from commonspace.benchmarks.reproduce.schema import COUNT, checked
from commonspace.benchmarks.reproduce.scoring import prepared
from commonspace.benchmarks.reproduce.statistics import ALPHA
from commonspace.benchmarks.reproduce.tables import LEFT_OUT, NOT_RUN, PAPER, SCORED, Bench
from commonspace.benchmarks.scoring import groups_of
from commonspace.benchmarks.sequential import (
    CONTESTANTS,
    SETS,
    Scale,
    bench_sequential,
    some_rows,
)
from commonspace.benchmarks.sequential_tests import OURS
from commonspace.data import load_dataset
from commonspace.errors import CommonspaceError, InputError
from commonspace.evaluation import chance, evaluate
from commonspace.training import Run
from commonspace.types import JsonDict

SHOWN_EPOCHS = 6
REFIT = "{label}, fitted again with all"
ADD = "{label}, the new one alone"


def convergence_table(bench: Bench) -> JsonDict:
    """Loss of each modality after some epochs; the curves hold all epochs (random state 0)."""
    rows, curves, shown = [], {}, set()
    for entry in bench.recipe.entries:
        cell = _kept(bench, entry, "losses", lambda learner: _losses(learner, bench))
        history = cell["history"]
        curves[entry.label] = history
        length = max(len(values) for values in history.values())
        epochs = np.unique(np.linspace(1, length, min(SHOWN_EPOCHS, length)).astype(int))
        shown |= {int(epoch) for epoch in epochs}
        for series, values in history.items():
            found = {f"epoch {e}": values[e - 1] for e in epochs if e <= len(values)}
            rows.append(_plain_row(f"{entry.label}, {series}", entry, found))
    keys = [f"epoch {epoch}" for epoch in sorted(shown)]
    columns = [{"key": key, "shown": True} for key in keys]
    return {"columns": columns, "rows": _filled(rows, keys), "losses": curves}


def _losses(learner: Any, bench: Bench) -> JsonDict:
    """Losses by epoch, by modality or, where all train as one, once."""
    learner.fit(bench.parts.train, bench.parts.valid, run=Run(jobs=bench.jobs))
    found: dict[str, dict[str, list[float]]] = {}
    for name, epochs in learner.history_.items():
        for key in epochs[0] if epochs else ():
            if key.endswith("loss"):
                values = [float(epoch[key]) for epoch in epochs if key in epoch]
                found.setdefault(key, {})[name] = values
    if not found:
        raise InputError(f"{type(learner).__name__} keeps no losses by epoch")
    history: dict[str, list[float]] = {}
    for key, of in found.items():
        same = len(of) > 1 and len({tuple(values) for values in of.values()}) == 1
        once = {"joint": next(iter(of.values()))}
        history |= {f"{name}, {key}": values for name, values in (once if same else of).items()}
    return {"history": history}


def growth_table(bench: Bench) -> JsonDict:
    """Seconds and memory of one more modality, each in turn the last to come.

    A method that can add one learns it alone; one that cannot is fitted again with all.
    """
    names = bench.parts.train.modalities
    published = bench.recipe.published
    keys = [f"{name} {what}" for name in names for what in ("seconds", "MiB")]
    rows = []
    for entry in bench.recipe.entries:
        try:
            costs = {
                last: _kept(
                    bench,
                    entry,
                    f"grow {last}",
                    lambda learner, last=last: _grow(learner, bench, last),
                )
                for last in names
            }
        except CommonspaceError as error:
            rows.append(_left_out(entry, str(error)))
            continue
        found = {f"{last} seconds": cost["seconds"] for last, cost in costs.items()}
        found |= {f"{last} MiB": cost["memory_mib"] for last, cost in costs.items()}
        shape = ADD if costs[names[0]]["added"] else REFIT
        rows.append(_plain_row(shape.format(label=entry.label), entry, found))
    columns = [{"key": key, "shown": True} for key in keys]
    rows = _filled(rows, keys)
    return {"columns": columns, "rows": _with_paper(rows, bench.recipe, published, keys)}


def _grow(learner: Any, bench: Bench, last: str) -> JsonDict:
    train, run = bench.parts.train, Run(jobs=bench.jobs)
    learner, _ = prepared(learner, train)
    if len(groups_of(learner, train.modalities)) > 1:
        raise InputError(f"takes {learner.max_modalities} modalities at most")
    others = [name for name in train.modalities if name != last]
    part = train[last]
    if learner.can_add_modality:
        learner.fit(train.select(others), run=run)
    with PeakMemory() as peak:
        start = time.perf_counter()
        if learner.can_add_modality:
            learner.fit_modality(last, part.x, part.labels, items=part.items, run=run)
        else:
            learner.fit(train, run=run)
        seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 3),
        "memory_mib": peak.mib,
        "added": bool(learner.can_add_modality),
    }


def orders_table(bench: Bench, root: str | Path | None, cells: str | Path) -> JsonDict:
    """Strategies of learning modality after modality, by `bench_sequential`."""
    known = {field.name: COUNT for field in fields(Scale)} | {"orders": COUNT}
    options = checked(bench.recipe.options, known, where=f"{bench.recipe.name}, [options]")
    orders = options.pop("orders", 5)
    found = bench_sequential(
        sets=(bench.set_name,),
        contestants=tuple(CONTESTANTS),
        orders=orders,
        seeds=bench.seeds,
        scale=Scale(**options),
        root=root,
        cells=Path(cells) / "orders",
        say=bench.kept.say,
    )
    shown = ("final", "forgetting", "backward", "plasticity", "stale", "memory_bytes", "seconds")
    tests = {test["against"]: test for test in found["tests"] if test["of"] == "final"}
    rows = [_order_row(row, shown, tests.get(row["method"])) for row in found["rows"]]
    scored = [row for row in rows if "joint" not in row["label"] and row["label"] != "SDML"]
    best = max(scored, key=lambda row: row["cells"]["final"]["ours"])
    best["best"] = True
    for row in scored:
        p = row.get("p_holm")
        row["tied"] = bool(best["label"] == OURS and p is not None and p > ALPHA)
        if best["label"] != OURS:  # the tests are of ours against each other
            row.pop("p_holm", None)
    columns = [{"key": key, "shown": True} for key in shown]
    return {"columns": columns, "rows": [*_floors(bench, shown, root, options), *rows]}


def _floors(
    bench: Bench, keys: Sequence[str], root: str | Path | None, options: Mapping[str, int]
) -> list[JsonDict]:
    """Chance and SM on the modalities that the orders have; SM learns from the same rows."""
    data = load_dataset(bench.set_name, root=root)
    names = SETS.get(bench.set_name) or data["train"].modalities
    scale = Scale(**options)
    train = some_rows(data["train"].select(names), scale.rows)
    test = some_rows(data["test"].select(names), scale.test_rows)
    model = make("SM", 0).fit(train)
    found = {"chance": chance(test, n_bootstrap=0), "SM": evaluate(model, test, n_bootstrap=0)}
    seconds = {"chance": None, "SM": model.training_["seconds"]}
    rows = []
    for name, report in found.items():
        figures = {"final": report.mean_ap, "seconds": seconds[name]}
        row = _plain_row(name, Entry("SM" if name == "SM" else "", name), figures)
        rows.append({**row, "notes": ["all modalities at once"] if name == "SM" else []})
    return _filled(rows, keys)


def _order_row(row: JsonDict, keys: Sequence[str], test: JsonDict | None) -> JsonDict:
    name = "SDML" if row["method"] == "SDML" else "Sequential"
    entry = Entry(name, row["method"])
    out = _plain_row(row["method"], entry, {key: row[key] for key in keys})
    out["cells"]["final"]["sd"] = row["sd"]
    out["seeds"] = row["runs"]
    if test is not None:
        out |= {"p": test["p"], "p_holm": test["p_holm"], "against": OURS}
    return out


def _kept(bench: Bench, entry: Entry, what: str, compute: Any) -> JsonDict:
    wanted = bench.recipe.settings_on(bench.set_name, entry)
    learner = make(entry.name, 0, wanted)
    stem = f"{Path(bench.set_name).name}-{entry.label}-{what}"
    depends_on = (settings(learner), bench.parts.fingerprints())
    uses = (type(learner), PeakMemory)
    return bench.kept.get(
        stem, depends_on, lambda: compute(learner), lambda cell: "done", uses=uses
    )


def _plain_row(label: str, entry: Entry, figures: Mapping[str, float | None]) -> JsonDict:
    cells = {key: _plain_cell(value) for key, value in figures.items()}
    return {
        "label": label,
        "name": entry.name or None,
        "group": group_of(entry.name) if entry.name else "floor",
        "status": SCORED,
        "notes": [],
        "settings": entry.settings,
        "seeds": 1,
        "published": entry.published,
        "cells": cells,
    }


def _plain_cell(value: float | None) -> JsonDict:
    ours = None if value is None else float(value)
    return {"ours": ours, "low": None, "high": None, "sd": None}


def _left_out(entry: Entry, reason: str) -> JsonDict:
    return {**_plain_row(entry.label, entry, {}), "status": LEFT_OUT, "notes": [reason]}


def _filled(rows: Sequence[JsonDict], keys: Sequence[str]) -> list[JsonDict]:
    for row in rows:
        row["cells"] = {key: row["cells"].get(key, _plain_cell(None)) for key in keys}
    return list(rows)


def _with_paper(
    rows: list[JsonDict], recipe: Recipe, published: Published | None, keys: Sequence[str]
) -> list[JsonDict]:
    """Costs of the paper beside ours; costs of other machines have no deviation."""
    if published is None:
        return rows
    extra = {"deviation": None, "within_tolerance": None}
    for row in rows:
        row["why"] = list(recipe.differs)
        for key in keys:
            row["cells"][key] |= {"paper": published.value(row["published"], key), **extra}
    taken = {row["published"] for row in rows}
    for name in published.rows:
        if name not in taken:
            cells = {
                key: {**_plain_cell(None), "paper": published.value(name, key), **extra}
                for key in keys
            }
            row = _plain_row(name, Entry("", name), {})
            status = NOT_RUN if name in recipe.not_run else PAPER
            rows.append({**row, "status": status, "group": "paper", "cells": cells, "why": []})
    return rows

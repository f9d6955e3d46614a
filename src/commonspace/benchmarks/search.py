"""How fast each kind of index answers, what it finds, and what our layer costs over FAISS alone.

Items are real vectors of a trained space, those of the test split of a set, resampled with noise to
the number asked for: ``v + noise · |v| · g / √dim`` with g standard normal. Half of the items of
the test split are asked for in this way, the other half asks, as it is. Everything runs in one
thread and is timed in CPU seconds, so that other work on the machine counts little; ours and
FAISS's calls on the same index object take turns.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from commonspace.benchmarks.rss import RSS_PROGRAM
from commonspace.checks import check_range, not_found
from commonspace.data import load_dataset
from commonspace.index import bytes_per_item, make_index
from commonspace.machine import describe_machine
from commonspace.methods import SDML
from commonspace.quantization import Quantizer
from commonspace.training import Run
from commonspace.types import AnyArray, Float32Array, FloatArray, IntArray, JsonDict

K = 10
# Mean average precision is of the first ranks of so many items: of the copies that a million is
# made of, the first hundred would be those of one or two sources.
RANKS, RANKED_ITEMS = 1000, 20_000
LEARN_FROM = 100_000
BATCH = 100
_STEP = 1 << 16

KINDS: dict[str, tuple[str, JsonDict]] = {
    "exact": ("exact", {}),
    "ivf": ("ivf", {}),
    "hnsw": ("hnsw", {}),
    "pq 64": ("pq", {"bits": 64}),
    "opq 64": ("opq", {"bits": 64}),
    "codes 4x8": ("codes", {"bits": 32}),
    "codes 4x8, float": ("codes", {"bits": 32, "rerank": "float"}),
    "codes 8x4": ("codes4", {"bits": 32}),
    "codes 8x4, code": ("codes4", {"bits": 32, "rerank": "code"}),
    "codes 8x4, 64 bits": ("codes4", {"bits": 32, "rerank": 64}),
    "codes 16x4, 128 bits": ("codes4", {"bits": 64, "rerank": 128}),
    "codes 8x4, float": ("codes4", {"bits": 32, "rerank": "float"}),
    "binary 64": ("binary", {"bits": 64}),
    "binary 64, float": ("binary", {"bits": 64, "rerank": "float"}),
}
HEADLINE = "codes 8x4"


def bench_search(
    *,
    name: str = "mfeat",
    n_items: int = 100_000,
    dim: int = 128,
    noise: float = 0.3,
    kinds: Sequence[str] = tuple(KINDS),
    n_queries: int = 200,
    recall: float = 0.95,
    seconds: float = 0.5,
    repeats: int = 3,
    most_graph_items: int = 200_000,
    memory_items: int = 0,
    seed: int = 0,
    root: str | Path | None = None,
    plots: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Measure kinds of index on one set of items.

    Args:
        name: A set that `load_dataset` knows.
        n_items: Items to search.
        dim: Of the space, of `SDML.fast`.
        noise: Length of the noise, as a share of a vector's.
        kinds: Among `KINDS`.
        n_queries: Queries that recall and mAP are the means of.
        recall: What kinds with an effort are tuned to, by items as queries.
        seconds: CPU seconds of one timing.
        repeats: Timings of each, in turn; the fastest counts.
        most_graph_items: A graph is built of so many items at most, against exact search of the
            same, and its row says so.
        memory_items: Also search so many codes in a process of their own and read its memory; 0
            leaves it out.
        seed: Of the space, the items and the queries.
        root: Where the data sets are.
        plots: Folder for pictures; None draws none.
        say: Called with a line after each kind.

    Returns:
        The form of all benchmarks. Rows have "qps_1" and "qps_100" (queries a CPU second, one at
        a time and a hundred at once), "faiss_1", "faiss_100" and the "cost_" of our layer over
        them, "recall" of the 10 true neighbours, "mean_ap" over the first 1,000 ranks of the first
        20,000 items and its share "of_float", "bytes" an item and "build_seconds".
    """
    check_range("n_items", n_items, low=1000, integer=True)
    check_range("repeats", repeats, low=1, integer=True)
    for kind in kinds:
        if kind not in KINDS:
            raise not_found("kind", kind, KINDS)
    problem = _problem(name, n_items, dim, noise, n_queries, seed, root)
    bench = _Bench(problem, recall, seconds, repeats, say)
    rows = []
    for kind in ("exact", *(kind for kind in kinds if kind != "exact")):
        n = min(n_items, most_graph_items) if KINDS[kind][0] == "hnsw" else n_items
        rows.append(bench.row(kind, n))
    result: JsonDict = {
        "bench": "search",
        "machine": describe_machine(),
        "data": {"set": name, "items": n_items, "dim": dim, "noise": noise, "resampled": True},
        "rows": rows,
        "ratios": _ratios(rows),
    }
    if memory_items:
        found = _memory(problem, memory_items)
        say(f"{memory_items} codes: {found['peak_bytes'] / 1e6:.0f} MB")
        result["memory"] = [found]
    if plots is not None:
        from commonspace.benchmarks.search_plots import draw

        result["plots"] = [str(path) for path in draw(rows, Path(plots))]
    return result


@dataclass(frozen=True, eq=False)
class Problem:
    """What is searched, by what, and what is relevant.

    Attributes:
        items: Shape (n, dim); ``classes`` has the label weights of each, one source row a cell.
        queries: Shape (n_queries, dim), of unit length; ``asked`` are their label weights.
        learn: Vectors of the training split, noisy as the items are; ``labels`` are theirs.
    """

    items: Float32Array
    classes: AnyArray
    queries: Float32Array
    asked: AnyArray
    learn: Float32Array
    labels: AnyArray


def _problem(
    name: str, n_items: int, dim: int, noise: float, n_queries: int, seed: int, root: Any
) -> Problem:
    data = load_dataset(name, root=root)
    model = SDML.fast(dim=dim, random_state=seed)
    model.fit(data["train"], data.get("valid"), run=Run(jobs=1))
    vectors, labels = {}, {}
    for split in ("train", "test"):
        part = data[split]
        vectors[split] = np.concatenate([_unit(model.transform(m, part.x(m))) for m in part])
        labels[split] = np.concatenate([part[m].labels.dense() for m in part])
    rng = np.random.default_rng(seed)
    names = np.concatenate([part.items for part in data["test"].values()])
    asking = np.isin(names, rng.permutation(np.unique(names))[: len(np.unique(names)) // 2])
    source = rng.choice(np.flatnonzero(~asking), n_items)
    rows = rng.permutation(np.flatnonzero(asking))[:n_queries]
    return Problem(
        _noisy(vectors["test"], source, noise, rng),
        labels["test"][source],
        vectors["test"][rows],
        labels["test"][rows],
        _noisy(vectors["train"], np.arange(len(vectors["train"])), noise, rng),
        labels["train"],
    )


def _noisy(vectors: Float32Array, source: IntArray, noise: float, rng: Any) -> Float32Array:
    dim = vectors.shape[1]
    out = np.empty((len(source), dim), np.float32)
    for at in range(0, len(source), _STEP):
        rows = vectors[source[at : at + _STEP]]
        spread = rng.standard_normal(rows.shape, dtype=np.float32)
        out[at : at + _STEP] = rows + (noise / np.sqrt(dim)) * spread
    return _unit(out)


def _unit(x: AnyArray) -> Float32Array:
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12), np.float32)


class _Bench:
    """Measures one kind after the other against the exact answer."""

    def __init__(
        self,
        problem: Problem,
        recall: float,
        seconds: float,
        repeats: int,
        say: Callable[[str], None],
    ) -> None:
        self.problem, self.recall, self.say = problem, recall, say
        self.seconds, self.repeats = seconds, repeats
        self.true: dict[int, IntArray] = {}
        self.precise: dict[str, float] = {}

    def row(self, kind: str, n: int) -> JsonDict:
        start = time.process_time()
        index = self._build(kind, n)
        built = time.process_time() - start
        if hasattr(index, "tune") and index.kind in ("ivf", "hnsw"):
            keys = np.random.default_rng(1).choice(n, 200, replace=False)
            index.tune(self.problem.items[keys], self.recall, own=keys)
        effort = getattr(index, "effort", 0)
        found, mean_ap = self._found(index, n), self._mean_ap(kind, effort)
        row = {
            "kind": kind,
            "items": n,
            "bytes": bytes_per_item(index.kind, self.problem.items.shape[1], index.settings),
            "build_seconds": round(built, 2),
            "effort": effort or None,
            **self._pace(index),
            "recall": found,
            "mean_ap": mean_ap,
            "of_float": mean_ap / self._mean_ap("exact", 0),
        }
        self.say(f"{kind}: recall {found:.3f}, {row['qps_1']:.0f} queries/s, {built:.1f} s")
        return row

    def _build(self, kind: str, n: int) -> Any:
        name, options = KINDS[kind]
        p = self.problem
        index: Any = make_index(name, **options)
        if name.startswith("codes"):
            index.train(p.learn, p.labels, n_items=n)
        else:
            some = np.random.default_rng(0).permutation(n)[:LEARN_FROM]
            index.train(p.items[np.sort(some)], n_items=n)
        for at in range(0, n, _STEP):
            index.add(np.arange(at, min(at + _STEP, n)), p.items[at : min(at + _STEP, n)])
        return index

    def _found(self, index: Any, n: int) -> float:
        if n not in self.true:
            exact = index if index.kind == "exact" else self._build("exact", n)
            self.true[n] = exact.search(self.problem.queries, K).keys
        found = index.search(self.problem.queries, K).keys
        same = (self.true[n][:, :, None] == found[:, None, :]).any(axis=2)
        return float(same.mean())

    def _mean_ap(self, kind: str, effort: int) -> float:
        """AP over the first ranks, divided by as many as could be relevant there."""
        if kind not in self.precise:
            p, n = self.problem, min(RANKED_ITEMS, len(self.problem.items))
            index = self._build(kind, n)
            index.effort = effort
            keys = index.search(p.queries, min(RANKS, n)).keys
            relevant = (p.asked[:, None] * p.classes[keys]).any(axis=2)
            there = np.minimum((p.asked @ p.classes[:n].T > 0).sum(axis=1), keys.shape[1])
            precision = relevant.cumsum(axis=1) / np.arange(1, keys.shape[1] + 1)
            each: FloatArray = (precision * relevant).sum(axis=1) / np.maximum(there, 1)
            self.precise[kind] = float(each.mean())
        return self.precise[kind]

    def _pace(self, index: Any) -> JsonDict:
        """Queries a CPU second, ours and FAISS's own on the same object, in turn."""
        queries, direct = self.problem.queries, _direct(index, self.problem.queries)
        cells: JsonDict = {}
        for size in (1, min(BATCH, len(queries))):
            parts = [queries[at : at + size] for at in range(0, len(queries) - size + 1, size)]
            codes = [direct.queries[at : at + size] for at in range(0, len(queries), size)]
            best = {"qps": 0.0, "faiss": 0.0}
            for _ in range(self.repeats):
                ours = _rate(lambda part: index.search(part, K), parts, self.seconds)
                theirs = _rate(lambda part: direct.search(part, K), codes, self.seconds)
                best["qps"] = max(best["qps"], size * ours)
                best["faiss"] = max(best["faiss"], size * theirs)
            name = 1 if size == 1 else BATCH
            cells |= {f"{key}_{name}": round(value, 1) for key, value in best.items()}
            cells[f"cost_{name}"] = best["faiss"] / best["qps"] - 1
        return cells


@dataclass(frozen=True, eq=False)
class _Direct:
    """FAISS's own search of an index, with queries as it takes them."""

    search: Callable[..., Any]
    queries: AnyArray


def _direct(index: Any, queries: Float32Array) -> _Direct:
    if index.kind == "exact":
        return _Direct(index.faiss_index.search, queries)
    if index.kind == "binary":  # FAISS has no ranking of binary codes by floats, so it does less
        return _Direct(index.faiss_index.search, index.codes(queries))
    if index.kind == "ivf":
        index.faiss_index.nprobe = index.effort
    if index.kind == "hnsw":
        index.faiss_index.hnsw.efSearch = max(index.effort, K)
    if getattr(index, "rerank", None) is not None:
        index.faiss_index.k_factor = index.effort
    return _Direct(index.faiss_index.search, queries)


def _rate(call: Callable[[Any], Any], parts: Sequence[AnyArray], seconds: float) -> float:
    """Calls a CPU second, over the parts in turn."""
    call(parts[0])
    done, start = 0, time.thread_time()
    for part in cycle(parts):
        call(part)
        done += 1
        if (spent := time.thread_time() - start) >= seconds and done >= 3:
            return done / spent
    raise AssertionError("parts are never empty")


def _ratios(rows: Sequence[JsonDict]) -> dict[str, float]:
    table = {row["kind"]: row for row in rows}
    ratios = {
        f"cost_{size}: {row['kind']}": row[f"cost_{size}"] for row in rows for size in (1, BATCH)
    }
    if HEADLINE in table:
        ours, exact = table[HEADLINE], table["exact"]
        for size in (1, BATCH):
            name = f"{HEADLINE} over exact, queries/s at batch {size}"
            ratios[name] = ours[f"qps_{size}"] / exact[f"qps_{size}"]
        ratios[f"{HEADLINE} over exact, mAP"] = ours["of_float"]
    return ratios


def _memory(problem: Problem, n_items: int) -> JsonDict:
    """Peak memory of a process that makes an index of so many codes and searches it."""
    quantizer = Quantizer(32, 4).fit(problem.learn, problem.labels)
    with TemporaryDirectory() as name:
        path = Path(name) / "problem.npz"
        codes = quantizer.encode(problem.items[:LEARN_FROM])
        np.savez(path, D=quantizer.D_, codes=codes, queries=problem.queries)
        command = [sys.executable, "-c", RSS_PROGRAM, str(path), str(n_items)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: JsonDict = json.loads(done.stdout)
    return {"kind": HEADLINE, "items": n_items, **found}

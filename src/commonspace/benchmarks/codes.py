"""What a few bytes a vector cost in mean average precision: ours and FAISS's codes, equal bytes.

Every coder learns from the training vectors of all modalities of one space and codes the test
vectors; float queries of each modality are ranked against the decoded vectors of every other. Each,
the float vectors too, takes the better of inner product, which is the asymmetric distance of SPDQ,
and cosine, so that none loses by a choice of ours. "own codes" are those of a space that learns
codes with its vectors, by `encode` and `decode` of a model of as many bits, over the float vectors
of that same model.

Where a data set has a validation part, no network learns from it, but epochs and temperatures of
the space are chosen on it, and then `Quantizer` chooses on it how much labels count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.benchmarks.cells import Cells, settings
from commonspace.benchmarks.coders import CODERS, OURS, OWN, Coder, UnfitError
from commonspace.benchmarks.codes_scores import METRICS, Coded, coded, cross_modal, transformed
from commonspace.checks import check_bits, not_found
from commonspace.data import Splits, load_dataset
from commonspace.evaluation import score_vectors
from commonspace.machine import describe_machine
from commonspace.methods import SDML, SPDQ
from commonspace.training import Run
from commonspace.types import AnyArray, JsonDict

SETS = ("wikipedia", "ucm_captions", "pascal_sentences", "coco_mini", "mfeat")
SPACES: dict[str, Callable[[int], Any]] = {
    "SDML": lambda seed: SDML.fast(dim=128, random_state=seed),
    "SPDQ": lambda seed: SPDQ(effort=0.5, random_state=seed),
    "SPDQ -classification": lambda seed: SPDQ(effort=0.5, alpha=0, random_state=seed),
    "SPDQ -private": lambda seed: SPDQ(effort=0.5, private_term=False, random_state=seed),
    "SPDQ -alignment": lambda seed: SPDQ(effort=0.5, label_alignment=False, random_state=seed),
}
BITS = (8, 16, 32, 64, 128)
SHARES = (0.25, 0.5, 1.0)
SHARE_CODERS = ("Quantizer", "PQ", "OPQ", "RQ", OWN)
STUDY_BITS = 32
FLOAT = "float"
METHODS = (*CODERS, OWN)


def bench_codes(
    *,
    sets: Sequence[str] = SETS,
    spaces: Sequence[str] = ("SDML",),
    methods: Sequence[str] = METHODS,
    bits: Sequence[int] = BITS,
    seeds: int = 3,
    sizes: bool = False,
    root: str | Path | None = None,
    cells: str | Path = "build/bench/codes",
    plots: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Score codes on data sets, spaces and bits.

    Args:
        sets: Names that `load_dataset` knows.
        spaces: Among `SPACES`: whose vectors are coded.
        methods: Among `METHODS`; "own codes" are left out where a space has none.
        bits: Of a code, multiples of 8 from 8 to 128.
        seeds: How many random states, of the space and of the coder, from 0.
        sizes: Also learn 32-bit codebooks from a quarter and a half of the training rows; own codes
            learn their space from so many, too.
        root: Where the data sets are.
        cells: Folder of finished `Cells`.
        plots: Folder for pictures; None draws none.
        say: Called with a line after each cell.

    Returns:
        The form of all benchmarks: rows of "set", "space", "method", "bits", "mean_ap", "sd",
        "float_ap", "of_float", "items_per_second"; "sizes" likewise by "rows"; the ratio
        "NAME/BITS" is the mean over sets of ours over the best of FAISS. A coder that does not fit
        the vectors, as k-means of more centres than rows, has no row; nor have float vectors where
        own codes alone are asked for, each of which come with float vectors of their own.
    """
    for name in methods:
        if name not in METHODS:
            raise not_found("method", name, METHODS)
    for n_bits in bits:
        check_bits("bits", n_bits, high=128)
    for name in spaces:
        if name not in SPACES:
            raise not_found("space", name, SPACES)
    bench = _Bench(root, Path(cells), say)
    rows, size_rows = [], []
    for name in sets:
        for space in spaces:
            rows += bench.table(name, space, methods, bits, seeds)
            if sizes:
                size_rows += bench.sizes(name, space, methods, seeds)
    result: JsonDict = {"bench": "codes", "machine": describe_machine(), "rows": rows}
    if sizes:
        result["sizes"] = size_rows
    result["ratios"] = _ratios(rows)
    if plots is not None:
        from commonspace.benchmarks.codes_plots import draw

        curves = bench.curves(sets, spaces)
        result["plots"] = [str(path) for path in draw(rows, size_rows, curves, Path(plots))]
    return result


class _Bench:
    """The vectors of a set and a space, computed once, and the cells made of them."""

    def __init__(self, root: Any, cells: Path, say: Callable[[str], None]) -> None:
        self.root, self.kept = root, Cells(cells, say)
        self.done: dict[tuple[str, str, str, int, int, float], JsonDict] = {}
        self._loaded: dict[str, Splits] = {}
        self._made: dict[tuple[str, str, int], Coded] = {}

    def table(
        self, name: str, space: str, methods: Sequence[str], bits: Sequence[int], seeds: int
    ) -> list[JsonDict]:
        rows = []
        if set(methods) != {OWN}:
            rows.append(self.row(name, space, FLOAT, 0, seeds))
        emits = bool(SPACES[space](0).emits_codes)
        for method in methods:
            for n_bits in bits if emits or method != OWN else ():
                rows.append(self.row(name, space, method, n_bits, seeds))
        return [row for row in rows if row]

    def sizes(self, name: str, space: str, methods: Sequence[str], seeds: int) -> list[JsonDict]:
        emits = bool(SPACES[space](0).emits_codes)
        asked = [m for m in SHARE_CODERS if m in methods and (emits or m != OWN)]
        rows = [
            self.row(name, space, method, STUDY_BITS, seeds, share)
            for method in asked
            for share in SHARES
        ]
        return [row for row in rows if row]

    def row(
        self, name: str, space: str, method: str, bits: int, seeds: int, share: float = 1.0
    ) -> JsonDict:
        """Mean over seeds; nothing where a coder does not fit."""
        found = [self.cell(name, space, method, bits, seed, share) for seed in range(seeds)]
        if any("skipped" in cell for cell in found):
            return {}
        whole = found
        if method != OWN:
            whole = [self.cell(name, space, FLOAT, 0, seed) for seed in range(seeds)]
        return _row(name, space, method, bits, found, whole)

    def curves(
        self, sets: Sequence[str], spaces: Sequence[str]
    ) -> dict[tuple[str, str], dict[str, JsonDict]]:
        """Precision within the first N of seed 0 at 32 bits, where that was asked for."""
        return {
            (name, space): {
                method: cell["scope"]
                for (n, s, method, bits, seed, share), cell in self.done.items()
                if (n, s, seed, share) == (name, space, 0, 1.0)
                and bits == (0 if method == FLOAT else STUDY_BITS)
                and "scope" in cell
            }
            for name in sets
            for space in spaces
        }

    def cell(
        self, name: str, space: str, method: str, bits: int, seed: int, share: float = 1.0
    ) -> JsonDict:
        rows = "" if share == 1 else f"-share{share:g}"
        stem = f"{Path(name).name}-{space}-{method}-{bits}-{seed}{rows}"
        known = [part.fingerprint() for part in self.data(name).values()]

        def compute() -> JsonDict:
            try:
                return self.compute(name, space, method, bits, seed, share)
            except UnfitError as error:
                return {"skipped": str(error)}

        def tell(cell: JsonDict) -> str:
            return str(cell["skipped"]) if "skipped" in cell else f"{cell['mean_ap']:.4f}"

        learner = SPACES[space](seed)
        depends_on, uses = (settings(learner), known), (type(learner), Coder, score_vectors)
        found = self.kept.get(stem, depends_on, compute, tell, uses=uses)
        self.done[name, space, method, bits, seed, share] = found
        return found

    def data(self, name: str) -> Splits:
        if name not in self._loaded:
            self._loaded = {name: load_dataset(name, root=self.root)}
        return self._loaded[name]

    def compute(
        self, name: str, space: str, method: str, bits: int, seed: int, share: float
    ) -> JsonDict:
        if method == OWN:
            return self.own(name, space, bits, seed, share)
        made = self.vectors(name, space, seed)
        if method == FLOAT:
            same = {m: z for m, (z, _) in made.test.items()}
            return cross_modal(made.test, same, same, METRICS)
        return coded(made, method, bits, seed, share)

    def own(self, name: str, space: str, bits: int, seed: int, share: float) -> JsonDict:
        """What a space's own codes keep of the float vectors of the same model."""
        data = self.data(name)
        train = data["train"]
        if share < 1:
            train, _ = train.split(1 - share, seed=seed)
        model = SPACES[space](seed)
        model = type(model)(**{**model.get_params(), "bits": bits})
        model.fit(train, data.get("valid"), run=Run(jobs=1))
        test = transformed(model, data["test"])
        asked = {m: z for m, (z, _) in test.items()}
        start = time.perf_counter()
        codes = {m: model.encode(m, part.x) for m, part in data["test"].items()}
        seconds = time.perf_counter() - start
        given = {m: model.decode(found) for m, found in codes.items()}
        whole, found = (cross_modal(test, asked, items, METRICS) for items in (asked, given))
        return {
            **found,
            "float_ap": whole["mean_ap"],
            "items_per_second": round(sum(map(len, codes.values())) / seconds),
            "rows": sum(map(len, train.values())),
        }

    def vectors(self, name: str, space: str, seed: int) -> Coded:
        key = (name, space, seed)
        if key not in self._made:
            data = self.data(name)
            model = SPACES[space](seed).fit(data["train"], data.get("valid"), run=Run(jobs=1))
            train, test = (transformed(model, data[part]) for part in ("train", "test"))
            valid = transformed(model, data["valid"]) if "valid" in data else None
            self._made[key] = Coded(train, valid, test)
        return self._made[key]


def _row(
    name: str,
    space: str,
    method: str,
    bits: int,
    found: Sequence[JsonDict],
    whole: Sequence[JsonDict],
) -> JsonDict:
    values: AnyArray = np.array([cell["mean_ap"] for cell in found])
    of: AnyArray = np.array([cell.get("float_ap", cell["mean_ap"]) for cell in whole])
    speeds = [cell["items_per_second"] for cell in found if "items_per_second" in cell]
    return {
        "set": name,
        "space": space,
        "method": method,
        "bits": bits,
        "seeds": len(found),
        "mean_ap": float(values.mean()),
        "sd": float(values.std(ddof=1 if len(values) > 1 else 0)),
        "float_ap": float(of.mean()),
        "of_float": float((values / of).mean()),
        "items_per_second": float(np.median(speeds)) if speeds else None,
        **({"rows": found[0]["rows"]} if "rows" in found[0] else {}),
    }


def _ratios(rows: Sequence[JsonDict]) -> dict[str, float]:
    """Per bits, the mean over sets and spaces of Quantizer over the best code of FAISS."""
    table = {(r["set"], r["space"], r["bits"], r["method"]): r["mean_ap"] for r in rows}
    ratios: dict[str, list[float]] = {}
    for (name, space, bits, method), ours in table.items():
        others = [
            value
            for (n, s, b, m), value in table.items()
            if (n, s, b) == (name, space, bits) and m not in OURS
        ]
        if method == "Quantizer" and others:
            ratios.setdefault(f"quantizer_over_best_{bits}_bits", []).append(ours / max(others))
    return {name: float(np.mean(values)) for name, values in ratios.items()}


__all__ = ["BITS", "METHODS", "SETS", "SPACES", "Coder", "bench_codes"]

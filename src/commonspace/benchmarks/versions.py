"""Whether an encoder that was trained again may ask items that its predecessor encoded.

Two models are trained from different random states towards one space. Queries by the new encoder of
a modality search items by the old ones; that is scored beside queries and items of one version.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from commonspace.data import load_dataset
from commonspace.evaluation import score_vectors
from commonspace.machine import describe_machine
from commonspace.methods import SDML
from commonspace.training import Run
from commonspace.types import JsonDict

SETS = ("wikipedia", "pascal_sentences", "mfeat")


def bench_versions(
    *,
    sets: Sequence[str] = SETS,
    dim: int = 128,
    seed: int = 0,
    root: str | Path | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> JsonDict:
    """Score versions of `SDML.fast` against themselves and one another, on test splits.

    Args:
        sets: Names that `load_dataset` knows.
        dim: Of the space.
        seed: Of the first version; the second has the next one.
        root: Where the data sets are.
        say: Called with a line after each set.

    Returns:
        The form of all benchmarks. A row a set, of mean average precisions: "same" (mean of both
        versions, over directions between modalities), "new_asks_old" (queries by the second
        version, items by the first), "old_asks_new"; and "within_same" and "within_crossed" where
        queries and items are of one modality. Ratios are crossed over same.
    """
    rows = []
    for name in sets:
        rows.append({"set": name, **_scores(name, dim, seed, root)})
        say(f"{name}: same {rows[-1]['same']:.4f}, new asks old {rows[-1]['new_asks_old']:.4f}")
    return {
        "bench": "versions",
        "machine": describe_machine(),
        "data": {"method": "SDML.fast", "dim": dim, "seeds": [seed, seed + 1]},
        "rows": rows,
        "ratios": {
            f"{row['set']}: {crossed} over {same}": row[crossed] / row[same]
            for row in rows
            for crossed, same in (("new_asks_old", "same"), ("within_crossed", "within_same"))
        },
    }


def _scores(name: str, dim: int, seed: int, root: Any) -> JsonDict:
    data = load_dataset(name, root=root)
    old = SDML.fast(dim=dim, random_state=seed)
    old.fit(data["train"], data.get("valid"), run=Run(jobs=1))
    new = SDML.fast(dim=dim, random_state=seed + 1, space=old.space_)
    new.fit(data["train"], data.get("valid"), run=Run(jobs=1))
    old.space_.check_same(new.space_, where="the second version")
    labels, vectors = {}, {}
    for modality, part in data["test"].items():
        known = part.take(np.flatnonzero(part.labels.known))
        labels[modality] = known.labels.dense()
        vectors[modality] = {
            version: model.transform(modality, known.x)
            for version, model in (("old", old), ("new", new))
        }
    found: dict[str, list[float]] = {}
    for query, item in product(vectors, vectors):
        for asks, asked in product(("old", "new"), repeat=2):
            score = score_vectors(
                vectors[query][asks],
                vectors[item][asked],
                labels[query],
                labels[item],
                exclude_self=query == item,
                n_bootstrap=0,
            )
            crossed = asks != asked
            kind = f"{asks}_asks_{asked}" if crossed else "same"
            if query == item:
                kind = "within_crossed" if crossed else "within_same"
            found.setdefault(kind, []).append(score.mean_ap)
    return {kind: float(np.mean(values)) for kind, values in found.items()}

"""Nine of ten labels are unknown: what methods make of the rest, and of pairs."""

from __future__ import annotations

import numpy as np

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.methods import CCA, SM, ThreeViewCCA


def unlabelled(data: Dataset, share: float) -> Dataset:
    """The same rows; those of so many items have no label any more."""
    first = next(iter(data.values()))
    gone = np.random.default_rng(0).permutation(first.items)[: int(share * len(first.items))]
    labels = {
        name: np.where(np.isin(part.items, gone), -1, part.labels.codes)
        for name, part in data.items()
    }
    x = {name: part.x for name, part in data.items()}
    items = {name: part.items for name, part in data.items()}
    return Dataset.from_arrays(x, labels, classes=data.classes, items=items)


def main() -> None:
    data = make_dataset(n_items=500, n_classes=5, dims={"image": 48, "text": 24}, noise=1.5)
    few = unlabelled(data["train"], 0.9)
    print("labelled rows:", int(few.labels("image").labelled.sum()), "of", len(few["image"]))
    print(f"{'':14}{'all labels':>12}{'a tenth':>12}")
    for kind, settings in ((SM, {}), (CCA, {"dim": 8}), (ThreeViewCCA, {"dim": 8})):
        scores = [
            cs.evaluate(kind(**settings).fit(train), data["test"], n_bootstrap=0).mean_ap
            for train in (data["train"], few)
        ]
        print(f"{kind.__name__:14}{scores[0]:12.3f}{scores[1]:12.3f}")


if __name__ == "__main__":
    main()

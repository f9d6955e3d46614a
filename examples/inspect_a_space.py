"""Break a space on purpose and see that it is noticed; find labels that are wrong."""

from __future__ import annotations

import numpy as np

import commonspace as cs
from commonspace.data import Dataset, make_dataset


def mislabelled(data: Dataset, rows: np.ndarray) -> Dataset:
    """The same data; these rows have the next class."""
    codes = next(iter(data.values())).labels.codes.copy()
    codes[rows] = (codes[rows] + 1) % len(data.classes)
    x = {name: part.x for name, part in data.items()}
    return Dataset.from_arrays(x, codes, classes=data.classes)


def main() -> None:
    data = make_dataset(n_items=300, n_classes=5, dims={"image": 48, "text": 24}, noise=1.0)
    test = data["test"]
    model = cs.Ridge(dim=32).fit(data["train"])
    z = {name: model.transform(name, part.x) for name, part in test.items()}
    print("as trained:", cs.inspect(z, test).verdict)

    offset = np.full(32, 2.0, np.float32)  # as if one encoder had drifted away
    broken = cs.inspect({**z, "text": z["text"] + offset}, test)
    print("shifted:   ", broken.verdict)
    for finding in broken.findings:
        if finding.severity == "broken":
            print(f"  {finding.what}, {finding.where}: {finding.value:.2f}")

    wrong = np.arange(0, len(test["image"]), 12)
    found = cs.inspect(z, mislabelled(test, wrong)).suspect_rows(2 * len(wrong))
    hits = np.mean([row["row"] in wrong for row in found])
    print(f"of the rows suspected first, {hits:.0%} have a label that was moved")


if __name__ == "__main__":
    main()

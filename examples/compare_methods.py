"""Several methods on the same queries: intervals, and which differences are more than chance."""

from __future__ import annotations

import commonspace as cs
from commonspace.data import make_dataset
from commonspace.evaluation import chance, compare
from commonspace.methods import CCA, GMLDA, SM, Ridge


def main() -> None:
    data = make_dataset(n_items=500, n_classes=8, dims={"image": 48, "text": 24}, noise=2.0)
    train, test = data["train"], data["test"]

    models = {"CCA": CCA(dim=8), "GMLDA": GMLDA(), "SM": SM(), "Ridge": Ridge(dim=64)}
    reports = {name: cs.evaluate(model.fit(train), test) for name, model in models.items()}
    print(f"{'chance':8}{chance(test).mean_ap:.3f}")
    for name, report in sorted(reports.items(), key=lambda entry: -entry[1].mean_ap):
        low, high = report["image", "text"].ci
        print(f"{name:8}{report.mean_ap:.3f}   image to text: {low:.3f} to {high:.3f}")

    # Intervals of two methods may overlap and the methods differ: they had the same queries.
    print("Ridge against CCA, query by query")
    print(compare(reports["Ridge"], reports["CCA"], n_resamples=2000))


if __name__ == "__main__":
    main()

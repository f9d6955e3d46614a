"""Train two methods on the same data and compare them with chance: seconds, nothing to fetch."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import numpy as np

import commonspace as cs
from commonspace.data import make_dataset
from commonspace.evaluation import chance


def main() -> None:
    # Three modalities of 600 items in 8 classes; here they show the same items, but need not.
    dims = {"image": 64, "text": 32, "audio": 48}
    data = make_dataset(n_items=600, n_classes=8, dims=dims, noise=1.5)
    train, test = data["train"], data["test"]

    # Every method is fitted, asked and stored alike. "serial" trains in this very process.
    models = {"SM": cs.SM(), "SDML": cs.SDML.fast(dim=64, schedule="serial")}
    print(f"{'chance':8}{chance(test).mean_ap:.3f}")
    for name, model in models.items():
        report = cs.evaluate(model.fit(train), test)
        print(f"{name:8}{report.mean_ap:.3f}")
    print(report)  # each direction of the last one, with its interval

    # A model is a folder without pickles; what comes back answers the same, to the bit.
    with TemporaryDirectory() as folder:
        cs.save(model, folder, scores=report.to_dict())
        again = cs.load(folder)
    first, second = (m.transform("audio", test.x("audio")) for m in (model, again))
    print("loaded model answers the same:", np.array_equal(first, second))


if __name__ == "__main__":
    main()

"""Codes of two bytes in place of vectors of 128: what is lost, and what stays."""

from __future__ import annotations

import numpy as np

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.evaluation import score_vectors
from commonspace.quantization import Quantizer


def mean_ap(test: Dataset, queries: np.ndarray, gallery: np.ndarray) -> float:
    """How well pictures find texts."""
    y_q, y_g = (test.labels(name).dense() for name in ("image", "text"))
    return score_vectors(queries, gallery, y_q, y_g, n_bootstrap=0).mean_ap


def main() -> None:
    data = make_dataset(n_items=400, n_classes=6, dims={"image": 48, "text": 24}, noise=1.0)
    train, test = data["train"], data["test"]
    model = cs.Ridge(dim=32).fit(train)

    learned = np.concatenate([model.transform(name, part.x) for name, part in train.items()])
    quantizer = Quantizer(bits=16, bits_per_word=4, random_state=0).fit(learned)

    queries, texts = (model.transform(name, test.x(name)) for name in ("image", "text"))
    codes = quantizer.encode(texts)
    print("a vector:", texts[0].nbytes, "bytes; a code:", codes[0].nbytes)
    print(f"float texts: {mean_ap(test, queries, texts):.3f}")
    print(f"coded texts: {mean_ap(test, queries, quantizer.decode(codes)):.3f}")


if __name__ == "__main__":
    main()

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import TINY, ran

from commonspace.data import Dataset, Splits


@dataclass(frozen=True)
class Shop:
    """One data set from file to collection; read-only."""

    root: Path
    trained: dict[str, Any]
    indexed: dict[str, Any]

    @property
    def data(self) -> Path:
        return self.root / "my data"

    @property
    def model(self) -> Path:
        return self.root / "my model"

    @property
    def collection(self) -> Path:
        return self.root / "my collection"


@pytest.fixture(scope="session")
def shop(splits, tmp_path_factory) -> Shop:
    """Image and text trained, every item of three modalities on disk, two of them indexed."""
    root = tmp_path_factory.mktemp("a shop")
    splits.save(root / "my data")
    learned = ("--modalities", "image,text", *TINY)
    trained = ran("train", root / "my data", "--out", root / "my model", *learned)
    index = ("index", root / "my model", root / "my data", "--out", root / "my collection")
    return Shop(root, trained, ran(*index))


@pytest.fixture(scope="session")
def raw() -> Splits:
    """Words of two classes as raw texts, next to features of the same items."""
    words = ["red apple", "green apple", "ripe pear", "old car", "fast car", "a lorry"] * 2
    labels = ["fruit"] * 3 + ["vehicle"] * 3
    rng = np.random.default_rng(0)
    x = {"text": np.array(words), "sensor": rng.normal(size=(12, 4)).astype(np.float32)}
    return Splits({"train": Dataset.from_arrays(x, labels * 2)}, "words")

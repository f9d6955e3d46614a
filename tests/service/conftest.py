from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image
from serving import client_of, running

from commonspace.data import Dataset, Splits
from commonspace.encoders import EfficientNetLite0Encoder, HashTextEncoder
from commonspace.methods import SDML
from commonspace.service import create_app
from commonspace.store.collection import Collection
from commonspace.store.matching import MatchCalibration
from commonspace.store.models import load, save
from commonspace.store.pipelines import encode_raw, index_dataset

WORDS = ["red apple", "green apple", "ripe pear", "old car", "fast car", "a lorry"]


@dataclass(frozen=True)
class Store:
    """Pictures, a model that knows its encoders, and a collection; read-only."""

    root: Path

    @property
    def collection(self) -> Path:
        return self.root / "things"

    @property
    def pictures(self) -> Path:
        return self.root / "pictures"

    def model(self) -> Any:
        return load(self.root / "model")

    def copy(self, folder: Path) -> Path:
        """A collection to write to, which finds its model where it was."""
        shutil.copytree(self.collection, folder)
        return folder


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> Store:
    """Twelve things of two classes, each a text and a picture."""
    root = tmp_path_factory.mktemp("service")
    labels = (["fruit"] * 3 + ["vehicle"] * 3) * 2
    raw = Dataset.from_arrays(
        {"text": np.array(WORDS * 2), "image": np.array(_pictures(root / "pictures", labels))},
        labels,
    )
    encoders = {"text": HashTextEncoder(dim=64), "image": EfficientNetLite0Encoder(size=32)}
    data = encode_raw(raw, {name: encoder.spec() for name, encoder in encoders.items()})
    settings = {"dim": 8, "hidden": (16,), "epochs": 2, "validation_fraction": 0}
    save(SDML(**settings, random_state=0).fit(data), root / "model")
    model = load(root / "model")
    index_dataset(
        model, Splits({"all": raw}, "things"), root / "things", model_folder=root / "model"
    ).close()
    return Store(root)


@pytest.fixture(scope="session")
def calibrated(store, tmp_path_factory) -> Path:
    """A collection that knows match probabilities: pictures are surer than texts as near.

    One text more has no picture beside it.
    """
    folder = store.copy(tmp_path_factory.mktemp("calibrated") / "things")
    ends = np.array([-1.0, 1.0])
    odds = {"image": np.array([-1.0, 6.0]), "text": np.array([-4.0, 3.0])}
    with Collection.open(folder) as collection:
        collection.add(["only"], np.eye(8)[:1], modality="text")
        pairs = product(odds, repeat=2)
        collection.calibrate(MatchCalibration({(q, g): (ends, odds[g]) for q, g in pairs}))
    return folder


@pytest.fixture(scope="session")
def url(store) -> Iterator[str]:
    """A service over the store that nobody writes to."""
    app = create_app(store.collection, media=store.pictures, read_only=True)
    with running(app) as address:
        yield address


@pytest.fixture(scope="session")
def http(url) -> Iterator[httpx.Client]:
    with client_of(url) as client:
        yield client


@pytest.fixture
def writable(store, tmp_path) -> Iterator[httpx.Client]:
    """A service over a copy of the store."""
    app = create_app(store.copy(tmp_path / "things"), media=store.pictures)
    with running(app) as address, client_of(address) as client:
        yield client


def _pictures(folder: Path, labels: list[str]) -> list[str]:
    folder.mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for number, label in enumerate(labels):
        base = np.full((24, 30, 3), 40 if label == "fruit" else 200, np.uint8)
        noise = rng.integers(0, 30, base.shape, dtype=np.uint8)
        paths.append(folder / f"{number}.png")
        Image.fromarray(base + noise).save(paths[-1])
    return [str(path) for path in paths]

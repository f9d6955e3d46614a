from __future__ import annotations

import pytest

from commonspace.data import Dataset, Splits, make_dataset


@pytest.fixture(autouse=True, scope="session")
def _features_are_kept_in_a_folder_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COMMONSPACE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def splits() -> Splits:
    """Sixty items of three classes in three modalities that show the same items; read-only."""
    dims = {"image": 8, "text": 6, "audio": 5}
    made = make_dataset(n_items=60, n_classes=3, dims=dims, noise=0.3, seed=3)
    for data in made.values():
        for part in data.values():
            part.x.setflags(write=False)
    return made


@pytest.fixture(scope="session")
def train(splits) -> Dataset:
    return splits["train"].select(["image", "text"])


@pytest.fixture(scope="session")
def test(splits) -> Dataset:
    return splits["test"]

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator

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


@pytest.fixture(scope="session")
def _ray_of_the_tests() -> Iterator[str]:
    """A Ray of two processors on loopback with little memory; or that of $RAY_ADDRESS."""
    folder = tempfile.mkdtemp(prefix="ray-")  # short, for Ray's sockets are in it
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # loopback, as in the library
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        from commonspace.cluster import connect

        if "RAY_ADDRESS" not in os.environ:
            patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))  # none is written at home
            start_ray(folder)
        connect()
        import ray

        yield ray.get_runtime_context().gcs_address
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def start_ray(folder: str, attempts: int = 3) -> None:
    """Start Ray, whose parts give each other no more than 15 s: a busy machine needs another go."""
    import ray

    for _ in range(attempts):
        try:
            ray.init(
                address="local",
                num_cpus=2,
                object_store_memory=80_000_000,
                _plasma_directory=folder,  # /dev/shm is small in containers
                _temp_dir=folder,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
            )
            return
        except Exception as error:
            ray.shutdown()
            if "timed out during startup" not in str(error):
                raise
    pytest.skip(f"Ray did not start in {attempts} attempts: load {os.getloadavg()}")


@pytest.fixture
def cluster(_ray_of_the_tests, request) -> str:
    """The address of a Ray cluster that this process has joined."""
    from ray import cloudpickle

    module = request.module  # workers cannot import it
    if module.__name__ not in cloudpickle.list_registry_pickle_by_value():
        cloudpickle.register_pickle_by_value(module)
    return _ray_of_the_tests

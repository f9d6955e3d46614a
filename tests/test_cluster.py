from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from commonspace import cluster as cluster_module
from commonspace.cluster import check_address, connect, each_call
from commonspace.errors import InputError, MissingExtraError, ServiceError, WorkerLostError

NOBODY = "127.0.0.1:9"  # the port "discard", which nothing serves


def square(n: int) -> tuple[int, int]:
    if n < 0:
        raise InputError(f"n: expected none below 0, got {n}.")
    return os.getpid(), n * n


def dies(marker: Path, times: int) -> str:
    """End its process ``times`` times, then live."""
    with marker.open("a") as file:
        file.write("x")
    if marker.stat().st_size <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


def slow(marker: Path) -> None:
    marker.touch()
    time.sleep(600)


def test_calls_run_in_workers_and_keep_their_numbers(cluster):
    found = dict(each_call(square, ({"n": n} for n in range(9)), at_once=2))
    assert {number: value for number, (_, value) in found.items()} == {n: n * n for n in range(9)}
    pids = {pid for pid, _ in found.values()}
    assert os.getpid() not in pids and len(pids) <= 2


def test_stdout_is_left_alone(cluster, monkeypatch):
    import ray

    seen, wait = [], ray.wait

    def watched(*waiting: object) -> object:
        seen.append(sys.stdout)
        return wait(*waiting)

    monkeypatch.setattr(ray, "wait", watched)
    list(each_call(square, [{"n": 1}]))
    assert seen and all(stream is sys.stdout for stream in seen)  # other threads print there


def test_an_error_is_raised_as_it_was_and_ends_the_other_calls(cluster, tmp_path):
    import ray

    with pytest.raises(InputError, match="got -1") as caught:
        list(each_call(square, [{"n": -1}, {"n": 2}]))
    assert type(caught.value) is InputError  # none of Ray's
    calls = each_call(slow, [{"marker": tmp_path / "begun"}])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "wait", until(tmp_path / "begun"))
        with pytest.raises(KeyboardInterrupt):
            next(calls)
    # Its processor is free again.
    assert [value for _, (_, value) in each_call(square, [{"n": 3}, {"n": 4}])]


def until(marker: Path):
    """In place of `ray.wait`: an interrupt, once the worker is at work."""

    def wait(*_: object) -> None:
        while not marker.exists():
            time.sleep(0.01)
        raise KeyboardInterrupt

    return wait


def test_a_call_that_loses_its_worker_is_made_again(cluster, tmp_path):
    call = {"marker": tmp_path / "once", "times": 1}
    assert list(each_call(dies, [call])) == [(0, "lived")]
    assert (tmp_path / "once").read_text() == "xx"


def test_a_call_that_always_loses_its_worker_is_an_error_or_what_the_caller_says(cluster, tmp_path):
    call = {"marker": tmp_path / "always", "times": 99}
    with pytest.raises(WorkerLostError, match="lost every worker"):
        list(each_call(dies, [call], retries=0))
    assert (tmp_path / "always").read_text() == "x"
    lost = each_call(dies, [call], retries=0, when_lost=lambda number: f"lost {number}")
    assert list(lost) == [(0, "lost 0")]


TROUBLE = [
    "AuthenticationError",
    "LocalRayletDiedError",
    "ObjectStoreFullError",
    "OutOfDiskError",
    "RuntimeEnvSetupError",
    "TaskUnschedulableError",
]
LOST = ["NodeDiedError", "OutOfMemoryError", "WorkerCrashedError"]


@pytest.mark.parametrize("name", TROUBLE + LOST)
def test_trouble_of_the_cluster_is_no_lost_worker(cluster, monkeypatch, name):
    import ray

    kind = getattr(ray.exceptions, name)
    trouble = kind() if name in ("LocalRayletDiedError", "WorkerCrashedError") else kind("so it is")

    def get(_: object) -> None:
        raise trouble

    monkeypatch.setattr(ray, "get", get)
    found = each_call(square, [{"n": 1}], when_lost=lambda number: f"lost {number}")
    if name in LOST:
        assert list(found) == [(0, "lost 0")]
        return
    with pytest.raises(ServiceError, match=r"the Ray cluster failed: \w") as caught:
        list(found)
    assert type(caught.value) is ServiceError and "\n" not in str(caught.value)


def test_a_worker_with_other_versions_is_refused(cluster, monkeypatch):
    monkeypatch.setattr(cluster_module, "_versions", lambda: {"torch": "0.1"})
    with pytest.raises(ServiceError, match=r"this machine \{'torch': '0.1'\}: install the same"):
        list(each_call(square, [{"n": 1}]))


def test_a_process_joins_one_cluster(cluster):
    connect()
    connect(cluster)
    with pytest.raises(InputError, match=f"has joined the Ray cluster at {cluster}"):
        connect("10.0.0.1:6379")


def test_a_cluster_may_be_asked_for_again_as_it_was_joined(cluster):
    import ray

    asked = f"localhost:{cluster.rpartition(':')[2]}"  # which Ray turns into a number
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster_module, "_asked", {})
        with pytest.raises(InputError, match="has joined"):
            connect(asked)
        with patch.context() as apart:
            apart.setattr(ray, "is_initialized", lambda: False)
            apart.setattr(ray, "init", lambda **_: None)
            apart.setattr(os, "environ", dict(os.environ))
            connect(asked)
        connect(asked)
        connect(cluster)
        patch.setattr(cluster_module, "_joined", lambda _: "10.0.0.1:6379")  # another, later
        with pytest.raises(InputError, match="has joined"):
            connect(asked)


@pytest.fixture
def apart(monkeypatch):
    """As if this process had joined none."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(os, "environ", dict(os.environ))


def test_a_cluster_that_does_not_answer_is_named_at_once(apart):
    start = time.monotonic()
    with pytest.raises(ServiceError, match=f"no Ray cluster answers at {NOBODY}.*ray start --head"):
        connect(NOBODY)
    assert time.monotonic() - start < 30  # not Ray's minutes


def test_the_address_of_the_environment_is_taken(apart):
    os.environ["RAY_ADDRESS"] = NOBODY
    with pytest.raises(ServiceError, match=NOBODY):
        connect()


@pytest.mark.parametrize("address", ["auto", "ray://10.0.0.1:10001", "10.0.0.1", "a:b", "a:70000"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InputError, match="expected HOST:PORT"):
        check_address("ray", address)
    with pytest.raises(InputError, match="only the engine 'ray'"):
        check_address("local", address)


def test_an_address_of_the_sixth_version_is_one():
    check_address("ray", "[::1]:6379")
    check_address("local", None)


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"commonspace\[ray\]"):
        connect()


def test_ray_listens_on_loopback_alone(cluster):
    host, port = cluster.split(":")
    assert host == "127.0.0.1"
    with socket.socket() as other:  # the port is free on every other address of this machine
        other.bind(("127.0.0.2", int(port)))

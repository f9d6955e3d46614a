from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from serving import client_of, running

from commonspace.benchmarks.loopback import Caller, Server, request_bytes
from commonspace.benchmarks.serve_faults import bench_faults
from commonspace.errors import InputError, NotFoundError
from commonspace.service import Limits, create_app
from commonspace.service.batching import Batcher, Limited
from commonspace.service.run import serve
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.matching import MatchCalibration


@pytest.fixture
def versions(tmp_path):
    """Two collections whose items tell them apart, and a link to the first."""
    for name in ("one", "two"):
        with Collection.create(tmp_path / name, space=Space.create(4)) as collection:
            x = np.random.default_rng(0).standard_normal((50, 4))
            collection.add(range(50), x, modality="text", payloads=[{"of": name}] * 50)
    (tmp_path / "now").symlink_to(tmp_path / "one")
    return tmp_path


def point(link, target):
    other = link.with_name("other")
    other.symlink_to(target)
    os.replace(other, link)


# ---------------------------------------------------------------- batches


def test_searches_in_a_batch_are_answered_as_alone(versions):
    rng, by_match = np.random.default_rng(1), Limited(4, None, None, "text")
    asks = [
        (rng.standard_normal((1 + n % 3, 4)).astype(np.float32), limited)
        for n in range(30)
        for limited in (
            Limited(3, None, None),
            Limited(5, ("text",), {"of": "one"}),
            Limited(3, ("smell",), None),
            by_match,
            Limited(4, None, None, "text", match=False),
        )
    ]
    sizes = []

    async def all_at_once(collection):
        with ThreadPoolExecutor(1) as threads:
            batcher = Batcher(collection, threads, 16, sizes.append)
            searches = (batcher.search(*ask) for ask in asks)
            return await asyncio.gather(*searches, return_exceptions=True)

    with Collection.open(versions / "one") as collection:
        curve = np.array([-1.0, 1.0]), np.array([-4.0, 3.0])
        collection.calibrate(MatchCalibration({("text", "text"): curve}))
        answers = asyncio.run(all_at_once(collection))
        for (vectors, limited), found in zip(asks, answers, strict=True):
            if limited.modality == ("smell",):
                assert isinstance(found, NotFoundError)
                continue
            expected = collection.search(
                vectors,
                limited.k,
                modality=limited.modality,
                where=limited.where,
                query_modality=limited.query_modality,
                match=limited.match,
            )
            assert found.measure == ("match" if limited == by_match else "cosine")
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_array_equal(found.scores, expected.scores)
            assert found.payloads.tolist() == expected.payloads.tolist()
    assert max(sizes) == 16 and sum(sizes) == sum(len(vectors) for vectors, _ in asks)


def test_who_gives_up_does_not_hold_up_the_others(versions):
    async def run(collection):
        with ThreadPoolExecutor(1) as threads:
            batcher = Batcher(collection, threads, 4, lambda size: None)
            x, limited = np.ones((1, 4), np.float32), Limited(1, None, None)
            tasks = [asyncio.create_task(batcher.search(x, limited)) for _ in range(12)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            return await asyncio.gather(*tasks, return_exceptions=True)

    with Collection.open(versions / "one", read_only=True) as collection:
        answers = asyncio.run(run(collection))
    assert [isinstance(a, asyncio.CancelledError) for a in answers] == [True, False] * 6


# ---------------------------------------------------------------- versions


def test_a_new_version_is_taken_up_under_load(versions):
    seen, stop = [], threading.Event()

    def search(address):
        with client_of(address) as http:
            while not stop.is_set():
                found = http.post("/v1/search", json={"vectors": [[1.0] * 4] * 3, "k": 20})
                assert found.status_code == 200, found.text
                seen.append({hit["payload"]["of"] for row in found.json()["hits"] for hit in row})

    with running(create_app(versions / "now")) as address, ThreadPoolExecutor(4) as threads:
        callers = [threads.submit(search, address) for _ in range(4)]
        with client_of(address) as http:
            for name in ("two", "one", "two"):
                point(versions / "now", versions / name)
                done = http.post("/v1/collections/reopen", json={})
                assert done.json() == {"reopened": {"now": True}}
                found = http.post("/v1/search", json={"vectors": [[1.0] * 4], "k": 1}).json()
                assert found["hits"][0][0]["payload"] == {"of": name}
                time.sleep(0.05)
            again = http.post("/v1/collections/reopen", json={"collection": "now"})
            assert again.json() == {"reopened": {"now": False}}
            assert http.get("/v1/collections").json()["collections"][0]["version"] == 4
        stop.set()
        for caller in callers:
            caller.result()
        assert all(len(one) == 1 for one in seen), "an answer mixed two versions"
        assert {"one"} in seen and {"two"} in seen
        Collection.open(versions / "one").close()  # given back
    Collection.open(versions / "two").close()


def test_a_version_that_does_not_open_changes_nothing(versions):
    (versions / "broken").mkdir()
    with running(create_app(versions / "now")) as address, client_of(address) as http:
        point(versions / "now", versions / "broken")
        assert http.post("/v1/collections/reopen", json={}).status_code == 404
        found = http.post("/v1/search", json={"vectors": [[1.0] * 4], "k": 1})
        assert found.json()["hits"][0][0]["payload"] == {"of": "one"}


def test_collections_have_names(versions):
    for wrong in ([], {}, [versions / "one", versions / "two" / ".." / "one"]):
        with pytest.raises(InputError, match="collection"):
            create_app(wrong)


# ---------------------------------------------------------------- processes


def test_a_process_swaps_on_a_signal_and_ends_with_what_it_acknowledged(versions):
    server = Server(versions / "now", versions / "log")
    try:
        point(versions / "now", versions / "two")
        server.process.send_signal(signal.SIGHUP)
        told = _wait_for(versions / "log", '"now: version 2"')
        added = asyncio.run(_add_until_it_ends(server))
        assert server.stop() == 0
    finally:
        server.kill()
    assert added and all(json.loads(line)["level"] == "info" for line in told)
    with Collection.open(versions / "two") as collection:
        assert len(collection.get(added)) == len(added)


async def _add_until_it_ends(server):
    """Ids of acknowledged items, the service told to end in the middle."""
    added = []

    async def add(number):
        caller = Caller(server.port)
        try:
            for n in range(1000):
                rows = [{"id": f"{number}-{n}", "vector": [1.0] * 4}]
                content = {"modality": "text", "items": rows}
                status, _ = await caller.ask(request_bytes("POST", "/v1/items", content))
                if status == 200:
                    added.append(rows[0]["id"])
        except ConnectionError:
            pass
        finally:
            caller.close()

    async def end():
        while len(added) < 8:
            await asyncio.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)

    await asyncio.gather(end(), *(add(number) for number in range(3)))
    return added


def _wait_for(log, words):
    until = time.monotonic() + 30
    while words not in log.read_text():
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.02)
    return log.read_text().splitlines()


def test_a_process_that_is_killed_loses_no_acknowledged_write():
    [kills] = bench_faults(uploads=0, kills=2)["rows"]
    assert kills["acknowledged"] > 0 and kills["lost"] == kills["torn"] == 0


def test_an_address_that_is_taken_is_named(versions):
    from commonspace.errors import StorageError

    with running(create_app(versions / "one")) as address:
        with pytest.raises(StorageError, match="Name another --port"):
            serve(versions / "two", port=int(address.rpartition(":")[2]))


def test_a_search_may_not_take_too_long(versions, monkeypatch):
    def slow(*args, **kwargs):
        time.sleep(0.5)

    app = create_app(versions / "one", limits=Limits(seconds=0.1))
    with running(app) as address, client_of(address) as http:
        monkeypatch.setattr(Collection, "search_text", slow)
        response = http.post("/v1/search", json={"words": "a"})
    assert response.status_code == 408 and "took too long" in response.text


def test_a_copy_of_a_served_folder_is_a_collection(versions):
    """Nothing that a running service needs lies outside its folder."""
    with running(create_app(versions / "one")):
        shutil.copytree(versions / "one", versions / "copy")
    with Collection.open(versions / "copy", read_only=True) as collection:
        assert len(collection) == 50


def test_a_folder_of_files_that_is_not_there_is_refused_at_the_start(store, tmp_path):
    with pytest.raises(InputError, match="gone is no folder"):
        create_app(store.collection, media=tmp_path / "gone")

from __future__ import annotations

import numpy as np
import pytest
from serving import PATIENCE, running

import commonspace as cs
from commonspace.errors import InputError, NotFoundError, ServiceError
from commonspace.service import KeyFile, create_app
from commonspace.store.collection import Collection
from commonspace.store.pipelines import query_vector


@pytest.fixture
def pair(store, tmp_path):
    """A client, and the collection as another process sees it."""
    folder = store.copy(tmp_path / "things")
    with running(create_app(folder)) as address, cs.Client(address, timeout=PATIENCE) as client:
        with Collection.open(folder, read_only=True) as collection:
            yield client, collection


def same(found, expected):
    assert found.ids.dtype.kind == expected.ids.dtype.kind == "U"
    for name in ("ids", "scores", "modalities", "payloads"):
        got = getattr(found, name)
        np.testing.assert_array_equal(got, getattr(expected, name))
    assert found.scores.dtype == np.float32


def test_a_client_is_as_its_collection(pair):
    client, collection = pair
    x = np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)
    payloads = [{"n": n, "lang": "fr"} for n in range(3)] + [None]
    client.add([1, 2, "drei", "4"], x, modality="sound", payloads=payloads)
    assert len(client) == len(collection) == 28
    assert client.modalities == collection.modalities
    assert ("drei" in client, "none" in client, 1 in client) == (True, False, True)
    for limits in ({"k": 5}, {"k": 2, "modality": "sound"}, {"where": {"lang": "fr"}}):
        same(client.search(x, **limits), collection.search(x, **limits))
    same(
        client.search(x, 3, modality=["sound", "text"]),
        collection.search(x, 3, modality=["sound", "text"]),
    )
    same(client.search_text("pear", 3), collection.search_text("pear", 3))
    same(client.search(x, where={"n": 99}), collection.search(x, where={"n": 99}))
    np.testing.assert_array_equal(client.vectors(["4", "1"], "sound"), x[[3, 0]])
    assert client.get(["2", "0"]) == collection.get(["2", "0"])
    assert client.delete(["drei", "none"]) == 1 and client.delete([]) == 0
    assert client.delete([1], "sound") == 1 and 1 in client
    assert "drei" not in client and len(collection) == 26
    client.add([], np.empty((0, 8)), modality="sound")
    assert client.get([]) == []


def test_a_client_finds_by_what_the_model_reads(pair, store):
    client, collection = pair
    model, path = store.model(), store.pictures / "7.png"
    expected = collection.search(query_vector(model, image=path), 3, modality="text")
    same(client.find({"file": path}, k=3, modality="text"), expected)
    same(client.find({"text": "a car"}), collection.search(query_vector(model, text="a car")))
    mixed = client.find(
        {"text": "a car", "weight": 0.1}, {"file": path}, {"item": "3", "modality": "text"}
    )
    assert mixed.ids.shape == (1, 10)


def test_errors_are_those_of_the_library(pair):
    client, _ = pair
    with pytest.raises(NotFoundError, match="'none'"):
        client.vectors(["0", "none"], "text")
    with pytest.raises(InputError, match="8 features"):
        client.search([[1.0, 2.0]])
    with pytest.raises(InputError, match="finite"):
        client.search([[np.nan] * 8])
    with pytest.raises(NotFoundError, match="modality"):
        client.search(np.ones((1, 8)), modality="smell")
    with pytest.raises(InputError, match="more than one row"):
        client.add(["a", "a"], np.ones((2, 8)), modality="text")
    with pytest.raises(InputError, match="JSON"):
        client.add(["a"], np.ones((1, 8)), modality="text", payloads=[{"x": {1, 2}}])
    with pytest.raises(InputError, match="payloads"):
        client.add(["a"], np.ones((1, 8)), modality="text", payloads=[])


def test_what_a_service_refuses_is_a_service_error(store, tmp_path):
    keys = KeyFile(tmp_path / "keys.json")
    key = keys.add("ann")
    app = create_app({"a": store.copy(tmp_path / "a")}, keys=keys)
    with running(app) as address:
        with cs.Client(address) as client, pytest.raises(ServiceError, match="Unauthorized"):
            len(client)
        with cs.Client(address, key, collection="a") as client:
            assert len(client) == 24 and "a" in repr(client) and key not in repr(client)
            with pytest.raises(ServiceError, match="may read only"):
                client.delete(["0"])
        with cs.Client(address, key, collection="b") as client:
            for call in (lambda: len(client), lambda: client.search_text("a")):
                with pytest.raises(NotFoundError, match="'b'"):
                    call()
            with pytest.raises(NotFoundError, match="'b'"):
                assert "0" in client
    with cs.Client(address) as client, pytest.raises(ServiceError, match="no answer"):
        len(client)
    for wrong in ("http://[", "127.0.0.1:8000", "ftp://here", ""):
        with pytest.raises(InputError, match="url"):
            cs.Client(wrong)

from __future__ import annotations

import hashlib
import json
import stat

import pytest
from serving import client_of, code_of, running

from commonspace.errors import InputError, NotFoundError, StorageError
from commonspace.service import KeyFile, Limits, create_app, guard
from commonspace.service.run import is_loopback, serve

ROW = [1.0, 0, 0, 0, 0, 0, 0, 0.5]
READING = [
    ("GET", "/v1/collections", None),
    ("GET", "/v1/modalities", None),
    ("GET", "/v1/items?id=0", None),
    ("GET", "/metrics", None),
    ("POST", "/v1/search", {"words": "pear"}),
    ("POST", "/v1/items/get", {"ids": ["0"]}),
]
WRITING = [
    ("POST", "/v1/items", {"modality": "text", "items": [{"id": "n", "vector": ROW}]}),
    ("DELETE", "/v1/items?id=n", None),
    ("POST", "/v1/items/delete", {"ids": ["n"]}),
    ("POST", "/v1/collections/reopen", {}),
]


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def asked(http, method, path, content, headers=None):
    return http.request(method, path, json=content, headers=headers)


@pytest.fixture
def keys(tmp_path):
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def guarded(store, tmp_path, keys):
    keys.add("first")
    with running(create_app(store.copy(tmp_path / "things"), keys=keys)) as address:
        with client_of(address) as http:
            yield http


def test_a_file_holds_digests_and_no_key(keys):
    key = keys.add("ann", "write")
    text = keys.path.read_text()
    assert key.startswith("cs_") and key[16:] not in text
    assert json.loads(text)["keys"][0]["sha256"] == hashlib.sha256(key.encode()).hexdigest()
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert len({keys.add("many") for _ in range(20)}) == 20 == len(keys.list()) - 1


def test_a_key_counts_until_it_is_revoked(keys):
    key, other = keys.add("ann", "write"), keys.add("bob")
    assert keys.check(key).name == "ann" and keys.check(other).scope == "read"
    assert KeyFile(keys.path).revoke(keys.check(key).id).revoked  # by another process
    assert keys.check(key) is None and keys.check(other).name == "bob"


@pytest.mark.parametrize("change", [lambda k: k[:-1], lambda k: k + "A", str.upper, lambda k: ""])
def test_what_is_almost_a_key_is_none(keys, change):
    key = keys.add("ann")
    assert keys.check(change(key)) is None
    swapped = key[:-2] + ("AA" if key[-2:] != "AA" else "BB")
    assert keys.check(swapped) is None and keys.check("cs_000000000000_" + key[16:]) is None


def test_mistakes_with_keys_are_named(keys):
    for name, scope in (("", "read"), ("a\nb", "read"), ("ann", "admin")):
        with pytest.raises(InputError):
            keys.add(name, scope)
    keys.add("ann")
    with pytest.raises(NotFoundError, match="ffff"):
        keys.revoke("ffff")
    keys.path.write_text("{}")
    with pytest.raises(StorageError):
        keys.check("cs_000000000000_" + "A" * 43)


@pytest.mark.parametrize(("method", "path", "content"), READING + WRITING)
def test_without_a_key_that_counts_nothing_is_answered(guarded, keys, method, path, content):
    key = keys.add("gone", "write")
    keys.revoke(keys.check(key).id)
    wrong = [None, bearer("x"), bearer(key), {"Authorization": f"Basic {key}"}]
    for headers in wrong:
        response = asked(guarded, method, path, content, headers)
        assert response.status_code == 401 and code_of(response) == "Unauthorized"
        assert response.headers["www-authenticate"] == "Bearer"


def test_a_reader_reads_and_a_writer_writes(guarded, keys):
    reader, writer = bearer(keys.add("r")), bearer(keys.add("w", "write"))
    for request in READING:
        assert asked(guarded, *request, reader).status_code == 200, request
    for request in WRITING:
        refused = asked(guarded, *request, reader)
        assert refused.status_code == 403 and code_of(refused) == "Forbidden"
        assert asked(guarded, *request, writer).status_code == 200, request


def test_every_route_needs_a_key_but_those_that_watch(guarded):
    for path, operations in guarded.get("/openapi.json").json()["paths"].items():
        for method in operations:
            status = guarded.request(method, path).status_code
            assert (status == 200) if path in ("/healthz", "/readyz") else (status == 401), path


def test_a_damaged_file_lets_nobody_in(guarded, keys):
    key = bearer(keys.add("ann", "write"))
    keys.path.write_text("[]")
    assert guarded.get("/v1/collections", headers=key).status_code == 503
    keys.path.unlink()
    assert guarded.get("/v1/collections", headers=key).status_code == 503


def test_guessing_is_slowed_down(store, keys, monkeypatch):
    monkeypatch.setattr(guard, "_FAILURES", (0.001, 3))
    keys.add("ann")
    app = create_app(store.collection, read_only=True, keys=keys)
    with running(app) as address, client_of(address) as http:
        answers = [http.get("/v1/collections", headers=bearer("x")) for _ in range(4)]
        assert [one.status_code for one in answers] == [401, 401, 401, 429]
        assert int(answers[-1].headers["retry-after"]) > 900


def test_each_key_has_a_rate_of_its_own(store, keys):
    ann, bob = bearer(keys.add("ann")), bearer(keys.add("bob"))
    limits = Limits(rate=0.01, burst=2)
    app = create_app(store.collection, read_only=True, keys=keys, limits=limits)
    with running(app) as address, client_of(address) as http:
        answers = [http.get("/v1/collections", headers=key) for key in (ann, ann, ann, bob)]
    assert [one.status_code for one in answers] == [200, 200, 429, 200]


def test_others_can_be_served_with_keys_alone(store, keys):
    with pytest.raises(InputError, match="needs keys"):
        serve(store.collection, host="0.0.0.0")
    keys.revoke(keys.check(keys.add("ann")).id)
    with pytest.raises(InputError, match="no key in it counts"):
        serve(store.collection, host="0.0.0.0", keys=keys.path)
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.0.2.1", "example.org", ""]))

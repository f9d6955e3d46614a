from __future__ import annotations

import json
import logging
import socket
import time

import pytest
from serving import client_of, code_of, running

from commonspace.errors import InputError
from commonspace.service import Limits, create_app
from commonspace.service.limits import TokenBuckets
from commonspace.service.logs import JsonLines


@pytest.fixture
def limited(store):
    """Makes a client of a service with other limits."""
    from contextlib import contextmanager

    @contextmanager
    def made(**limits):
        app = create_app(store.collection, read_only=True, limits=Limits(**limits))
        with running(app) as address, client_of(address) as http:
            yield http

    return made


def test_answers_tell_browsers_to_trust_nothing(http):
    for path in ("/healthz", "/v1/collections", "/nothing", "/v1/items"):
        headers = http.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert (
            headers["x-frame-options"] == "DENY"
            and "default-src" in headers["content-security-policy"]
        )
        assert "server" not in headers and "access-control-allow-origin" not in headers
    assert http.get("/v1/collections").headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Origin": "https://example.org"}, 403, "CrossOrigin"),
        ({"Origin": "null"}, 403, "CrossOrigin"),
        ({"Sec-Fetch-Site": "cross-site"}, 403, "CrossOrigin"),
        ({"Host": "example.org"}, 421, "UnknownHost"),
        ({"Host": "127.0.0.1.example.org:8000"}, 421, "UnknownHost"),
    ],
)
def test_pages_of_other_sites_may_not_ask(http, headers, status, code):
    response = http.post("/v1/search", json={"words": "a"}, headers=headers)
    assert (response.status_code, code_of(response)) == (status, code)


def test_this_machine_may_be_called_by_its_names(http):
    for name in ("localhost", "127.0.0.1:1", "[::1]:8000", "LOCALHOST:80"):
        assert http.get("/v1/collections", headers={"Host": name}).status_code == 200
    own = {"Origin": str(http.base_url).rstrip("/")}
    assert http.get("/v1/collections", headers=own).status_code == 200


def test_a_request_keeps_a_plain_id_and_gets_another_for_a_strange_one(http):
    assert http.get("/healthz", headers={"X-Request-ID": "a-1"}).headers["x-request-id"] == "a-1"
    for strange in ("a b", "<script>", "a" * 65, ""):
        given = http.get("/healthz", headers={"X-Request-ID": strange}).headers["x-request-id"]
        assert given != strange and len(given) == 16


def test_a_body_may_not_be_too_large_declared_or_not(limited):
    with limited(body_bytes=1000) as http:
        big = b'{"words": "' + b"a" * 2000 + b'"}'
        kind = {"Content-Type": "application/json"}
        declared = http.post("/v1/search", content=big, headers=kind)
        chunked = http.post("/v1/search", content=iter([big[:900], big[900:]]), headers=kind)
        for response in (declared, chunked):
            assert response.status_code == 413 and code_of(response) == "TooLarge"
        assert http.post("/v1/search", json={"words": "a"}).status_code == 200


def test_a_body_that_says_it_is_too_large_is_not_waited_for(limited):
    with (
        limited(body_bytes=1000) as http,
        socket.create_connection(("127.0.0.1", http.base_url.port), timeout=10) as line,
    ):
        head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Content-Length: 2000\r\n\r\n".encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_a_body_may_not_be_too_slow(limited):
    with (
        limited(seconds=0.2) as http,
        socket.create_connection(("127.0.0.1", http.base_url.port)) as line,
    ):
        head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        line.sendall(f"{head}Content-Length: 100\r\n\r\n{{".encode())
        assert line.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_too_many_requests_are_told_when_to_come_back(limited):
    with limited(rate=0.01, burst=3) as http:
        answers = [http.get("/v1/collections") for _ in range(4)]
        assert [one.status_code for one in answers] == [200, 200, 200, 429]
        assert 90 < int(answers[-1].headers["retry-after"]) < 110
        assert http.get("/healthz").status_code == 200


def test_too_many_at_once_are_told_to_wait(limited):
    with limited(in_flight=1, seconds=5) as http:
        with socket.create_connection(("127.0.0.1", http.base_url.port)) as line:
            head = "POST /v1/search HTTP/1.1\r\nHost: localhost\r\n"
            kind = "Content-Type: application/json\r\n"
            line.sendall(f"{head}{kind}Content-Length: 100\r\n\r\n".encode())
            until = time.monotonic() + 10
            while (answer := http.get("/healthz")).status_code == 200:
                assert time.monotonic() < until
            assert answer.status_code == 503 and code_of(answer) == "Busy"


def test_limits_are_checked():
    for wrong in ({"k": 3}, {"pixels": 0}, {"rate": -1}, {"batch": 1.5}):
        with pytest.raises((InputError, TypeError)):
            Limits(**wrong)


def test_a_bucket_forgets_those_who_were_silent_longest():
    buckets = TokenBuckets(rate=1, burst=1, clock=lambda: 0.0)
    assert buckets.wait("first") == 0 and buckets.wait("first") == 1
    for number in range(TokenBuckets._CALLERS):
        buckets.wait(str(number))
    assert buckets.wait("first") == 0 and len(buckets._buckets) == TokenBuckets._CALLERS


def test_the_log_is_json_and_tells_no_query(http, caplog):
    caplog.set_level(logging.INFO, "commonspace.service.access")
    asked = {"query": {"text": "a secret wish"}}
    response = http.post("/v1/search?x=secret", json=asked, headers={"Authorization": "secret"})
    until = time.monotonic() + 10
    while not caplog.records and time.monotonic() < until:
        time.sleep(0.01)
    line = json.loads(JsonLines().format(caplog.records[-1]))
    assert line["request_id"] == response.headers["x-request-id"]
    assert (line["route"], line["method"], line["status"]) == ("/v1/search", "POST", 200)
    assert line["bytes_in"] > 20 and line["bytes_out"] == len(response.content)
    assert "secret" not in json.dumps(line)


def test_a_mistake_of_ours_is_logged_and_not_told(http, caplog, monkeypatch):
    from commonspace.store.collection import Collection

    def broken(*args, **kwargs):
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(Collection, "search_text", broken)
    response = http.post("/v1/search", json={"words": "a"})
    assert response.status_code == 500 and code_of(response) == "InternalError"
    assert "inside" not in response.text and "x-frame-options" in response.headers
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    line = json.loads(JsonLines().format(record))
    assert response.headers["x-request-id"] in line["message"]
    assert "ZeroDivisionError: inside" in line["error"]


def test_a_page_is_served_beside_the_endpoints(store, tmp_path, monkeypatch):
    from commonspace.service import KeyFile, app

    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<h1>here</h1>")
    (tmp_path / "secret").write_text("secret")
    monkeypatch.setattr(app, "_PAGE", tmp_path / "page")
    keys = KeyFile(tmp_path / "keys.json")
    keys.add("ann")
    made = app.create_app(store.collection, read_only=True, keys=keys)
    with running(made) as address, client_of(address) as http:
        page = http.get("/")
        assert (
            page.text == "<h1>here</h1>"
            and "default-src" in page.headers["content-security-policy"]
        )
        for path in ("/../secret", "/%2e%2e/secret", "/..%2fsecret", "/none.html"):
            assert http.get(path).status_code == 404
        assert http.get("/v1/collections").status_code == 401


def test_metrics_count_requests_and_items(store):
    from prometheus_client.parser import text_string_to_metric_families

    app = create_app(store.collection, read_only=True)
    with running(app) as address, client_of(address) as http:
        for _ in range(3):
            http.post("/v1/search", json={"vectors": [[1.0] * 8] * 2})
        http.get("/nothing/here")
        text = http.get("/metrics").text
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert values["commonspace_requests_total", "/v1/search", "200", "POST"] == 3
    assert values["commonspace_requests_total", "404", "GET", "other"] == 1
    assert values["commonspace_items", "image", "things"] == 12
    assert values["commonspace_search_batch_queries_sum",] == 6
    assert values["commonspace_request_seconds_count", "/v1/search"] == 3

from __future__ import annotations

import json

import numpy as np
import pytest
from serving import client_of, code_of, running
from typer.testing import CliRunner

from commonspace.cli import app as commands
from commonspace.service import Limits, create_app
from commonspace.store.collection import Collection
from commonspace.store.pipelines import item_vector, query_vector


@pytest.fixture(scope="module")
def col(store):
    with Collection.open(store.collection, read_only=True) as collection:
        yield collection


@pytest.fixture(scope="module")
def model(store):
    return store.model()


def ask(http, **request):
    response = http.post("/v1/search", json=request)
    assert response.status_code == 200, response.text
    return response.json()


def unit(x):
    return x / np.linalg.norm(x)


# ---------------------------------------------------------------- the library's own answers


def test_by_text(http, col, model):
    found = ask(http, query={"text": "an apple"}, k=5, modality="image")
    expected = col.search(query_vector(model, text="an apple"), 5, modality="image")
    assert found["hits"] == expected.rows() and found["collection"] == "things"


def test_by_uploaded_picture(http, col, model, store):
    path = store.pictures / "4.png"
    form = {"request": json.dumps({"k": 3, "modality": ["text", "image"]})}
    named = {"file": ("../../etc/passwd.txt", path.read_bytes(), "text/plain")}  # not looked at
    found = http.post("/v1/search", files=named, data=form).json()
    expected = col.search(query_vector(model, image=path), 3, modality=["text", "image"])
    assert found["hits"] == expected.rows()


def test_by_item_vector_and_features(http, col, model):
    vector = item_vector(col, "3", "text")
    expected = col.search(vector, 4).rows()
    assert ask(http, query={"item": "3", "modality": "text"}, k=4)["hits"] == expected
    assert ask(http, query={"vector": vector[0].tolist()}, k=4)["hits"] == expected
    x = np.random.default_rng(0).random((1, 64), dtype=np.float32)
    found = ask(http, query={"features": x[0].tolist(), "modality": "text"}, k=4)
    expected = col.search(query_vector(model, features=x, modality="text"), 4).rows()
    assert found["hits"] == expected


def test_many_vectors_at_once(http, col):
    x = np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)
    where = {"classes": "fruit"}
    found = ask(http, vectors=x.tolist(), k=3, modality=["text"], where=where)
    assert found["hits"] == col.search(x, 3, modality=["text"], where=where).rows()


def test_several_parts_are_weighted_and_summed(http, col, model, store):
    path = store.pictures / "0.png"
    parts = [
        {"text": "a lorry", "weight": 2},
        {"file": 0, "weight": -0.5},
        {"item": "1", "modality": "image"},
    ]
    form = {"request": json.dumps({"query": parts, "k": 4})}
    found = http.post("/v1/search", files={"file": path.read_bytes()}, data=form).json()
    total = (
        2 * unit(query_vector(model, text="a lorry"))
        - 0.5 * unit(query_vector(model, image=path))
        + unit(item_vector(col, "1", "image"))
    )
    expected = col.search(total, 4)
    assert [hit["id"] for hit in found["hits"][0]] == expected.ids[0].tolist()
    scores = [hit["score"] for hit in found["hits"][0]]
    np.testing.assert_allclose(scores, expected.scores[0], atol=1e-6)


def test_words(http, col):
    found = ask(http, words="pear apple", k=7, modality="text")
    assert found["hits"] == col.search_text("pear apple", 7, modality="text").rows()


# ---------------------------------------------------------------- ranked by match


@pytest.fixture(scope="module")
def sure(calibrated):
    with running(create_app(calibrated, read_only=True)) as address, client_of(address) as client:
        yield client


def on_the_command_line(folder, *options):
    done = CliRunner().invoke(commands, ["search", str(folder), *options, "-k", "25", "--json"])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("query", "options"),
    [
        ({"text": "an apple"}, ["--text", "an apple"]),
        ({"text": "an apple", "weight": 3}, ["--text", "an apple"]),
        ({"item": "3", "modality": "image"}, ["--item", "image:3"]),
        ({"item": "only"}, ["--item", "only"]),
        ({"file": 0}, ["--image", "4.png"]),
        ({"vector": np.eye(8)[0].tolist()}, ["--encoded", "--vector", "x.npy"]),
        (
            {"vector": np.eye(8)[0].tolist(), "modality": "text"},
            ["--encoded", "--vector", "x.npy", "--modality", "text"],
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("match", [None, False])
def test_a_question_has_one_answer_everywhere(
    sure, calibrated, store, tmp_path, monkeypatch, query, options, match
):
    """The service, the command line and the library: the same items, in one order."""
    monkeypatch.chdir(store.pictures)
    np.save(tmp_path / "x.npy", np.eye(8, dtype=np.float32)[:1])
    options = [str(tmp_path / one) if one == "x.npy" else one for one in options]
    files = {"file": (store.pictures / "4.png").read_bytes()} if "file" in query else None
    content = {"query": query, "k": 25, "match": match}
    if files is None:
        found = ask(sure, **content)
    else:
        found = sure.post("/v1/search", files=files, data={"request": json.dumps(content)}).json()
    told = on_the_command_line(calibrated, *options, *(["--cosine"] if match is False else []))
    assert (found["measure"], found["hits"][0]) == (told["measure"], told["hits"])
    known = "--modality" in options or "--vector" not in options
    assert found["measure"] == ("match" if known and match is None else "cosine")


def test_vectors_say_what_they_are_of(sure, calibrated):
    x = np.random.default_rng(1).standard_normal((3, 8)).astype(np.float32)
    with Collection.open(calibrated, read_only=True) as col:
        expected = col.search(x, 9, query_modality="text")
        plain = col.search(x, 9)
    assert expected.ids.tolist() != plain.ids.tolist() and expected.measure == "match"
    found = ask(sure, vectors=x.tolist(), k=9, query_modality="text")
    assert (found["measure"], found["hits"]) == ("match", expected.rows())
    for more in ({}, {"query_modality": "text", "match": False}, {"query_modality": "smell"}):
        found = ask(sure, vectors=x.tolist(), k=9, **more)
        assert (found["measure"], found["hits"]) == ("cosine", plain.rows())


def test_pages_of_matches_are_the_whole_list(sure):
    whole = ask(sure, query={"text": "an apple"}, k=25)["hits"][0]
    pages = [ask(sure, query={"text": "an apple"}, k=10, offset=at) for at in (0, 10, 20)]
    assert [hit for page in pages for hit in page["hits"][0]] == whole and len(whole) == 25


def test_several_parts_go_by_cosine(sure):
    parts = [{"text": "an apple"}, {"item": "3", "modality": "text"}]
    assert ask(sure, query=parts)["measure"] == "cosine"
    assert ask(sure, query={"text": "an apple", "weight": -1})["measure"] == "cosine"
    assert ask(sure, words="apple")["measure"] == "bm25"


# ---------------------------------------------------------------- pages and lines


def test_pages_are_the_whole_list(http, col):
    whole = col.search(col.space.basis[:1], 24).rows()[0]
    pages, offset = [], 0
    while offset is not None:
        page = ask(http, vectors=col.space.basis[:1].tolist(), k=10, offset=offset)
        pages += page["hits"][0]
        offset = page["next_offset"]
    assert pages == whole and len(whole) == 24


def test_lines_are_the_same_hits(http):
    request = {"vectors": np.eye(8)[:3].tolist(), "k": 20, "offset": 1}
    plain = ask(http, **request)["hits"]
    headers = {"Accept": "application/x-ndjson"}
    with http.stream("POST", "/v1/search", json=request, headers=headers) as response:
        assert response.headers["content-type"].startswith("application/x-ndjson")
        lines = [json.loads(line) for line in response.iter_lines()]
    assert [line.pop("rank") for line in lines] == [*range(2, 22)] * 3
    assert [line.pop("query") for line in lines] == [0] * 20 + [1] * 20 + [2] * 20
    assert lines == [hit for found in plain for hit in found]


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("request_", "status", "code", "words"),
    [
        ({"text": "seven"}, 422, "InputError", "text: no such field; there are collection, query,"),
        ({}, 422, "InputError", "expected one of query, vectors and words, got none"),
        ({"words": "a", "vectors": [[1.0]]}, 422, "InputError", "got vectors and words"),
        ({"query": {"text": "a", "item": "3"}}, 422, "InputError", "got text and item"),
        ({"query": []}, 422, "InputError", "at least one part"),
        ({"query": {"item": "3"}}, 422, "InputError", "several modalities"),
        ({"query": {"item": "none"}}, 404, "NotFoundError", "'none'"),
        ({"query": {"text": "a", "modality": "image"}}, 422, "InputError", "not text"),
        ({"query": {"text": "a", "modality": "txt"}}, 404, "NotFoundError", "'text'"),
        ({"query": {"features": [1.0]}}, 422, "InputError", "name the modality"),
        ({"query": {"file": 0}}, 422, "InputError", "0 uploads"),
        ({"query": [{"text": "a"}, {"text": "a", "weight": -1}]}, 422, "InputError", "cancel"),
        ({"query": {"vector": [0, 1]}}, 422, "InputError", "8 features"),
        ({"vectors": [[0, 1], [0]]}, 422, "InputError", "unequal length"),
        ({"vectors": [[1e300] * 8]}, 422, "InputError", "finite"),
        ({"words": "a", "modality": "txt"}, 404, "NotFoundError", "'text'"),
        ({"words": "a", "where": {"x": {"near": 3}}}, 422, "InputError", "operator"),
        ({"words": "a", "k": 0}, 422, "InputError", "k:"),
        ({"words": "a", "kk": 1}, 422, "InputError", "kk"),
        ({"words": "a", "collection": "thing"}, 404, "NotFoundError", "'things'"),
        ({"vectors": [[1.0] * 8] * 3, "k": 50_000}, 413, "TooLarge", "100000 hits"),
        ({"vectors": [[1.0] * 8] * 1001}, 413, "TooLarge", "1000"),
        ({"query": [{"text": "a"}] * 33}, 413, "TooLarge", "32 parts"),
        ({"query": {"text": "a"}, "match": True}, 422, "InputError", "no calibration from 'text'"),
        ({"query": [{"text": "a"}] * 2, "match": True}, 422, "InputError", "Ask by one part"),
        ({"vectors": [[1.0] * 8], "match": True}, 422, "InputError", "`query_modality`"),
        ({"query": {"text": "a"}, "query_modality": "text"}, 422, "InputError", "with vectors"),
        ({"words": "a", "match": False}, 422, "InputError", "not for use with words"),
    ],
)
def test_a_wrong_search_says_what_is_wrong(http, request_, status, code, words):
    response = http.post("/v1/search", json=request_)
    assert (response.status_code, code_of(response)) == (status, code), response.text
    assert words in response.json()["error"]["message"]
    assert response.headers["x-request-id"] == response.json()["error"]["request_id"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "MalformedRequest"),
        (b'{"words": NaN}', "application/json", 422, "InputError"),
        (b'{"vectors": [[NaN, 1]]}', "application/json", 422, "InputError"),
        (b'{"words": "\\ud800"}', "application/json", 400, "MalformedRequest"),
        (b"[" * 100_000, "application/json", 400, "MalformedRequest"),
        (b'{"words": "a"}', "text/plain", 415, "UnsupportedMedia"),
        (b"--x\r\n", "multipart/form-data", 400, "MalformedRequest"),
        (b"--x\r\nhi", "multipart/form-data; boundary=x", 422, "InputError"),
        (b"", "multipart/form-data; boundary=x", 422, "InputError"),
    ],
)
def test_a_wrong_body_is_no_mistake_of_ours(http, content, kind, status, code):
    response = http.post("/v1/search", content=content, headers={"Content-Type": kind})
    assert (response.status_code, code_of(response)) == (status, code), response.text


def test_folders_are_called_by_their_name(http, store):
    response = http.post("/v1/search", json={"query": {"item": "none"}})
    assert "things: no item 'none'" in response.text and str(store.root) not in response.text


def test_a_collection_without_a_model_is_searched_by_vectors(store, tmp_path):

    with Collection.create(tmp_path / "bare", space=store.model().space_) as collection:
        collection.add(["a"], np.eye(8)[:1], modality="text")
    folders = {"bare": tmp_path / "bare", "things": store.collection}
    app = create_app(folders, read_only=True, limits=Limits(batch=1))
    with running(app) as address, client_of(address) as http:
        found = ask(http, collection="bare", vectors=np.eye(8)[:1].tolist())
        assert [hit["id"] for hit in found["hits"][0]] == ["a"]
        wrong = http.post("/v1/search", json={"collection": "bare", "query": {"text": "a"}})
        assert wrong.status_code == 422 and "no model on record" in wrong.text
        assert ask(http, collection="things", query={"text": "a"}, k=1)["collection"] == "things"
        unnamed = http.post("/v1/search", json={"words": "a"})
        assert unnamed.status_code == 422 and "'bare', 'things'" in unnamed.text
        listed = http.get("/v1/modalities", params={"collection": "bare"}).json()["modalities"]
        assert [(one["name"], one["items"], one["reads"]) for one in listed] == [("text", 1, None)]

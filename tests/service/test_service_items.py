from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from serving import client_of, code_of, running

from commonspace.service import Limits, create_app
from commonspace.store.collection import Collection
from commonspace.store.pipelines import query_vector

ROW = [1.0, 0, 0, 0, 0, 0, 0, 0.5]


def add(http, *items, modality="text"):
    return http.post("/v1/items", json={"modality": modality, "items": list(items)})


def test_added_items_are_found_got_and_deleted(writable):
    new = {"id": "dir/new ü?&", "vector": ROW, "payload": {"n": [1, {"x": None}]}}
    assert add(writable, new).json() == {"collection": "things", "added": 1}
    hit = writable.post("/v1/search", json={"vectors": [ROW], "k": 1}).json()["hits"][0][0]
    assert (hit["id"], hit["payload"]) == (new["id"], new["payload"])
    which = {"id": [new["id"], "0", "none"], "vectors": "true"}
    items = writable.get("/v1/items", params=which).json()["items"]
    assert [(item["id"], item["modality"]) for item in items] == [
        (new["id"], "text"),
        ("0", "image"),
        ("0", "text"),
    ]
    assert items[0]["vector"] == ROW and len(items[1]["vector"]) == 8
    one = {"id": new["id"], "modality": "text"}
    assert writable.request("DELETE", "/v1/items", params=one).json()["deleted"] == 1
    assert writable.request("DELETE", "/v1/items", params=one).json()["deleted"] == 0
    assert code_of(writable.get("/v1/items", params=one)) == "NotFoundError"


def test_texts_and_features_are_encoded_by_the_model(writable, store):
    texts = [{"id": "a", "text": "red apple"}, {"id": "b", "text": "a plum"}]
    assert add(writable, *texts).status_code == 200
    got = writable.post("/v1/items/get", json={"ids": ["a", "0"], "vectors": True}).json()
    vectors = {(i["id"], i["modality"]): i["vector"] for i in got["items"]}
    np.testing.assert_allclose(vectors["a", "text"], vectors["0", "text"], atol=1e-6)
    x = np.random.default_rng(0).random((1, 1280), dtype=np.float32)
    assert add(writable, {"id": "c", "features": x[0].tolist()}, modality="image").is_success
    got = writable.get("/v1/items", params={"id": "c", "vectors": "true"}).json()
    expected = store.model().transform("image", x)[0]
    np.testing.assert_array_equal(np.float32(got["items"][0]["vector"]), expected)


def test_uploaded_pictures_become_items(writable, store):
    paths = [store.pictures / "0.png", store.pictures / "5.png"]
    rows = [{"id": f"new-{n}", "file": 1 - n, "payload": {"n": n}} for n in range(2)]
    form = {"request": json.dumps({"modality": "image", "items": rows})}
    files = [("file", path.read_bytes()) for path in paths]
    assert writable.post("/v1/items", data=form, files=files).json()["added"] == 2
    got = writable.get("/v1/items", params={"id": ["new-1", "new-0"], "vectors": "true"}).json()
    for item, path in zip(got["items"], paths, strict=True):
        expected = query_vector(store.model(), image=path)[0]
        np.testing.assert_array_equal(np.float32(item["vector"]), expected)
    form = {"request": json.dumps({"modality": "text", "items": rows})}
    assert writable.post("/v1/items", data=form, files=files).status_code == 422
    form = {"request": json.dumps({"modality": "image", "items": rows})}
    assert writable.post("/v1/items", data=form, files=files[:1]).status_code == 422


def test_a_batch_is_stored_whole_or_not_at_all(writable):
    before = writable.get("/v1/collections").json()
    good, bad = {"id": "good", "vector": ROW}, {"id": "bad", "vector": [1.0]}
    for rows in ([good, bad], [good, good], [good, {"id": "t", "text": "a"}], [{"id": "x"}]):
        response = add(writable, *rows)
        assert response.status_code == 422 and code_of(response) == "InputError"
    assert add(writable).status_code == 422
    assert writable.get("/v1/collections").json() == before


def test_a_text_is_never_taken_for_the_path_of_a_picture(writable, store):
    path = str(store.pictures / "0.png")
    response = add(writable, {"id": "x", "text": path}, modality="image")
    assert response.status_code == 422 and "no encoder of texts" in response.text
    query = {"query": {"text": path, "modality": "image"}}
    assert writable.post("/v1/search", json=query).status_code == 422


def test_a_collection_can_be_served_read_only(http):
    assert code_of(add(http, {"id": "x", "vector": ROW})) == "Forbidden"
    assert code_of(http.request("DELETE", "/v1/items", params={"id": "0"})) == "Forbidden"


@pytest.mark.parametrize(
    ("params", "status"),
    [
        ({}, 422),
        ({"id": ""}, 422),
        ({"id": "a", "x": "1"}, 422),
        ({"id": "a\0"}, 422),
        ({"id": "a" * 600}, 422),
        ({"id": "0", "modality": "a" * 600}, 422),
        ({"id": "0", "vectors": "maybe"}, 422),
        ({"id": "0", "modality": ["text", "image"]}, 422),
        ({"id": "0", "collection": "c"}, 404),
        ({"id": "none"}, 404),
    ],
)
def test_a_wrong_question_for_items_says_so(http, params, status):
    assert http.get("/v1/items", params=params).status_code == status


def test_too_many_items_are_refused(store):
    app = create_app(store.collection, read_only=True, limits=Limits(items=2))
    with running(app) as address, client_of(address) as http:
        response = http.post("/v1/items/get", json={"ids": ["0", "1", "2"]})
        assert response.status_code == 413 and code_of(response) == "TooLarge"


# ---------------------------------------------------------------- files of items


def test_a_picture_and_its_thumbnail(http, store):
    which = {"id": "3", "modality": "image"}
    shown = http.get("/v1/items/media", params=which)
    assert shown.content == (store.pictures / "3.png").read_bytes()
    assert shown.headers["content-type"] == "image/png"
    part = http.get("/v1/items/media", params=which, headers={"Range": "bytes=0-7"})
    assert part.status_code == 206 and part.content == shown.content[:8]
    small = http.get("/v1/items/thumbnail", params={**which, "size": 16})
    with Image.open(io.BytesIO(small.content)) as picture:
        assert picture.size == (16, 13)  # 30 x 24
    for size in ("15", "1025", "x", "-1"):
        assert http.get("/v1/items/thumbnail", params={**which, "size": size}).status_code == 422


def test_only_files_of_the_named_folder_are_shown(store, tmp_path):
    shown, outside = tmp_path / "shown", tmp_path / "secret.png"
    shown.mkdir()
    outside.write_bytes((store.pictures / "0.png").read_bytes())
    (shown / "in.png").write_bytes(outside.read_bytes())
    (shown / "text.png").write_text("no picture, by its bytes")
    (shown / "link.png").symlink_to(outside)
    wrong = ["../secret.png", str(outside), "link.png", "text.png", "/etc/passwd", "a\0b", "", "."]
    app = create_app(store.copy(tmp_path / "things"), media=shown)
    with running(app) as address, client_of(address) as http:
        paths = [*wrong, 7, ["in.png"], "in.png", str(shown / "in.png")]
        for number, path in enumerate(paths):
            add(http, {"id": f"p{number}", "vector": ROW, "payload": {"path": path}})
        got = [http.get("/v1/items/media", params={"id": f"p{n}"}) for n in range(len(paths))]
    assert [one.status_code for one in got] == [404] * (len(paths) - 2) + [200, 200]


def test_without_a_named_folder_no_file_is_shown(store):
    app = create_app(store.collection, read_only=True)
    with running(app) as address, client_of(address) as http:
        assert http.get("/v1/items/media", params={"id": "3"}).status_code == 404


# ---------------------------------------------------------------- Collection.get


def test_a_collection_gives_items_in_the_order_asked(store):
    with Collection.open(store.collection, read_only=True) as collection:
        items = collection.get(["5", "none", "0", "5"])
        assert [(item["id"], item["modality"]) for item in items] == [
            ("5", "image"),
            ("5", "text"),
            ("0", "image"),
            ("0", "text"),
        ]
        assert items[1]["payload"]["text"] == "a lorry"
        assert collection.get(["5"], "text") == items[1:2]
        assert collection.get([]) == [] == collection.get(["5"], "sound")

"""What the page shows beside hits: the sample, the map, match probabilities, filters, reports."""

from __future__ import annotations

import json
import math

import httpx
import numpy as np
import pytest
from serving import code_of, running
from typer.testing import CliRunner

from commonspace.cli import app as commands
from commonspace.errors import InputError, NotFoundError, StorageError
from commonspace.service import create_app
from commonspace.service.maps import FILE, read_map, write_map
from commonspace.service.views import HEALTH, fields_of
from commonspace.space import Space
from commonspace.store.collection import Collection
from commonspace.store.sampling import sample_items


@pytest.fixture
def folder(tmp_path):
    """Forty items of two classes on two axes, in two modalities, a half held out."""
    rng = np.random.default_rng(0)
    with Collection.create(tmp_path / "axes", space=Space.create(3)) as col:
        for modality in ("image", "text"):
            z = np.repeat(np.eye(3)[:2], 20, axis=0) + 0.1 * rng.standard_normal((40, 3))
            payloads = [
                {"classes": ["ab"[row // 20]], "split": ("train", "test")[row % 2], "n": row}
                for row in range(40)
            ]
            col.add(range(40), z, modality=modality, payloads=payloads)
    return tmp_path / "axes"


def test_a_sample_is_all_items_or_some_of_them(folder):
    every = sample_items(folder, 100)
    assert len(every) == every.total == 80
    assert every.modalities == ["image"] * 40 + ["text"] * 40
    with Collection.open(folder, read_only=True) as col:
        np.testing.assert_array_equal(every.vectors[:40], col.vectors(range(40), "image"))
    some = sample_items(folder, 30, seed=1)
    assert len(some) == 30 and some.total == 80
    assert some.ids == sample_items(folder, 30, seed=1).ids
    assert some.ids != sample_items(folder, 30, seed=2).ids
    rows = dict(zip(zip(every.ids, every.modalities, strict=True), every.vectors, strict=True))
    for id_, modality, vector in zip(some.ids, some.modalities, some.vectors, strict=True):
        np.testing.assert_array_equal(vector, rows[id_, modality])


def test_a_sample_needs_a_collection(tmp_path):
    with pytest.raises(NotFoundError, match="not a collection"):
        sample_items(tmp_path, 3)


def test_a_sample_is_drawn_while_somebody_writes(folder):
    with Collection.open(folder) as col:
        col.add(["new"], [[1, 1, 1]], modality="text")
        assert sample_items(folder, 100).ids[-1] == "new"


def test_a_map_by_pca_keeps_the_distances_of_a_plane(tmp_path):
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 2 * math.pi, 50)
    circle = np.column_stack([np.cos(angle), np.sin(angle)])
    with Collection.create(tmp_path / "c", space=Space.create(4)) as col:
        basis, _ = np.linalg.qr(rng.standard_normal((4, 2)))
        col.add(range(50), 3 * circle @ basis.T, modality="text")
    made = write_map(tmp_path / "c")
    xy = np.column_stack([made["points"]["x"], made["points"]["y"]])
    assert made["kept_variance"] == pytest.approx(1, abs=1e-3)
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=-1)
    expected = np.linalg.norm(circle[:, None] - circle[None], axis=-1)
    scale = apart.max() / expected.max()
    np.testing.assert_allclose(apart, scale * expected, atol=1e-3)
    assert np.abs(xy).max() == pytest.approx(1, abs=1e-3)
    assert made["points"]["classes"] == [None] * 50


def test_a_map_is_stored_bounded_and_the_same_each_time(folder):
    made = write_map(folder, points=50)
    assert made == read_map(folder) == write_map(folder, points=50)
    assert len(made["points"]["ids"]) == 50 and made["items"] == 80
    assert made["points"]["class_names"] == ["a", "b"]


@pytest.mark.parametrize("projection", ["tsne", "pca"])
def test_projections_part_the_classes(folder, projection):
    points = write_map(folder, projection=projection)["points"]
    xy = np.column_stack([points["x"], points["y"]])
    of_a = np.array(points["classes"]) == 0
    within = max(np.ptp(xy[of_a], axis=0).max(), np.ptp(xy[~of_a], axis=0).max())
    assert np.linalg.norm(xy[of_a].mean(axis=0) - xy[~of_a].mean(axis=0)) > within / 2


def test_maps_of_one_point_and_of_nearly_nothing(tmp_path):
    with Collection.create(tmp_path / "one", space=Space.create(1)) as col:
        col.add(range(3), [[1.0], [1.0], [1.0]], modality="text")
    made = write_map(tmp_path / "one")
    assert made["points"]["x"] == made["points"]["y"] == [0, 0, 0]
    assert made["kept_variance"] is None
    with Collection.create(tmp_path / "two", space=Space.create(1)) as col:
        col.add(range(2), [[1.0], [0.0]], modality="text")
    with pytest.raises(InputError, match="three items, there are 2"):
        write_map(tmp_path / "two")
    with pytest.raises(InputError, match="projection"):
        write_map(tmp_path / "one", projection="isomap")


def test_a_damaged_map_is_named(folder):
    (folder / FILE).write_text("{")
    with pytest.raises(StorageError, match=r"map\.json is damaged"):
        read_map(folder)


def test_fields_worth_a_filter():
    payloads = [
        {"lang": "fr", "n": row / 2, "path": "x", "text": "y", "id": str(row), "ok": row > 3}
        for row in range(100)
    ]
    payloads += [
        {"a.b": 1, 'a"b': 1, "": 1, "long": "x" * 100, "nested": {"a": 1}, "none": None, "few": 3}
    ]
    assert fields_of(payloads) == [
        {"name": "lang", "values": ["fr"]},
        {"name": "n", "low": 0, "high": 49.5},
        {"name": "ok", "values": [False, True]},
        {"name": "few", "values": [3]},
    ]
    assert fields_of([]) == []


def test_what_there_is_to_show(folder):
    with running(create_app(folder)) as url, httpx.Client(base_url=url) as http:
        about = http.get("/v1/page").json()
        assert (about["map"], about["health"], about["media"]) == (False, False, False)
        assert [field["name"] for field in about["fields"]] == ["classes", "split", "n"]
        for what in ("map", "health"):
            answer = http.get(f"/v1/page/{what}")
            assert answer.status_code == 404 and "Make one: commonspace" in answer.text
        made = write_map(folder)
        (folder / HEALTH).write_text(json.dumps({"verdict": "fine", "findings": []}))
        assert http.get("/v1/page").json()["map"]
        assert http.get("/v1/page/map").json() == made
        assert http.get("/v1/page/health").json()["verdict"] == "fine"
        assert http.get("/v1/page", params={"collection": "other"}).status_code == 404


@pytest.mark.parametrize("text", ["{", "[]", '{"verdict": NaN}', '{"verdict": "\\ud800"}', "1e999"])
def test_a_damaged_report_is_named(folder, text):
    (folder / HEALTH).write_text(text)
    with running(create_app(folder)) as url:
        answer = httpx.get(f"{url}/v1/page/health")
    assert code_of(answer) == "StorageError" and "health.json" in answer.text


def test_the_command_makes_a_map(folder):
    done = CliRunner().invoke(commands, ["map", str(folder), "--points", "20", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["points"] == 20
    assert len(read_map(folder)["points"]["ids"]) == 20
    done = CliRunner().invoke(commands, ["map", str(folder)])
    assert done.stdout.startswith(f"{folder / FILE}: 80 of 80 items")

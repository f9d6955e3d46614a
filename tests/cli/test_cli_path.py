from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from command_line import TINY, ran, run

import commonspace as cs
from commonspace.data import Splits, read_folder
from commonspace.disk import sha256_file
from commonspace.evaluation import chance
from commonspace.store.collection import Collection
from commonspace.store.models import load
from commonspace.training import Run


@pytest.fixture
def model(shop, tmp_path):
    return shutil.copytree(shop.model, tmp_path / "model")


def test_from_a_file_to_answers(splits, tmp_path):
    arrays = {}
    for split, data in splits.items():
        for name in ("image", "text"):
            arrays[f"{name}_{split}"] = data.x(name)
        arrays[f"label_{split}"] = data.labels("image").codes
    np.savez(tmp_path / "set.npz", **arrays)
    folder, model, vectors, out = (tmp_path / n for n in ("set", "model", "vectors", "found"))

    listing = ran("data", "show", tmp_path / "set.npz")["arrays"]
    assert {entry["name"]: tuple(entry["shape"]) for entry in listing} == {
        name: array.shape for name, array in arrays.items()
    }
    shown = ran("data", "import", tmp_path / "set.npz", "--out", folder)
    assert shown["splits"]["train"]["image"]["shape"] == list(arrays["image_train"].shape)
    assert ran("data", "check", folder) == {"folder": str(folder), "ok": True, "problems": []}
    assert ran("train", folder, "--method", "sm", "--out", model)["method"] == "SM"
    assert ran("evaluate", model, folder)["mean_ap"] > 0.5
    ran("encode", model, folder, "--out", vectors)
    assert ran("index", model, folder, "--out", out)["items"] == 2 * 60
    hits = ran("search", out, "--item", "0", "--modality", "text", "--in", "image", "-k", "3")
    assert len(hits["hits"]) == 3


def test_train_says_what_was_learned(shop):
    model = load(shop.model)
    assert shop.trained["space"] == model.space_.fingerprint
    assert list(shop.trained["modalities"]) == ["image", "text"] == list(model.modalities)
    for name, learned in shop.trained["modalities"].items():
        losses = [row["valid_loss"] for row in model.history_[name]]
        assert learned["epochs"] == 2 and learned["lowest_valid_loss"] == min(losses)
        assert learned["lowest_at_epoch"] == 1 + losses.index(min(losses))
    assert model.get_params()["hidden"] == (16,)
    assert not (shop.model / ".checkpoints").exists()


def test_training_never_reads_the_test_split(shop, tmp_path):
    spoiled = shutil.copytree(shop.data, tmp_path / "data")
    x = np.load(spoiled / "test" / "image" / "x.npy")
    np.save(spoiled / "test" / "image" / "x.npy", np.full_like(x, np.nan))
    options = ("--modalities", "image,text", *TINY)
    ran("train", spoiled, "--out", tmp_path / "model", *options)
    for name in shop.model.glob("modality-*"):
        assert (tmp_path / "model" / name.name).read_bytes() == name.read_bytes()


def test_train_validates_on_valid(splits, tmp_path):
    Splits({"train": splits["train"], "valid": splits["test"]}).save(tmp_path / "data")
    result = ran("train", tmp_path / "data", "--out", tmp_path / "model", *TINY)
    assert result["validated_on"] == "valid"
    model = cs.SDML(dim=8, hidden=(16,), epochs=2)
    model.fit(splits["train"], splits["test"], run=Run(jobs=1))
    x = splits["test"].x("text")
    np.testing.assert_array_equal(
        load(tmp_path / "model").transform("text", x), model.transform("text", x)
    )


def test_the_seed_and_presets_reach_the_method(shop, tmp_path):
    options = ("--modalities", "text", "--preset", "paper", "--seed", "5", *TINY)
    ran("train", shop.data, "--out", tmp_path / "model", *options)
    expected = cs.SDML.paper(dim=8, hidden=(16,), epochs=2, random_state=5).get_params()
    assert load(tmp_path / "model").get_params() == expected


def test_a_training_that_was_cut_off_is_resumed(shop, tmp_path, monkeypatch):
    from commonspace.cli import train

    options = ("--modalities", "text", *TINY)
    with monkeypatch.context() as patch:
        patch.setattr("commonspace.store.models.save", _cut_off)
        assert run("train", shop.data, "--out", tmp_path / "model", *options).code == 1
    kept = train._checkpoints(tmp_path / "model")
    assert len([*kept.glob("text*.safetensors")]) > 1  # one of each network
    ran("train", shop.data, "--out", tmp_path / "model", *options)
    assert not kept.exists()
    assert run("train", shop.data, "--out", tmp_path / "model", *options).code == 2
    assert run("train", shop.data, "--out", tmp_path / "model", "--force", *options).code == 0


def _cut_off(*_: object) -> None:
    raise RuntimeError("cut off")


def test_evaluate_is_the_librarys_report(shop):
    model, data = load(shop.model), read_folder(shop.data)["test"].select(["image", "text"])
    got = ran("evaluate", shop.model, shop.data, "--within", "--k", 5, "--chance")
    protocol = cs.Protocol(within=True, k=5)
    report = cs.evaluate(model, data, protocol=protocol).to_dict()
    assert {key: got[key] for key in report} == json.loads(json.dumps(report))
    floor = chance(data, protocol=protocol).to_dict()
    assert got["chance"] == json.loads(json.dumps(floor))
    table = run("evaluate", shop.model, shop.data).out
    assert "image" in table and "95 % interval" in table and "cosine, all ranks" in table


def test_evaluate_draws(shop, tmp_path):
    got = ran("evaluate", shop.model, shop.data, "--plots", tmp_path / "curves")
    assert got["plots"] and all((tmp_path / "curves").joinpath(p).exists() for p in got["plots"])


def test_a_named_protocol_may_be_changed(shop):
    got = ran("evaluate", shop.model, shop.data, "--protocol", "msdmml", "--divide-by", "all")
    assert got["protocol"]["k"] == 100 and got["protocol"]["divide_by"] == "all"
    assert got["mean_ap_within"] is not None


def test_a_modality_joins_and_the_others_keep_their_bytes(model, shop):
    before = {path.name: sha256_file(path) for path in model.glob("*.safetensors")}
    got = ran("add-modality", model, shop.data, "--modality", "audio", "--jobs", 1)
    assert got["added"] == "audio" and got["features"] == 5 and got["others_unchanged"]
    assert {path.name: sha256_file(path) for path in model.glob("*.safetensors")}.items() >= (
        before.items()
    )
    assert load(model).modalities == ("image", "text", "audio")
    assert "audio->text" in ran("evaluate", model, shop.data)["directions"]
    again = run("add-modality", model, shop.data, "--modality", "audio")
    assert again.code == 2 and "there already" in again.err


def test_a_method_with_one_network_for_all_says_that_vectors_changed(shop, tmp_path):
    tiny = ("--set", "hidden=[16]", "--set", "dim=8", "--set", "width=8", "--set", "steps=10")
    model = tmp_path / "model"
    learned = ran(
        "train", shop.data, "--out", model, "--method", "sequential", "--modalities", "image", *tiny
    )
    assert learned["method"] == "Sequential" and learned["modalities"]["image"]["epochs"] == 10
    got = ran("add-modality", model, shop.data, "--modality", "text")
    assert got["added"] == "text" and not got["others_unchanged"]
    done = run("add-modality", model, shop.data, "--modality", "audio")
    assert done.code == 0 and "encode stored items again" in done.out.replace("\n", " ")
    assert "audio->text" in ran("evaluate", model, shop.data)["directions"]


def test_add_modality_shows_both_digests(model, shop):
    done = run("add-modality", model, shop.data, "--modality", "audio", "--jobs", 1)
    line = next(line for line in done.out.splitlines() if line.strip().startswith("image"))
    _, before, after = line.split()
    assert before == after and len(before) == 12
    assert "kept their bytes" in done.out


def test_encode_writes_vectors(shop, tmp_path):
    ran("encode", shop.model, shop.data, "--out", tmp_path / "vectors")
    model, data, vectors = (
        load(shop.model),
        read_folder(shop.data),
        read_folder(tmp_path / "vectors"),
    )
    assert vectors.modalities == ("image", "text")
    for split in data:
        for name in vectors.modalities:
            expected = model.transform(name, data[split].x(name))
            np.testing.assert_array_equal(vectors[split].x(name), expected)
            assert vectors[split][name].items.tolist() == data[split][name].items.tolist()


def test_index_holds_every_item(shop):
    assert shop.indexed["added"] == shop.indexed["items"] == 120
    model, data = load(shop.model), read_folder(shop.data)["test"]
    with Collection.open(shop.collection, read_only=True) as collection:
        stored = collection.vectors(data["text"].items, "text")
        np.testing.assert_array_equal(stored, model.transform("text", data.x("text")))
        assert collection.metadata["model"]["space"] == model.space_.fingerprint
        payload = collection.search(stored[:1], k=1, modality="text").payloads[0, 0]
    assert payload == {"split": "test", "classes": [data.classes[data.labels("text").codes[0]]]}


def test_index_again_adds_nothing(shop, tmp_path):
    copy = shutil.copytree(shop.collection, tmp_path / "copy")
    again = ran("index", shop.model, shop.data, "--out", copy)
    assert again["added"] == 0 and again["already_there"] == again["items"] == 120


def test_index_of_one_split(shop, tmp_path):
    got = ran("index", shop.model, shop.data, "--out", tmp_path / "c", "--split", "test")
    assert got["items"] == 2 * len(read_folder(shop.data)["test"]["text"])


def test_search_by_features_is_the_librarys_search(shop, tmp_path):
    model, data = load(shop.model), read_folder(shop.data)["test"]
    np.save(tmp_path / "one query.npy", data.x("image")[0])
    np.save(tmp_path / "vector.npy", model.transform("image", data.x("image")[:1]))
    file, limits = tmp_path / "one query.npy", ("-k", 4, "--in", "text", "--where", "split=train")
    got = ran("search", shop.collection, "--vector", file, "--modality", "image", *limits)
    with Collection.open(shop.collection, read_only=True) as collection:
        queries = model.transform("image", data.x("image")[:1])
        found = collection.search(queries, k=4, modality="text", where={"split": "train"})
    assert got["hits"] == found.rows()[0]
    encoded = ran(
        "search", shop.collection, "--vector", tmp_path / "vector.npy", "--encoded", *limits
    )
    assert encoded["hits"] == got["hits"]
    item = ran(
        "search", shop.collection, "--item", data["image"].items[0], "--modality", "image", *limits
    )
    assert item["hits"] == got["hits"]


def test_search_finds_a_model_that_moved_with_the_collection(shop, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(shop.root, moved)
    np.save(tmp_path / "q.npy", read_folder(shop.data)["test"].x("text")[:2])
    query = ("--vector", tmp_path / "q.npy", "--modality", "text")
    assert len(ran("search", moved / "my collection", *query)["hits"]) == 2
    lost = shutil.copytree(shop.collection, tmp_path / "deep" / "er" / "lost")
    assert run("search", lost, *query).code == 0, "the absolute path still holds"
    assert run("search", lost, *query, "--model", shop.model).code == 0


@pytest.mark.parametrize(
    "query", [("--item", "0"), ("--lexical", "train"), ("--vector", "none.npy", "--encoded")]
)
def test_a_model_that_a_search_would_not_ask_is_refused(shop, query):
    done = run("search", shop.collection, *query, "--model", shop.model)
    assert done.code == 2 and "--model is what encodes a query" in " ".join(done.err.split())
    assert "Leave it out." in " ".join(done.err.split())


def test_search_prints_a_table(shop):
    out = run("search", shop.collection, "--item", "0", "--modality", "text", "-k", 2).out
    header, _, first, *_ = out.splitlines()
    assert header.split() == ["rank", "score", "modality", "id", "payload"]
    assert first.split()[:4] == ["1", "1.0000", "text", "0"]
    none = run(
        "search", shop.collection, "--item", "0", "--modality", "text", "--where", "split=no"
    )
    assert none.code == 0 and "nothing found" in none.out


def test_raw_texts_are_encoded_indexed_and_found(raw, tmp_path):
    raw.save(tmp_path / "raw")
    model, out = tmp_path / "model", tmp_path / "words"
    ran("train", tmp_path / "raw", "--out", model, "--encoder", "text=text-hash", *TINY)
    ran("index", model, tmp_path / "raw", "--out", out, "--batch", 5)
    got = ran("search", out, "--text", "fast car", "--in", "text", "-k", 2)
    assert {hit["payload"]["text"] for hit in got["hits"]} == {"fast car"}
    assert got["hits"][0]["score"] == pytest.approx(1, abs=1e-5)
    words = ran("search", out, "--lexical", "lorry", "--in", "sensor")["hits"]
    assert [hit["payload"]["text"] for hit in words] == ["a lorry", "a lorry"]
    unsaid = ran("train", tmp_path / "raw", "--out", tmp_path / "m2", *TINY)
    assert unsaid["modalities"]["text"]["encoder"]["id"] == "text-hash:v1:dim=2048"


def test_data_list_and_show(shop, tmp_path):
    rows = {row["name"]: row for row in ran("data", "list", "--data-root", tmp_path)["datasets"]}
    assert not rows["wikipedia"]["available"] and rows["wikipedia"]["classes"] == 10
    assert "wikipedia" in run("data", "list").out
    shown = ran("data", "show", shop.data)
    assert shown["pairs"]["test"]["image+text"] == shown["splits"]["test"]["image"]["shape"][0]
    assert "image+text" in run("data", "show", shop.data).out


def test_data_check_lists_every_problem(shop, tmp_path):
    spoiled = shutil.copytree(shop.data, tmp_path / "data")
    x = np.load(spoiled / "test" / "image" / "x.npy")
    x[2, 1] = np.nan
    np.save(spoiled / "test" / "image" / "x.npy", x)
    (spoiled / "train" / "text" / "items.npy").write_bytes(b"")
    done = run("data", "check", spoiled, "--json")
    assert done.code == 2 and not done.json["ok"]
    text = "\n".join(done.json["problems"])
    assert "items.npy" in text and "image/x.npy" in text
    np.save(spoiled / "train" / "text" / "items.npy", read_folder(shop.data)["train"]["text"].items)
    assert "row 2, column 1" in run("data", "check", spoiled).out


def test_import_of_a_table_takes_names_and_kinds(tmp_path):
    (tmp_path / "t.csv").write_text("caption,v,topic\na dog,1 2,pets\na cat,3 4,pets\n")
    options = (
        "--modality",
        "text=caption",
        "--modality",
        "v",
        "--label",
        "topic",
        "--name",
        "pets",
    )
    got = ran("data", "import", tmp_path / "t.csv", "--out", tmp_path / "d", *options)
    assert got["classes"] == ["pets"] and got["name"] == "pets"
    assert set(got["splits"]["train"]) == {"text", "v"}


def test_demo_prints_what_the_library_returns(tmp_path, monkeypatch):
    seen = []

    def run_demo(out, *, quiet=False):
        seen.append((out, quiet))
        return {"out": str(out)}

    monkeypatch.setattr("commonspace.demo.run.run_demo", run_demo)
    assert ran("demo", "--out", tmp_path) == {"out": str(tmp_path)}
    assert run("demo").out == ""
    assert seen[0] == (tmp_path, True) and not seen[1][1]


def test_bench_prints_ratios():
    options = ("--queries", 8, "--gallery", 40, "--dim", 4, "--classes", 2, "--repeats", 1)
    got = ran("bench", "evaluate", *options, "--no-memory")
    assert got["bench"] == "evaluate" and got["ratios"]
    assert "numpy_loop" in run("bench", "evaluate", *options, "--no-memory").out

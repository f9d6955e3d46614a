"""From raw pictures and words to a page of examples, by commands alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from command_line import run

from commonspace.benchmarks import pixels
from commonspace.data import Dataset, Splits
from commonspace.encoders import load_backbone
from commonspace.errors import InputError
from commonspace.networks import MetricBranch, PictureBranch

BRANCHES = 'branches={"image": {"crop": 32, "freeze": 17}}'


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    pytest.importorskip("efficientnet_lite_pytorch")
    rng = np.random.default_rng(0)
    parts = {}
    for split, n in (("train", 24), ("test", 12)):
        y = np.stack([np.arange(n) % 2, np.arange(n) % 3 == 0], axis=1).astype(np.float32)
        y[:, 0] = np.maximum(y[:, 0], 1 - y[:, 1])
        pictures = rng.integers(0, 256, (n, 40, 40, 3), dtype=np.uint8)
        texts = np.array([f"word{row % 3} thing" for row in range(n)])
        ids = [f"{split}-{row}" for row in range(n)]
        x = {"image": pictures, "text": texts}
        parts[split] = Dataset.from_arrays(x, y, classes=["a", "b"], items=ids)
    folder = tmp_path_factory.mktemp("raw") / "data"
    Splits(parts, "tiny").save(folder)
    return folder


def test_train_evaluate_and_show(raw, tmp_path):
    model, page = tmp_path / "model", tmp_path / "page.html"
    done = run(
        *("train", raw, "--method", "msdmml", "--out", model, "--set", BRANCHES),
        *("--set", "epochs=1", "--set", "dim=8", "--encoder", "text=text-bag-of-words"),
        *("--encoder", 'image={"kind": "image-pixels", "side": 36}', "--json"),
    )
    assert done.code == 0, done.err
    learned = done.json["modalities"]
    assert learned["image"]["features"] == 36 * 36 * 3
    assert learned["text"]["encoder"]["words"] == ["thing", "word0", "word1", "word2"]
    scored = run("evaluate", model, raw, "--ndcg", "--within", "--cutoffs", "2,5", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["protocol"]["gain"] == "overlap" and 0 <= scored.json["mean_ndcg"] <= 1
    direction = scored.json["directions"]["image->text"]
    assert direction["curves"]["map_at"]["k"] == [2, 5] and 0 <= direction["ndcg"] <= 1
    table = run("evaluate", model, raw, "--ndcg", "--cutoffs", "2,5")
    assert "nDCG" in table.out and "mAP@5" in table.out
    shown = run("examples", model, raw, "--out", page, "--queries", "2", "-k", "3")
    assert shown.code == 0 and str(page) in shown.out
    assert "data:image/png" in page.read_text() and " thing</span>" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("evaluate", "MODEL", "DATA", "--cutoffs", "5,x"), "--cutoffs"),
        (("examples", "MODEL", "DATA", "--split", "tset"), "tset"),
        (("train", "DATA", "--out", "OUT", "--encoder", "text=text-bags"), "text-bag-of-words"),
        (
            ("train", "DATA", "--out", "OUT", "--encoder", 'text={"kind": "text-hash", "dm": 9}'),
            "unknown settings",
        ),
    ],
)
def test_mistakes_exit_with_2(raw, tmp_path, arguments, words):
    known = {"DATA": raw, "OUT": tmp_path / "out", "MODEL": tmp_path / "model"}
    if "MODEL" in arguments:
        made = run(
            *("train", raw, "--method", "SM", "--out", known["MODEL"]),
            *("--encoder", "text=text-hash", "--modalities", "text"),
        )
        assert made.code == 0, made.err
    done = run(*(known.get(argument, argument) for argument in arguments))
    assert done.code == 2 and words in done.err and "Traceback" not in done.err


@pytest.mark.parametrize(
    "settings", [{"crop": 73}, {"crop": 16}, {"freeze": 18}, {"rate": 0}, {"side": 16}]
)
def test_bench_pixels_names_a_wrong_setting_before_it_reads_anything(settings):
    (name,) = settings
    with pytest.raises(InputError, match=f"^{name}: expected"):
        pixels.bench_pixels(name="there is no such set", **settings)


def test_frozen_features_are_made_of_the_centre_that_a_branch_sees():
    pytest.importorskip("efficientnet_lite_pytorch")
    x = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    data = Dataset.from_arrays({"image": x.reshape(3, -1)}, None)
    branch = untrained_branch(side=40, crop=32)
    expected = branch.pooled(torch.from_numpy(x.reshape(3, -1))).detach().numpy()
    found = pixels.with_features(data, 40, 32).x("image")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def untrained_branch(side, crop):
    backbone = load_backbone("efficientnet-lite0", crop)
    branch = PictureBranch(
        backbone.stages,
        MetricBranch(backbone.width, [], 4),
        **{"side": side, "crop": crop, "freeze": 0},
        **{"centre": backbone.centre, "scale": backbone.scale},
    )
    return branch.train(False)


def test_bench_pixels_compares_fine_tuned_with_frozen(raw, monkeypatch):
    lines = []
    found = pixels.bench_pixels(
        name=str(raw), side=36, crop=32, freeze=17, epochs=1, seeds=1, say=lines.append
    )
    assert [row["method"] for row in found["rows"]] == ["chance", "frozen", "fine-tuned"]
    assert all(0 < row["mean_ap"] <= 1 and 0 < row["mean_ndcg"] <= 1 for row in found["rows"])
    assert len(lines) == 2 and found["bench"] == "pixels"

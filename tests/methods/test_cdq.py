"""CDQ: closed forms by numpy, one set of codebooks for both modalities, and its codes."""

from __future__ import annotations

import numpy as np
import pytest

import commonspace as cs
from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import CDQ
from commonspace.methods.baselines.cdq_training import RIDGE, CDQTask, block_codebooks
from commonspace.methods.parts import item_ids
from commonspace.training import Run

DIMS = {"image": 8, "text": 6}
SMALL = {
    "dim": 8,
    "hidden": (16,),
    "bits": 16,
    "bits_per_word": 4,
    "epochs": 4,
    "batch_size": 16,
    "learning_rate": 5e-3,
    "dropout": 0.0,
}


@pytest.fixture(scope="module")
def data():
    return make_dataset(n_items=120, n_classes=4, noise=0.5, dims=DIMS)


def task_of(train: Dataset, **changes) -> CDQTask:
    return CDQTask(CDQ(**{**SMALL, **changes})._job(train, None))


def test_codebooks_are_the_ridge_regression_of_both_modalities_on_their_words(data):
    task = task_of(data["train"])
    task.quantize(rounds=2)
    D, words = task.codebooks.D.numpy(), task.codebooks.words.numpy()
    vectors = np.concatenate([task.embed(n, p.x) for n, p in task.parts.items()]).astype(float)
    b = np.concatenate([np.eye(16)[words[:, m]] for m in range(4)], axis=1)
    expected = np.linalg.solve(b.T @ b + RIDGE * np.eye(64), b.T @ vectors)
    np.testing.assert_allclose(D.reshape(64, 8), expected, atol=1e-3)


def test_more_rounds_never_make_the_codes_worse(data):
    task = task_of(data["train"])
    vectors = np.concatenate([task.embed(n, p.x) for n, p in task.parts.items()])
    errors = []
    for _ in range(4):
        task.quantize(rounds=1)
        D, words = task.codebooks.D.numpy(), task.codebooks.words.numpy()
        decoded = sum(D[m][words[:, m]] for m in range(len(D)))
        errors.append(float(np.square(vectors - decoded).sum()))
    assert np.all(np.diff(errors) < 1e-2 * errors[0])


def test_the_loss_is_what_slow_loops_say(data):
    train = data["train"]
    task = task_of(train, lam=0.2)
    task.quantize(rounds=1)
    rows = {name: np.array([1, 4, 6, 9, 20]) for name in train}
    z = {n: task.embed(n, task.parts[n].x[r]).astype(float) for n, r in rows.items()}
    y = {n: task.parts[n].y[r] for n, r in rows.items()}
    each = []
    for i, u in enumerate(z["image"]):
        for j, v in enumerate(z["text"]):
            s = float((y["image"][i] * y["text"][j]).sum() > 0)
            each.append(np.log(1 + np.exp(u @ v)) - s * (u @ v))
    expected, start = float(np.mean(each)), 0
    D = task.codebooks.D.numpy()
    for name, part in task.parts.items():
        words = task.codebooks.words.numpy()[start + rows[name]]
        decoded = sum(D[m][words[:, m]] for m in range(len(D)))
        expected += 0.2 * float(np.square(z[name] - decoded).sum(axis=1).mean())
        start += len(part)
    assert task.loss(rows).item() == pytest.approx(expected, rel=1e-4)


def test_the_first_codebooks_live_in_blocks_of_the_dimensions():
    x = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    D = block_codebooks(x, n_words=4, n_entries=8, seed=0)
    for m, columns in enumerate(np.array_split(np.arange(6), 4)):
        assert D[m][:, columns].any() and not np.delete(D[m], columns, axis=1).any()


def test_fewer_dimensions_than_words(data):
    model = CDQ(**{**SMALL, "dim": 2}).fit(data["train"])
    assert model.decode(model.encode("text", data["test"].x("text"))).shape[1] == 2


def test_it_beats_chance_and_so_do_its_codes(data):
    longer = {**SMALL, "epochs": 20, "input_dropout": 0.2}
    model, test = CDQ(**longer).fit(data["train"]), data["test"]
    assert cs.evaluate(model, test).mean_ap > 0.5  # chance: 0.25
    z = {name: model.transform(name, test.x(name)) for name in test}
    decoded = {name: model.decode(model.encode(name, test.x(name))) for name in test}
    for query, other in (("image", "text"), ("text", "image")):
        found = (z[query] @ decoded[other].T).argmax(axis=1)
        same = test.labels(query).codes == test.labels(other).codes[found]
        assert same.mean() > 0.6
        far = np.square(z[query] - z[query].mean(axis=0)).sum()
        assert np.square(z[query] - decoded[query]).sum() < 0.3 * far


def test_items_need_no_pairs(data):
    x = {name: part.x for name, part in data["train"].items()}
    y = {name: part.labels.codes for name, part in data["train"].items()}
    x["text"], y["text"] = x["text"][::2], y["text"][::2]
    apart = Dataset.from_arrays(x, y)
    assert len(item_ids(apart)) == sum(map(len, x.values()))
    assert np.isfinite(CDQ(**SMALL).fit(apart).transform("text", x["text"])).all()


def test_a_killed_training_goes_on_to_the_same_bits(data, tmp_path, monkeypatch):
    train, x = data["train"], data["test"].x("image")
    whole = CDQ(**SMALL).fit(train)
    alternate = CDQTask.alternate

    def stop(task: CDQTask, epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        alternate(task, epoch)

    run = Run(checkpoints=tmp_path, jobs=1)
    with monkeypatch.context() as patch:
        patch.setattr(CDQTask, "alternate", stop)
        with pytest.raises(KeyboardInterrupt):
            CDQ(**SMALL).fit(train, run=run)
    resumed = CDQ(**SMALL).fit(train, run=run)
    np.testing.assert_array_equal(resumed.encode("image", x), whole.encode("image", x))
    np.testing.assert_array_equal(resumed.transform("image", x), whole.transform("image", x))
    assert resumed.history_ == whole.history_


@pytest.mark.parametrize("n_classes", [1, 2])
@pytest.mark.parametrize("n", [1, 5])
def test_few_rows_and_constant_features(n, n_classes):
    x = np.random.default_rng(0).normal(size=(n, 4)).astype(np.float32)
    x[:, 0] = 1
    y = np.arange(n) % n_classes
    data = Dataset.from_arrays({"image": x, "text": -x}, y, classes=["a", "b"][:n_classes])
    model = CDQ(**SMALL, batch_norm=True).fit(data)
    assert np.isfinite(model.decode(model.encode("text", x))).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"bits": 12}, "bits"), ({"lam": -1}, "lam"), ({"epochs": 0}, "epochs"), ({"dim": 0}, "dim")],
)
def test_arguments_out_of_range_are_named(data, arguments, message):
    with pytest.raises(InputError, match=message):
        CDQ(**arguments).fit(data["train"])


def test_two_modalities_no_more_and_no_fewer(data):
    with pytest.raises(InputError, match="two modalities, got image alone"):
        CDQ(**SMALL).fit(data["train"].select(["image"]))
    three = make_dataset(n_items=20, n_classes=2, dims={**DIMS, "audio": 3})["train"]
    with pytest.raises(InputError, match="CDQ takes 2 modalities, got 3"):
        CDQ(**SMALL).fit(three)

"""Multi-label CCA against loops over rows and the eigenproblem of its paper."""

from __future__ import annotations

import numpy as np
import pytest
from directions import same_up_to_sign, standardized, with_standardized_features

from commonspace.data import Dataset, make_dataset
from commonspace.errors import InputError
from commonspace.methods import MLCCA
from commonspace.methods.baselines import mlcca


def loops(y_x: np.ndarray, y_y: np.ndarray, neighbours: int, sigma: float) -> np.ndarray:
    """s_ij for every pair of rows; rows at the distance of the last place share what is left."""
    s = np.zeros((len(y_x), len(y_y)))
    for i, own in enumerate(y_x):
        distance = np.array([np.linalg.norm(own - other) for other in y_y]).round(6)
        for j, d in enumerate(distance):
            nearer, equal = (distance < d).sum(), (distance == d).sum()
            share = min(max((neighbours - nearer) / equal, 0), 1)
            s[i, j] = share * np.exp(-d / sigma)
    return s


@pytest.mark.parametrize("label_kind", ["single", "multi", "graded"])
@pytest.mark.parametrize("neighbours", [1, 7, 500])
def test_weights_against_loops(label_kind, neighbours):
    rng = np.random.default_rng(0)
    draw = {
        "single": lambda n: np.eye(3)[rng.integers(3, size=n)],
        "multi": lambda n: (rng.random((n, 3)) < 0.5).astype(float),
        "graded": lambda n: rng.random((n, 3)),
    }[label_kind]
    y_x, y_y = draw(12), draw(15)
    labels, group, counts = np.unique(y_y, axis=0, return_inverse=True, return_counts=True)
    found = mlcca.similarities(y_x, labels, counts, neighbours, 0.8)[:, group.ravel()]
    np.testing.assert_allclose(found, loops(y_x, y_y, neighbours, 0.8), atol=1e-6)


@pytest.mark.parametrize("label_kind", ["single", "multi"])
def test_directions_solve_the_eigenproblem(label_kind):
    """A: leading eigenvectors of C_xx⁻¹ C_xy C_yy⁻¹ C_yx; B = C_yy⁻¹ C_yx A; of length 1."""
    splits = make_dataset(
        n_items=60, n_classes=5, dims={"image": 7, "text": 6}, label_kind=label_kind, paired=False
    )
    train, dim, neighbours, sigma, ridge = splits["train"], 3, 6, 0.7, 0.25
    x, y = (standardized(part.x) for part in train.values())
    s = loops(*(part.labels.dense() for part in train.values()), neighbours, sigma)
    c_xy = sum(s[i, j] * np.outer(x[i], y[j]) for i in range(len(x)) for j in range(len(y)))
    c_xx = sum(s[i].sum() * np.outer(x[i], x[i]) for i in range(len(x)))
    c_yy = sum(s[:, j].sum() * np.outer(y[j], y[j]) for j in range(len(y)))
    c_xy, c_xx, c_yy = (c / (len(x) * neighbours) for c in (c_xy, c_xx, c_yy))
    c_xx = c_xx + ridge * np.diag(c_xx).mean() * np.eye(7)
    c_yy = c_yy + ridge * np.diag(c_yy).mean() * np.eye(6)
    to_b = np.linalg.solve(c_yy, c_xy.T)
    roots, a = np.linalg.eig(np.linalg.solve(c_xx, c_xy) @ to_b)
    a = a.real[:, np.argsort(-roots.real)[:dim]]
    b = to_b @ a
    model = MLCCA(dim=dim, neighbours=neighbours, sigma=sigma, ridge=ridge)
    model.fit(with_standardized_features(train))
    for name, w in (("image", a), ("text", b)):
        new = standardized(splits["test"].x(name), train.x(name))
        w = w / np.linalg.norm(w, axis=0)
        same_up_to_sign(model.transform(name, new.astype(np.float32)), new @ w)


def test_signs_of_both_modalities_agree():
    train = make_dataset(n_items=80, n_classes=4, noise=0.5)["train"]
    model = MLCCA().fit(train)
    first, second = (model.transform(name, part.x) for name, part in train.items())
    assert model.space_.dim == 3  # one class a row: classes less one
    assert ((first * second).sum(axis=0) > 0).all()


def test_blocks_of_groups_change_nothing(monkeypatch):
    splits = make_dataset(n_items=80, n_classes=5, label_kind="multi")
    whole = MLCCA(dim=4).fit(splits["train"]).transform("text", splits["test"].x("text"))
    monkeypatch.setattr(mlcca, "BLOCK", 40)
    again = MLCCA(dim=4).fit(splits["train"]).transform("text", splits["test"].x("text"))
    np.testing.assert_allclose(np.abs(again), np.abs(whole), atol=1e-5)


def test_rows_without_labels_take_no_part():
    train = make_dataset(n_items=80, n_classes=3)["train"]
    codes = train.labels("text").codes.copy()
    codes[::3] = -1
    x = {name: part.x for name, part in train.items()}
    own = {"image": train.labels("image").codes, "text": codes}
    some = Dataset.from_arrays(x, own, classes=train.classes)
    rest = train.take({"text": np.flatnonzero(codes >= 0)})
    first, second = (MLCCA().fit(d).transform("text", x["text"]) for d in (some, rest))
    np.testing.assert_array_equal(first, second)


def test_labels_that_tell_nothing_apart_are_refused():
    train = make_dataset(n_items=40, n_classes=2)["train"]
    rows = np.flatnonzero(train.labels("text").codes == 0)
    with pytest.raises(InputError, match="'text': MLCCA learns from labels that tell items apart"):
        MLCCA().fit(train.take({"text": rows}))

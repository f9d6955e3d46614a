"""C, Z, D and B: no step makes the objective worse, and closed forms are the best."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from commonspace.methods import spdq_quantizer
from commonspace.methods.spdq_quantizer import Groups, LabelQuantizer, Sums
from commonspace.quantization import decode_words

SLACK = 1e-4


def problem(kind):
    """Representations of two modalities, paired or not, with labels of one or several classes."""
    rng = np.random.default_rng(0)
    sizes = {"image": 90, "text": 90 if kind != "unpaired" else 60}
    labels = {}
    for name, n in sizes.items():
        y = np.eye(5, dtype=np.float32)[np.arange(n) % 5]
        if kind == "several":
            y = (np.random.default_rng(1).random((n, 5)) < 0.4).astype(np.float32)
        labels[name] = y
    s = {
        m: np.tanh(rng.standard_normal((n, 12)) + y @ rng.standard_normal((5, 12)))
        for (m, n), y in zip(sizes.items(), labels.values(), strict=True)
    }
    s = {name: value.astype(np.float32) for name, value in s.items()}
    groups = Groups.of_labels(labels)
    if kind == "items":
        groups = Groups.of_items({m: np.array([f"i{k}" for k in range(90)]) for m in sizes})
    return s, labels, groups


KINDS = ["paired", "unpaired", "several", "items"]


def started(kind, orthogonal):
    s, labels, groups = problem(kind)
    sums = {name: Sums.of(value, groups, name) for name, value in s.items()}
    found = LabelQuantizer.start(
        sums, groups, n_words=2, n_entries=4, beta=1.0, orthogonal=orthogonal, seed=0
    )
    return s, labels, groups, sums, found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orthogonal", [False, True])
def test_no_step_increases_the_objective(kind, orthogonal):
    _, _, groups, sums, q = started(kind, orthogonal)
    values = [q.objective(sums, groups)]
    for _ in range(5):
        for step in (q.step_c, q.step_z, q.step_d, lambda s, g: q.step_b(g)):
            step(sums, groups)
            values.append(q.objective(sums, groups))
            for c in q.C.values():
                np.testing.assert_allclose(c @ c.T, np.eye(12), atol=1e-5)
    values = np.array(values)
    assert (np.diff(values) <= SLACK * values[:-1]).all()
    if not q.orthogonal:  # there C alone can bring everything to its best
        assert values[-1] < 0.95 * values[0]
    if q.orthogonal:
        np.testing.assert_allclose(q.Z @ q.Z.T, q.Z[0] @ q.Z[0] * np.eye(len(q.Z)), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_objective_is_the_sum_over_rows(kind):
    s, _, groups, sums, q = started(kind, False)
    targets = groups.labels.toarray() @ q.Z
    total = 0.0
    for name, value in s.items():
        wanted = targets[groups.index[name]]
        total += np.square(value @ q.C[name].T - wanted).sum()
        error = (targets - decode_words(q.D, q.words))[groups.index[name]]
        total += q.beta * np.square(error).sum() / len(s)
    assert q.objective(sums, groups) == pytest.approx(total, rel=1e-5)


def test_paired_z_is_the_published_closed_form():
    """Eq. for Z of Algorithm 1, with items as columns and its 2 + β."""
    s, labels, groups, sums, q = started("several", False)
    q.beta = 0.7
    L = labels["image"].T.astype(float)
    B = decode_words(q.D, q.words)[groups.index["image"]].T
    right = sum(q.C[m] @ s[m].T for m in s) + q.beta * B
    expected = right @ L.T @ np.linalg.inv((2 + q.beta) * L @ L.T)
    q.step_z(sums, groups)
    np.testing.assert_allclose(q.Z.T, expected, atol=1e-4)


def test_c_is_the_best_of_many_orthogonal_maps():
    _, _, groups, sums, q = started("paired", False)
    q.step_c(sums, groups)
    best, rng = q.objective(sums, groups), np.random.default_rng(0)
    for _ in range(20):
        turn = np.linalg.qr(np.eye(12) + 0.1 * rng.standard_normal((12, 12)))[0]
        kept, q.C["image"] = q.C["image"], turn @ q.C["image"]
        assert q.objective(sums, groups) >= best
        q.C["image"] = kept


def test_without_label_alignment_an_item_has_a_target_between_its_modalities():
    s, _, groups, sums, q = started("items", False)
    q.beta = 0.0
    q.step_z(sums, groups)
    between = sum(s[m] @ q.C[m].T for m in s) / 2
    np.testing.assert_allclose(q.targets(groups)[groups.index["image"]], between, atol=1e-4)


@pytest.mark.parametrize("shape", [(6, 6), (3, 6), (6, 3)])
def test_where_the_fast_driver_of_the_svd_fails_the_other_is_asked(monkeypatch, shape):
    """As it does, machine by machine, on some matrices of low rank."""
    matrix = np.random.default_rng(3).normal(size=shape)
    expected = spdq_quantizer._polar(matrix)
    asked = []

    def svd(*args, lapack_driver="gesdd", **more):
        asked.append(lapack_driver)
        if lapack_driver == "gesdd":
            raise np.linalg.LinAlgError("SVD did not converge")
        return scipy.linalg.svd(*args, lapack_driver=lapack_driver, **more)

    monkeypatch.setattr(spdq_quantizer, "svd", svd)
    found = spdq_quantizer._polar(matrix)
    np.testing.assert_allclose(found, expected, atol=1e-10)
    few = found @ found.T if shape[0] <= shape[1] else found.T @ found
    np.testing.assert_allclose(few, np.eye(len(few)), atol=1e-10)
    assert asked == ["gesdd", "gesvd"]

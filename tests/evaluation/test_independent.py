"""Other people's evaluators on the same rankings."""

import numpy as np
import pytest

from commonspace.evaluation import Protocol, score_vectors

from .slow import cosine


def problem(multi):
    rng = np.random.default_rng(4)
    q, g = rng.standard_normal((25, 16)), rng.standard_normal((300, 16))
    if multi:
        yq, yg = rng.random((25, 6)) < 0.3, rng.random((300, 6)) < 0.3
        yq[:, 0] |= ~yq.any(axis=1)
        relevant = yq.astype(int) @ yg.T.astype(int) > 0
    else:
        yq, yg = rng.integers(0, 5, 25), rng.integers(0, 5, 300)
        relevant = yq[:, None] == yg
    return q, g, yq, yg, relevant


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("k", [None, 50])
def test_trec_eval(multi, k):
    pytrec_eval = pytest.importorskip("pytrec_eval")
    q, g, yq, yg, relevant = problem(multi)
    scores = cosine(q, g)
    qrels = {
        f"q{i}": {f"d{j}": int(v) for j, v in enumerate(row)} for i, row in enumerate(relevant)
    }
    run = {f"q{i}": {f"d{j}": float(v) for j, v in enumerate(row)} for i, row in enumerate(scores)}
    name = "map" if k is None else f"map_cut_{k}"
    found = pytrec_eval.RelevanceEvaluator(qrels, {"map" if k is None else f"map_cut.{k}"})
    expected = [values[name] for values in found.evaluate(run).values()]
    score = score_vectors(q, g, yq, yg, protocol=Protocol(k=k), n_bootstrap=0)
    np.testing.assert_allclose(score.ap, expected, atol=1e-6)


def test_ir_measures():
    ir_measures = pytest.importorskip("ir_measures")
    q, g, yq, yg, relevant = problem(multi=False)
    scores = cosine(q, g)
    qrels = {
        f"q{i}": {f"d{j}": int(v) for j, v in enumerate(row)} for i, row in enumerate(relevant)
    }
    run = {f"q{i}": {f"d{j}": float(v) for j, v in enumerate(row)} for i, row in enumerate(scores)}
    wanted = [ir_measures.AP, ir_measures.AP @ 20, ir_measures.P @ 10]
    found = ir_measures.calc_aggregate(wanted, qrels, run)
    full = score_vectors(q, g, yq, yg, n_bootstrap=0, curves=True, scopes=[10])
    cut = score_vectors(q, g, yq, yg, protocol=Protocol(k=20), n_bootstrap=0)
    assert full.mean_ap == pytest.approx(found[wanted[0]], abs=1e-6)
    assert cut.mean_ap == pytest.approx(found[wanted[1]], abs=1e-6)
    assert full.curves.scope_precision[0] == pytest.approx(found[wanted[2]], abs=1e-6)


def test_sklearn_without_ties():
    metrics = pytest.importorskip("sklearn.metrics")
    q, g, yq, yg, relevant = problem(multi=True)
    scores = cosine(q, g)
    expected = [metrics.average_precision_score(relevant[i], scores[i]) for i in range(len(q))]
    score = score_vectors(q, g, yq, yg, n_bootstrap=0)
    np.testing.assert_allclose(score.ap, expected, atol=1e-12)

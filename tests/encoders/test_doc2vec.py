from __future__ import annotations

import base64
import json
import sys

import numpy as np
import pytest

from commonspace.encoders import Doc2VecEncoder, encoder_from_spec, fitted_spec, identity
from commonspace.errors import InputError, MissingExtraError

TOPICS = ["cat dog mouse horse cow".split(), "car train bus lorry plane".split()]


def texts(n: int, seed: int = 0) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    return [" ".join(rng.choice(TOPICS[k], 6)) + " the" for k in labels], labels


@pytest.fixture(scope="module")
def encoder():
    pytest.importorskip("gensim")
    return Doc2VecEncoder.fit(texts(80)[0], dim=8, epochs=30)


def test_texts_of_a_topic_are_near_each_other(encoder):
    read, labels = texts(40, seed=1)
    x = encoder.encode(read)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, rtol=1e-5)
    same = labels[:, None] == labels[None]
    scores = x @ x.T
    assert scores[same].mean() > scores[~same].mean() + 0.5


def test_alone_as_in_a_batch_and_again_from_json(encoder):
    read, _ = texts(5, seed=2)
    x = encoder.encode([*read, "unknown words", ""])
    assert x.shape == (7, 8) and x.dtype == np.float32 and not x[5:].any()
    np.testing.assert_array_equal(encoder.encode(read[3:4])[0], x[3])
    again = encoder_from_spec(json.loads(json.dumps(identity(encoder))))
    assert again == encoder and again.id == encoder.id
    np.testing.assert_array_equal(again.encode(read), x[:5])


def test_learning_is_seeded_and_settings_complete_a_spec(encoder):
    read, _ = texts(80)
    spec = {"kind": "text-doc2vec", "dim": 8, "epochs": 30}
    assert fitted_spec(spec, read) == encoder.spec()
    assert fitted_spec(encoder.spec(), []) == encoder.spec()
    other = Doc2VecEncoder.fit(read, dim=8, epochs=30, seed=1)
    assert other.id != encoder.id


def test_a_text_has_the_vector_that_maximises_the_objective(encoder):
    """Against plain loops over words, and gradients by differences."""
    u = np.frombuffer(base64.b64decode(encoder.vectors), "<f2").reshape(-1, 8).astype(float)
    text = "cat dog cat"
    noise = np.array(encoder.counts, float) ** 0.75
    noise /= noise.sum()

    def objective(d):
        value = -d @ d / 2
        for word in text.split():
            row = encoder.words.index(word)
            value += np.log(1 / (1 + np.exp(-u[row] @ d)))
            for other, share in enumerate(noise):
                value += 5 * share * np.log(1 / (1 + np.exp(u[other] @ d)))
        return value

    best = encoder._best(
        np.array([encoder.words.index("cat"), encoder.words.index("dog")]), np.array([2.0, 1.0])
    )
    steps = np.eye(8) * 1e-4
    slope = [(objective(best + step) - objective(best - step)) / 2e-4 for step in steps]
    np.testing.assert_allclose(slope, 0, atol=2e-3)
    np.testing.assert_allclose(encoder.encode([text])[0], best / np.linalg.norm(best), rtol=1e-5)


def test_mistakes(monkeypatch, encoder):
    spec = encoder.spec()
    for changed, words in [
        ({"words": []}, "at least one word"),
        ({"counts": [1]}, "one above 0 for each"),
        ({"vectors": "*"}, "Base64"),
        ({"vectors": "AAAA"}, "no rows"),
    ]:
        with pytest.raises(InputError, match=words):
            encoder_from_spec({**spec, **changed})
    with pytest.raises(InputError, match="expected words"):
        Doc2VecEncoder.fit(["", " "])
    with pytest.raises(InputError, match="dim"):
        Doc2VecEncoder.fit(["a"], dim=0)
    for name in list(sys.modules):
        if name.startswith("gensim"):
            monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "gensim.models.doc2vec", None)
    with pytest.raises(MissingExtraError, match=r"commonspace\[text\]"):
        Doc2VecEncoder.fit(["a b"])
    assert encoder.encode(["cat"]).any()  # needs no gensim

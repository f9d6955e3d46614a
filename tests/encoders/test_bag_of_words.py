from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from commonspace.encoders import BagOfWordsEncoder, Encoder, encoder_from_spec, fitted_spec
from commonspace.errors import InputError, NotFoundError

TEXTS = ["A cat, a cat and a dog.", "The dog sleeps", "the CAT sleeps", "", "dog dog dog moon"]


def test_counts_are_those_of_scikit_learn():
    encoder = BagOfWordsEncoder.fit(TEXTS, size=100)
    theirs = CountVectorizer(token_pattern=r"\w+", vocabulary=list(encoder.words))
    assert np.array_equal(encoder.encode(TEXTS), theirs.transform(TEXTS).toarray())
    assert encoder.words == tuple(sorted(encoder.words)) and encoder.dim == len(encoder.words)
    assert isinstance(encoder, Encoder)


def test_weights_are_the_smoothed_ones_of_scikit_learn():
    encoder = BagOfWordsEncoder.fit(TEXTS, size=100, weighting="rare")
    counts = CountVectorizer(token_pattern=r"\w+", vocabulary=list(encoder.words))
    theirs = TfidfTransformer(sublinear_tf=True).fit_transform(counts.transform(TEXTS))
    np.testing.assert_allclose(encoder.encode(TEXTS), theirs.toarray(), atol=1e-6)


def test_the_vocabulary_is_that_of_the_most_texts():
    assert BagOfWordsEncoder.fit(TEXTS, size=1).words == ("dog",)
    assert BagOfWordsEncoder.fit(TEXTS, size=3).words == ("cat", "dog", "sleeps")
    assert BagOfWordsEncoder.fit(["b a", "a b"], size=1).words == ("a",)


def test_words_outside_the_vocabulary_are_nothing():
    encoder = BagOfWordsEncoder.fit(TEXTS, weighting="rare")
    x = encoder.encode(["zebra", "", "MOON!"])
    assert x.dtype == np.float32 and not x[:2].any() and np.linalg.norm(x[2]) == pytest.approx(1)
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_its_settings_are_plain_json_and_its_id_tells_vocabularies_apart():
    for weighting in ("counts", "rare"):
        encoder = BagOfWordsEncoder.fit(TEXTS, weighting=weighting)
        back = encoder_from_spec(json.loads(json.dumps(encoder.spec())))
        assert back == encoder and back.id == encoder.id
        assert np.array_equal(back.encode(TEXTS), encoder.encode(TEXTS))
    assert encoder.id != BagOfWordsEncoder.fit(TEXTS, size=3, weighting="rare").id


def test_settings_that_have_to_be_learned():
    spec = fitted_spec({"kind": "text-bag-of-words", "size": 2}, TEXTS)
    assert spec == BagOfWordsEncoder.fit(TEXTS, size=2).spec()
    assert fitted_spec(spec, ["other"]) == spec
    assert fitted_spec({"kind": "text-hash"}, [])["dim"] == 2048
    with pytest.raises(InputError, match=r"unknown settings in \{'sise': 2\}"):
        fitted_spec({"kind": "text-bag-of-words", "sise": 2}, TEXTS)
    with pytest.raises(NotFoundError, match="'text-bag'"):
        fitted_spec({"kind": "text-bag"}, TEXTS)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BagOfWordsEncoder.fit(["", " "]), "expected words to learn a vocabulary from"),
        (lambda: BagOfWordsEncoder.fit("one text"), "expected a list of texts"),
        (lambda: BagOfWordsEncoder.fit(["a", 3]), "expected a string, got int at row 1"),
        (lambda: BagOfWordsEncoder.fit(["a"], size=0), "size: expected a whole number from 1"),
        (lambda: BagOfWordsEncoder.fit(["a"], weighting="tf"), "weighting: expected one of"),
        (lambda: BagOfWordsEncoder([]), "vocabulary of at least one word"),
        (lambda: BagOfWordsEncoder(["a", "a"]), "none twice"),
        (lambda: BagOfWordsEncoder(["a", "b"], [1.0]), "one for each of 2 words, got 1"),
    ],
)
def test_mistakes_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()

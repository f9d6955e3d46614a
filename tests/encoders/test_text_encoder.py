import hashlib

import numpy as np
import pytest

from commonspace.encoders import Encoder, HashTextEncoder, encoder_from_spec
from commonspace.errors import InputError, NotFoundError

TEXTS = ["Dog face", "犬の顔", "", "😀", "vélo électrique", "!?", "собака", "قطة", "dog dog dog"]


def test_rows_are_unit_length_float32_and_empty_text_is_zero():
    x = HashTextEncoder().encode(TEXTS)
    assert x.shape == (len(TEXTS), 2048) and x.dtype == np.float32
    expected = [0.0 if not text else 1.0 for text in TEXTS]
    assert np.allclose(np.linalg.norm(x, axis=1), expected, atol=1e-6)


def test_one_item_equals_its_row_in_a_batch_to_the_bit():
    encoder = HashTextEncoder(dim=256)
    batch = encoder.encode(TEXTS)
    for row, text in enumerate(TEXTS):
        assert np.array_equal(encoder.encode([text])[0], batch[row])
    assert encoder.encode([]).shape == (0, 256)


def test_features_are_the_same_in_every_release():
    # A change of these digits is a change of every stored vector: raise the version instead.
    x = HashTextEncoder(dim=64).encode(["Dog face", "犬の顔"])
    digest = hashlib.sha256(np.round(x, 4).astype("<f4").tobytes()).hexdigest()[:16]
    assert digest == "28912f86d72560db"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dog  FACE", "dog face"),
        ("ｃａｆé", "CAFE\u0301"),  # full width and decomposed: one text under NFKC
        ("STRASSE", "straße"),
        ("(dog), face!", "dog face"),
    ],
)
def test_spellings_of_one_text_agree(one, other):
    x = HashTextEncoder().encode([one, other])
    assert np.array_equal(x[0], x[1])


@pytest.mark.parametrize(
    ("query", "near", "far"),
    [
        ("dog", "dog face", "tractor"),
        ("cyclists", "cyclist", "banana"),
        ("顔", "犬の顔をした人", "自転車"),
        ("顔", "洗顔料です", "自転車"),  # inside a run of characters without blanks
        ("собаки", "собака", "яблоко"),
    ],
)
def test_what_shares_words_or_pieces_is_nearer(query, near, far):
    q, n, f = HashTextEncoder().encode([query, near, far])
    assert q @ n > q @ f + 0.05


def test_hashing_matches_a_plain_count_on_a_small_text():
    # The word weighs 2; the pieces " a", "aa", "a ", " aa", "aa ", " aa " weigh 1 each.
    x = HashTextEncoder(dim=2**20).encode(["aa"])[0]
    expected = sorted([2.0] + [1.0] * 6) / np.sqrt(4 + 6)
    assert np.allclose(np.sort(np.abs(x[x != 0])), expected, atol=1e-6)


def test_repeated_words_weigh_logarithmically():
    x = HashTextEncoder(dim=2**20).encode(["aa aa"])[0]
    words, pieces = 2 * (1 + np.log(2)), np.full(6, 1 + np.log(2))
    expected = np.sort([words, *pieces])
    assert np.allclose(np.sort(np.abs(x[x != 0])), expected / np.linalg.norm(expected), atol=1e-6)


def test_broken_surrogates_and_control_characters_do_not_stop_it():
    x = HashTextEncoder().encode(["dog \ud83d", "a\0b", "\u202e\u200d", "x" * 100_000])
    assert np.isfinite(x).all()


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ("dog", r"Pass \[text\]"),
        (b"dog", r"Pass \[text\]"),
        (["dog", None], "NoneType at row 1"),
        ([3.5], "float at row 0"),
    ],
)
def test_wrong_items_are_named(items, words):
    with pytest.raises(InputError, match=words):
        HashTextEncoder().encode(items)


@pytest.mark.parametrize("dim", [0, 15, 2**21, 10.5, True])
def test_wrong_dim_is_refused(dim):
    with pytest.raises(InputError, match="dim"):
        HashTextEncoder(dim=dim)


def test_spec_makes_an_equal_encoder():
    encoder = HashTextEncoder(dim=512)
    again = encoder_from_spec(encoder.spec())
    assert isinstance(again, Encoder)
    assert again == encoder and again.id == "text-hash:v1:dim=512" and again.dim == 512
    assert again.modality_kind == "text"


def test_wrong_specs_are_named():
    with pytest.raises(NotFoundError, match="Did you mean 'text-hash'"):
        encoder_from_spec({"kind": "text-hsh", "version": 1})
    with pytest.raises(InputError, match="version 1, got 7"):
        encoder_from_spec({"kind": "text-hash", "version": 7})
    with pytest.raises(InputError, match="unknown settings"):
        encoder_from_spec({"kind": "text-hash", "version": 1, "ngrams": 3})
    with pytest.raises(InputError, match="dim"):
        encoder_from_spec({"kind": "text-hash", "version": 1, "dim": "many"})
    with pytest.raises(NotFoundError):
        encoder_from_spec({})

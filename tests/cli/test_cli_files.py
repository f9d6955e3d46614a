"""From files to answers: a folder or a table, trained on, indexed and searched."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from command_line import ran, run
from scipy.io import wavfile

from commonspace.data import read_folder
from commonspace.store.models import load

pytest.importorskip("soundfile")

QUICK = ("--method", "ridge", "--jobs", "1")
WORDS = {"low": ["deep drone", "bass hum", "low growl"], "high": ["shrill beep", "high whistle"]}


def write_sound(path, label, rng):
    path.parent.mkdir(parents=True, exist_ok=True)
    hertz = rng.uniform(150, 250) if label == "low" else rng.uniform(2000, 3000)
    tone = np.sin(2 * np.pi * hertz * np.arange(4000) / 8000) + rng.normal(size=4000) / 50
    wavfile.write(path, 8000, (tone * 9000).astype(np.int16))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Sounds and words of two classes, one broken sound among them."""
    root = tmp_path_factory.mktemp("files") / "noises"
    rng = np.random.default_rng(0)
    for label, words in WORDS.items():
        for n in range(6):
            write_sound(root / "sounds" / label / f"{n}.wav", label, rng)
            place = root / "words" / label / f"{n}.txt"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(words[n % len(words)])
    (root / "sounds" / "low" / "broken.wav").write_bytes(b"no sound")
    (root / "words" / "low" / "notes.docx").write_bytes(b"of no known type")
    return root


@pytest.fixture(scope="module")
def found(files, tmp_path_factory):
    """The folder trained on and indexed."""
    root = tmp_path_factory.mktemp("made")
    trained = ran("train", files, "--out", root / "model", *QUICK)
    indexed = ran("index", root / "model", files, "--out", root / "found", "--jobs", "1")
    return root, trained, indexed


def test_the_model_says_what_reads_its_items(found, files):
    root, trained, indexed = found
    kinds = {name: entry["encoder"]["kind"] for name, entry in trained["modalities"].items()}
    assert kinds == {"audio": "audio-logmel", "text": "text-hash"}
    assert load(root / "model").encoders_["audio"]["id"].startswith("audio-logmel:v1:rate=16000")
    for result in (trained, indexed):
        reasons = {entry["item"]: entry["reason"] for entry in result["left_out"]}
        assert set(reasons) == {
            str(files.resolve() / "sounds" / "low" / "broken.wav"),
            "words/low/notes.docx",
        }
        assert any("damaged" in reason for reason in reasons.values())
    assert indexed["modalities"] == {"audio": 12, "text": 12} and indexed["added"] == 24


def test_a_query_needs_nothing_but_a_file_or_words(found, tmp_path):
    root, _, _ = found
    query = write_sound(tmp_path / "new.wav", "high", np.random.default_rng(9))
    for target in ("audio", "text"):
        hits = ran("search", root / "found", "--audio", query, "--in", target, "-k", 3)["hits"]
        assert [hit["payload"]["classes"] for hit in hits] == [["high"]] * 3
    hits = ran("search", root / "found", "--text", "bass growl", "--in", "audio", "-k", 3)["hits"]
    assert [hit["payload"]["classes"] for hit in hits] == [["low"]] * 3
    assert hits[0]["payload"]["path"].endswith(".wav")


def test_a_query_that_cannot_be_read_is_refused(found, tmp_path):
    root, _, _ = found
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    for options, words in [
        (("--audio", tmp_path / "a.wav"), "a.wav: not a sound, or damaged"),
        (("--audio", tmp_path / "none.wav"), "there is no such file"),
        (("--mesh", tmp_path / "a.off"), "no modality of this model ('audio', 'text')"),
        (("--video", "a.mp4", "--audio", "a.wav"), "got --audio and --video"),
        (("--audio", tmp_path / "a.wav", "--modality", "text"), "reads text, not audio"),
    ]:
        done = run("search", root / "found", *options)
        assert done.code == 2 and words in done.err, done.err


def test_the_second_training_takes_features_from_the_cache(files, tmp_path, monkeypatch):
    from commonspace.encoders import LogMelEncoder

    cache = ("--cache", tmp_path / "cache")
    ran("train", files, "--out", tmp_path / "first", *cache, *QUICK)
    read = []
    plain = LogMelEncoder.encode
    monkeypatch.setattr(
        LogMelEncoder, "encode", lambda self, items: read.extend(items) or plain(self, items)
    )
    ran("train", files, "--out", tmp_path / "second", *cache, *QUICK)
    assert {path.rpartition("/")[2] for path in read} == {"broken.wav"}
    name = next((tmp_path / "first").glob("modality-*")).name
    assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    ran("train", files, "--out", tmp_path / "third", "--no-cache", *QUICK)
    assert len({path.rpartition("/")[2] for path in read}) == 7


def test_a_file_that_changed_is_indexed_again(files, found, tmp_path):
    root, _, _ = found
    copy = shutil.copytree(files / "sounds", tmp_path / "sounds")
    command = ("index", root / "model", copy, "--out", tmp_path / "found", "--jobs", "1")
    assert ran(*command)["added"] == 12
    assert ran(*command)["added"] == 0
    write_sound(copy / "low" / "0.wav", "high", np.random.default_rng(5))
    assert ran(*command)["added"] == 12
    hits = ran("search", tmp_path / "found", "--item", "low/0", "-k", 3)["hits"]
    assert {hit["id"].partition("/")[0] for hit in hits[1:]} == {"high"}


def test_strict_stops_at_a_broken_file(files, tmp_path):
    done = run("train", files, "--out", tmp_path / "model", "--strict", *QUICK)
    assert done.code == 2 and "broken.wav" in done.err and not (tmp_path / "model").exists()


def test_a_table_of_paths_and_texts(files, found, tmp_path):
    table = tmp_path / "noises.csv"
    lines = ["id,sound,caption,loudness,label"]
    for label in WORDS:
        for n in range(6):
            sound, words = f"{files}/sounds/{label}/{n}.wav", WORDS[label][n % 2]
            lines.append(f"{label}{n},{sound},{words},{n},{label}")
    table.write_text("\n".join(lines) + "\n")
    trained = ran("train", table, "--out", tmp_path / "model", *QUICK)
    kinds = {
        name: entry["encoder"] and entry["encoder"]["kind"]
        for name, entry in trained["modalities"].items()
    }
    assert kinds == {"sound": "audio-logmel", "caption": "text-hash", "loudness": None}
    ran("index", tmp_path / "model", table, "--out", tmp_path / "found")
    hits = ran("search", tmp_path / "found", "--item", "low3", "--modality", "sound", "-k", 3)
    assert all(hit["id"].startswith("low") for hit in hits["hits"])


def test_files_of_different_kinds_in_one_column_are_refused(files, tmp_path):
    (tmp_path / "a.png").touch()
    sound = files / "sounds" / "low" / "0.wav"
    (tmp_path / "t.csv").write_text(f"thing,label\n{sound},a\na.png,b\n")
    done = run("train", tmp_path / "t.csv", "--out", tmp_path / "model", *QUICK)
    assert done.code == 2 and "files of one kind, got 'audio', 'image'" in done.err


def test_features_of_another_encoder_are_refused(files, found, tmp_path):
    from commonspace.data import Splits, load_dataset
    from commonspace.store.pipelines import encode_raw

    root, _, _ = found
    shutil.copytree(files / "words", tmp_path / "words")
    raw = load_dataset(tmp_path / "words")
    for dim, code in ((2048, 0), (1024, 2)):
        specs = {"text": {"kind": "text-hash", "version": 1, "dim": dim}}
        Splits({k: encode_raw(v, specs) for k, v in raw.items()}).save(tmp_path / f"set{dim}")
        assert read_folder(tmp_path / f"set{dim}")["train"]["text"].encoder["id"]
        for command in ("index", "encode"):
            out = tmp_path / f"{command}{dim}"
            done = run(command, root / "model", tmp_path / f"set{dim}", "--out", out)
            assert done.code == code, done.err
            assert code == 0 or "expected features of the encoder text-hash:v1:dim=2048" in done.err


def test_encoders_lists_what_there_is_and_what_brings_the_rest():
    rows = {row["kind"]: row for row in ran("encoders")["encoders"]}
    assert rows["audio-logmel"]["default"] and rows["audio-logmel"]["available"]
    assert rows["image-timm"]["extra"] == "timm"
    assert (
        "pip install 'commonspace[timm]'" in run("encoders").out or rows["image-timm"]["available"]
    )


def test_bench_encode():
    result = ran("bench", "encode", "--items", 5, "--encoder", "audio-mfcc")
    row = result["rows"][0]
    assert row["items"] == 5 and row["features"] == 120 and row["items_per_s"] > 0
    assert list(result["ratios"]) == ["second run over first: audio-mfcc"]
    done = run("bench", "encode", "--encoder", "audio-mfc")
    assert done.code == 2 and "Did you mean 'audio-mfcc'" in done.err

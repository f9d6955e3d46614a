from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from serving import client_of, code_of, running

from commonspace.benchmarks.malformed import malformed_uploads
from commonspace.errors import InputError
from commonspace.service import Limits, create_app
from commonspace.service.uploads import kind_of, mesh_suffix, sniff, stored


def upload(http, *files):
    return http.post("/v1/search", files=[("file", ("f.png", data)) for data in files])


def encoded(kind: str, size=(20, 10), **options) -> bytes:
    out = io.BytesIO()
    mode = "P" if kind == "GIF" else "RGB"
    Image.new(mode, size, 3).save(out, kind, **options)
    return out.getvalue()


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", head), *chunks, (b"IEND", b"")):
        crc = struct.pack(">I", zlib.crc32(name + data))
        body += struct.pack(">I", len(data)) + name + data + crc
    return body


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
def test_a_picture_is_known_by_its_bytes(http, kind):
    data = encoded(kind)
    assert sniff(data) == f"image/{kind.lower()}"
    assert upload(http, data).status_code == 200
    assert upload(http, data, encoded("PNG")).status_code == 200  # mixed
    cut = upload(http, data[: len(data) // 3])
    assert cut.status_code == 422 and "damaged or truncated" in cut.text


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16", "CMYK"])
def test_pictures_of_every_mode_are_read(http, mode):
    out = io.BytesIO()
    picture = Image.new(mode, (12, 9))
    picture.save(out, "JPEG" if mode == "CMYK" else "PNG")
    assert upload(http, out.getvalue()).status_code == 200


def test_other_files_are_refused_by_their_bytes(http):
    wav = b"RIFF\x24\0\0\0WAVEfmt " + bytes(40)
    mp4 = b"\0\0\0\x18ftypmp42" + bytes(40)
    others = [b"", b"x", b"%PDF-1.7", b"PK\x03\x04" + bytes(50), b"<svg/>", b"GIF8"]
    for data in others:
        response = upload(http, data)
        assert response.status_code == 415 and code_of(response) == "UnsupportedMedia"
    for data in (wav, mp4):  # known, but this model reads none
        response = upload(http, data)
        assert response.status_code in (415, 422) and "reads" in response.text


def test_a_sound_is_read_from_a_file_that_is_gone_then():
    wav = b"RIFF\x24\0\0\0WAVEfmt " + bytes(40)
    with stored(wav, where="file 0") as path:
        assert path.read_bytes() == wav and path.suffix == ".wav"
    assert not path.exists()
    with pytest.raises(InputError, match="file 0"), stored(b"%PDF", where="file 0"):
        pass


def test_errors_name_the_upload_and_no_path_of_the_server():
    wav = b"RIFF\x24\0\0\0WAVEfmt " + bytes(40)
    with pytest.raises(InputError) as caught, stored(wav, where="file 1") as path:
        raise InputError(f"audio {path}: damaged (Error opening '{path}').")
    assert str(caught.value) == "file 1: damaged (Error opening 'file 1')."


TRIANGLE = "0 0 0", "1 0 0", "0 1 0"
OBJ = "# made\nmtllib a.mtl\no box\n" + "".join(f"v {p}\n" for p in TRIANGLE) + "f 1 2 3\n"
STL = b"solid by the head of what is no ASCII".ljust(80) + struct.pack("<I", 1) + bytes(50)


@pytest.mark.parametrize(
    ("data", "suffix"),
    [
        (b"OFF\n3 1 0\n", ".off"),
        (b"ply\nformat ascii 1.0\n", ".ply"),
        (b"ply\r\nformat ascii 1.0\r\n", ".ply"),
        (OBJ.encode(), ".obj"),
        (STL, ".stl"),
        (b"solid a\n facet normal 0 0 1\n", ".stl"),
        (STL + b"x", None),
        (b"solid advice", None),
        (b"v for vendetta\n", None),
        (b"o my\ng is a letter\n", None),
        (b"plywood", None),
        (b"", None),
    ],
)
def test_a_3d_model_is_known_by_its_bytes(data, suffix):
    assert mesh_suffix(data) == suffix
    if suffix:
        assert kind_of(data, where="file 0") == "mesh"
        with stored(data, where="file 0") as path:
            assert path.suffix == suffix


def test_size_is_read_from_the_header_before_anything_is_decoded(http):
    rows = zlib.compress(bytes(10_000))
    bombs = [
        png(50_000, 50_000, (b"IDAT", rows)),
        png(2**31 - 1, 2**31 - 1, (b"IDAT", rows)),
        encoded("BMP")[:18] + struct.pack("<ii", 40_000, 40_000) + encoded("BMP")[26:],
        b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + encoded("GIF")[10:],
    ]
    for bomb in bombs:
        response = upload(http, bomb)
        assert response.status_code in (413, 422), response.text
        assert upload(http, encoded("PNG")).status_code == 200  # still there


def test_what_unpacks_to_much_is_not_unpacked(http):
    """Text and colour profiles of a PNG are compressed too: 16 MB in 16 KB."""
    zeros = zlib.compress(bytes(16 << 20), 9)
    pixels = (b"IDAT", zlib.compress(bytes(31 * 10)))
    for name in (b"zTXt", b"iCCP", b"iTXt"):
        head = b"a\0\1\0\0\0" if name == b"iTXt" else b"a\0\0"
        tracemalloc.start()
        response = upload(http, png(10, 10, (name, head + zeros), pixels))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert response.status_code in (200, 413, 422), response.text
        assert peak < 8 << 20


def test_limits_of_uploads(store):
    limits = Limits(upload_bytes=3000, files=2, pixels=5000)
    app = create_app(store.collection, read_only=True, limits=limits)
    with running(app) as address, client_of(address) as http:
        noise = np.random.default_rng(0).integers(0, 255, (60, 60, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(noise).save(out, "PNG")
        for data in (out.getvalue(), encoded("PNG", (100, 51))):
            response = upload(http, data)
            assert response.status_code == 413 and code_of(response) == "TooLarge"
        assert upload(http, *[encoded("PNG")] * 3).status_code == 400
        assert upload(http, *[encoded("PNG")] * 2).status_code == 200


def test_malformed_uploads_crash_nothing(store):
    app = create_app(store.collection, read_only=True, limits=Limits(pixels=1_000_000))
    with running(app) as address, client_of(address) as http:
        uploads = [data for _, data in malformed_uploads(12, seed=1)]
        statuses = {upload(http, data).status_code for data in uploads}
        assert statuses <= {200, 413, 415, 422} and 422 in statuses
        assert http.get("/readyz").status_code == 200

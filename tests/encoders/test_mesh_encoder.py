from __future__ import annotations

import numpy as np
import pytest

from commonspace.encoders import ShapeEncoder, encoder_from_spec, identity
from commonspace.encoders.mesh import sample_surface, shape_distributions
from commonspace.encoders.silhouettes import N_MOMENTS, silhouette, views, zernike
from commonspace.errors import InputError

trimesh = pytest.importorskip("trimesh")

ENCODER = ShapeEncoder(points=8192, bins=16)


@pytest.fixture(scope="module")
def shapes():
    make = trimesh.creation
    return [make.icosphere(3), make.box(), make.cylinder(0.3, 4.0), make.torus(1.0, 0.2)]


def test_alone_as_in_a_batch_and_again(shapes):
    x = ENCODER.encode(shapes)
    assert x.shape == (4, ENCODER.dim) == (4, 5 * 16 + 2 * N_MOMENTS)
    assert x.dtype == np.float32 and np.isfinite(x).all()
    np.testing.assert_array_equal(ENCODER.encode(shapes[2:3])[0], x[2])
    again = encoder_from_spec(identity(ENCODER))
    assert again == ENCODER and again.id == ENCODER.id


@pytest.mark.parametrize("suffix", ["off", "obj", "stl", "ply"])
def test_a_file_is_its_model(tmp_path, shapes, suffix):
    path = tmp_path / f"a.{suffix}"
    shapes[1].export(path)
    np.testing.assert_allclose(ENCODER.encode([path]), ENCODER.encode(shapes[1:2]), atol=0.02)


def test_where_it_stands_how_large_it_is_and_how_it_is_turned_makes_little_difference(shapes):
    x = ENCODER.encode(shapes)
    turned = shapes[2].copy()
    turned.apply_transform(trimesh.transformations.rotation_matrix(1.0, [1, 2, 3]))
    moved = shapes[2].copy()
    moved.apply_scale(7.5)
    moved.apply_translation([3, -8, 100])
    np.testing.assert_allclose(ENCODER.encode([moved])[0], x[2], atol=0.02)
    histograms = ENCODER.encode([turned])[0, : 5 * 16]
    np.testing.assert_allclose(histograms, x[2, : 5 * 16], atol=0.01)
    others = np.linalg.norm(x[:, : 5 * 16] - histograms, axis=1)
    assert others.argmin() == 2


def test_distances_on_a_sphere_are_as_geometry_says(shapes):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200_000, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    d1, d2, *_ = shape_distributions(points, 30)
    assert d1[10] == 1  # all at the mean distance
    # The distance of two points of a unit sphere has density d / 2 on [0, 2], its mean is 4/3.
    edges = np.minimum(np.linspace(0, 3, 31) * 4 / 3, 2)
    np.testing.assert_allclose(np.cumsum(d2), edges[1:] ** 2 / 4, atol=6e-3)
    sampled = shape_distributions(sample_surface(*trimesh_arrays(shapes[0]), 40_000), 30)
    np.testing.assert_allclose(sampled[1], d2, atol=0.02)


def trimesh_arrays(mesh):
    return np.asarray(mesh.vertices), np.asarray(mesh.faces)


def test_points_are_even_on_the_surface():
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 3.0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])  # a square, in two halves
    points = sample_surface(vertices, faces, 40_000)
    x = (points[:, 0] - points[:, 0].min()) / np.ptp(points[:, 0])
    np.testing.assert_allclose(np.histogram(x, 4)[0] / 40_000, 0.25, atol=0.01)
    assert np.allclose(points[:, 2], 0)
    assert np.linalg.norm(points, axis=1).mean() == pytest.approx(1)


def test_a_sphere_looks_the_same_from_everywhere(shapes):
    x = ShapeEncoder().encode(shapes[:2])
    spread = x[:, -N_MOMENTS:]
    assert spread[0].max() < 0.01 < spread[1].max()


def test_views_are_those_of_a_dodecahedron():
    planes = views()
    assert planes.shape == (10, 2, 3)
    np.testing.assert_allclose(
        planes @ planes.transpose(0, 2, 1), np.eye(2)[None].repeat(10, 0), atol=1e-12
    )
    looking = np.cross(planes[:, 0], planes[:, 1])
    nearest = np.sort(np.abs(looking @ looking.T), axis=1)[:, -4:]
    np.testing.assert_allclose(nearest[:, :3], 5**0.5 / 3, atol=1e-9)  # cosine of 41.81 degrees


def test_zernike_moments():
    at = (np.arange(64) + 0.5) / 32 - 1
    x, y = np.meshgrid(at, at, indexing="ij")
    disc = np.hypot(x, y) <= 1
    moments = zernike(disc)
    assert moments[0] == pytest.approx(1, abs=0.02)  # (0 + 1) / pi times the area pi
    assert moments[1:].max() < 0.05  # the rest are orthogonal to it
    picture = (np.abs(x) < 0.7) & (y > -0.2) & (y < 0.5)
    np.testing.assert_allclose(zernike(np.rot90(picture)), zernike(picture), atol=1e-9)
    np.testing.assert_allclose(zernike(picture[::-1]), zernike(picture), atol=1e-9)


def test_a_silhouette_fills_its_circle():
    rng = np.random.default_rng(0)
    flat = rng.uniform(-1, 1, (60_000, 3)) * [1, 1, 0]
    axes = np.eye(3)[:2]
    seen = silhouette(5 + 3 * flat, axes)
    assert seen.any(axis=1).sum() == pytest.approx(64 / 2**0.5, abs=3)
    assert seen[32 - 15 : 32 + 15, 32 - 15 : 32 + 15].all()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.off", b""),
        ("a.off", b"OFF\n3 1 0\n0 0 0\n"),
        ("a.off", b"OFF\n999999999 999999999 0\n0 0 0\n"),
        ("a.obj", b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n"),
        ("a.obj", b"v 0 0 0\nv 0 0 0\nv 0 0 0\nf 1 2 3\n"),
        ("a.obj", b"nothing of it\n"),
        ("a.stl", b"solid nothing\n"),
        ("a.stl", b"\0" * 80 + b"\xff\xff\xff\x7f" + b"\0" * 50),
        ("a.ply", b"ply\nformat binary_little_endian 1.0\nelement vertex 99999999\nend_header\n"),
        ("a.ply", bytes(range(256))),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_broken_models_are_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        ENCODER.encode([tmp_path / name])


def test_a_model_opens_no_other_file(tmp_path, shapes, monkeypatch):
    text = "mtllib ../secret.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\n"
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.mtl").write_text("newmtl a\nmap_Kd ../secret.png\n")
    (tmp_path / "in" / "a.obj").write_text(text)
    opened = []
    import pathlib

    plain = pathlib.Path.open
    monkeypatch.setattr(
        pathlib.Path, "open", lambda self, *a, **k: opened.append(self.name) or plain(self, *a, **k)
    )
    ENCODER.encode([tmp_path / "in" / "a.obj"])
    assert opened == ["a.obj"]

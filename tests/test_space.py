from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from commonspace.errors import InputError, NotFoundError, SpaceMismatchError
from commonspace.space import Space


@pytest.mark.parametrize("dim", [1, 2, 7, 64])
def test_the_basis_is_orthogonal_and_cannot_be_changed(dim):
    space = Space.create(dim, ["a"])
    basis = space.basis.astype(np.float64)
    np.testing.assert_allclose(basis.T @ basis, np.eye(dim), atol=1e-6)
    assert space.basis.dtype == np.float32 and space.dim == dim and space.n_classes == 1
    with pytest.raises(ValueError, match="read-only"):
        space.basis[0, 0] = 2
    with pytest.raises(ValueError, match="read-only"):
        space.P[0, 0] = 2


def test_equal_recipes_are_one_space_and_others_are_not():
    first = Space.create(8, ["a", "b"], seed=1)
    again = Space.create(8, ["a", "b"], seed=1)
    assert first.fingerprint == again.fingerprint
    np.testing.assert_array_equal(first.basis, again.basis)
    others = [
        Space.create(8, ["a", "b"], seed=2),
        Space.create(9, ["a", "b"], seed=1),
        Space.create(8, ["b", "a"], seed=1),
        Space.create(8, ["a"], seed=1),
        Space.identity(["a", "b"]),
    ]
    assert len({space.fingerprint for space in [first, *others]}) == 6


def test_the_fingerprint_is_what_the_design_says():
    """SHA-256 of the basis as little-endian float32, row by row, then the recipe as sorted JSON.

    The recipe is golden, the bytes of a random basis are not: LAPACK builds differ in last bits.
    """
    space = Space.create(4, ["cat", "dög"], seed=5)
    recipe = '{"dim": 4, "founding_classes": ["cat", "dög"], "kind": "orthogonal", "seed": 5}'
    assert json.dumps(space.recipe, sort_keys=True, ensure_ascii=False) == recipe
    content = space.basis.astype("<f4").tobytes(order="C") + recipe.encode()
    assert space.fingerprint == hashlib.sha256(content).hexdigest()
    assert Space.identity(["a", "b"]).fingerprint == (
        "23cadb9210e5bfbf216d04ac02ef6661d3ba4b50583e3e838703ecd80fa01569"
    )


def test_the_random_basis_is_haar_distributed_in_sign():
    """QR alone would leave the signs of LAPACK's choice; each entry must be symmetric about 0."""
    corners = np.array([Space.create(3, seed=seed).basis for seed in range(400)])
    assert np.abs(corners.mean(axis=0)).max() < 4 * np.sqrt(1 / 3 / 400)
    np.testing.assert_allclose((corners**2).mean(axis=0), 1 / 3, atol=0.08)


def test_adding_classes_keeps_the_fingerprint_and_every_direction():
    space = Space.create(6, ["a", "b"])
    grown = space.with_classes(["b", "c", "d"])
    assert grown.classes == ("a", "b", "c", "d")
    assert grown.fingerprint == space.fingerprint
    np.testing.assert_array_equal(grown.P[:, :2], space.P)
    np.testing.assert_array_equal(grown.P, space.basis[:, :4])
    assert space.classes == ("a", "b") and space.with_classes(["a"]) is space
    space.check_same(grown, where="here")
    grown.check_same(space, where="here")


def test_spaces_that_grew_apart_are_refused():
    space = Space.create(6, ["a"])
    with pytest.raises(SpaceMismatchError, match=r"gallery: .* column 1 .*'b' here and to 'c'"):
        space.with_classes(["b"]).check_same(space.with_classes(["c"]), where="gallery")
    with pytest.raises(SpaceMismatchError, match=r"gallery: expected vectors .* \(dim 6\)"):
        space.check_same(Space.create(7, ["a"]), where="gallery")


def test_names_are_unique_and_found():
    space = Space.create(4, ["cat", "dog"])
    assert space.index("dog") == 1
    with pytest.raises(NotFoundError, match=r"'dgo'.*Did you mean 'dog'"):
        space.index("dgo")
    with pytest.raises(InputError, match="'cat' is named twice"):
        Space.create(4, ["cat", "cat"])
    with pytest.raises(InputError, match="'bird' is named twice"):
        space.with_classes(["bird", "bird"])
    with pytest.raises(InputError, match="dim"):
        Space.create(0)


@pytest.mark.parametrize("dim", [16, 128])
def test_more_classes_than_dimensions_get_a_frame_of_low_coherence(dim):
    space = Space.create(dim)
    frame = space.directions(3 * dim + 5).astype(np.float64)
    assert frame.shape == (dim, 3 * dim + 5)
    np.testing.assert_allclose(np.linalg.norm(frame, axis=0), 1, atol=1e-5)
    gram = np.abs(frame.T @ frame)
    for start in range(0, 3 * dim, dim):
        block = slice(start, start + dim)
        np.testing.assert_allclose(gram[block, block], np.eye(dim), atol=1e-5)
    assert gram[:dim, dim:].max() <= np.sqrt(2 / dim) + 1e-5
    # About sqrt(2 ln(dim) / dim); dim² pairs of sub-Gaussian sums reach twice that at most.
    assert gram[dim : 2 * dim, 2 * dim :].max() < 2 * np.sqrt(2 * np.log(dim) / dim)


def test_the_frame_does_not_move_as_it_grows():
    space = Space.create(5, ["a"])
    np.testing.assert_array_equal(space.directions(23)[:, :7], space.directions(7))
    np.testing.assert_array_equal(space.directions(5), space.basis)
    assert space.directions(0).shape == (5, 0)
    grown = space.with_classes([f"c{k}" for k in range(11)])
    assert grown.P.shape == (5, 12) and grown.fingerprint == space.fingerprint


def test_a_semantic_basis_is_nearest_to_the_label_embeddings():
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(4, 6))
    space = Space.from_label_embeddings(9, list("abcd"), embeddings, seed=1)
    basis = space.basis.astype(np.float64)
    np.testing.assert_allclose(basis.T @ basis, np.eye(9), atol=1e-5)
    target = np.zeros((9, 4))
    target[:6] = embeddings.T
    nearest = np.linalg.norm(space.P - target)
    for _ in range(50):  # any other orthonormal frame is farther
        rotation = np.linalg.qr(np.eye(9) + 0.1 * rng.normal(size=(9, 9)))[0]
        assert np.linalg.norm(rotation @ space.P - target) >= nearest - 1e-6
    orthonormal = np.linalg.qr(rng.normal(size=(6, 4)))[0].T
    exact = Space.from_label_embeddings(6, list("abcd"), orthonormal)
    np.testing.assert_allclose(exact.P.T, orthonormal, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"dim": 0}, "dim"),
        ({"dim": 4, "seed": -1}, "seed: expected a whole number from 0, got -1"),
        ({"dim": 4, "seed": "x"}, "seed"),
        ({"dim": 4, "classes": "abc"}, "classes: expected a list of names"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, words):
    with pytest.raises(InputError, match=words):
        Space.create(**arguments)
    with pytest.raises(InputError, match=words):
        Space.from_label_embeddings(**{"classes": ["a"], **arguments}, embeddings=np.ones((1, 2)))


def test_label_embeddings_that_fix_no_frame_are_refused():
    twice = np.array([[1.0, 2, 0], [1, 2, 0]])
    with pytest.raises(InputError, match="linearly dependent"):
        Space.from_label_embeddings(4, ["a", "b"], twice)
    with pytest.raises(InputError, match=r"expected 3 rows .* got shape \(2, 3\)"):
        Space.from_label_embeddings(4, ["a", "b", "c"], np.eye(2, 3))
    with pytest.raises(InputError, match="at most 2 columns"):
        Space.from_label_embeddings(2, ["a", "b"], np.eye(2, 3))


def test_identity_and_learned_spaces():
    assert Space.identity(["a", "b", "c"]).P.tolist() == np.eye(3).tolist()
    first = Space.learned(4, ["a"], learned_from="digest-1")
    assert first.fingerprint == Space.learned(4, ["a"], learned_from="digest-1").fingerprint
    assert first.fingerprint != Space.learned(4, ["a"], learned_from="digest-2").fingerprint


def test_a_manifest_brings_the_space_back_and_shows_damage():
    space = Space.create(5, ["a", "b"], seed=3).with_classes(["c"])
    manifest = json.loads(json.dumps(space.manifest()))
    back = Space.from_manifest(manifest, space.basis)
    assert back.fingerprint == space.fingerprint and back.classes == ("a", "b", "c")
    damaged = space.basis.copy()
    damaged[2, 2] = np.nextafter(damaged[2, 2], np.float32(2))
    with pytest.raises(SpaceMismatchError, match="damaged"):
        Space.from_manifest(manifest, damaged)
    other = {**manifest, "recipe": {**manifest["recipe"], "seed": 4}}
    with pytest.raises(SpaceMismatchError, match="damaged"):
        Space.from_manifest(other, space.basis)


def test_the_caller_keeps_the_array_it_gave():
    mine = np.eye(3, dtype=np.float32)
    space = Space(mine, ("a",), {"kind": "mine"})
    mine[0, 0] = 7
    assert space.basis[0, 0] == 1


def test_modalities_have_places_of_their_own_that_no_class_owns():
    space = Space.create(64, [f"c{k}" for k in range(30)])
    joined = space.with_modalities(["image", "text"]).with_modalities(["text", "audio", "3d"])
    assert joined.modalities == ("image", "text", "audio", "3d")
    assert joined.fingerprint == space.fingerprint and space.modalities == ()
    places = [joined.place(name) for name in joined.modalities]
    assert places == [(56, 64), (48, 56), (40, 48), (32, 40)]
    fifth = joined.with_modalities(["video"])
    assert fifth.place("video") == fifth.place("image"), "all are taken: shared"
    assert [fifth.place(name) for name in joined.modalities] == places
    with pytest.raises(NotFoundError, match="smell"):
        joined.place("smell")


@pytest.mark.parametrize(("dim", "n_classes"), [(64, 57), (64, 200), (31, 2), (4, 4)])
def test_a_place_is_empty_where_there_is_no_room(dim, n_classes):
    space = Space.create(dim, [f"c{k}" for k in range(n_classes)]).with_modalities(["image"])
    assert space.place("image") == (dim, dim)


def test_a_manifest_keeps_the_modalities():
    space = Space.create(8, ["a"]).with_modalities(["image", "text"])
    assert Space.from_manifest(space.manifest(), space.basis).modalities == ("image", "text")

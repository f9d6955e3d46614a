from __future__ import annotations

import h5py
import numpy as np
import pytest
from scipy import io, sparse

from commonspace.data import describe_file, import_arrays, import_file
from commonspace.errors import InputError, NotFoundError

rng = np.random.default_rng(0)
IMAGE, TEXT = rng.normal(size=(6, 4)), rng.normal(size=(6, 3)).astype(np.float32)
LABEL = np.array([0, 1, 2, 0, 1, 2])
IS_TRAIN = np.array([True] * 4 + [False] * 2)


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "set.npz", **arrays)
        return tmp_path / "set.npz"

    return write


def test_npz_by_convention(npz):
    path = npz(
        image=IMAGE, text_x=TEXT, label=LABEL, is_train=IS_TRAIN, class_names=np.array(list("abc"))
    )
    splits = import_file(path)
    assert list(splits) == ["train", "test"] and splits.modalities == ("image", "text")
    assert splits.name == "set" and splits.classes == ("a", "b", "c")
    assert np.array_equal(splits["test"].x("text"), TEXT[4:])
    assert splits["train"].x("image").dtype == np.float32
    assert splits["train"].labels("image").codes.tolist() == [0, 1, 2, 0]
    assert len(splits["train"].pairs("image", "text")[0]) == 4


def test_labels_of_their_own_pair_nothing_unless_items_do(npz):
    arrays = {"image": IMAGE, "image_label": LABEL, "audio": TEXT[:5], "audio_label": LABEL[:5]}
    data = import_arrays(npz(**arrays))["train"]
    assert len(data.pairs("image", "audio")[0]) == 0
    items = {"image_items": np.array(list("abcdef")), "audio_items": np.array(list("fedcb"))}
    data = import_arrays(npz(**arrays, **items))["train"]
    assert data.pairs("image", "audio")[0].tolist() == [1, 2, 3, 4, 5]


def test_arrays_by_split(npz):
    path = npz(
        image_train=IMAGE[:4],
        image_val=IMAGE[4:5],
        image_test=IMAGE[5:],
        text_train=TEXT[:4],
        text_val=TEXT[4:5],
        text_test=TEXT[5:],
        label_train=LABEL[:4],
        label_val=LABEL[4:5],
        label_test=LABEL[5:],
    )
    splits = import_arrays(path)
    assert list(splits) == ["train", "valid", "test"]
    assert splits["valid"].labels("text").codes.tolist() == [1]
    assert len(splits["train"].pairs("image", "text")[0]) == 4
    ids = [i for part in splits.values() for i in part["image"].items]
    assert len(set(ids)) == 6


def test_explicit_mapping_in_matlab_style(tmp_path):
    path = tmp_path / "wiki.mat"
    content = {
        "I_tr": IMAGE[:4],
        "I_te": IMAGE[4:],
        "T_tr": TEXT[:4],
        "T_te": TEXT[4:],
        "L_tr": LABEL[:4, None] + 1,
        "L_te": LABEL[4:, None] + 1,
    }
    io.savemat(path, content)
    splits = import_arrays(
        path,
        modalities={
            "image": {"train": "I_tr", "test": "I_te"},
            "text": {"train": "T_tr", "test": "T_te"},
        },
        labels={"train": "L_tr", "test": "L_te"},
        classes=["x", "y", "z"],
    )
    assert splits["test"].labels("image").codes.tolist() == [1, 2]
    assert np.allclose(splits["train"].x("image"), IMAGE[:4])
    assert import_arrays(path, modalities={"image": "I_tr"}, labels="L_tr").classes == (
        "1",
        "2",
        "3",
    )
    by_modality = import_arrays(
        path, modalities={"image": "I_tr", "text": "T_te"}, labels={"image": "L_tr", "text": "L_te"}
    )
    assert by_modality["train"].labels("text").codes.tolist() == [1, 2]


def test_mat5_cells_of_strings_sparse_and_logical(tmp_path):
    path = tmp_path / "a.mat"
    content = {
        "image": sparse.csc_matrix(np.round(IMAGE)),
        "label": np.array([["cat"], ["dog"], ["cat"], [""], ["dog"], ["cat"]], dtype=object),
        "is_train": IS_TRAIN,
    }
    io.savemat(path, content)
    splits = import_arrays(path)
    assert splits.classes == ("cat", "dog")
    assert splits["train"].labels("image").codes.tolist() == [0, 1, 0, -1]
    assert np.array_equal(splits["test"].x("image"), np.round(IMAGE[4:]).astype(np.float32))


def write_v73(path, arrays, chars=None, cells=None):
    """Write HDF5 as MATLAB does: axes reversed, text as numbers, cells as references."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
        for name, texts in (cells or {}).items():
            hidden = file.require_group("#refs#")
            references = []
            for k, text in enumerate(texts):
                hidden[f"{name}{k}"] = np.array([[ord(c)] for c in text], np.uint16)
                hidden[f"{name}{k}"].attrs["MATLAB_class"] = np.bytes_("char")
                references.append(hidden[f"{name}{k}"].ref)
            file.create_dataset(name, data=np.array([references], h5py.ref_dtype))
            file[name].attrs["MATLAB_class"] = np.bytes_("cell")


def test_mat73_is_turned_back(tmp_path):
    path = tmp_path / "b.mat"
    write_v73(
        path,
        {"image": IMAGE, "label": LABEL[:, None] + 1.0},
        cells={"class_names": ["ant", "bee", "cow"]},
    )
    splits = import_arrays(path)
    assert np.allclose(splits["train"].x("image"), IMAGE)
    assert splits["train"].labels("image").codes.tolist() == LABEL.tolist()
    assert splits.classes == ("ant", "bee", "cow")
    infos = {info.name: info.shape for info in describe_file(path)}
    assert infos["image"] == (6, 4) and not any(name.startswith("#") for name in infos)


def test_mat73_sparse(tmp_path):
    path = tmp_path / "s.mat"
    matrix = sparse.csc_array(np.round(IMAGE))
    with h5py.File(path, "w") as file:
        group = file.create_group("image")
        group.attrs["MATLAB_sparse"] = 6
        group["data"], group["ir"], group["jc"] = matrix.data, matrix.indices, matrix.indptr
    splits = import_arrays(path)
    assert np.array_equal(splits["train"].x("image"), np.round(IMAGE).astype(np.float32))


def test_h5_groups_and_strings_are_not_turned(tmp_path):
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        file["features/image"] = IMAGE
        file["label"] = np.array(["b", "a", "b", "a", "b", "a"], dtype=h5py.string_dtype())
        file["split"] = np.array([b"train"] * 5 + [b"test"], dtype=h5py.string_dtype())
    splits = import_arrays(path, modalities={"image": "features/image"})
    assert np.allclose(splits["train"].x("image"), IMAGE[:5])
    assert splits["test"].labels("image").codes.tolist() == [0]


def test_multi_hot_unknown_and_raw_items(npz):
    matrix = np.array([[1, 0], [1, 1], [np.nan, np.nan]])
    pictures = np.zeros((3, 5, 5), np.uint8)
    data = import_arrays(npz(image=pictures, label=matrix, classes=np.array(["p", "q"])))["train"]
    assert data.x("image").dtype == np.uint8 and data.label_kind == "multi"
    assert data.labels("image").known.tolist() == [True, True, False]
    texts = np.array(["a", "b", "c"])
    data = import_arrays(npz(text=texts, label=[0, -1, 1]), modalities=["text"])["train"]
    assert data.x("text").tolist() == ["a", "b", "c"]
    assert data.labels("text").codes.tolist() == [0, -1, 1]


def test_one_row_one_column_and_bytes(npz):
    data = import_arrays(npz(image=IMAGE[:1], label=np.array([[1, 0]])))["train"]
    assert data.labels("image").dense().tolist() == [[1, 0]]
    data = import_arrays(npz(image=IMAGE, label=LABEL[:, None]))["train"]
    assert data.labels("image").codes.tolist() == LABEL.tolist()
    data = import_arrays(npz(image=IMAGE[:2], label=np.array([b"b", b"a"])))["train"]
    assert data.labels("image").codes.tolist() == [1, 0]


def test_a_missing_key_lists_what_is_there(npz):
    path = npz(image=IMAGE, label=LABEL)
    with pytest.raises(
        NotFoundError, match=r"'imgae'.*Did you mean 'image'.*image \(6, 4\) float64"
    ):
        import_arrays(path, modalities={"image": "imgae"})
    with pytest.raises(NotFoundError, match=r"label \(6,\) int64"):
        import_arrays(path, modalities=["audio"])
    with pytest.raises(NotFoundError, match=r"no modality or split named 'img'.*labels"):
        import_arrays(path, labels={"img": "label"})
    with pytest.raises(NotFoundError, match="'lab'"):
        import_arrays(path, modalities=["image"], labels="lab")


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"label": LABEL}, {}, "two dimensions.*label"),
        ({"image": IMAGE, "label": LABEL[:5]}, {}, r"expected 6 rows.*\(5,\)"),
        ({"image": IMAGE, "is_train": IS_TRAIN[:3]}, {}, "6 split entries"),
        ({"image": IMAGE, "is_train": LABEL}, {}, "booleans"),
        ({"image": np.full((2, 2), np.nan)}, {}, "key 'image'.*nan at row 0"),
        ({"image": IMAGE, "label": LABEL, "classes": np.array(["a"])}, {}, "from 0 to 0"),
        ({"image": IMAGE, "items": np.array(["a"] * 6)}, {}, "more than one row"),
        ({"image": IMAGE}, {"modalities": "image"}, "list of names"),
        ({"image": IMAGE, "label": np.array(3)}, {}, r"expected 6 rows.*shape \(\)"),
        ({"image": IMAGE * 1j}, {}, "real numbers.*complex"),
        (
            {"image_train": IMAGE, "image_test": IMAGE, "L": LABEL},
            {"labels": "L"},
            r"labels: expected keys as the features have them \('train', 'test'\)",
        ),
    ],
)
def test_what_does_not_fit_is_refused(npz, arrays, options, words):
    with pytest.raises(InputError, match=words):
        import_arrays(npz(**arrays), **options)


def test_one_item_in_two_splits_is_refused(npz):
    path = npz(
        image=IMAGE,
        text=TEXT,
        image_is_train=IS_TRAIN,
        text_is_train=~IS_TRAIN,
        items=np.array(list("abcdef")),
    )
    with pytest.raises(InputError, match=r"item 'a' in 'train'.*'image'.*'test'.*'text'"):
        import_arrays(path)


def test_pickled_and_damaged_files_are_refused(tmp_path, npz):
    path = npz(image=np.array([[1], None], dtype=object), other=IMAGE)
    with pytest.raises(InputError, match="pickled objects"):
        import_arrays(path, modalities={"image": "image"})
    assert {i.dtype for i in describe_file(path)} == {"object", "float64"}
    blob = path.read_bytes()
    path.write_bytes(blob[: len(blob) // 2])
    for name in ("set.npz", "x.mat", "x.h5"):
        for content in (path.read_bytes(), b"xx", b""):
            (tmp_path / name).write_bytes(content)
            with pytest.raises(InputError, match=rf"{name} cannot be read"):
                import_arrays(tmp_path / name)
    with pytest.raises(NotFoundError, match=r"no\.npz"):
        describe_file(tmp_path / "no.npz")


def test_matlab_structs_and_other_cells_are_refused(tmp_path):
    path = tmp_path / "s.mat"
    io.savemat(path, {"s": {"image": IMAGE}, "c": np.array([IMAGE, "x"], dtype=object)})
    with pytest.raises(InputError, match="struct"):
        import_arrays(path, modalities={"image": "s"})
    with pytest.raises(InputError, match="other cells"):
        import_arrays(path, modalities={"image": "c"})

import numpy as np
import pytest

from commonspace.errors import InputError, StorageError
from commonspace.evaluation import chance, evaluate, plot_curves

from .slow import Data, table


def test_writes_two_pictures_a_direction(tmp_path):
    pytest.importorskip("matplotlib")
    y = np.random.default_rng(0).integers(0, 3, 30)
    data = Data({m: table(np.zeros((30, 1)), y, 3) for m in ("image", "3D/model")}, ("a", "b", "c"))
    rng = np.random.default_rng(1)
    vectors = {m: np.eye(3)[y] + rng.standard_normal((30, 3)) for m in data.modalities}
    report = evaluate(vectors, data, curves=True)
    files = plot_curves({"ours": report, "again": report}, tmp_path / "plots")
    assert [f.name for f in files][:2] == ["pr_image_3D-model.png", "scope_image_3D-model.png"]
    assert len(files) == 4
    assert all(f.read_bytes().startswith(b"\x89PNG") for f in files)
    several = evaluate(vectors, data, cutoffs=[1, 5, 10])
    names = {f.name for f in plot_curves({"ours": several}, tmp_path / "plots")}
    assert len(names) == 6 and "map_image_3D-model.png" in names
    assert len(plot_curves({"ours": several, "again": report}, tmp_path / "plots")) == 4


def test_a_file_in_place_of_the_folder_is_named(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "file").write_text("")
    data = Data({m: table(np.eye(3), [0, 1, 2], 3) for m in ("a", "b")}, ("x", "y", "z"))
    report = evaluate({m: np.eye(3) for m in "ab"}, data, curves=True, n_bootstrap=0)
    with pytest.raises(StorageError, match=r"cannot write .*file.pr_a_b\.png"):
        plot_curves({"model": report}, tmp_path / "file")


def test_needs_curves(tmp_path):
    data = Data({m: table(np.zeros((3, 1)), [0, 1, 2], 3) for m in ("a", "b")}, ("x", "y", "z"))
    with pytest.raises(InputError, match="curves=True"):
        plot_curves({"chance": chance(data)}, tmp_path)
    with pytest.raises(InputError, match="at least one"):
        plot_curves({}, tmp_path)

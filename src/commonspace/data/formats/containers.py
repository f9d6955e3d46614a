"""Arrays by name in .npz, .mat (v5 and v7.3) and HDF5 files; nothing is unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from commonspace.checks import not_found
from commonspace.errors import InputError, NotFoundError
from commonspace.types import AnyArray

CONTAINER_SUFFIXES = (".npz", ".mat", ".h5", ".hdf5", ".h5py")


@dataclass(frozen=True)
class ArrayInfo:
    """What one name in a file holds.

    Attributes:
        name: The key, or the column of a table.
        shape: Its shape as we read it (the axes of MATLAB v7.3 turned back).
        dtype: Its type; of a column, what its cells are taken for.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.dtype}"


@dataclass(frozen=True, eq=False)
class ArrayFile(Mapping[str, Any]):
    """Named arrays of one file, read when they are asked for.

    A mapping from key to a numpy array or, where the file holds one, a sparse matrix.
    """

    path: Path
    infos: dict[str, ArrayInfo]
    read: Callable[[str], Any]

    def __getitem__(self, key: str) -> Any:
        if key not in self.infos:
            raise not_found("key", key, self.infos, hint=f"{self.path} holds: {self.listing()}.")
        with _readable(self.path):
            values = self.read(key)
            if isinstance(values, np.ndarray) and values.dtype.kind == "S":
                return np.char.decode(values, "utf-8")
            return values

    def __iter__(self) -> Iterator[str]:
        return iter(self.infos)

    def __len__(self) -> int:
        return len(self.infos)

    def listing(self) -> str:
        """Return keys, shapes and types in one line."""
        return "; ".join(map(str, self.infos.values())) or "nothing"


def open_arrays(path: str | Path) -> ArrayFile:
    """Open a container by its suffix (.npz, .mat, .h5, .hdf5, .h5py).

    Raises:
        NotFoundError: No such file.
        InputError: Another suffix, or the file is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}. Check the path.")
    if path.suffix.lower() not in CONTAINER_SUFFIXES:
        raise InputError(
            f"{path}: expected a file of arrays ({', '.join(CONTAINER_SUFFIXES)}), got suffix "
            f"{path.suffix!r}."
        )
    with _readable(path):
        if path.suffix.lower() == ".npz":
            return _open_npz(path)
        import h5py

        if path.suffix.lower() == ".mat" and not h5py.is_hdf5(path):
            return _open_mat5(path)
        return _open_hdf5(path, h5py)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Turn what the readers raise over a damaged file into our error."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, TypeError) as error:
        raise InputError(
            f"{path} cannot be read as {path.suffix}: {error}. Is it complete?"
        ) from error


def _open_npz(path: Path) -> ArrayFile:
    infos = {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.namelist():
            if entry.endswith(".npy"):
                with archive.open(entry) as file:
                    shape, dtype = _npy_header(file)
                name = entry.removesuffix(".npy")
                infos[name] = ArrayInfo(name, shape, "object" if dtype.hasobject else str(dtype))

    def read(key: str) -> Any:
        if infos[key].dtype == "object":
            raise InputError(
                f"{path}, key {key!r}: expected plain numbers or text, got pickled objects, which "
                "are never loaded. Save it again as an array of one dtype."
            )
        with np.load(path, allow_pickle=False) as file:
            return file[key]

    return ArrayFile(path, infos, read)


def _npy_header(file: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    reader = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if reader is None:
        raise ValueError(f"a .npy header of version {version}")
    shape, _, dtype = reader(file)
    return shape, dtype


def _open_mat5(path: Path) -> ArrayFile:
    from scipy import io

    try:
        listed = io.whosmat(str(path))
    except io.matlab.MatReadError as error:  # no ValueError, as its kin are
        raise ValueError(str(error)) from error
    infos = {name: ArrayInfo(name, tuple(shape), kind) for name, shape, kind in listed}

    def read(key: str) -> Any:
        value = io.loadmat(str(path), variable_names=[key])[key]
        return value if sparse.issparse(value) else _plain_mat(value, path, key)

    return ArrayFile(path, infos, read)


def _plain_mat(value: AnyArray, path: Path, key: str) -> AnyArray:
    """Return a MATLAB array as numbers, or as text where it is a cell array of strings."""
    if value.dtype.names is not None or value.dtype.kind not in "OUfiub":
        raise InputError(
            f"{path}, key {key!r}: expected numbers, text or cells of text, got a MATLAB struct or "
            "complex array. Save its fields as variables of their own."
        )
    if value.dtype.kind == "U":
        return np.char.rstrip(np.atleast_1d(value)).ravel()
    if value.dtype != object:
        return value
    texts = [_cell_text(cell) for cell in value.ravel(order="F")]
    if any(text is None for text in texts):
        raise InputError(
            f"{path}, key {key!r}: expected a cell array of strings, got other cells in it."
        )
    return np.array(texts, dtype=np.str_)


def _cell_text(cell: Any) -> str | None:
    values = np.asarray(cell)
    if values.size == 0:
        return ""
    return str(values.ravel()[0]) if values.size == 1 and values.dtype.kind == "U" else None


def _open_hdf5(path: Path, h5py: Any) -> ArrayFile:
    matlab = path.suffix.lower() == ".mat"
    infos: dict[str, ArrayInfo] = {}

    def visit(name: str, node: Any) -> None:
        if name.startswith("#refs#") or any(name.startswith(f"{key}/") for key in infos):
            return
        if isinstance(node, h5py.Dataset):
            shape = node.shape or ()
            turned = shape[::-1] if _is_matlab(node, matlab) else shape
            infos[name] = ArrayInfo(name, turned, _matlab_class(node) or str(node.dtype))
        elif "MATLAB_sparse" in node.attrs:
            rows = int(node.attrs["MATLAB_sparse"])
            infos[name] = ArrayInfo(name, (rows, len(node["jc"]) - 1), "sparse")

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # does not follow links to other files

    def read(key: str) -> Any:
        with h5py.File(path, "r") as file:
            return _read_hdf5(file, file[key], matlab, h5py)

    return ArrayFile(path, infos, read)


def _matlab_class(node: Any) -> str | None:
    value = node.attrs.get("MATLAB_class")
    return value.decode() if isinstance(value, bytes) else value


def _is_matlab(node: Any, matlab: bool) -> bool:
    return matlab or "MATLAB_class" in node.attrs


def _read_hdf5(file: Any, node: Any, matlab: bool, h5py: Any) -> Any:
    if not isinstance(node, h5py.Dataset):
        parts = (node["data"][()], node["ir"][()], node["jc"][()]) if "data" in node else None
        shape = (int(node.attrs["MATLAB_sparse"]), len(node["jc"]) - 1)
        return sparse.csc_array(parts if parts is not None else shape, shape=shape)
    kind = _matlab_class(node)
    if h5py.check_ref_dtype(node.dtype) is not None:
        cells = [
            _read_hdf5(file, file[reference], matlab, h5py) for reference in node[()].T.ravel()
        ]
        if any(cell.dtype.kind != "U" or cell.size != 1 for cell in cells):
            raise InputError(
                f"{file.filename}, key {node.name.lstrip('/')!r}: expected a cell array of "
                "strings, got other cells in it."
            )
        return np.array([str(cell[0]) for cell in cells], dtype=np.str_)
    if kind == "char":
        return _matlab_chars(node)
    if h5py.check_string_dtype(node.dtype) is not None:
        return np.asarray(node.asstr()[()], dtype=np.str_)
    if node.dtype.kind not in "fiub":
        raise InputError(
            f"{file.filename}, key {node.name.lstrip('/')!r}: expected numbers or text, got "
            f"{node.dtype}."
        )
    values = node[()]
    return values.T if _is_matlab(node, matlab) else values


def _matlab_chars(node: Any) -> AnyArray:
    """Return the rows of a MATLAB character array as strings."""
    if node.attrs.get("MATLAB_empty", 0):
        return np.array([""], dtype=np.str_)
    rows = np.atleast_2d(node[()].T)
    return np.array(["".join(map(chr, row)).rstrip() for row in rows], dtype=np.str_)

"""The kinds of files that are read, and how one is told from another: by how it begins, then by its suffix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nettrim_core.data.archive import Archive
from nettrim_core.data.arrays import MAGIC, read_npy, read_npz
from nettrim_core.data.delimited import read_csv
from nettrim_core.data.found import Found
from nettrim_core.data.idx import TYPES, read_idx
from nettrim_core.data.options import DataOptions
from nettrim_core.data.parquet import read_parquet
from nettrim_core.data.pictures import read_pictures
from nettrim_core.data.source import Source


@dataclass(frozen=True)
class Kind:
    """title: for people. suffixes: without .gz. begins: bytes by which its files are known, if any."""

    title: str
    suffixes: tuple[str, ...]
    begins: tuple[bytes, ...]
    read: Callable[[Source, DataOptions], Found]


KINDS: dict[str, Kind] = {
    "npz": Kind("NumPy arrays by name (NPZ)", (".npz",), (), read_npz),
    "npy": Kind("a NumPy array (NPY)", (".npy",), (MAGIC,), read_npy),
    "csv": Kind("a table as text (CSV)", (".csv", ".tsv", ".txt", ".data"), (), read_csv),
    "parquet": Kind("a Parquet table", (".parquet", ".pq"), (b"PAR1",), read_parquet),
    "idx": Kind("IDX, as MNIST", (".idx", "-ubyte"), tuple(bytes((0, 0, kind)) for kind in TYPES), read_idx),
    "images": Kind("images in class folders, or a ZIP of them", (".zip",), (), read_pictures),
}
ZIP = (b"PK\x03\x04", b"PK\x05\x06")
FOREIGN = {
    b"\x80\x02": "a pickle, which may run code",
    b"\x80\x03": "a pickle, which may run code",
    b"\x80\x04": "a pickle, which may run code",
    b"\x80\x05": "a pickle, which may run code",
    b"\x89HDF": "an HDF5 file",
    b"\x89PNG": "one image",
    b"\xff\xd8\xff": "one image",
    b"%PDF": "a PDF document",
    b"MATLAB": "a MATLAB file",
    b"7z\xbc\xaf": "a 7z archive",
    b"Rar!": "a RAR archive",
    b"BZh": "a bzip2 archive",
    b"\xfd7zXZ": "an XZ archive",
    b"ARROW1": "an Arrow or Feather file",
    b"\xd0\xcf\x11\xe0": "an old Office document",
}


def kind_of(source: Source) -> str:
    """The key in :data:`KINDS`; ValueError where no kind fits."""
    if not source.data:
        return "images"
    if source.data.startswith(ZIP):
        return _kind_of_zip(source)
    for name, kind in KINDS.items():
        if source.data.startswith(kind.begins):
            return name
    for begins, what in FOREIGN.items():
        if source.data.startswith(begins):
            raise source.refusal(f"this is {what}", f"give {_known()} instead")
    name = source.path.name.lower().removesuffix(".gz")
    for key, kind in KINDS.items():
        if name.endswith(kind.suffixes):
            return key
    raise source.refusal("neither its content nor its suffix says what it is", f"give {_known()}")


def _kind_of_zip(source: Source) -> str:
    names = Archive(source).names
    if any(name.lower().endswith(".pkl") for name in names):
        raise source.refusal(
            "this is a pickle, as PyTorch saves it, which may run code", "save arrays with numpy.savez"
        )
    if "[Content_Types].xml" in names:
        raise source.refusal("this is an Office document", "save the table as CSV in UTF-8")
    arrays = all(name.lower().endswith(".npy") for name in names)
    return "npz" if arrays or Path(source.path).suffix.lower() == ".npz" else "images"


def _known() -> str:
    return "an NPZ, NPY, CSV, Parquet or IDX file, or images in class folders or a ZIP"

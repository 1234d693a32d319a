"""Files that no reader may take: each with a word that its refusal must contain."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from pyarrow import parquet

from nettrim_core import DataOptions

USUAL = DataOptions()
Write = Callable[[Path], None]


@dataclass(frozen=True)
class Bad:
    """A file's name, what writes it, the word, and with which options it is read."""

    name: str
    write: Write
    word: str
    options: DataOptions = USUAL


X = np.arange(60.0).reshape(20, 3)
Y = np.arange(20) % 2


def open_and_write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def content(data: bytes) -> Write:
    return lambda path: open_and_write(path, data)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, array, allow_pickle=True)
    return stream.getvalue()


def header(shape: str, descr: str = "<f8", body: bytes = b"\0" * 480) -> bytes:
    """An NPY file whose header says this."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + body


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return stream.getvalue()


def npz(**arrays: np.ndarray) -> bytes:
    return zipped({f"{key}.npy": npy(array) for key, array in arrays.items()})


def link() -> bytes:
    stream = io.BytesIO()
    info = zipfile.ZipInfo("a/1.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(info, b"/etc/passwd")
    return stream.getvalue()


def patched(data: bytes, entry: int, header_: int, value: bytes) -> bytes:
    """A ZIP archive with other bytes at a place in its first central entry and in its first local header."""
    found = bytearray(data)
    for start, place in ((data.index(b"PK\x01\x02"), entry), (0, header_)):
        found[start + place : start + place + len(value)] = value
    return bytes(found)


def crowded() -> bytes:
    """An archive whose directory names one member a hundred thousand times."""
    data = zipped({"a/1.png": png()})
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entries = data[start:end] * 100_001
    close = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65534, 65534, len(entries), start, 0)
    return data[:start] + entries + close


def overlapping() -> bytes:
    """Many members that share one body, as in the archives of D. Fifield, "A better zip bomb"."""
    body = os.urandom(5000)
    data = zipped({"0.npy": body}, zipfile.ZIP_STORED)
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start:end]
    entries = b"".join(entry.replace(b"0.npy", f"{i}.npy".encode()) for i in range(10))
    return data[:start] + entries + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 10, 10, len(entries), start, 0)


def picture(mode: str = "L", size: tuple[int, int] = (4, 4), kind: str = "PNG", **how: object) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **how)
    return stream.getvalue()


def png() -> bytes:
    return picture()


def vast(side: int) -> bytes:
    """A PNG file of a few bytes whose header says so many pixels a side."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")


def film() -> bytes:
    stream = io.BytesIO()
    frames = [Image.new("L", (4, 4), shade) for shade in (0, 200)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


def images(*members: bytes, name: str = "{}/{}.png") -> dict[str, bytes]:
    """Two class folders with a few good images, and these."""
    good = {name.format("ab"[i % 2], i): png() for i in range(10)}
    return good | {name.format("b", 90 + i): data for i, data in enumerate(members)}


def folder(members: dict[str, bytes]) -> Write:
    def write(path: Path) -> None:
        for name, data in members.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)

    return write


def linked(path: Path) -> None:
    folder(images())(path)
    (path / "a" / "link.png").symlink_to(path / "a" / "0.png")


def table(**columns: object) -> Write:
    return lambda path: parquet.write_table(pa.table(columns), path)


def idx(array: np.ndarray, code: int = 8) -> bytes:
    return bytes((0, 0, code, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def mnist(images_: bytes, labels: bytes) -> Write:
    def write(path: Path) -> None:
        path.write_bytes(images_)
        path.with_name("t-labels-idx1-ubyte").write_bytes(labels)

    return write


def labelled(values: bytes) -> Write:
    """A table of CSV with a header, twenty rows and a label."""
    rows = b"".join(b"%d,%d,%d\n" % (i, i * i, i % 2) for i in range(20))
    return content(b"a,b,label\n" + rows + values)


def twice(path: Path) -> None:
    parquet.write_table(pa.table([FLOATS, FLOATS], ["a", "a"]), path)


def torch_file(path: Path) -> None:
    torch.save({"x": torch.zeros(3)}, path)


def after(array: np.ndarray, row: int, value: float) -> np.ndarray:
    found = array.astype(float)
    found[row, 1] = value
    return found


PIXELS = np.arange(20 * 16, dtype=np.uint8).reshape(20, 4, 4)
IMAGES = "t-images-idx3-ubyte"
OBJECTS = np.array([{}, []], object)
FLOATS = pa.array([0.5] * 20)
SMALL = DataOptions(limit_mb=0.01)

HOSTILE: dict[str, Bad] = {
    # of any kind
    "no file": Bad("gone.csv", lambda path: None, "cannot be opened"),
    "empty file": Bad("a.csv", content(b""), "empty"),
    "pipe": Bad("a.csv", os.mkfifo, "neither a file nor a folder"),
    "pickle": Bad("a.npy", content(pickle.dumps([1, 2])), "pickle"),
    "torch file": Bad("a.pt", torch_file, "pickle"),
    "unknown kind": Bad("a.xyz", content(b"\x01\x02\x03\x04"), "suffix"),
    "PDF": Bad("a.csv", content(b"%PDF-1.4 and so on"), "PDF"),
    "over the limit": Bad("a.npy", content(npy(np.zeros((100, 100)))), "limit_mb", SMALL),
    "Office document": Bad("a.xlsx", content(zipped({"[Content_Types].xml": b"<a/>", "x.xml": b""})), "Office"),
    "name on two lines": Bad("a\nb.csv", content(b"\xff\xfe\0\0"), "UTF-8"),
    # .gz
    "truncated gz": Bad("a.csv.gz", content(gzip.compress(b"1,2\n" * 5000)[:-9]), "truncated"),
    "damaged gz": Bad("a.csv.gz", content(b"\x1f\x8b" + b"no" * 40), "damaged"),
    "gz bomb": Bad("a.csv.gz", content(gzip.compress(b"0" * 1_000_000)), "limit_mb", SMALL),
    "gz in gz": Bad("a.csv.gz", content(gzip.compress(gzip.compress(b"1,2\n"))), "another archive"),
    "two files in one gz": Bad("a.csv.gz", content(gzip.compress(b"1,2\n") * 2), "after the end"),
    # NPY
    "objects": Bad("a.npy", content(npy(OBJECTS)), "objects"),
    "damaged header": Bad("a.npy", content(b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 600), "header"),
    "unknown version": Bad("a.npy", content(b"\x93NUMPY\x09\x00" + b"\0" * 600), "header"),
    "absurd shape": Bad("a.npy", content(header("(1000000000000, 1000000000)")), "shape"),
    "negative shape": Bad("a.npy", content(header("(-20, -3)")), "shape"),
    "too many dimensions": Bad("a.npy", content(header("(" + "1, " * 40 + ")")), "shape"),
    "no rows": Bad("a.npy", content(npy(np.zeros((0, 3)))), "empty"),
    "truncated array": Bad("a.npy", content(npy(X)[:-7]), "truncated"),
    "one axis": Bad("a.npy", content(npy(np.arange(20.0))), "rows"),
    "complex": Bad("a.npy", content(npy(X.astype(complex))), "complex"),
    "dates": Bad("a.npy", content(npy(X.astype("datetime64[s]"))), "datetime"),
    "structure": Bad("a.npy", content(npy(np.zeros(20, [("a", "f4"), ("b", "i4")]))), "real numbers"),
    "text as inputs": Bad("a.npy", content(npy(X.astype(str))), "not numbers"),
    "NaN in an array": Bad("a.npy", content(npy(after(X, 7, np.nan))), "row 7"),
    "infinite in an array": Bad("a.npy", content(npy(after(X, 3, np.inf))), "infinite"),
    "too large for float32": Bad("a.npy", content(npy(after(X, 3, 1e300))), "float32"),
    "too few rows for a split": Bad("a.npy", content(npy(X[:2])), "rows"),
    "shape that does not fit": Bad("a.npy", content(npy(X)), "product", DataOptions(shape=(1, 5, 5))),
    "no channels last": Bad("a.npy", content(npy(X)), "channels", DataOptions(channels="last")),
    "mean of another length": Bad("a.npy", content(npy(X)), "mean", DataOptions(mean=(1.0, 2.0))),
    # NPZ
    "objects in an archive": Bad("a.npz", content(npz(x=X, y=OBJECTS)), "objects"),
    "truncated archive": Bad("a.npz", content(npz(x=X, y=Y)[:-30]), "truncated"),
    "damaged member": Bad("a.npz", content(patched(npz(x=X, y=Y), 16, 14, b"\1\2\3\4")), "damaged"),
    "member longer than declared": Bad("a.npz", content(patched(npz(x=X), 24, 22, b"\x80\0\0\0")), "member"),
    "member shorter than declared": Bad("a.npz", content(patched(npz(x=X), 24, 22, b"\0\x80\0\0")), "member"),
    "empty archive": Bad("a.npz", content(zipped({})), "empty"),
    "unknown keys": Bad("a.npz", content(npz(foo=X, bar=Y)), "foo"),
    "two keys of one meaning": Bad("a.npz", content(npz(x=X, images=X)), "images"),
    "key that is not there": Bad("a.npz", content(npz(x=X, y=Y)), "'z'", DataOptions(inputs="z")),
    "too few labels": Bad("a.npz", content(npz(x=X, y=Y[:-1])), "label"),
    "one-hot labels": Bad("a.npz", content(npz(x=X, y=np.eye(20))), "argmax"),
    "negative labels": Bad("a.npz", content(npz(x=X, y=Y - 1)), "less than 0"),
    "fractional labels": Bad("a.npz", content(npz(x=X, y=Y / 2)), "whole"),
    "missing label": Bad("a.npz", content(npz(x=X, y=np.where(Y, np.nan, 1.0))), "missing"),
    "absurd label": Bad("a.npz", content(npz(x=X, y=Y * 10**15)), "classes"),
    "fewer rows than classes": Bad("a.npz", content(npz(x=X, y=Y * 500)), "classes"),
    "test rows alone": Bad("a.npz", content(npz(x_test=X, y_test=Y)), "train"),
    "splits of different shapes": Bad("a.npz", content(npz(x_train=X, x_test=X[:, :2])), "shape"),
    "a split without labels": Bad("a.npz", content(npz(x_train=X, y_train=Y, x_test=X)), "labels"),
    "no array inside": Bad("a.npz", content(zipped({"x.npy": npy(X), "run.py": b"1"})), "run.py"),
    "shape beyond the member": Bad("a.npz", content(zipped({"x.npy": header("(1000000000, 1000000000)")})), "shape"),
    # ZIP
    "path out of the archive": Bad("a.zip", content(zipped({"../a/1.png": png()})), "out of the archive"),
    "absolute path": Bad("a.zip", content(zipped({"/a/1.png": png()})), "out of the archive"),
    "drive": Bad("a.zip", content(zipped({"C:\\a\\1.png": png()})), "out of the archive"),
    "link in an archive": Bad("a.zip", content(link()), "link"),
    "archive in an archive": Bad("a.zip", content(zipped({"a/b.zip": zipped({"a": b""})})), "inside"),
    "bomb by ratio": Bad("a.zip", content(zipped({"a/1.png": b"\0" * 5_000_000})), "bomb"),
    "bomb by declared size": Bad(
        "a.zip", content(patched(zipped({"a/1.png": png()}), 24, 22, b"\xf0\xff\xff\xff")), "bomb"
    ),
    "overlapping members": Bad("a.npz", content(overlapping()), "bomb"),
    "too many members": Bad("a.zip", content(crowded()), "100,000"),
    "encrypted": Bad("a.zip", content(patched(zipped({"a/1.png": png()}), 8, 6, b"\1\0")), "encrypted"),
    "odd compression": Bad("a.zip", content(zipped({"a/1.png": png()}, zipfile.ZIP_LZMA)), "compression"),
    "beyond the limit": Bad("a.zip", content(zipped({"a/1.png": os.urandom(9000) + b"\0" * 9000})), "limit_mb", SMALL),
    # CSV
    "text among numbers": Bad("a.csv", labelled(b"1,abc,0\n"), "line 22, column 'b'"),
    "text below empty lines": Bad("a.csv", content(b"\na,b\n\n\n1,2\n\n3,x\n"), "line 7, column 'b'"),
    "empty cell": Bad("a.csv", labelled(b"1,,0\n"), "line 22, column 'b': the cell is empty"),
    "NaN in a table": Bad("a.csv", labelled(b"1,nan,0\n"), "NaN"),
    "infinite in a table": Bad("a.csv", labelled(b"inf,1,0\n"), "column 'a'"),
    "row too long": Bad("a.csv", labelled(b"1,2,0,4\n"), "line 22"),
    "row too short": Bad("a.csv", labelled(b"1,2\n"), "2 cells"),
    "missing label in a table": Bad("a.csv", labelled(b"1,2,\n"), "missing"),
    "negative label in a table": Bad("a.csv", labelled(b"1,2,-1\n"), "line 22"),
    "no such column": Bad("a.csv", labelled(b""), "'colour'", DataOptions(label="colour")),
    "no such number": Bad("a.csv", labelled(b""), "'7'", DataOptions(label=7)),
    "two columns of one name": Bad("a.csv", content(b"a,label,label\n1,2,3\n"), "label"),
    "two columns by one name": Bad("a.csv", content(b"a,b,b\n1,2,3\n"), "called 'b'", DataOptions(label="b")),
    "label and target": Bad("a.csv", content(b"a,label,target\n1,2,3\n"), "target"),
    "Latin-1": Bad("a.csv", labelled("1,é,0\n".encode("latin-1")), "line 22"),
    "UTF-16": Bad("a.csv", content("a,b\n1,2\n".encode("utf-16")), "UTF-8"),
    "names alone": Bad("a.csv", content(b"a,b,label\n"), "no row"),
    "labels alone": Bad("a.csv", content(b"label\n1\n2\n"), "inputs"),
    "open quote": Bad("a.csv", content(b'1,"2\n3,4\n'), "quotes"),
    "blank lines": Bad("a.csv", content(b"\n" * 100), "empty"),
    "too many columns": Bad("a.csv", content(b"1," * 200_000 + b"1\n"), "cells"),
    # Parquet
    "damaged Parquet": Bad("a.parquet", content(b"PAR1" + b"x" * 100 + b"PAR1"), "damaged"),
    "truncated Parquet": Bad("a.parquet", content(b"PAR1" + b"\0" * 50), "damaged"),
    "nested column": Bad("a.parquet", table(a=FLOATS, b=[[1, 2]] * 20), "nested"),
    "dates in Parquet": Bad("a.parquet", table(a=pa.array([0] * 20, pa.timestamp("s"))), "timestamp"),
    "text in Parquet": Bad("a.parquet", table(a=FLOATS, b=["x"] * 20), "column 'b'"),
    "empty cell in Parquet": Bad("a.parquet", table(a=FLOATS, b=[None, *[1.0] * 19]), "row 0 (from 0), column 'b'"),
    "NaN in Parquet": Bad("a.parquet", table(a=FLOATS, b=[1.0] * 19 + [np.nan]), "row 19"),
    "missing label in Parquet": Bad("a.parquet", table(a=FLOATS, label=["x"] * 19 + [None]), "row 19"),
    "no rows in Parquet": Bad("a.parquet", table(a=pa.array([], pa.float32())), "no rows"),
    "Parquet bomb": Bad("a.parquet", table(a=np.zeros(100_000)), "the numbers would take", SMALL),
    "two Parquet columns of one name": Bad("a.parquet", twice, "called 'a'"),
    # IDX
    "wrong magic": Bad(IMAGES, content(b"\x12\x34\x08\x03" + b"\0" * 50), "magic"),
    "unknown type": Bad("a.idx", content(b"\0\0\x01\x03" + b"\0" * 50), "magic"),
    "truncated header": Bad(IMAGES, content(b"\0\0\x08\x03\0\0"), "truncated"),
    "absurd IDX shape": Bad(IMAGES, content(b"\0\0\x08\x03" + b"\xff" * 12 + b"\0" * 99), "shape"),
    "channels last of grey IDX": Bad(IMAGES, content(idx(PIXELS)), "grey", DataOptions(channels="last")),
    "truncated IDX": Bad(IMAGES, content(idx(PIXELS)[:-3]), "truncated"),
    "IDX without values": Bad(IMAGES, content(idx(PIXELS[:0])), "no values"),
    "too few IDX labels": Bad(IMAGES, mnist(idx(PIXELS), idx(Y[:9].astype(np.uint8))), "labels"),
    "damaged IDX labels": Bad(IMAGES, mnist(idx(PIXELS), b"\0\0\x08"), "magic"),
    # images
    "corrupt image": Bad("a", folder(images(b"no image")), "90.png"),
    "truncated image": Bad("a", folder(images(picture("L", (64, 64))[:60])), "90.png"),
    "other size": Bad("a", folder(images(picture("L", (5, 4)))), "4 x 5"),
    "grey and colour": Bad("a", folder(images(picture("RGB"))), "colour"),
    "transparent": Bad("a", folder(images(picture("RGBA"))), "RGBA"),
    "sixteen bits": Bad("a", folder(images(picture("I;16"))), "bits"),
    "film": Bad("a", folder(images(film())), "frames"),
    "vast image": Bad("a.zip", content(zipped(images(vast(100_000)))), "pixels"),
    "large image": Bad("a.zip", content(zipped(images(vast(8_000)))), "pixels"),
    "empty image": Bad("a", folder(images(b"")), "empty"),
    "no images": Bad("a", folder({"notes.txt": b"x"}), "no images"),
    "text among images": Bad("a", folder(images() | {"a/notes.txt": b"x"}), "notes.txt"),
    "archive among images": Bad("a", folder(images() | {"a/more.tar": b"x"}), "archive"),
    "loose image": Bad("a", folder(images() | {"1.png": png()}), "'1.png': images lie at different depths"),
    "too deep": Bad("a", folder({f"{i}/a/{i}.png": png() for i in range(9)}), "deep"),
    "no train folder": Bad("a", folder({f"{s}/a/1.png": png() for s in ("test", "val")}), "train"),
    "link in a folder": Bad("a", linked, "link"),
    "images over the limit": Bad("a", folder(images()), "limit_mb", DataOptions(limit_mb=0.0001)),
}

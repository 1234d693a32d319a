"""Good files of every kind that is read, and ways to damage them."""

from __future__ import annotations

import gzip
import random
import tempfile
from pathlib import Path

from safetensors.torch import save

from pages.notebook import Cell, write
from tests.hostile_data import PIXELS, X, Y, idx, npy, npz, picture, table, zipped
from tests.hostile_networks import bundle, good, net, saved
from tests.onnx_models import floats, graph

HOWS = ("bytes", "cut", "twice", "end")


def mutated(data: bytes, seed: int, how: str) -> bytes:
    """A few bytes changed, a piece cut out or put in twice, or the end cut off."""
    draw = random.Random(seed)
    found = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 16))):
        place = draw.choice((draw.randrange(len(found)), draw.randrange(min(200, len(found)))))
        length = draw.randrange(1, 40)
        if how == "bytes":
            found[place] = draw.choice((0, 255, 10, 44, draw.randrange(256)))
        elif how == "cut":
            del found[place : place + length]
        elif how == "twice":
            found[place:place] = found[place : place + length]
        elif how == "end":
            del found[max(place, 1) :]
        if not found:
            return data[:1]
    return bytes(found)


def rows_of_text() -> bytes:
    return b"a,b,label\n" + b"".join(b"%d,%.3f,%s\n" % (i, i / 7, b"xy"[i % 2 :][:1]) for i in range(20))


def parquet_bytes() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        table(a=X[:, 0], b=X[:, 1].astype(int), label=["no" if y else "yes" for y in Y])(path)
        return path.read_bytes()


DATA = {
    "a.npy": npy(X),
    "a.npz": npz(x=X, y=Y),
    "a.csv": rows_of_text(),
    "a.csv.gz": gzip.compress(rows_of_text()),
    "a.parquet": parquet_bytes(),
    "a-images-idx3-ubyte": idx(PIXELS),
    "a.zip": zipped({f"{'ab'[i % 2]}/{i}.{kind.lower()}": picture("RGB", (4, 5), kind)
                     for i, kind in enumerate(("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP") * 2)}, 0),
}  # fmt: skip

NODES = "Conv x w; Relu v0; Flatten v1; Gemm v2 m b transB=1"
HELD = {"w": floats(2, 1, 3, 3), "m": floats(3, 8), "b": floats(3)}


def networks() -> dict[str, bytes]:
    """By file name; exporting takes a while."""
    weights = net(4, 5, 3).state_dict()
    return {
        "a.pt2": good(),
        "a.pt": saved(weights),
        "b.pt": saved(weights, _use_new_zipfile_serialization=False),
        "a.safetensors": save(weights),
        "a.onnx": graph(NODES, ["N", 1, 4, 4], HELD).SerializeToString(),
        "a.zip": bundle()(),
    }


NOTEBOOK = write([Cell("## A result", "print(3)", "model=digits_mlp&eps=0.3"), Cell("Some *words*")], "A page")

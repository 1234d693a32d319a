"""IDX, the format of MNIST (Y. LeCun, C. Cortes, C. Burges, "The MNIST database"): kind, sizes, values."""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

import numpy as np

from nettrim_core.data.arrays import inputs_in
from nettrim_core.data.found import Found
from nettrim_core.data.labels import labels_of
from nettrim_core.data.options import DataOptions
from nettrim_core.data.source import Source, opened, shown, unpacked

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_DIMENSIONS = 8


def read_idx(source: Source, options: DataOptions) -> Found:
    """Images; their labels from the file that the options name, or else from the one beside it that is named alike
    (train-images-idx3-ubyte, train-labels-idx1-ubyte, with or without .gz)."""
    inputs = inputs_in(source, values_in(source))
    if options.channels == "last" and inputs.ndim == 3 and not options.shape:
        raise source.refusal(
            f"its images of {shown(inputs.shape[1:])} are grey and have no axis of channels", "set channels to first"
        )
    path = options.labels_path or _beside(source.path)
    if not options.labelled:
        return Found(inputs)
    if not path:
        return Found(inputs, notes=("No file with labels lies beside the images: name it with labels_path.",))
    other = unpacked(opened(Path(path), source.limit, source.digest))
    return Found(inputs, *labels_of(other, values_in(other), len(inputs), "the labels", options))


def values_in(source: Source) -> np.ndarray:
    data = source.data
    known = len(data) >= 4 and data[:2] == b"\0\0" and data[2] in TYPES and 1 <= data[3] <= MOST_DIMENSIONS
    if not known:
        raise source.refusal(
            f"it begins with the bytes {data[:4].hex(' ')}, which is no magic number of an IDX file",
            "give a file such as train-images-idx3-ubyte",
        )
    start = 4 + 4 * data[3]
    if len(data) < start:
        raise source.refusal("the IDX header is truncated", "copy or download the file again")
    shape = struct.unpack(f">{data[3]}I", data[4:start])
    dtype = np.dtype(TYPES[data[2]])
    needed = math.prod(shape) * dtype.itemsize
    if needed == 0:
        raise source.refusal(f"the header's shape {shown(shape)} has no values", "give a file with rows")
    if needed != len(data) - start:
        raise source.refusal(
            f"the header's shape {shown(shape)} needs {shown(f'{needed:,}', 30)} bytes, not {len(data) - start:,}",
            "the file is truncated or damaged: copy or download it again",
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape)


def _beside(images: Path) -> str:
    """The path of the labels' file; "" where there is none."""
    name = re.sub(r"idx\d", "idx1", images.name.replace("images", "labels"))
    names = [name, name.removesuffix(".gz"), f"{name}.gz"]
    found = [images.with_name(n) for n in names if n != images.name and images.with_name(n).is_file()]
    return str(found[0]) if found and "images" in images.name else ""

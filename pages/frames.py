"""Masks and maps for the knob's pictures: what is drawn at every stop, packed, and how it is laid out. No Streamlit."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 3  # of zlib: the changes between frames are few, and more effort gains little


@dataclass(frozen=True)
class Layout:
    """How a layer's weights lie on the picture. tile: (height, width) of one tile; across: tiles in a row; gap: cells
    between tiles; words: what a row, a column or a tile is.

    A weight of input i and output o is the cell ``i % cells`` of the tile ``o * parts + i // cells``, where a tile has
    ``cells`` = height x width cells and an output ``parts`` tiles. In a plain matrix an output is one tile, a row or a
    column.
    """

    inputs: int
    outputs: int
    tile: tuple[int, int]
    across: int
    gap: int
    words: str

    @property
    def parts(self) -> int:
        return self.inputs // (self.tile[0] * self.tile[1])

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the picture in cells."""
        down = math.ceil(self.outputs * self.parts / self.across)
        height, width, gap = *self.tile, self.gap
        return down * (height + gap) - gap, self.across * (width + gap) - gap

    def canvas(self, values: np.ndarray) -> np.ndarray:
        """The picture of weights (outputs, inputs) in cells, NaN between the tiles."""
        height, width, gap = *self.tile, self.gap
        down, across = math.ceil(self.outputs * self.parts / self.across), self.across
        tiles = np.full((down * across, height + gap, width + gap), np.nan)
        tiles[: self.outputs * self.parts, :height, :width] = values.reshape(-1, height, width)
        rows = tiles.reshape(down, across, height + gap, width + gap).swapaxes(1, 2)
        return rows.reshape(down * (height + gap), -1)[: self.shape[0], : self.shape[1]]

    def tiles_of(self, output: int) -> tuple[int, int, int, int]:
        """(top, left, bottom, right) in cells around an output's tiles, those that lie in its first row."""
        (height, width), gap = self.tile, self.gap
        down, place = divmod(output * self.parts, self.across)
        top, left = down * (height + gap), place * (width + gap)
        return top, left, top + height, left + min(self.parts, self.across - place) * (width + gap) - gap


def layout(shape: Sequence[int], image: Sequence[int]) -> Layout:
    """Of a layer's weight in torch; image: the shape of one input of the network, used where the layer's inputs are its
    pixels. A matrix lies with its longer side across."""
    outputs, inputs = shape[0], math.prod(shape[1:])
    if len(shape) > 2:
        tile = (1, shape[2]) if len(shape) == 3 else (shape[2], shape[3])
        parts = shape[1]
        words = "a row for each filter, a tile for each of its channels" if parts > 1 else "a tile for each filter"
        return Layout(inputs, outputs, tile, parts if parts > 1 else near_square(outputs, tile), 1, words)
    side = math.isqrt(inputs)
    pixels = (image[-2], image[-1]) if len(image) > 1 else (side, side)
    if inputs == math.prod(image) and side >= 4 and math.prod(pixels) == inputs:
        words = "a tile for each neuron, laid out as the pixels are"
        return Layout(inputs, outputs, pixels, near_square(outputs, pixels), 1, words)
    if outputs > inputs:
        words = f"a column for each of {outputs} neurons, a row for each of {inputs} inputs"
        return Layout(inputs, outputs, (inputs, 1), outputs, 0, words)
    words = f"a row for each of {outputs} neurons, a column for each of {inputs} inputs"
    return Layout(inputs, outputs, (1, inputs), 1, 0, words)


def near_square(count: int, tile: Sequence[int]) -> int:
    """Tiles in a row for a picture about a third wider than high."""
    return min(count, max(1, round(math.sqrt(count * 4 / 3 * (tile[0] + 1) / (tile[1] + 1)))))


def pack(frames: Sequence[np.ndarray | None]) -> bytes:
    """Frames of equal length (uint8), each as what changed since the last one there is, compressed; a frame that is
    missing takes no room."""
    present = [frame for frame in frames if frame is not None]
    if not present:
        return b""
    stacked = np.stack(present)
    stacked[1:] ^= stacked[:-1].copy()
    return zlib.compress(stacked.tobytes(), LEVEL)


def unpack(data: bytes, present: Sequence[bool]) -> list[np.ndarray | None]:
    """The frames that :func:`pack` was given: what the browser does with them."""
    count = sum(present)
    if not count:
        return [None] * len(present)
    changes = np.frombuffer(zlib.decompress(data), np.uint8).reshape(count, -1)
    found = iter(np.bitwise_xor.accumulate(changes, axis=0))
    return [next(found) if there else None for there in present]

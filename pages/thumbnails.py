"""Small pictures of a network's inputs, as HTML with everything inside it. No Streamlit."""

from __future__ import annotations

import base64
import io
import math
from html import escape

import numpy as np
from PIL import Image, ImageDraw

SIDE = 56  # pixels of a picture on the page
WIDE = 120  # of a signal
FEWEST = 4  # pixels along the side of what is taken for an image
COLORS = ("#0072B2", "#C75000", "#00805F", "#A8508A")


def thumbnail(sample: np.ndarray, name: str) -> str:
    """One input as an image, a line, or its numbers. sample: without the axis of the samples; name: what it is, for
    those who do not see it."""
    kind, drawn = drawable(np.asarray(sample, float))
    if kind == "numbers":
        return f"<span>({', '.join(f'{value:.2f}' for value in drawn.ravel())})</span>"
    if kind == "signal":
        picture, width, what = _line(drawn), WIDE, f"a signal of {drawn.shape[1]} values"
    else:
        height, across = drawn.shape[:2]
        picture, width, what = Image.fromarray(_grey(drawn)), SIDE, f"an image of {height} by {across} pixels"
    source = base64.b64encode(_png(picture)).decode()
    return (
        f'<img src="data:image/png;base64,{source}" alt="{escape(f"{name}, {what}")}" width="{width}" height="{SIDE}" '
        'style="image-rendering: pixelated; display: block">'
    )


def drawable(sample: np.ndarray) -> tuple[str, np.ndarray]:
    """("image", (height, width) or (height, width, 3)), ("signal", (channels, length)) or ("numbers", values): flat
    samples are images where they make a square; of more channels than three the mean is shown."""
    if sample.ndim == 3:
        return "image", np.moveaxis(sample, 0, 2) if len(sample) == 3 else sample.mean(0)
    if sample.ndim == 2 and min(sample.shape) >= FEWEST and sample.shape[0] * 8 > sample.shape[1]:
        return "image", sample
    flat = sample.ravel()
    side = math.isqrt(flat.size)
    if sample.ndim == 1 and side >= FEWEST and side * side == flat.size:
        return "image", sample.reshape(side, side)
    if flat.size < FEWEST * 2:
        return "numbers", flat
    return "signal", sample.reshape(-1, sample.shape[-1])


def _grey(values: np.ndarray) -> np.ndarray:
    """From black for the smallest to white for the largest, each sample by itself."""
    low, high = float(values.min()), float(values.max())
    return np.round(255 * (values - low) / ((high - low) or 1.0)).astype(np.uint8)


def _line(signal: np.ndarray) -> Image.Image:
    """A line for each channel, drawn twice as large for sharp screens."""
    width, height, edge = 2 * WIDE, 2 * SIDE, 6
    picture = Image.new("RGB", (width, height), "white")
    low, high = float(signal.min()), float(signal.max())
    across = np.linspace(edge, width - edge, signal.shape[1])
    for k, channel in enumerate(signal):
        down = edge + (height - 2 * edge) * (1 - (channel - low) / ((high - low) or 1.0))
        ImageDraw.Draw(picture).line(list(zip(across, down, strict=True)), fill=COLORS[k % len(COLORS)], width=3)
    return picture


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()

"""A convolution's inputs as the images they are cut from: the matrix of patches (im2col), a batch at a time.

A patch appears in as many columns as the kernel has places, so that the images take that many times less memory. What
needs the inputs as a linear map, its adjoint or its Gram matrix goes through them in batches (the operator form of the
Net-Trim papers, 1806.06457, section 3) and never holds the matrix.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BATCH_BYTES = 4_000_000  # of a batch's columns: what stays in the cache

Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Patches:
    """X (groups n, P), and a last row if ``ones`` is given: the rows in the order (channel, row, column) of the kernel,
    the columns image by image, position by position.

    images: (B, C, H, W) padded, a tensor for each call of the layer. ones: the value of the last row, a bias's.
    """

    images: Sequence[Tensor]
    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    groups: int = 1
    ones: float | None = None

    @property
    def shape(self) -> torch.Size:
        rows = self.images[0].shape[1] * math.prod(self.kernel) + (self.ones is not None)
        return torch.Size([rows, sum(len(images) * math.prod(self._places(images)) for images in self.images)])

    @property
    def dtype(self) -> torch.dtype:
        return self.images[0].dtype

    @property
    def device(self) -> torch.device:
        return self.images[0].device

    @property
    def numbers(self) -> int:
        return sum(images.numel() for images in self.images)

    def batches(self, dtype: torch.dtype) -> Iterator[Tensor]:
        """Its columns from the first to the last: (N, p) each or, in groups, (groups, N, p) with each group's own last
        row."""
        for images in self.images:
            height, width = self._places(images)
            bytes_each = self.shape[0] * height * width * torch.finfo(dtype).bits // 8
            for part in images.split(max(BATCH_BYTES // bytes_each, 1)):
                places = windows(part.to(dtype), self.kernel, self.stride, self.dilation)
                places = places.unflatten(0, (self.groups, -1))
                last = self.ones is not None
                columns = part.new_empty(
                    self.groups, places.shape[1:4].numel() + last, places.shape[4:].numel(), dtype=dtype
                )
                for group, own in zip(columns, places, strict=True):
                    group[: len(group) - last].view(own.shape).copy_(own)
                if self.ones is not None:
                    columns[:, -1] = self.ones
                yield columns if self.groups > 1 else columns[0]

    def rows(self, group: int, places: Sequence[int], dtype: torch.dtype) -> Tensor:
        """(places, P): some rows of one group, without the others."""
        each = self.images[0].shape[1] // self.groups
        found = []
        for place in places:
            channel, i, j = (int(p) for p in _unravel(place, (each, *self.kernel)))
            if channel == each:  # past the channels: the last row
                found.append(torch.full((self.shape[1],), self.ones or 0.0, dtype=dtype, device=self.device))
                continue
            parts = []
            for images in self.images:
                height, width = self._places(images)
                top, left = i * self.dilation[0], j * self.dilation[1]
                plane = images[:, group * each + channel, top :: self.stride[0], left :: self.stride[1]]
                parts.append(plane[:, :height, :width].flatten())
            found.append(torch.cat(parts).to(dtype))
        return torch.stack(found)

    def group(self, index: int) -> Patches:
        """One group alone, as inputs without groups."""
        return dataclasses.replace(self, images=[x.chunk(self.groups, 1)[index] for x in self.images], groups=1)

    def scaled(self, factor: float, dtype: torch.dtype) -> Patches:
        """factor X, the images in another dtype."""
        images = [(x.double() * factor).to(dtype) for x in self.images]
        return dataclasses.replace(self, images=images, ones=None if self.ones is None else self.ones * factor)

    def _places(self, images: Tensor) -> Pair:
        spans = ((side - 1) * step + 1 for side, step in zip(self.kernel, self.dilation, strict=True))
        high, wide = (
            (size - span) // stride + 1 for size, span, stride in zip(images.shape[2:], spans, self.stride, strict=True)
        )
        return high, wide


def windows(images: Tensor, kernel: Pair, stride: Pair, dilation: Pair) -> Tensor:
    """(C, rows, columns of the kernel, B, height, width): the patches of padded images (B, C, H, W), nothing copied."""
    for axis in (0, 1):
        span = (kernel[axis] - 1) * dilation[axis] + 1
        images = images.unfold(2 + axis, span, stride[axis])[..., :: dilation[axis]]
    return images.permute(1, 4, 5, 0, 2, 3)


def _unravel(place: int, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    rest, last = divmod(place, shape[2])
    first, middle = divmod(rest, shape[1])
    return first, middle, last

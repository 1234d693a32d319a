"""What the Layer page looks at: one layer of a choice, as requests for it and as pictures. No Streamlit."""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nettrim_core.methods import LOBS, METHODS, ExactOBS, NetTrim
from nettrim_core.tasks.lens import STEPS
from pages import frames, store, words_layer, words_neuron
from pages.state import Choice

MOST_CELLS = 30_000  # of a picture of weights: of a larger layer, the neurons around the one that is looked at


class View:
    """The layer and the method under the lens. shape: of the layer's weight in torch; noun, sample: what a neuron and
    a sample of it are called; first, count: the neurons in the picture."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self.layer, self.method = choice.lens
        bundle = store.bundle_of(choice.model)
        self.shape = store.shape_of(bundle, self.layer)
        self.image = tuple(bundle.calibration.shape[1:])
        self.outputs = self.shape[0]
        self.noun = words_layer.neuron_noun(self.shape)
        self.sample = "place" if self.noun == "filter" else "sample"
        self.neuron = min(choice.neuron, self.outputs - 1)
        most = max(MOST_CELLS // math.prod(self.shape[1:]), 1)
        self.first = self.neuron // most * most
        self.count = min(most, self.outputs - self.first)

    @property
    def has_certificate(self) -> bool:
        return isinstance(METHODS[self.method], NetTrim)

    @property
    def has_hessian(self) -> bool:
        """Does the method remove weights as the removals are told?"""
        return isinstance(METHODS[self.method], LOBS | ExactOBS)

    @property
    def place(self) -> frames.Layout:
        """How the weights of the neurons in the picture lie on it."""
        place = frames.layout((self.count, *self.shape[1:]), self.image)
        if place.parts > 1 and place.tile[0] > 1:  # a filter's tiles stay side by side, and a row has room for some
            (height, width), parts = place.tile, place.parts
            beside = frames.near_square(self.count, (height, parts * (width + place.gap) - 1))
            place = dataclasses.replace(place, across=parts * beside)
        return place

    @property
    def pixels(self) -> tuple[int, int] | None:
        """(height, width) where the layer's inputs are the pixels of an image."""
        tile = self.place.tile
        return tile if len(self.shape) == 2 and min(tile) > 1 else None

    @property
    def tiled(self) -> bool:
        return self.place.gap > 0

    def request(self, task: str, **more: Any) -> dict[str, Any]:
        """What a worker is asked."""
        settings = dataclasses.asdict(self.choice.solving(self.method))
        of = {"task": task, "plan": self.choice.plan().to_dict(), "method": self.method, "settings": settings}
        return of | {"layer": self.layer, **more}

    def of_layer(self) -> dict[str, Any]:
        return self.request("lens", first=self.first, count=self.count)

    def canvas(self, picture: Mapping[str, Any], which: str) -> np.ndarray:
        """The trained or the pruned weights as they lie on the picture, zeros and gaps NaN."""
        steps = np.frombuffer(base64.b64decode(picture[which]), "<i2").reshape(self.count, -1)
        values = np.where(steps == 0, np.nan, steps * (picture["top"] / STEPS))
        return self.place.canvas(values)

    def input_map(self, told: Mapping[str, Any]) -> np.ndarray | None:
        """0 where a pixel is used, 1 where it is not any more, 2 where it never was; None without pixels."""
        if self.pixels is None:
            return None
        found = np.zeros(math.prod(self.pixels), np.int8)
        found[told["pruned"]["dead_inputs"]] = 1
        found[told["trained"]["dead_inputs"]] = 2
        return found.reshape(self.pixels)

    def name(self, row: int, start: int = 0) -> str:
        """What an input is."""
        return words_neuron.input_name(row, self.shape, self.pixels, start)

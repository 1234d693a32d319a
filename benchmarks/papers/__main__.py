"""The papers' experiments, redone: ``python -m benchmarks.papers [name ...] [--quick] [--threads COUNT]``.

Whatever is measured is kept at once, so that an experiment that broke off goes on when it is asked for again. A quick
look measures a few small cells of every experiment, and writes into a folder of its own.

The matrices are small: on two cores, two experiments beside each other with a thread each are done sooner than one
after the other with two threads.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from benchmarks.papers.catalogue import EXPERIMENTS
from benchmarks.papers.experiment import RESULTS, STORE, carried_out, written
from nettrim_core import environment
from nettrim_core.durable.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(EXPERIMENTS))
    parser.add_argument("--quick", action="store_true", help="a few small cells of each, kept nowhere")
    # threads that wait for each other are many times slower where others are at work too, as in the tests
    parser.add_argument("--threads", type=int, metavar="COUNT", help="one in a quick look, else as many as cores")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.names) - EXPERIMENTS.keys()):
        parser.error(f"there is no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}")
    if asked.threads is not None and asked.threads < 1:
        parser.error(f"there are no {asked.threads} threads; ask for one or more")
    torch.set_num_threads(asked.threads or (1 if asked.quick else environment.cores()))
    with tempfile.TemporaryDirectory() as elsewhere:
        store, folder = (Store(Path(elsewhere)), Path(elsewhere)) if asked.quick else (Store(STORE), RESULTS)
        for name in asked.names or EXPERIMENTS:
            cells = carried_out(EXPERIMENTS[name], asked.quick, store, lambda line: print(line, flush=True))
            print(f"{name}: {written(EXPERIMENTS[name], asked.quick, cells, folder)}", flush=True)


if __name__ == "__main__":
    main()

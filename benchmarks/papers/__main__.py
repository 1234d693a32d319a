"""The papers' experiments, redone: ``python -m benchmarks.papers [name ...] [--quick]``.

Whatever is measured is kept at once, so that an experiment that broke off goes on when it is asked for again. A quick
look measures a few small cells of every experiment, and writes into a folder of its own.

The matrices are small: experiments beside each other, with a thread each, are done sooner than one after the other with
all threads. What compares seconds of solvers runs alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
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
    parser.add_argument("--threads", type=int, metavar="COUNT", help="one after the other, with so many threads")
    asked = parser.parse_args()
    names = asked.names or list(EXPERIMENTS)
    if unknown := sorted(set(names) - EXPERIMENTS.keys()):
        parser.error(f"there is no experiment {unknown[0]!r}; there are {', '.join(EXPERIMENTS)}")
    if asked.threads is not None and asked.threads < 1:
        parser.error(f"there are no {asked.threads} threads; ask for one or more")
    if asked.quick or asked.threads is not None:
        one_by_one(names, asked.quick, asked.threads or 1)
    else:
        beside_each_other(names)


def one_by_one(names: Sequence[str], quick: bool, threads: int) -> None:
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as elsewhere:
        store, folder = (Store(Path(elsewhere)), Path(elsewhere)) if quick else (Store(STORE), RESULTS)
        for name in names:
            cells = carried_out(EXPERIMENTS[name], quick, store, lambda line: print(line, flush=True))
            print(f"{name}: {written(EXPERIMENTS[name], quick, cells, folder)}", flush=True)


def beside_each_other(names: Sequence[str]) -> None:
    """Each in a process of its own, as many at a time as there are cores."""
    cores = environment.cores()
    with ThreadPoolExecutor(cores) as pool:
        codes = list(pool.map(lambda name: _run(name, 1), [n for n in names if not EXPERIMENTS[n].alone]))
    codes += [_run(name, cores) for name in names if EXPERIMENTS[name].alone]
    if any(codes):
        sys.exit(1)


def _run(name: str, threads: int) -> int:
    return subprocess.run([sys.executable, "-m", "benchmarks.papers", name, "--threads", f"{threads}"]).returncode


if __name__ == "__main__":
    main()

"""``python -m tests.fuzz SECONDS``: damage good files at random; every reader must give something, or refuse in words.

The reading is done in a child with a bounded memory. Each damage is told by a name, a seed and a way, so that it can
be made again; what is found is printed with them, and ends the run.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from nettrim_core import DataOptions, load_bundle, load_data, load_model
from nettrim_core.data.source import opened
from nettrim_core.intake.packing import unpack
from pages import notebook as notebooks
from tests.mutations import DATA, HOWS, NOTEBOOK, mutated, networks

MEMORY = 4_000_000_000  # bytes of address space
LIMIT = 50_000_000


def network(path: Path, data: bytes) -> nn.Module | None:
    """What is read of these bytes under this name; None where they are refused in a line."""
    path.write_bytes(data)
    try:
        if path.suffix == ".zip":
            with tempfile.TemporaryDirectory() as folder:
                return load_bundle(unpack(opened(path, LIMIT), Path(folder) / "bundle")).model
        return load_model(path)
    except ValueError as refused:
        check(refused)
        return None


def table(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        load_data(path, DataOptions(limit_mb=LIMIT / 1e6))
    except ValueError as refused:
        check(refused)


def notebook(data: bytes) -> None:
    try:
        notebooks.read(data)
    except ValueError as refused:
        check(refused)


def check(refused: ValueError) -> None:
    """It is meant as a refusal, and not an accident that happens to be of this kind."""
    assert type(refused) is ValueError, f"a {type(refused).__name__}: {refused}"
    assert str(refused)


def targets(folder: Path) -> dict[str, tuple[bytes, Callable[[bytes], object]]]:
    """By name: a good file, and what reads a damaged one."""
    found: dict[str, tuple[bytes, Callable[[bytes], object]]] = {"notebook": (NOTEBOOK, notebook)}
    for name, data in networks().items():
        found[f"network {name}"] = data, lambda damaged, path=folder / name: network(path, damaged)
    for name, data in DATA.items():
        found[f"data {name}"] = data, lambda damaged, path=folder / f"d{name}": table(path, damaged)
    return found


def broken(data: bytes) -> None:
    """A reader that has a fault, for a test of this file."""
    if len(data) < 100:
        raise KeyError("a fault")


def run(seconds: float, wrong: bool) -> None:
    """What the child does: a line of JSON before each reading, and one with the fault after it."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    draw = random.Random()
    with tempfile.TemporaryDirectory() as folder:
        known = {"broken": (bytes(200), broken)} if wrong else targets(Path(folder))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name, seed, how = draw.choice(list(known)), draw.randrange(2**32), draw.choice(HOWS)
            print(json.dumps([name, seed, how]), flush=True)
            data, read = known[name]
            try:
                read(mutated(data, seed, how))
            except BaseException:
                print(json.dumps({"fault": traceback.format_exc()}), flush=True)
                return


def main(arguments: list[str]) -> int:
    """0 if nothing was found."""
    seconds, wrong = float(arguments[0]) if arguments else 60.0, "--break" in arguments
    command = [sys.executable, "-m", "tests.fuzz", str(seconds), "--child", *(["--break"] if wrong else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as child:
        assert child.stdout is not None
        count, last, fault = 0, "", ""
        for line in child.stdout:
            said = json.loads(line)
            if isinstance(said, dict):
                fault = said["fault"]
            else:
                count, last = count + 1, line.strip()
    fault = fault or (f"the child ended with {child.returncode}" if child.returncode else "")
    print(f"{count:,} damaged files in {seconds:g} s" + (f"; this one is a fault: {last}\n{fault}" if fault else ""))
    return 1 if fault else 0


if __name__ == "__main__":
    if "--child" in sys.argv:
        run(float(sys.argv[1]), "--break" in sys.argv)
    else:
        sys.exit(main(sys.argv[1:]))

"""The studio, and whether the installation is sound."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, cast

import torch
import typer
from packaging.requirements import Requirement
from safetensors.torch import save_file
from torch import nn

from nettrim_cli import show
from nettrim_core import environment
from nettrim_core.bundle import load_bundle, sample_names
from nettrim_core.configuration import Work
from nettrim_core.devices import device_of
from nettrim_core.durable import Runs, Store
from nettrim_core.durable.address import address
from nettrim_core.durable.sealed import Sealed
from nettrim_core.export import export
from nettrim_core.formats import FORMATS
from nettrim_core.intake import Door
from nettrim_core.methods import NetTrim
from nettrim_core.models import load_model
from nettrim_core.places import STUDIO
from nettrim_core.prune import prune
from nettrim_core.warm import warm_up

FOUND = 3
# of the project's packages, those without which a part of it fails
PARTS = (
    "streamlit", "plotly", "cvxpy", "clarabel", "safetensors", "onnx", "onnxruntime", "onnxscript", "pyarrow", "PIL",
)  # fmt: skip


def serve(port: int, address: str, path: str, browser: bool, rest: list[str]) -> None:
    """Streamlit on the studio's main script, wherever this is called from, with the studio's own configuration."""
    script = STUDIO / "app.py"
    if not script.is_file():
        raise ValueError(f"{script}: the studio is not there: install nettrim-studio again")
    below = f"/{path.strip('/')}".rstrip("/")
    show.notice(f"The studio is at http://{address}:{port}{below}; Ctrl-C ends it.")
    headless = "false" if browser else "true"
    options = [f"--server.port={port}", f"--server.address={address}", f"--server.headless={headless}"]
    options += [f"--server.baseUrlPath={below}"] if below else []
    command = [sys.executable, "-m", "streamlit", "run", str(script), *options, *rest]
    try:
        done = subprocess.run(command, check=False)  # noqa: S603 (our own module, by this interpreter, with what was typed here)
    except KeyboardInterrupt:
        return
    raise typer.Exit(done.returncode)


def doctor(as_json: bool) -> None:
    torch.set_num_threads(environment.cores())
    found = []
    for name, check in CHECKS.items():
        try:
            found.append({"check": name, "ok": True, "says": check()})
        except Exception as error:  # whatever is wrong here is what the doctor looks for
            said = (str(error).splitlines() or [""])[0]
            found.append({"check": name, "ok": False, "says": f"{type(error).__name__}: {said}"})
    if as_json:
        show.document({"ok": all(entry["ok"] for entry in found), "checks": found})
    else:
        show.table(("", "Check", ""), (("✓" if e["ok"] else "✗", e["check"], e["says"]) for e in found), left=3)
    if not all(entry["ok"] for entry in found):
        raise typer.Exit(FOUND)


def _machine() -> str:
    device = device_of(Work.configured().device)
    return f"{environment.machine()}, {torch.get_num_threads()} threads; solves on {device}"


def _packages() -> str:
    return ", ".join(f"{name} {version}" for name, version in environment.versions().items())


def _requirements() -> str:
    """What is installed against what the package asks for."""
    asked = [Requirement(line) for line in metadata.requires(environment.PACKAGE) or ()]
    asked = [entry for entry in asked if entry.marker is None or entry.marker.evaluate({"extra": ""})]
    wrong = []
    for entry in asked:
        try:
            version = metadata.version(entry.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{entry.name} is not installed")
            continue
        if not entry.specifier.contains(version, prereleases=True):
            wrong.append(f"{entry.name} {version} is installed, and {entry.specifier} is needed")
    if wrong:
        raise ValueError(f"{'; '.join(wrong)}: install {environment.PACKAGE} again")
    return f"all {len(asked)} packages have the versions that are needed"


def _parts() -> str:
    for name in PARTS:
        import_module(name)
    return ", ".join(f"{name} {metadata.version({'PIL': 'pillow'}.get(name, name))}" for name in PARTS)


def _compiled() -> str:
    started = time.perf_counter()
    warm_up()
    return f"every method ran on a small layer in {time.perf_counter() - started:.1f} s"


def _samples() -> str:
    names = sample_names()
    if not names:
        raise ValueError("no sample model is installed")
    for name in names:
        load_bundle(name)
    return ", ".join(names)


def _certificate() -> str:
    bundle, method = load_bundle("digits_mlp"), NetTrim(epsilon=0.1)
    report = prune(bundle.model, bundle.calibration_sample(200), cast(Any, method), test=bundle.test)[1]
    gaps = [layer.gap for layer in report.layers]
    worst = max(gap for gap in gaps if gap is not None)
    if None in gaps or worst > method.tol or not report.converged:
        raise ValueError(f"Net-Trim is not certified on digits_mlp: gaps {gaps}")
    return f"Net-Trim on digits_mlp: {report.sparsity:.1%} zeros, the worst gap {worst:.1e}"


def _exports() -> str:
    model, rows = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), torch.linspace(-1, 1, 32).reshape(8, 4)
    pruned, report = prune(model, rows, "magnitude")
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for name in ("onnx", "pt2"):
            export(pruned, report, folder, [name], inputs=rows)
            read = load_model(Path(folder) / FORMATS[name].file)
            if not torch.allclose(read(rows), pruned(rows), atol=1e-5):
                raise ValueError(f"a small network in {FORMATS[name].file} gives other outputs when it is read back")
    return "a small network was written as ONNX and .pt2, and read back"


def _upload() -> str:
    """Two small files through the process that reads what visitors bring."""
    request = {
        "task": "look", "network": "small.safetensors", "data": "small.csv", "labels": "", "architecture": "",
        "options": {},
    }  # fmt: skip
    door = Door()
    with tempfile.TemporaryDirectory() as folder:
        save_file({"fc.weight": torch.eye(2), "fc.bias": torch.zeros(2)}, Path(folder, "small.safetensors"))
        Path(folder, "small.csv").write_text("a,b,label\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(30)))
        try:
            answer = door.ask(request | {"folder": folder})
            reach = door.ask({"task": "reach", "folder": folder})
        finally:
            door.close()
    for part in ("network", "data"):
        if "refused" in answer[part]:
            raise ValueError(answer[part]["refused"])
    limits = door.limits
    open_to = [what for what, can in reach.items() if can]
    kept = "; this system does not keep a reading from " + ", ".join(open_to) if open_to else ", and nothing else"
    return f"a network and a table were read with {limits.memory_mb:,} MB and {limits.seconds} s at most{kept}"


def _studio() -> str:
    """All that was installed, as the installation itself lists it, and what the studio starts with."""
    listed = [Path(str(file.locate())) for file in metadata.files(environment.PACKAGE) or () if file.suffix != ".pyc"]
    listed += [STUDIO / name for name in ("app.py", ".streamlit/config.toml", "pages/_main.py")]
    missing = [str(path) for path in listed if not path.is_file()]
    if missing:
        raise ValueError(f"missing: {', '.join(missing)}: install {environment.PACKAGE} again")
    return f"{STUDIO}, all {len(listed)} files"


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return f"Plotly.js, {len(get_plotlyjs()) / 1e6:.1f} MB, comes with plotly and is served from here"


def _scratch() -> str:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "written").write_text("x")
        return f"{folder} can be written"


def _store() -> str:
    store = Store.configured()
    if store is None:
        return "nothing is kept: the settings say so"
    here = address("doctor")
    if not store.put(here, Sealed({}, {})) or store.get(here) is None:
        raise ValueError(store.trouble or f"{store.folder}: what was written is not there")
    store.remove(here)
    count, size = store.size()
    said = f"{store.folder}: {count:,} results, {size / 1e6:,.1f} of {store.limit / 1e6:,.0f} MB"
    broken = sum(run.unfinished for run in Runs(store).all())
    said += f"; {broken} runs can be resumed" if broken else ""
    return said + (f"; {len(store.damage())} files were found damaged and put aside" if store.damage() else "")


CHECKS: dict[str, Callable[[], str]] = {
    "machine": _machine,
    "versions": _packages,
    "requirements": _requirements,
    "other packages": _parts,
    "compiled code": _compiled,
    "sample models": _samples,
    "a certified solve": _certificate,
    "exports": _exports,
    "uploads": _upload,
    "the studio's files": _studio,
    "charts": _plotly,
    "temporary folder": _scratch,
    "runs and results": _store,
}

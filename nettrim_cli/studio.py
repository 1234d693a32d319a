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

from nettrim_cli import show
from nettrim_core import environment
from nettrim_core.bundle import load_bundle, sample_names
from nettrim_core.methods import NetTrim
from nettrim_core.places import STUDIO
from nettrim_core.prune import prune
from nettrim_core.warm import warm_up

FOUND = 3
# of the project's packages, those without which a part of it fails
PARTS = (
    "streamlit", "plotly", "cvxpy", "clarabel", "safetensors", "onnx", "onnxruntime", "onnxscript", "pyarrow", "PIL",
)  # fmt: skip


def serve(port: int, address: str, browser: bool, rest: list[str]) -> None:
    """Streamlit on the studio's main script, wherever this is called from, with the studio's own configuration."""
    script = STUDIO / "app.py"
    if not script.is_file():
        raise ValueError(f"{script}: the studio is not there: install nettrim-studio again")
    show.notice(f"The studio is at http://{address}:{port}; Ctrl-C ends it.")
    headless = "false" if browser else "true"
    options = [f"--server.port={port}", f"--server.address={address}", f"--server.headless={headless}"]
    command = [sys.executable, "-m", "streamlit", "run", str(script), *options, *rest]
    try:
        done = subprocess.run(command, check=False)  # noqa: S603
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
    return f"{environment.machine()}, {torch.get_num_threads()} threads"


def _packages() -> str:
    return ", ".join(f"{name} {version}" for name, version in environment.versions().items())


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


def _studio() -> str:
    pages = [path.stem for path in sorted((STUDIO / "pages").glob("*.py"))]
    missing = [name for name in ("_main", "explore", "export") if name not in pages]
    if missing or not (STUDIO / "app.py").is_file() or not (STUDIO / ".streamlit" / "config.toml").is_file():
        raise ValueError(f"{STUDIO}: parts of the studio are missing: {', '.join(missing) or 'app.py or config.toml'}")
    return str(STUDIO)


def _scratch() -> str:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "written").write_text("x")
        return f"{folder} can be written"


CHECKS: dict[str, Callable[[], str]] = {
    "machine": _machine,
    "versions": _packages,
    "other packages": _parts,
    "compiled code": _compiled,
    "sample models": _samples,
    "a certified solve": _certificate,
    "the studio's files": _studio,
    "temporary folder": _scratch,
}

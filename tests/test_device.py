"""A GPU in the whole program: a pretended one where there is none, which refuses what mixes devices."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nettrim_core import METHODS, Data, Training, evaluate, export, finetune, fits, load_bundle, masks_of, prune
from nettrim_core.devices import bound_memory
from nettrim_core.durable import Runs, Store
from nettrim_core.durable.kept import context_of
from nettrim_core.plan import Plan
from nettrim_core.recipes.recipe import Recipe
from nettrim_core.record import Point
from nettrim_core.tasks import TASKS
from nettrim_core.workbench import Workbench
from tests.pretended import There, pretended
from tests.test_cli import SMALL, Run
from tests.test_cli import run as nettrim  # noqa: F401  (a fixture)

pytestmark = pytest.mark.usefixtures("one_thread")
TIMES = re.compile("seconds|^costs$")
PLAN = Plan("digits_mlp", ("fc2", "fc3"), samples=60)
CONVOLUTIONS = Plan("mnist1d_conv", ("conv2",), samples=60, patches=200)
TRAINING = {"epochs": 2}
LOBS = {"plan": PLAN.to_dict(), "method": "lobs", "settings": {"epsilon": 0.2}}
RECIPE = {"recipe": Recipe(PLAN, METHODS["lobs"]).to_dict()}
CURVES = [{"method": "lobs", "settings": {}, "epsilons": [0.3, 0.1]}]
ASKED: dict[str, dict[str, Any]] = {
    "behaviour": {"candidates": [LOBS]},
    "budget": {**LOBS, "target": {"sparsity": 0.5}, "rule": "hull", "locked": {}},
    "sensitivity": {**LOBS, "layers": ["fc3"]},
    "files": {**RECIPE, "formats": ["safetensors", "pytorch"], "curves": [], "batch": 3},
    "lens": {**LOBS, "layer": "fc3", "first": 0, "count": 3},
    "neuron": {**LOBS, "layer": "fc3", "neuron": 1},
    "removals": {**LOBS, "layer": "fc3", "neuron": 1},
    "ball": {**LOBS, "layer": "fc2"},
    "storage": {**LOBS, "layer": "fc2"},
    "two_sets": {"places": [{**LOBS, "layer": "fc2"}, {**LOBS, "layer": "fc2"}]},
    "sweep": {"sweeps": [{"plan": plan.to_dict(), "curves": CURVES} for plan in (PLAN, CONVOLUTIONS)]},
    "recipe": RECIPE,
    "rounds": {**LOBS, "targets": [0.3, 0.5], "training": TRAINING},
    "tune": {"plan": PLAN.to_dict(), "methods": [["lobs", {"epsilon": 0.2}]], "training": TRAINING},
}


def timeless(told: Any) -> Any:
    if isinstance(told, dict):
        return {key: timeless(value) for key, value in told.items() if not TIMES.search(key)}
    return [timeless(value) for value in told] if isinstance(told, list | tuple) else told


def answers(task: str, device: str) -> list[Any]:
    found = TASKS[task](ASKED[task], Workbench(device=device))
    return [timeless(json.loads(json.dumps(answer))) for answer in found]


@pytest.mark.parametrize("task", ASKED)
def test_every_task_gives_there_what_it_gives_here(task: str) -> None:
    here = answers(task, "cpu")
    with pretended():
        assert answers(task, "cuda") == here


def test_certificates_hold_there() -> None:
    request = {
        "sweeps": [{"plan": PLAN.to_dict(), "curves": [{"method": "nettrim", "settings": {}, "epsilons": [0.2]}]}]
    }
    with pretended():
        *_, last = TASKS["sweep"](request, Workbench(device="cuda"))
    report = Point.from_dict(last["point"]).report
    tol = METHODS["nettrim"].tol  # type: ignore[attr-defined]
    assert [layer.name for layer in report.layers] == ["fc2", "fc3"]
    assert all(layer.converged and max(layer.gap, layer.violation) <= tol for layer in report.layers)


def test_a_network_that_is_there_is_pruned_retrained_judged_and_exported(tmp_path: Path) -> None:
    bundle = load_bundle("digits_mlp")
    inputs = bundle.calibration_sample(60)

    def done(device: str) -> tuple[Any, ...]:
        model = bundle.on(device).model
        pruned, report = prune(model, inputs, METHODS["lobs"], test=bundle.validation)
        tuned = finetune(pruned, masks_of(pruned), bundle.train, bundle.validation, Training(epochs=1))
        epochs = [dataclasses.asdict(epoch) for epoch in tuned]
        assert next(tuned.model.parameters()).device.type == device
        judged = evaluate(tuned.model, bundle.test, model)
        export(tuned.model, report, tmp_path / device, ["safetensors", "compact"], inputs=inputs)
        weights = load_file(tmp_path / device / "model.safetensors")
        fit = fits(tuned.model, Data.of(*bundle.train))
        return timeless([report.to_dict(), epochs, judged.to_dict(), fit.sentence]), weights

    (told, weights) = done("cpu")
    with pretended():
        found, there = done("cuda")
    assert found == told
    assert weights.keys() == there.keys()
    assert all(torch.equal(weight, there[name]) for name, weight in weights.items())


def test_a_bundle_is_the_same_there_and_its_results_are_kept_apart() -> None:
    here = load_bundle("digits_mlp")
    with pretended():
        there = here.on("cuda")
        assert isinstance(next(there.model.parameters()), There)
        assert there.fingerprint == here.fingerprint
        assert there.on("cpu").device == here.device
        assert context_of(there, PLAN) != context_of(here, PLAN)
    assert here.on("cpu") is here


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gpu", "device = 'gpu' is no place to compute; there is cpu, cuda, and cuda:1 for a second GPU"),
        ("meta", "device = 'meta' is no place to compute"),
        ("cuda:7", "device = 'cuda:7': torch"),
    ],
)
def test_what_is_no_device_is_said_in_a_sentence(nettrim: Run, name: str, says: str) -> None:  # noqa: F811
    for command in ("prune", "sweep", "finetune"):
        code, _, said = nettrim(command, "digits_mlp", "--device", name)
        assert code == 1
        assert said.splitlines()[-1].startswith(f"nettrim: {says}")


def test_a_run_goes_on_where_it_was(
    nettrim: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "true")
    monkeypatch.setenv("NETTRIM_STORAGE_FOLDER", str(tmp_path))
    words = ["sweep", "digits_mlp", *SMALL, "--methods", "lobs", "--epsilons", "0.3,0.1", "--json"]
    with pretended():
        code, out, said = nettrim(*words, "--device", "cuda")
        assert code == 0, said
    code, here, _ = nettrim(*words)
    assert timeless(json.loads(out)["points"]) == timeless(json.loads(here)["points"])
    there, other = sorted(Runs(Store(tmp_path)).all(), key=lambda run: run.asked.subject["device"], reverse=True)
    assert (there.asked.subject["device"], other.asked.subject["device"]) == ("cuda:0", "cpu")
    assert there.id != other.id
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, said = nettrim("resume", there.id)
    assert code == 1
    assert "torch" in said
    assert "finds no GPU here" in said


def test_there_and_elsewhere_are_not_both() -> None:
    bench = Workbench(scheduler="tcp://127.0.0.1:9", device="cuda")
    with pretended(), pytest.raises(ValueError, match="give one of them"):
        list(TASKS["sweep"](ASKED["sweep"], bench))


def test_a_job_may_take_as_much_of_the_gpu_as_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    bounds: list[tuple[float, torch.device]] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=8_000))
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda part, where: bounds.append((part, where)))
    bound_memory("cpu", 2_000)
    with pretended():
        bound_memory("cuda", 2_000)
        bound_memory("cuda", 20_000)
    assert bounds == [(0.25, torch.device("cuda", 0)), (1.0, torch.device("cuda", 0))]

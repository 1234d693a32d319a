"""The Python under each result runs as it stands and gives the figures of the page."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import nettrim_core
from nettrim_core import EPSILONS, LOBS, METHODS, Data, load_bundle, prune, save_bundle
from nettrim_core.plan import coarse_to_fine
from nettrim_core.tasks.sweeps import solve
from pages import snippets, snippets_budget, snippets_compare, store
from pages.candidates import candidates_of
from pages.curves import grid_of, stops_of
from pages.state import Choice
from tests.conftest import small_mlp

SPIRAL = {"cascade.gamma": 1.5, "nettrim.tol": 1e-2}
PATTERN = {"cascade.dense": False, "wanda.pattern": "2:4"}
CHOICES = [
    Choice("digits_mlp", ("fc1", "fc2", "fc3"), methods=("nettrim", "lobs"), n=300),
    Choice("digits_mlp", ("fc2",), 0.123, ("exactobs", "magnitude", "magnitude_refit"), n=200, seed=3),
    Choice("digits_mlp", ("fc2", "fc3"), methods=("lobs",), mode="cascade", n=200, settings={"lobs.damping": 0.01}),
    Choice("spirals", ("fc3",), methods=("nettrim",), mode="cascade", n=200, settings=SPIRAL),
    Choice("mnist1d_conv", ("conv1", "conv3"), methods=("magnitude_global", "exactobs"), n=200, patches=300),
    Choice("digits_mlp", ("fc2", "fc3"), methods=("wanda",), mode="cascade", n=200, settings=PATTERN),
]  # fmt: skip


def printed(source: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source, "<snippet>", "exec"), {})
    return output.getvalue()


@pytest.mark.parametrize(
    "choice",
    [pytest.param(c, marks=pytest.mark.long) if c.model == "mnist1d_conv" else c for c in CHOICES],
    ids=lambda c: f"{c.model}-{c.mode}-{'+'.join(c.methods)}",
)
def test_the_curves_snippet_prints_the_points_of_the_page(choice: Choice) -> None:
    stops = [*([] if choice.eps in EPSILONS else [choice.eps]), *coarse_to_fine(EPSILONS)]
    curves = []
    for name in choice.methods:
        settings = {k.split(".")[1]: v for k, v in choice.settings.items() if k.startswith(f"{name}.")}
        curves.append({"method": name, "settings": settings, "epsilons": stops})
    shown = {
        (p.method, f"{p.epsilon:.4g}", f"{p.report.sparsity:.1%}", f"{p.report.accuracy:.1%}")
        for p in solve(choice.plan(), curves, load_bundle(choice.model))
        if not p.report.rough
    }
    lines = printed(snippets.curves(choice)).splitlines()
    found = {tuple(re.findall(r"(\S+)\s+epsilon (\S+)\s+(\S+) zeros,\s+(\S+) right", line)[0]) for line in lines}
    assert found == shown
    assert len(lines) == len(stops) * len(choice.methods)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: f"{c.model}-{c.mode}-{'+'.join(c.methods)}")
def test_the_other_snippets_run_and_agree_with_prune(choice: Choice) -> None:
    out = printed(snippets.at_epsilon(choice))
    assert len([line for line in out.splitlines() if not line.startswith(" ")]) == len(choice.methods)
    assert all(f"  {layer}: " in out for layer in choice.layers)
    bundle = load_bundle(choice.model)
    rules = choice.plan().cascade or False
    from dataclasses import replace

    method = replace(choice.method(choice.methods[0]), epsilon=choice.eps)
    inputs = bundle.calibration_sample(choice.n, choice.seed)
    pruned, report = prune(
        bundle.model, inputs, method, choice.layers, rules, bundle.validation,
        seed=choice.seed, max_patches=choice.patches,
    )  # fmt: skip
    assert f"{report.method}: {report.sparsity:.1%} zeros, {report.accuracy:.1%} right" in out
    used = int((pruned.get_submodule(choice.layers[0]).weight != 0).any(0).sum())
    assert printed(snippets.sight(choice)).startswith(f"{used} of ")


@pytest.mark.parametrize("name", list(METHODS))
def test_a_methods_source_is_the_method(name: str) -> None:
    choice = Choice("digits_mlp", ("fc1",), methods=(name,))
    names = vars(nettrim_core)
    assert eval(snippets.method_source(choice, name), dict(names)) == METHODS[name]
    assert eval(snippets.method_source(choice, name, 0.3), dict(names)).epsilon == 0.3


ALONG = [
    Choice("digits_mlp", ("fc3",), 0.3, ("magnitude_refit", "lobs"), n=100, knob="magnitude_refit.damping"),
    Choice("digits_mlp", ("fc3",), 0.3, ("magnitude",), n=50, knob="n"),
    Choice("digits_mlp", ("fc2", "fc3"), 0.3, ("lobs",), "cascade", n=100, knob="cascade.gamma"),
    Choice("digits_mlp", ("fc2", "fc3"), 0.3, ("lobs",), n=100, knob="lobs.sweeps", settings={"scale.fc3": 0.5}),
]


@pytest.mark.parametrize("choice", ALONG, ids=lambda c: c.knob)
def test_another_number_on_the_knob_is_in_the_code(choice: Choice) -> None:
    stops = stops_of(choice, 1000)
    lines = [line for line in printed(snippets.curves(choice)).splitlines() if "zeros" in line]
    bundle = load_bundle(choice.model)
    for stop in stops:
        wanted = [line for line in lines if line.split()[1] == repr(stop.value)]
        assert len(wanted) == len(choice.methods)
        plan = stop.choice.plan()
        for name, line in zip(choice.methods, wanted, strict=True):
            _, report = prune(
                bundle.model, bundle.calibration_sample(plan.samples), stop.choice.solving(name), plan.layers,
                plan.cascade or False, bundle.validation, max_patches=plan.patches, scale=dict(plan.scale),
            )  # fmt: skip
            assert f"{report.sparsity:6.1%} zeros, {report.accuracy:6.1%} right" in line
    assert len({line.split(" ", 2)[2] for line in lines}) > 1  # the number matters


def test_the_grid_is_every_pair_and_the_mask_is_the_pages() -> None:
    choice = Choice("digits_mlp", ("fc3",), 0.3, ("magnitude",), n=50, knob="magnitude.damping", grid="n")
    refit = dataclasses.replace(choice, methods=("magnitude_refit",), knob="magnitude_refit.damping")
    pairs = len(stops_of(refit, 1000)) * len(grid_of(refit, 1000))
    assert len(printed(snippets.grid(refit)).splitlines()) == pairs
    bundle = load_bundle("digits_mlp")
    pruned, _ = prune(bundle.model, bundle.calibration_sample(50), choice.solving("magnitude"), ["fc3"])
    kept = int((pruned.get_parameter("fc3.weight") != 0).sum())
    assert printed(snippets.mask(choice)) == f"magnitude keeps {kept} of 500 weights\n"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Choice]:
    """A network that was brought with data without labels, and its bundle where Python is started."""
    name, model, inputs = "own-0123456789abcdef", small_mlp(), torch.randn(90, 10)
    data = Data.of(inputs)
    save_bundle(tmp_path / name, model, train=data.train, validation=data.validation, test=data.test)
    store.keep(name, load_bundle(tmp_path / name), "a visit")
    monkeypatch.chdir(tmp_path)
    yield Choice(name, ("fc1", "fc2"), 0.3, ("lobs", "magnitude"), n=40)
    store.let_go(name, "a visit")


def test_without_labels_every_snippet_tells_how_far_the_outputs_moved(mine: Choice) -> None:
    bundle = store.bundle_of(mine.model)
    _, report = prune(
        bundle.model, bundle.calibration_sample(40), LOBS(epsilon=0.3), mine.layers, test=bundle.validation,
        max_patches=mine.patches,
    )  # fmt: skip
    found = f"{report.sparsity:.1%} zeros, outputs moved {report.output_error:.3g}"
    assert f"lobs: {found}" in printed(snippets.at_epsilon(mine))
    assert printed(snippets.curves(mine)).count("outputs moved") == (1 + len(EPSILONS)) * 2
    along = dataclasses.replace(mine, methods=("lobs",), knob="lobs.sweeps")
    assert printed(snippets.curves(along)).count("outputs moved") == len(stops_of(along, 40))
    for source in (
        snippets.mask(mine),
        snippets.sight(mine),
        snippets_budget.shares(mine),
        snippets_budget.bounds(mine),
    ):
        assert printed(source)
    assert "after" in printed(snippets_budget.decided(mine))
    assert "outputs moved" in printed(snippets_budget.alone(mine))
    candidates = candidates_of([("now", mine)])
    for source in (snippets_compare.table(candidates), snippets_compare.pareto(candidates)):
        assert found in printed(source)
    assert "p = " not in printed(snippets_compare.changes(candidates))
    assert printed(snippets_compare.noise(candidates, 1)).count("as the dense network without noise") > 4
    assert printed(snippets_compare.seeds(mine, range(2))).count("zeros") == 2

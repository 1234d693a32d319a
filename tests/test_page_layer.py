"""The Layer page: its states, its words and figures, its snippets, and what a browser alone can see."""

from __future__ import annotations

import base64
import dataclasses
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
import torch
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from nettrim_core import LayerProblem, NetTrim, layer_neuron, layer_weights, load_bundle, prune_layer
from nettrim_core.figures import layer as figures
from nettrim_core.figures import neuron as neuron_figures
from nettrim_core.figures import solving
from nettrim_core.jobs import Job, Status
from nettrim_core.tasks import TASKS
from nettrim_core.tasks.lens import MOST_ITERATIONS, MOST_REMOVALS, picture
from nettrim_core.workbench import Workbench
from pages import snippets_layer as snippets
from pages import store, words_layer, words_neuron, work
from pages.lens import View
from pages.state import Choice
from pages.watch import IDLE
from tests.browsing import opened as browsed
from tests.conftest import unfolded
from tests.test_snippets import printed

ROOT = Path(__file__).resolve().parents[1]
BASE = {"model": "digits_mlp", "layers": "fc2,fc3", "methods": "nettrim,lobs", "n": "200"}
BENCH = Workbench()


class Here:
    """A pool that answers at once, in this process. spoil: changes an answer of a task on its way; hold: tasks whose
    jobs give so many answers and then stay under way."""

    condition = staticmethod(lambda: IDLE)

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.spoil: Callable[[str, dict[str, Any]], dict[str, Any]] = lambda task, answer: answer
        self.hold: dict[str, int] = {}

    def submit(self, job: Job) -> Job:
        task = job.request["task"]
        self.asked.append(job.request)
        job.status, job._cancel = Status.RUNNING, lambda: self._cancel(job)
        try:
            for answer in itertools.islice(TASKS[task](job.request, BENCH), self.hold.get(task)):
                job.on_answer(self.spoil(task, answer))
                job.done += 1
            job.status = Status.RUNNING if task in self.hold else Status.DONE
        except ValueError as error:
            job.status, job.error = Status.FAILED, str(error)
        return job

    def _cancel(self, job: Job) -> None:
        if job.active:
            job.status = Status.CANCELLED

    def ahead_of(self, job: Job) -> int:
        return 0

    def tasks(self) -> list[str]:
        return [request["task"] for request in self.asked]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    pool = Here()
    monkeypatch.setattr(work, "pool", lambda: pool)
    return pool


@pytest.fixture
def app(here: Here) -> Iterator[AppTest]:
    st.cache_data.clear()
    st.cache_resource.clear()
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=240)
    st.cache_resource.clear()


def opened(app: AppTest, **query: str) -> AppTest:
    for name, value in (BASE | query).items():
        app.query_params[name] = value
    app.switch_page("pages/layer.py")
    app.run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def heads(app: AppTest) -> list[str]:
    return [header.value for header in app.header]


def keys(app: AppTest) -> set[str]:
    return {button.key for button in app.button}


def solved(method: str = "nettrim", layer: str = "fc2", **more: Any) -> dict[str, Any]:
    """The answer to a page's question about a layer, or one neuron of it."""
    choice = Choice("digits_mlp", ("fc2", "fc3"), methods=(method,), n=200, layer=layer, **more)
    view = View(choice)
    (told,) = TASKS["lens"](view.of_layer(), BENCH)
    return told


def test_the_page_says_what_the_core_says(app: AppTest) -> None:
    opened(app, neuron="3")
    bundle = load_bundle("digits_mlp")
    inputs = bundle.calibration_sample(200, 0)
    problem, result = prune_layer(bundle.model, inputs, NetTrim(epsilon=0.1097), "fc2", max_patches=2000)
    found, one = layer_weights(problem, result.U), layer_neuron(problem, result, 3, 0.1097)
    assert f"Of 5,000 weights, **{found.pruned.zeros:,} (" in text(app)
    assert f"**Neuron 3** keeps {one.weights.count} of its 100 weights" in text(app)
    assert f"{one.samples.on_count} of 200 samples. Off Ω are the other {200 - one.samples.on_count}" in text(app)
    assert words_layer.number(one.constraints.half_width) in text(app)
    assert "Net-Trim is certified" in text(app)
    assert not app.warning
    assert heads(app) == [
        "Weights before and after", "How large they are", "What the layer can still do",
        "Inputs and neurons that do nothing", "One neuron", "One sum, spelled out", "Watch Net-Trim converge",
        "A second opinion",
    ]  # fmt: skip
    assert sum("prune_layer" in code.value for code in unfolded(app).code) == 8


@pytest.mark.parametrize("empty", ["layers", "methods"])
def test_nothing_chosen_is_said(app: AppTest, empty: str) -> None:
    opened(app)
    app.session_state["choice"] = dataclasses.replace(app.session_state["choice"], **{empty: ()})
    app.run()
    assert not app.exception
    assert any(f"Pick at least one {empty[:-1]}" in info.value for info in app.info)


def test_running_then_cancelled_then_resumed(app: AppTest, here: Here) -> None:
    here.hold = {"lens": 0}
    opened(app)
    assert "cancel" in keys(app)
    assert heads(app) == []
    app.button(key="cancel").click().run()
    assert "Stopped. What was solved stays." in text(app)
    assert here.tasks() == ["lens"]
    here.hold = {}
    app.button(key="resume").click().run()
    assert "One neuron" in heads(app)


def test_a_neuron_that_is_cancelled_leaves_the_layer(app: AppTest, here: Here) -> None:
    here.hold = {"neuron": 0}
    opened(app)
    assert "Weights before and after" in heads(app)
    assert "One sum, spelled out" not in heads(app)
    app.button(key="cancel").click().run()
    assert not app.exception
    assert "Stopped" in text(app)
    here.hold = {}
    app.button(key="resume").click().run()
    assert "One sum, spelled out" in heads(app)


def test_what_failed_says_why_and_can_be_tried_again(app: AppTest) -> None:
    """Without damping, H of 200 samples with inputs that are alike cannot be inverted."""
    opened(app, layers="fc1", methods="lobs", n="20", **{"lobs.damping": "0.0"})
    assert any("damping = 0 leaves XX'/P" in error.value for error in app.error)
    assert "resume" in keys(app)


def test_a_tolerance_out_of_reach_is_told(app: AppTest) -> None:
    """Weights in single precision do not keep a linear layer's sum to 1e-9."""
    opened(app, layers="fc3", methods="nettrim", **{"nettrim.tol": "1e-09"})
    (warning,) = (warning.value for warning in app.warning)
    assert "The certificate is violated" in warning
    assert "at most 1e-09 was asked" in warning
    (label,) = [button.label for button in app.button if button.key == "pick_changed"]
    assert f"neuron {label.split(': ')[1]} changed most" in warning


def spoiled(here: Here, result: dict[str, Any], picks: dict[str, Any]) -> None:
    """Let the layer's answer say this of the result."""

    def spoil(task: str, answer: dict[str, Any]) -> dict[str, Any]:
        if task == "lens":
            answer["result"] |= {"converged": False, **result}
            answer["outliers"] |= picks
        return answer

    here.spoil = spoil


def test_the_neuron_that_did_not_converge_is_named(app: AppTest, here: Here) -> None:
    spoiled(here, {"gap": 0.02}, {"gap": (17, 0.019)})
    opened(app)
    (warning,) = (warning.value for warning in app.warning)
    assert "Not converged: the duality gap is 2.0e−02 and at most 0.001 was asked" in warning
    assert "Neuron 17 is the one that did not reach it" in warning
    assert "violated" not in warning
    app.button(key="pick_gap").click().run()
    assert app.query_params["neuron"] == "17"


def test_a_violated_certificate_is_told_apart_from_a_gap(app: AppTest, here: Here) -> None:
    spoiled(here, {"violation": 0.02}, {"violation": (7, 0.019)})
    opened(app)
    (warning,) = (warning.value for warning in app.warning)
    assert "The certificate is violated" in warning
    assert "by 2.0e−02 of the tolerance" in warning
    assert "Neuron 7 is furthest above V" in warning
    assert "Not converged" not in warning
    assert {"pick_violation"} == keys(app) & {"pick_violation", "pick_gap"}


def test_the_layer_and_the_neuron_are_in_the_link(app: AppTest, here: Here) -> None:
    opened(app, neuron="3")
    app.number_input(key="w_neuron").set_value(5).run()
    assert app.query_params["neuron"] == "5"
    assert "**Neuron 5** keeps" in text(app)
    assert here.tasks() == ["lens", "neuron", "neuron"]  # the layer was not asked for again
    app.segmented_control(key="w_layer").set_value("fc3").run()
    assert app.query_params["layer"] == "fc3"
    assert "neuron" not in app.query_params
    assert "No ReLU follows, so every one of the 200 samples is on **Ω**" in text(app)
    assert "Off Ω, a half-line" not in text(app)


def test_quick_picks_go_where_they_say(app: AppTest) -> None:
    told = solved()
    opened(app)
    app.button(key="pick_sparsest").click().run()
    j, left = told["outliers"]["sparsest"]
    assert app.query_params.get("neuron", "0") == str(j)
    assert f"**Neuron {j}** keeps {left} of" in text(app)


def test_a_neuron_that_is_not_there_is_said(app: AppTest) -> None:
    opened(app, neuron="5000")
    assert any("fc2 has no neuron 5000: it has 50, counted from 0" in w.value for w in app.warning)
    assert "**Neuron 49** keeps" in text(app)


def test_a_bad_link_is_mended(app: AppTest) -> None:
    opened(app, neuron="-2", layer="fc9", **{"lens.step": "0", "lens.sample": "best"})
    said = "\n".join(warning.value for warning in app.warning)
    for name in ("neuron = -2", "layer = fc9", "lens.step = 0", "lens.sample = best"):
        assert name in said


def test_the_engine_runs_on_demand_only_and_ends_in_a_certificate(app: AppTest, here: Here) -> None:
    opened(app)
    assert "convergence" not in here.tasks()
    app.button(key="converge").click().run()
    assert not app.exception
    assert re.search(r"Certified after \d+ iterations", text(app))
    assert "converge" not in keys(app)


def test_the_engine_can_be_stopped_and_what_came_stays(app: AppTest, here: Here) -> None:
    opened(app)
    here.hold = {"convergence": 1}
    app.button(key="converge").click().run()
    assert "cancel" in keys(app)
    assert re.search(r"After \d+ iterations: gap", text(app))
    app.button(key="cancel").click().run()
    assert not app.exception
    assert "Stopped. What was computed is shown." in text(app)
    assert re.search(r"Stopped after \d+ iterations without a certificate", text(app))
    assert "converge" in keys(app)
    assert "cancel" not in keys(app)


def test_removals_step_by_step(app: AppTest) -> None:
    opened(app, methods="lobs", neuron="2")
    assert "**Step 1**: weight w" in text(app)
    app.slider(key="w_lens.step").set_value(12).run()
    assert app.query_params["lens.step"] == "12"
    assert "**Step 12**" in text(app)
    classic = text(app)
    app.segmented_control(key="w_lens.order").set_value("exact").run()
    assert app.query_params["lens.order"] == "exact"
    assert "**Step 12**" in text(app)
    assert text(app) != classic
    assert "as predicted" in text(app)  # an exact step is


def test_a_step_beyond_the_last_is_the_last(app: AppTest) -> None:
    opened(app, layers="fc3", methods="exactobs", **{"lens.step": "900"})
    assert f"**Step {app.slider(key='w_lens.step').max:.0f}**" in text(app)


def test_a_hessian_of_few_samples_is_said_to_be_singular(app: AppTest) -> None:
    opened(app, layers="fc1", methods="lobs", n="20")
    assert "inputs of 65 are zero on every sample" in text(app)
    assert "**H is singular**" in text(app)
    assert "is what keeps the step finite here" in text(app)


@pytest.mark.parametrize("method", ["magnitude", "wanda", "magnitude_global"])
def test_other_methods_have_weights_and_a_neuron(app: AppTest, method: str) -> None:
    opened(app, methods=method, mode="cascade" if method == "magnitude_global" else "parallel")
    assert "One neuron" in heads(app)
    assert "does not know these two constraints" in text(app)
    assert "Watch Net-Trim converge" not in heads(app)
    assert "L-OBS, weight by weight" not in heads(app)


def test_a_filter_is_called_one(app: AppTest) -> None:
    opened(app, model="mnist1d_conv", layers="conv2", methods="lobs", patches="300")
    assert "a neuron of it is a **filter**, and a sample is a **place where the filter looks**" in text(app)
    assert "The batch norm that follows is folded" in text(app)
    assert "**Filter 0** keeps" in text(app)
    (table,) = [html.body for html in app.get("html") if "ntn" in html.proto.body] or [""]
    assert re.search(r"channel \d+, place \d", table)


def test_a_small_layer_is_checked(app: AppTest) -> None:
    opened(app, layers="fc1,fc3", layer="fc3", methods="nettrim", n="60")
    app.button(key="check_fc3").click().run()
    assert "by CVXPY with Clarabel" in text(app)


def test_the_check_is_not_offered_for_a_large_layer(app: AppTest) -> None:
    opened(app, layers="fc1", methods="nettrim", n="1000")
    assert "Watch Net-Trim converge" in heads(app)
    assert "A second opinion" not in heads(app)


# words


def test_damping_is_said_to_keep_a_singular_step_finite() -> None:
    base = {"live": 9, "dead": 0, "damping": 1e-6, "smallest": -1e-17, "largest": 2.0, "condition": 2e6}
    base["singular"] = True
    said = words_neuron.hessian(base)
    assert "**H is singular**" in said
    assert "1e-06, is what keeps the step finite here" in said
    assert "0 to rounding" in said
    fine = words_neuron.hessian(base | {"singular": False, "smallest": 0.5, "dead": 3})
    assert "3 inputs of 12 are zero on every sample" in fine
    assert "H can be inverted by itself over the other 9 inputs: its largest eigenvalue is 4.0e+00" in fine


@pytest.mark.parametrize(
    ("measured", "said"),
    [(2.0, "rises by 2, as predicted"), (3.0, "rises by 3, 50.0\u00a0% more than that"), (8.0, "4 times as much"),
     (1.5, "25.0\u00a0% less than that"), (-1.0, "falls instead, by 1, ")],
)  # fmt: skip
def test_a_rise_is_told_beside_its_prediction(measured: float, said: str) -> None:
    told = {"step": 4, "index": 7, "bias": False, "weight": -2.0, "inverse": 2.0, "saliency": 1.0, "predicted": 2.0,
            "measured": measured, "error": 9.0, "changes": [(3, 0.5), (1, -0.25)]}  # fmt: skip
    found = words_neuron.step(told, "input 7")
    assert said in found
    assert "(−2)² / (2 × 2) = **1**" in found
    assert "w3 by 0.5, w1 by −0.25 the most" in found


def test_methods_without_a_certificate_have_an_outcome_too() -> None:
    told = {"gap": None, "violation": 0.3, "tol": None, "converged": False}
    well, said = words_layer.outcome("lobs", told, {"gap": None, "violation": None}, "neuron")
    assert not well
    assert "did not reach its tolerance" in said


def test_where_the_two_ways_part_is_the_first_difference() -> None:
    way = [{"index": i, "error": float(i + 1)} for i in (4, 2, 7)]
    other = [{"index": i, "error": e} for i, e in ((4, 5.0), (2, 1.5), (9, 2.0))]
    said = words_neuron.parting(way, other)
    assert "for 2 steps and part at step 3, where classic takes w7 and exact w9" in said
    assert "furthest apart after 3 steps" in said
    assert "4 times the 2 of the exact one" in said
    assert "in all of these 3 steps" in words_neuron.parting(way, way)


def test_a_sum_is_spelled_out_with_what_is_gone_left_out() -> None:
    told = {
        "sample": 3, "before": 1.0, "after": -0.5, "others": 2, "others_before": 0.25, "others_after": 0.0,
        "largest": [{"row": 0, "x": 2.0, "w": 0.5, "u": 0.0}, {"row": 4, "x": 1.0, "w": -0.25, "u": -0.5}],
        "bias": None, "shift": 0.0,
    }  # fmt: skip
    said = words_neuron.total(told, "sample")
    assert "**Before**: 0.5 × 2 + (−0.25) × 1 + 0.25 (the other 2) = **1**" in said
    assert "**After**: (−0.5) × 1 + 0 (the other 2) = **−0.5**" in said
    table = words_neuron.sum_table(told, lambda row: f"<{row}>")
    assert "&lt;4&gt;" in table
    assert "0, gone" in table


@pytest.mark.parametrize(
    ("shape", "pixels", "row", "said"),
    [
        ((5, 64), (8, 8), 19, "pixel in row 2, column 3"),
        ((5, 7), None, 3, "input 3"),
        ((5, 2, 3), None, 4, "channel 1, place 1"),
        ((5, 2, 3, 3), None, 14, "channel 1, row 1, column 2"),
    ],
)
def test_an_input_has_a_name(shape: tuple[int, ...], pixels: Any, row: int, said: str) -> None:
    assert words_neuron.input_name(row, shape, pixels) == said
    if len(shape) > 2:
        later = words_neuron.input_name(row, shape, pixels, 2 * int(np.prod(shape[1:])))
        assert later.startswith("channel 5")


# pictures


@pytest.mark.parametrize("model", ["digits_mlp", "mnist1d_conv", "lenet_5", "spirals"])
def test_a_picture_shows_every_weight_once_and_nothing_for_zeros(model: str) -> None:
    bundle = load_bundle(model)
    for layer in store.facts_of(model).layers:
        weight = bundle.model.get_parameter(f"{layer}.weight").detach()
        view = View(Choice(model, (layer,), layer=layer, neuron=len(weight) - 1))
        values = weight.flatten(1)[view.first : view.first + view.count].numpy().copy()
        values[:, ::3] = 0
        steps = np.where(values == 0, 0, np.maximum(np.rint(np.abs(values) * 1000), 1) * np.sign(values)).astype("<i2")
        packed = {"top": 32.767, "trained": base64.b64encode(steps.tobytes()).decode()}
        canvas = view.canvas(packed, "trained")
        assert canvas.shape == view.place.shape
        drawn = np.sort(canvas[~np.isnan(canvas)])
        np.testing.assert_allclose(drawn, np.sort(steps[steps != 0] / 1000.0), rtol=1e-9)
        top, left, bottom, right = view.place.tiles_of(view.neuron - view.first)
        own = canvas[top:bottom, left:right]
        own_steps = steps[view.neuron - view.first]
        np.testing.assert_allclose(np.sort(own[~np.isnan(own)]), np.sort(own_steps[own_steps != 0] / 1000.0), rtol=1e-9)


def test_the_task_packs_zeros_as_zeros_only() -> None:
    told = solved()
    _, result = BENCH.solved(*_asked())
    body = result.U[:-1].T.numpy()
    steps = np.frombuffer(base64.b64decode(told["picture"]["pruned"]), "<i2").reshape(50, 100)
    np.testing.assert_array_equal(steps == 0, body == 0)
    np.testing.assert_allclose(steps * (told["picture"]["top"] / 32767), body, atol=2 * told["picture"]["top"] / 32767)


def test_a_weight_that_is_nearly_nothing_is_not_packed_as_zero() -> None:
    W = torch.tensor([[1.0, -1e-9], [1e-9, 0.0], [0.0, -1.0]])
    problem = LayerProblem(torch.eye(3), W.T, W, relu=False, bias=False)
    packed = picture(problem, W * 0.5, 0, 2)
    for which in ("trained", "pruned"):
        steps = np.frombuffer(base64.b64decode(packed[which]), "<i2").reshape(2, 3)
        np.testing.assert_array_equal(np.sign(steps), np.sign(W.T.numpy()))


def test_only_weights_of_live_inputs_count_as_removed() -> None:
    choice = Choice("digits_mlp", ("fc1",), methods=("lobs",), n=200)
    (told,) = TASKS["removals"](View(choice).request("removals", neuron=3), BENCH)
    problem, result = BENCH.solved(choice.plan(), choice.solving("lobs"), "fc1")
    live = [i for i in range(65) if bool((problem.X[i] != 0).any())]
    assert told["conditioning"]["dead"] == 65 - len(live) > 0
    assert told["removed"] == sum(float(result.U[i, 3]) == 0 for i in live)


def _asked() -> tuple[Any, Any, str]:
    choice = Choice("digits_mlp", ("fc2", "fc3"), methods=("nettrim",), n=200)
    return choice.plan(), choice.solving("nettrim"), "fc2"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("method", ["nettrim", "magnitude"])
def test_figures_draw_what_they_are_told(dark: bool, method: str) -> None:
    told = solved(method)
    view = View(Choice("digits_mlp", ("fc2", "fc3"), methods=(method,), n=200))
    bars = figures.histogram(told["weights"], method, "After", dark)
    counts = told["weights"]["pruned"]["counts"]
    assert np.nansum(bars.data[1].y) == sum(counts)
    lines = figures.spectrum(told["weights"], method, "After", dark)
    assert list(lines.data[0].y) == told["weights"]["trained"]["singular"]
    (found,) = TASKS["neuron"](view.request("neuron", neuron=4), BENCH)
    one = found["neuron"]
    drawn = neuron_figures.neuron(one, method, "After", dark)
    before = next(trace for trace in drawn.data if trace.name == "before")
    assert sorted(before.y) == pytest.approx(sorted(one["samples"]["trained"]))
    assert list(before.y) == sorted(before.y)
    tube = [trace for trace in drawn.data if trace.fill == "tonexty"][-1]
    half = one["constraints"]["half_width"]
    on = sorted(c for c, flag in zip(one["samples"]["center"], one["samples"]["on"], strict=True) if flag)
    assert list(tube.y) == pytest.approx([c + half for c in on])
    marks = [y for trace in drawn.data if trace.mode == "markers" for y in trace.y]
    assert sorted(marks) == pytest.approx(sorted(one["samples"]["pruned"]))
    over = [trace for trace in drawn.data if trace.name == "After, above V"]
    assert bool(over) == (one["constraints"]["over"] > 1e-3 * one["constraints"]["radius"])


def test_the_convergence_figure_has_the_tolerance_and_leaves_out_what_has_no_logarithm() -> None:
    iterates = [{"iteration": k, "gap": g, "violation": v} for k, g, v in ((20, -0.1, 0.5), (40, 0.01, 0.0))]
    drawn = solving.convergence(iterates, 1e-3, {"gap": 1e-9, "violation": 0.0}, False)
    gap, _, violation, _ = drawn.data
    assert list(gap.y) == [None, 0.01]
    assert list(violation.y) == [0.5, None]
    assert drawn.layout.shapes[0].y0 == 1e-3


def test_the_removals_figure_marks_the_step() -> None:
    view = View(Choice("digits_mlp", ("fc2", "fc3"), methods=("lobs",), n=200))
    (told,) = TASKS["removals"](view.request("removals", neuron=4), BENCH)
    assert 0 < len(told["classic"]) <= MOST_REMOVALS
    drawn = solving.removals({way: told[way] for way in ("classic", "exact")}, "exact", 7, told["removed"], False)
    mark = drawn.data[-1]
    assert (mark.x[0], mark.y[0]) == (7, pytest.approx(told["exact"][6]["error"]))


# snippets


@pytest.mark.parametrize(
    "choice",
    [
        Choice("digits_mlp", ("fc2", "fc3"), methods=("nettrim",), n=200),
        Choice("digits_mlp", ("fc2", "fc3"), methods=("nettrim",), n=100, mode="cascade", layer="fc3",
               settings={"cascade.gamma": 1.5, "scale.fc2": 2.0}),
        Choice("digits_mlp", ("fc2", "fc3"), 0.2, ("magnitude_global",), n=200, layer="fc3"),
    ],
    ids=["parallel", "cascade", "joint"],
)  # fmt: skip
def test_snippets_give_the_pages_numbers(choice: Choice) -> None:
    view = View(choice)
    (told,) = TASKS["lens"](view.of_layer(), BENCH)
    (one,) = TASKS["neuron"](view.request("neuron", neuron=2), BENCH)
    pruned = told["weights"]["pruned"]
    count = sum(pruned["counts"]) + pruned["zeros"]
    assert f"after: {pruned['zeros']:,} of {count:,} weights are zero, l1 {pruned['l1']:.4g}" in printed(
        snippets.weights(choice)
    )
    assert f"after: largest {pruned['singular'][0]:.3g}" in printed(snippets.spectrum(choice))
    assert f"after: dead inputs {len(pruned['dead_inputs'])}" in printed(snippets.dead(choice))
    held, kept = one["neuron"]["constraints"], one["neuron"]["weights"]
    said = printed(snippets.neuron(choice, 2))
    assert f"keeps {kept['count']} of {kept['inputs']} weights" in said
    assert f"tube +-{held['half_width']:.4g}" in said
    for name, told_sum in one["sums"].items():
        said = printed(snippets.spelled_out(choice, 2, name))
        assert f"sum {told_sum['before']:.4g} -> {told_sum['after']:.4g}" in said


def test_the_solvers_snippets_give_the_pages_numbers() -> None:
    choice = Choice("digits_mlp", ("fc3",), methods=("nettrim",), n=100)
    iterates = list(TASKS["convergence"](View(choice).request("convergence"), BENCH))
    assert iterates[-1]["certified"]
    lines = printed(snippets.convergence(choice)).splitlines()
    assert len(lines) == len(iterates) + 1
    assert lines[-2].split()[0] == str(iterates[-1]["iteration"])
    obs = Choice("digits_mlp", ("fc3",), methods=("exactobs",), n=100)
    (told,) = TASKS["removals"](View(obs).request("removals", neuron=1), BENCH)
    lines = printed(snippets.removals(obs, 1, True)).splitlines()
    assert [line.split()[1] for line in lines[:-1]] == [f"w_{step['index']}" for step in told["exact"]]
    assert "Conditioning(" in lines[-1]
    ours, second = re.findall(r"[\d.]+(?:e[-+]\d+)?", printed(snippets.check(choice)).replace("l1", ""))
    assert float(ours) == pytest.approx(float(second), rel=1e-3)
    assert (snippets.MOST_ITERATIONS, snippets.MOST_REMOVALS) == (MOST_ITERATIONS, MOST_REMOVALS)


# a real browser


@pytest.mark.long
def test_a_deep_link_shows_the_layer_and_its_charts(page: Page) -> None:
    browsed(page, "/layer?model=digits_mlp&layers=fc2,fc3&methods=nettrim&n=200&neuron=3")
    expect(page.get_by_role("heading", name="One sum, spelled out")).to_be_visible(timeout=180_000)
    for key in ("weights", "histogram", "spectrum", "neuron"):
        expect(page.locator(f".st-key-{key} .js-plotly-plot").first).to_be_visible(timeout=30_000)
    expect(page.locator("h1")).to_have_count(1)
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_timeout(500)
    assert page.evaluate("() => document.querySelector('.stMain').scrollWidth <= window.innerWidth")
    page.get_by_role("button", name="Watch it converge").click()
    expect(page.get_by_text(re.compile(r"Certified after \d+ iterations"))).to_be_visible(timeout=180_000)

"""The pages as Streamlit runs them, without a browser: every model and method, links, settings, states."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from typing import Any

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_cache import populate_hash_if_needed
from streamlit.testing.v1 import AppTest

from nettrim_core.bundle import sample_names
from nettrim_core.cascade import Cascade
from nettrim_core.methods import METHODS, NetTrim, titled
from nettrim_core.plan import Plan, method_key
from nettrim_core.record import Point
from nettrim_core.tasks.sweeps import solve
from pages import axes, curves, session, store, words
from pages.state import Choice
from tests.conftest import unfolded


def opened(app: AppTest, **query: str) -> AppTest:
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def run_until(app: AppTest, awaited: str) -> None:
    """Look again, as the page itself does, until a text is there."""
    deadline = time.monotonic() + 240
    while awaited not in text(app):
        assert time.monotonic() < deadline, f"{awaited!r} did not come"
        time.sleep(0.2)
        app.run()
        assert not app.exception


def choice(app: AppTest) -> Choice:
    return app.session_state["choice"]


@pytest.mark.parametrize("model", sample_names())
def test_every_model_shows_its_stored_sweep_at_once(app: AppTest, model: str) -> None:
    stored = ("nettrim", "lobs", "exactobs", "magnitude", "magnitude_refit")
    opened(app, model=model, methods=",".join(stored))
    for name in stored:
        assert f"**{titled(name)}** sets" in text(app)
    assert "not solved here yet" not in text(app)
    assert not [b for b in app.button if b.key == "cancel"]
    assert app.get("bidi_component")


@pytest.mark.parametrize("mode", ["parallel", "cascade"])
def test_the_sentence_says_what_the_stored_report_says(app: AppTest, mode: str) -> None:
    opened(app, model="digits_mlp", eps="0.1097", mode=mode)
    bundle = store.bundle_of("digits_mlp")
    here = choice(app)
    for name in ("nettrim", "lobs"):
        point = store.points().get(bundle, here.plan(), curves.curve_key(here, name), 0.1097)
        assert isinstance(point, Point)
        assert f"{100 * point.report.sparsity:.1f}\u00a0%" in text(app)
        assert words.sentence(point) in text(app)


def test_without_labels_the_chart_shows_what_changes(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    get = store.Points.get

    def unjudged(self: store.Points, *key: Any) -> Point | None:
        point = get(self, *key)
        if point is None:
            return None
        report = dataclasses.replace(point.report, accuracy=None, accuracy_before=None, test_samples=0)
        return dataclasses.replace(point, report=report)

    monkeypatch.setattr(store.Points, "get", unjudged)
    opened(app, model="digits_mlp", match="accuracy")
    assert "This data has no labels" in text(app)
    assert "**Net-Trim** sets" in text(app)
    assert "right" not in next(m.value for m in app.markdown if "**Net-Trim** sets" in m.value)
    sent = json.loads(app.get("bidi_component")[0].proto.json)
    assert "response" in sent["y"]["title"]
    assert all(point is not None for series in sent["series"] for point in series["curve"])


def test_a_bad_link_is_shown_with_a_word_and_mended(app: AppTest) -> None:
    opened(app, model="digits_mlp", eps="9", methods="nettrim,zzz")
    warnings = "\n".join(warning.value for warning in app.warning)
    assert "eps = 9" in warnings
    assert "methods = zzz" in warnings
    assert app.query_params["eps"] == "0.1097"
    assert app.query_params["methods"] == "nettrim"
    assert set(app.query_params) >= {"model", "layers", "eps", "methods", "mode", "seed", "n"}


def test_choosing_writes_the_link(app: AppTest) -> None:
    opened(app)
    app.selectbox(key="w_model").set_value("digits_mlp").run()
    assert not app.exception
    assert app.query_params["model"] == "digits_mlp"
    assert app.query_params["layers"] == "fc1,fc2,fc3"
    assert choice(app).layers == ("fc1", "fc2", "fc3")


@pytest.mark.parametrize("empty", ["layers", "methods"])
def test_nothing_chosen_is_said_and_the_app_stays_up(app: AppTest, empty: str) -> None:
    opened(app, model="digits_mlp")
    app.session_state["choice"] = dataclasses.replace(choice(app), **{empty: ()})
    app.run()
    assert not app.exception
    assert any(f"Pick at least one {empty[:-1]}" in info.value for info in app.info)


def test_the_form_builds_itself_from_the_settings(app: AppTest) -> None:
    opened(app, model="digits_mlp", methods="nettrim,exactobs", mode="cascade")
    labels = {number.label for number in app.number_input}
    assert {"Net-Trim: tol", "Exact OBS: damping", "Cascade: gamma", "Cascade: kappa"} <= labels
    assert "L-OBS: damping" not in labels


def test_a_changed_setting_is_another_problem_and_is_solved_anew(app: AppTest) -> None:
    opened(app, model="digits_mlp", methods="magnitude_refit", layers="fc3", n="200")
    app.number_input(key="w_magnitude_refit.damping").set_value(0.01).run()
    assert not app.exception
    assert app.query_params["magnitude_refit.damping"] == "0.01"
    run_until(app, "**Magnitude + refit** sets")


def test_export_offers_what_was_checked(app: AppTest) -> None:
    opened(app, model="digits_mlp", methods="exactobs", eps="0.2")
    app.switch_page("pages/export.py").run()
    assert not app.exception
    app.button(key="prepare").click().run()
    run_until(app, "was loaded again with strict=True")
    assert "was loaded again with strict=True" in text(app)
    assert len(app.get("download_button")) == 5  # weights, report, recipe, all of them, and the notebook
    assert any("test samples" in metric.label for metric in app.metric)


def test_a_control_is_set_only_when_it_shows_something_else(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """To set it takes back a pick that has not arrived yet."""
    monkeypatch.setattr(session, "STALE", 60.0)

    def is_set() -> list[bool]:
        app.run()
        elements = [app.selectbox(key="w_model"), app.multiselect(key="w_methods"), *app.get("button_group")]
        return [element.proto.set_value for element in elements if element.key in ("w_model", "w_methods", "w_layers")]

    opened(app, model="digits_mlp", layers="fc2,fc3")
    assert is_set() == [True] * 3  # for a moment: the browser may have missed it
    monkeypatch.setattr(session, "STALE", 1e-9)
    assert is_set() == [False] * 3
    app.session_state["choice"] = dataclasses.replace(app.session_state["choice"], layers=("fc1",))
    assert is_set() == [False, False, True]
    assert app.session_state["w_layers"] == ["fc1"]


def test_card_and_code_are_there(app: AppTest) -> None:
    opened(app, model="lenet_300_100")
    assert "CC BY-SA 3.0" in text(app)
    assert sum("load_bundle" in code.value for code in unfolded(app).code) >= 4


def test_a_rough_point_is_said_to_be_one_and_gives_way_to_a_better_one() -> None:
    bundle = store.bundle_of("digits_mlp")
    plan = Plan("digits_mlp", ("fc2",), samples=200)
    rough, *_, final = solve(plan, [{"method": "nettrim", "settings": {}, "epsilons": [0.3]}], bundle)
    assert "an early answer" in words.sentence(rough)
    assert "certified: its weights" in words.sentence(final)
    held_points = store.Points()
    curve = method_key("nettrim", METHODS["nettrim"])

    def held() -> bool:
        point = held_points.get(bundle, plan, curve, 0.3)
        assert point is not None
        return point.report.rough

    held_points.add(bundle, plan, rough)
    assert held()
    held_points.add(bundle, plan, final)
    assert not held()
    held_points.add(bundle, plan, rough)
    assert not held()


def test_memory_is_stated_before_solving(app: AppTest) -> None:
    """For the chosen layers, the number that the report of the same layer gives."""
    opened(app, model="digits_mlp", layers="fc1")
    bundle = store.bundle_of("digits_mlp")
    network = Plan("digits_mlp", ("fc1",), None, 1000, 0).network(bundle)
    (layer,) = network.selected
    stated = store.memory_of("digits_mlp", 1000, 2000)["fc1"]
    assert stated >= NetTrim().memory(network.problem(layer).size, len(os.sched_getaffinity(0))) > 0
    assert f"{axes.megabytes(stated)} for fc1." in text(app)


def test_no_element_is_sent_as_a_reference() -> None:
    """A reference outlives the run it belongs to in Streamlit's queue, and the page dies of it: see config.toml."""
    message = ForwardMsg()
    message.delta.new_element.markdown.body = "a" * 10_000_000
    populate_hash_if_needed(message)
    assert not message.metadata.cacheable


def test_settings_are_lists_switches_and_numbers(app: AppTest) -> None:
    opened(app, model="digits_mlp", methods="exactobs", mode="cascade", layers="fc3", n="200")
    app.selectbox(key="w_exactobs.pattern").set_value("2:4").run()
    app.toggle(key="w_cascade.dense").set_value(False).run()
    assert not app.exception
    assert app.query_params["exactobs.pattern"] == "2:4"
    assert app.query_params["cascade.dense"] == "False"
    assert choice(app).plan().cascade == Cascade(dense=False)
    run_until(app, "**Exact OBS** sets")


def test_patches_are_offered_where_there_are_convolutions(app: AppTest) -> None:
    opened(app, model="mnist1d_conv", methods="magnitude", patches="500")
    app.number_input(key="w_patches").set_value(700).run()
    assert app.query_params["patches"] == "700"
    run_until(app, "**Magnitude** sets")
    assert choice(app).plan().patches == 700
    app.selectbox(key="w_model").set_value("digits_mlp").run()
    assert not [box for box in app.number_input if box.key == "w_patches"]


def test_batch_norms_and_remarks_are_told_once(app: AppTest) -> None:
    opened(app, model="mnist1d_conv", methods="lobs,magnitude", eps="0.1097")
    assert "batch norms were measured again after pruning" in text(app)
    assert text(app).count("norm1, norm2**: not pruned. Batch norm: it is folded") == 1


def test_what_a_control_showed_a_moment_ago_does_not_undo_a_preset_or_a_pin(app: AppTest) -> None:
    """A page that looks again sends what its controls showed until they follow."""
    opened(app, model="digits_mlp", eps="0.1097", layers="fc1,fc2,fc3", methods="lobs")
    app.button(key="pin").click().run()
    app.button(key="preset_Exact").click().run()
    exact = choice(app).eps
    app.number_input(key="w_eps").set_value(0.1097).run()
    assert choice(app).eps == exact
    app.pills(key="w_layers").set_value(["fc2", "fc3"]).run()
    app.button(key="recall_0").click().run()
    app.pills(key="w_layers").set_value(["fc2", "fc3"]).run()
    assert choice(app).layers == ("fc1", "fc2", "fc3")
    app.pills(key="w_layers").set_value(["fc1"]).run()  # nothing that it has shown
    assert choice(app).layers == ("fc1",)


def test_a_control_may_go_back_to_what_it_said(app: AppTest) -> None:
    opened(app, model="digits_mlp", eps="0.1097", methods="lobs")
    for layers in (["fc2"], ["fc1", "fc2", "fc3"], ["fc2"]):
        app.pills(key="w_layers").set_value(layers).run()
        assert choice(app).layers == tuple(layers)
    app.button(key="preset_Exact").click().run()
    app.session_state["left"] = [(before, when - 60, by) for before, when, by in app.session_state["left"]]
    app.number_input(key="w_eps").set_value(0.1097).run()  # long after
    assert choice(app).eps == 0.1097

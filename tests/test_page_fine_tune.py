"""The Fine-tune page: its tasks, what a visitor keeps of them, its words and charts, and the page itself."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import itertools
import json
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from playwright.sync_api import Page, expect
from safetensors.torch import load, load_file
from streamlit.testing.v1 import AppTest
from torch import nn

from nettrim_core import Training, load_bundle, masks_of, prune
from nettrim_core.export import packed, unpacked
from nettrim_core.figures import fine_tune as figures
from nettrim_core.finetune import Epoch
from nettrim_core.report import wilson
from nettrim_core.worker import serve
from pages import retrainings, snippets_fine_tune, work
from pages import words_fine_tune as words
from pages.retrainings import Best, Retraining, Retrainings
from pages.state import Choice, Facts, Rounds, parse
from tests.browsing import opened, settled

LAYERS = ("fc1", "fc2", "fc3")
CHOICE = Choice(
    "digits_mlp", LAYERS, 0.5, ("magnitude", "lobs"), n=200, settings={"train.epochs": 6, "train.rate": 0.6}
)


def answers(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What the worker says, as the page gets it."""
    found = [json.loads(line) for line in serve([json.dumps(request)])]
    assert found.pop() == {"done": True}
    return found


def plain_digits() -> nn.Module:
    """The network of digits_mlp in plain torch."""
    model = nn.Sequential()
    for i, (a, b) in enumerate([(64, 100), (100, 50), (50, 10)], 1):
        model.add_module(f"fc{i}", nn.Linear(a, b))
        if i < 3:
            model.add_module(f"relu{i}", nn.ReLU())
    return model


@torch.no_grad()
def right(weights: bytes, rows: tuple[torch.Tensor, torch.Tensor]) -> float:
    model = plain_digits()
    model.load_state_dict(load(weights), strict=True)
    return float((model(rows[0]).argmax(1) == rows[1]).double().mean())


# the tasks


@pytest.fixture(scope="module")
def tuned() -> list[dict[str, Any]]:
    return answers(retrainings.tune_request(CHOICE, CHOICE.methods))


@pytest.mark.parametrize("name", CHOICE.methods)
def test_each_best_epoch_brings_weights_that_are_what_it_says(tuned: list[dict[str, Any]], name: str) -> None:
    bundle = load_bundle("digits_mlp")
    pruned, report = prune(
        bundle.model, bundle.calibration_sample(200), CHOICE.solving(name), LAYERS, test=bundle.validation,
        max_patches=CHOICE.patches,
    )  # fmt: skip
    masks = masks_of(pruned, LAYERS)
    mine = [answer for answer in tuned if answer["method"] == name]
    assert [next(iter(set(answer) & {"report", "epoch", "test"})) for answer in mine] == [
        "report",
        *7 * ["epoch"],
        "test",
    ]
    assert mine[0]["report"]["accuracy"] == report.accuracy
    lowest, last = float("inf"), b""
    for answer in mine[1:-1]:
        epoch = answer["epoch"]
        assert ("weights" in answer) == epoch["best"] == (epoch["validation_loss"] < lowest)
        if epoch["best"]:
            lowest, last = epoch["validation_loss"], base64.b64decode(answer["weights"])
            weights = load(last)
            assert all(not bool(weights[key][~mask].any()) for key, mask in masks.items())
            assert answer["zeros"] == sum(layer.weight_zeros for layer in report.layers) > 1000
            assert right(last, bundle.validation) == pytest.approx(epoch["validation_accuracy"], abs=1e-12)
    assert not all(answer["epoch"]["best"] for answer in mine[1:-1])  # the rate is large enough to fail at times
    test = mine[-1]["test"]
    assert test["value"] == pytest.approx(right(last, bundle.test), abs=1e-12)
    assert (test["low"], test["high"]) == pytest.approx(wilson(test["value"], 500))
    assert test["samples"] == 500
    request = {"task": "judge", "bundle": "digits_mlp", "weights": base64.b64encode(last).decode()}
    assert answers(request) == [{"test": test}]


def test_rounds_take_more_and_more_and_begin_where_the_last_one_ended() -> None:
    choice = dataclasses.replace(CHOICE.with_setting("rounds.number", 3), methods=("exactobs",))
    found = answers(retrainings.rounds_request(choice))
    targets = choice.of("rounds").targets
    bundle, before = load_bundle("digits_mlp"), None
    for number, target in enumerate(targets, 1):
        mine = [answer for answer in found if answer["round"] == number]
        report, best = mine[0]["report"], [answer for answer in mine if "weights" in answer][-1]
        gone = sum(layer["weight_zeros"] + layer["bias_zeros"] for layer in report["layers"])
        size = sum(layer["weights"] + layer["biases"] for layer in report["layers"])
        assert gone == pytest.approx(target * size, abs=2)
        assert best["zeros"] == sum(layer["weight_zeros"] for layer in report["layers"])
        assert before in (None, report["accuracy_before"])
        before = best["epoch"]["validation_accuracy"]
        assert mine[-1]["test"]["value"] == pytest.approx(
            right(base64.b64decode(best["weights"]), bundle.test), abs=1e-12
        )


def test_a_rate_that_is_far_too_large_is_told_and_leaves_the_pruned_network() -> None:
    choice = CHOICE.with_setting("train.rate", 9.9).with_setting("train.epochs", 12)
    run = Retraining()
    for answer in answers(retrainings.tune_request(choice, ["magnitude"])):
        run.take(answer)
    assert run.best is not None
    assert run.report is not None
    assert run.best.epoch.number == 0
    assert run.epochs[-1].validation_loss is None or run.epochs[-1].validation_loss > 10
    assert "smaller learning rate" in words.trouble(run) + words.story("magnitude", run)


def test_what_is_packed_is_looked_at() -> None:
    model = plain_digits()
    masks = {"fc1.weight": torch.ones(100, 64, dtype=torch.bool)}
    again = unpacked(plain_digits(), packed(model, masks))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in again.state_dict().items())
    masks["fc1.weight"][3, 5] = False
    with pytest.raises(ValueError, match=r"fc1\.weight has weights that are not zero"):
        packed(model, masks)


@pytest.mark.parametrize(("number", "zeros"), [(4, 0.9), (1, 0.5), (3, 0.99), (5, 0.0)])
def test_each_round_takes_the_same_part_of_what_is_left(number: int, zeros: float) -> None:
    targets = Rounds(number, zeros).targets
    left = [1.0, *(1 - target for target in targets)]
    assert len(targets) == number
    assert targets[-1] == pytest.approx(zeros, abs=1e-4)
    parts = [after / before for before, after in itertools.pairwise(left)]
    assert parts == pytest.approx([parts[0]] * number, abs=0.01)


# what a visitor keeps


def epoch(number: int, loss: float | None, accuracy: float = 0.9, best: bool = True) -> dict[str, Any]:
    return dataclasses.asdict(Epoch(number, 1.0, loss, accuracy, best, 0.1))  # type: ignore[arg-type]


def with_weights(number: int, loss: float, weights: bytes) -> dict[str, Any]:
    return {"epoch": epoch(number, loss), "weights": base64.b64encode(weights).decode(), "zeros": 7}


def test_the_best_stays_until_it_is_reached_again() -> None:
    held = Retrainings()
    run = held.begin("a")
    run.take(with_weights(0, 2.0, b"zero"))
    run.take(with_weights(1, 1.0, b"one"))
    run.take({"epoch": epoch(2, 3.0, best=False)})
    run.take({"test": {"value": 0.5}})
    assert run.ended
    again = held.begin("a")
    assert again.epochs == []
    assert not again.ended
    assert again.best is run.best
    again.take(with_weights(0, 2.0, b"other"))
    assert again.best is not None
    assert again.best.weights == b"one"
    assert again.test == {"value": 0.5}
    again.take(with_weights(1, 1.0, b"one"))
    assert again.best is not run.best
    assert again.test is None
    again.take({"test": {"value": 0.6}})
    assert again.test == {"value": 0.6}


def test_a_test_figure_of_other_weights_is_not_taken() -> None:
    run = Retraining(best=Best(Epoch(3, 0.1, 0.1, 0.9, True, 0.1), b"older", 7))
    run.take(with_weights(0, 2.0, b"zero"))
    run.take({"test": {"value": 0.5}})
    assert run.test is None


def test_the_oldest_go_first() -> None:
    held = Retrainings()
    for k in range(retrainings.KEPT + 3):
        held.begin(str(k))
    assert held.get("2") is None
    assert held.get("3") is not None
    assert len(held.held) == retrainings.KEPT


# words


def run_of(dense: float, pruned: float, after: float, number: int = 3) -> Retraining:
    bundle = load_bundle("digits_mlp")
    _, report = prune(bundle.model, bundle.calibration_sample(100), "magnitude", test=bundle.validation)
    report = dataclasses.replace(report, accuracy=pruned, accuracy_before=dense, test_samples=1000)
    epochs = [Epoch(0, 1.0, 1.0, pruned, True, 0.1), Epoch(3, 0.5, 0.5, after, True, 0.1)]
    best = epochs[0] if number == 0 else epochs[1]
    return Retraining(report, epochs, Best(best, b"", sum(layer.weight_zeros for layer in report.layers)))


@pytest.mark.parametrize(
    ("accuracies", "says"),
    [
        ((0.98, 0.90, 0.95), "brought back 5.0 of the 8.0 points that were lost: 95.0"),
        ((0.98, 0.90, 0.98), "brought back all 8.0 points that were lost: 98.0"),
        ((0.98, 0.90, 0.985), "brought back all 8.0 points that were lost, and 0.5 points more: 98.5"),
        ((0.98, 0.98, 0.99), "Nothing was lost, and retraining still added 1.0 point: 99.0"),
        ((0.98, 0.90, 0.90), "as many are right as before it: 90.0"),
        ((0.98, 0.90, 0.89), "1.0 point fewer are right: 89.0"),
    ],
)
def test_what_came_back_is_said_in_points(accuracies: tuple[float, float, float], says: str) -> None:
    text = words.story("lobs", run_of(*accuracies))
    assert says in text
    assert "of 1,000 validation samples" in text
    assert text.endswith("at epoch 3.")


def test_the_words_of_the_other_states() -> None:
    assert words.story("lobs", Retraining()) == "**L-OBS** has not been pruned yet."
    run = run_of(0.98, 0.9, 0.95, 0)
    assert "the pruned network stays as it was" in words.story("lobs", run)
    assert run.report is not None
    assert run.best is not None
    assert "before and after retraining" in words.zeros(run.report, run.best)
    assert "are after" in words.zeros(run.report, dataclasses.replace(run.best, zeros=run.best.zeros + 1))
    assert words.ending(run, 10) == ""
    run.ended = True
    assert "after 3 epochs" in words.ending(run, 10)
    assert words.ending(run, 3) == ""
    assert words.doing("L-OBS", Retraining(), 9) == "L-OBS: pruning first"
    assert words.doing("L-OBS", run, 9) == "L-OBS: 3 of at most 9 epochs done"
    slow = dataclasses.replace(run.epochs[-1], seconds=12.3)
    assert words.doing("L-OBS", Retraining(run.report, [slow]), 9).endswith("epochs done, about 12 seconds each")
    assert "epoch 0, before any retraining, 90.0" in words.best(run.best, 1000, True)


# charts


def test_the_charts_show_every_epoch_and_ring_the_best() -> None:
    epochs = [Epoch(k, 1 / (k + 1), 2 / (k + 1), 0.5 + 0.1 * k, k < 3, 0.1) for k in range(4)]
    curves = [
        figures.Curve(name, name, epochs, epochs[2], 0.5) for name in ("nettrim", "lobs")
    ]  # both end at one height: their labels would lie on each other
    for figure, key in ((figures.accuracies(curves, 0.97, 10, False), "validation_accuracy"),
                        (figures.losses(curves, 10, True), "validation_loss")):  # fmt: skip
        drawn = [trace for trace in figure.data if trace.mode == "lines+markers"]
        assert [list(trace.y) for trace in drawn] == 2 * [[getattr(e, key) for e in epochs]]
        assert len({(trace.line.color, trace.line.dash, trace.marker.symbol) for trace in drawn}) == 2
        rings = [trace for trace in figure.data if trace.mode == "markers"]
        assert [(trace.x[0], trace.y[0]) for trace in rings] == 2 * [(2, getattr(epochs[2], key))]
        heights: dict[float, list[float]] = {}
        for note in figure.layout.annotations:
            heights.setdefault(note.x, []).append(note.y)
        low, high = figure.layout.yaxis.range
        for ys in heights.values():
            assert all(b - a > 0.07 * (high - low) for a, b in itertools.pairwise(sorted(ys)))
        assert max(figure.layout.xaxis.tickvals) == 10
    for ys in ([0.5], [0.5, 0.5, 0.51], [0.0, 0.0], [1.0, 1.0, 1.0]):
        placed = figures._apart(ys, [0.1] * len(ys), 0.0, 1.0)
        assert all(b - a > 0.0999 for a, b in itertools.pairwise(placed))
        assert 0.05 - 1e-9 <= placed[0] <= placed[-1] <= 0.95 + 1e-9
    assert figures._apart([0.2, 0.5, 0.5, 0.9], [0.1] * 4, 0.0, 1.0) == pytest.approx([0.2, 0.45, 0.55, 0.9])
    levels = [t.y[0] for t in figures.accuracies(curves, 0.97, 10, False).data if t.mode == "lines"]
    assert levels == [0.5, 0.5, 0.97]


def test_a_chart_with_no_number_yet_is_a_chart() -> None:
    broken = [Epoch(0, None, None, 0.1, True, 0.1)]  # type: ignore[arg-type]
    curve = figures.Curve("nettrim", "Net-Trim", broken, None, None)
    assert len(figures.losses([curve], 1, False).data) == 2
    assert figures.accuracies([curve], None, 10_000, False).layout.xaxis.tickvals[1] == 1000


def test_the_saw_goes_down_and_up() -> None:
    figure = figures.rounds("nettrim", 0.98, [(0.5, 0.9, 0.97), (0.8, 0.7, None)], False)
    assert list(zip(figure.data[0].x, figure.data[0].y, strict=True)) == [
        (0, 0.98),
        (0.5, 0.9),
        (0.5, 0.97),
        (0.8, 0.7),
    ]
    assert [note.text for note in figure.layout.annotations] == ["after pruning", "after retraining", "dense"]


# the code


def printed(source: str) -> str:
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(source, "<snippet>", "exec"), {})
    return output.getvalue()


def test_the_code_of_the_retraining_gives_the_pages_figures(tuned: list[dict[str, Any]]) -> None:
    said = printed(snippets_fine_tune.tuned(CHOICE, CHOICE.methods))
    wanted = []
    for answer in tuned:
        if "epoch" in answer:
            note = ", the best so far" if answer["epoch"]["best"] else ""
            wanted.append(
                f"  epoch {answer['epoch']['number']}: {answer['epoch']['validation_accuracy']:.1%} right{note}"
            )
        elif "test" in answer:
            wanted.append(f"  {answer['test']['value']:.2%} of the test samples right")
    assert [line for line in said.splitlines() if line.startswith("  ")] == wanted


def test_the_code_of_the_rounds_gives_the_pages_figures() -> None:
    choice = dataclasses.replace(CHOICE.with_setting("rounds.number", 2), mode="cascade", methods=("lobs",))
    wanted = []
    for answer in answers(retrainings.rounds_request(choice)):
        if "report" in answer:
            report = answer["report"]
            found = f"{report['sparsity']:.1%} zeros, {report['accuracy']:.1%} right"
            wanted.append(f"round {answer['round']}: {found}")
        elif "weights" in answer:
            wanted.append(f"  epoch {answer['epoch']['number']}: {answer['epoch']['validation_accuracy']:.1%} right")
    assert printed(snippets_fine_tune.rounds(choice)).splitlines() == wanted


# the page


def arrive(app: AppTest, **query: str) -> AppTest:
    for name, value in ({"model": "digits_mlp", "methods": "magnitude", "eps": "0.5", "n": "200"} | query).items():
        app.query_params[name] = value
    app.switch_page("pages/fine_tune.py").run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    return "\n".join(element.value for element in app.markdown)


def run_until(app: AppTest, awaited: str) -> None:
    """Look again, as the page itself does, until a text is there."""
    deadline = time.monotonic() + 240
    while not re.search(awaited, text(app)):
        assert time.monotonic() < deadline, f"{awaited!r} did not come"
        time.sleep(0.2)
        app.run()
        assert not app.exception


def keys(app: AppTest) -> set[str]:
    return {button.key for button in app.button if not button.disabled}


def held(app: AppTest) -> list[Retraining]:
    return list(app.session_state["retrainings"].held.values())


def test_nothing_starts_by_itself(app: AppTest) -> None:
    arrive(app)
    assert {"start", "start_rounds"} <= keys(app)
    assert "cancel" not in keys(app)
    assert len(app.get("download_button")) == 1  # the notebook
    labels = {number.label for number in app.number_input}
    assert {
        words.LABELS[f"train.{f.name}"] for f in dataclasses.fields(Training) if not isinstance(f.default, bool)
    } <= labels


@pytest.mark.parametrize("empty", ["layers", "methods"])
def test_nothing_chosen_is_said(app: AppTest, empty: str) -> None:
    arrive(app)
    app.session_state["choice"] = dataclasses.replace(app.session_state["choice"], **{empty: ()})
    app.run()
    assert not app.exception
    assert any(f"Pick at least one {empty[:-1]}" in info.value for info in app.info)


def test_all_methods_are_retrained_in_turn_and_the_best_is_offered(app: AppTest) -> None:
    arrive(app, methods="magnitude,lobs", **{"train.epochs": "3"})
    app.button(key="start_all").click().run()
    run_until(app, "This is the figure to quote")
    run_until(app, r"\*\*L-OBS\*\*: with .*(Retraining|No epoch had)")
    deadline = time.monotonic() + 240
    while not all(run.ended for run in held(app)) and time.monotonic() < deadline:
        time.sleep(0.1)
    app.run()
    assert "**Best: " in text(app)
    assert "start" not in keys(app)
    assert "Checked: " in text(app)
    assert len(app.get("plotly_chart")) == 2
    assert [run.ended for run in held(app)] == [True, True]


def test_a_cancelled_retraining_leaves_its_best_which_can_be_judged(app: AppTest) -> None:
    arrive(app, **{"train.epochs": "10000", "train.patience": "10000", "train.cosine": "False"})
    app.button(key="start").click().run()
    run_until(app, r"Best so far: epoch [1-9]")
    app.button(key="cancel").click().run()
    assert "Stopped. The epochs that came are shown" in text(app)
    assert {"start", "judge"} <= keys(app)
    assert "figure to quote" not in text(app)
    (run,) = held(app)
    assert run.best is not None
    app.button(key="judge").click().run()
    run_until(app, "figure to quote")
    assert run.test is not None
    assert run.test["value"] == pytest.approx(right(run.best.weights, load_bundle("digits_mlp").test), abs=1e-12)


def test_another_state_ends_the_work_and_coming_back_finds_what_came(app: AppTest) -> None:
    arrive(app, **{"train.epochs": "10000", "train.patience": "10000"})
    app.button(key="start").click().run()
    run_until(app, r"Best so far: epoch [1-9]")
    app.number_input(key="w_eps").set_value(0.2).run()
    assert "cancel" not in keys(app)
    assert app.query_params["eps"] == "0.2"
    assert "Best so far" not in text(app)
    app.number_input(key="w_eps").set_value(0.5).run()
    assert "Best so far" in text(app)
    assert "start" in keys(app)


def test_a_killed_worker_leaves_the_best(app: AppTest) -> None:
    arrive(app, **{"train.epochs": "10000", "train.patience": "10000"})
    app.button(key="start").click().run()
    run_until(app, r"Best so far: epoch [1-9]")
    (worker,) = work.pool().condition().pids
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 240
    while not app.error and time.monotonic() < deadline:
        time.sleep(0.1)
        app.run()
    assert "ended unexpectedly" in app.error[0].value
    assert "Best so far" in text(app)
    assert "resume" in keys(app)


def test_rounds_fill_a_table_and_each_has_its_weights(app: AppTest) -> None:
    arrive(app, **{"train.epochs": "2", "rounds.number": "2", "rounds.zeros": "0.8"})
    assert "55.3\u00a0% and 80.0\u00a0%" in text(app)
    app.button(key="start_rounds").click().run()
    run_until(app, "After 2 of 2 rounds with Magnitude")
    app.run()
    assert [run.ended for run in held(app)] == [True, True]
    assert [run.test is not None for run in held(app)] == [True, True]
    table = words.rounds_table((0.5528, 0.8), held(app))
    assert table.count("<tr>") == 3
    assert "start_rounds" not in keys(app)


def test_what_cannot_be_done_in_rounds_is_said(app: AppTest) -> None:
    arrive(app, methods="exactobs", **{"exactobs.pattern": "2:4"})
    app.button(key="start_rounds").click().run()
    deadline = time.monotonic() + 240
    while not app.error and time.monotonic() < deadline:
        time.sleep(0.1)
        app.run()
    assert "a budget needs" in app.error[0].value
    assert "resume" in keys(app)


def test_links_say_how_to_train_and_bad_ones_are_told() -> None:
    facts = {"digits_mlp": lambda: Facts(LAYERS, 1000)}
    query = {"model": ["digits_mlp"], "train.epochs": ["7"], "train.adam": ["True"], "rounds.zeros": ["0.95"]}
    choice, said = parse(query, facts)
    assert not said
    assert choice.of("train") == Training(epochs=7, adam=True)
    assert choice.of("rounds") == Rounds(zeros=0.95)
    assert parse({k: [v] for k, v in choice.to_query().items()}, facts) == (choice, [])
    choice, said = parse({"model": ["digits_mlp"], "train.epochs": ["0"], "rounds.number": ["many"]}, facts)
    assert choice.of("train") == Training()
    assert len(said) == 2


@pytest.mark.long
def test_two_epochs_then_cancel_and_the_file_of_the_best_loads(page: Page, tmp_path: Path) -> None:
    query = "model=digits_mlp&methods=magnitude&eps=0.5&n=200&train.epochs=10000&train.patience=10000"
    opened(page, f"/fine-tune?{query}")
    page.get_by_role("button", name="Retrain Magnitude", exact=True).click()
    expect(page.locator(".st-key-keep")).to_contain_text(
        re.compile(r"Best so far: epoch ([2-9]|\d\d)"), timeout=120_000
    )
    markers = page.locator(".st-key-accuracies .scatterlayer .trace").nth(1).locator(".point")
    expect(markers.nth(2)).to_be_attached(timeout=15_000)
    page.get_by_role("button", name=re.compile("^Cancel")).click()
    expect(page.get_by_text("Stopped. The epochs that came")).to_be_visible(timeout=30_000)
    settled(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Weights (model.safetensors)").click()
    download.value.save_as(tmp_path / "model.safetensors")
    model = plain_digits()
    model.load_state_dict(load_file(tmp_path / "model.safetensors"), strict=True)
    bundle = load_bundle("digits_mlp")
    choice = Choice("digits_mlp", LAYERS, 0.5, ("magnitude",))
    pruned, report = prune(bundle.model, bundle.calibration_sample(200), choice.solving("magnitude"), LAYERS)
    for name, mask in masks_of(pruned, LAYERS).items():
        assert not bool(model.get_parameter(name)[~mask].any())
    assert sum(layer.weight_zeros for layer in report.layers) > 1000
    assert not torch.equal(model.get_parameter("fc1.weight"), pruned.get_parameter("fc1.weight"))

"""Trade-offs, retraining and calibration sizes: what is compared is equal, and the words are what the numbers say."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.papers import calibration, document, recovered, robustness, tradeoff, tradeoffs, training, verdict
from benchmarks.papers.experiment import RESULTS, Cell, Measured
from nettrim_core import METHODS, load_bundle, masks_of

WHERE = {"data": "few", "network": "small", "draw": 0, "samples": 60}
GAINS = (0.1, 0.4)


@pytest.fixture(scope="module")
def reference() -> Iterator[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tradeoff, "GAINS", GAINS)  # of the path that counts are taken from
        yield _measured("nettrim", "tolerance")


def _measured(method: str, by: str, cascade: bool = False) -> dict[str, Any]:
    return tradeoff.measure(**WHERE, gains=GAINS, gains_retrained=GAINS[1:], method=method, by=by, cascade=cascade)


@pytest.mark.parametrize(("method", "cascade"), [("lobs", False), ("exactobs", True), (tradeoff.ITERATIVE, False)])
def test_layers_have_the_zeros_of_the_reference(reference: dict[str, Any], method: str, cascade: bool) -> None:
    for mine, theirs in zip(_measured(method, "layers", cascade)["points"], reference["points"], strict=True):
        assert mine["layers"] == pytest.approx(theirs["layers"], abs=1e-3), method
        assert mine["kept"] == pytest.approx(theirs["kept"], abs=1e-3)


def test_a_method_shares_the_zeros_of_the_reference_by_itself(reference: dict[str, Any]) -> None:
    for mine, theirs in zip(_measured("exactobs", "overall")["points"], reference["points"], strict=True):
        assert mine["kept"] == pytest.approx(theirs["kept"], abs=1e-3)
        assert mine["layers"] != pytest.approx(theirs["layers"], abs=1e-2)
        assert mine["error"] < theirs["error"]  # of a network that Net-Trim has shrunk


def test_only_some_gains_are_retrained_and_an_error_is_one_of_test_rows(reference: dict[str, Any]) -> None:
    first, second = reference["points"]
    assert "retrained" not in first
    assert second["retrained"] < second["error"]
    model, (X, labels) = training.trained("few", "small", 0), training.rows("few", "small")[2]
    with torch.no_grad():
        assert reference["dense"] == pytest.approx(float((model(X).argmax(1) != labels).double().mean()))


def test_the_first_draw_on_mnist_is_the_sample_of_the_studio() -> None:
    bundle = load_bundle("lenet_5")
    here = training.dense("mnist", "lenet_5", 0, 7)
    assert torch.equal(here.inputs, bundle.calibration_sample(7, 0))
    for mine, theirs in zip(here.model.parameters(), bundle.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    for name in ("lenet_5", "lenet_300_100"):
        fresh, known = training.untrained(name), load_bundle(name).model
        assert {key: value.shape for key, value in fresh.state_dict().items()} == {
            key: value.shape for key, value in known.state_dict().items()
        }


def test_the_parts_of_few_rows_do_not_overlap() -> None:
    seen = [row.numpy().tobytes() for X, _ in training.rows("few", "small") for row in X]
    assert len(set(seen)) == len(seen) == 3000


def test_a_retraining_ends_before_its_iterations_do_and_what_is_pruned_stays() -> None:
    model, _ = training.dense("few", "small", 0, 60).at(METHODS["magnitude"], {"fc1": 0.9})
    masks, validation = masks_of(model), training.rows("few", "small")[1]
    again, done = recovered.retrained(model, "few", "small", 31, 128, 1e-3)
    assert done == 24  # a pass over 1,000 rows is eight, and each is better than the one before
    assert all(not bool((masks_of(again)[name] & ~masks[name]).any()) for name in masks)
    assert training.error(again, validation) < training.error(model, validation)
    torn, done = recovered.retrained(model, "few", "small", 31, 128, 9.0)
    assert done == 0  # none of them
    assert training.error(torn, validation) == training.error(model, validation)


def test_the_papers_row_is_compared_with_the_method_that_is_nearest_to_the_dense_network() -> None:
    def cell(method: str, draw: int, dense: float, *rounds: tuple[float, float, int]) -> Measured:
        asked = {"network": "lenet_300_100", "draw": draw, "method": method, "cascade": False, "shares": "own",
                 "kept": list(recovered.PUBLISHED["lenet_300_100"][len(rounds) > 1].kept)}  # fmt: skip
        names = ("before", "after", "iterations")
        return Measured(asked, {
            "dense": dense, "rounds": [{"kept": 0.07} | dict(zip(names, one, strict=True)) for one in rounds],
        }, 1.0)  # fmt: skip

    shown = recovered.show([
        cell("exactobs", 0, 0.02, (0.025, 0.0210, 98)), cell("exactobs", 1, 0.01, (0.021, 0.0100, 490)),
        cell("lobs", 0, 0.02, (0.040, 0.0201, 490)), cell("lobs", 1, 0.01, (0.030, 0.0099, 490)),
        cell("lobs", 0, 0.02, (0.04, 0.03, 196), (0.09, 0.05, 98), (0.06, 0.0204, 0)),
    ])  # fmt: skip
    once, rounds = shown.says
    assert "Exact OBS is nearest to the dense network, +0.80 with 2.30 %, the paper +1.34 with 3.10 %" in once
    assert once.endswith("after it L-OBS, +0.00 after at most 490 iterations, the paper +0.06 after 510.")
    assert "L-OBS is nearest to the dense network, +4.00 with 6.00 %, the paper +0.67" in rounds
    assert "L-OBS, +0.04 after at most 294 iterations" in rounds
    assert "nearer: with at most 196 iterations a round, L-OBS is still +3.00 away when it is pruned for the" in rounds
    (apart,) = recovered.show([cell("lobs", 0, 0.02, (0.03, 0.02, 0)), cell("lobs", 1, 0.02, (0.03, 0.023, 0))]).says
    assert apart.endswith("That the paper is nearer then is less than what the draws differ by.")
    (worse,) = recovered.show([cell("lobs", 0, 0.02, (0.03, 0.03, 0)), cell("lobs", 1, 0.02, (0.03, 0.0301, 0))]).says
    assert worse.endswith("after 510. The paper is nearer.")
    assert [row[0] for row in shown.tables[0].rows] == ["Layer-wise OBS, the paper's", "Exact OBS", "L-OBS"]
    assert shown.tables[0].rows[2][5] == "+0.00"
    assert shown.tables[1].rows[1][2:] == ["2.00", "6.00", "2.04", "+0.04", "294"]


def _cell(method: str, by: str, draw: int, errors: dict[float, float], layers: dict[str, float]) -> Measured:
    asked: Cell = {
        "data": "mnist", "network": "lenet_300_100", "draw": draw, "samples": 1000, "method": method, "by": by,
        "cascade": False, "gains": list(errors), "gains_retrained": list(errors),
    }  # fmt: skip
    points = [
        {"gain": gain, "kept": 0.2 / (1 + gain), "layers": layers, "error": error, "retrained": 0.02 + error / 10}
        for gain, error in errors.items()
    ]
    return Measured(asked, {"dense": 0.02, "points": points, "seconds": 1.0}, 1.0)


LAYERS = {"conv1": 0.5, "fc1": 0.8, "fc2": 0.5}
PLANTED = [
    cell
    for draw, jitter in enumerate((-1e-4, 0.0, 1e-4))
    for cell in (
        _cell(
            "nettrim",
            "tolerance",
            draw,
            {0.1: 0.04 + jitter, 0.4: 0.20 + jitter},
            {"conv1": 0.5, "fc1": 0.8, "fc2": 0.5},
        ),
        _cell("exactobs", "tolerance", draw, {0.1: 0.05, 0.4: 0.2}, {"conv1": 0.4, "fc1": 0.9, "fc2": 0.5}),
        _cell("exactobs", "layers", draw, {0.1: 0.03 + 2 * jitter, 0.4: 0.08 + jitter}, {}),
        _cell("alps", "layers", draw, {0.1: 0.03 - jitter, 0.4: 0.09 + jitter}, {}),
        _cell("magnitude", "layers", draw, {0.1: 0.06 + jitter, 0.4: 0.58 + jitter}, {}),
    )
]


def test_words_say_who_is_first_and_who_cannot_be_told_from_it() -> None:
    found = verdict.content([{"name": "tradeoff_lenet_300_100", "cells": [cell.__dict__ for cell in PLANTED]}])
    sparsity, retraining, kind = found["shown"]["tables"]
    assert [row[2:7] for row in sparsity["rows"]] == [
        ["18.2%", "Exact OBS", "3.00", "ALPS", "4.00"],
        ["14.3%", "Exact OBS", "8.00", "", "20.00"],
    ]
    assert [row[-1] for row in sparsity["rows"]] == ["Magnitude, 6.00", "Magnitude, 58.00"]
    short, layers, _, smaller, span, *_ = found["shown"]["says"]
    assert short == (
        "In short, the most first places go to Exact OBS before retraining (2 of 2), to Exact OBS after retraining "
        "(2 of 2)."
    )
    assert "of 2 comparisons the least error is that of Exact OBS in 2." in layers
    assert "smaller than that of Magnitude in 2, Exact OBS in 0, ALPS in 0 of 2" in smaller
    assert "with 14.3% left 50.0." in span
    assert [row[-2:] for row in retraining["rows"]] == [["3.00", "0.30"], ["50.00", "5.00"]]
    assert kind["rows"] == [["Net-Trim", "1", "1", "1"], ["Exact OBS", "1.20", "0.50", "1.00"]]


def test_a_table_of_a_trade_off_says_what_its_cells_say() -> None:
    shown = tradeoffs.show(PLANTED)
    table = next(table for table in shown.tables if table.title == "Test error in percent, equal counts in each layer")
    assert [row[0] for row in table.rows] == ["Net-Trim", "Exact OBS", "ALPS", "Magnitude"]
    assert table.rows[3][2].startswith("58.00")
    assert table.links[1] == "model=lenet_300_100&methods=nettrim,exactobs&eps=0.4&n=1000&match=sparsity"
    assert shown.says[1].endswith("left, Exact OBS with 3.00 %, shared; with 14.3% left, Exact OBS with 8.00 %.")


def test_words_say_from_how_many_rows_on_calibration_helps() -> None:
    errors = {"exactobs": {10: 0.6, 1000: 0.03}, "lobs": {10: 0.7, 1000: 0.05}, "magnitude": {10: 0.5, 1000: 0.5}}
    cells = [
        Measured(
            {"method": name, "samples": size, "draw": draw, "network": "lenet_300_100", "data": "mnist"},
            {"error": error, "retrained": error / 2, "dense": 0.02}, 1.0,
        )
        for draw in range(3) for name, by_size in errors.items() for size, error in by_size.items()
    ]  # fmt: skip
    (sentence,), table = verdict.by_rows(cells)
    assert "with 10 the least error is Magnitude's with 50.0 %, with 1,000 Exact OBS's with 3.00 %" in sentence
    assert "From 1,000 rows on" in sentence
    assert [row[1] for row in table.rows] == ["Magnitude, 50.00", "Exact OBS, 3.00"]
    assert [row[3] for row in table.rows] == ["Magnitude, 25.00", "Exact OBS, 1.50"]


def test_more_rows_are_no_help_to_net_trim_where_they_are_none() -> None:
    def cells(most: float) -> list[Measured]:
        errors = {"nettrim": {10: 0.3, 100: 0.1, 1000: most}, "nettrim_refit": {10: 0.9, 100: 0.8, 1000: 0.2}}
        return [
            Measured({"method": name, "samples": size}, {"error": error, "retrained": error, "dense": 0.02}, 1.0)
            for name, by_size in errors.items() for size, error in by_size.items()
        ]  # fmt: skip

    said = calibration.show(cells(0.4)).says[-1]
    assert said.startswith("Net-Trim has 10.00 % with 100 rows and 40.00 % with 1,000: more rows")
    assert said.endswith("has 20.00 % there.")
    assert not any(said.startswith("Net-Trim has") for said in calibration.show(cells(0.05)).says)


def test_strong_noise_is_as_strong_as_the_input_or_stronger() -> None:
    pruned = {"nettrim": [0.9, 0.8, 0.7], "magnitude": [1.0, 0.5, 0.1]}
    found = {
        "dense": [1.0, 0.6, 0.4],
        "pruned": {
            name: [{"epsilon": 0.1, "sparsity": 0.5, "accuracy": accuracy}] for name, accuracy in pruned.items()
        },
    }
    asked = {"levels": [0.0, 1.0, 2.0], "names": list(pruned), "epsilons": [0.1], "network": "lenet_5"}
    cells = [Measured(asked, found, 1.0)]
    assert robustness.under_noise(cells, 0) == pytest.approx({"": 0.5, "nettrim": 0.75, "magnitude": 0.3})
    _, table = verdict.by_noise(cells)
    assert table.rows == [["lenet_5", "0.1", "50.0%", "Net-Trim, 75.0%", "Magnitude, 30.0%", "Magnitude, 30.0%"]]


def test_the_page_of_words_is_made_from_the_files(tmp_path: Path) -> None:
    words = verdict.content(document.documents())
    assert json.loads((RESULTS / "who_wins.json").read_text()) == json.loads(json.dumps(words))
    assert document.WINNERS.read_text(encoding="utf-8") == document.winners(words)

"""Results that are kept: never another answer, only a quicker one. And layers with epsilons of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nettrim_core import METHODS, Cascade, Magnitude, NetTrim, load_bundle, prune, sweep
from nettrim_core.dense import TOP, scaled
from nettrim_core.known import Known
from nettrim_core.network import Network
from nettrim_core.plan import Plan
from nettrim_core.problem import LayerResult
from nettrim_core.record import Point, Stored, load_points, save_points
from nettrim_core.subsets import figures, restored, subsets
from nettrim_core.tasks.sweeps import solve
from nettrim_core.workbench import Workbench
from tests.conftest import small_mlp


def timeless(point: Point) -> dict[str, Any]:
    data = point.report.to_dict()
    for layer in data["layers"]:
        del layer["seconds"]
    return data


@pytest.mark.parametrize("name", ["nettrim", "exactobs", "magnitude_global"])
def test_a_layer_taken_out_and_put_back_gives_what_a_fresh_run_gives(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, bundle = Workbench(), load_bundle("digits_mlp")
    curves = [{"method": name, "settings": {}, "epsilons": [0.4, 0.1]}]
    full = Plan("digits_mlp", ("fc2", "fc3"), samples=200)
    list(solve(full, curves, bundle, known=bench.known(full)))
    method = type(METHODS[name])
    if name != "magnitude_global":  # decided together: nothing of it holds for fewer layers
        monkeypatch.setattr(method, "refine", lambda *_: pytest.fail("solved again"))
    part = replace(full, layers=("fc3",))
    again = list(solve(part, curves, bundle, known=bench.known(part)))
    monkeypatch.undo()
    fresh = [point for point in solve(part, curves, bundle) if not point.report.rough]
    assert [timeless(point) for point in sorted(again, key=lambda p: p.epsilon)] == [
        timeless(point) for point in sorted(fresh, key=lambda p: p.epsilon)
    ]


def test_only_layers_that_are_not_known_are_solved(monkeypatch: pytest.MonkeyPatch) -> None:
    bench, bundle = Workbench(), load_bundle("digits_mlp")
    curves = [{"method": "magnitude", "settings": {}, "epsilons": [0.3]}]
    part = Plan("digits_mlp", ("fc3",), samples=200)
    list(solve(part, curves, bundle, known=bench.known(part)))
    ranked: list[int] = []
    rank = Magnitude.rank
    monkeypatch.setattr(Magnitude, "rank", lambda self, p: ranked.append(p.W.shape[1]) or rank(self, p))
    both = replace(part, layers=("fc2", "fc3"))
    (point,) = solve(both, curves, bundle, known=bench.known(both))
    assert ranked == [50]  # fc2 alone
    assert [layer.name for layer in point.report.layers] == ["fc2", "fc3"]


@pytest.mark.parametrize("other", [{"samples": 201}, {"seed": 1}, {"patches": 100}])
def test_nothing_is_taken_from_another_context(other: dict[str, int]) -> None:
    bench = Workbench()
    plan = Plan("digits_mlp", ("fc3",), samples=200)
    layer = torch.zeros(3, 2)
    bench.known(plan).put("fc3", NetTrim(), 0.3, LayerResult(layer, True, {}))
    assert bench.known(plan).get("fc3", NetTrim(), 0.3) is not None
    assert bench.known(replace(plan, **other)).get("fc3", NetTrim(), 0.3) is None
    assert bench.known(plan).get("fc3", NetTrim(tol=1e-4), 0.3) is None
    assert bench.known(plan).get("fc3", NetTrim(), 0.31) is None


def test_the_oldest_results_go_first() -> None:
    known = Known(limit=2 * 40).within("here")
    for epsilon in (0.1, 0.2, 0.3):
        known.put("a", NetTrim(), epsilon, LayerResult(torch.zeros(10), True, {}))
        known.get("a", NetTrim(), 0.1)  # asked for, so it stays
    assert [known.get("a", NetTrim(), epsilon) is not None for epsilon in (0.1, 0.2, 0.3)] == [True, False, True]


def test_what_is_stored_of_a_part_of_the_layers_is_what_a_run_on_them_says(tmp_path: Path) -> None:
    bundle, layers = load_bundle("spirals"), ("fc1", "fc2", "fc3")
    curves = [{"method": name, "settings": {}, "epsilons": [0.1, 0.4]} for name in ("magnitude", "lobs")]
    full = Plan("spirals", layers, samples=200)
    points = sorted(solve(full, curves, bundle), key=lambda p: p.key)
    fresh = {
        part: sorted(solve(replace(full, layers=part), curves, bundle), key=lambda p: p.key) for part in subsets(layers)
    }
    found = {part: figures(layers, of_part) for part, of_part in fresh.items()}
    save_points(tmp_path / "stored.npz", bundle.fingerprint, Stored(full, points, found))
    stored = load_points(tmp_path / "stored.npz", bundle.fingerprint)
    assert len(stored.subsets) == 6
    place = {point.key: i for i, point in enumerate(stored.points)}
    for part, of_part in fresh.items():
        for point in of_part:
            i = place[point.key]
            row = {name: values[i] for name, values in stored.subsets[part].items()}
            again = restored(stored.points[i], part, row)
            assert timeless(again) == timeless(point)
            assert (again.regions == point.regions).all()
            assert all((again.mask(name) == point.mask(name)).all() for name in part)


def test_a_layers_own_epsilon_is_the_one_times_its_factor(inputs: Tensor) -> None:
    model = small_mlp()
    for method in (NetTrim(epsilon=0.2), Magnitude(epsilon=0.2), Magnitude(epsilon=0.2, overall=True)):
        _, report = prune(model, inputs, method, scale={"fc2": 0.25, "fc3": 2})
        assert [layer.epsilon for layer in report.layers] == pytest.approx([0.2, 0.05, 0.4])
    alone, _ = prune(model, inputs, NetTrim(epsilon=0.05), ["fc2"])
    both, _ = prune(model, inputs, NetTrim(epsilon=0.2), scale={"fc2": 0.25})
    assert torch.equal(alone.get_parameter("fc2.weight"), both.get_parameter("fc2.weight"))
    (_, _, _, swept) = next(sweep(model, inputs, ["magnitude"], [0.2], scale={"fc3": 0.1}))
    assert [layer.epsilon for layer in swept.layers] == pytest.approx([0.2, 0.2, 0.02])


def test_in_a_cascade_the_factor_counts_while_signals_are_the_dense_networks(inputs: Tensor) -> None:
    _, plain = prune(small_mlp(), inputs, NetTrim(epsilon=0.2), cascade=Cascade())
    _, first = prune(small_mlp(), inputs, NetTrim(epsilon=0.4), cascade=Cascade(), scale={"fc1": 0.5, "fc2": 0.1})
    assert [a.epsilon for a in first.layers] == pytest.approx([b.epsilon for b in plain.layers])


def test_factors_keep_the_order_of_epsilons() -> None:
    grid = [0.01 * k for k in range(1, 100)]
    for factor in (0.01, 1.0, 3.0, 1e6):
        own = [scaled(epsilon, factor) for epsilon in grid]
        assert own == sorted(set(own))
        assert own[0] > 0
        assert own[-1] < 1
    assert scaled(0.5, 1.5) == 0.75
    assert scaled(0.9, 2) > TOP


@pytest.mark.parametrize("scale", [{"fc9": 1.0}, {"fc1": 0.0}, {"fc1": float("nan")}])
def test_factors_that_are_none_are_refused(inputs: Tensor, scale: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="scale: "):
        Network(small_mlp(), inputs, scale=scale)


def test_a_plan_carries_its_factors() -> None:
    plan = Plan("digits_mlp", ("fc1", "fc2"), scale=(("fc2", 0.5),))
    assert Plan.from_dict(plan.to_dict()) == plan
    assert "scale" not in replace(plan, scale=()).to_dict()
    assert plan.key() != replace(plan, scale=()).key()
    report = plan.network(load_bundle("digits_mlp")).points(Magnitude(epsilon=0.2), [0.2])
    assert [layer.epsilon for layer in next(report)[1].layers] == pytest.approx([0.2, 0.1])

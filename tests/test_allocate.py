"""One budget for a network: the rules against their definitions and brute force, targets against counts."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nettrim_core import (
    METHODS,
    AccuracyDrop,
    ExactOBS,
    Magnitude,
    MultiplyAdds,
    Report,
    allocate,
    discrepancy,
    load_bundle,
    masks_of,
    prune,
)  # fmt: skip
from nettrim_core.allocate import Budget
from nettrim_core.capture import run
from nettrim_core.network import Network
from nettrim_core.shares import RULES, Sharer, along, lower_hull
from tests.conftest import small_cnn, small_mlp


def zeros_of(report: Report) -> list[int]:
    assert report.allocation is not None
    return [share.zeros for share in report.allocation.shares]


def sharers(seed: int, count: int = 3, points: int = 6) -> list[Sharer]:
    """Layers with convexity faults in their curves."""
    generator = np.random.default_rng(seed)
    layers = []
    for i in range(count):
        places = np.sort(generator.choice(np.arange(1, 30), points, replace=False))
        costs = np.sort(generator.random(points) ** 2)
        layers.append(
            Sharer(
                torch.randn(30, 1),
                (1, 30),
                i + 1,
                points=[(int(x), float(y)) for x, y in zip(places, costs, strict=True)],
            )
        )
    return layers


@pytest.mark.parametrize("seed", range(5))
def test_at_the_end_of_a_piece_no_choice_of_points_costs_less_for_the_same_budget(seed: int) -> None:
    layers = sharers(seed)
    everything = [[(0, 0.0), *layer.points] for layer in layers]
    choices = [
        (sum(layer.unit * x for layer, (x, _) in zip(layers, chosen, strict=True)), sum(y for _, y in chosen))
        for chosen in itertools.product(*everything)
    ]
    family, total = RULES["hull"](layers), sum(layer.unit * layer.hull[-1][0] for layer in layers)
    ends = 0
    for part in np.linspace(0, 1, total + 1):
        counts = family(float(part))
        spent = sum(layer.unit * c for layer, c in zip(layers, counts, strict=True))
        if all(c in dict(layer.hull) for layer, c in zip(layers, counts, strict=True)):
            cost = sum(dict(layer.hull)[c] for layer, c in zip(layers, counts, strict=True))
            assert cost <= min(y for x, y in choices if x >= spent) + 1e-12
            ends += 1
    assert ends > 5


def test_the_lower_hull_is_below_all_points_convex_and_made_of_them() -> None:
    for seed in range(20):
        points = sharers(seed, 1, 12)[0].points
        hull = lower_hull(points)
        assert set(hull) <= set(points)
        slopes = [(d - b) / (c - a) for (a, b), (c, d) in itertools.pairwise(hull)]
        assert all(low < high for low, high in itertools.pairwise(slopes))
        for x, y in points:
            if x <= hull[-1][0]:
                assert np.interp(x, *zip(*hull, strict=True)) <= y + 1e-12


def test_a_hull_can_be_walked_along() -> None:
    hull = [(0, 0.0), (4, 1.0), (10, 4.0)]
    assert along(hull, 0) == (0.0, None, 0.25)
    assert along(hull, 2) == (0.5, 0.25, 0.25)
    assert along(hull, 4) == (1.0, 0.25, 0.5)
    assert along(hull, 6) == (2.0, 0.5, 0.5)
    assert along(hull, 10) == (4.0, 0.5, None)


def test_erk_densities_are_in_proportion_until_a_layer_is_full() -> None:
    shapes = [(300, 784), (100, 300), (10, 100), (20, 5, 3, 3)]
    layers = [Sharer(torch.randn(math.prod(shape), 1), shape) for shape in shapes]
    raw = [sum(shape) / math.prod(shape) for shape in shapes]
    for part in (0.999, 0.98, 0.95):
        left = [layer.size - c for c, layer in zip(RULES["erk"](layers)(part), layers, strict=True)]
        unit = left[0] / (raw[0] * layers[0].size)
        for count, layer, value in zip(left, layers, raw, strict=True):
            assert count == pytest.approx(min(unit * value, 1) * layer.size, abs=2)
    assert RULES["erk"](layers)(0.0) == [0, 0, 0, 0]
    assert RULES["erk"](layers)(0.5)[2] < 0.1 * layers[2].size


def test_lamp_scores_are_squares_over_the_squares_not_smaller() -> None:
    layers = [
        Sharer(torch.randn(20, 3, generator=torch.Generator().manual_seed(i)) * (i + 1), (3, 20)) for i in range(3)
    ]
    scores = []
    for i, layer in enumerate(layers):
        squares = layer.W.double().flatten().square()
        scores += [(float(s / squares[squares >= s].sum()), i) for s in squares]
    scores.sort()
    for part in (0.1, 0.5, 0.9):
        removed = [i for _, i in scores[: round(part * len(scores))]]
        assert RULES["lamp"](layers)(part) == [removed.count(i) for i in range(3)]
    sizes = sorted((float(w), i) for i, layer in enumerate(layers) for w in layer.W.abs().flatten())
    removed = [i for _, i in sizes[:90]]
    assert RULES["magnitude"](layers)(0.5) == [removed.count(i) for i in range(3)]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["magnitude", "magnitude_refit", "lobs", "exactobs", "wanda", "sparsegpt", "alps"])
def test_the_target_is_met_to_a_weight_or_two(name: str, rule: str, inputs: Tensor) -> None:
    model = small_mlp()
    pruned, report = allocate(model, inputs, name, 0.7, rule=rule)
    total = sum(p.numel() for p in model.parameters())
    zeros = sum(int((p == 0).sum()) for p in pruned.parameters())
    assert abs(zeros - 0.7 * total) <= 3
    assert sum(zeros_of(report)) == zeros
    assert [layer.weight_zeros + layer.bias_zeros for layer in report.layers] == zeros_of(report)


def test_net_trim_is_given_the_epsilon_that_makes_its_share_and_stays_certified(inputs: Tensor) -> None:
    _, report = allocate(small_mlp(), inputs, "nettrim", 0.6)
    assert sum(zeros_of(report)) / (10 * 20 + 20 + 20 * 15 + 15 + 15 * 4 + 4) + 0.002 >= 0.6
    for layer, wanted in zip(report.layers, zeros_of(report), strict=True):
        assert layer.converged
        assert layer.gap is not None
        assert layer.gap <= 1e-3
        assert wanted <= layer.weight_zeros + layer.bias_zeros <= wanted + 0.03 * layer.weights
        assert layer.discrepancy <= layer.epsilon * (1 + 1e-3)
    assert len({round(layer.epsilon, 4) for layer in report.layers}) == 3


@pytest.mark.parametrize("rule", RULES)
def test_locked_layers_keep_their_share_and_the_others_make_up_for_it(rule: str, inputs: Tensor) -> None:
    pruned, report = allocate(small_mlp(), inputs, "magnitude", 0.5, rule=rule, locked={"fc1": 0.0, "fc3": 0.5})
    first, second, third = zeros_of(report)
    assert (first, third) == (0, 32)
    assert second == pytest.approx(0.5 * (220 + 315 + 64) - 32, abs=1)
    assert torch.equal(pruned.fc1.weight, small_mlp().fc1.weight)
    assert report.allocation is not None
    assert [share.locked for share in report.allocation.shares] == [True, False, True]


def test_a_skipped_layer_is_left_alone_and_out_of_the_budget(inputs: Tensor) -> None:
    pruned, report = allocate(small_mlp(), inputs, "magnitude", 0.5, layers=["fc1", "fc2"])
    assert torch.equal(pruned.fc3.weight, small_mlp().fc3.weight)
    assert sum(zeros_of(report)) == pytest.approx(0.5 * (220 + 315), abs=1)


@pytest.mark.parametrize("rule", RULES)
def test_multiply_adds_count_every_use_of_a_weight(rule: str, images: Tensor) -> None:
    model = small_cnn()
    _, report = allocate(model, images, "magnitude", MultiplyAdds(0.3), rule=rule)
    uses = {"conv1": 100, "conv2": 4, "fc": 1}  # output positions: 10 x 10, 2 x 2, 1
    assert report.allocation is not None
    total = sum(uses[share.name] * share.size for share in report.allocation.shares)
    left = sum(uses[share.name] * (share.size - share.zeros) for share in report.allocation.shares)
    assert left <= 0.3 * total + 0.5
    assert left >= 0.3 * total - max(uses.values())
    assert report.allocation.unit == "multiply-add"


def test_the_accuracy_asked_for_is_kept_on_the_rows_given_and_not_given_away() -> None:
    bundle = load_bundle("digits_mlp")
    pruned, report = allocate(
        bundle.model, bundle.calibration_sample(300), "exactobs", AccuracyDrop(0.02), validation=bundle.validation
    )

    def accuracy(model: nn.Module) -> float:
        rows, labels = bundle.validation
        return float((run(model, rows).argmax(1) == labels).double().mean())

    assert accuracy(pruned) >= accuracy(bundle.model) - 0.02
    assert report.sparsity > 0.75
    more, _ = allocate(bundle.model, bundle.calibration_sample(300), "exactobs", report.sparsity + 0.05)
    assert accuracy(more) < accuracy(bundle.model) - 0.02


def test_the_weight_of_a_layer_is_the_loss_of_pruning_it_alone_for_each_unit_of_its_squared_error(
    inputs: Tensor,
) -> None:
    network = Network(small_mlp(), inputs)
    budget = Budget(network, Magnitude(), loss="squared")
    assert budget.offers["fc3"].weight == pytest.approx(1.0, rel=1e-4)  # a linear output: its error is the loss
    Z = run(network.model, inputs)
    ratios = []
    for result in Magnitude().curve(budget.problems["fc1"]).points():
        error = discrepancy(budget.problems["fc1"], result.U)
        if 0.05 <= error <= 0.3:
            shares = {"fc1": float((result.U == 0).double().mean())}
            pruned, _ = network.at(Magnitude(), shares)
            ratios.append(float((run(pruned, inputs) - Z).norm() / Z.norm()) ** 2 / error**2)
    assert ratios
    assert budget.offers["fc1"].weight == pytest.approx(sum(ratios) / len(ratios), rel=1e-4)


def test_an_output_that_the_loss_does_not_feel_is_pruned_first(inputs: Tensor) -> None:
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.loud, self.quiet = nn.Linear(10, 30), nn.Linear(10, 30)

        def forward(self, x: Tensor) -> Tensor:
            return (self.loud(x) + 1e-3 * self.quiet(x)).relu()[:, :4]

    _, report = allocate(TwoHeads(), inputs, "magnitude", 0.5)
    loud, quiet = zeros_of(report)
    assert quiet > 0.9 * 330
    assert loud < 0.1 * 330


def test_a_cascade_takes_the_same_shares() -> None:
    bundle = load_bundle("digits_mlp")
    inputs = bundle.calibration_sample(200)
    _, parallel = allocate(bundle.model, inputs, "exactobs", 0.8)
    _, cascade = allocate(bundle.model, inputs, "exactobs", 0.8, cascade=True)
    assert zeros_of(cascade) == zeros_of(parallel)
    assert cascade.cascade is not None
    assert cascade.output_error < parallel.output_error


def test_batch_norms_are_as_they_will_be_when_a_layer_is_probed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()
    x = torch.randn(90, 10)
    for how in ("reestimate", "keep"):
        network = Network(model, x, batchnorm=how)
        budget = Budget(network, Magnitude(), loss="squared")
        Z, ratios = run(network.model, x), []
        for result in Magnitude().curve(budget.problems["0"]).points():
            error = discrepancy(budget.problems["0"], result.U)
            if 0.05 <= error <= 0.3:
                pruned, _ = network.at(Magnitude(), {"0": float((result.U == 0).double().mean())})
                ratios.append(float((run(pruned, x) - Z).norm() / Z.norm()) ** 2 / error**2)
        assert ratios
        assert budget.offers["0"].weight == pytest.approx(sum(ratios) / len(ratios), rel=1e-4)


def test_the_report_says_who_paid_what_and_survives_a_file(inputs: Tensor) -> None:
    _, report = allocate(small_mlp(), inputs, "exactobs", 0.8)
    again = Report.from_dict(json.loads(report.to_json()))
    assert again.allocation == report.allocation
    assert report.allocation is not None
    paid = [share.paid for share in report.allocation.shares]
    following = [share.following for share in report.allocation.shares]
    assert report.allocation.price == max(p for p in paid if p is not None)
    assert all(f is None or f >= report.allocation.price * (1 - 1e-9) for f in following)  # nobody was passed over
    words = " ".join(report.allocation.sentences)
    for share in report.allocation.shares:
        assert f"{share.name} gives {share.zeros / share.size:.1%}" in words
    _, uniform = allocate(small_mlp(), inputs, "exactobs", 0.8, rule="uniform")
    assert uniform.allocation is not None
    assert uniform.allocation.price is None
    assert prune(small_mlp(), inputs, "magnitude")[1].allocation is None


def test_the_hull_rule_beats_the_same_share_for_all() -> None:
    bundle = load_bundle("lenet_300_100")
    network = Network(bundle.model, bundle.calibration_sample(300), None, bundle.validation)
    budget = Budget(network, METHODS["lobs"])
    ours, uniform = (budget.share(0.9, rule)[1].accuracy for rule in ("hull", "uniform"))
    assert ours is not None
    assert uniform is not None
    assert ours > uniform + 0.1


def test_zeros_stay_for_a_retraining(inputs: Tensor) -> None:
    pruned, report = allocate(small_mlp(), inputs, "magnitude_refit", 0.5)
    assert sum(int((~mask).sum()) for mask in masks_of(pruned).values()) == sum(zeros_of(report))


@pytest.mark.parametrize("rule", RULES)
def test_no_target_gives_a_layer_less_than_nothing_or_more_than_all(rule: str, images: Tensor) -> None:
    budget = Budget(Network(small_cnn(), images), Magnitude())
    for left in torch.linspace(0, 1, 101).tolist():
        layers = budget._sharers(rule, by_calls=True)
        counts = budget._met(MultiplyAdds(left), layers, RULES[rule](list(layers.values())))
        assert all(0 <= count <= layer.size for count, layer in zip(counts, layers.values(), strict=True))


@pytest.mark.parametrize("cascade", [False, True])
@pytest.mark.parametrize("name", ["nettrim", "exactobs", "magnitude_refit"])
def test_a_layer_that_is_locked_at_nothing_stays_as_it_is(name: str, cascade: bool, inputs: Tensor) -> None:
    model = small_mlp()
    pruned, report = allocate(model, inputs[:8], name, 0.3, locked={"fc2": 0.0}, cascade=cascade)
    assert torch.equal(pruned.fc2.weight, model.fc2.weight)
    assert torch.equal(pruned.fc2.bias, model.fc2.bias)
    assert [layer.weight_zeros + layer.bias_zeros for layer in report.layers] == zeros_of(report)
    assert report.allocation is not None
    assert report.allocation.shares[1].asked == zeros_of(report)[1] == 0


def test_an_accuracy_is_kept_by_the_network_that_is_returned_in_a_cascade_too() -> None:
    bundle = load_bundle("digits_mlp")
    rows, labels = bundle.validation

    def right(model: nn.Module) -> int:
        return int((run(model, rows).argmax(1) == labels).sum())

    inputs, allowed = bundle.calibration_sample(200), right(bundle.model) - math.floor(0.05 * len(labels))
    for name in ("wanda", "lobs"):
        pruned, report = allocate(
            bundle.model, inputs, name, AccuracyDrop(0.05), cascade=True, validation=bundle.validation
        )
        assert right(pruned) >= allowed
        more, _ = allocate(bundle.model, inputs, name, min(report.sparsity + 0.1, 1.0), cascade=True)
        assert right(more) < allowed
    with pytest.raises(ValueError, match=r"drop = 0\.01 cannot be reached: .* rows are right, and \d+ are needed"):
        allocate(
            bundle.model, inputs, "magnitude", AccuracyDrop(0.01), locked={"fc1": 0.95}, validation=bundle.validation
        )


def test_nothing_is_paid_where_nothing_is_given_and_the_loss_is_named(inputs: Tensor) -> None:
    _, report = allocate(small_mlp(), inputs, "magnitude", 0.0)
    assert report.allocation is not None
    assert report.allocation.loss == "kl"
    assert report.allocation.price is None
    assert all(share.paid is None for share in report.allocation.shares)


def test_rules_on_sizes_see_the_weights_and_not_a_batch_norms_scale() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)).eval()
    with torch.no_grad():
        model[1].weight[:4], model[1].weight[4:] = 1e3, 1e-3
    plain = [
        Sharer(torch.cat([m.weight.detach().T, m.bias.detach()[None]]), m.weight.shape) for m in (model[0], model[3])
    ]
    for rule in ("magnitude", "lamp"):
        budget = Budget(Network(model, torch.randn(90, 10)), Magnitude())
        layers = list(budget._sharers(rule, by_calls=False).values())
        assert RULES[rule](layers)(0.5) == RULES[rule](plain)(0.5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": 1.5}, "sparsity = 1.5 is out of range"),
        ({"target": "most"}, "target = 'most' must be a fraction of zeros"),
        ({"target": True}, "target = True must be"),
        ({"rule": "fair"}, "rule = 'fair' is not one of hull, uniform"),
        ({"loss": "regret"}, "loss = 'regret' must be"),
        ({"target": AccuracyDrop(0.1)}, "give validation rows"),
        ({"target": AccuracyDrop(0.1), "validation": torch.zeros(80, 10)}, "validation must be a pair of tensors"),
        ({"locked": {"fc9": 0.5}}, "no layer 'fc9'"),
        ({"locked": {"fc1": 1.5}}, "out of range"),
        ({"locked": {"fc1": 0.1, "fc2": 0.1, "fc3": 0.1}}, "nothing is left to allocate"),
        (
            {"locked": {"fc2": 0.0}, "target": 0.9},
            r"cannot be reached: with these layers locked, 52.59% of the weights",
        ),
        ({"method": ExactOBS(pattern="2:4")}, "pattern = '2:4' fixes what each layer gives"),
        ({"memory_limit": 1e5}, "or raise memory_limit"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], says: str, inputs: Tensor) -> None:
    arguments = {"model": small_mlp(), "inputs": inputs, "method": "magnitude", "target": 0.5} | changes
    with pytest.raises(ValueError, match=says):
        allocate(**arguments)


def test_settings_of_targets_are_checked() -> None:
    with pytest.raises(ValueError, match="drop"):
        AccuracyDrop(2.0)
    with pytest.raises(ValueError, match="left"):
        dataclasses.replace(MultiplyAdds(), left=-1.0)

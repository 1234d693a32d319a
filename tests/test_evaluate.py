"""An evaluation says what its definitions say: every figure against one computed another way, or known beforehand."""

from __future__ import annotations

import copy
import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nettrim_core import Changes, Share, evaluate, load_bundle, prune
from nettrim_core.evaluate import noisy
from nettrim_core.report import wilson
from tests.conftest import small_cnn, small_mlp


def table(Z: list[list[float]] | Tensor) -> tuple[nn.Linear, Tensor]:
    """A linear network and inputs (the unit vectors) on which its outputs are the rows of Z."""
    rows = torch.as_tensor(Z, dtype=torch.float64)
    model = nn.Linear(*rows.shape, bias=False, dtype=torch.float64)
    model.weight = nn.Parameter(rows.T.clone())
    return model, torch.eye(len(rows), dtype=torch.float64)


def says(classes: list[int], columns: int = 3) -> nn.Linear:
    """A network that puts the i-th unit vector into this class."""
    return table(nn.functional.one_hot(torch.tensor(classes), columns).double())[0]


def random_outputs(n: int, columns: int, seed: int, levels: int = 0) -> Tensor:
    """Normal; or, for many ties, whole numbers below ``levels``."""
    generator = torch.Generator().manual_seed(seed)
    if levels:
        return torch.randint(levels, (n, columns), generator=generator).double()
    return torch.randn(n, columns, dtype=torch.float64, generator=generator)


def labels_for(n: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randint(columns, (n,), generator=torch.Generator().manual_seed(seed + 1))


# what changed


def test_exactly_the_samples_that_change_are_listed() -> None:
    #              kept right  lost  won  wrong another way  kept wrong  lost
    dense = says([0, 1, 0, 2, 1, 0])
    pruned = says([0, 2, 1, 0, 1, 2])
    labels = torch.tensor([0, 1, 1, 1, 0, 0])
    found = evaluate(pruned, (torch.eye(6, dtype=torch.float64), labels), dense)
    assert found.changes == Changes(
        (1, 2, 3, 5), (1, 0, 2, 0), (2, 1, 0, 2), lost=(1, 5), won=(2,), wrong=(3,), p_value=1.0
    )
    assert found.changes.counts == {"changed": 4, "lost": 2, "won": 1, "wrong": 1}
    assert found.agreement == Share(2 / 6, *wilson(2 / 6, 6))
    assert found.accuracy == Share(2 / 6, *wilson(2 / 6, 6))
    bare = evaluate(pruned, torch.eye(6, dtype=torch.float64), dense)
    assert bare.changes == Changes((1, 2, 3, 5), (1, 0, 2, 0), (2, 1, 0, 2))
    assert bare.changes.counts == {"changed": 4, "lost": None, "won": None, "wrong": None}
    assert bare.accuracy is None
    assert bare.agreement == found.agreement


@pytest.mark.parametrize(("lost", "won"), [(7, 1), (1, 7), (4, 4), (0, 5), (12, 3), (0, 0)])
def test_mcnemar_is_the_binomial_summed_by_hand(lost: int, won: int) -> None:
    old, new, labels = [0] * lost + [1] * won + [0, 1], [1] * lost + [0] * won + [0, 1], [0] * (lost + won + 2)
    data = torch.eye(len(labels), dtype=torch.float64), torch.tensor(labels)
    n = lost + won
    tail = sum(math.comb(n, k) for k in range(max(lost, won), n + 1)) / 2**n
    changes = evaluate(says(new), data, says(old)).changes
    assert changes is not None
    assert changes.counts == {"changed": n, "lost": lost, "won": won, "wrong": 0}
    assert changes.p_value == pytest.approx(min(1.0, 2 * tail), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 30), columns=st.integers(2, 8), seed=st.integers(0, 999), levels=st.sampled_from([0, 2, 4]))
def test_the_parts_add_up_and_the_order_of_the_samples_does_not_matter(
    n: int, columns: int, seed: int, levels: int
) -> None:
    Z, Z_hat, labels = (
        random_outputs(n, columns, seed, levels), random_outputs(n, columns, seed + 1, levels),
        labels_for(n, columns, seed),
    )  # fmt: skip
    (dense, inputs), (pruned, _) = table(Z), table(Z_hat)
    found = evaluate(pruned, (inputs, labels), dense, noise=())
    before, changes = evaluate(dense, (inputs, labels), noise=()), found.changes
    assert found.noise == found.noise_dense == ()
    assert changes is not None
    assert found.accuracy is not None
    assert before.accuracy is not None
    assert found.agreement is not None
    parts = [set(part or ()) for part in (changes.lost, changes.won, changes.wrong)]
    assert set.union(*parts) == set(changes.indices)
    assert sum(map(len, parts)) == len(changes.indices) == round(n * (1 - found.agreement.value))
    assert round(n * found.accuracy.value) == round(n * before.accuracy.value) - len(parts[0]) + len(parts[1])
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    moved = evaluate(pruned, (inputs[order], labels[order]), dense, noise=())
    assert moved.changes is not None
    assert {int(order[i]) for i in moved.changes.indices} == set(changes.indices)
    assert moved.changes.p_value == changes.p_value
    for name in ("accuracy", "top5", "agreement"):
        assert getattr(moved, name) == getattr(found, name)
    for name in ("cross_entropy", "divergence", "output_error"):
        figure = getattr(found, name)
        assert getattr(moved, name) == (None if figure is None else pytest.approx(figure, rel=1e-12, abs=1e-14))


# figures


@settings(max_examples=40, deadline=None)
@given(columns=st.integers(2, 12), seed=st.integers(0, 999), levels=st.sampled_from([0, 2, 3]))
def test_top_five_by_brute_force(columns: int, seed: int, levels: int) -> None:
    Z, labels = random_outputs(20, columns, seed, levels), labels_for(20, columns, seed)
    model, inputs = table(Z)
    found = evaluate(model, (inputs, labels), noise=())
    hits = {1: 0, 5: 0}
    for row, label in zip(Z.tolist(), labels.tolist(), strict=True):
        ahead = [k for k, z in enumerate(row) if z > row[label] or (z == row[label] and k < label)]
        hits = {top: hits[top] + (len(ahead) < top) for top in hits}
    assert found.accuracy == Share(hits[1] / 20, *wilson(hits[1] / 20, 20))
    assert found.top5 == (Share(hits[5] / 20, *wilson(hits[5] / 20, 20)) if columns > 5 else None)


def test_a_network_that_says_nothing_is_not_among_the_best() -> None:
    model, inputs = table(torch.zeros(10, 10))
    found = evaluate(model, (inputs, torch.arange(10)))
    assert found.top5 is not None
    assert found.top5.value == 0.5
    assert found.cross_entropy == pytest.approx(math.log(10))


def test_entropies_from_probabilities() -> None:
    Z, Z_hat = random_outputs(40, 6, 3), 3 * random_outputs(40, 6, 4)
    labels = labels_for(40, 6)
    (dense, inputs), (pruned, _) = table(Z), table(Z_hat)
    found = evaluate(pruned, (inputs, labels), dense)
    p, q = (np.exp(z.numpy()) / np.exp(z.numpy()).sum(1, keepdims=True) for z in (Z, Z_hat))
    assert found.cross_entropy == pytest.approx(-np.log(q[np.arange(40), labels.numpy()]).mean())
    assert found.divergence == pytest.approx((p * np.log(p / q)).sum(1).mean())
    assert found.output_error == pytest.approx(np.linalg.norm(Z_hat.numpy() - Z.numpy()) / np.linalg.norm(Z.numpy()))
    same = evaluate(dense, inputs, dense)
    assert same.divergence == pytest.approx(0, abs=1e-15)
    assert same.output_error == 0


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 30), columns=st.integers(1, 4), seed=st.integers(0, 999), shift=st.floats(-50, 50))
def test_regression_by_its_definitions(n: int, columns: int, seed: int, shift: float) -> None:
    f, t = random_outputs(n, columns, seed), random_outputs(n, columns, seed + 1) + shift
    model, inputs = table(f)
    found = evaluate(model, (inputs, t), table(t)[0])
    a, b = f.numpy(), t.numpy()
    assert found.squared_error == pytest.approx(((a - b) ** 2).mean())
    assert found.relative_error == pytest.approx(np.sqrt(((a - b) ** 2).sum() / (b**2).sum()))
    assert found.relative_error == pytest.approx(found.output_error)  # the dense network is right here
    assert found.r2 == pytest.approx(1 - ((a - b) ** 2).sum() / (n * b.var(0).sum()))
    assert (found.accuracy, found.agreement, found.changes, found.noise) == (None, None, None, ())
    if columns == 1:
        assert evaluate(model, (inputs, t[:, 0]), table(t)[0]) == found


def test_the_mean_explains_nothing_and_a_constant_cannot_be_explained() -> None:
    t = torch.tensor([[1.0], [2.0], [6.0]], dtype=torch.float64)
    inputs = table(t)[1]
    assert evaluate(table(t)[0], (inputs, t)).r2 == 1
    assert evaluate(table(torch.full((3, 1), 3.0))[0], (inputs, t)).r2 == pytest.approx(0)
    constant = evaluate(table(t)[0], (inputs, torch.full((3,), 0.1)))
    assert constant.r2 is None
    assert constant.squared_error == pytest.approx((0.9**2 + 1.9**2 + 5.9**2) / 3)
    for n in range(2, 30):  # whose mean may be a little beside it
        model, x = table(torch.zeros(n, 1))
        assert evaluate(model, (x, torch.full((n,), 0.1, dtype=torch.float64))).r2 is None
    nothing = evaluate(table(t)[0], (inputs, torch.zeros(3)), table(torch.zeros(3, 1))[0])
    assert (nothing.relative_error, nothing.r2, nothing.output_error) == (None, None, None)


def test_it_agrees_with_the_report_batch_for_batch() -> None:
    bundle = load_bundle("digits_mlp")
    pruned, report = prune(bundle.model, bundle.calibration, "magnitude", test=bundle.test)
    assert len(bundle.calibration) > 250  # more than one batch
    assert evaluate(pruned, bundle.calibration, bundle.model).output_error == pytest.approx(report.output_error)
    found = evaluate(pruned, bundle.test, bundle.model)
    assert report.accuracy is not None
    assert found.accuracy == Share(report.accuracy, *wilson(report.accuracy, report.test_samples))
    assert found.samples == report.test_samples
    assert [share.value for norm, share in found.noise_dense if norm == 0] == [report.accuracy_before]


# noise


@settings(max_examples=30, deadline=None)
@given(norm=st.floats(0, 10), seed=st.integers(0, 2**31), shape=st.sampled_from([(7,), (2, 3, 4), (1,)]))
def test_noise_has_the_norm_it_is_asked_for(norm: float, seed: int, shape: tuple[int, ...]) -> None:
    x = 5 * torch.randn(6, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    x[2] = 0
    n = noisy(x, norm, seed) - x
    for moved, sample in zip(n, x, strict=True):
        assert float(moved.norm()) == pytest.approx(norm * float(sample.norm()), abs=1e-12)
    assert torch.equal(noisy(x, norm, seed), noisy(x, norm, seed))
    assert torch.allclose(noisy(x, 2 * norm, seed) - x, 2 * n)  # in the same direction
    if norm > 1e-3 and shape != (1,):
        assert not torch.allclose(noisy(x, norm, seed + 1) - x, n)


def test_noise_is_normal_in_direction() -> None:
    x = torch.ones(4000, 5, dtype=torch.float64)
    n = noisy(x, 1.0) - x
    assert n.mean(0).numpy() == pytest.approx(np.zeros(5), abs=0.05)
    assert (n.T @ n / 4000).numpy() == pytest.approx(np.eye(5), abs=0.06)


def test_the_curves_are_what_the_networks_do_on_the_very_same_noise() -> None:
    bundle = load_bundle("digits_mlp")
    inputs, labels = bundle.validation
    pruned, _ = prune(bundle.model, bundle.calibration, "magnitude")
    norms = (0.0, 0.3, 2.0)
    found = evaluate(pruned, (inputs, labels), bundle.model, seed=7, noise=norms)
    bare = evaluate(pruned, inputs, bundle.model, seed=7, noise=norms)
    assert [norm for norm, _ in found.noise] == list(norms)
    with torch.no_grad():
        said = bundle.model(inputs).argmax(1)
        for curves, right in ((found, labels), (bare, said)):
            for model, curve in ((pruned, curves.noise), (bundle.model, curves.noise_dense)):
                for norm, share in curve:
                    value = float((model(noisy(inputs, norm, 7)).argmax(1) == right).double().mean())
                    assert share.value == pytest.approx(value, abs=1e-12)
                    assert (share.low, share.high) == wilson(share.value, len(inputs))
    assert found.noise[0][1] == found.accuracy
    assert bare.noise[0][1] == bare.agreement
    assert found.noise[2][1].value < found.noise[0][1].value - 0.2  # it is noise that hurts
    assert bare.noise_dense[0][1].value == 1
    assert evaluate(bundle.model, (inputs, labels), seed=7, noise=norms).noise == found.noise_dense
    assert evaluate(bundle.model, (inputs, labels), seed=8, noise=norms).noise != found.noise_dense


# manners


class Nosy(nn.Module):
    """Counts its calls, notes its mode and whether gradients are on, and writes on its input."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(10, 4)
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.9)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert not self.drop.training
        assert not torch.is_grad_enabled()
        self.calls += 1
        x += 1
        return self.drop(self.norm(self.fc(x)))


def test_models_inputs_and_random_numbers_are_left_as_they_were(inputs: Tensor) -> None:
    model, dense = Nosy().train(), Nosy().train()
    model.norm.eval()
    before = [copy.deepcopy(net.state_dict()) for net in (model, dense)]
    kept, state = inputs.clone(), torch.get_rng_state()
    first = evaluate(model, (inputs, labels_for(80, 4)), dense)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(inputs, kept)
    assert [module.training for module in model.modules()] == [True, True, False, True]
    assert all(module.training for module in dense.modules())
    assert model.calls == dense.calls == 0
    for net, values in zip((model, dense), before, strict=True):
        assert all(torch.equal(value, net.state_dict()[name]) for name, value in values.items())
    assert evaluate(model, (inputs, labels_for(80, 4)), dense) == first
    assert torch.is_grad_enabled()


def test_images_halves_and_small_labels_are_welcome(images: Tensor, inputs: Tensor) -> None:
    labels, found = labels_for(40, 5), evaluate(small_cnn(), (images, labels_for(40, 5)))
    for kind in (torch.uint8, torch.int8, torch.int16, torch.int32):
        assert evaluate(small_cnn(), (images, labels.to(kind))) == found
    half, wanted = small_mlp().bfloat16(), labels_for(80, 4)
    rough = evaluate(half, (inputs.bfloat16(), wanted), small_mlp(1).bfloat16())
    exact = nn.functional.cross_entropy(half(inputs.bfloat16()).detach().double(), wanted)
    assert rough.cross_entropy == pytest.approx(float(exact), rel=1e-12)


def test_one_column_has_no_classes() -> None:
    (dense, inputs), (pruned, _) = table([[1.0], [2.0]]), table([[1.0], [1.0]])
    found = evaluate(pruned, inputs, dense)
    assert found.output_error == pytest.approx(1 / math.sqrt(5))
    assert (found.agreement, found.divergence, found.changes, found.noise, found.noise_dense) == (
        None,
        None,
        None,
        (),
        (),
    )


def test_it_is_plain_data(inputs: Tensor) -> None:
    found = evaluate(small_mlp(1), (inputs, labels_for(80, 4)), small_mlp())
    data = json.loads(found.to_json())
    assert data == json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert found.changes is not None
    assert found.accuracy is not None
    assert data["accuracy"] == {"value": found.accuracy.value, "low": found.accuracy.low, "high": found.accuracy.high}
    assert data["changes"]["indices"] == list(found.changes.indices)
    assert data["changes"]["counts"] == found.changes.counts
    assert [norm for norm, _ in data["noise"]] == [0, 0.5, 1, 2, 4]
    assert data["noise_dense"][1][1]["value"] == found.noise_dense[1][1].value
    huge, x = table(torch.full((2, 1), 1e200, dtype=torch.float64))
    big = evaluate(huge, (x, torch.ones(2)))
    assert big.squared_error == math.inf
    assert json.loads(big.to_json())["squared_error"] is None


NAN = torch.full((80, 10), math.nan)
X = torch.ones(80, 10)
Y = torch.zeros(80, dtype=torch.long)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ((NAN, Y), "inputs has 800 NaN or infinite entries"),
        ((X[:0], Y[:0]), "inputs has no samples"),
        ((X.long(), Y), r"inputs must be a float tensor .* got a torch.int64 tensor of shape \(80, 10\)"),
        ((X, Y.tolist()), r"data must be a tensor of inputs or a pair"),
        ((X, Y, Y), r"data must be a tensor of inputs or a pair"),
        ((X, Y[:3]), r"targets must be floats or class indices, one for each of the 80 inputs; got .* shape \(3,\)"),
        ((X, Y[:, None]), r"one for each of the 80 inputs; got a torch.int64 tensor of shape \(80, 1\)"),
        ((X, Y.bool()), "one for each of the 80 inputs; got a torch.bool"),
        ((X, Y - 1), "targets must be from 0 to 3, one class an output; got -1 to -1"),
        ((X, Y + 4), "targets must be from 0 to 3, one class an output; got 4 to 4"),
        ((X, Y.float()), r"targets that are floats must have the outputs' shape \(80, 4\); got a torch.float32"),
        ((X, NAN[:, :4]), "targets has 320 NaN"),
        ((X[:, :3], Y), r"model cannot be run on inputs of shape \(80, 3\): "),
        (X, "data has inputs alone and dense is None"),
    ],
    ids=range(14),
)
def test_data_that_does_not_fit_is_named(data: tuple[Tensor, Tensor], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        evaluate(small_mlp(), data)


@pytest.mark.parametrize("noise", [(-1.0,), (0, math.nan), (math.inf,), 0.5, None, ("much",)], ids=str)
def test_noise_must_be_norms(noise: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"noise = .* must hold relative norms, finite numbers of at least 0"):
        evaluate(small_mlp(), (X, Y), noise=noise)


def test_networks_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"dense gives outputs of shape \(80, 3\); must be model's, \(80, 4\)"):
        evaluate(small_mlp(), X, small_mlp(sizes=(10, 3)))
    with pytest.raises(ValueError, match="dense cannot be run on inputs"):
        evaluate(small_mlp(), X, small_cnn())
    with pytest.raises(ValueError, match=r"outputs must be \(samples, 2 or more\), got \(80, 1\)"):
        evaluate(small_mlp(sizes=(10, 1)), (X, Y))
    with pytest.raises(ValueError, match=r"model gives outputs of shape \(800,\) .* must give one a sample"):
        evaluate(nn.Flatten(0), (X, Y))
    broken = small_mlp()
    nn.init.constant_(broken.fc3.bias, math.nan)
    with pytest.raises(ValueError, match="model gives 320 NaN or infinite outputs"):
        evaluate(broken, (X, Y))

"""The operator form: a convolution whose inputs stay images is the convolution whose inputs are columns."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nettrim_core import METHODS, Cascade, NetTrim, prune
from nettrim_core import patches as patches_module
from nettrim_core.admm import ADMM, conjugate_gradients
from nettrim_core.inputs import alive, beside, energies, gram, matrix, response, rows_of
from nettrim_core.methods.nettrim import condensed
from nettrim_core.network import Network
from nettrim_core.patches import Patches
from nettrim_core.problem import LayerProblem
from nettrim_core.reference import reference
from nettrim_core.response import response_set
from tests.conftest import small_cnn
from tests.test_capture import CONVOLUTIONS, KINDS

EVERYTHING = 10**9  # patches


class Shared(nn.Module):
    """A convolution that is called at two sizes, a grouped one and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.twice = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
        self.grouped, self.fc = nn.Conv2d(4, 6, 3, groups=2, bias=False), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.first(x).relu()).relu()
        x = self.twice(nn.functional.avg_pool2d(x, 2)).relu()
        return self.fc(self.grouped(x).mean((2, 3)))


def both(model: nn.Module, inputs: Tensor, name: str) -> tuple[LayerProblem, LayerProblem]:
    """A layer's problem with images and with columns."""
    found = []
    for most in (None, EVERYTHING):
        network = Network(model, inputs, [name], max_patches=most)
        found.append(network.problem(network.selected[0]))
    assert isinstance(found[0].X, Patches)
    assert isinstance(found[1].X, Tensor)
    return found[0], found[1]


def check_maps(images: LayerProblem, columns: LayerProblem) -> None:
    """All that can be asked of inputs, in both forms."""
    X, Y = images.inputs, columns.inputs
    assert torch.equal(matrix(X), matrix(Y))
    assert images.X.shape == columns.X.shape
    assert torch.equal(images.Y, columns.Y)
    assert torch.equal(alive(X), alive(Y))
    for mine, theirs in (
        (images.response(images.W), columns.response(columns.W)),
        (images.correlate(images.Y), columns.correlate(columns.Y)),
        (gram(X), gram(Y)),
        (energies(X), energies(Y)),
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)
    for one, other in zip(images.blocks, columns.blocks, strict=True):
        assert torch.equal(matrix(one.X), matrix(other.X))
    G, places = images.groups, torch.arange(len(images.W)).flip(0).numpy()
    for group in range(G):
        assert (rows_of(X, group, places) == rows_of(matrix(Y), group, places)).all()
    assert torch.cat([part for part, _ in beside(X, images.Y.double())], -1).shape[-1] == images.Y.shape[1]


@pytest.mark.parametrize("batch", [1, 3000, 10**9])
@pytest.mark.parametrize("arguments", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize("kind", list(KINDS))
def test_images_are_the_matrix_of_their_patches(
    kind: str, arguments: dict[str, Any], batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches_module, "BATCH_BYTES", batch)
    torch.manual_seed(0)
    model = nn.Sequential(KINDS[kind](**arguments), nn.ReLU()).eval()
    inputs = torch.randn(5, 4, 9) if kind == "conv1" else torch.randn(5, 4, 9, 10)
    inputs[:, 1] = 0  # a dead channel
    check_maps(*both(model, inputs, "0"))


@pytest.mark.parametrize("name", ["twice", "grouped"])
def test_calls_at_two_sizes_and_groups(name: str) -> None:
    check_maps(*both(Shared(), torch.randn(7, 2, 11, 11), name))


@pytest.mark.parametrize("cascade", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_prunes_images_as_it_prunes_columns(method: str, cascade: bool) -> None:
    model, inputs = Shared().eval(), torch.randn(12, 2, 11, 11, generator=torch.Generator().manual_seed(1))
    chosen = METHODS[method]
    if isinstance(chosen, NetTrim):
        chosen = dataclasses.replace(chosen, epsilon=0.3, tol=1e-4 if chosen.refit else 1e-6)
    (mine, report), (theirs, wanted) = (
        prune(model, inputs, chosen, cascade=cascade, max_patches=most) for most in (None, EVERYTHING)
    )
    assert report.converged == wanted.converged
    for one, other in zip(report.layers, wanted.layers, strict=True):
        assert one.columns == other.columns == one.columns_total
        assert one.radius == pytest.approx(other.radius, rel=1e-3)
        # at equal objectives an iteration may leave a few weights more, which a refit then puts to use
        assert one.discrepancy == pytest.approx(other.discrepancy, rel=0.1 if method == "nettrim_refit" else 1e-3)
        assert not one.bound_is_estimate
        assert any("operator form" in note for note in one.notes) == (one.name != "fc")
    if method == "nettrim_refit":
        return
    for (name, a), b in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-3, msg=name)


def test_images_are_certified_and_agree_with_a_second_solver() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()).eval()
    images, columns = both(model, torch.randn(6, 2, 6, 6), "0")
    result = NetTrim(epsilon=0.2, tol=1e-5).prune(images)
    assert result.converged
    assert result.stats["objective"] == pytest.approx(reference(columns, 0.2).objective, rel=1e-4)
    assert reference(images, 0.2).objective == pytest.approx(reference(columns, 0.2).objective, rel=1e-7)


def test_images_are_scaled_in_double_precision() -> None:
    torch.manual_seed(0)
    images, _ = both(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()).eval(), torch.randn(6, 2, 6, 6), "0")
    assert NetTrim(epsilon=0.005, tol=1e-7).prune(images).converged


@pytest.mark.parametrize("outputs", [1, 70])
def test_a_linear_layer_is_condensed_alike_from_images_and_columns(
    outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches_module, "BATCH_BYTES", 2000)
    torch.manual_seed(0)
    images, columns = both(nn.Sequential(nn.Conv2d(2, outputs, 3)).eval(), torch.randn(6, 2, 6, 6), "0")
    for problem in (images, columns):
        Y = problem.Y.double() + torch.randn(problem.Y.shape, generator=torch.Generator().manual_seed(1))
        X, center = condensed(problem.inputs if problem is images else problem.inputs.double(), Y, problem.W.double())
        assert X.shape == (19, 20)
        for U in (problem.W.double(), 0.3 * problem.W.double()):
            full = (problem.response(U) - Y).norm(dim=1)
            torch.testing.assert_close((response(X, U) - center).norm(dim=1), full, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("groups", [1, 2])
def test_conjugate_gradients_take_the_place_of_the_inverse(groups: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, groups=groups), nn.ReLU()).eval()
    images, columns = both(model, torch.randn(10, 2, 8, 8), "0")
    target = response_set(columns, 0.2)
    solved = [
        ADMM(problem.inputs, problem.W, torch.float64, direct).solve(target, 1e-6)
        for problem in (images, columns)
        for direct in (0, 5000)
    ]
    for found in solved:
        assert found.converged
        torch.testing.assert_close(found.U, solved[-1].U, rtol=1e-3, atol=1e-4)


def test_conjugate_gradients_solve_every_column() -> None:
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(20, 30, dtype=torch.float64, generator=generator)
    A = A @ A.T + torch.eye(20)
    right = torch.randn(20, 4, dtype=torch.float64, generator=generator)
    right[:, 2] = 0
    found = conjugate_gradients(lambda U: A @ U, right, torch.zeros_like(right))
    torch.testing.assert_close(found, torch.linalg.solve(A, right), rtol=1e-4, atol=1e-6)


def test_images_fit_where_their_columns_do_not(images: Tensor) -> None:
    model, limit = small_cnn(), 40 * (2 * 100 + 6 * 100 + 6 * 25 + 8 * 4 + 32 + 5) * 4 + 1000
    with pytest.raises(ValueError, match=r"max_patches; None keeps all"):
        Network(model, images, max_patches=EVERYTHING, memory_limit=limit)
    Network(model, images, max_patches=None, memory_limit=limit)


def test_a_cascades_rules_hold_in_both_forms() -> None:
    model, inputs = Shared().eval(), torch.randn(12, 2, 11, 11, generator=torch.Generator().manual_seed(1))
    rules = Cascade(gamma=2.0, dense=False)
    radii = [
        [layer.radius for layer in prune(model, inputs, "lobs", cascade=rules, max_patches=most)[1].layers]
        for most in (None, EVERYTHING)
    ]
    assert radii[0] == pytest.approx(radii[1], rel=1e-3)

"""Modules of any class: the same outputs and the same keys as steps that can be written down, or why not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nettrim_core import METHODS, from_module, load_bundle, load_model, prune, save_bundle
from nettrim_core.architecture import describe
from nettrim_core.wired import Wired
from tests.conftest import small_cnn
from tests.test_models import Audio, Branching, exported, moved_norms
from tests.test_onnx import LeNet, Projected


class Small(nn.Module):
    """A linear layer of four inputs, and what a test does with it."""

    def __init__(self, then: Callable[[Small, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.fc, self.then = nn.Linear(4, 4), then
        self.scale = nn.Parameter(torch.tensor(0.7))
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.then(self, x)


def sizes_known(m: Small, x: Tensor) -> Tensor:
    """The batch becomes a number of Python, and the views are of that number."""
    n = int(x.shape[0])
    return m.fc(x.view(n, 2, 2).reshape(n * 2, 2).view(n, 4)).view(n, -1)


def constants(m: Small, x: Tensor) -> Tensor:
    return (m.fc(x) * m.scale - torch.tensor(0.25)) * torch.tensor(3.0)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "lenet": (LeNet, (1, 28, 28)),
    "projected": (Projected, (3, 8, 8)),
    "branching": (Branching, (2, 8, 8)),
    "audio": (Audio, (1, 160)),
    "sizes known": (lambda: Small(sizes_known), (4,)),
    "constants": (lambda: Small(constants), (4,)),
    "tied": (Tied, (4,)),
}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_gives_steps_with_its_outputs_and_its_keys(name: str) -> None:
    torch.manual_seed(2)
    make, shape = MODULES[name]
    model = moved_norms(make()).train()
    before, rows = copy.deepcopy(model.state_dict()), torch.randn(9, *shape)
    read = from_module(model, rows)
    assert isinstance(read, Wired)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert model.training
    for batch in (rows, rows[:1], torch.randn(20, *shape)):
        assert torch.allclose(read(batch), copy.deepcopy(model).eval()(batch), rtol=1e-6, atol=1e-6)
    model.load_state_dict(read.state_dict(), strict=True)


def test_a_program_for_a_batch_of_one_size_is_read_as_any(tmp_path: Path) -> None:
    """Whose views hold the size of the batch."""
    torch.manual_seed(4)
    model, rows = LeNet().eval(), torch.randn(7, 1, 28, 28)
    for batch in (1, 2, 5):
        torch.export.save(torch.export.export(model, (rows[:batch],)), tmp_path / "fixed.pt2")
        assert torch.allclose(load_model(tmp_path / "fixed.pt2")(rows), model(rows), rtol=1e-6, atol=1e-6)


def test_layers_that_share_a_weight_keep_their_own_biases(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model, rows = Tied().eval(), torch.randn(6, 4)
    read = load_model(exported(model, rows, tmp_path / "tied.pt2"))
    assert torch.equal(read(rows), model(rows))


def test_a_module_is_kept_as_a_bundle_and_pruned(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = LeNet()
    rows = torch.randn(30, 1, 28, 28), torch.randint(10, (30,))
    kept = load_bundle(save_bundle(tmp_path / "mine", model, train=rows, validation=rows, test=rows)).model
    assert torch.allclose(kept(rows[0]), model.eval()(rows[0]), rtol=1e-6, atol=1e-6)
    pruned, report = prune(kept, rows[0], METHODS["magnitude"])
    straight, _ = prune(model, rows[0], METHODS["magnitude"])
    assert [layer.name for layer in report.layers] == ["conv1", "conv2", "fc1", "fc2"]
    model.load_state_dict(pruned.state_dict(), strict=True)
    assert torch.allclose(model(rows[0]), straight(rows[0]), rtol=1e-5, atol=1e-6)


def test_what_can_be_written_down_stays_as_it_is(tmp_path: Path) -> None:
    chain = small_cnn()
    assert from_module(chain, torch.randn(2, 2, 10, 10)) is chain
    rows = torch.randint(0, 255, (5, 2, 10, 10), dtype=torch.uint8), torch.randint(5, (5,))  # as images are stored
    kept = load_bundle(save_bundle(tmp_path / "mine", chain, train=rows, validation=rows, test=rows)).model
    assert describe(kept) == describe(chain)


def last_row(m: Small, x: Tensor) -> Tensor:
    return m.fc(x) + x[int(x.shape[0]) - 1]


def decides(m: Small, x: Tensor) -> Tensor:
    return m.fc(x) if bool(x.sum() > 0) else x


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "unknown": (lambda: Small(lambda m, x: torch.erfinv(m.fc(x))), "operations that are not known: aten.erfinv"),
    "decisions": (lambda: Small(decides), "torch.export cannot follow it .*: write its forward without decisions"),
    "other rows": (
        lambda: Small(last_row),
        "other outputs than the module; does a sample's output depend on the other",
    ),
    "two outputs": (lambda: Small(lambda m, x: (m.fc(x), x)), "gives 2 outputs"),  # type: ignore[return-value]
    "raises": (lambda: Small(lambda m, x: m.fc(x[:, :3])), "torch.export cannot follow it"),
    "taken name": (lambda: Small(lambda m, x: m.wiring(x), wiring=nn.Linear(4, 4)), "'wiring' is taken"),
    "odd name": (
        lambda: Small(lambda m, x: m.parts["a-b"](x), parts=nn.ModuleDict({"a-b": nn.Linear(4, 4)})),  # type: ignore[index]
        "'parts.a-b.bias' cannot be a name in its state dict: rename it in the module",
    ),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_module_that_cannot_be_read_is_refused_in_a_sentence(fault: str) -> None:
    make, says = REFUSED[fault]
    with pytest.raises(ValueError, match=f"a Small cannot be written down.*{says}") as refused:
        from_module(make(), torch.randn(6, 4))
    assert "\n" not in str(refused.value)


def test_inputs_that_are_none_are_refused() -> None:
    for inputs, says in (
        (torch.zeros(0, 4), "no samples"),
        (torch.full((2, 4), torch.nan), "NaN"),
        (3, "float tensor"),
    ):
        with pytest.raises(ValueError, match=f"example_inputs .*{says}"):
            from_module(Small(lambda m, x: m.fc(x)), inputs)  # type: ignore[arg-type]

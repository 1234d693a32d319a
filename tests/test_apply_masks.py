"""Masks that are held: zero whatever trains the network."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from nettrim_core import apply_masks, masks_of
from tests.conftest import small_cnn, small_mlp

OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=0.1, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.9),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01, weight_decay=0.1),
}


def some_masks(model: nn.Module) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)  # not the seed of the weights
    return {name: torch.rand(mask.shape, generator=generator) < 0.4 for name, mask in masks_of(model).items()}


def train(model: nn.Module, optimizer: torch.optim.Optimizer, inputs: Tensor, steps: int = 5) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        (model(inputs) - 1).square().mean().backward()
        optimizer.step()


def zeros_elsewhere(state: dict[str, Tensor], masks: dict[str, Tensor]) -> bool:
    return not any(bool(state[name][~mask].any()) for name, mask in masks.items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_zeros_stay_and_the_others_learn(name: str, images: Tensor) -> None:
    model = small_cnn()
    keys, masks = list(model.state_dict()), some_masks(model)
    apply_masks(model, masks)
    before = copy.deepcopy(model.state_dict())
    train(model, OPTIMIZERS[name](model.parameters()), images)
    after = dict(model.named_parameters())  # not the state dict, which puts zeros back
    assert zeros_elsewhere(after, masks)
    assert list(model.state_dict()) == keys
    for key, mask in masks.items():
        assert not torch.equal(after[key][mask], before[key][mask])


def test_training_is_that_of_a_network_without_those_weights(inputs: Tensor) -> None:
    """Neurons that masks take away altogether: the rest learns as if they had never been."""
    model, part = small_mlp(sizes=(10, 20, 4)), small_mlp(sizes=(10, 12, 4))
    masks = {"fc1.weight": torch.ones(20, 10, dtype=torch.bool), "fc1.bias": torch.ones(20, dtype=torch.bool)}
    for mask in masks.values():
        mask[12:] = False
    apply_masks(model, masks)
    with torch.no_grad():
        part.fc1.weight.copy_(model.fc1.weight[:12])
        part.fc1.bias.copy_(model.fc1.bias[:12])
        part.fc2.weight.copy_(model.fc2.weight[:, :12])
        part.fc2.bias.copy_(model.fc2.bias)
    for net in (model, part):
        train(net, OPTIMIZERS["momentum"](net.parameters()), inputs)
    torch.testing.assert_close(model(inputs), part(inputs))


def test_what_momentum_of_before_moves_is_put_back(inputs: Tensor) -> None:
    model = small_mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    train(model, optimizer, inputs, 2)
    masks = some_masks(model)
    apply_masks(model, masks)
    train(model, optimizer, inputs, 1)
    assert not zeros_elsewhere(dict(model.named_parameters()), masks)  # moved by the last step
    assert zeros_elsewhere(model.state_dict(), masks)
    train(model, optimizer, inputs, 1)
    model(inputs)
    assert zeros_elsewhere(dict(model.named_parameters()), masks)


def test_two_forwards_before_a_backward(inputs: Tensor) -> None:
    model = small_mlp()
    apply_masks(model, some_masks(model))
    (model(inputs).sum() + model(2 * inputs).sum()).backward()


def test_a_copy_holds_its_own(inputs: Tensor) -> None:
    model = small_mlp()
    masks = some_masks(model)
    apply_masks(model, masks)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.fc1.weight += 1
    other(inputs)
    assert zeros_elsewhere(dict(other.named_parameters()), masks)


def test_removed_the_weights_are_free_again(inputs: Tensor) -> None:
    model = small_mlp()
    masks = some_masks(model)
    held = apply_masks(model, masks)
    held.remove()
    assert zeros_elsewhere(dict(model.named_parameters()), masks)
    train(model, OPTIMIZERS["sgd"](model.parameters()), inputs)
    assert not zeros_elsewhere(model.state_dict(), masks)
    assert not model._forward_pre_hooks
    assert not model._state_dict_pre_hooks


def test_weights_that_are_not_trained_are_set_too() -> None:
    model = small_mlp()
    model.fc1.weight.requires_grad_(False)
    masks = some_masks(model)
    apply_masks(model, masks)
    assert zeros_elsewhere(dict(model.named_parameters()), masks)


@pytest.mark.parametrize(
    ("name", "mask", "message"),
    [
        ("fc9.weight", torch.ones(20, 10, dtype=torch.bool), r"no parameter 'fc9\.weight'"),
        ("fc1.weight", torch.ones(10, 20, dtype=torch.bool), r"'fc1\.weight' must be bool of shape \(20, 10\)"),
        ("fc1.weight", torch.ones(20, 10), r"'fc1\.weight' must be bool"),
    ],
)
def test_masks_that_do_not_fit_are_refused_by_name(name: str, mask: Tensor, message: str) -> None:
    model = small_mlp()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=message):
        apply_masks(model, {"fc2.weight": torch.zeros(15, 20, dtype=torch.bool), name: mask})
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

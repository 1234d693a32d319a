"""Chains of layers by their paths, and chains whose layers that are called as those that weights belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile

import torch
from torch import Tensor, nn

from nettrim_core.architecture import Architecture, build, describe

MOST_PARTS = 12  # of a path; what walks through chains in chains goes as deep as they do


def put(chain: nn.Sequential, path: str, layer: nn.Module) -> None:
    """Add a layer at the end; a path with dots leads into chains inside the chain. Raises ValueError for a path that
    cannot be had, or where layers of an inner chain would have others between them."""
    *above, name = path.split(".")
    if len(above) >= MOST_PARTS:
        raise ValueError(
            f"{path[:30]!r}… has {len(above) + 1:,} parts with dots between them, and the name of a layer at most "
            f"{MOST_PARTS}"
        )
    for part in above:
        if part not in chain._modules:
            chain.add_module(_free(chain, part, path), nn.Sequential())
        inner = chain.get_submodule(part)
        if part != next(reversed(chain._modules)) or type(inner) is not nn.Sequential:
            raise ValueError(f"{path!r}: the layers of {part!r} must follow each other, and hold only layers")
        chain = inner
    chain.add_module(_free(chain, name, path), layer)


def _free(chain: nn.Sequential, name: str, path: str) -> str:
    if not re.fullmatch(r"\w+", name, re.ASCII) or name in chain._modules or hasattr(chain, name):
        raise ValueError(f"{path!r} cannot be the name of a layer: {name!r} is taken, or not letters, digits and _")
    return name


def renamed(architecture: Architecture, weights: Mapping[str, Tensor], *, ordered: bool = True) -> Architecture:
    """The architecture of a chain with its layers called as the owners of ``weights``, where names differ and it can be
    told which is which; else as it is.

    They are told by their shapes: these follow each other alike, where weights are ``ordered`` as the layers are (a
    safetensors file has them by the alphabet); or they name the owner of each layer, but for owners that only differ in
    their numbers.
    """
    with torch.device("meta"):
        model = build(architecture, "architecture")
    if type(model) is not nn.Sequential or set(model.state_dict()) == set(weights):
        return architecture
    layers = list(_layers(model))
    wanted = [shapes for _, layer in layers if (shapes := _shapes(layer.state_dict()))]
    owned: dict[str, dict[str, torch.Size]] = {}
    for key, shape in _shapes(weights).items():
        owner, _, name = key.rpartition(".")
        owned.setdefault(owner, {})[name] = shape
    for owners in _orders(owned, wanted, ordered):
        if "" not in owned and [owned[owner] for owner in owners] == wanted:
            chain = nn.Sequential()
            for path, layer in _called(layers, owners):
                put(chain, path, layer)
            return describe(chain)
    return architecture


def _orders(
    owned: Mapping[str, dict[str, torch.Size]], wanted: Sequence[dict[str, torch.Size]], ordered: bool
) -> Iterator[list[str]]:
    """Orders of the owners, the likeliest first."""
    given, numbered = list(owned), sorted(owned, key=natural)
    if ordered and (given == numbered or given != sorted(given)):  # ten before two was put so by the alphabet
        yield given
    found: list[str] = []
    for shapes in wanted:
        alike = [owner for owner in numbered if owned[owner] == shapes]
        if len({re.sub(r"\d+", "", owner) for owner in alike}) == 1:
            found += [owner for owner in alike if owner not in found][:1]
    if len(found) == len(owned):
        yield found


def _layers(chain: nn.Sequential, above: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The layers of a chain and of those inside it, by their paths."""
    for name, module in chain.named_children():
        if type(module) is nn.Sequential:
            yield from _layers(module, f"{above}{name}.")
        else:
            yield f"{above}{name}", module


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Without what counts batches, which not every tool keeps."""
    return {name: value.shape for name, value in state.items() if not name.endswith("num_batches_tracked")}


def _called(layers: Sequence[tuple[str, nn.Module]], owners: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    """With the names of the owners for what has weights; what has none stays inside a chain if its neighbours do."""
    left, before = list(owners), ""
    for path, layer in layers:
        if layer.state_dict():
            before = left.pop(0)
            yield before, layer
        else:
            both = zip(before.split(".")[:-1], (left or [""])[0].split(".")[:-1], strict=False)
            chains = [one for one, _ in takewhile(lambda pair: pair[0] == pair[1], both)]
            name = path.rpartition(".")[2]
            taken = {owner.split(".")[len(chains)] for owner in owners if owner.split(".")[: len(chains)] == chains}
            yield ".".join([*chains, f"{name}_" if name in taken else name]), layer


def natural(name: str) -> list[tuple[int, str]]:
    """fc2 before fc10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.findall(r"\d+|\D+", name)]

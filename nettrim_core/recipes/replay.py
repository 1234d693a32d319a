"""Making a recipe's result again, and holding it against the former one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from nettrim_core.bundle import Bundle, load_bundle
from nettrim_core.data.rows import Reading, load_data
from nettrim_core.formats import FORMATS
from nettrim_core.models import load_model
from nettrim_core.recipes.carry_out import Hear, Outcome, carry_out
from nettrim_core.recipes.made import Made, differences, digest
from nettrim_core.recipes.recipe import Recipe
from nettrim_core.recipes.verdicts import verdicts
from nettrim_core.state import own_copy, state_of


@dataclass(frozen=True, eq=False)
class Replay(Outcome):
    """An outcome beside the one that the recipe tells of. same: are the weights those the recipe tells of, bit for bit,
    whatever file lies beside it? None where the recipe was never carried out before. sentences: what is equal, what
    differs, by how much against ties and certificates, and why it may."""

    same: bool | None
    sentences: tuple[str, ...]


def replay(
    recipe: Recipe | str | Path,
    *,
    model: str | Path | None = None,
    data: str | Path | None = None,
    weights: str | Path | None = None,
    hear: Hear | None = None,
) -> Replay:
    """Make a recipe's result again: the same bits on the same machine, with the versions and the number of threads that
    it names, which are set meanwhile.

    recipe: one, or the path of its file or of the folder that it was exported to. model, data: where the network and
    the data are now, if no longer where the recipe says. weights: model.safetensors of the former result, against which
    masks and weights are compared one by one; None takes the one in the recipe's folder, if there is one.

    Raises ValueError where the network or the data is not the one that the recipe names.
    """
    folder = None
    if not isinstance(recipe, Recipe):
        path = Path(recipe)
        folder, recipe = path if path.is_dir() else path.parent, Recipe.read(path)
        beside = folder / FORMATS["safetensors"].file
        weights = beside if weights is None and beside.is_file() else weights
    former = None if weights is None else _weights(Path(weights))
    bundle = bundle_of(recipe, model=model, data=data, folder=folder)
    with threads(recipe.made.threads if recipe.made else None):
        outcome = carry_out(recipe, bundle, hear)
    same, sentences = compared(recipe.made, outcome, former)
    return Replay(outcome.model, outcome.report, outcome.recipe, outcome.inputs, same, sentences)


def bundle_of(
    recipe: Recipe, *, model: str | Path | None = None, data: str | Path | None = None, folder: Path | None = None
) -> Bundle:
    """The network and the rows that a recipe names, or those at other places; a path that leads nowhere from here is
    tried from ``folder``."""
    return reopened(str(model or recipe.plan.bundle), recipe.data, recipe.architecture, data=data, folder=folder)


def reopened(
    model: str, reading: Reading | None, architecture: str = "", *, data: str | Path | None = None,
    folder: Path | None = None,
) -> Bundle:  # fmt: skip
    """A network and its rows as they were read before. reading: None for a bundle, which has its own."""
    if reading is None:
        return load_bundle(_found(model, folder))
    network = load_model(_found(model, folder), architecture=architecture or None)
    options = reading.options
    if options.labels_path:
        options = dataclasses.replace(options, labels_path=_found(options.labels_path, folder))
    rows = load_data(_found(str(data or reading.path), folder), options, digest=reading.digest)
    return Bundle.of(network, rows, Path(model).stem)


def _found(path: str, folder: Path | None) -> str:
    beside = None if folder is None else folder / path
    return str(beside) if beside is not None and beside.exists() and not Path(path).exists() else path


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """So many threads of torch meanwhile; None leaves them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def compared(
    former: Made | None, outcome: Outcome, weights: Mapping[str, Tensor] | None = None
) -> tuple[bool | None, tuple[str, ...]]:
    """Are the weights what they were, and a sentence on everything that tells. weights: the former ones, if at hand."""
    now = outcome.recipe.made
    assert now is not None
    if former is None:
        return None, ("The recipe tells of no former result to compare with.",)
    strangers = weights is not None and digest(weights) != former.weights
    same = now.weights == former.weights
    said = ["The weights are equal to the former ones, bit for bit."]
    state = state_of(own_copy(outcome.model))
    if not same:
        known = None if strangers else weights
        said = ["The weights are not equal bit for bit.", *verdicts(former, now, outcome.report, known, state)]
        said += differences(former, now)
    if strangers:
        said.append("The weights that lie beside the recipe are not those it tells of.")
    if weights is not None:
        said += _of_weights(state, weights)
    return same, tuple(said)


def _of_weights(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> Iterator[str]:
    for name, value in state.items():
        old = weights.get(name)
        if old is None or old.shape != value.shape:
            yield f"{name} is not among the former weights, or has another shape."
        elif value.is_floating_point() and not torch.equal(value, old):
            places, apart = int(((value == 0) != (old == 0)).sum()), float((value - old).abs().max())
            yield (
                f"{name}: {places:,} of {value.numel():,} entries are zero in one and not in the other, and none "
                f"differs by more than {apart:.2g}."
            )


def _weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: cannot be read as the former weights ({error}): give model.safetensors") from error

"""recipe.toml: all that made the network, for ``nettrim replay``."""

from __future__ import annotations

from pathlib import Path

from nettrim_core.formats.format import Format, Source
from nettrim_core.recipes.recipe import FILE, Recipe


def _write(source: Source, path: Path) -> None:
    source.made_by.write(path)


def _check(source: Source, path: Path) -> str:
    if Recipe.read(path) != source.made_by:
        raise ValueError(f"{path}: the recipe differs after loading")
    return f"{path.name} was loaded again: every entry equal"


FORMAT = Format(
    "Recipe (TOML)",
    FILE,
    "All that made this result, in a text that people read; `nettrim replay` makes it again from it.",
    _write,
    _check,
    needs_recipe=True,
)

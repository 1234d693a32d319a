"""A recipe: everything that makes one pruned network, as a text file (TOML) that people read and programs carry out.

version = 1
[network]      bundle (a sample's name, a bundle's folder, or the file of a network), fingerprint, layers
[data]         how a file of data was read, where the network has none of its own
[calibration]  samples, seed, max_patches, batchnorm
[method]       name, and every setting
[cascade]      its rules, where layers were pruned in order; [scale] factors on epsilon, layer by layer
[budget]       sparsity, left or drop; rule, loss, locked
[training]     of the retraining after pruning; rounds, where the two took turns; where it was interrupted
[made]         what came out, where, and with which versions
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from nettrim_core.allocate import Wanted, check_target, target_of, target_to
from nettrim_core.cascade import Cascade
from nettrim_core.data.rows import Reading
from nettrim_core.finetune import Training
from nettrim_core.methods import method_name
from nettrim_core.plan import Plan, method_from
from nettrim_core.problem import Method
from nettrim_core.recipes.made import Made
from nettrim_core.recipes.table import Table
from nettrim_core.recipes.text import MOST_BYTES, check_text

VERSION = 1
FILE = "recipe.toml"
HEAD = "# What makes one pruned network. `nettrim replay` with this file makes it again.\n\n"


@dataclass(frozen=True)
class Budgeted:
    """One budget for all layers in place of one epsilon; as for :func:`nettrim_core.allocate`. locked: (layer, fraction
    of zeros)."""

    target: Wanted
    rule: str = "hull"
    loss: str = "auto"
    locked: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        check_target(self.target, self.rule)


@dataclass(frozen=True)
class Recipe:
    """plan: the network, its layers and its calibration rows. method: with all its settings; epsilon, or the budget,
    says how far. training: of the retraining afterwards, with the zeros after each of the ``rounds`` where pruning and
    retraining take turns. steps: after how many of them, as they are heard of, the retraining was interrupted; 0 if it
    ended by itself.

    data: how the rows were read, None for a bundle, which has its own. architecture: of a network whose file holds
    weights alone, as :func:`nettrim_core.load_model` takes it. fingerprint: of network and rows, "" for any. made: what
    came out of it once; None before.
    """

    plan: Plan
    method: Method
    budget: Budgeted | None = None
    training: Training | None = None
    rounds: tuple[float, ...] = ()
    steps: int = 0
    data: Reading | None = None
    architecture: str = ""
    fingerprint: str = ""
    made: Made | None = None

    def __post_init__(self) -> None:
        if self.rounds and (self.training is None or self.budget is not None):
            raise ValueError("a recipe with rounds needs training, and their targets take the place of a budget")
        for zeros in self.rounds:
            if not 0 <= zeros <= 1:  # NaN is not in any range
                raise ValueError(f"[training] rounds: {zeros!r} is out of range: 0 <= zeros <= 1")
        if self.plan.scale and (self.budget is not None or self.rounds):
            raise ValueError("a recipe's scale changes the layers' epsilons, and a budget or rounds ask for none")

    @property
    def method_name(self) -> str:
        return method_name(self.method)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the tables of the file. What there is nothing to say of is left out."""
        plan = self.plan
        network = {"bundle": plan.bundle, "fingerprint": self.fingerprint, "layers": list(plan.layers)}
        calibration = {"samples": plan.samples, **plan.options()}
        tables: dict[str, Any] = {
            "version": VERSION,
            "network": network | ({"architecture": self.architecture} if self.architecture else {}),
            "calibration": calibration | {"max_patches": plan.patches or "all"},
            "method": {"name": self.method_name, **dataclasses.asdict(self.method)},  # type: ignore[call-overload]
        }
        if self.data is not None:
            tables["data"] = self.data.to_dict()
        if plan.cascade is not None:
            tables["cascade"] = dataclasses.asdict(plan.cascade)
        if plan.scale:
            tables["scale"] = dict(plan.scale)
        if self.budget is not None:
            asked = self.budget
            tables["budget"] = {**target_to(asked.target), "rule": asked.rule, "loss": asked.loss}
            tables["budget"] |= {"locked": dict(asked.locked)} if asked.locked else {}
        if self.training is not None:
            tables["training"] = dataclasses.asdict(self.training)
            tables["training"] |= {"rounds": list(self.rounds)} if self.rounds else {}
            tables["training"] |= {"interrupted_after": self.steps} if self.steps else {}
        if self.made is not None:
            tables["made"] = self.made.to_dict()
        return tables

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any], where: str = "recipe") -> Recipe:
        """The recipe of these tables; ValueError naming the place for what is missing, unknown or out of range."""
        whole = Table(where, tables)
        if (version := whole.take("version", int)) != VERSION:
            raise ValueError(f"{where}: version = {version} is not known here, {VERSION} is: update nettrim-studio")
        network, calibration, method = whole.table("network"), whole.table("calibration"), whole.table("method")
        patches = calibration.take("max_patches", int | str)
        if isinstance(patches, str) and patches != "all":
            raise ValueError(f'{where}: max_patches in [calibration] must be a number or "all", not {patches!r}')
        scale = whole.optional("scale")
        plan = Plan(
            network.take("bundle", str),
            tuple(network.names("layers")),
            whole.settings("cascade", Cascade),
            calibration.take("samples", int),
            calibration.take("seed", int),
            None if patches == "all" else patches,
            tuple((name, scale.take(name, float)) for name in list(scale.values)) if scale else (),
            calibration.take("batchnorm", str),
        )
        name = method.take("name", str)
        budget, training, data = whole.optional("budget"), whole.optional("training"), whole.optional("data")
        rounds = tuple(training.numbers("rounds")) if training and "rounds" in training.values else ()
        steps = training.take("interrupted_after", int, 0) if training else 0
        try:
            recipe = cls(
                plan,
                method_from(name, method.rest()),
                _budgeted(budget) if budget else None,
                Training(**training.rest()) if training else None,
                rounds,
                steps,
                Reading.from_dict(data.rest()) if data else None,
                network.take("architecture", str, ""),
                network.take("fingerprint", str, ""),
                Made.from_dict(whole.take("made", dict)) if "made" in whole.values else None,
            )
        except (TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ValueError(f"{where}: a recipe is not laid out like this: {error}") from error
        except ValueError as error:
            raise ValueError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error
        for table in (whole, network, calibration):
            table.finished()
        return recipe

    def to_toml(self) -> str:
        """The text of the file."""
        return HEAD + tomli_w.dumps(self.to_dict())

    @classmethod
    def from_toml(cls, text: str, where: str = FILE) -> Recipe:
        """The recipe in a text; ``where`` names the file in errors."""
        try:
            check_text(text)
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{where}: this is not TOML ({error}): take a recipe as it was exported") from error
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{where}: {error}: take a recipe as it was exported") from error
        return cls.from_dict(tables, where)

    def write(self, path: str | Path) -> Path:
        file = Path(path)
        file.write_text(self.to_toml(), encoding="utf-8")
        return file

    @classmethod
    def read(cls, path: str | Path) -> Recipe:
        """The recipe in a file, or in the folder that was exported with it. Raises ValueError naming the file."""
        file = Path(path)
        file = file / FILE if file.is_dir() else file
        try:
            if file.stat().st_size > MOST_BYTES:
                raise ValueError(f"{file}: over {MOST_BYTES:,} bytes is no recipe: give the {FILE} of an export")
            return cls.from_toml(file.read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{file}: cannot be read as a recipe ({error}): give the {FILE} of an export") from error


def _budgeted(table: Table) -> Budgeted:
    locked = table.optional("locked")
    rule, loss = table.take("rule", str), table.take("loss", str)
    share = tuple((name, locked.take(name, float)) for name in list(locked.values)) if locked else ()
    return Budgeted(target_of({name: table.take(name, float) for name in list(table.values)}), rule, loss, share)

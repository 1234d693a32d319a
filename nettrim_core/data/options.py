"""How a user's data is read, as one frozen value that a form can be built from."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nettrim_core.problem import Settings, choice, setting

SPLITS = ("train", "validation", "test")


def told(default: Any, help: str) -> Any:
    """A field without a range: a name, or a tuple of names or numbers; its help is under "says"."""
    return field(default=default, metadata={"says": help})


@dataclass(frozen=True)
class DataOptions(Settings):
    """What :func:`nettrim_core.load_data` is told of a file; the defaults suit a file that follows the usual names.

    Values are first read, then split, reshaped, put channels first, and at last normalised: x becomes
    ((x - shift) / scale - mean) / std, with shift and scale as ``normalise`` says, from the calibration rows alone.
    """

    labelled: bool = setting(True, help="read labels, where there are some; everything but accuracy works without")
    label: str | int = told("", "where labels are: a column (by name, or number from 0, -1 the last) or an NPZ key")
    labels_path: str = told("", "a second file that holds the labels, for NPY and IDX")
    inputs: str = told("", "the NPZ key that holds the inputs")
    leave_out: tuple[str | int, ...] = told((), "columns that are no inputs, by name, or number from 0")
    header: str = choice("found out", "yes", "no", help="does the first line of a CSV file name its columns")
    delimiter: str = told("", "what stands between two cells of a CSV file; empty: found out")
    first_class: int = setting(0, 0, 1, help="the number of the first class, where labels are numbers")
    colour: str = choice("as stored", "grey", "colour", help="images become grey (1 channel) or colour (3: R, G, B)")
    size: tuple[int, ...] = told((), "height and width that images are resized to; empty: as they are")
    channels: str = choice("first", "last", help="where the channels of a sample are stored; they are put first")
    shape: tuple[int, ...] = told(
        (), "the shape of one sample, such as 1, 28, 28 or, with channels last, 28, 28, 1; empty: as stored"
    )
    normalise: str = choice(
        "none", "255", "range", "feature", "channel",
        help="divide by 255; or bring the values to 0 to 1; or each feature or channel to mean 0 and deviation 1",
    )  # fmt: skip
    mean: tuple[float, ...] = told((), "subtracted after that: one number, or one for each channel")
    std: tuple[float, ...] = told((), "then divided by: one number, or one for each channel")
    validation: float = setting(0.2, 0, 1, open=True, help="part of the rows on which choices are judged")
    test: float = setting(0.2, 0, 1, open=True, help="part of the rows for the final report")
    seed: int = setting(0, 0, 2**31 - 1, help="draws the rows and the splits")
    rows: int = setting(0, 0, 10**9, help="at most so many rows are kept, drawn with the seed; 0 keeps all")
    limit_mb: float = setting(
        1000.0, 0, 1e5, open=True, help="megabytes a file, what it unpacks to, or the inputs may take"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_words()
        for name, count in (("leave_out", None), ("size", 2), ("shape", None), ("mean", None), ("std", None)):
            self._check_tuple(name, count)
        if self.calibration < 1e-9:  # seven tenths and three tenths leave a rounding error
            raise ValueError(
                f"DataOptions.validation + test = {self.validation + self.test:g} leaves no calibration rows: their "
                "sum must be less than 1"
            )

    @property
    def calibration(self) -> float:
        """The part of the rows that is left for calibration: ``1 - validation - test``."""
        return 1 - self.validation - self.test

    @property
    def limit(self) -> int:
        """Bytes."""
        return int(self.limit_mb * 1e6)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that JSON can carry; options at their default are left out."""
        changed = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        usual = {f.name: f.default for f in dataclasses.fields(self)}
        kept = {name: value for name, value in changed.items() if value != usual[name]}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in kept.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DataOptions:
        """The options that :meth:`to_dict` wrote down; ValueError for an unknown or illegal one."""
        known = {f.name for f in dataclasses.fields(cls)}
        if unknown := set(data) - known:
            raise ValueError(f"DataOptions has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(known))}")
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
        return cls(**values)

    def _check_words(self) -> None:
        for name in ("labels_path", "inputs", "delimiter", "label"):
            value = getattr(self, name)
            numbered = name == "label" and isinstance(value, int) and not isinstance(value, bool)
            if not isinstance(value, str) and not numbered:
                raise ValueError(f"DataOptions.{name} = {value!r} is not a name")
        legal = len(self.delimiter) < 2 and self.delimiter.isascii() and self.delimiter not in ('"', "\r", "\n", "\0")
        if not legal:
            raise ValueError(f"DataOptions.delimiter = {self.delimiter!r} must be one character, such as a comma")

    def _check_tuple(self, name: str, count: int | None) -> None:
        value = getattr(self, name)
        legal = {
            "leave_out": lambda part: isinstance(part, str | int) and not isinstance(part, bool),
            "size": lambda part: type(part) is int and 1 <= part <= 4096,
            "shape": lambda part: type(part) is int and 1 <= part <= 10**9,
            "mean": lambda part: type(part) in (int, float) and math.isfinite(part),
            "std": lambda part: type(part) in (int, float) and 0 < part < math.inf,
        }[name]
        words = {
            "leave_out": "names or numbers of columns",
            "size": "a height and a width from 1 to 4096",
            "shape": "whole numbers of at least 1",
            "mean": "finite numbers",
            "std": "positive finite numbers",
        }[name]
        if not isinstance(value, tuple) or not all(map(legal, value)) or (count and len(value) not in (0, count)):
            raise ValueError(f"DataOptions.{name} = {value!r} must be a tuple of {words}, or empty")

"""The vocabulary: a layer is a problem, a method is a value, a result carries its own proof.

Orientation, here and in every method: samples are columns, weights are (inputs, outputs), as in the papers
(Net-Trim, arXiv 1611.05162 and 1806.06457; Layer-wise Optimal Brain Surgeon, arXiv 1705.07565).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from nettrim_core.executor import current
from nettrim_core.inputs import Inputs, alive, correlate, response
from nettrim_core.patches import Patches

GAMMA = 1.1  # the cascade's slack in the Net-Trim papers' experiments


def setting(default: Any, low: float = 0.0, high: float = 1.0, *, help: str, open: bool = False) -> Any:
    """A dataclass field that knows its legal range: the constructor checks it, a form builds its widget from it.

    ``low <= value <= high``, or ``low < value < high`` where ``open``. One whose default is a bool is a switch, one
    whose default is an int takes whole numbers.
    """
    return field(default=default, metadata={"low": low, "high": high, "help": help, "open": open})


def choice(*options: str, help: str) -> Any:
    """A :func:`setting` that takes one of a few words, the first by default."""
    return field(default=options[0], metadata={"options": options, "help": help})


def tolerance() -> Any:
    """The setting that every method has: epsilon."""
    return setting(0.1, 0, 1, open=True, help="allowed discrepancy of the layer's response, relative to its norm")


class Settings:
    """Base of frozen dataclasses made of :func:`setting` fields; the constructor refuses values out of range."""

    def __post_init__(self) -> None:
        for f in settings_of(self):
            check_setting(type(self).__name__, f, getattr(self, f.name))


def settings_of(owner: Any) -> list[dataclasses.Field[Any]]:
    """The fields of a :class:`Settings` value or class that were made by :func:`setting`, in order."""
    return [f for f in dataclasses.fields(owner) if "help" in f.metadata]


def legal_values(f: dataclasses.Field[Any]) -> str:
    """What a setting may be, in words."""
    if options := f.metadata.get("options"):
        return f"one of {', '.join(options)}"
    if isinstance(f.default, bool):
        return "True or False"
    low, high = f.metadata["low"], f.metadata["high"]
    return f"{low:g} < {f.name} < {high:g}" if f.metadata["open"] else f"{low:g} <= {f.name} <= {high:g}"


def check_setting(owner: str, f: dataclasses.Field[Any], value: Any) -> None:
    """Raise ValueError unless ``value`` is legal for the setting ``f``."""
    if not _is_legal(f, value):
        wrong = "out of range: " if "low" in f.metadata and not isinstance(f.default, bool) else "not "
        raise ValueError(f"{owner}.{f.name} = {value!r} is {wrong}{legal_values(f)} ({f.metadata['help']})")


def _is_legal(f: dataclasses.Field[Any], value: object) -> bool:
    if options := f.metadata.get("options"):
        return value in options
    if isinstance(f.default, bool) or isinstance(value, bool):
        return isinstance(f.default, bool) and isinstance(value, bool)
    if not isinstance(value, int if isinstance(f.default, int) else int | float):
        return False
    low, high = f.metadata["low"], f.metadata["high"]
    return low < value < high if f.metadata["open"] else low <= value <= high


def check_sparsity(sparsity: float) -> None:
    """Raise ValueError unless ``sparsity`` is a fraction."""
    if not 0 <= sparsity <= 1:
        raise ValueError(f"sparsity = {sparsity!r} is out of range: 0 <= sparsity <= 1 (a fraction, not per cent)")


@dataclass(frozen=True)
class Size:
    """What a layer's cost depends on. inputs: those of one output that are not always zero; a bias is one. images: the
    numbers in a convolution's inputs where they are held as images, 0 where they are columns."""

    inputs: int
    outputs: int
    samples: int
    relu: bool
    groups: int = 1
    images: int = 0

    @property
    def held(self) -> int:
        """The numbers in the inputs as they are held."""
        return self.images or self.groups * self.inputs * self.samples


@dataclass(frozen=True, eq=False)
class LayerProblem:
    """What a layer must keep doing; says nothing of any method.

    X: (N, P) layer inputs, a sample a column; the last row is ones if ``bias``. A convolution's may be Patches.
    Y: (M, P) the trained layer's outputs, after the activation: act(W'X + shift).
    W: (N, M) trained weights; the bias is the last row.
    relu: is the activation a ReLU (else the identity).
    pruned_inputs: X comes from a network that is already pruned upstream (a cascade).
    gamma: in a cascade, the factor on the squared error already made that gives the radius;
        None lets epsilon set the radius there too. Without ``pruned_inputs`` it has no effect.
    shift: (M,) a constant of each output, which is no weight: what a batch norm after the layer adds. None for none.
    responses: (M, P) W'X of the dense network, where X is of a pruned one: what a method that fits responses by least
        squares aims at. None: at W'X, whatever X is.
    groups: inputs and outputs come in so many groups, and an output sees the inputs of its own group only, and the
        bias: X is (groups n, P), plus the row of ones, and W (n, M), plus the bias.
    gram: XX' of a problem without groups, where it is known already; None to have it computed.

    Raises ValueError for shapes that do not fit, no samples, NaN or Inf, a bias row that is not ones,
    or negative targets of a ReLU layer. Fewer samples than inputs are legal.
    """

    X: Inputs
    Y: Tensor
    W: Tensor
    relu: bool
    bias: bool = True
    pruned_inputs: bool = False
    gamma: float | None = GAMMA
    shift: Tensor | None = None
    groups: int = 1
    responses: Tensor | None = None
    gram: Tensor | None = None

    def __post_init__(self) -> None:
        columns = () if isinstance(self.X, Patches) else (("X", self.X),)
        for name, tensor in (*columns, ("Y", self.Y), ("W", self.W)):
            if not isinstance(tensor, Tensor) or tensor.ndim != 2 or not tensor.is_floating_point():
                shape = tuple(getattr(tensor, "shape", ()))
                raise ValueError(
                    f"{name} must be a two-dimensional float tensor; got {type(tensor).__name__} of shape {shape}"
                )
        (rows, P), (M, PY), (NW, MW) = self.X.shape, self.Y.shape, self.W.shape
        N = (rows - self.bias) // self.groups + self.bias
        if PY != P:
            raise ValueError(
                f"X has {P} samples (columns) but Y has {PY}: both are (features, samples); is one transposed?"
            )
        if (rows - self.bias) % self.groups or M % self.groups:
            raise ValueError(
                f"{rows - self.bias} inputs and {M} outputs are not whole multiples of {self.groups} groups"
            )
        if (NW, MW) != (N, M):
            raise ValueError(
                f"W is {NW} x {MW} but X has {rows} rows and Y has {M}: W must be (inputs, outputs) = ({N}, {M}); "
                "torch stores (outputs, inputs), and a bias is one more row of W and X"
            )
        if self.shift is not None and self.shift.shape != (M,):
            raise ValueError(
                f"shift has the shape {tuple(self.shift.shape)}; one number for each of {M} outputs is needed"
            )
        if self.responses is not None and self.responses.shape != (M, P):
            raise ValueError(f"responses has the shape {tuple(self.responses.shape)}; that of Y, ({M}, {P}), is needed")
        if min(N, M, P) == 0:
            raise ValueError(
                f"the problem is empty: N={N} inputs, M={M} outputs, P={P} samples; each must be at least 1"
            )
        known = [("Y", self.Y), ("W", self.W), ("shift", self.shift), ("responses", self.responses)]
        known += [("X", part) for part in (self.X.images if isinstance(self.X, Patches) else [self.X])]
        for name, tensor in known:
            if tensor is None:
                continue
            if bad := int((~torch.isfinite(tensor)).sum()):
                raise ValueError(
                    f"{name} has {bad} NaN or infinite entries; every entry must be finite. Did training diverge?"
                )
        ones = self.X.ones == 1 if isinstance(self.X, Patches) else bool((self.X[-1] == 1).all())
        if self.bias and not ones:
            raise ValueError(
                "bias=True, but the last row of X is not all ones; append the row of ones or pass bias=False"
            )
        if self.relu and bool((self.Y < 0).any()):
            low = float(self.Y.min())
            raise ValueError(
                f"Y has negative entries (least {low:g}) but relu=True: Y is the output after the ReLU, so >= 0"
            )
        if self.gamma is not None and not self.gamma > 0:
            raise ValueError(
                f"gamma = {self.gamma!r} must be positive or None (at least 1 keeps the trained weights feasible)"
            )

    @cached_property
    def omega(self) -> Tensor:
        """(M, P) bool: where the response must match Y. ``Y > 0`` for a ReLU layer, everywhere for a linear one."""
        return self.Y > 0 if self.relu else torch.ones_like(self.Y, dtype=torch.bool)

    @cached_property
    def constant(self) -> Tensor:
        """(M, 1) float64: the shift, zeros where there is none."""
        return (self.Y.new_zeros(len(self.Y)) if self.shift is None else self.shift).double()[:, None]

    @cached_property
    def blocks(self) -> tuple[LayerProblem, ...]:
        """One problem for each group, in the order of the outputs; of a layer without groups, itself."""
        if self.groups == 1:
            return (self,)
        G = self.groups
        parts = zip(
            self._inputs_of_groups(), self.Y.chunk(G), self.W.chunk(G, 1), self.constant[:, 0].chunk(G),
            [None] * G if self.responses is None else self.responses.chunk(G), strict=True,
        )  # fmt: skip
        return tuple(
            dataclasses.replace(self, X=X, Y=Y, W=W, shift=shift, responses=Z, groups=1) for X, Y, W, shift, Z in parts
        )

    def neuron(self, index: int) -> LayerProblem:
        """The problem of one neuron: its group's inputs, and it alone; ValueError for one that the layer has not. What
        is the whole layer's, such as the radius, is not to be had from it."""
        M = len(self.Y)
        if not 0 <= index < M:
            raise ValueError(f"neuron = {index!r} is out of range: 0 <= neuron < {M}, the layer's outputs from 0")
        group, place = divmod(index, M // self.groups)
        block, own = self.blocks[group], slice(place, place + 1)
        shift, Z = (None if rows is None else rows[own] for rows in (block.shift, block.responses))
        return dataclasses.replace(block, Y=block.Y[own], W=block.W[:, own], shift=shift, responses=Z)

    def _inputs_of_groups(self) -> list[Inputs]:
        if isinstance(self.X, Patches):
            return [self.X.group(i) for i in range(self.groups)]
        body, ones = (self.X[:-1], self.X[-1:]) if self.bias else (self.X, self.X[:0])
        return [torch.cat([X, ones]) for X in body.chunk(self.groups)]

    @cached_property
    def alive(self) -> Tensor:
        """(N,) bool, of a problem without groups: inputs that are not zero on every sample. Weights of the others are
        free zeros."""
        assert self.groups == 1
        return alive(self.X)

    @property
    def size(self) -> Size:
        inputs = max(int(block.alive.sum()) for block in self.blocks)
        images = self.X.numbers if isinstance(self.X, Patches) else 0
        return Size(inputs, len(self.Y), self.X.shape[1], self.relu, self.groups, images)

    @property
    def inputs(self) -> Inputs:
        """X (N, P), or (groups, N, P) with every group's row of ones: see :mod:`nettrim_core.inputs`."""
        if self.groups == 1 or isinstance(self.X, Patches):
            return self.X
        return torch.stack([X for X in self._inputs_of_groups() if isinstance(X, Tensor)])

    def response(self, U: Tensor) -> Tensor:
        """(M, P) U'X in float64, without the shift."""
        return response(self._precise, U.double())

    def correlate(self, L: Tensor) -> Tensor:
        """(N, M) X L' in float64 of L (M, P): the adjoint of :meth:`response`."""
        return correlate(self._precise, L.double())

    @property
    def _precise(self) -> Inputs:
        return self.inputs.double() if isinstance(self.inputs, Tensor) else self.inputs

    @cached_property
    def norm(self) -> float:
        """||Y||_F, the unit of epsilon and of the discrepancy."""
        return frobenius(self.Y)

    def activate(self, response: Tensor) -> Tensor:
        """The layer's output for a response U'X: act(U'X + shift)."""
        return (response + self.constant).relu() if self.relu else response + self.constant

    def double(self) -> LayerProblem:
        """The same problem in float64."""
        Z = None if self.responses is None else self.responses.double()
        X = self.X if isinstance(self.X, Patches) else self.X.double()  # whose batches take the dtype that is asked for
        return dataclasses.replace(self, X=X, Y=self.Y.double(), W=self.W.double(), responses=Z)


@dataclass(frozen=True, eq=False)
class LayerResult:
    """The pruned weights of a layer and what its method knows about them.

    U: (N, M), in the dtype of W, pruned entries exactly zero.
    converged: did the method deliver what was asked, to its tolerance.
    stats: figures only this method knows, such as gap, violation, iterations, seconds, epsilon, radius.
    neurons: the same per neuron, each (M,).
    """

    U: Tensor
    converged: bool
    stats: dict[str, float]
    neurons: dict[str, Tensor] = field(default_factory=dict)


class Curve(Protocol):
    """A layer at any number of zeros; what is common to them is done once."""

    def points(self) -> Iterator[LayerResult]:
        """From few zeros to many, a few dozen."""
        ...

    def at(self, sparsity: float) -> LayerResult:
        """The layer pruned to a fraction of zeros; ValueError for one that is none or cannot be had."""
        ...


class Method(Protocol):
    """A frozen dataclass of a few settings. ``epsilon`` is the allowed discrepancy, relative to ||Y||_F."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]

    @property
    def epsilon(self) -> float: ...

    def prune(self, problem: LayerProblem) -> LayerResult:
        """The layer pruned to ``self.epsilon``."""
        ...

    def path(self, problem: LayerProblem, epsilons: Iterable[float]) -> Iterator[LayerResult]:
        """One result per epsilon, in the order given, sharing work between them."""
        ...

    def refine(self, problem: LayerProblem, epsilons: Iterable[float]) -> Iterator[tuple[int, LayerResult]]:
        """(index, result): coarse answers first where a method has them, and the last one of each index is that of
        ``path``."""
        ...

    def curve(self, problem: LayerProblem) -> Curve:
        """The whole trade-off between zeros and error, as far as it is asked for."""
        ...

    def at_sparsity(self, problem: LayerProblem, sparsity: float) -> LayerResult:
        """The layer pruned to a fraction of zeros."""
        ...

    def paths(
        self, problems: Sequence[LayerProblem], epsilons: Sequence[Sequence[float]]
    ) -> Iterator[list[LayerResult]]:
        """Step by step the result of every layer of a network; epsilons: for each layer its own, one a step."""
        ...

    def refines(
        self, problems: Sequence[LayerProblem], epsilons: Sequence[Sequence[float]]
    ) -> Iterator[tuple[int, list[LayerResult]]]:
        """``refine`` for every layer of a network."""
        ...

    @property
    def joint(self) -> bool:
        """Are the layers of a network decided together?"""
        ...

    def memory(self, size: Size) -> int:
        """About how many bytes a layer takes at its peak, beside the problem itself."""
        ...


@dataclass(frozen=True)
class Layerwise(Settings):
    """What follows for methods that take every layer of a network on its own."""

    joint: ClassVar[bool] = False

    def at_sparsity(self: Any, problem: LayerProblem, sparsity: float) -> LayerResult:
        """The layer pruned to a fraction of zeros, as its curve gives it."""
        return self.curve(problem).at(sparsity)

    def paths(
        self: Any, problems: Sequence[LayerProblem], epsilons: Sequence[Sequence[float]]
    ) -> Iterator[list[LayerResult]]:
        """Step by step the result of every layer."""
        each = list(zip(problems, epsilons, strict=True))
        if len(epsilons[0]) == 1:  # no two layers' work is held at a time
            return iter([[next(self.path(problem, own)) for problem, own in each]])
        return map(list, zip(*current().beside([self.path(problem, own) for problem, own in each]), strict=True))

    def refines(
        self: Any, problems: Sequence[LayerProblem], epsilons: Sequence[Sequence[float]]
    ) -> Iterator[tuple[int, list[LayerResult]]]:
        """(step, the result of every layer), coarse answers first."""
        refined = [self.refine(problem, own) for problem, own in zip(problems, epsilons, strict=True)]
        steps = zip(*current().beside(refined), strict=True)
        return ((answers[0][0], [result for _, result in answers]) for answers in steps)


def halving(count: int) -> list[int]:
    """0 .. count - 1 in an order that takes shape early: the ends, the middle, the quarters, and so on."""
    order, gaps = sorted({0, count - 1}) if count else [], [(0, count - 1)]
    for low, high in gaps:  # grows meanwhile
        if high - low > 1:
            middle = (low + high) // 2
            order.append(middle)
            gaps += [(low, middle), (middle, high)]
    return order


def discrepancy(problem: LayerProblem, U: Tensor) -> float:
    """||act(U'X) - Y||_F / ||Y||_F in float64; where Y = 0: 0 for a zero response, else infinite."""
    response = problem.activate(problem.response(U))
    error = frobenius(response - problem.Y.double())
    if problem.norm == 0:
        return 0.0 if error == 0 else float("inf")
    return error / problem.norm


def measured(problem: LayerProblem, U: Tensor, seconds: float) -> LayerResult:
    """Weights that nothing was asked of but where their zeros are: their own error as epsilon and radius; stats
    epsilon, radius, violation, count (of zeros), seconds."""
    error = discrepancy(problem, U)
    stats = {
        "epsilon": error,
        "radius": error * problem.norm,
        "violation": 0.0,
        "count": float((U == 0).sum()),
        "seconds": seconds,
    }
    return LayerResult(U, True, stats)


def frobenius(tensor: Tensor) -> float:
    """||.||_F in float64."""
    return float(torch.linalg.vector_norm(tensor.double()))


def sparsity(U: Tensor) -> float:
    """The fraction of entries that are exactly zero."""
    return int((U == 0).sum()) / U.numel()

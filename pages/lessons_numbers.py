"""What the cards' numbers are, computed from stored points and a task's answers. No Streamlit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nettrim_core.plan import EPSILONS
from nettrim_core.record import Point
from nettrim_core.report import LayerReport
from pages.axes import X_AXES, Y_AXES
from pages.matching import Place, places
from pages.state import Choice

LAYERS = ("fc1", "fc2", "fc3")  # of spirals, digits_mlp and lenet_300_100
POINT = 0.01  # a percentage point of the validation samples
FELT = 0.005  # less than this is said to be the same accuracy

HOW_MANY = Choice("lenet_300_100", LAYERS, methods=("nettrim",))
BALL = Choice("digits_mlp", LAYERS, EPSILONS[15], ("nettrim",), layer="fc1")
GREEDY = Choice("spirals", LAYERS, EPSILONS[7], ("nettrim", "lobs", "exactobs"))
TWO_SETS = Choice("spirals", LAYERS, EPSILONS[6], ("nettrim",), layer="fc2")
TWO_SETS_TURNED = Choice("digits_mlp", LAYERS, EPSILONS[18], ("nettrim",), layer="fc1")
CASCADE = Choice("lenet_300_100", LAYERS, EPSILONS[18], ("nettrim",), mode="cascade")
CASCADE_TURNED = Choice("spirals", LAYERS, EPSILONS[9], ("nettrim",), mode="cascade")
RIVALS = ("nettrim", "lobs")
RIVAL_PLACES = {
    "spirals": Choice("spirals", LAYERS, EPSILONS[7], RIVALS),
    "parallel": Choice("lenet_300_100", LAYERS, EPSILONS[19], RIVALS),
    "cascade": Choice("lenet_300_100", LAYERS, EPSILONS[20], RIVALS, mode="cascade"),
}
# the first layer of a cascade is pruned as in parallel
SHRUNK = Choice(
    "lenet_300_100", ("fc1",), RIVAL_PLACES["cascade"].eps, RIVALS, settings={"match": "sparsity", "y": "l1"}
)
PROMISE = Choice("lenet_300_100", LAYERS, EPSILONS[15], ("nettrim",), settings={"y": "bound", "x": "epsilon"})
PROMISE_DEEPER = Choice("spirals", LAYERS, EPSILONS[15], ("nettrim",), settings={"y": "bound", "x": "epsilon"})
STORAGE = Choice("lenet_300_100", ("fc1",), EPSILONS[19], ("lobs",), settings={"y": "bytes"})

Get = Callable[[Choice, str, float], Point | None]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a card may look at. get: a solved point by choice, method and epsilon; answers: of the card's task; plane:
    of a network with two inputs, the classes that the trained one gives to the plane, and the plane's axes."""

    get: Callable[[Choice, str, float], Point]
    answers: Sequence[Mapping[str, Any]] = ()
    plane: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def at(self, choice: Choice, method: str = "nettrim") -> Point:
        return self.get(choice, method, choice.eps)

    def curve(self, choice: Choice, method: str = "nettrim") -> list[Point]:
        """The points over EPSILONS."""
        return [self.get(choice, method, epsilon) for epsilon in EPSILONS]


def request_of(choice: Choice, method: str) -> dict[str, Any]:
    """A layer of a choice, solved by one of its methods, as the lesson's tasks are asked for it."""
    settings = dataclasses.asdict(choice.solving(method))
    return {"plan": choice.plan().to_dict(), "layer": choice.lens[0], "method": method, "settings": settings}


def layer_of(point: Point, name: str) -> LayerReport:
    return next(entry for entry in point.report.layers if entry.name == name)


def accuracy(point: Point) -> float:
    assert point.report.accuracy is not None  # of a bundle with labels
    return point.report.accuracy


def lost(point: Point) -> int:
    """Validation samples that are right before and not after, less those that are won."""
    report = point.report
    return round(((report.accuracy_before or 0.0) - accuracy(point)) * report.test_samples)


def most_zeros(evidence: Evidence) -> Point:
    """The point with the most zeros that gets at most one point fewer validation samples right."""
    kept = [p for p in evidence.curve(HOW_MANY) if lost(p) <= POINT * p.report.test_samples]
    return max(kept, key=lambda p: p.report.sparsity)


def used(evidence: Evidence) -> float:
    """How much of its tolerance the layer of card BALL used."""
    layer = layer_of(evidence.at(BALL), BALL.layer)
    return layer.held / layer.epsilon


def matched(evidence: Evidence, choice: Choice, rivals: tuple[str, ...] = RIVALS) -> tuple[Place, Place | None]:
    """Where the first of two methods stands, and where the other has as many zeros: as Explore says it."""
    curves = {name: evidence.curve(choice, name) for name in rivals}
    found = places(dict(curves), "sparsity", X_AXES["sparsity"], Y_AXES[choice.view.y])  # type: ignore[arg-type]
    here = EPSILONS.index(choice.eps)
    leader, other = (found[name][here] for name in rivals)
    assert leader is not None
    return leader, other


def lead(evidence: Evidence, choice: Choice) -> float:
    """How many more right answers L-OBS has than Net-Trim at the same zeros, of all."""
    ours, theirs = matched(evidence, choice)
    if theirs is None or theirs.accuracy is None or ours.accuracy is None:
        return -1.0
    return theirs.accuracy - ours.accuracy


def near(evidence: Evidence, choice: Choice) -> list[Point]:
    """Net-Trim's point, and L-OBS's solved point nearest to where it has as many zeros."""
    _, theirs = matched(evidence, choice)
    curve = evidence.curve(choice, "lobs")
    return [evidence.at(choice), *([] if theirs is None else [curve[theirs.near]])]


def duel(evidence: Evidence) -> str:
    """Who removes more at the same epsilon, and who keeps more accuracy at the same zeros: "nettrim lobs"."""
    nettrim, lobs = (evidence.at(GREEDY, name).report.sparsity for name in RIVALS)
    return f"{'nettrim' if nettrim > lobs else 'lobs'} {'lobs' if lead(evidence, GREEDY) > 0 else 'nettrim'}"


def beside(evidence: Evidence, cascade: Choice) -> tuple[Point, Point, Point]:
    """A cascade's point, and of the same method in parallel the last point with no more zeros and the first with no
    fewer."""
    here = evidence.at(cascade)
    parallel = sorted(evidence.curve(in_parallel(cascade)), key=lambda p: p.report.sparsity)
    fewer = [p for p in parallel if p.report.sparsity <= here.report.sparsity]
    more = [p for p in parallel if p.report.sparsity >= here.report.sparsity]
    return here, (fewer or parallel)[-1], (more or parallel[-1:])[0]


def in_parallel(choice: Choice) -> Choice:
    return dataclasses.replace(choice, mode="parallel")


def better_mode(evidence: Evidence, cascade: Choice = CASCADE) -> str:
    """Which keeps more accuracy at the same zeros, without reading between points: it is ahead even of a point of the
    other that has fewer zeros."""
    here, fewer, more = beside(evidence, cascade)
    if accuracy(here) - accuracy(fewer) > FELT:
        return "cascade"
    return "parallel" if accuracy(more) - accuracy(here) > FELT else "same"


def winner(evidence: Evidence) -> str:
    """The place where L-OBS is furthest ahead of Net-Trim at the same zeros."""
    return max(RIVAL_PLACES, key=lambda name: lead(evidence, RIVAL_PLACES[name]))


def ratio_of_sets(evidence: Evidence, place: int = 0) -> float:
    """Weights that are kept without the half-line, of those that are kept with it."""
    answer = evidence.answers[place]
    return answer["kept_linear"] / answer["kept"]


def promised(point: Point) -> tuple[float, float]:
    """(bound, measured error) of the last pruned layer, of its size."""
    last = point.report.layers[-1]
    assert last.bound is not None
    return last.bound / last.output_norm, last.error / last.output_norm


def looseness(point: Point) -> float:
    bound, error = promised(point)
    return bound / error


def pays_from(answer: Mapping[str, Any]) -> float | None:
    """The least fraction of zeros, of those that were timed, from which on the sparse matrix is the faster one."""
    timed = sorted(zip(answer["fractions"], answer["sparse_seconds"], strict=True), reverse=True)
    found = None
    for fraction, seconds in timed:
        if seconds >= answer["seconds_before"]:
            break
        found = fraction
    return found

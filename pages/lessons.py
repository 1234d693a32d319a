"""The lesson as data: a card asks one question, takes one guess, and answers from stored sweeps. No Streamlit.

A new card is one more entry of CARDS: its sentences are in words_learn, its numbers in lessons_numbers, its pictures in
lessons_pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pages import lessons_numbers as numbers
from pages import lessons_pictures as pictures
from pages import snippets, snippets_learn
from pages import words_learn as words
from pages.axes import percent
from pages.lessons_numbers import (
    BALL,
    CASCADE,
    CASCADE_TURNED,
    GREEDY,
    HOW_MANY,
    PROMISE,
    PROMISE_DEEPER,
    RIVAL_PLACES,
    SHRUNK,
    STORAGE,
    TWO_SETS,
    TWO_SETS_TURNED,
    Evidence,
)
from pages.lessons_pictures import Guess, Picture
from pages.state import Choice
from pages.words import GLOSSARY


@dataclass(frozen=True)
class Slider:
    """A guess at a number. say: a value in words."""

    label: str
    low: float
    high: float
    step: float
    start: float
    unit: str
    digits: int = 0

    def say(self, value: float, exact: bool = False) -> str:
        """The value in words; exact: with a digit after the point in any case, as the truth is said."""
        return f"{value:.{1 if exact else self.digits}f}\u00a0{self.unit}"


@dataclass(frozen=True)
class Options:
    """A guess at one of a few answers: key -> what it says."""

    label: str
    texts: Mapping[str, str]

    def say(self, value: str, exact: bool = False) -> str:
        return self.texts[value]


@dataclass(frozen=True)
class Door:
    """A way into the studio in one state."""

    label: str
    choice: Choice
    page: str = "explore"


@dataclass(frozen=True)
class Card:
    """key: of its guess in the session. states: whose curves must be solved before it can answer. request: a task whose
    answers it needs, of which there are ``answers``. truth: a number for a slider, a key for options. symbols: rows of
    the glossary. code: the Python that gives its numbers, from the choice of its first door.
    """

    key: str
    title: str
    question: str
    control: Slider | Options
    states: tuple[Choice, ...]
    truth: Callable[[Evidence], Any]
    explain: Callable[[Evidence], str]
    pictures: Callable[[Evidence, Guess, bool], list[Picture]]
    doors: Callable[[Evidence], list[Door]]
    symbols: tuple[str, ...]
    code: Callable[[Choice], str] = snippets.at_epsilon
    request: dict[str, Any] | None = None
    answers: int = 1

    def verdict(self, guess: Guess, truth: Any) -> str:
        """The guess beside the truth."""
        said, known = self.control.say(guess), self.control.say(truth, exact=True)
        if isinstance(self.control, Options):
            hit = "and that is what was measured." if guess == truth else f"and what was measured is: **{known}**."
            return f"You said: **{said}**, {hit}"
        return f"You said **{said}**, it is **{known}**."


def glossary() -> dict[str, str]:
    """Symbol -> its line, of the studio's glossary."""
    rows = (line.strip("| ").split(" | ", 1) for line in GLOSSARY.strip().splitlines()[2:])
    return {name.strip("*"): text for name, text in rows}


def at_the_same_zeros(choice: Choice) -> Choice:
    return choice.with_setting("match", "sparsity")


def _exactly(choice: Choice, label: str = "Open the studio in exactly this state") -> Callable[[Evidence], list[Door]]:
    return lambda evidence: [Door(label, choice)]


def _how_many_doors(evidence: Evidence) -> list[Door]:
    best = numbers.most_zeros(evidence)
    return _exactly(dataclasses.replace(HOW_MANY, eps=best.epsilon))(evidence)


def _greedy_doors(_: Evidence) -> list[Door]:
    return [
        Door("Open the studio at the same zeros", at_the_same_zeros(GREEDY)),
        Door("Open it at the same epsilon", GREEDY),
    ]


def _cascade_doors(evidence: Evidence) -> list[Door]:
    doors = []
    for choice, side, what in ((CASCADE, 1, "LeNet"), (CASCADE_TURNED, 2, "the spirals")):
        other = numbers.beside(evidence, choice)[side]
        parallel = dataclasses.replace(numbers.in_parallel(choice), eps=other.epsilon)
        doors += [Door(f"Open {what} as a cascade", choice), Door(f"Open {what} in parallel", parallel)]
    return doors


def _rival_doors(evidence: Evidence) -> list[Door]:
    won = numbers.winner(evidence)
    names = sorted(RIVAL_PLACES, key=lambda name: name != won)
    doors = [Door(f"Open {words.place(RIVAL_PLACES[name])}", at_the_same_zeros(RIVAL_PLACES[name])) for name in names]
    return [*doors, Door(f"Open the sums of {SHRUNK.layers[0]}", SHRUNK)]


CARDS: tuple[Card, ...] = (
    Card(
        "how_many",
        "How many weights can go?",
        "LeNet-300-100 reads handwritten digits. Net-Trim sets weights to zero, with no training after it. How many "
        "can go before it gets more than 1 point fewer (of 100) of the digits right?",
        Slider("Weights that can be zero, of all weights (%)", 0, 100, 1, 50, "%"),
        (HOW_MANY,),
        lambda e: 100 * numbers.most_zeros(e).report.sparsity,
        words.how_many,
        pictures.how_many,
        _how_many_doors,
        ("ε, epsilon", "zeros, sparsity"),
    ),
    Card(
        "ball",
        "What is epsilon?",
        "Write down everything that a layer answers to the calibration samples: one long list of numbers, which is an "
        f"arrow. ε = {BALL.eps:g} lets the tip of the arrow move by {percent(BALL.eps)} of its length, in any "
        "direction: that is a ball around the tip. Net-Trim looks inside the ball for the answer with the smallest "
        "weights. How far from the middle to the edge of the ball does it go?",
        Slider("Of the tolerance that is used (%)", 0, 100, 1, 50, "%"),
        (BALL,),
        lambda e: 100 * numbers.used(e),
        words.ball,
        pictures.ball,
        _exactly(BALL),
        ("ε, epsilon", "response", "discrepancy"),
        snippets_learn.ball,
        {"task": "ball", **numbers.request_of(BALL, "nettrim")},
    ),
    Card(
        "greedy",
        "Convex against greedy",
        f"Two spirals, one class each. Net-Trim and L-OBS both prune the network at ε = {GREEDY.eps:g}. Who removes "
        "more weights at this epsilon? And who gets more right where both have as many zeros?",
        Options(
            "Your guess",
            {
                "nettrim nettrim": "Net-Trim removes more, and Net-Trim gets more right at the same zeros",
                "nettrim lobs": "Net-Trim removes more, but L-OBS gets more right at the same zeros",
                "lobs nettrim": "L-OBS removes more, but Net-Trim gets more right at the same zeros",
                "lobs lobs": "L-OBS removes more, and L-OBS gets more right at the same zeros",
            },
        ),
        (GREEDY,),
        numbers.duel,
        words.greedy,
        pictures.greedy,
        _greedy_doors,
        ("ε, epsilon", "zeros, sparsity", "l1"),
    ),
    Card(
        "two_sets",
        "Why two sets of constraints?",
        "A ReLU turns what is below zero into zero. So Net-Trim asks two things of a pruned layer: on ω, where the "
        "ReLU let something through, stay near the trained response; off ω, stay below zero, no matter how far. "
        "Suppose we asked for \u201cnear\u201d everywhere instead, and promised the same change of the answer: "
        f"{TWO_SETS.layer} of the spirals, ε = {TWO_SETS.eps:g}. How many times as many weights would be left?",
        Slider("Weights left, of those that both sets leave (times)", 0.2, 3.0, 0.1, 1.0, "times", 1),
        (TWO_SETS,),
        numbers.ratio_of_sets,
        words.two_sets,
        pictures.two_sets,
        _exactly(TWO_SETS),
        ("ε, epsilon", "ω, omega", "ReLU"),
        snippets_learn.two_sets,
        {"task": "two_sets", "places": [numbers.request_of(c, "nettrim") for c in (TWO_SETS, TWO_SETS_TURNED)]},
        2,
    ),
    Card(
        "cascade",
        "All at once, or one after the other?",
        "Net-Trim can prune all layers of LeNet-300-100 in parallel, each on the signals of the trained network. Or as "
        "a cascade, each on the signals of the network pruned so far. Which gets more digits right at the same zeros?",
        Options(
            "Your guess",
            {
                "cascade": "The cascade",
                "parallel": "In parallel",
                "same": f"The same, to within {100 * numbers.FELT:g} points",
            },
        ),
        (CASCADE, numbers.in_parallel(CASCADE), CASCADE_TURNED, numbers.in_parallel(CASCADE_TURNED)),
        numbers.better_mode,
        words.cascade,
        pictures.cascade,
        _cascade_doors,
        ("ε, epsilon", "zeros, sparsity", "γ, gamma"),
    ),
    Card(
        "rivals",
        "Where does L-OBS win?",
        "Net-Trim does not win everywhere. In one of these places L-OBS gets more right with as many zeros. In which?",
        Options("Your guess", {name: words.start(words.place(choice)) for name, choice in RIVAL_PLACES.items()}),
        (*RIVAL_PLACES.values(), SHRUNK),
        numbers.winner,
        words.rivals,
        pictures.rivals,
        _rival_doors,
        ("ε, epsilon", "l1", "γ, gamma"),
    ),
    Card(
        "promise",
        "What is promised, and what is measured?",
        "Before any test, theory promises how far the last layer's answer in the pruned network can be off. Then we "
        f"measure how far it is off. LeNet-300-100, Net-Trim, ε = {PROMISE.eps:g}: how many times the measured error "
        "is the promise?",
        Slider("Promise, of the measured error (times)", 1.0, 30.0, 0.5, 10.0, "times", 1),
        (PROMISE, PROMISE_DEEPER),
        lambda e: numbers.looseness(e.at(PROMISE)),
        words.promise,
        pictures.promise,
        lambda _: [Door("Open the studio in exactly this state", PROMISE), Door("Open the spirals", PROMISE_DEEPER)],
        ("ε, epsilon", "bound"),
    ),
    Card(
        "storage",
        "Where do zeros not help?",
        f"Most weights of {STORAGE.layers[0]} of LeNet-300-100 are zero now. Saved in the usual way, a number a "
        "weight: how large is the file, of what it was before?",
        Slider("Size of the file, of what it was (%)", 0, 100, 1, 50, "%"),
        (STORAGE,),
        lambda e: 100 * e.answers[0]["dense"] / e.answers[0]["dense_before"],
        words.storage,
        pictures.storage,
        _exactly(STORAGE),
        ("zeros, sparsity",),
        snippets_learn.storage,
        {"task": "storage", **numbers.request_of(STORAGE, "lobs")},
    ),
)  # fmt: skip

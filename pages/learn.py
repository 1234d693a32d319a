"""Learn: cards that ask for a guess and then show what was measured."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import streamlit as st

from nettrim_core.plan import EPSILONS, Plan
from nettrim_core.record import Point, region_axes
from pages import curves, frame, session, store, work
from pages.lessons import CARDS, Card, Door, Evidence, Slider, glossary
from pages.state import Choice

INTRO = (
    "Guess first, then look: each card asks one question about networks that come with the studio. The answers were "
    "measured, and you can open every one of them in the studio and turn its knobs."
)
state = st.session_state

GUESS = "Commit to a guess first: what surprises is remembered."


def main() -> None:
    choice = frame.top("Learn it in five minutes", INTRO, controlled=False)
    place = min(choice.card, len(CARDS))
    card = CARDS[place - 1]
    steps(place)
    with st.container(key="question"):
        st.header(card.title)
        st.markdown(card.question)
        guess(card)
    prepare(card)
    work.live(lambda: show(card))


def guesses() -> dict[str, Any]:
    """Card -> the guess with which it was revealed. In the session, not in the link: who shares a link does not share
    what they said."""
    return state.setdefault("guesses", {})


def steps(place: int) -> None:
    """Where in the lesson this is, and the ways on."""
    with st.container(horizontal=True, vertical_alignment="center", key="steps"):
        st.button("Back", key="back", shortcut="B", on_click=session.change, kwargs={"card": place - 1},
                  disabled=place == 1, help="The card before.")  # fmt: skip
        st.button("Next", key="next", shortcut="N", on_click=session.change, kwargs={"card": place + 1},
                  disabled=place == len(CARDS), help="The next card.")  # fmt: skip
        st.markdown(f"Card {place} of {len(CARDS)}")


def guess(card: Card) -> None:
    """The card's control, and the button that shows the answer; afterwards the guess stays."""
    control, key = card.control, f"guess_{card.key}"
    known = card.key in guesses()
    if isinstance(control, Slider):
        low, high, middle, step = map(float, (control.low, control.high, control.start, control.step))
        said = st.slider(
            control.label, low, high, middle, step, f"%.{control.digits}f", key, help=GUESS,
            disabled=known, persist_state="session",
        )  # fmt: skip
    else:
        said = st.radio(
            control.label, list(control.texts), None, control.say, key, help=GUESS, disabled=known,
            persist_state="session",
        )  # fmt: skip
    if known:
        st.button("Guess again", key=f"again_{card.key}", on_click=forget, args=(card,), help="Hide the answer.")
        return
    st.button(
        "Reveal", key=f"reveal_{card.key}", type="primary", shortcut="V", on_click=reveal, args=(card,),
        disabled=said is None, help="Show what was measured beside your guess.",
    )  # fmt: skip


def reveal(card: Card) -> None:
    guesses()[card.key] = state[f"guess_{card.key}"]


def forget(card: Card) -> None:
    guesses().pop(card.key, None)


def stored(choice: Choice, method: str, epsilon: float) -> Point | None:
    """A point that was stored or solved; its bundle's sweeps are read when it is first asked for."""
    bundle, points = store.bundle_of(choice.model), store.points()
    points.read_stored(bundle)
    return points.get(bundle, choice.plan(), curves.curve_key(choice, method), epsilon)


def solved(choice: Choice, method: str, epsilon: float) -> Point:
    point = stored(choice, method, epsilon)
    assert point is not None  # of a card whose states are solved
    return point


def wanted(card: Card) -> list[tuple[Choice, str]]:
    """Every (state, method) that the card's numbers come from."""
    return [
        (dataclasses.replace(choice, eps=epsilon), name)
        for choice in card.states
        for epsilon in reversed(EPSILONS)
        for name in choice.methods
    ]


def missing(card: Card) -> list[dict[str, Any]]:
    """The sweeps that are left to solve."""
    found = []
    for model in dict.fromkeys(choice.model for choice in card.states):
        store.points().read_stored(bundle := store.bundle_of(model))
        states = [(choice, name) for choice, name in wanted(card) if choice.model == model]
        found += curves.missing(states, lambda *key, bundle=bundle: store.points().get(bundle, *key))
    return found


def prepare(card: Card) -> None:
    """Have the answer ready while people guess."""
    if sweeps := missing(card):
        here, key = work.visit(), curves.work_key(wanted(card))
        if here.wants(key):
            start(card, sweeps)
    elif card.request is not None:
        work.ask(card.request, card.answers)


def start(card: Card, sweeps: list[dict[str, Any]]) -> None:
    plans = [Plan.from_dict(sweep["plan"]) for sweep in sweeps]
    points, bundles = store.points(), [store.bundle_of(plan.bundle) for plan in plans]

    def take(answer: dict[str, Any]) -> None:
        place = answer["sweep"]
        points.add(bundles[place], plans[place], Point.from_dict(answer["point"]))

    key = curves.work_key(wanted(card))
    work.visit().start(key, {"task": "sweep", "sweeps": sweeps}, curves.count(sweeps), take)


def show(card: Card) -> None:
    """The answer, where it was asked for."""
    prepare(card)
    if card.key not in guesses():
        return
    if sweeps := missing(card):
        left, total = curves.count(sweeps), len(wanted(card))
        work.show_progress(
            curves.work_key(wanted(card)), f"Solving: {total - left} of {total} points are there",
            lambda: start(card, sweeps), (total - left) / total,
        )  # fmt: skip
        return
    errand = None if card.request is None else work.asked(card.request)
    if card.request is not None and (errand is None or not errand.done):
        request = card.request
        work.show_progress(
            work.key_of(request), "Looking at the layer itself", lambda: work.restart(request, card.answers)
        )
        return
    answer(card, [] if errand is None else errand.answers)


def answer(card: Card, answers: list[dict[str, Any]]) -> None:
    said, evidence = guesses()[card.key], Evidence(solved, answers, plane(card))
    doors = card.doors(evidence)
    choice = session.current_choice()
    cells = frame.Cells(dataclasses.replace(doors[0].choice, hide=choice.hide), card.title)
    cells.note(f"### {card.verdict(said, card.truth(evidence))}")
    pictures = card.pictures(evidence, said, frame.dark())
    for i, (place, picture) in enumerate(zip(st.columns(len(pictures)), pictures, strict=True)):
        with place:
            if picture.title:
                st.markdown(picture.title)
            frame.chart(picture.figure, f"picture_{card.key}_{i}", picture.alt)
    with cells.cell("why", "Why", card.explain(evidence), card.code(doors[0].choice)):
        known = glossary()
        st.markdown("\n".join(f"- **{symbol}**: {known[symbol]}" for symbol in card.symbols))
    with st.container(horizontal=True):
        if choice.card < len(CARDS) and st.button("Next card", key="next_card"):
            session.change(card=choice.card + 1)
            st.rerun()  # all of the page, of which the answer is a part that runs alone
        for i, door in enumerate(doors):
            if st.button(door.label, key=f"door_{card.key}_{i}"):
                enter(door)
    cells.offer()


def plane(card: Card) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The trained network's decision regions with their axes, where the card's network has two inputs."""
    model = card.states[0].model
    dense = store.dense_regions(model)
    return None if dense is None else (dense, *region_axes(store.bundle_of(model)))


def enter(door: Door) -> None:
    """Go to a page of the studio in a state; Learn is at the same card when one comes back."""
    now = session.current_choice()
    session.choose(dataclasses.replace(door.choice, card=now.card, hide=now.hide))
    work.go(door.page)


main()

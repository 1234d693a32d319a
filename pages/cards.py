"""A result on a visitor's page: what it says in words, a small picture, and the ways on from there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from nettrim_core.figures.curve import Curve, Scale, curve
from nettrim_core.jobs import Status
from nettrim_core.methods import METHOD_TITLES
from nettrim_core.record import Point
from pages import curves, frame, matching, session, store, words, work
from pages import words_my_page as said
from pages.axes import X_AXES, Y_AXES
from pages.state import Choice


@dataclass(frozen=True, eq=False)
class Result:
    """What is known of a state. points: for each method, those of its curve by stop. here: the state's own stop."""

    choice: Choice
    points: dict[str, list[Point | None]]
    here: int

    @property
    def own(self) -> dict[str, Point | None]:
        return {name: points[self.here] for name, points in self.points.items()}


def result_of(choice: Choice) -> Result:
    bundle, rows = store.bundle_of(choice.model), store.facts_of(choice.model).rows
    store.points().read_stored(bundle)
    stops = curves.stops_of(choice, rows, [choice.eps])
    points = curves.gather(choice.methods, stops, _get(choice))
    return Result(choice, points, curves.place_of(choice, stops))


def _get(choice: Choice) -> curves.Get:
    bundle, points = store.bundle_of(choice.model), store.points()
    return lambda plan, name, epsilon: points.get(bundle, plan, name, epsilon)


def card(choice: Choice, key: str, drawn: set[str]) -> None:
    """Show a result. key: names its parts among those of other cards. drawn: the work whose progress is shown already,
    to which this one's is added."""
    result = result_of(choice)
    with st.container(border=True, key=f"card_{key}"):
        left, right = st.columns(2, gap="medium")
        with left:
            st.markdown(said.about(choice))
            st.markdown(said.sentences(choice, result.own))
            unsolved(choice, key, drawn)
            open_button(choice, key)
        with right:
            picture(result, key)


def open_button(choice: Choice, key: str) -> None:
    """Make the state of a result the visitor's choice. What their own page hides or enlarges stays as it is."""
    if st.button("Open this state", key=f"open_{key}", help="Go to Explore with the settings of this result."):
        mine: Choice = st.session_state["choice"]
        session.choose(replace(choice, hide=mine.hide).with_setting("present", mine.view.present))
        work.go("explore")


def picture(result: Result, key: str) -> None:
    """The curves of the state's methods, and where on them it stands."""
    choice = result.choice
    x, y = X_AXES[choice.view.x], Y_AXES[choice.view.y]
    places = {
        name: [None if point is None else matching.at_stop(point, i, x, y) for i, point in enumerate(points)]
        for name, points in result.points.items()
    }
    drawn = []
    for name, found in places.items():
        there = [(point, place) for point, place in zip(result.points[name], found, strict=True) if place is not None]
        here = found[result.here]
        line = [(place.x, place.y) for _, place in there]
        hovers = [words.hover(point, y, f"ε = {point.epsilon:.4g}") for point, _ in there if point is not None]
        drawn.append(Curve(name, METHOD_TITLES[name], line, None if here is None else (here.x, here.y), hovers))
    if not any(entry.points for entry in drawn):
        st.markdown("A picture comes when there is something to draw.")
        return
    figure = curve(drawn, Scale(x.title, x.ticks, x.log), Scale(y.title, y.ticks, y.log), frame.dark())
    frame.chart(
        figure, f"picture_{key}", words.alt(choice, {name: found[result.here] for name, found in places.items()})
    )


def unsolved(choice: Choice, key: str, drawn: set[str]) -> None:
    """If something is not solved: a way to solve it, or how far that is."""
    states = [(choice, name) for name in choice.methods]
    if not curves.missing(states, _get(choice)):
        return
    work_key = curves.work_key(states)
    job = work.visit().job(work_key)
    if job is not None and job.active:
        if work_key in drawn:
            st.markdown(said.ABOVE)
        else:
            drawn.add(work_key)
            work.live(lambda: work.show_progress(work_key, "Solving this state", lambda: solve(choice)))
        return
    if job is not None and job.status is Status.FAILED:
        st.error(f"This stopped: {job.error}. Open the state to change a setting, or try again.")
    st.button("Solve it", key=f"solve_{key}", type="primary", on_click=solve, args=(choice,),
              help="Prune with these settings now; the rest of the curve is solved in Explore.")  # fmt: skip


def solve(choice: Choice) -> None:
    states = [(choice, name) for name in choice.methods]
    sweeps = curves.missing(states, _get(choice))
    points, bundle, plan = store.points(), store.bundle_of(choice.model), choice.plan()

    def take(answer: dict[str, Any]) -> None:
        points.add(bundle, plan, Point.from_dict(answer["point"]))

    request = {"task": "sweep", "sweeps": sweeps}
    work.visit().start(curves.work_key(states), request, curves.count(sweeps), take)

"""The part of the Compare page that repeats the present state with other draws of its calibration samples."""

from __future__ import annotations

import dataclasses
from typing import Any

import streamlit as st

from nettrim_core.figures import compare as figures
from nettrim_core.figures.style import look_of
from nettrim_core.jobs import Status
from nettrim_core.methods import METHOD_TITLES
from nettrim_core.plan import Plan
from nettrim_core.record import Point
from nettrim_core.report import Report
from nettrim_core.seeds import Spread, spread
from pages import curves, frame, snippets_compare, store, work
from pages import words_compare as words
from pages.axes import X_AXES, Y_AXES
from pages.state import Choice

SEEDS = range(5)


def draws_of(choice: Choice) -> list[tuple[Choice, str]]:
    return [(dataclasses.replace(choice, seed=seed), name) for seed in SEEDS for name in choice.methods]


def work_key(choice: Choice) -> str:
    return curves.work_key(draws_of(choice))


def get(plan: Plan, key: str, epsilon: float) -> Point | None:
    return store.points().get(store.bundle_of(plan.bundle), plan, key, epsilon)


def draw(choice: Choice) -> None:
    """Solve the draws that are not there."""
    sweeps, bundle, points = curves.missing(draws_of(choice), get), store.bundle_of(choice.model), store.points()
    plans = [Plan.from_dict(sweep["plan"]) for sweep in sweeps]

    def take(answer: dict[str, Any]) -> None:
        points.add(bundle, plans[answer["sweep"]], Point.from_dict(answer["point"]))

    work.visit().start(work_key(choice), {"task": "sweep", "sweeps": sweeps}, curves.count(sweeps), take)


def show(cells: frame.Cells, choice: Choice) -> None:
    points = {name: [curves.point_at(other, name, get) for other, its in draws_of(choice) if its == name]
              for name in choice.methods}  # fmt: skip
    left, total = curves.count(curves.missing(draws_of(choice), get)), len(SEEDS) * len(choice.methods)
    with cells.cell("draws", "With other samples", words.SEEDS, snippets_compare.seeds(choice, SEEDS)):
        here, key = work.visit(), work_key(choice)
        job = here.job(key)
        if left and (key in here.stopped or (job is not None and (job.active or job.status is Status.FAILED))):
            work.show_progress(
                key, f"Drawing and solving: {total - left} of {total} results", lambda: draw(choice),
                (total - left) / total,
            )  # fmt: skip
        elif left:
            st.button(
                f"Repeat with {len(SEEDS)} calibration draws", key="draw", on_click=draw, args=(choice,),
                disabled=here.busy,
                help="Solve every method of the present state with the seeds 0 to 4; waits for other work to be done.",
            )  # fmt: skip
        found = {name: [p.report for p in row if p is not None and not p.report.rough] for name, row in points.items()}
        rows = [(name, reports) for name, reports in found.items() if len(reports) > 1]
        if rows:
            show_spreads(rows)


def show_spreads(rows: list[tuple[str, list[Report]]]) -> None:
    zeros = [(name, spread(r.sparsity for r in reports)) for name, reports in rows]
    judged = [(name, [r.accuracy for r in reports if r.accuracy is not None]) for name, reports in rows]
    right = [(name, spread(values)) for name, values in judged if values]
    said = words.spreads([(METHOD_TITLES[name], s, dict(right).get(name)) for name, s in zeros])
    places = st.columns(2)
    for place, key, title, found in (
        (places[0], "zeros_chart", X_AXES["sparsity"].title, zeros),
        (places[1], "right_chart", Y_AXES["accuracy"].title, right),
    ):
        if found:
            with place:
                frame.chart(figures.draws([_draws(*row) for row in found], title, frame.dark()), key, said)
    st.markdown(said)


def _draws(name: str, found: Spread) -> figures.Draws:
    interval = None if found.low is None or found.high is None else (found.low, found.high)
    return figures.Draws(METHOD_TITLES[name], look_of(name), found.values, found.mean, interval)

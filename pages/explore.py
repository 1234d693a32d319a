"""Explore: one knob, every method, and what happens to a real network."""

from __future__ import annotations

from typing import Any

import streamlit as st

from nettrim_core.figures.surface import surface
from nettrim_core.record import Point
from nettrim_core.reference import small_enough
from pages import checks, curves, drawing, frame, pins, session, snippets, stage, store, tables, words, work
from pages.axes import X_AXES, Y_AXES
from pages.curves import Stop
from pages.matching import Place, places
from pages.state import EPSILON_RANGE, PRESETS, Choice, knobs, setting_fields

INTRO = (
    "A trained network answers with many small weights. **Epsilon** is how far a layer's response may move, relative "
    "to its size, when we set weights to zero. Drag it and see how many weights go, and what that costs."
)
STYLE = """<style>
@media (min-width: 1100px) { .st-key-stage > div > div > .stColumn:first-child, .st-key-stage .stColumn:first-child
  { position: sticky; top: 4rem; align-self: flex-start; } }
.st-key-stage .stColumn .stColumn { position: static; }
</style>"""
state = st.session_state


def main() -> None:
    choice = frame.top("How much can we trim?", INTRO)
    st.html(STYLE)
    if not frame.ready(choice):
        return
    solve(choice)
    work.live(show)


class Results:
    """What the page shows in one state: the knob's stops, every method's points there, and where each stands."""

    def __init__(self, choice: Choice) -> None:
        self.choice, self.bundle = choice, store.bundle_of(choice.model)
        self.rows = store.facts_of(choice.model).rows
        self.typed = typed(choice)
        self.stops: list[Stop] = curves.stops_of(choice, self.rows, self.typed)
        self.here = curves.place_of(choice, self.stops)
        self.found = curves.gather(choice.methods, self.stops, self.get)
        self.judged = curves.judged(self.found)
        if not self.judged:
            choice = self.choice = curves.without_labels(choice)
        self.x, self.y = X_AXES[choice.view.x], Y_AXES[choice.view.y]
        self.places: dict[str, list[Place | None]] = places(self.found, choice.view.match, self.x, self.y)
        leads = choice.methods if choice.view.match == "epsilon" else choice.methods[:1]
        self.near = {name: drawing.near(self.places[name], name in leads) for name in choice.methods}

    def get(self, plan: Any, curve: str, epsilon: float) -> Point | None:
        return store.points().get(self.bundle, plan, curve, epsilon)

    @property
    def shown(self) -> list[Point]:
        """Each method's point where the knob is."""
        at = ((name, self.near[name][self.here]) for name in self.choice.methods)
        points = (None if i is None else self.found[name][i] for name, i in at)
        return [point for point in points if point is not None]

    @property
    def standing(self) -> dict[str, Place | None]:
        return {name: found[self.here] for name, found in self.places.items()}


def typed(choice: Choice) -> list[float]:
    """The epsilons that this visitor asked for by hand, this one among them."""
    values: set[float] = state.setdefault("typed", set())
    values.add(choice.eps)
    return sorted(values)


def solve(choice: Choice) -> None:
    """Start solving what this state lacks, unless it was stopped by hand; leave work for another state."""
    results_get = Results(choice)
    states = curves.wanted(choice, results_get.rows, results_get.typed)
    key, here = curves.work_key(states), work.visit()
    if here.busy and here.key not in (key, checks.key(choice)):
        here.stop()
    if not here.busy and here.wants(key):
        start(choice, states)


def start(choice: Choice, states: list[tuple[Choice, str]] | None = None) -> None:
    results = Results(choice)
    states = states or curves.wanted(choice, results.rows, results.typed)
    sweeps = curves.missing(states, results.get)
    if not sweeps:
        return
    plans = [curves.Plan.from_dict(sweep["plan"]) for sweep in sweeps]
    points, bundle = store.points(), results.bundle

    def take(answer: dict[str, Any]) -> None:
        points.add(bundle, plans[answer["sweep"]], Point.from_dict(answer["point"]))

    work.visit().start(curves.work_key(states), {"task": "sweep", "sweeps": sweeps}, curves.count(sweeps), take)


def show() -> None:
    """Everything that follows the knob; also what is looked at again while something is solved."""
    choice = session.current_choice()
    if not frame.ready(choice):
        return
    solve(choice)
    results = Results(choice)
    cells = frame.Cells(choice, "How much can we trim")
    with st.container(key="stage"):
        left, right = st.columns(2, gap="medium")
    with left, cells.cell("curves", words.knob_title(choice), code=snippets.curves(choice)):
        progress(choice, results)
        show_knob(results)
        tools(choice)
        options(choice)
    with left, cells.cell("sentence", "In words", "", snippets.at_epsilon(choice)):
        cells.note(words.story(results.shown, results.standing, choice))
    with right:
        show_pictures(cells, results)
    if choice.grid:
        show_grid(cells, results)
    if results.shown:
        show_layers(cells, results)
    cells.offer()


def progress(choice: Choice, results: Results) -> None:
    states = curves.wanted(choice, results.rows, results.typed)
    key = curves.work_key(states)
    left = curves.count(curves.missing(states, results.get))
    if not left:
        return
    job = work.visit().job(key)
    total = max(job.total if job else left, left)
    work.show_progress(
        key, f"Solving: {total - left} of {total} points are final; the knob works meanwhile",
        lambda: start(choice), (total - left) / total,
    )  # fmt: skip


def show_knob(results: Results) -> None:
    choice = results.choice
    stage.knob(drawing.knob(choice, results.stops, results.here, results.found, results.places), released)
    marks = [drawing.quality(p) for found in results.found.values() for p in found if p is not None]
    validation = len(results.bundle.validation[0])
    st.markdown(words.chart_note(choice, validation if results.judged else 0, marks))


def released() -> None:
    """The knob was released at one of its stops."""
    choice, at = state["choice"], state["knob"].get("at")
    if at is None:
        return
    stops = curves.stops_of(choice, store.facts_of(choice.model).rows, typed(choice))
    if 0 <= at < len(stops):
        session.choose(stops[at].choice)


def tools(choice: Choice) -> None:
    """Presets, undo, reset, pin, and the exact value."""
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        if frame.shown(choice, "presets"):
            for name, epsilon in PRESETS.items():
                st.button(
                    name, key=f"preset_{name}", on_click=session.change, kwargs={"eps": epsilon},
                    help=f"Set epsilon to {epsilon:g}.",
                )  # fmt: skip
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        state["w_eps"] = choice.eps
        st.number_input(
            "Exact epsilon", *EPSILON_RANGE, step=0.01, format="%g", key="w_eps", width=140,
            on_change=frame.typed_epsilon,
            help="Any value from 0.001 to 0.999; one that is not on the knob is solved for and added to it.",
        )  # fmt: skip
        st.button("Undo", key="undo", shortcut="U", on_click=session.undo, disabled=not state.get("history"),
                  help="Back to the state before.")  # fmt: skip
        st.button("Reset", key="reset", on_click=session.reset, help="Everything as usual for this network.")
        pins.button(choice)


def options(choice: Choice) -> None:
    """What the methods have in common, the axes, and what is on the knob."""
    if not frame.shown(choice, "options"):
        return
    fields = setting_fields()
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        session.shows("w_match", choice.view.match)
        st.segmented_control(
            "Compare the methods at the same", fields["match"].metadata["options"], key="w_match", required=True,
            format_func=words.MATCHES.__getitem__, on_change=frame.picked_setting, args=("match",),
            help="At the same zeros or accuracy the first method leads, and the others stand on their curves where "
            "they have what it has.",
        )  # fmt: skip
        with st.popover("Axes and knob"):
            axes_and_knob(choice)


def axes_and_knob(choice: Choice) -> None:
    fields = setting_fields()
    for name, label, titles in (("y", "Up the chart", words.Y_WORDS), ("x", "Along the chart", words.X_WORDS)):
        session.shows(f"w_{name}", getattr(choice.view, name))
        st.selectbox(
            label, fields[name].metadata["options"], key=f"w_{name}", format_func=titles.__getitem__,
            on_change=frame.picked_setting, args=(name,), help=fields[name].metadata["help"].capitalize() + ".",
        )  # fmt: skip
    names = knobs(choice)
    state["w_knob"], state["w_grid"] = choice.knob, choice.grid
    st.selectbox(
        "On the knob", names, key="w_knob", format_func=words.setting_title, on_change=frame.picked, args=("knob",),
        help="Any number that the results depend on. Epsilon then stays where it is.",
    )  # fmt: skip
    st.selectbox(
        "Beside it, on a grid", ["", *names], key="w_grid", on_change=frame.picked, args=("grid",),
        format_func=lambda name: words.setting_title(name) if name else "nothing",
        help="A second number: a heat map shows every pair of the two.",
    )  # fmt: skip


def show_pictures(cells: frame.Cells, results: Results) -> None:
    choice, bundle = results.choice, results.bundle
    layer = choice.lens[0]
    data = drawing.Pictures(choice, bundle, results.stops, results.here, results.near)
    with cells.cell("mask", "What stays", "", snippets.mask(choice)):
        if len(choice.layers) > 1:
            state["w_layer"] = layer
            st.segmented_control(
                "Layer shown", choice.layers, key="w_layer", required=True, on_change=frame.picked, args=("layer",),
                help="Whose weights the picture shows.",
            )  # fmt: skip
        stage.mask(data.mask(layer))
        st.markdown(f"Every weight of {layer} is a cell: {data.words(layer)}. Coloured: kept. Plain: set to zero.")
    with cells.cell("bars", "Layer by layer", words.BARS, snippets.at_epsilon(choice)):
        stage.bars(data.bars())
    seen = data.sight()
    if seen is not None:
        title, text, shown = seen
        with cells.cell("sight", title, text, snippets.sight(choice)):
            stage.sight(shown)


def show_grid(cells: frame.Cells, results: Results) -> None:
    choice = results.choice
    with cells.cell("grid", "Two settings at once", words.grid_text(choice), snippets.grid(choice)):
        data = drawing.heat(choice, results.rows, results.typed, results.get)
        stage.heat(data, picked_cell)
        with st.expander("As a landscape, to be turned", key="landscape", on_change="rerun") as landscape:
            if landscape.open:
                picture = surface(
                    data["columns"], data["rows"], data["values"], [*data["titles"], data["text"]], data["ticks"],
                    frame.dark(),
                )  # fmt: skip
                frame.chart(picture, "surface", data["alt"])


def picked_cell() -> None:
    choice, cell = state["choice"], state["heat"].get("cell")
    rows = store.facts_of(choice.model).rows
    if cell is None:
        return
    row, column = cell
    stops, beside = curves.stops_of(choice, rows, typed(choice)), curves.grid_of(choice, rows)
    if 0 <= row < len(beside) and 0 <= column < len(stops):
        session.choose(beside[row].choice.moved(choice.knob, stops[column].value))


def show_layers(cells: frame.Cells, results: Results) -> None:
    choice, here = results.choice, results.shown
    with cells.cell("layers", "What is proved, what was measured", words.PROOFS, snippets.at_epsilon(choice)):
        st.html(tables.layers(here))
        if norms := words.batch_norms(here):
            st.markdown(norms)
        if remarks := words.remarks([p.report for p in here]):
            with st.expander(f"Remarks on the layers ({len(remarks)})", key="remarks"):
                st.markdown("\n".join(f"- {remark}" for remark in remarks))
        show_checks(choice, here)
    with st.expander("The words and symbols", key="glossary"):
        st.markdown(words.GLOSSARY)


def show_checks(choice: Choice, here: list[Point]) -> None:
    """For layers small enough: Net-Trim beside the same program solved by a second solver."""
    point = next((p for p in here if p.method == "nettrim"), None)
    layers = [] if point is None else point.report.layers
    small = [e.name for e in layers if small_enough(e.inputs + 1, e.outputs, e.columns)]
    if not small:
        return
    checks.show(choice, small)


main()

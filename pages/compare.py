"""Compare: pinned states side by side, in figures and in what they answer."""

from __future__ import annotations

import dataclasses

import streamlit as st

from nettrim_core.figures import compare as figures
from nettrim_core.methods import titled
from nettrim_core.pareto import front
from nettrim_core.plan import EPSILONS
from pages import behaviours, compare_answers, compare_draws, frame, pins, session, snippets_compare, store, work
from pages import tables_compare as tables
from pages import words_compare as words
from pages.axes import known
from pages.behaviours import Compared
from pages.candidates import MOST, MOST_PINS, Candidate, candidates_of, same
from pages.pins import Pin
from pages.state import Choice, setting_fields
from pages.words_compare import AXES, AXES_WORDS

INTRO = (
    "No pruning is best for everybody. One network is smaller, another is right more often, a third comes with a "
    "proof. Put states side by side and see what each is good for, and which answers it changes."
)
NOW = "now"
state = st.session_state


def main() -> None:
    choice = frame.top("Which one is best, and for whom?", INTRO)
    pick(choice)
    compared = chosen(choice)
    if not compared:
        st.info("Nothing is chosen to compare. Pick at least one state above.")
        return
    if NOW in selected(choice) and not frame.ready(choice):
        return
    candidates = candidates_of(compared)[:MOST]
    if not candidates:
        st.info("The chosen pins have no layers or no methods. Pick another state above.")
        return
    for model in {other.model for _, other in compared}:
        store.points().read_stored(store.bundle_of(model))
    solve(choice, candidates)
    work.live(show)


def offered(choice: Choice) -> dict[str, tuple[str, Choice]]:
    """What can be compared, by a key that stays: (name, state), the present one unless it is pinned."""
    held = pins.all_pins()
    found = {} if any(same(pin.choice, choice) for pin in held) else {NOW: (f"{NOW}: {pins.name_of(choice)}", choice)}
    return found | {session.link(pin.choice): (f"{i}: {pin.name}", pin.choice) for i, pin in enumerate(held, 1)}


def selected(choice: Choice) -> list[str]:
    """The keys of what is compared: all that was not left out, of the pins the newest few."""
    left_out: set[str] = state.setdefault("left_out", set())
    keys = [key for key in offered(choice) if key not in left_out]
    return [key for key in keys if key == NOW] + [key for key in keys if key != NOW][-MOST_PINS:]


def chosen(choice: Choice) -> list[tuple[str, Choice]]:
    states = offered(choice)
    return [states[key] for key in selected(choice)]


def pick(choice: Choice) -> None:
    """The states to compare, and the pins' names."""
    states = offered(choice)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom", key="pins"):
        if pins.all_pins():
            state["w_compared"] = selected(choice)
            st.multiselect(
                "States compared", list(states), format_func=lambda key: states[key][0], key="w_compared",
                max_selections=MOST_PINS + (NOW in states), on_change=picked_states, width=460,
                help=f"The present state and up to {MOST_PINS} pins. Each is compared with all of its methods.",
            )  # fmt: skip
        st.button("Pin", key="pin", shortcut="P", on_click=pins.pin, args=(choice,),
                  help="Put the present state aside, to compare it with others.")  # fmt: skip
        if pins.all_pins():
            with st.popover("Rename or remove"):
                for i, pin in enumerate(pins.all_pins()):
                    pin_form(i, pin)
        if pins.removed() is not None:
            st.button("Removed. Put it back", key="put_back", on_click=pins.put_back,
                      help="The pin that was removed last.")  # fmt: skip
    if not pins.all_pins():
        st.markdown(words.HOW_TO_PIN)


def pin_form(i: int, pin: Pin) -> None:
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    state[f"w_pin_{i}"] = pin.name
    left.text_input(
        f"Name of pin {i + 1}", key=f"w_pin_{i}", max_chars=pins.LONGEST, on_change=renamed, args=(i,),
        help=f"{', '.join(map(titled, pin.choice.methods))} on {store.name_of(pin.choice.model)}.",
    )  # fmt: skip
    right.button("Remove", key=f"remove_{i}", on_click=pins.remove, args=(i,), help="It can be put back.")


def renamed(i: int) -> None:
    pins.rename(i, state[f"w_pin_{i}"])


def picked_states() -> None:
    state["left_out"] = set(offered(state["choice"])) - set(state["w_compared"])


def solve(choice: Choice, candidates: list[Candidate]) -> None:
    """Ask for what is not known of the candidates, unless it was stopped by hand; draws that are under way go first."""
    key, here = behaviours.work_key(candidates), work.visit()
    if not behaviours.missing(candidates) or (here.busy and here.key in (key, compare_draws.work_key(choice))):
        return
    if here.wants(key):
        behaviours.start(candidates)


def show() -> None:
    choice = session.current_choice()
    compared = Compared(choice, chosen(choice))
    solve(choice, compared.candidates)
    cells = frame.Cells(choice, "Which one is best")
    progress(compared)
    show_table(cells, compared)
    show_pareto(cells, compared)
    compare_answers.show(cells, compared)
    if choice.layers and choice.methods:
        compare_draws.show(cells, choice)
    cells.offer()


def progress(compared: Compared) -> None:
    left, total = len(behaviours.missing(compared.candidates)), len(compared.candidates)
    if left:
        work.show_progress(
            behaviours.work_key(compared.candidates),
            f"Solving and testing: {total - left} of {total} candidates are done",
            lambda: behaviours.start(compared.candidates), (total - left) / total,
        )  # fmt: skip


def show_table(cells: frame.Cells, compared: Compared) -> None:
    code = snippets_compare.table(compared.candidates)
    with cells.cell("table", "Side by side", words.SIDE_BY_SIDE, code):
        reports = [None if point is None else point.report for point in compared.points]
        st.html(tables.side_by_side(list(zip(compared.candidates, reports, strict=True))))
        if crowd := words.crowd(compared.total):
            st.markdown(crowd)
    if text := words.best_for([(c, p.report) for c, p in compared.solved]):
        with cells.cell("verdict", "Best for whom", text):
            pass


def show_pareto(cells: frame.Cells, compared: Compared) -> None:
    view = compared.choice.view
    x, y = AXES[view.pareto_x], AXES[view.pareto_y]
    with cells.cell("pareto", "What is given for what", words.PARETO, snippets_compare.pareto(compared.candidates)):
        if frame.shown(compared.choice, "options"):
            with st.container(horizontal=True):
                for name, label in (("pareto_y", "Up this chart"), ("pareto_x", "Along this chart")):
                    value = getattr(view, name)
                    frame.setting_widget(st, name, setting_fields()[name], value, label, AXES_WORDS)
        placed = placed_on(compared, view.pareto_x, view.pareto_y)
        kept = front([(a, b) for _, a, b in placed], (x.best, y.best))
        dots = [dot(compared, c, view.pareto_x, view.pareto_y) for c, _, _ in placed]
        scales = figures.Scale(x.title, x.ticks, x.log), figures.Scale(y.title, y.ticks, y.log)
        behind = [(compared.looks[c.letter], curve(c, view.pareto_x, view.pareto_y)) for c in compared.candidates]
        frame.chart(
            figures.pareto(dots, behind, kept, scales, frame.dark()), "pareto_chart",
            words.pareto_alt(view.pareto_x, view.pareto_y, placed, kept),
        )  # fmt: skip
        there = {c.letter for c, _, _ in placed}
        if note := words.pareto_note((x, y), [c for c in compared.candidates if c.letter not in there]):
            st.markdown(note)


def placed_on(compared: Compared, x: str, y: str) -> list[tuple[Candidate, float, float]]:
    """The candidates that have both figures."""
    found = ((c, known(AXES[x], p.report), known(AXES[y], p.report)) for c, p in compared.solved)
    return [(c, a, b) for c, a, b in found if a is not None and b is not None]


def dot(compared: Compared, candidate: Candidate, x: str, y: str) -> figures.Dot:
    report = next(p.report for c, p in compared.solved if c is candidate)
    ends = [None if axis.band is None else axis.band(report) for axis in (AXES[x], AXES[y])]
    at = [known(axis, report) or 0.0 for axis in (AXES[x], AXES[y])]
    hover = f"<b>{candidate.title}</b><br>{AXES[x].text(at[0])}<br>{AXES[y].text(at[1])}"
    return figures.Dot(candidate.title, compared.looks[candidate.letter], at[0], at[1], hover, (ends[0], ends[1]))


def curve(candidate: Candidate, x: str, y: str) -> list[tuple[float, float]]:
    """The solved points of a candidate's curve, from the smallest epsilon on."""
    stops = sorted({*EPSILONS, *state.get("typed", ()), candidate.choice.eps})
    points = [
        behaviours.point_of(dataclasses.replace(candidate, choice=candidate.choice.moved("eps", e))) for e in stops
    ]
    found = [(known(AXES[x], p.report), known(AXES[y], p.report)) for p in points if p is not None]
    return [(a, b) for a, b in found if a is not None and b is not None]


main()

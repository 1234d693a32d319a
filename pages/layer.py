"""Layer: one layer before and after pruning, down to one neuron and one sum."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import streamlit as st

from nettrim_core.figures import layer as figures
from nettrim_core.figures import solving
from nettrim_core.jobs import Status
from nettrim_core.methods import titled
from nettrim_core.reference import small_enough
from nettrim_core.tasks.lens import MOST_ITERATIONS
from pages import checks, frame, neuron, session, work
from pages import snippets_layer as snippets
from pages import words_layer as words
from pages.lens import View
from pages.state import EPSILON_RANGE, Choice

state = st.session_state


def main() -> None:
    choice = frame.top("One layer under the lens", words.INTRO)
    if not frame.ready(choice):
        return
    if not aside(choice):
        work.live(show)
        return
    show()
    if not aside(choice):
        st.rerun()  # another neuron was asked for meanwhile


def aside(choice: Choice) -> bool:
    """Is what is under way asked for by a button, so that the rest of the page can stand still?"""
    here = work.visit()
    return here.busy and here.key in (work.key_of(View(choice).request("convergence")), checks.key(choice))


def beside(choice: Choice, part: Callable[[], None]) -> None:
    """Show a part of the page that may be all that changes."""
    (work.live if aside(choice) else lambda show: show())(part)


def show() -> None:
    choice = session.current_choice()
    if not frame.ready(choice):
        return
    pickers(choice)
    view = View(choice)
    doing = f"Solving {view.layer} with {titled(view.method)} at ε = {choice.eps:g}"
    told = answer(view.of_layer(), doing)
    if told is None:
        return
    cells = frame.Cells(choice, "One layer under the lens")
    show_outcome(view, told)
    show_weights(cells, view, told)
    show_spread(cells, view, told)
    show_dead(cells, view, told)
    neuron.show(cells, view, told, answer)
    if view.has_certificate:
        show_convergence(cells, view, told)
        show_check(cells, view, told)
    with st.expander("The words and symbols", key="glossary"):
        st.markdown(words.GLOSSARY)
    cells.offer()


def answer(request: dict[str, Any], doing: str) -> dict[str, Any] | None:
    """The answer to a request; until it has come, how far it is."""
    errand = work.ask(request)
    if errand is not None and errand.done:
        return errand.answers[-1]
    running = errand is not None and errand.job.status is Status.RUNNING
    work.show_progress(work.key_of(request), doing, lambda: work.restart(request), 0.5 if running else 0.0)
    return None


def pickers(choice: Choice) -> None:
    """Layer, method and epsilon."""
    layer, method = choice.lens
    state["w_layer"], state["w_method_shown"], state["w_eps"] = layer, method, choice.eps
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control(
            "Layer", choice.layers, key="w_layer", required=True, on_change=picked_layer,
            help="The one that is looked at, of those that are pruned.",
        )  # fmt: skip
        st.segmented_control(
            "Method", choice.methods, format_func=titled, key="w_method_shown", required=True,
            on_change=frame.picked, args=("method_shown",),
            help="Whose weights are shown. Net-Trim can also be watched converging, and L-OBS removing weights.",
        )  # fmt: skip
        st.number_input(
            "Epsilon", *EPSILON_RANGE, step=0.01, format="%g", key="w_eps", on_change=frame.picked, args=("eps",),
            width=140, help="How far the layer's response may move, as a part of its size.",
        )  # fmt: skip


def picked_layer() -> None:
    session.picked(dataclasses.replace(state["choice"], layer=state["w_layer"], neuron=0), "layer")


def show_outcome(view: View, told: dict[str, Any]) -> None:
    """What the layer is, and whether its method managed."""
    st.markdown(words.layer(view.layer, told["shape"], view.shape))
    well, text = words.outcome(view.method, told["result"], told["outliers"], view.noun)
    if well:
        st.markdown(text)
    else:
        st.warning(text)


def show_weights(cells: frame.Cells, view: View, told: dict[str, Any]) -> None:
    """W and U side by side, on one scale."""
    found, picture, dark = told["weights"], told["picture"], frame.dark()
    text = words.weights(found, view.method)
    about = words.picture(view.first, view.count, view.outputs, view.shape, view.tiled)
    with cells.cell("weights", "Weights before and after", about, snippets.weights(view.choice)):
        outline = view.place.tiles_of(view.neuron - view.first) if view.outputs > 1 else None
        for place, which, title in zip(st.columns(2), ("trained", "pruned"), ("Before (W)", "After (U)"), strict=True):
            with place:
                st.markdown(f"**{title}**")
                drawn = figures.weights(
                    view.canvas(picture, which), picture["top"], dark, outline, view.tiled, view.first, view.noun
                )
                frame.chart(drawn, f"{which}_weights", f"{title}: {words.plain(text)}")
        cells.note(text)


def show_spread(cells: frame.Cells, view: View, told: dict[str, Any]) -> None:
    """Histogram and singular values."""
    found, dark, title = told["weights"], frame.dark(), titled(view.method)
    left, right = st.columns(2, gap="medium")
    with left, cells.cell("histogram", "How large they are", words.HISTOGRAM, snippets.weights(view.choice)):
        said = words.plain(words.weights(found, view.method))
        frame.chart(figures.histogram(found, view.method, title, dark), "histogram_chart", said)
    with right, cells.cell("spectrum", "What the layer can still do", words.SPECTRUM, snippets.spectrum(view.choice)):
        said = words.spectrum(found)
        frame.chart(figures.spectrum(found, view.method, title, dark), "spectrum_chart", words.plain(said))
        cells.note(said)


def show_dead(cells: frame.Cells, view: View, told: dict[str, Any]) -> None:
    """Inputs and neurons that do nothing."""
    with cells.cell("dead", f"Inputs and {view.noun}s that do nothing", "", snippets.dead(view.choice)):
        cells.note(words.dead(told["weights"], told["shape"], view.noun))
        where = view.input_map(told["weights"])
        if where is not None and where.any():
            with st.container(width=340):
                frame.chart(figures.input_map(where, frame.dark()), "input_map", words.input_map(where))
            st.markdown(words.input_map(where))


def show_convergence(cells: frame.Cells, view: View, told: dict[str, Any]) -> None:
    """The first-order engine on this layer, on demand."""
    with cells.cell("convergence", "Watch Net-Trim converge", words.CONVERGENCE, snippets.convergence(view.choice)):
        beside(view.choice, lambda: converging(cells, view, told))


def converging(cells: frame.Cells, view: View, told: dict[str, Any]) -> None:
    """The button, the engine at work, and what it has found so far."""
    request = view.request("convergence")
    errand = work.asked(request)
    active = errand is not None and errand.job.active
    if errand is not None and errand.job.status is Status.FAILED:
        st.error(f"This stopped: {errand.job.error}.")
    if errand is not None and errand.job.status is Status.CANCELLED:
        st.markdown("Stopped. What was computed is shown.")
    if errand is None or not (active or errand.done):
        st.button(
            "Watch it converge", key="converge", on_click=work.restart, args=(request, MOST_ITERATIONS // 10),
            help=f"Runs the first-order engine on this layer, for at most {MOST_ITERATIONS:,} iterations.",
        )  # fmt: skip
    at = errand.answers[-1]["iteration"] if errand is not None and errand.answers else 0
    if active:
        doing = f"{at:,} of at most {MOST_ITERATIONS:,} iterations"
        work.show_progress(work.key_of(request), doing, lambda: None, at / MOST_ITERATIONS)
    if errand is not None and errand.answers:
        result, iterates = told["result"], list(errand.answers)
        said = words.convergence(iterates, result, active)
        drawn = solving.convergence(iterates, result["tol"], result, frame.dark())
        frame.chart(drawn, "convergence_chart", words.plain(said))
        cells.note(said)


def show_check(cells: frame.Cells, view: View, told: dict[str, Any]) -> None:
    shape = told["shape"]
    if not small_enough(shape["inputs"] + shape["bias"], shape["outputs"], shape["samples"]):
        return
    with cells.cell("check", "A second opinion", words.CHECK, snippets.check(view.choice)):
        beside(view.choice, lambda: checks.show(view.choice, [view.layer]))


main()

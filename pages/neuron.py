"""The Layer page's cells about one neuron: its constraints, one sum of it, and its weights removed one by one."""

from __future__ import annotations

from typing import Any

import streamlit as st

from nettrim_core.figures import neuron as figures
from nettrim_core.figures import solving
from nettrim_core.methods import titled
from pages import frame, session
from pages import snippets_layer as snippets
from pages import words_neuron as words
from pages.lens import View
from pages.state import setting_field
from pages.words_layer import plain

state = st.session_state


def show(cells: frame.Cells, view: View, told: dict[str, Any], answer: Any) -> None:
    """Everything about the neuron that is picked."""
    code = snippets.neuron(view.choice, view.neuron)
    with cells.cell("neuron", f"One {view.noun}", words.NEURON.format(noun=view.noun), code):
        picker(view, told)
        found = answer(view.request("neuron", neuron=view.neuron), f"Looking at {view.noun} {view.neuron}")
        if found is None:
            return
        show_neuron(cells, view, told, found["neuron"])
    show_sum(cells, view, found)
    if view.has_hessian:
        show_removals(cells, view, found["neuron"], answer)


def picker(view: View, told: dict[str, Any]) -> None:
    """A number, and the neurons that are worth it."""
    if view.choice.neuron >= view.outputs:
        st.warning(words.no_such(view.choice.neuron, view.layer, view.outputs, view.noun))
    state["w_neuron"] = view.neuron
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        st.number_input(
            view.noun.capitalize(), 0, view.outputs - 1, key="w_neuron", on_change=frame.picked, args=("neuron",),
            width=140, help=f"Which one, counted from 0 to {view.outputs - 1}.",
        )  # fmt: skip
        for name, (label, j, why) in words.picks(told, view.noun).items():
            st.button(f"{label}: {j}", key=f"pick_{name}", on_click=session.change, kwargs={"neuron": j}, help=why)


def show_neuron(cells: frame.Cells, view: View, told: dict[str, Any], found: dict[str, Any]) -> None:
    said = words.neuron(found, told["shape"], view.noun, view.sample)
    cells.note(said)
    title = titled(view.method)
    drawn = figures.neuron(found, view.method, title, frame.dark(), f"{view.sample}s")
    frame.chart(drawn, "neuron_chart", plain(said))
    cells.note(words.constraints(found, view.method, told["shape"], view.noun, view.sample))


def show_sum(cells: frame.Cells, view: View, found: dict[str, Any]) -> None:
    """One response as the sum that it is."""
    name, f = view.choice.of("lens").sample, setting_field("lens.sample")
    told, start = found["sums"][name], found["neuron"]["first_input"]
    code = snippets.spelled_out(view.choice, view.neuron, name)
    with cells.cell("sum", "One sum, spelled out", words.SUM.format(noun=view.noun, sample=view.sample), code):
        state["w_lens.sample"] = name
        st.segmented_control(
            f"Which {view.sample}", f.metadata["options"], format_func=words.SAMPLES.__getitem__, key="w_lens.sample",
            required=True, on_change=frame.picked_setting, args=("lens.sample",),
            help="Changed most: before and after are furthest apart. Typical: the median change. Strongest: the "
            "largest value before.",
        )  # fmt: skip
        cells.note(words.total(told, view.sample))
        st.html(words.sum_table(told, lambda row: view.name(row, start)))


def show_removals(cells: frame.Cells, view: View, found: dict[str, Any], answer: Any) -> None:
    """L-OBS, weight by weight."""
    lens = view.choice.of("lens")
    own = "exact" if view.method == "exactobs" else "classic"
    chosen = own if lens.order == "own" else lens.order
    code = snippets.removals(view.choice, view.neuron, chosen == "exact")
    with cells.cell("removals", "L-OBS, weight by weight", words.REMOVALS, code):
        told = answer(view.request("removals", neuron=view.neuron), f"Removing weights of {view.noun} {view.neuron}")
        if told is None:
            return
        cells.note(words.hessian(told["conditioning"]))
        steps = told[chosen]
        if not steps:
            st.markdown(f"Every input of this {view.noun} is zero on every {view.sample}: there is nothing to remove.")
            return
        step = min(lens.step, len(steps))
        order_and_step(chosen, step, len(steps))
        name = view.name(steps[step - 1]["index"], found["first_input"])
        said = words.step(steps[step - 1], name)
        cells.note(said)
        drawn = solving.removals({way: told[way] for way in words.ORDERS}, chosen, step, told["removed"], frame.dark())
        frame.chart(drawn, "removals_chart", plain(said))
        cells.note(words.parting(told["classic"], told["exact"]))
        cells.note(words.removed(told, view.method, view.noun))


def order_and_step(chosen: str, step: int, steps: int) -> None:
    state["w_lens.order"], state["w_lens.step"] = chosen, step
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        st.segmented_control(
            "After a weight is gone", list(words.ORDERS), format_func=words.ORDERS.__getitem__, key="w_lens.order",
            required=True, on_change=frame.picked_setting, args=("lens.order",),
            help="Classic L-OBS ranks the weights once and keeps H⁻¹. Exact OBS updates H⁻¹ for the weights that are "
            "left, and ranks again.",
        )  # fmt: skip
        if steps > 1:
            st.slider(
                "Step", 1, steps, key="w_lens.step", on_change=frame.picked_setting, args=("lens.step",), width=340,
                help="How many weights are gone.",
            )  # fmt: skip

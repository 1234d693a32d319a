"""Budget: one target for the whole network, shared out to its layers, with the price and the proof."""

from __future__ import annotations

import dataclasses

import streamlit as st

from nettrim_core.figures import budget as figures
from nettrim_core.jobs import Status
from nettrim_core.methods import titled
from nettrim_core.report import Report
from nettrim_core.sensitivity import SPARSITIES
from nettrim_core.shares import RULES
from pages import budgets, frame, pins, session, share_tables, snippets_budget, work
from pages import words_budget as words
from pages.state import Choice, setting_fields

SPLIT = 6  # layers whose sentences are all shown at once
state = st.session_state


def main() -> None:
    choice = frame.top("One budget for the whole network", words.INTRO)
    state["budget_framed"] = framed(choice)
    if frame.ready(choice):
        work.live(show)


def framed(choice: Choice) -> Choice:
    """What the top of the page shows of a choice."""
    settings = {name: value for name, value in choice.settings.items() if name.split(".")[0] not in ("budget", "lock")}
    return dataclasses.replace(choice, method_shown="", settings=settings)


def show() -> None:
    choice = session.current_choice()
    if framed(choice) != state["budget_framed"]:
        st.rerun()  # an undo or a pin has changed what stands above
    locked = len(choice.locked) == len(choice.layers)
    report = None if locked else budgets.report_of(choice)
    last = report or before(choice)
    state["budget_before"] = budgets.about(choice), last
    cells = frame.Cells(choice, "One budget for the whole network")
    left, right = st.columns([1, 2], gap="large")
    with left, st.container(key="budget"):
        st.header("The target")
        controls(choice)
    with right, cells.cell("table", "Layer by layer", words.TABLE):
        share_tables.show(choice, given_of(last))
    if locked:
        st.info(words.all_locked())
    elif report is None:
        progress(choice, last)
    answered = last is not None and not locked and not refused(choice)
    if last is not None and answered:
        show_answer(cells, choice, last)
    if not locked:
        show_alone(cells, choice, given_of(last))
    if last is not None and answered:
        show_bounds(cells, choice, last)
    cells.offer()


def before(choice: Choice) -> Report | None:
    """The last budget of the same layers and method, which stays in sight while another is made."""
    about, report = state.get("budget_before", ("", None))
    return report if about == budgets.about(choice) else None


def given_of(report: Report | None) -> dict[str, float]:
    """Layer -> fraction of zeros in a budget."""
    shared = None if report is None else report.allocation
    return {} if shared is None else {share.name: share.zeros / share.size for share in shared.shares}


def refused(choice: Choice) -> bool:
    job = budgets.job(choice)
    return job is not None and job.status is Status.FAILED


def controls(choice: Choice) -> None:
    """What is asked for, how it is shared, and by which method."""
    fields, goal = setting_fields(), choice.of("budget")
    state["w_budget.of"], state["w_budget.rule"], state["w_method_shown"] = goal.of, goal.rule, choice.lens[1]
    st.segmented_control(
        "The budget is of", fields["budget.of"].metadata["options"], key="w_budget.of", required=True,
        format_func=words.GOALS.__getitem__, on_change=frame.picked_setting, args=("budget.of",),
        help="Zeros: weights and biases that become zero. Multiply-adds: the work for one input. Accuracy: as many "
        "zeros as it allows.",
    )  # fmt: skip
    target(choice, f"budget.{words.TARGETS[goal.of][0]}", words.LABELS[goal.of])
    st.selectbox(
        "It is shared", list(RULES), key="w_budget.rule", format_func=words.RULES.__getitem__,
        on_change=frame.picked_setting, args=("budget.rule",), help=fields["budget.rule"].metadata["help"].capitalize(),
    )  # fmt: skip
    st.markdown(words.WHY[goal.rule])
    if len(choice.methods) > 1:
        st.segmented_control(
            "Method", choice.methods, format_func=titled, required=True, key="w_method_shown",
            on_change=frame.picked, args=("method_shown",), help="How a layer is pruned to the zeros that it gives.",
        )  # fmt: skip
    st.markdown(words.wanted(choice))
    with st.container(horizontal=True, gap="small"):
        st.button("Undo", key="undo", shortcut="U", on_click=session.undo, disabled=not state.get("history"),
                  help="Back to the state before.")  # fmt: skip
        pins.button(choice)


def target(choice: Choice, name: str, label: str) -> None:
    """The number of the goal, in per cent."""
    f = setting_fields()[name]
    low, high = (100.0 * f.metadata[end] for end in ("low", "high"))
    state[f"w_{name}"] = round(100.0 * choice.value(name), 6)
    st.number_input(
        label, low, high, step=0.5 if name == "budget.drop" else 1.0, format="%g", key=f"w_{name}",
        on_change=picked_percent, args=(name,), help=f"{f.metadata['help'].capitalize()}, here in per cent.",
    )  # fmt: skip


def picked_percent(name: str) -> None:
    session.picked(state["choice"].with_setting(name, round(state[f"w_{name}"] / 100, 8)), name)


def progress(choice: Choice, last: Report | None) -> None:
    """How far the budget is, or why there is none."""
    job = budgets.job(choice)
    if job is not None and job.status is Status.FAILED:
        st.warning(words.refusal(job.error, choice))
        st.button("Try again", key="resume", on_click=budgets.start, args=(choice,))
        return
    doing = "Sharing the budget" if job is None else words.doing(job.done, job.total, choice.of("budget").of)
    if last is not None:
        doing += "; below is still the one before"
    work.show_progress(budgets.key_of(choice), doing, lambda: budgets.start(choice))


def show_answer(cells: frame.Cells, choice: Choice, report: Report) -> None:
    shared = report.allocation
    assert shared is not None
    with cells.cell("decided", "What was decided", words.price(shared), snippets_budget.decided(choice)):
        figures_of = words.figures(report)
        for column, (label, value, what) in zip(st.columns(len(figures_of)), figures_of, strict=True):
            column.metric(label, value, help=what, border=True)
        st.markdown(words.denominators(report))
        lines = shared.sentences
        st.markdown("\n".join(f"- {line}" for line in lines[:SPLIT]))
        if len(lines) > SPLIT:
            with st.expander(f"{len(lines) - SPLIT} more"):
                st.markdown("\n".join(f"- {line}" for line in lines[SPLIT:]))
    with cells.cell("shares", "Who gives how much", words.BARS, snippets_budget.shares(choice)):
        frame.chart(figures.shares(shared, choice.lens[1], frame.dark()), "bars", words.shares_alt(shared))


def show_alone(cells: frame.Cells, choice: Choice, given: dict[str, float]) -> None:
    """Each layer's accuracy over its own zeros, as the layers finish."""
    with cells.cell("alone", "Each layer alone", words.ALONE, snippets_budget.alone(choice)):
        left, key = budgets.unmeasured(choice), budgets.alone_key(choice)
        job = work.visit().job(key)
        if left and (job is None or job.status is Status.CANCELLED) and key not in work.visit().stopped:
            st.button(
                "Measure each layer alone", key="measure", on_click=budgets.start_alone, args=(choice,),
                disabled=work.visit().busy,
                help=f"Prunes {len(left)} layers, one at a time, to {len(SPARSITIES)} fractions of zeros each.",
            )  # fmt: skip
        elif left:
            work.show_progress(
                key, f"Pruning each layer alone: {len(choice.layers) - len(left)} of {len(choice.layers)} are done",
                lambda: budgets.start_alone(choice),
            )  # fmt: skip
        pictures(choice, given)


def pictures(choice: Choice, given: dict[str, float]) -> None:
    with st.container(horizontal=True, gap="medium", key="multiples"):
        for i, layer in enumerate(choice.layers):
            points = budgets.alone_of(choice, layer)
            if not points:
                continue
            share = given.get(layer)
            with st.container(width=300):
                st.markdown(f"**{layer}**{words.share_of(share)}")
                figure = figures.alone(points, share, choice.lens[1], frame.dark())
                frame.chart(figure, f"alone_{i}", words.alone_alt(layer, points, share))


def show_bounds(cells: frame.Cells, choice: Choice, report: Report) -> None:
    with cells.cell("bounds", "Promised and measured", words.BOUNDS, snippets_budget.bounds(choice)):
        figure = figures.bounds(report.layers, choice.lens[1], frame.dark())
        frame.chart(figure, "bound", words.bounds_alt(report.layers))
        if notes := words.bound_notes(report.layers):
            st.markdown("\n".join(f"- {note}" for note in notes))


main()

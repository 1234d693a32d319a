"""Runs: what was solved on this server, how far it is, and the way on for what broke off."""

from __future__ import annotations

import time

import streamlit as st

from nettrim_core.durable import Run, Runs, State
from nettrim_core.figures import runs as figures
from pages import foreign, frame, ledger, session, work
from pages import words_runs as words

SHOWN = 15  # runs at a time
state = st.session_state


def main() -> None:
    frame.top("Runs", words.INTRO, controlled=False)
    if ledger.runs() is None:
        st.info(words.OFF)
    else:
        work.live(show)


def show() -> None:
    here = ledger.runs()
    assert here is not None
    if ledger.trouble():
        st.warning(foreign.shown(ledger.trouble()))
    if found := here.store.damage():
        with st.expander(words.damage(found), icon=":material/healing:"):
            st.table({what: says for _, what, says in found}, border="horizontal")
    undo(here)
    runs = here.all(ledger.owner())
    if not runs:
        st.info(words.EMPTY)
        return
    shown = runs[: state.get("runs_shown", SHOWN)]
    for run in shown:
        show_run(here, run)
    if len(runs) > len(shown):
        st.button(f"{len(runs) - len(shown)} more", key="more_runs", on_click=show_more, args=(len(runs),))
    compare(here, [run for run in runs if state.get(f"w_compare_{run.id}")])
    st.markdown(words.store(*here.store.size(), here.store.limit))


def show_more(count: int) -> None:
    state["runs_shown"] = count


def show_run(here: Runs, run: Run) -> None:
    title, color, icon = words.STATES[run.state]
    with st.container(border=True, key=f"run_{run.id}"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{foreign.shown(run.asked.name)}**", width="content")
            st.badge(title, color=color, icon=icon)  # type: ignore[arg-type]  # one of the known colours
            if run.pinned:
                st.badge("pinned", color="violet", icon=":material/keep:", help=words.PINNED)
        st.markdown(f":small[{words.cost(run, *here.cost(run.id), time.time())}]")  # a caption is too pale to read
        if run.error:
            st.error(foreign.shown(run.error))
        if run.state is State.DAMAGED:
            st.markdown(words.DAMAGED)
        if run.state is State.RUNNING and run.total:
            st.progress(min(run.done / run.total, 1.0))
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            acts(here, run)


def acts(here: Runs, run: Run) -> None:
    """What can be done with a run."""
    link, mine = run.asked.subject.get("link"), work.visit().key == run.asked.key and work.visit().busy
    if mine:
        st.button("Cancel", key=f"cancel_{run.id}", on_click=work.visit().cancel)
    elif run.unfinished and link is not None:
        st.button("Resume", key=f"resume_{run.id}", type="primary", on_click=resume, args=(run,), help=words.RESUME)
    elif run.unfinished:
        st.markdown(words.ELSEWHERE.format(id=run.id), width="content")
    if link is not None and st.button("Open", key=f"open_{run.id}", help="Show this state on its page."):
        open_state(run)
    if run.asked.request.get("task") == "sweep":
        st.checkbox("Compare", key=f"w_compare_{run.id}")
    with st.popover("More"):
        more(here, run)


def more(here: Runs, run: Run) -> None:
    state[f"w_name_{run.id}"] = run.asked.name
    st.text_input("Name", key=f"w_name_{run.id}", max_chars=100, on_change=rename, args=(here, run.id))
    state[f"w_pinned_{run.id}"] = run.pinned
    st.toggle("Pinned", key=f"w_pinned_{run.id}", help=words.PINNED, on_change=pin, args=(here, run.id))
    packed = state.get("packed_run")
    if packed is not None and packed[0] == run.id:
        st.download_button("Download", packed[1], f"run-{run.id}.zip", "application/zip", key=f"zip_{run.id}",
                           on_click="ignore")  # fmt: skip
    else:
        st.button("Pack as a file", key=f"pack_{run.id}", on_click=pack, args=(here, run.id),
                  help="A ZIP of what was asked, the curves as a table, the log, and the results.")  # fmt: skip
    if lines := here.log(run.id):
        said = (f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))}  {says}" for at, says in lines)
        st.code("\n".join(said), language=None, wrap_lines=True)
    if run.state is not State.RUNNING:
        st.button("Delete", key=f"delete_{run.id}", on_click=delete, args=(here, run.id))


def undo(here: Runs) -> None:
    """The way back for the run that was deleted last."""
    if (gone := state.get("deleted_run")) is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{foreign.shown(gone[1])}** is deleted.", width="content")
            st.button("Undo", key="undelete", on_click=undelete, args=(here, gone[0]))


def compare(here: Runs, chosen: list[Run]) -> None:
    """The curves of the runs that were ticked."""
    names = [run.asked.name for run in chosen]
    curves = {}
    for name, run in zip(names, chosen, strict=True):
        if reports := here.reports(run.id):
            curves[f"{name} ({run.id})" if names.count(name) > 1 else name] = reports
    if curves:
        st.header("Side by side")
        st.markdown(words.COMPARE)
        frame.chart(figures.curves(curves, frame.dark()), "runs_chart", words.curves_alt(curves))


def resume(run: Run) -> None:
    work.visit().start(run.asked.key, dict(run.asked.request), run.total, lambda answer: None, run)


def open_state(run: Run) -> None:
    session.follow(run.asked.subject["link"])
    work.go(PAGES.get(run.asked.request["task"], "explore"))


PAGES = {"budget": "budget", "tune": "fine_tune", "rounds": "fine_tune"}


def rename(here: Runs, run: str) -> None:
    if name := state[f"w_name_{run}"].strip():
        here.rename(run, name)


def pin(here: Runs, run: str) -> None:
    here.pin(run, state[f"w_pinned_{run}"])


def pack(here: Runs, run: str) -> None:
    state["packed_run"] = run, here.exported(run)


def delete(here: Runs, run: str) -> None:
    found = here.get(run)
    here.delete(run)
    state["deleted_run"] = run, run if found is None else found.asked.name


def undelete(here: Runs, run: str) -> None:
    here.undelete(run)
    state.pop("deleted_run", None)


main()

"""Export: the pruned network as files, checked by loading them again."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import streamlit as st

from nettrim_core.jobs import Status
from nettrim_core.report import Report
from pages import frame, session, snippets, store, work
from pages.axes import percent
from pages.state import Choice

INTRO = (
    "The pruned network as files. It is solved once more from scratch, judged on the test samples, written, and loaded "
    "again before you get it."
)


def main() -> None:
    choice = frame.top("Take it with you", INTRO)
    if frame.ready(choice):
        work.live(show)


def show() -> None:
    choice = session.current_choice()
    st.session_state["w_method_shown"] = choice.lens[1]
    st.segmented_control(
        "Method", choice.methods, format_func=session.title_of, required=True, key="w_method_shown",
        on_change=frame.picked, args=("method_shown",), help="Whose weights the files hold.",
    )  # fmt: skip
    method = choice.lens[1]
    cells = frame.Cells(choice, "Take it with you")
    text = (
        f"**{store.bundle_of(choice.model).title}**, layers {', '.join(choice.layers)}, pruned "
        f"{frame.MODE_WORDS[choice.mode]} at ε = {choice.eps:g} with {choice.n:,} calibration samples."
    )
    with cells.cell("files", "The files", text, snippets.exported(choice, method)):
        show_answer(choice, method)
    with st.expander("How to load the weights in plain torch"):
        st.code(snippets.loaded(choice), language="python")
    cells.offer()


def show_answer(choice: Choice, method: str) -> None:
    settings = dataclasses.asdict(choice.solving(method))
    request = {"task": "files", "plan": choice.plan().to_dict(), "method": method, "settings": settings}
    errand = work.asked(request)
    if errand is not None and errand.done:
        show_files(errand.answers[-1], choice, method)
    elif errand is None:
        st.button("Prepare the files", key="prepare", type="primary", on_click=work.restart, args=(request,),
                  help="Solve, judge on the test samples, write, and load again.")  # fmt: skip
    else:
        work.show_progress(
            work.key_of(request), "Solving, writing, loading again", lambda: work.restart(request),
            0.5 if errand.job.status is Status.RUNNING else 0.0,
        )  # fmt: skip


def show_files(answer: dict[str, Any], choice: Choice, method: str) -> None:
    files = {name: base64.b64decode(data) for name, data in answer["files"].items()}
    report = Report.from_dict(json.loads(files["report.json"]))
    with st.container(key="checked"):
        st.header("Checked")
        for check in answer["checks"]:
            st.markdown(f"- ✓ {check}")
    with st.container(key="figures"):
        st.header("What it is worth")
        low, high = report.accuracy_interval or (0.0, 0.0)
        columns = st.columns(3)
        columns[0].metric("Zeros in the pruned layers", percent(report.sparsity), border=True)
        columns[1].metric(
            f"Right of {report.test_samples:,} test samples", percent(report.accuracy or 0.0, 2), border=True
        )
        columns[2].metric("Right before pruning", percent(report.accuracy_before or 0.0, 2), border=True)
        st.markdown(
            f"With 95 % confidence the accuracy lies between {percent(low, 2)} and {percent(high, 2)}. "
            f"Of all {report.network_weights:,} weights of the network {report.network_zeros:,} are zero; "
            "biases are counted apart."
        )
    stem = f"{choice.model}-{method}-eps{choice.eps:g}"
    left, right = st.columns(2)
    left.download_button(
        "Weights (model.safetensors)", files["model.safetensors"], f"{stem}.safetensors", "application/octet-stream",
        on_click="ignore", type="primary", width="stretch",
    )  # fmt: skip
    right.download_button(
        "Report (report.json)",
        files["report.json"],
        f"{stem}-report.json",
        "application/json",
        on_click="ignore",
        width="stretch",
    )


main()

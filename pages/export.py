"""Export: the pruned network as files, checked by loading them again."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import Any

import streamlit as st

from nettrim_core.jobs import Job, Status
from nettrim_core.report import Report
from pages import common, snippets, words
from pages.state import Choice

session = st.session_state


def main() -> None:
    choice = common.current_choice()
    st.title("Take it with you")
    common.show_notices()
    if not choice.layers or not choice.methods:
        st.info("Nothing is chosen to prune. Pick at least one layer and one method on the Explore page.")
        return
    bundle = common.bundle_of(choice.model)
    st.markdown(
        f"The network **{bundle.title}**, layers {', '.join(choice.layers)}, pruned "
        f"{'in parallel' if choice.mode == 'parallel' else 'as a cascade'} at ε = {choice.eps:g} with {choice.n:,} "
        "calibration samples. It is solved once more from scratch, judged on the test rows, written, and loaded again "
        "before you get it."
    )
    method = st.segmented_control(
        "Method", choice.methods, format_func=common.title_of, default=choice.methods[0], required=True, key="w_export"
    )
    assert method is not None
    key = repr(("export", choice.recipe().key(), common.curve_key(choice, method), choice.eps))
    answer = session.get("exports", {}).get(key)
    if answer is None:
        st.button("Prepare the files", type="primary", on_click=prepare, args=(key, choice, method))
        visit = common.visit()
        if visit.job is not None and visit.job_key == key:
            st.fragment(show_preparing, run_every=0.3 if visit.job.active else None)(key)
    else:
        show_files(answer, choice, method)
    with st.expander("The Python that makes these files"):
        st.code(snippets.exported(choice, method), language="python")
    with st.expander("How to load the weights in plain torch"):
        st.code(snippets.loaded(choice), language="python")


def prepare(key: str, choice: Choice, method: str) -> None:
    settings = dataclasses.asdict(choice.method(method)) | {"epsilon": choice.eps}
    request = {"recipe": choice.recipe().to_dict(), "export": {"method": method, "settings": settings}}
    exports: dict[str, Any] = session.setdefault("exports", {})
    common.visit().start(key, Job(request, 1, lambda answer: exports.__setitem__(key, answer)))


def show_preparing(key: str) -> None:
    visit = common.visit()
    job = visit.job
    if job is None or visit.job_key != key:
        return
    if job.status is Status.FAILED:
        st.error(f"The files could not be made: {job.error}.")
    elif job.status is Status.CANCELLED:
        st.info("Cancelled. Nothing was written.")
    else:
        ahead = common.pool().ahead_of(job)
        st.progress(
            0.5 if job.active else 1.0,
            text=f"Waiting for {ahead} other jobs" if ahead else "Solving, writing, loading again",
        )
        st.button("Cancel", on_click=visit.stop)
    if not job.active:
        st.rerun()


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
        columns[0].metric("Zeros in the pruned layers", words.percent(report.sparsity), border=True)
        columns[1].metric(
            f"Right of {report.test_samples:,} test samples", words.percent(report.accuracy or 0.0, 2), border=True
        )
        columns[2].metric("Right before pruning", words.percent(report.accuracy_before or 0.0, 2), border=True)
        st.markdown(
            f"With 95 % confidence the accuracy lies between {words.percent(low, 2)} and {words.percent(high, 2)}. "
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

"""The parts of the Compare page that show what candidates answer: sample by sample, class by class, under noise."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from nettrim_core.figures import compare as figures
from nettrim_core.tasks.behaviour import NOISE_SAMPLES
from pages import frame, snippets_compare, store
from pages import tables_compare as tables
from pages import words_compare as words
from pages.axes import percent
from pages.behaviours import Compared
from pages.candidates import Candidate
from pages.state import Choice, setting_fields

Seen = list[tuple[Candidate, dict[str, Any]]]  # candidates, each with what it was seen to do


def show(cells: frame.Cells, compared: Compared) -> None:
    models = list(dict.fromkeys(c.choice.model for c in compared.candidates))
    model = keep("answers_of", models)
    if len(models) > 1:
        titles = {name: store.bundle_of(name).title for name in models}
        model = st.segmented_control(
            "Answers of", models, format_func=titles.__getitem__, key="answers_of", required=True,
            help="Answers can be compared only between networks that are asked the same.",
        )  # fmt: skip
    seen = compared.of_model(model or models[0])
    if not seen:
        return
    with_classes = [(c, a) for c, a in seen if a["evaluation"]["changes"] is not None]
    show_changes(cells, compared.choice, seen, with_classes)
    if any(a["classes"] for _, a in seen):
        show_classes(cells, compared, seen)
    if any(a["evaluation"]["noise"] for _, a in seen):
        show_noise(cells, compared, with_classes)


def keep(key: str, options: list[str]) -> str:
    """What was picked, or the first where that is not offered any more."""
    if st.session_state.get(key) not in options:
        st.session_state[key] = options[0]
    return st.session_state[key]


def show_changes(cells: frame.Cells, choice: Choice, seen: Seen, comparable: Seen) -> None:
    candidates = [c for c, _ in seen]
    with cells.cell("changes", "Which answers change", words.CHANGES, snippets_compare.changes(candidates)):
        st.markdown("\n".join(f"- {words.changed(c, a['evaluation'])}" for c, a in seen))
        if not comparable:
            return
        inputs, labels = store.bundle_of(candidates[0].choice.model).test
        titles = {"": "any candidate"} | {c.letter: c.title for c, _ in comparable}
        keep("changed_by", list(titles))
        with st.container(horizontal=True):
            asked = st.selectbox(
                "Answers changed by", list(titles), format_func=titles.__getitem__, key="changed_by",
                help="Whose changed answers are listed.",
            )  # fmt: skip
            if labels is not None:
                kinds = setting_fields()["changes"]
                frame.setting_widget(st, "changes", kinds, choice.view.changes, "Kind of change", words.KINDS)
        kind = choice.view.changes if labels is not None else "changed"
        changes = {c.letter: a["evaluation"]["changes"] for c, a in comparable}
        rows = tables.changed(changes, kind, asked, None if labels is None else labels.tolist())
        st.markdown(words.listed(min(len(rows), tables.MOST_SAMPLES), len(rows)))
        if rows:
            st.html(tables.samples(rows, inputs.numpy(), [c for c, _ in comparable]))


def show_classes(cells: frame.Cells, compared: Compared, seen: Seen) -> None:
    candidates = [c for c, _ in seen]
    by_label = [{entry["label"]: entry for entry in answer["classes"]} for _, answer in seen]
    labels = sorted(by_label[0], key=lambda k: min(e[k]["pruned"]["value"] - e[k]["dense"]["value"] for e in by_label))
    parts = [
        figures.Parts(c.title, compared.looks[c.letter], [_part(entries[k], "pruned") for k in labels])
        for c, entries in zip(candidates, by_label, strict=True)
    ]
    dense = figures.Parts("dense", None, [_part(by_label[0][k], "dense") for k in labels])
    losses = {
        c.letter: [(str(k), e[k]["dense"]["value"] - e[k]["pruned"]["value"], e[k]["samples"]) for k in labels]
        for c, e in zip(candidates, by_label, strict=True)
    }
    said = words.classes_alt(candidates, losses)
    with cells.cell("classes", "Class by class", words.CLASSES, snippets_compare.classes(candidates)):
        names = [f"{k} (of {by_label[0][k]['samples']:,})" for k in labels]
        frame.chart(figures.dumbbells(names, dense, parts, frame.dark()), "classes_chart", said)
        st.markdown(said)


def _part(entry: dict[str, Any], who: str) -> tuple[float, str]:
    value, samples = entry[who]["value"], entry["samples"]
    return value, f"{round(value * samples):,} of {samples:,} right, {percent(value)}"


def show_noise(cells: frame.Cells, compared: Compared, seen: Seen) -> None:
    candidates, answers = [c for c, _ in seen], [a for _, a in seen]
    count, bundle = answers[0]["noise_samples"], store.bundle_of(candidates[0].choice.model)
    step = math.ceil(len(bundle.test[0]) / NOISE_SAMPLES)
    of = f"Right answers, of {count:,} test samples"
    if answers[0]["evaluation"]["accuracy"] is None:
        of = f"Answers as the dense network's without noise, of {count:,} test samples"
    networks = [("dense", None, answers[0]["evaluation"]["noise_dense"])]
    networks += [(c.title, compared.looks[c.letter], a["evaluation"]["noise"]) for c, a in seen]
    lines = [
        figures.Line(name, look, [(norm, s["value"], s["low"], s["high"]) for norm, s in points])
        for name, look, points in networks
    ]
    said = words.noise_alt([name for name, _, _ in networks], [points for _, _, points in networks], of)
    with cells.cell("noise", "Under noise", words.NOISE, snippets_compare.noise(candidates, step)):
        frame.chart(figures.noise(lines, of, frame.dark()), "noise_chart", said)
        st.markdown(said)

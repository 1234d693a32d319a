"""Export: a result as files, each checked by loading it again; what its zeros save; its recipe."""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from nettrim_core.formats import FORMATS
from nettrim_core.jobs import Status
from nettrim_core.methods import titled
from nettrim_core.recipes.command import command
from nettrim_core.recipes.recipe import Recipe
from nettrim_core.recipes.script import script
from nettrim_core.report import Report
from pages import brought, curves, foreign, frame, recipes, session, snippets, store, work
from pages import words_export as said
from pages.archives import zipped
from pages.axes import file_size, percent
from pages.state import Choice, setting_fields

state = st.session_state


def main() -> None:
    choice = frame.top("Take it with you", said.INTRO)
    if frame.ready(choice):
        work.live(show)
    opening()


def show() -> None:
    choice = session.current_choice()
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        state["w_method_shown"] = choice.lens[1]
        st.segmented_control(
            "Method", choice.methods, format_func=titled, required=True, key="w_method_shown", on_change=frame.picked,
            args=("method_shown",), help="Whose weights the files hold.",
        )  # fmt: skip
        state["w_export.how"] = choice.of("export").how
        st.segmented_control(
            "Result", list(said.HOW), format_func=said.HOW.__getitem__, required=True, key="w_export.how", wrap=True,
            on_change=frame.picked_setting, args=("export.how",), help=setting_fields()["export.how"].metadata["help"],
        )  # fmt: skip
    how, method = choice.of("export").how, choice.lens[1]
    try:
        recipe = recipes.recipe_of(choice, how)
    except ValueError as error:
        st.warning(f"{error}.")
        return
    if recipe.training is not None and store.bundle_of(choice.model).train[1] is None:
        st.info(said.NO_LABELS)
        return
    cells = frame.Cells(choice, "Take it with you")
    text = said.subject(choice, store.bundle_of(choice.model).title, titled(method))
    with cells.cell("files", "The files", text, script(recipe)):
        show_files(choice, recipe)
    with cells.cell("recipe", "The recipe", said.RECIPE):
        if brought.is_own(choice.model):
            st.info(said.OWN)
        st.code(command(recipe), language=None, wrap_lines=True)
        frame.folded("The recipe as a file", recipe.to_toml(), "recipe_file", "toml")
    with st.expander("How to load the weights in plain torch"):
        st.markdown(said.LOADING)
        st.code(snippets.loaded(choice), language="python")
    cells.offer()


def show_files(choice: Choice, recipe: Recipe) -> None:
    reports = curves_of(choice)
    known = [name for name, entry in FORMATS.items() if reports or not entry.needs_curves]
    names = [name for name in known if name in state.get("export_formats", said.USUAL)]
    columns = st.columns([3, 1], vertical_alignment="bottom")
    with columns[0]:
        st.multiselect(
            "Formats", known, default=names, format_func=lambda name: FORMATS[name].title, key="w_formats",
            on_change=keep_formats, help="What to write. The list below says what each is good for.",
        )  # fmt: skip
    with columns[1]:
        state["w_export.batch"] = choice.of("export").batch
        st.number_input(
            "Samples at a time", 1, 4096, key="w_export.batch", on_change=frame.picked_setting, args=("export.batch",),
            help="The time of a pass is measured for so many samples at once.",
        )  # fmt: skip
    with st.expander("What the formats are good for"):
        lines = (f"- **{FORMATS[name].title}** (`{FORMATS[name].file}`): {FORMATS[name].about}" for name in known)
        st.markdown("\n".join(lines))
    if not names:
        st.info("No format is chosen. Pick at least one.")
        return
    batch = choice.of("export").batch
    request = {"task": "files", "recipe": recipe.to_dict(), "formats": names, "batch": batch}
    errand = work.asked(request)
    if errand is not None and errand.done:
        show_answers(errand, choice)
    elif errand is None:
        st.button("Prepare the files", key="prepare", type="primary", on_click=prepare, args=(request, reports),
                  help="Solve, judge on the test samples, write, and load again.")  # fmt: skip
    else:
        doing = "Solving" if not errand.answers else "Writing and loading again"
        part = None if errand.job.status is Status.RUNNING else 0.0
        work.show_progress(work.key_of(request), doing, lambda: prepare(request, reports), part)


def prepare(request: dict[str, Any], reports: Sequence[Report]) -> None:
    """Have the files made, with the curves as they are now: more points, later, do not make other files."""
    total = len(request["formats"]) + 2  # answers
    points = {"curves": [report.to_dict() for report in reports]}
    work.visit().start(work.key_of(request), request | points, total)


def keep_formats() -> None:
    state["export_formats"] = list(state["w_formats"])


def curves_of(choice: Choice) -> list[Report]:
    """The solved points that the Explore page shows of this state."""
    bundle = store.bundle_of(choice.model)
    stops = curves.stops_of(choice, store.facts_of(choice.model).rows)
    found = curves.gather(choice.methods, stops, functools.partial(store.points().get, bundle))
    return [point.report for points in found.values() for point in points if point is not None]


def show_answers(errand: work.Errand, choice: Choice) -> None:
    outcome, *written, last = errand.answers
    report, recipe = Report.from_dict(outcome["report"]), Recipe.from_dict(outcome["recipe"])
    files = {entry["format"]: base64.b64decode(entry["data"]) for entry in written if "data" in entry}
    stem = f"{choice.model}-{choice.lens[1]}-{choice.of('export').how}"
    if len(files) > 1:
        packed = errand.once("zip", lambda: zipped({FORMATS[name].file: data for name, data in files.items()}))
        st.download_button(
            f"All {len(files)} files ({file_size(len(packed))} as a ZIP)", packed, f"{stem}.zip", "application/zip",
            on_click="ignore", type="primary", key="all_files",
        )  # fmt: skip
    with st.container(key="checked"):
        st.header("Checked")
        for entry in written:
            show_file(entry, files.get(entry["format"]), stem)
    with st.container(key="figures"):
        st.header("What it is worth")
        show_worth(report)
    with st.container(key="savings"):
        st.header("What the zeros save")
        st.markdown(said.SAVING)
        st.table(
            {what: f"**{much}**: {meaning}" for what, much, meaning in said.savings(last["costs"])}, border="horizontal"
        )
        st.markdown(last["costs"]["sentence"])
    frame.folded("What was made, and where", recipe.to_toml(), "made_file", "toml")


def show_file(entry: Mapping[str, Any], data: bytes | None, stem: str) -> None:
    """One file, or why the network cannot be had in its format."""
    known = FORMATS[entry["format"]]
    left, right = st.columns([5, 2], vertical_alignment="center")
    if data is None:
        left.markdown(f"✗ **{known.title}**: {foreign.shown(entry['refused'])}")
        return
    left.markdown(f"✓ **{known.title}**: {foreign.shown(entry['check'])}.")
    right.download_button(
        f"{known.file} ({file_size(len(data))})", data, f"{stem}-{known.file}", "application/octet-stream",
        on_click="ignore", key=f"file_{entry['format']}", width="stretch",
    )  # fmt: skip


def show_worth(report: Report) -> None:
    figures = [("Zeros in the pruned layers", percent(report.sparsity))]
    if report.accuracy is not None and report.accuracy_before is not None:
        pruned = f"Right of {report.test_samples:,} test samples"
        if report.retraining is None:
            figures.append((pruned, percent(report.accuracy, 2)))
        else:
            figures.append(("Right after pruning", percent(report.accuracy, 2)))
            figures.append((f"{pruned}, retrained", percent(report.retraining.accuracy or 0.0, 2)))
        figures.append(("Right before pruning", percent(report.accuracy_before, 2)))
    for column, (label, value) in zip(st.columns(len(figures)), figures, strict=True):
        column.metric(label, value, border=True)
    st.markdown(said.worth(report))


def opening() -> None:
    """Open a recipe."""
    key = f"recipe_file_{state.get('recipe_files', 0)}"
    with st.container(key="opening"):
        st.header("Open a recipe")
        if state.get("recipe_said"):
            for sentence in state["recipe_said"]:
                st.warning(foreign.shown(sentence))
        st.file_uploader(said.OPEN, "toml", key=key, on_change=open_recipe, args=(key,), max_upload_size=1)


def open_recipe(key: str) -> None:
    """Go to the state that a recipe asks for, or say what of it cannot be followed."""
    state["recipe_files"] = state.get("recipe_files", 0) + 1
    data = state[key].getvalue()
    try:
        recipe = Recipe.from_toml(data.decode(), state[key].name)
        query, notices = recipes.query_of(recipe)
    except ValueError as error:
        state["recipe_said"] = [str(error)]
        return
    choice, others = session.choice_of({name: [value] for name, value in query.items()})
    session.choose(choice)
    notices += [sentence.replace("The link", "The recipe") for sentence in others]
    state["recipe_said"] = notices + recipes.changes(recipe, choice, store.bundle_of(choice.model).fingerprint)


main()

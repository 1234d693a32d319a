"""Explore: one knob, every method, and what happens to a real network."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import streamlit as st

from nettrim_core.bundle import Bundle, sample_names
from nettrim_core.jobs import Job, Status
from nettrim_core.methods import METHODS
from nettrim_core.recipe import EPSILONS, coarse_to_fine
from nettrim_core.record import Point, decision_regions
from nettrim_core.reference import small_enough
from pages import common, pictures, snippets, words
from pages.knob import knob
from pages.state import EPSILON_RANGE, MODES, PATCHES_RANGE, Choice, Facts, setting_fields

STALE = 2.0  # seconds in which a browser may still send the number that the knob has left
POLL = 0.5  # seconds between looks at a running sweep
session = st.session_state


def main() -> None:
    choice = common.current_choice()
    bundle = common.bundle_of(choice.model)
    store = common.points()
    store.read_stored(bundle)
    st.title("How much can we trim?")
    st.markdown(
        "A trained network answers with many small weights. **Epsilon** is how far a layer's response may move, "
        "relative to its size, when we set weights to zero. Drag it and see how many weights go, and what that costs."
    )
    common.show_notices()
    with st.container(key="model"):
        choice = choose_network(choice)
    start_missing(choice, bundle)
    session["polling"] = common.visit().busy
    results = st.fragment(show_results, run_every=POLL if session["polling"] else None)
    results()


def choose_network(choice: Choice) -> Choice:
    """The controls of what is pruned and how; they write to the choice in their callbacks."""
    facts = common.facts_of(choice.model)
    session["w_model"], session["w_mode"] = choice.model, choice.mode
    session["w_layers"], session["w_methods"] = list(choice.layers), list(choice.methods)
    left, right, more = st.columns([4, 3, 2], vertical_alignment="bottom")
    titles = {name: common.bundle_of(name).title for name in sample_names()}
    left.selectbox("Model", sample_names(), format_func=titles.__getitem__, key="w_model", on_change=picked_model)
    right.segmented_control(
        "Layers are pruned",
        MODES,
        format_func={"parallel": "in parallel", "cascade": "as a cascade"}.__getitem__,
        key="w_mode",
        required=True,
        on_change=picked,
        args=("mode",),
        help="In parallel: each layer on the dense network's signals, on its own. As a cascade: in order, each on the "
        "signals of the network pruned so far; epsilon then sets the first layer, and later ones follow the error "
        "already made.",
    )
    with st.container(horizontal=True, gap="medium"):
        st.pills(
            "Layers",
            facts.layers,
            selection_mode="multi",
            key="w_layers",
            wrap=True,
            on_change=picked,
            args=("layers",),
        )
        st.multiselect(
            "Methods",
            list(METHODS),
            format_func=common.title_of,
            key="w_methods",
            placeholder="Pick methods to compare",
            width=440,
            on_change=picked,
            args=("methods",),
        )
    with more.popover("Settings", width="stretch"):
        settings_form(choice, facts)
        st.markdown(common.bundle_of(choice.model).card.replace("# ", "#### ", 1))
    return choice


def settings_form(choice: Choice, facts: Facts) -> None:
    """Calibration, seed, and every setting of the chosen methods, from the settings' own ranges and help."""
    columns = st.columns(2)
    session["w_n"], session["w_seed"] = choice.n, choice.seed
    columns[0].number_input(
        "Calibration samples", 1, facts.rows, step=100, key="w_n", on_change=picked, args=("n",),
        help="Training inputs the layers' responses are measured on. No labels are used.",
    )  # fmt: skip
    columns[1].number_input("Seed of their choice", 0, 2**31 - 1, key="w_seed", on_change=picked, args=("seed",))
    if facts.convolutions:
        session["w_patches"] = choice.patches
        columns[0].number_input(
            "Patches of a convolution", *PATCHES_RANGE, step=500, key="w_patches", on_change=picked, args=("patches",),
            help="At most so many of the places where a filter looks are used, drawn with the seed. With fewer than "
            "there are, a bound on the error is an estimate, and says so.",
        )  # fmt: skip
    if "nettrim" in choice.methods:
        st.markdown(words.memory(common.memory_of(choice.model, choice.n, choice.patches), choice.layers))
    owners = [*choice.methods, *(["cascade"] if choice.mode == "cascade" else [])]
    shown = [(name, f) for name, f in setting_fields().items() if name.split(".")[0] in owners]
    for i, (name, f) in enumerate(shown):
        setting_widget(columns[(i + facts.convolutions) % 2], name, f, choice.settings.get(name, f.default))


def setting_widget(place: Any, name: str, f: dataclasses.Field[Any], value: Any) -> None:
    """A list for a choice, a switch for a bool, a number for a number."""
    owner, kind = name.split(".")[0], type(f.default)
    label = f"{'Cascade' if owner == 'cascade' else common.title_of(owner)}: {f.name}"
    session[f"w_{name}"] = kind(value)
    shared = {"key": f"w_{name}", "help": f.metadata["help"], "on_change": picked_setting, "args": (name,)}
    if kind is str:
        place.selectbox(label, f.metadata["options"], **shared)
    elif kind is bool:
        place.toggle(label, **shared)
    else:
        low, high = kind(f.metadata["low"]), kind(f.metadata["high"])
        step, shape = (1, "%d") if kind is int else (value / 10, "%g")
        place.number_input(label, low, high, step=step, format=shape, **shared)


def picked(name: str) -> None:
    value = session[f"w_{name}"]
    if isinstance(value, list):
        order = common.facts_of(session["choice"].model).layers if name == "layers" else list(METHODS)
        value = tuple(entry for entry in order if entry in value)
    common.choose(dataclasses.replace(session["choice"], **{name: value}))


def picked_model() -> None:
    model = session["w_model"]
    common.choose(session["choice"].with_model(model, common.facts_of(model)))


def picked_setting(name: str) -> None:
    common.choose(session["choice"].with_setting(name, session[f"w_{name}"]))


def picked_epsilon() -> None:
    """The knob was released."""
    if (epsilon := session["knob"].get("eps")) is not None:
        session["knob_left"] = session["choice"].eps, time.monotonic()
        common.choose(dataclasses.replace(session["choice"], eps=float(epsilon)))


def typed_epsilon() -> None:
    """The number was changed. Not by hand where it is the one that the knob has just left: a click sends the state of
    every widget, and the browser's number follows the knob a moment later."""
    left, when = session.get("knob_left", (None, 0.0))
    if session["w_eps"] == left and time.monotonic() - when < STALE:
        return
    common.choose(dataclasses.replace(session["choice"], eps=float(f"{session['w_eps']:.6g}")))


def epsilons_of(choice: Choice) -> list[float]:
    """The knob's stops: the grid and every value this visitor typed."""
    typed: set[float] = session.setdefault("typed", set())
    if choice.eps not in EPSILONS:
        typed.add(choice.eps)
    return sorted({*EPSILONS, *typed})


def gather(choice: Choice, bundle: Bundle) -> dict[str, list[Point | None]]:
    """Method -> its point at every stop of the knob."""
    epsilons, recipe = epsilons_of(choice), choice.recipe()
    return {
        name: common.points().get(bundle, recipe, common.curve_key(choice, name), epsilons) for name in choice.methods
    }


def unfinished(point: Point | None) -> bool:
    return point is None or point.report.rough


def missing(choice: Choice, bundle: Bundle) -> list[dict[str, Any]]:
    """The curves still to solve, as a job has them: a typed value first, then coarse to fine."""
    epsilons = epsilons_of(choice)
    curves = []
    for name, found in gather(choice, bundle).items():
        unsolved = {epsilon for epsilon, point in zip(epsilons, found, strict=True) if unfinished(point)}
        left = [e for e in (choice.eps,) if e in unsolved and e not in EPSILONS]
        left += coarse_to_fine(unsolved - set(left))
        if left:
            curves.append({"method": name, "settings": common.settings_of_curve(choice, name), "epsilons": left})
    return curves


def work_key(choice: Choice) -> str:
    """What a sweep in this state is about: moving the knob among its stops is the same work."""
    return repr(
        (choice.recipe().key(), [common.curve_key(choice, name) for name in choice.methods], epsilons_of(choice))
    )


def start_missing(choice: Choice, bundle: Bundle) -> None:
    """Start solving what this state lacks, unless it was stopped by hand; leave work for another state."""
    visit, key = common.visit(), work_key(choice)
    if visit.busy and visit.job_key not in (key, check_key(choice)):
        visit.stop()
    if visit.busy or not choice.layers or not choice.methods or key in visit.stopped:
        return
    failed = visit.job is not None and visit.job_key == key and visit.job.status is Status.FAILED
    if not failed and (curves := missing(choice, bundle)):
        visit.start(key, common.sweep_job(bundle, choice.recipe(), curves))


def show_results() -> None:
    """Everything that follows the knob; also what is looked at again while a sweep runs."""
    choice = common.current_choice()
    bundle = common.bundle_of(choice.model)
    if not choice.layers:
        st.info("No layer is chosen. Pick at least one layer above.")
        return
    if not choice.methods:
        st.info("No method is chosen. Pick at least one method above.")
        return
    start_missing(choice, bundle)
    if common.visit().busy != session["polling"]:
        st.rerun()  # the page starts or stops looking again
    found = gather(choice, bundle)
    epsilons = epsilons_of(choice)
    here = [point for points in found.values() if (point := points[epsilons.index(choice.eps)]) is not None]
    with st.container(key="curves"):
        show_curves(choice, epsilons, found, here)
    with st.container(key="sentence"):
        st.header("In words")
        waiting = [common.title_of(name) for name in choice.methods if name not in {p.method for p in here}]
        lines = [words.sentence(point) for point in here] + [f"**{name}** is not solved here yet." for name in waiting]
        st.markdown("\n".join(f"- {line}" for line in lines))
        if text := words.verdict(here):
            st.markdown(text)
        code(snippets.at_epsilon(choice), "python_sentence")
    if not here:
        return
    with st.container(key="layers"):
        st.header("Layer by layer")
        st.markdown(
            "How many weights of each layer are zero, and how much of its tolerance was used: the **discrepancy** is "
            "the change of the layer's own response, relative to its size, beside what epsilon allows. The error in "
            "the network adds up what earlier layers did; theory bounds it."
        )
        st.html(pictures.layer_table(here))
        if norms := words.batch_norms(here):
            st.markdown(norms)
        if remarks := words.remarks([p.report for p in here]):
            with st.expander(f"Remarks on the layers ({len(remarks)})", key="remarks"):
                st.markdown("\n".join(f"- {remark}" for remark in remarks))
        show_checks(choice, here)
        code(snippets.at_epsilon(choice), "python_layers")
    show_sight(choice, bundle, here)


def show_curves(choice: Choice, epsilons: list[float], found: dict[str, list[Point | None]], here: list[Point]) -> None:
    st.header("The tolerance")
    show_progress(choice)
    any_point = next((p for points in found.values() for p in points if p is not None), None)
    series = [
        {
            "name": common.title_of(name),
            "style": list(METHODS).index(name),
            "points": [None if p is None else [p.report.sparsity, p.report.accuracy, quality(p)] for p in points],
        }
        for name, points in found.items()
    ]
    knob(
        epsilons,
        series,
        epsilon=choice.eps,
        dense=None if any_point is None else any_point.report.accuracy_before,
        alt="Accuracy over share of zeros. " + " ".join(words.sentence(p).replace("**", "") for p in here),
        key="knob",
        on_commit=picked_epsilon,
    )
    marks = [quality(p) for points in found.values() for p in points if p is not None]
    session["w_eps"] = choice.eps
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    left.number_input(
        "Exact epsilon", *EPSILON_RANGE, step=0.01, format="%g", key="w_eps", on_change=typed_epsilon,
        help="Any value from 0.001 to 0.999; one that is not on the knob is solved for and added to it.",
    )  # fmt: skip
    validation = len(common.bundle_of(choice.model).validation[1])
    note = f"Accuracy is on {validation:,} validation samples; test accuracy comes with the export."
    if "rough" in marks:
        note += f" Pale open markers, {marks.count('rough')} here, are early answers, not yet the certified ones."
    if "open" in marks:
        note += f" Open markers, {marks.count('open')} here, did not reach their tolerance."
    right.markdown(note)
    code(snippets.curves(choice), "python_curves")


def quality(point: Point) -> str:
    """How far a point can be trusted, as the knob draws it."""
    if point.report.rough:
        return "rough"
    return "certified" if point.report.converged else "open"


def show_progress(choice: Choice) -> None:
    """The state of this visitor's sweep: progress and a way to stop it, or why it ended."""
    visit = common.visit()
    job = visit.job if visit.job_key == work_key(choice) else None
    if job is not None and job.active:
        ahead = common.pool().ahead_of(job)
        done = max(job.total - left_to_solve(choice), 0)
        text = (
            f"Waiting for {ahead} other sweep{'s' * (ahead > 1)} on this server"
            if ahead
            else f"Solving: {done} of {job.total} points are final; the knob works meanwhile"
        )
        left, right = st.columns([4, 1], vertical_alignment="center")
        left.progress(done / job.total, text=text)
        right.button("Cancel", key="cancel", on_click=cancel, width="stretch")
    elif work_key(choice) in visit.stopped:
        offer_resume(choice)
    elif job is not None and job.status is Status.FAILED:
        st.error(f"The sweep stopped: {job.error}. What was solved stays. Change a setting, or resume.")
        st.button("Resume", key="resume", on_click=resume)


def left_to_solve(choice: Choice) -> int:
    return sum(len(curve["epsilons"]) for curve in missing(choice, common.bundle_of(choice.model)))


def offer_resume(choice: Choice) -> None:
    if left := left_to_solve(choice):
        columns = st.columns([4, 1], vertical_alignment="center")
        columns[0].markdown(f"Stopped; {left} points are not solved. The knob works on those that are.")
        columns[1].button("Resume", key="resume", on_click=resume, width="stretch")


def cancel() -> None:
    visit = common.visit()
    visit.stopped.add(visit.job_key)
    visit.stop()


def resume() -> None:
    visit, choice = common.visit(), session["choice"]
    visit.stopped.discard(work_key(choice))
    visit.job = None
    start_missing(choice, common.bundle_of(choice.model))


def show_checks(choice: Choice, here: list[Point]) -> None:
    """For layers small enough: Net-Trim beside the same program solved by a second solver."""
    point = next((p for p in here if p.method == "nettrim"), None)
    small = (
        []
        if point is None
        else [e.name for e in point.report.layers if small_enough(e.inputs + 1, e.outputs, e.columns)]
    )
    if not small:
        return
    with st.container(horizontal=True):
        for layer in small:
            st.button(f"Check {layer} with CVXPY", key=f"check_{layer}", on_click=check, args=(choice, layer),
                      help="Solve the layer's Net-Trim program once more, by an interior-point method.")  # fmt: skip
    key = check_key(choice)
    if (answer := session.get("checks", {}).get(key)) is not None:
        apart = abs(answer["objective"] - answer["reference"]) / max(answer["reference"], 1e-300)
        st.markdown(
            f"{answer['layer']} at ε = {choice.eps:g}: the sum of the weights' sizes is {answer['objective']:.6g} by "
            f"Net-Trim's own solver and {answer['reference']:.6g} by CVXPY with Clarabel ({answer['status']}), "
            f"{apart:.1e} apart. The certificate proves that it cannot be below {answer['bound']:.6g}."
        )
    elif (job := common.visit().job) is not None and common.visit().job_key == key:
        st.markdown(
            "Both solvers are at work …"
            if job.active
            else f"The check could not be made: {job.error or 'it was cancelled'}."
        )


def check_key(choice: Choice) -> str:
    return repr(("check", choice.recipe().key(), common.curve_key(choice, "nettrim"), choice.eps))


def check(choice: Choice, layer: str) -> None:
    settings = common.settings_of_curve(choice, "nettrim") | {"epsilon": choice.eps}
    request = {"recipe": choice.recipe().to_dict(), "check": {"layer": layer, "settings": settings}}
    key, checks = check_key(choice), session.setdefault("checks", {})
    checks.pop(key, None)
    common.visit().start(key, Job(request, 1, lambda answer: checks.__setitem__(key, answer)))


def show_sight(choice: Choice, bundle: Bundle, here: list[Point]) -> None:
    """What the first chosen layer still looks at, method beside method; for two inputs, the decision regions."""
    dark = st.context.theme.type == "dark"
    panels: list[tuple[str, Any, str]] = []
    if here[0].regions is not None:
        dense = dense_regions(choice.model)
        panels = [
            ("Dense network", pictures.region_map(dense, dense, dark), "the plane as the dense network divides it")
        ]
        for point in here:
            assert point.regions is not None
            changed = float((point.regions != dense).mean())
            caption = f"{words.percent(changed)} of the plane changed class (full colour)"
            panels.append((common.title_of(point.method), pictures.region_map(point.regions, dense, dark), caption))
        title = "Where the classes lie"
        text = "Each picture is the plane of the two inputs, coloured by the class the network gives it."
    else:
        shape = bundle.model.get_parameter(f"{choice.layers[0]}.weight").shape
        for point in here:
            drawn = pictures.usage_map(point, shape, dark)
            if drawn is not None:
                panels.append((common.title_of(point.method), *drawn))
        title = f"What {choice.layers[0]} still looks at"
        text = "The more weights of the layer are left at an input, the stronger its colour."
    if not panels:
        return
    with st.container(key="sight"):
        st.header(title)
        st.markdown(text)
        with st.container(horizontal=True):
            for name, picture, caption in panels:
                with st.container(width=200):
                    st.markdown(f"**{name}**")
                    st.image(picture, width="stretch", alt=f"{name}: {caption}")
                    st.markdown(caption)
        code(snippets.sight(choice), "python_sight")


@st.cache_resource(max_entries=8, show_spinner=False)
def dense_regions(model: str) -> Any:
    bundle = common.bundle_of(model)
    return decision_regions(bundle.model, bundle)


def code(source: str, key: str) -> None:
    with st.expander("The Python that makes this", key=key):
        st.code(source, language="python")


main()

"""The frame of every page: what is pruned and how, presets and undo, and the page's cells with their code."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import streamlit as st

from nettrim_core.figures.style import CONFIG, INK
from nettrim_core.methods import METHODS, titled
from pages import brought, foreign, notebook, session, share, store, words
from pages.state import MODE_WORDS, MODES, PATCHES_RANGE, Choice, Facts, setting_fields

HERE = Path(__file__).resolve().parent


def shown(choice: Choice, part: str) -> bool:
    """Is this part of the page to be shown: has the link not hidden it?"""
    presenting = choice.view.present and part in ("intro", "settings", "options", "code", "notebook", "mode")
    return part not in choice.hide and not presenting


def top(title: str, intro: str, controlled: bool = True) -> Choice:
    """Heading, notices and controls of a page; the present choice. controlled: does the page follow the controls?"""
    choice = st.session_state["headed"] = session.current_choice()
    with st.spinner("Loading the network …"):
        store.warm(choice.model)
    if choice.view.present:
        st.html("<style>html { font-size: 125%; } .stMainBlockContainer { padding-top: 3.5rem; }</style>")
    st.title(title)
    if shown(choice, "intro"):
        st.markdown(intro)
    for sentence in st.session_state.get("notices", []):
        st.warning(foreign.shown(sentence), icon="🔗")
    if controlled:
        with st.container(key="model"):
            controls(choice)
    return choice


def controls(choice: Choice) -> None:
    """What is pruned and how; the controls write to the choice in their callbacks."""
    facts = store.facts_of(choice.model)
    titles = session.models()
    session.shows("w_model", choice.model, titles)
    session.shows("w_layers", list(choice.layers), facts.layers)
    session.shows("w_methods", list(choice.methods))
    session.shows("w_mode", choice.mode)
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        if shown(choice, "model"):
            st.selectbox(
                "Network", list(titles), format_func=titles.__getitem__, key="w_model", width=270,
                on_change=picked_model,
                help="A trained network that comes with the studio, with its data, or one that you brought on the page "
                "Your own. Its card is under Settings.",
            )  # fmt: skip
        if shown(choice, "layers"):
            st.pills(
                "Layers", facts.layers, selection_mode="multi", key="w_layers", wrap=True, on_change=picked,
                args=("layers",), help="The layers that are pruned. All others stay as they were trained.",
            )  # fmt: skip
        if shown(choice, "methods"):
            st.multiselect(
                "Methods", list(METHODS), format_func=titled, key="w_methods",
                placeholder="Pick methods to compare", width=290, on_change=picked, args=("methods",),
                help="Each method decides which weights go. They are compared on the same layers and samples.",
            )  # fmt: skip
        if shown(choice, "mode"):
            st.segmented_control(
                "Layers are pruned", MODES, format_func=MODE_WORDS.__getitem__, key="w_mode", required=True,
                on_change=picked, args=("mode",),
                help="In parallel: each layer on the dense network's signals, on its own. As a cascade: in order, each "
                "on the signals of the network pruned so far; epsilon then sets the first layer, and later ones follow "
                "the error already made.",
            )  # fmt: skip
        if shown(choice, "settings"):
            with st.popover("Settings"):
                settings_form(choice, facts)
        if shown(choice, "share"):
            share.popover(choice)


def settings_form(choice: Choice, facts: Facts) -> None:
    """Calibration, seed, every setting of the chosen methods from its own range and help, and the layers' factors."""
    columns, state = st.columns(2), st.session_state
    state["w_n"], state["w_seed"] = choice.n, choice.seed
    columns[0].number_input(
        "Calibration samples", 1, facts.rows, step=100, key="w_n", on_change=picked, args=("n",),
        help="Training inputs the layers' responses are measured on. No labels are used.",
    )  # fmt: skip
    columns[1].number_input(
        "Seed of their choice", 0, 2**31 - 1, key="w_seed", on_change=picked, args=("seed",),
        help="Another seed draws other samples: how much do the results depend on them?",
    )  # fmt: skip
    if facts.convolutions:
        state["w_patches"] = choice.patches
        columns[0].number_input(
            "Patches of a convolution", *PATCHES_RANGE, step=500, key="w_patches", on_change=picked, args=("patches",),
            help="At most so many of the places where a filter looks are used, drawn with the seed. With fewer than "
            "there are, a bound on the error is an estimate, and says so.",
        )  # fmt: skip
    if "nettrim" in choice.methods:
        st.markdown(words.memory(store.memory_of(choice.model, choice.n, choice.patches), choice.layers))
    owners = [*choice.methods, *(["cascade"] if choice.mode == "cascade" else [])]
    offered = [(name, f) for name, f in setting_fields().items() if name.rpartition(".")[0] in owners]
    for i, (name, f) in enumerate(offered):
        setting_widget(columns[(i + facts.convolutions) % 2], name, f, choice.value(name))
    if len(choice.layers) > 1:
        st.markdown("**Each layer's share of epsilon.** The knob scales them all.")
        columns = st.columns(2)
        for i, layer in enumerate(choice.layers):
            name = f"scale.{layer}"
            state[f"w_{name}"] = float(choice.value(name))
            columns[i % 2].number_input(
                f"{layer}: times", 0.01, 100.0, step=0.25, format="%g", key=f"w_{name}", on_change=picked_setting,
                args=(name,), help="The layer's own epsilon is the knob's times this.",
            )  # fmt: skip
    card = store.bundle_of(choice.model).card.replace("# ", "#### ", 1)
    st.markdown(foreign.shown(card) if brought.is_own(choice.model) else card)


def setting_widget(
    place: Any,
    name: str,
    f: dataclasses.Field[Any],
    value: Any,
    label: str = "",
    titles: Mapping[str, str] | None = None,
) -> None:  # fmt: skip
    """A list for a choice, a switch for a bool, a number for a number. titles: of the words of a choice."""
    owner, _, own = name.rpartition(".")
    kind = type(f.default)
    label = label or f"{'Cascade' if owner == 'cascade' else titled(owner)}: {own}"
    st.session_state[f"w_{name}"] = kind(value)
    shared = {"key": f"w_{name}", "help": f.metadata["help"], "on_change": picked_setting, "args": (name,)}
    if kind is str:
        said = str if titles is None else titles.__getitem__
        place.selectbox(label, f.metadata["options"], format_func=said, **shared)
    elif kind is bool:
        place.toggle(label, **shared)
    else:
        low, high = kind(f.metadata["low"]), kind(f.metadata["high"])
        step, shape = (1, "%d") if kind is int else (value / 10 or 0.01, "%g")
        place.number_input(label, low, high, step=step, format=shape, **shared)


def picked(name: str) -> None:
    value, choice = st.session_state[f"w_{name}"], st.session_state["choice"]
    if isinstance(value, list):
        order = store.facts_of(choice.model).layers if name == "layers" else list(METHODS)
        value = tuple(entry for entry in order if entry in value)
    session.picked(dataclasses.replace(choice, **{name: value}), name)


def picked_model() -> None:
    model = st.session_state["w_model"]
    session.picked(st.session_state["choice"].with_model(model, store.facts_of(model)), "model")


def picked_setting(name: str) -> None:
    session.picked(st.session_state["choice"].with_setting(name, st.session_state[f"w_{name}"]), name)


def typed_epsilon() -> None:
    epsilon = float(f"{st.session_state['w_eps']:.6g}")
    session.picked(dataclasses.replace(st.session_state["choice"], eps=epsilon), "eps")


def ready(choice: Choice) -> bool:
    """Is there something to prune? Else this says what to pick."""
    for what in ("layers", "methods"):
        if not getattr(choice, what):
            st.info(f"No {what[:-1]} is chosen. Pick at least one {what[:-1]} above.")
            return False
    return True


def dark() -> bool:
    """Is the page shown on dark ground?"""
    return st.context.theme.type == "dark"


def chart(figure: Any, key: str, alt: str) -> None:
    """A Plotly figure that changes rarely. alt: what it shows, for those who do not see it."""
    legible(figure, INK[dark()])
    if st.session_state["choice"].view.present:
        enlarge(figure)
    st.plotly_chart(figure, width="stretch", theme="streamlit", key=key, config=CONFIG, alt=alt)


def legible(figure: Any, ink: str) -> None:
    """The page's own ink for axes and legend, which come too pale to read."""
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(tickfont={"color": ink}, title={"font": {"color": ink}})
    figure.update_layout(legend={"font": {"color": ink}})


def enlarge(figure: Any) -> None:
    """For a projector: Plotly's type is in pixels, and does not grow with the page's."""
    for axes in (figure.update_xaxes, figure.update_yaxes):
        axes(tickfont={"size": 15}, title={"font": {"size": 17}})
    figure.update_annotations(font={"size": 15})
    figure.update_layout(legend={"font": {"size": 15}})


def folded(title: str, code: str, key: str, language: str = "python") -> None:
    """Code below a title that opens it. It is sent when opened: to colour it costs a browser more than a chart."""
    with st.expander(title, key=key, on_change="rerun") as fold:
        if fold.open:
            st.code(code, language=language)


class Cells:
    """The cells of a page as they are shown, for its notebook: a sentence, a result, and the code that makes it."""

    def __init__(self, choice: Choice, title: str) -> None:
        self.choice, self.title = choice, title
        self.cells: list[notebook.Cell] = []

    @contextmanager
    def cell(self, key: str, title: str, text: str = "", code: str = "") -> Iterator[None]:
        """A headed part of the page, with its code folded below."""
        self.cells.append(notebook.Cell(f"## {title}\n\n{text}".strip(), code))
        with st.container(key=key):
            st.header(title)
            if text:
                st.markdown(text)
            yield
            if code and shown(self.choice, "code"):
                folded("The Python that makes this", code, f"python_{key}")

    def note(self, text: str) -> None:
        """Text that belongs to the page's story, shown and written to the notebook."""
        self.cells.append(notebook.Cell(text))
        st.markdown(text)

    def offer(self) -> None:
        """The page as a notebook. It is written now, not when it is asked for: a function that another run of the page
        has replaced meanwhile is not found any more, while equal bytes keep their address."""
        if not shown(self.choice, "notebook"):
            return
        link = session.link(self.choice)
        st.download_button(
            "Download notebook",
            notebook.write([dataclasses.replace(cell, link=link) for cell in self.cells], self.title),
            f"{self.title.lower().replace(' ', '-')}-{self.choice.model}.ipynb", "application/x-ipynb+json",
            key="notebook", on_click="ignore",
            help="This page as a Jupyter notebook, with these settings: every result with the Python that makes it.",
        )  # fmt: skip

"""Your own: bring a network and data, see what was read, and use them on every page."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from nettrim_core import layer_list
from nettrim_core.data import DataOptions
from nettrim_core.intake import zipped
from nettrim_core.plain import for_markdown
from pages import brought, forms, frame, retrainings, session, work
from pages import words_bring as said
from pages.thumbnails import thumbnail

PARTS = {"network": list(said.NETWORK_KINDS), "data": None, "labels": None}  # of data the content says what it is
LONGEST = 60  # characters of a name
LONGEST_LIST = 20_000  # characters of a list of layers
ACROSS = 3  # options beside each other
state = st.session_state


def main() -> None:
    if state.pop("bring_taken", False):
        work.go("explore")
    frame.top("Bring your own", said.INTRO, controlled=False)
    room = brought.room()
    read_form()
    room.door.open()  # it takes seconds to come up, in which a file is picked
    found, trouble = looked()
    with st.container(key="network"):
        st.header("1. The network")
        show_network(found, trouble)
    with st.container(key="data"):
        st.header("2. The data")
        show_data(found)
    with st.container(key="use"):
        st.header("3. Use it")
        show_use(found)


def looked() -> tuple[dict[str, Any], str]:
    """What is in the files that were given, and why there is nothing to say."""
    room = brought.room()
    if not room.files:
        return {}, ""
    try:
        with st.spinner("Reading the files …"):
            return room.look(options().to_dict(), listed()), ""
    except ValueError as error:
        return {}, str(error)


def listed() -> str:
    """The layers as the visitor listed them; "" where they are not asked for, or not right yet."""
    text = state.get("bring_layers", "")
    return text if asks_for_layers() and text.strip() and not layer_list(text).problem else ""


def asks_for_layers() -> bool:
    """Are there weights alone, which do not say how they are joined?"""
    return name_of("network").lower().endswith(said.WEIGHTS_ALONE)


def options() -> DataOptions:
    """As the form has them; the ones before where they do not go together."""
    return state.setdefault("bring_options", DataOptions())


def read_form() -> None:
    """Take the options from all of the form that is shown, or say what is wrong in it. They begin anew where the file
    is of another kind than the one that they were made for."""
    state["bring_options_refused"] = ""
    if not name_of("data"):
        return
    kind = said.kind_of(name_of("data"))
    if state.setdefault("bring_options_for", kind) != kind:
        brought.room().take_away("labels")
        state["bring_options_for"], state["bring_options"] = kind, DataOptions()
        forms.forget(DataOptions, "bring")
    try:
        state["bring_options"] = dataclasses.replace(options(), **forms.read(DataOptions, "bring"))
    except ValueError as error:
        state["bring_options_refused"] = str(error).removeprefix("DataOptions.")


def uploader(part: str, label: str, help: str) -> None:
    """Where a file is dropped; empty again once it is kept, so that the same one can be given again."""
    most = brought.room().door.limits.mb
    key = f"bring_{part}_{state.get(f'bring_count_{part}', 0)}"
    st.file_uploader(label, PARTS[part], key=key, on_change=received, args=(part, key), max_upload_size=most, help=help)
    if sentence := state.get(f"bring_refused_{part}"):
        st.error(for_markdown(sentence))


def received(part: str, key: str) -> None:
    """Keep a file, unless it is refused: then the one before it stays."""
    file = state[key]
    state[f"bring_count_{part}"] = state.get(f"bring_count_{part}", 0) + 1
    state.pop(f"bring_refused_{part}", None)
    if file is not None:
        keep(part, file.name, file.getvalue())


def keep(part: str, name: str, data: bytes) -> None:
    try:
        brought.quotas().use(brought.visitor(), "uploads")
        brought.room().put(part, name, data)
    except ValueError as error:
        state[f"bring_refused_{part}"] = str(error)
        return
    if part == "network":
        state.pop("bring_title", None)


def name_of(part: str) -> str:
    """The name of the file that is there; "" for none."""
    return Path(brought.room().files.get(part, "")).name


def kept(part: str, sentence: str) -> None:
    """What a file was read as, with a way to take it away."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"kept_{part}"):
        st.markdown(sentence, width="stretch")
        st.button("Remove", key=f"bring_remove_{part}", type="tertiary", on_click=take_away, args=(part,),
                  help="Delete this file from the server.")  # fmt: skip


def take_away(part: str) -> None:
    brought.room().take_away(part)


def refused(part: str, sentence: str) -> None:
    """Why a file is not taken, and the way back to the one before it."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key=f"refused_{part}"):
        st.error(for_markdown(sentence), width="stretch")
        st.button("Remove", key=f"bring_remove_{part}", type="tertiary", on_click=take_away, args=(part,),
                  help="Delete this file from the server.")  # fmt: skip
    if before := brought.room().before(part):
        st.button(f"Back to {before}", key=f"bring_back_{part}", on_click=brought.room().back, args=(part,),
                  help="The file that was here before stays until you leave.")  # fmt: skip


def show_network(found: dict[str, Any], trouble: str) -> None:
    uploader("network", "Network", said.NETWORK_HELP)
    if not brought.room().files:
        offer_example()
    if trouble:
        refused("network" if name_of("network") else "data", trouble)
    name, network = name_of("network"), found.get("network")
    if network is None:
        return
    good = "refused" not in network
    if not good:
        refused("network", network["refused"])
    if asks_for_layers():
        with st.expander(said.LAYERS, key="bring_listing", expanded=not good or bool(listed())):
            list_layers()
    if not good:
        return
    kept("network", said.network(network, name))
    with st.expander(f"Layers ({len(network['layers'])})", expanded=len(network["layers"]) < 9):
        st.html(said.layer_table(network["layers"]))


def list_layers() -> None:
    """A text of layers, and what each makes of the shape before it."""
    state["w_bring_layers"] = state.get("bring_layers", "")
    left, right = st.columns(2)
    left.text_area(
        "Layers, one a line", key="w_bring_layers", height=240, max_chars=LONGEST_LIST, on_change=wrote_layers,
        help=said.LAYERS_HELP, placeholder=said.LAYERS_EXAMPLE,
    )  # fmt: skip
    if state["w_bring_layers"].strip():
        right.html(said.listing(layer_list(state["w_bring_layers"])))
    else:
        right.markdown(said.LAYERS_TOLD)


def wrote_layers() -> None:
    state["bring_layers"] = state["w_bring_layers"]


def offer_example() -> None:
    """Files to try the page with."""
    files = state.get("bring_example")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(said.NO_FILES)
        st.button("Use the example", key="bring_use_example", on_click=use_example,
                  help="As if you had uploaded the two files.")  # fmt: skip
        if files is None:
            st.button("Make the files", key="bring_make_example", on_click=make_example,
                      help="Prepare digits.pt2 and digits.csv, to be downloaded and looked at.")  # fmt: skip
        for name, data in files or []:
            st.download_button(name, data, name, key=f"bring_example_{name}", on_click="ignore")


def make_example() -> None:
    if "bring_example" not in state:
        try:
            state["bring_example"] = brought.room().example()
        except ValueError as error:
            state["bring_refused_network"] = str(error)


def use_example() -> None:
    make_example()
    for part, (name, data) in zip(("network", "data"), state.get("bring_example", []), strict=False):
        keep(part, name, data)


def show_data(found: dict[str, Any]) -> None:
    uploader("data", said.DATA_LABEL, said.DATA_HELP)
    name, data = name_of("data"), found.get("data")
    if data is None:
        st.markdown(said.FIRST if not name else "")
    elif "refused" in data:
        refused("data", data["refused"])
    else:
        if not name:
            st.markdown(said.OF_BUNDLE)
        preview(data, name or "The bundle's data")
    if name:
        with st.expander("How it is read", key="bring_how", expanded=True):
            kind = data["kind"] if data and "kind" in data else said.kind_of(name)
            form(kind)
            if kind in said.TWO_FILES:
                uploader("labels", "Labels, from a second file", said.LABELS_HELP)
                if labels := name_of("labels"):
                    kept("labels", f"**{labels}**")


def form(kind: str) -> None:
    """The options of reading that have a part in such a file, each from its own range and help."""
    fields = {f.name: f for f in dataclasses.fields(DataOptions)}
    names = said.options_for(kind)
    for start in range(0, len(names), ACROSS):
        for place, name in zip(st.columns(ACROSS, vertical_alignment="bottom"), names[start:], strict=False):
            label, _, empty = said.OPTIONS[name]
            forms.widget(place, fields[name], getattr(options(), name), label, "bring", empty)
    if sentence := state.get("bring_options_refused"):
        st.error(for_markdown(sentence))


def preview(data: dict[str, Any], name: str) -> None:
    """What the data looks like."""
    if name_of("data"):
        kept("data", said.data(data, name))
    else:
        st.markdown(said.data(data, name))
    pictures = []
    for sample in data["samples"]:
        label = "no label" if sample["name"] is None else f"{sample['name']}"
        pictures.append((thumbnail(np.array(sample["values"]), f"sample {sample['row']}, {label}"), label))
    st.html(said.samples(pictures))
    if data["classes"]:
        with st.expander(f"Classes ({data['all_classes']:,})"):
            st.html(said.class_table(data["classes"], data["all_classes"]))
    if data["remarks"]:
        st.markdown("\n".join(f"- {for_markdown(remark)}" for remark in data["remarks"]))


def show_use(found: dict[str, Any]) -> None:
    fit = found.get("fit")
    if fit is not None:
        show = st.success if fit["better"] else st.info if fit["takes"] and fit["better"] is None else st.warning
        show(for_markdown(fit["sentence"]))
    takes = fit is not None and fit["takes"] and "refused" not in found["network"]
    ready = takes and not state["bring_options_refused"]
    if takes:
        if "bring_title" not in state:
            state["bring_title"] = title_of(found["network"]["title"] or suggested())
        st.text_input(
            "Name", key="bring_title", max_chars=LONGEST, width=400, help="What it is called among the networks."
        )
    st.button(
        "Use it", key="bring_use", type="primary", disabled=not ready, on_click=take, width=240,
        help=said.USE if ready else said.CORRECT if takes else said.NOT_YET,
    )  # fmt: skip
    if sentence := state.get("bring_refused_use"):
        st.error(for_markdown(sentence))
    mine = brought.titles()
    if mine:
        st.subheader("Yours in this visit")
        st.markdown(said.GONE)
        for model, title in mine.items():
            row(model, title)


def row(model: str, title: str) -> None:
    """One of the visitor's networks."""
    folder = brought.room().folder / model
    with st.container(horizontal=True, vertical_alignment="center", key=f"own_{model}"):
        st.markdown(f"**{title}**", width="stretch")
        st.button("Use", key=f"use_{model}", on_click=use, args=(model,), help="Make it the network of every page.")
        st.download_button(
            "Save this bundle", lambda: zipped(folder, model), f"{model}.zip", "application/zip", key=f"save_{model}",
            on_click="ignore", help="Network and data in one ZIP, to bring here again or to load in Python.",
        )  # fmt: skip
        st.button("Remove", key=f"remove_{model}", type="tertiary", on_click=remove, args=(model,),
                  help="Delete it from the server.")  # fmt: skip


def suggested() -> str:
    """A name from that of the network's file."""
    return Path(brought.room().files.get("network", "")).stem


def title_of(text: str) -> str:
    """With plain characters alone, so that it is a name wherever it is shown."""
    return " ".join(re.sub(r"[^\w .,()+-]", " ", text).split())[:LONGEST] or "My network"


def take() -> None:
    state["bring_refused_use"] = ""
    read_form()  # what was typed last comes together with the click
    if state["bring_options_refused"]:
        return
    try:
        brought.quotas().use(brought.visitor(), "networks")
        model = brought.room().take(title_of(state["bring_title"]), options().to_dict(), listed())
    except ValueError as error:
        state["bring_refused_use"] = str(error)
    else:
        use(model)


def use(model: str) -> None:
    session.bring(model)
    state["bring_taken"] = True


def remove(model: str) -> None:
    work.visit().forget(model)
    retrainings.retrainings().forget(model)
    brought.room().remove(model)


main()

"""My page: a visitor's own texts and results, in their order, kept as a notebook file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from pages import cards, foreign, frame, notebook, pins, session, snippets, store
from pages import words_my_page as said
from pages.notebook import Cell
from pages.own import Entry, Own
from pages.state import Choice

MOST_MEGABYTES = notebook.MOST_BYTES // 1_000_000
NEW = 0  # the number of a text that is being written and is not on the page yet
state = st.session_state


def main() -> None:
    frame.top("A page of your own", said.INTRO, controlled=False)
    show()


def show() -> None:
    choice, own = session.current_choice(), held()
    title()
    if state.get("own_said"):
        st.warning(state["own_said"])
    ask()
    if not own.entries and "own_edited" not in state:
        st.info(said.EMPTY)
    drawn: set[str] = set()
    for place, entry in enumerate(own.entries):
        removed(own, place)
        with st.container(key=f"cell_{entry.number}"):
            show_cell(entry, choice, drawn)
            tools(entry.number, place, len(own.entries))
    removed(own, len(own.entries))
    if state.get("own_edited") == NEW:
        editor()
    with st.container(key="adding"):
        st.header("Add to the page")
        adding(choice)
    with st.container(key="keeping"):
        st.header("Keep it, or open another")
        keeping(own)


def held() -> Own:
    """The visitor's page."""
    return state.setdefault("own", Own())


def change(action: Callable[..., Own], *args: Any) -> None:
    """Do something with the page as it is now, or say why that cannot be."""
    state["own_said"] = ""
    try:
        state["own"] = action(held(), *args)
    except ValueError as error:
        state["own_said"] = str(error)


def change_cell(number: int, action: Callable[..., Own], *args: Any) -> None:
    """The same with one of its cells, unless a click before this one took it away."""
    if any(entry.number == number for entry in held().entries):
        change(action, number, *args)


def title() -> None:
    if "w_own_title" not in state:
        state["w_own_title"] = held().title
    st.text_input("Title of the page", key="w_own_title", on_change=retitle, help="The heading and name of the file.")


def retitle() -> None:
    change(Own.titled, state["w_own_title"])


def show_cell(entry: Entry, choice: Choice, drawn: set[str]) -> None:
    """A cell. drawn: the links of the results above it, each drawn once, and the work whose progress is shown there."""
    cell = entry.cell
    if state.get("own_edited") == entry.number:
        editor()
    elif cell.text:
        st.markdown(foreign.shown(cell.text))
    theirs = show_result(entry, drawn) if cell.link else None
    if cell.code and frame.shown(choice, "code"):
        ours = theirs is not None and cell.code == snippets.at_epsilon(theirs)
        frame.folded(said.CODE_HERE if ours else said.CODE_THERE, cell.code, f"python_{entry.number}")


def show_result(entry: Entry, drawn: set[str]) -> Choice:
    """The state that a cell's link asks for."""
    link = entry.cell.link
    theirs, notices = session.of_link(link)
    for notice in notices:
        st.warning(foreign.shown(notice), icon="🔗")
    if link in drawn:
        st.markdown(said.AGAIN)
        cards.open_button(theirs, str(entry.number))
    else:
        cards.card(theirs, str(entry.number), drawn)
    drawn.add(link)
    return theirs


def tools(number: int, place: int, count: int) -> None:
    """What can be done with a cell."""
    with st.container(horizontal=True, gap="small", key=f"tools_{number}"):
        st.button("Move up", key=f"up_{number}", type="tertiary", disabled=place == 0, on_click=change_cell,
                  args=(number, Own.moved, -1))  # fmt: skip
        st.button("Move down", key=f"down_{number}", type="tertiary", disabled=place == count - 1, on_click=change_cell,
                  args=(number, Own.moved, 1))  # fmt: skip
        st.button("Edit text", key=f"edit_{number}", type="tertiary", on_click=edit, args=(number,))
        st.button("Remove", key=f"remove_{number}", type="tertiary", on_click=remove, args=(number,))


def remove(number: int) -> None:
    if state.get("own_edited") == number:
        close()
    change_cell(number, Own.without)


def removed(own: Own, place: int) -> None:
    """Where a cell was taken out, the way to have it back."""
    if own.removed is None or min(own.removed[0], len(own.entries)) != place:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="removed"):
        st.markdown("Removed.", width="content")
        st.button("Put it back", key="put_back", on_click=change, args=(Own.put_back,))


def edit(number: int) -> None:
    """Open a cell's text, or a new one, for editing."""
    texts = {entry.number: entry.cell.text for entry in held().entries}
    state["own_edited"], state["own_draft"] = number, texts.get(number, "")
    state["w_own_text"] = state["own_draft"]


def editor() -> None:
    """A text and how it will look."""
    if "w_own_text" not in state:  # back from another page
        state["w_own_text"] = state["own_draft"]
    with st.container(border=True, key="editor"):
        st.text_area("Text in Markdown", key="w_own_text", height=180, on_change=drafted,
                     help="An empty line begins a paragraph, ## a heading, - a list; **bold**, *italic*, $x^2$. "
                     "Pictures are not shown, and a link is shown with its address.")  # fmt: skip
        if state["w_own_text"].strip():
            with st.container(border=True, key="preview"):
                st.markdown(foreign.shown(state["w_own_text"]))
        with st.container(horizontal=True, gap="small"):
            st.button("Keep this text", key="keep", type="primary", on_click=keep)
            st.button("Cancel editing", key="dismiss", on_click=close)


def drafted() -> None:
    state["own_draft"] = state["w_own_text"]


def keep() -> None:
    number, text = state["own_edited"], state["w_own_text"]
    if number != NEW:
        change_cell(number, Own.edited, text)
    elif text.strip():
        change(Own.added, [Cell(text)])
    close()


def close() -> None:
    state.pop("own_edited", None)


def adding(choice: Choice) -> None:
    with st.container(horizontal=True, gap="small"):
        st.button("Add text", key="add_text", on_click=edit, args=(NEW,), disabled=state.get("own_edited") == NEW,
                  help="Your own words, as Markdown.")  # fmt: skip
        with st.popover("Add a result", key="add_result"):
            if choice.layers and choice.methods:
                name = f"What is chosen now: {pins.name_of(choice)}"
                st.button(said.adding(name, choice), key="add_now", on_click=add, args=(choice,),
                          help="A card of this state at the end of the page.")  # fmt: skip
            for i, pin in enumerate(pins.all_pins()):
                name = f"Pin {i + 1}: {foreign.shown(pin.name)}"
                st.button(said.adding(name, pin.choice), key=f"add_pin_{i}", on_click=add, args=(pin.choice,),
                          help="A card of this pin at the end of the page.")  # fmt: skip
            if not pins.all_pins():
                st.markdown(said.NO_PINS)


def add(choice: Choice) -> None:
    text = said.heading(store.bundle_of(choice.model).title, choice)
    change(Own.added, [Cell(text, snippets.at_epsilon(choice), session.link(choice))])


def keeping(own: Own) -> None:
    """Save as a file, open one."""
    if own.entries:
        try:
            data = file_of(own)
        except ValueError as error:
            st.warning(f"The page cannot be saved. {error}")
        else:
            st.download_button(
                "Save as a file", data, said.file_name(own.title), "application/x-ipynb+json", key="save",
                on_click="ignore", type="primary",
                help="The page as a Jupyter notebook: the texts, and the Python of every result, which runs there.",
            )  # fmt: skip
    key = f"own_file_{state.get('own_files', 0)}"  # another one after each file: the same file can be opened again
    st.file_uploader(
        f"Open a file (a notebook, .ipynb, up to {MOST_MEGABYTES} MB)", "ipynb", key=key, on_change=open_file,
        args=(key,), max_upload_size=MOST_MEGABYTES,
        help="Texts and results appear here. Python in the file is shown and never run.",
    )  # fmt: skip


def file_of(own: Own) -> bytes:
    """The page as a file, written when it has changed."""
    now = own.cells, own.title
    if "own_written" not in state or state["own_written"][0] != now:
        state["own_written"] = now, notebook.write(*now)
    return state["own_written"][1]


def open_file(key: str) -> None:
    """Read a file. An empty page takes it at once; else the visitor is asked."""
    state["own_files"] = state.get("own_files", 0) + 1
    state.pop("own_opened", None)
    state["own_said"] = ""
    try:
        name, cells = notebook.read(state[key].getvalue())
    except ValueError as error:
        state["own_said"] = str(error)
        return
    if not cells:
        state["own_said"] = "The notebook has no cell with text or Python: choose another file."
    elif held().entries or state.get("own_edited") == NEW:
        state["own_opened"] = name, cells
    else:
        replace_by(name, cells)


def ask() -> None:
    """Replace what is on the page, or append to it?"""
    if "own_opened" not in state:
        return
    name, cells = state["own_opened"]
    with st.container(border=True, key="asking"):
        st.markdown(said.asking(foreign.shown(name), len(cells), len(held().entries)))
        with st.container(horizontal=True, gap="small"):
            st.button("Append it to the page", key="append", type="primary", on_click=append, args=(cells,))
            st.button("Replace the page by it", key="replace", on_click=replace_by, args=(name, cells))
            st.button("Neither", key="neither", on_click=settle)


def append(cells: list[Cell]) -> None:
    settle()
    change(Own.added, cells)


def replace_by(name: str, cells: list[Cell]) -> None:
    settle()
    close()
    change(Own.replaced, name, cells)
    state["w_own_title"] = held().title


def settle() -> None:
    state.pop("own_opened", None)


main()

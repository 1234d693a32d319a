"""Results: the papers' experiments, measured again; from a row of a table to the studio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from nettrim_core.figures import results as figures
from nettrim_core.places import RESULTS
from pages import frame, session, work
from pages import words_results as words


def documents() -> dict[str, dict[str, Any]]:
    """What was measured: by title, in the order in which it is to be shown."""
    return {document["title"]: document for document in figures.documents(RESULTS)}


def main() -> None:
    frame.top("Results", words.INTRO, controlled=False)
    found = documents()
    if not found:
        st.info(words.NONE)
        return
    titles = list(found)
    title = st.pills(
        "Experiment", titles, default=titles[0], required=True, key="results_title", wrap=True, help=words.EXPERIMENT
    )
    show(found[title])


def show(document: Mapping[str, Any]) -> None:
    st.header(document["title"])
    st.markdown(document["source"])
    st.markdown("\n".join(f"* {sentence}" for sentence in document["shown"]["says"]))
    with st.expander(words.DIFFERS):
        st.markdown("\n".join(f"* {sentence}" for sentence in document["differs"]))
    pictures(document)
    for number, table in enumerate(document["shown"]["tables"]):
        show_table(table, f"{document['name']}_{number}")
    st.markdown(f"**{words.MADE}** {document['made']}")


def pictures(document: Mapping[str, Any]) -> None:
    drawn = [
        (content, draw) for kind, draw in (("charts", figures.chart), ("heats", figures.heat))
        for content in document["shown"][kind]
    ]  # fmt: skip
    for i in range(0, len(drawn), 2):
        for column, (content, draw) in zip(st.columns(2, gap="medium"), drawn[i : i + 2], strict=False):
            with column:
                st.markdown(f"**{content['title']}**")
                key = f"results_{document['name']}_{i}_{content['title']}"
                frame.chart(draw(content, frame.dark()), key, figures.alt(content))
                if what := figures.bands(content):
                    st.markdown(f":small[{words.BANDS.format(what)}]")


def show_table(table: Mapping[str, Any], key: str) -> None:
    st.subheader(table["title"])
    st.table({name: [row[i] for row in table["rows"]] for i, name in enumerate(table["header"])}, border="horizontal")
    if table["note"]:
        st.markdown(f":small[{table['note']}]")
    if places := {words.place(row): link for row, link in zip(table["rows"], table["links"], strict=False) if link}:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            place = st.selectbox("Row", list(places), key=f"results_row_{key}", help=words.PICK, width=420)
            if st.button(words.OPEN, key=f"results_open_{key}", help=words.GO) and place is not None:
                session.follow(places[place])
                work.go("explore")


main()

"""Navigation: every page of the studio and its address."""

import sys
from pathlib import Path

import streamlit as st

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

st.set_page_config(page_title="Net-Trim studio", page_icon="✂️", layout="wide")
st.html(
    "<style>.stMainBlockContainer { padding-top: 4.5rem; max-width: 1340px; }"
    "@media (min-width: 700px) { .stMainBlockContainer { padding-left: 2rem; padding-right: 2rem; } }</style>"
)
page = st.navigation(
    [
        st.Page(HERE / "explore.py", title="Explore", default=True),
        st.Page(HERE / "layer.py", title="Layer", url_path="layer"),
        st.Page(HERE / "export.py", title="Export", url_path="export"),
    ],
    position="top",
)
page.run()

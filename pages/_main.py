"""Navigation: every page of the studio and its address."""

import sys
from pathlib import Path

import pandas  # noqa: F401 (Streamlit's own: Plotly looks into it even where another thread is half through with it)
import streamlit as st

HERE = Path(__file__).resolve().parent
if str(HERE.parent) not in sys.path:
    sys.path.insert(0, str(HERE.parent))

from pages import signing  # noqa: E402  (the line above finds it)

st.set_page_config(page_title="Net-Trim studio", page_icon="✂️", layout="wide")
STYLE = """<style>
.stMainBlockContainer { padding-top: 4.5rem; max-width: 1340px; }
@media (min-width: 700px) { .stMainBlockContainer { padding-left: 2rem; padding-right: 2rem; } }
/* as they come, the names of keys and of what is picked are too pale to read */
kbd { opacity: 1 !important; color: inherit !important; }
[data-variant][data-selected="true"], [data-variant][data-selected="true"] p { color: inherit !important; }
[data-testid="stSliderThumbValue"], [data-testid="stSliderThumbValue"] p { color: inherit !important; }
</style>"""

st.html(STYLE)
allowed = signing.allowed()
page = st.navigation(
    [
        st.Page(HERE / "explore.py", title="Explore", default=True),
        st.Page(HERE / "layer.py", title="Layer", url_path="layer"),
        st.Page(HERE / "budget.py", title="Budget", url_path="budget"),
        st.Page(HERE / "compare.py", title="Compare", url_path="compare"),
        st.Page(HERE / "fine_tune.py", title="Fine-tune", url_path="fine-tune"),
        st.Page(HERE / "learn.py", title="Learn", url_path="learn"),
        st.Page(HERE / "my_page.py", title="My page", url_path="my-page"),
        st.Page(HERE / "export.py", title="Export", url_path="export"),
        st.Page(HERE / "results.py", title="Results", url_path="results"),
        st.Page(HERE / "runs.py", title="Runs", url_path="runs"),
        st.Page(HERE / "bring.py", title="Your own", url_path="bring"),
    ],
    position="top" if allowed else "hidden",
)
if allowed:
    page.run()
    signing.tell()
else:
    signing.ask()

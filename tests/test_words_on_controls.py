"""Every control says in a line what it is for, on every page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from nettrim_core.jobs import Pool

ROOT = Path(__file__).resolve().parents[1]
PLAIN = {"Cancel", "Resume", "Try again"}  # say it themselves
PAGES = ("explore", "layer", "budget", "compare", "fine_tune", "learn", "my_page", "export", "results", "bring")
KINDS = (
    "selectbox",
    "number_input",
    "multiselect",
    "toggle",
    "slider",
    "button_group",
    "button",
    "text_input",
    "radio",
)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    st.cache_resource.clear()
    monkeypatch.setattr(Pool, "submit", lambda self, job: job)  # nothing is solved: controls do not depend on it
    monkeypatch.setattr(Pool, "ahead_of", lambda self, job: 0)
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    st.cache_resource.clear()


@pytest.mark.parametrize("page", PAGES)
def test_every_control_has_its_line(app: AppTest, page: str) -> None:
    app.query_params["model"] = "mnist1d_conv"
    app.query_params["methods"] = "nettrim,lobs,magnitude_refit"
    app.query_params["mode"] = "cascade"
    app.run()
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    widgets = [widget for kind in KINDS for widget in app.get(kind)]
    assert widgets
    silent = [w.label for w in widgets if not getattr(w, "help", "") and w.label not in PLAIN]
    assert silent == []

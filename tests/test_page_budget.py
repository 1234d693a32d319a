"""The Budget page: its task, words, figures, locks, the states it can be in, and its table in a browser."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages.state import Choice

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def app() -> Iterator[AppTest]:
    st.cache_data.clear()
    st.cache_resource.clear()
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=120)
    st.cache_resource.clear()


def opened(app: AppTest, **query: str) -> AppTest:
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page("pages/budget.py").run()
    assert not app.exception
    return app


def text(app: AppTest) -> str:
    return "\n".join(element.value for element in [*app.markdown, *app.warning, *app.info])


def run_until(app: AppTest, awaited: str) -> str:
    """Look again, as the page itself does, until a text is there."""
    deadline = time.monotonic() + 120
    while awaited not in text(app):
        assert time.monotonic() < deadline, f"{awaited!r} did not come; there is {text(app)}"
        time.sleep(0.2)
        app.run()
        assert not app.exception
    return text(app)


def choice(app: AppTest) -> Choice:
    return app.session_state["choice"]


def test_a_link_is_shared_and_explained(app: AppTest) -> None:
    opened(app, model="digits_mlp", methods="lobs", n="200")
    print(run_until(app, "The price"))

"""Pages run in many threads, and sys.path is one for all: nobody may find a part of it missing."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from nettrim_core import environment
from tests.browsing import ROOT

RUN_OF_A_PAGE = """
import sys
import app
from streamlit.runtime.scriptrunner.exec_code import modified_sys_path

before = list(sys.path)
with modified_sys_path("pages/_main.py"):
    assert sys.path == before, "a run of a page changes the path"
"""


@contextmanager
def path_that_changes() -> Iterator[None]:
    """As it does where a script runner takes the folder of its script on and off."""
    over = threading.Event()

    def change() -> None:
        while not over.is_set():
            sys.path.insert(0, "/elsewhere")
            sys.path.remove("/elsewhere")

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_versions_are_found_while_the_path_changes() -> None:
    with path_that_changes():
        for _ in range(600):
            environment._versions.__wrapped__()


def test_a_run_of_a_page_leaves_the_path_alone() -> None:
    said = subprocess.run(
        [sys.executable, "-c", RUN_OF_A_PAGE], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert said.returncode == 0, said.stderr

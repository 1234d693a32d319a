"""Shared by all tests: fixed thread counts, random layers, a small network."""

# ruff: noqa: E402 (threads and cores are set before anything uses them)
from __future__ import annotations

import functools
import itertools
import os

# of several test processes each has a core of its own, with all that it starts: sharing cores takes far longer
PROCESS = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
THREADS = 1 if PROCESS else 2
os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
os.environ["NETTRIM_STORAGE_ON"] = "false"  # nothing of one test is found by another, or by who runs them
if PROCESS and hasattr(os, "sched_setaffinity"):
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[int(PROCESS) % len(cores)]})

from collections import OrderedDict
from collections.abc import Callable, Iterator

import pytest
import streamlit as st
import torch
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from torch import Tensor, nn

from nettrim_core import LayerProblem
from nettrim_core.jobs import Job, Pool
from pages import store, work
from tests.browsing import ROOT, browser, page, server  # noqa: F401  (fixtures)

torch.set_num_threads(THREADS)
# every AppTest looks through all installed packages for components, for most of a second
manifest_scanner.scan_component_manifests = functools.cache(manifest_scanner.scan_component_manifests)


def random_layer(
    n: int = 12, m: int = 5, p: int = 60, *, relu: bool = True, bias: bool = True, dead: int = 0, seed: int = 0
) -> LayerProblem:
    """A consistent layer (Y is the response of W) in float64; the first ``dead`` inputs are zero on every sample."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, p, dtype=torch.float64, generator=generator)
    X[:dead] = 0
    if bias:
        X[-1] = 1
    W = torch.randn(n, m, dtype=torch.float64, generator=generator)
    response = W.T @ X
    return LayerProblem(X, response.relu() if relu else response, W, relu, bias)


def small_mlp(seed: int = 0, sizes: tuple[int, ...] = (10, 20, 15, 4)) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (a, b) in enumerate(itertools.pairwise(sizes), 1):
        layers[f"fc{i}"] = nn.Linear(a, b)
        if i < len(sizes) - 1:
            layers[f"relu{i}"] = nn.ReLU()
    return nn.Sequential(layers)


def small_cnn(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(2, 6, 3, padding=1),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(6, 8, 3, stride=2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            fc=nn.Linear(8 * 2 * 2, 5),
        )
    )


class Lasting(Pool):
    """A pool that serves test after test: to start one takes seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> Job:
        self.jobs.append(job)
        return super().submit(job)

    def clear(self) -> None:
        """Leave nothing of a test to the next one."""
        for job in self.jobs:
            job.cancel()
        self.forget()
        self.jobs = []


@pytest.fixture(scope="session")
def lasting() -> Iterator[Callable[[], Lasting]]:
    """The pool, which is made when it is first asked for."""
    made = functools.cache(Lasting)
    yield made
    if made.cache_info().currsize:
        made().close()


@pytest.fixture(autouse=True)
def fresh_points(lasting: Callable[[], Lasting], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No point that another test has solved."""
    store.points.cache_clear()
    monkeypatch.setattr(work, "pool", lasting)
    yield
    if lasting.cache_info().currsize:  # type: ignore[attr-defined]
        lasting().clear()


@pytest.fixture
def inputs() -> Tensor:
    return torch.randn(80, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def images() -> Tensor:
    return torch.randn(40, 2, 10, 10, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def app() -> Iterator[AppTest]:
    """The studio as a new visitor finds it."""
    st.cache_data.clear()
    st.cache_resource.clear()
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=240)
    st.cache_resource.clear()


def unfolded(app: AppTest) -> AppTest:
    """The page with all its folds open."""
    for fold in app.expander:
        if fold.proto.id:
            app.session_state[fold.proto.id.split("-", 2)[2]] = True
    return app.run()


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

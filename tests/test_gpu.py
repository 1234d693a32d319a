"""On a GPU, where there is one: masks as on the CPU but for ties, and certificates that hold. Without one the CPU is
compared with itself alone."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from benchmarks.gpu import compare
from nettrim_core import METHODS, NetTrim, load_bundle
from nettrim_core.configuration import Work
from nettrim_core.devices import bound_memory
from nettrim_core.jobs import Pool, Status
from nettrim_core.record import Point
from nettrim_core.tasks import TASKS
from nettrim_core.worker import serve
from tests.test_device import ASKED, answers
from tests.test_jobs import sweep_job, wait

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU here")
CASES = [("cpu", "nettrim"), ("cpu", "lobs"), *(pytest.param("cuda", name, marks=GPU) for name in METHODS)]
SINGLE = 1e-5  # what float32 inputs leave of a least-squares fit
ROUNDED = 1e-2  # of a number that a page shows, where sums in another order were taken differences of


@pytest.mark.parametrize(("device", "name"), CASES)
def test_a_device_gives_what_the_cpu_gives(device: str, name: str) -> None:
    method = dataclasses.replace(METHODS[name], epsilon=0.2)
    found = compare(load_bundle("digits_mlp"), method, device, samples=150)
    assert found.kept
    if device == "cpu":
        assert (found.differ, found.objectives) == (0, 0)
    elif isinstance(method, NetTrim):  # many masks are as good as the best
        if not method.refit:  # which minimises the discrepancy and no norm
            assert found.objectives <= 2 * method.tol
        for report in (found.here, found.there):
            assert all(max(layer.gap or 0, layer.violation or 0) <= method.tol for layer in report.layers)
    else:
        assert found.differ < 2e-3
        assert found.objectives < SINGLE + 2e-3


def close(here: Any, there: Any) -> bool:
    """The same shape and the same numbers but for rounding; texts, which may hold any number, are not compared."""
    if isinstance(here, dict):
        return here.keys() == there.keys() and all(close(value, there[key]) for key, value in here.items())
    if isinstance(here, list):
        return len(here) == len(there) and all(map(close, here, there))
    if isinstance(here, int | float):
        return here == pytest.approx(there, rel=ROUNDED, abs=1e-6)
    return isinstance(here, str) or here == there


@GPU
@pytest.mark.parametrize("task", ASKED)
def test_every_task_gives_there_what_it_gives_here(task: str) -> None:
    assert close(answers(task, "cpu"), answers(task, "cuda"))


@GPU
@pytest.mark.parametrize("megabytes", [0, 1000])
def test_a_worker_solves_there(monkeypatch: pytest.MonkeyPatch, megabytes: int) -> None:
    monkeypatch.setenv("NETTRIM_WORK_DEVICE", "cuda")
    pool = Pool(Work(workers=1, memory_mb=megabytes, device="cuda"))
    for again in range(2):
        answers: list[dict[str, Any]] = []
        job = pool.submit(sweep_job(answers))
        wait(lambda job=job: not job.active, 120)
        assert (job.status, job.error) == (Status.DONE, ""), again
        reports = [Point.from_dict(answer["point"]).report for answer in answers if "point" in answer]
        last = {(report.method, report.settings["epsilon"]): report for report in reports}  # after rough ones
        assert len(last) == job.total
        assert all(layer.converged for report in last.values() for layer in report.layers)
    pool.close()


@GPU
def test_a_job_takes_no_more_of_the_gpu_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(request: dict[str, Any], bench: object) -> Any:
        yield {"held": torch.empty(request["bytes"], dtype=torch.uint8, device="cuda").numel()}

    monkeypatch.setitem(TASKS, "greedy", greedy)
    before = torch.cuda.memory_reserved()
    bound_memory("cuda", before + 300_000_000)
    try:
        lines = [json.dumps({"task": "greedy", "bytes": size}) for size in (400_000_000, 100_000_000)]
        refused, held, _ = map(json.loads, serve(lines, memory=300_000_000))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert refused == {
        "error": "there is not enough memory for this within 300 MB (the GPU has no more); try fewer samples"
    }
    assert held == {"held": 100_000_000}

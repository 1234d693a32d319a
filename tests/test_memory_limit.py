"""What takes too much memory: refused before it runs where that can be told, and else ended with a sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nettrim_core import environment
from nettrim_core.configuration import Work
from nettrim_core.jobs import Job, Pool, Status
from nettrim_core.plan import Plan
from tests.test_jobs import ROOT, sweep_job, wait

LIMIT = 400  # MB
GREEDY = f"""
import sys
import numpy as np, torch
from nettrim_core import worker
from nettrim_core.tasks import TASKS

def numbers(request, bench):
    yield {{"held": len([np.ones(5_000_000) for _ in range(20)])}}

def tensors(request, bench):
    yield {{"held": len([torch.ones(5_000_000, dtype=torch.float64) for _ in range(20)])}}

def untouched(request, bench):
    yield {{"held": np.empty(100_000_000).size}}

def product(request, bench):
    yield {{"held": len(torch.ones(20_000, 10) @ torch.ones(10, 20_000))}}

def python(request, bench):
    yield {{"held": len([bytes(1_000_000) for _ in range(1000)])}}

def gpu(request, bench):
    yield from ()
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3725.29 GiB. GPU 0 has a total capacity of ...")

def little(request, bench):
    yield {{"held": np.ones(20_000_000).size}}

TASKS.update(
    numbers=numbers, tensors=tensors, untouched=untouched, product=product, python=python, gpu=gpu, little=little
)
worker.bound({LIMIT}_000_000)
for line in worker.serve(sys.stdin, memory={LIMIT}_000_000):
    print(line, flush=True)
"""


def test_what_takes_too_much_is_ended_and_the_next_request_is_met() -> None:
    kinds = ("numbers", "tensors", "untouched", "product", "python", "gpu")
    lines = "".join(json.dumps({"task": task}) + "\n" for kind in kinds for task in (kind, "little"))
    said = subprocess.run(
        [sys.executable, "-c", GREEDY], input=lines, capture_output=True, text=True, cwd=ROOT, timeout=120, check=True
    ).stdout.splitlines()
    answers = [json.loads(line) for line in said]
    refused = [answer["error"] for answer in answers if "error" in answer]
    assert len(refused) == len(kinds)
    assert all(f"not enough memory for this within {LIMIT} MB" in text for text in refused)
    assert all("try fewer samples" in text for text in refused)
    assert [answer["held"] for answer in answers if "held" in answer] == [20_000_000] * len(kinds)


def test_an_estimate_refuses_before_anything_is_solved() -> None:
    pool = Pool(Work(workers=1, memory_mb=300))
    large = pool.submit(sweep_job([], Plan("lenet_300_100", ("fc1",), samples=8000)))
    wait(lambda: not large.active, 240)
    assert large.status is Status.FAILED
    assert "GB for solving" in large.error
    assert "the limit is 0.3 GB. Use fewer samples" in large.error
    assert large.done == 0
    small = pool.submit(sweep_job([]))
    wait(lambda: not small.active, 240)
    assert small.status is Status.DONE
    pool.close()


def test_a_worker_that_took_too_much_is_replaced() -> None:
    pool = Pool(Work(workers=1, memory_mb=60))
    candidate = {"plan": Plan("lenet_300_100", ("fc3",), samples=50).to_dict(), "method": "magnitude", "settings": {}}
    job = pool.submit(Job({"task": "behaviour", "candidates": [candidate]}, 1, lambda _: None))
    wait(lambda: job.status is Status.RUNNING)
    wait(lambda: bool(pool.condition().pids))
    (worker,) = pool.condition().pids
    wait(lambda: not job.active, 240)
    assert job.status is Status.FAILED
    assert "memory" in job.error
    assert "try fewer samples" in job.error
    wait(lambda: worker not in pool.condition().pids, 1)
    small = pool.submit(sweep_job([], Plan("digits_mlp", ("fc3",), samples=50)))
    wait(lambda: not small.active, 240)
    assert small.status is Status.DONE
    pool.close()


@pytest.mark.parametrize(("said", "memory"), [("max", None), ("500000000", 500_000_000)])
def test_a_control_group_bounds_the_memory(
    said: str, memory: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one above the process's own."""
    whole = environment.memory()
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    (tmp_path / "outer" / "memory.max").write_text(f"{said}\n")
    (tmp_path / "outer" / "inner" / "memory.max").write_text("max\n")
    (tmp_path / "groups").write_text("1:cpu:/\n0::/outer/inner\n")
    monkeypatch.setattr(environment, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(environment, "OWN_GROUPS", tmp_path / "groups")
    assert environment.memory() == (memory or whole)

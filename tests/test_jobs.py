"""The worker process: points as the core gives them, errors as sentences, a cancel that is prompt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nettrim_core import METHODS, load_bundle, sample_names, sweep
from nettrim_core.configuration import Work
from nettrim_core.jobs import Job, Pool, Status
from nettrim_core.plan import Plan
from nettrim_core.record import Point, Stored, load_points, save_points
from nettrim_core.tasks import TASKS
from nettrim_core.tasks.sweeps import solve
from nettrim_core.worker import serve

ROOT = Path(__file__).resolve().parents[1]
PLAN = Plan("digits_mlp", ("fc2", "fc3"), samples=300)
CURVES = [{"method": name, "settings": {}, "epsilons": [0.4, 0.1]} for name in ("nettrim", "lobs")]


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    pool = Pool(Work(workers=1))
    yield pool
    pool.close()


def wait(until: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


def sweep_job(answers: list[dict[str, Any]], plan: Plan = PLAN, curves: list[dict[str, Any]] = CURVES) -> Job:
    request = {"task": "sweep", "sweeps": [{"plan": plan.to_dict(), "curves": curves}]}
    return Job(request, sum(len(c["epsilons"]) for c in curves), answers.append)


def figures(point: Point) -> dict[str, Any]:
    """A point's report without the clock."""
    data = point.report.to_dict()
    for layer in data["layers"]:
        layer.pop("seconds")
    return data


def test_the_worker_gives_what_the_core_gives(pool: Pool) -> None:
    answers: list[dict[str, Any]] = []
    job = pool.submit(sweep_job(answers))
    wait(lambda: not job.active)
    assert job.status is Status.DONE
    final = [a for a in answers if not Point.from_dict(a["point"]).report.rough]
    assert job.done == len(answers) > len(final) == job.total == 4
    points = {(p.method, p.epsilon): p for p in (Point.from_dict(answer["point"]) for answer in answers)}
    bundle = load_bundle("digits_mlp")
    inputs = bundle.calibration_sample(300)
    results = sweep(bundle.model, inputs, ["nettrim", "lobs"], [0.4, 0.1], ["fc2", "fc3"], test=bundle.validation)
    for name, epsilon, pruned, report in results:
        point = points[name, epsilon]
        assert point.report.sparsity == pytest.approx(report.sparsity, abs=2e-3)
        for layer in ("fc2", "fc3"):
            mask = (pruned.get_submodule(layer).weight != 0).T.numpy()
            assert (point.mask(layer) != mask).mean() < 2e-3  # another process may round otherwise
    assert {name for name, _ in points} == {"nettrim", "lobs"}


def test_workers_end_when_their_server_is_gone() -> None:
    """Also one that is held."""
    plans = [Plan("lenet_300_100", ("fc1",), samples=samples).to_dict() for samples in (3900, 4000)]
    server = f"""
import time
from nettrim_core.configuration import Work
from nettrim_core.jobs import Job, Pool
pool = Pool(Work(workers=1))
for plan in {plans!r}:
    pool.submit(Job({{"task": "sweep", "sweeps": [{{"plan": plan, "curves": {CURVES!r}}}]}}, 4, lambda _: None))
while len(pool.condition().pids) < 2:
    time.sleep(0.1)
print(*pool.condition().pids, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout is not None
    workers = [int(word) for word in parent.stdout.readline().split()]
    assert len(workers) == 2
    assert all(map(alive, workers))
    parent.kill()
    parent.wait()
    wait(lambda: not any(map(alive, workers)), 10)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False


def test_methods_take_turns() -> None:
    points = solve(PLAN, CURVES, load_bundle("digits_mlp"))
    assert [(p.method, p.epsilon, p.report.rough) for p in points] == [
        ("nettrim", 0.4, True),
        ("lobs", 0.4, False),
        ("nettrim", 0.1, True),
        ("lobs", 0.1, False),
        ("nettrim", 0.4, False),
        ("nettrim", 0.1, False),
    ]


@pytest.mark.alone
def test_cancel_is_prompt_keeps_what_came_and_the_next_job_runs(pool: Pool) -> None:
    answers: list[dict[str, Any]] = []
    slow = Plan("lenet_300_100", ("fc1", "fc2", "fc3"), samples=4000)
    epsilons = [0.5, 0.1, 0.05, 0.02, 0.01]
    job = pool.submit(sweep_job(answers, slow, [{"method": "nettrim", "settings": {}, "epsilons": epsilons}]))
    wait(lambda: job.status is Status.RUNNING)
    wait(lambda: bool(pool.condition().pids))
    time.sleep(2)  # in the middle of a solve
    (worker,) = pool.condition().pids
    assert alive(worker)
    started = time.monotonic()
    job.cancel()
    wait(lambda: not alive(worker), 1)
    assert time.monotonic() - started < 1
    assert job.status is Status.CANCELLED
    kept = len(answers)
    started = time.monotonic()
    following = pool.submit(sweep_job([]))
    wait(lambda: following.status is Status.RUNNING, 1)  # a worker is there at once
    wait(lambda: not following.active)
    assert following.status is Status.DONE
    assert len(answers) == kept
    assert job.status is Status.CANCELLED


def test_a_queued_job_can_be_cancelled(pool: Pool) -> None:
    answers: list[dict[str, Any]] = []
    first, second = pool.submit(sweep_job([])), pool.submit(sweep_job(answers))
    second.cancel()
    wait(lambda: not first.active)
    assert first.status is Status.DONE
    assert second.status is Status.CANCELLED
    assert answers == []


def test_a_failed_job_says_why_and_the_pool_lives_on(pool: Pool) -> None:
    bad = pool.submit(sweep_job([], Plan("digits_mlp", ("fc9",))))
    wait(lambda: not bad.active)
    assert bad.status is Status.FAILED
    assert "no module 'fc9'" in bad.error
    good = pool.submit(sweep_job([]))
    wait(lambda: not good.active)
    assert good.status is Status.DONE


def test_a_worker_that_dies_is_said_and_replaced(pool: Pool) -> None:
    job = pool.submit(sweep_job([], Plan("lenet_300_100", ("fc1",), samples=4000)))
    wait(lambda: job.status is Status.RUNNING)
    wait(lambda: bool(pool.condition().pids))
    os.kill(pool.condition().pids[0], signal.SIGKILL)
    wait(lambda: not job.active)
    assert job.status is Status.FAILED
    assert "ended unexpectedly" in job.error
    good = pool.submit(sweep_job([]))
    wait(lambda: not good.active)
    assert good.status is Status.DONE


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"plan": {**PLAN.to_dict(), "bundle": "nowhere"}}, "no bundle at 'nowhere'"),
        ({"plan": {**PLAN.to_dict(), "samples": 10**9}}, "n must be between 1 and 1000"),
        ({"curves": [{"method": "magic", "settings": {}, "epsilons": [0.1]}]}, "unknown method 'magic'"),
        ({"curves": [{"method": "lobs", "settings": {"rho": 1}, "epsilons": [0.1]}]}, "lobs has no setting rho"),
        ({"curves": [{"method": "lobs", "settings": {"damping": -1}, "epsilons": [0.1]}]}, "damping = -1"),
    ],
)
def test_requests_that_cannot_be_met_are_answered(change: dict[str, Any], says: str) -> None:
    request = {"task": "sweep", "sweeps": [{"plan": PLAN.to_dict(), "curves": CURVES} | change]}
    (answer,) = list(serve([json.dumps(request)]))
    assert says in json.loads(answer)["error"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (KeyError("gone"), "the program has a fault here (KeyError: 'gone'); try other settings"),
        (OSError(2, "No such file", "/srv/secret/net.pt"), "FileNotFoundError: [Errno 2] No such file: 'net.pt'"),
        (MemoryError(), "not enough memory for this (MemoryError); try fewer samples"),
        (RuntimeError("can't allocate memory: 9 bytes\nand a trace"), "allocate memory: 9 bytes); try fewer samples"),
        (RuntimeError("what a tool says\nand a trace"), "a fault here (RuntimeError: what a tool says); try"),
        (AssertionError(), "(AssertionError)"),
    ],
)
def test_a_fault_in_one_task_does_not_end_the_worker(
    error: Exception, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(request: dict[str, Any], bench: Any) -> Iterator[dict[str, Any]]:
        raise error
        yield {}

    monkeypatch.setitem(TASKS, "check", fail)
    asked = [{"task": "check"}, {"task": "sweep", "sweeps": []}, [], {"task": "unheard of"}]
    first, *others = (json.loads(line) for line in serve(map(json.dumps, asked)))
    assert says in first["error"]
    assert [next(iter(other)) for other in others] == ["done", "error", "error"]


def test_the_second_solver_agrees_on_a_real_layer() -> None:
    settings = {"tol": 1e-3, "epsilon": 0.2}
    request = {"task": "check", "plan": PLAN.to_dict(), "layer": "fc3", "settings": settings}
    answer = json.loads(next(serve([json.dumps(request)])))
    assert answer["objective"] == pytest.approx(answer["reference"], rel=1e-4)
    assert answer["bound"] <= answer["reference"] * (1 + 1e-6)


@pytest.mark.parametrize("name", ["digits_mlp", "spirals"])
def test_points_survive_a_file(tmp_path, name: str) -> None:
    bundle = load_bundle(name)
    plan = Plan(name, ("fc2", "fc3"), samples=200)
    points = list(solve(plan, [{"method": "magnitude", "settings": {}, "epsilons": [0.5, 0.2]}], bundle))
    save_points(tmp_path / "sweep.npz", bundle.fingerprint, Stored(plan, points, {}))
    again = load_points(tmp_path / "sweep.npz", bundle.fingerprint)
    assert again.plan == plan
    for a, b in zip(sorted(points, key=lambda point: point.epsilon), again.points, strict=True):
        assert (a.key, a.report) == (b.key, b.report)
        assert (a.mask("fc3") == b.mask("fc3")).all()
        assert (a.regions is None) == (b.regions is None) == (name != "spirals")
        assert a.regions is None or (a.regions == b.regions).all()
    with pytest.raises(ValueError, match="made for other weights or data"):
        load_points(tmp_path / "sweep.npz", "another")
    (tmp_path / "sweep.npz").write_bytes((tmp_path / "sweep.npz").read_bytes()[:300])
    with pytest.raises(ValueError, match="cannot be used as a stored sweep"):
        load_points(tmp_path / "sweep.npz", bundle.fingerprint)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * (name == "resnet_small")) for name in sample_names()]
)
def test_stored_sweeps_belong_to_their_bundles_and_repeat(name: str) -> None:
    """Each stored sweep covers its methods; one of its points, computed again, is the same to the certificate."""
    from nettrim_core.bundle import SAMPLE_MODELS
    from nettrim_core.plan import EPSILONS

    bundle = load_bundle(name)
    stored = load_points(SAMPLE_MODELS / name / "sweep_parallel.npz", bundle.fingerprint)
    plan, points = stored.plan, stored.points
    methods = {p.method for p in points}
    assert {"nettrim", "lobs", "exactobs", "magnitude", "magnitude_refit"} <= methods <= set(METHODS)
    assert {(p.method, p.epsilon) for p in points} == {(m, e) for m in methods for e in EPSILONS}
    (again,) = solve(plan, [{"method": "lobs", "settings": {}, "epsilons": [EPSILONS[15]]}], bundle)
    before = next(p for p in points if p.key == again.key)
    assert again.report.sparsity == pytest.approx(before.report.sparsity, abs=1e-3)
    assert again.report.accuracy == pytest.approx(before.report.accuracy, abs=5e-3)
    assert all(set(part) < set(plan.layers) for part in stored.subsets)

"""Metrics: what pool and door do is counted, read by OpenMetrics' own reader, and nothing is named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nettrim_core.configuration import Monitoring, Uploads
from nettrim_core.intake import Door
from nettrim_core.jobs import Pool, Status
from nettrim_core.plan import Plan
from nettrim_core.tally import BOUNDS, Tally
from pages import metrics, watch
from pages.metrics import Figures
from pages.watch import Server
from tests import test_watch
from tests.test_jobs import wait
from tests.test_watch import SLOW, SWEEP, job, served, sweep

pool = test_watch.pool  # the fixture


def figures(server: Server) -> dict[str, float]:
    """Every sample, by its name and labels, as OpenMetrics' own reader reads them."""
    registry = CollectorRegistry()
    registry.register(Figures(server))
    text = generate_latest(registry).decode()
    families = list(text_string_to_metric_families(text))
    return {
        sample.name + "".join(f" {value}" for value in sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_server_that_nobody_has_used_has_only_zeros() -> None:
    server = Server()
    assert not any(figures(server).values())
    assert server == Server()


def test_jobs_are_counted(pool: Pool) -> None:
    server = Server(pool)
    done = pool.submit(job(sweep(SWEEP)))
    wait(lambda: not done.active)
    slow, waiting, failed = (pool.submit(job(request)) for request in (sweep(SLOW), {"task": "no"}, {"task": "none"}))
    wait(lambda: slow.status is Status.RUNNING and bool(pool.condition().pids))
    found = figures(server)
    assert (found["nettrim_jobs running"], found["nettrim_jobs queued"], found["nettrim_workers"]) == (1, 2, 1)
    assert found["nettrim_worker_memory_bytes"] > 50e6
    waiting.cancel()
    slow.cancel()
    wait(lambda: not failed.active)
    found = figures(server)
    ended = {how: found[f"nettrim_jobs_ended_total {how}"] for how in ("done", "cancelled", "failed")}
    assert ended == {"done": 1, "cancelled": 2, "failed": 1}
    assert found["nettrim_job_seconds_count"] == 3  # the one that waited had no worker
    assert found["nettrim_answers_total"] == done.done + slow.done
    assert found["nettrim_worker_starts_total"] == 2  # a cancel ends the one that was at work
    assert (found["nettrim_worker_deaths_total"], found["nettrim_jobs running"], found["nettrim_jobs queued"]) == (
        0, 0, 0
    )  # fmt: skip


def test_the_histogram_is_that_of_the_seconds() -> None:
    tally, took = Tally(), [0.05, 0.1, 0.2, 2.0, 2.5, 40.0, 9999.0]
    for seconds in took:
        tally.end("done", seconds)
    tally.end("cancelled", None)
    found = figures(Server(SimpleNamespace(tally=tally, condition=lambda: watch.IDLE)))  # type: ignore[arg-type]
    for bound in BOUNDS:
        assert found[f"nettrim_job_seconds_bucket {bound}"] == sum(seconds <= bound + 1e-9 for seconds in took)
    assert found["nettrim_job_seconds_bucket +Inf"] == found["nettrim_job_seconds_count"] == len(took)
    assert found["nettrim_job_seconds_sum"] == pytest.approx(sum(took))


@pytest.mark.long
def test_readings_are_counted_and_nothing_is_named(tmp_path: Path, pool: Pool) -> None:
    door = Door(Uploads())
    (tmp_path / "secret_rows.csv").write_text(
        "alice,bob,label\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(30))
    )
    (tmp_path / "secret_bad.csv").write_bytes(b"\x00\x01\x02")
    request = {"task": "look", "folder": str(tmp_path), "network": "", "labels": "", "architecture": "", "options": {}}
    try:
        door.ask(request | {"data": "secret_rows.csv"})
        door.ask(request | {"data": "secret_rows.csv"})
        assert "refused" in door.ask(request | {"data": "secret_bad.csv"})["data"]
        with pytest.raises(ValueError, match="secret_none"):
            door.ask(request | {"data": "secret_none.csv", "task": "take", "title": "secret"})
    finally:
        door.close()
    assert door.outcomes == Counter(read=2, refused=2)
    failed = pool.submit(job({"task": "sweep", "sweeps": [SWEEP | {"plan": Plan("secret", ("fc1",)).to_dict()}]}))
    wait(lambda: not failed.active)
    server = Server(pool, door)
    found = figures(server)
    assert (found["nettrim_readings_total read"], found["nettrim_readings_total refused"]) == (2, 2)
    assert not [name for name in found if "secret" in name or "alice" in name or str(tmp_path) in name]


@pytest.mark.parametrize("on", [True, False])
def test_metrics_are_told_where_that_is_asked_for(on: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MONITORING", Monitoring(metrics=on))
    answer = served(metrics.serve)
    text = bytes(answer.body).decode()
    assert answer.status_code == (200 if on else 404)
    if on:
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        names = {family.name for family in text_string_to_metric_families(text)}
        assert {"nettrim_visitors", "nettrim_jobs", "process_resident_memory_bytes"} <= names
    else:
        assert "[monitoring]" in text

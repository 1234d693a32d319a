"""What the server does in numbers, at /metrics in the text form of OpenMetrics, where the settings ask for it. No name
of anything is in it."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from streamlit.runtime import Runtime
from streamlit.runtime.stats import ACTIVE_SESSIONS_FAMILY

from nettrim_core.configuration import Monitoring
from nettrim_core.intake.door import READ, REFUSED
from nettrim_core.jobs import Status
from nettrim_core.tally import BOUNDS, Tally
from pages.watch import SERVER, Server

PATH = "metrics"  # relative to the app's own address


class Figures(Collector):
    """The metrics of a server, made when they are asked for."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def collect(self) -> Iterator[Metric]:
        pool, tally = self.server.condition, Tally() if self.server.pool is None else self.server.pool.tally
        door = {} if self.server.door is None else self.server.door.outcomes
        yield GaugeMetricFamily("nettrim_visitors", "Pages that are connected.", visitors())
        now = GaugeMetricFamily("nettrim_jobs", "Jobs by state.", labels=["state"])
        now.add_metric([Status.RUNNING.value], pool.running)
        now.add_metric([Status.QUEUED.value], pool.waiting)
        yield now
        yield by("nettrim_jobs_ended", "Jobs by how they ended.", tally.ended, Status.DONE.value,
                 Status.CANCELLED.value, Status.FAILED.value)  # fmt: skip
        bins = [*map(str, BOUNDS), "+Inf"]
        yield HistogramMetricFamily(
            "nettrim_job_seconds", "Seconds that a job had a worker.", unit="seconds",
            buckets=list(zip(bins, accumulate(tally.seconds), strict=True)), sum_value=tally.total,
        )  # fmt: skip
        yield CounterMetricFamily("nettrim_answers", "Answers of the workers.", tally.answers)
        yield GaugeMetricFamily("nettrim_workers", "Worker processes that live.", len(pool.pids))
        yield CounterMetricFamily("nettrim_worker_starts", "Worker processes started; a cancel may take one.",
                                  tally.starts)  # fmt: skip
        yield CounterMetricFamily("nettrim_worker_deaths", "Worker processes that nobody ended.", tally.deaths)
        yield GaugeMetricFamily("nettrim_worker_memory_bytes", "Memory of the worker processes.",
                                sum(map(resident, pool.pids)), unit="bytes")  # fmt: skip
        yield by("nettrim_readings", "Readings of uploads by outcome.", door, READ, REFUSED)


def by(name: str, help: str, counts: Mapping[str, int], *outcomes: str) -> CounterMetricFamily:
    """A counter for each outcome, of those too that have not come."""
    family = CounterMetricFamily(name, help, labels=["outcome"])
    for outcome in outcomes:
        family.add_metric([outcome], counts.get(outcome, 0))
    return family


def visitors() -> int:
    if not Runtime.exists():
        return 0
    found = Runtime.instance().stats_mgr.get_stats(family_names=[ACTIVE_SESSIONS_FAMILY])
    return sum(stat.value for stat in found.get(ACTIVE_SESSIONS_FAMILY, ()))  # type: ignore[attr-defined]


def resident(pid: int) -> int:
    """Bytes of memory that a process holds; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0


MONITORING = Monitoring.configured()
REGISTRY = CollectorRegistry()
REGISTRY.register(Figures(SERVER))
ProcessCollector(registry=REGISTRY)


async def serve(_: Request) -> Response:
    if not MONITORING.metrics:
        return PlainTextResponse("Metrics are off: set metrics = true in the table [monitoring].\n", status_code=404)
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST, headers={"Cache-Control": "no-store"})

"""Carrying out a request here and now, written down as a run."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nettrim_core.bundle import Bundle
from nettrim_core.durable.runs import Recording, State
from nettrim_core.durable.store import Store
from nettrim_core.tasks import TASKS
from nettrim_core.workbench import Workbench


@contextmanager
def written_down(recording: Recording | None) -> Iterator[None]:
    """Whatever ends this is written down as the end of the run."""
    try:
        yield
    except (KeyboardInterrupt, GeneratorExit):
        if recording is not None:
            recording.ended(State.STOPPED)
        raise
    except BaseException as error:
        if recording is not None:
            recording.ended(State.FAILED, str(error) or type(error).__name__)
        raise
    if recording is not None:
        recording.ended(State.DONE)


def carried_out(
    request: dict[str, Any], store: Store | None, recording: Recording | None, bundles: Mapping[str, Bundle],
    scheduler: str | None = None, device: str = "",
) -> Generator[dict[str, Any], None, None]:  # fmt: skip
    """The answers to a request, as a worker gives them: what is kept first, the rest as it is made and kept.

    recording: of the run that this is, from :meth:`Runs.begin`. bundles: by the names that the request has for them.
    scheduler, device: see :class:`Workbench`.
    """
    bench = Workbench(store, bundles, scheduler=scheduler, device=device)
    with written_down(recording):
        here = {**request, "run": "" if recording is None else recording.id}
        bench.serve(here)
        for answer in TASKS[request["task"]](here, bench):
            if recording is not None:
                recording.heard(answer)
            yield answer

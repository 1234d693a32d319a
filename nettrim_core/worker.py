"""The child process that solves: requests come in and answers go out as lines of JSON.

Work is done here (``python -m nettrim_core.worker PARENT``, which is the server's process id) and not in the server, so
that a page stays responsive and a cancel is a kill. A request names one of :data:`nettrim_core.tasks.TASKS`,
``{"task": "sweep", ...}``; each answer is a line, and ``{"done": true}`` the last. A request that cannot be
met is answered with ``{"error": "one sentence"}``.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator

import torch

from nettrim_core.durable.store import Store
from nettrim_core.environment import cores
from nettrim_core.faults import first_line, told
from nettrim_core.tasks import TASKS
from nettrim_core.warm import warm_up
from nettrim_core.workbench import Workbench

ALIVE_EVERY = 1.0  # seconds between looks at the parent


def serve(lines: Iterable[str], store: Store | None = None) -> Iterator[str]:
    """Answers to request lines; one that cannot be met is answered with its error, and the next one is taken. store:
    where results are kept."""
    bench = Workbench(store)
    for line in lines:
        try:
            request = json.loads(line)
            bench.serve(request)
            for answer in TASKS[request["task"]](request, bench):
                yield json.dumps(answer, allow_nan=False)
            yield '{"done": true}'
        except Exception as error:  # the worker is everybody's: a fault in one task must not end it
            yield json.dumps({"error": _sentence(error)})


def _sentence(error: Exception) -> str:
    """A ValueError says what to do; anything else is a fault of ours, or of the machine."""
    if isinstance(error, ValueError):
        return str(error)
    if isinstance(error, MemoryError) or "allocate memory" in first_line(error):
        return f"there is not enough memory for this ({told(error)}); try fewer samples"
    return f"the program has a fault here ({told(error)}); try other settings"


def end_with(parent: int) -> None:
    """Leave when the process that asked is gone, even in the middle of a solve: nobody waits for the answer."""
    while os.getppid() == parent:
        time.sleep(ALIVE_EVERY)
    os._exit(1)


def main() -> None:
    parent = int(sys.argv[1]) if len(sys.argv) > 1 else os.getppid()
    threading.Thread(target=end_with, args=(parent,), daemon=True).start()
    torch.set_num_threads(cores())
    warm_up()  # before the first request, which then need not wait for compiled code to be loaded
    for answer in serve(sys.stdin, Store.configured()):
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()

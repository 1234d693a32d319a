"""The child process that solves: requests come in and answers go out as lines of JSON.

Work is done here and not in the server, so that a page stays responsive and a cancel is a kill. A request names one of
:data:`nettrim_core.tasks.TASKS`, ``{"task": "sweep", ...}``; each answer is a line, and ``{"done": true}`` the last.
A request that cannot be met is answered with ``{"error": "one sentence"}``.

``python -m nettrim_core.worker SOCKET THREADS MEMORY`` is what :class:`nettrim_core.forks.Workers` starts: for every
socket and file that come through SOCKET it forks a worker, with so many threads, and so many bytes of memory beside its
own.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from nettrim_core.configuration import Work
from nettrim_core.devices import bound_memory
from nettrim_core.durable.store import Store
from nettrim_core.faults import first_line, told
from nettrim_core.tasks import TASKS
from nettrim_core.threads import alone
from nettrim_core.unheld import Unheld
from nettrim_core.warm import warm_up
from nettrim_core.workbench import Workbench

ALIVE_EVERY = 1.0  # seconds between looks at the parent
LACK = ("allocate memory", "bad_alloc", "new thread")  # how libraries say that memory is at its end


def serve(lines: Iterable[str], store: Store | None = None, memory: int = 0) -> Iterator[str]:
    """Answers to request lines; one that cannot be met is answered with its error, and the next one is taken.

    store: where results are kept. memory: the bytes that a request may take, beside what this process has now; 0: any.
    """
    bench, before = Workbench(store, memory=memory), mapped()
    for line in lines:
        if memory and mapped() - before > memory / 2:  # what earlier requests left is not to be this one's burden
            bench.forget()
            gc.collect()
        try:
            request = json.loads(line)
            bench.serve(request)
            for answer in TASKS[request["task"]](request, bench):
                yield json.dumps(answer, allow_nan=False)
            yield '{"done": true}'
        except Exception as error:  # a fault in one task is answered like what cannot be met
            yield json.dumps({"error": _sentence(error, memory)})


def _sentence(error: Exception, memory: int) -> str:
    """A ValueError says what to do; anything else is a fault of ours, or of the machine."""
    on_gpu = isinstance(error, torch.OutOfMemoryError)
    if on_gpu or isinstance(error, MemoryError) or any(words in first_line(error) for words in LACK):
        within = f" within {memory / 1e6:,.0f} MB" if memory else ""
        why = "the GPU has no more" if on_gpu else told(error)  # torch says a page of advice in one line
        return f"there is not enough memory for this{within} ({why}); try fewer samples"
    if isinstance(error, ValueError):
        return str(error)
    return f"the program has a fault here ({told(error)}); try other settings"


def end_with(parent: int) -> None:
    """Leave when the parent is gone, even in the middle of a solve: nobody waits for the answer."""
    while os.getppid() == parent:
        time.sleep(ALIVE_EVERY)
    os._exit(1)


def mapped() -> int:
    """The bytes of data that this process has mapped; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:")), 0)


def bound(memory: int) -> None:
    """Let this process map so many bytes more, and no others. What goes beyond raises, or ends the process; if the
    machine as a whole has too little, a worker is ended and not the server."""
    resource.setrlimit(resource.RLIMIT_DATA, (mapped() + memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def work(talk: socket.socket, lock: int, threads: int, memory: int) -> None:
    """A worker's life: the process id, then answers, until nobody asks any more. lock: the file of
    :class:`nettrim_core.unheld.Unheld`."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    torch.set_num_threads(threads)
    # what CUDA maps, and BLAS for each of its threads, is not the job's
    with contextlib.suppress(ValueError):  # no such device, as whoever asks is told
        bound_memory(Work.configured().device, memory)
    with alone():
        pass
    bound(memory)
    with (
        talk.makefile("r", encoding="utf-8") as lines,
        talk.makefile("w", encoding="utf-8") as answers,
        open(lock, "r+b") as file,
    ):
        answers.write(f"{os.getpid()}\n")
        answers.flush()
        for answer in serve(lines, Store.configured(Unheld(file)), memory):
            answers.write(answer + "\n")
            answers.flush()


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    threads, memory = map(int, sys.argv[2:])
    torch.set_num_threads(1)  # threads of OpenMP do not survive a fork
    warm_up()  # before the first request, which then need not wait for compiled code to be loaded
    gc.freeze()  # what is there now is shared, as long as nobody writes into it
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a worker's end
    while True:
        said, files, *_ = socket.recv_fds(control, 1, 2)
        if not said:  # the server is gone, and so is everybody who asked
            os.killpg(0, signal.SIGKILL)
        if os.fork() == 0:
            try:
                control.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                work(socket.socket(fileno=files[0]), files[1], threads, memory)
            except BrokenPipeError:  # nobody hears the answer any more
                pass
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        for file in files:
            os.close(file)


if __name__ == "__main__":
    main()

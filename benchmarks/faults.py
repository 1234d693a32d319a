"""What is lost when things break: ``python benchmarks/faults.py [KILLS]`` prints a table for docs/faults_measured.md.

A sweep is begun again and again, each time in a process of its own that is killed (SIGKILL) at a random moment, until
it is done. Then everything that was finished before any of the kills must be there, and all of it right, as the sweep
of a process that nobody killed. Then a small disk that fills up, results that are damaged, and an index that is lost.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from nettrim_core import environment
from nettrim_core.durable import Runs, State, Store
from nettrim_core.plan import EPSILONS, Plan
from nettrim_core.tasks import TASKS
from nettrim_core.workbench import Workbench

ROOT = Path(__file__).resolve().parents[1]
KILLS = 50
PLAN = Plan("digits_mlp", ("fc1", "fc2", "fc3"), samples=300)
CURVES = [{"method": name, "settings": {}, "epsilons": list(EPSILONS[::2])} for name in ("lobs", "magnitude_refit")]
REQUEST: dict[str, Any] = {"task": "sweep", "sweeps": [{"plan": PLAN.to_dict(), "curves": CURVES}]}
TOTAL = sum(len(curve["epsilons"]) for curve in CURVES)
NEAR = 2e-3  # of all weights
LIFE = 2.0  # seconds, at most, from a victim's first result to its end
PACE = 0.05  # seconds that a victim rests after each result, so that there are moments to be killed in
CHILD = """
import json, sys, time
from pathlib import Path
import torch
from nettrim_core.durable import Runs, Store
from nettrim_core.durable.carry import carried_out
torch.set_num_threads(1)
request = json.loads(sys.argv[2])
store = Store(Path(sys.argv[1]))
recording = Runs(store).begin(request, int(sys.argv[3]), "victim")
assert recording is not None, store.trouble
for answer in carried_out(request, store, recording, {}):
    print(json.dumps([answer["point"]["method"], answer["point"]["epsilon"]]), flush=True)
    time.sleep(float(sys.argv[4]))
"""


def victim(folder: Path, request: dict[str, Any] = REQUEST, total: int = TOTAL) -> subprocess.Popen[str]:
    """A process that carries out the sweep and says what it has finished."""
    command = [sys.executable, "-c", CHILD, str(folder), json.dumps(request), str(total), str(PACE)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def killed(folder: Path, chance: random.Random) -> tuple[set[tuple[str, float]], bool]:
    """What a victim had finished when it was killed, and whether it was done before."""
    child = victim(folder)
    assert child.stdout is not None
    said = [child.stdout.readline()]  # the imports are not what is to be broken off
    moment = time.monotonic() + chance.uniform(0, LIFE)
    while time.monotonic() < moment and said[-1]:
        time.sleep(chance.uniform(0, PACE / 5))
    child.kill()
    rest, _ = child.communicate()
    said += rest.splitlines()
    done = [line for line in said if line.endswith("]\n") or line.endswith("]")]
    return {(method, epsilon) for method, epsilon in map(json.loads, done)}, child.returncode == 0


def figures(data: dict[str, Any]) -> dict[str, Any]:
    """What tells whether two answers to the same are both right."""
    layers = data["report"]["layers"]
    return {
        "sparsity": data["report"]["sparsity"],
        "within": all(layer["converged"] and layer["discrepancy"] <= data["epsilon"] * (1 + 1e-6) for layer in layers),
    }


def agree(found: dict[str, Any], right: dict[str, Any]) -> bool:
    """Is this an answer, with as many zeros? What is solved beside other epsilons may keep another weight that is worth
    almost the same."""
    return found["within"] and abs(found["sparsity"] - right["sparsity"]) <= NEAR


def points(store: Store | None) -> dict[tuple[str, float], dict[str, Any]]:
    """The sweep from here, with what is kept."""
    torch.set_num_threads(1)
    bench = Workbench(store)
    bench.serve(REQUEST)
    found = [answer["point"] for answer in TASKS["sweep"](REQUEST, bench)]
    return {(point["method"], point["epsilon"]): figures(point) for point in found}


def kept(folder: Path) -> set[tuple[str, float]]:
    """The points that are in a store."""
    store = Store(folder)
    reports = [report for run in Runs(store).all() for report in Runs(store).reports(run.id)]
    return {(report.method, report.settings["epsilon"]) for report in reports}


def kills(count: int, seed: int = 0) -> dict[str, Any]:
    """count kills at random moments; the store is emptied whenever a sweep comes to its end."""
    chance, right = random.Random(seed), points(None)
    done, lost, sweeps, wrong, results = 0, 0, 0, 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        folder, finished = Path(scratch) / "store", set()
        while done < count:
            before, ended = killed(folder, chance)
            done += not ended
            finished |= before
            there = kept(folder)
            lost += len(finished - there)
            if ended or len(there) == TOTAL or done == count:
                store = Store(folder)
                (run,) = Runs(store).all()
                assert run.state in (State.INTERRUPTED, State.DONE)
                wrong += sum(not agree(found, right[key]) for key, found in points(store).items())
                results, sweeps, finished = results + len(there), sweeps + 1, set()
                shutil.rmtree(folder)
    return {"faults": done, "runs": sweeps, "results": results, "lost": lost, "wrong": wrong}


def damages(seed: int = 0) -> dict[str, Any]:
    """Every third result cut or flipped at random; each is to be named, and made again."""
    chance, right = random.Random(seed), points(None)
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(Path(scratch))
        points(store)
        victims = sorted(store.files())[::3]
        for path in victims:
            data = bytearray(path.read_bytes())
            place = chance.randrange(len(data))
            if chance.random() < 0.5:
                del data[place:]
            else:
                data[place] ^= 1 << chance.randrange(8)
            path.write_bytes(data)
        (store.folder / "index.db").write_bytes(b"no database")
        again = Store(store.folder)
        wrong = sum(not agree(found, right[key]) for key, found in points(again).items())
        count = len(list(again.files()))
        return {"faults": len(victims) + 1, "runs": 1, "results": count, "lost": 0, "wrong": wrong}


def no_growth() -> dict[str, Any]:
    """A store in which no file may have more than 6 kB: the sweep goes on, and later all is made again."""
    right = points(None)
    with tempfile.TemporaryDirectory() as scratch:
        small = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        small += "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))\n"
        command = [sys.executable, "-c", small + CHILD, scratch, json.dumps(REQUEST), str(TOTAL), "0"]
        child = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
        answered = len(child.stdout.splitlines())
        wrong = sum(not agree(found, right[key]) for key, found in points(Store(Path(scratch))).items())
        return {"faults": TOTAL, "runs": 1, "results": answered, "lost": TOTAL - answered, "wrong": wrong}


FULL = """
mount -t tmpfs -o size=500k tmpfs "$1" || exit 77
"$2" -c "$3" "$1" "$4" "$5" 0
df --output=avail "$1" >&2
mount -o remount,size=64m "$1"
"$2" benchmarks/faults.py --points "$1"
"""


READ_ONLY = """
mount -t tmpfs -o size=64m tmpfs "$1" || exit 77
"$2" -c "$3" "$1" "$4" "$5" 0 >&2
mount -o remount,ro "$1"
touch "$1/x" 2>&1 && exit 1
"$2" benchmarks/faults.py --points "$1"
mount -o remount,rw "$1"
"$2" benchmarks/faults.py --points "$1"
"""


def on_a_disk(script: str, request: dict[str, Any], total: int) -> subprocess.CompletedProcess[str] | None:
    """What comes of a script that mounts a disk of its own; None where no disk can be made."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", scratch, sys.executable, CHILD]
        child = subprocess.run(
            [*command, json.dumps(request), str(total)], capture_output=True, text=True, cwd=ROOT, check=False
        )
    return None if child.returncode == 77 or "unshare" in child.stderr else child


def bad(line: str, right: dict[tuple[str, float], dict[str, Any]]) -> int:
    """How many of the points on a line of ``--points`` are wrong or missing."""
    found = [(name, epsilon, point) for name, epsilon, point in json.loads(line)]
    return sum(not agree(point, right[name, epsilon]) for name, epsilon, point in found) + len(right) - len(found)


def full_disk() -> dict[str, Any] | None:
    """A disk of 500 kB that fills up during the sweep and has room again later."""
    child, right = on_a_disk(FULL, REQUEST, TOTAL), points(None)
    if child is None:
        return None
    *said, last = child.stdout.splitlines()
    left = int(child.stderr.split()[-1])
    assert left < 50, f"the disk was not full: {left} kB were left"
    return {"faults": 1, "runs": 1, "results": len(said), "lost": TOTAL - len(said), "wrong": bad(last, right)}


def read_only() -> dict[str, Any] | None:
    """A disk that can only be read from the middle of a sweep on, and written again later."""
    half = [{**curve, "epsilons": curve["epsilons"][::2]} for curve in CURVES]
    request = {"task": "sweep", "sweeps": [{"plan": PLAN.to_dict(), "curves": half}]}
    count = sum(len(curve["epsilons"]) for curve in half)
    child, right = on_a_disk(READ_ONLY, request, count), points(None)
    if child is None:
        return None
    before, (refused, *said) = child.stderr.splitlines(), child.stdout.splitlines()
    assert "Read-only" in refused, child
    wrong = sum(bad(line, right) for line in said)
    return {"faults": 1, "runs": 2, "results": TOTAL, "lost": count - len(before), "wrong": wrong}


def main() -> None:
    if sys.argv[1:2] == ["--points"]:
        found = points(Store(Path(sys.argv[2])))
        print(json.dumps([[*key, point] for key, point in found.items()]))
        return
    count = int(sys.argv[1]) if len(sys.argv) > 1 else KILLS
    rows = {
        f"SIGKILL at {count} random moments of a sweep": kills(count),
        "every third result and the index damaged": damages(),
        "no file may grow beyond 6 kB": no_growth(),
        "a disk of 500 kB is full": full_disk(),
        "a disk can only be read": read_only(),
    }
    print(f"{environment.sentence()}\n")
    print("| fault | faults | sweeps | results | lost | wrong |\n|---|--:|--:|--:|--:|--:|")
    for name, row in rows.items():
        if row is None:
            print(f"| {name} | no disk can be made here | | | | |")
            continue
        print(f"| {name} | {' | '.join(str(row[k]) for k in ('faults', 'runs', 'results', 'lost', 'wrong'))} |")
    if any(row["lost"] or row["wrong"] for row in rows.values() if row is not None):
        sys.exit("something was lost, or is not what it was")


if __name__ == "__main__":
    main()

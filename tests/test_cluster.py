"""Sweeps on a scheduler's workers: the same bits as here, whatever becomes of workers and scheduler."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import errno
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import numpy as np
import pytest
import torch
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from torch import Tensor

from benchmarks.party import ROOT, Party, until
from nettrim_core import LayerProblem, cluster
from nettrim_core.cluster import Cluster, connected
from nettrim_core.durable import Runs, State, Store
from nettrim_core.executor import LOCAL, Local, carried_out_by, current, stepwise
from nettrim_core.inputs import BLOCK, gram, summed
from nettrim_core.methods import METHODS
from nettrim_core.plan import Plan
from nettrim_core.ranking import COARSE, Search, place_of, sparsest
from nettrim_core.record import Point
from nettrim_core.tasks.sweeps import sweep
from nettrim_core.workbench import Workbench
from nettrim_core.worker import serve
from tests.conftest import random_layer
from tests.test_cli import SMALL, Run
from tests.test_cli import run as nettrim  # noqa: F401  (a fixture)

EPSILONS = [0.4, 0.05, 0.15]
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def party(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Party]:
    """A scheduler and two workers that nobody harms."""
    found = Party(tmp_path_factory.mktemp("party"), 2)
    yield found
    found.close()


@pytest.fixture
def fragile(tmp_path: Path) -> Iterator[Party]:
    found = Party(tmp_path / "fragile")
    yield found
    found.close()


def asked(methods: list[str], layers: tuple[str, ...], epsilons: list[float], samples: int = 200) -> dict[str, Any]:
    plan = Plan("digits_mlp", layers, samples=samples)
    curves = [{"method": name, "settings": {}, "epsilons": epsilons} for name in methods]
    return {"task": "sweep", "sweeps": [{"plan": plan.to_dict(), "curves": curves}]}


def untimed(data: Any) -> Any:
    """Without what the clock says."""
    if isinstance(data, dict):
        return {key: untimed(value) for key, value in data.items() if key != "seconds"}
    return [untimed(value) for value in data] if isinstance(data, list) else data


def same(here: list[dict[str, Any]], there: list[dict[str, Any]]) -> None:
    """But for rough answers, which are given here only, and for the order in which those of other curves come."""
    here = [answer for answer in here if "point" not in answer or not Point.from_dict(answer["point"]).report.rough]
    assert len(here) == len(there) > 0
    said = [sorted(json.dumps(untimed(answer), sort_keys=True) for answer in answers) for answers in (here, there)]
    assert said[0] == said[1]


def solved(problem: LayerProblem, name: str) -> list[tuple[Any, ...]]:
    """All that a method says of a layer, as it takes shape, but for rough answers."""
    method = METHODS[name]
    return [
        (index, result.converged, bits(result.U), untimed(result.stats), [bits(own) for own in result.neurons.values()])
        for index, result in method.refine(problem, EPSILONS)
        if result.stats.get("tol", 0.0) <= getattr(method, "tol", math.inf)
    ]


def bits(tensor: Tensor) -> bytes:
    return tensor.contiguous().numpy().tobytes()


def deep(seed: int = 0) -> LayerProblem:
    """More samples than one block, in single precision."""
    layer = random_layer(20, 9, 2 * BLOCK + 700, dead=2, seed=seed)
    return LayerProblem(layer.X.float(), layer.Y.float(), layer.W.float(), relu=True)


PROBLEMS = {"relu": lambda: random_layer(24, 9, 150, dead=3), "linear": lambda: random_layer(24, 9, 80, relu=False)}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_every_method_gives_the_bits_that_it_gives_here(party: Party, kind: str) -> None:
    problem = PROBLEMS[kind]()
    names = [name for name, method in METHODS.items() if not method.joint]
    here = {name: solved(problem, name) for name in names}
    with connected(party.address) as there, carried_out_by(there):
        assert current() is there
        for name in names:
            assert solved(problem, name) == here[name], name
    assert current() is LOCAL


def test_moments_over_blocks_of_samples_have_the_same_bits(party: Party) -> None:
    problem = deep()
    here = {name: solved(problem, name) for name in ("lobs", "exactobs", "wanda")}
    with connected(party.address) as there, carried_out_by(there):
        made: list[str] = []
        begin = there.made
        there.made = lambda task, *given: (made.append(task.__name__), begin(task, *given))[1]  # type: ignore[method-assign]
        for name, expected in here.items():
            assert solved(problem, name) == expected, name
        assert made.count("_gram") == 2 * 3  # blocks of two methods; a third does without
        assert made.count("add") == 2 * 2


def test_a_sweep_is_the_same_and_leaves_nothing(party: Party) -> None:
    request = asked(["nettrim", "exactobs", "lobs", "magnitude_global"], ("fc2", "fc3"), EPSILONS)
    here = list(sweep(request, Workbench()))
    same(here, list(sweep(request, Workbench(scheduler=party.address))))
    until(lambda: party.ask(lambda client: not any(client.has_what().values())))


def test_what_is_shared_is_sent_once_and_only_while_it_is_wanted(party: Party) -> None:
    big = np.random.default_rng(0).standard_normal((300, 1000))
    with connected(party.address) as there:
        first, second = there.share((big, "x")), there.share((big.copy(), "x"))
        assert first is second
        assert there.share((big, "y")) is not first
        assert there.each(_total, range(12), first) == [float(big.sum()) + i for i in range(12)]
        # a worker that took no task was sent nothing; whoever was has one value of that size, under one key
        key = first.future.key
        until(lambda: [name for name, size in sizes(there).items() if size > big.nbytes] == [key])
        assert sizes(there)[key] < big.nbytes + 10_000
        del first, second
        until(lambda: not any(there.client.has_what().values()))


def sizes(there: Cluster) -> dict[str, int]:
    return there.client.nbytes(summary=False)


def _total(item: int, given: tuple[np.ndarray, str]) -> float:
    assert given[0].flags.writeable
    return float(given[0].sum()) + item


def test_a_worker_is_killed_and_nothing_is_lost(fragile: Party) -> None:
    for _ in range(3):
        fragile.add()
    fragile.arrived(3)
    epsilons = [0.3, 0.2, 0.15, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02]
    request = asked(["exactobs", "nettrim"], ("fc1", "fc2"), epsilons, samples=400)
    here = list(sweep(request, Workbench()))
    begun = threading.Event()
    killing = threading.Thread(target=kill_at_work, args=(fragile, begun))
    killing.start()
    found = []
    for answer in sweep(request, Workbench(scheduler=fragile.address)):
        found.append(answer)
        begun.set()
    assert fragile.workers[0].poll() == -signal.SIGKILL  # and that before the end
    killing.join()
    same(here, found)


def kill_at_work(party: Party, begun: threading.Event) -> None:
    """The first worker, once there are results and it has something to do."""
    victim = party.workers[0]  # its name is its place

    def busy(client: Any) -> bool:
        workers, at_work = client.scheduler_info(n_workers=-1)["workers"], client.processing()
        return any(at_work.get(address) for address, worker in workers.items() if worker["name"] == 0)

    party.ask(lambda client: begun.wait(60) and until(lambda: busy(client)))
    victim.kill()
    victim.wait()


@pytest.mark.long
def test_what_only_the_killed_worker_had_is_sent_again(fragile: Party) -> None:
    fragile.add()
    fragile.arrived(1)
    big = np.arange(200_000.0)
    with connected(fragile.address) as there:
        shared = there.share(big)
        doubled = there.made(_doubled, shared)
        assert there.each(_item, [3], doubled) == [6.0]
        fragile.workers[0].kill()
        fragile.workers[0].wait()
        fragile.add()
        assert there.each(_item, [5, 7], doubled) == [10.0, 14.0]


def _doubled(values: np.ndarray) -> np.ndarray:
    return values * 2


def _item(place: int, values: np.ndarray) -> float:
    return float(values[place])


def test_a_scheduler_that_dies_leaves_a_run_that_goes_on_with_another(
    fragile: Party, party: Party, nettrim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    fragile.add()
    fragile.arrived(1)
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "true")
    monkeypatch.setenv("NETTRIM_STORAGE_FOLDER", str(tmp_path / "store"))
    words = ["digits_mlp", *SMALL, "--methods", "lobs", "--epsilons", ",".join(f"{n / 50}" for n in range(1, 21))]
    child = swept(words, "--scheduler", fragile.address)
    runs = Runs(Store(tmp_path / "store"))
    until(lambda: any(run.done > 1 for run in runs.all()))
    fragile.scheduler.send_signal(signal.SIGKILL)
    _, said = child.communicate(timeout=60)
    (run,) = runs.all()
    assert (child.returncode, run.state) == (1, State.FAILED), said
    (sentence,) = [line for line in said.splitlines() if line.startswith("nettrim: ")]
    assert sentence == f"nettrim: the scheduler at {fragile.address} is gone; {cluster.CARRY_ON}"
    assert 1 < run.done < run.total == 20
    assert len(runs.reports(run.id)) == run.done
    before = party.ask(lambda client: client.run(_last))
    code, out, _ = nettrim("resume", run.id, "--scheduler", party.address, "--json")
    assert (code, len(json.loads(out)["reports"])) == (0, 20)
    assert before != party.ask(lambda client: client.run(_last))
    (done,) = runs.all()
    assert (done.state, done.done) == (State.DONE, 20)


def swept(words: list[str], *more: str) -> subprocess.Popen[str]:
    """nettrim sweep as a process, whose points take half a second longer."""
    code = f"""
import time
from nettrim_core.tasks import sweeps
whole = sweeps.make_point
sweeps.make_point = lambda *given: (time.sleep(0.5), whole(*given))[1]
import sys
sys.argv = {["nettrim", "sweep", *words, *more]!r}
from nettrim_cli.main import main
main()
"""
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_an_interrupt_releases_what_was_asked(party: Party, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "true")
    monkeypatch.setenv("NETTRIM_STORAGE_FOLDER", str(tmp_path / "store"))
    words = ["digits_mlp", *SMALL, "--methods", "nettrim,exactobs", "--epsilons", "0.3,0.1,0.05,0.02"]
    child = swept(words, "--scheduler", party.address)
    runs = Runs(Store(tmp_path / "store"))
    until(lambda: any(run.done for run in runs.all()))
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130, said
    assert "interrupted" in said
    assert "Traceback" not in said
    (run,) = runs.all()
    assert run.state is State.STOPPED
    until(lambda: party.ask(lambda client: not any([*client.has_what().values(), *client.processing().values()])))


def test_the_worker_of_the_studio_asks_the_scheduler_that_is_set(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setenv("NETTRIM_SCHEDULER", party.address)
    request = asked(["lobs"], ("fc3",), [0.1])
    before = party.ask(lambda client: client.run(_last))
    *answers, last = [json.loads(line) for line in serve([json.dumps(request)])]
    assert (len(answers), last) == (1, {"done": True})
    after = party.ask(lambda client: client.run(_last))
    assert before.keys() == after.keys()
    assert before != after
    monkeypatch.setenv("NETTRIM_SCHEDULER", "10.0.0.1")
    (refused,) = serve([json.dumps(request)])
    assert json.loads(refused)["error"].startswith("scheduler = '10.0.0.1' is no address")


def _last(dask_worker: Any) -> str:
    """What a worker did last with a task of ours, and when."""
    return next((repr(entry) for entry in reversed(dask_worker.state.log) if "nettrim-" in repr(entry)), "")


def admitted(party: Party) -> None:
    with connected(party.address):
        pass


@pytest.mark.long
def test_workers_whose_bits_would_differ_are_refused(fragile: Party, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "nettrim_core", other / "nettrim_core", ignore=shutil.ignore_patterns("__pycache__"))
    (other / "nettrim_core" / "rows.py").open("a").write("# another version\n")
    fragile.add(other)
    fragile.arrived(1)
    with (
        pytest.raises(ValueError, match="has other sources of nettrim-studio: its results would"),
        connected(fragile.address),
    ):
        pass
    fragile.workers[0].kill()
    until(lambda: not fragile.ask(lambda client: client.nthreads()))
    fragile.add(threads=2)
    fragile.arrived(1)
    with (
        pytest.raises(ValueError, match="does 2 tasks at a time: start workers with --nthreads 1"),
        connected(fragile.address),
    ):
        pass


def test_a_worker_that_joins_later_is_looked_at_too(party: Party) -> None:
    work = cluster.Sent(cluster.Work(_doubled, None, (np.ones(2),), 1, "another version", (("torch", "1"),)))
    with connected(party.address) as found, pytest.raises(ValueError, match=r"has torch .*, not 1"):
        found.client.submit(cluster.carry_out, work).result()


def test_a_search_ends_where_it_does_whatever_was_measured_before() -> None:
    """Along errors that go up and down, so that there are many places where it could end."""
    rng = np.random.default_rng(0)
    errors = (np.arange(400) / 400 + 0.3 * rng.random(400)).tolist()
    errors[0] = 0.0
    measured: list[int] = []
    for allowed in np.linspace(0.05, 1.0, 30):
        measured.clear()
        place = sparsest(lambda p: (measured.append(p), errors[p])[1], 399, allowed)
        assert errors[place] <= allowed < errors[place + 1]
        assert len(measured) == len(set(measured)) < 25
    problem = random_layer(20, 9, 60, seed=3)
    for name in ("lobs", "wanda", "sparsegpt"):
        alone = {e: bits(next(METHODS[name].path(problem, [e])).U) for e in EPSILONS}
        for order in (EPSILONS, EPSILONS[::-1]):
            assert [bits(result.U) for result in METHODS[name].path(problem, order)] == [alone[e] for e in order]


@pytest.mark.parametrize("executor", [LOCAL, Local()])
def test_where_all_searches_begin_is_measured_once(executor: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []
    error = Search.error

    def counting(search: Search, count: int) -> float:
        if count not in search.errors:
            measured.append(count)
        return error(search, count)

    monkeypatch.setattr(Search, "error", counting)
    problem = random_layer(40, 30, 90, seed=5)
    last = problem.W.numel()
    with carried_out_by(executor):
        found = [result.stats["count"] for result in METHODS["exactobs"].path(problem, [0.5, 0.3, 0.2, 0.1, 0.05])]
    beginnings = {place_of(part, last) for part in range(COARSE + 1)}
    times = Counter(count for count in measured if count in beginnings)
    assert len(times) > 10
    assert set(times.values()) == {1}
    assert sorted(found, reverse=True) == found


def test_elsewhere_nettrim_gives_no_rough_answers_that_would_be_solved_here() -> None:
    problem = random_layer(12, 6, 50, seed=2)

    def refined() -> list[tuple[int, Any, float]]:
        stream = METHODS["nettrim"].refine(problem, EPSILONS)
        return [(index, bits(result.U), result.stats["tol"]) for index, result in stream]

    here = refined()
    with carried_out_by(Local()):
        there = refined()
    last = {index: (U, tol) for index, U, tol in here}
    assert len(here) > len(EPSILONS) == len(there)
    assert {index: (U, tol) for index, U, tol in there} == last


def test_moments_are_summed_two_by_two() -> None:
    said = [summed(iter("abcdefg"[:count]), lambda a, b: f"({a}{b})") for count in range(1, 8)]
    assert said == ["a", "(ab)", "((ab)c)", "((ab)(cd))", "(((ab)(cd))e)", "(((ab)(cd))(ef))", "(((ab)(cd))((ef)g))"]
    X = deep().X
    assert isinstance(X, Tensor)
    found, exact = gram(X), X.double() @ X.double().T
    torch.testing.assert_close(found, exact, rtol=1e-13, atol=1e-9)
    few = X[:, :BLOCK]
    assert torch.equal(gram(few), few.double() @ few.double().T)


def test_versions_are_named() -> None:
    with pytest.raises(ValueError, match="has torch 1, not 2: its results would"):
        cluster.check(("tcp://a:1", 1, "x", {"torch": "1", "numpy": "3"}), "y", {"torch": "2", "numpy": "3"})


def test_what_cannot_be_is_said_in_a_sentence(
    nettrim: Run, fragile: Party, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    words = ["sweep", "digits_mlp", *SMALL, "--methods", "lobs", "--epsilons", "0.1", "--scheduler"]
    for address, says in {
        "here": "scheduler = 'here' is no address of a scheduler; one is tcp://10.0.0.1:8786",
        "tcp://127.0.0.1:9": "no scheduler answers at tcp://127.0.0.1:9 (",
    }.items():
        monkeypatch.setattr(cluster, "CONNECT", 1.0)
        code, _, said = nettrim(*words, address)
        assert code == 1
        assert said.splitlines()[-1].startswith(f"nettrim: {says}"), said
    monkeypatch.setattr(cluster, "ARRIVE", 0.5)
    code, _, said = nettrim(*words, fragile.address)
    assert f"there is no worker at {fragile.address}: start some with dask worker {fragile.address}" in said
    monkeypatch.setitem(sys.modules, "distributed", None)
    code, _, said = nettrim(*words, fragile.address)
    assert (code, said.splitlines()[-1]) == (1, f"nettrim: {fragile.address}: {cluster.INSTALL}")


@pytest.mark.parametrize("says", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\nthis is no scheduler"])
def test_what_answers_otherwise_or_not_at_all_is_no_scheduler(monkeypatch: pytest.MonkeyPatch, says: bytes) -> None:
    monkeypatch.setattr(cluster, "CONNECT", 1.0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = listening.accept()
                    caller.sendall(says)

        threading.Thread(target=answer, daemon=True).start()
        there = connected(f"tcp://127.0.0.1:{listening.getsockname()[1]}")
        with pytest.raises(ValueError, match="no scheduler answers at"):
            there.__enter__()


@pytest.mark.long  # Dask tries to reach it for ten seconds
def test_a_scheduler_that_dies_while_nobody_listens_is_missed(fragile: Party) -> None:
    fragile.add()
    fragile.arrived(1)
    with connected(fragile.address) as there:
        assert there.each(_item, [1], np.arange(3.0)) == [1.0]
        fragile.scheduler.kill()
        until(lambda: there.client.status != "running")
        with pytest.raises(ValueError, match="is gone; what is finished is kept"):
            there.each(_item, [1], np.arange(3.0))


def test_an_error_of_a_task_is_not_taken_for_a_lost_worker(party: Party) -> None:
    with connected(party.address) as there, pytest.raises(OSError, match="no room"):
        there.each(_full, [1])


def _full(_: int) -> None:
    raise OSError(errno.ENOSPC, "no room")


def test_a_preload_compiles() -> None:
    code = "import sys; from nettrim_core import active_set, warm; warm.dask_setup(None); "
    code += "sys.exit(not active_set.trace.signatures)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_executor_is_no_longer_than_a_step() -> None:
    class Other(type(LOCAL)):  # type: ignore[misc]
        pass

    def stream() -> Iterator[Any]:
        yield current()
        yield current()

    first, second = (stepwise(Other(), stream()) for _ in range(2))
    assert [next(first), next(second)] != [LOCAL, LOCAL]
    assert current() is LOCAL
    assert [type(one) for one in (*first, *second)] == [Other, Other]
    assert current() is LOCAL


def test_a_refusal_of_a_task_is_that_of_the_method(party: Party) -> None:
    layer, method = random_layer(20, 4, 10), dataclasses.replace(METHODS["exactobs"], damping=0.0)
    with connected(party.address) as found, carried_out_by(found), pytest.raises(ValueError, match="use a damping of"):
        list(method.path(layer, [0.1]))


@pytest.mark.long
def test_over_tls_only_who_has_a_certificate_is_answered(
    nettrim: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    ours, theirs = (certificate(tmp_path / name) for name in ("ours", "theirs"))
    tls = {"comm.require-encryption": True, "comm.default-scheme": "tls", "comm.tls.ca-file": ours["cert"]}
    tls |= {f"comm.tls.{role}.{kind}": ours[kind] for role in ("scheduler", "worker", "client") for kind in ours}
    for name, value in tls.items():
        monkeypatch.setenv("DASK_DISTRIBUTED__" + name.replace(".", "__").replace("-", "_").upper(), str(value))
    words = ["sweep", "digits_mlp", *SMALL, "--methods", "lobs", "--epsilons", "0.1", "--json", "--scheduler"]
    monkeypatch.setattr(cluster, "CONNECT", 3.0)
    with dask.config.set({f"distributed.{name}": value for name, value in tls.items()}):
        party = Party(tmp_path / "party", 1)
        try:
            assert party.address.startswith("tls://")
            before = party.ask(lambda client: client.run(_last))
            code, out, said = nettrim(*words, party.address)
            assert (code, len(json.loads(out)["points"])) == (0, 1), said
            assert before != party.ask(lambda client: client.run(_last))
            with dask.config.set({f"distributed.comm.tls.client.{kind}": theirs[kind] for kind in theirs}):
                code, _, said = nettrim(*words, party.address)
            assert code == 1
            assert said.splitlines()[-1].startswith(f"nettrim: no scheduler answers at {party.address} (")
        finally:
            party.close()


def certificate(folder: Path) -> dict[str, str]:
    """The files of a certificate that vouches for itself, and of its key."""
    folder.mkdir()
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nettrim")])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    signed = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True).sign(key, SHA256())
    (folder / "cert.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {kind: str(folder / f"{kind}.pem") for kind in ("cert", "key")}


@pytest.fixture
def networks() -> Iterator[list[str]]:
    """Three networks with addresses 10.77.0.1 to .3, of which the first joins the others."""
    names = [f"nettrim{os.getpid()}{i}" for i in range(3)]
    hub = names[0]
    commands = [f"ip netns add {name}" for name in names]
    commands += [f"ip -n {hub} link add bridge type bridge", f"ip -n {hub} addr add 10.77.0.1/24 dev bridge"]
    for i, name in enumerate(names[1:], 2):
        commands += [
            f"ip -n {hub} link add to{i} type veth peer name eth0 netns {name}",
            f"ip -n {hub} link set to{i} master bridge up",
            f"ip -n {name} addr add 10.77.0.{i}/24 dev eth0",
            f"ip -n {name} link set eth0 up",
        ]
    commands += [f"ip -n {hub} link set bridge up", *(f"ip -n {name} link set lo up" for name in names)]
    try:
        for command in commands:
            subprocess.run(command.split(), check=True)
        yield [f"ip netns exec {name}" for name in names]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)


@pytest.mark.long  # it needs root, and ip
def test_workers_in_networks_of_their_own(networks: list[str], tmp_path: Path) -> None:
    hub, *others = (words.split() for words in networks)
    party = Party(tmp_path / "party", before=hub, host="10.77.0.1")
    try:
        for i, words in enumerate(others, 2):
            party.add(before=words, host=f"10.77.0.{i}")
        request = asked(["nettrim", "exactobs"], ("fc2", "fc3"), EPSILONS)
        code = f"""
import json, torch
from nettrim_core.cluster import connected
from nettrim_core.tasks.sweeps import sweep
from nettrim_core.workbench import Workbench
from tests.test_cluster import _last
torch.set_num_threads(1)
with connected({party.address!r}) as there:
    there.client.wait_for_workers(2)
answers = list(sweep({request!r}, Workbench(scheduler={party.address!r})))
with connected({party.address!r}) as there:
    print(json.dumps([answers, there.client.run(_last)]))
"""
        done = subprocess.run(
            [*hub, sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answers, uses = json.loads(done.stdout)
    finally:
        party.close()
    same(list(sweep(request, Workbench())), answers)
    assert {address.rpartition(":")[0]: used != "" for address, used in uses.items()} == {
        "tcp://10.77.0.2": True, "tcp://10.77.0.3": True,
    }  # fmt: skip

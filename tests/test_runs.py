"""Runs: written down while they go on, and gone on with whatever ended them."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from benchmarks import faults
from nettrim_core.durable import Recording, Runs, State, Store
from nettrim_core.durable.address import address
from nettrim_core.durable.runs import run_id
from nettrim_core.finetune import FineTuning
from nettrim_core.jobs import Job, Pool, Status
from nettrim_core.tasks import sweeps
from pages import ledger, work
from tests.test_cli import SMALL, Run
from tests.test_cli import run as nettrim  # noqa: F401  (a fixture)
from tests.test_pages import text
from tests.test_store import REQUEST, content


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(Store(tmp_path / "store"))


def begun(runs: Runs, name: str = "mine", **how: Any) -> Recording:
    recording = runs.begin({"task": "sweep", "name": name}, 4, name, **how)
    assert recording is not None, runs.store.trouble
    return recording


def answer(epsilon: float) -> dict[str, Any]:
    return {"sweep": 0, "point": {"method": "lobs", "report": {"settings": {"epsilon": epsilon}}}}


def test_a_run_is_written_down_as_it_goes(runs: Runs) -> None:
    recording = begun(runs)
    (run,) = runs.all()
    assert (run.state, run.done, run.total, run.asked.name) == (State.RUNNING, 0, 4, "mine")
    assert run.asked.environment["torch"]
    for epsilon in (0.1, 0.1, 0.2):  # a rough one is no second one
        recording.heard(answer(epsilon))
    (run,) = Runs(Store(runs.store.folder)).all()
    assert (run.state, run.done) == (State.RUNNING, 2)
    recording.ended(State.FAILED, "a reason")
    recording.ended(State.DONE)  # it has ended
    (run,) = runs.all()
    assert (run.state, run.error, run.unfinished) == (State.FAILED, "a reason", True)
    assert 0 <= run.seconds < 60
    assert [says for _, says in runs.log(run.id)] == ["begun", "failed: a reason"]


def test_to_ask_again_is_to_go_on(runs: Runs) -> None:
    first = begun(runs, key="k")
    for epsilon in (0.1, 0.2, 0.3):
        first.heard(answer(epsilon))
    assert runs.begin({}, 1, "again", key="k") is None  # it is under way
    first.ended(State.STOPPED)
    second = runs.begin({"task": "other"}, 1, "again", key="k")  # one answer is left
    assert second is not None
    assert second.id == first.id
    second.heard(answer(0.4))
    second.ended(State.DONE)
    (run,) = runs.all()
    assert (run.asked.name, run.done, run.total, run.state) == ("mine", 4, 4, State.DONE)
    assert run.asked.request == {"task": "sweep", "name": "mine"}
    other = begun(runs, key="k", owner="somebody")
    assert other.id != first.id
    assert {run.asked.owner for run in runs.all()} == {"", "somebody"}
    assert [run.id for run in runs.all("somebody")] == [other.id]
    assert run_id("k", "", "weights") != run_id("k")


def test_who_asked_the_same_at_that_time_has_the_same_results(runs: Runs) -> None:
    """One of the two was carried out, for both."""
    first, second, third = (begun(runs, owner=owner) for owner in "abc")
    for seed in range(3):
        assert runs.store.put(address("a", n=seed), content(seed=seed), first.id)
    names = runs.store.results_of(first.id)
    job = Job({"run": first.id}, 3, lambda _: None, lambda changed: ledger.follow(second, changed))
    job.become(Status.RUNNING)
    assert runs.store.results_of(second.id) == []
    job.become(Status.DONE)
    other = runs.get(second.id)
    assert other is not None
    assert (other.state, runs.store.results_of(second.id), len(names)) == (State.DONE, names, 3)
    assert runs.cost(second.id) == runs.cost(first.id)
    assert runs.store.results_of(third.id) == []


def test_a_process_that_is_killed_leaves_a_run_that_broke_off(runs: Runs) -> None:
    child = faults.victim(runs.store.folder)
    assert child.stdout is not None
    child.stdout.readline()
    (run,) = runs.all()
    assert run.state is State.RUNNING
    assert runs.again(run) is None
    child.send_signal(signal.SIGKILL)
    child.communicate()
    (run,) = runs.all()
    assert run.state is State.INTERRUPTED
    again = runs.again(run)
    assert again is not None
    again.ended(State.DONE)


def test_nothing_is_lost_to_kills_damage_or_a_full_disk() -> None:
    for row in (faults.kills(2), faults.damages(), faults.no_growth()):
        assert row["faults"] > 0
        assert row["results"] > 0
        assert (row["lost"], row["wrong"]) == (0, 0)


@pytest.mark.long
def test_nothing_is_lost_where_a_disk_is_full_or_can_only_be_read() -> None:
    for row in (faults.full_disk(), faults.read_only()):
        assert row is not None, "no disk can be made here"
        assert row["results"] == faults.TOTAL
        assert (row["lost"], row["wrong"]) == (0, 0)


def test_names_pins_and_deletions(runs: Runs) -> None:
    first, second = begun(runs, "one"), begun(runs, "two")
    for recording in (first, second):
        recording.ended(State.DONE)
    runs.rename(first.id, "  another\nname ")
    assert {run.asked.name for run in runs.all()} == {"another name", "two"}
    for bad in ("", "   ", "x" * 101):
        with pytest.raises(ValueError, match="1 to 100 characters"):
            runs.rename(first.id, bad)
    runs.pin(first.id, True)
    assert [run.id for run in runs.all() if run.pinned] == [first.id]
    runs.pin(first.id, False)
    assert not [run for run in runs.all() if run.pinned]
    runs.delete(first.id)
    assert [run.id for run in runs.all()] == [second.id]
    assert [run.id for run in runs.all(deleted=True)] == [first.id]
    runs.undelete(first.id)
    assert len(runs.all()) == 2
    runs.delete(first.id)
    runs.purge()
    assert runs.get(first.id) is not None  # for a day
    runs.purge(older=-1)
    assert runs.get(first.id) is None
    assert runs.log(first.id) == []


def test_runs_are_found_by_id_beginning_and_name(runs: Runs) -> None:
    first, second = begun(runs, "one"), begun(runs, "two")
    assert runs.find(first.id).id == first.id
    assert runs.find("two").id == second.id
    assert runs.find(first.id[:7]).id == first.id
    with pytest.raises(ValueError, match="no run 'three'"):
        runs.find("three")
    runs.rename(first.id, "two")
    with pytest.raises(ValueError, match="are 2 runs"):
        runs.find("two")


@pytest.mark.parametrize("how", ["cut", "changed", "no JSON"])
def test_a_record_that_is_damaged_is_listed_as_such(runs: Runs, how: str) -> None:
    recording, other = begun(runs, "one"), begun(runs, "two")
    for each in (recording, other):
        each.ended(State.DONE)
    path = runs.folder / recording.id / "run.json"
    words = path.read_text()
    path.write_text({"cut": words[:50], "changed": words.replace('"one"', '"eno"'), "no JSON": "\x00"}[how])
    states = {run.id: run.state for run in runs.all()}
    assert states == {recording.id: State.DAMAGED, other.id: State.DONE}
    assert len(runs.store.damage()) == 1
    assert begun(runs, "one").id == recording.id  # to ask again makes it whole


def test_a_run_is_exported_with_its_curves(runs: Runs) -> None:
    faults.victim(runs.store.folder, REQUEST, 4).communicate()
    (run,) = runs.all()
    assert run.state is State.DONE
    assert (run.done, run.total) == (4, 4)
    with zipfile.ZipFile(io.BytesIO(runs.exported(run.id))) as packed:
        names = packed.namelist()
        assert json.loads(packed.read("run.json"))["request"] == json.loads(json.dumps(REQUEST))
        assert len(packed.read("curves.csv").decode().splitlines()) == 5
        assert "begun" in packed.read("log.txt").decode()
    results, size = runs.cost(run.id)
    assert len([name for name in names if name.startswith("results/")]) == results == 4 + 2 * 4  # points, layers
    assert size > 1000


# ---------------------------------------------------------------- on the command line


@pytest.fixture
def keeping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that commands and pages use."""
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "true")
    monkeypatch.setenv("NETTRIM_STORAGE_FOLDER", str(tmp_path / "kept"))
    return Store(tmp_path / "kept")


def broken_off(monkeypatch: pytest.MonkeyPatch, after: int) -> Callable[[], None]:
    """Ctrl-C after so many points, until what comes back is called."""
    solve = sweeps.solve

    def interrupted(*arguments: Any) -> Iterator[Any]:
        for number, point in enumerate(solve(*arguments)):
            if number == after:
                os.kill(os.getpid(), signal.SIGINT)
            yield point

    monkeypatch.setattr(sweeps, "solve", interrupted)
    return lambda: monkeypatch.setattr(sweeps, "solve", solve)


def test_a_sweep_that_broke_off_is_resumed(
    nettrim: Run, keeping: Store, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    command = ("sweep", "digits_mlp", "--methods", "lobs", "--epsilons", "0.4,0.3,0.2,0.1", *SMALL, "--json")
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "false")
    code, out, err = nettrim(*command)
    assert (code, err) == (0, "")
    whole = json.loads(out)["points"]
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "true")
    mend = broken_off(monkeypatch, 2)
    code, out, err = nettrim(*command)
    assert code == 130
    assert len(json.loads(out)["points"]) == 2
    mend()
    _, out, _ = nettrim("runs", "--json")
    (listed,) = json.loads(out)["runs"]
    assert (listed["state"], listed["done"], listed["total"]) == ("stopped", 2, 4)
    assert f"nettrim resume {listed['asked']['id']}" in err
    code, out, _ = nettrim("resume", listed["asked"]["id"], "--json")
    assert code == 0
    told = json.loads(out)
    assert told["complete"] is True
    by_epsilon = sorted(told["reports"], key=lambda report: report["settings"]["epsilon"])
    for report in (*by_epsilon, *whole):
        for layer in report["layers"]:
            layer["seconds"] = 0
    assert by_epsilon == whole
    _, out, _ = nettrim("runs")
    assert "done" in out
    assert "4 of 4" in out
    code, _, err = nettrim("resume", "nobody")
    assert code == 1
    assert "there is no run 'nobody'" in err


def test_a_retraining_that_broke_off_is_gone_on_with(
    nettrim: Run, keeping: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    command = ("finetune", "digits_mlp", "--method", "lobs", "--epsilon", "0.4", "--epochs", "6", *SMALL)
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "false")
    assert nettrim(*command, "--out", tmp_path / "whole")[0] == 0
    monkeypatch.setenv("NETTRIM_STORAGE_ON", "true")
    code = f"""
import os, signal, sys, torch
from nettrim_core.finetune import FineTuning
from nettrim_cli.main import main
judge, calls = FineTuning._judge, []
def killed(self, model):
    calls.append(1)
    if len(calls) == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return judge(self, model)
FineTuning._judge = killed
sys.argv = ["nettrim", *{[str(word) for word in command]!r}]
main()
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == -signal.SIGKILL
    (broken,) = Runs(keeping).all()
    assert broken.state is State.INTERRUPTED
    epochs: list[int] = []
    judge = FineTuning._judge
    monkeypatch.setattr(FineTuning, "_judge", lambda self, model: (epochs.append(1), judge(self, model))[1])
    assert nettrim(*command, "--out", tmp_path / "again")[0] == 0
    assert len(epochs) == 4  # epochs 3 to 6
    for name in ("model.safetensors",):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    (done,) = Runs(keeping).all()
    assert done.state is State.DONE


def test_a_resumed_retraining_that_is_interrupted_is_not_done(
    nettrim: Run,  # noqa: F811
    keeping: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judge, calls = FineTuning._judge, []

    def pressed(self: FineTuning, model: Any) -> Any:
        calls.append(1)
        if len(calls) in (3, 5):
            os.kill(os.getpid(), signal.SIGINT)
        return judge(self, model)

    monkeypatch.setattr(FineTuning, "_judge", pressed)
    command = ("finetune", "digits_mlp", "--method", "lobs", "--epsilon", "0.4", "--epochs", "6", *SMALL)
    assert nettrim(*command)[0] == 130
    (run,) = Runs(keeping).all()
    assert run.state is State.STOPPED
    code, out, _ = nettrim("resume", run.id, "--json")
    assert (code, json.loads(out)["complete"]) == (130, False)
    assert Runs(keeping).all()[0].state is State.STOPPED
    assert nettrim("resume", run.id)[0] == 0
    assert Runs(keeping).all()[0].state is State.DONE


def test_prices_of_a_budget_are_kept(nettrim: Run, keeping: Store) -> None:  # noqa: F811
    command = ("allocate", "digits_mlp", "--method", "lobs", "--zeros", "0.7", *SMALL, "--json")
    first = json.loads(nettrim(*command)[1])["report"]
    assert Runs(keeping).cost(Runs(keeping).all()[0].id)[0] == 2
    assert json.loads(nettrim(*command)[1])["report"]["allocation"] == first["allocation"]


def test_a_network_of_ones_own_is_found_again_and_must_be_the_same(
    nettrim: Run, keeping: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:  # fmt: skip
    import shutil

    from nettrim_core.places import SAMPLE_MODELS

    shutil.copytree(SAMPLE_MODELS / "digits_mlp", tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    mend = broken_off(monkeypatch, 1)
    assert nettrim("sweep", "mine", "--methods", "lobs", "--epsilons", "0.4,0.2", *SMALL)[0] == 130
    mend()
    monkeypatch.chdir("/")
    (broken,) = Runs(keeping).all()
    assert nettrim("resume", broken.id)[0] == 0
    shutil.copy(SAMPLE_MODELS / "spirals" / "model.safetensors", tmp_path / "mine")
    shutil.copy(SAMPLE_MODELS / "spirals" / "data.npz", tmp_path / "mine")
    shutil.copy(SAMPLE_MODELS / "spirals" / "bundle.json", tmp_path / "mine")
    code, _, err = nettrim("resume", broken.id)
    assert code == 1
    assert "not those of run" in err


# ---------------------------------------------------------------- on the page


@pytest.fixture
def visited(app: AppTest, keeping: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppTest]:
    """The page of runs, and workers that know of the store."""
    pool = Pool()
    monkeypatch.setattr(work, "pool", lambda: pool)
    app.switch_page("pages/runs.py")
    yield app.run()
    pool.close()


def test_an_empty_store_says_how_to_fill_it(visited: AppTest) -> None:
    assert not visited.exception
    assert "There is nothing yet" in visited.info[0].value


def test_without_a_store_the_page_says_so(app: AppTest) -> None:
    app.switch_page("pages/runs.py")
    app.run()
    assert not app.exception
    assert "Nothing is kept" in app.info[0].value


def test_runs_are_listed_resumed_renamed_deleted_and_brought_back(visited: AppTest, keeping: Store) -> None:
    runs = Runs(keeping)
    recording = runs.begin(REQUEST, 4, "mine [x](https://a.example)", subject={"link": "model=digits_mlp"})
    assert recording is not None
    recording.ended(State.STOPPED)
    visited.run()
    assert not visited.exception
    assert "](" not in text(visited)
    visited.button(key=f"resume_{recording.id}").click().run()
    deadline = time.monotonic() + 120
    while runs.all()[0].state is not State.DONE:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        visited.run()
        assert not visited.exception
    visited.run()
    assert not [button for button in visited.button if str(button.key).startswith("resume_")]
    visited.text_input(key=f"w_name_{recording.id}").set_value("yours").run()
    assert runs.all()[0].asked.name == "yours"
    visited.toggle(key=f"w_pinned_{recording.id}").set_value(True).run()
    assert runs.all()[0].pinned
    visited.checkbox(key=f"w_compare_{recording.id}").check().run()
    assert len(visited.get("plotly_chart")) == 1
    visited.button(key=f"pack_{recording.id}").click().run()
    assert len(visited.get("download_button")) == 1
    visited.button(key=f"delete_{recording.id}").click().run()
    assert runs.all() == []
    assert "yours" in text(visited)
    visited.button(key="undelete").click().run()
    assert len(runs.all()) == 1
    assert not visited.exception


def test_a_sweep_of_a_page_becomes_a_run(app: AppTest, keeping: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    app.query_params["model"] = "digits_mlp"
    app.query_params["n"] = "150"
    app.query_params["methods"] = "magnitude"
    app.query_params["layers"] = "fc3"
    app.run()
    assert not app.exception
    deadline = time.monotonic() + 120
    while not [run for run in Runs(keeping).all() if run.state is State.DONE]:
        assert time.monotonic() < deadline
        time.sleep(0.2)
        app.run()
        assert not app.exception
    (done,) = Runs(keeping).all()
    assert done.asked.name == "digits_mlp: curves of Magnitude"
    assert done.done == done.total == 25
    assert "n=150" in done.asked.subject["link"]
    here = ledger.runs()
    assert here is None or here.store.folder == keeping.folder

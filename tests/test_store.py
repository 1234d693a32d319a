"""The store: whole files, damage that is named, results of just what was asked, room that is kept."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nettrim_core import METHODS, Training, finetune, load_bundle, masks_of
from nettrim_core.durable import Runs, State, Store
from nettrim_core.durable.address import Address, address, of_layer, of_point
from nettrim_core.durable.files import HALF, hold, is_held, remove_halves, write_whole
from nettrim_core.durable.results import layer_sealed, layer_unsealed, point_sealed, point_unsealed
from nettrim_core.durable.sealed import Sealed, seal, unseal
from nettrim_core.durable.tree import flattened, restored
from nettrim_core.plan import Plan, method_key
from nettrim_core.record import Point
from nettrim_core.tasks import TASKS
from nettrim_core.tasks.sweeps import solve
from nettrim_core.workbench import Workbench
from tests.conftest import random_layer, small_mlp

PLAN = Plan("digits_mlp", ("fc2", "fc3"), samples=200)
REQUEST = {
    "task": "sweep",
    "sweeps": [
        {
            "plan": PLAN.to_dict(),
            "curves": [{"method": name, "settings": {}, "epsilons": [0.4, 0.1]} for name in ("nettrim", "lobs")],
        }
    ],
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def content(size: int = 100, seed: int = 0) -> Sealed:
    return Sealed({"seed": seed}, {"x": np.random.default_rng(seed).normal(size=size)})


def same(a: Sealed, b: Sealed) -> bool:
    return a.about == b.about and {k: v.tobytes() for k, v in a.arrays.items()} == {
        k: v.tobytes() for k, v in b.arrays.items()
    }


# ---------------------------------------------------------------- files


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file"
    write_whole(path, b"first")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(path.parent.iterdir()) == [path]


def test_halves_of_the_dead_are_taken_away_and_those_of_the_living_are_not(tmp_path: Path) -> None:
    old, new = tmp_path / f".a.1{HALF}", tmp_path / f".b.2{HALF}"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (0, 0))
    remove_halves(tmp_path)
    assert list(tmp_path.iterdir()) == [new]


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = f"""
import time
from pathlib import Path
from nettrim_core.durable.files import hold
held = hold(Path({str(path)!r}))
print("held", flush=True)
time.sleep(600)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    assert is_held(path)
    assert hold(path) is None
    child.kill()
    child.wait()
    assert not is_held(path)
    here = hold(path)
    assert here is not None
    assert hold(path) is None  # nor twice in one process
    here.close()
    assert not is_held(path)


# ---------------------------------------------------------------- what lies in them


@settings(max_examples=60, deadline=None)
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7), cut=st.booleans())
def test_any_damage_is_noticed(place: int, bit: int, cut: bool) -> None:
    whole = seal(content(20))
    place %= len(whole)
    damaged = bytearray(whole[:place]) if cut else bytearray(whole)
    if not cut:
        damaged[place] ^= 1 << bit
    try:
        found = unseal(bytes(damaged))
    except ValueError:
        return
    assert same(found, content(20))  # a space of the header's padding may be another character


def test_results_come_back_bit_for_bit(store: Store) -> None:
    problem = random_layer(12, 5, 60)
    for name, method in METHODS.items():
        result = method.prune(problem)
        again = layer_unsealed(unseal(seal(layer_sealed(result))))
        assert again.U.numpy().tobytes() == result.U.numpy().tobytes(), name
        assert again.stats == pytest.approx(result.stats, nan_ok=True)
        assert again.converged == result.converged
        assert {k: v.tolist() for k, v in again.neurons.items()} == {k: v.tolist() for k, v in result.neurons.items()}
    bundle = load_bundle("spirals")
    plan = Plan("spirals", ("fc2",), samples=100)
    (point,) = solve(plan, [{"method": "magnitude", "settings": {}, "epsilons": [0.3]}], bundle)
    again = point_unsealed(unseal(seal(point_sealed(point))))
    assert again.to_dict() == point.to_dict()


def test_a_minus_zero_stays_one() -> None:
    problem = random_layer(4, 3, 20)
    result = METHODS["magnitude"].prune(problem)
    result.U[0, 0] = -0.0
    assert layer_unsealed(layer_sealed(result)).U.numpy().tobytes() == result.U.numpy().tobytes()


def test_a_tree_comes_back() -> None:
    tree = {"a": [1, None, torch.arange(3)], 7: (2.5, {"b": torch.zeros(0)}), "empty": {}, "word": "x"}
    plain, arrays = flattened(tree)
    found = restored(json.loads(json.dumps(plain)), arrays)
    assert list(found) == list(tree)
    assert found["a"][2].tolist() == [0, 1, 2]
    assert found[7][0] == 2.5
    assert found[7][1]["b"].shape == (0,)
    assert isinstance(found[7], tuple)
    assert (found["empty"], found["word"], found["a"][:2]) == ({}, "x", [1, None])


def test_every_input_is_part_of_the_address() -> None:
    method = METHODS["nettrim"]
    point = of_point("f", PLAN, "key").of
    others = {
        of_point("g", PLAN, "key").of, of_point("f", PLAN, "other").of,
        *(of_point("f", Plan(**{**vars(PLAN), **change}), "key").of for change in (
            {"samples": 201}, {"seed": 1}, {"layers": ("fc3",)}, {"patches": 7}, {"scale": (("fc2", 2.0),)},
            {"batchnorm": "keep"},
        )),
    }  # fmt: skip
    assert len(others | {point}) == 9
    assert of_point("f", Plan(**{**vars(PLAN), "bundle": "elsewhere"}), "key").of == point  # a name is no content
    layer = of_layer("c", "fc2", method, 0.1).of
    assert len(
        {layer, of_layer("d", "fc2", method, 0.1).of, of_layer("c", "fc3", method, 0.1).of,
         of_layer("c", "fc2", METHODS["lobs"], 0.1).of, of_layer("c", "fc2", method, 0.2).of,
         of_layer("c", "fc2", type(method)(tol=1e-2), 0.1).of}
    ) == 6  # fmt: skip


def test_another_solver_finds_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from nettrim_core.durable import address as module

    store.put(address("layer", x=1), content())
    assert store.get(address("layer", x=1)) is not None
    monkeypatch.setattr(module, "solver", lambda: "another")
    assert store.get(address("layer", x=1)) is None


# ---------------------------------------------------------------- the store


def test_what_was_put_is_found_by_others(store: Store) -> None:
    assert store.get(address("a", n=1)) is None
    assert store.put(address("a", n=1), content())
    found = Store(store.folder).get(address("a", n=1))
    assert found is not None
    assert same(found, content())
    assert store.size()[0] == 1
    store.put(address("a", n=1), content(seed=1))  # in its place
    found = store.get(address("a", n=1))
    assert found is not None
    assert found.about == {"seed": 1}
    assert store.size()[0] == 1
    assert store.trouble == ""


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "another result", "text"])
def test_what_is_damaged_is_named_put_aside_and_made_again(store: Store, how: str) -> None:
    here, other = address("a", n=1), address("a", n=2)
    store.put(here, content())
    store.put(other, content(seed=2))
    path = store.path(here)
    data = path.read_bytes()
    path.write_bytes(
        {
            "cut": data[:-7], "flipped": data[:-1] + bytes([data[-1] ^ 1]), "empty": b"",
            "another result": store.path(other).read_bytes(), "text": b"hello",
        }[how]
    )  # fmt: skip
    assert store.get(here) is None
    assert not path.exists()
    ((_, what, says),) = store.damage()
    assert what.endswith(path.name)
    assert says.startswith("it")
    assert len(list((store.folder / "damaged").iterdir())) == 1
    assert store.size()[0] == 1
    store.put(here, content())
    assert store.get(here) is not None
    assert store.get(other) is not None


@pytest.mark.parametrize("how", ["garbage", "cut", "gone", "newer"])
def test_a_lost_index_is_made_again_from_the_files(store: Store, how: str) -> None:
    runs = Runs(store)
    recording = runs.begin({"task": "sweep"}, 3, "mine")
    assert recording is not None
    store.put(address("a", n=1), content(), recording.id)
    recording.ended(State.DONE)
    runs.pin(recording.id, True)
    store.close()
    index = store.folder / "index.db"
    for end in ("-wal", "-shm"):
        (store.folder / f"index.db{end}").unlink(missing_ok=True)
    if how == "gone":
        index.unlink()
    elif how == "newer":
        with sqlite3.connect(index) as connection:
            connection.execute("PRAGMA user_version = 99")
    else:
        index.write_bytes(b"garbage" * 999 if how == "garbage" else index.read_bytes()[:1000])
    again = Store(store.folder)
    assert again.size()[0] == 1
    assert again.get(address("a", n=1)) is not None
    (run,) = Runs(again).all()
    assert (run.asked.name, run.pinned, run.state) == ("mine", True, State.INTERRUPTED)
    assert again.results_of(run.id) == [address("a", n=1).name]
    assert (again.trouble == "") == (how == "gone")


def test_the_least_used_goes_first_and_pins_stay(tmp_path: Path) -> None:
    size = len(seal(Sealed({"seed": 0, "of": address("a", n=0).of}, content().arrays)))
    store = Store(tmp_path, limit=5.5 * size)
    runs = Runs(store)
    pinned, other = (runs.begin({"task": "sweep", "n": n}, 1, str(n)) for n in (1, 2))
    assert pinned is not None
    assert other is not None
    for n in range(2):
        store.put(address("a", n=n), content(), pinned.id)
    runs.pin(pinned.id, True)
    for recording in (pinned, other):
        recording.ended(State.DONE)
    for n in range(2, 9):
        store.put(address("a", n=n), content(), other.id)
        time.sleep(0.01)
        assert store.size()[1] <= store.limit
    left = [n for n in range(9) if store.get(address("a", n=n)) is not None]
    assert {0, 1} <= set(left)
    assert left[-1] == 8
    assert left[2:] == list(range(left[2], 9))
    assert store.size()[0] == len(left) == len(list(store.files()))


def test_a_full_disk_costs_only_what_cannot_be_kept(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(address("a", n=1), content())
    write = Path.open

    def full(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
        if "w" in mode and self.name.endswith(HALF):
            raise OSError(28, "No space left on device")
        return write(self, mode, *args, **options)

    monkeypatch.setattr(Path, "open", full)
    assert not store.put(address("a", n=2), content())
    assert "No space left on device" in store.trouble
    assert store.get(address("a", n=1)) is not None
    bench = Workbench(store)
    bench.serve(REQUEST)
    assert len(list(TASKS["sweep"](REQUEST, bench))) == 6  # two of them rough: it is solved all the same
    monkeypatch.undo()
    assert store.put(address("a", n=2), content())
    assert store.trouble == ""


def test_a_folder_that_cannot_be_made_costs_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    store = Store(tmp_path / "file" / "store")
    assert store.get(address("a", n=1)) is None
    assert not store.put(address("a", n=1), content())
    assert store.trouble
    assert Runs(store).begin({"task": "sweep"}, 1, "x") is None
    assert Runs(store).all() == []


def test_many_threads_and_two_processes_at_once(store: Store) -> None:
    code = f"""
import sys
from pathlib import Path
from nettrim_core.durable import Store
from tests.test_store import address, content
store = Store(Path({str(store.folder)!r}))
for n in range(60):
    assert store.put(address("a", n=n), content(seed=n))
    assert store.get(address("a", n=n)) is not None
assert not store.trouble, store.trouble
"""
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    faults: list[str] = []

    def work(first: int) -> None:
        for n in range(first, 60, 2):
            if not store.put(address("a", n=n), content(seed=n)) or store.get(address("a", n=n)) is None:
                faults.append(f"{n}: {store.trouble}")

    threads = [threading.Thread(target=work, args=(first,)) for first in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [child.wait() for child in children] == [0, 0]
    assert faults == []
    for n in range(60):
        found = store.get(address("a", n=n))
        assert found is not None
        assert found.about == {"seed": n}
    assert store.size()[0] == 60


# ---------------------------------------------------------------- a sweep that goes on


def figures(answer: dict[str, Any]) -> dict[str, Any]:
    """A point without the clock."""
    data = Point.from_dict(answer["point"]).to_dict()
    for layer in data["report"]["layers"]:
        layer.pop("seconds")
    return data


def final(answers: list[dict[str, Any]]) -> dict[tuple[str, float], dict[str, Any]]:
    return {(a["point"]["method"], a["point"]["epsilon"]): figures(a) for a in answers}


def swept(store: Store | None, most: int | None = None) -> list[dict[str, Any]]:
    bench = Workbench(store)
    bench.serve(REQUEST)
    answers = TASKS["sweep"](REQUEST, bench)
    return [answer for _, answer in zip(range(most or 99), answers, strict=False)]


def test_a_sweep_goes_on_where_it_broke_off_and_comes_out_the_same(store: Store, one_thread: None) -> None:
    whole = final(swept(None))
    broken = swept(store, 5)  # the first good point of Net-Trim is the fifth answer
    assert len(broken) == 5
    bench = Workbench(Store(store.folder))
    bench.serve(REQUEST)
    key = method_key("lobs", METHODS["lobs"])
    kept = bench.kept.points(bench.bundle("digits_mlp"), PLAN)
    assert kept.get(key, 0.4) is not None
    again = list(TASKS["sweep"](REQUEST, bench))
    assert len(again) < 6  # those that were kept are not rough first
    found, kept_before = final(again), final(broken)
    assert set(found) == set(whole)
    for (name, epsilon), point in found.items():
        report, right = point["report"], whole[name, epsilon]["report"]
        assert all(layer["converged"] and layer["discrepancy"] <= epsilon * (1 + 1e-6) for layer in report["layers"])
        if kept_before.get((name, epsilon)) == point:
            assert point == whole[name, epsilon]
        else:  # beside other epsilons, another answer that is as good
            assert report["sparsity"] == pytest.approx(right["sparsity"], abs=2e-3)
    assert any(kept_before.get(key) == point for key, point in found.items())
    assert final(swept(store)) == found
    assert len(swept(store)) == 4


def test_layers_are_found_again_under_other_layers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    swept(store)
    request = json.loads(json.dumps(REQUEST))
    request["sweeps"][0]["plan"]["layers"] = ["fc3"]
    bench = Workbench(Store(store.folder))
    bench.serve(request)
    monkeypatch.setattr(type(METHODS["nettrim"]), "refines", None)
    monkeypatch.setattr(type(METHODS["lobs"]), "refines", None)
    answers = list(TASKS["sweep"](request, bench))  # without a solver
    assert len(answers) == 4
    known = final(swept(store))
    for (method, epsilon), point in final(answers).items():
        assert point["masks"]["fc3"] == known[method, epsilon]["masks"]["fc3"]


def test_what_visitors_brought_is_not_kept(store: Store) -> None:
    bench = Workbench(store)
    request = {**REQUEST, "folders": {"own-1": "/nowhere"}}
    bench.serve(request)
    assert len(list(TASKS["sweep"](request, bench))) == 6
    assert store.size() == (0, 0)


# ---------------------------------------------------------------- a retraining that goes on


@pytest.mark.parametrize("how", [{}, {"adam": True}, {"cosine": False}, {"patience": 2, "rate": 0.5}])
def test_a_retraining_goes_on_bit_for_bit(how: dict[str, Any], one_thread: None) -> None:
    model, training = small_mlp(), Training(epochs=6, batch=16, **how)
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(120, 10, generator=generator), torch.randint(0, 4, (120,), generator=generator)
    with torch.no_grad():
        model.fc1.weight[:, ::2] = 0
    masks = masks_of(model, ["fc1"])
    whole = finetune(model, masks, (x[:90], y[:90]), (x[90:], y[90:]), training)
    epochs = list(whole)
    for cut in range(len(epochs)):
        part = finetune(model, masks, (x[:90], y[:90]), (x[90:], y[90:]), training)
        first = [epoch for _, epoch in zip(range(cut + 1), part, strict=False)]
        plain, arrays = flattened(part.state())
        state = restored(json.loads(json.dumps(plain)), arrays)
        fresh: nn.Module = small_mlp(seed=9)
        again = finetune(fresh, masks, (x[:90], y[:90]), (x[90:], y[90:]), training, state)
        rest = list(again)
        told = [(e.number, e.loss, e.validation_loss, e.best) for e in (*first, *rest)]
        assert told == [(e.number, e.loss, e.validation_loss, e.best) for e in epochs]
        for name, value in whole.model.state_dict().items():
            assert torch.equal(again.model.state_dict()[name], value)


def test_addresses_have_names_that_are_files() -> None:
    assert len(Address("x").name) == 40
    assert set(Address("x").name) <= set("0123456789abcdef")

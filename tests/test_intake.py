"""No file that a stranger gives costs more than a sentence, and what is good becomes a bundle."""

from __future__ import annotations

import dataclasses
import io
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nettrim_core import load_bundle
from nettrim_core.configuration import Uploads
from nettrim_core.data.source import opened
from nettrim_core.intake import Door, zipped
from nettrim_core.intake.nursery import CRASH, LONG, SLOW
from nettrim_core.intake.packing import unpack
from tests.hostile_data import HOSTILE as DATA
from tests.hostile_data import npz
from tests.hostile_networks import HOSTILE as NETWORKS
from tests.hostile_networks import bundle, good, net, saved

RUN = Path("/tmp/nettrim-was-run")
LIMITS = Uploads(mb=40, unpacked_mb=100, memory_mb=1500, seconds=20)


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    door = Door(LIMITS)
    yield door
    door.close()


def ask(door: Door, folder: Path, task: str = "look", **parts: Any) -> dict[str, Any]:
    usual = {"network": "", "data": "", "labels": "", "architecture": "", "options": {}, "title": "Mine"}
    return door.ask({"task": task, "folder": str(folder), **usual, **parts})


def put(folder: Path, part: str, name: str, data: bytes) -> str:
    (folder / part).mkdir(exist_ok=True)
    (folder / part / name).write_bytes(data)
    return f"{part}/{name}"


def rows(count: int = 60, width: int = 4) -> bytes:
    x = np.random.default_rng(0).normal(size=(count, width)).astype(np.float32)
    return npz(x=x, y=np.arange(count) % 3)


def assert_is_advice(sentence: str, name: str) -> None:
    """One line that names the file, says why, and what to do."""
    assert sentence.startswith(name.split(".")[0])
    assert sentence.isprintable()
    assert len(sentence) <= 400
    assert sentence.endswith(".")
    reason, _, remedy = re.split("[:,]", sentence, maxsplit=1)[1].rpartition("; " if "; " in sentence else ": ")
    assert len(reason.split()) > 1
    assert len(remedy.split()) > 1
    assert "cannot be read (" not in sentence  # what nobody thought of


@pytest.mark.parametrize("what", NETWORKS)
def test_a_hostile_network_is_refused_in_one_sentence(door: Door, tmp_path: Path, what: str) -> None:
    bad = NETWORKS[what]
    RUN.unlink(missing_ok=True)
    put(tmp_path, "network", bad.name, bad.make())
    door.open()
    process = door._process
    assert process is not None
    answer = ask(door, tmp_path, network=f"network/{bad.name}")["network"]
    assert list(answer) == ["refused"]
    assert bad.word in answer["refused"]
    assert_is_advice(answer["refused"], bad.name)
    assert not RUN.exists()
    assert process.poll() is None  # the process that reads are forked from has noticed nothing
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network"]  # nor has the disk


FILES = [what for what, bad in DATA.items() if what not in ("no file", "pipe") and bad.name != "a"]


@pytest.mark.parametrize("what", FILES)
def test_hostile_data_is_refused_in_one_sentence(door: Door, tmp_path: Path, what: str) -> None:
    bad = DATA[what]
    (tmp_path / "data").mkdir()
    bad.write(tmp_path / "data" / bad.name)
    answer = ask(door, tmp_path, data=f"data/{bad.name}", options={"limit_mb": 100.0, **bad.options.to_dict()})["data"]
    assert list(answer) == ["refused"]
    assert bad.word.replace("limit_mb", "NETTRIM_UPLOADS_UNPACKED_MB") in answer["refused"]
    assert "\n" not in answer["refused"]
    assert str(tmp_path) not in answer["refused"]  # no path of the server


@pytest.mark.parametrize("what", ["whole model", "unknown operation", "labels beyond the outputs"])
def test_what_is_refused_at_a_look_is_not_taken(door: Door, tmp_path: Path, what: str) -> None:
    bad = NETWORKS[what]
    network, table = put(tmp_path, "network", bad.name, bad.make()), put(tmp_path, "data", "d.npz", rows())
    with pytest.raises(ValueError, match=re.escape(bad.name)):
        ask(door, tmp_path, "take", network=network, data=table)
    assert not (tmp_path / "taken").exists()


def test_there_are_hostile_files_of_all_kinds() -> None:
    assert len(NETWORKS) + len(FILES) >= 60
    assert {bad.name.rpartition(".")[2] for bad in NETWORKS.values()} == {
        "onnx", "pt", "pth", "pt2", "safetensors", "zip",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "data"), [("n.pt2", good), ("n.pt", lambda: saved(net(4, 5, 3).state_dict()))])
def test_good_files_are_described_and_taken(door: Door, tmp_path: Path, name: str, data: Any) -> None:
    network, table = put(tmp_path, "network", name, data()), put(tmp_path, "data", "d.npz", rows())
    alone = ask(door, tmp_path, network=network)
    assert alone["data"] is None
    assert [layer["gives"] for layer in alone["network"]["layers"]] == [[5], [3]]
    found = ask(door, tmp_path, network=network, data=table)
    assert [layer["prunes"] for layer in found["network"]["layers"]] == [True, True]
    assert found["network"]["parameters"] == 4 * 5 + 5 + 5 * 3 + 3
    assert found["fit"]["takes"]
    assert len(found["data"]["samples"]) == 9
    assert found["data"]["kind"] == "npz"
    taken = ask(door, tmp_path, "take", network=network, data=table)
    made = load_bundle(tmp_path / "taken")
    assert (made.title, made.classes, made.fingerprint) == ("Mine", ("0", "1", "2"), taken["fingerprint"])
    assert torch.equal(made.model(made.test[0]), net(4, 5, 3)(made.test[0]))
    assert sum(len(part[0]) for part in (made.train, made.validation, made.test)) == 60


def test_the_shape_of_a_sample_is_what_the_file_says(door: Door, tmp_path: Path) -> None:
    """A size that nobody would guess, in a program and in the text of the layers."""
    network = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 2)
    )
    program = io.BytesIO()
    torch.export.save(torch.export.export(network, (torch.zeros(2, 2, 11, 7),)), program)
    text = "input 2 11 7\nconv 3 kernel=3\nglobalpool\nflatten\nlinear 2"
    for name, data, layers in (("n.pt2", program.getvalue(), ""), ("n.pt", saved(network.state_dict()), text)):
        found = ask(door, tmp_path, network=put(tmp_path, "network", name, data), architecture=layers)["network"]
        assert found["input"] == [2, 11, 7]
        assert [layer["gives"] for layer in found["layers"]] == [[3, 9, 5], [2]]


def test_a_bundle_goes_out_and_comes_back_the_same(door: Door, tmp_path: Path) -> None:
    network = put(tmp_path, "network", "mine.zip", bundle()())
    first = ask(door, tmp_path, "take", network=network)["fingerprint"]
    again = put(tmp_path, "network", "again.zip", zipped(tmp_path / "taken", "own-x"))
    assert ask(door, tmp_path, "take", network=again)["fingerprint"] == first
    unpack(opened(tmp_path / again, 10**8), tmp_path / "here")
    assert load_bundle(tmp_path / "here").fingerprint == first
    assert ask(door, tmp_path, network=again)["network"]["title"] == "Mine"


def test_unlabelled_data_makes_a_bundle_without_labels(door: Door, tmp_path: Path) -> None:
    network = put(tmp_path, "network", "n.pt2", good())
    table = put(tmp_path, "data", "d.npz", npz(x=np.random.default_rng(0).normal(size=(60, 4))))
    found = ask(door, tmp_path, network=network, data=table)
    assert found["fit"]["takes"]
    assert found["fit"]["accuracy"] is None
    ask(door, tmp_path, "take", network=network, data=table)
    assert load_bundle(tmp_path / "taken").test[1] is None


def test_the_fingerprint_tells_activations_apart(tmp_path: Path) -> None:
    """The same weights and data with another activation are another network, with other results."""
    from nettrim_core.bundle import save_bundle

    part = torch.randn(30, 4), torch.arange(30) % 3
    prints = set()
    for kind in (torch.nn.ReLU, torch.nn.Tanh):
        model = net(4, 5, 3)
        model[1] = kind()
        save_bundle(tmp_path / kind.__name__, model, train=part, validation=part, test=part)
        prints.add(load_bundle(tmp_path / kind.__name__).fingerprint)
    assert len(prints) == 2


def test_wrong_channels_and_features_are_told(door: Door, tmp_path: Path) -> None:
    network, table = put(tmp_path, "network", "n.pt2", good()), put(tmp_path, "data", "d.npz", rows(width=7))
    fit = ask(door, tmp_path, network=network, data=table)["fit"]
    assert not fit["takes"]
    assert "expects 4 numbers and gets 7" in fit["sentence"]
    with pytest.raises(ValueError, match="expects 4 numbers and gets 7"):
        ask(door, tmp_path, "take", network=network, data=table)


def test_a_layer_with_markup_in_its_name_is_refused(door: Door, tmp_path: Path) -> None:
    network = put(tmp_path, "network", "n.zip", bundle(model=torch.nn.Sequential())())
    model = torch.nn.Sequential()
    model.add_module("<img src=x>", torch.nn.Linear(4, 3))
    network = put(tmp_path, "network", "n.zip", bundle(model=model)())
    assert "rename it" in ask(door, tmp_path, network=network)["network"]["refused"]
    with pytest.raises(ValueError, match="rename it"):
        ask(door, tmp_path, "take", network=network)


def test_a_reading_says_what_it_can_reach(door: Door, tmp_path: Path) -> None:
    assert ask(door, tmp_path, "reach") == {"connections": False, "programs": False, "files": False}


# what kills a reading, and what is said then
DEATHS = {
    "segfault": ("import ctypes; ctypes.string_at(0)", CRASH),
    "abort": ("import os; os.abort()", CRASH),
    "kill": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", CRASH),
    "exit": ("import os; os._exit(3)", CRASH),
    "loop": ("while True: pass", SLOW),
    "sleep": ("import time; time.sleep(60)", SLOW),
}
WORDS = {CRASH: "broke off", SLOW: "more than 1 seconds", LONG: "too much in it"}


@pytest.fixture(scope="module")
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A door whose readings do what their title says: the nursery with another reader."""
    script, real = tmp_path_factory.mktemp("fragile") / "fragile.py", subprocess.Popen
    script.write_text(
        "import json, sys\n"
        "from nettrim_core.configuration import Uploads\n"
        "from nettrim_core.intake.nursery import serve\n"
        "def read(request):\n"
        "    here = {}\n"
        "    exec(request['title'], here)\n"
        "    return {'answer': here['answer']}\n"
        "serve(read, Uploads(**json.loads(sys.argv[1])))\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess, "Popen", lambda command, **how: real([command[0], str(script), command[-1]], **how))
        door = Door(dataclasses.replace(LIMITS, seconds=1, memory_mb=200, unpacked_mb=1, mb=1))
        yield door
        door.close()


@pytest.mark.alone
@pytest.mark.parametrize("how", DEATHS)
def test_a_reading_that_dies_costs_a_sentence(fragile: Door, tmp_path: Path, how: str) -> None:
    code, end = DEATHS[how]
    fragile.open()
    process = fragile._process
    with pytest.raises(ValueError, match=WORDS[end]) as refused:
        ask(fragile, tmp_path, network="network/x.pt2", title=code)
    assert_is_advice(str(refused.value), "x.pt2")
    assert ask(fragile, tmp_path, title="answer = 3") == {"answer": 3}
    assert fragile._process is process


@pytest.mark.alone
def test_memory_processor_and_files_are_bounded(fragile: Door, tmp_path: Path) -> None:
    allocate = "try: answer = len(bytearray(10**9))\nexcept MemoryError: answer = 'refused'"
    assert ask(fragile, tmp_path, title=allocate) == {"answer": "refused"}
    write = (
        f"try: open({str(tmp_path / 'big')!r}, 'wb').write(bytes(5_000_000)); answer = 'written'\n"
        "except OSError as error: answer = error.strerror"
    )
    assert ask(fragile, tmp_path, title=write) == {"answer": "File too large"}
    more = "import resource\ntry: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)); answer = 'raised'\n"
    if os.getuid() != 0:  # root may raise what it likes
        assert ask(fragile, tmp_path, title=more + "except ValueError: answer = 'held'") == {"answer": "held"}
    with pytest.raises(ValueError, match=WORDS[LONG]):
        ask(fragile, tmp_path, network="network/x.pt", title="answer = 'x' * 20_000_000")


@pytest.mark.alone
def test_readings_do_not_see_each_other_and_do_not_wait_for_each_other(fragile: Door, tmp_path: Path) -> None:
    ask(fragile, tmp_path, title="import builtins; builtins.secret = 7; answer = 1")
    seen = ask(fragile, tmp_path, title="import builtins; answer = hasattr(builtins, 'secret')")
    assert seen == {"answer": False}
    slow = threading.Thread(target=lambda: ask(fragile, tmp_path, title="import time; time.sleep(0.8); answer = 0"))
    slow.start()
    time.sleep(0.1)
    begun = time.monotonic()
    ask(fragile, tmp_path, title="answer = 1")
    assert slow.is_alive()
    assert time.monotonic() - begun < 0.6
    slow.join()


@pytest.mark.alone
def test_a_door_whose_process_was_killed_opens_again(fragile: Door, tmp_path: Path) -> None:
    fragile.open()
    process = fragile._process
    assert process is not None
    killer = threading.Timer(0.6, lambda: os.kill(process.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(ValueError, match="broke off"):
        ask(
            fragile,
            tmp_path,
            network="n.pt",
            title="time = __import__('time'); time.sleep(0.9)",
        )
    assert ask(fragile, tmp_path, title="answer = 2") == {"answer": 2}


# what a reading that was taken over might try, and what it gets
REACHES = {
    "a connection": "import socket; socket.create_connection(('127.0.0.1', 9), 1)",
    "a socket of the system": "import socket; socket.socket(socket.AF_UNIX).connect('/var/run/docker.sock')",
    "a pair of sockets": "import socket; socket.socketpair()",
    "a program": "import os; os.execv('/bin/true', ['true'])",
    "a shell": "import subprocess; subprocess.run('true', shell=True)",
    "a signal": "import os, signal; os.kill(os.getppid(), signal.SIGTERM)",
    "another room": "import os; os.listdir('..')",
    "a file of others": "open('{elsewhere}').read()",
    "a file for others": "open('{elsewhere}', 'w')",
    "a file in the system": "open('/tmp/nettrim-was-run', 'w')",
    "the server's environment": "import os; open(f'/proc/{os.getppid()}/environ').read()",
    "a link to elsewhere": "import os; os.symlink('{elsewhere}', 'link')",
    "a second name": "import os; os.link('{elsewhere}', 'link')",
}


@pytest.mark.parametrize("what", REACHES)
def test_a_reading_that_was_taken_over_reaches_nothing(fragile: Door, tmp_path: Path, what: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("others'")
    (tmp_path / "room").mkdir()
    code = REACHES[what].replace("{elsewhere}", str(elsewhere))
    tried = (
        f"import errno, os\nos.chdir({str(tmp_path / 'room')!r})\ntry:\n    {code}\n    answer = 'reached'\n"
        "except OSError as error:\n"
        "    answer = 'refused' if error.errno in (errno.EPERM, errno.EACCES, errno.EXDEV) else str(error)\n"
    )
    assert ask(fragile, tmp_path / "room", title=tried) == {"answer": "refused"}
    assert elsewhere.read_text() == "others'"


def test_what_a_reading_needs_it_has(fragile: Door, tmp_path: Path) -> None:
    code = (
        "import os, tempfile, threading\nos.chdir(request_folder)\nopen('a', 'w').write('b')\nos.mkdir('c')\n"
        "with tempfile.TemporaryDirectory() as d: here = os.path.dirname(d) == request_folder\n"
        "t = threading.Thread(target=os.remove, args=('a',)); t.start(); t.join()\n"
        "answer = [here, sorted(os.listdir('.'))]"
    )
    assert ask(fragile, tmp_path, title=f"request_folder = {str(tmp_path)!r}\n{code}") == {"answer": [True, ["c"]]}

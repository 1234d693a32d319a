"""Your own: files become a network of the visit that every page works with, and nothing of it stays behind."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
import torch
from hypothesis import given, strategies
from streamlit.runtime.caching import clear_session_resource_cache
from streamlit.testing.v1 import AppTest
from torch import nn

from nettrim_core import DataOptions, load_bundle
from nettrim_core.bundle import sample_names
from nettrim_core.configuration import Uploads
from nettrim_core.intake import Door, zipped
from nettrim_core.jobs import Job, Status
from nettrim_core.tasks import TASKS
from nettrim_core.workbench import Workbench
from pages import blobs, brought, rooms, session, snippets, store, words_fine_tune, work
from pages.rooms import House, Room, sweep
from pages.state import DEFAULT_MODEL, Choice, Facts, parse
from tests.browsing import ROOT
from tests.hostile_data import npy, npz
from tests.hostile_networks import HOSTILE, bundle, good, net, saved

PAGES = ("explore", "layer", "budget", "compare", "fine_tune", "learn", "my_page", "export", "bring")
WEIGHTS = saved(net(4, 5, 3).state_dict())
SESSION = "test session id"  # that all of AppTest's have


def rows(labelled: bool = True, seed: int = 0) -> bytes:
    x = np.random.default_rng(seed).normal(size=(60, 4)).astype(np.float32)
    return npz(x=x, y=np.arange(60) % 3) if labelled else npz(x=x)


class AtOnce:
    """A pool whose jobs are carried out when they are submitted."""

    active = 0

    def __init__(self) -> None:
        self.bench, self.jobs = Workbench(), 0

    def submit(self, job: Job) -> Job:
        self.jobs += 1
        try:
            self.bench.folders = job.request.get("folders", {})
            for answer in TASKS[job.request["task"]](job.request, self.bench):
                job.on_answer(answer)
            job.status = Status.DONE
        except ValueError as error:
            job.status, job.error = Status.FAILED, str(error)
        return job

    def ahead_of(self, job: Job) -> int:
        return 0

    def forget(self, name: str) -> None:
        self.bench.forget()


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    door = Door(Uploads(mb=1, unpacked_mb=50, memory_mb=1500, seconds=20))
    yield door
    door.close()


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, door: Door) -> Iterator[AppTest]:
    pool = AtOnce()
    monkeypatch.setattr(work, "pool", lambda: pool)
    monkeypatch.setattr(Door, "close", lambda self: None)  # the door stays for the other tests
    house = House(door, grace=0)
    monkeypatch.setattr(brought, "house", lambda: house)
    st.cache_resource.clear()
    yield AppTest.from_file(str(ROOT / "app.py"), default_timeout=240)
    clear_session_resource_cache(SESSION)
    house.close()
    st.cache_resource.clear()


def opened(app: AppTest, page: str = "bring", **query: str) -> AppTest:
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    app.switch_page(f"pages/{page}.py").run()
    assert not app.exception
    return app


def give(app: AppTest, place: int, name: str, data: bytes) -> None:
    app.file_uploader[place].set_value((name, data, "application/octet-stream")).run()
    assert not app.exception


def click(app: AppTest, key: str) -> None:
    app.button(key=key).click().run()
    assert not app.exception


def text(app: AppTest) -> str:
    return "\n".join(element.value for kind in (app.markdown, app.success, app.info, app.warning) for element in kind)


def errors(app: AppTest) -> str:
    return "\n".join(element.value for element in app.error)


def own(app: AppTest, network: bytes | None = None, name: str = "net.pt", data: bytes | None = None) -> str:
    """The id of a network that was brought and is used now."""
    opened(app, methods="magnitude")  # quickly solved
    give(app, 0, name, WEIGHTS if network is None else network)
    if data is not None:
        give(app, 1, "rows.npz", data)
    click(app, "bring_use")
    choice: Choice = app.session_state["choice"]
    return choice.model


def room() -> Room:
    (found,) = brought.house()._rooms.values()
    return found


def test_two_files_are_read_shown_and_used(app: AppTest) -> None:
    opened(app)
    assert app.button(key="bring_use").disabled
    give(app, 0, "my net.pt2", good())
    assert "**my_net.pt2** (torch.export): 43 parameters in 2 layers, all of which can be pruned" in text(app)
    assert app.button(key="bring_use").disabled
    give(app, 1, "rows.npz", rows())
    assert "60 samples of 4: 36 for calibration, 12 for validation, 12 for the test" in text(app)
    assert "The dense network is right on" in text(app)
    html = "".join(element.proto.body for element in app.get("html"))
    assert html.count("<figure>") == 9
    app.text_input(key="bring_title").set_value("Mine <b>").run()
    click(app, "bring_use")
    choice: Choice = app.session_state["choice"]
    assert re.fullmatch("own-[0-9a-f]{16}", choice.model)
    assert store.bundle_of(choice.model).title == "Mine b"
    assert [title.value for title in app.title] == ["How much can we trim?"]
    assert app.query_params["model"] == choice.model
    assert "**Net-Trim** sets" in text(app)
    assert "**L-OBS** sets" in text(app)
    assert app.selectbox(key="w_model").options[-1] == "Mine b"


@pytest.mark.parametrize("labelled", [True, False])
def test_every_page_works_with_a_network_of_ones_own(app: AppTest, labelled: bool) -> None:
    model = own(app, data=rows(labelled))
    for page in PAGES:
        app.switch_page(f"pages/{page}.py").run()
        assert not app.exception, page
        assert not app.error, page
        begin = [button.key for button in app.button if button.proto.type == "primary" and not button.disabled]
        for key in begin if page != "bring" else []:
            if any(button.key == key for button in app.button):
                click(app, key)
    choice: Choice = app.session_state["choice"]
    assert choice.model == model
    assert store.facts_of(model).layers == ("0", "2")


def test_retraining_without_labels_says_why_not(app: AppTest) -> None:
    own(app, data=rows(False))
    opened(app, "fine_tune")
    assert words_fine_tune.NO_LABELS in text(app)
    assert not [button for button in app.button if button.label.startswith(("Retrain", "Prune and retrain"))]


def test_a_bad_file_costs_nothing_of_what_was_there(app: AppTest) -> None:
    model = own(app, data=rows())
    opened(app)
    for what in ("whole model", "truncated safetensors", "bomb as a program", "no bundle inside"):
        give(app, 0, HOSTILE[what].name, HOSTILE[what].make())
        assert HOSTILE[what].name in errors(app).replace("\\", "")
        assert app.button(key="bring_use").disabled
        assert model in brought.house()._rooms[app.session_state["visitor"]].networks
        click(app, "bring_back_network")
        assert not app.error
        assert not app.button(key="bring_use").disabled
    give(app, 1, "a.npz", rows()[:-40])
    assert "a.npz" in errors(app).replace("\\", "")
    click(app, "bring_back_data")
    assert not app.error
    assert app.session_state["choice"].model == model


def test_a_file_over_the_limit_is_refused_and_the_one_before_stays(app: AppTest) -> None:
    opened(app)
    give(app, 0, "net.pt2", good())
    assert app.file_uploader[0].proto.max_upload_size_mb == 1
    with pytest.raises(ValueError, match=r"^big.pt2: the file has 2 MB and the limit is 1 MB; give a smaller one\.$"):
        room().put("network", "big.pt2", bytes(2_000_000))
    assert Path(room().files["network"]).name == "net.pt2"


def test_options_are_offered_for_the_kind_of_file_and_followed(app: AppTest) -> None:
    opened(app)
    give(app, 0, "net.pt2", good())
    give(app, 1, "rows.npz", rows())
    keys = {widget.key for kind in (app.text_input, app.selectbox, app.number_input, app.toggle) for widget in kind}
    assert {"w_bring_inputs", "w_bring_normalise", "w_bring_labelled", "w_bring_seed"} <= keys
    assert not {"w_bring_header", "w_bring_colour", "w_bring_limit_mb", "w_bring_labels_path"} & keys
    app.text_input(key="w_bring_mean").set_value("ten").run()
    assert "mean = 'ten'" in errors(app).replace("\\", "")
    app.text_input(key="w_bring_mean").set_value("10").run()
    assert not app.error
    assert app.session_state["bring_options"] == DataOptions(mean=(10.0,))
    assert "Values go from -1" in text(app)
    app.number_input(key="w_bring_validation").set_value(0.5).run()
    app.number_input(key="w_bring_test").set_value(0.5).run()
    assert "leaves no calibration rows" in errors(app)
    assert app.session_state["bring_options"] == DataOptions(mean=(10.0,), validation=0.5)
    app.number_input(key="w_bring_test").set_value(0.2).run()
    app.toggle(key="w_bring_labelled").set_value(False).run()
    assert not app.error
    assert "without labels its accuracy is not known" in text(app).replace("\\", "")


def test_the_form_counts_as_it_is_shown_and_an_error_stays_until_it_is_gone(app: AppTest) -> None:
    opened(app)
    give(app, 0, "net.pt2", good())
    give(app, 1, "rows.npz", rows())
    app.number_input(key="w_bring_validation").set_value(0.9).run()
    assert "leaves no calibration rows" in errors(app)
    app.number_input(key="w_bring_test").set_value(0.05).run()
    assert not app.error
    assert app.session_state["bring_options"] == DataOptions(validation=0.9, test=0.05)
    assert "3 for calibration, 54 for validation, 3 for the test" in text(app)
    app.text_input(key="w_bring_mean").set_value("ten").run()
    app.number_input(key="w_bring_seed").set_value(3).run()
    assert "mean = 'ten'" in errors(app).replace("\\", "")
    assert app.button(key="bring_use").disabled
    app.text_input(key="w_bring_mean").set_value("10").run()
    assert not app.error
    assert app.session_state["bring_options"] == DataOptions(validation=0.9, test=0.05, mean=(10.0,), seed=3)
    app.text_input(key="w_bring_mean").set_value("eleven")
    click(app, "bring_use")  # with what was typed before the click
    assert app.session_state["choice"].model == DEFAULT_MODEL
    opened(app, "my_page")
    opened(app)
    assert not app.error  # the form begins with what is used
    assert app.text_input(key="w_bring_mean").value == "10.0"
    assert not app.button(key="bring_use").disabled


@pytest.mark.parametrize("how", ["replaced", "removed", "back"])
def test_options_go_with_the_kind_of_file_that_they_are_for(app: AppTest, how: str) -> None:
    opened(app)
    give(app, 0, "net.pt2", good())
    table = "a,b,c,d,label\n" + "".join(f"{i},1,2,{i % 5},{i % 3}\n" for i in range(60))
    if how == "back":
        give(app, 1, "rows.csv", table.encode())
    give(app, 1, "rows.npy", npy(np.ones((60, 4))))
    app.selectbox(key="w_bring_channels").set_value("last").run()
    assert "no axis of channels" in errors(app)
    app.text_input(key="w_bring_mean").set_value("ten").run()
    if how == "removed":
        click(app, "bring_remove_data")
        assert not app.error
    if how == "back":
        click(app, "bring_back_data")
    else:
        give(app, 1, "rows.csv", table.encode())
    assert not app.error
    assert app.session_state["bring_options"] == DataOptions()
    assert app.text_input(key="w_bring_mean").value == ""
    assert app.selectbox(key="w_bring_channels").value == "first"
    assert "60 samples of 4" in text(app)
    assert not app.button(key="bring_use").disabled


def test_layers_are_listed_where_weights_do_not_say_how_they_are_joined(app: AppTest) -> None:
    opened(app)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    give(app, 0, "conv.pt", saved(model.state_dict()))
    assert "conv.pt: weights alone do not say how they are joined" in errors(app).replace("\\", "")
    area = app.text_area(key="w_bring_layers")
    area.set_value("input 1 4 4\nconv 2 kernel=3\nrelu\nflatten\nlinear").run()
    assert "conv.pt" in errors(app).replace("\\", "")
    app.text_area(key="w_bring_layers").set_value("input 1 4 4\nconv 2 kernel=3\nrelu\nflatten\nlinear 3").run()
    assert not app.error
    html = "".join(element.proto.body for element in app.get("html"))
    assert "<td>2 × 2 × 2</td>" in html
    assert "**conv.pt** (state dict): 47 parameters in 2 layers" in text(app)
    x = np.random.default_rng(0).normal(size=(60, 1, 4, 4)).astype(np.float32)
    give(app, 1, "rows.npz", npz(x=x, y=np.arange(60) % 3))
    click(app, "bring_use")
    made = store.bundle_of(app.session_state["choice"].model)
    assert torch.allclose(made.model(made.test[0]), model.eval()(made.test[0]))


def test_a_name_that_is_deep_costs_a_sentence(app: AppTest) -> None:
    opened(app)
    give(app, 0, "net.pt", WEIGHTS)
    app.text_area(key="w_bring_layers").set_value("input 4\n" + "a." * 1500 + "a: relu\nrelu").run()
    assert not app.exception
    assert "has 1,501 parts" in "".join(element.proto.body for element in app.get("html"))
    assert 0 < app.text_area(key="w_bring_layers").proto.max_chars <= 100_000


def test_endings_may_be_in_capitals(app: AppTest) -> None:
    opened(app)
    give(app, 0, "NET.PT", WEIGHTS)
    give(app, 1, "ROWS.NPZ", rows())
    assert "**NET.PT** (state dict): 43 parameters" in text(app)
    assert not app.button(key="bring_use").disabled


def test_what_is_in_a_file_is_not_markup(app: AppTest) -> None:
    opened(app)
    label = "<img src=x onerror=alert(1)> ![a](https://elsewhere.example/x.png)"
    table = "a,b,c,d,label\n" + "".join(f"{i},1,2,{i % 5},{label if i % 3 else 'b'}\n" for i in range(60))
    give(app, 0, "net.pt2", good())
    give(app, 1, "rows.csv", table.encode())
    html = "".join(element.proto.body for element in app.get("html"))
    assert "<img src=x" not in html
    assert "![" not in text(app)
    assert not re.search(r"(?<!\\)\]\(http", text(app))


def test_a_bundle_is_saved_and_brought_again(app: AppTest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = own(app, bundle()(), "mine.zip")
    data = zipped(room().folder / model, model)
    opened(app)
    click(app, f"remove_{model}")
    assert app.session_state["choice"].model == DEFAULT_MODEL
    assert model not in store._brought
    give(app, 0, "again.zip", data)
    click(app, "bring_use")
    assert app.session_state["choice"].model == model
    zipfile.ZipFile(io.BytesIO(data)).extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    source = snippets.at_epsilon(app.session_state["choice"])
    said = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": str(ROOT)}).stdout  # fmt: skip
    assert "zeros" in said


def test_a_link_of_another_visit_is_explained_and_works_once_the_files_are_there(app: AppTest) -> None:
    model = own(app, data=rows())
    link = {"model": model, "layers": "2", "methods": "magnitude", "match": "sparsity"}
    room().remove(model)
    fresh = AppTest.from_file(str(ROOT / "app.py"), default_timeout=240)
    for name, value in link.items():
        fresh.query_params[name] = value
    fresh.run()
    assert not fresh.exception
    assert "uploaded in another visit" in text(fresh)
    assert fresh.session_state["choice"].model == DEFAULT_MODEL
    assert own(fresh, data=rows()) == model
    now: Choice = fresh.session_state["choice"]
    assert (now.layers, now.methods, now.view.match) == (("2",), ("magnitude",), "sparsity")


def test_other_content_has_another_id(app: AppTest) -> None:
    first = own(app, data=rows())
    assert own(app, data=rows(seed=1)) != first
    assert own(app, data=rows()) == first
    assert len(room().networks) == 2
    assert len(set(room().networks.values())) == 2  # no two are called the same


def test_pins_and_undo_pass_over_a_network_that_is_gone(app: AppTest) -> None:
    model = own(app, data=rows())
    opened(app, "explore")
    click(app, "pin")
    assert session.link(app.session_state["pins"][0].choice).startswith(f"model={model}")
    assert app.session_state["pins"][0].name.startswith("net ")
    room().remove(model)
    opened(app, "my_page")
    assert app.session_state["choice"].model == DEFAULT_MODEL
    assert not [button for button in app.button if str(button.key).startswith("add_pin")]
    assert app.session_state["pins"] == []
    app.session_state["history"].append(Choice(model, ("0",)))
    opened(app, "explore")
    click(app, "undo")
    assert app.session_state["choice"].model in sample_names()


def test_nothing_outlives_the_visit(app: AppTest) -> None:
    model = own(app, data=rows())
    opened(app, "budget")
    folder, print_ = room().folder, store.bundle_of(model).fingerprint
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / model / "data.npz").is_file()
    assert any(key[0] == print_ for key in store.points()._live)
    sent = set(store._brought[model].sent)
    assert [blobs.BLOBS.get(address.removeprefix(f"{blobs.PATH}/")) is not None for address in sent] == [True] * len(
        sent
    )
    assert sent
    clear_session_resource_cache(SESSION)
    deadline = time.monotonic() + 60
    while folder.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.1)
    assert model not in store._brought
    assert not any(key[0] == print_ for key in (*store.points()._live, *store.points()._live_parts))
    pool: Any = work.pool()
    assert pool.bench.bundle.cache_info().currsize == 0
    assert not any(blobs.BLOBS.get(address.removeprefix(f"{blobs.PATH}/")) for address in sent)
    with pytest.raises(ValueError, match="no bundle"):
        store.bundle_of(model)


def test_nothing_of_a_network_stays_when_it_is_removed(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    visit, pool = work.Visit(), work.pool()
    monkeypatch.setattr(work, "visit", lambda: visit)
    model = own(app, data=rows())
    opened(app, "fine_tune")
    for button in [button for button in app.button if button.proto.type == "primary" and not button.disabled]:
        click(app, str(button.key))
    held = app.session_state["retrainings"].held
    assert any(model in key for key in held)
    assert pool.bench.bundle.cache_info().currsize  # type: ignore[attr-defined]
    about = [errand for errand in visit.errands.values() if model in work.key_of(errand.job.request)]
    assert about
    opened(app)
    click(app, f"remove_{model}")
    assert not any(model in key for key in held)
    assert not set(about) & set(visit.errands.values())
    assert not pool.bench.bundle.cache_info().currsize  # type: ignore[attr-defined]
    assert room().at_end == {}


def test_a_room_waits_a_while_for_its_visitor(door: Door) -> None:
    house = House(door, grace=0.3)
    here = house.enter("a")
    here.put("network", "net.pt", WEIGHTS)
    house.leave("a")
    assert house.enter("a") is here  # a page loaded anew
    time.sleep(0.5)
    assert here.folder.exists()
    assert house.enter("b") is not here
    house.leave("a")
    time.sleep(0.6)
    assert not here.folder.exists()
    root = house._root
    assert root is not None
    house.close()
    assert not root.exists()


@pytest.mark.long
def test_what_two_visitors_brought_stays_until_both_are_gone(door: Door) -> None:
    house = House(door)
    first, second = house.enter("a"), house.enter("b")
    for here in (first, second):
        here.put("network", "mine.zip", bundle()())
    model = first.take("One", {})
    assert second.take("Other", {}) == model
    first.remove(model)
    assert store.bundle_of(model).fingerprint == model.removeprefix("own-")
    second.remove(model)
    assert model not in store._brought
    house.close()


def test_folders_of_a_killed_server_are_swept_and_no_others(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    living = House(door)
    living.enter("a").put("network", "a.pt2", b"x")
    script = (
        "import tempfile, time\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "from nettrim_core.intake import Door\nfrom pages.rooms import House\n"
        "House(Door()).enter('a').put('network', 'b.pt2', b'x')\nprint('ready', flush=True)\ntime.sleep(60)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": str(ROOT)})  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "ready\n"
    (tmp_path / f"{rooms.PREFIX}strange").mkdir()  # of the same name, and not of ours
    sweep()
    assert len(list(tmp_path.glob(f"{rooms.PREFIX}*/visit-*/network"))) == 2
    other.send_signal(signal.SIGKILL)
    other.wait()
    sweep()
    assert [path.name for path in tmp_path.glob(f"{rooms.PREFIX}*/visit-*/network/*")] == ["a.pt2"]
    assert (tmp_path / f"{rooms.PREFIX}strange").is_dir()
    living.close()


def test_file_names_are_made_plain() -> None:
    assert rooms.safe("../../etc/passwd") == "passwd"
    assert rooms.safe("C:\\x\\..hidden.pt") == "hidden.pt"
    assert rooms.safe("a b\n<c>.pt2") == "a_b__c_.pt2"
    assert rooms.safe("..") == "file"
    assert rooms.safe("x" + "." * 80 + "-y") == "y"
    assert len(rooms.safe("x" * 500 + ".pt2")) == 80
    assert rooms.safe("x" * 500 + ".pt2").endswith(".pt2")


@given(strategies.text(strategies.characters() | strategies.sampled_from("./\\-_~ \0"), max_size=200))
def test_no_file_name_leaves_its_folder(name: str) -> None:
    assert re.fullmatch(r"(?![.-])[A-Za-z0-9_.-]{1,80}", rooms.safe(name))
    assert (Path("/a/b") / rooms.safe(name)).parent == Path("/a/b")


def test_a_link_to_an_own_network_is_told_from_a_wrong_one() -> None:
    facts = {DEFAULT_MODEL: lambda: Facts(("fc1",), 100)}
    _, (said,) = parse({"model": ["own-0123456789abcdef"]}, facts)
    assert "upload the same files on the page Your own" in said
    _, (said,) = parse({"model": ["own-xyz"]}, facts)
    assert "is not one of" in said


def test_the_worker_is_told_where_a_network_lies(app: AppTest) -> None:
    model = own(app, data=rows())
    pool: Any = work.pool()
    assert pool.bench.folders == {model: str(room().folder / model)}
    assert load_bundle(room().folder / model).fingerprint == model.removeprefix("own-")

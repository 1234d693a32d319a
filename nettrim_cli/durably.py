"""Runs on the command line: written down while they are carried out, listed, carried on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import typer

from nettrim_cli import show
from nettrim_core.bundle import Bundle
from nettrim_core.data.rows import Reading
from nettrim_core.devices import device_of
from nettrim_core.durable.carry import carried_out, written_down
from nettrim_core.durable.kept import Kept
from nettrim_core.durable.runs import Recording, Run, Runs, State
from nettrim_core.durable.store import Store
from nettrim_core.recipes.carry_out import Hear
from nettrim_core.recipes.replay import reopened
from nettrim_core.report import Report

Answers = Iterator[dict[str, Any]]


def begun(
    request: dict[str, Any], total: int, name: str, bundle: Bundle, subject: dict[str, Any], device: str
) -> tuple[Store | None, Recording | None]:
    """The store, and the run that is written down in it from now on; the reason, on stderr, where that cannot be."""
    store = Store.configured()
    if store is None:
        return None, None
    elsewhere = "" if device_of(device).type == "cpu" else f"{json.dumps(request, sort_keys=True)} {device}"
    recording = Runs(store).begin(
        request, total, name, key=elsewhere, fingerprint=bundle.fingerprint,
        subject={**subject, "threads": torch.get_num_threads(), "device": device},
    )  # fmt: skip
    if recording is not None:
        show.notice(f"run {recording.id}; if it breaks off, nettrim resume {recording.id} carries it on")
    elif store.trouble:
        show.notice(store.trouble)
    return store, recording


@contextmanager
def answering(
    request: dict[str, Any], store: Store | None, recording: Recording | None, bundles: Mapping[str, Bundle],
    scheduler: str | None, device: str,
) -> Iterator[Answers]:  # fmt: skip
    """The answers to a request, one by one."""
    with closing(carried_out(request, store, recording, bundles, scheduler, device)) as answers:
        yield answers
    tell_trouble(store)


@contextmanager
def kept_for(store: Store | None, recording: Recording | None) -> Iterator[Kept]:
    """Where what is carried out here is kept."""
    with written_down(recording):
        yield Kept(store, "" if recording is None else recording.id)
    tell_trouble(store)


def tell_trouble(store: Store | None) -> None:
    if store is not None and store.trouble:
        show.notice(store.trouble)


def heard(recording: Recording | None, hear: Hear) -> Hear:
    """hear, and write down."""

    def both(what: str, done: int, of: int) -> None:
        hear(what, done, of)
        if recording is not None:
            recording.heard({})

    return both


def opened() -> Store:
    store = Store.configured()
    if store is None:
        raise ValueError("runs are not kept: the settings have [storage] on = false, or NETTRIM_STORAGE_ON says so")
    return store


def bundles_of(run: Run) -> dict[str, Bundle]:
    """The network of a run that is no sample, by the name that its request has for it. Raises ValueError if it is not
    what it was."""
    subject = run.asked.subject
    if "model" not in subject:
        return {}
    reading = None if subject["data"] is None else Reading.from_dict(subject["data"])
    bundle = reopened(subject["model"], reading, subject["architecture"], folder=Path(subject["folder"]))
    if bundle.fingerprint != run.asked.fingerprint:
        raise ValueError(
            f"{subject['model']}: network or rows are not those of run {run.id} any more: bring back what it was "
            "begun with, or start another run"
        )
    return {subject["model"]: bundle}


def listed(as_json: bool, **acts: str) -> None:
    """The runs of the store; first what is to be done to one of them."""
    store = opened()
    runs = Runs(store)
    runs.purge()
    for act, word in acts.items():
        if word:
            _act(runs, act, word)
    found = runs.all()
    if as_json:
        count, size = store.size()
        show.document(
            {
                "folder": str(store.folder), "results": count, "bytes": size,
                "damaged": [{"at": at, "what": what, "says": says} for at, what, says in store.damage()],
                "runs": [_told(run) for run in found],
            }
        )  # fmt: skip
        return
    heads = ("Run", "Name", "State", "Last change", "Done", "Seconds")
    show.table(heads, map(_row, found), left=4)
    count, size = store.size()
    show.say("", f"{count:,} results, {size / 1e6:,.1f} MB, in {store.folder}")
    for at, what, says in store.damage():
        show.say(f"{time.strftime('%Y-%m-%d %H:%M', time.localtime(at))}: {what} was damaged ({says})")
    tell_trouble(store)


def _act(runs: Runs, act: str, word: str) -> None:
    name, _, title = word.partition("=") if act == "rename" else (word, "", "")
    if act == "undelete":
        if name not in (run.id for run in runs.all(deleted=True)):
            raise ValueError(f"there is no deleted run {name!r}")
        runs.undelete(name)
        return
    run = runs.find(name)
    if act == "rename":
        runs.rename(run.id, title)
    elif act == "delete":
        runs.delete(run.id)
        show.notice(f"run {run.id} is deleted; for a day nettrim runs --undelete {run.id} brings it back")
    else:
        runs.pin(run.id, act == "pin")


def _told(run: Run) -> dict[str, Any]:
    return {**asdict(run), "state": run.state.value, "asked": asdict(run.asked)}


def _row(run: Run) -> tuple[str, ...]:
    done = f"{run.done} of {run.total}" if run.total else str(run.done)
    changed = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.changed))
    name = f"{run.asked.name}{' (pinned)' if run.pinned else ''}"
    return run.id, name, run.state.value, changed, done, f"{run.seconds:,.1f}"


def carried_on(word: str) -> tuple[Run, Store, Recording, dict[str, Bundle]]:
    """A run that goes on from now. Raises ValueError where it cannot."""
    store = opened()
    runs = Runs(store)
    run = runs.find(word)
    if run.state is State.RUNNING:
        raise ValueError(f"run {run.id} is being carried out by another process: wait for it, or end it there")
    if run.state is State.DAMAGED:
        raise ValueError(f"run {run.id}: what it was asked to do can no longer be read: start another one")
    bundles = bundles_of(run)
    torch.set_num_threads(int(run.asked.subject.get("threads", torch.get_num_threads())))
    recording = runs.again(run)
    if recording is None:
        raise ValueError(store.trouble or f"run {run.id} is being carried out by another process")
    return run, store, recording, bundles


def resume(word: str, scheduler: str | None, as_json: bool) -> None:
    """Carry a run on, and tell what came out."""
    run, store, recording, bundles = carried_on(word)
    ended, told = True, []
    try:
        with (
            show.progress() as hear,
            answering(
                run.asked.request, store, recording, bundles, scheduler, run.asked.subject.get("device", "cpu")
            ) as answers,
        ):
            for number, answer in enumerate(answers, 1):
                told = [*told, answer] if "report" in answer or "point" in answer else told
                hear("carrying on", number, max(run.total, number))
    except KeyboardInterrupt:
        ended = False
        show.notice(f"interrupted; nettrim resume {run.id} carries it on")
    reports = _reports(told)
    if as_json:
        document = {"run": run.id, "name": run.asked.name, "complete": ended}
        show.document(document | {"reports": [report.to_dict() for report in reports]})
    else:
        show.points(reports)
    if not ended:
        raise typer.Exit(show.INTERRUPTED)


def _reports(answers: list[dict[str, Any]]) -> list[Report]:
    """The last one of each point, and the others in their order."""
    found: dict[str, Report] = {}
    for number, answer in enumerate(answers):
        report = Report.from_dict(answer["point"]["report"] if "point" in answer else answer["report"])
        found[f"{answer['sweep']} {report.method} {report.settings}" if "point" in answer else str(number)] = report
    return list(found.values())

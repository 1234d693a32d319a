"""The commands that prune."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from nettrim_cli import durably, show
from nettrim_cli.settings import names, numbers, pairs
from nettrim_cli.subject import Subject
from nettrim_core import environment
from nettrim_core.allocate import target_of
from nettrim_core.durable.runs import State
from nettrim_core.export import export
from nettrim_core.finetune import Training
from nettrim_core.formats import FORMATS
from nettrim_core.formats.quiet import refusal
from nettrim_core.plan import EPSILONS, coarse_to_fine
from nettrim_core.recipes.carry_out import Outcome, carry_out
from nettrim_core.recipes.recipe import Budgeted, Recipe
from nettrim_core.record import Point
from nettrim_core.report import Report
from nettrim_core.tabulate import curves_csv

__all__ = ["Subject", "allocate", "finetune", "prune", "sweep"]

ALL = [name for name, entry in FORMATS.items() if not entry.needs_curves]  # what one result fills


def prune(subject: Subject, method: str, epsilon: float | None, out: Path | None, formats: str, as_json: bool) -> None:
    recipe = Recipe(
        subject.plan, subject.words.method(method, epsilon), data=subject.opened[1], architecture=subject.text
    )
    deliver(subject, recipe, out, formats, as_json)


def allocate(
    subject: Subject, method: str, target: Mapping[str, float | None], rule: str, loss: str, lock: Sequence[str],
    out: Path | None, formats: str, as_json: bool,
) -> None:  # fmt: skip
    given = {name: value for name, value in target.items() if value is not None}
    if len(given) != 1:
        raise ValueError("allocate needs one of --zeros, --multiply-adds and --accuracy-drop")
    budget = Budgeted(target_of(given), rule, loss, pairs("--lock", lock))
    recipe = Recipe(
        subject.plan, subject.words.method(method), budget, data=subject.opened[1], architecture=subject.text
    )
    deliver(subject, recipe, out, formats, as_json)


def finetune(
    subject: Subject, method: str, epsilon: float | None, rounds: str, epochs: int | None, rate: float | None,
    out: Path | None, formats: str, as_json: bool,
) -> None:  # fmt: skip
    settings = subject.words.of("train", Training)
    settings |= {} if epochs is None else {"epochs": epochs}
    settings |= {} if rate is None else {"rate": rate}
    recipe = Recipe(
        subject.plan, subject.words.method(method, epsilon), training=Training(**settings),
        rounds=tuple(numbers("--rounds", rounds)), data=subject.opened[1], architecture=subject.text,
    )  # fmt: skip
    deliver(subject, recipe, out, formats, as_json)


def deliver(subject: Subject, recipe: Recipe, out: Path | None, formats: str, as_json: bool) -> None:
    """Carry out a recipe, show what came, and export it where a folder is given."""
    subject.words.finished()
    wanted = [] if out is None else formats_of(formats)
    request = {"task": "recipe", "recipe": recipe.to_dict()}
    store, recording = None, None
    if recipe.budget is not None or recipe.training is not None:
        store, recording = durably.begun(
            request, 0, f"{recipe.plan.bundle}: {recipe.method_name}", subject.bundle, subject.again, subject.device
        )
    with show.progress() as hear, durably.kept_for(store, recording) as kept:
        outcome = carry_out(recipe, subject.bundle.on(subject.device), durably.heard(recording, hear), kept)
        if outcome.interrupted and recording is not None:
            recording.ended(State.STOPPED)
    checks = [] if out is None else written(outcome, out, wanted)
    if steps := outcome.interrupted:
        where = "is kept" if out is None else f"is written to {out}"
        show.notice(f"interrupted after {steps} step{'s' if steps > 1 else ''}; the best network so far {where}")
    if as_json:
        made = {"report": outcome.report.to_dict(), "recipe": outcome.recipe.to_dict(), "complete": not steps}
        show.document(made | {"checks": checks, "out": None if out is None else str(out)})
    else:
        show.report(outcome.report)
        if outcome.report.allocation is not None:
            show.say("", *outcome.report.allocation.sentences)
        if checks:
            show.say("", *checks)
    if steps:
        raise typer.Exit(show.INTERRUPTED)


def written(outcome: Outcome, out: Path, wanted: Sequence[str]) -> list[str]:
    """The files in a folder, and what was checked; of all formats those that can hold the network, with a word on each
    that cannot."""
    said = []
    for name in wanted:
        try:
            said += export(outcome.model, outcome.report, out, [name], inputs=outcome.inputs, recipe=outcome.recipe)
        except (OSError, MemoryError):  # of the folder or the machine, and not of the format
            raise
        except Exception as error:  # an exporter may raise anything
            file = FORMATS[name].file
            reason = refusal(error, out).removeprefix(f"{file}: ")
            if wanted != ALL:
                raise ValueError(f"{out / file}: {reason}") from error
            said.append(f"{file} was not written: {reason}")
    return said


def formats_of(formats: str) -> list[str]:
    """Names of formats; all: of those that one result fills."""
    if formats == "all":
        return ALL
    wanted = names(formats)
    if not wanted:
        raise ValueError(f"--formats names none; there is {', '.join(FORMATS)}, all")
    for name in wanted:
        if name not in FORMATS:
            raise ValueError(f"--formats {name}: there is no such format; there is {', '.join(FORMATS)}, all")
        if FORMATS[name].needs_curves:
            raise ValueError(f"--formats {name}: that takes curves: use nettrim sweep --csv")
    return wanted


def sweep(
    subject: Subject, methods: str, epsilons: str, csv: Path | None, scheduler: str | None, as_json: bool
) -> None:  # fmt: skip
    chosen = names(methods)
    plan, grid = subject.plan, numbers("--epsilons", epsilons) or list(EPSILONS)
    if not chosen:
        raise ValueError("--methods names no method")
    ready = {name: subject.words.method(name, alone=len(chosen) == 1) for name in chosen}
    subject.words.finished()
    found: dict[tuple[str, float], Report] = {}
    ended = True
    request = {"task": "sweep", "sweeps": [{"plan": plan.to_dict(), "curves": _curves(ready, grid)}]}
    total = len(chosen) * len(set(grid))
    store, recording = durably.begun(
        request, total, f"{plan.bundle}: {methods}", subject.bundle, subject.again, subject.device
    )
    try:
        with (
            show.progress() as hear,
            durably.answering(
                request, store, recording, {plan.bundle: subject.bundle}, scheduler, subject.device
            ) as answers,
        ):
            for answer in answers:
                point = Point.from_dict(answer["point"])
                if not point.report.rough:
                    found[point.method, point.epsilon] = point.report
                    hear("solving", len(found), total)
    except KeyboardInterrupt:
        ended = False
        show.notice(f"interrupted; {len(found)} points are finished")
    reports = [found[key] for key in sorted(found, key=lambda key: (chosen.index(key[0]), key[1]))]
    if csv is not None:
        csv.write_text(curves_csv(reports), encoding="utf-8")
    if as_json:
        show.document(
            {
                "plan": plan.to_dict(), "fingerprint": subject.bundle.fingerprint, "judged_on": "validation",
                "complete": ended, "environment": environment.versions() | {"machine": environment.machine()},
                "points": [report.to_dict() for report in reports],
            }
        )  # fmt: skip
    else:
        show.points(reports)
        show.say("", "Judged on the validation rows; nettrim prune judges on the test rows.")
    if not ended:
        raise typer.Exit(show.INTERRUPTED)


def _curves(ready: Mapping[str, Any], grid: Sequence[float]) -> list[dict[str, Any]]:
    """As the worker is asked for them."""

    return [
        {"method": name, "settings": dataclasses.asdict(method), "epsilons": coarse_to_fine(set(grid))}
        for name, method in ready.items()
    ]

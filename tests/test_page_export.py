"""The Export page: every kind of result as files, what of it can be had, and the way from a state to a recipe and
back."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from streamlit.testing.v1 import AppTest

from nettrim_cli.main import main
from nettrim_cli.settings import Words
from nettrim_core import FORMATS, Recipe, Training, carry_out, load_bundle
from nettrim_core.bundle import Bundle
from nettrim_core.data import DataOptions
from nettrim_core.data.rows import Reading
from nettrim_core.methods import Magnitude
from nettrim_core.recipes.command import command
from nettrim_core.recipes.made import digest
from nettrim_core.worker import serve
from pages import archives, recipes, work
from pages.archives import zipped
from pages.state import Choice, parse
from pages.store import facts_of
from tests.test_pages import opened, run_until, text

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("fc2", "fc3")
SMALL = Choice("digits_mlp", LAYERS, 0.2, ("lobs",), n=200)
STATES = {
    "plain": (SMALL, "epsilon"),
    "precise": (replace(SMALL, eps=0.123456789, seed=7, patches=321), "epsilon"),
    "cascade": (
        replace(SMALL, mode="cascade", methods=("nettrim",), settings={"cascade.gamma": 1.3, "nettrim.tol": 1e-3}),
        "epsilon",
    ),
    "scaled": (replace(SMALL, methods=("wanda",), settings={"scale.fc3": 0.5, "wanda.pattern": "2:4"}), "epsilon"),
    "swept": (replace(SMALL, methods=("lobs_sweeps",), settings={"lobs_sweeps.damping": 0.01}), "epsilon"),
    "budget": (
        replace(SMALL, settings={"budget.zeros": 0.7, "budget.rule": "uniform", "lock.fc3": 0.1}), "budget"
    ),
    "multiply-adds": (replace(SMALL, settings={"budget.of": "multiply-adds", "budget.left": 0.3}), "budget"),
    "accuracy": (replace(SMALL, settings={"budget.of": "accuracy", "budget.drop": 0.05}), "budget"),
    "retrained": (replace(SMALL, settings={"train.epochs": 2, "train.adam": True, "train.rate": 0.001}), "retrained"),
    "rounds": (replace(SMALL, settings={"train.epochs": 1, "rounds.number": 2, "rounds.zeros": 0.8}), "rounds"),
}  # fmt: skip


@pytest.mark.parametrize("name", STATES)
def test_a_state_is_a_recipe_and_a_recipe_a_state(name: str) -> None:
    choice, how = STATES[name]
    recipe = recipes.recipe_of(choice, how)
    again = Recipe.from_toml(recipe.to_toml())
    query, notices = recipes.query_of(again)
    assert notices == []
    found, said = parse({key: [value] for key, value in query.items()}, {"digits_mlp": lambda: facts_of("digits_mlp")})
    assert said == []
    assert found.of("export").how == how
    assert recipes.recipe_of(found, how) == recipe
    linked, _ = parse({k: [v] for k, v in found.to_query().items()}, {"digits_mlp": lambda: facts_of("digits_mlp")})
    assert recipes.recipe_of(linked, how) == recipe  # the link alone says it all


OPTIONS = {
    "a column that is called 64": DataOptions(label="64", header="yes"),
    "column 2": DataOptions(label=2, header="yes"),
    "the last column": DataOptions(label=-1, header="yes"),
    "a name": DataOptions(label="the kind", header="yes"),
    "a tab": DataOptions(delimiter="\t", header="yes"),
    "a blank": DataOptions(delimiter=" ", header="yes"),
    "left out": DataOptions(leave_out=("7", "x,y", 0, "1e5", "nan", "[a", " b "), header="yes"),
    "left out plainly": DataOptions(leave_out=("kind", 0, "nan", "inf"), header="yes"),
    "names": DataOptions(inputs='"x" = [1]', labels_path="my labels.npy", normalise="255"),
    "numbers": DataOptions(size=(8, 8), shape=(1, 8, 8), mean=(0.1, 1e22, 1), std=(1 / 3, 1e-9, 2), limit_mb=1e4),
    "switches": DataOptions(labelled=False, first_class=1, colour="grey", validation=0.15, test=0.1, rows=9),
}
READ = {
    name: replace(recipes.recipe_of(SMALL), data=Reading("my rows.csv", "csv", "0", options))
    for name, options in OPTIONS.items()
}


@pytest.mark.parametrize("name", [*STATES, *READ])
def test_a_recipe_is_a_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command asks for the recipe that it was made of."""
    import shlex

    import nettrim_cli.pruning
    import nettrim_cli.subject

    def opened(model: str, data: str, architecture: str, words: Words) -> tuple[Bundle, Reading | None]:
        reading = Reading(data, "csv", "0", DataOptions(**words.of("data", DataOptions))) if data else None
        return load_bundle(model), reading

    recipe, asked = READ.get(name) or recipes.recipe_of(*STATES[name]), []
    monkeypatch.setattr(nettrim_cli.subject, "opened", opened)
    monkeypatch.setattr(nettrim_cli.pruning, "deliver", lambda subject, wanted, *rest: asked.append(wanted))
    monkeypatch.setattr("sys.argv", shlex.split(command(recipe)))
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert asked == [recipe]


def test_what_a_recipe_asks_and_the_studio_cannot_show_is_said() -> None:
    recipe = recipes.recipe_of(SMALL)
    plan = replace(recipe.plan, patches=None, batchnorm="keep")
    said = " ".join(recipes.query_of(replace(recipe, plan=plan))[1])
    assert "all patches" in said
    assert "batch norms" in said
    rounds = replace(recipes.recipe_of(*STATES["rounds"]), rounds=(0.3, 0.9))
    assert "rounds take other parts" in " ".join(recipes.query_of(rounds)[1])
    budget = recipes.recipe_of(*STATES["budget"])
    assert budget.budget is not None
    assert "prices errors by kl" in " ".join(
        recipes.query_of(replace(budget, budget=replace(budget.budget, loss="kl")))[1]
    )


def opened_as(recipe: Recipe) -> tuple[Choice, list[str]]:
    query, notices = recipes.query_of(recipe)
    choice, said = parse({key: [value] for key, value in query.items()}, {"digits_mlp": lambda: facts_of("digits_mlp")})
    assert said == []
    return choice, notices + recipes.changes(recipe, choice, load_bundle("digits_mlp").fingerprint)


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (
            Recipe(SMALL.plan(), Magnitude(epsilon=0.2, refit=True, overall=True)),
            "method.overall is True in the recipe, and False here.",
        ),
        (
            Recipe(replace(SMALL.plan(), scale=(("fc1", 0.5),)), SMALL.solving("lobs")),
            "scale.fc1 is 0.5 in the recipe, and not given here.",
        ),
        (
            Recipe(replace(SMALL.plan(), layers=("fc3", "fc2")), SMALL.solving("lobs")),
            "network.layers is ['fc3', 'fc2'] in the recipe, and ['fc2', 'fc3'] here.",
        ),
        (
            Recipe(SMALL.plan(), SMALL.solving("lobs"), fingerprint="0123"),
            "The recipe is of a network and data with the fingerprint 0123, and those here have",
        ),
        (
            Recipe(SMALL.plan(), SMALL.method("lobs"), training=Training(), rounds=(0.5, 0.9995)),
            "rounds take other parts",
        ),
    ],
)
def test_what_is_otherwise_in_the_state_is_said(recipe: Recipe, says: str) -> None:
    (sentence,) = opened_as(recipe)[1]
    assert says in sentence


def test_of_a_state_that_makes_the_recipe_nothing_is_said() -> None:
    for choice, how in STATES.values():
        recipe = replace(recipes.recipe_of(choice, how), fingerprint=load_bundle("digits_mlp").fingerprint)
        assert opened_as(recipe)[1] == []
    budget = recipes.recipe_of(*STATES["budget"])
    assert opened_as(replace(budget, method=replace(budget.method, epsilon=0.3)))[1] == []  # type: ignore[type-var]


def answers(choice: Choice, how: str, formats: list[str]) -> list[dict[str, Any]]:
    recipe = recipes.recipe_of(choice, how)
    request = {"task": "files", "recipe": recipe.to_dict(), "formats": formats, "curves": [], "batch": 3}
    *found, done = (json.loads(line) for line in serve([json.dumps(request)]))
    assert done == {"done": True}
    return found


@pytest.mark.parametrize("name", ["plain", "budget", "retrained", "rounds"])
def test_the_worker_writes_what_the_recipe_makes(name: str) -> None:
    outcome, weights, report, last = answers(*STATES[name], ["safetensors", "report"])
    made = Recipe.from_dict(outcome["recipe"]).made
    assert made is not None
    assert digest(load(base64.b64decode(weights["data"]))) == made.weights
    torch.set_num_threads(made.threads)
    again = carry_out(recipes.recipe_of(*STATES[name]), load_bundle("digits_mlp")).recipe.made
    assert again is not None
    assert again.weights == made.weights
    assert json.loads(base64.b64decode(report["data"])) == outcome["report"]
    assert last["costs"]["batch"] == 3
    assert last["costs"]["sentence"].startswith("Zeros save space only")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (ValueError, "{file}: not this network"),
        (RuntimeError, "it cannot be written (RuntimeError: {file}: not this network): choose another format"),
        (AttributeError, "it cannot be written (AttributeError: {file}: not this network): choose another format"),
    ],
)
def test_a_format_that_cannot_hold_the_network_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, kind: type[Exception], says: str
) -> None:
    def refuse(source: Any, path: Path) -> str:
        raise kind(f"{path}: not this network")

    monkeypatch.setitem(FORMATS, "csr", replace(FORMATS["csr"], check=refuse))
    _, sparse, weights, last = answers(SMALL, "epsilon", ["csr", "safetensors"])
    assert sparse == {"format": "csr", "refused": says.format(file=FORMATS["csr"].file)}
    assert "check" in weights
    assert "costs" in last


def prepared(app: AppTest, **query: str) -> AppTest:
    opened(app, **{"model": "digits_mlp", "layers": "fc2,fc3", "n": "200", "methods": "lobs", "eps": "0.2"} | query)
    app.switch_page("pages/export.py").run()
    assert not app.exception
    app.button(key="prepare").click().run()
    run_until(app, "Zeros save space only")
    return app


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("epsilon", "at ε = 0.2"),
        pytest.param("retrained", "retrained with its zeros held", marks=pytest.mark.long),
    ],
)
def test_the_page_says_what_it_made(app: AppTest, how: str, says: str) -> None:
    prepared(app, **{"export.how": how, "train.epochs": "2"})
    said = text(app)
    assert says in said
    assert "model.safetensors was loaded again with strict=True" in said
    assert "recipe.toml was loaded again" in said
    labels = [metric.label for metric in app.metric]
    assert ("Right of 500 test samples, retrained" in labels) == (how == "retrained")
    assert any("nettrim " in code.value for code in app.code)


def test_formats_are_picked_and_kept(app: AppTest) -> None:
    opened(app, model="digits_mlp", layers="fc2,fc3", n="200", methods="lobs", eps="0.2")
    app.switch_page("pages/export.py").run()
    app.multiselect(key="w_formats").set_value(["csr", "smaller"]).run()
    app.button(key="prepare").click().run()
    run_until(app, "Zeros save space only")
    assert f"{FORMATS['csr'].file} was loaded again" in text(app)
    assert "model.safetensors was loaded" not in text(app)
    app.multiselect(key="w_formats").set_value([]).run()
    assert any("No format is chosen" in info.value for info in app.info)


def test_a_recipe_is_opened(app: AppTest) -> None:
    prepared(app)
    choice = replace(SMALL, eps=0.3, settings={"budget.zeros": 0.6})
    data = recipes.recipe_of(choice, "budget").to_toml().encode()
    app.get("file_uploader")[0].upload("recipe.toml", data).run()
    assert not app.exception
    assert app.query_params["export.how"] == "budget"
    assert app.query_params["budget.zeros"] == "0.6"
    app.get("file_uploader")[0].upload("recipe.toml", b"version = 1\nwhat = 2\n").run()
    assert not app.exception
    assert any("network is missing" in warning.value for warning in app.warning)
    assert app.query_params["export.how"] == "budget"  # nothing is lost
    app.get("file_uploader")[0].upload("recipe.toml", data.replace(b'"digits_mlp"', b'"elsewhere"')).run()
    assert any("The recipe asked for model = elsewhere" in warning.value for warning in app.warning)


def test_the_archive_is_packed_once_and_kept_with_the_answers(app: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    packed: list[bytes] = []
    visit = work.Visit()
    monkeypatch.setattr(archives, "zipped", lambda files: packed.append(zipped(files)) or packed[-1])
    monkeypatch.setattr(work, "visit", lambda: visit)
    prepared(app)
    app.run()
    assert len(packed) == 1
    (errand,) = [errand for errand in visit.errands.values() if errand.made]
    assert errand.made == {"zip": packed[0]}


def test_a_recipe_that_the_studio_cannot_follow_is_spoken_of(app: AppTest) -> None:
    opened(app, model="digits_mlp", layers="fc2,fc3", n="200", methods="lobs", eps="0.2")
    app.switch_page("pages/export.py").run()
    data = recipes.recipe_of(*STATES["budget"]).to_toml().encode()
    spoiled = data.replace(b"[budget]", b".".join([b"a"] * 3000) + b" = 1\n[budget]")
    app.get("file_uploader")[0].upload("recipe.toml", spoiled).run()
    assert not app.exception
    assert any("more than 8 parts" in warning.value for warning in app.warning)
    rounds = replace(recipes.recipe_of(*STATES["rounds"]), rounds=(0.5, 0.9995)).to_toml().encode()
    app.get("file_uploader")[0].upload("recipe.toml", rounds).run()
    assert not app.exception
    assert app.query_params["rounds.zeros"] == "0.999"
    assert any("rounds take other parts" in warning.value for warning in app.warning)
    app.get("file_uploader")[0].upload("recipe.toml", rounds.replace(b"0.9995", b"nan")).run()
    assert not app.exception
    assert any("rounds: nan is out of range" in warning.value for warning in app.warning)
    other = Recipe(SMALL.plan(), Magnitude(epsilon=0.2, refit=True, overall=True), fingerprint="0123").to_toml()
    app.get("file_uploader")[0].upload("recipe.toml", other.encode()).run()
    assert any("method.overall is True in the recipe" in warning.value for warning in app.warning)
    assert any("with the fingerprint 0123" in warning.value for warning in app.warning)


def test_the_archive_holds_every_file() -> None:
    files = {"a.txt": b"one", "b.bin": bytes(1000)}
    with zipfile.ZipFile(io.BytesIO(zipped(files))) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
    assert zipped(files) == zipped(dict(files))
    assert zipped(files) is not zipped(files)  # nothing is kept of what is packed

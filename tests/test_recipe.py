"""Recipes: the file and back, what is refused, and results made again bit for bit."""

from __future__ import annotations

import copy
import dataclasses
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nettrim_core import (
    AccuracyDrop,
    Cascade,
    MultiplyAdds,
    Training,
    allocate,
    export,
    load_bundle,
    load_data,
    prune,
    save_bundle,
)
from nettrim_core.data import DataOptions
from nettrim_core.finetune import FineTuning
from nettrim_core.methods import METHODS
from nettrim_core.plan import Plan, method_from
from nettrim_core.recipes.carry_out import Outcome, carry_out
from nettrim_core.recipes.made import Made, MadeLayer, digest
from nettrim_core.recipes.recipe import Budgeted, Recipe
from nettrim_core.recipes.replay import replay
from nettrim_core.recipes.text import check_text
from nettrim_core.recipes.verdicts import verdicts
from nettrim_core.state import own_copy, state_of
from tests.conftest import small_cnn

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = ("fc2", "fc3")
PLAN = Plan("digits_mlp", LAYERS, samples=200)
NETTRIM = method_from("nettrim", {"epsilon": 0.2})
LOBS = method_from("lobs", {"epsilon": 0.2})
RECIPES = {
    "parallel": Recipe(PLAN, NETTRIM),
    "cascade": Recipe(dataclasses.replace(PLAN, cascade=Cascade(gamma=1.2)), NETTRIM),
    "scaled": Recipe(dataclasses.replace(PLAN, scale=(("fc3", 0.5),), patches=None, batchnorm="keep"), LOBS),
    "budget": Recipe(PLAN, LOBS, Budgeted(0.8, "uniform", locked=(("fc3", 0.1),))),
    "multiply-adds": Recipe(PLAN, LOBS, Budgeted(MultiplyAdds(0.3))),
    "accuracy": Recipe(PLAN, LOBS, Budgeted(AccuracyDrop(0.02), "uniform")),
    "retrained": Recipe(PLAN, LOBS, training=Training(epochs=2)),
    "cut short": Recipe(PLAN, LOBS, training=Training(epochs=5, rate=0.05), steps=3),
    "rounds cut short": Recipe(PLAN, LOBS, training=Training(epochs=2), rounds=(0.5, 0.8), steps=5),
    "rounds": Recipe(PLAN, LOBS, training=Training(epochs=1, adam=True, rate=1e-3), rounds=(0.5, 0.8)),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_made_again_bit_for_bit(name: str) -> None:
    first = carry_out(RECIPES[name], load_bundle("digits_mlp"))
    again = Recipe.from_toml(first.recipe.to_toml())
    assert again == first.recipe
    assert dataclasses.replace(again, fingerprint="", made=None) == RECIPES[name]
    second = replay(again)
    assert (second.same, second.sentences) == (True, ("The weights are equal to the former ones, bit for bit.",))
    state, wanted = second.model.state_dict(), first.model.state_dict()
    assert all(torch.equal(state[key], wanted[key]) for key in wanted)
    assert any(bool((state[f"{layer}.weight"] == 0).any()) for layer in LAYERS)


def test_every_method_comes_back_with_its_settings() -> None:
    for name, method in METHODS.items():
        recipe = Recipe(PLAN, dataclasses.replace(method, epsilon=0.123))
        assert Recipe.from_toml(recipe.to_toml()) == recipe
        assert recipe.method_name == name


def by_hand(name: str) -> nn.Module:
    """What a recipe of RECIPES makes, by the public functions."""
    bundle = load_bundle("digits_mlp")
    inputs, layers = bundle.calibration_sample(200), list(LAYERS)
    common = {"test": bundle.test, "max_patches": PLAN.patches}
    shared = {"validation": bundle.validation, "layers": layers, **common}
    calls = {
        "parallel": lambda: prune(bundle.model, inputs, NETTRIM, layers, **common),
        "cascade": lambda: prune(bundle.model, inputs, NETTRIM, layers, Cascade(gamma=1.2), **common),
        "scaled": lambda: prune(bundle.model, inputs, LOBS, layers, scale={"fc3": 0.5}, test=bundle.test),
        "budget": lambda: allocate(bundle.model, inputs, LOBS, 0.8, rule="uniform", locked={"fc3": 0.1}, **shared),
        "multiply-adds": lambda: allocate(bundle.model, inputs, LOBS, MultiplyAdds(0.3), **shared),
        "accuracy": lambda: allocate(bundle.model, inputs, LOBS, AccuracyDrop(0.02), rule="uniform", **shared),
    }
    return calls[name]()[0]


@pytest.mark.parametrize("name", ["parallel", "cascade", "scaled", "budget", "multiply-adds", "accuracy"])
def test_a_recipe_makes_what_the_functions_make(name: str) -> None:
    wanted = by_hand(name).state_dict()
    outcome = carry_out(RECIPES[name], load_bundle("digits_mlp"))
    for key, value in outcome.model.state_dict().items():
        assert torch.equal(value, wanted[key])
    assert outcome.recipe.made is not None
    for layer in outcome.recipe.made.layers:
        assert layer.zeros == int((wanted[f"{layer.name}.weight"] == 0).sum())


def test_retraining_is_reported_apart_from_the_pruning() -> None:
    bundle = load_bundle("digits_mlp")
    plain = carry_out(Recipe(PLAN, method_from("lobs", {"epsilon": 0.5})), bundle)
    assert plain.report.retraining is None
    tuned = carry_out(dataclasses.replace(plain.recipe, training=Training(epochs=2)), bundle)
    found = tuned.report.retraining
    assert found is not None
    assert tuned.report.accuracy == plain.report.accuracy
    assert found.validation_loss < found.validation_loss_before
    right = (tuned.model(bundle.test[0]).argmax(1) == bundle.test[1]).double().mean()
    assert found.accuracy == pytest.approx(float(right), abs=1e-12)
    assert tuned.recipe.made is not None
    assert tuned.recipe.made.accuracy == found.accuracy
    for layer in LAYERS:
        kept = plain.model.get_parameter(f"{layer}.weight") != 0
        assert not bool(tuned.model.get_parameter(f"{layer}.weight")[~kept].any())


@pytest.mark.parametrize("rounds", [(), (0.5, 0.8)])
@pytest.mark.parametrize("where", ["telling", "training"])
def test_an_interrupt_anywhere_keeps_the_network_of_the_steps_that_were_heard_of(
    rounds: tuple[float, ...], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a step is told of, or after an epoch has found a better network and before anybody heard of it."""
    recipe, heard = Recipe(PLAN, LOBS, training=Training(epochs=4, rate=0.05), rounds=rounds), list[str]()
    stop = 9 if rounds else 3

    def hear(what: str, done: int, of: int) -> None:
        if what.startswith(("retraining", "round")):
            heard.append(what)
            if where == "telling" and len(heard) == stop:
                raise KeyboardInterrupt

    def judge(self: FineTuning, model: nn.Module) -> tuple[float, float | None]:
        if where == "training" and len(heard) == stop:
            self.model = copy.deepcopy(model)  # as if it were the best
            raise KeyboardInterrupt
        return before(self, model)

    before = FineTuning._judge
    monkeypatch.setattr(FineTuning, "_judge", judge)
    first = carry_out(recipe, load_bundle("digits_mlp"), hear)
    assert first.interrupted == first.recipe.steps == len(heard) == stop
    monkeypatch.undo()
    again = replay(first.recipe)
    assert again.same is True
    assert (again.interrupted, again.recipe.steps) == (0, stop)  # it ended where it was to end
    assert carry_out(recipe, load_bundle("digits_mlp")).interrupted == 0


def test_an_interrupt_before_the_first_step_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def judge(self: FineTuning, model: nn.Module) -> tuple[float, float | None]:
        raise KeyboardInterrupt

    monkeypatch.setattr(FineTuning, "_judge", judge)
    with pytest.raises(KeyboardInterrupt):
        carry_out(RECIPES["retrained"], load_bundle("digits_mlp"))


def test_another_result_is_told_apart(tmp_path: Path) -> None:
    """The same recipe on another start of the retraining: what differs is said, and by how much."""
    first = carry_out(RECIPES["retrained"], load_bundle("digits_mlp"))
    export(first.model, first.report, tmp_path)
    other = dataclasses.replace(
        first.recipe, training=Training(epochs=2, seed=5), made=dataclasses.replace(first.recipe.made, threads=1)
    )
    found = replay(other, weights=tmp_path / "model.safetensors")
    assert found.same is False
    said = " ".join(found.sentences)
    assert "not equal bit for bit" in said
    zeros = found.report.layers[0].weight_zeros
    assert f"fc2: {zeros:,} zeros in the same places; discrepancy" in said
    before, now = (state_of(own_copy(model))["fc2.weight"] for model in (first.model, found.model))
    apart = float((before - now).abs().max())
    assert apart > 0
    assert f"fc2.weight: 0 of {before.numel():,} entries are zero in one and not in the other" in said
    assert f"none differs by more than {apart:.2g}" in said


def test_places_of_zeros_that_moved_are_counted(tmp_path: Path) -> None:
    first = carry_out(RECIPES["parallel"], load_bundle("digits_mlp"))
    state = state_of(own_copy(first.model))
    moved = state["fc2.weight"].flatten()
    moved[(moved == 0).nonzero()[:3]] = 1.0
    save_file(state, tmp_path / "other.safetensors")
    found = replay(first.recipe, weights=tmp_path / "other.safetensors")
    assert found.same is True  # as the recipe tells, whatever lies beside it
    assert found.sentences[0] == "The weights are equal to the former ones, bit for bit."
    assert "The weights that lie beside the recipe are not those it tells of." in found.sentences
    assert any(s.startswith("fc2.weight: 3 of ") and "more than 1." in s for s in found.sentences)


def disturbed(first: Outcome, file: Path, change: Callable[[Tensor], None]) -> str:
    """What is said where the former result was this one with fc2's weights changed."""
    state = {name: value.clone() for name, value in state_of(own_copy(first.model)).items()}
    change(state["fc2.weight"].view(-1))
    save_file(state, file)
    made = first.recipe.made
    assert made is not None
    masks = {entry.name: digest({"mask": state[f"{entry.name}.weight"] != 0}) for entry in made.layers}
    layers = tuple(dataclasses.replace(entry, mask=masks[entry.name]) for entry in made.layers)
    former = dataclasses.replace(made, weights=digest(state), layers=layers)
    found = replay(dataclasses.replace(first.recipe, made=former), weights=file)
    assert found.same is False
    return " ".join(found.sentences)


def test_masks_are_held_against_each_other_up_to_ties(tmp_path: Path) -> None:
    """The weights that both keep differ by a quarter: a weight of less than a half may go or stay."""
    first, file = carry_out(RECIPES["parallel"], load_bundle("digits_mlp")), tmp_path / "former.safetensors"

    def change(moved: int, size: float = 0.0) -> Callable[[Tensor], None]:
        def act(weights: Tensor) -> None:
            gone = (weights == 0).nonzero()
            weights[weights.abs().argmax()] += 0.25
            weights[gone[:moved]] = size

        return act

    said = disturbed(first, file, change(0))
    assert "The masks of all layers are equal." in said
    assert "not those it tells of" not in said
    assert "The masks are equal up to ties: 3 places differ" in disturbed(first, file, change(3, 0.49))
    assert "The masks differ by more than ties: fc2 by 3 weights." in disturbed(first, file, change(3, 0.51))
    made = first.recipe.made
    assert made is not None
    layers = tuple(dataclasses.replace(entry, mask="0") for entry in made.layers)
    other = dataclasses.replace(made, weights="0", layers=layers)
    sentences = replay(dataclasses.replace(first.recipe, made=other)).sentences
    assert "The masks of fc2, fc3 differ; whether by ties alone, only the former weights can tell." in sentences


def test_figures_are_held_against_what_was_promised() -> None:
    first = carry_out(RECIPES["parallel"], load_bundle("digits_mlp"))
    made, report = first.recipe.made, first.report
    assert made is not None
    tol = NETTRIM.tol  # type: ignore[attr-defined]

    def said(**changes: float) -> list[str]:
        layers = [dataclasses.replace(report.layers[0], solved_to=tol, **changes), *report.layers[1:]]
        return list(verdicts(made, made, dataclasses.replace(report, layers=layers), None, {}))

    kept = "The discrepancy of every layer is within its epsilon."
    certified = "Every certified gap is within what was asked for."
    assert said() == ["The masks of all layers are equal.", kept, certified]
    assert kept in said(discrepancy=NETTRIM.epsilon * (1 + 0.9 * tol))
    assert "Discrepancies are beyond their epsilon: fc2 has 0.21 of 0.2." in said(discrepancy=0.21)
    assert certified in said(gap=0.99 * tol)
    assert any("Gaps are beyond what was asked for: fc2 has" in line for line in said(gap=1.01 * tol))


def test_other_versions_and_threads_are_named() -> None:
    first = carry_out(RECIPES["parallel"], load_bundle("digits_mlp")).recipe
    assert first.made is not None
    other = dataclasses.replace(
        first.made, weights="0", machine="a PDP-11", versions={**first.made.versions, "torch": "0.1"}, threads=1
    )
    said = replay(dataclasses.replace(first, made=other)).sentences
    assert any(s.startswith("torch was 0.1 and is ") for s in said)
    assert any(s.startswith("The machine was a PDP-11 and is ") for s in said)
    assert not any("threads and are" in s for s in said)  # they are set as they were


def test_a_network_and_data_of_ones_own(tmp_path: Path) -> None:
    """Files in a folder that moved: found beside the recipe, and refused once they change."""
    bundle = load_bundle("digits_mlp")
    inputs, labels = bundle.train
    there = tmp_path / "there"
    there.mkdir()
    torch.save(bundle.model.state_dict(), there / "net.pt")
    rows = torch.cat([inputs[:300], labels[:300, None].float()], 1)
    (there / "rows.csv").write_text("\n".join(",".join(map(repr, row)) for row in rows.tolist()))
    data = load_data(there / "rows.csv", DataOptions(label=-1))
    reading = dataclasses.replace(data.reading, path="rows.csv")
    recipe = Recipe(Plan("net.pt", LAYERS, samples=100), LOBS, data=reading)
    recipe.write(there / "recipe.toml")
    found = replay(there)
    assert found.same is None
    assert found.report.samples == 100
    found.recipe.write(there / "recipe.toml")
    export(found.model, found.report, there)
    assert replay(there).same is True
    with (there / "rows.csv").open("a") as file:
        file.write("\n" + ",".join(["1"] * rows.shape[1]))
    with pytest.raises(ValueError, match="its content has changed"):
        replay(there)


def test_a_second_file_with_labels_is_found_beside_the_recipe(tmp_path: Path) -> None:
    bundle = load_bundle("digits_mlp")
    inputs, labels = bundle.train
    assert labels is not None
    torch.save(bundle.model.state_dict(), tmp_path / "net.pt")
    np.save(tmp_path / "rows.npy", inputs[:300].numpy())
    np.save(tmp_path / "answers.npy", labels[:300].numpy())
    data = load_data(tmp_path / "rows.npy", DataOptions(labels_path=str(tmp_path / "answers.npy")))
    options = dataclasses.replace(data.reading.options, labels_path="answers.npy")
    reading = dataclasses.replace(data.reading, path="rows.npy", options=options)
    Recipe(Plan("net.pt", LAYERS, samples=100), LOBS, data=reading).write(tmp_path / "recipe.toml")
    found = replay(tmp_path)
    assert found.report.accuracy is not None
    assert found.recipe.data == reading


def test_a_changed_network_is_refused(tmp_path: Path) -> None:
    model, rows = small_cnn(), (torch.randn(9, 2, 10, 10), torch.randint(0, 5, (9,)))
    path = save_bundle(tmp_path / "net", model, train=rows, validation=rows, test=rows)
    made = carry_out(Recipe(Plan(str(path), ("conv1",), samples=9), LOBS), load_bundle(path))
    with torch.no_grad():
        next(p for p in model.parameters()).view(-1)[0] += 1
    save_bundle(tmp_path / "net", model, train=rows, validation=rows, test=rows)
    with pytest.raises(ValueError, match="give the files that it was made from"):
        replay(made.recipe)


TOML = RECIPES["budget"].to_toml()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("version = 1", "version = 2", "version = 2 is not known here, 1 is"),
        ("version = 1", "", "version is missing"),
        ("version = 1", "version = 1\nextra = 1", "there is no entry extra"),
        ("version = 1", "version = ", "this is not TOML"),
        ("[network]", "[net]", "network is missing"),
        ('bundle = "digits_mlp"', "bundle = 3", "[network]: bundle = 3 is not str"),
        ('bundle = "digits_mlp"', 'bundle = "digits_mlp"\nwhat = 1', "[network]: there is no entry what"),
        ('    "fc2",', "    2,", "layers: 0 = 2 is not str"),
        ("samples = 200", 'samples = "all"', "samples = 'all' is not int"),
        ("max_patches = 2000", 'max_patches = "some"', 'must be a number or "all"'),
        ('name = "lobs"', 'name = "magic"', "unknown method 'magic'"),
        ("epsilon = 0.2", "epsilon = 2.0", "LOBS.epsilon = 2.0 is out of range"),
        ("epsilon = 0.2", "epsilon = 0.2\nwhat = 1", "lobs has no setting what"),
        ("sparsity = 0.8", "sparsity = 1.8", "sparsity = 1.8 is out of range"),
        ("sparsity = 0.8", "density = 0.8", "a target is one of sparsity, left, drop"),
        ('rule = "uniform"', 'rule = "fair"', "rule = 'fair' is not one of"),
        ("[budget]", "[cascade]\nslack = 2\n[budget]", "[cascade]: there is no slack"),
        ("[budget]", "[scale]\nfc2 = 2.0\n[budget]", "a budget or rounds ask for none"),
        ("[budget]", "[training]\nepochs = 0\n[budget]", "Training.epochs = 0 is out of range"),
        ("[budget]", "[training]\nspeed = 0\n[budget]", "a recipe is not laid out like this"),
        ("[budget]", "[training]\nrounds = [0.5]\n[budget]", "a recipe with rounds needs training"),
        ("[budget]", "[made]\nweights = 1\n[budget]", "a recipe is not laid out like this"),
        ("[budget]", f"[scale]\nfc2 = {10**400}\n[budget]", "fc2 is a whole number of more than 64 bits"),
        ("[budget]", f"[training]\nrounds = [{10**400}]\n[budget]", "is a whole number of more than 64 bits"),
        ("seed = 0", "seed = 0x" + "f" * 20_000, "seed is a whole number of more than 64 bits"),
        ("seed = 0", "seed = " + "9" * 20_000, "take a recipe as it was exported"),
        ("samples = 200", f"samples = {'a' * 9000!r}", "aaa...aaa"),
    ],
)
def test_a_spoiled_recipe_is_refused_by_the_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in TOML
    file = tmp_path / "mine.toml"
    file.write_text(TOML.replace(old, new, 1))
    with pytest.raises(ValueError, match=re.escape(says)) as error:
        Recipe.read(file)
    assert str(error.value).startswith(str(file))
    assert "\n" not in str(error.value)


def test_what_is_no_recipe_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="cannot be read as a recipe"):
        Recipe.read(tmp_path)
    (tmp_path / "recipe.toml").write_bytes(b"#" * 250_001)
    with pytest.raises(ValueError, match="no recipe"):
        Recipe.read(tmp_path)
    with pytest.raises(ValueError, match="cannot be read as a recipe"):
        Recipe.read(tmp_path / "nowhere.toml")
    with pytest.raises(ValueError, match=r"mine\.toml: over 250,000 bytes is no recipe"):
        Recipe.from_toml("#" * 250_001, "mine.toml")


KEY = ".".join("a" * 3000)
COSTLY = {
    "a key": f"{KEY} = 1",
    "a key with blanks": " \t. ".join("a" * 3000) + " = 1",
    "a quoted key": ".".join(["'a'", '"b"'] * 1500) + " = 1",
    "a table": f"[{KEY}]",
    "a list of tables": f"[[{KEY}]]",
    "in a table on one line": f"x = {{y = [{{{KEY} = 1}}]}}",
    "after a string that ends with quotes": f'x = """y""""\n{KEY} = 1',
    "after a raw string that ends with quotes": f"x = '''y'''''\n{KEY} = 1",
    "after a quote that is none": f'x = "\\"" # "\n{KEY} = 1',
    "after a backslash that is one": f"x = '\\'\n{KEY} = 1",
    "lists": "x = " + "[" * 3000 + "]" * 3000,
    "tables": "x = " + "{a = " * 3000 + "1" + "}" * 3000,
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_text_that_costs_the_parser_dearly_is_refused_before(name: str) -> None:
    """A key of so many parts takes 36 MB where it is parsed, and one of ten times as many a hundred times that."""
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"mine\.toml: .* in no recipe"):
            Recipe.from_toml(f"version = 1\n{COSTLY[name]}\n", "mine.toml")
        assert tracemalloc.get_traced_memory()[1] < 3e6
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("piece", ['"""\\', "'''", '"', "'", '""""\\', "\\", "a.", "#"])
def test_strings_without_an_end_are_looked_at_once(piece: str) -> None:
    """Looking again from each quote on would take minutes."""
    many = piece * (200_000 // len(piece))
    started = time.process_time()
    for text in (many, f'x = """{many}\\', f"x = '''{many}"):
        with suppress(ValueError):
            check_text(text)
    assert time.process_time() - started < 5


IN_STRINGS = [
    '"""\nfc = Linear # of a.b.c.d.e.f.g.h.i.j [[[[[[[[[[ \\""" \'\'\' """"',
    "'''\nfc = Linear # of a.b.c.d.e.f.g.h.i.j {{{{{{{{{{ \" \\'''",
    "'a.b.c.d.e.f.g.h.i.j # [[[[[[[[[[ \" \\'",
    '"a.b.c.d.e.f.g.h.i.j # [[[[[[[[[[ \' \\" \\\\"',
]


@pytest.mark.parametrize("text", IN_STRINGS)
def test_what_stands_in_strings_is_no_key(text: str) -> None:
    whole = RECIPES["scaled"].to_toml().replace("[network]", f"[network]\narchitecture = {text}", 1)
    assert "a.b.c.d.e.f.g.h.i.j" in Recipe.from_toml(whole).architecture


@settings(max_examples=200, deadline=None)
@given(st.text("\"'\\.=[]{}#\n a", max_size=60))
def test_any_text_comes_back(text: str) -> None:
    plan = dataclasses.replace(PLAN, layers=(text, "fc3"), scale=((text, 0.5),))
    recipe = Recipe(plan, LOBS, architecture=text * 3)
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_a_large_network_fits() -> None:
    """A thousand layers, all of them told of."""
    names = tuple(f"features.denseblock{i // 100}.denselayer{i % 100}.conv" for i in range(1000))
    layers = tuple(MadeLayer(name, 123_456, "0" * 32, 1 / 3) for name in names)
    made = Made("0", "0", "a", 1, {"torch": "2"}, 0.5, layers)
    plan = dataclasses.replace(PLAN, layers=names, scale=((names[0], 0.5),))
    recipe = Recipe(plan, LOBS, made=made)
    assert Recipe.from_toml(recipe.to_toml()) == recipe


@pytest.mark.parametrize("zeros", [5.0, -0.1, float("nan"), float("inf")])
def test_rounds_are_fractions(zeros: float) -> None:
    with pytest.raises(ValueError, match=r"\[training\] rounds: \S+ is out of range: 0 <= zeros <= 1"):
        Recipe(PLAN, LOBS, training=Training(), rounds=(0.5, zeros))


PIECES = [b"", b"=", b"[", b"1e999", b'"', b"nan", b"-1", b"{}", b"\n"]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=6))
def test_a_mangled_recipe_gives_a_sentence_or_a_recipe(cuts: list[tuple[float, int, bytes]]) -> None:
    text = bytearray(TOML.encode())
    for where, length, piece in cuts:
        place = int(where * len(text))
        text[place : place + length] = piece
    said = "mine.toml"
    try:
        Recipe.from_toml(text.decode(), "mine.toml")
    except ValueError as error:
        said = str(error)
    assert said.startswith("mine.toml")


@pytest.mark.parametrize("name", ["parallel", pytest.param("retrained", marks=pytest.mark.long)])
def test_another_process_makes_the_same_bits(tmp_path: Path, name: str) -> None:
    first = carry_out(RECIPES[name], load_bundle("digits_mlp"))
    first.recipe.write(tmp_path / "recipe.toml")
    export(first.model, first.report, tmp_path)
    code = (
        "import sys\nfrom nettrim_core import export, replay\n"
        "found = replay(sys.argv[1])\nexport(found.model, found.report, sys.argv[2])\nprint(found.same)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(tmp_path / "again")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"
    old, new = (load_file(folder / "model.safetensors") for folder in (tmp_path, tmp_path / "again"))
    assert list(old) == list(new)
    assert all(torch.equal(old[key].view(torch.int32), new[key].view(torch.int32)) for key in old)

"""The visitor's choice and its round trip through the link."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nettrim_core.methods import METHODS
from nettrim_core.plan import EPSILONS, Plan, coarse_to_fine
from pages.state import DEFAULT_EPSILON, EPSILON_RANGE, MODES, PATCHES_RANGE, Choice, Facts, parse, setting_fields

FACTS = {"lenet_300_100": Facts(("fc1", "fc2", "fc3"), 10_000), "tiny": Facts(("a", "b"), 300)}
LOOKUP = {name: lambda facts=facts: facts for name, facts in FACTS.items()}


def query(choice: Choice) -> dict[str, list[str]]:
    return {name: [value] for name, value in choice.to_query().items()}


def values(f: dataclasses.Field[Any]) -> st.SearchStrategy[Any]:
    """What a setting may be."""
    if isinstance(f.default, bool):
        return st.booleans()
    if options := f.metadata.get("options"):
        return st.sampled_from(options)
    low, high = f.metadata["low"], f.metadata["high"]
    return st.integers(int(low), high) if isinstance(f.default, int) else st.floats(max(low, 1e-8), high)


@st.composite
def choices(draw: st.DrawFn) -> Choice:
    model = draw(st.sampled_from(sorted(FACTS)))
    facts = FACTS[model]
    layers = draw(st.lists(st.sampled_from(facts.layers), min_size=1, unique=True))
    methods = draw(st.lists(st.sampled_from(list(METHODS)), min_size=1, unique=True))
    choice = Choice(
        model,
        tuple(name for name in facts.layers if name in layers),
        eps=float(f"{draw(st.floats(*EPSILON_RANGE)):.6g}"),
        methods=tuple(name for name in METHODS if name in methods),
        mode=draw(st.sampled_from(MODES)),
        seed=draw(st.integers(0, 2**31 - 1)),
        n=draw(st.integers(1, facts.rows)),
        patches=draw(st.integers(*PATCHES_RANGE)),
    )
    for name, f in setting_fields().items():
        if draw(st.booleans()):
            choice = choice.with_setting(name, draw(values(f)))
    return choice


@given(choices())
def test_a_link_says_everything(choice: Choice) -> None:
    for name in METHODS:
        choice.method(name)  # whatever a form can set makes a method
    again, said = parse(query(choice), LOOKUP)
    assert said == []
    assert again == choice


def test_an_empty_link_is_the_default_without_a_word() -> None:
    choice, said = parse({}, LOOKUP)
    assert said == []
    assert choice == Choice("lenet_300_100", ("fc1", "fc2", "fc3"))
    assert choice.eps == DEFAULT_EPSILON


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("model", "vgg", "model"),
        ("eps", "9", "eps"),
        ("eps", "nan", "eps"),
        ("eps", "banana", "eps"),
        ("eps", "-0.1", "eps"),
        ("mode", "sideways", "mode"),
        ("methods", "lobotomy", "methods"),
        ("layers", "fc9", "layers"),
        ("seed", "-1", "seed"),
        ("seed", "1.5", "seed"),
        ("n", "0", "n"),
        ("n", "99999999", "n"),
        ("patches", "0", "patches"),
        ("nettrim.tol", "7", "settings"),
        ("lobs.damping", "x", "settings"),
        ("lobs.pattern", "3:4", "settings"),
        ("cascade.dense", "perhaps", "settings"),
    ],
)
def test_an_invalid_value_falls_back_with_a_word(name: str, value: str, field: str) -> None:
    choice, said = parse({name: [value]}, LOOKUP)
    default, _ = parse({}, LOOKUP)
    assert getattr(choice, field) == getattr(default, field)
    assert len(said) == 1
    assert f"{name} = {value}" in said[0]


def test_what_is_right_in_a_wrong_list_stays() -> None:
    choice, said = parse({"layers": ["fc3,fc9", "fc1"], "methods": ["magnitude,zzz"]}, LOOKUP)
    assert choice.layers == ("fc1", "fc3")
    assert choice.methods == ("magnitude",)
    assert len(said) == 2


def test_unknown_parameters_are_passed_over() -> None:
    assert parse({"utm_source": ["x"], "embed": ["true"]}, LOOKUP)[1] == []


def test_another_model_has_its_own_layers_and_no_more_rows_than_it_has() -> None:
    choice = Choice("lenet_300_100", ("fc2",), n=1000).with_model("tiny", FACTS["tiny"])
    assert (choice.layers, choice.n) == (("a", "b"), 300)


def test_a_setting_at_its_default_leaves_the_link() -> None:
    choice = Choice("tiny", ("a",)).with_setting("nettrim.tol", 1e-4)
    assert choice.to_query()["nettrim.tol"] == "0.0001"
    assert dataclasses.asdict(choice.method("nettrim"))["tol"] == 1e-4
    assert choice.with_setting("nettrim.tol", 1e-3) == Choice("tiny", ("a",))


def test_cascade_settings_reach_the_plan() -> None:
    choice = Choice("tiny", ("a",), mode="cascade").with_setting("cascade.gamma", 2.0)
    rules = choice.plan().cascade
    assert rules is not None
    assert rules.gamma == 2.0
    assert Plan.from_dict(choice.plan().to_dict()) == choice.plan()


def test_the_grid_and_its_order() -> None:
    assert len(EPSILONS) == 25
    assert (EPSILONS[0], EPSILONS[-1]) == (0.005, 0.7)
    ratios = [b / a for a, b in itertools.pairwise(EPSILONS)]
    assert max(ratios) / min(ratios) < 1.001
    order = coarse_to_fine(EPSILONS)
    assert sorted(order) == list(EPSILONS)
    assert {EPSILONS[0], EPSILONS[-1], EPSILONS[12]} <= set(order[:7])

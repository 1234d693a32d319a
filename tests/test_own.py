"""The visitor's page as a value: every change leaves the others' cells, numbers and order alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages.notebook import Cell
from pages.own import MOST, TITLE, Own

A, B, C = Cell("a"), Cell("b", "print(1)"), Cell("c", "", "model=digits_mlp")
THREE = Own().added([A, B, C])


def numbers(own: Own) -> list[int]:
    return [entry.number for entry in own.entries]


def test_cells_come_at_the_end_and_keep_their_numbers() -> None:
    assert THREE.cells == (A, B, C)
    assert numbers(THREE) == [1, 2, 3]
    assert numbers(THREE.without(3).added([A])) == [1, 2, 4]


def test_moving_is_by_one_place_and_ends_at_the_ends() -> None:
    assert THREE.moved(3, -1).cells == (A, C, B)
    assert THREE.moved(1, 1).cells == (B, A, C)
    assert THREE.moved(1, -1) == THREE.moved(3, 1) == THREE


def test_editing_changes_the_text_alone() -> None:
    assert THREE.edited(2, "new").cells == (A, Cell("new", "print(1)"), C)
    assert numbers(THREE.edited(2, "new")) == [1, 2, 3]


@given(st.integers(1, 3))
def test_what_was_removed_comes_back_where_it_was(number: int) -> None:
    less = THREE.without(number)
    assert number not in numbers(less)
    assert len(less.cells) == 2
    assert less.put_back() == THREE


def test_one_step_back_is_kept_through_other_changes() -> None:
    changed = THREE.without(2).edited(1, "x").added([B])
    assert changed.put_back().cells == (Cell("x"), B, C, B)
    assert changed.put_back().put_back() == changed.put_back()
    assert THREE.without(3).without(1).put_back().cells == (A, B)


def test_another_page_takes_the_place_with_numbers_of_its_own() -> None:
    other = THREE.without(1).replaced("Theirs", [B])
    assert (other.title, other.cells, other.removed) == ("Theirs", (B,), None)
    assert numbers(other) == [4]
    assert THREE.replaced("", [A]).title == TITLE
    assert THREE.titled("  ").title == TITLE


def test_a_full_page_says_so_and_stays() -> None:
    full = Own().added([A] * MOST)
    for more in (
        lambda: full.added([B]),
        lambda: full.without(1).added([B]).put_back(),
        lambda: full.replaced("", [A] * (MOST + 1)),
    ):
        with pytest.raises(ValueError, match=f"{MOST + 1} cells, and a page holds at most {MOST}"):
            more()

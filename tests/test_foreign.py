"""Markdown from a stranger: no picture is loaded whatever is tried, and links say where they lead."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from pages.foreign import shown
from tests.browsing import opened

HOST = "https://elsewhere.example"
PICTURES = [
    f"![a]({HOST}/1.png)",
    f"![a](<{HOST}/2.png> 'title')",
    f"![a][r]\n\n[r]: {HOST}/3.png",
    f"![r]\n\n[r]: {HOST}/4.png",
    f"![r][]\n\n> [r]:\n> {HOST}/5.png",
    f"[![a]({HOST}/6.png)](https://b.example)",
    f"![a [b] c]({HOST}/7.png)",
    f"\\\\![a]({HOST}/8.png)",
    f"![a\nb]({HOST}/9.png\n'x')",
    f":red[![a]({HOST}/10.png)]",
    f"<img src='{HOST}/11.png'>",
    f"- x\n\n  ![a]({HOST}/12.png)",
    f"| a |\n|---|\n| ![a]({HOST}/13.png) |",
    f"!![a]({HOST}/14.png)",
    f"![a]\\\n({HOST}/15.png) ![a]( {HOST}/16.png )",
    f":color[x]{{background='url({HOST}/17.png)'}}",
    f"$\\includegraphics{{{HOST}/18.png}}$",
    f"![![a]({HOST}/19.png)]({HOST}/20.png)",
]
DIAGRAM = f"flowchart TD\n  A@{{ img: '{HOST}/m.png', label: 'x', h: 60 }}\n  B[\"<img src='{HOST}/n.png'>\"]"
FENCES = [
    "```mermaid", "~~~mermaid", "``` Mermaid", "````mermaid x", "```&#109;ermaid", "```mermaid-x", "> ```mermaid",
    "```\tmermaid", "- ```mermaid", "~~~ mermaid ```", "```x-language-mermaid",
]  # fmt: skip


def diagram(fence: str) -> str:
    """A diagram in a fence, inside the quotation or list that the fence is in."""
    lead = re.match(r"(> |- )?", fence)[0]  # type: ignore[index]
    ticks = re.search(r"`{3,}|~{3,}", fence)[0]  # type: ignore[index]
    inside = lead.replace("-", " ")
    return "\n".join([fence, *(inside + line for line in DIAGRAM.splitlines()), inside + ticks])


@example("\\![a](b)")
@given(st.text("!\\[]()<>:`~ \n\rab&#/", max_size=40))
def test_nothing_that_begins_a_picture_or_a_definition_is_left(text: str) -> None:
    made = shown(text)
    for token in ("![", "]:", "\r"):
        assert token not in made


@pytest.mark.parametrize("fence", FENCES)
def test_no_fence_is_of_the_language_of_diagrams(fence: str) -> None:
    first = shown(diagram(fence)).splitlines()[0]
    assert re.search(r"[`~]{3,}text ", first)


@pytest.mark.parametrize(
    "text",
    [
        "Plain *words*, `x[0]` and $x^2$.",
        "```python\nx = f[0]\n```",
        "~~~\ny\n~~~",
        "A ``` b ``` c and `mermaid`",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "<https://a.example> and https://b.example/x_(y)",
        "# Heading\n\n- item\n- [x] done",
    ],
)
def test_what_is_harmless_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


def test_links_say_where_they_lead() -> None:
    assert shown("See [the paper](https://a.example/x).") == "See the paper (https://a.example/x)."
    assert shown("[https://a.example](https://b.example 'a')") == "https://a.example (https://b.example)"
    assert shown("[https://a.example](https://a.example)") == "https://a.example"
    assert shown("[a [b]](https://c.example)") == "[a [b]] (https://c.example)"
    assert shown("[a][r]\n\n[r]: https://b.example") == "[a][r]\n\n[r] : https://b.example"
    assert shown("`f[i](x)`") == "`f[i] (x)`"  # code still runs


def test_pictures_give_way_to_their_words() -> None:
    assert shown("![A cat](https://a.example/c.png)") == "(picture, not loaded: A cat, https://a.example/c.png)"
    assert shown("![](attachment:c.png)") == "(picture, not loaded)"
    assert shown("![A cat](data:image/png;base64,AAAA)") == "(picture, not loaded: A cat)"


@pytest.mark.parametrize("part", ["![", "![](", "[](", "![a](<", "```", "![](  ", "[a](b ", "~~~", "]:"])
def test_a_large_hostile_text_takes_no_time(part: str) -> None:
    text = part * (1_000_000 // len(part))
    assert len(shown(text)) >= len(text) // 2  # a quadratic search would not come back


def test_a_notice_about_a_bad_link_loads_no_picture(page: Page) -> None:
    """The fixture fails on any request that leaves the machine."""
    opened(page, f"/export?model=digits_mlp&eps=![a]({HOST}/x.png)")
    expect(page.get_by_text("The link asked for eps = (picture, not loaded")).to_be_visible()

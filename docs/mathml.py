"""Formulas of the pages as MathML, which browsers draw themselves: ``$...$`` in a line, ``$$...$$`` on lines of their
own. Nothing is loaded for it, and GitHub draws the same source."""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

INLINE = r"(?<![\\$\w])\$(?![\s$])([^$\n]*?[^$\s\\])\$(?![$\w])"
BLOCK = re.compile(r"^\$\$(.+?)\$\$$", re.DOTALL)
BEFORE_ESCAPES = 185  # code in backticks comes first, at 190; backslashes that mean a character later, at 180
BEFORE_PARAGRAPHS = 75


class Formula(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:  # type: ignore[override] # noqa: N802
        return self.md.htmlStash.store(convert(m[1])), m.start(0), m.end(0)


class Display(BlockProcessor):
    def test(self, parent: Element, block: str) -> bool:
        return BLOCK.match(block.strip()) is not None

    def run(self, parent: Element, blocks: list[str]) -> None:
        found = BLOCK.match(blocks.pop(0).strip())
        assert found
        formula = Element("div", {"class": "formula"})
        formula.text = self.parser.md.htmlStash.store(convert(found[1].strip(), display="block"))
        parent.append(formula)


class MathML(Extension):
    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        md.inlinePatterns.register(Formula(INLINE, md), "formula", BEFORE_ESCAPES)
        md.parser.blockprocessors.register(Display(md.parser), "formula", BEFORE_PARAGRAPHS)


def makeExtension(**options: object) -> MathML:  # noqa: N802  (markdown asks for this name)
    return MathML(**options)

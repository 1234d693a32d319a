"""What is looked at before a text of unknown origin is parsed as TOML.

The parser's memory grows with the square of the parts of a dotted key, and its stack with how deep tables and lists lie
in each other. No recipe has many of either.
"""

from __future__ import annotations

import re

MOST_BYTES = 250_000  # a network of a thousand layers fits
MOST_PARTS = 8  # of a dotted key
MOST_DEPTH = 8  # of tables and lists in each other

# strings and comments as TOML has them, from where they begin; those that do not end go on to where the parser gives up
_QUOTED = re.compile(
    r'"""(?:\\.|[^\\])*?(?:"{3,5}|\\?\Z)' r"|'''.*?(?:'{3,5}|\Z)" r'|"(?:\\.|[^"\\\n])*"?' r"|'[^'\n]*'?" r"|#[^\n]*",
    re.DOTALL,
)


def check_text(text: str) -> None:
    """Raise ValueError for a text that is no recipe and may cost the parser dearly."""
    if len(text.encode(errors="replace")) > MOST_BYTES:
        raise ValueError(f"over {MOST_BYTES:,} bytes is no recipe")
    bare = _QUOTED.sub(lambda found: "" if found[0].startswith("#") else "s", text)
    if any(run.count(".") >= MOST_PARTS for run in re.findall(r"[^=,\[\]{}\n]+", bare)):
        raise ValueError(f"a key of more than {MOST_PARTS} parts is in no recipe")
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", bare):
        depth += 1 if bracket in "[{" else -1
        if depth > MOST_DEPTH:
            raise ValueError(f"tables and lists that lie more than {MOST_DEPTH} deep in each other are in no recipe")

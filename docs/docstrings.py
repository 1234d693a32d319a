"""Docstrings of the project, which are plain text, as the Markdown of the API pages: names become links, ``name: what
it is`` of an argument or a field an entry of a list, and the help of a setting its description."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any

from griffe import Attribute, Class, Docstring, Extension, Function, Module, Object

PACKAGE = Path(__file__).resolve().parents[1] / "nettrim_core"
ROLE = re.compile(r":(?:class|func|meth|mod):`~?([\w.]+)`")
CODE = re.compile(r"(``.+?``|`[^`]+`)", re.DOTALL)
SETTINGS = ("setting", "choice", "told")
SHARED = ("problem", "pattern", "refit")  # modules with settings that several methods have


def defined() -> dict[str, str]:
    """Public name -> where it is defined, by the imports of the package."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    return {part.asname or part.name: f"{node.module}.{part.name}" for node in imports for part in node.names}


def shared() -> dict[str, ast.Call]:
    """Functions without arguments that make a setting -> the setting."""
    trees = [ast.parse((PACKAGE / f"{name}.py").read_text()) for name in SHARED]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    returned = {f.name: f.body[-1].value for f in functions if isinstance(f.body[-1], ast.Return) and not f.args.args}
    return {name: call for name, call in returned.items() if isinstance(call, ast.Call) and _name(call) in SETTINGS}


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


DEFINED, SHARED_SETTINGS = defined(), shared()


class PlainText(Extension):
    """Rewrites every docstring before the pages are made."""

    def on_package(self, *, pkg: Module, **_: Any) -> None:
        for found in objects(pkg):
            if isinstance(found, Attribute) and found.docstring is None and (said := described(str(found.value))):
                found.docstring = Docstring(said, parent=found)
            elif isinstance(found, Class) and found.docstring is None and found.module.docstring is not None:
                found.docstring = Docstring(found.module.docstring.value, parent=found)  # the module is about it
            elif found.docstring is not None:
                found.docstring.value = markdown(found.docstring.value, names_of(found))


def objects(parent: Object) -> Iterator[Object]:
    yield parent
    for member in parent.members.values():
        if isinstance(member, Object):  # an alias is looked at where it is defined
            yield from objects(member)


def names_of(found: Object) -> Set[str]:
    """What a docstring explains: arguments, fields."""
    if isinstance(found, Function):
        return {parameter.name for parameter in found.parameters}
    return set(found.members) if isinstance(found, Class) else frozenset()


def described(value: str) -> str:
    """Of a setting: its range and its help; "" of anything else."""
    try:
        call = ast.parse(value, mode="eval").body
    except SyntaxError:
        return ""
    call = SHARED_SETTINGS.get(_name(call), call) if isinstance(call, ast.Call) else call
    if not isinstance(call, ast.Call) or _name(call) not in SETTINGS:
        return ""
    said = {word.arg: ast.unparse(word.value) for word in call.keywords}
    values = [ast.unparse(value) for value in call.args]
    if _name(call) == "told":
        return _spans(ast.literal_eval(values[1])) + "."
    what = _spans(str(ast.literal_eval(said["help"])))
    if _name(call) == "choice":
        return f"One of {', '.join(f'`{value}`' for value in values)}: {what}."
    if len(values) < 3:
        return f"`{values[0]}` if not given: {what}."
    return f"From `{values[1]}` to `{values[2]}`, `{values[0]}` if not given: {what}."


def markdown(docstring: str, names: Set[str]) -> str:
    return "\n\n".join(_paragraph(text, names) for text in re.split(r"\n\s*\n", docstring))


def _paragraph(text: str, names: Set[str]) -> str:
    if text.startswith("    "):  # a formula or code on lines of its own
        return text
    line = " ".join(part.strip() for part in text.splitlines())
    known = "|".join(sorted(map(re.escape, names), key=len, reverse=True)) or "(?!)"
    entry = re.compile(rf"(?:^|(?<=[.;] ))((?:{known})(?:(?:, | and )(?:{known}))*): ")
    before, *rest = entry.split(line)
    after = ""
    if rest:  # what is refused is said of all of them
        rest[-1], raises, after = rest[-1].partition("Raises ValueError")
        after = raises + after
    pairs = zip(rest[::2], rest[1::2], strict=True)
    items = [f"* `{name}`: {_spans(said.strip())}" for name, said in pairs]
    return "\n\n".join(part for part in (_spans(before.strip()), "\n".join(items), _spans(after)) if part)


def _spans(text: str) -> str:
    """Text in a line: code and links as they are, everything else without a meaning in Markdown."""
    return "".join(part if i % 2 else _escaped(part) for i, part in enumerate(CODE.split(ROLE.sub(_code, text))))


def _code(found: re.Match[str]) -> str:
    """A role as code; with a link where it names something public."""
    name = found[1].removeprefix("nettrim_core.")
    public = name in DEFINED and (name != found[1] or "." not in name)
    return f"`{name}`" + (f"[↗][{DEFINED[name]}]" if public else "")


def _escaped(text: str) -> str:
    link = re.compile(r"(\[↗\]\[[\w.]+\])")
    return "".join(part if i % 2 else _plain(part) for i, part in enumerate(link.split(text)))


def _plain(text: str) -> str:
    return re.sub(r"([*_\[\]])", r"\\\1", text).replace("<", "&lt;").replace("$", "&#36;")

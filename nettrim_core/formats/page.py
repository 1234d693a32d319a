"""report.html: one page with the figures of a result, its recipe and its Python, that opens without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from html import escape
from html.parser import HTMLParser
from pathlib import Path

from nettrim_core.formats.format import Format, Source
from nettrim_core.methods import titled
from nettrim_core.recipes.script import script
from nettrim_core.report import LayerReport, Report
from nettrim_core.summary import summary

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; color: #1c1c1c; max-width: 920px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.8rem; line-height: 1.2; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-top: 1px solid #ccc; vertical-align: top; }
thead th { border-top: 0; } td small { color: #555; }
pre { background: #f4f4f4; padding: .8rem 1rem; overflow-x: auto; font-size: .85rem; border-radius: 6px; }
.wide { overflow-x: auto; }
"""


def html_report(source: Source) -> str:
    """The page, with Plotly.js in it."""
    from nettrim_core.figures.page import drawn  # Plotly is loaded for those who draw

    report = source.report
    title = f"{titled(report.method)}: {report.sparsity:.1%} zeros in {len(report.layers)} layers"
    charts = drawn(report, source.curves)
    figures = (f'<section class="wide"><h2>{escape(heading)}</h2>\n{div}</section>' for heading, div in charts)
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(sentence)}</p>" for sentence in summary(report)),
        *figures,
        "<h2>Layer by layer</h2>",
        f'<div class="wide">{_table(report.layers)}</div>',
    ]
    if source.recipe is not None:
        parts += [
            "<h2>How to make it again</h2>",
            "<p>The recipe, for <code>nettrim replay</code>:</p>",
            f"<pre>{escape(source.recipe.to_toml())}</pre>",
            "<p>The same in Python:</p>",
            f"<pre>{escape(script(source.recipe))}</pre>",
        ]
    # "<" would let a name end the script element
    data = json.dumps(report.to_dict(), allow_nan=False).replace("<", "\\u003c")
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(div for _, div in charts)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(parts)
        + f'\n<script type="application/json" id="report">{data}</script>\n</main></body></html>\n'
    )


def _policy(charts: Iterable[str]) -> str:
    """What the page may do: run the scripts of its charts, and load nothing."""
    scripts = re.findall(r"<script[^>]*>(.*?)</script>", "".join(charts), re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def _table(layers: Iterable[LayerReport]) -> str:
    head = "".join(
        f"<th>{name}</th>"
        for name in ("Layer", "Weights", "Zeros", "Response changed", "of allowed", "Certificate", "Error", "Bound")
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_row, layers))}</tbody></table>"


def _cells(layer: LayerReport) -> tuple[str, ...]:
    """A row of the table, in the order of its heads."""
    size = layer.output_norm or 1.0
    gap = "none" if layer.gap is None else f"gap {layer.gap:.1e}"
    mark = "" if layer.converged else " (not converged)"
    bound = "none" if layer.bound is None else f"{layer.bound / size:.3g}"
    return (
        layer.name, f"{layer.weights:,}", f"{layer.sparsity:.1%}", f"{layer.held:.3g}", f"{layer.epsilon:.3g}",
        f"{gap}{mark}", f"{layer.error / size:.3g}", bound,
    )  # fmt: skip


def _row(layer: LayerReport) -> str:
    name, *figures = map(escape, _cells(layer))
    notes = "".join(f"<br><small>{escape(note)}</small>" for note in layer.notes)
    return f"<tr><td>{name}{notes}</td>{''.join(f'<td>{figure}</td>' for figure in figures)}</tr>"


class _Read(HTMLParser):
    """What a page says, by the elements that are compared; its figures, and whatever it would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str, list[str]] = {"script": [], "p": [], "td": [], "pre": []}
        self.figures, self.loads = 0, []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in self.said and (tag != "script" or given.get("id") == "report"):
            self._inside = tag
            self.said[tag].append("")
        self.figures += "plotly-graph-div" in (given.get("class") or "")
        self.loads += [value for name, value in attrs if name in ("src", "href") and value]

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.said[self._inside][-1] += data


def _write(source: Source, path: Path) -> None:
    path.write_text(html_report(source), encoding="utf-8")


def _check(source: Source, path: Path) -> str:
    read = _Read()
    read.feed(path.read_text(encoding="utf-8"))
    read.close()
    report, recipe, said = source.report, source.recipe, read.said
    sentences = list(summary(report))
    cells = [text for layer in report.layers for text in (layer.name + "".join(layer.notes), *_cells(layer)[1:])]
    code = [] if recipe is None else [recipe.to_toml(), script(recipe)]
    compared = {
        "report in the page": [Report.from_dict(json.loads(data)).to_dict() for data in said["script"]]
        == [report.to_dict()],
        "page's text": said["p"][: len(sentences)] == sentences,
        "page's table": said["td"] == cells,
        "recipe or the Python in the page": said["pre"] == code,
    }
    for what, same in compared.items():
        if not same:
            raise ValueError(f"{path}: the {what} differs after loading")
    if read.loads or not read.figures:
        raise ValueError(f"{path}: {read.figures} figures, and the page would load {read.loads} from elsewhere")
    charts = f"{read.figures} charts, and nothing comes from elsewhere"
    parts = "the sentences and the table" if recipe is None else "the sentences, the table, the recipe and the Python"
    return f"{path.name} was loaded again: every figure of the report in its data equal, {parts} as written, {charts}"


FORMAT = Format(
    "Report (HTML)",
    "report.html",
    "A page with charts to point at, the table of layers, the recipe and the Python; opens in any browser, offline.",
    _write,
    _check,
)

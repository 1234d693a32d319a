"""The knob and the pictures it moves, as browser components: while the knob is dragged they follow in the browser, and
one message comes back on release.

Plotly.js draws axes and curves once; the moving markers lie in an SVG over the chart, placed by Plotly's own axis
converters. The range and its readout work before the chart has loaded, and without it. Every picture is sent what it
draws at all stops: small figures with the message, masks and maps by address. It is sent in a list of one, through
which Streamlit does not look for data frames.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly
from streamlit.components import v2 as components

WEB = Path(__file__).resolve().parent / "web"
PLOTLY = f"vendor/plotly.min.js?v={plotly.__version__}"

KNOB = """
<div class="ntk" data-state="loading">
  <div class="ntk-chart" role="figure">
    <div class="ntk-plot"></div><svg class="ntk-markers" aria-hidden="true"></svg>
  </div>
  <div class="ntk-row"><label for="ntk-range"></label><output class="ntk-value" for="ntk-range"></output>
    <button type="button" class="ntk-play">Play</button><button type="button" class="ntk-copy">Copy link</button></div>
  <input id="ntk-range" type="range" min="0" step="1">
  <table class="ntk-readout"><tbody></tbody></table>
</div>
"""
MASK = """
<div class="ntp ntp-mask" data-name="ntp-mask">
  <fieldset class="ntp-choice" aria-label="Whose weights are shown"></fieldset>
  <figure><canvas aria-hidden="true"></canvas><figcaption></figcaption></figure>
</div>
"""
BARS = """
<div class="ntp ntp-bars"><table>
  <thead><tr><th>Layer</th><th>Method</th><th>Zeros</th><th>Tolerance used</th></tr></thead><tbody></tbody>
</table></div>
"""
SIGHT = '<div class="ntp ntp-sight"><div class="ntp-panels"></div></div>'
HEAT = """
<div class="ntp ntp-heat" data-state="loading">
  <div class="ntp-frame" role="figure"><div class="ntp-plot"></div><div class="ntp-cursor"></div></div>
</div>
"""


def _component(name: str, html: str) -> Any:
    return components.component(
        f"nettrim_{name}",
        html=html,
        css=(WEB / "studio.css").read_text(),
        js=(WEB / "shared.js").read_text() + (WEB / f"{name}.js").read_text(),
        isolate_styles=False,  # Plotly writes its style sheet into the document's head
    )


_knob, _mask, _bars = _component("knob", KNOB), _component("mask", MASK), _component("bars", BARS)
_sight, _heat = _component("sight", SIGHT), _component("heat", HEAT)


def knob(data: dict[str, Any], on_commit: Callable[[], None]) -> None:
    """Show the knob. ``st.session_state["knob"]["at"]`` holds the index of the committed stop in the callback.

    data: stops, their labels; symbol and label of the setting; index of the stop; series, for each method name, style
    (its place in the list of methods, which fixes colour, dash and marker), curve (a point or None a stop: x, y, low
    and high of its band or None, quality "certified" | "open" | "rough", hover), places (x, y or None) and said (texts)
    at each stop; x and y, the axes: title, ticks, log, range; dense: y and text of a line, or None; alt.
    """
    _knob(key="knob", data=[data | {"plotly": PLOTLY}], on_at_change=on_commit)


def mask(data: dict[str, Any]) -> None:
    """Show which weights of a layer are left.

    data: stops, how many; index; methods, for each name, style, url and present (see :func:`pages.frames.pack`);
    near: for each method the stop whose frame is shown at each stop; layout (see :class:`pages.frames.Layout`).
    """
    _mask(key="mask_picture", data=[data])


def bars(data: dict[str, Any]) -> None:
    """Show zeros and used tolerance of every layer. data: as for :func:`mask`, with values (stop, layer: sparsity,
    zeros, used, text) in place of frames, and layers: name and about."""
    _bars(key="bars_picture", data=[data])


def sight(data: dict[str, Any]) -> None:
    """Show what the network still looks at. data: as for :func:`mask`, with kind, shape (height, width), and inputs and
    outputs ("usage") or dense and palette ("regions"); upwards: rows grow upwards."""
    _sight(key="sight_picture", data=[data])


def heat(data: dict[str, Any], on_cell: Callable[[], None]) -> None:
    """Show a heat map over the knob and a second setting. ``st.session_state["heat"]["cell"]`` holds [row, column] in
    the callback. data: stops, index, columns and rows, labels; row of the present value; values and texts; titles of
    both; text of the colour bar, its ticks; alt."""
    _heat(key="heat", data=[data | {"plotly": PLOTLY}], on_cell_change=on_cell)

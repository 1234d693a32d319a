"""The epsilon knob with its chart: markers move in the browser while it is dragged, one message on release.

Plotly.js draws axes and curves once; the moving markers lie in an SVG over the chart, placed by Plotly's own axis
converters. The range and its readout work before the chart has loaded, and without it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import plotly
from streamlit.components import v2 as components

HERE = Path(__file__).resolve().parent
LABEL = "Error tolerance epsilon"

HTML = f"""
<div class="ntk" data-state="loading">
  <div class="ntk-chart" role="img"><div class="ntk-plot"></div><svg class="ntk-markers" aria-hidden="true"></svg></div>
  <div class="ntk-row"><label for="ntk-range">{LABEL}</label><output class="ntk-eps" for="ntk-range"></output></div>
  <input id="ntk-range" type="range" min="0" step="1">
  <table class="ntk-readout"><tbody></tbody></table>
</div>
"""

_component = components.component(
    "nettrim_knob",
    html=HTML,
    css=(HERE / "knob.css").read_text(),
    js=(HERE / "knob.js").read_text(),
    isolate_styles=False,  # Plotly writes its style sheet into the document's head
)


def knob(
    epsilons: list[float],
    series: list[dict[str, Any]],
    *,
    epsilon: float,
    dense: float | None,
    alt: str,
    key: str,
    on_commit: Callable[[], None],
) -> None:
    """Show the knob at ``epsilon``, one of ``epsilons``.

    series: for each method name, style (its place in the list of methods, which fixes colour, dash and marker) and
    points, one per epsilon: [sparsity, accuracy, "certified" | "open" | "rough"], or None where there is none yet.
    dense: accuracy of the dense network. ``st.session_state[key]["eps"]`` holds the committed value in the callback.
    """
    data = {
        "epsilons": epsilons,
        "series": series,
        "index": epsilons.index(epsilon),
        "dense": dense,
        "alt": alt,
        "plotly": f"vendor/plotly.min.js?v={plotly.__version__}",
    }
    _component(key=key, data=data, on_eps_change=on_commit)

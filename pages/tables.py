"""HTML tables from reports. No Streamlit; what comes from outside is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nettrim_core.methods import titled
from nettrim_core.record import Point
from nettrim_core.report import LayerReport
from pages.axes import megabytes

STYLE = """<style>
.ntl { width: 100%; border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
.ntl th, .ntl td { text-align: left; padding: .3rem .75rem .3rem 0; vertical-align: top; }
.ntl th, .ntl td { border-top: 1px solid var(--st-border-color, #8884); }
.ntl thead th { border-top: 0; font-weight: 600; }
.ntl th[scope="rowgroup"] { overflow-wrap: anywhere; }
.ntl .w { font-size: .85rem; font-weight: 400; }
</style>"""


def layers(points: Sequence[Point]) -> str:
    """A row per layer and method with its certificate, and its error in the network beside the bound."""
    rows = []
    for i, layer in enumerate(points[0].report.layers):
        for k, point in enumerate(points):
            entry = point.report.layers[i]
            head = (
                f'<th rowspan="{len(points)}" scope="rowgroup">{escape(layer.name)}'
                f'<div class="w">{_shape(layer)}</div></th>'
                if k == 0
                else ""
            )
            title = escape(titled(point.method))
            rows.append(
                f"<tr>{head}<td>{title}</td><td>{_certificate(entry, point.report.rough)}</td>"
                f"<td>{_bound(entry)}</td></tr>"
            )
    header = (
        "<thead><tr><th>Layer</th><th>Method</th><th>Certificate</th><th>Error in the network, of its size</th></tr>"
        "</thead>"
    )
    return f'{STYLE}<table class="ntl">{header}<tbody>{"".join(rows)}</tbody></table>'


def _shape(layer: LayerReport) -> str:
    return f"{layer.inputs} × {layer.outputs}{', ReLU' if layer.relu else ', linear'}"


def _certificate(entry: LayerReport, rough: bool) -> str:
    if entry.gap is None:
        return "within its tolerance ✓" if entry.converged else "outside its tolerance ✗"
    mark = "✓" if entry.converged else "so far" if rough else "✗ not converged"
    memory = "" if entry.memory is None else f", {megabytes(entry.memory)}"
    return f'gap {entry.gap:.1e} {mark}<div class="w">{entry.seconds:.1f} s{memory}</div>'


def _bound(entry: LayerReport) -> str:
    scale = entry.output_norm or 1.0
    if entry.bound is None:
        return f"{entry.error / scale:.3f}, no bound"
    error, bound = entry.error / scale, entry.bound / scale
    shown = f"{bound:.3f}" if bound < 10 else f"{bound:,.0f}"
    return f"{error:.3f}, bound about {shown}" if entry.bound_is_estimate else f"{error:.3f} ≤ {shown}"

"""A figure over two settings as a landscape that can be turned: where it is flat, and where it falls off."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from nettrim_core.figures.style import INK


def surface(
    columns: Sequence[str], rows: Sequence[str], values: Sequence[Sequence[float | None]], titles: Sequence[str],
    ticks: str, dark: bool,
) -> go.Figure:  # fmt: skip
    """values[i][j] belongs to rows[i] and columns[j]; None where nothing is known, which leaves a hole.

    titles: of the columns, the rows and the values. ticks: Plotly's format of the values. Both settings are drawn in
    even steps with their values as ticks, because most are stepped by factors.
    """
    x, y, z = titles
    label = {"text": z.replace(", ", ",<br>"), "side": "right", "font": {"color": INK[dark]}}
    figure = go.Figure(go.Surface(
        z=[list(row) for row in values], colorscale="Cividis", customdata=[[[c, r] for c in columns] for r in rows],
        hovertemplate=f"{x} %{{customdata[0]}}<br>{y} %{{customdata[1]}}<br>{z} %{{z:{ticks}}}<extra></extra>",
        colorbar={"title": label, "tickformat": ticks, "tickfont": {"color": INK[dark]}, "thickness": 12},
    ))  # fmt: skip
    figure.update_layout(
        height=460, margin={"l": 0, "r": 0, "t": 8, "b": 0},
        scene={
            "xaxis": _axis(x, columns, dark), "yaxis": _axis(y, rows, dark),
            "zaxis": {"title": {"text": ""}, "tickformat": ticks, "color": INK[dark]},
            "camera": {"eye": {"x": -1.6, "y": -1.6, "z": 0.8}, "center": {"x": 0, "y": 0, "z": -0.15}},
            "aspectratio": {"x": 1.3, "y": 1, "z": 0.8},
        },
    )  # fmt: skip
    return figure


def _axis(title: str, labels: Sequence[str], dark: bool) -> dict[str, object]:
    shown = range(0, len(labels), max(1, -(-len(labels) // 6)))
    return {
        "title": {"text": title}, "tickvals": list(shown), "ticktext": [labels[i] for i in shown], "color": INK[dark],
    }  # fmt: skip

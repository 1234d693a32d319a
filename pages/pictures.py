"""Small pictures: a table of layers with bars, maps of what a first layer still uses, decision regions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np

from nettrim_core.record import Point
from nettrim_core.report import LayerReport
from pages.state import METHOD_TITLES
from pages.words import megabytes, percent

# white to blue, and the page's dark grey to blue: more weights left, more colour
LIGHT_SCALE = np.array([[245, 247, 250], [0, 114, 178]], float)
DARK_SCALE = np.array([[38, 39, 48], [86, 180, 233]], float)
# dense classes of decision regions; where pruning changed the class, the colour is stronger
REGION_COLORS = np.array([[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167]], float)
MAP_SIDE = 280

TABLE_STYLE = """<style>
.ntl { width: 100%; border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
.ntl th, .ntl td { text-align: left; padding: .3rem .5rem .3rem 0; vertical-align: top; }
.ntl th, .ntl td { border-top: 1px solid var(--st-border-color, #8884); }
.ntl td { white-space: nowrap; }
.ntl thead th { border-top: 0; font-weight: 600; }
.ntl .b { height: 5px; border-radius: 3px; background: #8883; margin-top: 4px; max-width: 11rem; }
.ntl .b i { display: block; height: 5px; border-radius: 3px; background: var(--st-primary-color, #0B5C8A); }
.ntl .w { font-size: .85rem; }
@media (max-width: 560px) { .ntl .wide { display: none; } }
</style>"""


def layer_table(points: list[Point]) -> str:
    """HTML: a row per layer and method with zeros, discrepancy against what is allowed, certificate, bound."""
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
            title = escape(METHOD_TITLES.get(point.method, point.method))
            used = entry.held / entry.epsilon if entry.epsilon else 0.0
            rows.append(
                f"<tr>{head}<td>{title}</td>"
                f"<td>{percent(entry.sparsity)}{_bar(entry.sparsity)}</td>"
                f"<td>{entry.held:.4f} of {entry.epsilon:.4f}{_bar(used)}</td>"
                f'<td class="wide">{_certificate(entry, point.report.rough)}</td>'
                f'<td class="wide">{_bound(entry)}</td></tr>'
            )
    header = (
        "<thead><tr><th>Layer</th><th>Method</th><th>Zeros</th><th>Discrepancy</th>"
        '<th class="wide">Certificate</th><th class="wide">Error in the network</th></tr></thead>'
    )
    return f'{TABLE_STYLE}<table class="ntl">{header}<tbody>{"".join(rows)}</tbody></table>'


def _shape(layer: LayerReport) -> str:
    return f"{layer.inputs} × {layer.outputs}{', ReLU' if layer.relu else ', linear'}"


def _bar(fraction: float) -> str:
    return f'<div class="b"><i style="width:{100 * min(max(fraction, 0.0), 1.0):.1f}%"></i></div>'


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


def usage_map(point: Point, shape: Sequence[int], dark: bool) -> tuple[np.ndarray, str] | None:
    """RGB picture of how many weights of the first chosen layer are left at each input, and its caption.

    shape: of the layer's weight in torch. Inputs that form a square are drawn as one; a convolution's filters, a mean
    over their channels, side by side; with one dimension each is a column. None for others.
    """
    layer = point.report.layers[0]
    mask = point.mask(layer.name)
    if len(shape) > 2:
        filters = mask.T.reshape(shape).mean(1)
        picture = filters.T if filters.ndim == 2 else _tiled(filters)
        each = "a column" if filters.ndim == 2 else "a tile"
        caption = f"{int(mask.sum())} of {mask.size} filter weights left, {each} per filter"
    else:
        side = math.isqrt(layer.inputs)
        if side < 4 or side * side != layer.inputs:
            return None
        left = mask.sum(1).reshape(side, side)
        picture = left / layer.outputs
        caption = f"{int((left > 0).sum())} of {left.size} inputs still used"
    return _colored(picture, dark), caption


def _tiled(tiles: np.ndarray) -> np.ndarray:
    """(count, height, width) as one picture about as wide as high, with gaps between."""
    count, height, width = tiles.shape
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    picture = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for i, tile in enumerate(tiles):
        row, column = (place * (side + 1) for place, side in zip(divmod(i, across), (height, width), strict=True))
        picture[row : row + height, column : column + width] = tile
    return picture


def _colored(values: np.ndarray, dark: bool) -> np.ndarray:
    low, high = DARK_SCALE if dark else LIGHT_SCALE
    strength = np.sqrt(np.nan_to_num(values))[..., None]
    picture = low + (high - low) * strength
    picture[np.isnan(values)] = 255 if not dark else 14
    return _enlarged(picture)


def _enlarged(picture: np.ndarray) -> np.ndarray:
    factor = max(1, MAP_SIDE // max(picture.shape[:2]))
    return np.kron(picture, np.ones((factor, factor, 1))).astype(np.uint8)


def region_map(regions: np.ndarray, dense: np.ndarray, dark: bool) -> np.ndarray:
    """RGB picture of decision regions, second input upwards; stronger where the class is not the dense network's."""
    ground = DARK_SCALE[0] if dark else np.array([255.0, 255.0, 255.0])
    color = REGION_COLORS[regions.astype(int) % len(REGION_COLORS)]
    strength = np.where(regions == dense, 0.35, 1.0)[..., None]
    return _enlarged((ground + (color - ground) * strength)[::-1])

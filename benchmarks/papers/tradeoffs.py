"""Zeros against test error on MNIST and Fashion-MNIST: what is shown of :mod:`benchmarks.papers.tradeoff`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from operator import gt
from typing import Any

from benchmarks.papers.experiment import (
    SPREAD,
    Chart,
    Experiment,
    Line,
    Measured,
    Shown,
    Table,
    interval,
    spread,
    within,
)
from benchmarks.papers.tradeoff import FEWER, GAINS, ITERATIVE, ROUNDS, SAMPLES, measure
from benchmarks.papers.tradeoff import cells as asked_for
from benchmarks.papers.training import is_sample
from nettrim_core.methods import titled

Way = tuple[str, str, bool]  # method, by, cascade
Found = dict[Way, list[Measured]]  # of all draws
Errors = Mapping[Way, Sequence[float]]  # of all draws, none of them 0
TITLES = {"tolerance": "equal tolerance", "layers": "equal counts in each layer", "overall": "equal counts overall"}


def name_of(method: str, cascade: bool = False) -> str:
    title = "Iterative magnitude" if method == ITERATIVE else titled(method)
    return f"{title} (cascade)" if cascade else title


def grouped(measured: Sequence[Measured]) -> Found:
    found: Found = {}
    for cell in measured:
        found.setdefault((cell.asked["method"], cell.asked["by"], cell.asked["cascade"]), []).append(cell)
    return found


def column(cells: Sequence[Measured], gain: float, what: str) -> list[Any]:
    """One figure of every draw; none where it was not measured."""
    points = [point for cell in cells for point in cell.found["points"] if point["gain"] == gain]
    return [point[what] for point in points if what in point]


def show(measured: list[Measured]) -> Shown:
    found = grouped(measured)
    dense = [cells[0].found["dense"] for cells in _by_draw(measured).values()]
    charts = [_chart(by, found) for by in TITLES if any(way[1] == by for way in found)]
    tables = [
        _errors(by, "error", found) for by in ("layers", "overall") if any(way[1] == by for way in found)
    ] + [
        _errors(by, "retrained", found) for by in ("layers", "overall")
        if any(column(cells, gain, "retrained") for way, cells in found.items() if way[1] == by for gain in GAINS)
    ]  # fmt: skip
    tables += [_tolerances(found), _layers(found), _seconds(found)]
    says = [f"The dense network has a test error of {within([100 * e for e in dense])} %.", *_sentences(found)]
    return Shown(says, [table for table in tables if table.rows], charts)


def _by_draw(measured: Sequence[Measured]) -> dict[int, list[Measured]]:
    found: dict[int, list[Measured]] = {}
    for cell in measured:
        found.setdefault(cell.asked["draw"], []).append(cell)
    return found


def _chart(by: str, found: Found) -> Chart:
    lines = []
    for (method, _, cascade), cells in of_counts(by, found).items():
        if method == ITERATIVE:
            continue
        gains = sorted(cells[0].asked["gains"], reverse=True)
        kept = [100 * interval(column(cells, gain, "kept"))[0] for gain in gains]
        errors = [spread([100 * e for e in column(cells, gain, "error")]) for gain in gains]
        lines.append(Line(
            name_of(method, cascade), kept, *(list(values) for values in zip(*errors, strict=True)), dashed=cascade,
            method=method,
        ))  # fmt: skip
    title = f"{TITLES[by]}, before retraining"
    return Chart(title, "weights and biases that stay, %", "test error, %", lines, True, True, SPREAD)


def of_counts(by: str, found: Found) -> Found:
    """What is compared at equal counts: at those of each layer, the reference and its refit beside the others."""
    also = [("nettrim", "tolerance", False), ("nettrim_refit", "tolerance", False)] if by == "layers" else []
    return {way: cells for way, cells in found.items() if way[1] == by or way in also}


def gains_of(found: Found, what: str) -> list[Any]:
    return [gain for gain in FEWER if any(column(cells, gain, what) for cells in found.values())]


def _errors(by: str, what: str, found: Found) -> Table:
    """Test errors at the counts of some gains."""
    here = of_counts(by, found)
    gains = gains_of({way: cells for way, cells in here.items() if way[1] == by}, what)
    rows, links = [], []
    for (method, _, cascade), cells in here.items():
        if method == ITERATIVE and what == "error":
            continue
        values = [column(cells, gain, what) for gain in gains]
        rows.append([name_of(method, cascade), *(within([100 * e for e in some]) if some else "" for some in values)])
        links.append(_link(cells, method, cascade, gains[-1], same_zeros=True))
    reference = found.get(("nettrim", "tolerance", False), next(iter(here.values())))
    header = [f"{within([100 * k for k in column(reference, gain, 'kept')], '{:.1f}')} % stay" for gain in gains]
    after = " after retraining" if what == "retrained" else ""
    return Table(
        f"Test error in percent{after}, {TITLES[by]}", ["method", *header], rows,
        f"The counts are Net-Trim's at the gain{'s' if len(gains) > 1 else ''} {', '.join(f'{g:g}' for g in gains)}"
        + (f"; iterative magnitude has {ROUNDS} epochs, the others one." if what == "retrained" else "."),
        links if any(links) else (),
    )  # fmt: skip


def _link(cells: Sequence[Measured], method: str, cascade: bool, gain: float, same_zeros: bool = False) -> str:
    """same_zeros: beside Net-Trim, at the zeros that it has."""
    asked = cells[0].asked
    if method == ITERATIVE or not is_sample(asked["data"], asked["network"], 0):
        return ""
    methods = f"nettrim,{method}" if same_zeros and method != "nettrim" else method
    link = f"model={asked['network']}&methods={methods}&eps={gain:g}&n={asked['samples']}"
    return link + ("&match=sparsity" if same_zeros else "") + ("&mode=cascade" if cascade else "")


def _tolerances(found: Found) -> Table:
    here = {way: cells for way, cells in found.items() if way[1] == "tolerance"}
    gains = gains_of(here, "kept")
    rows = [
        [name_of(method, cascade), *(
            f"{within([100 * k for k in column(cells, gain, 'kept')], '{:.1f}')} → "
            f"{within([100 * e for e in column(cells, gain, 'error')])}" for gain in gains
        )]
        for (method, _, cascade), cells in here.items()
    ]  # fmt: skip
    links = [_link(cells, method, cascade, gains[-1]) for (method, _, cascade), cells in here.items()]
    return Table(
        "Equal tolerance: percent of weights and biases that stay → test error in percent",
        ["method", *(f"epsilon = {gain:g}" for gain in gains)], rows,
        "A cascade's tolerance is that of its first layer.", links if any(links) else (),
    )  # fmt: skip


def _layers(found: Found) -> Table:
    """How much of each layer stays, convolutions among them."""
    here = {way: cells for way, cells in found.items() if way[1] == "tolerance" and not way[2]}
    names = list(next(iter(here.values()))[0].found["points"][0]["layers"]) if here else []
    gain = FEWER[-1]
    rows = []
    for (method, _, _), cells in here.items():
        layers = column(cells, gain, "layers")
        rows.append([name_of(method), *(within([100 * (1 - one[name]) for one in layers], "{:.1f}") for name in names)])
    return Table(f"Percent of each layer that stays at epsilon = {gain:g}", ["method", *names], rows)


def _seconds(found: Found) -> Table:
    """Of what was asked at all twelve gains."""
    rows = []
    for method in dict.fromkeys(way[0] for way in found):
        row = [name_of(method)]
        for by, cascade in (("tolerance", False), ("tolerance", True), ("layers", False), ("overall", False)):
            cells = found.get((method, by, cascade), [])
            spent = [cell.found["seconds"] for cell in cells]
            row.append(f"{within(spent, '{:.1f}')}, {len(cells[0].asked['gains'])}" if spent else "")
        rows.append(row)
    return Table(
        "Seconds of pruning, and of how many points together",
        ["method", "equal tolerance", "its cascade", "equal counts in each layer", "overall"], rows,
        "In each layer Net-Trim's own counts are known before; iterative magnitude's seconds hold its retraining.",
    )  # fmt: skip


def _sentences(found: Found) -> list[str]:
    """Who has the least error, at which counts, before and after retraining."""
    said = []
    for by in ("layers", "overall"):
        for what, when in (("error", "before retraining"), ("retrained", "after it")):
            here = of_counts(by, found)
            gains = gains_of({way: cells for way, cells in here.items() if way[1] == by}, what)
            ways = [way for way in here if not (way[0] == ITERATIVE and what == "error")]
            firsts = [winner({way: column(here[way], gain, what) for way in ways}) for gain in gains]
            kept = [interval(column(_reference(found, here), gain, "kept"))[0] for gain in gains]
            if firsts:
                said.append(f"The least error at {TITLES[by]}, {when}: " + "; ".join(
                    f"with {k:.1%} left, {first}" for k, first in zip(kept, firsts, strict=True)
                ) + ".")  # fmt: skip
    if any(", shared" in one for one in said):
        said.append("A first place is shared where the draws do not tell another method's error from it.")
    return [*said, *_behind(found)]


def _behind(found: Found) -> list[str]:
    """How often Net-Trim, as it is and refitted, has a larger error than others at the same zeros, and why."""
    here, said = of_counts("layers", found), []
    for own in ("nettrim", "nettrim_refit"):
        if (mine := here.get((own, "tolerance", False))) is None:
            continue
        gains = mine[0].asked["gains"]
        worse = [
            f"{titled(way[0])} at {sum(map(gt, _means(mine, gains), _means(here[way], gains)))}"
            for way in (
                ("magnitude", "layers", False),
                ("magnitude_refit", "layers", False),
                ("exactobs", "layers", False),
            )
            if way in here
        ]
        if worse:
            said.append(f"{titled(own)} has a larger error than {', than '.join(worse)} of {len(gains)} counts.")
    return [
        *said,
        "Why: it keeps the tolerance with the smallest l1 norm and not with the fewest weights, so that what stays is "
        "shrunk; its refit undoes that only within the tolerance.",
    ] if said else []  # fmt: skip


def _means(cells: Sequence[Measured], gains: Sequence[float]) -> list[float]:
    return [interval(column(cells, gain, "error"))[0] for gain in gains]


def _reference(found: Found, here: Found) -> list[Measured]:
    return found.get(("nettrim", "tolerance", False), next(iter(here.values())))


def firsts(errors: Errors) -> list[Way]:
    """Who has the smallest mean, and who cannot be told from it: the ratio of its error to the first's, draw by draw,
    has a 95 % interval (of its logarithm, as errors span powers of ten) with 1 in it."""
    best = min(errors, key=lambda way: interval(errors[way])[0])
    # zip: what was measured on fewer draws is compared on these
    ratios = {way: [math.log(e / first) for e, first in zip(mine, errors[best])] for way, mine in errors.items()}  # noqa: B905
    return [best, *(way for way, logs in ratios.items() if way != best and interval(logs)[1] <= 0)]


def winner(errors: Errors) -> str:
    best, *shared = firsts({way: values for way, values in errors.items() if values})
    return f"{name_of(best[0], best[2])} with {100 * interval(errors[best])[0]:.2f} %{', shared' if shared else ''}"


PROTOCOL = (
    f"{SAMPLES:,} training rows calibrate all methods; the authors of both papers use up to 55,000.",
    "All layers are pruned, convolutions too, which Net-Trim's code leaves dense.",
    "Retraining is one epoch of SGD over 50,000 rows, rate 0.01, momentum 0.9, falling to zero, masks held.",
    "To save time there are three draws in place of five, retraining at fewer gains than twelve, ALPS and shares of an "
    "overall count at four, and Net-Trim's and ALPS's own shares on LeNet-300-100 alone. Iterative magnitude has "
    f"{ROUNDS} rounds of an epoch.",
)
NETWORKS = {
    "tradeoff_lenet_300_100": ("mnist", "lenet_300_100", "LeNet-300-100 on MNIST", "Layer-wise OBS (NIPS 2017)"),
    "tradeoff_net_trim": (
        "mnist", "net_trim", "784-300-1000-100-10 on MNIST", "Net-Trim (NIPS 2017), its code for MNIST"),
    "tradeoff_lenet_5": ("mnist", "lenet_5", "LeNet-5 on MNIST", "Net-Trim (NIPS 2017) and Layer-wise OBS (NIPS 2017)"),
    "tradeoff_fashion": ("fashion", "lenet_5", "LeNet-5 on Fashion-MNIST", "LeNet-5 on MNIST, on data nobody tuned on"),
}  # fmt: skip
TRADEOFFS = [
    Experiment(
        name, f"Zeros against error: {title}", source, PROTOCOL, partial(asked_for, data, network), measure, show,
        with_sources=("benchmarks.papers.training",),
    )
    for name, (data, network, title, source) in NETWORKS.items()
]  # fmt: skip

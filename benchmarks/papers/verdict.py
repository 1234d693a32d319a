"""Who wins when: one page of plain words, made from what the experiments found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.papers import calibration, robustness
from benchmarks.papers.experiment import Measured, Shown, Table, interval
from benchmarks.papers.tradeoff import FEWER, ITERATIVE
from benchmarks.papers.tradeoffs import (
    NETWORKS,
    TITLES,
    Found,
    Way,
    column,
    firsts,
    gains_of,
    grouped,
    name_of,
    of_counts,
)
from nettrim_core.methods import titled

NAME, TITLE = "who_wins", "Who wins when"
SOURCE = "Counts places in the tables of the other experiments here."
DIFFERS = (
    "First is who has the smallest mean; who shares the first place has a 95 % interval that overlaps the first one's.",
    "Three draws make wide intervals: a shared place says that these draws do not tell, not that both are the same.",
)
KINDS = ("convolution", "hidden, fully connected", "output")


Errors = Mapping[Way, tuple[float, float, float]]  # mean, low, high


def content(documents: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The page as the files of experiments are; documents: these."""
    cells = {document["name"]: [Measured(**cell) for cell in document["cells"]] for document in documents}
    names = (*NETWORKS, calibration.EXPERIMENT.name, robustness.EXPERIMENT.name)
    used = [name for name in names if name in cells]
    return {
        "place": 0, "name": NAME, "title": TITLE, "source": SOURCE, "differs": list(DIFFERS),
        "shown": asdict(shown(cells)),
        "made": f"`python -m benchmarks.papers.document` makes it from the results of {', '.join(used)}.",
    }  # fmt: skip


def shown(documents: Mapping[str, Sequence[Measured]]) -> Shown:
    """documents: by experiment, all its cells; those that are not there are not spoken of."""
    found = {NETWORKS[name][2]: grouped(documents[name]) for name in NETWORKS if name in documents}
    says, tables = [], []
    for part in (by_sparsity, by_retraining, by_kind):
        if found:
            sentences, table = part(found)
            says += sentences
            tables.append(table)
    if calibration.EXPERIMENT.name in documents:
        sentences, table = by_rows(documents[calibration.EXPERIMENT.name])
        says += sentences
        tables.append(table)
    if robustness.EXPERIMENT.name in documents:
        sentences, table = by_noise(documents[robustness.EXPERIMENT.name])
        says += sentences
        tables.append(table)
    return Shown(says, tables)


def ranked(found: Found, by: str, what: str) -> Iterable[tuple[float, float, Errors]]:
    """(gain, weights kept, method -> its error in percent with its interval) at the counts of each gain."""
    here = {way: cells for way, cells in of_counts(by, found).items() if way[0] != ITERATIVE or what == "retrained"}
    for gain in gains_of({way: cells for way, cells in here.items() if way[1] == by}, what):
        errors = {way: column(cells, gain, what) for way, cells in here.items()}
        kept = interval(column(found["nettrim", "tolerance", False], gain, "kept"))[0]
        yield gain, kept, {way: interval([100 * e for e in some]) for way, some in errors.items() if some}


def said(ways: Iterable[Way]) -> str:
    return ", ".join(name_of(way[0], way[2]) for way in ways)


def by_sparsity(found: Mapping[str, Found]) -> tuple[list[str], Table]:
    """Before retraining."""
    rows, winners = [], []
    for network, one in found.items():
        for by in ("layers", "overall"):
            for _, kept, errors in ranked(one, by, "error"):
                first, *shared = firsts(errors)
                winners.append((kept, by, first, shared, errors))
                worst = max(errors, key=lambda way: errors[way][0])
                rows.append([
                    network, TITLES[by], f"{kept:.1%}", said([first]), f"{errors[first][0]:.2f}", said(shared),
                    f"{_of(errors, 'nettrim'):.2f}", f"{said([worst])}, {errors[worst][0]:.2f}",
                ])  # fmt: skip
    says = [
        _most(winners, "layers", "with the same zeros in each layer"),
        _most(winners, "overall", "where each method shares the same zeros among the layers itself"),
        _spread(winners),
    ]
    table = Table(
        "By sparsity: test error in percent before retraining",
        ["network", "compared at", "weights left", "first", "its error", "shares the place", "Net-Trim", "last"], rows,
    )  # fmt: skip
    return says, table


Winner = tuple[float, str, Way, list[Way], Errors]


def _of(errors: Errors, method: str) -> float:
    return next((mean for way, (mean, _, _) in errors.items() if way[0] == method and not way[2]), float("nan"))


def _counted(names: Iterable[str]) -> str:
    """How often each, the most frequent first."""
    names = list(names)
    order = sorted(dict.fromkeys(names), key=lambda name: -names.count(name))
    return ", ".join(f"that of {name} in {names.count(name)}" for name in order)


def _most(winners: Sequence[Winner], by: str, start: str) -> str:
    here = [winner for winner in winners if winner[1] == by]
    count = _counted(name_of(first[0], first[2]) for _, _, first, _, _ in here)
    near = sum(any(way[0].startswith("nettrim") for way in [first, *shared]) for _, _, first, shared, _ in here)
    return (
        f"Before retraining, {start}: of {len(here)} comparisons the least error is {count}. Net-Trim or its refit has "
        f"it, or cannot be told from what has it, in {near}."
    )


def _spread(winners: Sequence[Winner]) -> str:
    """From how many weights on the choice of method matters."""

    def gap(winner: Winner) -> float:
        errors = [mean for mean, _, _ in winner[4].values()]
        return max(errors) - min(errors)

    many, few = max(winners, key=lambda winner: winner[0]), min(winners, key=lambda winner: winner[0])
    return (
        f"With {many[0]:.0%} of the weights left the first and the last are {gap(many):.1f} percentage points apart, "
        f"with {few[0]:.1%} left {gap(few):.1f}."
    )


def by_retraining(found: Mapping[str, Found]) -> tuple[list[str], Table]:
    rows, closer, firsts_after = [], [], []
    for network, one in found.items():
        for by in ("layers", "overall"):
            before = {gain: errors for gain, _, errors in ranked(one, by, "error")}
            for gain, kept, after in ranked(one, by, "retrained"):
                both = [way for way in after if way in before.get(gain, {})]
                if not both:
                    continue
                spans = [
                    max(errors[way][0] for way in both) - min(errors[way][0] for way in both)
                    for errors in (before[gain], after)
                ]
                first, *shared = firsts(after)
                firsts_after.append(name_of(first[0], first[2]))
                closer.append(spans)
                rows.append([
                    network, TITLES[by], f"{kept:.1%}", said(firsts(before[gain])[:1]), said([first]),
                    f"{after[first][0]:.2f}", said(shared), *(f"{span:.2f}" for span in spans),
                ])  # fmt: skip
    share = sum(after / before for before, after in closer if before) / max(len(closer), 1)
    says = [
        f"After light retraining what lies between the first and the last is on average {share:.0%} of what it was "
        f"before; of {len(rows)} comparisons the least error is then {_counted(firsts_after)}.",
    ]
    table = Table(
        "With and without retraining",
        ["network", "compared at", "weights left", "first before", "first after", "its error", "shares the place",
         "first to last before", "after"], rows,
        "In percent and percentage points of test error; first to last of the methods that are in both.",
    )  # fmt: skip
    return says, table


def by_kind(found: Mapping[str, Found]) -> tuple[list[str], Table]:
    """Weights left at equal tolerance, relative to Net-Trim's."""
    ratios: dict[str, dict[str, list[float]]] = {}
    for one in found.values():
        reference = one["nettrim", "tolerance", False]
        names = list(reference[0].found["points"][0]["layers"])
        for (method, by, cascade), cells in one.items():
            if by != "tolerance" or cascade or method.startswith("nettrim"):
                continue
            for gain in FEWER:
                for mine, theirs in zip(column(cells, gain, "layers"), column(reference, gain, "layers"), strict=True):
                    for name in names:
                        kept, base = 1 - mine[name], 1 - theirs[name]
                        if base:
                            of_kinds = ratios.setdefault(method, {})
                            of_kinds.setdefault(kind_of(name, names), []).append(kept / base)
    kinds = [kind for kind in KINDS if any(kind in one for one in ratios.values())]
    means = {method: {kind: interval(one[kind])[0] for kind in kinds} for method, one in ratios.items()}
    rows = [["Net-Trim", *("1" for _ in kinds)]]
    rows += [[titled(method), *(f"{one[kind]:.2f}" for kind in kinds)] for method, one in means.items()]
    says = []
    for kind in kinds:
        best = min(means, key=lambda method: means[method][kind])
        fewer = [titled(method) for method, one in means.items() if one[kind] < 1]
        fewer_said = (
            f"with fewer than Net-Trim: {', '.join(fewer)}" if fewer else "no method leaves fewer than Net-Trim"
        )
        says.append(
            f"{_capital(kind)} layers: at the same tolerance {titled(best)} leaves {means[best][kind]:.2f} times the "
            f"weights that Net-Trim leaves; {fewer_said}."
        )
    table = Table(
        "By kind of layer: weights left at equal tolerance, as a multiple of Net-Trim's", ["method", *kinds], rows,
        f"Means over networks, draws and the gains {', '.join(f'{gain:g}' for gain in FEWER)}.",
    )  # fmt: skip
    return says, table


def kind_of(name: str, names: Sequence[str]) -> str:
    return KINDS[0] if name.startswith("conv") else KINDS[2] if name == names[-1] else KINDS[1]


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def by_rows(cells: Sequence[Measured]) -> tuple[list[str], Table]:
    before, after = (calibration.table_of(cells, what) for what in ("error", "retrained"))
    rows, order = [], []
    for size in next(iter(before.values())):
        row = [f"{size:,}"]
        for found in (before, after):
            known: Errors = {(name, "layers", False): interval(by_size[size]) for name, by_size in found.items()}
            first, *shared = firsts(known)
            row += [f"{said([first])}, {known[first][0]:.2f}", said(shared)]
            if found is before:
                order.append((size, said([first]), known[first][0], _of(known, "magnitude")))
        rows.append(row)
    few, many = order[0], order[-1]
    worth = [size for size, _, error, magnitude in order if error < magnitude]
    says = [
        f"Calibration rows: with {few[0]:,} the least error is {few[1]}'s with {few[2]:.1f} %, with {many[0]:,} "
        f"{many[1]}'s with {many[2]:.2f} %; magnitude, which looks at none, has {few[3]:.1f} %. "
        + (f"From {worth[0]:,} rows on some method is better." if worth else "No method is better."),
    ]  # fmt: skip
    table = Table(
        "By calibration rows: LeNet-300-100, test error in percent",
        ["rows", "first before retraining", "shares the place", "first after", "shares the place with it"], rows,
        "At the zeros " + ", ".join(f"{part:.1%} of {name}" for name, part in calibration.ZEROS.items()) + ".",
    )  # fmt: skip
    return says, table


def by_noise(cells: Sequence[Measured]) -> tuple[list[str], Table]:
    """Accuracy under noise at equal tolerance, against the dense network's."""
    networks = list(dict.fromkeys(cell.asked["network"] for cell in cells))
    rows = []
    for network in networks:
        here = [cell for cell in cells if cell.asked["network"] == network]
        for place, epsilon in enumerate(here[0].asked["epsilons"]):
            means = robustness.under_noise(here, place)
            dense = means.pop("")
            order = sorted(means, key=lambda name: -means[name])
            rows.append([
                network, f"{epsilon:g}", f"{dense:.1%}", *(f"{titled(name)}, {means[name]:.1%}" for name in
                (order[0], order[1], order[-1])),
            ])  # fmt: skip
    count = _counted(row[3].split(",")[0] for row in rows)
    says = [
        f"Noise on the inputs, at equal tolerance: of {len(rows)} comparisons the highest accuracy under noise as "
        f"strong as the input, or stronger, is {count}."
    ]
    table = Table(
        "By noise: mean accuracy under noise as strong as the input or stronger, at equal tolerance",
        ["network", "epsilon", "dense", "first", "second", "last"], rows,
        "The methods' zeros differ at equal tolerance; the table of the experiment has them.",
    )  # fmt: skip
    return says, table

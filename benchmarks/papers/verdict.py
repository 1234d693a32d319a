"""Who wins when: one page of plain words, made from what the experiments found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.papers import calibration, robustness
from benchmarks.papers.experiment import Measured, Shown, Table, interval
from benchmarks.papers.tradeoff import FEWER, ITERATIVE
from benchmarks.papers.tradeoffs import (
    NETWORKS,
    TITLES,
    Errors,
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
    "First is who has the smallest mean error; who shares the first place cannot be told from it: the ratio of both "
    "errors, draw by draw, has a 95 % interval that contains 1.",
    "Three draws make wide intervals: a shared place says that these draws do not tell, not that both are the same.",
)
KINDS = ("convolution", "hidden, fully connected", "output")


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
    noise = by_noise(documents[robustness.EXPERIMENT.name]) if robustness.EXPERIMENT.name in documents else None
    says = [in_short(found, firsts_of(noise[1]) if noise else ())] if found or noise else []
    tables: list[Table] = []
    for part in (by_sparsity, by_retraining, by_kind):
        if found:
            sentences, table = part(found)
            says += sentences
            tables.append(table)
    if calibration.EXPERIMENT.name in documents:
        sentences, table = by_rows(documents[calibration.EXPERIMENT.name])
        says += sentences
        tables.append(table)
    if noise:
        says += noise[0]
        tables.append(noise[1])
    return Shown(says, tables)


@dataclass(frozen=True)
class Comparison:
    """Methods at the same zeros. kept: the weights that are left; errors: of each method."""

    network: str
    by: str
    gain: float
    kept: float
    errors: Errors

    @property
    def first(self) -> Way:
        return firsts(self.errors)[0]

    @property
    def shared(self) -> list[Way]:
        """Who cannot be told from the first."""
        return firsts(self.errors)[1:]

    @property
    def last(self) -> Way:
        return max(self.errors, key=self.mean)

    def mean(self, way: Way) -> float:
        """In percent."""
        return 100 * interval(self.errors[way])[0]

    def span(self, ways: Iterable[Way]) -> float:
        """From the least error of these to the largest."""
        means = list(map(self.mean, ways))
        return max(means) - min(means)

    @property
    def place(self) -> list[str]:
        """Its first cells in a table."""
        return [self.network, TITLES[self.by], f"{self.kept:.1%}"]

    def error_of(self, way: Way) -> str:
        """A text; empty for who is not among them."""
        return f"{self.mean(way):.2f}" if way in self.errors else ""


def comparisons(found: Mapping[str, Found], what: str) -> list[Comparison]:
    """At equal counts in each layer and overall, of every network. what: "error" or "retrained"."""
    made = []
    for network, one in found.items():
        for by in ("layers", "overall"):
            here = {
                way: cells for way, cells in of_counts(by, one).items() if way[0] != ITERATIVE or what == "retrained"
            }
            for gain in gains_of({way: cells for way, cells in here.items() if way[1] == by}, what):
                errors = {way: column(cells, gain, what) for way, cells in here.items()}
                kept = interval(column(one["nettrim", "tolerance", False], gain, "kept"))[0]
                known = {way: some for way, some in errors.items() if some}
                made.append(Comparison(network, by, gain, kept, known))
    return made


def said(ways: Iterable[Way]) -> str:
    return ", ".join(name_of(way[0], way[2]) for way in ways)


def ranked(names: Iterable[str]) -> list[tuple[str, int]]:
    """Each with how often it is there, the most frequent first."""
    return Counter(names).most_common()


def counted(names: Iterable[str]) -> str:
    return ", ".join(f"{name} in {count}" for name, count in ranked(names))


def in_short(found: Mapping[str, Found], noise: Sequence[str]) -> str:
    """Who has the most first places, a cascade counted as its method; noise: the first of each comparison under it."""
    places = {
        f"{when} retraining": [name_of(one.first[0]) for one in comparisons(found, what)]
        for what, when in (("error", "before"), ("retrained", "after"))
    } | {"under noise": list(noise)}
    most = {where: ranked(names)[0] for where, names in places.items() if names}
    parts = [f"{name} {where} ({count} of {len(places[where])})" for where, (name, count) in most.items()]
    return f"In short, the most first places go to {', to '.join(parts)}."


def by_sparsity(found: Mapping[str, Found]) -> tuple[list[str], Table]:
    """Before retraining."""
    every = comparisons(found, "error")
    rows = [
        [*one.place, said([one.first]), one.error_of(one.first), said(one.shared), one.error_of(_nettrim(one)),
         f"{said([one.last])}, {one.error_of(one.last)}"]
        for one in every
    ]  # fmt: skip
    many, few = max(every, key=lambda one: one.kept), min(every, key=lambda one: one.kept)
    says = [
        _most(every, "layers", "with the same zeros in each layer"),
        _most(every, "overall", "where each method shares the same zeros among the layers itself"),
        _ahead(every),
        f"With {many.kept:.0%} of the weights left the first and the last are {many.span(many.errors):.1f} percentage "
        f"points apart, with {few.kept:.1%} left {few.span(few.errors):.1f}.",
    ]
    table = Table(
        "By sparsity: test error in percent before retraining",
        ["network", "compared at", "weights left", "first", "its error", "shares the place", "Net-Trim", "last"], rows,
    )  # fmt: skip
    return says, table


def _nettrim(one: Comparison) -> Way:
    """Its counts are those of equal tolerance, or its own budget's."""
    return ("nettrim", "tolerance" if one.by == "layers" else "overall", False)


def _most(every: Sequence[Comparison], by: str, start: str) -> str:
    here = [one for one in every if one.by == by]
    there = [one for one in here if any(way[0].startswith("nettrim") for way in one.errors)]
    near = sum(any(way[0].startswith("nettrim") for way in (one.first, *one.shared)) for one in there)
    return (
        f"Before retraining, {start}: of {len(here)} comparisons the least error is that of "
        f"{counted(said([one.first]) for one in here)}. Net-Trim or its refit has it, or cannot be told from what has "
        f"it, in {near} of the {len(there)} that they are in."
    )


def _ahead(every: Sequence[Comparison]) -> str:
    """How often Net-Trim's error is smaller than each other method's at its own counts."""
    here = [one for one in every if one.by == "layers"]
    own = ("nettrim", "tolerance", False)
    others = [way for way in here[0].errors if not way[0].startswith("nettrim") and not way[2]]
    smaller = {way: sum(one.mean(own) < one.mean(way) for one in here if way in one.errors) for way in others}
    order = sorted(others, key=lambda way: -smaller[way])
    return (
        f"With the zeros that Net-Trim puts into each layer, its error is smaller than that of "
        f"{', '.join(f'{name_of(way[0])} in {smaller[way]}' for way in order)} of {len(here)} comparisons."
    )


def by_retraining(found: Mapping[str, Found]) -> tuple[list[str], Table]:
    before = {(one.network, one.by, one.gain): one for one in comparisons(found, "error")}
    rows, shares, firsts_after = [], [], []
    for after in comparisons(found, "retrained"):
        earlier = before[after.network, after.by, after.gain]
        both = [way for way in after.errors if way in earlier.errors]
        spans = [earlier.span(both), after.span(both)]
        shares.append(spans[1] / spans[0])
        firsts_after.append(said([after.first]))
        rows.append([
            *after.place, said([earlier.first]), said([after.first]), after.error_of(after.first), said(after.shared),
            *(f"{span:.2f}" for span in spans),
        ])  # fmt: skip
    says = [
        f"After light retraining what lies between the first and the last is on average "
        f"{sum(shares) / len(shares):.0%} of what it was before; of {len(rows)} comparisons the least error is then "
        f"that of {counted(firsts_after)}.",
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
        others = [titled(method) for method, one in means.items() if one[kind] < 1 and method != best]
        says.append(
            f"{_capital(kind)} layers: at the same tolerance {titled(best)} leaves {means[best][kind]:.2f} times the "
            f"weights that Net-Trim leaves; besides it, {_and(others)} fewer than Net-Trim."
        )
    table = Table(
        "By kind of layer: weights left at equal tolerance, as a multiple of Net-Trim's", ["method", *kinds], rows,
        f"Means over networks, draws and the gains {', '.join(f'{gain:g}' for gain in FEWER)}.",
    )  # fmt: skip
    return says, table


def kind_of(name: str, names: Sequence[str]) -> str:
    return KINDS[0] if name.startswith("conv") else KINDS[2] if name == names[-1] else KINDS[1]


def _and(names: Sequence[str]) -> str:
    """The subject of a sentence, and its verb."""
    if len(names) < 2:
        return f"{names[0] if names else 'no method'} leaves"
    return f"{', '.join(names[:-1])} and {names[-1]} leave"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def by_rows(cells: Sequence[Measured]) -> tuple[list[str], Table]:
    before, after = (calibration.table_of(cells, what) for what in ("error", "retrained"))
    rows, order = [], []
    for size in next(iter(before.values())):
        row = [f"{size:,}"]
        for found in (before, after):
            known: Errors = {(name, "layers", False): by_size[size] for name, by_size in found.items()}
            means = {way: interval(errors)[0] for way, errors in known.items()}
            first, *shared = firsts(known)
            row += [f"{said([first])}, {means[first]:.2f}", said(shared)]
            if found is before:
                order.append((size, said([first]), means[first], means["magnitude", "layers", False]))
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
    table = Table(
        "By noise: mean accuracy under noise as strong as the input or stronger, at equal tolerance",
        ["network", "epsilon", "dense", "first", "second", "last"], rows,
        "The methods' zeros differ at equal tolerance; the table of the experiment has them.",
    )  # fmt: skip
    says = [
        f"Noise on the inputs, at equal tolerance: of {len(rows)} comparisons the highest accuracy under noise as "
        f"strong as the input, or stronger, is that of {counted(firsts_of(table))}."
    ]
    return says, table


def firsts_of(noise: Table) -> list[str]:
    return [row[3].split(",")[0] for row in noise.rows]

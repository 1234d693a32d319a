"""Layer-wise OBS's table: errors before and after retraining, and after how many iterations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from benchmarks.papers.calibration import ZEROS
from benchmarks.papers.experiment import Cell, Experiment, Measured, Shown, Table, interval, within
from benchmarks.papers.tradeoffs import name_of
from benchmarks.papers.training import calibrated, dense, error, rows
from nettrim_core import METHODS, masks_of
from nettrim_core.allocate import Budget
from nettrim_core.finetune import Training, finetune

DRAWS = 3
WAYS = (
    ("lobs", False),
    ("exactobs", False),
    ("exactobs", True),
    ("magnitude_refit", False),
    ("magnitude", False),
)
IN_ROUNDS = WAYS[:2]
BROKEN = 0.89  # an error of ten classes with one answer
SHARES = {"lenet_300_100": ZEROS}  # zeros of each layer, as Layer-wise OBS has them


@dataclass(frozen=True)
class Row:
    """One of Layer-wise OBS's, from memory. kept: the weights that are left, after each round; errors in percent;
    iterations: of all rounds."""

    kept: tuple[float, ...]
    dense: float
    before: float
    after: float
    iterations: int


PUBLISHED = {
    "lenet_300_100": (Row((0.07,), 1.76, 3.10, 1.82, 510), Row((0.07, 0.03, 0.015), 1.76, 2.43, 1.96, 643)),
    "lenet_5": (Row((0.07,), 1.27, 3.21, 1.27, 740), Row((0.07, 0.02, 0.009), 1.27, 2.04, 1.66, 841)),
}
TITLES = {"lenet_300_100": "LeNet-300-100", "lenet_5": "LeNet-5"}
SAMPLES = {"lenet_300_100": 10_000, "lenet_5": 1_000}  # an input has many patches of a convolution
STEPS = {"lenet_300_100": (512, 5e-3), "lenet_5": (256, 3e-3), "small": (128, 5e-3)}  # rows of an iteration, rate


def measure(
    data: str, network: str, draw: int, samples: int, method: str, cascade: bool, shares: str, kept: Sequence[float],
    iterations: int, batch: int, rate: float,
) -> dict[str, Any]:  # fmt: skip
    """Pruned to each of the parts kept in turn, and each time retrained.

    shares: "own", which the method's curves say, or "published", the zeros of each layer in the paper. iterations: at
    most so many in each round. rounds: for each part, the weights that are left, the test error before and after, and
    the iterations of what is taken.
    """
    first = left = dense(data, network, draw, samples)
    test, found = rows(data, network)[2], []
    for part in kept:
        if shares == "published":
            pruned, report = left.at(METHODS[method], SHARES[network], cascade)
        else:
            pruned, report = Budget(left, METHODS[method]).share(1 - part, cascade=cascade)
        model, done = retrained(pruned, data, network, iterations, batch, rate)
        found.append({
            "kept": 1 - report.sparsity, "before": error(pruned, test), "after": error(model, test),
            "iterations": done,
        })  # fmt: skip
        left = calibrated(model, left.inputs)
    return {"dense": error(first.model, test), "rounds": found}


def retrained(pruned: nn.Module, data: str, network: str, most: int, batch: int, rate: float) -> tuple[nn.Module, int]:
    """The network with the least validation loss of those after whole epochs, and its iterations, at most so many."""
    train, validation, _ = rows(data, network)
    each = -(-len(train[0]) // batch)
    how = Training(epochs=max(most // each, 1), rate=rate, batch=batch, adam=True)
    tuning = finetune(pruned, masks_of(pruned), train, validation, how)
    best = max(epoch.number for epoch in tuning if epoch.best)
    return tuning.model, best * each


def cells(quick: bool) -> list[Cell]:
    if quick:
        return [_cell("few", "small", 0, 100, "exactobs", False, "own", (0.3,), 30)]
    found = []
    for network, (once, rounds) in PUBLISHED.items():
        for draw in range(DRAWS):
            for way in WAYS:
                where = ("mnist", network, draw, SAMPLES[network], *way)
                found += [
                    _cell(*where, shares, once.kept, once.iterations)
                    for shares in ("own", "published") if shares == "own" or network in SHARES
                ]  # fmt: skip
                if way in IN_ROUNDS:
                    found.append(_cell(*where, "own", rounds.kept, rounds.iterations // len(rounds.kept)))
    return found


def _cell(
    data: str, network: str, draw: int, samples: int, method: str, cascade: bool, shares: str, kept: Sequence[float],
    iterations: int,
) -> Cell:  # fmt: skip
    batch, rate = STEPS[network]
    return {
        "data": data, "network": network, "draw": draw, "samples": samples, "method": method, "cascade": cascade,
        "shares": shares, "kept": list(kept), "iterations": iterations, "batch": batch, "rate": rate,
    }  # fmt: skip


Asked = tuple[str, str, int]  # network, shares, rounds
Group = dict[tuple[str, bool], list[Measured]]  # by method and cascade


def show(measured: list[Measured]) -> Shown:
    groups: dict[Asked, Group] = {}
    for cell in measured:
        asked = cell.asked
        group = groups.setdefault((asked["network"], asked["shares"], len(asked["kept"])), {})
        group.setdefault((asked["method"], asked["cascade"]), []).append(cell)
    tables = [_table(asked, group) for asked, group in groups.items()]
    return Shown([_sentence(*pair) for pair in groups.items() if _published(pair[0])], tables)


def _published(asked: Asked) -> Row | None:
    network, _, rounds = asked
    return next((row for row in PUBLISHED.get(network, ()) if len(row.kept) == rounds), None)


def _table(asked: Asked, group: Group) -> Table:
    network, shares, rounds = asked
    lines = []
    if (row := _published(asked)) is not None:
        lines.append([
            "Layer-wise OBS, the paper's", f"{100 * row.kept[-1]:g}", f"{row.dense:.2f}", f"{row.before:.2f}",
            f"{row.after:.2f}", f"{row.after - row.dense:+.2f}", f"{row.iterations:,}",
        ])  # fmt: skip
    for way, cells in group.items():
        last = [cell.found["rounds"][-1] for cell in cells]
        lines.append([
            name_of(*way),
            within([100 * one["kept"] for one in last], "{:.1f}"),
            within([100 * cell.found["dense"] for cell in cells]),
            within([100 * one["before"] for one in last]),
            within([100 * one["after"] for one in last]),
            f"{interval(_more(cells, 'after'))[0]:+.2f}",
            within([iterations(cell) for cell in cells], "{:,.0f}"),
        ])  # fmt: skip
    where = "the paper's zeros in each layer" if shares == "published" else "shares by the method's own curves"
    broken = any(cell.found["rounds"][-1]["after"] > BROKEN for cells in group.values() for cell in cells)
    return Table(
        f"{TITLES.get(network, network)}, {'one pruning' if rounds == 1 else f'{rounds} rounds'}, {where}",
        ["method", "weights kept, %", "dense error, %", "before retraining, %", "after, %", "after, above dense",
         "iterations"], lines,
        "Published numbers are from memory. Iterations are those of the network that is taken, of all rounds; the "
        "errors are those of the last round."
        + broken * " Where they are near 90 % the network says the same of all rows, and retraining finds no way back.",
    )  # fmt: skip


def iterations(cell: Measured) -> int:
    return sum(one["iterations"] for one in cell.found["rounds"])


def _more(cells: Sequence[Measured], when: str) -> list[float]:
    """Percentage points of test error above the dense network's, in the last round."""
    return [100 * (cell.found["rounds"][-1][when] - cell.found["dense"]) for cell in cells]


def _sentence(asked: Asked, group: Group) -> str:
    """Who is nearest to the dense network before and after retraining, against the paper's row, and why where that is
    nearer."""
    row = _published(asked)
    assert row is not None
    network, shares, rounds = asked
    start, end = (
        {way: interval(_more(cells, when))[0] for way, cells in group.items()} for when in ("before", "after")
    )
    first, then = (min(found, key=lambda way, of=found: of[way]) for found in (start, end))
    before, after = start[first], end[then]
    error = interval([100 * cell.found["rounds"][-1]["before"] for cell in group[first]])[0]
    where = "the paper's zeros in each layer" if shares == "published" else f"{row.kept[-1]:.1%} kept"
    asked_for = f"{TITLES.get(network, network)}, {where}{'' if rounds == 1 else f', in {rounds} rounds'}"
    paper_before, paper_after = row.before - row.dense, row.after - row.dense
    said = (
        f"{asked_for}: before retraining {name_of(*first)} is nearest to the dense network, {before:+.2f} with "
        f"{error:.2f} %, the paper {paper_before:+.2f} with {row.before:.2f} %; after it {name_of(*then)}, "
        f"{after:+.2f} after at most {max(map(iterations, group[then])):,} iterations, the paper "
        f"{paper_after:+.2f} after {row.iterations:,}."
    )
    low, high = interval(_more(group[then], "after"))[1:]
    if before <= paper_before and round(after - paper_after, 2) <= 0:
        return said
    if before <= paper_before and low <= paper_after <= high:
        return f"{said} That the paper is nearer then is less than what the draws differ by."
    if rounds == 1:
        return f"{said} The paper is nearer."
    each = max(one["iterations"] for cell in group[first] for one in cell.found["rounds"])
    left = interval([100 * (cell.found["rounds"][-2]["after"] - cell.found["dense"]) for cell in group[first]])[0]
    return (
        f"{said} The paper is nearer: with at most {each:,} iterations a round, {name_of(*first)} is still {left:+.2f} "
        "away when it is pruned for the last time."
    )


EXPERIMENT = Experiment(
    "recovered",
    "Errors before and after retraining",
    "Layer-wise OBS (NIPS 2017), its table of LeNets",
    (
        "The paper's numbers are from memory, and its trained networks are other ones: compare differences to them. "
        "Its zeros in each layer of LeNet-300-100 leave more weights than its table says: as many as stand beside the "
        "methods.",
        f"{SAMPLES['lenet_300_100']:,} training rows calibrate LeNet-300-100, {SAMPLES['lenet_5']:,} LeNet-5; the "
        "paper uses 55,000.",
        f"Retraining is Adam with {STEPS['lenet_300_100'][0]} rows an iteration and a rate of "
        f"{STEPS['lenet_300_100'][1]:g} that falls to zero (LeNet-5: {STEPS['lenet_5'][0]} and "
        f"{STEPS['lenet_5'][1]:g}), for as many whole epochs as the paper's iterations allow; of the networks after "
        "each, the one with the least validation loss is taken. How the paper retrains could not be checked.",
        f"{DRAWS} draws. Rounds keep {', '.join(f'{part:.1%}' for part in PUBLISHED['lenet_300_100'][1].kept)} of "
        f"LeNet-300-100 and {', '.join(f'{part:.1%}' for part in PUBLISHED['lenet_5'][1].kept)} of LeNet-5.",
    ),
    cells,
    measure,
    show,
    with_sources=("benchmarks.papers.training",),
)

"""Layer-wise OBS's table: errors before and after retraining, and how many iterations bring the dense error back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.papers.experiment import Cell, Experiment, Measured, Shown, Table, interval, within
from benchmarks.papers.tradeoffs import name_of
from benchmarks.papers.training import calibrated, dense, error, retrained, rows
from nettrim_core import METHODS
from nettrim_core.allocate import Budget
from nettrim_core.finetune import Training

BATCH, EVERY = 128, 50  # rows of an iteration; iterations between two looks
MOST = {"one": 1000, "rounds": 300}  # iterations, of one pruning, and of each of several
RATE = 1e-3
SAMPLES, DRAWS = 10_000, 3
WAYS = (
    ("lobs", False),
    ("exactobs", False),
    ("exactobs", True),
    ("magnitude_refit", False),
    ("magnitude", False),
)
SHARES = {"lenet_300_100": {"fc1": 0.933, "fc2": 0.8, "fc3": 0.35}}  # zeros of each layer, as Layer-wise OBS has them
ONE_SHOT = {"lenet_300_100": 0.07, "lenet_5": 0.07, "small": 0.3}
ROUNDS = {"lenet_300_100": (0.07, 0.03, 0.015), "lenet_5": (0.07, 0.02, 0.009)}

# Layer-wise OBS's table, from memory: dense error, before retraining, after it, iterations
PUBLISHED = {("lenet_300_100", "own"): (1.76, 3.10, 1.82, 510), ("lenet_5", "own"): (1.27, 3.21, 1.27, 740)}
PUBLISHED_ROUNDS = {"lenet_300_100": 643, "lenet_5": 841}  # iterations of all rounds


def measure(
    data: str, network: str, draw: int, samples: int, method: str, cascade: bool, shares: str, kept: Sequence[float]
) -> dict[str, Any]:
    """Pruned to each of the parts kept in turn, each time retrained until the validation error is the dense one's.

    shares: "own", which the method's curves say, or "published", the zeros of each layer in the paper. rounds: for each
    part, the weights that are left, the test error before and after, the iterations, and whether the dense error came
    back in as many as were allowed.
    """
    left = dense(data, network, draw, samples)
    _, validation, test = rows(data, network)
    enough, found = error(left.model, validation), []
    for part in kept:
        if shares == "published":
            pruned, report = left.at(METHODS[method], SHARES[network], cascade)
        else:
            pruned, report = Budget(left, METHODS[method]).share(1 - part, cascade=cascade)
        model, done = pruned, 0
        most = MOST["one" if len(kept) == 1 else "rounds"]
        for model, done in retraining(pruned, data, network, most):  # noqa: B007 (the last of both is used)
            if error(model, validation) <= enough:
                break
        found.append({
            "kept": 1 - report.sparsity, "before": error(pruned, test), "after": error(model, test),
            "iterations": done, "recovered": error(model, validation) <= enough,
        })  # fmt: skip
        left = calibrated(model, left.inputs)
    return {"dense": error(dense(data, network, draw, samples).model, test), "rounds": found}


def retraining(model: nn.Module, data: str, network: str, most: int) -> Iterator[tuple[nn.Module, int]]:
    """The network as it is, and after every so many iterations of Adam on rows in random order: (network, iterations).
    What the validation rows like less than before is not taken."""
    yield model, 0
    count, done, seed = len(rows(data, network)[0][0]), 0, 0
    while done < most:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        for some in order.split(BATCH * EVERY):
            how = Training(epochs=1, rate=RATE, batch=BATCH, adam=True, cosine=False, seed=seed)
            model = retrained(model, data, network, how, some)
            done += -(-len(some) // BATCH)
            yield model, done
            if done >= most:
                return
        seed += 1


def cells(quick: bool) -> list[Cell]:
    if quick:
        return [_cell("few", "small", 0, 100, "exactobs", False, "own", [ONE_SHOT["small"]])]
    found = []
    for network, parts in ROUNDS.items():
        for draw in range(DRAWS):
            for method, cascade in WAYS:
                where = ("mnist", network, draw, SAMPLES, method, cascade)
                found.append(_cell(*where, "own", [ONE_SHOT[network]]))
                if network in SHARES:
                    found.append(_cell(*where, "published", [ONE_SHOT[network]]))
                if (method, cascade) in (("lobs", False), ("exactobs", False)):
                    found.append(_cell(*where, "own", list(parts)))
    return found


def _cell(
    data: str, network: str, draw: int, samples: int, method: str, cascade: bool, shares: str, kept: list[float]
) -> Cell:
    return {
        "data": data, "network": network, "draw": draw, "samples": samples, "method": method, "cascade": cascade,
        "shares": shares, "kept": kept,
    }  # fmt: skip


Asked = tuple[str, str, int]  # network, shares, rounds


def show(measured: list[Measured]) -> Shown:
    groups: dict[Asked, dict[tuple[str, bool], list[Measured]]] = {}
    for cell in measured:
        asked = cell.asked
        group = groups.setdefault((asked["network"], asked["shares"], len(asked["kept"])), {})
        group.setdefault((asked["method"], asked["cascade"]), []).append(cell)
    tables = [_table(asked, group) for asked, group in groups.items()]
    says = [said for asked, group in groups.items() for said in _sentences(asked, group)]
    return Shown(says, tables)


def _table(asked: Asked, group: dict[tuple[str, bool], list[Measured]]) -> Table:
    network, shares, rounds = asked
    rows_ = []
    if rounds == 1 and (published := PUBLISHED.get((network, shares))):
        rows_.append([
            "Layer-wise OBS, the paper's", f"{100 * ONE_SHOT[network]:g}", *(f"{e:.2f}" for e in published[:3]),
            f"{published[3]:,}", "",
        ])  # fmt: skip
    if rounds > 1:
        rows_.append([
            "Layer-wise OBS, the paper's", f"{100 * ROUNDS[network][-1]:g}", "", "", "",
            f"{PUBLISHED_ROUNDS[network]:,}", "",
        ])  # fmt: skip
    for (method, cascade), cells in group.items():
        last = [cell.found["rounds"][-1] for cell in cells]
        rows_.append([
            name_of(method, cascade),
            within([100 * one["kept"] for one in last], "{:.1f}"),
            within([100 * cell.found["dense"] for cell in cells]),
            within([100 * one["before"] for one in last]),
            within([100 * one["after"] for one in last]),
            within([sum(one["iterations"] for one in cell.found["rounds"]) for cell in cells], "{:,.0f}"),
            f"{sum(one['recovered'] for one in last)} of {len(last)}",
        ])  # fmt: skip
    where = "the paper's zeros in each layer" if shares == "published" else "shares by the method's own curves"
    return Table(
        f"{network}, {'one pruning' if rounds == 1 else f'{rounds} rounds'}, {where}",
        ["method", "weights kept, %", "dense error, %", "before retraining, %", "after, %", "iterations",
         "dense error is back"], rows_,
        "Published numbers are from memory. Iterations: until the dense network's validation error is back, or all "
        f"that are allowed; looked at every {EVERY}. Of rounds, the error before is that of the last.",
    )  # fmt: skip


def _sentences(asked: Asked, group: dict[tuple[str, bool], list[Measured]]) -> list[str]:
    """Against the paper's row: the least error before retraining, and the iterations."""
    network, shares, rounds = asked
    published = PUBLISHED.get((network, shares))
    if rounds > 1 or published is None:
        return []
    before = {way: interval([100 * c.found["rounds"][0]["before"] for c in cells])[0] for way, cells in group.items()}
    best = min(before, key=lambda way: before[way])
    steps = [cell.found["rounds"][0]["iterations"] for cell in group[best]]
    back = sum(cell.found["rounds"][0]["recovered"] for cell in group[best])
    than = "below" if before[best] < published[1] else "not below"
    return [
        f"{network} with {ONE_SHOT[network]:.0%} kept: {name_of(*best)} has {before[best]:.2f} % before retraining, "
        f"{than} the paper's {published[1]:.2f} %; the dense error is back in {back} of {len(steps)} draws, after "
        f"{min(steps):,} to {max(steps):,} iterations, where the paper has {published[3]:,}."
    ]


EXPERIMENT = Experiment(
    "recovered",
    "Errors before and after retraining",
    "Layer-wise OBS (NIPS 2017), its table of LeNets",
    (
        "The paper's numbers are from memory, and its trained networks are other ones: compare differences.",
        f"{SAMPLES:,} training rows calibrate; the paper uses 55,000. Adam, rate {RATE:g}, {BATCH} rows an iteration, "
        f"begun anew every {EVERY} iterations; how the paper retrains could not be checked.",
        f"At most {MOST['one']:,} iterations after one pruning and {MOST['rounds']:,} in each of several rounds; three "
        "draws.",
    ),
    cells,
    measure,
    show,
    with_sources=("benchmarks.papers.training",),
)

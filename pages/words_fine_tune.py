"""The Fine-tune page in sentences. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from nettrim_core.finetune import Epoch
from nettrim_core.methods import METHOD_TITLES
from nettrim_core.report import Report
from pages.axes import percent
from pages.retrainings import Best, Retraining
from pages.tables import STYLE

INTRO = (
    "Pruning sets weights to zero that the others had learnt to count on. **Retraining** lets those that are left "
    "learn again on the training samples, while every zero stays zero. How much of the lost accuracy comes back?"
)
NO_LABELS = (
    "This data has no labels, and retraining needs to be told what is right. Bring the network with labelled data on "
    "the page Your own; every page but this one works without."
)
START = (
    "An **epoch** is one pass over the training samples. After each, the network is judged on the validation samples, "
    "which it does not learn from; the epoch with the lowest validation loss is the best, and its weights are kept."
)
CHARTS = (
    "With markers: on the validation samples. Thin, without markers: on the training samples, as the epoch went on. "
    "The ring is the best epoch, the one with the lowest validation loss. Epoch 0 is the pruned network before any "
    "retraining, and the dotted line stays at its accuracy; the dashed grey one is the dense network."
)
STORY = "How much of the lost accuracy came back. A point is one percent of the validation samples."
KEEP = "The weights of the best epoch, whatever came after it. Loaded and checked before they reach you."
ROUNDS = (
    "Instead of all at once: prune a little, retrain, prune what is left a little more. Each round takes the same part "
    "of the weights that are left, the same in every layer, and is retrained with the settings above. Epsilon plays no "
    "part here: each round is told how many zeros to reach."
)
LABELS = {
    "train.epochs": "Epochs, at most",
    "train.rate": "Learning rate",
    "train.batch": "Samples a step",
    "train.patience": "Patience, in epochs",
    "train.momentum": "Momentum",
    "train.adam": "Adam instead of SGD",
    "train.cosine": "Falling learning rate",
    "train.seed": "Seed of the order",
    "rounds.number": "Rounds",
    "rounds.zeros": "Zeros after the last, as a fraction",
}


def points(difference: float) -> str:
    """A difference of two fractions, without its sign."""
    size = f"{100 * abs(difference):.1f}"
    return f"{size} point" if size == "1.0" else f"{size} points"


def epoch_name(number: int) -> str:
    return "epoch 0, before any retraining" if number == 0 else f"epoch {number}"


def doing(title: str, run: Retraining, epochs: int) -> str:
    """How far a retraining is."""
    if run.report is None:
        return f"{title}: pruning first"
    if not run.epochs:
        return f"{title}: judging the pruned network"
    last = run.epochs[-1]
    pace = f", about {last.seconds:.0f} seconds each" if last.number and last.seconds >= 1.5 else ""
    return f"{title}: {last.number} of at most {epochs} epochs done{pace}"


def best(found: Best, samples: int, ended: bool) -> str:
    """The epoch that is kept and what it gets right."""
    accuracy = found.epoch.validation_accuracy
    right = "" if accuracy is None else f", {percent(accuracy)} of {samples:,} validation samples right"
    return f"**Best{'' if ended else ' so far'}: {epoch_name(found.epoch.number)}{right}.**"


def story(name: str, run: Retraining) -> str:
    """What was lost, what came back, in points of the validation samples (Markdown)."""
    report, title = run.report, f"**{METHOD_TITLES[name]}**"
    if report is None or report.accuracy is None or report.accuracy_before is None:
        return f"{title} has not been pruned yet."
    dense, pruned, of = report.accuracy_before, report.accuracy, f"of {report.test_samples:,} validation samples right"
    text = (
        f"{title}: with {percent(report.sparsity)} of the weights set to zero, the network went from {percent(dense)} "
        f"to {percent(pruned)} {of}"
    )
    after = None if run.best is None else run.best.epoch.validation_accuracy
    if run.best is None or after is None or len(run.epochs) < 2:
        return f"{text}. No epoch of retraining is done yet."
    if run.best.epoch.number == 0:
        return (
            f"{text}. No epoch had a lower validation loss than that, so the pruned network stays as it was. A smaller "
            "learning rate may do better."
        )
    return f"{text}. {_came_back(dense, pruned, after)}, at {epoch_name(run.best.epoch.number)}."


def _came_back(dense: float, pruned: float, after: float) -> str:
    lost, gained = dense - pruned, after - pruned
    if abs(gained) < 5e-4:
        return f"Retraining lowered the loss, yet as many are right as before it: {percent(after)}"
    if gained < 0:
        return f"Retraining lowered the loss, yet {points(gained)} fewer are right: {percent(after)}"
    if lost < 5e-4:
        return f"Nothing was lost, and retraining still added {points(gained)}: {percent(after)}"
    if gained > lost + 5e-4:
        return (
            f"Retraining brought back all {points(lost)} that were lost, and {points(gained - lost)} more: "
            f"{percent(after)}"
        )
    every = "all" if gained > lost - 5e-4 else f"{100 * gained:.1f} of the"
    return f"Retraining brought back {every} {points(lost)} that were lost: {percent(after)}"


def trouble(run: Retraining) -> str:
    """What went wrong with the numbers; empty if nothing."""
    if any(epoch.loss is None or epoch.validation_loss is None for epoch in run.epochs):
        return (
            "The loss grew beyond what numbers can hold: the steps are too large. Take a smaller learning rate; the "
            "best epoch before that is kept."
        )
    return ""


def ending(run: Retraining, epochs: int) -> str:
    """Why a retraining ended before its last epoch; empty if it did not."""
    last = run.epochs[-1].number if run.epochs else 0
    return (
        ""
        if last >= epochs or not run.ended
        else f"It ended after {last} epochs, because the validation loss fell no further."
    )


def test(figures: Mapping[str, float]) -> str:
    """The figure to quote."""
    return (
        f"On {figures['samples']:,} **test** samples, which had no part in anything so far, "
        f"**{percent(figures['value'], 2)}** are right; with 95 % confidence between {percent(figures['low'], 2)} and "
        f"{percent(figures['high'], 2)}. This is the figure to quote: the validation samples chose the epoch, which "
        "flatters what is measured on them."
    )


def zeros(report: Report, found: Best) -> str:
    """Were zeros held? Counted before in the pruned network and after in the file's content."""
    before, weights = sum(layer.weight_zeros for layer in report.layers), sum(layer.weights for layer in report.layers)
    if before == found.zeros:
        return f"Checked: {before:,} of {weights:,} weights of the pruned layers are zero, before and after retraining."
    return (
        f"Every pruned weight is still zero. {before:,} of {weights:,} weights of the pruned layers were zero before "
        f"retraining, and {found.zeros:,} are after."
    )


def accuracy_alt(runs: Mapping[str, Retraining]) -> str:
    """The accuracy over epochs for those who do not see it."""
    said = []
    for name, run in runs.items():
        if run.epochs and run.best is not None:
            first, here = (_right(epoch) for epoch in (run.epochs[0], run.best.epoch))
            said.append(
                f"{METHOD_TITLES[name]}: {first} at epoch 0, {here} at its best, epoch {run.best.epoch.number}."
            )
    return "Chart of right answers over epochs. " + " ".join(said)


def _right(epoch: Epoch) -> str:
    return "unknown" if epoch.validation_accuracy is None else percent(epoch.validation_accuracy)


def loss_alt(runs: Mapping[str, Retraining]) -> str:
    said = []
    for name, run in runs.items():
        losses = [epoch.validation_loss for epoch in run.epochs if epoch.validation_loss is not None]
        if losses:
            said.append(f"{METHOD_TITLES[name]}: validation loss {losses[0]:.3g} at epoch 0, lowest {min(losses):.3g}.")
    return "Chart of training and validation loss over epochs. " + " ".join(said)


def targets(zeros: Sequence[float]) -> str:
    """The zeros that are asked for, round by round."""
    said = [percent(target) for target in zeros]
    each = said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"
    return f"Zeros to reach, of the weights and biases of the chosen layers: {each}."


def rounds_story(name: str, runs: Sequence[Retraining]) -> str:
    """How far the rounds came (Markdown)."""
    done = [run for run in runs if run.report is not None and run.best is not None]
    if not done or (first := done[0].report) is None or first.accuracy_before is None:
        return ""
    last, end = done[-1], done[-1].report
    assert end is not None
    assert last.best is not None
    after = last.best.epoch.validation_accuracy
    if after is None:
        return ""
    change = after - first.accuracy_before
    against = "as many as" if abs(change) < 5e-4 else f"{points(change)} {'more' if change > 0 else 'fewer'} than"
    where = f"After {len(done)} of" if last.ended else f"So far, in round {len(done)} of"
    return (
        f"{where} {len(runs)} rounds with {METHOD_TITLES[name]}, {percent(end.sparsity)} of the weights "
        f"are zero and {percent(after)} of {end.test_samples:,} validation samples are right, {against} for the dense "
        f"network ({percent(first.accuracy_before)})."
    )


def rounds_table(targets: Sequence[float], runs: Sequence[Retraining]) -> str:
    """A row for each round that began (HTML)."""
    rows = []
    for number, (target, run) in enumerate(zip(targets, runs, strict=True), 1):
        report, found = run.report, run.best
        if report is None:
            continue
        after = "…" if found is None else f"{_right(found.epoch)} (epoch {found.epoch.number})"
        tested = "…" if run.test is None else percent(run.test["value"], 2)
        cells = (percent(target), percent(report.sparsity), _accuracy(report), after, tested)
        rows.append(f'<tr><th scope="row">{number}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>')
    names = (
        "Round",
        "Zeros asked, of weights and biases",
        "Zeros, of the weights",
        "Right after pruning, of the validation samples",
        "Right after retraining, of the validation samples",
        "Right, of the test samples",
    )
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    table = f'<table class="ntl"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return f'{STYLE}<div style="overflow-x: auto">{table}</div>'


def _accuracy(report: Report) -> str:
    return "…" if report.accuracy is None else percent(report.accuracy)

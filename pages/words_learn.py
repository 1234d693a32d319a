"""What the lesson's cards answer, in sentences; every number comes from the evidence. No Streamlit."""

from __future__ import annotations

from pages.axes import Y_AXES, kilobytes, percent
from pages.lessons_numbers import (
    BALL,
    CASCADE,
    CASCADE_TURNED,
    GREEDY,
    PROMISE,
    PROMISE_DEEPER,
    RIVAL_PLACES,
    SHRUNK,
    STORAGE,
    TWO_SETS,
    TWO_SETS_TURNED,
    Evidence,
    accuracy,
    beside,
    layer_of,
    looseness,
    lost,
    matched,
    most_zeros,
    pays_from,
    promised,
    ratio_of_sets,
    winner,
)
from pages.state import Choice
from pages.words import right

NAMES = {"lenet_300_100": "LeNet-300-100", "spirals": "the spirals", "digits_mlp": "the small digits"}


def place(choice: Choice) -> str:
    return f"{NAMES[choice.model]}, {'as a cascade' if choice.mode == 'cascade' else 'in parallel'}, ε = {choice.eps:g}"


def start(text: str) -> str:
    """The text as a sentence begins."""
    return text[:1].upper() + text[1:]


def how_many(e: Evidence) -> str:
    best = most_zeros(e)
    report = best.report
    weights = sum(layer.weights for layer in report.layers)
    fewer = 100 * lost(best) / report.test_samples
    return (
        f"At ε = {best.epsilon:g} Net-Trim sets {percent(report.sparsity)} of the {weights:,} weights to zero and gets "
        f"{percent(accuracy(best))} of {report.test_samples:,} validation samples right, {fewer:.1f} points fewer than "
        "before.\n\n"
        "A trained network holds far more weights than its answers need, and nothing in training takes the others "
        "away. How far one can go differs from network to network: try another one in the studio."
    )


def ball(e: Evidence) -> str:
    layer, answer = layer_of(e.at(BALL), BALL.layer), e.answers[0]
    return (
        f"{layer.name} answers {layer.columns:,} samples with {answer['count']:,} numbers: an arrow of length "
        f"{answer['norm']:.1f}. Its tip may move by {BALL.eps * answer['norm']:.1f} and moved by "
        f"{answer['changed']:.1f}; as parts of the arrow, {layer.held:.4f} of {layer.epsilon:.4f}.\n\n"
        "Further from the middle there are nearly always smaller weights, so Net-Trim uses what it is given. ε alone "
        f"sets how much is removed: here {percent(layer.sparsity)} of the layer's {layer.weights:,} weights."
    )


def greedy(e: Evidence) -> str:
    ours, theirs, exact = (e.at(GREEDY, name).report for name in GREEDY.methods)
    leader, other = matched(e, GREEDY)
    same = "has nowhere so many" if other is None else f"has {'about ' * other.between}{right(other.accuracy)}"
    return (
        f"At ε = {GREEDY.eps:g} Net-Trim has {percent(ours.sparsity)} zeros and L-OBS {percent(theirs.sparsity)}. With "
        f"{percent(leader.sparsity)} zeros Net-Trim has {right(leader.accuracy)}, and L-OBS {same}.\n\n"
        "Net-Trim settles all weights of a layer together, as one convex problem. L-OBS is greedy: it orders the "
        "weights once, by what each alone would cost, though that changes as others go. Greedy need not be bad: "
        f"**Exact OBS**, which looks again after every weight, has {percent(exact.sparsity)} zeros and "
        f"{right(exact.accuracy)} at this ε."
    )


def two_sets(e: Evidence) -> str:
    first = e.answers[0]
    layer = layer_of(e.at(TWO_SETS), TWO_SETS.layer)
    return (
        f"With both sets {layer.name} keeps {first['kept']:,} of {layer.weights:,} weights ({percent(layer.sparsity)} "
        f"zeros); if it must stay near everywhere, {first['kept_linear']:,}.\n\n"
        "Off ω the ReLU gives zero whether the response is just below zero or far below, so holding it where it was "
        "costs weights and changes no answer. But it must not rise above zero for any sample, and at a large ε that "
        f"can cost more than it saves: in {TWO_SETS_TURNED.layer} of the small digits at ε = {TWO_SETS_TURNED.eps:g}, "
        f"near everywhere leaves {ratio_of_sets(e, 1):.2f} times as many weights."
    )


def cascade(e: Evidence) -> str:
    here, fewer, _ = beside(e, CASCADE)
    turned, _, more = beside(e, CASCADE_TURNED)
    text = (
        f"As a cascade at ε = {here.epsilon:g}: {percent(here.report.sparsity)} zeros, {right(accuracy(here))}. In "
        f"parallel at ε = {fewer.epsilon:g}: {percent(fewer.report.sparsity)} zeros, {right(accuracy(fewer))}.\n\n"
        "In parallel every layer is pruned for signals that the pruned network will not send it. In a cascade it is "
        "pruned on those that it gets, and still has to come near the trained answers, so that it mends a part of what "
        "went wrong before."
    )
    if accuracy(more) > accuracy(turned):
        text += (
            f" That is no law: on {NAMES[CASCADE_TURNED.model]} the cascade at ε = {turned.epsilon:g} has "
            f"{percent(turned.report.sparsity)} zeros and {right(accuracy(turned))}; in parallel, "
            f"{percent(more.report.sparsity)} zeros come with {right(accuracy(more))}."
        )
    return text


def rivals(e: Evidence) -> str:
    won = RIVAL_PLACES[winner(e)]
    ours, theirs = matched(e, won)
    shrunk, adjusted = matched(e, SHRUNK)
    assert theirs is not None
    least_squares = "" if adjusted is None else f", and L-OBS's to {'about ' * adjusted.between}{percent(adjusted.y)}"
    return (
        f"{start(place(won))}: with {percent(ours.sparsity)} zeros Net-Trim has {right(ours.accuracy)} and "
        f"L-OBS {'about ' * theirs.between}{right(theirs.accuracy)}.\n\n"
        "Net-Trim makes the sum of the weights' sizes small (l1), so that what it keeps is shrunk as well; L-OBS "
        f"adjusts what it keeps by least squares. With {percent(shrunk.sparsity)} zeros in {SHRUNK.layers[0]}, "
        f"Net-Trim's weights add up to {percent(shrunk.y)} of the trained sum{least_squares}. In a cascade that counts "
        "again, as later layers may err as much as the error already made. Add Net-Trim + refit in the studio, whose "
        "kept weights may move again."
    )


def promise(e: Evidence) -> str:
    point = e.at(PROMISE)
    bound, error = promised(point)
    factors = [looseness(p) for p in e.curve(PROMISE)]
    first, last = point.report.layers[0], point.report.layers[-1]
    return (
        f"At ε = {point.epsilon:g} the answer of {last.name} can be off by {bound:.3f} of its size and was off by "
        f"{error:.3f}. Over the knob's ε the promise is {min(factors):.1f} to {max(factors):.1f} times the error; on "
        f"{NAMES[PROMISE_DEEPER.model]} at this ε it is {looseness(e.at(PROMISE_DEEPER)):.1f} times.\n\n"
        f"After the first layer, {first.name}, it is only {(first.bound or 0.0) / first.error:.1f} times. Then every "
        "layer multiplies it by the most that this layer can stretch any error, and real errors do not all point in "
        "that worst direction. The promise cannot fail on the calibration samples; a measurement says how it went."
    )


def storage(e: Evidence) -> str:
    report, answer = e.at(STORAGE, "lobs").report, e.answers[0]
    compact = Y_AXES["bytes"].value(report) or 0.0
    dense, sparse = (seconds / answer["seconds_before"] for seconds in (answer["seconds"], answer["sparse_seconds"][0]))
    pays = pays_from(answer)
    when = "at no number of zeros that was tried" if pays is None else f"from {percent(pays)} zeros on"
    return (
        f"{report.layers[0].name} with {percent(report.sparsity)} zeros takes {kilobytes(answer['dense'])}, as before: "
        f"a zero takes four bytes like any number. Zipped, it takes {kilobytes(answer['zipped'])}; compact, with one "
        f"bit a weight for where it is and four bytes for each that is left, {kilobytes(compact)}.\n\n"
        f"A product with the same matrix took {dense:.1f} times as long as before, and as a sparse matrix {sparse:.1f} "
        f"times; on this machine, just now, a sparse matrix was faster {when}. Zeros pay at once in storage, and in "
        "time only where there are very many of them or where they lie in a pattern that the hardware knows (2:4)."
    )

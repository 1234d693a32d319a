"""What the Layer page says, in sentences (Markdown). No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nettrim_core.figures.layer import rank_floor
from nettrim_core.methods import METHOD_TITLES
from pages import words
from pages.axes import percent

Data = Mapping[str, Any]

INTRO = (
    "A layer turns numbers into numbers: each of its **neurons** multiplies its inputs by weights and adds up. Here is "
    "one layer before and after pruning, down to one neuron, one sample and one sum."
)
GLOSSARY = (
    words.GLOSSARY
    + """\
| **W, U** | the layer's weights as they were trained, and as they are after pruning |
| **pre-activation** | a neuron's sum before the ReLU: each input times its weight, added up, with the bias |
| **Ω, omega** | the pairs of a neuron and a sample where the trained neuron gives more than 0; all without a ReLU |
| **V** | what a pruned pre-activation must stay below off Ω, so that the ReLU still gives zero; 0, but in a cascade |
| **singular value** | how strongly the layer stretches one direction of its input; as many are not zero as its rank |
| **[H⁻¹]qq** | an entry on the diagonal of the inverse of H: how easily the other inputs can stand in for input q |
| **saliency** | what L-OBS ranks weights by: half of the rise of the error that the removal of one should cause |
"""
)
HISTOGRAM = "How many weights have which size. Exact zeros are counted in words, above, and not drawn."
SPECTRUM = (
    "A **singular value** says how strongly the layer stretches one direction of its input. Directions whose value "
    "becomes zero are lost to the next layer."
)
CONVERGENCE = (
    "A first-order engine approaches the solution step by step. Now and then it computes a **certificate**: the "
    "duality gap (how far the l1 norm can be above the smallest possible, as a part of it) and the violation (how far "
    "the response is outside of what is allowed, as a part of the tolerance). It is done when both are below the line. "
    "Figures that are not above 0 cannot be drawn on a log scale and are left out."
)
CHECK = (
    "Net-Trim's program is convex: any good solver must find the same smallest sum of sizes. This one is CVXPY with "
    "Clarabel, an interior-point method that shares nothing with ours."
)


def number(value: float) -> str:
    """Four digits, or all before the point, with a true minus."""
    return (f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}").replace("-", "−")


def tiny(value: float) -> str:
    """What is near nothing, such as a duality gap."""
    return "0" if value == 0 else f"{value:.1e}".replace("-", "−")


def many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def neuron_noun(shape: Sequence[int]) -> str:
    """What an output of a layer is; shape: of its weight in torch."""
    return "filter" if len(shape) > 2 else "neuron"


def layer(name: str, told: Data, shape: Sequence[int]) -> str:
    """What the layer is: its size, and what a neuron and a sample of it are."""
    noun = neuron_noun(shape)
    text = (
        f"**{name}** has {many(told['outputs'], noun)} with {many(told['inputs'], 'weight')} each"
        f"{', and a bias each' if told['bias'] else ''}; {'a ReLU follows' if told['relu'] else 'no ReLU follows'}. "
    )
    if len(shape) > 2:
        text += (
            "It is a convolution: a neuron of it is a **filter**, and a sample is a **place where the filter looks**, "
            f"here {told['samples']:,} places in the calibration inputs. "
        )
    else:
        text += f"It was pruned on {told['samples']:,} calibration samples. "
    if told["norm"]:
        text += "The batch norm that follows is folded into its weights. "
    if told["groups"] > 1:
        text += f"Inputs and {noun}s come in {told['groups']} groups, and each {noun} sees its own group. "
    if told["pruned_inputs"]:
        text += "In this cascade its inputs come from layers that are already pruned. "
    return text.strip()


def outcome(method: str, told: Data, picks: Data, noun: str) -> tuple[bool, str]:
    """(is all well?, what the method says of its own result)."""
    title, gap, violation, tol = METHOD_TITLES[method], told["gap"], told["violation"], told["tol"]
    if gap is None or tol is None:
        if told["converged"]:
            return True, f"{title} kept the layer within its tolerance."
        return False, (
            f"{title} did not reach its tolerance: even its best weights change this layer more than was allowed. "
            "Try a larger ε."
        )
    if told["converged"]:
        return True, (
            f"{title} is certified: duality gap {tiny(gap)} and violation {tiny(violation)}, both at most tol = "
            f"{tol:g}."
        )
    text = ""
    if violation > tol:
        text = (
            f"The certificate is violated: the layer's response is outside of what was allowed by {tiny(violation)} of "
            f"the tolerance, and at most {tol:g} was asked. "
        )
        bad = picks["violation"]
        if bad and bad[1] > tol:
            text += f"{noun.capitalize()} {bad[0]} is furthest above V. "
        else:
            text += f"The sum over all {noun}s on Ω is too large; {noun} {picks['changed'][0]} changed most. "
    if gap > tol:
        text += f"Not converged: the duality gap is {tiny(gap)} and at most {tol:g} was asked. "
        text += f"{noun.capitalize()} {picks['gap'][0]} is the one that did not reach it: its share is the largest. "
    return False, text + "Try a larger ε, or a larger *tol* in the settings."


def weights(told: Data, method: str) -> str:
    """Zeros and the l1 norm."""
    before, after = told["trained"], told["pruned"]
    total = sum(after["counts"]) + after["zeros"]
    return (
        f"Of {many(total, 'weight')}, **{after['zeros']:,} ({percent(after['zeros'] / total)}) are exactly zero** "
        f"after {METHOD_TITLES[method]}; before, {before['zeros']:,} were. The "
        f"sum of the weights' sizes (l1, biases included) went from {number(before['l1'])} to {number(after['l1'])}."
    )


def plain(text: str) -> str:
    """Without Markdown's emphasis."""
    return text.replace("**", "").replace("*", "")


def picture(first: int, count: int, outputs: int, shape: Sequence[int], tiled: bool) -> str:
    """What the picture of the weights shows. shape: of the weight in torch."""
    noun = neuron_noun(shape)
    layout = f"A row for each {noun}, a column for each of its inputs"
    if len(shape) > 3 and shape[1] > 1:
        layout = "A tile for each channel of a filter, those of one filter side by side"
    elif tiled:
        layout = f"A tile for each {noun}" + (", laid out as its inputs are" if len(shape) == 2 else "")
    part = "" if count == outputs else f"{noun.capitalize()}s {first} to {first + count - 1} of {outputs} are shown. "
    return (
        f"{part}{layout}. Blue is negative, orange positive, stronger is larger, on one scale; **plain is exactly "
        f"zero**. The frame is the {noun} that is looked at below."
    )


def input_map(where: Any) -> str:
    """The map of dead pixels in words."""
    gone, never = int((where == 1).sum()), int((where == 2).sum())
    return (
        f"Each cell is a pixel of the input, {where.size:,} in all: orange, not used any more ({gone:,}); grey, zero "
        f"on every sample or never used ({never:,}); blue, used ({where.size - gone - never:,})."
    )


def spectrum(told: Data) -> str:
    floor = rank_floor(told)
    ranks = [sum(value > floor for value in told[which]["singular"]) for which in ("trained", "pruned")]
    tops = [max(told[which]["singular"], default=0.0) for which in ("trained", "pruned")]
    return (
        f"The largest went from {tops[0]:.3g} to {tops[1]:.3g}; {ranks[0]} of {len(told['trained']['singular'])} were "
        f"not zero before, {ranks[1]} are after (zero: below 10⁻⁷ of the largest)."
    )


def dead(told: Data, shape: Data, noun: str) -> str:
    """Dead inputs, dead neurons, silent neurons."""
    before, after = told["trained"], told["pruned"]
    inputs = shape["inputs"] * shape["groups"]
    counts = [len(which["dead_inputs"]) for which in (before, after)]
    neurons = [len(which["dead_neurons"]) for which in (before, after)]
    text = (
        f"**Dead inputs**, which are zero on every sample or whose weights are all zero: {counts[0]:,} of {inputs:,} "
        f"before, {counts[1]:,} after. **Dead {noun}s**, whose weights are all zero: {neurons[0]:,} of "
        f"{shape['outputs']:,} before, {neurons[1]:,} after{_names(after['dead_neurons'])}."
    )
    if shape["relu"]:
        silent = [len(which["silent_neurons"]) for which in (before, after)]
        text += (
            f" **Silent {noun}s**, which answer 0 to every sample: {silent[0]:,} before, {silent[1]:,} after"
            f"{_names(after['silent_neurons'])}."
        )
    return text


def _names(which: Sequence[int], most: int = 8) -> str:
    if not which:
        return ""
    said = ", ".join(str(j) for j in which[:most])
    return f" ({said}{', …' if len(which) > most else ''})"


def convergence(iterates: Sequence[Data], told: Data, active: bool) -> str:
    """How far the first-order engine came, and what the exact one says at the end."""
    last = iterates[-1]
    if not last["iteration"]:
        text = "This layer needed no engine: its weights can be told at once. "
    elif last["certified"]:
        text = f"Certified after {last['iteration']:,} iterations, in {last['seconds']:.1f} s. "
    elif active:
        text = f"After {last['iteration']:,} iterations: gap {tiny(last['gap'])}, violation {tiny(last['violation'])}. "
    else:
        text = (
            f"Stopped after {last['iteration']:,} iterations without a certificate: gap {tiny(last['gap'])}, "
            f"violation {tiny(last['violation'])}, and at most {told['tol']:g} was asked of both. "
        )
    return text + (
        f"The large open markers are the certificate of this page's own weights, from the exact engine, which follows "
        f"the solution rather than approaching it: gap {tiny(told['gap'])}, violation {tiny(told['violation'])}."
    )

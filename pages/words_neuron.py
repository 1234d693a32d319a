"""What the Layer page says of one neuron, in sentences (Markdown). No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nettrim_core.methods import METHOD_TITLES
from pages.axes import percent
from pages.words_layer import many, number

Data = Mapping[str, Any]

SAMPLES = {"changed most": "the one that changed most", "typical": "a typical one", "strongest": "the strongest one"}
ORDERS = {"classic": "classic: H⁻¹ is kept", "exact": "exact: H⁻¹ is updated"}
SYMBOLS = """<style>.ntn { overflow-x: auto; } .ntn table { border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
.ntn th, .ntn td { border-top: 1px solid var(--st-border-color, #8884); }
.ntn th, .ntn td { text-align: right; padding: .3rem .9rem .3rem 0; }
.ntn th:first-child, .ntn td:first-child { text-align: left; } .ntn thead th { border-top: 0; font-weight: 600; }
.ntn tfoot td { font-weight: 600; }</style>"""
NEURON = (
    "What a {noun} adds up before its ReLU, its **pre-activation**, before and after. The shaded parts are what "
    "Net-Trim's two constraints leave it."
)
SUM = "One {sample}, and how this {noun} arrives at its value: weight times input, added up."
REMOVALS = (
    "**H** = XXᵀ/P + damping is a table of how strongly the inputs X go together, over the P samples, and **[H⁻¹]qq** "
    "is the entry of its inverse for weight q: it is large where other inputs can stand in for this one. L-OBS removes "
    "the weight that costs least and moves the others to make up for it. The **error** is the mean squared change of "
    "the pre-activation; less than 10⁻¹⁰ of the largest is drawn at the bottom."
)


def no_such(j: int, layer: str, outputs: int, noun: str) -> str:
    return f"{layer} has no {noun} {j}: it has {outputs}, counted from 0; showing {noun} {outputs - 1} instead."


def picks(told: Data, noun: str) -> dict[str, tuple[str, int, str]]:
    """Neurons worth a look: name -> (label, which, why)."""
    found, result = told["outliers"], told["result"]
    changed, part = found["changed"]
    sparsest, left = found["sparsest"]
    shown = {
        "changed": ("Changed most", changed, f"Its output moved most: {percent(part)} of the layer's squared change."),
        "sparsest": ("Kept least", sparsest, f"It has the fewest weights left: {left:,}."),
    }
    tol, gap, violation = result["tol"], found["gap"], found["violation"]
    if gap and result["gap"] > tol:
        shown["gap"] = ("Not converged", gap[0], f"The {noun} with the largest share of the duality gap.")
    if violation and violation[1] > tol:
        shown["violation"] = ("Above V", violation[0], f"The {noun} that is furthest above V.")
    return shown


def input_name(row: int, shape: Sequence[int], pixels: tuple[int, int] | None, start: int = 0) -> str:
    """What an input is. shape: of the layer's weight in torch; pixels: (height, width) where the inputs are an image's;
    start: the inputs of the groups before."""
    if len(shape) == 3:
        channel, place = divmod(row, shape[2])
        return f"channel {start // shape[2] + channel}, place {place}"
    if len(shape) > 3:
        channel, place = divmod(row, shape[2] * shape[3])
        return f"channel {start // (shape[2] * shape[3]) + channel}, row {place // shape[3]}, column {place % shape[3]}"
    if pixels is not None:
        return f"pixel in row {row // pixels[1]}, column {row % pixels[1]}"
    return f"input {row}"


def neuron(told: Data, shape: Data, noun: str, sample: str) -> str:
    """What the picture of one neuron shows, and how much of what is allowed it uses."""
    samples, kept = told["samples"], told["weights"]
    on, off = samples["on_count"], samples["count"] - samples["on_count"]
    text = f"**{noun.capitalize()} {told['index']}** keeps {kept['count']:,} of its {many(kept['inputs'], 'weight')}"
    if kept["bias"] is not None:
        text += " and has no bias left" if kept["bias"] == 0 else " and a bias"
    text += ". "
    if len(samples["shown"]) < samples["count"]:
        text += f"{len(samples['shown']):,} of {samples['count']:,} {sample}s are drawn, evenly spaced. "
    if shape["relu"]:
        text += (
            f"**Ω** (omega) is where the trained {noun} lets something through its ReLU: {on:,} of "
            f"{samples['count']:,} {sample}s. Off Ω are the other {off:,}. "
        )
    else:
        text += f"No ReLU follows, so every one of the {on:,} {sample}s is on **Ω** (omega), where the answer counts. "
    return text.strip()


def constraints(told: Data, method: str, shape: Data, noun: str, sample: str) -> str:
    """The two constraints in words, with this neuron's numbers."""
    held, lines = told["constraints"], [_tube(told, shape, noun, sample)]
    if shape["relu"]:
        said = "may be anything **below V**, here 0: the ReLU makes 0 of it all"
        if shape["pruned_inputs"]:
            said = "must stay **below V**, here what the trained weights give on the pruned inputs"
        over = (
            f"The largest value above V here is {number(held['over'])}" if held["over"] > 0 else "It is nowhere above"
        )
        lines.append(f"- **Off Ω, a half-line**: the trained {noun} gave 0 there, so the pruned one {said}. {over}.")
    if not method.startswith("nettrim"):
        lines.append(
            f"- {METHOD_TITLES[method]} does not know these two constraints. It is only held to the size of the whole "
            "change after the ReLU, so it may cross V, and its sum on Ω may come to more."
        )
    return "\n".join(lines)


def _tube(told: Data, shape: Data, noun: str, sample: str) -> str:
    held = told["constraints"]
    share = held["half_width"] ** 2 * told["samples"]["on_count"]
    used = f"This {noun} has no {sample} there."
    if share:
        used = f"This {noun} used {number(held['squared_error'])}, {percent(held['squared_error'] / share, 0)} of that."
    near = "the trained one"
    if shape["pruned_inputs"]:
        near = "the dense network's; *before* are the trained weights on the pruned inputs, already off it"
    return (
        f"- **On Ω, a tube**: the pruned value should stay near {near}. Only the sum counts: over all {noun}s and "
        f"{sample}s the squared differences may add up to {number(held['radius'] ** 2)} (the radius "
        f"{number(held['radius'])}, squared), and they come to {number(held['layer_squared_error'])}. The tube that is "
        f"drawn, ±{number(held['half_width'])}, is what each entry may use **if all use the same share**: the radius "
        f"divided by the root of the number of entries on Ω. One may use more where others use less. This {noun}'s "
        f"equal share of the sum is {number(share)}. {used}"
    )


def total(told: Data, sample: str) -> str:
    """The sum of one sample as one line of arithmetic."""
    sides = []
    for which, key, others, at in (("before", "w", "others_before", 0), ("after", "u", "others_after", 1)):
        parts = [f"{_factor(t[key])} × {_factor(t['x'])}" for t in told["largest"] if t[key] != 0]
        if told["others"]:
            parts.append(f"{_factor(told[others])} (the other {told['others']})")
        if told["bias"] is not None:
            parts.append(f"{_factor(told['bias'][at])} (bias)")
        if told["shift"]:
            parts.append(f"{_factor(told['shift'])} (batch norm)")
        said = " + ".join(parts) or "nothing"
        sides.append(f"**{which.capitalize()}**: {said} = **{number(told[which])}**")
    return f"{sample.capitalize()} {told['sample']:,}. " + ". ".join(sides) + "."


def _factor(value: float) -> str:
    return f"({number(value)})" if value < 0 else number(value)


def sum_table(told: Data, name: Any) -> str:
    """The same as a table (HTML). name: from a row of W to what the input is."""

    def row(cells: Sequence[str]) -> str:
        return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"

    rows = [
        row([name(t["row"]), number(t["x"]), number(t["w"]), number(t["w"] * t["x"]),
             "0, gone" if t["u"] == 0 else number(t["u"]), number(t["u"] * t["x"])])
        for t in told["largest"]
    ]  # fmt: skip
    if told["others"]:
        rest = [number(told["others_before"]), "", number(told["others_after"])]
        rows.append(row([f"the other {told['others']:,}", "", "", *rest]))
    if told["bias"] is not None:
        before, after = (number(value) for value in told["bias"])
        rows.append(row(["bias", "1", before, before, after, after]))
    if told["shift"]:
        rows.append(row(["batch norm", "", "", number(told["shift"]), "", number(told["shift"])]))
    foot = row(["sum", "", "", number(told["before"]), "", number(told["after"])])
    head = "".join(f"<th>{h}</th>" for h in ("Input", "x", "weight before", "times x", "weight after", "times x"))
    return (
        f'{SYMBOLS}<div class="ntn" tabindex="0"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"<tfoot>{foot}</tfoot></table></div>"
    )


def step(told: Data, name: str) -> str:
    """One removal with its arithmetic."""
    moved = ", ".join(f"w{row} by {number(change)}" for row, change in told["changes"][:3])
    what = "the bias" if told["bias"] else name
    text = (
        f"**Step {told['step']}**: weight w{told['index']} goes ({what}). Its value is {number(told['weight'])} and "
        f"[H⁻¹]qq is {number(told['inverse'])}. **Saliency** = w² / (2 [H⁻¹]qq) = ({number(told['weight'])})² / "
        f"(2 × {number(told['inverse'])}) = **{told['saliency']:.3g}**. The error should rise by twice that, "
        f"{told['predicted']:.3g}; it {_rise(told)}, and is {told['error']:.3g} now."
    )
    return text + (f" The others make up for it: {moved} the most." if moved else "")


def _rise(told: Data) -> str:
    """By how much the error really rises, beside what was predicted."""
    measured, predicted = told["measured"], told["predicted"]
    if measured < 0:
        return f"falls instead, by {-measured:.3g}, as the prediction no longer holds for what is left"
    ratio = measured / predicted if predicted > 0 else 1.0
    if abs(ratio - 1) < 1e-3:
        said = "as predicted"
    elif ratio >= 2:
        said = f"{ratio:.3g} times as much"
    else:
        said = f"{percent(abs(ratio - 1))} {'more' if ratio > 1 else 'less'} than that"
    return f"rises by {measured:.3g}, {said}"


def parting(classic: Sequence[Data], exact: Sequence[Data]) -> str:
    """Where the two ways part."""
    pairs = list(zip(classic, exact, strict=False))
    place = next((i for i, (a, b) in enumerate(pairs) if a["index"] != b["index"]), None)
    if place is None:
        text = f"Classic and exact remove the same weights in all of these {len(pairs)} steps"
    else:
        text = f"Classic and exact remove the same weights for {place} steps and part at step {place + 1}"
        a, b = pairs[place]
        text += f", where classic takes w{a['index']} and exact w{b['index']}"
    if not pairs:
        return ""
    ratios = [a["error"] / b["error"] if b["error"] > 0 else 1.0 for a, b in pairs]
    worst = max(range(len(pairs)), key=ratios.__getitem__)
    if ratios[worst] > 1.005:
        a, b = pairs[worst]
        text += (
            f". They are furthest apart after {worst + 1} steps: there the classic way has an error of "
            f"{a['error']:.3g}, {ratios[worst]:.3g} times the {b['error']:.3g} of the exact one"
        )
    return text + "."


def hessian(told: Data) -> str:
    """Whether H can be inverted by itself, and what makes it so."""
    text, which = "", ""
    if told["dead"]:
        which = f" over the other {told['live']:,} inputs"
        text = (
            f"{many(told['dead'], 'input')} of {told['live'] + told['dead']:,} are zero on every sample: H would have "
            "a row of zeros for each. Their weights cost nothing, go first, and are left out of H and of these steps. "
        )
    if told["singular"]:
        condition = "not finite" if told["condition"] is None else f"{told['condition']:.1e}"
        smallest = "0 to rounding" if told["smallest"] <= 0 else f"{told['smallest']:.1e}"
        return text + (
            f"**H is singular**: its eigenvalues{which} reach from {smallest} to "
            f"{told['largest']:.1e}, so that some inputs follow from others. The damping setting, {told['damping']:g}, "
            f"is what keeps the step finite here: with it the largest is {condition} times the smallest."
        )
    return text + (
        f"H can be inverted by itself{which}: its largest eigenvalue is "
        f"{told['largest'] / told['smallest']:.1e} times its smallest. Damping adds {told['damping']:g} to its "
        "diagonal."
    )


def removed(told: Data, method: str, noun: str) -> str:
    """How far the method itself went."""
    live = told["conditioning"]["live"]
    return (
        f"At this ε {METHOD_TITLES[method]} removed {told['removed']:,} of the {live:,} weights of this {noun} "
        f"that are in H, its bias among them; the first {len(told['classic'])} steps are here."
    )

"""The Python behind the lesson's cards that look at one layer, with the public API alone. Each runs as it stands."""

from __future__ import annotations

from pages.snippets import loading, method_source
from pages.state import Choice


def _layer(choice: Choice, name: str, method: str, extra: str = "") -> str:
    """A linear layer's own problem, from the signals of the trained network."""
    cls = method_source(choice, method, choice.eps).partition("(")[0]
    after = "responses.relu()" if choice.layers[-1] != name else "responses"
    return (
        f"{extra}import torch\n\nfrom nettrim_core import LayerProblem, {cls}, load_bundle\n\n"
        f"bundle = {loading(choice.model)}\n"
        f'layer = bundle.model.get_submodule("{name}")\n'
        "seen = []\n"
        "handle = layer.register_forward_hook(lambda _, inputs, outputs: seen.append((inputs[0], outputs)))\n"
        "with torch.no_grad():\n"
        f"    bundle.model(bundle.calibration_sample({choice.n}, seed={choice.seed}))\n"
        "handle.remove()\n"
        "inputs, responses = (signal.detach().T for signal in seen[0])  # a sample is a column\n"
        "X = torch.cat([inputs, torch.ones_like(inputs[:1])])  # the bias sees ones\n"
        "W = torch.cat([layer.weight.T, layer.bias[None]]).detach()\n"
        f"problem = LayerProblem(X, {after}, W, relu={choice.layers[-1] != name})\n"
    )


def ball(choice: Choice) -> str:
    """How long the layer's response is, and how far it moved."""
    return (
        _layer(choice, choice.lens[0], "nettrim")
        + f"result = {method_source(choice, 'nettrim', choice.eps)}.prune(problem)\n"
        "change = problem.activate(problem.response(result.U)) - problem.Y\n"
        'print(f"length {problem.Y.norm():.1f}, moved by {change.norm():.1f}")\n'
    )


def two_sets(choice: Choice) -> str:
    """What the layer keeps with both sets of constraints, and without its ReLU."""
    return (
        _layer(choice, choice.lens[0], "nettrim")
        + "linear = LayerProblem(X, responses, W, relu=False)\n"
        + f"radius = {choice.eps!r} * problem.Y.norm()\n"
        "for asked in (problem, linear):\n"
        "    result = NetTrim(epsilon=float(radius / asked.Y.norm())).prune(asked)\n"
        '    print(f"{int((result.U[:-1] != 0).sum()):,} of {layer.weight.numel():,} weights are left")\n'
    )


def storage(choice: Choice) -> str:
    """Bytes of the layer's weights."""
    name = choice.layers[0]
    method = method_source(choice, choice.methods[0], choice.eps)
    return (
        "import zlib\n\nfrom nettrim_core import "
        f"{method.partition('(')[0]}, load_bundle, prune\n\n"
        f"bundle = {loading(choice.model)}\n"
        f"inputs = bundle.calibration_sample({choice.n}, seed={choice.seed})\n"
        f"pruned, report = prune(bundle.model, inputs, {method}, {list(choice.layers)!r})\n"
        "for model in (bundle.model, pruned):\n"
        f'    weights = model.get_parameter("{name}.weight").detach().numpy()\n'
        '    print(f"{weights.nbytes:,} bytes, zipped {len(zlib.compress(weights.tobytes())):,}")\n'
        "left = int((weights != 0).sum())\n"
        'print(f"compact {weights.size / 8 + 4 * left:,.0f} bytes")\n'
    )

"""What the page Your own says. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from nettrim_core.data import KINDS
from nettrim_core.models.layer_list import Listing
from pages.tables import STYLE

INTRO = (
    "Bring a trained network and some data, and every page of the studio works with them. Nothing in a file is ever "
    "run, and all of it is deleted from the server when you leave."
)
NETWORK_KINDS = {
    "onnx": "ONNX",
    "pt2": "torch.export",
    "safetensors": "state dict",
    "pt": "state dict",
    "pth": "state dict",
    "zip": "bundle",
}
NETWORK_HELP = (
    "A program of torch.export (.pt2), or ONNX; a state dict (.safetensors, or .pt with tensors alone) of a plain "
    "chain of linear layers or of a network like the studio's own; or a ZIP of a bundle's folder."
)
DATA_HELP = (
    "Arrays (NPZ, NPY), a table (CSV, Parquet), IDX as MNIST has it (also as .gz), or a ZIP of a folder with one "
    "folder of images for each class. Labels may be missing: then everything but accuracy works."
)
DATA_LABEL = "Data (NPZ, NPY, CSV, Parquet, IDX, or a ZIP of images in class folders)"
LABELS_HELP = "Where labels are in a file of their own: for IDX and NPY."
NO_FILES = "Nothing at hand? Try it with digits: a network of 12,060 weights as digits.pt2, 1,797 images as digits.csv."
FIRST = "Data may also come with the network, in a bundle."
OF_BUNDLE = "The bundle brought its own data. A file given here takes its place."
GONE = (
    "They are deleted from the server a minute or two after you leave. **Save this bundle** gives network and data as "
    "one ZIP, to bring here again or to load in Python."
)
USE = "Make it the network of every page, and go to Explore."
CORRECT = "Correct how the data is read, first."
NOT_YET = "Give a network and data that it takes, first."

TWO_FILES = ("idx", "npy")  # kinds whose labels are in a file of their own
TABLES = ("csv", "parquet")
# the options of the form, in its order: label, the kinds of files in which they have a part, () for all, and what an
# empty text means
OPTIONS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "normalise": ("Normalise", (), ""),
    "mean": ("Then subtract (mean)", (), "nothing"),
    "std": ("Then divide by (std)", (), "nothing"),
    "shape": ("Shape of a sample", (), "as stored"),
    "channels": ("Channels are stored", (*TABLES, "npz", "npy", "idx"), ""),
    "colour": ("Colour of images", ("images",), ""),
    "size": ("Size of images", ("images",), "as they are"),
    "labelled": ("Read labels", (), ""),
    "label": ("Where labels are", (*TABLES, "npz"), "found out"),
    "first_class": ("Number of the first class", (*TABLES, "npz", "npy", "idx"), ""),
    "inputs": ("Key of the inputs", ("npz",), "found out"),
    "leave_out": ("Columns left out", TABLES, "none"),
    "header": ("First line names columns", ("csv",), ""),
    "delimiter": ("Between cells", ("csv",), "found out"),
    "validation": ("Part for validation", (), ""),
    "test": ("Part for the test", (), ""),
    "seed": ("Seed of the splits", (), ""),
    "rows": ("Rows kept at most, 0 for all", (), ""),
}

WEIGHTS_ALONE = (".pt", ".pth", ".safetensors", ".bin")
LAYERS = "How the weights are joined"
LAYERS_HELP = (
    "First the shape of one sample, then a layer a line, in the order in which they run; names before a colon may be "
    "left out. Press Ctrl and Enter to have it read."
)
LAYERS_EXAMPLE = "input 1 28 28\nconv 20 kernel=5\nrelu\nmaxpool 2\nflatten\nlinear 10"
LAYERS_TOLD = (
    "A file of weights does not say how they are joined. Plain chains of linear layers with ReLUs between them, and "
    "networks like the studio's own, are recognised. For any other chain, list its layers here, for instance:\n\n"
    f"```text\n{LAYERS_EXAMPLE}\n```"
)


def listing(found: Listing) -> str:
    """Each line with the shape of a sample after it, or what is wrong in it (HTML)."""
    rows = "".join(
        f"<tr><td><code>{escape(line.text) or ' '}</code></td>"
        f"<td>{escape(line.problem) if line.problem else numbers(list(line.shape)) if line.shape else ''}</td></tr>"
        for line in found.lines
    )
    head = '<tr><th scope="col">Line</th><th scope="col">A sample after it</th></tr>'
    return f'{STYLE}<table class="ntl"><thead>{head}</thead><tbody>{rows}</tbody></table>'


def read_as(name: str) -> str:
    """What a network's file was taken for, by its name."""
    return NETWORK_KINDS.get(name.rpartition(".")[2].lower(), "network")


def numbers(shape: list[int] | None) -> str:
    return "–" if shape is None else " × ".join(f"{n:,}" for n in shape) or "1"


def network(found: Mapping[str, Any], name: str) -> str:
    """What was read (Markdown)."""
    layers = found["layers"]
    prunable = [layer for layer in layers if layer["prunes"]]
    weights = sum(layer["parameters"] for layer in prunable)
    takes = f" It takes samples of {numbers(found['input'])}." if found["input"] else ""
    all_of_it = len(prunable) == len(layers)
    which = (
        "all of which can be pruned" if all_of_it else f"of which {len(prunable)} can be pruned ({weights:,} of them)"
    )
    return (
        f"**{name}** ({read_as(name)}): {count(found['parameters'], 'parameter')} in {count(len(layers), 'layer')}, "
        f"{which}.{takes}"
    )


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def layer_table(layers: list[Mapping[str, Any]]) -> str:
    """A row for each layer: is it pruned, or why not (HTML)."""
    rows = "".join(map(_layer_row, layers))
    head = "".join(
        f'<th scope="col">{word}</th>' for word in ("Layer", "Kind", "Weight", "Gives", "Parameters", "Can be pruned")
    )
    table = f'<table class="ntl"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    return f'{STYLE}<div style="overflow-x: auto" tabindex="0" role="region" aria-label="Layers">{table}</div>'


def _layer_row(layer: Mapping[str, Any]) -> str:
    """Why a layer is not pruned stands in a row of its own, which narrow screens have room for."""
    row = (
        f'<tr><th scope="row">{escape(layer["name"])}</th><td>{escape(layer["kind"])}</td>'
        f"<td>{numbers(layer['weight'])}</td><td>{numbers(layer['gives'])}</td><td>{layer['parameters']:,}</td>"
        f"<td>{'✓' if layer['prunes'] else '✗'}</td></tr>"
    )
    why = (
        f'<tr><td colspan="6" class="w" style="border-top: 0">{escape(layer["name"])}: {escape(layer["why"])}</td></tr>'
    )
    return row if layer["prunes"] else row + why


def data(found: Mapping[str, Any], name: str) -> str:
    """What was read (Markdown)."""
    rows = found["rows"]
    total = sum(rows.values())
    values = f"Values go from {found['low']:.4g} to {found['high']:.4g}, mean {found['mean']:.3g}."
    return (
        f"**{name}**: {total:,} samples of {numbers(found['shape'])}: {rows['train']:,} for calibration, "
        f"{rows['validation']:,} for validation, {rows['test']:,} for the test. {values}"
    )


def class_table(classes: list[Mapping[str, Any]], everything: int) -> str:
    """How many samples of each class each split has (HTML)."""
    most = max((sum(entry[split] for split in ("train", "validation", "test")) for entry in classes), default=1) or 1
    rows = "".join(_class_row(entry, most) for entry in classes)
    head = "".join(f'<th scope="col">{word}</th>' for word in ("Class", "Samples", "Calibration", "Validation", "Test"))
    more = "" if everything == len(classes) else f"<p>The first {len(classes):,} of {everything:,} classes.</p>"
    style = (
        "<style>.ntb { display: inline-block; height: .7rem; margin-right: .5rem; vertical-align: baseline; "
        "background: var(--st-primary-color, #0B5C8A); border-radius: 2px; }</style>"
    )
    table = f'<table class="ntl"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{more}'
    return (
        f'{STYLE}{style}<div style="overflow: auto; max-height: 24rem" tabindex="0" role="region" '
        f'aria-label="Classes">{table}</div>'
    )


def _class_row(entry: Mapping[str, Any], most: int) -> str:
    parts = [entry[split] for split in ("train", "validation", "test")]
    bar = f'<span class="ntb" style="width: {6 * sum(parts) / most:.2f}rem"></span>'
    cells = "".join(f"<td>{part:,}</td>" for part in parts)
    return f'<tr><th scope="row">{escape(entry["name"])}</th><td>{bar}{sum(parts):,}</td>{cells}</tr>'


def samples(pictures: list[tuple[str, str]]) -> str:
    """Pictures with their labels under them. pictures: (HTML, label)."""
    style = (
        "<style>.nts { display: flex; flex-wrap: wrap; gap: .9rem; margin: 0; padding: 0; }"
        ".nts figure { margin: 0; min-width: 3.5rem; max-width: 16rem; } .nts img { border-radius: 4px; }"
        ".nts figcaption { font-size: .9rem; overflow-wrap: anywhere; }</style>"
    )
    figures = "".join(
        f"<figure>{picture}<figcaption>{escape(label)}</figcaption></figure>" for picture, label in pictures
    )
    return f'{style}<div class="nts">{figures}</div>'


def kind_of(name: str) -> str:
    """What a file of data seems to be, by its name: a key of KINDS."""
    plain = name.lower().removesuffix(".gz")
    return next((key for key, kind in KINDS.items() if plain.endswith(kind.suffixes)), "csv")


def options_for(kind: str) -> list[str]:
    """The options that have a part in reading such a file."""
    return [name for name, (_, kinds, _) in OPTIONS.items() if not kinds or kind in kinds]

"""docs/results.md, docs/who_wins.md and their figures, from the files of the experiments:
``python -m benchmarks.papers.document``.

What the files say and show is made again from their cells first, so that a table can change and nothing be measured
again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogFormatter

from benchmarks.papers import verdict
from benchmarks.papers.catalogue import EXPERIMENTS
from benchmarks.papers.experiment import RESULTS, ROOT, said_again, write_plain
from nettrim_core.durable.files import write_whole
from nettrim_core.figures import results
from nettrim_core.figures.style import SYMBOLS, look_of

PAGE, WINNERS, FIGURES = ROOT / "docs" / "results.md", ROOT / "docs" / "who_wins.md", ROOT / "docs" / "figures"
COLUMNS = 2  # charts side by side
SHORT = 20  # letters of a line's name, up to which three fit beside each other
MARKERS: dict[str, Any] = dict(zip(SYMBOLS, "oDs^Pv*hXpd", strict=True))  # Matplotlib's names of the studio's
INTRODUCTION = """# The papers' experiments, redone

Every number here is from a file in `benchmarks/results/`, which holds each cell that was measured, with the machine,
the versions, the seeds and the command; `make results` measures what is not there yet, `make results-quick` a few small
cells of everything. The studio shows the same on its [Results](http://127.0.0.1:8501/results) page, with a way from a
row to the studio itself. [Who wins when](who_wins.md) says in words what comes of it.
"""
WINNERS_INTRODUCTION = """# Who wins when

Which method leaves the smaller error depends on how much is pruned, on the kind of layer, on whether the network is
retrained, and on how many rows there are to calibrate on. What follows counts places in the tables of
[the experiments](results.md).
"""


def documents(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The experiments' files."""
    return [document for document in results.documents(folder) if document["name"] in EXPERIMENTS]


def text(found: Sequence[dict[str, Any]]) -> str:
    return "\n".join([INTRODUCTION, *(section(document) for document in found)])


def winners(content: dict[str, Any]) -> str:
    """The page of plain words."""
    shown = content["shown"]
    parts = [
        WINNERS_INTRODUCTION,
        *(f"* {sentence}" for sentence in shown["says"]),
        "",
        *(f"{sentence}\n" for sentence in content["differs"]),
        *(f"{table(one)}\n" for one in shown["tables"]),
        content["made"],
    ]
    return "\n".join(parts) + "\n"


def section(document: dict[str, Any]) -> str:
    """One experiment as Markdown."""
    parts = [
        f"## {document['title']}",
        document["source"],
        "How it differs from there:\n\n" + "\n".join(f"* {sentence}" for sentence in document["differs"]),
        "What was found:\n\n" + "\n".join(f"* {sentence}" for sentence in document["shown"]["says"]),
        *(f"![{title}](figures/{name})" for name, title in figures(document)),
        *(f"Bands: {what}." for what in bands(document)),
        *map(table, document["shown"]["tables"]),
        document["made"],
    ]
    return "\n\n".join(parts) + "\n"


def bands(document: dict[str, Any]) -> list[str]:
    """What lies around the lines of its charts."""
    return list(filter(None, dict.fromkeys(map(results.bands, document["shown"]["charts"]))))


def table(content: dict[str, Any]) -> str:
    lines = [f"**{content['title']}**", "", row(content["header"]), row(["---"] * len(content["header"]))]
    lines += [row(cells) for cells in content["rows"]]
    return "\n".join(lines + (["", content["note"]] if content["note"] else []))


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def figures(document: dict[str, Any]) -> list[tuple[str, str]]:
    """(file, title) of what is drawn."""
    return [
        (name, f"{document['title']}: {'; '.join(one['title'] for one in content)}")
        for name, content, _ in _drawn(document)
    ]


def draw(document: dict[str, Any]) -> None:
    """Its figures, as files."""
    for name, content, one in _drawn(document):
        rows = -(-len(content) // COLUMNS)
        figure, axes = plt.subplots(rows, COLUMNS, figsize=(10, 4.4 * rows), squeeze=False, layout="constrained")
        for place, axis in zip(content, axes.flat, strict=False):
            one(axis, place)
        for axis in axes.flat[len(content) :]:
            axis.set_visible(False)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
        plt.close(figure)
        write_whole(FIGURES / name, drawn.getvalue())


def _drawn(document: dict[str, Any]) -> list[tuple[str, list[dict[str, Any]], Callable[[Axes, dict[str, Any]], None]]]:
    """(file, what is on it, what draws one of these)."""
    kinds = [(kind, document["shown"][kind], one) for kind, one in (("charts", chart), ("heats", heat))]
    return [(f"results_{document['name']}_{kind}.svg", content, one) for kind, content, one in kinds if content]


def chart(axis: Axes, content: dict[str, Any]) -> None:
    lines(axis, content["lines"])
    axis.set(title=content["title"], xlabel=content["x"], ylabel=content["y"])
    axis.set_xscale("log" if content["log_x"] else "linear")
    axis.set_yscale("log" if content["log_y"] else "linear")
    for side, log in ((axis.xaxis, content["log_x"]), (axis.yaxis, content["log_y"])):
        if log:  # plain numbers, also between powers of ten where there are few of these
            side.set_major_formatter("{x:g}")
            side.set_minor_formatter(LogFormatter(minor_thresholds=(1.5, 0.5)))
    axis.grid(alpha=0.3)
    columns = 3 if max((len(line["name"]) for line in content["lines"]), default=0) <= SHORT else 2
    axis.legend(fontsize="small", loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=columns, frameon=False)


def heat(axis: Axes, content: dict[str, Any]) -> None:
    drawn = axis.pcolormesh(content["xs"], content["ys"], content["values"], vmin=0, vmax=1, cmap="viridis")
    axis.figure.colorbar(drawn, ax=axis)
    lines(axis, content["lines"], "white")
    axis.set(title=content["title"], xlabel=content["x"], ylabel=content["y"])
    axis.set_ylim(min(content["ys"]), max(content["ys"]))
    axis.legend(fontsize="small", facecolor="0.2", labelcolor="white")


def lines(axis: Axes, content: Sequence[dict[str, Any]], colour: str | None = None) -> None:
    for line in content:
        look = look_of(line["method"]) if line["method"] else None
        (drawn,) = axis.plot(
            line["x"], line["y"], "--" if line["dashed"] else "-", color=look.light if look else colour,
            marker=MARKERS[look.symbol] if look else ".", markersize=4, label=line["name"],
        )  # fmt: skip
        if line["low"]:
            axis.fill_between(line["x"], line["low"], line["high"], color=drawn.get_color(), alpha=0.15, linewidth=0)


def main() -> None:
    mpl.rcParams["svg.hashsalt"] = "results"
    for name, experiment in EXPERIMENTS.items():
        if (path := RESULTS / f"{name}.json").is_file():
            said_again(experiment, path)
    found = documents()
    for document in found:
        draw(document)
    write_whole(PAGE, text(found).encode())
    words = verdict.content(found)
    write_plain(RESULTS / f"{verdict.NAME}.json", words)
    write_whole(WINNERS, winners(words).encode())
    print(f"{PAGE}: {len(found)} experiments")


if __name__ == "__main__":
    main()

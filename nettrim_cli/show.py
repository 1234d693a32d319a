"""What is written where: results on stdout, as tables or as one JSON document; progress and notices on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from nettrim_core.plain import for_terminal
from nettrim_core.recipes.carry_out import Hear
from nettrim_core.report import LayerReport, Report
from nettrim_core.summary import summary

WIDE = 160  # where there is no terminal that has a width
OUT = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDE)
ERR = Console(stderr=True, highlight=False, soft_wrap=True)
INTERRUPTED = 130


def document(data: Mapping[str, Any]) -> None:
    """The one document of --json."""
    OUT.out(json.dumps(data, indent=1, allow_nan=False), highlight=False)


def say(*lines: str) -> None:
    for line in lines:
        OUT.print(Text(for_terminal(line)))


def notice(line: str) -> None:
    ERR.print(Text(for_terminal(line), "dim"))


@contextmanager
def progress() -> Iterator[Hear]:
    """Bars on a terminal; a log has no use for them."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=ERR, transient=True, disable=not ERR.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def hear(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(for_terminal(what), total=of)
            bars.update(tasks[what], completed=done, total=of)

        yield hear


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> None:
    """Rows under heads; the first columns are text, the others numbers."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for place, head in enumerate(heads):
        made.add_column(head, justify="left" if place < left else "right", overflow="fold")
    for row in rows:
        made.add_row(*(Text(for_terminal(cell)) for cell in row))  # a text has no markup
    OUT.print(made)


def points(reports: Iterable[Report]) -> None:
    """A line for each pruned network."""
    heads = ("Method", "Epsilon", "Zeros", "Right", "95 % interval", "Output changed", "Worst gap")
    table(heads, map(_point, reports))


def _point(report: Report) -> tuple[str, ...]:
    low, high = report.accuracy_interval or (0.0, 0.0)
    gaps = [layer.gap for layer in report.layers if layer.gap is not None]
    return (
        report.method, f"{report.settings['epsilon']:.4g}", f"{report.sparsity:.1%}",
        "" if report.accuracy is None else f"{report.accuracy:.2%}",
        "" if report.accuracy is None else f"{low:.1%} to {high:.1%}", f"{report.output_error:.3g}",
        f"{max(gaps):.1e}" if gaps else "",
    )  # fmt: skip


def report(found: Report) -> None:
    """What happened in sentences, then layer by layer."""
    say(*summary(found))
    OUT.print()
    heads = ("Layer", "Zeros", "Changed", "of allowed", "Gap", "Error", "Bound", "Seconds")
    table(heads, (_layer(layer) for layer in found.layers))
    for layer in found.layers:
        for note in layer.notes:
            say(f"{layer.name}: {note}")
    for name, reason in found.skipped:
        say(f"{name} was left as it is: {reason}")


def _layer(layer: LayerReport) -> tuple[str, ...]:
    size = layer.output_norm or 1.0
    gap = "" if layer.gap is None else f"{layer.gap:.1e}"
    bound = "" if layer.bound is None else f"{layer.bound / size:.3g}"
    name = layer.name if layer.converged else f"{layer.name} (not converged)"
    return (
        name, f"{layer.sparsity:.1%}", f"{layer.held:.4f}", f"{layer.epsilon:.4f}", gap, f"{layer.error / size:.4f}",
        bound, f"{layer.seconds:.1f}",
    )  # fmt: skip

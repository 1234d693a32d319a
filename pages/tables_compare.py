"""HTML tables of candidates: side by side, and the samples they answer in another way. No Streamlit; what comes from
outside is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from nettrim_core.report import Report
from pages.axes import kilobytes, known, percent
from pages.candidates import Candidate, differing
from pages.thumbnails import thumbnail
from pages.words_compare import AXES, certified

MOST_SAMPLES = 60
STYLE = """<style>
.ntc { max-width: 100%; overflow: auto; }
.ntc.tall { max-height: 34rem; }
.ntc table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
.ntc th, .ntc td { text-align: left; padding: .3rem 1rem .3rem 0; vertical-align: top; min-width: 5.5rem; }
.ntc th, .ntc td { border-top: 1px solid var(--st-border-color, #8884); }
.ntc thead th { border-top: 0; font-weight: 600; }
.ntc tbody th { font-weight: 400; min-width: 8rem; }
.ntc .w { font-size: .85rem; font-weight: 400; }
.ntc.tall td, .ntc.tall th { min-width: 4.5rem; }
</style>"""
WAITING = "not solved yet"
Said = tuple[str, str]  # a figure, and what is to be added in small type


def side_by_side(shown: Sequence[tuple[Candidate, Report | None]]) -> str:
    """A column for each candidate: the settings that differ, and its figures, the best of each named."""
    candidates, reports = [c for c, _ in shown], [r for _, r in shown]
    several = len({c.state for c in candidates}) > 1
    head = "".join(
        f'<th scope="col">{escape(c.title)}' + (f'<div class="w">{escape(c.state)}</div>' if several else "") + "</th>"
        for c in candidates
    )
    rows = [_row(title, [escape(value) for value in values]) for title, values in differing(candidates).items()]
    rows += [_row(title, _cells(reports, said, name)) for title, said, name in FIGURES]
    return _table(f'<tr><th scope="col"></th>{head}</tr>', rows, "Candidates side by side")


def _row(title: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{title}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _table(head: str, rows: Sequence[str], label: str, tall: str = "") -> str:
    return (
        f'{STYLE}<div class="ntc{tall}" role="region" aria-label="{label}" tabindex="0"><table><thead>{head}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _cells(reports: Sequence[Report | None], said: Callable[[Report], Said], name: str) -> list[str]:
    """One figure of every candidate. name: of the axis that says which is the best, "" for none."""
    best = _best(reports, name) if name else None
    cells = []
    for i, report in enumerate(reports):
        text, detail = (WAITING, "") if report is None else said(report)
        if i == best:
            text = f'<strong>{text}</strong> <span class="w">best</span>'
        cells.append(text + (f'<div class="w">{detail}</div>' if detail else ""))
    return cells


def _best(reports: Sequence[Report | None], name: str) -> int | None:
    """The place of the one best value; None for fewer than two, or a tie."""
    axis = AXES[name]
    values = {i: value for i, r in enumerate(reports) if r is not None and (value := known(axis, r)) is not None}
    if len(values) < 2:
        return None
    best = (min if axis.best == "low" else max)(values.values())
    places = [i for i, value in values.items() if value == best]
    return places[0] if len(places) == 1 else None


def _right(report: Report) -> Said:
    if report.accuracy is None or report.accuracy_interval is None:
        return "no labels", ""
    low, high = report.accuracy_interval
    return percent(report.accuracy), f"{percent(low)} to {percent(high)}<br>of {report.test_samples:,} samples"


def _points(report: Report) -> Said:
    lost = AXES["drop"].value(report)
    return ("no labels", "") if lost is None else (f"{100 * lost:.1f}", "")


def _size(report: Report) -> Said:
    dense = 4 * sum(layer.weights for layer in report.layers)
    return kilobytes(AXES["bytes"].value(report) or 0.0), f"of {kilobytes(dense)} dense"


def _bound(report: Report) -> Said:
    value = known(AXES["bound"], report)
    about = "about " if any(layer.bound_is_estimate for layer in report.layers) else ""
    return ("no bound", "") if value is None else (f"{about}{value:.3g}", "")


def _certified(report: Report) -> Said:
    answer, _, reason = certified(report).partition(", ")
    return answer, reason


# title, what is said of a report, and the axis that says which is the best
FIGURES: tuple[tuple[str, Callable[[Report], Said], str], ...] = (
    ("Zeros, of the chosen layers' weights", lambda r: (percent(r.sparsity), ""), "sparsity"),
    ("Right, of the validation samples", _right, ""),
    ("Lost, in percentage points of these", _points, "drop"),
    ("Stored compactly, the chosen layers", _size, "bytes"),
    ("Largest discrepancy of a layer, of its response's size", lambda r: (f"{AXES['discrepancy'].value(r):.4f}", ""),
     "discrepancy"),
    ("Promised error (bound) of the last layer, of its size", _bound, "bound"),
    ("Certified", _certified, ""),
    ("Time to solve, in seconds", lambda r: (f"{r.seconds:.2f}", ""), "seconds"),
)  # fmt: skip


@dataclass(frozen=True)
class Changed:
    """A test sample that was answered in another way: its row, its class (None without labels), the dense network's
    answer, and each candidate's by letter."""

    row: int
    true: int | None
    dense: int
    answers: dict[str, int]


def changed(
    changes: Mapping[str, Mapping[str, Any]], kind: str, letter: str, labels: Sequence[int] | None
) -> list[Changed]:
    """The samples of one kind ("changed", "lost", "won", "wrong") for one candidate, or for any of them (""). changes:
    by letter, as :meth:`Evaluation.to_dict` has them."""
    part = "indices" if kind == "changed" else kind
    asked = [letter] if letter else list(changes)
    rows = sorted({row for name in asked for row in changes[name][part] or ()})
    old = {row: was for c in changes.values() for row, was in zip(c["indices"], c["old"], strict=True)}
    new = {name: dict(zip(c["indices"], c["new"], strict=True)) for name, c in changes.items()}
    return [
        Changed(
            row, None if labels is None else int(labels[row]), old[row],
            {name: answers.get(row, old[row]) for name, answers in new.items()},
        )
        for row in rows
    ]  # fmt: skip


def samples(rows: Sequence[Changed], inputs: np.ndarray, candidates: Sequence[Candidate]) -> str:
    """At most MOST_SAMPLES of the samples: their picture, their class, and who says what. inputs: of every test row."""
    labelled = bool(rows) and rows[0].true is not None
    heads = ["Sample", *(["True class"] if labelled else []), "Dense", *(escape(c.title) for c in candidates)]
    body = []
    for row in rows[:MOST_SAMPLES]:
        name = f"Test sample {row.row}" + ("" if row.true is None else f" of class {row.true}")
        cells = [f'{thumbnail(inputs[row.row], name)}<div class="w">no. {row.row}</div>']
        cells += [str(row.true)] if labelled else []
        cells += [_answer(row.dense, row.true)]
        cells += [_answer(row.answers[c.letter], row.true) for c in candidates]
        body.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    head = "<tr>" + "".join(f'<th scope="col">{title}</th>' for title in heads) + "</tr>"
    return _table(head, body, "Test samples whose answer changed", " tall")


def _answer(answer: int, true: int | None) -> str:
    if true is None:
        return str(answer)
    return f'{answer} <span class="w">{"right" if answer == true else "wrong"}</span>'

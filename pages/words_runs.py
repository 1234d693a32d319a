"""What the Runs page says. No Streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nettrim_core.durable import Run, State
from nettrim_core.methods import titled
from nettrim_core.report import Report
from pages.axes import file_size, percent

INTRO = (
    "Curves, budgets and retrainings of the networks that come along, kept as they finished. What broke off goes on "
    "from its last result; what was solved once is not solved again, here or on any page."
)
OFF = (
    "Nothing is kept: whoever runs this server has switched it off. In the settings file it is `on` under `[storage]`."
)
EMPTY = "There is nothing yet. Move a knob to where no curve is, ask for a budget, or retrain: it is listed here then."
STATES = {
    State.RUNNING: ("under way", "blue", ":material/play_arrow:"),
    State.DONE: ("done", "green", ":material/check:"),
    State.STOPPED: ("stopped", "gray", ":material/stop:"),
    State.FAILED: ("failed", "red", ":material/error:"),
    State.INTERRUPTED: ("broke off", "orange", ":material/bolt:"),
    State.DAMAGED: ("damaged", "red", ":material/broken_image:"),
}
RESUME = "Go on from the last result that was finished."
ELSEWHERE = "This was begun on the command line, with files that are there: `nettrim resume {id}` goes on with it."
DAMAGED = "What this run was asked to do can no longer be read. Its results are still found when they are asked for."
PINNED = "Its results stay, however full the store is."
COMPARE = "Each line is a method of a run. Only curves can be compared; budgets and retrainings have their own pages."


def ago(seconds: float) -> str:
    """How long since something happened."""
    for unit, size in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {unit}{'s' * (count > 1)} ago"
    return "just now"


def duration(seconds: float) -> str:
    """How long something took."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def cost(run: Run, results: int, size: int, now: float) -> str:
    """How far a run is, what it took, and when it was last heard of."""
    done = f"{min(run.done, run.total):,} of {run.total:,}" if run.total else f"{run.done:,}"
    kept = f"{results:,} result{'s' * (results != 1)} kept, {file_size(size)}"
    return f"{done} answers · {duration(run.seconds)} of work · {kept} · {ago(now - run.changed)}"


def store(results: int, size: int, limit: float) -> str:
    """How full the store is."""
    return (
        f"{results:,} results take {file_size(size)} of {file_size(round(limit))}. When there is no more room, what "
        "has not been used for the longest goes first, and is solved again when it is asked for. Pinned runs stay."
    )


def damage(entries: Sequence[tuple[float, str, str]]) -> str:
    """What was found damaged."""
    many = len(entries) != 1
    return (
        f"{len(entries)} file{'s' * many} of the store {'were' if many else 'was'} found damaged and put aside. What "
        f"{'they' if many else 'it'} held is solved again when it is asked for."
    )


def curves_alt(runs: Mapping[str, Sequence[Report]]) -> str:
    """The chart in words."""
    said = []
    for name, reports in runs.items():
        for method in dict.fromkeys(report.method for report in reports):
            zeros = [report.sparsity for report in reports if report.method == method]
            least, most = percent(min(zeros)), percent(max(zeros))
            said.append(f"{name}, {titled(method)}: {len(zeros)} points, {least} to {most} zeros")
    return f"Chart of right answers over zeros for runs side by side. {'. '.join(said)}."

"""The experiments: what is measured is kept, and what is written down is what was measured."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import statistics
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import torch

from benchmarks.papers import __main__ as command_line
from benchmarks.papers import recovery, solvers, spirals
from benchmarks.papers.catalogue import EXPERIMENTS
from benchmarks.papers.document import bands, documents, section, text
from benchmarks.papers.experiment import (
    INTERVALS,
    SPREAD,
    Chart,
    Experiment,
    Line,
    Measured,
    Shown,
    Table,
    carried_out,
    interval,
    said_again,
    spread,
    written,
)
from nettrim_core import environment
from nettrim_core.durable import Runs, State, Store
from pages import session
from tests.browsing import ROOT

measured: list[int] = []
breaks_at: dict[int, bool] = {}


def _measure(number: int) -> dict[str, Any]:
    if breaks_at.pop(number, None):
        raise OSError("the disk is gone")
    measured.append(number)
    return {"square": number**2}


def _show(cells: list[Measured]) -> Shown:
    rows = [[f"{cell.asked['number']}", f"{cell.found['square']}"] for cell in cells]
    line = Line("squares", [cell.asked["number"] for cell in cells], [cell.found["square"] for cell in cells])
    return Shown(["It grows."], [Table("Squares", ["n", "n^2"], rows)], [Chart("Squares", "n", "n^2", [line])])


SQUARES = Experiment(
    "squares", "Squares", "arithmetic", ["Not at all."], lambda quick: [{"number": n} for n in range(1, 6)],
    _measure, _show,
)  # fmt: skip


def test_what_broke_off_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured.clear()
    breaks_at[3] = True
    store = Store(tmp_path)
    with pytest.raises(OSError, match="the disk is gone"):
        carried_out(SQUARES, False, store, lambda line: None)
    (run,) = Runs(store).all()
    assert (run.state, run.done, run.total) == (State.FAILED, 2, 5)
    cells = carried_out(SQUARES, False, Store(tmp_path), lambda line: None)
    assert measured == [1, 2, 3, 4, 5]
    assert [cell.found["square"] for cell in cells] == [1, 4, 9, 16, 25]
    (run,) = Runs(Store(tmp_path)).all()
    assert (run.state, run.done, run.asked.name) == (State.DONE, 5, "Squares")
    assert carried_out(SQUARES, False, Store(tmp_path), lambda line: None) == cells
    assert len(measured) == 5
    monkeypatch.setattr(environment, "machine", lambda: "another machine")
    carried_out(SQUARES, False, Store(tmp_path), lambda line: None)
    assert len(measured) == 10  # what a file says of its cells is true of each


def test_a_file_says_all_that_was_measured(tmp_path: Path) -> None:
    cells = carried_out(SQUARES, False, Store(tmp_path / "store"), lambda line: None)
    path = written(SQUARES, True, cells, tmp_path)
    content = json.loads(path.read_text())
    assert content["command"] == "python -m benchmarks.papers squares --quick"
    assert content["environment"]["threads"] == torch.get_num_threads()
    assert [cell["found"]["square"] for cell in content["cells"]] == [1, 4, 9, 16, 25]
    document = text([content])
    for said in (
        "## Squares",
        "Redoes: arithmetic.",
        "* Not at all.",
        "* It grows.",
        "| 5 | 25 |",
        "results_squares",
    ):
        assert said in document


def test_a_table_can_change_and_nothing_is_measured_again(tmp_path: Path) -> None:
    cells = carried_out(SQUARES, False, Store(tmp_path / "store"), lambda line: None)
    path = written(SQUARES, False, cells, tmp_path)
    before, count = json.loads(path.read_text()), len(measured)
    other = dataclasses.replace(SQUARES, title="Powers", show=lambda cells: Shown([f"There are {len(cells)}."]))
    said_again(other, path)
    after = json.loads(path.read_text())
    assert (after["title"], after["shown"]["says"], after["shown"]["tables"]) == ("Powers", ["There are 5."], [])
    assert [after[key] for key in ("cells", "seconds", "environment", "command")] == [
        before[key] for key in ("cells", "seconds", "environment", "command")
    ]
    assert len(measured) == count


def test_the_documentation_is_what_the_files_say() -> None:
    assert (ROOT / "docs" / "results.md").read_text(encoding="utf-8") == text(documents())


def test_what_the_files_show_is_what_their_cells_say(tmp_path: Path) -> None:
    for content in documents():
        path = tmp_path / "again.json"
        path.write_text(json.dumps(content))
        said_again(EXPERIMENTS[content["name"]], path)
        assert json.loads(path.read_text()) == content
        assert not content["command"].endswith("--quick")
        assert len(content["cells"]) == len(EXPERIMENTS[content["name"]].cells(False))


def test_rows_lead_to_states_of_the_studio() -> None:
    links = [link for found in documents() for table in found["shown"]["tables"] for link in table["links"] if link]
    assert links
    for link in links:
        choice, notices = session.choice_of(parse_qs(link))
        assert notices == [], link
        asked = parse_qs(link)
        assert choice.model == asked["model"][0]
        assert "methods" not in asked or choice.methods == tuple(asked["methods"][0].split(","))


def test_an_interval_covers_the_mean() -> None:
    """95 in a hundred, of many draws of three whose mean is known."""
    draw = random.Random(0)
    covered = 0
    for _ in range(2000):
        mean, low, high = interval([draw.gauss(3, 2) for _ in range(3)])
        covered += low <= 3 <= high
        assert low < mean < high
    assert 0.935 < covered / 2000 < 0.965
    values = [1.0, 2.0, 6.0]
    mean, low, _ = interval(values)
    assert mean == 3
    assert mean - low == pytest.approx(4.302652730 * statistics.stdev(values) / math.sqrt(3))
    assert interval([4.0]) == (4.0, 4.0, 4.0)


def test_a_spread_covers_the_draws_and_nothing_else() -> None:
    assert spread([0.7, 40.0, 5.3]) == (pytest.approx(46 / 3), 0.7, 40.0)


def test_charts_say_what_their_bands_are() -> None:
    for name, said in (("tradeoff_lenet_5", SPREAD), ("robustness", INTERVALS), ("recovery", None)):
        document = next(one for one in documents() if one["name"] == name)
        assert bands(document) == [said] * (said is not None)
        assert (f"\nBands: {said}.\n" in section(document)) == (said is not None)


def test_a_transition_is_where_half_are_found() -> None:
    assert recovery.half([10, 20, 30], [0.0, 0.25, 0.75]) == pytest.approx(25)
    assert recovery.half([10, 20], [0.0, 0.4]) is None
    assert recovery.half([10, 20], [1.0, 1.0]) == pytest.approx(5)


def test_planted_neurons_are_found_with_many_samples_and_not_with_few() -> None:
    found = recovery.measure(N=30, s=2, samples=[6, 120], seed=0)
    assert found["rates"][0] < 0.3
    assert found["rates"][1] == 1.0


def test_spirals_are_two_arms_that_do_not_meet() -> None:
    X, labels = spirals.spirals(400, 0)
    assert X.abs().max() <= 1
    apart = torch.cdist(X[labels == 0], X[labels == 1])
    assert float(apart[X[labels == 0].norm(dim=1) > 0.2].min()) > 0.05


@pytest.mark.parametrize(("failing", "code"), [("", None), ("bounds", 1)])
def test_what_compares_seconds_runs_alone(failing: str, code: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    running: set[str] = set()
    seen: dict[str, tuple[int, int]] = {}  # threads, and how many ran at a time
    both = threading.Barrier(2, timeout=30)

    def run(name: str, threads: int) -> int:
        running.add(name)
        if name != "solvers":
            both.wait()
        seen[name] = threads, len(running)
        if name != "solvers":
            both.wait()
        running.remove(name)
        return int(name == failing)

    monkeypatch.setattr("nettrim_core.environment.cores", lambda: 2)
    monkeypatch.setattr(command_line, "_run", run)
    if code is None:
        command_line.beside_each_other(["solvers", "bounds", "recovery"])
    else:
        with pytest.raises(SystemExit) as ended:
            command_line.beside_each_other(["solvers", "bounds", "recovery"])
        assert ended.value.code == code
    assert seen == {"bounds": (1, 2), "recovery": (1, 2), "solvers": (2, 1)}


def test_memory_that_was_used_before_counts_again() -> None:
    for _ in range(2):
        peak = solvers.Peak()
        taken = [torch.ones(12_500) for _ in range(1000)]  # 50 kB each: a heap keeps these for whoever comes next
        assert 45e6 < peak.bytes() < 60e6
        del taken
        assert 45e6 < peak.bytes() < 60e6


def test_counts_are_read_between_points_on_log_axes() -> None:
    points = [{"rd": rd, "after": [1, 3 / rd**2 - 1]} for rd in (0.5, 0.01, 0.2)]
    assert spirals.left_at(points, 0.1) == pytest.approx(300)


def test_a_quick_look_measures_every_experiment(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.papers", "--quick"],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert said.returncode == 0, said.stderr
    for name, experiment in EXPERIMENTS.items():
        assert f"{name} {len(experiment.cells(True))} of {len(experiment.cells(True))}" in said.stdout
    unknown = subprocess.run(
        [sys.executable, "-m", "benchmarks.papers", "nothing"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert unknown.returncode == 2
    assert "there is no experiment 'nothing'; there are spirals" in unknown.stderr

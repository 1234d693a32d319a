"""The command line: what it writes where, its exit codes, and that it says what the studio shows."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.offline
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from nettrim_cli.main import main
from nettrim_cli.settings import Words
from nettrim_core import FORMATS, METHODS, Data, Recipe, Training, export, load_bundle, prune, retrain, save_bundle
from nettrim_core.data import DataOptions
from nettrim_core.places import SAMPLE_MODELS
from nettrim_core.plan import EPSILONS, Plan
from nettrim_core.record import load_points
from nettrim_core.tasks import sweeps
from nettrim_core.worker import serve

SMALL = ["--layers", "fc2,fc3", "--samples", "200", "--threads", "1"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """nettrim with these arguments -> exit code, stdout, stderr."""
    before = torch.get_num_threads()

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nettrim", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    yield call
    torch.set_num_threads(before)


def test_prune_exports_what_replay_makes_again_bit_for_bit(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("prune", "digits_mlp", "--epsilon", "0.2", *SMALL, "--out", tmp_path / "a", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["report"]["sparsity"] > 0.5
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"model.safetensors", "report.json", "recipe.toml"}
    assert [check.split()[0] for check in told["checks"]] == ["model.safetensors", "report.json", "recipe.toml"]
    assert Recipe.from_dict(told["recipe"]) == Recipe.read(tmp_path / "a")
    code, out, _ = run("replay", tmp_path / "a", "--out", tmp_path / "b", "--json")
    assert code == 0
    assert json.loads(out)["same"] is True
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_a_replay_that_differs_ends_with_3(run: Run, tmp_path: Path) -> None:
    run("prune", "digits_mlp", "--method", "lobs", *SMALL, "--out", tmp_path)
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("epsilon = 0.1\n", "epsilon = 0.3\n"))
    code, out, _ = run("replay", recipe)
    assert code == 3
    assert "The weights are not equal bit for bit." in out


def test_another_file_beside_a_recipe_that_is_made_again(run: Run, tmp_path: Path) -> None:
    run("prune", "digits_mlp", "--method", "lobs", *SMALL, "--out", tmp_path)
    file = tmp_path / "model.safetensors"
    save_file({name: value + 1 for name, value in load_file(file).items()}, file)
    code, out, _ = run("replay", tmp_path)
    assert code == 0
    assert "The weights are equal to the former ones, bit for bit." in out
    assert "The weights that lie beside the recipe are not those it tells of." in out


def test_export_writes_every_format_of_a_recipe(run: Run, tmp_path: Path) -> None:
    run("prune", "digits_mlp", "--method", "exactobs", *SMALL, "--out", tmp_path / "a", "--formats", "recipe")
    code, out, _ = run("export", tmp_path / "a" / "recipe.toml", tmp_path / "b")
    assert code == 0
    wanted = {entry.file for entry in FORMATS.values() if not entry.needs_curves}
    assert {path.name for path in (tmp_path / "b").iterdir()} == wanted
    assert "bit for bit" in out
    code, out, _ = run("export", tmp_path / "a", tmp_path / "c", "--formats", "onnx,csr", "--json")
    assert len(json.loads(out)["checks"]) == 2


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(torch.relu(self.fc1(x))) + x


def test_of_all_formats_a_network_with_branches_has_all_but_one(run: Run, tmp_path: Path) -> None:
    data = Data.of(torch.randn(90, 4), torch.arange(90) % 4)
    save_bundle(tmp_path / "net", Branching(), train=data.train, validation=data.validation, test=data.test)
    small = ("--method", "magnitude", "--samples", "20", "--epsilon", "0.1", "--json")
    code, out, _ = run("prune", tmp_path / "net", *small, "--out", tmp_path / "a", "--formats", "all")
    assert code == 0
    wanted = {entry.file for entry in FORMATS.values() if not entry.needs_curves} - {"smaller.safetensors"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == wanted
    (refused,) = (check for check in json.loads(out)["checks"] if "was not written" in check)
    assert refused.startswith("smaller.safetensors was not written: only a chain")
    assert "take compact" in refused
    code, _, err = run("prune", tmp_path / "net", *small, "--out", tmp_path / "b", "--formats", "smaller")
    assert code == 1
    assert "only a chain" in err


def test_a_format_that_fails_oddly_does_not_cost_the_others(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(source: Any, path: Path) -> None:
        path.write_text("half")
        raise AttributeError(f"no field in '{path}'\nand pages of graphs")

    monkeypatch.setitem(FORMATS, "csr", dataclasses.replace(FORMATS["csr"], write=break_down))
    small = ("prune", "digits_mlp", "--method", "magnitude", *SMALL, "--out", tmp_path / "a")
    code, out, _ = run(*small, "--formats", "all", "--json")
    assert code == 0
    wanted = {entry.file for entry in FORMATS.values() if not entry.needs_curves} - {FORMATS["csr"].file}
    assert {path.name for path in (tmp_path / "a").iterdir()} == wanted
    (refused,) = (check for check in json.loads(out)["checks"] if "was not written" in check)
    name = FORMATS["csr"].file
    why = f"it cannot be written (AttributeError: no field in '{name}'): choose another format"
    assert refused == f"{name} was not written: {why}"
    code, _, err = run(*small, "--formats", "csr")
    assert (code, err) == (1, f"nettrim: {tmp_path / 'a' / name}: {why}\n")
    (tmp_path / "file").write_text("")  # where a folder should be: no fault of any format
    assert run("prune", "digits_mlp", *small[2:-1], tmp_path / "file", "--formats", "all")[0] == 1


def test_sweep_says_what_the_studio_shows(run: Run, tmp_path: Path) -> None:
    """The studio shows the stored points of a sample model, and what its worker solves."""
    code, out, _ = run("sweep", "digits_mlp", "--json", "--csv", tmp_path / "curves.csv")
    assert code == 0
    told = json.loads(out)
    stored = load_points(SAMPLE_MODELS / "digits_mlp" / "sweep_parallel.npz", load_bundle("digits_mlp").fingerprint)
    assert Plan.from_dict(told["plan"]) == stored.plan
    shown = {(point.method, point.epsilon): point.report for point in stored.points}
    assert len(told["points"]) == 2 * len(EPSILONS)
    for point in told["points"]:
        report = shown[point["method"], point["settings"]["epsilon"]]
        assert point["accuracy"] == pytest.approx(report.accuracy, abs=2e-3)
        assert point["sparsity"] == pytest.approx(report.sparsity, abs=1e-3)
    with (tmp_path / "curves.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["zeros"]) for row in rows] == [point["sparsity"] for point in told["points"]]


@pytest.mark.parametrize(
    ("name", "epsilons"),
    [
        ("lenet_300_100", [EPSILONS[18]]),
        pytest.param("digits_mlp", [EPSILONS[18], EPSILONS[15]], marks=pytest.mark.long),
    ],
)
def test_sweep_is_what_the_worker_answers_the_page(run: Run, name: str, epsilons: list[float]) -> None:
    threads = torch.get_num_threads()
    words = ",".join(map(str, epsilons))
    _, out, _ = run("sweep", name, "--epsilons", words, "--json", "--threads", str(threads))
    told = json.loads(out)
    curves = [{"method": method, "settings": {}, "epsilons": epsilons} for method in ("nettrim", "lobs")]
    request = {"task": "sweep", "sweeps": [{"plan": told["plan"], "curves": curves}]}
    answers = [json.loads(line) for line in serve([json.dumps(request)])]
    reports = [answer["point"]["report"] for answer in answers if "point" in answer]
    final = {(r["method"], r["settings"]["epsilon"]): r for r in reports}  # a rough one is followed by a better one
    for point in told["points"]:
        shown = final[point["method"], point["settings"]["epsilon"]]
        for entry in (*point["layers"], *shown["layers"]):
            entry["seconds"] = 0
        assert point == shown
    assert len(told["points"]) == 2 * len(epsilons)


def test_ctrl_c_leaves_what_is_finished(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solve = sweeps.solve

    def interrupted(*arguments: Any) -> Iterator[Any]:
        for number, point in enumerate(solve(*arguments)):
            if number == 3:
                os.kill(os.getpid(), signal.SIGINT)
            yield point

    monkeypatch.setattr(sweeps, "solve", interrupted)
    code, out, err = run(
        "sweep", "digits_mlp", "--methods", "magnitude", *SMALL, "--csv", tmp_path / "c.csv", "--json"
    )  # fmt: skip
    assert code == 130
    told = json.loads(out)
    assert told["complete"] is False
    assert len(told["points"]) == 3
    assert len((tmp_path / "c.csv").read_text().splitlines()) == 4
    assert "3 points are finished" in err


def test_ctrl_c_keeps_the_best_network_of_a_retraining(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted:
        def __init__(self, *arguments: Any) -> None:
            self.inner = tune(*arguments)

        def __iter__(self) -> Iterator[Any]:
            for epoch in self.inner:
                yield epoch
                if epoch.number == 2:
                    os.kill(os.getpid(), signal.SIGINT)

        def state(self) -> Any:
            return self.inner.state()

        @property
        def model(self) -> Any:
            return self.inner.model

    tune = retrain.finetune
    monkeypatch.setattr(retrain, "finetune", Interrupted)
    command = ("finetune", "digits_mlp", "--method", "lobs", "--epsilon", "0.4", "--epochs", "5000", *SMALL)
    code, out, err = run(*command, "--out", tmp_path, "--json")
    assert code == 130
    assert json.loads(out)["complete"] is False
    assert json.loads(out)["report"]["retraining"]["epochs"] == 2
    assert err == f"interrupted after 3 steps; the best network so far is written to {tmp_path}\n"
    code, out, err = run(*command)
    assert code == 130
    assert "zeros" in out
    assert err == "interrupted after 3 steps; the best network so far is kept\n"
    monkeypatch.setattr(retrain, "finetune", tune)
    code, out, err = run("replay", tmp_path, "--json")  # which stops where the first run was stopped
    assert (code, json.loads(out)["same"], err) == (0, True, "")
    assert json.loads(out)["report"]["retraining"]["epochs"] == 2


def test_allocate_tells_shares_and_prices(run: Run) -> None:
    code, out, _ = run(
        "allocate", "digits_mlp", "--method", "lobs", "--zeros", "0.8", "--lock", "fc3=0", *SMALL, "--json"
    )
    assert code == 0
    shared = json.loads(out)["report"]["allocation"]
    assert {share["name"]: share["locked"] for share in shared["shares"]} == {"fc2": False, "fc3": True}
    assert sum(share["zeros"] for share in shared["shares"]) / sum(s["size"] for s in shared["shares"]) >= 0.8
    code, out, _ = run("allocate", "digits_mlp", "--method", "lobs", "--multiply-adds", "0.3", *SMALL)
    assert "of its weights" in out


def test_finetune_in_rounds(run: Run) -> None:
    code, out, _ = run(
        "finetune", "digits_mlp", "--method", "lobs", "--rounds", "0.5,0.8", "--epochs", "1", *SMALL, "--json"
    )
    assert code == 0
    assert json.loads(out)["complete"] is True
    assert json.loads(out)["report"]["retraining"]["rounds"] == 2


def test_settings_reach_their_owners(run: Run, tmp_path: Path) -> None:
    code, out, _ = run(
        "prune", "digits_mlp", "--method", "lobs", "--set", "damping=0.01", "--cascade", "--set", "cascade.gamma=1.3",
        "--scale", "fc2=0.5", *SMALL, "--patches", "all", "--batchnorm", "keep", "--json",
    )  # fmt: skip
    assert code == 0
    recipe = Recipe.from_dict(json.loads(out)["recipe"])
    assert recipe.method.damping == 0.01  # type: ignore[attr-defined]
    assert recipe.plan.cascade is not None
    assert recipe.plan.cascade.gamma == 1.3
    assert recipe.plan.scale == (("fc2", 0.5),)
    assert (recipe.plan.patches, recipe.plan.batchnorm) == (None, "keep")
    code, out, _ = run(
        "sweep", "digits_mlp", "--methods", "lobs,wanda", "--set", "lobs.damping=0.02", "--epsilons", "0.2", *SMALL,
        "--json",
    )  # fmt: skip
    assert {point["method"]: point["settings"].get("damping") for point in json.loads(out)["points"]} == {
        "lobs": 0.02,
        "wanda": None,
    }


def test_files_of_ones_own(run: Run, tmp_path: Path) -> None:
    bundle = load_bundle("digits_mlp")
    torch.save(bundle.model.state_dict(), tmp_path / "net.pt")
    np.savez(tmp_path / "rows.npz", inputs=bundle.train[0].numpy(), labels=bundle.train[1].numpy())
    own = [tmp_path / "net.pt", "--data", tmp_path / "rows.npz"]
    code, out, _ = run(
        "prune", *own, "--method", "lobs", *SMALL, "--set", "data.test=0.3", "--out", tmp_path / "o", "--json"
    )
    assert code == 0
    report = json.loads(out)["report"]
    assert report["test_samples"] == pytest.approx(0.3 * len(bundle.train[0]), abs=1)
    assert report["accuracy_before"] > 0.9
    assert run("replay", tmp_path / "o")[0] == 0
    code, out, _ = run("inspect", tmp_path / "net.pt", "--json")
    assert code == 0
    found = json.loads(out)
    assert [(layer["name"], layer["inputs"], layer["outputs"]) for layer in found["layers"]] == [
        ("fc1", 65, 100), ("fc2", 101, 50), ("fc3", 51, 10),
    ]  # fmt: skip
    assert found["sample_shape"] == [64]


@pytest.mark.parametrize("name", ["onnx", "pt2"])
def test_inspect_takes_the_shape_of_a_sample_from_the_file(run: Run, tmp_path: Path, name: str) -> None:
    """Of sizes that nobody would guess; behind a Flatten the first layer does not tell them."""
    shapes = {"conv": (2, 11, 7), "mlp": (1, 5, 3)}
    networks = {
        "conv": nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 9 * 5, 2)),
        "mlp": nn.Sequential(nn.Flatten(), nn.Linear(15, 4), nn.ReLU(), nn.Linear(4, 2)),
    }
    for kind, network in networks.items():
        rows = torch.randn(8, *shapes[kind])
        pruned, report = prune(network, rows, "magnitude")
        export(pruned, report, tmp_path / kind, [name], inputs=rows)
        file = tmp_path / kind / FORMATS[name].file
        code, out, err = run("inspect", file, "--json")
        assert code == 0, err
        assert json.loads(out)["sample_shape"] == list(shapes[kind])
        assert run("inspect", file, "--shape", "1,2,3")[0] == 1  # what is said goes before what is known


def test_inspect_takes_the_shape_of_a_sample_from_the_layers(run: Run, tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 9 * 5, 2))
    torch.save(network.state_dict(), tmp_path / "net.pt")
    (tmp_path / "layers").write_text("# mine\ninput 2 11 7\nconv 3 kernel=3\nrelu\nflatten\nlinear 2\n")
    code, out, err = run("inspect", tmp_path / "net.pt", "--architecture", tmp_path / "layers", "--json")
    assert code == 0, err
    assert json.loads(out)["sample_shape"] == [2, 11, 7]


def test_inspect_says_what_cannot_be_pruned_and_why(run: Run) -> None:
    code, out, _ = run("inspect", "resnet_small", "--json")
    assert code == 0
    found = json.loads(out)
    bundle = load_bundle("resnet_small")
    assert found["parameters"] == sum(p.numel() for p in bundle.model.parameters())
    assert {entry["name"] for entry in found["skipped"]} >= {"norm", "stage1.body.norm1"}
    for layer in found["layers"]:
        assert layer["weights"] == bundle.model.get_parameter(f"{layer['name']}.weight").numel()
        assert layer["memory"] > 0
    code, out, _ = run("inspect", "resnet_small")
    assert "norm cannot be pruned: batch norm" in out
    code, out, _ = run("inspect")
    assert "LeNet-300-100 on MNIST" in out


@pytest.mark.long
def test_the_doctor_finds_what_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from nettrim_cli import studio

    code, out, _ = run("doctor", "--json")
    assert (code, json.loads(out)["ok"]) == (0, True)
    monkeypatch.setattr(studio, "STUDIO", tmp_path)
    code, out, _ = run("doctor", "--json")
    found = {entry["check"]: entry for entry in json.loads(out)["checks"]}
    assert (code, found["the studio's files"]["ok"]) == (3, False)
    assert str(tmp_path) in found["the studio's files"]["says"]
    assert found["a certified solve"]["ok"]


def test_the_doctor_does_what_the_studio_does(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each check fails by itself where what it tries cannot be done."""
    from nettrim_cli import studio

    names = ("requirements", "exports", "uploads", "the studio's files", "charts")
    quick = {name: studio.CHECKS[name] for name in names}
    monkeypatch.setattr(studio, "CHECKS", quick)
    assert run("doctor")[0] == 0
    files = [metadata.PackagePath(name) for name in ("page.py", "knob.js")]
    for file in files:
        file.dist = SimpleNamespace(locate_file=lambda file: tmp_path / file)  # type: ignore[attr-defined]
        (tmp_path / file).write_text("")
    monkeypatch.setattr(studio.metadata, "files", lambda _: files)
    assert studio._studio().endswith(" all 5 files")
    (tmp_path / "knob.js").unlink()
    monkeypatch.setattr(studio.metadata, "requires", lambda _: ["torch>=99", "nowhere-at-all", "x; extra == 'test'"])
    monkeypatch.setattr(plotly.offline, "get_plotlyjs", lambda: (_ for _ in ()).throw(FileNotFoundError("plotly")))
    monkeypatch.setattr(sys, "executable", "/bin/false")  # what the process for uploads is started with
    monkeypatch.setattr(studio, "load_model", lambda path: nn.Linear(4, 2))
    code, out, _ = run("doctor", "--json")
    assert code == 3
    says = {entry["check"]: entry["says"] for entry in json.loads(out)["checks"] if not entry["ok"]}
    assert tuple(says) == names
    assert re.search("torch .* is installed, and >=99 is needed; nowhere-at-all is not installed", says["requirements"])
    assert "gives other outputs" in says["exports"]
    assert "the reader broke off" in says["uploads"]
    assert f"missing: {tmp_path / 'knob.js'}: install" in says["the studio's files"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prune", "nowhere"], "no bundle at 'nowhere'"),
        (["prune", "digits_mlp", "--method", "magic"], "unknown method 'magic'"),
        (["prune", "digits_mlp", "--epsilon", "2"], "NetTrim.epsilon = 2.0 is out of range"),
        (["prune", "digits_mlp", "--layers", "fc9"], "there is no module 'fc9'"),
        (["prune", "digits_mlp", "--set", "tol"], "--set tol: a setting is given as NAME=VALUE"),
        (["prune", "digits_mlp", "--set", "tol=small"], "--set tol=small: this is not a number"),
        (
            ["prune", "digits_mlp", "--method", "wanda", "--set", 'pattern="2:4'],
            '--set pattern="2:4: this is not JSON',
        ),
        (["prune", "digits_mlp", "--set", "what=1"], "--set what: there is no such setting"),
        (["prune", "digits_mlp", "--set", "wanda.pattern=2:4"], "--set wanda.pattern: nothing here has this setting"),
        (["prune", "digits_mlp", "--set", "cascade.gamma=2"], "give --cascade too"),
        (["prune", "digits_mlp", "--scale", "fc1"], "--scale fc1: give a layer and a number"),
        (["prune", "digits_mlp", "--patches", "many"], '--patches many: give a number, or "all"'),
        (["prune", "digits_mlp", "--threads", "0"], "--threads 0: at least 1 is needed"),
        (["prune", "digits_mlp", "--samples", "100000"], "n must be between 1 and 1000"),
        (["prune", "digits_mlp", "--out", "x", "--formats", "gguf"], "--formats gguf: there is no such format"),
        (["prune", "digits_mlp", "--out", "x", "--formats", "curves"], "use nettrim sweep --csv"),
        (["sweep", "digits_mlp", "--epsilons", "a,b"], "--epsilons a,b: give numbers"),
        (["sweep", "digits_mlp", "--methods", ","], "--methods names no method"),
        (["sweep", "digits_mlp", "--set", "tol=1"], "--set tol: nothing here has this setting"),
        (["allocate", "digits_mlp"], "allocate needs one of --zeros"),
        (["allocate", "digits_mlp", "--zeros", "0.5", "--accuracy-drop", "0.1"], "allocate needs one of --zeros"),
        (["finetune", "digits_mlp", "--epochs", "0"], "Training.epochs = 0 is out of range"),
        (["replay", "nowhere.toml"], "cannot be read as a recipe"),
        (["inspect", "nowhere.pt2"], "no bundle at 'nowhere.pt2'"),
    ],
)
def test_refusals_are_sentences_and_end_with_1(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(*arguments, "--json")
    assert code == 1
    assert says in err
    assert err.startswith("nettrim: ")
    assert err.count("\n") == 1
    assert says in json.loads(out)["error"]
    assert not list(tmp_path.iterdir())


def test_a_network_of_a_file_needs_rows(run: Run, tmp_path: Path) -> None:
    torch.save(load_bundle("digits_mlp").model.state_dict(), tmp_path / "net.pt")
    assert "give some with --data" in run("prune", tmp_path / "net.pt")[2]
    np.save(tmp_path / "rows.npy", np.zeros((50, 7), np.float32))
    code, _, err = run("prune", tmp_path / "net.pt", "--data", tmp_path / "rows.npy")
    assert code == 1
    assert "layer fc1 expects 64 numbers and gets 7" in err


def test_words_become_the_types_of_settings() -> None:
    words = Words(
        ["data.label=-1", "data.labelled=no", "data.size=28,28", "data.mean=0.5", "data.inputs=x", "train.adam=yes"]
    )
    options = DataOptions(**words.of("data", DataOptions))
    assert options == DataOptions(label=-1, labelled=False, size=(28, 28), mean=(0.5,), inputs="x")
    assert Training(**words.of("train", Training)).adam is True
    words.finished()
    assert Words(["data.label=class"]).of("data", DataOptions) == {"label": "class"}
    for name in METHODS:
        assert Words(["epsilon=0.25"]).method(name).epsilon == 0.25


def test_as_a_program_stdout_is_one_document(tmp_path: Path) -> None:
    """A real process: nothing but JSON on stdout, whatever the libraries say; help without loading torch."""
    nettrim = Path(sys.executable).with_name("nettrim")
    done = subprocess.run(
        [nettrim, "prune", "mnist1d_conv", "--method", "magnitude", "--samples", "50", "--json", "--out", tmp_path,
         "--formats", "all"],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert json.loads(done.stdout)["report"]["method"] == "magnitude"
    assert tomllib.loads((tmp_path / "recipe.toml").read_text())["network"]["bundle"] == "mnist1d_conv"
    assert bool((load_file(tmp_path / "model.safetensors")["conv1.weight"] == 0).any())
    code = "import sys; sys.argv = ['nettrim', '--help']\nfrom nettrim_cli.main import main\ntry: main()\n"
    code += "except SystemExit: pass\nassert 'torch' not in sys.modules and 'nettrim_core' not in sys.modules"
    assert (
        "Prune ReLU networks"
        in subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    )
    assert subprocess.run([nettrim, "prune"], capture_output=True, check=False).returncode == 2

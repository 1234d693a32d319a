"""What can be asked on the command line. The commands themselves are imported when one is called, because torch takes
seconds to load, and help and completion are to come at once.

Exit codes: 0 done; 1 refused, with a sentence on stderr; 2 the command was not understood; 3 a replay gave other bits,
the doctor found something, or a server is not well; 130 interrupted, and what was finished, or the best network so
far, was written.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

HELP = """Prune ReLU networks layer by layer, with proof: Net-Trim, Optimal Brain Surgeon and others.

MODEL is the name of a sample model (nettrim inspect lists them), a bundle's folder, or the file of a network (.onnx,
.pt2, .safetensors, .pt) together with --data.

Exit codes: 0 done, 1 refused with a sentence, 2 not understood, 3 a replay gave other bits, the doctor found
something or a server is not well, 130 interrupted: what was finished is written, of a retraining the best network so
far.
"""
cli = typer.Typer(name="nettrim", help=HELP, no_args_is_help=True, pretty_exceptions_enable=False)

Model = Annotated[str, typer.Argument(help="A sample model's name, a bundle's folder, or a network's file.")]
DataFile = Annotated[
    str, typer.Option("--data", help="Rows: a .npz, .npy, .csv, .parquet or IDX file, or class folders of images.")
]
Architecture = Annotated[Path | None, typer.Option(help="A text with the layers, for a file that holds weights alone.")]
Layers = Annotated[str, typer.Option(help="Layers to prune, with commas between; all that can be, if not given.")]
Method = Annotated[str, typer.Option(help="A method's name.")]
Epsilon = Annotated[float | None, typer.Option(help="Allowed change of each layer's response, relative to its size.")]
Set = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="NAME=VALUE",
        help="Any setting: of the method (tol=1e-5), or of another owner: lobs.damping=1e-4, cascade.gamma=1.2, "
        "train.momentum=0.8, data.label=-1, data.normalise=255. May be repeated.",
    ),
]  # fmt: skip
CascadeFlag = Annotated[bool, typer.Option("--cascade", help="Prune layers in order, on the signals pruned so far.")]
Samples = Annotated[int | None, typer.Option(help="Calibration inputs, drawn from the training rows.")]
Seed = Annotated[int, typer.Option(help="Of the calibration inputs and patches.")]
Patches = Annotated[str, typer.Option(help='The most patches of a convolution, or "all".')]
BatchNorm = Annotated[str, typer.Option(help="What becomes of batch norms: reestimate or keep.")]
Scale = Annotated[
    list[str], typer.Option(metavar="LAYER=FACTOR", help="A factor on epsilon for one layer. May be repeated.")
]
Threads = Annotated[int | None, typer.Option(help="Threads to compute with; all cores, if not given.")]
Device = Annotated[str, typer.Option(help="Where to compute: cpu, or cuda for a GPU.")]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="A Dask scheduler, tcp://host:port, whose workers solve sweeps; '' is here."),
]
Out = Annotated[Path | None, typer.Option(help="A folder to export to.")]
Formats = Annotated[str, typer.Option(help='Files to export, with commas between, or "all".')]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, and nothing else.")]
USUAL = "safetensors,report,recipe"


@cli.command()
def prune(
    model: Model, method: Method = "nettrim", epsilon: Epsilon = None, data: DataFile = "",
    architecture: Architecture = None, layers: Layers = "", settings: Set = [], cascade: CascadeFlag = False,  # noqa: B006
    scale: Scale = [], samples: Samples = None, seed: Seed = 0, patches: Patches = "2000",  # noqa: B006
    batchnorm: BatchNorm = "reestimate", threads: Threads = None, device: Device = "", out: Out = None,
    formats: Formats = USUAL, as_json: Json = False,
) -> None:  # fmt: skip
    """Prune a network once, judge it on the test rows, and export it if --out is given."""
    from nettrim_cli import pruning

    subject = pruning.Subject(
        model, data, architecture, layers, settings, cascade, scale, samples, seed, patches, batchnorm, threads,
        device,
    )  # fmt: skip
    pruning.prune(subject, method, epsilon, out, formats, as_json)


@cli.command()
def sweep(
    model: Model,
    methods: Annotated[str, typer.Option(help="Methods, with commas between.")] = "nettrim,lobs",
    epsilons: Annotated[str, typer.Option(help="Epsilons, with commas between; the studio's, if not given.")] = "",
    data: DataFile = "", architecture: Architecture = None, layers: Layers = "", settings: Set = [],  # noqa: B006
    cascade: CascadeFlag = False, scale: Scale = [], samples: Samples = None, seed: Seed = 0,  # noqa: B006
    patches: Patches = "2000", batchnorm: BatchNorm = "reestimate", threads: Threads = None, device: Device = "",
    csv: Annotated[Path | None, typer.Option(help="A file for the curves, a line for each point.")] = None,
    scheduler: Scheduler = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Curves: methods over epsilons, judged on the validation rows, as the studio shows them."""
    from nettrim_cli import pruning

    subject = pruning.Subject(
        model, data, architecture, layers, settings, cascade, scale, samples, seed, patches, batchnorm, threads,
        device,
    )  # fmt: skip
    pruning.sweep(subject, methods, epsilons, csv, scheduler, as_json)


@cli.command()
def allocate(
    model: Model, method: Method = "nettrim",
    zeros: Annotated[float | None, typer.Option(help="Fraction of weights and biases that become zero.")] = None,
    multiply_adds: Annotated[float | None, typer.Option(help="Fraction of the multiply-adds that stay.")] = None,
    accuracy_drop: Annotated[float | None, typer.Option(help="Validation accuracy that may be lost.")] = None,
    rule: Annotated[str, typer.Option(help="How layers share: hull, uniform, erk, lamp, magnitude.")] = "hull",
    lock: Annotated[
        list[str], typer.Option(metavar="LAYER=ZEROS", help="Leave a layer at so many zeros. May be repeated.")
    ] = [],  # noqa: B006
    loss: Annotated[str, typer.Option(help="What a layer's error is priced by: auto, kl, squared.")] = "auto",
    data: DataFile = "", architecture: Architecture = None, layers: Layers = "", settings: Set = [],  # noqa: B006
    cascade: CascadeFlag = False, samples: Samples = None, seed: Seed = 0, patches: Patches = "2000",
    batchnorm: BatchNorm = "reestimate", threads: Threads = None, device: Device = "", out: Out = None,
    formats: Formats = USUAL, as_json: Json = False,
) -> None:  # fmt: skip
    """One budget for the whole network: how much each layer gives, and at what price."""
    from nettrim_cli import pruning

    subject = pruning.Subject(
        model, data, architecture, layers, settings, cascade, [], samples, seed, patches, batchnorm, threads,
        device,
    )  # fmt: skip
    target = {"sparsity": zeros, "left": multiply_adds, "drop": accuracy_drop}
    pruning.allocate(subject, method, target, rule, loss, lock, out, formats, as_json)


@cli.command()
def finetune(
    model: Model, method: Method = "nettrim", epsilon: Epsilon = None,
    rounds: Annotated[
        str, typer.Option(help="Zeros after each round of pruning and retraining, such as 0.5,0.8.")
    ] = "",
    epochs: Annotated[int | None, typer.Option(help="Passes over the training rows, at most.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    data: DataFile = "", architecture: Architecture = None, layers: Layers = "", settings: Set = [],  # noqa: B006
    cascade: CascadeFlag = False, scale: Scale = [], samples: Samples = None, seed: Seed = 0,  # noqa: B006
    patches: Patches = "2000", batchnorm: BatchNorm = "reestimate", threads: Threads = None, device: Device = "",
    out: Out = None, formats: Formats = USUAL, as_json: Json = False,
) -> None:  # fmt: skip
    """Prune, then let what is left learn again with zeros held. Ctrl-C keeps the best network so far, and says so."""
    from nettrim_cli import pruning

    subject = pruning.Subject(
        model, data, architecture, layers, settings, cascade, scale, samples, seed, patches, batchnorm, threads,
        device,
    )  # fmt: skip
    pruning.finetune(subject, method, epsilon, rounds, epochs, rate, out, formats, as_json)


@cli.command()
def export(
    recipe: Annotated[Path, typer.Argument(help="A recipe's file, or the folder it was exported to.")],
    out: Annotated[Path, typer.Argument(help="A folder for the files.")],
    formats: Formats = "all",
    model: Annotated[str, typer.Option(help="Where the network is now.")] = "",
    data: Annotated[str, typer.Option(help="Where the data is now.")] = "",
    as_json: Json = False,
) -> None:
    """Make a recipe's network again and write it in any of the formats, each loaded again and compared."""
    from nettrim_cli import files

    files.export(recipe, out, formats, model, data, as_json)


@cli.command()
def replay(
    recipe: Annotated[Path, typer.Argument(help="A recipe's file, or the folder it was exported to.")],
    model: Annotated[str, typer.Option(help="Where the network is now.")] = "",
    data: Annotated[str, typer.Option(help="Where the data is now.")] = "",
    weights: Annotated[Path | None, typer.Option(help="The former model.safetensors to compare with.")] = None,
    out: Out = None, formats: Formats = USUAL, as_json: Json = False,
) -> None:  # fmt: skip
    """Make a recipe's result again and say whether it is the same, bit for bit."""
    from nettrim_cli import files

    files.replay(recipe, model, data, weights, out, formats, as_json)


@cli.command()
def runs(
    delete: Annotated[str, typer.Option(metavar="RUN", help="Take a run out of the list.")] = "",
    undelete: Annotated[str, typer.Option(metavar="RUN", help="Bring one back that was deleted today.")] = "",
    rename: Annotated[str, typer.Option(metavar="RUN=NAME", help="Call a run something else.")] = "",
    pin: Annotated[str, typer.Option(metavar="RUN", help="Never drop this run's results for lack of room.")] = "",
    unpin: Annotated[str, typer.Option(metavar="RUN", help="Treat its results like any others.")] = "",
    as_json: Json = False,
) -> None:
    """Sweeps, allocations and retrainings that were begun on this machine, and how far they are."""
    from nettrim_cli import durably

    durably.listed(as_json, delete=delete, undelete=undelete, rename=rename, pin=pin, unpin=unpin)


@cli.command()
def resume(
    run: Annotated[str, typer.Argument(help="A run's id, the beginning of it, or its name: nettrim runs lists them.")],
    scheduler: Scheduler = None, as_json: Json = False,
) -> None:  # fmt: skip
    """Carry on with a run that broke off, from the last result that was finished."""
    from nettrim_cli import durably

    durably.resume(run, scheduler, as_json)


@cli.command()
def inspect(
    model: Annotated[str, typer.Argument(help="As for the others; none lists the sample models.")] = "",
    data: DataFile = "", architecture: Architecture = None, settings: Set = [],  # noqa: B006
    shape: Annotated[str, typer.Option(help="Of one sample, such as 1,28,28, where there is no data.")] = "",
    samples: Samples = None, patches: Patches = "2000", as_json: Json = False,
) -> None:  # fmt: skip
    """A network's layers: which can be pruned or why not, their sizes, and the memory that Net-Trim would take."""
    from nettrim_cli import files

    files.inspect(model, data, architecture, settings, shape, samples, patches, as_json)


@cli.command()
def doctor(as_json: Json = False) -> None:
    """Check the installation: packages, compiled code, samples, a certified solve, exports, uploads, the studio."""
    from nettrim_cli import studio

    studio.doctor(as_json)


@cli.command()
def health(
    url: Annotated[str, typer.Argument(help="The studio's address, with the path that it is served below.")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds that it may take to come up.")] = 0,
    as_json: Json = False,
) -> None:
    """Ask a studio that is served how it is. Ends with 3 if it is not all well, with 1 if nobody answers."""
    from nettrim_cli.health import health as ask

    ask(url, wait, as_json)


@cli.command()
def settings() -> None:
    """The settings of a server as they are now, with their ranges: a file to begin with."""
    from nettrim_cli import server_settings

    server_settings.settings()


@cli.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def app(
    context: typer.Context,
    port: Annotated[int, typer.Option(help="Where the studio is served.")] = 8501,
    address: Annotated[
        str, typer.Option(help="Who may come: this machine alone, unless said otherwise.")
    ] = "127.0.0.1",
    path: Annotated[str, typer.Option(help="Below which path, as behind a proxy, such as studio.")] = "",
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
) -> None:
    """Start the studio. What else is given goes to Streamlit."""
    from nettrim_cli import studio

    studio.serve(port, address, path, browser, context.args)


def main() -> None:
    """Run the command; a refusal becomes a sentence."""
    try:
        cli()
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        sentence = str(error) or type(error).__name__
        from nettrim_core.plain import for_terminal

        sys.stderr.write(f"nettrim: {for_terminal(sentence)}\n")
        if "--json" in sys.argv:
            sys.stdout.write(json.dumps({"error": sentence}) + "\n")
        sys.exit(1)


if __name__ == "__main__":
    main()

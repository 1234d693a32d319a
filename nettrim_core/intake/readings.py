"""What a reading does, in the child: look at uploaded files, or make a bundle of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from nettrim_core.bundle import Bundle, load_bundle, save_bundle
from nettrim_core.data import Data, DataOptions, Preview, Reading, fits, load_data, preview
from nettrim_core.data.source import opened, shown
from nettrim_core.intake.example import example
from nettrim_core.intake.network import described
from nettrim_core.intake.packing import unpack
from nettrim_core.models import load_model, sample_shape

TAKEN = "taken"  # folder of the bundle that is made
UNPACKED = "unpacked"  # and of one that came as an archive
MOST_CLASSES_SHOWN = 200
MOST_NUMBERS = 4096  # of a sample that is shown
LONGEST = 400  # characters of a sentence
FAULTS: list[str] = []  # of the reading under way, which has a process of its own
# how what to do begins, at the end of a sentence
VERBS = (
    "add call check choose close convert copy correct export fill get give have name number pack put raise remove "
    "rename replace save say set train unpack upload use"
)
REMEDY = re.compile(rf"[:;,?] (or )?({'|'.join(VERBS.split())})\b[^:;]*$")
AGAIN = "save or export it again from where it was made"


def read(request: dict[str, Any]) -> dict[str, Any]:
    """``{"task": one of TASKS, "folder", "network", "architecture", "data", "labels", "options"}`` ->
    the answer, or ``{"refused": one sentence}``. The files' paths are relative to the folder. With ``"public"``, what
    nobody foresaw comes apart, as ``"faults"``, and not in the sentence."""
    os.chdir(request["folder"])
    FAULTS.clear()
    try:
        answer = TASKS[request["task"]](request)
    except Exception as error:  # whatever a file makes a reader stumble over, its visitor gets a sentence
        answer = {"refused": sentence(error, request)}
    return answer | ({"faults": FAULTS} if FAULTS else {})


def sentence(error: BaseException, request: dict[str, Any]) -> str:
    """An error as one line that names the file as the visitor knows it, and ends with a full stop."""
    names = [request[part] for part in ("network", "data") if request.get(part)]
    name = Path(names[0]).name if names else "this"
    said = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "allocate memory" in said or "alloc" in type(error).__name__:
        said = f"{name}: it takes more memory than is given to it; give a smaller file, or fewer rows"
    elif isinstance(error, RecursionError):
        said = f"{name}: it is nested too deeply; save it again"
    elif not isinstance(error, ValueError) and request.get("public"):
        FAULTS.append("".join(traceback.format_exception(error)))
        said = f"{name}: it cannot be read; save it again"
    elif not isinstance(error, ValueError):
        said = f"{name}: it cannot be read ({shown(f'{type(error).__name__}, {said}', 120)}); save it again"
    said = said.replace(f"{os.getcwd()}/", "")
    said = re.sub(rf"^{UNPACKED}/([^/:]*)/", r"\1.zip, member ", said)
    said = re.sub(rf"^{UNPACKED}/([^/:]*):", r"\1.zip:", said)
    said = re.sub(r"^(network|data|labels)/", "", said)
    said = re.sub(r"\(([^()]{80})[^()]{20,}\)", r"(\1…)", said)  # what a library has to say, in its own words
    if not REMEDY.search(said) or len(said) > LONGEST:
        said = f"{shown(said, LONGEST - len(AGAIN) - 5).rstrip('. ')}; {AGAIN}"
    said = said.replace("raise limit_mb", "have NETTRIM_UPLOADS_UNPACKED_MB raised on the server")
    return shown(said, LONGEST).rstrip(". ") + "."


def look(request: dict[str, Any]) -> dict[str, Any]:
    """``{"network", "data", "fit"}``: each None where there is nothing to say of it, or ``{"refused"}``."""
    found: dict[str, Any] = {"network": None, "data": None, "fit": None}
    given, data = Given(), None
    try:
        given = _network(request)
        data = given.data
    except Exception as error:  # as above
        found["network"] = {"refused": sentence(error, {**request, "data": ""})}
    if request.get("data"):
        try:
            data = _data(request)
        except Exception as error:  # as above
            data, found["data"] = None, {"refused": sentence(error, {**request, "network": ""})}
    if data is not None:
        found["data"] = _shown(preview(data)) | {"kind": data.reading.kind}
    if given.model is not None:
        fit = None if data is None else fits(given.model, data)
        found["fit"] = None if fit is None else fit.to_dict()
        try:
            takes = data.calibration if data is not None and fit is not None and fit.takes else None
            found["network"] = {"title": given.title, **described(given.model, takes, given.shape)}
        except ValueError as error:
            name = Path(request["network"]).name
            found["network"] = {"refused": sentence(ValueError(f"{name}: {error}"), request)}
    return found


def take(request: dict[str, Any]) -> dict[str, Any]:
    """Write the bundle into the folder :data:`TAKEN`, and read it again: ``{"fingerprint"}``."""
    given = _network(request)
    model, data, card = given.model, given.data, given.card
    if request.get("data"):
        data, card = _data(request), ""
    name = Path(request["network"]).name
    if model is None or data is None:
        raise ValueError(f"{name}: there is a network or there is data, and a bundle has both; upload the other, too")
    fit = fits(model, data)
    if not fit.takes:
        raise ValueError(f"{name}: {fit.sentence}")
    if not any(layer["prunes"] for layer in described(model, data.calibration)["layers"]):
        raise ValueError(f"{name}: no layer of it can be pruned; give a network with linear or convolution layers")
    shutil.rmtree(TAKEN, ignore_errors=True)
    save_bundle(
        TAKEN, model, train=data.train, validation=data.validation, test=data.test, title=request["title"],
        card=card or _card(request, data), classes=[shown(word, 40) for word in data.classes],
    )  # fmt: skip
    return {"fingerprint": load_bundle(Path(TAKEN).resolve()).fingerprint}


def reach(_: dict[str, Any]) -> dict[str, Any]:
    """What a reading can do beside reading: ``{"connections", "programs", "files"}`` (those of others), each False
    where it is kept from it."""
    return {
        "connections": _can(lambda: socket.socket().close()),
        "programs": _can(_run_nothing),
        "files": _can(lambda: os.listdir("..")),
    }


def _can(act: Callable[[], object]) -> bool:
    try:
        act()
    except PermissionError:
        return False
    return True


def _run_nothing() -> None:
    os.waitpid(os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}), 0)


TASKS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "look": look, "take": take, "example": example, "reach": reach,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Given:
    """A network, the shape of its inputs where its file says it, and what came with it in a bundle."""

    model: nn.Module | None = None
    shape: tuple[int, ...] | None = None
    data: Data | None = None
    title: str = ""
    card: str = ""


def _network(request: dict[str, Any]) -> Given:
    if not request.get("network"):
        return Given()
    path, options = Path(request["network"]), DataOptions.from_dict(request["options"])
    source = opened(path, options.limit)
    if path.suffix.lower() == ".zip":
        shutil.rmtree(UNPACKED, ignore_errors=True)
        Path(UNPACKED).mkdir()
        try:
            return _of_bundle(load_bundle(unpack(source, Path(UNPACKED, path.stem).resolve())))
        finally:
            shutil.rmtree(UNPACKED, ignore_errors=True)
    text = request.get("architecture") or None
    model = load_model(path, architecture=text)
    return Given(model, sample_shape(model, text))


def _of_bundle(bundle: Bundle) -> Given:
    splits = (bundle.train, bundle.validation, bundle.test)
    count = max((1 + int(labels.max()) for _, labels in splits if labels is not None), default=0)
    named = 0 < count <= len(bundle.classes)
    classes = bundle.classes if named else tuple(map(str, range(count)))
    reading = Reading("", "arrays", "", DataOptions())
    data = Data(bundle.title, bundle.train, bundle.validation, bundle.test, classes, reading)
    return Given(bundle.model, None, data, shown(bundle.title), bundle.card)


def _data(request: dict[str, Any]) -> Data:
    options = {**request["options"], **({"labels_path": request["labels"]} if request.get("labels") else {})}
    return load_data(request["data"], DataOptions.from_dict(options))


def _shown(found: Preview) -> dict[str, Any]:
    """A preview that is short enough to be sent: of large samples every so many numbers, of many classes the first."""
    said = found.to_dict()
    for sample in said["samples"]:
        sample["values"] = _thinned(sample["values"], found.features)
    said["all_classes"] = len(said["classes"])
    said["classes"] = said["classes"][:MOST_CLASSES_SHOWN]
    return said


def _thinned(values: Any, count: int) -> Any:
    axes, inner = 0, values
    while isinstance(inner, list):
        axes, inner = axes + 1, inner[0]
    step = max(1, round((count / MOST_NUMBERS) ** (1 / min(axes, 2)) + 0.5)) if count > MOST_NUMBERS else 1

    def thin(part: Any, left: int) -> Any:
        if not isinstance(part, list):
            return float(f"{part:.4g}")
        return [thin(entry, left - 1) for entry in part[:: step if left <= 2 else 1]]

    return thin(values, axes)


def _card(request: dict[str, Any], data: Data) -> str:
    """Where the bundle comes from, and how to make its data again."""
    options = json.dumps(data.reading.options.to_dict(), ensure_ascii=True)
    rows = ", ".join(f"{len(getattr(data, name)[0]):,} {name}" for name in ("train", "validation", "test"))
    names = {part: re.sub(r"[^\w.-]", "_", Path(request[part]).name) for part in ("network", "data") if request[part]}
    return (
        f"# {request['title']}\n\n"
        "Brought to the studio by a visitor; the studio knows nothing of its origin or licence.\n\n"
        + "".join(f"- {part}: `{name}`\n" for part, name in names.items())
        + f"- rows: {rows}\n- options of load_data: `{options}`\n"
    )

"""Networks that no reader may take: each with a word that its refusal must contain, and a name for the file."""

from __future__ import annotations

import io
import itertools
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from nettrim_core.bundle import save_bundle
from tests.hostile_data import header as npy_header
from tests.hostile_data import npz, patched, zipped
from tests.test_onnx_refused import REFUSED, changed

Make = Callable[[], bytes]


@dataclass(frozen=True)
class Bad:
    """A file's name, what makes it, and the word."""

    name: str
    make: Make
    word: str


class Runs:
    """A pickle that runs a command when it is loaded."""

    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/nettrim-was-run",)


def net(*sizes: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def saved(what: Any, **how: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(what, stream, **how)
    return stream.getvalue()


def weights(**changed: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"0.weight": torch.ones(3, 2), "0.bias": torch.zeros(3), **changed}


def in_torch_zip(pickled: bytes) -> bytes:
    """A file of torch.save with another pickle inside."""
    stream = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(saved(weights()))) as old,
        zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, pickled if name.endswith("data.pkl") else old.read(name))
    return stream.getvalue()


def tensors(head: Any, body: bytes = b"\0" * 24) -> bytes:
    """A safetensors file whose header says this."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(shape: list[int], end: int = 24, start: int = 0, dtype: str = "F32") -> dict[str, Any]:
    return {"0.weight": {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}}


class Pair(nn.Module):
    """Two outputs."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, x * 2


class Sums(nn.Module):
    """An operation that no table lists."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).cumsum(1)


_EXPORTED: dict[str, bytes] = {}


def program(model: nn.Module, key: str, width: int = 4) -> bytes:
    """A program of torch.export; exporting takes a while, so each is made once."""
    if key not in _EXPORTED:
        stream = io.BytesIO()
        batch = {0: torch.export.Dim("batch")}
        torch.export.save(torch.export.export(model.eval(), (torch.randn(2, width),), dynamic_shapes=(batch,)), stream)
        _EXPORTED[key] = stream.getvalue()
    return _EXPORTED[key]


def good() -> bytes:
    return program(net(4, 5, 3), "good")


def repacked(change: Callable[[str, bytes], bytes | None], data: Make = good, how: int = 0) -> bytes:
    """The program with its members changed; None leaves one out."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data())) as old, zipfile.ZipFile(stream, "w", how) as new:
        for name in old.namelist():
            content = change(name, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return stream.getvalue()


def with_json(ending: str, change: Callable[[Any], Any]) -> Make:
    """The program with one of its JSON members changed."""

    def make() -> bytes:
        return repacked(lambda n, d: json.dumps(change(json.loads(d))).encode() if n.endswith(ending) else d)

    return make


def with_member(ending: str, content: bytes | None, how: int = 0) -> Make:
    return lambda: repacked(lambda n, d: content if n.endswith(ending) else d, how=how)


def first_weight(**changed: Any) -> Callable[[Any], Any]:
    """A change of what the archive says of its first weight."""

    def change(said: Any) -> Any:
        payload = next(iter(said["config"].values()))
        payload.update({key: value for key, value in changed.items() if key == "use_pickle"})
        payload["tensor_meta"].update({key: value for key, value in changed.items() if key != "use_pickle"})
        return said

    return change


def graph(change: Callable[[Any], None]) -> Callable[[Any], Any]:
    def changed(said: Any) -> Any:
        change(said["graph_module"]["graph"])
        return said

    return changed


def other_target(said: Any) -> None:
    said["nodes"][0]["target"] = "torch.ops.os.system.default"


def no_values(said: Any) -> None:
    said["tensor_values"] = {}


def nan_bytes() -> bytes:
    def change(name: str, data: bytes) -> bytes:
        return b"\xff" * len(data) if "/data/weights/weight_0" in name else data

    return repacked(change)


DEEP = b"[" * 100_000 + b"]" * 100_000


def bundle(
    *, header: Callable[[dict[str, Any]], Any] | None = None, members: dict[str, bytes | None] | None = None,
    prefix: str = "mine/", extra: dict[str, bytes] | None = None, model: nn.Module | None = None, labels: int = 3,
) -> Make:  # fmt: skip
    """A ZIP of a bundle with its header changed, members exchanged or left out, and more beside them."""

    def make() -> bytes:
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            rows = torch.randn(30, 4), torch.arange(30) % labels
            save_bundle(Path(folder) / "b", model or net(4, 5, 3), train=rows, validation=rows, test=rows)
            files: dict[str, bytes | None] = {p.name: p.read_bytes() for p in (Path(folder) / "b").iterdir()}
        files |= members or {}
        if header is not None:
            content = header(json.loads(files["bundle.json"] or b""))
            files["bundle.json"] = content if isinstance(content, bytes) else json.dumps(content).encode()
        return zipped({prefix + name: data for name, data in files.items() if data is not None} | (extra or {}))

    return make


def architecture(change: Callable[[list[dict[str, Any]]], None]) -> Callable[[dict[str, Any]], Any]:
    def header(said: dict[str, Any]) -> Any:
        change(said["architecture"])
        return said

    return header


def evil_type(layers: list[dict[str, Any]]) -> None:
    layers[0] = {"name": "0", "type": "os.system", "command": "touch /tmp/nettrim-was-run"}


def upsampled(layers: list[dict[str, Any]]) -> None:
    layers.insert(0, {"name": "big", "type": "Upsample", "size": None, "scale_factor": 1e9, "mode": "nearest",
                      "align_corners": None})  # fmt: skip


def linked() -> bytes:
    stream = io.BytesIO()
    info = zipfile.ZipInfo("mine/model.safetensors")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("mine/bundle.json", "{}")
        archive.writestr(info, "/etc/passwd")
    return stream.getvalue()


def splits(x: np.ndarray, y: np.ndarray) -> bytes:
    return npz(**{f"{s}_{k}": v for s in ("train", "validation", "test") for k, v in (("inputs", x), ("labels", y))})


X, Y = np.zeros((30, 4), np.float32), np.arange(30) % 3

HOSTILE: dict[str, Bad] = {
    # pickles
    "pickle that runs a command": Bad("a.pt", lambda: pickle.dumps(Runs()), "code"),
    "old pickle that runs a command": Bad("a.pth", lambda: pickle.dumps(Runs(), 0), "code"),
    "torch file that runs a command": Bad("a.pt", lambda: in_torch_zip(pickle.dumps(Runs(), 2)), "code"),
    "torch file with a command among weights": Bad("a.pt", lambda: saved(weights() | {"x": Runs()}), "code"),
    "whole model": Bad("a.pt", lambda: saved(net(2, 3)), "state_dict"),
    "old whole model": Bad("a.pt", lambda: saved(net(2, 3), _use_new_zipfile_serialization=False), "state_dict"),
    "deep pickle": Bad("a.pt", lambda: b"\x80\x02" + b"(" * 1_000_000 + b".", "a.pt"),
    "pickle of a huge number": Bad("a.pt", lambda: b"\x80\x02\x8b\xff\xff\xff\x7f" + b"1" * 50, "a.pt"),
    # state dicts
    "empty file": Bad("a.safetensors", lambda: b"", "empty"),
    "noise as safetensors": Bad("a.safetensors", lambda: os.urandom(1000), "save it again"),
    "noise as pt": Bad("a.pt", lambda: b"\x93" + os.urandom(1000), "a.pt"),
    "truncated pt": Bad("a.pt", lambda: saved(weights())[:-200], "save it again"),
    "half of a pt": Bad("a.pt", lambda: saved(weights())[:500], "save it again"),
    "truncated safetensors": Bad("a.safetensors", lambda: save(weights())[:-5], "save it again"),
    "header beyond the file": Bad("a.safetensors", lambda: struct.pack("<Q", 2**60) + b"{}", "save it again"),
    "header is no JSON": Bad("a.safetensors", lambda: tensors(b"{nope"), "save it again"),
    "deep header": Bad("a.safetensors", lambda: tensors(DEEP), "save it again"),
    "shape beyond the file": Bad("a.safetensors", lambda: tensors(entry([10**9, 10**9])), "save it again"),
    "overflowing shape": Bad("a.safetensors", lambda: tensors(entry([2**62, 2**62])), "save it again"),
    "offset beyond the file": Bad("a.safetensors", lambda: tensors(entry([3, 2], 10**12)), "save it again"),
    "offsets reversed": Bad("a.safetensors", lambda: tensors(entry([3, 2], 0, 24)), "save it again"),
    "unknown kind of number": Bad("a.safetensors", lambda: tensors(entry([3, 2], dtype="F9")), "save it again"),
    "NaN weights": Bad("a.safetensors", lambda: save(weights(**{"0.bias": torch.tensor([1.0, torch.nan, 0])})), "NaN"),
    "infinite weights": Bad("a.pt", lambda: saved(weights(**{"0.weight": torch.full((3, 2), torch.inf)})), "infinite"),
    "weights that do not chain": Bad("a.pt", lambda: saved(weights(**{"1.weight": torch.ones(2, 5)})), "a.pt"),
    "weights of no known network": Bad("a.pt", lambda: saved({"w": torch.ones(2, 2, 2)}), "architecture"),
    "empty dictionary": Bad("a.pt", lambda: saved({}), "state dict"),
    "list of tensors": Bad("a.pt", lambda: saved([torch.ones(2)]), "state dict"),
    "number among weights": Bad("a.pt", lambda: saved(weights() | {"epoch": 3}), "state_dict"),
    "sparse weights": Bad("a.pt", lambda: saved({"0.weight": torch.eye(3).to_sparse()}), "sparse"),
    "weights far larger than their file": Bad(
        "a.pt", lambda: saved({"0.weight": torch.zeros(1).expand(10**6, 10**6)}), "more numbers"
    ),
    "complex weights": Bad("a.pt", lambda: saved(weights(**{"0.weight": torch.ones(3, 2) * 1j})), "a.pt"),
    # programs
    "noise as pt2": Bad("a.pt2", lambda: os.urandom(2000), "save it again"),
    "truncated pt2": Bad("a.pt2", lambda: good()[:-40], "a.pt2"),
    "half of a pt2": Bad("a.pt2", lambda: good()[: len(good()) // 2], "save it again"),
    "pt2 of nothing": Bad("a.pt2", lambda: zipped({"a/b": b""}), "a.pt2"),
    "program without weights": Bad("a.pt2", with_member("model_weights_config.json", None), "a.pt2"),
    "program that is no JSON": Bad("a.pt2", with_member("models/model.json", b"\xff\xfe{"), "save it again"),
    "deep program": Bad("a.pt2", with_member("models/model.json", DEEP), "nested"),
    "program of another kind": Bad("a.pt2", with_member("models/model.json", b"[1, 2]"), "save it again"),
    "unknown operation": Bad("a.pt2", lambda: program(Sums(), "sums"), "cumsum"),
    "operation of another name": Bad("a.pt2", with_json("models/model.json", graph(other_target)), "os.system"),
    "two outputs": Bad("a.pt2", lambda: program(Pair(), "pair"), "outputs"),
    "no values": Bad("a.pt2", with_json("models/model.json", graph(no_values)), "save it again"),
    "NaN in a program": Bad("a.pt2", nan_bytes, "NaN"),
    "pickled weights in a program": Bad(
        "a.pt2", with_json("weights_config.json", first_weight(use_pickle=True)), "pickle"
    ),
    "absurd weights in a program": Bad(
        "a.pt2", with_json("weights_config.json", first_weight(sizes=[{"as_int": 10**9}] * 2)), "shape"
    ),
    "negative weights in a program": Bad(
        "a.pt2", with_json("weights_config.json", first_weight(sizes=[{"as_int": -4}, {"as_int": -5}])), "shape"
    ),
    "weights spread without end": Bad(
        "a.pt2", with_json("weights_config.json", first_weight(strides=[{"as_int": 0}, {"as_int": 0}],
                                                                sizes=[{"as_int": 10**6}, {"as_int": 10**6}])), "shape"
    ),
    "bomb as a program": Bad("a.pt2", with_member("models/model.json", b" " * 30_000_000, 8), "unpacks"),
    "program of a declared size": Bad(
        "a.pt2", lambda: patched(zipped({"a/models/model.json": b"{}"}), 24, 22, b"\xf0\xff\xff\xff"), "unpacks"
    ),
    # bundles
    "no bundle inside": Bad("a.zip", lambda: zipped({"readme.txt": b"x"}), "bundle.json"),
    "noise as zip": Bad("a.zip", lambda: b"PK\x03\x04" + os.urandom(500), "damaged"),
    "truncated bundle": Bad("a.zip", lambda: bundle()()[:-60], "truncated"),
    "path out of the bundle": Bad("a.zip", bundle(extra={"../../evil": b"x"}), "out of the archive"),
    "absolute path in a bundle": Bad("a.zip", bundle(extra={"/tmp/evil": b"x"}), "out of the archive"),
    "drive in a bundle": Bad("a.zip", bundle(extra={"C:\\evil": b"x"}), "out of the archive"),
    "link in a bundle": Bad("a.zip", linked, "link"),
    "archive in a bundle": Bad("a.zip", bundle(extra={"mine/more.zip": zipped({"a": b""})}), "inside"),
    "encrypted bundle": Bad("a.zip", lambda: patched(bundle()(), 8, 6, b"\1\0"), "encrypted"),
    "bomb in a bundle": Bad("a.zip", bundle(extra={"mine/card.md": b"\0" * 30_000_000}), "bomb"),
    "declared size in a bundle": Bad("a.zip", lambda: patched(bundle()(), 24, 22, b"\xf0\xff\xff\xff"), "bomb"),
    "bundle without weights": Bad("a.zip", bundle(members={"model.safetensors": None}), "model.safetensors"),
    "bundle without data": Bad("a.zip", bundle(members={"data.npz": None}), "data.npz"),
    "data from elsewhere": Bad("a.zip", bundle(header=lambda h: h | {"data": "../../../etc/secret.npz"}), "bundle"),
    "header of a bundle is no JSON": Bad("a.zip", bundle(members={"bundle.json": b"{nope"}), "bundle.json"),
    "header of a bundle is a list": Bad("a.zip", bundle(members={"bundle.json": b"[]"}), "bundle.json"),
    "deep header of a bundle": Bad("a.zip", bundle(members={"bundle.json": DEEP}), "bundle.json"),
    "unknown layer": Bad("a.zip", bundle(header=architecture(evil_type)), "os.system"),
    "no architecture": Bad("a.zip", bundle(header=lambda h: {"data": "data.npz"}), "bundle.json"),
    "layer that unfolds": Bad("a.zip", bundle(header=architecture(upsampled)), "a.zip"),
    "weights of another network": Bad("a.zip", bundle(members={"model.safetensors": save(weights())}), "fit"),
    "damaged weights in a bundle": Bad("a.zip", bundle(members={"model.safetensors": b"x" * 99}), "model.safetensors"),
    "objects in a bundle": Bad(
        "a.zip", bundle(members={"data.npz": npz(train_inputs=np.array([{}, []], object))}), "objects"
    ),
    "absurd shape in a bundle": Bad(
        "a.zip", bundle(members={"data.npz": zipped({"train_inputs.npy": npy_header("(10**12, 10**9)")})}), "header"
    ),
    "shape beyond a bundle's member": Bad(
        "a.zip", bundle(members={"data.npz": zipped({"train_inputs.npy": npy_header("(1000000000, 1000000000)")})}),
        "shape",
    ),
    "NaN in a bundle": Bad("a.zip", bundle(members={"data.npz": splits(X * np.nan, Y)}), "NaN"),
    "labels beyond the outputs": Bad("a.zip", bundle(members={"data.npz": splits(X, Y + 5)}), "labels"),
    "negative labels in a bundle": Bad("a.zip", bundle(members={"data.npz": splits(X, Y - 1)}), "labels"),
    "other inputs than the network takes": Bad("a.zip", bundle(members={"data.npz": splits(X[:, :2], Y)}), "take"),
    "fewer labels than inputs": Bad("a.zip", bundle(members={"data.npz": splits(X, Y[:-1])}), "labels"),
    "bundle without a split": Bad("a.zip", bundle(members={"data.npz": npz(train_inputs=X)}), "data.npz"),
    "arrays in another file": Bad("a.zip", bundle(members={"data.npz": zipped({"run.py": b"1"})}), "run.py"),
}  # fmt: skip

ONNX = (
    "weights elsewhere", "constant elsewhere", "unknown", "old", "subgraph", "functions", "quantised", "vast weights",
    "negative weights", "short weights", "not finite", "cycle", "dangling", "absurd padding", "absurd constant",
    "absurd range", "odd letters", "two inputs",
)  # fmt: skip


def onnx_file(fault: str) -> Make:
    return lambda: changed(REFUSED[fault][0]).SerializeToString()


HOSTILE |= {f"ONNX: {fault}": Bad("a.onnx", onnx_file(fault), REFUSED[fault][1]) for fault in ONNX}
HOSTILE |= {
    "noise as ONNX": Bad("a.onnx", lambda: os.urandom(3000), "export the network again"),
    "half of an ONNX": Bad("a.onnx", lambda: changed(lambda m: None).SerializeToString()[:400], "a.onnx"),
}

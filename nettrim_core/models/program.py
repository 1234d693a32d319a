"""The archive of a torch.export program: its graph as calls, its weights as tensors. Both are read as data."""

from __future__ import annotations

import json
import math
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import Tensor

from nettrim_core.models.wiring import BATCHES, Wiring
from nettrim_core.wired import INPUT, Wired

MOST_BYTES, MOST_JSON = 2_000_000_000, 100_000_000
# the numbers of the archive's schema
DTYPES = {1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16,
          7: torch.float32, 8: torch.float64, 12: torch.bool, 13: torch.bfloat16}  # fmt: skip


@dataclass(frozen=True)
class Ref:
    """A value of the graph."""

    name: str


@dataclass(frozen=True)
class Call:
    """A node: what it gives, its arguments by name, and the path of the module whose code it came from."""

    name: str
    target: str
    arguments: dict[str, Any]
    module: str

    def get(self, name: str, default: Any = None) -> Any:
        value = self.arguments.get(name)
        return default if value is None else value


class Program:
    """A program in an open archive, and the network that is wired from it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        sizes = sum(info.file_size for info in archive.infolist())
        if sizes > MOST_BYTES or sizes > 50 * max(path.stat().st_size, 1):
            raise ValueError(f"the archive unpacks to {sizes:,} bytes, over 50 times its own or over {MOST_BYTES:,}")
        self.members = {str(PurePosixPath(*PurePosixPath(name).parts[1:])): name for name in archive.namelist()}
        program = self._json("models/model.json")
        self.graph = program["graph_module"]["graph"]
        self.signature = program["graph_module"]["signature"]
        self.held = self._held()
        self.paths: dict[str, str] = {}  # of what the network holds, by the names that the graph has for it
        self.constants: set[str] = set()  # those of them that are neither parameters nor buffers
        self.values: dict[str, str] = {}  # names in the wiring, by those in the graph
        self.shapes: dict[str, tuple[int, int]] = {}  # numbers that depend on the batch, one for each
        self.called: dict[str, str] = {}  # layers that are there already
        self.wiring = self._begun()

    def _json(self, member: str) -> Any:
        if member not in self.members:
            raise ValueError(f"the archive has no {member}")
        if self.archive.getinfo(self.members[member]).file_size > MOST_JSON:
            raise ValueError(f"its {member} has more than {MOST_JSON:,} bytes")
        return json.loads(self.archive.read(self.members[member]))

    def _held(self) -> dict[str, Tensor]:
        """Parameters, buffers and constants by their paths."""
        held = {}
        for folder, config in (("weights", "model_weights_config"), ("constants", "model_constants_config")):
            for name, payload in self._json(f"data/{folder}/{config}.json")["config"].items():
                if payload["use_pickle"]:
                    raise ValueError(f"{name} is stored as a pickle, which is never loaded")
                held[name] = self._tensor(name, f"data/{folder}/{payload['path_name']}", payload["tensor_meta"])
        return held

    def _tensor(self, name: str, member: str, meta: Any) -> Tensor:
        if meta["dtype"] not in DTYPES or member not in self.members:
            raise ValueError(f"{name} has a kind of number that is not known, or no data")
        sizes, strides = ([int(n["as_int"]) for n in meta[key]] for key in ("sizes", "strides"))
        offset, dtype = int(meta["storage_offset"]["as_int"]), DTYPES[meta["dtype"]]
        data = bytearray(self.archive.read(self.members[member]))
        last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
        room = len(data) // dtype.itemsize
        if min([*sizes, *strides, offset, 0]) < 0 or (0 not in sizes and last >= room) or math.prod(sizes) > room:
            raise ValueError(f"{name} says it has the shape {sizes}, and the file holds {room} numbers for it")
        if 0 in sizes:
            return torch.empty(sizes, dtype=dtype)
        return torch.frombuffer(data, dtype=dtype).as_strided(sizes, strides, offset)

    def _begun(self) -> Wiring:
        """The wiring, with the program's one input in it."""
        inputs = self.signature["input_specs"]
        for spec in inputs:
            (kind, said), *_ = spec.items()
            if kind != "user_input":
                self.paths[said["arg"]["name"]] = said[f"{kind}_name"]
            if kind == "tensor_constant":  # written into the code, and no key of a state dict
                self.constants.add(said["arg"]["name"])
        given = [spec["user_input"]["arg"]["as_tensor"]["name"] for spec in inputs if "user_input" in spec]
        outputs = self.graph["outputs"]
        if len(given) != 1 or len(outputs) != 1:
            raise ValueError(f"it takes {len(given)} inputs and gives {len(outputs)} outputs; one of each is needed")
        sizes = [size.get("as_int") for size in self.graph["tensor_values"][given[0]]["sizes"]]
        if None in sizes[1:]:
            raise ValueError("only the first dimension of the input may be dynamic: export it with the others fixed")
        self.values[given[0]] = INPUT
        return Wiring(sizes[1:], sizes[0])

    def calls(self) -> list[Call]:
        """The nodes of the graph, in order."""
        return [self._call(node) for node in self.graph["nodes"]]

    def wired(self) -> Wired:
        """The network, after all calls were wired. What nothing calls stays in its state dict."""
        constants = {self.paths[name] for name in self.constants}
        for path, value in self.held.items():
            if path not in {*self.wiring.weights, *constants} and self.wiring.free(path) == path:
                self.wiring.tensors[path] = self.wiring.weights[path] = value
        return self.wiring.done(self.value(Ref(self.graph["outputs"][0]["as_tensor"]["name"])))

    def _call(self, node: Any) -> Call:
        arguments = {said["name"]: _argument(said["arg"]) for said in node["inputs"]}
        stack = [entry.split(",") for entry in node["metadata"].get("nn_module_stack", "").split(";")]
        module = stack[-1][1] if len(stack[-1]) > 1 else ""
        (output, *_) = node["outputs"] or [{}]
        (said, *_) = output.values() or [{}]
        name = said.get("name") or said.get("as_name") if isinstance(said, dict) else None
        target = str(node["target"]).removeprefix("torch.ops.")
        return Call(str(name or node.get("name") or ""), target, arguments, module)

    def value(self, given: Any) -> str:
        """The name of a value in the wiring; a tensor that the network holds becomes one."""
        if not isinstance(given, Ref):
            raise ValueError(f"a tensor is expected, got {given!r}")
        if given.name not in self.values:
            path = self.paths[given.name]
            self.values[given.name] = self.wiring.tensor(path, self.held[path])
        return self.values[given.name]

    def number(self, given: Any) -> Any:
        """A constant of one number as that number; anything else as it is."""
        if isinstance(given, Ref) and given.name in self.constants:
            value = self.held[self.paths[given.name]]
            return value.item() if value.dim() == 0 else given
        return given

    def weight(self, call: Call, name: str) -> Tensor:
        """A tensor that the network holds."""
        found = self.maybe(call, name)
        if found is None:
            raise ValueError(f"{call.name}: {call.target} has no {name}")
        return found

    def maybe(self, call: Call, name: str) -> Tensor | None:
        """The same, or None where the call has none."""
        given = call.get(name)
        if given is None:
            return None
        if not isinstance(given, Ref) or given.name not in self.paths:
            raise ValueError(f"{call.name}: a layer whose {name} is computed cannot be read")
        return self.held[self.paths[given.name]]

    def numbers(self, given: Any) -> tuple[list[int], list[int]]:
        """A list that may depend on the batch, for each of the two batches."""
        one, other = (
            [self.shapes[n.name][batch] if isinstance(n, Ref) else int(n) for n in given]
            for batch in range(len(BATCHES))
        )
        return one, other

    def layer(self, call: Call, kind: str, takes: str, weights: dict[str, Tensor | None], **arguments: Any) -> None:
        """A layer with weights, or a further call of one that is there."""
        owners = [self.paths[given.name] for name in weights if isinstance(given := call.get(name), Ref)]
        key = f"{owners} {kind} {arguments}"
        if owners and key in self.called:
            self.values[call.name] = self.wiring.again(self.called[key], takes)
            return
        held = {name: value for name, value in weights.items() if value is not None}
        own = f"{call.module}.weight"  # of one weight under two names, the graph has but one
        if "weight" in held and own in self.held and torch.equal(self.held[own], held["weight"]):
            owners.insert(0, own)
        path = next(self.wiring.owners(owners), call.module or call.name)
        name = self.wiring.layer(path, kind, takes, held, **arguments)
        self.values[call.name], self.called[key] = name, self.wiring.steps[-1].layer

    def rank(self, name: str) -> int:
        return len(self.wiring.shapes(name)[0])


def _argument(said: dict[str, Any]) -> Any:
    """An argument of a node as plain data; values of the graph as Ref."""
    (kind, value), *_ = said.items()
    if kind in ("as_tensor", "as_sym_int", "as_symint"):
        return _ref(value)
    if kind in ("as_tensors", "as_sym_ints", "as_symints"):
        return [_ref(entry) for entry in value]
    return None if kind == "as_none" else value


def _ref(value: dict[str, Any]) -> Any:
    if "name" in value:
        return Ref(str(value["name"]))
    (kind, inner), *_ = value.items()
    return Ref(str(inner)) if kind == "as_name" else inner

"""``python -m nettrim_core.intake LIMITS``: the process that readings are forked from. LIMITS is Uploads as JSON."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file

from nettrim_core.configuration import Uploads
from nettrim_core.intake.nursery import serve
from nettrim_core.intake.readings import read


def main() -> None:
    torch.set_num_threads(1)  # threads of OpenMP do not survive a fork
    warnings.simplefilter("ignore")
    warm_up()
    serve(read, Uploads(**json.loads(sys.argv[1])))


def warm_up() -> None:
    """Read two made-up files, for what is imported meanwhile: half of a library is imported when it is first used, and
    children that are forked later need not."""
    importlib.import_module("nettrim_core.models.onnx_file")
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        save_file({"fc.weight": torch.eye(2), "fc.bias": torch.zeros(2)}, Path(folder, "a.safetensors"))
        Path(folder, "a.csv").write_text("a,b,label\n" + "".join(f"{i},{i % 7},{i % 2}\n" for i in range(30)))
        read({"task": "look", "folder": folder, "network": "a.safetensors", "data": "a.csv", "options": {}})
        os.chdir(home)


if __name__ == "__main__":
    main()

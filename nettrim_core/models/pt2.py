"""Programs of torch.export (.pt2), read without torch's own loader, which unpickles.

The archive's graph is JSON and its weights are raw bytes; both are read as data, and every operation is looked up in a
table. Layers keep the paths that they have in the program, so that a state dict fits the original class.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path

from nettrim_core.models.aten import TARGETS
from nettrim_core.models.program import Program
from nettrim_core.wired import Wired

# what a damaged archive or graph may raise: of its bytes, and of what is read in them
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)
ODD = (KeyError, IndexError, TypeError, AttributeError, RuntimeError, OverflowError, UnicodeDecodeError,
       json.JSONDecodeError)  # fmt: skip


def read(path: Path) -> Wired:
    """The network of a program with one tensor in and one out. Raises ValueError naming the file and the reason."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _wired(Program(path, archive))
    except RecursionError:  # a RuntimeError, of which the text says nothing
        raise ValueError(f"{path}: its graph is nested too deeply: save it again with torch.export.save") from None
    except DAMAGED as error:
        raise ValueError(f"{path}: not a whole .pt2 archive ({error}): save it again with torch.export.save") from error
    except ODD as error:
        raise ValueError(
            f"{path}: its graph is not laid out as torch.export.save of torch 2.9 or later does "
            f"({(str(error).splitlines() or [type(error).__name__])[0]}): save it again with that"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _wired(program: Program) -> Wired:
    calls = program.calls()
    unknown = dict.fromkeys(f"{call.target} ({call.name})" for call in calls if call.target not in TARGETS)
    if unknown:
        raise ValueError(
            f"operations that are not known: {', '.join(list(unknown)[:6])}; export the network without them"
        )
    for call in calls:
        TARGETS[call.target](program, call)
    return program.wired()

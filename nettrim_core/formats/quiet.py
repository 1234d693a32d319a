"""Exporters talk; the core is silent."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

from nettrim_core.faults import first_line, told


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Meanwhile, nothing is printed, and nothing less than an error is logged or warned of, in the whole process."""
    before, nowhere = logging.root.manager.disable, io.StringIO()
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def following(tool: str, path: Path) -> Iterator[None]:
    """Meanwhile ``tool`` follows the computation of a network, quietly, to write ``path``; ValueError if it cannot."""
    try:
        with quiet():
            yield
    except Exception as error:  # tracing runs the model's own code, which may raise anything
        raise ValueError(
            f"{path}: {tool} cannot follow this network ({first_line(error)}); choose a format of weights, such as "
            "safetensors"
        ) from error


def refusal(error: Exception, folder: str | Path) -> str:
    """What a reader is told of a file that was not written into ``folder``: the sentence of a ValueError without the
    folder; of anything else what may be told of a fault, and what to do."""
    if isinstance(error, ValueError):
        return str(error).replace(f"{folder}/", "")
    return f"it cannot be written ({told(error)}): choose another format"

"""What a server allows, as a file to begin with."""

from __future__ import annotations

import dataclasses
import json

from nettrim_cli import show
from nettrim_core.configuration import SECTIONS, settings_file, variable
from nettrim_core.problem import legal_values


def settings() -> None:
    """Every table and setting in force, as the file would say them."""
    show.say(f"# Settings of the studio's server, for {settings_file()}")
    for section in SECTIONS:
        now = section.configured()
        about = " ".join((section.__doc__ or "").split())
        show.say("", f"# {about}", f"[{section.table}]")
        for f in dataclasses.fields(now):  # type: ignore[arg-type]
            meant = f"{f.metadata['help']}; {legal_values(f)}; " if "help" in f.metadata else ""
            show.say(f"{f.name} = {json.dumps(getattr(now, f.name))}  # {meant}{variable(section, f.name)}")

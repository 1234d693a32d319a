"""What whoever runs the studio decides: one file of TOML tables, each value also a variable of the environment.

    [uploads]                 NETTRIM_UPLOADS_MB=500 says the same, and comes first
    mb = 500

The file is the one that ``NETTRIM_SETTINGS`` names, else ``nettrim.toml`` in the user's configuration folder. What is
not said is as it usually is; a table, name or value that means nothing is refused.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Self

import platformdirs

from nettrim_core import environment as machine
from nettrim_core.problem import Settings, setting

APP = "nettrim"
FILE = "nettrim.toml"
VARIABLE = "NETTRIM_SETTINGS"
CORES_EACH = 2  # of a job: see "One worker or two" in docs/visitors.md


class Section(Settings):
    """Base of the file's tables: frozen dataclasses of settings, called ``table`` there."""

    table: ClassVar[str]
    only: ClassVar[str] = ""  # a setting whose variable is called like the table alone

    @classmethod
    def configured(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """What the environment and the file say. Raises ValueError naming the place of what cannot be used."""
        found: dict[str, Any] = dict(_tables(environment).get(cls.table, {}))
        for f in fields(cls):  # type: ignore[arg-type]  # every table is a dataclass
            name = variable(cls, f.name)
            if text := environment.get(name, ""):
                found[f.name] = _value(name, text, f.default)
        return cls(**found)


@dataclass(frozen=True)
class Uploads(Section):
    """How much a stranger's files may take, each reading for itself."""

    table: ClassVar[str] = "uploads"
    mb: int = setting(100, 1, 100_000, help="megabytes that a file may have")
    unpacked_mb: int = setting(400, 1, 100_000, help="megabytes that it may unpack to, and that the inputs may take")
    memory_mb: int = setting(3000, 100, 1_000_000, help="megabytes of memory for reading, beside the program's own")
    seconds: int = setting(60, 1, 100_000, help="for reading, by the clock and of the processor")
    at_once: int = setting(2, 1, 100, help="readings at the same time; others wait their turn")


@dataclass(frozen=True)
class Storage(Section):
    """Where runs and their results are kept. folder: "" is the user's data folder."""

    table: ClassVar[str] = "storage"
    on: bool = setting(True, help="keep runs and results, so that nothing is lost and nothing is solved twice")
    folder: str = ""
    mb: int = setting(2000, 1, 100_000_000, help="megabytes that results may take; what was used last stays")

    @property
    def place(self) -> Path:
        return Path(self.folder).expanduser() if self.folder else platformdirs.user_data_path(APP)


@dataclass(frozen=True)
class Work(Section):
    """What solving may take of the machine; where 0 is said, the machine says it. device: where torch computes, cpu or
    cuda."""

    table: ClassVar[str] = "work"
    device: str = "cpu"
    workers: int = setting(0, 0, 1000, help="jobs that are solved at the same time; 0: one for every two cores")
    threads: int = setting(0, 0, 1000, help="threads of each, at most its share of the cores; 0: all of its share")
    memory_mb: int = setting(0, 0, 10_000_000, help="megabytes that a job may take; 0: half of the machine's memory")
    begun: int = setting(8, 1, 1000, help="jobs that are kept in memory while they take turns; others wait in line")
    waiting: int = setting(4, 1, 1000, help="jobs that one visitor may have in line or under way")

    @property
    def places(self) -> int:
        """How many jobs are solved at the same time."""
        return self.workers or max(machine.cores() // CORES_EACH, 1)

    @property
    def room(self) -> int:
        """How many jobs may have begun and not ended."""
        return max(self.begun, self.places)

    @property
    def threads_each(self) -> int:
        """The same for every job, so that results do not depend on who else is there."""
        share = max(machine.cores() // self.places, 1)
        return min(self.threads or share, share)

    @property
    def memory(self) -> int:
        """Bytes that a job may take."""
        return self.memory_mb * 1_000_000 or machine.memory() // 2


@dataclass(frozen=True)
class Public(Section):
    """A server that strangers come to. What is counted here is counted for each visitor, by the hour."""

    table: ClassVar[str] = "public"
    on: bool = setting(False, help="count what visitors use, and tell them of faults without details")
    sign_in: bool = setting(False, help="show no page to those who have not signed in; see Streamlit's [auth] secrets")
    uploads: int = setting(60, 1, 1_000_000, help="files that a visitor may upload")
    networks: int = setting(20, 1, 1_000_000, help="networks that a visitor may take into use")
    solving: int = setting(1800, 1, 1_000_000, help="seconds after which a visitor's next job waits")


@dataclass(frozen=True)
class Monitoring(Section):
    """What is told to those who look after the server."""

    table: ClassVar[str] = "monitoring"
    metrics: bool = setting(False, help="tell at /metrics how many visit, how many jobs there are, and what they take")


@dataclass(frozen=True)
class Scheduler(Section):
    """Where sweeps are solved. address: of a Dask scheduler, such as tcp://10.0.0.1:8786, whose workers do it; "" is
    here. It is the table's only setting, and its variable is NETTRIM_SCHEDULER."""

    table: ClassVar[str] = "scheduler"
    only: ClassVar[str] = "address"
    address: str = ""


SECTIONS: tuple[type[Section], ...] = (Uploads, Storage, Work, Public, Monitoring, Scheduler)


def variable(section: type[Section], name: str) -> str:
    """The variable of the environment for a setting."""
    return (f"{APP}_{section.table}" if name == section.only else f"{APP}_{section.table}_{name}").upper()


def settings_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the file is looked for."""
    named = environment.get(VARIABLE, "")
    return Path(named) if named else platformdirs.user_config_path(APP) / FILE


def _tables(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The file's tables, all of them known; none without a file, unless one was named."""
    path = settings_file(environment)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        if environment.get(VARIABLE):
            raise ValueError(f"{VARIABLE} = {path}: there is no such file: name one, or none") from error
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: cannot be read as settings ({error}): correct it or take it away") from error
    known = {section.table: section for section in SECTIONS}
    for name, table in tables.items():
        if name not in known:
            raise ValueError(f"{path}: there is no table [{name}]{_meant(name, known)}; there is {', '.join(known)}")
        if not isinstance(table, dict):
            raise ValueError(f"{path}: {name} is no table: write [{name}], and its settings below")
        usual = {f.name: f.default for f in fields(known[name])}  # type: ignore[arg-type]
        for key, value in table.items():
            if key not in usual:
                raise ValueError(
                    f"{path}: [{name}] has no setting {key!r}{_meant(key, usual)}; it has {', '.join(usual)}"
                )
            if type(value) is not type(usual[key]):
                raise ValueError(f"{path}: [{name}] {key} = {value!r}: write it like {usual[key]!r}")
    return tables


def _meant(word: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(word, known, 1)
    return f" (is {close[0]} meant?)" if close else ""


def _value(name: str, text: str, usual: Any) -> Any:
    """The text of a variable as a value of the usual one's type."""
    if isinstance(usual, bool):
        words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
        if text.lower() not in words:
            raise ValueError(f"{name} = {text!r} is neither true nor false: set it to one of the two")
        return words[text.lower()]
    if isinstance(usual, int):
        if not text.isascii() or not text.isdigit():
            raise ValueError(f"{name} = {text!r} is not a whole number: set it to one, such as {usual}")
        return int(text)
    return text

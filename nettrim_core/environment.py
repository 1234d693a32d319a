"""What a result was computed with, beside its recipe: packages, machine, threads."""

from __future__ import annotations

import functools
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import torch

PACKAGE = "nettrim-studio"
# whose version may change a result in its last bits
PACKAGES = (PACKAGE, "torch", "numpy", "scipy", "numba")
CONTROL_GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def versions() -> dict[str, str]:
    """Package -> installed version, Python among them."""
    return dict(_versions())


@functools.cache
def _versions() -> dict[str, str]:
    path = list(sys.path)  # a copy: other threads may change the path, and who walks along it meanwhile misses a folder
    return {"python": platform.python_version()} | {name: _version(name, path) for name in PACKAGES}


def _version(name: str, path: list[str]) -> str:
    for found in metadata.distributions(name=name, path=path):
        return found.version
    raise metadata.PackageNotFoundError(name)


def processor() -> str:
    """The processor's name as the system gives it, or its family."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.is_file() else []
    named = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def machine() -> str:
    """System, processor and cores."""
    return f"{platform.system()} {platform.machine()}, {processor()}, {cores()} cores"


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory() -> int:
    """The bytes of memory that there are: the machine's, or what the control groups leave of it."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    groups = OWN_GROUPS.read_text().splitlines() if OWN_GROUPS.is_file() else []
    unified = next((line.removeprefix("0::/") for line in groups if line.startswith("0::/")), "")
    group = CONTROL_GROUPS / unified
    for folder in (group, *group.parents):
        file = folder / "memory.max"
        if folder.is_relative_to(CONTROL_GROUPS) and file.is_file() and (said := file.read_text().strip()).isdigit():
            limits.append(int(said))
    return min(limits)


def sentence() -> str:
    """All of it on one line, for the head of a table of measurements."""
    found = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"{machine()}, {torch.get_num_threads()} threads; {found}"

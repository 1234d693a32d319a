"""Which files a reading may touch: its own folder, and to read, what Python and the system's libraries consist of.

Rules on folders (Landlock, Linux 5.13 and later, no privilege needed; linux/landlock.h) count for the process that
asks for them and for all that it starts, and cannot be taken back.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from nettrim_core.places import SAMPLE_MODELS

PACKAGE = Path(__file__).resolve().parents[1]
CREATE, ADD, RESTRICT = 444, 445, 446  # the same numbers on every machine
VERSION, BENEATH = 1, 1
NO_NEW_PRIVILEGES = 38
# a bit for each right; REMOVE and MAKE are of folders and files, and of nothing that leads elsewhere
RUN, WRITE, READ, LIST, REMOVE, MAKE, TRUNCATE, ALL = 1, 2, 4, 8, 0x30, 0x180, 1 << 14, (1 << 13) - 1
SYSTEM = (
    "/usr", "/lib", "/lib64", "/etc", "/sys/devices/system", "/opt", "/nix/store",
    "/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/sys",  # no other process: environments hold secrets
)  # fmt: skip
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")


def confine(folder: str) -> bool:
    """Leave this process nothing but ``folder``, and to read, Python and the system; False where the system has no such
    rules."""
    libc = ctypes.CDLL(None, use_errno=True)
    if not sys.platform.startswith("linux"):
        return False
    version = libc.syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(VERSION))
    if version < 1:
        return False
    handled = ALL | (TRUNCATE if version >= 3 else 0)
    asked = struct.pack("=Q", handled)
    rules = libc.syscall(CREATE, asked, ctypes.c_size_t(len(asked)), ctypes.c_uint(0))
    for path, access in _allowed(folder):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        access &= handled if os.path.isdir(path) else READ | WRITE  # a file is not listed
        libc.syscall(ADD, rules, BENEATH, struct.pack("=Qi", access, place), ctypes.c_uint(0))
        os.close(place)
    zero = ctypes.c_ulong(0)
    kept = libc.prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) == 0
    kept = kept and libc.syscall(RESTRICT, rules, ctypes.c_uint(0)) == 0
    os.close(rules)
    return kept


def _allowed(folder: str) -> Iterator[tuple[str, int]]:
    yield folder, WRITE | READ | LIST | REMOVE | MAKE | TRUNCATE
    packages = [entry for entry in sys.path if entry.endswith("-packages")]
    # not all of the project's folder, in which Streamlit's secrets may lie
    read = {sys.prefix, sys.base_prefix, *packages, str(PACKAGE), str(SAMPLE_MODELS), *SYSTEM}
    yield from ((path, RUN | READ | LIST) for path in sorted(read) if os.path.exists(path))
    yield from ((path, READ | WRITE) for path in DEVICES if os.path.exists(path))

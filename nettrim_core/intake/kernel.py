"""What a reading may not ask of the kernel: a connection, another program, a hand on another process.

A filter of system calls (seccomp, Linux 3.5 and later, no privilege needed) answers those with "not permitted". It
counts for the process that asks for it and for all that it starts, and cannot be taken back. The numbers are those of
Linux's tables of system calls, the program is the kernel's own "classic BPF" (linux/filter.h, linux/seccomp.h).
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # as seccomp's data call them (linux/audit.h)
DENIED = {  # what is refused, and its number on each of them
    "socket": (41, 198), "socketpair": (53, 199), "io_uring_setup": (425, 425),
    "execve": (59, 221), "execveat": (322, 281), "bpf": (321, 280), "perf_event_open": (298, 241),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "keyctl": (250, 219),
}  # fmt: skip
X32 = 0x40000000  # a second table of numbers, on x86_64 alone
NUMBER, MACHINE = 0, 4  # where both stand in seccomp's data
LOAD, EQUAL, AT_LEAST, ANSWER = 0x20, 0x15, 0x35, 0x06
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
NO_NEW_PRIVILEGES, SECCOMP, FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def program(machine: str) -> bytes:
    """The filter for one of MACHINES: it kills what speaks another machine's numbers, refuses those of DENIED, and lets
    everything else pass."""
    name, place = MACHINES[machine], list(MACHINES).index(machine)
    steps = [(LOAD, 0, 0, MACHINE), (EQUAL, 1, 0, name), (ANSWER, 0, 0, KILL), (LOAD, 0, 0, NUMBER)]
    steps += [(AT_LEAST, 0, 1, X32), (ANSWER, 0, 0, KILL)]
    for numbers in DENIED.values():
        steps += [(EQUAL, 0, 1, numbers[place]), (ANSWER, 0, 0, REFUSE)]
    steps.append((ANSWER, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


def confine() -> bool:
    """Put the filter on this process, for good; False where the system has none."""
    machine = platform.machine()
    if platform.system() != "Linux" or machine not in MACHINES:
        return False
    code = program(machine)
    libc = ctypes.CDLL(None, use_errno=True)
    asked = _Program(len(code) // 8, code)
    zero = ctypes.c_ulong(0)
    return (
        libc.prctl(NO_NEW_PRIVILEGES, ctypes.c_ulong(1), zero, zero, zero) == 0
        and libc.prctl(SECCOMP, ctypes.c_ulong(FILTER), ctypes.byref(asked), zero, zero) == 0
    )

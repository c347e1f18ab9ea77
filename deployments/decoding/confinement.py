"""What a process that decodes other people's files may do: use so much memory and time, and talk through what is open.

A kernel filter (seccomp) refuses the system calls that open files and connections, start programs or touch other
processes. A decoder that is taken over by its input can only return wrong pixels.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from typing import Final

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
OPEN_FILES = 64
# The kernel's own limit, far above what the timer allows: it holds even if the timer was disarmed.
MOST_SECONDS = 600

# Numbers of the system calls that are refused, and of the processor's calling convention (linux/audit.h), by machine.
_REFUSED: Final = {
    "x86_64": (
        0xC000003E,
        {
            "open": 2, "openat": 257, "openat2": 437, "creat": 85, "socket": 41, "connect": 42, "accept": 43,
            "accept4": 288, "bind": 49, "listen": 50, "sendto": 44, "socketpair": 53, "execve": 59, "execveat": 322,
            "fork": 57, "vfork": 58, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "unlink": 87,
            "unlinkat": 263, "rename": 82, "renameat": 264, "renameat2": 316, "mkdir": 83, "mkdirat": 258,
            "link": 86, "linkat": 265, "symlink": 88, "symlinkat": 266, "truncate": 76, "chmod": 90, "fchmodat": 268,
            "mount": 165, "umount2": 166, "setns": 308, "unshare": 272, "bpf": 321, "perf_event_open": 298,
            "io_uring_setup": 425, "keyctl": 250, "add_key": 248, "userfaultfd": 323, "pidfd_getfd": 438,
            "open_by_handle_at": 304, "memfd_create": 319, "shmget": 29, "prlimit64": 302, "kill": 62, "tkill": 200,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "openat": 56, "openat2": 437, "socket": 198, "connect": 203, "accept": 202, "accept4": 242, "bind": 200,
            "listen": 201, "sendto": 206, "socketpair": 199, "execve": 221, "execveat": 281, "ptrace": 117,
            "process_vm_readv": 270, "process_vm_writev": 271, "unlinkat": 35, "renameat": 38, "renameat2": 276,
            "mkdirat": 34, "linkat": 37, "symlinkat": 36, "truncate": 45, "fchmodat": 53, "mount": 40, "umount2": 39,
            "setns": 268, "unshare": 97, "bpf": 280, "perf_event_open": 241, "io_uring_setup": 425, "keyctl": 219,
            "add_key": 217, "userfaultfd": 282, "pidfd_getfd": 438, "open_by_handle_at": 265, "memfd_create": 279,
            "shmget": 194, "prlimit64": 261, "kill": 129, "tkill": 130,
        },
    ),
}  # fmt: skip

# `clone` starts threads, which decoders need, and processes. `clone3` takes its flags from memory, which no filter can
# read; the C library falls back to `clone` where the kernel does not know the other.
_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_CLONE3 = 435
CLONE_THREAD = 0x00010000

# Instructions of the kernel's packet filter (linux/filter.h) and what they return (linux/seccomp.h).
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _FIRST_ARGUMENT_OFFSET = 0, 4, 16
# Calls of x86-64's other convention (x32) carry this bit.
_X32 = 0x40000000


class ConfinementError(OSError):
    """The kernel does not let a process be confined; the message says what the operator can do."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def limit(memory_bytes: int, output_bytes: int) -> None:
    """Bound this process for good.

    Args:
        memory_bytes: private memory beyond what it uses now; the next allocation fails.
        output_bytes: size of any file that it writes.
    """
    for kind, most in (
        (resource.RLIMIT_DATA, _private_bytes() + memory_bytes),
        (resource.RLIMIT_FSIZE, output_bytes),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, MOST_SECONDS),
    ):
        hard = resource.getrlimit(kind)[1]
        bound = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (bound, bound))


def _private_bytes() -> int:
    """What `RLIMIT_DATA` counts of this process now, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:
        kilobytes = next(line.split()[1] for line in status if line.startswith("VmData"))
    return int(kilobytes) * 1024


class CpuTimer:
    """Kills this process when it has used more CPU time than it was granted."""

    def __init__(self) -> None:
        self._end = 0.0

    def start(self, seconds: float) -> None:
        """Grant so much time for a piece of work that begins now."""
        signal.setitimer(signal.ITIMER_PROF, seconds)

    def extend(self, seconds: float) -> None:
        """Grant so much more."""
        signal.setitimer(signal.ITIMER_PROF, signal.getitimer(signal.ITIMER_PROF)[0] + seconds)

    def stop(self) -> None:
        """The work is done."""
        signal.setitimer(signal.ITIMER_PROF, 0)


def refuse_system_calls() -> None:
    """Refuse, from now on and for good, the system calls that decoding does not need; they fail with EPERM.

    Raises:
        ConfinementError: the kernel or the container does not allow it, or the machine is unknown.
    """
    if not sys.platform.startswith("linux") or platform.machine() not in _REFUSED:
        raise ConfinementError(f"no filter of system calls is known for {sys.platform} on {platform.machine()}")
    architecture, refused = _REFUSED[platform.machine()]
    code = _filter(architecture, _CLONE[platform.machine()], sorted(refused.values()))
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        reason = os.strerror(ctypes.get_errno())
        raise ConfinementError(f"the kernel refuses a filter of system calls: {reason}")


def _filter(architecture: int, clone: int, refused: list[int]) -> bytes:
    """The filter's instructions. A jump names how many instructions it passes over if its test holds, and if not."""
    head = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_IF_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
    ]
    ends = [
        (_JUMP_IF_EQUAL, 5, 0, _CLONE3),
        (_JUMP_IF_EQUAL, 0, 2, clone),
        (_LOAD, 0, 0, _FIRST_ARGUMENT_OFFSET),
        (_JUMP_IF_SET, 0, 1, CLONE_THREAD),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE | errno.EPERM),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
    ]
    refusal = len(refused) + 1 + ends.index((_RETURN, 0, 0, _REFUSE | errno.EPERM))
    tests = [(_JUMP_IF_AT_LEAST, _X32), *((_JUMP_IF_EQUAL, number) for number in refused)]
    jumps = [(code, refusal - index - 1, 0, value) for index, (code, value) in enumerate(tests)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in (*head, *jumps, *ends))

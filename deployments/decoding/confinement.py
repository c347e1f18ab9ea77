"""What a process that decodes other people's files may do: use so much memory and time, and talk through what is open.

A kernel filter (seccomp) refuses the calls that `system_calls` lists, so a decoder that its input takes over can do
little more than return wrong pixels.
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
import time
from typing import Final

from deployments.decoding.system_calls import MACHINES, Machine

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
OPEN_FILES = 64
# The kernel's own limit for all files of a process, far above the timer's: it holds even if the timer does not.
MOST_SECONDS = 7200
# A file may be granted time ahead of its work, but no more than this.
MOST_SECONDS_AHEAD = 10.0
TIMED_OUT: Final = 124
"""Status of a process that ends because it has used its time."""

# Instructions of the kernel's packet filter (linux/filter.h) and what they return (linux/seccomp.h).
_LOAD, _JUMP_IF_EQUAL, _JUMP_IF_AT_LEAST, _JUMP_IF_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET, _ARGUMENT_BYTES = 0, 4, 16, 8
# Calls of x86-64's other convention (x32) carry this bit.
_X32 = 0x40000000
# `clone` starts threads, which decoders need, and processes. `clone3` takes its flags from memory, which no filter can
# read; the C library falls back to `clone` where the kernel does not know the other.
_CLONE3 = 435
CLONE_THREAD = 0x00010000
# Commands of `fcntl` that have the kernel send signals to another process.
F_SETOWN, F_SETSIG, F_SETOWN_EX = 8, 10, 15
# Shared memory counts for no limit of the process.
MAP_SHARED = 1


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
    """Ends this process when it has used more CPU time than it was granted, or waits for very long."""

    def __init__(self) -> None:
        self._end = 0.0

    def start(self, seconds: float, wall_seconds: int) -> None:
        """Grant so much CPU time, and so much time altogether, for a piece of work that begins now."""
        self._end = time.process_time() + seconds
        signal.setitimer(signal.ITIMER_PROF, seconds)
        signal.alarm(wall_seconds)

    def extend(self, seconds: float) -> None:
        """Grant so much more CPU time."""
        now = time.process_time()
        # Asked here too: the kernel looks at a timer once a tick, and one that is set anew each tick never ends.
        if now > self._end:
            os._exit(TIMED_OUT)
        self._end = min(self._end + seconds, now + MOST_SECONDS_AHEAD)
        signal.setitimer(signal.ITIMER_PROF, self._end - now)

    def stop(self) -> None:
        """The work is done."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def refuse_system_calls() -> None:
    """Refuse, from now on and for good, the system calls that decoding does not need; they fail with EPERM.

    Raises:
        ConfinementError: the kernel or the container does not allow it, the machine is unknown, or other threads run,
            which the filter would not hold.
    """
    machine = MACHINES.get(platform.machine())
    if not sys.platform.startswith("linux") or machine is None:
        raise ConfinementError(f"no filter of system calls is known for {sys.platform} on {platform.machine()}")
    if len(os.listdir("/proc/self/task")) != 1:
        raise ConfinementError("the process has other threads already")
    code = _filter(machine)
    program = _Program(len(code) // 8, code)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(
        PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0
    ):
        reason = os.strerror(ctypes.get_errno())
        raise ConfinementError(f"the kernel refuses a filter of system calls: {reason}")


Instruction = tuple[int, int, int, int]
_REFUSAL: Instruction = (_RETURN, 0, 0, _REFUSE | errno.EPERM)
_ALLOWANCE: Instruction = (_RETURN, 0, 0, _ALLOW)


def _filter(machine: Machine) -> bytes:
    """The filter's instructions. A jump names how many instructions it passes over if its test holds, and if not."""
    head = [
        (_LOAD, 0, 0, _ARCHITECTURE_OFFSET),
        (_JUMP_IF_EQUAL, 1, 0, machine.architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_OFFSET),
    ]
    tests = [(_JUMP_IF_AT_LEAST, _X32), *((_JUMP_IF_EQUAL, number) for number in machine.refused)]
    # Each jumps over the other tests to the refusal behind them, and the last passes over that.
    jumps = [(code, len(tests) - index, 0, value) for index, (code, value) in enumerate(tests)]
    commands = (F_SETOWN, F_SETSIG, F_SETOWN_EX)
    signals = [(_JUMP_IF_EQUAL, len(commands) - index, 0, command) for index, command in enumerate(commands)]
    parts = [
        *jumps,
        (_JUMP_IF_AT_LEAST, 1, 1, 0),
        _REFUSAL,
        (_JUMP_IF_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _REFUSE | errno.ENOSYS),
        *_with_argument(machine.clone, 0, [(_JUMP_IF_SET, 0, 1, CLONE_THREAD)]),
        *_with_argument(machine.mmap, 3, [(_JUMP_IF_SET, 1, 0, MAP_SHARED)]),
        *_with_argument(machine.fcntl, 1, signals),
        _ALLOWANCE,
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in (*head, *parts))


def _with_argument(number: int, argument: int, tests: list[Instruction]) -> list[Instruction]:
    """For one call: load an argument's lower half, and run tests that end at the allowance or jump to the refusal."""
    ends = [_ALLOWANCE, _REFUSAL]
    load = (_LOAD, 0, 0, _ARGUMENTS_OFFSET + argument * _ARGUMENT_BYTES)
    return [(_JUMP_IF_EQUAL, 0, 1 + len(tests) + len(ends), number), load, *tests, *ends]

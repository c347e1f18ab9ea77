"""What a confined process cannot do, tried in one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deployments.decoding.confinement import TIMED_OUT

LOCKED = """
import ctypes, errno, fcntl, mmap, os, resource, signal, socket, subprocess, sys
from deployments.decoding.confinement import limit, refuse_system_calls
before = open("/dev/null")
limit(2**26, 2**20)
refuse_system_calls()
try:
    {tried}
except OSError as error:
    sys.exit(0 if error.errno in (errno.EPERM, errno.EACCES) else f"another error: {{error!r}}")
sys.exit("it was allowed")
"""


def tried(code: str) -> subprocess.CompletedProcess[str]:
    program = LOCKED.format(tried=code)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "code",
    [
        "open('/etc/hostname')",
        "open('/dev/null')",
        "os.open('/etc', os.O_PATH)",
        "os.listdir('/')",
        "socket.socket()",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "socket.socketpair()",
        "subprocess.run(['true'])",
        "os.execv('/bin/true', ['true'])",
        "os.fork()",
        "os.kill(os.getppid(), 0)",
        "os.memfd_create('x')",
        "os.unlink('/tmp/nothing')",
        "os.mkdir('/tmp/nothing-there')",
        "os.rename('/tmp/a', '/tmp/b')",
        "os.symlink('/', '/tmp/nothing-there')",
        "os.truncate('/etc/hostname', 0)",
        "os.rmdir('/tmp/nothing-there')",
        "os.mknod('/tmp/nothing-there')",
        "os.chown('/etc/hostname', 0, 0)",
        "os.utime('/etc/hostname')",
        "os.setxattr('/etc/hostname', 'user.x', b'')",
        "os.pidfd_open(os.getppid())",
        "signal.pidfd_send_signal(before.fileno(), 0)",
        "signal.raise_signal(0)",
        "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
        "os.sched_setaffinity(os.getppid(), {0})",
        "fcntl.fcntl(before, fcntl.F_SETOWN, os.getppid())",
        "mmap.mmap(-1, 2**20)",
        "resource.prlimit(os.getppid(), resource.RLIMIT_CORE, (0, 0))",
        "os.chroot('/')",
    ],
)
def test_it_is_refused(code: str) -> None:
    ended = tried(code)
    assert ended.returncode == 0, (ended.returncode, ended.stderr)


def test_no_file_can_be_opened_by_its_number_in_proc(tmp_path: Path) -> None:
    (tmp_path / "canary").write_text("secret")
    ended = tried(f"os.open('/proc/self/root{tmp_path}/canary', os.O_RDONLY)")
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("code", ["bytes(2**27)", "import numpy; numpy.ones(2**25)"])
def test_memory_has_a_bound(code: str) -> None:
    program = f"from deployments.decoding.confinement import limit\nimport numpy\nlimit(2**26, 2**20)\n{code}"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0 and "MemoryError" in ended.stderr


def test_cpu_time_has_a_bound_however_often_it_grows() -> None:
    """The kernel looks at a timer once a tick: one that is set anew in each tick never ends."""
    program = (
        "from deployments.decoding.confinement import CpuTimer\n"
        "import time\n"
        "timer = CpuTimer()\n"
        "timer.start(0.2, 60)\n"
        "while time.process_time() < 5:\n"
        "    timer.extend(1e-9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == TIMED_OUT, ended.stderr


def test_time_is_not_granted_far_ahead() -> None:
    program = (
        "from deployments.decoding.confinement import MOST_SECONDS_AHEAD, CpuTimer\n"
        "import signal\n"
        "timer = CpuTimer()\n"
        "timer.start(1, 60)\n"
        "timer.extend(1000)\n"
        "assert signal.getitimer(signal.ITIMER_PROF)[0] < MOST_SECONDS_AHEAD + 0.1\n"
        "timer.stop()\n"
        "assert signal.getitimer(signal.ITIMER_PROF)[0] == signal.alarm(0) == 0\n"
    )
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)


def test_cpu_time_has_a_bound_that_grows() -> None:
    program = (
        "from deployments.decoding.confinement import CpuTimer\n"
        "import sys, time\n"
        "timer = CpuTimer()\n"
        "timer.start(0.2, 60)\n"
        "timer.extend(0.2)\n"
        "while time.process_time() < 3:\n"
        "    print(time.process_time(), flush=True)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode < 0
    # The timer started after Python had.
    assert 0.35 < float(ended.stdout.splitlines()[-1]) < 1.5

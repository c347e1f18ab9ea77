"""Ports for local graphs: finding a free one, and claiming one before Serve listens on it."""

from __future__ import annotations

import contextlib
import errno
import secrets
import socket
import sys

from deployments.local.errors import GraphError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000
ATTEMPTS = 20
# Below the ports that the kernel hands out by itself, between those of Ray's workers and of Serve's replicas: the many
# sockets of a starting graph must not take the port that it was promised.
FREE_PORTS = range(20_000, 30_000)


def free_port(host: str = DEFAULT_HOST) -> int:
    """A port on which no process listens at the moment."""
    for _ in range(ATTEMPTS):
        port = secrets.choice(FREE_PORTS)
        probe = _bind(host, port)
        if probe is not None:
            probe.close()
            return port
    raise GraphError(f"no port is free on {host}")


class PortClaim:
    """A port on which no process listens, and which no other graph takes before Serve listens.

    Serve listens with SO_REUSEPORT, so two graphs on one port would share its requests without an error. The claim is
    an abstract Unix socket: like a port, it belongs to the network namespace, and it ends with this process.

    Attributes:
        port: the claimed port.
    """

    def __init__(self, host: str, port: int) -> None:
        """Claim a port; 0 claims a free one."""
        for _ in range(1 if port else ATTEMPTS):
            self.port = port or free_port(host)
            self._lock = socket.socket(socket.AF_UNIX)
            with contextlib.ExitStack() as on_refusal:
                on_refusal.callback(self.release)
                if self._acquire(host):
                    on_refusal.pop_all()
                    return
        raise GraphError(f"port {self.port} on {host} is taken; choose another one, or 0 for any that is free")

    def release(self) -> None:
        """Give the claim up."""
        self._lock.close()

    def _acquire(self, host: str) -> bool:
        if sys.platform == "linux":
            try:
                self._lock.bind(f"\0cosmos3-port-{self.port}")
            except OSError:
                return False
        probe = _bind(host, self.port)
        if probe is not None:
            probe.close()
        return probe is not None


def _bind(host: str, port: int) -> socket.socket | None:
    """A socket bound to a port; None if a process listens there."""
    probe = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        # Connections left by a server that has ended do not matter.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((host, port))
    except OSError as error:
        probe.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise GraphError(f"cannot listen on {host}, port {port}: {error.strerror or error}") from error
    return probe

"""Keeps the replicas of a local graph from listening on every interface of the machine.

Serve's replicas call each other by gRPC, on a port that each of them opens on all interfaces. Serve has no setting for
the address. Ray's own servers follow the address by which Ray knows the node, which is loopback.
"""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

HOOK = f"{__name__}.listen_on_loopback"
_EVERYWHERE = "[::]:"
_LOOPBACK = "127.0.0.1:"
_ROOT = str(Path(__file__).resolve().parents[2])


def path_of_workers(given: str) -> str:
    """`PYTHONPATH` with which workers find the hook: Ray runs it before they know what their driver imports from.

    Args:
        given: the variable as it is.
    """
    if _ROOT in (sysconfig.get_path("purelib"), *given.split(os.pathsep)):
        return given
    return os.pathsep.join(filter(None, (_ROOT, given)))


def listen_on_loopback() -> None:
    """Make what this process opens by Ray's helper listen on loopback alone; Ray runs it when a worker starts.

    It must come before Serve's replica is imported, which keeps the helper by its name.
    """
    from ray._common import tls_utils

    listen: Callable[[Any, str], int] = tls_utils.add_port_to_grpc_server

    def listen_locally(server: Any, address: str) -> int:
        return listen(server, address.replace(_EVERYWHERE, _LOOPBACK))

    tls_utils.add_port_to_grpc_server = listen_locally

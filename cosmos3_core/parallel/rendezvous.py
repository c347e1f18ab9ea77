"""The store at which ranks meet to form a group, on a socket that no other process can take."""

from __future__ import annotations

import os
import socket
from typing import cast

import psutil
from torch.distributed import (  # type: ignore[attr-defined]  # public, but not in its __all__
    Store,
    TCPStore,
)

Address = tuple[str, int]


def open_store(host: str, world_size: int) -> tuple[Store, Address]:
    """Open a store on this machine; returns it with its address.

    The socket is bound before its port is told to anyone, on this address only: asking for a free port and binding it
    later is a race.
    """
    listening = socket.create_server((host, 0))
    port = cast(int, listening.getsockname()[1])
    descriptor = listening.detach()
    store = TCPStore(host, port, world_size, is_master=True, wait_for_workers=False, master_listen_fd=descriptor)
    return store, (host, port)


def find_store(address: Address, world_size: int) -> Store:
    """The store that another rank has opened."""
    host, port = address
    return TCPStore(host, port, world_size, is_master=False)


def use_interface_of(address: str) -> None:
    """Make gloo use the network interface that has an address.

    By default gloo resolves this machine's name, which the name server may not know.
    """
    found = psutil.net_if_addrs().items()
    having = (name for name, entries in found if any(entry.address == address for entry in entries))
    if (name := next(having, None)) is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)

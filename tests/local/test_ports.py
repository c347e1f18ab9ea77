"""Ports that are found and claimed before anything listens on them."""

from __future__ import annotations

import socket

import pytest

from deployments.local.errors import GraphError
from deployments.local.ports import FREE_PORTS, PortClaim, free_port


def test_a_free_port_can_be_listened_on() -> None:
    port = free_port()
    assert port in FREE_PORTS
    socket.create_server(("127.0.0.1", port)).close()


def test_a_claim_excludes_others_until_it_is_released() -> None:
    claim = PortClaim("127.0.0.1", 0)
    with pytest.raises(GraphError, match=f"port {claim.port} on 127.0.0.1 is taken"):
        PortClaim("127.0.0.1", claim.port)
    claim.release()
    PortClaim("127.0.0.1", claim.port).release()


def test_a_port_with_a_listener_cannot_be_claimed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(GraphError, match="is taken"):
        PortClaim("127.0.0.1", server.getsockname()[1])

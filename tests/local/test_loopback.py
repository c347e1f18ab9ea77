"""Replicas of a local graph listen on loopback alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from deployments.local.loopback import path_of_workers

PROGRAM = """
import json, os, sys
from ray._private.runtime_env.setup_hook import load_and_execute_setup_hook
from deployments.local.loopback import HOOK
assert load_and_execute_setup_hook(HOOK) is None

import grpc, psutil
from concurrent.futures import ThreadPoolExecutor
from ray.serve._private import replica

opened = []
for address in ("[::]:0", "127.0.0.1:0"):
    server = grpc.server(ThreadPoolExecutor(1))
    opened.append((server, replica.add_port_to_grpc_server(server, address)))
    server.start()
listening = [c.laddr for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
print(json.dumps([sorted({address.ip for address in listening if address.port == port}) for _, port in opened]))
sys.stdout.flush(); os._exit(0)
"""


def test_the_hook_binds_the_port_that_serve_opens_in_a_replica() -> None:
    # A worker knows neither the folder nor the path of whoever started Ray.
    environment = {**os.environ, "PYTHONPATH": path_of_workers("")}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout.splitlines()[-1]) in ([["127.0.0.1"]] * 2, [["::ffff:127.0.0.1"]] * 2)


@pytest.mark.parametrize("given", ["", "/a", "/a:/b"])
def test_what_workers_import_from_is_added_once(given: str) -> None:
    path = path_of_workers(given)
    assert path.endswith(given) and path_of_workers(path) == path

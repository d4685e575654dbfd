"""Ports for the servers that tests start: no two tests of one run are ever given the same one."""

from __future__ import annotations

import os

from tvilling import ports

_WORKERS_AT_MOST = 16
_given: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on, and that no other test of this run, in whichever worker, is given."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    ours = ports.PORTS[worker % _WORKERS_AT_MOST :: _WORKERS_AT_MOST]
    while (port := ports.free_port(ours)) in _given:
        pass
    _given.add(port)
    return port

"""TCP ports of this machine that nobody listens on."""

from __future__ import annotations

import secrets
import socket

PORTS = range(20_000, 32_000)
"""Below those that a system lends to outgoing connections (Linux: from 32 768 on, elsewhere from 49 152): one of them
could be taken by anybody's connection between the moment it is found free and the moment a server listens on it."""


def free_port(among: range = PORTS) -> int:
    """A port of loopback that nobody listens on now.

    Args:
        among: Where to look; the first look is at a place by chance, so that two who look at once rarely meet.

    Raises:
        OSError: all of them are taken.
    """
    start = secrets.randbelow(len(among))
    for step in range(len(among)):
        port = among[(start + step) % len(among)]
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"every port from {among.start} to {among.stop - 1} is taken")

"""T14: callers who hold places by sending or taking next to nothing, and transfers that crowd others out."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from pod_server import bodies, slow_callers
from pod_server.bodies import TooManyTransfers, Transfers
from pod_server.slow_callers import LOOK_AGAIN_SECONDS, SlowCallers

ENOUGH = int(slow_callers.SLOWEST_BYTES_A_SECOND * LOOK_AGAIN_SECONDS)


@pytest.fixture
def listener():
    with closing(socket.create_server(("127.0.0.1", 0))) as made:
        yield made


@pytest.fixture
def connect(listener):
    """A caller and the connection that the server accepted."""
    opened = []

    def connect() -> tuple[socket.socket, socket.socket]:
        caller = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        opened.extend((caller, accepted))
        caller.settimeout(5)
        return caller, accepted

    yield connect
    for one in opened:
        one.close()


def is_cut(caller: socket.socket) -> bool:
    caller.setblocking(False)
    try:
        return caller.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def send(one: socket.socket, other: socket.socket, size: int) -> None:
    one.sendall(b"x" * size)
    while size:
        size -= len(other.recv(size))


def test_who_moves_nothing_between_two_looks_is_cut_and_who_moves_enough_is_not(listener, connect):
    silent, sender, taker = connect(), connect(), connect()
    callers = SlowCallers(listener.getsockname()[1])
    assert callers.look(0) == 0
    send(sender[0], sender[1], ENOUGH)
    send(taker[1], taker[0], ENOUGH)
    late = connect()
    assert callers.look(LOOK_AGAIN_SECONDS) == 1
    assert is_cut(silent[0])
    assert silent[1].recv(1) == b"", "the server's own reading ends too"
    assert not any(is_cut(one[0]) for one in (sender, taker, late))
    assert callers.look(2 * LOOK_AGAIN_SECONDS) == 3


def test_a_reader_who_stopped_taking_is_cut(listener, connect):
    caller, accepted = connect()
    accepted.setblocking(False)
    with pytest.raises(BlockingIOError):  # noqa: PT012 - as much as fits, until nothing does
        while True:
            accepted.send(b"x" * 65536)
    callers = SlowCallers(listener.getsockname()[1])
    callers.look(0)
    assert callers.look(LOOK_AGAIN_SECONDS) == 1
    with pytest.raises(OSError, match=r"[Bb]roken pipe|reset"):
        accepted.send(b"x")
    caller.close()


def test_connections_of_others_and_files_are_left_alone(listener, connect, tmp_path):
    """A worker has connections of its own: to a database, to partners. They were not accepted on its port."""
    own, accepted = connect()
    with closing(socket.create_server(("127.0.0.1", 0))) as database, (tmp_path / "file").open("w") as file:
        outgoing = socket.create_connection(database.getsockname())
        callers = SlowCallers(database.getsockname()[1])
        callers.look(0)
        assert callers.look(1000) == 0, "the listener itself is no caller"
        callers = SlowCallers(listener.getsockname()[1])
        callers.look(0)
        assert callers.look(1000) == 1
        file.write("still open")
        outgoing.sendall(b"still open")
        outgoing.close()
    assert is_cut(own)
    assert accepted.fileno() >= 0


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_looking_again_and_again_uses_up_no_descriptors(listener, connect, tmp_path):
    """A worker under attack looks every twenty seconds, and has files and pipes open beside its connections."""
    connections = [connect() for _ in range(3)]
    callers = SlowCallers(listener.getsockname()[1])
    with ExitStack() as stack:
        for number in range(20):
            stack.enter_context((tmp_path / str(number)).open("w"))
        stack.callback(os.close, (pipe := os.pipe())[0])
        stack.callback(os.close, pipe[1])
        before = open_descriptors()
        for _ in range(5):
            callers.look(0)
        after = open_descriptors()
    # Other threads may open one or two meanwhile, and what earlier tests left is closed whenever it is collected; a copy of
    # each file would be a hundred more.
    assert after - before < 10
    assert not any(is_cut(one[0]) for one in connections)


def test_one_pod_takes_no_more_than_its_share_of_the_places():
    transfers = Transfers(most=5, most_a_pod=3)
    slow_callers._pressed.clear()
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(transfers.one(1))
        with pytest.raises(TooManyTransfers):
            stack.enter_context(transfers.one(1))
        assert slow_callers._pressed.is_set(), "whoever is turned away has the slow ones looked at"
        for _ in range(2):
            stack.enter_context(transfers.one(2))
        with pytest.raises(TooManyTransfers):
            stack.enter_context(transfers.one(3))
    slow_callers._pressed.clear()
    with transfers.one(1), transfers.one(3):
        assert not slow_callers._pressed.is_set()


def test_large_bodies_leave_places_to_small_ones():
    assert bodies.UPLOADS_AT_ONCE + 8 <= bodies.BODIES_AT_ONCE
    assert bodies.BODIES_AT_ONCE + bodies.DOWNLOADS_AT_ONCE + 8 <= bodies.THREADS
    assert 3 * bodies.TRANSFERS_A_POD <= bodies.DOWNLOADS_AT_ONCE


def test_a_large_body_keeps_its_place_between_two_pieces(monkeypatch):
    monkeypatch.setattr(bodies, "_places", threading.BoundedSemaphore(1))

    class Stream:
        def read(self, size: int) -> bytes:
            return b"x" * size

    large, small = bodies.LimitedBody(Stream(), None), bodies.LimitedBody(Stream(), None)
    with large.large(7):
        assert large.read(10) == b"x" * 10
        with pytest.raises(bodies.TooManyBodies):
            small.read(10)
        assert large.read(10) == b"x" * 10
    assert small.read(10) == b"x" * 10

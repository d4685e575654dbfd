"""T14: connections that say nothing, or half of something: newcomers are answered beside them, and they end."""

from __future__ import annotations

import socket

import gevent
import gevent.socket
import httpx
import pytest
from gevent.pywsgi import WSGIServer
from ports import free_port

from tvilling import impatient
from tvilling.data_folder import migrate_data_folder
from tvilling.impatient import ImpatientHandler
from tvilling.roles import raise_limit_of_open_files
from tvilling.serve import Processes
from tvilling.settings import Listen, Settings

CONNECTIONS = 5000
"""More than the server's queue of connections that wait to be taken, which is what it would hold otherwise."""

HALF = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: "


@pytest.fixture
def web(tmp_path):
    """The web role as it is run, one worker."""
    listen = Listen("127.0.0.1", free_port())
    settings = Settings(
        data_folder=str(tmp_path / "data"),
        base_url=listen.origin,
        live_url=listen.origin,
        listen=listen,
        live_listen=Listen("127.0.0.1", free_port()),
        workers=1,
    )
    migrate_data_folder(settings)
    processes = Processes(settings)
    try:
        processes.start(("web",))
        processes.wait_until_ready()
        yield listen
    finally:
        processes.stop()


@pytest.mark.parametrize("said", [b"", HALF], ids=["nothing", "half a request"])
def test_a_newcomer_is_answered_beside_thousands_who_say(web, said):
    held = []
    raise_limit_of_open_files()
    for _ in range(CONNECTIONS):
        held.append(socket.create_connection(("127.0.0.1", web.port), timeout=30))
        held[-1].sendall(said)
    for _ in range(3):
        assert httpx.get(f"{web.origin}/healthz", timeout=30).status_code == 200
    for one in held:
        one.close()


@pytest.mark.parametrize("said", [b"", HALF], ids=["nothing", "half a request"])
def test_the_live_role_ends_connections_that_do_not_come_to_the_point(monkeypatch, said):
    monkeypatch.setattr(impatient, "HEADERS_SECONDS", 0.2)

    def application(environ, start_response):
        start_response("200 OK", [])
        return [b""]

    server = WSGIServer(("127.0.0.1", 0), application, log=None, error_log=None, handler_class=ImpatientHandler)
    server.start()
    silent = gevent.socket.create_connection(("127.0.0.1", server.server_port))
    silent.sendall(said)
    with gevent.Timeout(30):
        while silent.recv(1000):
            pass
    server.stop(0.1)

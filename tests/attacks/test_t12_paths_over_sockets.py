"""T12: raw request targets at the web role as it is run, which decodes a path before anybody else sees it.

The server in front of the house (granian) hands over the path decoded once and keeps the raw one to itself. So an encoded
slash is a slash, for the access rules, the proof's address and the storage alike: `a%2Fb` is `a/b`, and nothing else.
"""

from __future__ import annotations

import socket

import pytest
from ports import free_port

from pod_server import documents
from pod_server.authorization.enforcement import require_owner
from pod_server.opening import OpenPod
from pod_server.pods import create_pod
from tvilling.app import create_host
from tvilling.data_folder import migrate_data_folder
from tvilling.serve import Processes
from tvilling.settings import Listen, Settings

TARGETS = [
    ("/kari/public/doc", {200}),
    ("/kari/public%2Fdoc", {200}),
    ("/kari/public%2fdoc", {200}),
    ("/kari%2Fpublic/doc", {200}),
    ("/kari/%70ublic/doc", {200}),
    ("/kari/public/doc/", {401, 404}),
    ("/kari/public//doc", {400}),
    ("//kari/public/doc", {400, 404}),
    ("/kari/public/../private/secret", {400}),
    ("/kari/public/%2e%2e/private/secret", {400}),
    ("/kari/public%2F..%2Fprivate%2Fsecret", {400}),
    ("/kari/..%2Fola/private/secret", {400}),
    ("/kari/../ola/private/secret", {400}),
    ("/kari/public/..%5cprivate%5csecret", {400}),
    ("/kari/public\\doc", {400, 404}),
    ("/kari/public/doc%00", {400}),
    ("/kari/public/doc%0d%0aX-Injected:%20yes", {400}),
    ("/kari/public/%ff%fe", {400}),
    ("/kari/public/%c0%ae%c0%ae/private/secret", {400}),
    ("/kari/public/" + "a" * 4096, {400}),
    ("/kari/public/" + "%61" * 4096, {400}),
    ("/kari/private/secret", {401}),
    ("/kari/private%2Fsecret", {401}),
    ("/kari/.acl", {401}),
    ("/kari/public/.acl", {401}),
    ("/kari/public/doc.acl", {401}),
    ("http://elsewhere.example/kari/private/secret", {401, 400, 404}),
    ("*", {400, 404, 405}),
]


@pytest.fixture
def web(tmp_path):
    """The web role as it is run, one worker, with two pods: a public document and secrets."""
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
    host = create_host(settings)
    for handle in ("kari", "ola"):
        new = create_pod(host, handle)
        opened, at = OpenPod(new.pod, require_owner(new.vault), new.vault), host.clock.now()
        with host.storage.write() as tx:
            documents.put(tx, opened, "public/doc", "text/plain", b"for everyone", public=True, at=at)
            documents.put(tx, opened, "private/secret", "text/plain", b"my diary", public=False, at=at)
    processes = Processes(settings)
    try:
        processes.start(("web",))
        processes.wait_until_ready()
        yield listen
    finally:
        processes.stop()


def ask(web, target):
    with socket.create_connection(("127.0.0.1", web.port), timeout=30) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost:{web.port}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
    return answer


def test_whatever_the_spelling_a_target_is_one_resource_or_nothing(web):
    told = {}
    for target, expected in TARGETS:
        answer = ask(web, target)
        head, _, body = answer.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert b"diary" not in body, target
        assert b"\nX-Injected" not in head, target
        assert (b"for everyone" in body) == (status == 200), target
        if status not in expected:
            told[target[:60]] = status
    assert not told

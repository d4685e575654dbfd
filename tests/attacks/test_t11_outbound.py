"""T11: the host is made to call internal addresses."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pod_server.outbound import Outbound, OutboundFailed, OutboundRefused

PUBLIC = "93.184.215.14"


def outbound(*addresses, allowed=()):
    return Outbound(frozenset(allowed), resolver=lambda _host, _port: addresses)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0",
        "fc00::1", "fd12::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::",
        "64:ff9b::7f00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    ],
)  # fmt: skip
def test_special_ranges_are_refused_in_every_spelling(address):
    with pytest.raises(OutboundRefused):
        outbound(address).post("https://partner.example/hook", b"", {})


def test_one_bad_address_among_good_ones_is_refused():
    with pytest.raises(OutboundRefused):
        outbound(PUBLIC, "127.0.0.1").get("https://partner.example/")


@pytest.mark.parametrize(
    "url",
    [
        "http://partner.example/hook", "ftp://partner.example/", "file:///etc/passwd", "gopher://partner.example/", "//partner.example/",
        "https://user:word@partner.example/", "https://user@partner.example/", "https:///path", "https://partner.example:port/",
        "https://partner.example:99999/", "javascript:alert(1)", "", "https://[::1",
    ],
)  # fmt: skip
def test_other_schemes_and_forms_are_refused(url):
    with pytest.raises(OutboundRefused):
        outbound(PUBLIC).post(url, b"", {})


@pytest.mark.parametrize("url", ["https://2130706433/", "https://0x7f.1/", "https://localhost/", "https://127.1/"])
def test_loopback_in_disguise_is_refused_by_the_real_resolver(url):
    with pytest.raises((OutboundRefused, OutboundFailed)):
        Outbound().get(url)


def test_an_origin_named_for_loopback_may_not_lead_elsewhere():
    with pytest.raises(OutboundRefused, match="away from loopback"):
        outbound(PUBLIC, allowed=["http://partner.example"]).post("http://partner.example/hook", b"", {})


def test_a_name_is_resolved_once_so_that_it_cannot_change_between_check_and_use():
    asked = []

    def rebinding(host, _port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) > 1 else [PUBLIC]

    with pytest.raises(OutboundFailed):  # the public address does not answer here; what matters is where it went
        _without_network(Outbound(resolver=rebinding))
    assert asked == ["partner.example"]


def _without_network(client):
    import socket

    attempted = []

    def refuse(address, timeout):
        attempted.append(address)
        raise OSError

    patched = pytest.MonkeyPatch()
    with patched.context() as patch:
        patch.setattr(socket, "create_connection", refuse)
        try:
            client.get("https://partner.example/")
        finally:
            assert attempted == [(PUBLIC, 443)]


@contextmanager
def server(answer):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append((self.path, dict(self.headers)))
            answer(self)

        do_POST = do_GET  # noqa: N815 - the standard library's name

        def log_message(self, *_):
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    running.asked = []
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield running, f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def redirect_to(address):
    def answer(handler):
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


def test_a_redirect_is_judged_like_the_first_address():
    with server(redirect_to("http://127.0.0.1:1/secret")) as (_, origin), pytest.raises(OutboundRefused):
        Outbound(frozenset({origin})).get(f"{origin}/start")


def test_a_post_follows_no_redirect():
    with server(redirect_to("/elsewhere")) as (running, origin):
        response = Outbound(frozenset({origin})).post(f"{origin}/hook", b"x", {})
        assert (response.status, [path for path, _ in running.asked]) == (302, ["/hook"])


def test_headers_meant_for_one_origin_are_not_told_to_the_next():
    def plain(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    with server(plain) as (second, to), server(redirect_to(f"{to}/there")) as (first, origin):
        response = Outbound(frozenset({origin, to})).get(f"{origin}/start", {"Authorization": "DPoP token"})
        assert response.body == b"ok"
        assert first.asked[0][1]["Authorization"] == "DPoP token"
        assert "Authorization" not in second.asked[0][1]


def test_a_loop_of_redirects_ends():
    with server(redirect_to("/again")) as (running, origin), pytest.raises(OutboundFailed, match="too often"):
        Outbound(frozenset({origin})).get(f"{origin}/start")
    assert len(running.asked) == 4


def test_an_answer_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr("pod_server.outbound.TIMEOUT_SECONDS", 0.5)

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(1000):  # for fifty seconds, if nobody cuts it off
                handler.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            pass

    began = time.monotonic()
    with server(drip) as (_, origin), pytest.raises(OutboundFailed):
        Outbound(frozenset({origin})).get(origin)
    assert time.monotonic() - began < 20


def test_headers_that_drip_are_cut_off_too(monkeypatch):
    monkeypatch.setattr("pod_server.outbound.TIMEOUT_SECONDS", 0.5)

    def drip(handler):
        try:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            for _ in range(1000):  # for fifty seconds, if nobody cuts it off
                handler.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            pass

    began = time.monotonic()
    with server(drip) as (_, origin), pytest.raises(OutboundFailed):
        Outbound(frozenset({origin})).get(origin)
    assert time.monotonic() - began < 20


def test_a_huge_answer_is_cut_off():
    def pour(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(200):
                handler.wfile.write(b"x" * 10_000)
        except OSError:
            pass

    with server(pour) as (_, origin), pytest.raises(OutboundFailed, match="longer than 64 KiB"):
        Outbound(frozenset({origin})).get(origin)

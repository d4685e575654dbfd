"""Municipalities on ports of their own, a third that admitted a partner, and the partner's site: who meets by browser alone."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from hosts import make_host
from stranger_partner import StrangerPartner
from werkzeug.serving import make_server
from whole_house import whole_app

from pod_server.authentication.session import cookie_settings, create_session
from pod_server.authorization_server import software_statements
from pod_server.clock import SystemClock
from pod_server.outbound import Outbound
from pod_server.partner_standing import By
from pod_server.partners import add_partner
from pod_server.pods import create_pod
from tvilling.city.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Iterator

ME = By("operator", "the test")
SCRIPT = Path(__file__).parents[1] / "dashboard" / "static" / "own" / "connect.js"


@dataclass
class Municipality:
    """A host on a port, and a citizen of it with a browser."""

    host: Any
    web: Any
    app: Any

    def close(self) -> None:
        self.web.shutdown()
        self.web.server_close()
        self.host.storage.close()
        self.host.key_store.close()

    def citizen(self, handle: str) -> tuple[Any, Visitor]:
        made = create_pod(self.host, handle)
        browser = Visitor(self.host.base_url, handle)
        cookie = cookie_settings(self.host)
        browser._http.cookies.set(cookie.key, create_session(self.host, made.pod_id, made.vault))
        return made, browser


def municipality(folder: Path, origins: frozenset[str]) -> Municipality:
    app = Flask("not yet")
    web = make_server("127.0.0.1", 0, lambda environ, start: holder[0](environ, start), threaded=True)
    holder: list[Any] = [app]
    base_url = f"http://127.0.0.1:{web.server_port}"
    host = make_host(folder, SystemClock(), base_url=base_url)
    host = replace(host, outbound=Outbound(origins), allow_insecure=True)
    holder[0] = whole_app(host)
    threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    return Municipality(host, web, holder[0])


@contextlib.contextmanager
def two_municipalities(folder: Path) -> Iterator[tuple[Municipality, Municipality, StrangerPartner]]:
    """Two hosts that never met the partner, one that admitted it, and the partner's site."""
    admitter = municipality(folder / "admitter", frozenset())
    origins = frozenset({admitter.host.base_url})
    one, two = (municipality(folder / name, origins) for name in ("one", "two"))
    partner = StrangerPartner(script=SCRIPT.read_text("utf-8"))
    there = add_partner(admitter.host, name="Strømmen AS", jwks=partner.jwks, redirect_uris=[f"{partner.origin}/back"])
    partner.statement = software_statements.issue(admitter.host, there.client_id)
    for each in (one, two):
        software_statements.trust(each.host, admitter.host.base_url, by=ME)
    yield one, two, partner
    partner.close()
    for each in (one, two, admitter):
        each.close()

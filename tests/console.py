"""Partners' and the operator's people in their browsers, without a browser."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oauth_client import REDIRECT, doors, new_key, signed

from pod_server.console_sessions import create_link

if TYPE_CHECKING:
    from flask import Flask
    from flask.testing import FlaskClient
    from joserfc.jwk import Key
    from werkzeug.test import TestResponse

    from pod_server.host import Host

TOKEN = re.compile(r'name="csrf" value="([^"]+)"')
CONSOLE = "/-/partners/console"
TEXTS = {
    "notice_nb": "Vi legger til turene dine med bysykkel.",
    "notice_nn": "Vi legg til turane dine med bysykkel.",
    "notice_en": "We add your trips by city bike.",
}


def application(key: Key | None = None, **changed: object) -> dict[str, object]:
    """The fields of an application that stands."""
    return {
        "name": "Bysykkel AS", "number": "974 760 673", "contact": "hei@bysykkel.no", "address": "Kongens gate 1",
        "jwks": json.dumps((key or new_key()).as_dict(private=False)), "redirect_uri": REDIRECT, "webhook": "",
        "purpose": "travel-footprint", "kind": ["transit-trip"], **TEXTS,
    } | changed  # fmt: skip


@dataclass
class Desk:
    """One browser in a console, or on the operator's pages."""

    host: Host
    client: FlaskClient
    key: Key = field(default_factory=new_key)
    client_id: str = ""

    def get(self, address: str, language: str = "en") -> TestResponse:
        return self.client.get(address, headers={"Accept": "text/html", "Accept-Language": language})

    def token(self, address: str) -> str:
        """The token of the page's own forms: the last one, after those of the frame."""
        return TOKEN.findall(self.get(address).text)[-1]

    def post(self, address: str, page: str, /, **fields: object) -> TestResponse:
        data = {"csrf": self.token(page), **fields}
        return self.client.post(address, data=data, headers={"Accept": "text/html", "Accept-Language": "en"})

    def apply(self, **changed: object) -> TestResponse:
        """Apply by the form; the console is open then."""
        page = "/-/partners/register"
        answer = self.post(page, page, **application(self.key, **changed))
        if answer.status_code == 303:
            self.client_id = re.search(r"p-[0-9a-f]{16}", self.get(CONSOLE).text)[0]
        return answer

    def assertion(self, **claims: object) -> str:
        now = int(self.host.clock.protocol_now().timestamp())
        payload = {
            "iss": self.client_id, "sub": self.client_id, "aud": self.host.base_url, "iat": now, "exp": now + 60,
            "jti": f"console-{now}-{new_key().thumbprint()}",
        } | claims  # fmt: skip
        return signed(payload, self.key, {"alg": "ES256", "kid": "k1", "typ": "JWT"})

    def link(self, **fields: str) -> TestResponse:
        """Ask for a link with the key."""
        return doors(self.host).post(
            "/-/oauth/console-link",
            data={
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                "client_assertion": self.assertion(),
                **fields,
            },
        )

    def enter(self, path: str) -> TestResponse:
        """Open a link and press its button."""
        return self.post(path, path)


def a_partner(host: Host, app: Flask, **changed: object) -> Desk:
    """An applicant in its console."""
    made = Desk(host, app.test_client())
    assert made.apply(**changed).status_code == 303
    return made


def an_operator(host: Host, app: Flask, name: str = "Kari Saksbehandler") -> Desk:
    """One of the municipality's people, signed in."""
    made = Desk(host, app.test_client())
    assert made.enter(create_link(host, "operator", name=name)).status_code == 303
    return made

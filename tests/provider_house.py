"""A house, and a provider on a real socket that its operator has added."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx
from id_provider import IdProvider
from solid_app import house

from pod_server.authentication.session import cookie_settings, create_session
from pod_server.lookups import Lookups
from pod_server.outbound import Outbound
from pod_server.sign_in.providers import add_provider

if TYPE_CHECKING:
    from flask import Flask
    from hosts import City

    from pod_server.host import Host

HTML = {"Accept": "text/html"}


class Visitor:
    """A browser: it keeps the house's cookies, and goes where it is sent, also to the provider."""

    def __init__(self, app, host, client=None):
        self.app, self.host = app, host
        self.client = client or app.test_client()

    def go(self, slug="id-porten", following="/-/my-data"):
        """To the provider and back; the answer to coming back."""
        return self.come_back(self.leave(slug, following))

    def leave(self, slug="id-porten", following="/-/my-data"):
        sent = self.client.get(f"/-/sign-in/with/{slug}", query_string={"next": following}, headers=HTML)
        assert sent.status_code == 303, sent.text
        return sent.headers["Location"]

    def at_the_provider(self, address):
        """What the provider sends the browser back with: path and query on the house."""
        answer = httpx.get(address)
        assert answer.status_code == 303, answer.text
        parts = urlsplit(answer.headers["Location"])
        return f"{parts.path}?{parts.query}"

    def come_back(self, address):
        return self.client.get(self.at_the_provider(address), headers=HTML)

    def csrf(self, page="/-/security"):
        return re.search(r'name="csrf" value="([^"]+)"', self.client.get(page, headers=HTML).text).group(1)

    def link(self, slug="id-porten"):
        """Link the signed-in citizen: the answer to coming back."""
        return self.come_back(self.link_address(slug))

    def link_address(self, slug="id-porten"):
        shown = self.client.post(f"/-/sign-in/with/{slug}/link", data={"csrf": self.csrf()}, headers=HTML)
        assert shown.status_code == 200, shown.text
        return re.search(r'class="ds-button" href="([^"]+)"', shown.text).group(1).replace("&amp;", "&")

    def is_signed_in(self):
        return self.client.get("/-/my-data", headers=HTML).status_code == 200


@dataclass
class ProviderHouse:
    """A house, and a provider on a real socket that its operator has added."""

    city: City
    host: Host
    provider: IdProvider
    app: Flask

    def visitor(self) -> Visitor:
        """A browser in which nobody is signed in."""
        return Visitor(self.app, self.host)

    def citizen(self, handle: str = "kari") -> Visitor:
        """A new citizen's browser, signed in just now with her passphrase."""
        made = self.city.citizen(handle, name=handle.capitalize())
        visitor = self.visitor()
        visitor.pod = made
        visitor.client.set_cookie(cookie_settings(self.host).key, create_session(self.host, made.pod_id, made.vault))
        return visitor

    def knowing_nothing(self) -> ProviderHouse:
        """The same house in a worker that has asked nobody yet."""
        host = replace(self.host, lookups=Lookups())
        return replace(self, host=host, app=house(host))


def open_house(city: City) -> ProviderHouse:
    """A provider is started and added as an operator adds ID-porten; stop it afterwards."""
    provider = IdProvider(city.clock)
    host = replace(city.host, allow_insecure=True, outbound=Outbound(frozenset({provider.issuer})), lookups=Lookups())
    city.host = host
    made = add_provider(
        host,
        "id-porten",
        name="ID-porten",
        issuer=provider.issuer,
        client_id="client-1",
        subject_claim="pid",
        levels=("idporten-loa-high",),
        scopes=("profile",),
        algorithm="ES256",
    )
    provider.client_keys = [made.key.public_jwk]
    return ProviderHouse(city, host, provider, house(host))

"""An app that asks to read under a consent, and a citizen whose twin has something to show; over no socket."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from solid_app import BACK, SolidApp, Town, make_town, query_of
from twin_activities import electricity, trip
from twin_citizen import Citizen

import partner_bridge.routes
from pod_server import documents
from pod_server.authentication.session import cookie_settings, create_session

if TYPE_CHECKING:
    from flask.testing import FlaskClient
    from hosts import City
    from werkzeug.test import TestResponse

DOCUMENT = "https://app.example/id.jsonld"
READER_SCOPE = {"scope": None, "nonce": None}


def described(address: str, name: str = "Strømvenn", back: str = BACK) -> dict[str, Any]:
    """A client identifier document."""
    return {
        "@context": ["https://www.w3.org/ns/solid/oidc-context.jsonld"],
        "client_id": address,
        "client_name": name,
        "redirect_uris": [back],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
    }


def details(host: Any, **members: Any) -> str:
    """What an app asks to read."""
    wanted = {
        "type": f"{host.base_url}/vocab/rar#pod-read",
        "figures": ["footprint-month", "electricity-day"],
        "purpose": "personal-footprint",
        "validTo": (host.clock.now() + timedelta(days=90)).isoformat(),
        "history_from": datetime(2026, 9, 30, 22, tzinfo=UTC).isoformat(),
        "retention": "P1M",
        "max_reads_per_day": 6,
    } | members
    return json.dumps([{name: value for name, value in wanted.items() if value is not None}])


@dataclass
class ReadingApp(SolidApp):
    """An app with a document of its own that asks to read."""

    town: Town = field(kw_only=True)
    client_id: str = DOCUMENT

    def publish(self, **members: Any) -> ReadingApp:
        """Put the document where it can be read."""
        self.town.elsewhere.put(self.client_id, described(self.client_id) | members, "application/ld+json")
        return self

    def page(self, browser: FlaskClient, *, asked: str | None = None, **parameters: str | None) -> str:
        """The citizen's browser arrives with the question: the path of its page."""
        return self.ask(browser, **(READER_SCOPE | {"authorization_details": asked or details(self.host)} | parameters))

    def code(self, browser: FlaskClient, page: str, **fields: Any) -> str:
        """The citizen's yes, by the page's form: the code."""
        chosen = {"answer": "give", "figure": ["footprint-month", "electricity-day"], "duration": "P3M"} | fields
        answer = self.answered(browser, page, **chosen)
        assert answer.status_code == 303, answer.text
        return query_of(answer)["code"]

    def granted(self, browser: FlaskClient, **parameters: Any) -> dict[str, Any]:
        """The whole way: the token answer's members."""
        answer = self.redeem(self.code(browser, self.page(browser, **parameters)))
        assert answer.status_code == 200, answer.text
        return answer.json

    def read(
        self, token: str, path: str, method: str = "GET", accept: str = "application/ld+json", **options: Any
    ) -> TestResponse:
        """A request to the bridge with the token and a proof of the app's key."""
        address = f"{self.host.base_url}{path}"
        headers = self.authorised(method, address.partition("?")[0], token, **options)
        return self.client.open(path, method=method, headers={"Accept": accept, **headers})


def put_document(near: Neighbourhood, path: str, content: bytes, media_type: str = "text/turtle") -> None:
    """A document of Kari's, in the form that pods keep."""
    own, host = near.kari.own(), near.town.host
    with host.storage.write() as tx:
        documents.put(tx, own, path, media_type, content, public=False, at=host.clock.now())


@dataclass
class Neighbourhood:
    """A town with the bridge's doors, and one citizen with a life."""

    town: Town
    browser: FlaskClient
    kari: Citizen

    def app(self, address: str = DOCUMENT, **members: Any) -> ReadingApp:
        return ReadingApp(self.town.host, client=self.town.stranger(), town=self.town, client_id=address).publish(
            **members
        )


def neighbourhood(city: City) -> Neighbourhood:
    """Kari has two days of electricity and a trip; her browser is signed in."""
    town = make_town(city)
    partner_bridge.routes.register(town.app, town.host)
    kari = Citizen(city, city.citizen("kari", name="Kari"))
    at = town.host.clock.now()
    hours = [electricity(f"e{hour}", at - timedelta(hours=48 - hour), 60, 1.5, meter="m-77") for hour in range(48)]
    kari.deliver("TrønderEnergi", *hours)
    kari.deliver("AtB", trip("t1", datetime(2026, 10, 10, 12, tzinfo=UTC), 12.0))
    kari.think()
    browser = town.app.test_client()
    cookie = create_session(town.host, kari.pod_id, kari.made.vault)
    browser.set_cookie(cookie_settings(town.host).key, cookie)
    return Neighbourhood(town, browser, kari)

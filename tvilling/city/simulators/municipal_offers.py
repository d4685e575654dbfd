"""What the demonstration's municipality offers, and how it publishes that: as any municipality would, by the host's door.

Invented, all of it: no municipality has decided on these.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import httpx

from tvilling.city.simulators.oauth_client import JourneyFailed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tvilling.city.simulators.oauth_client import OAuthClient

MUNICIPALITY = "kommune"
_PAGE = "https://kommune.example/decisions"

OFFERS: dict[str, dict[str, Any]] = {
    "tram-pass": {
        "title": {"nb": "Gratis trikkekort", "nn": "Gratis trikkekort", "en": "A free tram pass"},
        "description": {
            "nb": "Du får et trikkekort for en måned når husstanden kaster minst 5 % mindre per person enn året før.",
            "nn": "Du får eit trikkekort for ein månad når husstanden kastar minst 5 % mindre per person enn året før.",
            "en": "You get a tram pass for one month when your household throws away at least 5 % less per person than the year before.",
        },
        "reward": {
            "nb": "Trikkekort for én måned",
            "nn": "Trikkekort for éin månad",
            "en": "A tram pass for one month",
        },
        "gives": "transit-pass",
        "measuresKind": "waste-collection",
        "measure": "quantity-per-person",
        "period": "P12M",
        "lessPercent": 5,
        "coverageDays": 330,
        "opens": "2026-01-01",
        "closes": "2027-12-31",
        "decision": "Invented example 1/26",
        "decisionPage": f"{_PAGE}/1-26",
    },
    "property-tax": {
        "title": {"nb": "Lavere eiendomsskatt", "nn": "Lågare eigedomsskatt", "en": "A lower property tax"},
        "description": {
            "nb": "Du får 500 kroner av på eiendomsskatten når strømmen din ga minst 10 % mindre utslipp enn året før.",
            "nn": "Du får 500 kroner av på eigedomsskatten når straumen din gav minst 10 % mindre utslepp enn året før.",
            "en": "You get NOK 500 off the property tax when your electricity caused at least 10 % less emissions than the year before.",
        },
        "reward": {"nb": "500 kroner av", "nn": "500 kroner av", "en": "NOK 500 off"},
        "gives": "property-tax-discount",
        "measuresKind": "electricity-reading",
        "measure": "footprint-per-person",
        "period": "P12M",
        "lessPercent": 10,
        "coverageDays": 330,
        "opens": "2026-01-01",
        "closes": "2027-12-31",
        "decision": "Invented example 2/26",
        "decisionPage": f"{_PAGE}/2-26",
    },
}


def answer(client: OAuthClient, claims: Iterable[dict[str, Any]]) -> bool:
    """Grant every claim that was not answered yet, with the reference to show; False where one was not taken.

    A municipality knows whoever claims by a name of its own only: what it grants is fetched by the reference.
    """
    for claim in claims:
        if claim.get("answered"):
            continue
        reference = f"TK-{hashlib.sha256(claim['id'].encode()).hexdigest()[:8].upper()}"
        said = {"answer": "granted", "reference": reference}
        try:
            status = client.put(f"/bridge/claims/{claim['id']}/answer", json.dumps(said).encode())
        except (httpx.HTTPError, JourneyFailed):
            return False
        if status not in {200, 404, 409}:
            return False
        claim["answered"] = reference
    return True


def publish(client: OAuthClient) -> bool:
    """Publish all of them; the same again changes nothing. False where the house did not take them (yet)."""
    try:
        answers = [
            client.put(f"/bridge/offers/{slug}", json.dumps(offer, ensure_ascii=False).encode())
            for slug, offer in OFFERS.items()
        ]
    except (httpx.HTTPError, JourneyFailed):
        return False
    return all(status == 200 for status in answers)

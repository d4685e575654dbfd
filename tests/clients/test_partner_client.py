"""A second client library that we did not write does a partner's whole journey: oauth4webapi, made for FAPI 2.0."""

from __future__ import annotations

from datetime import timedelta

from oauth_client import new_key

from pod_server import grants, partners
from pod_server.identifiers import Actor

REDIRECT = "https://partner.example/back"


def test_a_fapi_client_gets_a_consent_delivers_and_is_told_of_the_withdrawal(running, program):
    citizen, key = running.citizen("fapi"), new_key("strom-1")
    partner = partners.add_partner(
        running.host, name="Strømmen FAPI", jwks={"keys": [key.as_dict(private=False)]}, redirect_uris=[REDIRECT]
    )
    now = running.host.clock.now()
    start = now - timedelta(hours=2)
    journey = program(
        "partner.mjs",
        issuer=running.base_url,
        client_id=partner.client_id,
        key=key.as_dict(private=True),
        redirect=REDIRECT,
        details={
            "type": f"{running.base_url}/vocab/rar#pod-append",
            "actions": ["append"],
            "datatypes": ["ElectricityReading"],
            "purpose": "live-electricity",
            "granularity": "PT1M",
            "history_from": (now - timedelta(days=1)).isoformat(),
            "validTo": (now + timedelta(days=90)).isoformat(),
        },
        activity={
            "@context": f"{running.base_url}/vocab/context.jsonld",
            "@type": "ElectricityReading",
            "@id": "reading:1",
            "start": start.isoformat(),
            "end": (start + timedelta(hours=1)).isoformat(),
            "quantity": 1.5,
            "unit": "KiloW-HR",
        },
    )
    with running.browser(citizen) as browser:
        journey.tell(back=browser.give_consent(journey.next()["question"]))
    delivered = journey.next()["delivered"]
    assert (delivered["first"], delivered["second"]) == (["accepted"], ["duplicate"])
    assert delivered["type"].lower() == "dpop"
    with running.host.storage.read() as tx:
        (pod_id,) = tx.one("SELECT pod_id FROM pod WHERE handle = ?", ("fapi",))
    grants.withdraw(running.host, pod_id, delivered["grant"], actor=Actor("citizen"))
    journey.tell(go_on=True)
    found = journey.next()["found"]
    assert (found["after"], found["refresh"]) == (["refused"], "invalid_grant")
    assert found["mixed_up"] == "OperationProcessingError", "the library checks the issuer that we name (RFC 9207)"

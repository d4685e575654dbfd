"""The authorization detail pod-read: what may be asked for, and what the partner is told it got."""

from __future__ import annotations

import json
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from oauth_client import CITIZEN

from pod_server import grants
from pod_server.authorization_server import interactions


def details(partner, **members):
    now = partner.host.clock.now()
    wanted = {
        "type": f"{partner.host.base_url}/vocab/rar#pod-read",
        "figures": ["footprint-month", "electricity-day"],
        "purpose": "personal-footprint",
        "validTo": (now + timedelta(days=90)).isoformat(),
        **members,
    }
    return json.dumps([{name: value for name, value in wanted.items() if value is not None}])


def test_what_was_chosen_is_what_the_token_tells(partner, kari):
    address = interactions.answer_interaction(
        partner.host,
        partner.asked(authorization_details=details(partner, datatypes=["TransitTrip"], max_reads_per_day=6)),
        kari.pod_id,
        interactions.Answer(refused=False, figures=frozenset({"footprint-month"})),
        CITIZEN,
    )
    token = partner.redeem(parse_qs(urlsplit(address).query)["code"][0]).json
    (told,) = token["authorization_details"]
    assert told["type"].endswith("#pod-read")
    assert (told["actions"], told["figures"], told["datatypes"], told["max_reads_per_day"]) == (
        ["read"], ["footprint-month"], [], 6,
    )  # fmt: skip
    assert told["location"] == f"{partner.host.base_url}/bridge/grants/{told['grant']}"
    metadata = partner.client.get("/.well-known/oauth-authorization-server").json
    assert told["type"] in metadata["authorization_details_types_supported"]


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"figures": ["everything"]}, "everything"),
        ({"figures": []}, "one to twenty"),
        ({"actions": ["read", "append"]}, "to deliver is another consent"),
        ({"actions": ["append"]}, "to deliver is another consent"),
        ({"max_reads_per_day": 0}, "reads_per_day"),
        ({"max_reads_per_day": 100_000}, "reads_per_day"),
        ({"purpose": "because we like to"}, "purpose"),
        ({"locations": ["https://elsewhere.example/"]}, "locations"),
        ({"datatypes": ["Secrets"]}, "datatypes"),
        ({"figures": ["footprint-month"] * 21}, "one to twenty"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_and_named(partner, members, said):
    answer = partner.push(authorization_details=details(partner, **members))
    assert answer.status_code == 400
    assert answer.json["error"] == "invalid_authorization_details"
    assert said in answer.json["error_description"]


def test_figures_are_not_asked_for_by_the_type_that_delivers(partner):
    asked = partner.details(figures=["footprint-month"])
    assert partner.push(authorization_details=asked).json["error"] == "invalid_authorization_details"


def test_merging_asks_for_both_and_never_for_more_readings_than_either_would(partner, kari):
    address = interactions.answer_interaction(
        partner.host,
        partner.asked(authorization_details=details(partner, max_reads_per_day=2)),
        kari.pod_id,
        interactions.Answer(refused=False, figures=frozenset({"footprint-month"})),
        CITIZEN,
    )
    grant = partner.redeem(parse_qs(urlsplit(address).query)["code"][0]).json["grant_id"]
    more = partner.asked(
        authorization_details=details(partner, figures=["waste-month"], max_reads_per_day=3),
        grant_id=grant, grant_management_action="merge",
    )  # fmt: skip
    terms = interactions.load_interaction(partner.host, more).terms
    assert (terms.figures, terms.reads_per_day) == ({"footprint-month", "waste-month"}, 3)
    assert grants.find_grant(partner.host, kari.pod_id, grant).terms.figures == {"footprint-month"}
    to_deliver = partner.push(
        authorization_details=partner.details(), grant_id=grant, grant_management_action="merge"
    )  # fmt: skip
    assert to_deliver.json["error"] == "invalid_authorization_details"

"""A partner's way: it applies, tries in its sandbox, is admitted, limited, stopped and let on again."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from oauth_client import REDIRECT, PartnerClient, doors

from consent.grant import GrantTerms
from pod_server import grants, partner_keys, partner_notices, partner_standing, sandbox
from pod_server.activities import Delivery, Record, append
from pod_server.authorization.enforcement import require_grant
from pod_server.authorization.errors import PartnerStopped
from pod_server.authorization_server import interactions
from pod_server.identifiers import Actor
from pod_server.partner_standing import By
from pod_server.partners import Limits, NoSuchPartner, PartnerInvalid, PartnerSuspended

KARI = By("operator", "Kari Saksbehandler")
TEXTS = {
    "nb": "Vi legger til turene dine med bysykkel.",
    "nn": "Vi legg til turane dine med bysykkel.",
    "en": "We add your trips by city bike.",
}


class Applicant(PartnerClient):
    """A partner that applied, instead of being added by the operator."""

    values: dict

    def __post_init__(self):
        notice = partner_notices.check("personal-footprint", ["electricity-reading"], TEXTS)
        options = {
            "name": self.name, "number": "974760673", "contact": "hei@bysykkel.no", "notices": [notice],
            "jwks": {"keys": [self.key.as_dict(private=False)]}, "redirect_uris": [REDIRECT],
        } | self.values  # fmt: skip
        self.partner = partner_standing.apply(self.host, **options)
        self.client = doors(self.host)


def applied(host, name="Bysykkel AS", **values):
    """An applicant, and its keys."""
    return type("Applied", (Applicant,), {"values": values})(host, name=name)


def terms_of(host, client):
    now = host.clock.now()
    return GrantTerms(
        client_id=client.partner.client_id, purpose="personal-footprint", kinds=frozenset({"electricity-reading"}),
        operations=frozenset({"append"}), granularity="PT1M", history_from=now - timedelta(days=30),
        expires_at=now + timedelta(days=100),
    )  # fmt: skip


def sandbox_answer(client, **parameters):
    pushed = client.push()
    assert pushed.status_code == 201, pushed.text
    form = {**client.signed_in(), "request_uri": pushed.json["request_uri"], **parameters}
    return client.client.post("/-/oauth/sandbox-answer", data=form)


def test_an_applicant_goes_the_whole_way_with_its_sandbox_citizen(host):
    client = applied(host)
    answer = sandbox_answer(client)
    assert answer.status_code == 200, answer.text
    code = parse_qs(urlsplit(answer.json["location"]).query)["code"][0]
    token = client.redeem(code)
    assert token.status_code == 200, token.text
    assert client.probe(token.json["access_token"]).json["grant"] == token.json["grant_id"]
    refused = sandbox_answer(client, answer="refuse")
    assert "error=access_denied" in refused.json["location"]
    assert sandbox_answer(client, kinds="transit-trip").json["error"] == "invalid_request"


def test_an_applicant_cannot_ask_anybody_else(host, city):
    client = applied(host)
    kari = city.citizen("kari")
    with pytest.raises(sandbox.NotAdmitted):
        interactions.turn_away(host, client.asked(), kari.pod_id)
    answer = interactions.Answer(refused=False, kinds=frozenset({"electricity-reading"}))
    with pytest.raises(sandbox.NotAdmitted):
        interactions.answer_interaction(host, client.asked(), kari.pod_id, answer, Actor("citizen"))
    with pytest.raises(sandbox.NotAdmitted):
        grants.give(host, kari.pod_id, terms_of(host, client), actor=Actor("citizen"))
    assert grants.list_grants(host, kari.pod_id) == []


def test_a_sandbox_citizen_consents_to_its_own_partner_alone(host):
    client = applied(host)
    pod_id = sandbox.pod_of(host, client.partner.client_id)
    assert sandbox.pod_of(host, client.partner.client_id) == pod_id
    stranger = PartnerClient(host, name="En annen AS")
    for other in (stranger.partner.client_id, "research"):
        terms = replace(terms_of(host, stranger), client_id=other)
        with pytest.raises(sandbox.NotAdmitted):
            grants.give(host, pod_id, terms, actor=Actor("citizen"))
    sandbox.begin_anew(host, client.partner.client_id)
    assert sandbox.pod_of(host, client.partner.client_id) != pod_id


def test_nobody_gets_a_handle_like_a_sandbox_citizens(city):
    with pytest.raises(Exception, match="reserved"):
        city.citizen("sandbox-kari")


def test_admitted_it_may_ask_for_what_its_notice_says_and_nothing_else(host, city):
    client = applied(host)
    admitted = partner_standing.admit(host, client.partner.client_id, by=KARI)
    assert admitted.state == "active"
    kari = city.citizen("kari")
    assert client.redeem(client.code_from(kari.pod_id)).status_code == 200
    beyond = client.push(authorization_details=client.details(datatypes=["ElectricityReading", "TransitTrip"]))
    assert beyond.json["error"] == "invalid_authorization_details"
    assert "transit-trip" in beyond.json["error_description"]
    other = client.push(authorization_details=client.details(purpose="food-footprint", datatypes=["GroceryLine"]))
    assert "no admitted notice" in other.json["error_description"]
    acts = {act.act: act.by for act in partner_standing.acts(host, client.partner.client_id)}
    assert acts == {"apply": By("partner", "Bysykkel AS"), "admit": KARI}


def test_an_application_is_answered_once_and_may_be_mended(host):
    client_id = applied(host).partner.client_id
    refused = partner_standing.refuse(host, client_id, "Formålet er uklart", by=KARI)
    assert refused.reason == "Formålet er uklart."
    with pytest.raises(partner_standing.StandingChanged):
        partner_standing.admit(host, client_id, by=KARI)
    assert partner_standing.apply_again(host, client_id, by=By("partner", "Ola")).state == "applied"
    with pytest.raises(PartnerInvalid, match="reason"):
        partner_standing.refuse(host, client_id, " ", by=KARI)


def test_a_suspended_partner_is_refused_at_every_door_at_once_and_told_why(host, city):
    client = applied(host)
    client_id = client.partner.client_id
    partner_standing.admit(host, client_id, by=KARI)
    kari = city.citizen("kari")
    token = client.redeem(client.code_from(kari.pod_id)).json
    partner_standing.suspend(host, client_id, "Mistanke om lekkasje", by=KARI)
    door = client.probe(token["access_token"])
    assert door.status_code == 403
    assert door.json["type"].endswith("/problems/partner-suspended")
    assert "Mistanke om lekkasje." in door.json["detail"]
    for answer in (client.push(), client.token_request(grant_type="client_credentials")):
        assert (answer.status_code, answer.json["error"]) == (403, "unauthorized_client")
        assert "Mistanke om lekkasje." in answer.json["error_description"]
    with pytest.raises(PartnerSuspended):
        grants.give(host, kari.pod_id, terms_of(host, client), actor=Actor("citizen"))
    assert grants.withdraw(host, kari.pod_id, token["grant_id"], actor=Actor("citizen")).state == "withdrawn"
    partner_standing.resume(host, client_id, by=KARI)
    assert client.push().status_code == 201


def test_a_stop_holds_for_a_delivery_that_was_decided_before_it(host, city):
    client = applied(host)
    client_id = client.partner.client_id
    partner_standing.admit(host, client_id, by=KARI)
    kari = city.citizen("kari")
    grant = grants.give(host, kari.pod_id, terms_of(host, client), actor=Actor("citizen"))
    now = host.clock.now()
    permit = require_grant(host, client.partner, grant.id, (), "append", now)
    partner_standing.suspend(host, client_id, "Stans", by=KARI)
    at = now - timedelta(hours=1)
    record = Record("urn:x:1", json.dumps({"@id": "urn:x:1"}).encode(), "electricity-reading", at, at, False)
    outcome = append(host, [Delivery(permit, [record])], actor=permit.actor)[0].records[0]
    assert outcome.status == "refused"
    assert isinstance(outcome.error, PartnerStopped)


def test_its_own_switch_is_its_own_and_the_municipalitys_stays(host):
    client = applied(host)
    client_id = client.partner.client_id
    partner_standing.admit(host, client_id, by=KARI)
    own = By("partner", "Ola")
    partner_standing.stop(host, client_id, by=own)
    assert client.push().status_code == 403
    partner_standing.suspend(host, client_id, "Stans", by=KARI)
    partner_standing.restart(host, client_id, by=own)
    assert client.push().status_code == 403
    partner_standing.resume(host, client_id, by=KARI)
    assert client.push().status_code == 201


def test_a_partner_that_asks_a_hundred_times_meets_its_limit_and_nobody_else_does(host):
    client, other = applied(host), applied(host, "Sparkesykkel AS")
    partner_standing.admit(host, client.partner.client_id, by=KARI, limits=Limits(requests_per_minute=5))
    answers = [client.push() for _ in range(8)]
    assert [answer.status_code for answer in answers] == [201] * 5 + [429] * 3
    assert answers[-1].json["error"] == "slow_down"
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert other.push().status_code == 201
    host.clock.advance(timedelta(minutes=1))
    assert client.push().status_code == 201


def test_two_names_that_are_read_alike_are_not_admitted_together(host):
    first, second = applied(host, "Bysykkel"), applied(host, "BYSYKKEL.")
    partner_standing.admit(host, first.partner.client_id, by=KARI)
    with pytest.raises(PartnerInvalid, match="read like it"):
        partner_standing.admit(host, second.partner.client_id, by=KARI)


def test_a_flood_of_applications_is_turned_away(host, monkeypatch):
    monkeypatch.setattr(partner_standing, "MOST_AN_HOUR", 1)
    applied(host)
    with pytest.raises(partner_standing.ApplicationsFull):
        applied(host, "Sparkesykkel AS")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": "Bysykkel\u202eSA"}, "name"), ({"number": "974760674"}, "organisation_number"), ({"contact": "x"}, "contact"),
        ({"jwks": {"keys": []}}, "jwks"), ({"redirect_uris": []}, "redirect_uri"), ({"redirect_uris": ["http://x.no"]}, "redirect_uri"),
        ({"webhook": "ftp://x.no"}, "redirect_uri"), ({"notices": []}, "purpose"),
    ],
)  # fmt: skip
def test_an_application_that_cannot_stand_names_its_field(host, changed, field):
    with pytest.raises(PartnerInvalid, match=f"^{field}"):
        applied(host, **changed)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        (("å gjøre byen bedre", ["transit-trip"], TEXTS), "purpose"), (("personal-footprint", ["heartbeats"], TEXTS), "kind"),
        (("personal-footprint", [], TEXTS), "kind"), (("personal-footprint", ["transit-trip"], TEXTS | {"nn": "kort"}), "notice_nn"),
        (("personal-footprint", ["transit-trip"], TEXTS | {"en": "We \u202ecount your steps for you."}), "notice_en"),
    ],
)  # fmt: skip
def test_free_purposes_unknown_kinds_and_turned_texts_are_no_notice(values, field):
    with pytest.raises(PartnerInvalid, match=f"^{field}"):
        partner_notices.check(*values)


def test_a_new_version_waits_for_the_municipality_and_then_replaces_the_old(host):
    client_id = applied(host).partner.client_id
    admitted = partner_standing.admit(host, client_id, by=KARI)
    anew = partner_notices.check(
        "personal-footprint",
        ["electricity-reading", "transit-trip"],
        TEXTS | {"en": "We add your trips and your steps."},
    )
    with host.storage.write() as tx:
        assert partner_notices.propose(host, tx, client_id, anew) == 2
        shown = partner_notices.shown_for(tx, admitted, "personal-footprint")
        assert (shown.version, shown.hash) == (1, partner_notices.hash_of(TEXTS))
        partner_notices.decide(host, tx, client_id, "personal-footprint", 2)
        assert [(each.version, each.state) for each in partner_notices.of_partner(tx, client_id)] == [
            (2, "current"),
            (1, "replaced"),
        ]
        with pytest.raises(PartnerInvalid, match="waits"):
            partner_notices.decide(host, tx, client_id, "personal-footprint", 2)
        with pytest.raises(PartnerInvalid, match="same"):
            partner_notices.propose(host, tx, client_id, anew)


def test_a_removed_partner_is_gone(host):
    client_id = applied(host).partner.client_id
    partner_standing.remove(host, client_id, by=KARI)
    with pytest.raises(NoSuchPartner):
        partner_standing.find(host, client_id)
    with pytest.raises(NoSuchPartner):
        partner_standing.stop(host, client_id, by=KARI)


def test_another_partners_public_key_is_not_taken_for_ones_own(host):
    """By their keys partners are known again, when a pod moves in: whoever pastes another's key gets nothing by it."""
    first = applied(host)
    twin = applied(host, "Sparkesykkel AS", jwks={"keys": [first.key.as_dict(private=False)]})
    partner_standing.admit(host, first.partner.client_id, by=KARI)
    with pytest.raises(PartnerInvalid, match="another partner has this key"):
        partner_standing.admit(host, twin.partner.client_id, by=KARI)
    with pytest.raises(PartnerInvalid, match="another partner has this key"):
        applied(host, "Bysykkel Nord", jwks={"keys": [first.key.as_dict(private=False)]})
    third = applied(host, "Bysykkel Sør")
    with pytest.raises(PartnerInvalid, match="another partner has this key"):
        partner_keys.add_key(host, third.partner.client_id, json.dumps(first.key.as_dict(private=False)), by=KARI)
    assert not third.partner.is_admitted

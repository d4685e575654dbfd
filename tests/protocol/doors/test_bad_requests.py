"""Bad input at the other doors: Solid, OAuth, research, the pages; each gets a clear answer, and nothing is lost."""

from __future__ import annotations

import json
import os
from datetime import timedelta

import pytest
from oauth_client import PartnerClient
from whole_house import JSON_PROBLEM, assert_is_a_clear_problem, slug_of

from pod_server.storage.errors import StorageBusy, StorageDamaged, StorageFull
from pod_server.vault.key_derivation import Passphrase
from research_views.invitations import invite

CANARY = "kanarifugl"
FIFTY_MEGABYTES = 50_000_000


@pytest.fixture
def script(house, kari):
    return house.script(kari)


@pytest.fixture
def partner(house):
    made = PartnerClient(house.host)
    made.client = house.app.test_client()
    return made


# Solid


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/turtle", b"<a> <b> "),
        ("text/turtle", b"\xff\xfe"),
        ("text/turtle", b'<a> <b> "\\uD800" .'),
        ("text/turtle", b"<a> <b> <\\u0000> ."),
        ("application/ld+json", b"[" * 100_000),
        ("application/ld+json", b'{"@id": NaN}'),
        ("application/ld+json", b'{"@context": "http://169.254.169.254/"}'),
        ("application/n-triples", b"<http://a b> <c> <d> ."),
    ],
)
def test_a_broken_document_changes_nothing(script, media_type, body):
    before = script.send("PUT", "/kari/private/x", b"<a> <b> <c> .", Content_Type="text/turtle")
    assert before.status_code == 201
    answer = script.send("PUT", "/kari/private/x", body, Content_Type=media_type)
    assert_is_a_clear_problem(answer)
    assert 400 <= answer.status_code < 500
    kept = script.send("GET", "/kari/private/x", Accept="text/turtle")
    assert (kept.status_code, b"<b>" in kept.data or b"/b>" in kept.data) == (200, True)


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("text/n3", b"@prefix solid: <http://www.w3.org/ns/solid/terms#>. _:a solid:inserts { <a> <b> " + b"(" * 3000),
        ("application/sparql-update", b"INSERT DATA {"),
        ("application/sparql-update", b"LOAD <http://169.254.169.254/>"),
        ("application/json", b"{}"),
        ("", b"x"),
    ],
)
def test_a_broken_patch_is_a_clear_problem(script, media_type, body):
    script.send("PUT", "/kari/private/x", b"<a> <b> <c> .", Content_Type="text/turtle")
    assert_is_a_clear_problem(script.send("PATCH", "/kari/private/x", body, Content_Type=media_type))


@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH"])
def test_fifty_megabytes_are_refused_at_the_solid_door(script, method):
    answer = script.send(method, "/kari/private/", b"x" * FIFTY_MEGABYTES, Content_Type="text/turtle")
    assert_is_a_clear_problem(answer, status=413, slug="body-too-large")


def test_a_neighbours_pod_and_a_stranger_are_refused_by_name(house, city, script):
    city.citizen("ola")
    assert_is_a_clear_problem(script.send("GET", "/ola/private/"), status=403, slug="access-denied")
    assert_is_a_clear_problem(house.browser().get("/kari/private/"), status=401)


def test_a_replayed_proof_is_refused_at_the_solid_door(house, script):
    headers = script.prover.authorised("GET", f"{house.host.base_url}/kari/private/", script.token)
    told = [script.client.get("/kari/private/", headers=headers) for _ in range(2)]
    assert told[0].status_code in {200, 404}
    assert_is_a_clear_problem(told[1], status=401)


@pytest.mark.parametrize(
    "path", ["%00", "%ff", "a" * 3000, "a/" * 500, "%2e%2e/x", "/x", "activities/x/2026-13", "activities/g/99999-99"]
)
def test_a_path_that_is_none_is_a_clear_problem(script, path):
    answer = script.send("GET", f"/kari/{path}")
    assert_is_a_clear_problem(answer)
    assert answer.status_code < 500


# OAuth


def assert_is_a_clear_refusal(answer) -> None:
    """RFC 6749, section 5.2: what a client of OAuth expects in place of a problem."""
    assert 400 <= answer.status_code < 500, answer.text
    if answer.headers["Content-Type"] != JSON_PROBLEM:
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.json["error"]
        assert answer.json["error_description"]
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["token", "par", "revoke", "introspect"])
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"\xff\xfe", b"%00=%00", b"&" * 100_000, b"client_id=a&client_id=b", b"x" * 2_000_000]
)
@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "application/json", ""])
def test_a_form_that_is_none_is_refused(house, partner, path, body, media_type):
    proof = partner.proof("POST", f"{house.host.base_url}/-/oauth/{path}")
    headers = {"Content-Type": media_type, "DPoP": proof}
    assert_is_a_clear_refusal(partner.client.post(f"/-/oauth/{path}", data=body, headers=headers))


@pytest.mark.parametrize("path", ["token", "par"])
def test_fifty_megabytes_are_refused_at_the_oauth_door(partner, path):
    answer = partner.client.post(
        f"/-/oauth/{path}", data=b"a=" + b"x" * FIFTY_MEGABYTES, content_type="application/x-www-form-urlencoded"
    )
    assert_is_a_clear_problem(answer, status=413)


HOSTILE_MEMBERS = (
    True, -1, 0, 10**30, 1e308, float("nan"), float("inf"), "", CANARY, "\x00", [], {}, [None], "2026-11-23",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59Z", "P9999999999Y", "a" * 10_000,
)  # fmt: skip


@pytest.mark.parametrize(
    "member",
    [
        "type",
        "actions",
        "datatypes",
        "purpose",
        "granularity",
        "history_from",
        "validTo",
        "retention",
        "max_records_per_day",
    ],
)
def test_details_that_nobody_could_consent_to_are_refused_and_not_repeated(partner, member):
    refused = 0
    for value in HOSTILE_MEMBERS:
        answer = partner.push(authorization_details=partner.details(**{member: value}))
        if answer.status_code == 201:
            continue
        refused += 1
        assert_is_a_clear_refusal(answer)
        assert CANARY not in answer.text
        assert len(answer.text) < 1000
    assert refused > 10


@pytest.mark.parametrize(
    "text", ["null", "1", "[]", "[null]", "{}", "[" * 50_000, "[NaN]", '[{"type": 1}]', '"x"', "[1e999]"]
)
def test_details_that_are_no_details_are_refused(partner, text):
    assert_is_a_clear_refusal(partner.push(authorization_details=text))


@pytest.mark.parametrize("claim", ["iss", "sub", "aud", "exp", "iat", "jti", "nbf"])
def test_assertions_and_proofs_with_anything_in_any_claim_are_refused_or_taken_and_never_break(house, partner, claim):
    endpoint = f"{house.host.base_url}/-/oauth/token"
    for value in (None, True, -1, 10**30, 1e308, float("nan"), "", "x", "\x00", [], {}, [None], "a" * 10_000):
        answer = partner.push(assertion=partner.assertion(**{claim: value}))
        if answer.status_code != 201:
            assert_is_a_clear_refusal(answer)
        answer = partner.token_request(
            grant_type="client_credentials", proof=partner.proof("POST", endpoint, **{claim: value})
        )
        if answer.status_code != 200:
            assert_is_a_clear_refusal(answer)


# Research


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400), ("SELECT", 400), ("\x00", 400), ("(" * 10_000, 400), ("INSERT DATA {}", 400),
        ("SELECT * {SERVICE <http://x> {?s ?p ?o}}", 400), ("a" * 300_000, 400),
    ],
)  # fmt: skip
def test_a_query_that_is_none_is_refused(house, query, status):
    invited = invite(house.host, "Forsker", purpose="research", expires=house.host.clock.now() + timedelta(days=1))
    answer = house.browser().post(
        "/research/sparql",
        data=query.encode(),
        headers={"Authorization": f"Bearer {invited.token}", "Content-Type": "application/sparql-query"},
    )
    assert_is_a_clear_problem(answer)
    assert answer.status_code < 500
    assert status


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer x", "Bearer tvr_" + "a" * 10_000, "DPoP x", "Basic eA=="])
def test_without_a_good_invitation_the_endpoint_is_closed(house, header):
    answer = house.browser().get("/research/sparql?query=ASK{}", headers={"Authorization": header})
    assert_is_a_clear_problem(answer, status=401)


def test_fifty_megabytes_are_refused_at_the_research_door(house):
    invited = invite(house.host, "Forsker", purpose="research", expires=house.host.clock.now() + timedelta(days=1))
    answer = house.browser().post(
        "/research/sparql",
        data=b"x" * FIFTY_MEGABYTES,
        headers={"Authorization": f"Bearer {invited.token}", "Content-Type": "application/sparql-query"},
    )
    assert_is_a_clear_problem(answer, status=413)


# Pages


@pytest.mark.parametrize("seq", ["99999999999999999999999", str(2**63), "0"])
@pytest.mark.parametrize("ending", ["", ".json"])
def test_an_event_that_no_storage_can_count_to_is_not_found(house, kari, seq, ending):
    answer = house.browser(kari).get(f"/-/why/{seq}{ending}", headers={"Accept": JSON_PROBLEM})
    assert_is_a_clear_problem(answer, status=404)


@pytest.mark.parametrize("before", ["²", "٣", "-1", "9" * 30, "%00", "%ff", "x"])
def test_a_place_in_the_log_that_is_none_shows_its_beginning(house, kari, before):
    assert house.browser(kari).get(f"/-/log?before={before}").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/-/grants/x/withdraw", "/-/grants/%00/erase", "/-/twin/x/approve", "/-/consent/x", "/-/lock", "/-/live/ticket"],
)
def test_a_form_without_its_token_is_refused(house, kari, path):
    browser = house.browser(kari)
    for fields in ({}, {"csrf": ""}, {"csrf": "\x00"}, {"csrf": "x" * 5000}):
        answer = browser.post(path, data=fields, headers={"Accept": JSON_PROBLEM})
        assert_is_a_clear_problem(answer, status=403, slug="form-out-of-date")


def test_another_citizens_grant_cannot_be_ended_from_a_page(house, city, kari):
    ola = city.citizen("ola")
    olas = house.grant(ola, house.partner())
    browser = house.browser(kari)
    answer = browser.post(
        f"/-/grants/{olas}/withdraw", data={"csrf": house.form_token(browser)}, headers={"Accept": JSON_PROBLEM}
    )
    assert_is_a_clear_problem(answer, status=404, slug="no-such-grant")


@pytest.mark.slow
def test_wrong_passphrases_are_answered_alike_and_then_have_to_wait(house, city):
    city.citizen("ida", passphrase=Passphrase("correct horse battery"))
    browser = house.browser()
    page = browser.get("/-/sign-in")
    token = page.text.partition('name="csrf" value="')[2].partition('"')[0]
    form = {"csrf": token, "handle": "ida", "passphrase": f"{CANARY} {CANARY}"}
    answers = [browser.post("/-/sign-in", data=form) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [403] * 5 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert not [answer for answer in answers if CANARY in answer.text]
    right = browser.post("/-/sign-in", data=form | {"passphrase": "correct horse battery"})
    assert right.status_code == 429
    assert "Set-Cookie" not in right.headers or "session" not in right.headers["Set-Cookie"]


# A storage that cannot


@pytest.mark.parametrize(
    ("error", "status"),
    [(StorageFull(), 507), (StorageBusy(), 503), (StorageDamaged(), 500), (RuntimeError(CANARY), 500)],
)
@pytest.mark.parametrize("accepted", ["text/html", JSON_PROBLEM])
def test_when_the_storage_fails_every_door_says_so(
    house, kari, deliverer, grant, script, monkeypatch, error, status, accepted
):
    browser = house.browser(kari)

    def fail(*_args, **_kwargs):
        raise error

    monkeypatch.setattr(type(house.host.storage), "read", fail)
    monkeypatch.setattr(type(house.host.storage), "write", fail)
    item = json.dumps({"grant": grant, "activity": {}})
    answers = [
        browser.get("/-/home", headers={"Accept": accepted}),
        browser.get("/-/sign-in", headers={"Accept": accepted}),
        browser.get("/kari/profile/card", headers={"Accept": accepted}),
        script.send("PUT", "/kari/private/x", b"x", Content_Type="text/plain"),
        deliverer.send("POST", "/bridge/activities", item),
        browser.get("/research/sparql?query=ASK{}", headers={"Authorization": "Bearer tvr_x"}),
    ]
    assert {answer.status_code for answer in answers} == {status}
    for answer in answers:
        assert CANARY not in answer.text
        assert "Traceback" not in answer.text
        if answer.headers["Content-Type"] == JSON_PROBLEM:
            assert slug_of(answer.json)
        else:
            assert answer.headers["Content-Type"].startswith("text/html")
            assert accepted == "text/html"


def test_a_full_disk_at_the_doors_refuses_keeps_what_was_taken_and_recovers(house, kari, deliverer, grant, script):
    writer = house.host.storage._writers[-1].connection
    (pages,) = writer.execute("PRAGMA page_count").fetchone()
    writer.execute(f"PRAGMA max_page_count = {pages + 4}")
    document = os.urandom(200_000)  # what compresses well finds room
    full = script.send("PUT", "/kari/private/big", document, Content_Type="application/octet-stream")
    assert_is_a_clear_problem(full, status=507, slug="storage-full")
    missing = script.send("GET", "/kari/private/big")
    assert missing.status_code == 404
    taken, answer = 0, None
    for number in range(200):
        lines = [
            {
                "grant": grant,
                "activity": {
                    "@id": f"urn:test:{number}:{each}", "@type": "GroceryLine", "start": "2026-11-22T00:00:00Z",
                    "end": "2026-11-22T00:00:00Z", "quantity": 1, "unit": "KiloGM", "name": f"{number}-{each}" * 9,
                },
            }
            for each in range(100)
        ]  # fmt: skip
        answer = deliverer.send("POST", "/bridge/activities", "\n".join(map(json.dumps, lines)))
        if answer.status_code != 200:
            break
        assert {each["status"] for each in answer.json} == {"accepted"}
        taken += 100
    assert answer is not None
    assert_is_a_clear_problem(answer, status=507, slug="storage-full")
    writer.execute("PRAGMA max_page_count = 4294967294")
    again = deliverer.send("POST", "/bridge/activities", "\n".join(map(json.dumps, lines)))
    assert {each["status"] for each in again.json} <= {"accepted", "duplicate"}
    assert script.send("PUT", "/kari/private/big", document, Content_Type="application/octet-stream").status_code == 201
    from pod_server.activities import count_records

    with house.host.storage.read() as tx:
        assert count_records(tx, kari.pod_id) == taken + 100

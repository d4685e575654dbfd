"""The security profile of the partners' door, point by point: FAPI 2.0 and what HelseID, Altinn and Maskinporten add.

The numbers are those of docs/conformance-fapi.md, which also names the points that other tests hold.
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from oauth_client import CITIZEN, REDIRECT, PartnerClient, doors, new_key, signed

from pod_server import grants, outbox, partners, signing_keys
from pod_server.authorization_server import dpop_nonces, interactions
from pod_server.authorization_server.pushed_requests import LIFETIME as REQUEST_LIFETIME
from pod_server.authorization_server.tokens import LIFETIME, read_access_token

BITS_OF_A_BASE64URL_CHARACTER = 6


def yes(kinds=("electricity-reading",), **choices):
    return interactions.Answer(refused=False, kinds=frozenset(kinds), **choices)


def answered(partner, host, citizen, **parameters):
    """Where the browser is sent after a yes."""
    kinds = parameters.pop("kinds", ("electricity-reading",))
    question = partner.asked(**parameters)
    return interactions.answer_interaction(host, question, citizen.pod_id, yes(kinds), CITIZEN)


def code_of(address):
    return parse_qs(urlsplit(address).query)["code"][0]


def test_point_01_metadata_stands_at_the_addresses_of_rfc_8414_and_9728(host, partner):
    metadata = partner.client.get("/.well-known/oauth-authorization-server").json
    assert metadata["issuer"] == host.base_url
    for name in [each for each in metadata if each.endswith("_endpoint")] + ["jwks_uri"]:
        path = metadata[name].removeprefix(host.base_url) + ("/g-1" if name == "grant_management_endpoint" else "")
        assert partner.client.post(path).status_code != 404, name
    assert metadata["response_types_supported"] == ["code"]
    assert metadata["code_challenge_methods_supported"] == ["S256"]
    algorithms = ("token_endpoint_auth", "revocation_endpoint_auth", "introspection_endpoint_auth", "dpop")
    for name in algorithms:
        assert set(metadata[f"{name}_signing_alg_values_supported"]) == {"ES256", "PS256", "EdDSA", "Ed25519"}, name
    for door in ("/bridge", "/kari"):
        resource = partner.client.get(f"/.well-known/oauth-protected-resource{door}").json
        assert resource["resource"] == f"{host.base_url}{door}"
        assert resource["authorization_servers"] == [host.base_url]
        assert resource["dpop_bound_access_tokens_required"] is True
        assert resource["bearer_methods_supported"] == []


@pytest.mark.parametrize("grant_type", ["password", "implicit", "urn:ietf:params:oauth:grant-type:device_code"])
def test_point_02_there_is_no_password_grant_and_no_partner_without_a_key(partner, grant_type):
    answer = partner.token_request(grant_type=grant_type, username="kari", password="hemmelig")
    assert (answer.status_code, answer.json["error"]) == (400, "unsupported_grant_type")
    nameless = partner.client.post(
        "/-/oauth/par", data={"client_id": partner.partner.client_id, "response_type": "code"}
    )
    assert (nameless.status_code, nameless.json["error"]) == (401, "invalid_client")


def test_point_03_a_token_is_worth_nothing_without_its_key(host, partner):
    token = partner.own_token()
    assert partner.client.get("/bridge/probe", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert partner.client.get("/bridge/probe", headers={"Authorization": f"DPoP {token}"}).status_code == 401
    assert (
        partner.client.post("/-/oauth/token", data={**partner.signed_in(), "grant_type": "client_credentials"}).json[
            "error"
        ]
        == "invalid_dpop_proof"
    )
    assert read_access_token(host, token)["cnf"] == {"jkt": partner.thumbprint}
    assert partner.probe(token).status_code == 200, "with its key it opens"


def test_point_04_partners_sign_in_with_private_key_jwt_alone(partner):
    """Neither a secret, in body or header, nor a name, nor its public key shown as a secret is a partner."""
    client_id = partner.partner.client_id
    basic = {"Authorization": "Basic " + base64.b64encode(f"{client_id}:secret".encode()).decode()}
    public = OctKey.import_key(json.dumps(partner.key.as_dict(private=False)).encode())
    address = f"{partner.host.base_url}/-/oauth/token"
    for form, headers in (
        ({"client_id": client_id, "client_secret": "secret"}, {}),
        ({}, basic),
        ({"client_id": client_id}, {}),
        (partner.signed_in(partner.assertion(key=new_key())), {}),
        (partner.signed_in(partner.assertion(key=public, header={"alg": "HS256"})), {}),
    ):
        proof = {"DPoP": partner.proof("POST", address)}
        answer = partner.client.post(
            "/-/oauth/token", data={"grant_type": "client_credentials"} | form, headers=proof | headers
        )
        assert (answer.status_code, answer.json["error"]) == (401, "invalid_client"), form
    two_ways = partner.client.post("/-/oauth/par", data=partner.signed_in(), headers=basic)
    assert two_ways.json["error"] == "invalid_request"


def registered_with(host, partner, key):
    """The partner's key in the database is this one, as if registration had never looked at it."""
    kept = {"keys": [key.as_dict(private=False) | {"kid": "k1"}]}
    with host.storage.write() as tx:
        tx.execute("UPDATE partner SET jwks = ? WHERE client_id = ?", (json.dumps(kept), partner.partner.client_id))


ON_THE_LIST = (("ES256", ECKey, "P-256"), ("PS256", RSAKey, 2048), ("Ed25519", OKPKey, "Ed25519"))
OFF_THE_LIST = (("none", ECKey, "P-256"), ("HS256", OctKey, 256), ("RS256", RSAKey, 2048), ("ES384", ECKey, "P-384"))


@pytest.mark.parametrize(("algorithm", "kind", "size"), [*ON_THE_LIST, *OFF_THE_LIST])
def test_point_05_algorithms_off_the_list_sign_nobody_in(host, partner, algorithm, kind, size):
    """Each by the key that the partner is known by, so that the algorithm alone is what is wrong."""
    key = kind.generate_key(size)
    registered_with(host, partner, key)
    if algorithm == "none":
        _, claims, _ = partner.assertion(key=key).split(".")
        answers = [partner.push(assertion=f"eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.{claims}.{end}") for end in ("", "AA")]
    else:
        answers = [partner.push(assertion=partner.assertion(key=key, header={"alg": algorithm}))]
    if (algorithm, kind, size) in ON_THE_LIST:
        assert [answer.status_code for answer in answers] == [201]
        return
    assert {(answer.status_code, answer.json["error"]) for answer in answers} == {(401, "invalid_client")}


def test_point_06_weak_keys_are_not_registered_and_secrets_are_long(host, kari, partner):
    with pytest.warns(SecurityWarning):
        weak = RSAKey.generate_key(1024, auto_kid=True).as_dict(private=False)
    with pytest.raises(partners.PartnerInvalid):
        partners.add_partner(host, name="Svak AS", jwks={"keys": [weak]})
    for curve in ("P-192", "secp256k1"):
        with pytest.raises(partners.PartnerInvalid):
            partners.add_partner(
                host, name="Svak AS", jwks={"keys": [new_key().as_dict(private=False) | {"crv": curve}]}
            )
    address = answered(partner, host, kari)
    request_uri = partner.push().json["request_uri"].rpartition(":")[2]
    refresh = partner.redeem(code_of(address)).json["refresh_token"]
    for secret in (code_of(address), request_uri, refresh):
        assert len(secret) * BITS_OF_A_BASE64URL_CHARACTER >= 128
        assert len(set(secret)) > 8, "letters drawn, not repeated"
    assert request_uri != partner.push().json["request_uri"].rpartition(":")[2]


def test_point_07_the_issuer_is_the_audience_of_an_assertion(host, partner):
    assert partner.push(assertion=partner.assertion(aud=host.base_url)).status_code == 201
    other = partner.push(assertion=partner.assertion(aud=f"{host.base_url}/-/oauth/token"))
    assert other.json["error"] == "invalid_client"


def test_point_08_the_audience_is_one_text_and_no_list(host, partner):
    answer = partner.push(assertion=partner.assertion(aud=[host.base_url]))
    assert answer.json["error"] == "invalid_client"


def test_point_09_an_assertion_signs_in_once(partner):
    assertion = partner.assertion()
    assert partner.push(assertion=assertion).status_code == 201
    assert partner.push(assertion=assertion).json["error"] == "invalid_client"
    unnamed = partner.push(assertion=partner.assertion(without=("jti",)))
    assert unnamed.json["error"] == "invalid_client", "what has no jti could be shown again"


@pytest.mark.parametrize(
    ("name", "ahead", "taken"), [("iat", 10, True), ("nbf", 10, True), ("iat", 61, False), ("nbf", 61, False)]
)
def test_point_10_a_clock_may_run_ten_seconds_ahead_and_not_sixty(host, partner, name, ahead, taken):
    later = int(host.clock.protocol_now().timestamp()) + ahead
    answer = partner.push(assertion=partner.assertion(**{name: later, "exp": later + 60}))
    assert (answer.status_code == 201) is taken
    assert taken or answer.json["error"] == "invalid_client"


@pytest.mark.parametrize("response_type", ["token", "id_token", "code token", "none", None])
def test_point_11_a_code_is_the_only_response(partner, response_type):
    assert partner.push(response_type=response_type).json["error"] == "unsupported_response_type"


def test_point_12_a_request_is_pushed_by_its_partner_and_never_brought_by_a_browser(host, partner):
    brought = partner.client.get(
        "/-/oauth/authorize",
        query_string={
            "client_id": partner.partner.client_id,
            "response_type": "code",
            "redirect_uri": REDIRECT,
            "code_challenge": partner.challenge(),
            "code_challenge_method": "S256",
            "dpop_jkt": partner.thumbprint,
            "authorization_details": partner.details(),
        },
    )
    assert (brought.status_code, "Location" in brought.headers) == (400, False), "all that a push would hold"
    stranger = PartnerClient(host, name="En annen")
    foreign = partner.push(assertion=stranger.assertion())
    assert foreign.json["error"] == "invalid_client"


@pytest.mark.parametrize("uri", ["http://partner.example/back", "https://partner.example/back#x", "partner:/back"])
def test_point_13_the_redirect_address_is_pushed_and_https_or_loopback(host, partner, uri):
    assert partner.push(redirect_uri=None).json["error"] == "invalid_request"
    assert partner.push(redirect_uri=uri).json["error"] == "invalid_request"
    with pytest.raises(partners.PartnerInvalid):
        partners.check_redirect_uri(uri)
    assert partners.check_redirect_uri("http://127.0.0.1:8000/back")


def test_point_14_a_pushed_request_lives_for_less_than_ten_minutes(city, partner):
    pushed = partner.push()
    assert pushed.json["expires_in"] < 600
    city.clock.advance(REQUEST_LIFETIME)
    assert partner.arrive(pushed.json["request_uri"]).status_code == 400


@pytest.mark.parametrize(
    "change",
    [
        {"code_challenge": None},
        {"code_challenge_method": "plain"},
        {"code_challenge_method": None},
        {"code_challenge": "short"},
    ],
)
def test_point_15_pkce_with_s256_is_needed(partner, change):
    assert partner.push(**change).json["error"] == "invalid_request"


def test_point_16_a_proof_at_the_pushed_request_is_of_the_key_it_names(host, kari, partner):
    address = f"{host.base_url}/-/oauth/par"
    good = partner.push(headers={"DPoP": partner.proof("POST", address)})
    assert good.status_code == 201
    wrong = partner.push(headers={"DPoP": partner.proof("POST", address, key=new_key())})
    assert wrong.json["error"] == "invalid_dpop_proof"
    shown = partner.push(headers={"DPoP": partner.proof("POST", address)}, dpop_jkt=None)
    question = partner.arrive(shown.json["request_uri"]).headers["Location"].rsplit("/", 1)[1]
    code = code_of(interactions.answer_interaction(host, question, kari.pod_id, yes(), CITIZEN))
    other = partner.proof("POST", f"{host.base_url}/-/oauth/token", key=new_key())
    assert partner.redeem(code, proof=other).json["error"] == "invalid_grant", "the proof alone binds the code too"


def test_point_17_a_code_is_good_once_and_for_sixty_seconds(city, host, kari, partner):
    code = code_of(answered(partner, host, kari))
    assert partner.redeem(code).status_code == 200
    assert partner.redeem(code).json["error"] == "invalid_grant"
    late = code_of(answered(partner, host, kari))
    city.clock.advance(timedelta(seconds=61))
    assert partner.redeem(late).json["error"] == "invalid_grant"


def test_point_18_every_answer_names_the_issuer(host, kari, partner):
    assert parse_qs(urlsplit(answered(partner, host, kari)).query)["iss"] == [host.base_url]
    refused = interactions.answer_interaction(
        host, partner.asked(), kari.pod_id, interactions.Answer(refused=True), CITIZEN
    )
    assert parse_qs(urlsplit(refused).query)["iss"] == [host.base_url]
    metadata = partner.client.get("/.well-known/oauth-authorization-server").json
    assert metadata["authorization_response_iss_parameter_supported"] is True


def test_point_19_browsers_are_sent_on_with_303(partner):
    assert partner.arrive(partner.push().json["request_uri"]).status_code == 303


def test_point_20_no_script_of_another_origin_reads_the_authorization_endpoint(partner):
    good = {"request_uri": partner.push().json["request_uri"], "client_id": partner.partner.client_id}
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    for method in ("GET", "OPTIONS"):
        for query in (good, {}):
            answer = partner.client.open("/-/oauth/authorize", method=method, query_string=query, headers=asked)
            assert not [name for name, _ in answer.headers if name.startswith("Access-Control-")], (method, query)


def test_point_21_a_refresh_token_stays_since_only_its_key_can_use_it(host, kari, partner):
    refresh = partner.redeem(code_of(answered(partner, host, kari))).json["refresh_token"]
    for _ in range(2):
        answer = partner.token_request(grant_type="refresh_token", refresh_token=refresh)
        assert answer.status_code == 200
        assert "refresh_token" not in answer.json


def test_point_22_browsers_are_told_to_stay_with_tls(host):
    over_tls = replace(host, base_url="https://pod.example", allow_insecure=False)
    answer = doors(over_tls).get("/.well-known/oauth-authorization-server")
    assert "max-age=31536000" in answer.headers["Strict-Transport-Security"]


def test_point_23_a_browser_is_sent_to_registered_addresses_alone(partner):
    for query in (
        {"redirect_uri": "https://evil.example", "client_id": partner.partner.client_id},
        {"request_uri": "https://evil.example/request", "client_id": partner.partner.client_id},
        {"request_uri": partner.push().json["request_uri"], "client_id": "p-0000000000000000"},
    ):
        answer = partner.client.get("/-/oauth/authorize", query_string=query)
        assert (answer.status_code, "Location" in answer.headers) == (400, False)


def test_point_24_a_token_travels_in_the_header_alone(partner):
    """With a good proof beside it, so that the token's place alone is what is wrong."""
    token = partner.own_token()
    address = f"{partner.host.base_url}/bridge/probe"
    for method, place in (("GET", "query_string"), ("POST", "query_string"), ("POST", "data")):
        headers = {"DPoP": partner.proof(method, address, token=token)}
        answer = partner.client.open(
            "/bridge/probe", method=method, headers=headers, **{place: {"access_token": token}}
        )
        assert answer.status_code == 401, (method, place)
    assert partner.probe(token).status_code == 200


@pytest.mark.parametrize(
    "spoiled",
    [
        {"htm": "POST"},
        {"htu": "https://elsewhere.example/bridge/probe"},
        {"ago": 61},
        {"ago": -11},
        {"ath": "AAAA"},
        {"without": ("htm",)},
        {"without": ("htu",)},
        {"without": ("iat",)},
        {"without": ("jti",)},
        {"without": ("ath",)},
        {"key": new_key("other")},
    ],
)
def test_point_25_each_claim_of_a_proof_is_held_to_its_request(city, host, partner, spoiled):
    """Two minutes after the start, or an old proof would be refused as older than the replay store."""
    city.clock.advance(timedelta(minutes=2))
    token = partner.own_token()
    if "ago" in spoiled:
        spoiled = {"iat": int(host.clock.protocol_now().timestamp()) - spoiled["ago"]}
    refused = partner.probe(token, **spoiled)
    assert refused.status_code == 401
    assert refused.json["type"].endswith("/problems/invalid-dpop-proof")
    assert partner.probe(token).status_code == 200, "unspoiled it opens"


def test_point_25_a_proof_of_before_the_replay_store_began_is_refused(city, host, partner):
    """Nobody can say whether it was shown before."""
    before = int(host.clock.protocol_now().timestamp()) - 1
    token = partner.own_token()
    city.clock.advance(timedelta(seconds=5))
    assert partner.probe(token, iat=before).status_code == 401
    assert partner.probe(token, iat=before + 2).status_code == 200


def bound_to_nonces(host):
    """A partner that registered for nonces."""
    partner = PartnerClient(host, name="Nonce AS")
    with host.storage.write() as tx:
        tx.execute(
            "UPDATE partner SET about = ? WHERE client_id = ?",
            (json.dumps({"dpop_nonces": "required"}), partner.partner.client_id),
        )
    return partner


def test_point_26_a_partner_that_asked_for_nonces_needs_one_and_is_told_which(city, host, kari):
    partner = bound_to_nonces(host)
    address = f"{host.base_url}/-/oauth/token"
    refused = partner.token_request(grant_type="client_credentials")
    assert (refused.status_code, refused.json["error"]) == (400, "use_dpop_nonce")
    nonce = refused.headers["DPoP-Nonce"]
    taken = partner.token_request(grant_type="client_credentials", proof=partner.proof("POST", address, nonce=nonce))
    assert taken.status_code == 200
    assert taken.headers["DPoP-Nonce"] == nonce
    token = taken.json["access_token"]

    without = partner.probe(token)
    assert (without.status_code, without.json["type"].rpartition("/")[2]) == (401, "use-dpop-nonce")
    assert 'error="use_dpop_nonce"' in without.headers["WWW-Authenticate"]
    assert partner.probe(token, nonce=without.headers["DPoP-Nonce"]).status_code == 200

    pushed = partner.push(headers={"DPoP": partner.proof("POST", f"{host.base_url}/-/oauth/par")})
    assert pushed.json["error"] == "use_dpop_nonce"
    assert pushed.headers["DPoP-Nonce"] == nonce

    city.clock.advance(2 * dpop_nonces.LIFETIME)
    stale = partner.token_request(grant_type="client_credentials", proof=partner.proof("POST", address, nonce=nonce))
    assert stale.json["error"] == "use_dpop_nonce"
    assert stale.headers["DPoP-Nonce"] != nonce


@pytest.mark.parametrize("nonce", ["", "made-up", 7, None, ["x"]])
def test_point_26_a_nonce_that_is_none_of_ours_is_refused_from_anybody(host, partner, nonce):
    address = f"{host.base_url}/-/oauth/token"
    answer = partner.token_request(grant_type="client_credentials", proof=partner.proof("POST", address, nonce=nonce))
    assert answer.json["error"] == "use_dpop_nonce"


def test_point_27_a_revoked_token_opens_nothing_at_once(partner):
    token, other = partner.own_token(), partner.own_token()
    assert partner.probe(token).status_code == 200
    revoked = partner.client.post("/-/oauth/revoke", data={**partner.signed_in(), "token": token})
    assert revoked.status_code == 200
    address = f"{partner.host.base_url}/bridge/probe"
    assert partner.client.post("/bridge/probe", headers=partner.authorised("POST", address, token)).status_code == 401
    assert partner.probe(token).status_code == 401
    assert partner.probe(other).status_code == 200


def test_point_30_what_is_asked_for_names_purpose_kinds_retention_and_end(host, kari, partner):
    (detail,) = partner.redeem(code_of(answered(partner, host, kari))).json["authorization_details"]
    assert detail["purpose"] == "personal-footprint"
    assert detail["datatypes"] == ["electricity-reading"]
    assert {"retention", "validTo", "granularity", "history_from"} <= detail.keys()
    for missing in ("purpose", "datatypes", "validTo"):
        details = json.loads(partner.details())
        del details[0][missing]
        assert partner.push(authorization_details=json.dumps(details)).json["error"] == "invalid_authorization_details"


def ask_again(partner, action, grant_id, **members):
    return {
        "grant_management_action": action,
        "grant_id": grant_id,
        "authorization_details": partner.details(**members),
    }


def test_point_31_replacing_puts_new_terms_in_the_old_ones_place_and_ends_old_refresh_tokens(host, kari, partner):
    first = partner.redeem(code_of(answered(partner, host, kari))).json
    address = answered(
        partner,
        host,
        kari,
        kinds=["transit-trip"],
        **ask_again(partner, "replace", first["grant_id"], datatypes=["TransitTrip"], granularity="event"),
    )
    second = partner.redeem(code_of(address)).json
    assert second["grant_id"] == first["grant_id"]
    assert second["authorization_details"][0]["datatypes"] == ["transit-trip"]
    old = partner.token_request(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert old.json["error"] == "invalid_grant"
    assert partner.token_request(grant_type="refresh_token", refresh_token=second["refresh_token"]).status_code == 200
    (view,) = grants.list_grants(host, kari.pod_id)
    assert [str(event.kind) for event in view.events] == ["given", "renewed"]


def test_point_31_merging_asks_the_citizen_for_both_together(host, kari, partner):
    first = partner.redeem(code_of(answered(partner, host, kari))).json
    question = partner.asked(
        **ask_again(partner, "merge", first["grant_id"], datatypes=["TransitTrip"], granularity="event")
    )
    asked = interactions.load_interaction(host, question).terms
    assert asked.kinds == {"electricity-reading", "transit-trip"}
    assert asked.granularity_of("electricity-reading") == "PT1M"
    address = interactions.answer_interaction(
        host, question, kari.pod_id, yes(["electricity-reading", "transit-trip"]), CITIZEN
    )
    second = partner.redeem(code_of(address)).json
    (detail,) = second["authorization_details"]
    assert detail["datatypes"] == ["electricity-reading", "transit-trip"]
    assert detail["grant"] == first["grant_id"]
    old = partner.token_request(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert old.json["error"] == "invalid_grant"
    assert partner.token_request(grant_type="refresh_token", refresh_token=second["refresh_token"]).status_code == 200


def test_point_31_nobody_changes_a_grant_that_is_not_theirs_or_for_another_purpose(city, host, kari, partner):
    first = partner.redeem(code_of(answered(partner, host, kari))).json
    stranger = PartnerClient(host, name="En annen")
    for who, grant_id in ((stranger, first["grant_id"]), (partner, "g-" + "a" * 26), (partner, "x" * 999)):
        assert who.push(**ask_again(who, "merge", grant_id)).json["error"] == "invalid_grant_id"
    other = partner.push(**ask_again(partner, "replace", first["grant_id"], purpose="travel-footprint"))
    assert other.json["error"] == "invalid_authorization_details"
    ola = city.citizen("ola")
    address = answered(partner, host, ola, **ask_again(partner, "merge", first["grant_id"]))
    assert parse_qs(urlsplit(address).query)["error"] == ["access_denied"]
    assert grants.list_grants(host, ola.pod_id) == []
    grants.withdraw(host, kari.pod_id, first["grant_id"], actor=CITIZEN)
    assert partner.push(**ask_again(partner, "merge", first["grant_id"])).json["error"] == "invalid_grant_id"


def test_point_31_nobody_asks_about_or_gives_up_a_grant_that_is_not_theirs(host, kari, partner):
    grant_id = partner.redeem(code_of(answered(partner, host, kari))).json["grant_id"]
    stranger = PartnerClient(host, name="En annen")
    token, path = stranger.own_token(), f"/-/oauth/grants/{grant_id}"
    for method in ("GET", "DELETE"):
        headers = stranger.authorised(method, host.base_url + path, token)
        assert stranger.client.open(path, method=method, headers=headers).status_code == 404
    assert grants.find_grant(host, kari.pod_id, grant_id).state == "active"


def test_point_31_a_no_to_a_change_leaves_the_grant_as_it_was(host, kari, partner):
    first = partner.redeem(code_of(answered(partner, host, kari))).json
    before = grants.find_grant(host, kari.pod_id, first["grant_id"])
    question = partner.asked(
        **ask_again(partner, "replace", first["grant_id"], datatypes=["TransitTrip"], granularity="event")
    )
    interactions.answer_interaction(host, question, kari.pod_id, interactions.Answer(refused=True), CITIZEN)
    assert grants.find_grant(host, kari.pod_id, first["grant_id"]) == before
    assert partner.token_request(grant_type="refresh_token", refresh_token=first["refresh_token"]).status_code == 200


def test_point_32_a_withdrawal_ends_the_tokens_and_tells_the_partner(host, kari, partner):
    with host.storage.write() as tx:
        tx.execute(
            "UPDATE partner SET webhook = ? WHERE client_id = ?",
            ("https://partner.example/hook", partner.partner.client_id),
        )
    got = partner.redeem(code_of(answered(partner, host, kari))).json

    def told():
        form = {**partner.signed_in(), "token": got["access_token"]}
        return partner.client.post("/-/oauth/introspect", data=form).json

    assert told()["active"] is True
    grants.withdraw(host, kari.pod_id, got["grant_id"], actor=CITIZEN)
    assert told() == {"active": False}
    refreshed = partner.token_request(grant_type="refresh_token", refresh_token=got["refresh_token"])
    assert refreshed.json["error"] == "invalid_grant"
    with host.storage.read() as tx:
        kinds = [message.kind for message in outbox.messages(tx, client_id=partner.partner.client_id)]
    assert "consent-withdrawn" in kinds


def test_point_33_tokens_are_of_rfc_9068_and_are_revoked_and_told_of_by_7009_and_7662(host, partner):
    token = partner.own_token()
    read = signing_keys.verify(host, token, typ="at+jwt").payload
    assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= read.keys()
    assert (read["iss"], read["aud"]) == (host.base_url, f"{host.base_url}/bridge")
    stranger = PartnerClient(host, name="En annen")
    stranger.client.post("/-/oauth/revoke", data={**stranger.signed_in(), "token": token})
    asked = stranger.client.post("/-/oauth/introspect", data={**stranger.signed_in(), "token": token})
    assert asked.json == {"active": False}, "nobody is told of another's token, or ends it"
    assert read["exp"] - read["iat"] == LIFETIME.total_seconds()
    asked = partner.client.post("/-/oauth/introspect", data={**partner.signed_in(), "token": token})
    assert asked.json["active"] is True
    partner.client.post("/-/oauth/revoke", data={**partner.signed_in(), "token": token})
    asked = partner.client.post("/-/oauth/introspect", data={**partner.signed_in(), "token": token})
    assert asked.json == {"active": False}


def test_point_37_one_partner_may_hold_several_grants_of_one_citizen(host, kari, partner):
    first = partner.redeem(code_of(answered(partner, host, kari))).json
    second = partner.redeem(
        code_of(answered(partner, host, kari, authorization_details=partner.details(purpose="live-electricity")))
    ).json
    assert first["grant_id"] != second["grant_id"]
    grants.withdraw(host, kari.pod_id, first["grant_id"], actor=CITIZEN)
    still = partner.token_request(grant_type="refresh_token", refresh_token=second["refresh_token"])
    assert still.status_code == 200


def test_point_44_nobody_becomes_a_partner_by_registering_oneself(host, partner):
    before, key = partners.list_partners(host), new_key()
    described = {
        "redirect_uris": [REDIRECT],
        "client_name": "Nesten en partner",
        "jwks": {"keys": [key.as_dict(private=False)]},
    }
    refused = partner.client.post(
        "/-/oauth/register", json=described | {"token_endpoint_auth_method": "private_key_jwt"}
    )
    assert (refused.status_code, refused.json["error"]) == (400, "invalid_client_metadata")
    app = partner.client.post("/-/oauth/register", json=described | {"token_endpoint_auth_method": "none"})
    assert app.status_code == 201
    name = app.json["client_id"]
    assertion = partner.assertion(key=key, iss=name, sub=name)
    assert partner.push(assertion=assertion, client_id=name).json["error"] == "invalid_client"
    unsigned = partner.push(client_id=name, client_assertion=None, client_assertion_type=None)
    assert unsigned.json["error"] == "unauthorized_client", "an app may not ask as a partner does"
    assert partners.list_partners(host) == before


def request_object(host, partner, *, key=None, header=None, without=(), **claims):
    now = int(host.clock.protocol_now().timestamp())
    payload = {
        "iss": partner.partner.client_id,
        "aud": host.base_url,
        "nbf": now,
        "exp": now + 300,
        "client_id": partner.partner.client_id,
        "response_type": "code",
        "response_mode": "jwt",
        "redirect_uri": REDIRECT,
        "code_challenge": partner.challenge(),
        "code_challenge_method": "S256",
        "state": "s-1",
        "dpop_jkt": partner.thumbprint,
        "authorization_details": json.loads(partner.details()),
    } | claims
    heading = {"alg": "ES256", "kid": "k1", "typ": "oauth-authz-req+jwt"} | dict(header or {})
    return signed({name: each for name, each in payload.items() if name not in without}, key or partner.key, heading)


def push_signed(partner, text, **beside):
    form = {**partner.signed_in(), "client_id": partner.partner.client_id, "request": text, **beside}
    return partner.client.post("/-/oauth/par", data=form)


def test_point_45_a_signed_request_gets_a_signed_answer(host, kari, partner):
    pushed = push_signed(partner, request_object(host, partner))
    assert pushed.status_code == 201, pushed.text
    question = partner.arrive(pushed.json["request_uri"]).headers["Location"].rsplit("/", 1)[1]
    address = interactions.answer_interaction(host, question, kari.pod_id, yes(), CITIZEN)
    query = parse_qs(urlsplit(address).query)
    assert set(query) == {"response"}
    answer = signing_keys.verify(host, query["response"][0], typ="oauth-authz-resp+jwt").payload
    assert (answer["iss"], answer["aud"], answer["state"]) == (host.base_url, partner.partner.client_id, "s-1")
    assert partner.redeem(answer["code"]).status_code == 200


@pytest.mark.parametrize(
    "spoiled",
    [
        {"key": new_key()},
        {"header": {"kid": "k2"}},
        {"header": {"typ": "at+jwt"}},
        {"iss": "p-0000000000000000"},
        {"client_id": "p-0000000000000000"},
        {"aud": "https://elsewhere.example"},
        {"without": ("nbf",)},
        {"without": ("exp",)},
        {"nbf": 1_000_000_000},
        {"exp": 1_000_000_000},
        {"exp": 9_000_000_000},
        {"request_uri": "urn:x"},
        {"jti": "short"},
    ],
)
def test_point_45_a_spoiled_request_object_is_refused(host, partner, spoiled):
    assert push_signed(partner, request_object(host, partner, **spoiled)).json["error"] == "invalid_request_object"


def test_point_45_an_object_is_used_once_and_nothing_lies_beside_it(host, partner):
    text = request_object(host, partner, jti="a-request-of-its-own")
    assert push_signed(partner, text).status_code == 201
    assert push_signed(partner, text).json["error"] == "invalid_request_object"
    beside = push_signed(partner, request_object(host, partner), redirect_uri="https://evil.example")
    assert beside.json["error"] == "invalid_request"


def test_point_45_introspection_is_signed_for_whoever_asks_so(host, partner):
    token = partner.own_token()
    answer = partner.client.post(
        "/-/oauth/introspect",
        data={**partner.signed_in(), "token": token},
        headers={"Accept": "application/token-introspection+jwt"},
    )
    assert answer.content_type == "application/token-introspection+jwt"
    told = signing_keys.verify(host, answer.text, typ="token-introspection+jwt").payload
    assert told["aud"] == partner.partner.client_id
    assert told["token_introspection"]["active"] is True
    assert partner.probe(answer.text).status_code == 401, "a signed answer is no access token"

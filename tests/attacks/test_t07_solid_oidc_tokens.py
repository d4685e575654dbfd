"""T7 at the pods' door: other issuers' tokens, ID tokens, partners' tokens, and proofs used in another worker."""

from __future__ import annotations

import base64
import json
from dataclasses import replace

import pytest
from joserfc.jwk import OctKey, OKPKey, RSAKey
from oauth_client import PartnerClient, new_key
from other_issuer import ISSUER, WEBID, OtherIssuer
from solid_app import SolidApp, house, make_town

from pod_server.authorization_server.replay import ReplayStore


@pytest.fixture
def town(city):
    return make_town(city)


@pytest.fixture
def kari(town):
    return town.citizen("kari")


@pytest.fixture
def app(town):
    app = SolidApp(town.host, client=town.stranger())
    app.register()
    return app


@pytest.fixture
def anna(town):
    issuer = OtherIssuer(town.host, elsewhere=town.elsewhere)
    issuer.publish()
    return issuer


@pytest.fixture
def ask(town, kari):
    """What the pods' door answers to a token: 200 would be a way in to what everybody may read."""
    client = town.stranger()

    def ask(who, token, path="/kari/profile/card", *, method="GET", **options):
        options = {"without": ("ath",)} | options
        return client.open(
            path, method=method, headers=who.authorised(method, f"{town.host.base_url}{path}", token, **options)
        )

    return ask


def problem_of(answer):
    assert answer.status_code == 401, answer.text
    return answer.json["type"].rpartition("/")[2]


def test_the_good_token_does_open_the_door(anna, ask):
    assert ask(anna, anna.token()).status_code == 200


@pytest.mark.parametrize("typ", [None, "", "JWT", "dpop+jwt", "id+jwt", "at", 7, ["at+jwt"]])
def test_what_the_issuer_signed_for_something_else_is_no_access_token(anna, ask, typ):
    assert problem_of(ask(anna, anna.token(header={"typ": typ}))) == "invalid-token"


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://app.example/id"}, {"aud": []}, {"aud": ["Solid"]}, {"aud": {"solid": 1}}, {"aud": None},
        {"exp": 0}, {"exp": "9999999999"}, {"exp": True}, {"exp": 1e300}, {"iat": 9999999999}, {"nbf": 9999999999},
        {"nbf": "x"}, {"webid": None}, {"webid": ""}, {"webid": 7}, {"webid": "not an address"}, {"webid": "https://[::1"},
        {"webid": WEBID + "x" * 500}, {"client_id": None}, {"iss": 7}, {"iss": ""}, {"iss": "https://evil.example"},
        {"cnf": None}, {"cnf": {}}, {"cnf": {"jkt": 7}}, {"cnf": "x"}, {"cnf": {"jkt": "A" * 43}},
    ],
)  # fmt: skip
def test_claims_that_do_not_hold_open_nothing(anna, ask, claims):
    assert problem_of(ask(anna, anna.token(**claims))) in {"invalid-token", "invalid-dpop-proof"}


@pytest.mark.parametrize("name", ["iss", "aud", "webid", "client_id", "exp", "iat", "cnf"])
def test_claims_that_are_missing_open_nothing(anna, ask, name):
    assert problem_of(ask(anna, anna.token(without=(name,)))) == "invalid-token"


def test_alg_none_is_refused_before_anybody_is_asked(town, anna, ask):
    heading = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "at+jwt"}).encode()).rstrip(b"=").decode()
    assert problem_of(ask(anna, f"{heading}.{anna.token().split('.')[1]}.")) == "invalid-token"
    assert town.elsewhere.asked == []


def test_the_public_key_as_a_shared_secret_is_refused(anna, ask):
    secret = OctKey.import_key(json.dumps(anna.key.as_dict(private=False)).encode())
    assert problem_of(ask(anna, anna.token(key=secret, header={"alg": "HS256"}))) == "invalid-token"


def test_a_symmetric_key_among_the_issuers_keys_is_refused(anna, ask):
    secret = OctKey.generate_key(256, parameters={"kid": "other-1"})
    anna.publish(keys=[secret.as_dict()])
    assert problem_of(ask(anna, anna.token(key=secret, header={"alg": "HS256"}))) == "invalid-token"


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "EdDSA"])
def test_an_algorithm_that_is_not_the_keys_is_refused(anna, ask, algorithm):
    other = OKPKey.generate_key("Ed25519") if algorithm == "EdDSA" else RSAKey.generate_key(2048)
    assert problem_of(ask(anna, anna.token(key=other, header={"alg": algorithm}))) == "invalid-token"


@pytest.mark.filterwarnings("ignore:Key size should be")
def test_a_weak_key_among_the_issuers_keys_is_refused(anna, ask):
    weak = RSAKey.generate_key(1024, parameters={"kid": "other-1"}, auto_kid=False)
    anna.publish(keys=[weak.as_dict(private=False)])
    assert problem_of(ask(anna, anna.token(key=weak, header={"alg": "RS256"}))) == "invalid-token"


@pytest.mark.parametrize("named", ["jwk", "jku", "x5u"])
def test_a_key_that_the_token_brings_along_counts_for_nothing(anna, ask, named):
    mine = new_key("mine")
    brought = {"jwk": mine.as_dict(private=False), "jku": "https://evil.example/keys", "x5u": "https://evil.example/x"}
    token = anna.token(key=mine, header={named: brought[named], "kid": "mine"})
    assert problem_of(ask(anna, token)) == "invalid-token"


def test_two_keys_of_one_name_are_none(anna, ask):
    anna.publish(keys=[anna.key.as_dict(private=False), new_key("other-1").as_dict(private=False)])
    assert problem_of(ask(anna, anna.token())) == "invalid-token"


def test_an_issuers_configuration_that_is_another_issuers_is_refused(anna, ask):
    anna.publish(issuer="https://evil.example")
    assert problem_of(ask(anna, anna.token())) == "invalid-token"


@pytest.mark.parametrize(
    "webid", ["http://localhost:8080/kari/profile/card#me", "HTTP://LOCALHOST:8080/kari/profile/card#me"]
)
def test_no_other_issuer_speaks_for_a_webid_of_this_host(town, anna, ask, webid):
    """Whoever may write the card (an app, say) must not come to name an issuer of their own in it."""
    card = f"<{webid}> <http://www.w3.org/ns/solid/terms#oidcIssuer> <{ISSUER}> ."
    town.elsewhere.put(webid.partition("#")[0], card, "text/turtle")
    answer = ask(anna, anna.token(webid=webid, sub=webid))
    assert problem_of(answer) == "invalid-token"
    assert town.elsewhere.asked == []


def test_an_id_token_opens_no_pod(town, kari, app, ask):
    members = app.let_in(kari)
    assert ask(app, members["access_token"]).status_code == 200
    assert problem_of(ask(app, members["id_token"])) == "invalid-token"


def test_a_partners_token_opens_no_pod(town, ask):
    partner = PartnerClient(town.host)
    assert problem_of(ask(partner, partner.own_token(), without=())) == "invalid-token"


def test_an_apps_token_opens_no_bridge(town, kari, app):
    partner = PartnerClient(town.host, name="Annen AS")
    token = app.let_in(kari)["access_token"]
    address = f"{town.host.base_url}/bridge/probe"
    assert partner.client.get("/bridge/probe", headers=app.authorised("GET", address, token)).status_code == 401


def test_an_apps_token_is_good_with_its_own_key_alone(town, kari, app, ask):
    thief = SolidApp(town.host, client=town.stranger())
    assert problem_of(ask(thief, app.let_in(kari)["access_token"])) == "invalid-dpop-proof"


@pytest.mark.parametrize(
    "options",
    [
        {"htu": "http://localhost:8080/ola/profile/card"}, {"htu": "https://localhost:8080/kari/profile/card"},
        {"htu": "http://localhost/kari/profile/card"}, {"htm": "PUT"}, {"iat": 0}, {"iat": 9999999999},
        {"ath": "A" * 43, "without": ()}, {"header": {"typ": "JWT"}}, {"header": {"alg": "none"}},
    ],
)  # fmt: skip
def test_a_proof_of_something_else_is_none(kari, app, ask, options):
    assert problem_of(ask(app, app.let_in(kari)["access_token"], **options)) == "invalid-dpop-proof"


def test_a_proof_that_names_its_token_is_held_to_it(kari, app, ask):
    token = app.let_in(kari)["access_token"]
    assert ask(app, token, without=()).status_code == 200


def test_a_proof_is_good_once_whichever_worker_it_reaches(town, kari, app):
    """Two workers: two hosts, each with its own connection to the shared store of what was seen."""
    token = app.let_in(kari)["access_token"]
    path = town.host.data_folder / "run" / "replay-of-the-test.sqlite"
    assert path.is_file()
    second = house(replace(town.host, replay=ReplayStore(path, town.host.clock))).test_client()
    headers = app.authorised("GET", f"{town.host.base_url}/kari/", token)
    assert town.stranger().get("/kari/", headers=headers).status_code == 200
    again = second.get("/kari/", headers=headers)
    assert problem_of(again) == "invalid-dpop-proof"


def test_cookies_open_no_pod_even_beside_an_ended_app(town, kari, app):
    """A signed-in browser without a token is a stranger at the pods' door."""
    assert kari.get("/kari/").status_code == 401

"""T7 at the pods' door, the rest of issue 3's list: proofs' addresses, times and keys; floods of keys; huge tokens."""

from __future__ import annotations

import json

import pytest
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from oauth_client import new_key
from other_issuer import ISSUER, OtherIssuer
from solid_app import SolidApp, make_town

ADDRESS = "http://localhost:8080/kari/profile/card"


@pytest.fixture
def town(city):
    return make_town(city)


@pytest.fixture
def anna(town):
    town.citizen("kari")
    issuer = OtherIssuer(town.host, elsewhere=town.elsewhere)
    issuer.publish()
    return issuer


@pytest.fixture
def ask(town, anna):
    """What the pods' door answers to Anna's token with this proof: its status and the problem's slug."""
    client = town.stranger()

    def ask(token=None, path="/kari/profile/card", **options):
        options = {"without": ("ath",)} | options
        headers = anna.authorised("GET", f"{town.host.base_url}/kari/profile/card", token or anna.token(), **options)
        answer = client.get(path, headers=headers)
        return answer.status_code, (answer.json or {}).get("type", "").rpartition("/")[2] if answer.is_json else ""

    return ask


REFUSED = (401, "invalid-dpop-proof")


def test_rfc_9449_section_4_3_the_address_is_compared_after_normalisation(ask):
    """RFC 3986, sections 6.2.2 and 6.2.3: another spelling of the same address is the same, another address is not."""
    same = [
        ADDRESS, "HTTP://LOCALHOST:8080/kari/profile/card", f"{ADDRESS}?a=b", f"{ADDRESS}#me", f"{ADDRESS}?#",
        "http://localhost:8080/kari/profile/c%61rd", "http://localhost:8080/kari/%70rofile/card", "http://localhost:8080/kari/profile%2Fcard",
    ]  # fmt: skip
    others = [
        "http://localhost:8080/kari/profile/card/", "http://localhost:8080/kari/profile//card", "http://localhost:8080/KARI/profile/card",
        "http://localhost:8080/kari/x/../profile/card", "http://localhost/kari/profile/card",
        "https://localhost:8080/kari/profile/card", "http://localhost:8081/kari/profile/card", "http://127.0.0.1:8080/kari/profile/card",
        "http://localhost.:8080/kari/profile/card", "http://localhost:8080@evil.example/kari/profile/card", "/kari/profile/card",
        "http://localhost:8080", "http://localhost:99999/kari/profile/card", "http://[::1/kari/profile/card", "", 7, None, ["x"],
        "http://localhost:8080/kari/profile/card\x00", "http://localhost:8080/ola/profile/card",
    ]  # fmt: skip
    assert [htu for htu in same if ask(htu=htu)[0] != 200] == []
    assert [htu for htu in others if ask(htu=htu) != REFUSED] == []


def test_rfc_9449_section_4_3_the_method_is_matched_letter_by_letter(ask):
    assert [htm for htm in ("get", "HEAD", "POST", "", None, 7, ["GET"], "GET ") if ask(htm=htm) != REFUSED] == []


def test_rfc_9449_section_11_1_a_clock_may_run_ten_seconds_ahead_and_a_proof_be_a_minute_old(town, ask):
    now = int(town.host.clock.protocol_now().timestamp())
    town.city.clock.at = town.city.clock.at.replace(second=0, minute=30)
    now = int(town.host.clock.protocol_now().timestamp())
    assert ask(iat=now + 10)[0] == 200
    assert ask(iat=now - 60)[0] == 200
    wrong = (now + 11, now - 61, now - 3600, 0, -1, 1e300, float(now) + 1e6, str(now), True, None, [now])
    assert [iat for iat in wrong if ask(iat=iat) != REFUSED] == []


def test_rfc_9449_section_4_3_jti_is_there_and_new(ask):
    assert ask(jti="12345678901")[0] == 200
    assert [
        jti for jti in ("12345678901", "", "short", "x" * 201, 7, None, ["12345678"]) if ask(jti=jti) != REFUSED
    ] == []


def test_rfc_9449_section_4_2_ath_is_held_to_where_it_comes(ask):
    wrong = ("", "A" * 43, 7, None, ["A" * 43])
    assert [ath for ath in wrong if ask(ath=ath, without=()) != REFUSED] == []


KEYS = {
    "symmetric": lambda: OctKey.generate_key(256).as_dict(),
    "P-384": lambda: ECKey.generate_key("P-384").as_dict(private=False),
    "secp256k1": lambda: ECKey.generate_key("secp256k1").as_dict(private=False),
    "RSA": lambda: RSAKey.generate_key(2048).as_dict(private=False),
    "Ed448": lambda: OKPKey.generate_key("Ed448").as_dict(private=False),
    "X25519": lambda: OKPKey.generate_key("X25519").as_dict(private=False),
}


@pytest.mark.parametrize("name", KEYS)
def test_rfc_9449_section_4_2_a_proofs_key_is_public_and_of_a_kind_that_fits_its_algorithm(ask, name):
    assert ask(header={"jwk": KEYS[name]()}) == REFUSED


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "ES384", "ES512", "es256", "", None, 7])
def test_rfc_9449_section_4_2_a_proofs_algorithm_is_one_of_a_closed_list(town, anna, algorithm):
    """The header is changed after signing: an algorithm off the list is refused before any key is looked at."""
    import base64

    head, _, rest = anna.proof("GET", ADDRESS).partition(".")
    header = json.loads(base64.urlsafe_b64decode(head + "==")) | {"alg": algorithm}
    forged = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    sent = {"Authorization": f"DPoP {anna.token()}", "DPoP": f"{forged}.{rest}"}
    answer = town.stranger().get("/kari/profile/card", headers=sent)
    assert answer.status_code == 401
    assert answer.json["type"].endswith("/invalid-dpop-proof")


def test_rfc_9449_section_4_3_a_proof_with_a_private_key_is_refused(anna, ask):
    private = anna.proof_key.as_dict(private=True)
    assert ask(header={"jwk": private}) == REFUSED
    assert ask(header={"jwk": anna.proof_key.as_dict(private=False) | {"k": "AAAA"}}) == REFUSED


def test_a_proof_names_its_key_in_no_other_way(ask):
    for named in (
        {"jwk": None, "kid": "other-1"},
        {"jwk": None, "jku": "https://evil.example/keys"},
        {"jwk": "x"},
        {"jwk": []},
    ):
        assert ask(header=named) == REFUSED, named
    assert ask(header={"crit": ["b64"], "b64": False}) == REFUSED


def test_rfc_9449_section_4_3_two_proofs_are_none(town, anna):
    headers = anna.authorised("GET", ADDRESS, anna.token(), without=("ath",))
    second = anna.proof("GET", ADDRESS)
    both = [("Authorization", headers["Authorization"]), ("DPoP", headers["DPoP"]), ("DPoP", second)]
    assert town.stranger().get("/kari/profile/card", headers=both).status_code == 401


def test_rfc_6750_section_2_a_token_travels_in_one_header_alone(town, anna):
    token = anna.token()
    client = town.stranger()
    proof = {"DPoP": anna.proof("GET", ADDRESS)}
    assert client.get("/kari/profile/card", headers={"Authorization": f"Bearer {token}"} | proof).status_code == 401
    twice = [("Authorization", f"DPoP {token}"), ("Authorization", f"DPoP {token}"), *proof.items()]
    assert client.get("/kari/profile/card", headers=twice).status_code == 401
    assert client.get(f"/kari/?access_token={token}").status_code == 401


@pytest.mark.parametrize("size", [9_000, 100_000])
def test_huge_tokens_and_proofs_are_refused_unread(town, anna, size):
    client = town.stranger()
    huge = anna.token(padding="x" * size)
    for authorization, proof in (
        (huge, anna.proof("GET", ADDRESS)),
        (anna.token(), "x." * size),
        (anna.token(), "x" * size),
    ):
        answer = client.get("/kari/profile/card", headers={"Authorization": f"DPoP {authorization}", "DPoP": proof})
        assert answer.status_code == 401
        assert len(answer.data) < 2_000
    assert town.elsewhere.asked == []


def test_a_flood_of_unknown_key_names_asks_the_issuer_twice(town, anna, ask):
    """Each token names another key; its signer may bring as many as it likes."""
    assert ask()[0] == 200
    before = len(town.elsewhere.asked)
    for number in range(60):
        assert ask(anna.token(key=new_key(f"k-{number}"), header={"kid": f"k-{number}"})) == (401, "invalid-token")
    asked = town.elsewhere.asked[before:]
    assert asked.count(f"{ISSUER}/keys") <= 1, asked
    assert ask()[0] == 200, "and the good key still counts"


def test_a_flood_of_issuers_and_webids_is_kept_within_limits(town, anna, ask):
    for number in range(40):
        ask(anna.token(webid=f"https://pods.example/{number}/card#me"))
        ask(anna.token(iss=f"https://login-{number}.example"))
    assert len(town.host.lookups) <= 1000
    assert ask()[0] == 200


@pytest.mark.parametrize(
    "jwks",
    [
        {"keys": "x"},
        {"keys": [7, None, "x"]},
        {"keys": [{}] * 51},
        {},
        {"keys": [{"kty": "EC", "crv": "P-256", "kid": "other-1"}]},
    ],
)
def test_an_issuers_broken_key_set_lets_nobody_in(town, anna, ask, jwks):
    town.elsewhere.put(f"{ISSUER}/keys", jwks)
    assert ask() == (401, "invalid-token")


def test_a_token_for_two_purposes_opens_neither_door(town, anna):
    """A token of ours with a grant and a WebID is nobody's: each door refuses it."""
    from pod_server import signing_keys
    from pod_server.signatures import sign_jws

    app = SolidApp(town.host, client=town.stranger())
    now = int(town.host.clock.protocol_now().timestamp())
    for audience in ("solid", f"{town.host.base_url}/bridge"):
        claims = {
            "iss": town.host.base_url, "aud": audience, "sub": "x", "client_id": "c", "iat": now, "exp": now + 60,
            "jti": "12345678", "cnf": {"jkt": app.thumbprint}, "webid": f"{town.host.base_url}/kari/profile/card#me",
            "grant": "g-1",
        }  # fmt: skip
        token = sign_jws(signing_keys.current(town.host), claims, typ="at+jwt")
        assert app.use("GET", "/kari/", token).status_code == 401
        assert json.loads(app.use("GET", "/kari/", token).text)["status"] == 401

"""OpenID Connect Core 1.0, section 3.1, this host as the client, in ID-porten's profile; against a provider on a socket."""

from __future__ import annotations

import json
import logging
import sqlite3
from dataclasses import replace
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from id_provider import PID
from provider_house import Visitor
from solid_app import house

from pod_server.authentication.session import FRESH, cookie_settings, create_session
from pod_server.lookups import Lookups
from pod_server.sign_in.providers import add_provider, list_providers, remove_provider
from tvilling.cli import main

HTML = {"Accept": "text/html"}


def test_a_linked_citizen_signs_in(kari, stranger):
    assert kari.link().headers["Location"] == "/-/security?done=linked#providers"
    back = stranger.go()
    assert back.status_code == 303, back.text
    assert back.headers["Location"] == "/-/my-data"
    assert stranger.is_signed_in()
    assert "annen innlogging" in stranger.client.get("/-/security", headers=HTML).text


def test_the_request_is_pushed_with_everything_id_porten_asks_for(kari, provider):
    kari.leave()
    (pushed,) = [form for what, form in provider.seen if what == "par"]
    assert pushed["response_type"] == "code"
    assert pushed["scope"] == "openid profile"
    assert pushed["acr_values"] == "idporten-loa-high"
    assert pushed["ui_locales"] == "nb"
    assert pushed["code_challenge_method"] == "S256"
    assert len(pushed["state"]) >= 43
    assert len(pushed["nonce"]) >= 43
    assert pushed["redirect_uri"].endswith("/-/sign-in/with/id-porten/back")
    assert pushed["client_assertion_type"].endswith("jwt-bearer")
    assert "client_secret" not in pushed


def test_the_browser_carries_the_pushed_requests_name_alone(kari):
    query = parse_qs(urlsplit(kari.leave()).query)
    assert query.keys() == {"client_id", "request_uri"}


def test_where_nothing_is_pushed_the_browser_carries_the_request(stranger, kari, provider):
    provider.wrong["configuration"] = {"pushed_authorization_request_endpoint": None}
    kari.link()
    query = parse_qs(urlsplit(stranger.leave()).query)
    assert {"state", "nonce", "code_challenge"} <= query.keys()
    assert stranger.go().headers["Location"] == "/-/my-data"


def test_another_provider_with_a_client_secret_works_too(host, provider, kari, stranger):
    add_provider(host, "other", name="Annen", issuer=provider.issuer, client_id="client-2", secret="s3cret/+")
    from urllib.parse import quote_plus

    provider.secret = quote_plus("s3cret/+")
    assert kari.link("other").headers["Location"].startswith("/-/security?done=linked")
    assert stranger.go("other").headers["Location"] == "/-/my-data"


def test_who_is_not_linked_is_told_so(stranger):
    back = stranger.go()
    assert back.status_code == 403
    assert "ingen pod her er koblet" in back.text
    assert not stranger.is_signed_in()


def test_a_locked_pod_stays_shut_and_the_page_says_what_opens_it(host, kari, stranger):
    kari.link()
    host.key_store.remove_slot(kari.pod.pod_id, "custodian")
    back = stranger.go()
    assert back.status_code == 403
    assert "poden din er låst" in back.text
    assert "passordet" in back.text
    assert not stranger.is_signed_in()


def test_a_link_is_ended_by_its_citizen(kari, stranger):
    kari.link()
    ended = kari.client.post("/-/sign-in/with/id-porten/unlink", data={"csrf": kari.csrf()})
    assert ended.status_code == 303
    assert stranger.go().status_code == 403


def test_an_identity_opens_one_pod(app, host, city, kari):
    kari.link()
    ola = Visitor(app, host)
    made = city.citizen("ola", name="Ola")
    ola.client.set_cookie(cookie_settings(host).key, create_session(host, made.pod_id, made.vault))
    assert "en annen pod" in ola.link().text


def test_a_second_identity_takes_the_firsts_place(provider, kari, stranger):
    kari.link()
    provider.person["pid"] = "12057900423"
    kari.link()
    assert stranger.go().status_code == 303
    provider.person["pid"] = PID
    assert stranger.go().status_code == 403


def test_linking_needs_a_fresh_sign_in_and_a_new_one_there(city, provider, kari):
    kari.link_address()
    (pushed,) = [form for what, form in provider.seen if what == "par"]
    assert pushed["prompt"] == "login"
    csrf = kari.csrf()
    city.clock.advance(FRESH + timedelta(seconds=1))
    late = kari.client.post("/-/sign-in/with/id-porten/link", data={"csrf": csrf})
    assert late.status_code == 403
    assert late.json["type"].endswith("/sign-in-too-old")


def test_an_old_session_there_links_nobody(provider, kari):
    provider.wrong["claims"] = {"auth_time": provider.now() - 3600}
    assert "ble ikke godtatt" in kari.link().text


def test_breaking_off_there_is_told_and_changes_nothing(provider, kari, stranger):
    kari.link()
    provider.wrong["refuses"] = True
    back = stranger.go()
    assert back.status_code == 403
    assert "ble avbrutt" in back.text
    assert PID not in back.text


def test_signing_out_leads_on_to_signing_out_there(provider, kari, stranger):
    """RP-Initiated Logout 1.0, section 2."""
    kari.link()
    stranger.go()
    csrf = stranger.csrf()
    left = stranger.client.post("/-/sign-out", data={"csrf": csrf}, headers=HTML)
    assert left.status_code == 200
    assert not stranger.is_signed_in()
    address = left.text.partition('class="ds-button" href="')[2].partition('"')[0].replace("&amp;", "&")
    query = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    assert address.startswith(f"{provider.issuer}/logout?")
    assert query["post_logout_redirect_uri"] == "http://localhost:8080/-/"
    assert query["id_token_hint"].count(".") == 2


def test_signing_out_of_a_session_of_ones_own_leads_nowhere_else(kari):
    left = kari.client.post("/-/sign-out", data={"csrf": kari.csrf()}, headers=HTML)
    assert left.headers["Location"] == "/-/"


def test_the_provider_ends_sessions_by_itself(provider, kari, stranger):
    """Back-Channel Logout 1.0, section 2.6."""
    kari.link()
    stranger.go()
    token = provider.logout_token("client-1")
    told = stranger.app.test_client().post("/-/sign-in/with/id-porten/signed-out-there", data={"logout_token": token})
    assert told.status_code == 200, told.text
    assert not stranger.is_signed_in()
    assert kari.is_signed_in()


NO_LOGOUT = [
    {"events": None}, {"events": {}}, {"events": {"http://schemas.openid.net/event/backchannel-logout": 1}},
    {"nonce": "n"}, {"iss": "https://evil.example"}, {"aud": "other"}, {"sid": None}, {"sid": 7}, {"jti": None},
    {"iat": 1}, {"iat": None},
]  # fmt: skip


def test_a_logout_token_that_does_not_hold_ends_nothing(provider, kari, stranger):
    kari.link()
    stranger.go()
    for changes in NO_LOGOUT:
        token = provider.logout_token("client-1", **changes)
        door = stranger.app.test_client()
        told = door.post("/-/sign-in/with/id-porten/signed-out-there", data={"logout_token": token})
        assert told.status_code == 403, changes
    assert stranger.is_signed_in()


def test_a_logout_token_is_good_once_and_an_id_token_is_none(provider, kari, stranger):
    kari.link()
    token = provider.logout_token("client-1")
    door = stranger.app.test_client()
    address = "/-/sign-in/with/id-porten/signed-out-there"
    assert door.post(address, data={"logout_token": token}).status_code == 200
    assert door.post(address, data={"logout_token": token}).status_code == 403
    stranger.go()
    id_token = provider.sign(provider.claims({"client_id": "client-1", "nonce": "n"}))
    assert door.post(address, data={"logout_token": id_token}).status_code == 403
    assert stranger.is_signed_in()


def test_the_provider_ends_sessions_through_the_browser(provider, kari, stranger):
    """Front-Channel Logout 1.0, section 2: only the provider may frame the answer."""
    kari.link()
    stranger.go()
    door = stranger.app.test_client()
    address = "/-/sign-in/signed-out-there"
    door.get(address, query_string={"iss": "https://evil.example", "sid": "sid-1"})
    door.get(address, query_string={"iss": provider.issuer, "sid": "sid-2"})
    assert stranger.is_signed_in()
    answer = door.get(address, query_string={"iss": provider.issuer, "sid": "sid-1"})
    assert answer.headers["Content-Security-Policy"].endswith(f"frame-ancestors {provider.issuer}")
    assert not stranger.is_signed_in()


def test_a_national_number_is_kept_nowhere_and_told_to_nobody(host, provider, kari, stranger, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    kari.link()
    provider.wrong["refuses"] = True
    told = [stranger.go().text]
    provider.wrong.clear()
    stranger.go()
    told += [stranger.client.get(page, headers=HTML).text for page in ("/-/security", "/-/log", "/-/log.json")]
    written = capfd.readouterr()
    of_the_test = ("werkzeug", "httpx", "httpcore")  # its browser and its provider
    records = [each for each in caplog.records if not each.name.startswith(of_the_test)]
    told += [written.out, written.err, *(each.getMessage() for each in records)]
    assert not any(PID in text for text in told)
    files = [path for path in host.data_folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    for path in files:
        content = path.read_bytes()
        assert PID.encode() not in content, path


def test_a_hash_of_every_number_tells_nothing_without_the_host_key(host, kari):
    """Ten billion numbers are soon tried: what is kept must need a key that the database does not hold."""
    import hashlib

    kari.link()
    with host.storage.read() as tx:
        (kept,) = tx.one("SELECT subject_hash FROM upstream_link", ())
    texts = [PID, f"pid\x00{PID}", f"{list_providers(host)[0].issuer}\x00pid\x00{PID}"]
    assert kept not in {hashlib.sha256(text.encode()).hexdigest() for text in texts}


def test_a_row_moved_to_another_pod_signs_nobody_in(host, city, kari, stranger):
    kari.link()
    ola = city.citizen("ola")
    with host.storage.write() as tx:
        tx.execute("UPDATE upstream_link SET pod_id = ?", (ola.pod_id,))
    assert stranger.go().status_code == 500
    assert not stranger.is_signed_in()


def test_the_operators_commands(tmp_path):
    def run(*arguments, code=0):
        done = CliRunner().invoke(main, ["sign-in", *arguments, "--data", str(tmp_path / "data"), "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.output) if code == 0 else done.output

    described = (
        "add", "id-porten", "--name", "ID-porten", "--issuer", "https://test.idporten.no", "--client-id", "abc",
        "--subject-claim", "pid", "--level", "idporten-loa-high", "--scope", "profile",
    )  # fmt: skip
    made = run(*described)
    assert made["token_endpoint_auth_method"] == "private_key_jwt"
    (key,) = made["jwks"]["keys"]
    assert key["kty"] == "RSA"
    assert "d" not in key
    assert made["redirect_uri"] == "http://localhost:8080/-/sign-in/with/id-porten/back"
    assert run(*described)["jwks"] == made["jwks"], "the provider knows this key already"
    assert [each["provider"] for each in run("list")] == ["id-porten"]
    assert run("remove", "id-porten") == {"provider": "id-porten", "links_ended": 0}
    assert run("list") == []
    run("remove", "id-porten", code=1)
    secret = tmp_path / "secret"
    secret.write_text("hemmelig-og-lang\n")
    other = run(
        "add",
        "x",
        "--name",
        "X",
        "--issuer",
        "https://x.example",
        "--client-id",
        "c",
        "--client-secret-file",
        str(secret),
    )
    assert other["token_endpoint_auth_method"] == "client_secret_basic"
    assert "hemmelig" not in json.dumps(other)
    database = sqlite3.connect(tmp_path / "data" / "tvilling.sqlite")
    assert "hemmelig" not in str(database.execute("SELECT * FROM upstream_provider").fetchall())
    database.close()


NO_PROVIDERS = [
    {"slug": "ID"}, {"slug": ""}, {"slug": "../x"}, {"name": ""}, {"name": "x" * 41}, {"name": "a\nb"},
    {"issuer": "ftp://x"}, {"issuer": "https://x.example?y"}, {"issuer": "x"}, {"client_id": ""},
    {"client_id": "a b"}, {"subject_claim": "a b"}, {"levels": ("a b",)}, {"scopes": ("",)}, {"secret": "a\nb"},
]  # fmt: skip


def test_a_description_that_does_not_hold_is_refused(city):
    from pod_server.sign_in.errors import ProviderInvalid

    for change in NO_PROVIDERS:
        given = {"slug": "x", "name": "X", "issuer": "https://x.example", "client_id": "c"} | change
        with pytest.raises(ProviderInvalid):
            add_provider(city.host, given.pop("slug"), **given)
    assert list_providers(city.host) == []


def test_removing_a_provider_ends_its_links(host, kari, stranger):
    kari.link()
    assert remove_provider(host, "id-porten") == 1
    assert stranger.client.get("/-/sign-in/with/id-porten").status_code == 404
    assert "ID-porten" not in stranger.client.get("/-/sign-in", headers=HTML).text


def test_two_workers_share_what_was_answered(app, host, kari, stranger):
    """The same answer, brought to another worker (another host object on the same store), counts once."""
    kari.link()
    address = stranger.at_the_provider(stranger.leave())
    other = house(replace(host, lookups=Lookups())).test_client()
    cookie = stranger.client.get_cookie("tvilling-provider")
    other.set_cookie("tvilling-provider", cookie.value)
    assert stranger.client.get(address, headers=HTML).status_code == 303
    assert other.get(address, headers=HTML).status_code == 403

"""The channel of sources that a citizen signs in to, from the button on the page to the figure, and all that goes wrong."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from bank_house import HTML, bank_house
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from partner_bridge import merging, pulling, token_vault
from partner_bridge.channels import oauth_pull
from partner_bridge.errors import SourceInvalid
from partner_bridge.sources import add_source
from pod_server import activities, grants, pulls, resealing, signing_keys
from pod_server.authorization.enforcement import require_owner
from pod_server.identifiers import Actor
from pod_server.opening import custodian_vault, open_pod
from pod_server.pods import lock_pod
from pod_server.vault.envelope import Scope
from pod_server.vault.key_derivation import Argon2Cost, Passphrase

CHEAP = Argon2Cost(64, 1, 1)


def payments(opened):
    own = open_pod(opened.host, require_owner(opened.kari.vault), vault=opened.kari.vault)
    return [each for each in activities.read_activities(opened.host, own) if each.kind == "payment"]


def held(opened):
    return pulling.connections(opened.host, opened.kari.pod_id)["bank"]


def tokens(opened):
    return token_vault.read(custodian_vault(opened.host, opened.kari.pod_id), held(opened)).tokens


def pull(opened):
    (done,) = pulling.pull_due(opened.host)
    return done


def test_a_citizen_connects_their_bank_and_its_payments_come(opened):
    assert "Not connected" in opened.page()
    answer = opened.connect()
    assert (answer.status_code, answer.headers["Location"]) == (303, "/-/sources?done=connected")
    done = pull(opened)
    assert not done.problem
    assert done.accepted == len(payments(opened)) > 20
    page = opened.page()
    assert "Connected" in page
    assert f"{done.accepted} new" in page
    assert "SpareBank 1 SMN" in opened.browser.get("/-/my-data", headers=HTML).text


def test_what_was_read_is_asked_again_only_where_banks_book_late(opened):
    opened.connect()
    first = pull(opened)
    opened.pass_time(hours=6)
    asked = len(opened.bank.asked)
    again = pull(opened)
    assert again.seen < first.seen
    assert not again.problem
    assert len(opened.bank.asked) - asked == 4, "metadata, a new access token, accounts, one window"
    opened.pass_time(days=2)
    later = pull(opened)
    assert later.accepted == len(payments(opened)) - first.accepted - again.accepted


def test_nothing_is_asked_before_it_is_due_unless_the_citizen_asks(opened):
    opened.connect()
    pull(opened)
    assert pulling.pull_due(opened.host) == []
    assert opened.press("pull").status_code == 303
    assert not pull(opened).problem


@pytest.mark.parametrize(
    ("fault", "problem"), [("5xx", "unreachable"), ("half-answer", "unreachable"), ("nonsense", "unreadable")]
)
def test_a_sick_source_is_asked_again_after_ever_longer_pauses_and_nothing_is_lost(opened, fault, problem):
    opened.connect()
    opened.bank.faults.turn(fault, "3")
    pauses = []
    for _ in range(3):
        assert pull(opened).problem == problem
        pauses.append(held(opened).next_at - opened.host.clock.protocol_now())
        assert pulling.pull_due(opened.host) == []
        opened.pass_time(seconds=pauses[-1].total_seconds())
    assert pauses[0] < pauses[1] < pauses[2]
    done = pull(opened)
    assert not done.problem
    assert held(opened).failures == 0


def test_retry_after_is_honoured_and_nobody_hurries_it(opened):
    opened.connect()
    opened.bank.faults.turn("429", "1")
    assert pull(opened).problem == "busy"
    assert "asks us to wait" in opened.page()
    opened.press("pull")
    opened.pass_time(seconds=29)
    assert pulling.pull_due(opened.host) == []
    opened.pass_time(seconds=1)
    assert not pull(opened).problem


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("120", 120),
        ("", 60),
        ("soon", 60),
        ("-5", 60),
        ("0", 1),
        ("999999", 86400),
        ("Mon, 23 Nov 2026 12:02:00 GMT", 120),
    ],
)
def test_every_form_of_retry_after_is_read_within_bounds(host, text, seconds):
    assert oauth_pull.retry_after(text, host.clock.protocol_now()) == timedelta(seconds=seconds)


def test_a_pull_that_breaks_off_goes_on_where_it_stopped(opened):
    opened.connect()
    original = opened.bank.answer
    windows = []

    def breaking(method, path, query, headers, form):
        if "fromDate" in query:
            windows.append(query["fromDate"])
            if len(windows) == 4:
                opened.bank.faults.turn("half-answer", "1")
        return original(method, path, query, headers, form)

    opened.bank.answer = breaking
    broken = pull(opened)
    assert broken.problem == "unreachable"
    assert broken.accepted > 0
    opened.pass_time(seconds=20)
    rest = pull(opened)
    assert not rest.problem
    assert windows.index(windows[3]) == 3
    assert windows[4] > windows[0], "the year is not read from its beginning again"
    assert broken.accepted + rest.accepted == len(payments(opened))


def test_an_access_token_that_ends_early_is_renewed_once_and_the_new_tokens_are_durable(opened):
    opened.connect()
    pull(opened)
    before = tokens(opened)
    opened.pass_time(hours=6)
    opened.bank.faults.turn("key-rotation", "1")
    assert not pull(opened).problem
    after = tokens(opened)
    assert after.refresh != before.refresh
    assert after.access != before.access


def test_new_tokens_are_durable_before_they_are_shown(opened, monkeypatch):
    """Killed right after the source replaced the refresh token: the next pull goes on with the new one."""
    opened.connect()
    opened.pass_time(hours=1)
    asked = []

    def killed(*arguments):
        asked.append(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(oauth_pull, "get", killed)
    with pytest.raises(KeyboardInterrupt):
        pulling.pull_due(opened.host)
    monkeypatch.undo()
    assert asked
    opened.pass_time(minutes=2)
    assert not pull(opened).problem, "the old refresh token, shown twice, would have ended everything"


def test_a_source_that_wants_its_citizen_again_waits_for_them(opened):
    opened.connect()
    pull(opened)
    opened.bank.sign_in.end_everything()
    opened.pass_time(hours=6)
    assert pull(opened).problem == "sign-in-again"
    page = opened.page()
    assert "sign in again" in page
    assert 'action="/-/sources/bank/connect"' in page
    seen = len(payments(opened))
    opened.connect()
    assert not pull(opened).problem
    assert len(payments(opened)) >= seen
    assert len(grants.list_grants(opened.host, opened.kari.pod_id)) == 1, "the same consent goes on"


def test_a_withdrawal_ends_pulls_and_tokens_at_once(opened):
    opened.connect()
    pull(opened)
    grant = held(opened).grant
    grants.withdraw(opened.host, opened.kari.pod_id, grant, actor=Actor("citizen"))
    assert pulling.connections(opened.host, opened.kari.pod_id) == {}
    opened.pass_time(days=30)
    assert pulling.pull_due(opened.host) == []


def test_a_withdrawal_in_the_middle_of_a_pull_lets_nothing_more_in(opened):
    opened.connect()
    original, came = opened.bank.answer, []

    def withdrawing(method, path, query, headers, form):
        if "fromDate" in query:
            came.append(len(payments(opened)))
            if len(came) == 3:
                grants.withdraw(opened.host, opened.kari.pod_id, held(opened).grant, actor=Actor("citizen"))
        return original(method, path, query, headers, form)

    opened.bank.answer = withdrawing
    done = pull(opened)
    assert done.ended
    assert len(came) == 3, "the bank is not asked again"
    assert len(payments(opened)) == came[2]


def test_disconnecting_withdraws_and_tells_the_source(opened):
    opened.connect()
    assert opened.bank.sign_in.living() == 1
    assert opened.press("disconnect").status_code == 303
    assert opened.bank.sign_in.living() == 0
    assert "Not connected" in opened.page()


def test_a_paused_consent_is_not_asked_for_and_goes_on_afterwards(opened):
    opened.connect()
    pull(opened)
    grants.pause(opened.host, opened.kari.pod_id, held(opened).grant, actor=Actor("citizen"))
    opened.pass_time(hours=7)
    asked = len(opened.bank.asked)
    assert pull(opened).problem == "paused"
    assert len(opened.bank.asked) == asked
    grants.resume(opened.host, opened.kari.pod_id, held(opened).grant, actor=Actor("citizen"))
    opened.press("pull")
    assert not pull(opened).problem


def test_two_workers_do_not_pull_the_same(opened):
    opened.connect()
    original, second = opened.bank.answer, []

    def looking(*asked):
        second.append(pulling.pull_due(opened.host))
        return original(*asked)

    opened.bank.answer = looking
    assert not pull(opened).problem
    assert second
    assert not any(second)


def test_whom_money_goes_to_and_what_comes_in_stay_at_the_bank(opened):
    opened.connect()
    pull(opened)
    everything = b"\n".join(each.raw for each in payments(opened))
    for secret in (b"Per Hansen", b"12341212345", b"Vipps", "LØNN".encode(), b"31250"):
        assert secret not in everything
    assert b"ESPRESSO HOUSE" in everything


def test_erasing_the_consent_erases_the_connection(opened):
    opened.connect()
    pull(opened)
    grants.erase(opened.host, opened.kari.pod_id, held(opened).grant, actor=Actor("citizen"))
    with opened.host.storage.read() as tx:
        assert pulls.pulls_of(tx, opened.kari.pod_id) == []


def test_point_39_an_issuer_whose_metadata_is_anothers_is_not_asked(opened):
    opened.bank.sign_in.wrong["metadata"] = {"issuer": "https://other.example"}
    answer = opened.browser.post(
        "/-/sources/bank/connect", data={"csrf": opened.house.form_token(opened.browser)}, headers=HTML
    )
    assert answer.status_code == 502
    assert not any("authorize" in each for each in opened.bank.asked)


@pytest.mark.parametrize("issuer", ["https://other.example", ""])
def test_point_40_an_answer_of_another_issuer_is_refused_and_its_code_shown_to_nobody(opened, issuer):
    opened.bank.sign_in.wrong["iss"] = issuer
    answer = opened.connect()
    assert answer.status_code == 403
    assert not any("token" in each for each in opened.bank.asked)
    assert pulling.connections(opened.host, opened.kari.pod_id) == {}


def test_point_40_state_binds_the_answer_to_browser_session_and_moment(opened):
    address = opened.at_the_bank(opened.leave())
    ola = opened.house.city.citizen("ola")
    theirs = opened.house.browser(ola)
    assert theirs.get(address, headers=HTML).status_code == 403, "another browser"
    cookie = opened.browser.get_cookie("tvilling-source")
    theirs.set_cookie("tvilling-source", cookie.value)
    assert theirs.get(address, headers=HTML).status_code == 403, "the cookie carried to another session"
    assert opened.browser.get(address.replace("state=", "state=x"), headers=HTML).status_code == 403
    again = opened.at_the_bank(opened.leave())
    doubled = f"{again}&code=another"
    assert opened.browser.get(doubled, headers=HTML).status_code == 403, "a parameter twice"
    late = opened.at_the_bank(opened.leave())
    opened.pass_time(minutes=16)
    assert opened.browser.get(late, headers=HTML).status_code == 403, "too late"
    assert not any("token" in each for each in opened.bank.asked)


def test_an_answer_counts_once(opened):
    address = opened.at_the_bank(opened.leave())
    cookie = opened.browser.get_cookie("tvilling-source")
    assert opened.browser.get(address, headers=HTML).status_code == 303
    opened.browser.set_cookie("tvilling-source", cookie.value)
    assert opened.browser.get(address, headers=HTML).status_code == 403


def test_pkce_is_on(opened):
    address = opened.leave()
    query = httpx.URL(address).params
    assert query["code_challenge_method"] == "S256"
    assert query["finInst"] == "fid-smn"
    assert query["scope"] == "accounts transactions"
    assert "code_verifier" not in query


def test_saying_no_there_connects_nothing(opened):
    answer = opened.browser.get(opened.at_the_bank(opened.leave(), answer="no"), headers=HTML)
    assert answer.status_code == 403
    assert pulling.connections(opened.host, opened.kari.pod_id) == {}


def test_point_43_tokens_are_sealed_under_their_grant_and_never_written_in_plain(opened, caplog):
    caplog.set_level(logging.DEBUG)
    opened.connect()
    opened.pass_time(hours=1)
    pull(opened)
    kept, row = tokens(opened), held(opened)
    secrets = (kept.access, kept.refresh, "the-banks-own-secret-word")
    assert not any(secret in caplog.text for secret in secrets)
    assert not any(secret in repr((kept, row, opened.source)) for secret in secrets)
    vault = custodian_vault(opened.host, opened.kari.pod_id)
    sealed = vault.open(Scope("grant", row.grant, row.epoch), pulls.place(row.version), row.sealed)
    assert kept.refresh.encode() in sealed
    for path in opened.host.data_folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(secret.encode() in content for secret in secrets), path


def test_a_locked_pods_pull_waits_for_its_citizen_and_its_tokens_are_sealed_anew(opened):
    opened.connect()
    pull(opened)
    before = held(opened)
    locked = lock_pod(opened.host, opened.kari.vault, Passphrase("et langt passord"), cost=CHEAP)
    opened.kari = replace(opened.kari, vault=locked.vault)
    opened.browser = opened.house.browser(opened.kari)
    opened.pass_time(hours=7)
    assert pull(opened).problem == "locked"
    assert "Your pod is locked" in opened.page()
    resealing.reseal(opened.host, opened.kari.vault)
    assert held(opened).epoch > before.epoch
    accepted = len(payments(opened))
    opened.pass_time(days=3)
    opened.browser = opened.house.browser(opened.kari)
    assert opened.press("pull").status_code == 303
    merging.merge_waiting(opened.host, opened.kari.vault)
    assert held(opened).last_problem == ""
    assert len(payments(opened)) > accepted


# Signing in by a key


@pytest.fixture
def keyed(city):
    """A bank that knows this host by its published keys alone."""
    with bank_house(city, secret="", signs_in_with_key=True) as opened:
        opened.bank.sign_in.client_keys = lambda: opened.browser.get("/-/oauth/jwks").json
        yield opened


def test_a_bank_that_knows_the_hosts_key_needs_no_secret(keyed):
    assert keyed.connect().status_code == 303
    assert pull(keyed).accepted == len(payments(keyed)) > 20
    before = tokens(keyed)
    signing_keys.rotate(keyed.host)
    keyed.pass_time(hours=6)
    assert not pull(keyed).problem, "the access token had ended and the keys had changed: the bank looks them up"
    assert tokens(keyed).access != before.access
    keyed.press("disconnect")
    assert not any(family.live for family in keyed.bank.sign_in._families), "it was told that the tokens are not needed"


def test_an_assertion_is_for_one_source_for_a_minute_once_and_opens_no_door_of_the_house(keyed):
    first, second = (oauth_pull._assertion(keyed.host, keyed.source) for _ in range(2))
    keys = KeySet.import_key_set(keyed.browser.get("/-/oauth/jwks").json)
    claims = [jwt.decode(each, keys, algorithms=["ES256"]) for each in (first, second)]
    assert claims[0].header["typ"] == "client-authentication+jwt"
    assert claims[0].claims["jti"] != claims[1].claims["jti"]
    assert claims[0].claims["aud"] == keyed.source.issuer
    assert claims[0].claims["exp"] - claims[0].claims["iat"] == 60
    for scheme in ("DPoP", "Bearer"):
        refused = keyed.browser.post("/bridge/activities", headers={"Authorization": f"{scheme} {first}"})
        assert refused.status_code == 401


def test_another_key_than_the_banks_says_so_and_nothing_is_connected(keyed):
    other = ECKey.generate_key("P-256", {"kid": "1", "alg": "ES256", "use": "sig"})
    keyed.bank.sign_in.client_keys = lambda: {"keys": [other.as_dict(private=False)]}
    assert "done=connected" not in keyed.connect().headers.get("Location", "")
    assert pulling.connections(keyed.host, keyed.kari.pod_id) == {}


@pytest.mark.parametrize("wrong", [{"secret": "a-secret"}, {"secret_in_body": True}, {"channel": "token"}])
def test_a_key_and_a_secret_exclude_each_other(keyed, wrong):
    with pytest.raises(SourceInvalid, match="there is no secret then"):
        add_source(keyed.host, replace(keyed.source, **wrong))

"""The issuer's keys change: published before they sign, told for ever, gone at once where they are in other hands."""

from __future__ import annotations

import json
import threading
from datetime import timedelta

import pytest
from click.testing import CliRunner

from partner_bridge.receipts import RECEIPT_TYPE, ReceiptInvalid, verify_receipt
from pod_server import signing_keys
from pod_server.authorization_server.app_tokens import ID_TOKEN_LIFETIME
from pod_server.authorization_server.errors import TokenRefused
from pod_server.authorization_server.tokens import LIFETIME, SOLID_AUDIENCE, issue_access_token, read_access_token
from pod_server.signatures import SignatureInvalid, SigningKey, issuer_key, sign_jws
from pod_server.signing_keys import ES256, LONGEST_VALID, PUBLISHED_AHEAD, RS256, SigningKeys
from tvilling.cli import main
from twin_agent.act import CLAIM_VALID


def token(host):
    return issue_access_token(host, audience=SOLID_AUDIENCE, client_id="c", subject="s", jkt="j", claims={})


def another_worker(host):
    """The same host in a process that has read nothing yet."""
    from dataclasses import replace

    return replace(host, signing_keys=SigningKeys())


def kids(keys):
    return [key["kid"] for key in keys["keys"]]


def test_a_host_begins_with_the_key_that_follows_from_its_host_key(host):
    assert kids(signing_keys.published_jwks(host)) == [issuer_key(host.host_key).kid]
    assert signing_keys.current(host).kid == issuer_key(host.host_key).kid


def test_a_new_key_is_published_before_it_signs_and_the_old_one_after(city):
    host, first = city.host, issuer_key(city.host.host_key).kid
    (new,) = signing_keys.rotate(host)
    assert kids(signing_keys.published_jwks(host)) == [new.kid, first]
    assert signing_keys.current(host).kid == first
    city.clock.advance(PUBLISHED_AHEAD)
    assert signing_keys.current(host).kid == new.kid
    assert set(kids(signing_keys.published_jwks(host))) == {new.kid, first}
    city.clock.advance(LONGEST_VALID)
    assert kids(signing_keys.published_jwks(host)) == [new.kid]


def test_whatever_was_signed_before_holds_as_long_as_it_said(city):
    host = city.host
    old = token(host)
    signing_keys.rotate(host)
    city.clock.advance(PUBLISHED_AHEAD)
    older_key_newer_token = token(host)
    assert read_access_token(host, older_key_newer_token)["client_id"] == "c"
    with pytest.raises(TokenRefused, match="run out"):
        read_access_token(host, old)  # ten minutes are over; its key still counts
    assert max(LIFETIME, ID_TOKEN_LIFETIME, CLAIM_VALID) <= LONGEST_VALID


def test_a_token_signed_in_another_worker_with_a_key_nobody_here_has_read_is_taken(city):
    here, there = another_worker(city.host), another_worker(city.host)
    assert read_access_token(here, token(here))
    signing_keys.rotate(there, at_once=True)
    here.signing_keys._read_at -= 1.0  # a second later
    assert read_access_token(here, token(there))["client_id"] == "c"


def test_a_flood_of_unknown_keys_does_not_read_the_table_each_time(city, monkeypatch):
    host = another_worker(city.host)
    forged = sign_jws(SigningKey.generate(ES256), {"iss": host.base_url}, typ="at+jwt")
    reads = []
    read = signing_keys._read
    monkeypatch.setattr(signing_keys, "_read", lambda *arguments: reads.append(1) or read(*arguments))
    for _ in range(50):
        with pytest.raises(SignatureInvalid):
            signing_keys.verify(host, forged, typ="at+jwt")
    assert len(reads) <= 2


def test_a_key_in_other_hands_is_refused_everywhere_at_once(city):
    host = city.host
    stolen = signing_keys.current(host)
    held = token(host)
    receipt = sign_jws(stolen, {"items": 1}, typ=RECEIPT_TYPE)
    (new,) = signing_keys.rotate(host, compromised=True)
    with pytest.raises(TokenRefused):
        read_access_token(host, held)
    with pytest.raises(TokenRefused):
        read_access_token(host, sign_jws(stolen, {"iss": host.base_url}, typ="at+jwt"))
    assert kids(signing_keys.published_jwks(host)) == [new.kid]
    assert signing_keys.current(host).kid == new.kid
    history = signing_keys.historical_jwks(host)
    assert [key["kid"] for key in history["keys"] if "revoked" in key] == [stolen.kid]
    with pytest.raises(ReceiptInvalid):
        verify_receipt(receipt, history)


def test_receipts_signed_long_ago_verify_with_the_keys_the_issuer_still_tells(city):
    host = city.host
    receipt = sign_jws(signing_keys.current(host), {"items": 7}, typ=RECEIPT_TYPE)
    for _ in range(3):
        signing_keys.rotate(host)
        city.clock.advance(LONGEST_VALID + timedelta(days=365))
        signing_keys.keep_in_order(host)
    with pytest.raises(ReceiptInvalid):
        verify_receipt(receipt, signing_keys.published_jwks(host))
    assert verify_receipt(receipt, signing_keys.historical_jwks(host))["items"] == 7


def test_an_old_keys_private_part_is_destroyed(city):
    host = city.host
    first = signing_keys.current(host).kid
    signing_keys.rotate(host)
    city.clock.advance(PUBLISHED_AHEAD)
    signing_keys.keep_in_order(host)
    with host.storage.read() as tx:
        assert tx.one("SELECT sealed_private FROM signing_key WHERE kid = ?", (first,)) == ("",)


def test_a_clock_set_back_to_before_any_key_that_is_left_leaves_one_that_signs(city):
    """Found by tests/faults: after a rotation and a clock set back nothing could be signed, and every merge failed."""
    host = city.host
    signing_keys.rotate(host, at_once=True, compromised=True)
    city.clock.advance(timedelta(days=-20))
    host.signing_keys.forget()
    key = signing_keys.current(host)
    assert signing_keys.verify(host, sign_jws(key, {"x": 1}, typ="test"), typ="test")
    with pytest.raises(KeyError):
        signing_keys.current(host, RS256)


def test_private_parts_lie_sealed(city):
    host = city.host
    signing_keys.rotate(host)
    with host.storage.read() as tx:
        rows = tx.all("SELECT kid, public_jwk, sealed_private FROM signing_key", ())
    assert len(rows) == 2
    for kid, public, sealed in rows:
        assert "d" not in json.loads(public)
        assert sealed.count(".") == 4
        assert kid not in sealed


def test_keys_change_by_themselves_when_they_are_old_enough(city):
    host = another_worker(city.host)
    signing_keys.keep_in_order(host)
    first = signing_keys.current(host).kid
    city.clock.advance(timedelta(days=89))
    signing_keys.keep_in_order(host)
    assert len(signing_keys.list_keys(host)) == 1
    city.clock.advance(timedelta(days=2))
    for _ in range(3):  # once, however often it is looked at
        signing_keys.keep_in_order(host)
    assert len(signing_keys.list_keys(host)) == 2
    city.clock.advance(PUBLISHED_AHEAD)
    assert signing_keys.current(host).kid != first


def test_an_operator_may_keep_the_keys(city):
    from dataclasses import replace

    host = replace(city.host, signing_keys=SigningKeys(None))
    signing_keys.keep_in_order(host)
    city.clock.advance(timedelta(days=9999))
    signing_keys.keep_in_order(host)
    assert len(signing_keys.list_keys(host)) == 1


def test_two_operators_at_the_same_moment_make_one_rotation(city):
    hosts = [another_worker(city.host) for _ in range(4)]
    made = []
    threads = [threading.Thread(target=lambda host=host: made.append(signing_keys.rotate(host))) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(len, made)) == [0, 0, 0, 1]
    assert len(signing_keys.list_keys(city.host)) == 2


def test_rsa_is_there_once_somebody_needs_it_and_changes_along(city):
    host = city.host
    with pytest.raises(KeyError):
        signing_keys.current(host, RS256)
    signing_keys.provide(host, RS256)
    signing_keys.provide(host, RS256)
    key = signing_keys.current(host, RS256)
    signed = sign_jws(key, {"a": 1}, typ="JWT")
    assert signing_keys.verify(host, signed, typ="JWT", algorithms=(ES256, RS256)).payload == {"a": 1}
    with pytest.raises(SignatureInvalid):
        signing_keys.verify(host, signed, typ="JWT")
    assert {key.algorithm for key in signing_keys.rotate(host)} == {ES256, RS256}


def test_the_commands_list_and_rotate(tmp_path):
    def run(*arguments):
        done = CliRunner().invoke(main, [*arguments, "--data", str(tmp_path / "data"), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.output)

    def tokens():
        return [each for each in run("key", "list") if each["use"] == "tokens"]

    (first,) = tokens()
    assert first["state"] == "signs"
    (new,) = run("key", "rotate-signing")
    assert new["state"] == "next"
    assert run("key", "rotate-signing") == []
    assert {each["state"] for each in tokens()} == {"signs", "next"}
    (now,) = run("key", "rotate-signing", "--at-once")
    assert now["state"] == "signs"
    (last,) = run("key", "rotate-signing", "--compromised")
    states = {each["kid"]: each["state"] for each in tokens()}
    assert states[last["kid"]] == "signs"
    assert states[now["kid"]] == "revoked"
    assert states[first["kid"]] == "published"

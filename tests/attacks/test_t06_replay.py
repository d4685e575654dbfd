"""T6: a replayed DPoP proof or client assertion, also in another worker, also after a restart."""

from __future__ import annotations

import gc
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from oauth_client import PartnerClient

from pod_server.authorization_server.replay import ReplayStore


@pytest.fixture
def partner(host):
    return PartnerClient(host)


def test_a_proof_opens_the_door_once(host, partner):
    token = partner.own_token()
    headers = partner.authorised("GET", f"{host.base_url}/bridge/probe", token)
    assert partner.client.get("/bridge/probe", headers=headers).status_code == 200
    second = partner.client.get("/bridge/probe", headers=headers)
    assert second.status_code == 401
    assert second.json["type"].endswith("/problems/invalid-dpop-proof")
    assert 'error="invalid_dpop_proof"' in second.headers["WWW-Authenticate"]


def test_a_proof_is_good_for_one_token_request(host, partner):
    proof = partner.proof("POST", f"{host.base_url}/-/oauth/token")
    assert partner.token_request(grant_type="client_credentials", proof=proof).status_code == 200
    again = partner.token_request(grant_type="client_credentials", proof=proof)
    assert (again.status_code, again.json["error"]) == (400, "invalid_dpop_proof")


def test_a_client_assertion_is_good_once(partner):
    assertion = partner.assertion()
    assert partner.token_request(grant_type="client_credentials", assertion=assertion).status_code == 200
    again = partner.token_request(grant_type="client_credentials", assertion=assertion)
    assert (again.status_code, again.json["error"]) == (401, "invalid_client")


def test_two_workers_share_what_they_have_seen(tmp_path, clock):
    one, other = (ReplayStore(tmp_path / "replay.sqlite", clock, boot="b1") for _ in range(2))
    expires = clock.now() + timedelta(minutes=1)
    assert one.first_use("dpop k 1", expires)
    assert not other.first_use("dpop k 1", expires)
    assert other.first_use("dpop k 2", expires)


def test_after_a_restart_of_the_machine_older_proofs_are_refused(tmp_path, clock):
    before = ReplayStore(tmp_path / "replay.sqlite", clock, boot="b1")
    made_at = clock.now()
    assert before.covers(made_at)
    clock.advance(timedelta(seconds=5))
    worker_restarted = ReplayStore(tmp_path / "replay.sqlite", clock, boot="b1")
    assert worker_restarted.covers(made_at)
    machine_restarted = ReplayStore(tmp_path / "replay.sqlite", clock, boot="b2")
    assert not machine_restarted.covers(made_at)
    assert machine_restarted.covers(clock.now())


def test_a_damaged_store_begins_anew_and_trusts_nothing_older(tmp_path, clock):
    ReplayStore(tmp_path / "replay.sqlite", clock, boot="b1").first_use("dpop k 1", clock.now())
    for leftover in tmp_path.glob("replay.sqlite-*"):
        leftover.unlink()
    (tmp_path / "replay.sqlite").write_bytes(b"not a database at all, only some bytes" * 50)
    made_at = clock.now()
    clock.advance(timedelta(seconds=5))
    assert not ReplayStore(tmp_path / "replay.sqlite", clock, boot="b1").covers(made_at)


@pytest.mark.parametrize("seconds", [-61, 11])
def test_a_proof_from_another_time_is_refused(city, host, partner, seconds):
    city.clock.advance(timedelta(minutes=2))  # the store covers that time: the age itself is what is wrong
    token = partner.own_token()
    assert partner.probe(token).status_code == 200
    moment = int(host.clock.protocol_now().timestamp()) + seconds
    assert partner.probe(token, iat=moment).status_code == 401


def test_a_proof_ten_seconds_ahead_is_taken(host, partner):
    token = partner.own_token()
    assert partner.probe(token, iat=int(host.clock.protocol_now().timestamp()) + 10).status_code == 200


def test_a_turn_that_does_not_come_lets_nobody_in_twice_and_keeps_nobody_out(tmp_path, clock):
    """Whoever holds the store's file lock for long slows it down and does no more."""
    import fcntl

    store = ReplayStore(tmp_path / "replay.sqlite", clock, boot="b1")
    assert store.first_use("dpop k 1", clock.now())
    with (tmp_path / "replay.sqlite.turn").open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert store.first_use("dpop k 2", clock.now())
        assert not store.first_use("dpop k 1", clock.now())
    assert not store.first_use("dpop k 2", clock.now())


def test_threads_that_come_and_go_leave_no_turn_open_behind(tmp_path, clock):
    store = ReplayStore(tmp_path / "seen.sqlite", clock)
    expires = clock.protocol_now() + timedelta(minutes=1)
    for number in range(20):
        thread = threading.Thread(target=store.first_use, args=(f"thread {number}", expires))
        thread.start()
        thread.join()
    gc.collect()
    opened = [target for each in Path("/proc/self/fd").iterdir() if (target := _target_of(each)).endswith(".turn")]
    assert len([target for target in opened if target.startswith(str(tmp_path))]) <= 1


def _target_of(descriptor: Path) -> str:
    """What an open descriptor is of; nothing where it was closed meanwhile."""
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""

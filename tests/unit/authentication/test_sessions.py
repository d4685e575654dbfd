"""Sessions and tickets: the cookie holds the key, the row holds what it opens."""

from __future__ import annotations

import pytest

from pod_server.authentication import session, tickets
from pod_server.authentication.errors import CsrfMismatch, TicketInvalid
from pod_server.vault.envelope import OWN, Place


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def cookie(host, kari):
    return session.create_session(host, kari.pod_id, kari.vault)


def test_a_session_opens_the_citizens_vault(host, kari, cookie):
    sealed = kari.vault.seal(OWN, Place("note", b"1"), b"mine")
    assert session.load_session(host, cookie).vault().open(OWN, Place("note", b"1"), sealed) == b"mine"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text[:-1] + "0" * (text[-1] != "0") + "1" * (text[-1] == "0"),
        lambda text: "x" + text,
        lambda text: text.split(".")[0],
        lambda text: "",
        lambda text: None,
        lambda text: "a.b.c",
    ],
)
def test_a_cookie_that_was_touched_opens_nothing(host, cookie, spoil):
    assert session.load_session(host, spoil(cookie)) is None


def test_the_database_holds_neither_the_cookie_nor_the_root_key(host, kari, cookie):
    with host.storage.read() as tx:
        row = tx.one("SELECT session_hash, sealed_root FROM session WHERE pod_id = ?", (kari.pod_id,))
    identifier, key = cookie.split(".")
    assert identifier not in row[0]
    assert kari.vault.root_key not in bytes(row[1])
    assert bytes.fromhex(key) not in bytes(row[1])


def test_a_session_ends_by_time_by_signing_out_and_everywhere_at_once(city, host, kari):
    cookies = [session.create_session(host, kari.pod_id, kari.vault) for _ in range(3)]
    session.end_session(host, cookies[0])
    assert session.load_session(host, cookies[0]) is None
    assert session.load_session(host, cookies[1]) is not None
    city.clock.advance(session.LIFETIME)
    assert session.load_session(host, cookies[1]) is None
    fresh = session.create_session(host, kari.pod_id, kari.vault)
    assert session.end_all_sessions(host, kari.pod_id) == 1
    assert session.load_session(host, fresh) is None


def test_a_form_carries_its_own_sessions_token(host, kari, cookie):
    mine = session.load_session(host, cookie)
    other = session.load_session(host, session.create_session(host, kari.pod_id, kari.vault))
    mine.require_csrf(mine.csrf_token)
    for wrong in (other.csrf_token, "", None, "é"):
        with pytest.raises(CsrfMismatch):
            mine.require_csrf(wrong)


def test_a_ticket_opens_one_stream_within_half_a_minute(city, host, kari, cookie):
    mine = session.load_session(host, cookie)
    ticket = tickets.issue_ticket(host, mine)
    assert tickets.redeem_ticket(host, ticket).pod_id == kari.pod_id
    for spent in (ticket, "", None, "x.y"):
        with pytest.raises(TicketInvalid):
            tickets.redeem_ticket(host, spent)
    late = tickets.issue_ticket(host, mine)
    city.clock.advance(tickets.LIFETIME)
    with pytest.raises(TicketInvalid):
        tickets.redeem_ticket(host, late)


def test_a_ticket_is_no_cookie_and_a_cookie_no_ticket(host, kari, cookie):
    with pytest.raises(TicketInvalid):
        tickets.redeem_ticket(host, cookie)
    assert session.load_session(host, tickets.issue_ticket(host, session.load_session(host, cookie))) is None


def test_the_cookie_is_bound_to_its_host_where_there_is_tls(host):
    from dataclasses import replace

    settings = session.cookie_settings(replace(host, allow_insecure=False))
    assert settings.key.startswith("__Host-")
    assert settings.secure
    assert settings.httponly
    assert settings.samesite == "Lax"

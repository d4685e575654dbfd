"""Sessions are listed with their device, known to no one else, and ended one by one or all at once."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from solid_app import make_town

from dashboard.devices import device_of
from pod_server.authentication.session import (
    cookie_settings,
    create_session,
    end_all_sessions,
    end_session_of,
    list_sessions,
    load_session,
)


@pytest.fixture
def kari(city):
    return city.citizen("kari")


def begin(host, citizen, **details):
    cookie = create_session(host, citizen.pod_id, citizen.vault, **details)
    return cookie, load_session(host, cookie)


def test_a_citizen_sees_where_and_how_they_are_signed_in(city, kari):
    host = city.host
    begin(host, kari, device="Firefox, Linux")
    city.clock.advance(timedelta(hours=1))
    _, session = begin(host, kari, means="passkey", device="Safari, iPhone")
    here, there = list_sessions(host, session)
    assert (here.device, here.means, here.is_this) == ("Safari, iPhone", "passkey", True)
    assert (there.device, there.means, there.is_this) == ("Firefox, Linux", "passphrase", False)
    assert here.created - there.created == timedelta(hours=1)


def test_the_last_use_is_known_to_within_five_minutes(city, kari):
    host = city.host
    cookie, session = begin(host, kari)
    began = session.created
    city.clock.advance(timedelta(minutes=4))
    load_session(host, cookie)
    assert list_sessions(host, session)[0].last_used == began
    city.clock.advance(timedelta(minutes=2))
    load_session(host, cookie)
    assert list_sessions(host, session)[0].last_used == began + timedelta(minutes=6)


def test_one_session_is_ended_and_the_others_go_on(city, kari):
    host = city.host
    lost, lost_session = begin(host, kari)
    kept, session = begin(host, kari)
    assert end_session_of(host, session, lost_session.id)
    assert load_session(host, lost) is None
    assert load_session(host, kept) is not None
    assert not end_session_of(host, session, lost_session.id)


def test_another_citizens_session_cannot_be_ended(city, kari):
    host = city.host
    theirs, their_session = begin(host, city.citizen("ola"))
    _, session = begin(host, kari)
    assert not end_session_of(host, session, their_session.id)
    assert load_session(host, theirs) is not None
    assert [line.id for line in list_sessions(host, session)] == [session.id]


def test_all_others_end_at_once(city, kari):
    host = city.host
    cookies = [begin(host, kari)[0] for _ in range(3)]
    mine, session = begin(host, kari)
    assert end_all_sessions(host, kari.pod_id, but=session.id) == 3
    assert [load_session(host, cookie) for cookie in cookies] == [None] * 3
    assert load_session(host, mine) is not None


def test_the_device_is_not_readable_in_the_database(city, kari):
    begin(city.host, kari, device="Firefox, Linux")
    with city.host.storage.read() as tx:
        (row,) = tx.all("SELECT * FROM session", ())
    assert b"Firefox" not in b"".join(each for each in row if isinstance(each, bytes))
    assert "Firefox" not in str(row)


def test_the_page_lists_sessions_apps_and_scripts_and_ends_them_without_script(city):
    from pod_server.authorization.enforcement import require_owner
    from pod_server.authorization_server import scripts

    town = make_town(city)
    kari = town.citizen("kari")
    session = load_session(town.host, kari.get_cookie(cookie_settings(town.host).key).value)
    other = create_session(town.host, session.pod_id, session.vault(), device="<i>Edge</i>")
    made = scripts.create_credentials(town.host, require_owner(session), f"{town.host.base_url}/kari/profile/card#me")
    page = kari.get("/-/security", headers={"Accept": "text/html"}).text
    assert "&lt;i&gt;Edge&lt;/i&gt;" in page
    assert made.client_id in page
    csrf = re.search(r'name="csrf" value="([^"]+)"', page).group(1)
    ended = load_session(town.host, other).id
    assert kari.post(f"/-/security/sessions/{ended}/end", data={"csrf": csrf}).status_code == 303
    assert load_session(town.host, other) is None
    assert kari.post(f"/-/security/scripts/{made.client_id}/end", data={"csrf": csrf}).status_code == 303
    with town.host.storage.read() as tx:
        assert scripts.find_script(tx, made.client_id) is None
    assert kari.post("/-/security/sessions/end-others", data={"csrf": csrf}).status_code == 303
    assert kari.get("/-/security").status_code == 200
    gone = kari.post(f"/-/security/sessions/{session.id}/end", data={"csrf": csrf})
    assert gone.headers["Location"] == "/-/"
    assert kari.get("/-/security", headers={"Accept": "text/html"}).status_code == 303


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox, Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML) Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge, Windows",
        ),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0) AppleWebKit/605 Version/19.0 Mobile Safari/604.1", "Safari, iPhone"),
        ("Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36", "Chrome, Android"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X) AppleWebKit/537.36 Chrome/140.0 Safari/537.36", "Chrome, macOS"),
        ("curl/8.5.0", ""),
        ("", ""),
        ("<script>alert(1)</script>" * 100, ""),
    ],
)
def test_a_device_is_told_in_a_few_words(user_agent, device):
    assert device_of(user_agent) == device

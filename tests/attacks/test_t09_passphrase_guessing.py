"""T9: passphrase guessing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pod_server.authentication import accounts, session
from pod_server.authentication.errors import SignInLinkInvalid, TooManyAttempts
from pod_server.vault.errors import WrongPassphrase
from pod_server.vault.key_derivation import Passphrase

GOOD = "correct horse battery"


@pytest.fixture
def kari(city):
    return city.citizen("kari", passphrase=Passphrase(GOOD))


def guess(host, handle="kari", passphrase="wrong horse battery"):
    with pytest.raises(WrongPassphrase) as refused:
        accounts.sign_in(host, handle, passphrase)
    return str(refused.value)


@pytest.mark.slow
def test_after_five_wrong_tries_even_the_right_passphrase_has_to_wait(city, host, kari):
    for _ in range(accounts.FREE_TRIES):
        guess(host)
    with pytest.raises(TooManyAttempts) as waiting:
        accounts.sign_in(host, "kari", GOOD)
    assert waiting.value.retry_after == 30
    city.clock.advance(timedelta(seconds=31))
    cookie = accounts.sign_in(host, "kari", GOOD)
    assert session.load_session(host, cookie).pod_id == kari.pod_id
    guess(host)  # the count began anew


@pytest.mark.slow
def test_a_name_nobody_has_is_refused_and_counted_like_one_somebody_has(host, kari):
    assert guess(host, "nobody") == guess(host, "kari")
    for _ in range(accounts.FREE_TRIES - 1):
        guess(host, "nobody")
    with pytest.raises(TooManyAttempts):
        accounts.sign_in(host, "nobody", "x" * 10)


def test_waiting_doubles_up_to_a_quarter_of_an_hour():
    waits = [accounts.wait_after(failures).total_seconds() for failures in range(1, 14)]
    assert waits == [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900, 900]


def test_a_sign_in_link_works_once_and_on_this_machine_alone(host, city):
    kari = city.citizen("kari")
    token = accounts.create_sign_in_link(host, kari.pod_id).rsplit("/", 1)[1]
    with pytest.raises(SignInLinkInvalid):
        accounts.redeem_sign_in_link(host, token, "192.0.2.7")
    cookie = accounts.redeem_sign_in_link(host, token, "127.0.0.1")
    assert session.load_session(host, cookie).pod_id == kari.pod_id
    with pytest.raises(SignInLinkInvalid):
        accounts.redeem_sign_in_link(host, token, "127.0.0.1")


def test_a_sign_in_link_runs_out(host, city):
    kari = city.citizen("kari")
    token = accounts.create_sign_in_link(host, kari.pod_id).rsplit("/", 1)[1]
    city.clock.advance(accounts.LINK_LIFETIME)
    with pytest.raises(SignInLinkInvalid):
        accounts.redeem_sign_in_link(host, token, "127.0.0.1")


@pytest.mark.slow
def test_names_that_were_tried_once_do_not_pile_up(city, host, kari):
    for number in range(3):
        accounts._count_try(host, f"nobody-{number}")
    city.clock.advance(accounts.TRIES_REMEMBERED + timedelta(seconds=1))
    accounts._count_try(host, "somebody")
    accounts.sign_in(host, "kari", GOOD)
    with host.storage.read() as tx:
        assert tx.one("SELECT count(*) FROM sign_in_attempt")[0] == 1

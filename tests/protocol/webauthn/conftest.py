"""A house, a citizen at her browser, and a passkey on her device."""

from __future__ import annotations

import pytest
from authenticator import Authenticator
from passkey_browser import Browser
from solid_app import make_town


@pytest.fixture
def town(city):
    return make_town(city)


@pytest.fixture
def kari(town):
    """Kari's browser, signed in just now."""
    return Browser(town, town.citizen("kari"))


@pytest.fixture
def stranger(town):
    """A browser in which nobody is signed in."""
    return Browser(town, town.stranger())


@pytest.fixture
def passkey():
    return Authenticator()

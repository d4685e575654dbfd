"""A house, and a provider on a real socket that its operator has added."""

from __future__ import annotations

import pytest
from provider_house import open_house


@pytest.fixture
def opened(city):
    opened = open_house(city)
    yield opened
    opened.provider.stop()


@pytest.fixture
def provider(opened):
    return opened.provider


@pytest.fixture
def host(opened):
    return opened.host


@pytest.fixture
def app(opened):
    return opened.app


@pytest.fixture
def stranger(opened):
    """A browser in which nobody is signed in."""
    return opened.visitor()


@pytest.fixture
def kari(opened):
    """Kari, signed in just now with her passphrase."""
    return opened.citizen()

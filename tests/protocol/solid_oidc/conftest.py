"""A town, a citizen's browser, and an app that nobody knows yet."""

from __future__ import annotations

import pytest
from solid_app import SolidApp, make_town


@pytest.fixture
def town(city):
    """The whole house, with a made-up outside world."""
    return make_town(city)


@pytest.fixture
def kari(town):
    """Kari's browser, signed in."""
    return town.citizen("kari")


@pytest.fixture
def app(town):
    """An app that has not registered."""
    return SolidApp(town.host, client=town.stranger())


@pytest.fixture
def registered(app):
    """An app that has registered, with a secret."""
    assert app.register().status_code == 201
    return app

"""A partner at the authorization server, and a citizen to ask."""

from __future__ import annotations

import pytest
from oauth_client import PartnerClient


@pytest.fixture
def kari(city):
    """A citizen's pod."""
    return city.citizen("kari")


@pytest.fixture
def partner(host):
    """A partner who may ask."""
    return PartnerClient(host)

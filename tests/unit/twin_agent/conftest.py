"""Kari, whom most of these tests are about."""

from __future__ import annotations

import pytest
from twin_citizen import Citizen


@pytest.fixture
def kari(city):
    """Kari, who lives with one other person."""
    return Citizen(city, city.citizen("kari", household_size=2))

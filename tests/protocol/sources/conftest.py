"""A house with a bank beside it."""

from __future__ import annotations

import pytest
from bank_house import bank_house


@pytest.fixture
def opened(city):
    with bank_house(city) as opened:
        yield opened

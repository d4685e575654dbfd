"""Every door of one host, and those who come to them."""

from __future__ import annotations

import pytest
from whole_house import House, whole_app


@pytest.fixture
def house(city) -> House:
    return House(city, city.host, whole_app(city.host))


@pytest.fixture
def kari(city):
    return city.citizen("kari")


@pytest.fixture
def deliverer(house):
    return house.partner()


@pytest.fixture
def grant(house, kari, deliverer):
    return house.grant(kari, deliverer)

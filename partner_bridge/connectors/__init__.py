"""One file a partner: its real format, its traps, how it becomes activities, and what it says of itself.

A new partner is a new file beside these and one line in the list below; or a package of its own, which the list never hears
of (`packages`, docs/connectors.md).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from partner_bridge.connectors.apple_health import AppleHealth
from partner_bridge.connectors.atb import AtB
from partner_bridge.connectors.berlin_group import BerlinGroup
from partner_bridge.connectors.driving import Driving
from partner_bridge.connectors.ducky import Ducky
from partner_bridge.connectors.elhub_csv import ElhubCsv
from partner_bridge.connectors.garmin import Garmin
from partner_bridge.connectors.google_health import GoogleHealth
from partner_bridge.connectors.han import Han
from partner_bridge.connectors.hourly_csv import HourlyCsv
from partner_bridge.connectors.municipality import Municipality
from partner_bridge.connectors.obd_csv import ObdCsv
from partner_bridge.connectors.oss import Oss
from partner_bridge.connectors.packages import Registry, load
from partner_bridge.connectors.rema1000 import Rema1000
from partner_bridge.connectors.sparebank1 import SpareBank1, SpareBank1Csv
from partner_bridge.connectors.tronderenergi import TronderEnergi
from partner_bridge.connectors.waste_weights import WasteWeights
from partner_bridge.errors import UnknownConnector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from partner_bridge.connectors.calculator import Calculator
    from partner_bridge.connectors.normalising import Connector

_CONNECTORS: tuple[Connector, ...] = (
    Oss(),
    TronderEnergi(),
    ElhubCsv(),
    HourlyCsv(),
    Rema1000(),
    AtB(),
    WasteWeights(),
    SpareBank1(),
    SpareBank1Csv(),
    BerlinGroup(),
    Driving(),
    ObdCsv(),
    Garmin(),
    AppleHealth(),
    GoogleHealth(),
    Han(),
)


@cache
def registry(packages: tuple[str, ...] = ()) -> Registry:
    """The house's connectors and those of the packages that a host allows; each is loaded once a process."""
    return load(_CONNECTORS, packages)


CONNECTORS: Mapping[str, Connector] = registry().connectors
"""The house's own."""

CALCULATORS: Mapping[str, Calculator] = {each.name: each for each in (Ducky(),)}
"""Services that are asked for a calculation: they bring nothing in by themselves (calculator.py)."""


MUNICIPALITY = Municipality()
"""Whoever publishes offers: it brings nothing in, and asks for nothing."""


def find_calculator(name: str) -> Calculator:
    """A calculation service's format by its name.

    Raises:
        UnknownConnector: there is none; the message lists those there are.
    """
    found = CALCULATORS.get(name)
    if found is None:
        raise UnknownConnector(f"the calculation services are {', '.join(sorted(CALCULATORS))}")
    return found


def find_connector(name: str, packages: tuple[str, ...] = ()) -> Connector:
    """A connector by its name.

    Args:
        name: As in commands and addresses.
        packages: What the host allows beside the house's own (`host.connector_packages`).

    Raises:
        UnknownConnector: there is none; the message lists those there are.
    """
    known = registry(packages).connectors
    connector = known.get(name)
    if connector is None:
        raise UnknownConnector(f"the connectors are {', '.join(sorted(known))}")
    return connector

"""One file a partner: its real format, its traps, and how it becomes activities.

A new partner is a new file beside these and one line in the list below.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from partner_bridge.connectors.atb import AtB
from partner_bridge.connectors.elhub_csv import ElhubCsv
from partner_bridge.connectors.garmin import Garmin
from partner_bridge.connectors.han import Han
from partner_bridge.connectors.hourly_csv import HourlyCsv
from partner_bridge.connectors.oss import Oss
from partner_bridge.connectors.rema1000 import Rema1000
from partner_bridge.connectors.sparebank1 import SpareBank1, SpareBank1Csv
from partner_bridge.connectors.tronderenergi import TronderEnergi
from partner_bridge.connectors.waste_weights import WasteWeights
from partner_bridge.errors import UnknownConnector

if TYPE_CHECKING:
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
    Garmin(),
    Han(),
)

CONNECTORS: dict[str, Connector] = {connector.name: connector for connector in _CONNECTORS}


def find_connector(name: str) -> Connector:
    """A connector by its name.

    Raises:
        UnknownConnector: there is none; the message lists those there are.
    """
    connector = CONNECTORS.get(name)
    if connector is None:
        raise UnknownConnector(f"the connectors are {', '.join(sorted(CONNECTORS))}")
    return connector

"""AtB: fare contracts, as the npm package `@atb-as/utils` types them (docs/partners.md).

`travelRights[]{fareProductRef, fareZoneRefs, startPointRef, endPointRef, usedAccesses[]{startDateTime, endDateTime}}`,
`totalAmount` as a text.

Traps: a ticket bought is not a trip made: only a used access of a single ticket is counted, as one trip, and marked as
inferred; a period ticket's access says when one may travel, not that one did; the trip's length is not in the
contract: between known stops it is the distance between them by road (straight line times 1.3), else the mean length
of a trip by city bus.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Context, Normalised, decode_as, instant, name_part
from partner_bridge.errors import UnusablePayload

MEAN_TRIP_KILOMETRES = 6.0
"""A guess (G of docs/partners.md): the mean length of a trip by city bus; records made with it say `inferred`."""

ROAD_FACTOR = 1.3
"""How much longer the way by road is than the straight line, as is usual in transport models (a guess as well)."""

LONGEST_SINGLE = timedelta(hours=6)
"""A longer access belongs to a day or period ticket."""

STOPS: dict[str, tuple[float, float]] = {
    # Latitude and longitude (WGS 84) as the national stop register (NSR, open data of Entur, NLOD) gives them.
    "NSR:StopPlace:41613": (63.431034, 10.392007),  # Prinsens gate
    "NSR:StopPlace:42660": (63.422568, 10.394852),  # Studentersamfundet
    "NSR:StopPlace:42625": (63.435085, 10.457026),  # Strindheim
    "NSR:StopPlace:43984": (63.398886, 10.358037),  # Byåsen skole
}


class _Access(msgspec.Struct, gc=False):
    start_date_time: datetime = msgspec.field(name="startDateTime")
    end_date_time: datetime = msgspec.field(name="endDateTime")


class _TravelRight(msgspec.Struct, gc=False):
    fare_product_ref: str = msgspec.field(name="fareProductRef", default="")
    fare_zone_refs: list[str] = msgspec.field(name="fareZoneRefs", default_factory=list)
    start_point_ref: str | None = msgspec.field(name="startPointRef", default=None)
    end_point_ref: str | None = msgspec.field(name="endPointRef", default=None)
    used_accesses: list[_Access] = msgspec.field(name="usedAccesses", default_factory=list)
    mode: str | None = msgspec.field(name="transportMode", default=None)


class _Payload(msgspec.Struct, gc=False):
    id: str
    travel_rights: list[_TravelRight] = msgspec.field(name="travelRights")
    total_amount: str | None = msgspec.field(name="totalAmount", default=None)


_MODES = {"bus": "bus", "tram": "tram", "rail": "train", "train": "train", "water": "boat", "boat": "boat"}


class AtB:
    """Fare contracts."""

    name = "atb"
    title = "AtB"
    kinds = frozenset({"transit-trip"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("atb", "AtB", "https://www.atb.no"),
        channels=("push",),
        granularity="event",
        frequency="irregular",
        history=None,
        terms=Words(
            nb="Kommer bare mens samtykket ditt gjelder; leverandøren ser ingenting av det andre i podden.",
            nn="Kjem berre medan samtykket ditt gjeld; leverandøren ser ingenting av det andre i podden.",
            en="Comes only while your consent stands; the supplier sees nothing else in your pod.",
        ),
        format_source="https://www.npmjs.com/package/@atb-as/utils",
        guesses=(
            Words(
                nb="Lengden på reisen er luftlinje ganger 1,3, eller en vanlig bytur der holdeplassen ikke er kjent.",
                nn="Lengda på reisa er luftline gonger 1,3, eller ein vanleg bytur der haldeplassen ikkje er kjend.",
                en="A trip's length is the straight line times 1.3, or a usual city trip where the stop is not known.",
            ),
        ),
        limits=(
            Words(
                nb="En billett er ikke en reise: bare brukte enkeltbilletter telles, og de merkes som antatt.",
                nn="Ein billett er ikkje ei reise: berre brukte einskildbillettar blir talde, og dei blir merkte som gjetta.",
                en="A ticket is no trip: only used single tickets count, and they are marked as inferred.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One inferred trip a used access of a single ticket."""
        contract: _Payload = decode_as(payload, _Payload)
        amount = _amount(contract.total_amount)
        accesses = [(right, access) for right in contract.travel_rights for access in right.used_accesses]
        if any(each.start_date_time.tzinfo is None or each.end_date_time.tzinfo is None for _, each in accesses):
            raise UnusablePayload("a time without its zone")
        trips = [
            (right, access)
            for right, access in accesses
            if access.end_date_time - access.start_date_time <= LONGEST_SINGLE
        ]
        if accesses and not trips:
            yield UnusablePayload("a period ticket's access says when one may travel, not that one did")
        elif not accesses:
            yield UnusablePayload("the ticket has not been used: bought is not travelled")
        for ordinal, (right, access) in enumerate(trips, 1):
            try:
                start = instant(access.start_date_time)
            except UnusablePayload as error:
                yield error
                continue
            # The access is the ticket's validity; when in it the trip ended is not known.
            activity = {
                "@id": f"atb:{name_part(contract.id)}/{ordinal}",
                "@type": "TransitTrip",
                "start": start,
                "end": start,
                "quantity": trip_kilometres(right.start_point_ref, right.end_point_ref),
                "unit": "KiloM",
                "mode": _MODES.get((right.mode or "bus").lower(), "bus"),
                "inferred": True,
                "ticket": contract.id[:80],
                "source": "AtB",
            }
            if right.fare_zone_refs:
                activity["zones"] = [zone[:40] for zone in right.fare_zone_refs]
            if right.start_point_ref:
                activity["fromStop"] = right.start_point_ref
            if right.end_point_ref:
                activity["toStop"] = right.end_point_ref
            if amount is not None:
                activity["amountNok"] = round(amount / len(trips), 2)
            yield Normalised(activity)


def trip_kilometres(start: str | None, end: str | None) -> float:
    """The length of a trip between two stops, or the mean trip's where one of them is not known."""
    if start is None or end is None or start not in STOPS or end not in STOPS or start == end:
        return MEAN_TRIP_KILOMETRES
    (latitude, longitude), (other_latitude, other_longitude) = STOPS[start], STOPS[end]
    north = math.radians(other_latitude - latitude)
    east = math.radians(other_longitude - longitude) * math.cos(math.radians((latitude + other_latitude) / 2))
    return round(6371.0 * math.hypot(north, east) * ROAD_FACTOR, 2)


def _amount(text: str | None) -> float | None:
    try:
        value = float(text.replace(",", ".")) if text else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None

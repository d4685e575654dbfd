"""Activities as partners deliver them, made small for tests of the twin."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pod_server.activities import Record
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from vocab.kinds import Activity

KINDS = load_kinds()
ALL_KINDS = frozenset(KINDS.by_slug)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


def activity(members: dict[str, object]) -> Activity:
    return KINDS.decode(json.dumps(members).encode())


def record(members: dict[str, object]) -> Record:
    """The canonical record of some members."""
    made = activity(members)
    return Record(made.id, KINDS.encode(made), made.kind, made.start, made.end, made.correction)


def _times(start: datetime, length: timedelta) -> dict[str, object]:
    return {"start": start.isoformat(), "end": (start + length).isoformat()}


def electricity(name: str, start: datetime, minutes: int, kwh: float, /, **more: object) -> dict[str, object]:
    return {"@id": name, "@type": "ElectricityReading", **_times(start, timedelta(minutes=minutes)),
            "quantity": kwh, "unit": "KiloW-HR", **more}  # fmt: skip


def groceries(
    name: str, at: datetime, kilograms: float, food_class: str | None, /, **more: object
) -> dict[str, object]:
    members = {"@id": name, "@type": "GroceryLine", **_times(at, timedelta(0)), "quantity": kilograms,
               "unit": "KiloGM", "name": "KJØTTDEIG STORFE 400G", **more}  # fmt: skip
    return members | ({"foodClass": food_class} if food_class else {})


def trip(name: str, at: datetime, kilometres: float, mode: str = "bus", /, **more: object) -> dict[str, object]:
    return {"@id": name, "@type": "TransitTrip", **_times(at, timedelta(minutes=20)), "quantity": kilometres,
            "unit": "KiloM", "mode": mode, **more}  # fmt: skip


def waste(
    name: str, at: datetime, kilograms: float, fraction: str = "residual", /, **more: object
) -> dict[str, object]:
    return {"@id": name, "@type": "WasteCollection", **_times(at, timedelta(0)), "quantity": kilograms,
            "unit": "KiloGM", "fraction": fraction, **more}  # fmt: skip


def payment(name: str, at: datetime, kroner: float, /, **more: object) -> dict[str, object]:
    return {"@id": name, "@type": "Payment", **_times(at, timedelta(0)), "quantity": kroner, "unit": "CCY_NOK", **more}


def steps(name: str, start: datetime, minutes: int, count: int, /, **more: object) -> dict[str, object]:
    return {"@id": name, "@type": "StepCount", **_times(start, timedelta(minutes=minutes)), "quantity": count,
            "unit": "NUM", **more}  # fmt: skip


def driving(name: str, at: datetime, kilometres: float, /, **more: object) -> dict[str, object]:
    return {"@id": name, "@type": "DrivingDay", **_times(at, timedelta(days=1)), "quantity": kilometres, "unit": "KiloM",
            **more}  # fmt: skip

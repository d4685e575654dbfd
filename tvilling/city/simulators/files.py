"""The files that a citizen can save at a partner's pages, as the city has them: what is dropped, and whose it is.

Formats are those of docs/partners.md: Elhub's CSV for end users (local time without a zone, decimal comma), an hourly CSV in UTC,
and SpareBank 1's account statement. A new one is a function and an entry in DROPPED.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tvilling.city.electricity import LOCAL, hours_of, kwh_of_day
from tvilling.city.households import Household
from tvilling.city.simulators.health import CARRIED
from tvilling.city.simulators.register import last
from tvilling.city.simulators.sources import City
from tvilling.city.spending import movements_of_day
from tvilling.city.steps import QUARTER, steps_of_quarter

HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Dropped:
    """One kind of file.

    Attributes:
        connector: Its format's name at the bridge.
        name: The file's.
        make: The file of one household.
        whose: Which of the citizens with pages bring one.
    """

    connector: str
    name: str
    make: Callable[[City, Household], bytes]
    whose: Callable[[Sequence[str]], Sequence[str]] = last


def elhub_csv(city: City, household: Household) -> bytes:
    """October the year before last: the day on which an hour comes twice is in it, and no power company's push reaches so far."""
    year = city.began.astimezone(LOCAL).year - 2
    rows = ["Fra,Til,KWH 60 Forbruk,Kvalitet"]
    for day in _days(date(year, 10, 20), date(year, 10, 31)):
        for hour, kwh in zip(hours_of(day), kwh_of_day(household, day, city.seed), strict=True):
            value = f"{kwh:.3f}".replace(".", ",")
            rows.append(f'{_wall(hour)},{_wall(hour + HOUR)},"{value}",Målt')
    return "\ufeff".encode() + "\n".join(rows).encode() + b"\n"


def hourly_csv(city: City, household: Household) -> bytes:
    """March the year before last, in UTC: the day without its 25th hour is in it."""
    year = city.began.astimezone(LOCAL).year - 2
    rows = ["start,value"]
    for day in _days(date(year, 3, 20), date(year, 3, 31)):
        for hour, kwh in zip(hours_of(day), kwh_of_day(household, day, city.seed), strict=True):
            rows.append(f"{hour.isoformat()},{kwh}")
    return "\n".join(rows).encode() + b"\n"


def bank_csv(city: City, household: Household) -> bytes:
    """A month of the account from before the time that the bank's interface tells of."""
    first = (city.began.astimezone(LOCAL) - timedelta(days=430)).date()
    rows = ["Dato;Beskrivelse;Rentedato;Inn;Ut;Til konto;Fra konto"]
    for day in _days(first, first + timedelta(days=30)):
        for each in movements_of_day(household, day, city.seed):
            amount = f"{each.amount:.2f}".replace(".", ",")
            told, out = f"{day:%d.%m.%Y}", each.amount < 0
            rows.append(f"{told};{each.text};{told};{'' if out else amount};{amount if out else ''};;12345678903")
    return "\n".join(rows).encode() + b"\n"


def apple_export(city: City, household: Household) -> bytes:
    """A fortnight of a telephone and a watch from before everything else, packed as the Health app packs it."""
    first = (city.began.astimezone(LOCAL) - timedelta(days=445)).date()
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<!DOCTYPE HealthData [<!ELEMENT HealthData (Record*)>]>"]
    lines.append('<HealthData locale="nb_NO">')
    for day in _days(first, first + timedelta(days=13)):
        for hour in hours_of(day):
            for number in range(4):
                at = hour + number * QUARTER
                steps = steps_of_quarter(household, at, city.seed)
                for device, share in (("iPhone", CARRIED), ("Apple Watch", 1.0)):
                    if count := round(steps * share):
                        told = [f"{each.astimezone(LOCAL):%Y-%m-%d %H:%M:%S %z}" for each in (at, at + QUARTER)]
                        lines.append(
                            f'<Record type="HKQuantityTypeIdentifierStepCount" sourceName="Min {device}" unit="count" '
                            f'startDate="{told[0]}" endDate="{told[1]}" value="{count}"/>'
                        )
    lines.append("</HealthData>")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in (("export.xml", "\n".join(lines)), ("export_cda.xml", "<ClinicalDocument/>")):
            # A fixed date: the same city makes the same file.
            archive.writestr(zipfile.ZipInfo(f"apple_health_export/{name}", (2026, 1, 1, 0, 0, 0)), text)
    return packed.getvalue()


DROPPED: tuple[Dropped, ...] = (
    Dropped("elhub-csv", "elhub.csv", elhub_csv),
    Dropped("hourly-csv", "timer.csv", hourly_csv),
    Dropped("sparebank1-csv", "konto.csv", bank_csv),
    Dropped("apple-health", "export.zip", apple_export),
)
"""The files of the demonstration."""


def _days(first: date, end: date) -> Iterator[date]:
    while first <= end:
        yield first
        first += timedelta(days=1)


def _wall(at: datetime) -> str:
    return f"{at.astimezone(LOCAL):%d.%m.%Y %H:%M}"

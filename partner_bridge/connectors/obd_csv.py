"""The CSV files of apps that read a car's OBD-II plug, such as Torque and OBD Fusion: a log a second becomes a day.

Formats, from memory of the apps' own exports (docs/partners.md): Torque writes `GPS Time, Device Time, Longitude, Latitude, …,
Speed (OBD)(km/h), …` and begins a second drive in the same file with its heading again; OBD Fusion writes a line `# StartTime =
11/22/2026 08:11:57.0 AM`, then `Time (sec), Vehicle speed (km/h), …`. Others have a column with a whole time.

Traps: columns in any order, and most of them nobody's business: positions are never read. Units stand in brackets after the
name, kilometres or miles an hour, or metres a second; OBD's own unit where none stands. Decimal commas, with semicolons
between columns; in a file with commas for both, rows have too many columns and are told. `-` and nothing for what was not
measured. Month names in English or Norwegian. A pause in the log is no drive. The unit `°C` in the Windows encoding. A log
without any clock (only seconds, no start) tells of no day, and is refused.

What is made of it is a day at a time: kilometres by speed and time, minutes in motion, hard braking and acceleration (from
3.5 and 3.0 m/s², our own thresholds). Speed limits, turns and telephones are not in such a log, and are not guessed.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.driving import driven_on
from partner_bridge.connectors.elhub_csv import LOCAL
from partner_bridge.connectors.normalising import Context, Normalised
from partner_bridge.connectors.text_files import lines_of
from partner_bridge.errors import UnusablePayload

LONGEST_STEP = timedelta(seconds=10)
"""Between two rows of one drive; more is a pause."""

JUDGED_OVER = timedelta(seconds=0.9)
"""Speeds are whole kilometres an hour: over a tenth of a second a change of one would look like an emergency stop."""

HARSH_BRAKING, HARSH_ACCELERATION = -3.5, 3.0
"""Metres a second, a second."""

FASTEST = 100.0
"""Metres a second; more is a broken sensor."""

PROBLEMS_TOLD = 20
_UNITS = {"km/h": 1 / 3.6, "kmh": 1 / 3.6, "kph": 1 / 3.6, "mph": 0.44704, "m/s": 1.0, "meters/second": 1.0}
_MONTHS = {
    name: number
    for number, names in enumerate(
        ("jan", "feb", "mar", "apr", "mai may", "jun", "jul", "aug", "sep", "okt oct", "nov", "des dec"), 1
    )
    for name in names.split()
}
_DEVICE_TIME = re.compile(r"(\d{1,2})[-. ]([A-Za-z]{3})[a-z]*\.?[-. ](\d{4}) (\d{2}:\d{2}:\d{2})(?:[.,](\d{1,6}))?\Z")
_GPS_TIME = re.compile(r"[A-Za-z]{3}\.? ([A-Za-z]{3})[a-z]*\.? (\d{1,2}) (\d{2}:\d{2}:\d{2}) (\S+) (\d{4})\Z")
_START_TIME = re.compile(
    r"#\s*StartTime\s*=\s*(\d{2}/\d{2}/\d{4}) (\d{1,2}:\d{2}:\d{2})(?:\.\d*)?\s*([AP]M)?", re.IGNORECASE
)
_NUMBER = re.compile(r"[0-9]{1,9}([.,][0-9]{1,12})?\Z")


@dataclass
class _Day:
    began: datetime
    metres: float = 0.0
    seconds: float = 0.0
    braking: int = 0
    acceleration: int = 0


@dataclass
class _Columns:
    """Where in a row the time and the speed stand."""

    width: int
    speed: int
    factor: float
    clock: int | None = None
    elapsed: int | None = None


@dataclass
class _Log:
    """What was read so far: the row before, and the days."""

    columns: _Columns | None = None
    start: datetime | None = None
    before: tuple[datetime, float] | None = None
    anchor: tuple[datetime, float] | None = None
    manoeuvre: str = ""
    days: dict[date, _Day] = field(default_factory=dict)

    def take(self, at: datetime, speed: float) -> None:
        """One row: seconds and metres since the one before, and hard manoeuvres, each once."""
        day = self.days.setdefault(at.astimezone(LOCAL).date(), _Day(at))
        if self.before is None or not timedelta(0) < at - self.before[0] <= LONGEST_STEP:
            self.before = self.anchor = (at, speed)
            self.manoeuvre = ""
            return
        seconds = (at - self.before[0]).total_seconds()
        day.metres += (speed + self.before[1]) / 2 * seconds
        day.seconds += seconds if speed > 0 or self.before[1] > 0 else 0
        self.before = (at, speed)
        assert self.anchor is not None
        if at - self.anchor[0] < JUDGED_OVER:
            return
        change = (speed - self.anchor[1]) / (at - self.anchor[0]).total_seconds()
        self.anchor = (at, speed)
        now = "braking" if change <= HARSH_BRAKING else "acceleration" if change >= HARSH_ACCELERATION else ""
        if now and now != self.manoeuvre:
            setattr(day, now, getattr(day, now) + 1)
        self.manoeuvre = now


class ObdCsv:
    """A log of a car's own readings, as a file."""

    name = "obd-csv"
    title = "OBD-logg (CSV)"
    kinds = frozenset({"driving-day"})
    form: Literal["json", "text"] = "text"
    declaration = Declaration(
        organisation=Organisation("own-car", "Din egen bil"),
        channels=("file",),
        granularity="P1D",
        frequency="irregular",
        history=None,
        terms=Words(
            nb="Din egen fil, under ditt eget samtykke; kan slettes som alt annet.",
            nn="Di eiga fil, under ditt eige samtykke; kan slettast som alt anna.",
            en="Your own file, under a consent of your own; it can be erased like everything else.",
        ),
        format_source="docs/partners.md",
        guesses=(
            Words(
                nb="Filformatene til Torque og OBD Fusion er beskrevet etter minnet.",
                nn="Filformata til Torque og OBD Fusion er skildra etter minnet.",
                en="The file formats of Torque and OBD Fusion are described from memory.",
            ),
            Words(
                nb="Grensene for brå bremsing (3,5 m/s²) og hard gass (3,0 m/s²) er våre egne.",
                nn="Grensene for brå bremsing (3,5 m/s²) og hard gass (3,0 m/s²) er våre eigne.",
                en="The thresholds for hard braking (3.5 m/s²) and hard acceleration (3.0 m/s²) are our own.",
            ),
        ),
        limits=(
            Words(
                nb="Fartsgrenser, svinger, telefonbruk og hva bilen går på, står ikke i slike filer. Posisjoner leses aldri.",
                nn="Fartsgrenser, svingar, telefonbruk og kva bilen går på, står ikkje i slike filer. Posisjonar vert aldri lesne.",
                en="Speed limits, turns, phone use and what the car runs on are not in such files. Positions are never read.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One record a day that was driven; a longer copy of the same log stands for the shorter."""
        log = _Log()
        problems: list[str] = []
        for number, line in lines_of(payload):
            try:
                _read(log, line)
            except ValueError as error:
                problems.append(f"line {number}: {error}")
        if log.columns is None:
            raise UnusablePayload(
                problems[0]
                if problems
                else "no line names a column with the speed (Speed (OBD)(km/h), Vehicle speed) and one with the time"
            )
        for problem in problems[:PROBLEMS_TOLD]:
            yield UnusablePayload(problem)
        if len(problems) > PROBLEMS_TOLD:
            yield UnusablePayload(f"and {len(problems) - PROBLEMS_TOLD} lines more that could not be read")
        for day, driven in sorted(log.days.items()):
            if driven.seconds > 0:
                yield _record(day, driven)


def _record(day: date, driven: _Day) -> Normalised:
    mark = hashlib.sha256(driven.began.astimezone(UTC).isoformat().encode()).hexdigest()[:12]
    activity: dict[str, Any] = driven_on(day) | {
        "@id": f"obd:{day.isoformat()}/{mark}",
        "quantity": round(driven.metres / 1000, 1),
        "engine": "unknown",
        "drivingMinutes": round(driven.seconds / 60),
        "harshBraking": driven.braking,
        "harshAcceleration": driven.acceleration,
        "source": "OBD",
    }
    return Normalised(activity, may_replace=True)


def _read(log: _Log, line: str) -> None:
    """One line into the log.

    Raises:
        ValueError: it is none of the file's; says why.
    """
    if line.lstrip().startswith("#"):
        found = _START_TIME.search(line)
        if found:
            log.start = _start_time(*found.groups())
        return
    row = _cells(line)
    columns = _columns(row, log)
    if columns is not None:
        log.columns, log.before = columns, None
        return
    columns = log.columns
    if columns is None:
        return  # what stands before the heading is the app's own
    while len(row) > columns.width and not row[-1]:
        row.pop()
    if len(row) > columns.width:
        raise ValueError("more columns than the heading: decimal commas in a file that is divided by commas?")
    speed_text = row[columns.speed] if columns.speed < len(row) else ""
    if speed_text in {"", "-"}:
        return  # not measured
    speed = _number(speed_text) * columns.factor
    if speed > FASTEST:
        raise ValueError("a speed that no car has")
    at = _moment(row, columns, log.start)
    if at is not None:
        log.take(at, speed)


def _cells(line: str) -> list[str]:
    delimiter = max(";,\t", key=line.count)
    if ";" in line:
        delimiter = ";"
    try:
        row = next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        raise ValueError("no row of a CSV file") from None
    return [cell.strip() for cell in row]


def _columns(row: list[str], log: _Log) -> _Columns | None:
    """The places, where this row is a heading that has both; else None."""
    names = [cell.lower() for cell in row]
    while names and not names[-1]:
        names.pop()
    speeds = [
        (rank, index)
        for index, name in enumerate(names)
        for rank, words in enumerate((("speed", "obd"), ("vehicle", "speed"), ("gps", "speed"), ("speed",)))
        if all(word in name.replace("_", " ") for word in words) and "engine" not in name and "limit" not in name
    ]
    if not speeds:
        return None
    _, speed = min(speeds)
    unit = re.search(r"\(([^()]*)\)\s*$", names[speed])
    written = unit[1].strip() if unit else ""
    if written and written not in _UNITS:
        raise ValueError(f"the speed's unit is none of {', '.join(_UNITS)}")
    places = _Columns(len(names), speed, _UNITS[written or "km/h"])
    for wanted in ("device time", "gps time", "timestamp", "date", "time"):
        places.clock = next(
            (index for index, name in enumerate(names) if name.partition("(")[0].strip() == wanted), None
        )
        if places.clock is not None:
            break
    if places.clock is not None and names[places.clock].endswith(("(sec)", "(s)")):
        places.elapsed, places.clock = places.clock, None
        if log.start is None:
            raise ValueError(
                "the time counts seconds, and no line “# StartTime = …” tells from when: no day can be told"
            )
    if places.clock is None and places.elapsed is None:
        raise ValueError("no column tells the time (Device Time, GPS Time, timestamp): no day can be told")
    return places


def _moment(row: list[str], columns: _Columns, start: datetime | None) -> datetime | None:
    if columns.elapsed is not None:
        assert start is not None
        return start + timedelta(seconds=_number(row[columns.elapsed] if columns.elapsed < len(row) else ""))
    assert columns.clock is not None
    text = row[columns.clock] if columns.clock < len(row) else ""
    if text in {"", "-"}:
        return None
    return moment_of(text)


def moment_of(text: str) -> datetime:
    """A time as these apps write it; without a zone it is local.

    >>> moment_of("22-Nov-2026 08:11:57.233").isoformat()
    '2026-11-22T08:11:57.233000+01:00'
    >>> moment_of("Sun Nov 22 08:11:57 GMT+01:00 2026").isoformat()
    '2026-11-22T08:11:57+01:00'

    Raises:
        ValueError: none of the forms.
    """
    device, gps = _DEVICE_TIME.match(text), _GPS_TIME.match(text)
    try:
        if device:
            day, month, year, clock, fraction = device.groups()
            shown = f"{year}-{_MONTHS[month.lower()]:02d}-{int(day):02d}T{clock}.{(fraction or '0').ljust(6, '0')}"
            return _on_the_calendar(datetime.fromisoformat(shown).replace(tzinfo=LOCAL))
        if gps:
            month, day, clock, zone, year = gps.groups()
            offset = zone.removeprefix("GMT").removeprefix("UTC") or "+00:00"
            return _on_the_calendar(
                datetime.fromisoformat(f"{year}-{_MONTHS[month.lower()]:02d}-{int(day):02d}T{clock}{offset}")
            )
        at = datetime.fromisoformat(text)
        return _on_the_calendar(at if at.tzinfo else at.replace(tzinfo=LOCAL))
    except (ValueError, KeyError, OverflowError):
        raise ValueError("a time like 22-Nov-2026 08:11:57 or 2026-11-22T08:11:57 is expected") from None


def _on_the_calendar(at: datetime) -> datetime:
    if not 1990 <= at.year <= 2098:
        raise ValueError("a year outside the calendar")
    return at


def _start_time(day: str, clock: str, half: str | None) -> datetime:
    text = f"{day} {clock} {half or ''}".strip()
    return _on_the_calendar(
        datetime.strptime(text, "%m/%d/%Y %I:%M:%S %p" if half else "%m/%d/%Y %H:%M:%S").replace(tzinfo=LOCAL)
    )


def _number(text: str) -> float:
    if not _NUMBER.match(text):
        raise ValueError("a number like 52,3 is expected")
    return float(text.replace(",", "."))

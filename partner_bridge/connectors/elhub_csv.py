"""Elhub's CSV for end users: `Fra,Til,KWH 60 Forbruk,Kvalitet`, as a citizen downloads it (docs/partners.md).

Traps: decimal comma, so that numbers stand in quotes or semicolons divide the columns; local time without zone, so
that in autumn one hour comes twice and in spring one never; an empty value is a gap, not zero; `Stipulert` and
`Estimert` are estimates, which a later file's `Målt` replaces; a byte order mark; columns in another order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Context, Normalised, instant
from partner_bridge.connectors.text_files import rows_of
from partner_bridge.errors import UnusablePayload

LOCAL = ZoneInfo("Europe/Oslo")
LONGEST = timedelta(hours=1)

_FORMATS = (
    "%d.%m.%Y %H:%M",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
)
_VALUE_COLUMN = re.compile(r"kwh\s*(\d+)?\s*forbruk", re.IGNORECASE)
_QUALITY = {
    "målt": "measured",
    "maalt": "measured",
    "estimert": "estimated",
    "stipulert": "estimated",
    "anslått": "estimated",
}


class ElhubCsv:
    """A file of hourly (or quarter-hourly) consumption."""

    name = "elhub-csv"
    title = "Elhub (CSV)"
    kinds = frozenset({"electricity-reading"})
    form: Literal["json", "text"] = "text"
    declaration = Declaration(
        organisation=Organisation("elhub", "Elhub", "https://elhub.no"),
        channels=("file",),
        granularity="PT15M",
        frequency="irregular",
        history=None,
        terms=Words(
            nb="Din egen fil, under ditt eget samtykke; ingen andre får vite at du har lagt den inn.",
            nn="Di eiga fil, under ditt eige samtykke; ingen andre får vite at du har lagt ho inn.",
            en="Your own file, under your own consent; nobody else learns that you brought it.",
        ),
        format_source="docs/partners.md",
        limits=(
            Words(
                nb="Timer uten verdi i filen blir hull, ikke null.",
                nn="Timar utan verdi i fila blir hol, ikkje null.",
                en="Hours without a value in the file become gaps, not zero.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One reading a row with a value."""
        rows = rows_of(payload, ";" if _is_semicolon(payload) else ",")
        _, names = next(rows, (0, None))
        header = [cell.strip().lower() for cell in names or ()]
        value_column = next((index for index, cell in enumerate(header) if _VALUE_COLUMN.search(cell)), None)
        if value_column is None or "fra" not in header or "til" not in header:
            raise UnusablePayload("the first line is not Elhub's: Fra, Til, KWH 60 Forbruk, Kvalitet")
        from_column, to_column = header.index("fra"), header.index("til")
        quality_column = header.index("kvalitet") if "kvalitet" in header else None
        previous_end: datetime | None = None
        for number, row in rows:
            if row is None:
                yield UnusablePayload(f"line {number} is no line of a CSV file")
                continue
            if not any(cell.strip() for cell in row):
                continue
            if len(row) <= max(from_column, to_column, value_column, quality_column or 0):
                yield UnusablePayload(f"line {number} has too few columns")
                continue
            try:
                start, end = interval(row[from_column].strip(), row[to_column].strip(), previous_end)
                previous_end = end
                text = row[value_column].strip()
                if not text:
                    continue  # a gap stays a gap
                quantity = decimal_comma(text)
            except OverflowError:
                yield UnusablePayload(f"line {number}: a time outside the calendar")
                continue
            except (ValueError, UnusablePayload) as error:
                yield UnusablePayload(f"line {number}: {error}")
                continue
            quality = _QUALITY.get(row[quality_column].strip().lower()) if quality_column is not None else None
            activity = {
                "@id": f"elhub-csv:{instant(start)}/{(end - start) // timedelta(minutes=1)}",
                "@type": "ElectricityReading",
                "start": instant(start),
                "end": instant(end),
                "quantity": quantity,
                "unit": "KiloW-HR",
                "source": "Elhub",
            }
            if quality is not None:
                activity["quality"] = quality
            yield Normalised(activity, may_replace=quality == "measured")


def interval(from_text: str, to_text: str, previous_end: datetime | None) -> tuple[datetime, datetime]:
    """Local wall-clock times as an interval in UTC.

    Where the autumn's hour comes twice, the rows' order tells which it is: a row never begins before the one before
    it ended.

    Args:
        from_text: Where the row begins, local time.
        to_text: Where it ends, local time.
        previous_end: Where the row before it ended, UTC.

    Raises:
        ValueError: no times, a time that the spring's change of clocks skipped, or an interval longer than an hour.
    """
    start_wall, end_wall = wall_clock(from_text), wall_clock(to_text)
    shown = end_wall - start_wall
    candidates = set()
    for start in _instants(start_wall):
        candidates |= {(start, end) for end in _instants(end_wall) if timedelta(0) < end - start <= LONGEST}
        if timedelta(0) < shown <= LONGEST and _instants(end_wall):
            # Some files write the repeated hour as 02:00-03:00 both times.
            candidates.add((start, start + shown))
    if not candidates:
        if not _instants(start_wall) or not _instants(end_wall):
            raise ValueError("a local time that the change to summer time skipped")
        raise ValueError("the row does not span an hour or a part of one")
    following = [each for each in candidates if previous_end is None or each[0] >= previous_end]
    return min(following or candidates)


def _instants(wall: datetime) -> list[datetime]:
    """The one or two instants at which local clocks show this; none in the skipped hour."""
    found = {wall.replace(tzinfo=LOCAL, fold=fold).astimezone(UTC) for fold in (0, 1)}
    return sorted(each for each in found if each.astimezone(LOCAL).replace(tzinfo=None) == wall)


def wall_clock(text: str) -> datetime:
    """A local time in one of the forms seen.

    Raises:
        ValueError: none of them.
    """
    for form in _FORMATS:
        try:
            return datetime.strptime(text, form)  # noqa: DTZ007 - wall-clock time, the zone follows from the source
        except ValueError:
            continue
    raise ValueError("a time like 25.10.2026 02:00 is expected")


def decimal_comma(text: str) -> float:
    """A number written with a decimal comma (or point), spaces between thousands.

    Raises:
        ValueError: no finite number, or a negative one.
    """
    cleaned = text.replace("\u00a0", "").replace(" ", "").replace(",", ".")
    if not re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,15})?", cleaned):
        raise ValueError("a number like 1,234 is expected")
    return float(cleaned)


def _is_semicolon(payload: bytes) -> bool:
    first, _, _ = payload.partition(b"\n")
    return first.count(b";") > first.count(b",")

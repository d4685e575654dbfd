"""Hourly electricity as `start,value`: one hour a row, ISO times (UTC where no offset is written), kWh.

Traps: an empty or `nan` value is a gap; the same start twice with one value is one reading, with two values it is
neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Literal

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Context, Normalised, instant
from partner_bridge.connectors.text_files import rows_of
from partner_bridge.errors import UnusablePayload

_GAPS = frozenset({"", "nan", "null", "none", "na"})


class HourlyCsv:
    """A file of hourly consumption."""

    name = "hourly-csv"
    title = "Hourly electricity (CSV)"
    kinds = frozenset({"electricity-reading"})
    form: Literal["json", "text"] = "text"
    declaration = Declaration(
        organisation=Organisation("own-files", "Egne filer"),
        channels=("file", "push"),
        granularity="PT1H",
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
                nb="Tider uten sone leses som UTC.",
                nn="Tider utan sone blir lesne som UTC.",
                en="Times without a zone are read as UTC.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One reading a row with a value."""
        rows = rows_of(payload, ",")
        _, names = next(rows, (0, None))
        header = [cell.strip().lower() for cell in names or ()]
        if header[:2] != ["start", "value"]:
            raise UnusablePayload("the first line is not start,value")
        for number, row in rows:
            if row is None:
                yield UnusablePayload(f"line {number} is no line of a CSV file")
                continue
            if not any(cell.strip() for cell in row):
                continue
            if len(row) < 2:
                yield UnusablePayload(f"line {number} has too few columns")
                continue
            if row[1].strip().lower() in _GAPS:
                continue
            try:
                at = datetime.fromisoformat(row[0].strip())
                start = at.replace(tzinfo=UTC) if at.tzinfo is None else at
                quantity = float(row[1])
            except ValueError:
                yield UnusablePayload(f"line {number}: a time like 2026-11-23T12:00:00Z and a number are expected")
                continue
            if not math.isfinite(quantity) or quantity < 0:
                yield UnusablePayload(f"line {number}: no finite amount of energy")
                continue
            try:
                start_text, end_text = instant(start), instant(start, timedelta(hours=1))
            except UnusablePayload as error:
                yield UnusablePayload(f"line {number}: {error}")
                continue
            yield Normalised(
                {
                    "@id": f"hourly:{start_text}",
                    "@type": "ElectricityReading",
                    "start": start_text,
                    "end": end_text,
                    "quantity": quantity,
                    "unit": "KiloW-HR",
                    "source": "start,value",
                }
            )

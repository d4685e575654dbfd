"""Apple Health: what the Health app of a telephone saves when its owner asks for all their data.

Format: `export.zip` holds `apple_health_export/export.xml` beside other files (routes, electrocardiograms, a clinical document);
in it one `<Record type sourceName device unit startDate endDate value>` a measurement, after a document type definition of its
own (docs/partners.md; M: from exports seen, Apple publishes no description).

Traps: a year is hundreds of megabytes, so the file is read as a stream and nothing of it is kept but sums; telephone, watch and
other makers' apps all write the same walk, each under its own name; the devices carry their owner's name, which is left out;
what was typed in by hand is no measurement; times have offsets, and a space before them; distances are km, miles or metres.
Entities, which this format has none of, are refused: they are how such files attack their readers.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO, Literal
from xml.parsers import expat

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Context, Normalised
from partner_bridge.connectors.walking import Quarters
from partner_bridge.errors import UnusablePayload

_STEPS = "HKQuantityTypeIdentifierStepCount"
_DISTANCE = "HKQuantityTypeIdentifierDistanceWalkingRunning"
_METRES = {"km": 1000.0, "m": 1.0, "mi": 1609.344}
_BY_HAND = "HKWasUserEntered"
_PIECE_BYTES = 256 * 1024


class AppleHealth:
    """Steps and the distance walked and run."""

    name = "apple-health"
    title = "Apple Health"
    kinds = frozenset({"step-count"})
    form: Literal["json", "text"] = "text"
    member = "export.xml"
    """The one file of the archive that is read."""

    declaration = Declaration(
        organisation=Organisation("apple", "Apple", "https://www.apple.com"),
        channels=("file",),
        granularity="PT15M",
        frequency="irregular",
        history=None,
        terms=Words(
            nb="Du lagrer filen fra Helse-appen og legger den inn selv; Apple får ikke vite om det.",
            nn="Du lagrar fila frå Helse-appen og legg henne inn sjølv; Apple får ikkje vite om det.",
            en="You save the file from the Health app and bring it yourself; Apple is not told.",
        ),
        format_source="docs/partners.md",
        guesses=(
            Words(
                nb="Apple beskriver ikke filen; leseren følger filer som er sett.",
                nn="Apple beskriv ikkje fila; lesaren følgjer filer som er sett.",
                en="Apple does not describe the file; the reader follows files that were seen.",
            ),
        ),
        limits=(
            Words(
                nb="Bare skritt og gangavstand. Puls, søvn, sykling, trapper og steder leses ikke, og det du har tastet selv, tas ikke med.",
                nn="Berre steg og gangavstand. Puls, søvn, sykling, trapper og stader vert ikkje lesne, og det du har tasta sjølv, vert ikkje teke med.",
                en="Steps and walking distance only. Heart rate, sleep, cycling, stairs and places are not read, and what you typed yourself is left out.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:
        """One record a device and quarter of an hour in which somebody walked."""
        return self.stream(io.BytesIO(payload), context)

    def stream(self, file: BinaryIO, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """As `normalise`, of a file that is read piece by piece.

        Raises:
            UnusablePayload: it is no such file, is cut, or declares entities; nothing of it is taken in.
        """
        reader = _Reader()
        parser = expat.ParserCreate()
        parser.StartElementHandler, parser.EndElementHandler = reader.begin, reader.end
        parser.EntityDeclHandler = _refuse_entities
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        try:
            while piece := file.read(_PIECE_BYTES):
                parser.Parse(piece, False)
            parser.Parse(b"", True)
        except expat.ExpatError as error:
            raise UnusablePayload(f"line {error.lineno}: not well-formed XML, or the file is cut") from None
        except (ValueError, LookupError):
            raise UnusablePayload("the file is in an encoding that no export of Apple Health has") from None
        if not reader.is_export:
            raise UnusablePayload("the file is no export of Apple Health: its root is not HealthData")
        yield from reader.problems()
        yield from reader.quarters.records()


def _refuse_entities(*_: object) -> None:
    raise UnusablePayload("the file declares entities, which no export of Apple Health does")


class _Reader:
    """What is kept while the file goes by: sums, and how many records could not be used."""

    def __init__(self) -> None:
        self.quarters = Quarters("apple-health", "Apple Health")
        self.is_export = False
        self._unusable = 0
        self._first = ""
        self._depth = 0
        self._record: dict[str, str] | None = None

    def begin(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 0:
            self.is_export = tag == "HealthData"
        self._depth += 1
        if tag == "Record" and attributes.get("type") in {_STEPS, _DISTANCE}:
            self._record = attributes
        elif tag == "MetadataEntry" and attributes.get("key") == _BY_HAND and attributes.get("value") == "1":
            self._record = None

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "Record" and self._record is not None:
            record, self._record = self._record, None
            try:
                self._add(record)
            except (UnusablePayload, ValueError, KeyError, OverflowError) as error:
                self._unusable += 1
                self._first = self._first or (
                    str(error) if isinstance(error, UnusablePayload) else "times or values that are none"
                )

    def _add(self, record: dict[str, str]) -> None:
        start, end = _time(record["startDate"]), _time(record["endDate"])
        value = float(record["value"])
        if not 0 <= value < 1e6:
            raise UnusablePayload("a value that no walk has")
        name, device = record.get("sourceName", ""), record.get("device", "")
        steps = metres = 0.0
        if record["type"] == _STEPS:
            steps = value
        else:
            metres = value * _METRES[record.get("unit", "km")]
        self.quarters.add(name, _label(name, device), start, end, steps, metres)

    def problems(self) -> Iterator[UnusablePayload]:
        if self._unusable:
            yield UnusablePayload(f"{self._unusable} of the file's records could not be read; the first: {self._first}")


def _label(name: str, device: str) -> str:
    """What kind of device it is; never what its owner calls it."""
    both = f"{name} {device}"
    return next(
        (kind for kind in ("Watch", "iPhone", "iPad", "Garmin", "Fitbit", "Polar", "Strava") if kind in both), "app"
    )


def _time(text: str) -> datetime:
    """`2026-11-23 08:02:11 +0100`."""
    at = datetime.fromisoformat(text[:19] + text[19:].strip())
    if at.tzinfo is None:
        raise UnusablePayload("a time without its zone")
    return at.astimezone(UTC)

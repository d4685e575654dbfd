"""Apple Health's files and Google Health's minutes: devices apart, owners' names gone, large files as streams."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from partner_bridge.channels import file_drop
from partner_bridge.channels.file_drop import open_stream
from partner_bridge.connectors import find_connector
from partner_bridge.connectors.normalising import Ask, Context, Normalised, Took, normalise
from partner_bridge.errors import BodyTooLarge, BodyUnreadable, UnusablePayload
from partner_bridge.import_files import import_files

SAMPLES = Path(__file__).parents[2] / "samples"
APPLE, GOOGLE = find_connector("apple-health"), find_connector("google-health")
CONTEXT = Context(datetime(2026, 11, 23, 20, tzinfo=UTC))
EXPORT = (SAMPLES / "apple-health-export.xml").read_bytes()


def read(connector, payload: bytes):
    made = list(normalise(connector, payload, CONTEXT))
    return [each.activity for each in made if isinstance(each, Normalised)], [
        str(each) for each in made if isinstance(each, UnusablePayload)
    ]


def walks(activities):
    return sorted((each["start"][11:16], each["quantity"], each["source"].split(" (")[1][:5]) for each in activities)


def test_apple_health_keeps_devices_apart_and_shares_a_walk_among_quarters() -> None:
    activities, problems = read(APPLE, EXPORT)
    assert walks(activities) == [("08:00", 812, "iPhon"), ("08:00", 840 + 450, "Watch"), ("08:15", 450, "Watch")]
    (problem,) = problems
    assert problem.startswith(
        "1 of the file's records could not be read; the first: a count of steps that ends before it starts"
    )
    assert next(each for each in activities if each.get("distanceMetres"))["distanceMetres"] == 610.0
    assert "Kari" not in json.dumps(activities), "a device carries its owner's name"


def test_what_was_typed_by_hand_is_no_measurement() -> None:
    activities, _ = read(APPLE, EXPORT)
    assert all(each["quantity"] < 5000 for each in activities)
    activities, _ = read(GOOGLE, (SAMPLES / "google-health-steps.json").read_bytes())
    assert walks(activities) == [("08:00", 93, "watch"), ("08:00", 179, "phone")]


ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE HealthData [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><HealthData>&b;</HealthData>"""
OUTSIDE = (
    b"""<!DOCTYPE HealthData [<!ENTITY x SYSTEM "file:///etc/passwd">]><HealthData><Record type="&x;"/></HealthData>"""
)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (ENTITIES, "entities"),
        (OUTSIDE, "entities"),
        (b'<!DOCTYPE HealthData [<!ENTITY % p "x">]><HealthData/>', "entities"),
        (EXPORT[: len(EXPORT) // 2], "cut"),
        (b"<html></html>", "HealthData"),
        (b"not xml", "not well-formed"),
        (b"", "not well-formed"),
        (b'<?xml version="1.0" encoding="x-nonsense"?><HealthData/>', "encoding"),
    ],
)
def test_a_bomb_a_cut_file_or_another_file_is_refused_and_nothing_of_it_taken(payload: bytes, says: str) -> None:
    activities, problems = read(APPLE, payload)
    assert activities == []
    assert len(problems) == 1
    assert says in problems[0]


def zipped(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), content)
    return file.getvalue()


def test_the_one_file_of_the_archive_is_read_beside_others_and_twice_is_once(city, tmp_path) -> None:
    city.citizen("kari")
    file = tmp_path / "export.zip"
    file.write_bytes(zipped(apple_health_export__export_xml=EXPORT, apple_health_export__export_cda_xml=b"<x/>"))
    first = import_files(city.host, "kari", "apple-health", [file])
    again = import_files(city.host, "kari", "apple-health", [file])
    assert (first.accepted, first.refused) == (3, 1)
    assert (again.accepted, again.duplicates) == (0, 3)


def test_an_archive_without_the_file_or_that_unpacks_without_end_is_refused(monkeypatch) -> None:
    for content, error in (
        (zipped(photo=b"x"), BodyUnreadable),
        (b"", BodyUnreadable),
        (b"PK\x03\x04rest", BodyUnreadable),
    ):
        with pytest.raises(error), open_stream("export.zip", io.BytesIO(content), APPLE):
            pass
    monkeypatch.setattr(file_drop, "STREAM_LIMIT_BYTES", 1000)
    with pytest.raises(BodyTooLarge), open_stream("export.zip", io.BytesIO(zipped(export_xml=EXPORT)), APPLE):
        pass
    with pytest.raises(BodyTooLarge), open_stream("export.xml", io.BytesIO(EXPORT), APPLE) as opened:
        list(APPLE.stream(opened, CONTEXT))


class Endless(io.RawIOBase):
    """An export of some megabytes that is made while it is read."""

    def __init__(self, records: int) -> None:
        self.left, self.begun, self.at = records, False, datetime(2026, 1, 1, tzinfo=UTC)

    def read(self, size: int = -1) -> bytes:
        if not self.begun:
            self.begun = True
            return b"<HealthData>"
        if self.left == 0:
            self.left = -1
            return b"</HealthData>"
        if self.left < 0:
            return b""
        number = min(self.left, 500)
        self.left -= number
        lines = []
        for _ in range(number):
            self.at += timedelta(seconds=10)
            at = f"{self.at:%Y-%m-%d %H:%M:%S} +0000"
            lines.append(
                f'<Record type="HKQuantityTypeIdentifierStepCount" sourceName="Watch" startDate="{at}" endDate="{at}" value="3"/>'
            )
        return "\n".join(lines).encode()


def test_a_large_export_costs_memory_for_its_quarters_and_not_for_its_records() -> None:
    tracemalloc.start()
    try:
        made = list(APPLE.stream(Endless(8000), CONTEXT))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(each.activity["quantity"] for each in made) == 24_000
    assert peak < 600_000, "the records alone are some nine hundred kilobytes of text"


def test_google_health_is_asked_a_day_at_a_time_and_its_pages_become_one_day() -> None:
    now = datetime(2026, 11, 23, 12, 7, tzinfo=UTC)
    (point, *_) = json.loads((SAMPLES / "google-health-steps.json").read_bytes())["dataPoints"]
    pull = GOOGLE.pull({"steps": "2026-11-23T11:45:00+00:00"}, now)
    asked = next(pull)
    assert isinstance(asked, Ask)
    assert "2026-11-22T11%3A45%3A00Z" in asked.path, "it begins a day before: a watch may have been out of reach"
    asked = pull.send(json.dumps({"dataPoints": [point], "nextPageToken": "p2"}).encode())
    assert isinstance(asked, Ask)
    assert asked.path.endswith("pageToken=p2")
    took = pull.send(json.dumps({"dataPoints": [point]}).encode())
    assert isinstance(took, Took)
    assert took.cursor == {"steps": "2026-11-23T11:45:00+00:00"}
    activities, problems = read(GOOGLE, took.payload)
    assert ([each["quantity"] for each in activities], problems) == ([176], [])
    rest = pull.send(b"")
    assert isinstance(rest, Ask)
    assert "2026-11-23T12%3A00%3A00Z" in rest.path, "up to the last whole quarter"


def test_pages_without_end_are_no_answer() -> None:
    pull = GOOGLE.pull({}, datetime(2026, 11, 23, 12, tzinfo=UTC))
    next(pull)
    for _ in range(19):
        assert isinstance(pull.send(b'{"nextPageToken": "again"}'), Ask)
    with pytest.raises(UnusablePayload, match="pages"):
        pull.send(b'{"nextPageToken": "again"}')

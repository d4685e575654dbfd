"""Bad input at the partners' two doors: each gets a clear answer, spoils nothing but itself, and is not repeated."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from whole_house import JSON_PROBLEM, NDJSON, assert_is_a_clear_problem, slug_of

from partner_bridge.connectors import CONNECTORS, find_connector
from pod_server import grants
from pod_server.activities import count_records
from pod_server.identifiers import Actor

CITIZEN = Actor("citizen")
SAMPLES = Path(__file__).parents[2] / "samples"
SAMPLE_OF = {
    "oss": "oss-telemetry.json",
    "tronderenergi": "tronderenergi-hours.json",
    "elhub-csv": "elhub-autumn.csv",
    "hourly-csv": "hourly-utc.csv",
    "rema1000": "rema1000-receipt.json",
    "atb": "atb-fare-contracts.json",
    "waste-weights": "waste-weights.json",
    "garmin": "garmin-epochs.json",
    "apple-health": "apple-health-export.xml",
    "google-health": "google-health-steps.json",
    "han": "han-minutes.json",
    "sparebank1": "sparebank1-transactions.json",
    "sparebank1-csv": "sparebank1-account.csv",
    "berlin-group": "berlin-group.json",
    "sparebank1-driving": "sparebank1-driving.json",
    "obd-csv": "obd-torque.csv",
}
ONE_PAYLOAD_IS_A_LIST = {"garmin"}
ONE_HOUR = "start,value\n2026-11-22T00:00:00Z,0.5\n"
ENDS_OF_THE_CALENDAR = (
    "0001-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59Z",
    "9999-12-31T23:59:59-14:00",
)
HOSTILE = (
    None, True, -1, 1e308, -1e308, 10**30, 5e-324, "", "x", "\x00", "9" * 500, "NaN", "2026-11-23T12:00:00", "2026-11-23",
    "9999-12-31", "0001-01-01", [], {}, [[]], [None], "\u202e" * 20, *ENDS_OF_THE_CALENDAR,
)  # fmt: skip


def reading(number: int = 0, **members):
    start = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(hours=number)
    return {
        "@id": f"urn:test:{number}",
        "@type": "ElectricityReading",
        "start": start.isoformat(),
        "end": (start + timedelta(hours=1)).isoformat(),
        "quantity": 1.5,
        "unit": "KiloW-HR",
        **members,
    }


def spoiled(value, path, replacement):
    """A copy of a JSON value with something else at one place."""
    if not path:
        return replacement
    copy = value.copy()
    copy[path[0]] = spoiled(value[path[0]], path[1:], replacement)
    return copy


def places(value, path=()):
    """The paths of every place in a JSON value; of a list its first."""
    yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for name, part in inside:
        yield from places(part, (*path, name))


def stored(house, citizen) -> int:
    with house.host.storage.read() as tx:
        return count_records(tx, citizen.pod_id)


def one_answer(deliverer, line: str | bytes):
    answer = deliverer.send("POST", "/bridge/activities", line)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    (item,) = answer.json
    return item


@pytest.mark.parametrize(
    ("members", "slug"),
    [
        ({"unit": "KiloGM"}, "not-an-activity"),
        ({"unit": "kWh"}, "not-an-activity"),
        ({"unit": None}, "not-an-activity"),
        ({"quantity": -0.1}, "not-an-activity"),
        ({"quantity": 1e9}, "not-an-activity"),
        ({"quantity": "1.5"}, "not-an-activity"),
        ({"start": "2099-01-01T00:00:00Z", "end": "2099-01-01T01:00:00Z"}, "in-the-future"),
        ({"start": "1950-01-01T00:00:00Z", "end": "1950-01-01T01:00:00Z"}, "not-an-activity"),
        ({"start": "2015-01-01T00:00:00Z", "end": "2015-01-01T01:00:00Z"}, "outside-window"),
        ({"start": "2026-11-22T02:00:00Z", "end": "2026-11-22T01:00:00Z"}, "not-an-activity"),
        ({"start": "2026-11-22T02:00:00"}, "not-an-activity"),
        ({"@context": {"start": "https://elsewhere.example/"}}, "not-an-activity"),
        ({"@graph": []}, "not-an-activity"),
        ({"__proto__": {}}, "not-an-activity"),
        *(({"start": text, "end": text}, "not-an-activity") for text in ENDS_OF_THE_CALENDAR[:2]),
    ],
)
def test_an_activity_that_is_wrong_is_refused_by_name(house, kari, deliverer, grant, members, slug):
    item = one_answer(deliverer, json.dumps({"grant": grant, "activity": reading(**members)}))
    assert (item["status"], slug_of(item["problem"])) == ("refused", slug)
    assert item["problem"]["title"]
    assert stored(house, kari) == 0


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "0x10", "1" * 400])
def test_a_number_that_is_none_is_refused(house, kari, deliverer, grant, number):
    line = json.dumps({"grant": grant, "activity": reading(quantity=4711.25)}).replace("4711.25", number)
    item = one_answer(deliverer, line)
    assert item["status"] == "refused"
    assert slug_of(item["problem"]) in {"broken-item", "not-an-activity"}
    assert stored(house, kari) == 0


@pytest.mark.parametrize(
    "grant_text",
    ['""', "null", "1", '"\\u0000"', '"\\ud800"', '"g-nobody"', '"' + "g" * 50_000 + '"', '"\' OR 1=1 --"'],
)
def test_a_grant_that_is_none_is_refused(deliverer, grant_text):
    item = one_answer(deliverer, f'{{"grant": {grant_text}, "activity": {json.dumps(reading())}}}')
    assert item["status"] == "refused"
    assert slug_of(item["problem"]) in {"broken-item", "no-such-grant"}
    assert len(json.dumps(item)) < 1000


def test_every_place_of_an_activity_may_hold_anything_and_nothing_breaks(house, kari, deliverer, grant):
    whole = reading(meter="m", quality="measured", source="s", correction=False, inferred=False)
    items = [
        {"grant": grant, "activity": spoiled(whole, path, value)} for path in places(whole) for value in HOSTILE if path
    ]
    answers = deliverer.deliver(*items, {"grant": grant, "activity": reading(9)})
    assert len(answers) == len(items) + 1 > 250
    assert answers[-1]["status"] == "accepted"
    assert {slug_of(item["problem"]) for item in answers if item["status"] == "refused"} <= {
        "not-an-activity", "in-the-future", "outside-window", "record-conflict", "too-fine-granularity",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(CONNECTORS))
def test_every_place_of_a_partners_payload_may_hold_anything_and_nothing_breaks(deliverer, grant, name):
    text = (SAMPLES / SAMPLE_OF[name]).read_text("utf-8")
    if find_connector(name).form == "text":
        lines = text.splitlines()
        payloads = [
            "\n".join([*lines[:row], delimiter.join([*cells[:column], str(value), *cells[column + 1 :]]), *lines[row + 1 :]])
            for delimiter in [";" if ";" in lines[0] else ","]
            for row in (0, 1, len(lines) - 1)
            for cells in [lines[row].split(delimiter)]
            for column in range(len(cells))
            for value in (*HOSTILE, "31.12.9999 23:30", "01.01.0001 00:00", '"', '"' + "x" * 140_000)
        ]  # fmt: skip
    else:
        sample = json.loads(text)
        whole = sample[0] if isinstance(sample, list) and name not in ONE_PAYLOAD_IS_A_LIST else sample
        payloads = [spoiled(whole, path, value) for path in places(whole) for value in HOSTILE]
    for first in range(0, len(payloads), 50):
        items = [{"grant": grant, "payload": payload} for payload in payloads[first : first + 50]]
        answer = deliverer.send("POST", f"/bridge/connectors/{name}", "\n".join(map(json.dumps, items)))
        assert answer.status_code == 200, answer.text
        assert {item["payload"] for item in answer.json} == set(range(len(items))), "a payload got no answer"


@pytest.mark.parametrize("name", sorted(CONNECTORS))
@pytest.mark.parametrize("payload", ["NaN", "Infinity", "[" * 100_000, '{"a":' * 50_000, "null", "1e999", '"\\ud800"'])
def test_a_payload_that_is_no_payload_is_its_own_problem(deliverer, grant, name, payload):
    answer = deliverer.send("POST", f"/bridge/connectors/{name}", f'{{"grant":"{grant}","payload":{payload}}}')
    assert answer.status_code == 200
    assert {item["status"] for item in answer.json} == {"refused"}
    assert {slug_of(item["problem"]) for item in answer.json} <= {"broken-item", "unusable-payload"}


@pytest.mark.parametrize("path", ["/bridge/activities", "/bridge/connectors/oss", "/bridge/connectors/hourly-csv"])
@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"", NDJSON, 400),
        (b"[", "application/json", 400),
        (b"[NaN", "application/json", 400),
        (b"{}", "application/json", 400),
        (b"\xff\xfe[\x00]\x00", "application/json; charset=utf-16", 400),
        (b"x", "text/plain", 415),
        (b"x", "", 415),
        (b"--x", "multipart/form-data; boundary=x", 415),
        (b"grant=g", "application/x-www-form-urlencoded", 415),
        (b"x" * 50_000_000, NDJSON, 413),
        (b" " * 11_000_000, NDJSON, 413),
    ],
)
def test_a_body_that_is_no_delivery_is_refused_as_a_whole(deliverer, path, body, media_type, status):
    assert_is_a_clear_problem(deliverer.send("POST", path, body, media_type), status=status)


@pytest.mark.parametrize("path", ["/bridge/activities", "/bridge/connectors/hourly-csv"])
@pytest.mark.parametrize(
    ("end", "slug"),
    [
        (lambda host, pod, grant: grants.withdraw(host, pod, grant, actor=CITIZEN), "consent-withdrawn"),
        (lambda host, pod, grant: grants.pause(host, pod, grant, actor=CITIZEN), "consent-paused"),
        (lambda host, pod, grant: grants.erase(host, pod, grant, actor=CITIZEN), "consent-erased"),
        (lambda host, pod, grant: host.clock.advance(timedelta(days=91)), "consent-expired"),
    ],
)
def test_a_consent_that_no_longer_holds_refuses_at_both_doors(house, kari, path, end, slug):
    deliverer = house.partner()
    grant = house.grant(kari, deliverer)
    end(house.host, kari.pod_id, grant)
    deliverer.token = deliverer.partner.own_token()
    item = {"grant": grant}
    if path.endswith("activities"):
        item["activity"] = reading()
    else:
        item["payload"] = ONE_HOUR
    answers = deliverer.deliver(item, path=path)
    assert {(each["status"], slug_of(each["problem"])) for each in answers} == {("refused", slug)}
    assert stored(house, kari) == 0


@pytest.mark.parametrize("path", ["/bridge/activities", "/bridge/connectors/hourly-csv"])
def test_a_foreign_grant_is_refused_at_both_doors_and_nothing_is_written(house, city, kari, grant, path):
    """Another partner's grant (kari's to the first), and one of another citizen's that names somebody else."""
    stranger = house.partner("Naboen AS")
    ola = city.citizen("ola")
    olas = house.grant(ola, house.partner("Olas AS"))
    for foreign in (grant, olas):
        item = {"grant": foreign, "activity": reading()} if path.endswith("activities") else {"grant": foreign, "payload": ONE_HOUR}  # fmt: skip
        answers = stranger.deliver(item, path=path)
        assert {(each["status"], slug_of(each["problem"])) for each in answers} == {("refused", "no-such-grant")}
    assert (stored(house, kari), stored(house, ola)) == (0, 0)


def test_a_duplicate_and_the_same_id_with_other_content(house, kari, deliverer, grant):
    lines = [reading(), reading(), reading(quantity=2.0)]
    told = [deliverer.deliver({"grant": grant, "activity": line})[0] for line in lines]
    assert [each["status"] for each in told] == ["accepted", "duplicate", "refused"]
    assert slug_of(told[2]["problem"]) == "record-conflict"
    assert stored(house, kari) == 1


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Authorization", ""),
        ("Authorization", "DPoP"),
        ("Authorization", "DPoP x.y.z"),
        ("Authorization", "Bearer x"),
        ("Authorization", "Basic !!!"),
        ("Authorization", "DPoP " + "a" * 20_000),
        ("DPoP", ""),
        ("DPoP", "e30.e30.e30"),
        ("DPoP", "eyJhbGciOiJub25lIn0.."),
    ],
)
@pytest.mark.parametrize("path", ["/bridge/activities", "/bridge/connectors/oss", "/bridge/receipts"])
def test_a_mistyped_token_or_proof_is_a_clear_401(deliverer, path, header, value):
    method = "GET" if path.endswith("receipts") else "POST"
    headers = deliverer.partner.authorised(method, deliverer.partner.host.base_url + path, deliverer.token)
    answer = deliverer.partner.client.open(path, method=method, headers=headers | {header: value})
    assert_is_a_clear_problem(answer, status=401)
    assert answer.headers["WWW-Authenticate"].startswith("DPoP")


@pytest.mark.parametrize("path", ["/bridge/activities", "/bridge/connectors/oss"])
def test_a_replayed_proof_is_a_clear_401(house, kari, deliverer, grant, path):
    headers = deliverer.partner.authorised("POST", house.host.base_url + path, deliverer.token)
    body = json.dumps({"grant": grant, "activity": reading()})
    first, second = (
        deliverer.partner.client.post(path, data=body, headers={"Content-Type": NDJSON, **headers}) for _ in range(2)
    )
    assert first.status_code == 200
    assert_is_a_clear_problem(second, status=401, slug="invalid-dpop-proof")


def test_no_answer_repeats_what_was_sent(deliverer, grant):
    """A canary at every place of every form; the answer's own `id` alone may tell a record's name."""
    canary = "kanarifugl"
    bodies = [("/bridge/activities", {"grant": grant, "activity": spoiled(reading(meter="m"), path, canary)})
              for path in places(reading(meter="m"))]  # fmt: skip
    bodies += [("/bridge/activities", {"grant": grant, "activity": {**reading(), canary: 1}}),
               ("/bridge/activities", {canary: grant, "activity": reading()})]  # fmt: skip
    assert SAMPLE_OF.keys() == CONNECTORS.keys()
    for name, file in SAMPLE_OF.items():
        text = (SAMPLES / file).read_text("utf-8")
        if find_connector(name).form == "text":
            lines = text.splitlines()
            spoiling = [lines[1].replace(cell, canary, 1) for cell in lines[1].replace(";", ",").split(",") if cell]
            bodies += [
                (f"/bridge/connectors/{name}", {"grant": grant, "payload": f"{lines[0]}\n{line}"}) for line in spoiling
            ]
            continue
        whole = json.loads(text)
        whole = whole[0] if isinstance(whole, list) else whole
        bodies += [
            (f"/bridge/connectors/{name}", {"grant": grant, "payload": spoiled(whole, path, canary)})
            for path in places(whole)
        ]
    problems = 0
    for path, item in bodies:
        answer = deliverer.send("POST", path, json.dumps(item))
        for each in answer.json:
            if "problem" in each:
                problems += 1
                assert canary not in json.dumps(each["problem"]), (path, item)
    assert problems > 30
    whole_bodies = [(canary.encode(), NDJSON), (b"[" + canary.encode(), "application/json"), (b"x", f"text/{canary}")]
    for body, media_type in whole_bodies:
        assert canary not in deliverer.send("POST", "/bridge/activities", body, media_type).text
    unknown = deliverer.send("GET", f"/bridge/receipts/{canary}")
    assert (unknown.status_code, unknown.headers["Content-Type"]) == (404, JSON_PROBLEM)
    assert canary not in unknown.text


def test_a_line_that_is_broken_far_into_a_delivery_is_told_in_its_place(deliverer, grant):
    """Line 57,000 (a tenth of that beside many other tests); each line is answered as if the others were not there."""
    far = 57_000 if os.environ.get("TVILLING_FAULT_RUNS") else 5_700
    good = json.dumps({"grant": grant, "activity": reading(1)}).encode()
    sent = [b'{"grant":"g","activity":{}}'] * (far + 10)
    sent[0] = sent[far - 2] = sent[far] = good
    sent[far - 1] = b'{"grant": "' + b"{" * 40
    answer = deliverer.send("POST", "/bridge/activities", b"\n".join(sent) + b"\n")
    told = answer.json
    assert len(told) == far + 10
    assert [told[place]["status"] for place in (0, far - 2, far)] == ["accepted", "duplicate", "duplicate"]
    broken = [
        place for place, each in enumerate(told, 1) if "problem" in each and slug_of(each["problem"]) == "broken-item"
    ]
    assert broken == [far]
    assert sum(each["status"] == "refused" for each in told) == far + 7

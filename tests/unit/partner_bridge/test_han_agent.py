"""The local agent: telegrams of three makes, cut and spoiled ones, minutes, a queue that survives, and a host that does not answer."""

from __future__ import annotations

import json
import random
import socket
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from han_telegrams import METER, aidon, broker, frame, kaifa, kamstrup
from whole_house import House, whole_app

from partner_bridge.channels.han_agent import (
    ConsentEnded,
    Drain,
    HanReader,
    Minute,
    MinuteQueue,
    listen_to_mqtt,
    serial_chunks,
)
from partner_bridge.connectors.han import Han
from partner_bridge.connectors.normalising import Context, normalise
from partner_bridge.errors import UnusablePayload
from pod_server import activities, grants
from pod_server.authorization.enforcement import require_owner
from pod_server.identifiers import Actor
from pod_server.opening import open_pod

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize("make", [aidon, kaifa, kamstrup])
@pytest.mark.parametrize("through", ["line", "frame by MQTT", "contents by MQTT", "hexadecimal by MQTT"])
def test_a_minutes_telegrams_become_one_reading(make, through):
    reader = HanReader(METER)
    minutes: list[Minute] = []
    for number in range(25):
        at, watts = NOON + timedelta(seconds=2.5 * number), 1000 + 10 * number
        if through == "line":
            minutes += reader.line(frame(make(watts)), at)
        else:
            content = frame(make(watts)) if through == "frame by MQTT" else make(watts)
            minutes += reader.message(content.hex().encode() if "hexa" in through else content, at)
    assert minutes == [Minute(METER, NOON, 1115.0, 24)]
    assert (reader.read, reader.broken) == (25, 0)
    payload = json.dumps({"meter": METER, "minutes": [{"start": NOON.isoformat(), "watts": 1115.0, "samples": 24}]})
    (made,) = normalise(Han(), payload.encode(), Context(NOON))
    assert made.activity["quantity"] == pytest.approx(1.115 / 60, abs=1e-6)
    assert made.activity["quality"] == "measured"


def test_frames_cut_anywhere_by_the_line_are_read_all_the_same():
    stream = b"".join(frame(aidon(watts)) for watts in range(500, 540))
    shuffle = random.Random(7)
    reader, at = HanReader(METER), NOON
    while stream:
        size = shuffle.randrange(1, 40)
        reader.line(stream[:size], at)
        stream = stream[size:]
    assert (reader.read, reader.broken) == (40, 0)


@pytest.mark.parametrize("place", range(0, len(frame(aidon(280))) - 2, 3))
def test_a_flipped_bit_anywhere_in_a_frame_is_not_read(place):
    spoiled = bytearray(frame(aidon(280)))
    spoiled[1 + place] ^= 0x10
    reader = HanReader(METER)
    reader.line(bytes(spoiled) + frame(aidon(280)) * 3, NOON)
    minutes = reader.close(NOON + timedelta(minutes=1))
    assert all(each.watts == 280 for each in minutes), "never a number that the meter did not tell"
    assert reader.read >= 1, "and the line is found again"


@pytest.mark.parametrize(
    "content",
    [b"", b"\x7e", b"\x7e\x7e", b"zz", b"{}", frame(aidon(1))[:-9], aidon(1)[:20], b"\x00" * 4000, aidon(2**31)],
)
def test_what_is_no_telegram_is_counted_and_left(content):
    reader = HanReader(METER)
    assert reader.message(content, NOON) == []
    assert (reader.read, reader.broken) == (0, 1)
    reader.message(aidon(280), NOON)
    assert reader.close(NOON + timedelta(minutes=1)) == [Minute(METER, NOON, 280.0, 1)]


def test_minutes_wait_until_the_meter_says_its_number():
    reader = HanReader()
    assert reader.line(frame(aidon(100)), NOON) == []
    assert reader.close(NOON + timedelta(minutes=2)) == []
    first = reader.line(frame(kamstrup(100)), NOON + timedelta(minutes=3))
    assert [each.meter for each in first + reader.close(NOON + timedelta(minutes=9))] == [METER, METER]


@pytest.mark.parametrize(
    "minute",
    [
        {"start": "2026-11-23T12:00:30Z", "watts": 1, "samples": 9}, {"start": "2026-11-23T12:00:00Z", "watts": -1, "samples": 9},
        {"start": "2026-11-23T12:00:00Z", "watts": 1, "samples": 0}, {"start": "2026-11-23T12:00:00", "watts": 1, "samples": 9},
    ],
)  # fmt: skip
def test_the_connector_takes_whole_measured_minutes_only(minute):
    (made,) = normalise(Han(), json.dumps({"meter": METER, "minutes": [minute]}).encode(), Context(NOON))
    assert isinstance(made, UnusablePayload)


# The queue and its way out


def test_minutes_reach_the_pod_under_their_consent_and_a_withdrawal_ends_the_agent(city, tmp_path):
    house = House(city, city.host, whole_app(city.host))
    kari, reader_maker = city.citizen("kari"), house.partner("Måleravleseren")
    grant = house.grant(kari, reader_maker, granularity="PT1M")
    queue = MinuteQueue(tmp_path / "q.sqlite")
    past = [replace(each, start=each.start - timedelta(hours=1)) for each in minutes(5)]
    queue.put(past)

    def deliver(items):
        return Answer(200, reader_maker.deliver(*items, path="/bridge/connectors/han"))

    drain = Drain(queue, grant, deliver)
    assert drain.once() == 5
    own = open_pod(city.host, require_owner(kari.vault), vault=kari.vault)
    assert len(list(activities.read_activities(city.host, own))) == 5
    queue.put(past)
    assert (drain.once(), drain.refused, len(queue)) == (5, 0, 0), "our answer was lost: duplicates"
    grants.withdraw(city.host, kari.pod_id, grant, actor=Actor("citizen"))
    queue.put(past)
    with pytest.raises(ConsentEnded, match="consent-withdrawn"):
        drain.once()
    assert len(queue) == 0


@dataclass
class Answer:
    http_status: int = 200
    answers: list[dict[str, Any]] = field(default_factory=list)
    problem: Any = None


def minutes(count: int) -> list[Minute]:
    return [Minute(METER, NOON + timedelta(minutes=number), 100.0 + number, 24) for number in range(count)]


def test_a_queue_survives_and_keeps_the_newest(tmp_path):
    queue = MinuteQueue(tmp_path / "q.sqlite", most=10)
    queue.put(minutes(15))
    assert queue.dropped == 5
    again = MinuteQueue(tmp_path / "q.sqlite", most=10)
    assert again.first(3) == minutes(15)[5:8]
    again.put(minutes(15)[5:8])
    assert len(again) == 10
    assert (tmp_path / "q.sqlite").stat().st_mode & 0o077 == 0


def test_minutes_leave_the_queue_when_the_host_has_them_and_not_before(tmp_path):
    queue = MinuteQueue(tmp_path / "q.sqlite")
    queue.put(minutes(3))
    answers = [
        Answer(0),
        Answer(503),
        Answer(200, [{"status": "accepted"}, {"status": "duplicate"}, {"status": "pending"}]),
    ]
    sent = []

    def deliver(items):
        sent.append([item["payload"]["minutes"][0]["start"] for item in items])
        return answers.pop(0)

    drain = Drain(queue, "g-1", deliver)
    pauses = []
    for _ in range(2):
        assert drain.once() == 0
        pauses.append(drain.pause_seconds)
    assert pauses[0] < pauses[1]
    assert drain.once() == 3
    assert (len(queue), drain.delivered, drain.failures) == (0, 3, 0)
    assert sent[0] == sent[1] == sent[2]


def test_what_is_refused_for_good_goes_and_what_may_come_later_stays(tmp_path):
    queue = MinuteQueue(tmp_path / "q.sqlite")
    queue.put(minutes(3))
    problem = lambda name: {"status": "refused", "problem": {"type": f"http://h/problems/{name}"}}  # noqa: E731
    answer = Answer(200, [{"status": "accepted"}, problem("conflict"), problem("quota-exceeded")])
    drain = Drain(queue, "g-1", lambda _: answer)
    drain.once()
    assert (len(queue), drain.delivered, drain.refused) == (1, 1, 1)
    assert drain.pause_seconds > 1


def test_a_withdrawal_ends_the_agent_and_empties_its_queue(tmp_path):
    queue = MinuteQueue(tmp_path / "q.sqlite")
    queue.put(minutes(100))
    gone = {"status": "refused", "problem": {"type": "http://h/problems/consent-withdrawn"}}
    drain = Drain(queue, "g-1", lambda items: Answer(200, [gone] * len(items)))
    with pytest.raises(ConsentEnded):
        drain.once()
    assert len(queue) == 0


def test_a_file_of_frames_is_read_to_its_end(tmp_path):
    file = tmp_path / "line"
    file.write_bytes(frame(aidon(300)) * 30)
    reader = HanReader(METER)
    for chunk in serial_chunks(file, threading.Event()):
        reader.line(chunk, NOON)
    assert reader.read == 30


def test_messages_of_a_broker_are_heard():
    contents, seen, stop = [aidon(watts) for watts in (100, 200)], [], threading.Event()
    reader = HanReader(METER)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=broker, args=(listener, contents, seen), daemon=True)
        serving.start()

        def take(content: bytes) -> None:
            reader.message(content, NOON)
            if reader.read == 2:
                stop.set()

        listen_to_mqtt(f"mqtt://kari@127.0.0.1:{listener.getsockname()[1]}/ams", take, stop, password="word")
        serving.join(timeout=5)
    assert b"kari" in seen[0]
    assert b"ams" in seen[1]
    assert reader.close(NOON + timedelta(minutes=1)) == [Minute(METER, NOON, 150.0, 2)]


@pytest.mark.parametrize("url", ["http://x/y", "mqtt://", "mqtt://host", "host/topic"])
def test_an_address_that_is_no_brokers_is_refused(url):
    with pytest.raises(ValueError, match="mqtt://"):
        listen_to_mqtt(url, lambda _: None, threading.Event())


def test_every_telegram_of_the_samples_is_read(shared_samples):
    files = sorted((shared_samples / "electricity-han").glob("*.hex"))
    assert files
    for file in files:
        reader = HanReader(METER)
        reader.message(file.read_bytes(), NOON)
        assert reader.read == 1, file.name

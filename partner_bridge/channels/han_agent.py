"""The channel of a local agent: telegrams of the meter's HAN port in, minutes out.

    telegrams    HDLC frames from a serial line, or frames or their contents from MQTT; checksums and lengths hold, or
                 they are counted and left out
    minutes      the mean of the active power, by the agent's own clock: meters' clocks stray, and name no zone
    queue        a small file that survives a kill; a minute leaves it when the host has it
    delivery     some minutes at a time, ever longer pauses while nobody answers, the end where the consent ended

Nothing finer than a minute leaves the house. It needs the `han` extra: amshan, and paho-mqtt for MQTT.

Source: NEK's HAN profile of DLMS/COSEM; ISO/IEC 13239 (HDLC) for frames and their checksums, both read by amshan.
"""

from __future__ import annotations

import binascii
import sqlite3
import threading
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

MINUTE = timedelta(minutes=1)
QUEUE_MINUTES = 14 * 24 * 60
"""Two weeks without a host; then the oldest minutes give way, and are counted."""

AT_ONCE = 60
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 300.0
_FLAG = 0x7E
_ENDED = frozenset({"consent-withdrawn", "consent-expired", "consent-erased", "no-such-grant"})


@dataclass(frozen=True)
class Minute:
    """One minute of one meter: mean watts over so many samples."""

    meter: str
    start: datetime
    watts: float
    samples: int


class HanReader:
    """Telegrams to minutes.

    Attributes:
        broken: Telegrams whose checksum or length did not hold, or that no meter's format explains.
        read: Telegrams that told a power.
    """

    def __init__(self, meter: str = "") -> None:
        """Begin.

        Args:
            meter: The meter's number, where its owner knows it; else its own lists tell it, and minutes wait for that.
        """
        from han.autodecoder import AutoDecoder  # noqa: PLC0415 - an extra
        from han.hdlc import HdlcFrameReader  # noqa: PLC0415

        self._decoder = AutoDecoder()
        self._frames = HdlcFrameReader()
        self._meter = meter
        self._open: dict[datetime, tuple[float, int]] = {}
        self.broken = 0
        self.read = 0

    def line(self, chunk: bytes, at: datetime) -> list[Minute]:
        """Bytes of a serial line as they come; returns the minutes that they close."""
        for frame in self._frames.read(chunk):
            if frame.is_good_ffc and frame.is_expected_length and frame.payload:
                self._telegram(bytes(frame.payload), at)
            else:
                self.broken += 1
        return self.close(at)

    def message(self, content: bytes, at: datetime) -> list[Minute]:
        """One MQTT message: a frame, or what lies in one, as bytes or in hexadecimal; returns the minutes that it closes."""
        content = content.strip(b" \r\n\t")
        with suppress(binascii.Error, ValueError):
            content = binascii.unhexlify(content)
        if content[:1] == bytes([_FLAG]):
            from han.hdlc import HdlcFrameReader  # noqa: PLC0415

            # A reader of its own: a message holds whole frames, and a cut one must not swallow the next message.
            frames = HdlcFrameReader().read(content)
            if not frames:
                self.broken += 1
            for frame in frames:
                if frame.is_good_ffc and frame.is_expected_length and frame.payload:
                    self._telegram(bytes(frame.payload), at)
                else:
                    self.broken += 1
        else:
            self._telegram(content, at)
        return self.close(at)

    def close(self, at: datetime) -> list[Minute]:
        """The minutes that are over at a time."""
        if not self._meter:
            return []
        over = sorted(start for start in self._open if start + MINUTE <= at)
        closed = []
        for start in over:
            total, samples = self._open.pop(start)
            closed.append(Minute(self._meter, start, round(total / samples, 1), samples))
        return closed

    def _telegram(self, payload: bytes, at: datetime) -> None:
        import construct  # noqa: PLC0415 - comes with amshan

        try:
            told: dict[str, Any] | None = self._decoder.decode_message_payload(payload)
        except (construct.ConstructError, ValueError, TypeError, KeyError, IndexError, OverflowError):
            told = None  # amshan meets most broken contents itself, but not all
        power = None if told is None else told.get("active_power_import")
        if told is None or not isinstance(power, int | float) or not 0 <= power < 1_000_000:
            self.broken += 1
            return
        self.read += 1
        meter = told.get("meter_id")
        if not self._meter and isinstance(meter, str) and meter.strip():
            self._meter = meter.strip()
        start = at.astimezone(UTC).replace(second=0, microsecond=0)
        total, samples = self._open.get(start, (0.0, 0))
        self._open[start] = (total + float(power), samples + 1)
        while len(self._open) > 24 * 60:  # a meter that never says its number: a day, and no more
            del self._open[min(self._open)]


class MinuteQueue:
    """Minutes that the host does not have yet, in a file.

    Attributes:
        dropped: Minutes that gave way to newer ones since the agent began.
    """

    def __init__(self, path: Path, *, most: int = QUEUE_MINUTES) -> None:
        """Open or make the file, readable by its owner alone."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._path, self._most = path, most
        self.dropped = 0
        with closing(self._connect()) as connection, connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS minute (meter TEXT, start TEXT, watts REAL, samples INTEGER, "
                "PRIMARY KEY (meter, start))"
            )

    def put(self, minutes: Sequence[Minute]) -> None:
        """Keep minutes; on the disk when this returns. One that is there already stays as it is."""
        if not minutes:
            return
        with closing(self._connect()) as connection, connection:
            connection.executemany(
                "INSERT INTO minute VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                [(each.meter, each.start.isoformat(), each.watts, each.samples) for each in minutes],
            )
            gone = connection.execute(
                "DELETE FROM minute WHERE rowid IN (SELECT rowid FROM minute ORDER BY start DESC LIMIT -1 OFFSET ?)",
                (self._most,),
            )
            self.dropped += max(gone.rowcount, 0)

    def first(self, count: int = AT_ONCE) -> list[Minute]:
        """The oldest minutes."""
        with closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT meter, start, watts, samples FROM minute ORDER BY start LIMIT ?", (count,)
            ).fetchall()
        return [Minute(meter, datetime.fromisoformat(start), watts, samples) for meter, start, watts, samples in rows]

    def done(self, minutes: Sequence[Minute]) -> None:
        """Let go of minutes."""
        with closing(self._connect()) as connection, connection:
            connection.executemany(
                "DELETE FROM minute WHERE meter = ? AND start = ?",
                [(each.meter, each.start.isoformat()) for each in minutes],
            )

    def __len__(self) -> int:
        with closing(self._connect()) as connection:
            return int(connection.execute("SELECT COUNT(*) FROM minute").fetchone()[0])

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=10)
        connection.execute("PRAGMA synchronous=FULL")
        return connection


class Answered(Protocol):
    """What a delivery came to: the HTTP status, 0 for none, one answer an item, and the first problem."""

    @property
    def http_status(self) -> int:
        """The status."""
        ...

    @property
    def answers(self) -> Sequence[Any]:
        """One for each item, in order."""
        ...

    @property
    def problem(self) -> Any:
        """RFC 9457, or None."""
        ...


class ConsentEnded(Exception):
    """The citizen's consent has ended: nothing more is to be delivered, or kept."""


@dataclass
class Drain:
    """Empties a queue into a host.

    Attributes:
        queue: What waits.
        grant: The consent under which it is delivered.
        deliver: Sends items to the bridge's connector `han`.
        delivered, refused: Minutes.
        failures: Deliveries in a row that nobody answered.
        news: Set by whoever puts a minute into the queue, or wants the end to be noticed.
    """

    queue: MinuteQueue
    grant: str
    deliver: Callable[[list[dict[str, Any]]], Answered]
    delivered: int = 0
    refused: int = 0
    failures: int = 0
    last_problem: str = field(default="")
    news: threading.Event = field(default_factory=threading.Event, repr=False)

    @property
    def pause_seconds(self) -> float:
        """How long to wait before the next try."""
        return min(FIRST_PAUSE_SECONDS * float(2 ** min(self.failures, 16)), LONGEST_PAUSE_SECONDS)

    def once(self) -> int:
        """Deliver the oldest minutes; returns how many left the queue.

        Raises:
            ConsentEnded: the host said so; the queue is empty now.
        """
        minutes = self.queue.first()
        if not minutes:
            return 0
        items = [
            {
                "grant": self.grant,
                "payload": {
                    "meter": each.meter,
                    "minutes": [{"start": each.start.isoformat(), "watts": each.watts, "samples": each.samples}],
                },
            }
            for each in minutes
        ]
        answered = self.deliver(items)
        if answered.http_status != 200 or len(answered.answers) != len(items):
            self.failures += 1
            self.last_problem = _word(answered.problem)
            if self.last_problem in _ENDED:
                self._end()
            return 0
        self.failures = 0
        settled: list[Minute] = []
        for minute, answer in zip(minutes, answered.answers, strict=True):
            if answer.get("status") == "refused":
                self.last_problem = _word(answer.get("problem"))
                if self.last_problem in _ENDED:
                    self._end()
                if self.last_problem in {"quota-exceeded", "consent-paused", "backlog-full"}:
                    self.failures += 1  # it waits here for a better moment
                    continue
                self.refused += 1
            else:
                self.delivered += 1
            settled.append(minute)
        self.queue.done(settled)
        return len(settled)

    def run(self, stop: threading.Event) -> None:
        """Deliver until told to stop, or the consent ends."""
        while not stop.is_set():
            self.news.clear()
            sent = self.once()
            if self.failures:
                stop.wait(self.pause_seconds)
            elif sent < AT_ONCE:
                self.news.wait(5.0)

    def _end(self) -> None:
        self.queue.done(self.queue.first(QUEUE_MINUTES))
        raise ConsentEnded(self.last_problem)


def _word(problem: Any) -> str:
    return str(problem.get("type", "")).rpartition("/")[2] if isinstance(problem, dict) else ""


# Where telegrams come from


def serial_chunks(path: Path, stop: threading.Event, size_bytes: int = 512) -> Iterator[bytes]:
    """What comes over a serial line (a device that its system has set up), or lies in a file."""
    with path.open("rb", buffering=0) as line:
        while not stop.is_set():
            chunk = line.read(size_bytes)
            if not chunk:
                return
            yield chunk


def listen_to_mqtt(
    url: str, take: Callable[[bytes], None], stop: threading.Event, *, password: str | None = None
) -> None:
    """Hand every message of a topic on, until told to stop; a broker that goes away is tried again.

    Args:
        url: `mqtt://[user@]host[:port]/topic`, or `mqtts://` with TLS.
        take: Called with each message's content.
        stop: Ends it.
        password: The user's.

    Raises:
        ValueError: the address is none of these.
        OSError: the broker cannot be reached at first.
    """
    from urllib.parse import unquote, urlsplit  # noqa: PLC0415

    from paho.mqtt.client import Client  # noqa: PLC0415 - an extra
    from paho.mqtt.enums import CallbackAPIVersion  # noqa: PLC0415

    parts = urlsplit(url)
    topic = unquote(parts.path.lstrip("/"))
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname or not topic:
        raise ValueError("--mqtt: mqtt://[user@]host[:port]/topic is expected")
    client = Client(CallbackAPIVersion.VERSION2)
    if parts.username:
        client.username_pw_set(unquote(parts.username), password)
    if parts.scheme == "mqtts":
        client.tls_set()

    def subscribe(*_: Any) -> None:
        client.subscribe(topic)

    def hand_on(_client: Any, _data: Any, message: Any) -> None:
        take(bytes(message.payload))

    client.on_connect = subscribe
    client.on_message = hand_on
    client.connect(parts.hostname, parts.port or (8883 if parts.scheme == "mqtts" else 1883))
    client.loop_start()
    try:
        stop.wait()
    finally:
        client.disconnect()
        client.loop_stop()

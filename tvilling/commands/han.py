"""`tvilling han`: a meter's HAN port, read in the house and delivered by the minute."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tvilling.commands.frame import fail, moment, read_secret
from tvilling.errors import SettingsError
from tvilling.lifeline import hold_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from partner_bridge.channels.han_agent import Minute
    from partner_bridge.client import Bridge

BETWEEN_TELEGRAMS = timedelta(seconds=2.5)
"""How often meters tell their power (list 1 of NEK's HAN profile)."""

ABOUT_A_TELEGRAM_BYTES = 32
"""A recording is read so little at a time, that no two of its telegrams come in one moment."""


@click.command("han")
@click.option("--serial", type=click.Path(path_type=Path), default=None, help="A serial device, or a file of frames.")
@click.option("--mqtt", default=None, metavar="URL", help="mqtt://[user@]host[:port]/topic, or mqtts://")
@click.option("--mqtt-password-file", default=None, help="The MQTT user's password: a file, or -.")
@click.option("--meter", default="", help="The meter's number, where its lists do not tell it.")
@click.option("--base-url", required=True, help="The host.")
@click.option("--client-id", required=True, help="The reader's, as the municipality admitted it.")
@click.option("--key-file", required=True, help="The reader's private key, a JWK: a file, or -.")
@click.option("--grant", required=True, help="The consent under which it delivers.")
@click.option(
    "--recorded-from",
    default=None,
    metavar="TIME",
    help="The telegrams are a recording that began then, one every 2.5 seconds; their minutes are in the past.",
)
@click.option("--queue", type=click.Path(path_type=Path), default=Path("han-queue.sqlite"), show_default=True)
@click.option("--city-clock", type=click.Path(path_type=Path), default=None, hidden=True, help="The demonstration's.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value at the end.")
def han(
    *,
    serial: Path | None,
    mqtt: str | None,
    mqtt_password_file: str | None,
    meter: str,
    base_url: str,
    client_id: str,
    key_file: str,
    grant: str,
    recorded_from: str | None,
    queue: Path,
    city_clock: Path | None,
    as_json: bool,
) -> None:
    """Read Aidon, Kaifa and Kamstrup meters; nothing finer than a minute leaves the house."""
    from partner_bridge.channels.han_agent import (  # noqa: PLC0415 - `--help` stays quick
        ConsentEnded,
        Drain,
        HanReader,
        MinuteQueue,
        listen_to_mqtt,
        serial_chunks,
    )
    from partner_bridge.client import Bridge  # noqa: PLC0415
    from tvilling.serve import stop_on_signals  # noqa: PLC0415

    if city_clock is not None:
        hold_on(os.environ)  # a meter of the demonstration ends with it
    if (serial is None) == (mqtt is None):
        fail("either --serial or --mqtt tells where the telegrams come from")
    try:
        began = None if recorded_from is None else moment(recorded_from, "--recorded-from")
        client = Bridge(base_url, client_id=client_id, key=_private_key(key_file))
    except SettingsError as error:
        fail(str(error))
    try:
        reader = HanReader(meter)
    except ImportError:
        fail("the extra is missing: pip install 'tvilling[han]'")
    waiting = MinuteQueue(queue)
    drain = Drain(waiting, grant, lambda items: _delivered(client, items))
    stop = stop_on_signals()
    ended: list[str] = []

    def empty() -> None:
        try:
            drain.run(stop)
        except ConsentEnded as end:
            ended.append(str(end))
            stop.set()

    sender = threading.Thread(target=empty, name="drain", daemon=True)
    sender.start()

    def keep(minutes: list[Minute]) -> None:
        if minutes:
            waiting.put(minutes)
            drain.news.set()

    clock = _clock(city_clock)

    def now() -> datetime:
        return clock() if began is None else began + (reader.read + reader.broken) * BETWEEN_TELEGRAMS

    try:
        if serial is not None:
            for chunk in serial_chunks(serial, stop, 512 if began is None else ABOUT_A_TELEGRAM_BYTES):
                keep(reader.line(chunk, now()))
            keep(reader.close(now()))
            while len(waiting) and not stop.is_set() and drain.failures == 0:
                stop.wait(0.2)
        elif mqtt is not None:
            listen_to_mqtt(
                mqtt,
                lambda content: keep(reader.message(content, now())),
                stop,
                password=read_secret(mqtt_password_file),
            )
    except (OSError, ValueError) as error:
        fail(str(error))
    finally:
        stop.set()
        drain.news.set()
        sender.join(timeout=70)
    report = {
        "telegrams": reader.read,
        "broken": reader.broken,
        "delivered": drain.delivered,
        "refused": drain.refused,
        "waiting": len(waiting),
        "dropped": waiting.dropped,
    }
    if ended:
        fail(f"the consent has ended ({ended[0]}); nothing more is delivered, and the queue is empty")
    click.echo(json.dumps(report) if as_json else "\n".join(f"{name}: {count}" for name, count in report.items()))


def _clock(city_clock: Path | None) -> Callable[[], datetime]:
    """The house's own clock, or the one of the demonstration that this house stands in."""
    if city_clock is None:
        return lambda: datetime.now(UTC)  # noqa: TID251 - a house's own clock
    from tvilling.city.simulators.clock import CityClock  # noqa: PLC0415

    told = json.loads(city_clock.read_text("utf-8"))["clock"]
    city, real = (datetime.fromisoformat(told[name]) for name in ("city_anchor", "real_anchor"))
    return CityClock(city, real, float(told["speed"])).now


@dataclass(frozen=True)
class _Answered:
    """What the host said to some minutes; status 0 where nobody answered."""

    http_status: int
    answers: list[dict[str, Any]]
    problem: Any = None


def _private_key(file: str) -> dict[str, Any]:
    from joserfc.errors import JoseError  # noqa: PLC0415
    from joserfc.jwk import ECKey  # noqa: PLC0415

    try:
        key = ECKey.import_key(json.loads(read_secret(file) or ""))
        if key.is_private:
            return dict(key.as_dict(private=True))
    except (ValueError, KeyError, TypeError, JoseError):
        pass
    raise SettingsError("--key-file: a private key (P-256) as a JWK is expected")


def _delivered(client: Bridge, items: list[dict[str, Any]]) -> _Answered:
    from partner_bridge.client import DeliveryRefused  # noqa: PLC0415

    try:
        return _Answered(200, client.push("han", items))
    except DeliveryRefused as refused:
        return _Answered(refused.status, [], refused.problem)

"""`tvilling han`: a meter's HAN port, read in the house and delivered by the minute."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tvilling.commands.frame import fail, read_secret

if TYPE_CHECKING:
    from collections.abc import Callable

    from partner_bridge.channels.han_agent import Minute


@click.command("han")
@click.option("--serial", type=click.Path(path_type=Path), default=None, help="A serial device, or a file of frames.")
@click.option("--mqtt", default=None, metavar="URL", help="mqtt://[user@]host[:port]/topic, or mqtts://")
@click.option("--mqtt-password-file", default=None, help="The MQTT user's password: a file, or -.")
@click.option("--meter", default="", help="The meter's number, where its lists do not tell it.")
@click.option("--base-url", required=True, help="The host.")
@click.option("--client-id", required=True, help="The reader's, as the municipality admitted it.")
@click.option("--key-file", required=True, help="The reader's private key, a JWK: a file, or -.")
@click.option("--grant", required=True, help="The consent under which it delivers.")
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
    from tvilling.city.simulators.oauth_client import OAuthClient, load_key  # noqa: PLC0415
    from tvilling.serve import stop_on_signals  # noqa: PLC0415

    if (serial is None) == (mqtt is None):
        fail("either --serial or --mqtt tells where the telegrams come from")
    try:
        key = load_key(json.loads(read_secret(key_file) or ""))
        reader = HanReader(meter)
    except (ValueError, KeyError) as error:
        fail(f"--key-file: a private key as a JWK is expected ({type(error).__name__})")
    except ImportError:
        fail("the extra is missing: pip install 'tvilling[han]'")
    client = OAuthClient(base_url.rstrip("/"), client_id, key, "", lambda: datetime.now(UTC))  # noqa: TID251 - a house's own clock
    waiting = MinuteQueue(queue)
    drain = Drain(waiting, grant, lambda items: client.deliver("/bridge/connectors/han", items))
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
        waiting.put(minutes)

    now = _clock(city_clock)

    try:
        if serial is not None:
            for chunk in serial_chunks(serial, stop):
                keep(reader.line(chunk, now()))
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
        return lambda: datetime.now(UTC)  # noqa: TID251 - as above
    from tvilling.city.simulators.clock import CityClock  # noqa: PLC0415

    told = json.loads(city_clock.read_text("utf-8"))["clock"]
    city, real = (datetime.fromisoformat(told[name]) for name in ("city_anchor", "real_anchor"))
    return CityClock(city, real, float(told["speed"])).now

"""The one place where a stranger is joined to the city: those who are asked for data, or call.

Partners that deliver by themselves stand in `sources.py` (SOURCES), those who are asked stand here (ASKED). From these two lists
follow what the municipality admits, what the citizens connect, which addresses the simulators answer at, which switches they
have, and what `tvilling demo --once` counts. A new one is a file beside `bank.py`, and one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

import httpx

from tvilling.city.households import Household
from tvilling.city.simulators.asked import Stranger
from tvilling.city.simulators.bank import Bank
from tvilling.city.simulators.faults import Faults
from tvilling.city.simulators.health import Health
from tvilling.city.simulators.meter_reader import MeterReader
from tvilling.city.simulators.reckoner import Reckoner
from tvilling.city.simulators.sign_in_server import SignInServer
from tvilling.city.simulators.sources import City
from tvilling.city.simulators.watches import Watches

TOKENS_LAST = timedelta(seconds=40)
"""Shorter than the demonstration's pulls are apart: refresh tokens are replaced before everybody's eyes."""

_CALL_TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Ground:
    """What a stranger is given when the city is put together.

    Attributes:
        city: The city.
        people: The citizens with pages, by handle: who may sign in anywhere.
        now: The city's time.
        wall: Real time.
        entry: Its part of the configuration: {issuer, client_id, secret, redirect_uri, calls, webhook_secret}.
        faults: Its switches.
    """

    city: City
    people: Mapping[str, Household]
    now: Callable[[], datetime]
    wall: Callable[[], datetime]
    entry: Mapping[str, Any]
    faults: Faults


@dataclass(frozen=True)
class Asked:
    """One source that is asked.

    Attributes:
        slug: Short name in configuration and addresses.
        name: What citizens see.
        contact: Its data protection contact.
        channel: `oauth`: people sign in there; `token`: they copy a token from its page; `calculation`: the house alone does,
            and it is told of nobody.
        connector: Its format's name at the bridge.
        purpose: What the consent is for.
        api: Where its data lies, below its own address.
        make: Puts it together.
        scopes, parameters: What its authorization server wants to hear.
        webhook: `ping` or `signed` where it calls.
        whose: Which of the citizens with pages are its customers.
        every: How long the house waits between two pulls, real time.
    """

    slug: str
    name: str
    contact: str
    channel: Literal["oauth", "token", "calculation"]
    connector: str
    purpose: str
    api: str
    make: Callable[[Ground], Stranger]
    scopes: tuple[str, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    webhook: Literal["", "signed", "ping"] = ""
    whose: Callable[[Sequence[str]], Sequence[str]] = lambda handles: handles
    every: timedelta = timedelta(minutes=1)


def sign_in_server(ground: Ground, name: str) -> SignInServer:
    """An authorization server at a stranger's own address."""
    return SignInServer(
        issuer=ground.entry["issuer"],
        name=name,
        client_id=ground.entry["client_id"],
        secret=ground.entry["secret"],
        redirect_uri=ground.entry["redirect_uri"],
        people=tuple(ground.people),
        now=ground.wall,
        lasts=TOKENS_LAST,
    )


def _bank(ground: Ground) -> Stranger:
    bank = Bank(
        now=ground.now,
        sign_in=sign_in_server(ground, "SpareBank 1 SMN"),
        faults=ground.faults,
        households=ground.people,
        city=ground.city,
    )
    bank.faults.turn("key-rotation", "1")  # once, before everybody's eyes: an access token that ends early
    return bank


def _meter_reader(ground: Ground) -> Stranger:
    return MeterReader(now=ground.now, faults=ground.faults, city=ground.city, people=ground.people)


def _watches(ground: Ground) -> Stranger:
    return Watches(
        now=ground.now,
        sign_in=sign_in_server(ground, "Garmin"),
        faults=ground.faults,
        households=ground.people,
        seed=ground.city.seed,
        address=ground.entry["calls"],
        own_address=f"{ground.entry['issuer']}/wellness-api",
        secret=ground.entry["webhook_secret"],
        post=_call,
    )


def _health(ground: Ground) -> Stranger:
    return Health(
        now=ground.now,
        sign_in=sign_in_server(ground, "Google"),
        faults=ground.faults,
        households=ground.people,
        seed=ground.city.seed,
    )


def _reckoner(ground: Ground) -> Stranger:
    return Reckoner(
        now=ground.now, faults=ground.faults, client_id=ground.entry["client_id"], secret=ground.entry["secret"]
    )


def _call(address: str, headers: Mapping[str, str], body: bytes) -> int:
    try:
        answer = httpx.post(
            address, content=body, headers=dict(headers), timeout=_CALL_TIMEOUT_SECONDS, trust_env=False
        )
    except httpx.HTTPError:
        return 0
    return answer.status_code


def last(handles: Sequence[str]) -> Sequence[str]:
    """One citizen."""
    return handles[-1:]


def all_but_the_last(handles: Sequence[str]) -> Sequence[str]:
    """The others; the only one where there is one."""
    return handles[:-1] or handles


ASKED: dict[str, Asked] = {
    each.slug: each
    for each in (
        Asked(
            "sparebank1-smn", "SpareBank 1 SMN", "personvern@banken.example",
            "oauth", "sparebank1", "personal-footprint", "/personal/banking", _bank,
            scopes=("accounts", "transactions"), parameters={"finInst": "fid-smn"},
        ),
        Asked(
            "oss-pull", "Oss.no (nøkkel)", "personvern@oss-pull.example",
            "token", "oss", "live-electricity", "/api", _meter_reader, whose=last,
        ),
        Asked(
            "garmin", "Garmin", "personvern@garmin.example",
            "oauth", "garmin", "personal-footprint", "/wellness-api", _watches,
            webhook="ping", whose=all_but_the_last,
        ),
        Asked(
            "garmin-push", "Garmin (signert)", "personvern@garmin-push.example",
            "oauth", "garmin", "personal-footprint", "/wellness-api", _watches,
            webhook="signed", whose=last,
        ),
        Asked(
            "ducky", "Ducky", "personvern@ducky.example",
            "calculation", "ducky", "second-opinion", "/v3", _reckoner,
        ),
        Asked(
            "google-health", "Google Health", "personvern@google-health.example",
            "oauth", "google-health", "personal-footprint", "/v4", _health,
            scopes=("https://www.googleapis.com/auth/googlehealth.activity_and_fitness.readonly",), whose=last,
        ),
    )
}  # fmt: skip
"""The sources of the demonstration, by slug."""

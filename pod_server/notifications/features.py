"""What a subscriber may ask of a channel (Solid Notifications Protocol, section 4.4.2): when, how often, in which form.

`startAt` and `endAt` bound the channel, `rate` is the least time between two notifications, `accept` the media type they
come in, and `state` what the subscriber knows of the resource: if that is no longer so, it is told at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from pod_server.clock import microseconds
from pod_server.notifications.errors import SubscriptionNotProcessable
from pod_server.representation import json_ld, negotiation
from pod_server.representation.errors import NotAcceptable

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = ("startAt", "endAt", "rate", "accept", "state")

LONGEST_RATE = timedelta(days=1)
_LONGEST_TEXT = 200

_DURATION = re.compile(
    r"P(?=.)(?:(?P<days>\d{1,4})D)?"
    r"(?:T(?=.)(?:(?P<hours>\d{1,6})H)?(?:(?P<minutes>\d{1,7})M)?(?:(?P<seconds>\d{1,8}(?:\.\d{1,6})?)S)?)?\Z",
    re.IGNORECASE,
)
"""xsd:duration without years and months, whose length depends on the calendar."""


@dataclass(frozen=True)
class Features:
    """What was agreed on.

    Attributes:
        starts: Before this nothing is sent; microseconds since 1970, real time; 0 for at once.
        ends: The channel's end, likewise.
        rate: The least time between two notifications, microseconds.
        media_type: Of the notifications.
        state: What the subscriber knows of the resource, or None where it did not say.
    """

    starts: int
    ends: int
    rate: int
    media_type: str
    state: str | None


def read(asked: Mapping[str, Any], now: datetime, *, longest: timedelta) -> Features:
    """The features in a request for a channel.

    Args:
        asked: The request's members.
        now: Real time.
        longest: How long a channel lasts at most; it ends then where the request names no end, or a later one.

    Raises:
        SubscriptionNotProcessable: one of them is not of its type, or cannot be had.
    """
    starts = None if asked.get("startAt") is None else _moment("startAt", asked["startAt"])
    ends = now + longest if asked.get("endAt") is None else min(_moment("endAt", asked["endAt"]), now + longest)
    if ends <= now or (starts is not None and starts >= ends):
        raise SubscriptionNotProcessable(
            "endAt is a time to come, after startAt; and a channel does not last for ever."
        )
    rate = timedelta(0) if asked.get("rate") is None else _duration(asked["rate"])
    state = asked.get("state")
    if state is not None and not _is_short_text(state):
        raise SubscriptionNotProcessable("state is a short text, as a notification or an ETag gave it.")
    return Features(
        starts=0 if starts is None or starts <= now else microseconds(starts),
        ends=microseconds(ends),
        rate=round(rate / timedelta(microseconds=1)),
        media_type=_media_type(asked.get("accept")),
        state=None if state is None else _version(str(state)),
    )


def duration_text(rate_microseconds: int) -> str:
    """A rate as xsd:duration."""
    seconds = f"{rate_microseconds / 1_000_000:.6f}".rstrip("0").rstrip(".")
    return f"PT{seconds}S"


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT


def _moment(name: str, value: object) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise SubscriptionNotProcessable(f"{name} is a time with its offset, such as 2026-11-23T12:00:00Z.")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise SubscriptionNotProcessable(f"{name} lies outside the calendar.") from None


def _duration(value: object) -> timedelta:
    found = _DURATION.match(value) if isinstance(value, str) else None
    if found is None:
        raise SubscriptionNotProcessable("rate is a duration in days, hours, minutes or seconds, such as PT10S.")
    parts = {name: float(number) for name, number in found.groupdict(default="0").items()}
    rate = timedelta(**parts)
    if rate > LONGEST_RATE:
        raise SubscriptionNotProcessable("rate is at most a day.")
    return rate


def _media_type(accept: object) -> str:
    if accept is None:
        return json_ld.MEDIA_TYPE
    if not _is_short_text(accept):
        raise SubscriptionNotProcessable("accept is a text as in the Accept header.")
    offered = (json_ld.MEDIA_TYPE, *(one for one in negotiation.RDF_MEDIA_TYPES if one != json_ld.MEDIA_TYPE))
    try:
        return negotiation.choose(str(accept), offered)
    except NotAcceptable:
        raise SubscriptionNotProcessable(f"Notifications can be had as {', '.join(offered)}.") from None


def _version(state: str) -> str:
    """A state as notifications give it; an ETag names the representation too, which does not count."""
    opaque = state.removeprefix("W/").strip('"')
    return opaque.rpartition(".")[0] if "." in opaque else opaque

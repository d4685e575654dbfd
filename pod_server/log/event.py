"""One event of the log: who did what, when, for which purpose, under which grant; never a data value.

The encoding is canonical JSON (sorted members, no spaces), padded with spaces to a multiple of 128 bytes so that the
length of what is sealed says little.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pod_server.clock import microseconds, moment
from pod_server.identifiers import Actor, GrantId
from pod_server.log.errors import EventRefused, LogBroken

if TYPE_CHECKING:
    from collections.abc import Mapping

PADDED_TO_BYTES = 128
MAXIMUM_BYTES = 4096
_SLUG = re.compile(r"[a-z][a-z0-9-]{0,63}\Z")
_DETAIL_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}\Z")
_DETAIL_TEXT = 200


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical(members: Mapping[str, Any]) -> bytes:
    """An event's members as canonical, padded JSON.

    Raises:
        EventRefused: longer than 4096 bytes.
        TypeError: not what JSON holds.
        ValueError: text that is no Unicode.
    """
    text = _ENCODER.encode(members).encode()
    if len(text) > MAXIMUM_BYTES:
        raise EventRefused("A log event is at most 4096 bytes long.")
    return text + b" " * (-len(text) % PADDED_TO_BYTES)


def _actor_members(actor: Actor) -> dict[str, str]:
    """Who did it. Events from before integrators have no `through`, and the others do not need it."""
    members = {"id": actor.id, "kind": actor.kind, "name": actor.name}
    return members | {"through": actor.through} if actor.through else members


@dataclass(frozen=True)
class LogEvent:
    """One thing that was done to a pod, or refused.

    Attributes:
        at: When, in the city's time.
        actor: Who.
        action: A slug: `append`, `read`, `withdraw-consent`, `unlock`, …
        purpose: The purpose's slug, or "".
        grant: The grant's id, or "".
        outcome: A slug: `done`, or the reason of a refusal.
        count: How many records, documents or reads it stands for.
        detail: A few short names and numbers (a kind's slug, a segment's number, a ciphertext's hash); no data values.
    """

    at: datetime
    actor: Actor
    action: str
    purpose: str = ""
    grant: GrantId | str = ""
    outcome: str = "done"
    count: int = 1
    detail: Mapping[str, str | int] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """The canonical, padded bytes.

        Raises:
            EventRefused: a slug is none, the detail is not short and flat, or the whole is over 4096 bytes.
        """
        for slug in (self.action, self.outcome):
            if not _SLUG.match(slug):
                raise EventRefused("A log event's action and outcome are slugs.")
        for name, value in self.detail.items():
            # A float would be a measured value; those stay out of the log.
            short = isinstance(value, int) or (isinstance(value, str) and len(value) <= _DETAIL_TEXT)
            if not _DETAIL_NAME.match(name) or not short:
                raise EventRefused("A log event's detail holds short names and whole numbers only.")
        if self.count < 0:
            raise EventRefused("A log event counts zero or more things.")
        members: dict[str, Any] = {
            "action": self.action,
            "actor": _actor_members(self.actor),
            "at": microseconds(self.at),
            "count": self.count,
            "detail": dict(self.detail),
            "grant": self.grant,
            "outcome": self.outcome,
            "purpose": self.purpose,
        }
        return canonical(members)

    @staticmethod
    def decode(encoded: bytes) -> LogEvent:
        """Read `encoded()` back.

        Raises:
            LogBroken: the bytes are no event.
        """
        try:
            members = json.loads(encoded)
            event = LogEvent(
                at=moment(members["at"]),
                actor=Actor(**members["actor"]),
                action=members["action"],
                purpose=members["purpose"],
                grant=members["grant"],
                outcome=members["outcome"],
                count=members["count"],
                detail=members["detail"],
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            raise LogBroken("An entry of the log is no event.") from None
        return event

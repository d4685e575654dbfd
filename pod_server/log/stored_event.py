"""How an event lies sealed in an open pod's log: the same members as its canonical JSON, in a third of the bytes.

What the log commits to is the canonical form (event.py); it is made again from this one when a leaf is opened, and a form
that gave other bytes would not fit its commitment. A byte 0x01 stands before it, with which no JSON begins; zeroes behind it
fill it up to a multiple of 64 bytes, and to 128 at least, so that the length of what is sealed says little.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

import msgspec

from pod_server.log.errors import LogBroken
from pod_server.log.event import LogEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = b"\x01"
SMALLEST_BYTES = 128
FILLED_UP_TO_BYTES = 64

WORDS = (
    "", "append", "done", "partner", "citizen", "ordinal", "sha256", "pending", "read", "write", "app", "script", "twin",
    "operator", "operator-assisted", "anonymous", "research", "guardian", "attorney", "personal-footprint",
    "live-electricity", "compact", "merge", "reseal", "first", "last", "path", "version", "kind", "slug", "deliver",
    "delete", "unlock", "records", "name", "record-conflict", "quota-exceeded", "consent-withdrawn", "consent-changed",
)  # fmt: skip
"""Written as their number. A number never changes its meaning: words are only ever added at the end."""

_NUMBER_OF = {word: number for number, word in enumerate(WORDS)}
_HASH = re.compile(r"[0-9a-f]{64}\Z")
_GRANT = re.compile(r"g-[a-z2-7]{26}\Z")
_GRANT_BYTES = 17
_encode = msgspec.msgpack.Encoder().encode


_decode = msgspec.msgpack.Decoder().decode


def stored(event: LogEvent, at: int) -> bytes:
    """The compact form of an event that happened at so many microseconds since 1970.

    Raises:
        OverflowError: a number of its detail has more than 64 bits.
    """
    number = _NUMBER_OF.get
    actor, grant = event.actor, str(event.grant)
    detail: dict[int | str, Any] = {
        number(name, name): bytes.fromhex(value) if isinstance(value, str) and _HASH.match(value) else value
        for name, value in event.detail.items()
    }
    members: tuple[Any, ...] = (
        number(event.action, event.action),
        number(actor.kind, actor.kind),
        number(actor.id, actor.id),
        number(actor.name, actor.name),
        at,
        event.count,
        detail,
        _packed_grant(grant),
        number(event.outcome, event.outcome),
        number(event.purpose, event.purpose),
    )
    # An eleventh where somebody came in between: whoever delivered for the actor.
    body = _encode((*members, actor.through) if actor.through else members)
    whole = MARK + len(body).to_bytes(2, "big") + body
    size = max(SMALLEST_BYTES, len(whole) + -len(whole) % FILLED_UP_TO_BYTES)
    return whole.ljust(size, b"\0")


def members_of(compact: bytes) -> Mapping[str, Any]:
    """The members of an event's canonical JSON.

    Raises:
        LogBroken: the bytes are no such form.
    """
    try:
        size = int.from_bytes(compact[1:3], "big")
        action, kind, actor_id, actor_name, at, count, detail, grant, outcome, purpose, *more = _decode(
            compact[3 : 3 + size]
        )
        return {
            "action": _word(action),
            "actor": {"id": _word(actor_id), "kind": _word(kind), "name": _word(actor_name)}
            | ({"through": more[0]} if more else {}),
            "at": at,
            "count": count,
            "detail": {
                _word(name): value.hex() if isinstance(value, bytes) else value for name, value in detail.items()
            },
            "grant": _spelt(grant) if isinstance(grant, bytes) else _word(grant),
            "outcome": _word(outcome),
            "purpose": _word(purpose),
        }
    except (msgspec.MsgspecError, IndexError, ValueError, TypeError, AttributeError):
        raise LogBroken("An entry of the log is no event.") from None


_DIGITS = str.maketrans("abcdefghijklmnopqrstuvwxyz234567", "0123456789abcdefghijklmnopqrstuv")


def _word(value: int | str) -> str:
    return value if isinstance(value, str) else WORDS[value]


def _packed_grant(grant: str) -> int | str | bytes:
    """A grant's id is 26 letters of base32, 130 bits: 17 bytes with six zeros behind."""
    if _GRANT.match(grant):
        # As base64.b32decode, at a tenth of its time: Python reads a number to the base of 32 with other digits.
        return (int(grant[2:].translate(_DIGITS), 32) << 6).to_bytes(17, "big")
    return _NUMBER_OF.get(grant, grant)


def _spelt(packed: bytes) -> str:
    return "g-" + base64.b32encode(packed).decode().lower()[:26]

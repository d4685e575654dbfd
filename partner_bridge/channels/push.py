"""The channel of OAuth clients that push: bodies of one or many items, as lines (NDJSON) or as a JSON array.

A line that is broken spoils nothing but itself; a body that is broken as a whole is refused as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from partner_bridge.delivery import Item
from partner_bridge.errors import BodyTooLarge, BodyUnreadable, BrokenItem, MediaTypeUnknown
from vocab.kinds import MAXIMUM_RECORD_BYTES, load_kinds

BODY_LIMIT_BYTES = 10 * 1024 * 1024
LONGEST_LINE_BYTES = 64 * 1024
"""Of a line of activities; a record holds 8 KiB at most."""
ITEM_LIMIT = 10_000
NDJSON = "application/x-ndjson"
JSON = "application/json"


class ActivityItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """`{"grant": …, "activity": {…}}`."""

    grant: str
    activity: msgspec.Raw


class PayloadItem(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """`{"grant": …, "payload": …}`, the payload in the partner's own format."""

    grant: str
    payload: msgspec.Raw


@dataclass(frozen=True)
class PushedItem:
    """One item as it arrived, or what is wrong with it.

    Attributes:
        grant: The grant it names; empty where it could not be read.
        content: The JSON of the activity or payload.
        error: Why the item could not be read, or None.
    """

    grant: str
    content: bytes
    error: BrokenItem | None = None


_ACTIVITY_DECODER = msgspec.json.Decoder(ActivityItem)
_PAYLOAD_DECODER = msgspec.json.Decoder(PayloadItem)
_ARRAY_DECODER = msgspec.json.Decoder(list[msgspec.Raw])


def read_activities(body: bytes, media_type: str) -> list[PushedItem]:
    """The items of a `POST /bridge/activities` that is an array; lines are read as they come (bulk.py).

    Raises:
        BodyUnreadable: empty, or no JSON array where one was announced.
        BodyTooLarge: more than 10,000 items.
        MediaTypeUnknown: neither NDJSON nor JSON.
    """
    return [_activity_item(line) for line in _split(body, media_type)]


def item_of_line(line: bytes | None) -> Item:
    """One line of a delivery on its way in; None stands for a line that is too long for any item."""
    if line is None:
        return Item("", error=BrokenItem(f"a line holds one item, of at most {LONGEST_LINE_BYTES} bytes"))
    if len(line) <= MAXIMUM_RECORD_BYTES:
        try:
            read = _decode_line()(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass  # what is wrong with which of the two is for the longer way to say
        else:
            return Item(read.grant, decoded=read.activity)
    pushed = _activity_item(line)
    return Item(pushed.grant, pushed.content, error=pushed.error)


@cache
def _decode_line() -> Callable[[bytes], Any]:
    """Item and activity in one reading, for lines in which both are right."""
    fields = [("grant", str), ("activity", load_kinds().any_record)]
    line = msgspec.defstruct("Line", fields, frozen=True, forbid_unknown_fields=True, gc=False)
    return msgspec.json.Decoder(line).decode


def read_payloads(body: bytes, media_type: str) -> list[PushedItem]:
    """The items of a `POST /bridge/connectors/<name>`; raises as `read_activities` does."""
    return [_payload_item(line) for line in _split(body, media_type)]


def _split(body: bytes, media_type: str) -> Sequence[bytes]:
    if media_type == NDJSON:
        lines: Sequence[bytes] = [line for line in body.split(b"\n") if not line.isspace() and line]
    elif media_type == JSON:
        try:
            lines = [bytes(raw) for raw in _ARRAY_DECODER.decode(body)]
        except (msgspec.DecodeError, RecursionError) as error:
            raise BodyUnreadable("the body is not a JSON array") from error
    else:
        raise MediaTypeUnknown(f"send {NDJSON} (one item a line) or {JSON} (an array of items)")
    if not lines:
        raise BodyUnreadable("the delivery holds no item")
    if len(lines) > ITEM_LIMIT:
        raise BodyTooLarge(f"a delivery holds at most {ITEM_LIMIT} items")
    return lines


def _activity_item(line: bytes) -> PushedItem:
    try:
        item = _ACTIVITY_DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return PushedItem("", b"", BrokenItem('the item is not JSON of the form {"grant": "…", "activity": {…}}'))
    return PushedItem(item.grant, bytes(item.activity))


def _payload_item(line: bytes) -> PushedItem:
    try:
        item = _PAYLOAD_DECODER.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return PushedItem("", b"", BrokenItem('the item is not JSON of the form {"grant": "…", "payload": …}'))
    return PushedItem(item.grant, bytes(item.payload))

"""For who writes a connector: what it makes of a payload, and whether anything in a payload breaks it.

A test of a package needs no more than these two; neither needs a host.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from partner_bridge.channels.file_drop import read_content
from partner_bridge.connectors.declaration import require_sound
from partner_bridge.connectors.normalising import Context, Normalised
from partner_bridge.errors import UnusablePayload
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from partner_bridge.connectors.normalising import Connector
    from vocab.kinds import Activity

_AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
_ANYTHING: tuple[Any, ...] = (
    None, True, -1, 1e308, -1e308, 10**30, "", "x", "\x00", "9" * 400, "NaN", "2026-11-23T12:00:00", "2026-11-23",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "\u202e" * 9, [], {}, [[]], [None],
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """What a connector made of a payload.

    Attributes:
        activities: Each a valid record of one of the kinds that it declares.
        problems: What it could not use, in its own words.
    """

    activities: tuple[Activity, ...]
    problems: tuple[str, ...]


def try_payload(connector: Connector, content: bytes, at: datetime = _AT) -> Trial:
    """Run a connector over the content of a file.

    Args:
        connector: Yours.
        content: As a partner sends it, or a citizen's file has it.
        at: The time of the delivery.

    Raises:
        DeclarationInvalid: what it says of itself does not hold.
        NotAnActivity: it made a record that its kind's shape refuses.
        AssertionError: it made a record of a kind that it does not declare, two of one name, or others at the second run.
        BodyUnreadable: the content is empty or packed and cannot be unpacked.
    """
    require_sound(connector)
    first, second = ([*_made(connector, content, at)] for _ in range(2))
    assert [repr(each) for each in first] == [repr(each) for each in second], (
        "the same payload made other records the second time: records are named after what is in the payload"
    )
    records = [
        load_kinds().decode(msgspec.json.encode(each.activity)) for each in first if isinstance(each, Normalised)
    ]
    for record in records:
        assert record.kind in connector.kinds, f"a record of the kind {record.kind}, which is not declared"
    names = [record.id for record in records]
    assert len(set(names)) == len(names), "two records of one name in one payload"
    return Trial(tuple(records), tuple(str(each) for each in first if isinstance(each, UnusablePayload)))


def try_anything(connector: Connector, content: bytes) -> int:
    """Put anything at each place of a payload; what cannot be used must be told as a problem, never raised.

    Returns:
        How many spoiled payloads were tried.

    Raises:
        Exception: whatever the connector raised on one of them that is no `UnusablePayload`.
    """
    tried = 0
    for spoiled in _spoiled(connector, content):
        for _ in _made(connector, spoiled, _AT):
            pass
        tried += 1
    return tried


def _made(connector: Connector, content: bytes, at: datetime) -> Iterator[Normalised | UnusablePayload]:
    for payload in read_content("sample", content, connector):
        try:
            yield from connector.normalise(payload, Context(at))
        except UnusablePayload as error:
            yield error


def _spoiled(connector: Connector, content: bytes) -> Iterator[bytes]:
    if connector.form == "text":
        lines = content.decode("utf-8-sig").splitlines()
        delimiter = ";" if ";" in lines[0] else ","
        for row in {0, 1, len(lines) - 1} & set(range(len(lines))):
            cells = lines[row].split(delimiter)
            for column in range(len(cells)):
                for value in _ANYTHING:
                    changed = [*cells[:column], str(value), *cells[column + 1 :]]
                    yield "\n".join([*lines[:row], delimiter.join(changed), *lines[row + 1 :]]).encode()
        return
    read = json.loads(content)
    whole = read[0] if isinstance(read, list) else read  # an array in a file is many payloads
    for path in _places(whole):
        for value in _ANYTHING:
            yield json.dumps([_replaced(whole, path, value)]).encode()


def _places(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    if isinstance(value, dict):
        inner: Any = value.items()
    else:
        inner = enumerate(value[:2]) if isinstance(value, list) else ()
    for key, each in inner:
        for path in _places(each):
            yield key, *path


def _replaced(whole: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(whole)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed

"""What a connector is, and the one loop that runs it over payloads.

A connector knows one source's format and its traps: units, zones, gaps, estimates, lines that are no food. It yields
activities as compact JSON-LD with ids that follow from the payload alone, so that the same payload delivered twice is
the same records; what it cannot use it reports, piece by piece, and never guesses silently.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, runtime_checkable

import msgspec
import structlog

from partner_bridge.connectors.declaration import Declaration
from partner_bridge.delivery import Item
from partner_bridge.errors import UnusablePayload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from partner_bridge.channels.push import PushedItem

_log = structlog.get_logger()


@dataclass(frozen=True)
class Context:
    """What a connector may know beside the payload.

    Attributes:
        received_at: The city's time of the delivery.
    """

    received_at: datetime


@dataclass(frozen=True)
class Normalised:
    """One activity made from a payload.

    Attributes:
        activity: The members of compact JSON-LD.
        may_replace: A later version of the same record stands for the earlier one.
    """

    activity: dict[str, Any]
    may_replace: bool = False


@dataclass(frozen=True)
class Ask:
    """What a connector wants to know from its source next: a path below the source's interface, and the media type."""

    path: str
    accept: str = "application/json"


@dataclass(frozen=True)
class Took:
    """A payload that is whole, and how far the source is read once what is in it is in the pod."""

    payload: bytes
    cursor: dict[str, Any]


@dataclass(frozen=True)
class Event:
    """What a source's call tells of one of its users: a payload, or an address where there is one."""

    user: str
    payload: bytes = b""
    callback: str = ""


class Connector(Protocol):
    """One source's format.

    Attributes:
        name: As in commands and addresses.
        title: What a person would call the source.
        kinds: The slugs of the kinds it makes.
        form: `json` where a payload is JSON, `text` where it is a whole file of text.
        declaration: What it can bring, how, and on what terms.
    """

    name: str
    title: str
    kinds: frozenset[str]
    form: Literal["json", "text"]
    declaration: Declaration

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:
        """The activities in one payload, and what in it is none, in its order.

        Raises:
            UnusablePayload: the payload as a whole is not in this source's format.
        """
        ...


@runtime_checkable
class Pullable(Connector, Protocol):
    """A connector whose source can be asked."""

    def pull(self, cursor: dict[str, Any], now: datetime) -> Generator[Ask | Took, bytes, None]:
        """What to ask, one thing after the other; each `Ask` is answered with a body.

        Args:
            cursor: As the last `Took` had it; empty at first.
            now: The city's time.

        Raises:
            UnusablePayload: an answer is not in the source's format.
        """
        ...


@runtime_checkable
class Streamed(Connector, Protocol):
    """A connector whose files are too large to be held: it reads them piece by piece.

    Attributes:
        member: The end of the name of the one file that is read, where the files come as an archive.
    """

    member: str

    def stream(self, file: BinaryIO, context: Context) -> Iterator[Normalised | UnusablePayload]:
        """As `normalise`, of an open file.

        Raises:
            UnusablePayload: it is not in this source's format.
        """
        ...


def normalise(connector: Connector, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:
    """Run a connector over one payload; a payload that is unusable as a whole is its own single problem.

    So is one on which the connector breaks, which may be another package's: what it made before stays, nothing else is harmed.
    """
    try:
        for made in connector.normalise(payload, context):
            if not isinstance(made, Normalised | UnusablePayload):
                raise TypeError(f"a connector yields Normalised or UnusablePayload, not {type(made).__name__}")  # noqa: TRY301
            yield made
    except UnusablePayload as error:
        yield error
    except Exception as error:  # noqa: BLE001 - whatever it is, the delivery's other payloads go on
        _log.error("connector.broke", connector=connector.name, kind=type(error).__name__)
        yield UnusablePayload(
            "the connector of this source broke on the payload; whoever runs this host can see that it did"
        )


def normalise_items(connector: Connector, pushed: Iterable[PushedItem], received_at: datetime) -> list[Item]:
    """The activities of pushed payloads as items of a delivery, each with the position of its payload."""
    context = Context(received_at)
    items: list[Item] = []
    for position, each in enumerate(pushed):
        if each.error is not None:
            items.append(Item(each.grant, payload=position, error=each.error))
            continue
        payload = each.content
        if connector.form == "text":
            try:
                payload = msgspec.json.decode(each.content, type=str).encode()
            except msgspec.DecodeError:
                error = UnusablePayload("the payload of this connector is a JSON string that holds the file's text")
                items.append(Item(each.grant, payload=position, error=error))
                continue
        before = len(items)
        items.extend(to_item(each.grant, made, position) for made in normalise(connector, payload, context))
        if len(items) == before:
            error = UnusablePayload("the payload holds nothing that is an activity")
            items.append(Item(each.grant, payload=position, error=error))
    return items


def to_item(grant: str, made: Normalised | UnusablePayload, payload: int | None) -> Item:
    """What a connector yielded, as an item of a delivery."""
    if isinstance(made, UnusablePayload):
        return Item(grant, payload=payload, error=made)
    return Item(grant, msgspec.json.encode(made.activity), made.may_replace, payload)


def decode_as(payload: bytes, form: Any) -> Any:
    """Decode a JSON payload into a msgspec type of the source's format.

    Raises:
        UnusablePayload: it has another form; the message says where.
    """
    try:
        return msgspec.json.decode(payload, type=form)
    except msgspec.ValidationError as error:
        raise UnusablePayload(f"the payload is not in this source's format: {error}") from None
    except (msgspec.DecodeError, RecursionError):
        raise UnusablePayload("the payload is not well-formed JSON") from None


_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9:._~-]+")


def name_part(text: str) -> str:
    """A part of a record's id: what ids cannot hold becomes a hyphen."""
    return _NOT_IN_NAMES.sub("-", text).strip("-") or "x"


_NOT_SHOWN = re.compile(r"[^ -~\u00a0-\U0010ffff]+")


def shown_text(text: str, limit: int) -> str:
    """A text from outside as records hold them: no control characters, at most so long; may be empty."""
    return " ".join(_NOT_SHOWN.sub(" ", text).split())[:limit].strip()


def instant(at: datetime, later: timedelta = timedelta()) -> str:
    """An aware time, or one so much later, as `2026-11-23T12:00:00Z`.

    Raises:
        UnusablePayload: the time has no zone, and nothing tells which it was; or no calendar holds it.
    """
    if at.tzinfo is None:
        raise UnusablePayload("a time without its zone")
    try:
        return (at + later).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        # The first and the last hours of the calendar have no name in UTC.
        raise UnusablePayload("a time outside the calendar") from None


def found_or(problem: str, sequence: Sequence[Any]) -> Any:
    """The first of a sequence.

    Raises:
        UnusablePayload: it is empty.
    """
    if not sequence:
        raise UnusablePayload(problem)
    return sequence[0]

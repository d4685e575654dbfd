"""What municipalities offer: each published version of each programme, who published it, and when it ended.

Nothing here is about a citizen: offers are public (`/vocab/offers`). Whether one fits somebody is judged in that citizen's pod
(twin_agent/infer.py), and nobody is told of it but them. A version is never written over, so that a claim's version can always
be read; withdrawing one, or publishing the next, ends it for every citizen at once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from pod_server import problems
from pod_server.clock import microseconds, moment
from pod_server.partners import find_partner
from vocab.errors import NotAProgramme
from vocab.programmes import Programme, read_programme

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.partners import Partner
    from pod_server.storage.ports import Row, Transaction

ROLE = "role"
MUNICIPALITY = "municipality"
"""A partner publishes where its `about` says under `role` that it is one: the operator says so (`tvilling partner add --role`)."""

MOST_STANDING = 20
MOST_OF_ONE_KIND = 3
"""So many offers that measure one kind may stand: with many bounds on one quantity, claims would tell what it is."""


class OfferError(Exception):
    """The root of this module's errors."""


class NotAPublisher(OfferError):
    """A partner that is no municipality would publish an offer."""


class NoSuchOffer(OfferError):
    """Nobody, or somebody else, offers this."""


class OffersFull(OfferError):
    """More offers than may stand at once; the message says of what."""


@dataclass(frozen=True)
class Published:
    """One version of one offer.

    Attributes:
        programme: What is offered.
        content: The JSON in which it was published.
        state: `standing`, `replaced` or `withdrawn`.
        published_at: City's time.
        ended_at: City's time; None while it stands.
    """

    programme: Programme
    content: bytes
    state: str
    published_at: datetime
    ended_at: datetime | None


_COLUMNS = "slug, version, client_id, content, state, published_at, ended_at"


def publish(host: Host, client_id: str, slug: str, content: bytes) -> Published:
    """Publish an offer, or replace the one of this name; the very same again changes nothing.

    Args:
        host: The host.
        client_id: The partner, already authenticated.
        slug: The offer's name at this host.
        content: As vocab/programmes.py reads it.

    Raises:
        NotAPublisher: the partner is no admitted municipality.
        NotAProgramme: what is offered cannot be judged, or must not be published.
        NoSuchOffer: another municipality has an offer of this name.
        OffersFull: too many stand.
    """
    programme = read_programme(content, slug)
    kept = msgspec.json.format(content, indent=0)
    at = host.clock.now()
    with host.storage.write() as tx:
        _require_publisher(tx, client_id)
        versions = [
            _published(row)
            for row in tx.all(f"SELECT {_COLUMNS} FROM published_offer WHERE slug = ? ORDER BY version", (slug,))
        ]
        if any(each.programme.client_id != client_id for each in versions):
            raise NoSuchOffer("Another municipality has an offer of this name.")
        last = versions[-1] if versions else None
        if last is not None and last.state == "standing":
            if last.content == kept:
                return last
            _end(tx, slug, "replaced", at)
        others = [each.programme for each in _standing(tx, at) if each.programme.client_id == client_id]
        if len(others) >= MOST_STANDING:
            raise OffersFull(f"At most {MOST_STANDING} offers stand at once: withdraw one first.")
        if sum(each.kind_slug == programme.kind_slug for each in others) >= MOST_OF_ONE_KIND:
            raise OffersFull(f"At most {MOST_OF_ONE_KIND} offers measure one kind at once: withdraw one first.")
        version = 1 if last is None else last.programme.rule_version + 1
        tx.execute(
            "INSERT INTO published_offer (slug, version, client_id, content, state, published_at, ended_at) "
            "VALUES (?, ?, ?, ?, 'standing', ?, NULL)",
            (slug, version, client_id, kept.decode(), microseconds(at)),
        )
        return Published(read_programme(kept, slug, version, client_id), kept, "standing", at, None)


def withdraw(host: Host, client_id: str, slug: str) -> Published:
    """End an offer; again changes nothing.

    Raises:
        NotAPublisher: the partner is no admitted municipality.
        NoSuchOffer: it has none of this name.
    """
    with host.storage.write() as tx:
        _require_publisher(tx, client_id)
        found = latest(tx, slug)
        if found is None or found.programme.client_id != client_id:
            raise NoSuchOffer("You have no offer of this name.")
        if found.state == "standing":
            _end(tx, slug, "withdrawn", host.clock.now())
            found = latest(tx, slug)
            assert found is not None, "it was there a statement ago"
        return found


def standing(tx: Transaction, at: datetime) -> list[Published]:
    """What can be claimed now: not ended, not past its last day, by a municipality that nothing stops; by name.

    An offer whose first day is still to come is among them; `open_from` says so.
    """
    return [each for each in _standing(tx, at) if operator_of(tx, each.programme) is not None]


def latest(tx: Transaction, slug: str) -> Published | None:
    """The newest version of an offer, ended ones too."""
    row = tx.one(f"SELECT {_COLUMNS} FROM published_offer WHERE slug = ? ORDER BY version DESC LIMIT 1", (slug,))
    return None if row is None else _published(row)


def of_version(tx: Transaction, slug: str, version: int) -> Published | None:
    """One version, ended or not: what a claim was made under."""
    row = tx.one(f"SELECT {_COLUMNS} FROM published_offer WHERE slug = ? AND version = ?", (slug, version))
    return None if row is None else _published(row)


def operator_of(tx: Transaction, programme: Programme) -> Partner | None:
    """The municipality to which a claim goes; None where it is not admitted, or stopped."""
    partner = find_partner(tx, programme.client_id)
    return partner if partner is not None and partner.is_admitted and partner.about.get(ROLE) == MUNICIPALITY else None


def fingerprint(found: list[Published]) -> str:
    """Tells one set of standing offers from another; for whoever looked at them before."""
    named = ",".join(f"{each.programme.slug}/{each.programme.rule_version}" for each in found)
    return hashlib.sha256(named.encode()).hexdigest()[:12]


def _standing(tx: Transaction, at: datetime) -> list[Published]:
    rows = tx.all(f"SELECT {_COLUMNS} FROM published_offer WHERE state = 'standing' ORDER BY slug")
    return [each for each in map(_published, rows) if at.date() <= each.programme.open_to]


def _end(tx: Transaction, slug: str, state: str, at: datetime) -> None:
    tx.execute(
        "UPDATE published_offer SET state = ?, ended_at = ? WHERE slug = ? AND state = 'standing'",
        (state, microseconds(at), slug),
    )


def _require_publisher(tx: Transaction, client_id: str) -> None:
    partner = find_partner(tx, client_id)
    if partner is None or not partner.is_admitted or partner.about.get(ROLE) != MUNICIPALITY:
        raise NotAPublisher("Offers are published by municipalities; the operator says who is one.")


def _published(row: Row) -> Published:
    content = row[3].encode()
    programme = read_programme(content, row[0], int(row[1]), row[2])
    return Published(programme, content, row[4], moment(row[5]), None if row[6] is None else moment(row[6]))


problems.declare(
    NotAProgramme, "offer-invalid", "The offer cannot be published like this", 422, members=("path", "reason")
)
problems.declare(NotAPublisher, "not-a-publisher", "Only a municipality publishes offers", 403)
problems.declare(NoSuchOffer, "no-such-offer", "No such offer", 404)
problems.declare(OffersFull, "offers-full", "Too many offers stand already", 409)

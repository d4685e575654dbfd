"""What a partner asks for, in the words of RFC 9396, and the terms of consent that it comes to.

One purpose a request: the citizen decides about one thing at a time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from consent.errors import TermsInvalid
from consent.grant import LONGEST_CONSENT, OPERATIONS, USUAL_READS_PER_DAY, GrantTerms
from pod_server.authorization_server.errors import OAuthError
from vocab.kinds import load_kinds
from vocab.purposes import find_purpose
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from consent.grant import Grant
    from pod_server.host import Host
    from pod_server.identifiers import Subject

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


class _Detail(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One authorization detail as it comes; members are only ever added."""

    type: str
    purpose: str
    valid_to: str = msgspec.field(name="validTo")
    datatypes: list[str] = msgspec.field(default_factory=list)
    figures: list[str] = msgspec.field(default_factory=list)
    documents: list[str] = msgspec.field(default_factory=list)
    actions: list[str] | None = None
    locations: list[str] | None = None
    granularity: str | dict[str, str] = "event"
    history_from: str | None = None
    history_to: str | None = None
    retention: str = "P13M"
    max_records_per_day: int | None = None
    max_reads_per_day: int | None = None
    legal_basis: str = "eu-gdpr:A6-1-a"
    revocable: bool = True


def detail_type(host: Host) -> str:
    """The IRI, on this host, of the type that asks to deliver (and perhaps to read the same kinds)."""
    return f"{host.base_url}/vocab/rar#pod-append"


def read_type(host: Host) -> str:
    """The IRI, on this host, of the type that asks to read alone: figures of the twin, or kinds of activity."""
    return f"{host.base_url}/vocab/rar#pod-read"


def detail_types(host: Host) -> list[str]:
    """Both types, as the authorization server's metadata names them (RFC 9396, section 10)."""
    return [detail_type(host), read_type(host)]


def _refused(description: str) -> OAuthError:
    return OAuthError("invalid_authorization_details", description)


def _moment(text: str, member: str) -> datetime:
    try:
        if _DATE.match(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise _refused(f"{member} is not a date or a time") from error
    if moment.tzinfo is None:
        raise _refused(f"{member} is a time without its zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise _refused(f"{member} is a time outside the calendar") from error


def _kind_slug(name: str) -> str:
    kinds = load_kinds()
    kind = kinds.by_slug.get(name) or kinds.by_type.get(name)
    if kind is None:
        raise _refused("datatypes names a kind of activity that is not known here")
    return kind.slug


def terms_asked_for(host: Host, client_id: str, text: str) -> GrantTerms:
    """The terms of consent that a partner's `authorization_details` ask for.

    Args:
        host: Its base URL names the type; its city time is now.
        client_id: Who asks.
        text: The parameter: a JSON array with one object.

    Raises:
        OAuthError: `invalid_authorization_details`, saying which member is wrong.
    """
    try:
        details = msgspec.json.decode(text.encode(), type=list[_Detail])
    except (msgspec.DecodeError, RecursionError) as error:
        raise _refused(f"authorization_details: {str(error)[:200]}") from error
    if len(details) != 1:
        raise _refused("one authorization detail: one purpose is decided about at a time")
    detail = details[0]
    now = host.clock.now()
    if detail.type not in detail_types(host):
        raise _refused(f"type is to be {' or '.join(detail_types(host))}")
    reads = detail.type == read_type(host)
    actions = detail.actions if detail.actions is not None else ["read"] if reads else ["append"]
    if detail.legal_basis != "eu-gdpr:A6-1-a" or not detail.revocable:
        raise _refused("consent (eu-gdpr:A6-1-a) is the only basis here, and always revocable")
    place = f"{host.base_url}/bridge/{'grants' if reads else 'activities'}"
    if detail.locations is not None and detail.locations != [place]:
        raise _refused(f"locations, where given, is to be [{place}]")
    if not set(actions) <= OPERATIONS:
        raise _refused("actions are append and read")
    if reads and actions != ["read"]:
        raise _refused("actions is [read] for this type; to deliver is another consent")
    purpose = find_purpose(detail.purpose)
    if purpose is None:
        raise _refused("purpose is not one of the vocabulary's")
    if detail.figures and not reads:
        raise _refused(f"figures are asked for by the type {read_type(host)}")
    if unknown := sorted(set(detail.figures) - load_shared_figures().keys()):
        raise _refused(f"figures: {unknown[0][:60]!r} is none of {', '.join(load_shared_figures())}")
    if detail.documents and not reads:
        raise _refused(f"documents are asked for by the type {read_type(host)}")
    if not 1 <= len(detail.datatypes) + len(detail.figures) + len(detail.documents) <= 20:
        raise _refused("datatypes names one to twenty kinds of activity, or figures and documents so many of theirs")
    if detail.max_reads_per_day is not None and "read" not in actions:
        raise _refused("max_reads_per_day is for who reads")
    kinds = frozenset(_kind_slug(name) for name in detail.datatypes)
    granularity = detail.granularity
    if not isinstance(granularity, str):
        granularity = {_kind_slug(name): each for name, each in granularity.items()}
    expires_at = _moment(detail.valid_to, "validTo")
    if not now < expires_at <= now + LONGEST_CONSENT:
        raise _refused("validTo lies in the past, or more than five years ahead")
    try:
        return GrantTerms(
            client_id=client_id,
            purpose=purpose.slug,
            kinds=kinds,
            operations=frozenset(actions),
            granularity=granularity,
            history_from=now if detail.history_from is None else _moment(detail.history_from, "history_from"),
            expires_at=expires_at,
            valid_to=None if detail.history_to is None else _moment(detail.history_to, "history_to"),
            documents=frozenset(detail.documents),
            retention=detail.retention,
            quota_per_day=detail.max_records_per_day,
            figures=frozenset(detail.figures),
            reads_per_day=_reads_per_day(detail) if "read" in actions else None,
        )
    except TermsInvalid as error:
        raise _refused(str(error)) from error


def _reads_per_day(detail: _Detail) -> int:
    return USUAL_READS_PER_DAY if detail.max_reads_per_day is None else detail.max_reads_per_day


def details_of(host: Host, grant: Grant, subject: Subject) -> list[dict[str, Any]]:
    """A grant in the same words, enriched with what the partner needs to use it (RFC 9396, section 7)."""
    terms = grant.terms
    reads = terms.operations == {"read"}
    door = f"{host.base_url}/bridge/grants/{grant.id}" if reads else f"{host.base_url}/bridge/activities"
    detail: dict[str, Any] = {
        "type": read_type(host) if reads else detail_type(host),
        "locations": [f"{host.base_url}/bridge/grants" if reads else door],
        "actions": sorted(terms.operations),
        "datatypes": sorted(terms.kinds),
        "purpose": terms.purpose,
        "granularity": terms.granularity if isinstance(terms.granularity, str) else dict(terms.granularity),
        "history_from": terms.history_from.isoformat(),
        "validTo": terms.expires_at.isoformat(),
        "retention": terms.retention,
        "legal_basis": "eu-gdpr:A6-1-a",
        "revocable": True,
        "grant": grant.id,
        "subject": subject,
        "location": door,
        "state": str(grant.state_at(host.clock.now())),
    }
    if terms.figures:
        detail["figures"] = sorted(terms.figures)
    if terms.documents:
        detail["documents"] = sorted(terms.documents)
    if terms.valid_to is not None:
        detail["history_to"] = terms.valid_to.isoformat()
    if terms.quota_per_day is not None:
        detail["max_records_per_day"] = terms.quota_per_day
    if terms.reads_per_day is not None:
        detail["max_reads_per_day"] = terms.reads_per_day
    return [detail]

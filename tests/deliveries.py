"""What tests of deliveries start from: a partner, a grant with its Permit, and made-up readings."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from joserfc.jwk import ECKey

from consent.grant import GrantTerms
from pod_server import grants, partners
from pod_server.activities import Delivery, Record, append
from pod_server.authorization import enforcement
from pod_server.identifiers import Actor

if TYPE_CHECKING:
    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.identifiers import GrantId, PodId

CITIZEN = Actor("citizen")
FIRST_HOUR = datetime(2026, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class GrantedPartner:
    """A partner, the grant one citizen gave it, and the Permit that follows."""

    partner: partners.Partner
    grant: GrantId
    permit: Permit


def add_partner(host: Host, name: str = "Strømmen AS") -> partners.Partner:
    key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
    return partners.add_partner(host, name=name, jwks={"keys": [key.as_dict(private=False)]})


def granted(
    host: Host,
    pod_id: PodId,
    *,
    partner: partners.Partner | None = None,
    kinds: frozenset[str] = frozenset({"electricity-reading", "grocery-line"}),
    quota_per_day: int | None = None,
    name: str = "Strømmen AS",
) -> GrantedPartner:
    """A new partner (or the given one) with a grant to append and read."""
    partner = partner or add_partner(host, name)
    now = host.clock.now()
    terms = GrantTerms(
        client_id=partner.client_id,
        purpose="personal-footprint",
        kinds=kinds,
        operations=frozenset({"append", "read"}),
        granularity="event",
        history_from=now - timedelta(days=800),
        expires_at=now + timedelta(days=300),
        quota_per_day=quota_per_day,
    )
    grant = grants.give(host, pod_id, terms, actor=CITIZEN)
    permit = permit_again(host, partner, grant.id)
    return GrantedPartner(partner, permit.grant, permit)


def permit_again(host: Host, partner: partners.Partner, grant_id: str) -> Permit:
    return enforcement.require_grant(host, partner, grant_id, (), "append", host.clock.now())


def reading(number: int, quantity: float = 1.0, *, correction: bool = False, meter: str = "m1") -> Record:
    """The reading of one hour."""
    start = FIRST_HOUR + timedelta(hours=number)
    members = {
        "@id": f"reading/{meter}/{number}",
        "@type": "ElectricityReading",
        "start": start.isoformat().replace("+00:00", "Z"),
        "end": (start + timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "quantity": quantity,
        "unit": "KiloW-HR",
        "meter": meter,
    }
    if correction:
        members["correction"] = True
    raw = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
    return Record(members["@id"], raw, "electricity-reading", start, start + timedelta(hours=1), correction)


def readings(first: int, count: int, **options: object) -> list[Record]:
    return [reading(number, **options) for number in range(first, first + count)]


def deliver(host: Host, permit: Permit, records: list[Record], **options: object) -> list[str]:
    """Append one delivery; the records' statuses."""
    (outcome,) = append(host, [Delivery(permit, records)], **options)
    return [record.status for record in outcome.records]


def owner_permit(vault: object) -> Permit:
    return enforcement.require_owner(vault)

"""A partner, a citizen and a grant between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from joserfc.jwk import ECKey

from consent.grant import EVENT, GrantTerms
from partner_bridge.delivery import Item, ItemAnswer, deliver
from pod_server import grants
from pod_server.identifiers import Actor, PodId
from pod_server.partners import Partner, add_partner

if TYPE_CHECKING:
    from pod_server.host import Host

CITIZEN = Actor("citizen")
ALL_KINDS = frozenset({"electricity-reading", "grocery-line", "transit-trip", "waste-collection"})


def make_partner(host: Host, name: str = "TrønderEnergi", *, webhook: str | None = None) -> Partner:
    """A partner with a key of its own."""
    public = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"}).as_dict(private=False)
    return add_partner(host, name=name, jwks={"keys": [public]}, redirect_uris=(), webhook=webhook)


def make_terms(host: Host, partner: Partner, **options: Any) -> GrantTerms:
    """Terms wide enough for most tests."""
    now = host.clock.now()
    return GrantTerms(
        **{
            "client_id": partner.client_id,
            "purpose": "verify-meter",
            "kinds": ALL_KINDS,
            "operations": frozenset({"append"}),
            "granularity": EVENT,
            "history_from": datetime(2015, 1, 1, tzinfo=UTC),
            "expires_at": now + timedelta(days=90),
            **options,
        }
    )


def make_reading(number: int = 0, **members: Any) -> dict[str, Any]:
    """An hourly reading, `number` hours after midnight of the day before the tests' noon."""
    start = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(hours=number)
    return {
        "@id": f"reading:{number}",
        "@type": "ElectricityReading",
        "start": start.isoformat(),
        "end": (start + timedelta(hours=1)).isoformat(),
        "quantity": 1.5,
        "unit": "KiloW-HR",
        **members,
    }


@dataclass
class Street:
    """One citizen and one partner who may deliver."""

    host: Host
    pod_id: PodId
    partner: Partner
    grant: str
    items: list[Item] = field(default_factory=list)

    def deliver(
        self, *activities: dict[str, Any] | bytes, grant: str | None = None, partner: Partner | None = None
    ) -> list[ItemAnswer]:
        """Deliver activities under the grant."""
        items = [
            Item(grant or self.grant, each if isinstance(each, bytes) else msgspec.json.encode(each))
            for each in activities
        ]
        return deliver(self.host, partner or self.partner, items)


@pytest.fixture
def street(city) -> Street:
    pod = city.citizen("kari")
    partner = make_partner(city.host)
    grant = grants.give(city.host, pod.pod_id, make_terms(city.host, partner), actor=CITIZEN)
    return Street(city.host, pod.pod_id, partner, grant.id)


@pytest.fixture
def reading():
    return make_reading


@pytest.fixture
def new_partner(host):
    return lambda name, **options: make_partner(host, name, **options)


@pytest.fixture
def terms_for(host):
    return lambda partner, **options: make_terms(host, partner, **options)


@pytest.fixture
def log_of(host):
    """The citizen's own view of a pod's log."""
    from pod_server.log.ledger import read_events
    from pod_server.opening import custodian_vault

    def read(pod_id: PodId):
        with host.storage.read() as tx:
            return read_events(tx, custodian_vault(host, pod_id), pod_id)

    return read

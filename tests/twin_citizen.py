"""A citizen of a test, who consents to deliveries of every kind, and what the twin makes of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from deliveries import GrantedPartner, granted
from twin_activities import ALL_KINDS, record

from pod_server import figures, partners
from pod_server.activities import Delivery, append
from pod_server.authorization.enforcement import require_mandate, require_owner
from pod_server.opening import open_pod
from twin_agent.recompute import recompute
from twin_agent.worker import run_until_idle


@dataclass
class Citizen:
    """One citizen of a test."""

    city: object
    made: object
    grants: dict[str, GrantedPartner] = field(default_factory=dict)

    @property
    def host(self):
        return self.city.host

    @property
    def pod_id(self):
        return self.made.vault.pod_id

    def partner(self, name: str) -> GrantedPartner:
        if name not in self.grants:
            known = next((each for each in partners.list_partners(self.host) if each.name == name), None)
            self.grants[name] = granted(self.host, self.pod_id, partner=known, name=name, kinds=ALL_KINDS)
        return self.grants[name]

    def deliver(self, partner: str, *members: dict[str, object]) -> list[str]:
        (outcome,) = append(self.host, [Delivery(self.partner(partner).permit, [record(each) for each in members])])
        return [each.status for each in outcome.records]

    def think(self) -> int:
        return run_until_idle(self.host)

    def own(self):
        return open_pod(self.host, require_owner(self.made.vault), vault=self.made.vault)

    def as_twin(self):
        return open_pod(self.host, require_mandate(self.host, self.pod_id, "observe"))

    def figures(self) -> dict:
        with self.host.storage.read() as tx:
            return json.loads(figures.load_figures(tx, self.own()))

    def events(self) -> list[dict]:
        with self.host.storage.read() as tx:
            return [
                json.loads(event.content) | {"seq": event.seq} for event in figures.events_after(tx, self.own(), 0, 300)
            ]

    def recomputed(self) -> dict:
        return recompute(self.host, self.own())

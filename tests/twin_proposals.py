"""Two years of waste, the municipality that rewards less of it, and what a test sees of proposals and claims."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from joserfc.jwk import ECKey
from twin_activities import MIDNIGHT, waste

from pod_server import outbox, partners, proposals
from pod_server.authorization.sealed_for_host import unseal
from pod_server.log import ledger
from pod_server.offers import publish
from twin_agent.propose import read_body

if TYPE_CHECKING:
    from twin_citizen import Citizen

WEEK = timedelta(days=7)
FIRST_DAY_OF_PERIOD = MIDNIGHT.replace(month=11, day=1, year=2025)


def two_years_of_waste(now_kg: float, before_kg: float) -> list[dict[str, object]]:
    """A collection a week for two years that end with October 2026."""
    after = [waste(f"after/{n}", FIRST_DAY_OF_PERIOD + n * WEEK, now_kg) for n in range(52)]
    before = [waste(f"before/{n}", FIRST_DAY_OF_PERIOD - (52 - n) * WEEK, before_kg) for n in range(52)]
    return before + after


SAMPLE = (Path(__file__).parent / "samples" / "municipality-offer.json").read_bytes()
"""Five per cent less waste, for a tram pass."""


def add_municipality(
    host, *, offering: bytes | None = SAMPLE, name: str = "Trondheim kommune", about: dict[str, str] | None = None
) -> partners.Partner:
    """A municipality, and what it offers under the name `tram-pass`."""
    key = ECKey.generate_key("P-256", parameters={"kid": "k1", "use": "sig", "alg": "ES256"})
    made = partners.add_partner(
        host,
        name=name,
        jwks={"keys": [key.as_dict(private=False)]},
        webhook="https://kommune.example/hook",
        about={"role": "municipality"} if about is None else about,
    )
    if offering is not None:
        publish(host, made.client_id, "tram-pass", offering)
    return made


def stored(citizen: Citizen) -> list[dict]:
    with citizen.host.storage.read() as tx:
        return [read_body(each) | {"_state": each.state} for each in proposals.list_proposals(tx, citizen.own())]


def messages(citizen: Citizen) -> list[outbox.OutboxMessage]:
    with citizen.host.storage.read() as tx:
        return [each for each in outbox.messages(tx, pod_id=citizen.pod_id) if each.kind == "claim"]


def sent_bodies(citizen: Citizen) -> list[dict]:
    with citizen.host.storage.read() as tx:
        rows = tx.all("SELECT message_id, body FROM outbox WHERE pod_id = ? AND kind = 'claim'", (citizen.pod_id,))
    return [
        json.loads(unseal(citizen.host.host_key, "outbox-body", (message_id,), bytes(body).decode()))
        for message_id, body in rows
    ]


def actions(citizen: Citizen) -> list[str]:
    with citizen.host.storage.read() as tx:
        return [each.event.action for each in ledger.read_events(tx, citizen.made.vault, citizen.pod_id)]

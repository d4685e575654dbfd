"""Who takes part in the demo city, written into the data folder once: partners, sources, citizens, neighbours and their consents."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from secrets import token_hex, token_urlsafe
from typing import TYPE_CHECKING, Any

from pod_server.identifiers import Actor
from tvilling.city.simulators.register import ASKED
from tvilling.errors import SettingsError
from tvilling.partners_of_the_city import PARTNERS, integrators, own_key

if TYPE_CHECKING:
    from consent.grant import GrantTerms
    from pod_server.host import Host
    from pod_server.pods import NewPod
    from tvilling.city.households import Household

STATE_FILE = "demo.json"
HISTORY = timedelta(days=3 * 366)
"""How far back the partners may deliver: waste is compared with the year before, month by whole month."""

RESEARCH_PURPOSE = "research-statistics"
ENROLMENT = Actor("operator-assisted")
OWN_NAME = "tvilling"
"""What this house is called at the sources that it asks."""


@dataclass
class DemoState:
    """What a second start must know of the first; lies in the data folder, readable by its owner alone."""

    control_port: int
    control_token: str
    seed: int
    live_citizens: int
    neighbours: int
    passphrases: dict[str, str] = field(default_factory=dict)
    client_ids: dict[str, str] = field(default_factory=dict)
    neighbour_grants: dict[str, dict[str, str]] = field(default_factory=dict)
    consented: list[str] = field(default_factory=list)
    history_delivered: bool = False
    city_time: str | None = None
    secrets: dict[str, str] = field(default_factory=dict)
    brought: dict[str, int] | None = None

    @classmethod
    def load(cls, folder: Path) -> DemoState | None:
        """The state of an earlier start, or None."""
        path = folder / STATE_FILE
        if not path.exists():
            return None
        try:
            return cls(**json.loads(path.read_text()))
        except (ValueError, TypeError) as error:
            raise SettingsError(f"{path} is not this version's demo state; start with a new data folder") from error

    def secret(self, name: str) -> str:
        """A secret that the house and a source share, made at first need."""
        return self.secrets.setdefault(name, token_urlsafe(24))

    def save(self, folder: Path) -> None:
        """Write the state, whole or not at all."""
        fresh = folder / f"{STATE_FILE}.new"
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(asdict(self), file)
        fresh.replace(folder / STATE_FILE)


def enrol(host: Host, state: DemoState, data: Path, say: Callable[[str], None]) -> None:
    """Admit the partners, make the citizens' and neighbours' pods, and write down the neighbours' consents."""
    from pod_server.pods import create_pod, list_pods  # noqa: PLC0415
    from pod_server.vault.key_derivation import Passphrase  # noqa: PLC0415
    from tvilling.city import households  # noqa: PLC0415

    _admit_partners(host, state, data)
    _add_sources(host, state, data)
    present = {pod.handle for pod in list_pods(host)}
    for household in households.citizens()[: state.live_citizens]:
        phrase = state.passphrases.setdefault(household.handle, f"{household.handle}-{token_hex(6)}")
        state.save(data)
        if household.handle not in present:
            made = _make_pod(host, create_pod, household, passphrase=Passphrase(phrase))
            _consent_to_research(host, made)
    missing = [each for each in households.neighbours(state.neighbours, state.seed) if each.handle not in present]
    if missing:
        say(f"Making {len(missing)} simulated neighbours …")
    for household in missing:
        made = _make_pod(host, create_pod, household, simulated=True)
        state.neighbour_grants[household.handle] = _consent_of_neighbour(host, made, state)
    state.save(data)


def _admit_partners(host: Host, state: DemoState, data: Path) -> None:
    from pod_server.acting import authorise  # noqa: PLC0415
    from pod_server.partner_standing import By  # noqa: PLC0415
    from pod_server.partners import add_partner  # noqa: PLC0415

    new: set[str] = set()
    for each in PARTNERS:
        _, jwks = own_key(data / "simulators", each.slug)
        if each.slug in state.client_ids:
            continue
        door = f"http://127.0.0.1:{state.control_port}/partners/{each.slug}"
        made = add_partner(
            host,
            name=each.name,
            jwks=jwks,
            redirect_uris=(f"{door}/callback",),
            webhook=f"{door}/webhook",
            about={"contact": each.contact} | ({"role": "municipality"} if each.slug == "kommune" else {}),
        )
        state.client_ids[each.slug] = made.client_id
        state.save(data)
        new.add(each.slug)
    for principal, actor in integrators():
        # Once: who ended the leave between two starts meant it.
        if {principal, actor} & new:
            authorise(host, state.client_ids[principal], state.client_ids[actor], by=By("operator", "demo"))


def address_of(state: DemoState, slug: str) -> str:
    """Where a source that is asked answers: its issuer's name, too."""
    return f"http://127.0.0.1:{state.control_port}/asked/{slug}"


def _add_sources(host: Host, state: DemoState, data: Path) -> None:
    """Name the sources that citizens may connect."""
    from partner_bridge.sources import Source, add_source  # noqa: PLC0415
    from pod_server.identifiers import ClientId  # noqa: PLC0415

    for each in ASKED.values():
        address = address_of(state, each.slug)
        oauth, calculates = each.channel == "oauth", each.channel == "calculation"
        add_source(
            host,
            Source(
                slug=each.slug,
                name=each.name,
                channel=each.channel,
                connector=each.connector,
                purpose=each.purpose,
                client_id=ClientId(""),
                api=address + each.api,
                every=each.every,
                issuer=address if oauth else "",
                token_endpoint=f"{address}/oauth/token" if calculates else "",
                oauth_client=OWN_NAME if oauth or calculates else "",
                scopes=each.scopes,
                parameters=each.parameters,
                secret=state.secret(each.slug) if oauth or calculates else "",
                webhook=each.webhook,
                webhook_secret=state.secret(f"{each.slug}/calls") if each.webhook == "signed" else "",
            ),
            about={"contact": each.contact},
        )
    state.save(data)


def _make_pod(host: Host, create_pod: Callable[..., NewPod], household: Household, **options: Any) -> NewPod:
    return create_pod(
        host,
        household.handle,
        name=household.name,
        household_size=household.household_size,
        area=household.area,
        dwelling=household.dwelling,
        actor=ENROLMENT,
        **options,
    )


def _terms(
    host: Host, client_id: str, *, purpose: str, kinds: tuple[str, ...], operation: str, granularity: str
) -> GrantTerms:
    from consent.grant import GrantTerms  # noqa: PLC0415

    now = host.clock.now()
    return GrantTerms(
        client_id=client_id,
        purpose=purpose,
        kinds=frozenset(kinds),
        operations=frozenset({operation}),
        granularity=granularity,
        history_from=now - HISTORY,
        expires_at=now + timedelta(days=365),
        notice_version="1",
    )


def _research_terms(host: Host) -> GrantTerms:
    from pod_server.partners import RESEARCH  # noqa: PLC0415

    kinds = tuple(sorted({kind for each in PARTNERS for kind in each.kinds}))
    return _terms(host, RESEARCH.client_id, purpose=RESEARCH_PURPOSE, kinds=kinds, operation="read", granularity="P1M")


def _consent_to_research(host: Host, made: NewPod) -> None:
    from pod_server import grants  # noqa: PLC0415

    grants.give(host, made.pod_id, _research_terms(host), actor=ENROLMENT, vault=made.vault)


def _consent_of_neighbour(host: Host, made: NewPod, state: DemoState) -> dict[str, str]:
    """A quiet neighbour's consents, written down at enrolment: every partner but the one that reads by the minute."""
    from pod_server import grants  # noqa: PLC0415

    delivering = [each for each in PARTNERS if each.kinds and not each.citizens_only]
    terms = [
        _terms(
            host,
            state.client_ids[each.slug],
            purpose=each.purpose,
            kinds=each.kinds,
            operation="append",
            granularity=each.granularity,
        )
        for each in delivering
    ]
    with host.key_store.batch():
        given = grants.give_all(host, made.pod_id, [*terms, _research_terms(host)], actor=ENROLMENT, vault=made.vault)
    return {each.slug: grant.id for each, grant in zip(delivering, given, strict=False)}

"""What came to the house later: disputes, integrators, partners' own key addresses, second opinions and team challenges.

Each function is one or more acts of a visitor (visitors.py); whatever they write is held against what was acknowledged.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from deliveries import deliver, granted, reading
from key_address import Publisher
from oauth_client import new_key
from reckoner_house import AT, SECRET, Wire, bought
from twin_activities import record, steps
from twin_proposals import SAMPLE, add_municipality

from partner_bridge import calculating, challenges
from partner_bridge.errors import SourceBusy
from partner_bridge.sources import Source, add_source
from pod_server import acting, calculations, offers, partners, rectifications
from pod_server.identifiers import ClientId
from pod_server.lookups import Lookups
from pod_server.partner_standing import By
from tvilling.city.simulators.reckoner import Reckoner

if TYPE_CHECKING:
    from faults.harness.visitors import Visitors

KARI = By("operator", "Kari Saksbehandler")
NOTICE = ("1", "0" * 64)


def dispute(visitors: Visitors) -> None:
    """The citizen says that a reading is not theirs, and thinks better of it."""
    said: list[Any] = []

    def say() -> None:
        host = visitors.host
        given = granted(host, visitors.pod_id, name=f"Målervakt {visitors.life.number}")
        one = reading(7, meter=f"d{visitors.life.number}")
        assert deliver(host, given.permit, [one]) == ["accepted"]
        said.append(rectifications.say(host, visitors.own(), given.grant, one.id, "not-mine", tell=False))

    if visitors.act("dispute", say):
        visitors.life.think()
        visitors.act(
            "take-back", lambda: rectifications.take_back(visitors.host, visitors.own(), said[-1].rectification_id)
        )


def let_act(visitors: Visitors) -> None:
    """A partner lets another deliver in its name, and ends it."""
    principal = visitors.grant.partner

    def let() -> None:
        name = f"Ombud {visitors.life.number}"
        agent = partners.add_partner(visitors.host, name=name, jwks=principal.jwks)
        acting.authorise(visitors.host, principal.client_id, agent.client_id, by=KARI)

    def end() -> None:
        with visitors.host.storage.read() as tx:
            (held,) = acting.list_in(tx, principal.client_id)
        assert acting.end(visitors.host, principal.client_id, held.actor, by=KARI)

    if visitors.act("let-act", let):
        visitors.act("end-acting", end)


def offer(visitors: Visitors) -> None:
    """A municipality publishes an offer and takes it back."""
    made: list[Any] = []
    slug = f"pass-{visitors.life.number}"

    def publish() -> None:
        made.append(add_municipality(visitors.host, offering=None, name=f"Kommune {visitors.life.number}").client_id)
        offers.publish(visitors.host, made[-1], slug, SAMPLE)

    if visitors.act("offer", publish):
        visitors.act("withdraw-offer", lambda: offers.withdraw(visitors.host, made[-1], slug))


def publish_keys(visitors: Visitors) -> None:
    """A partner's keys are fetched from its address, fetched again under a new name, and forgotten with the partner."""
    made: list[Publisher] = []

    def first() -> None:
        made.append(Publisher(visitors.host, name=f"Nøkkelvakt {visitors.life.number}"))
        assert made[-1].signs_in()

    def second() -> None:
        following = new_key("k2")
        made[-1].keys.publish(following)
        visitors.life.clock.advance(timedelta(minutes=2))
        assert made[-1].signs_in(following)

    if visitors.act("fetch-keys", first):
        visitors.act("fetch-keys-again", second)
        client_id = made[-1].partner.client_id
        visitors.act("remove-partner", lambda: partners.remove_partner(visitors.host, client_id))


def second_opinion(visitors: Visitors) -> None:
    """A service reckons with a month's sums; a challenge of its is joined and told of; it asks to be left alone."""
    service = Reckoner(now=visitors.life.clock.now, client_id="tvilling", secret=SECRET)

    def host() -> Any:
        return _beside(visitors, service)

    def open_service() -> None:
        described = Source(
            slug="ducky", name="Ducky", channel="calculation", connector="ducky", purpose="second-opinion",
            client_id=ClientId(""), api=f"{AT}/v3", token_endpoint=f"{AT}/oauth/token", oauth_client="tvilling", secret=SECRET,
        )  # fmt: skip
        add_source(host(), described)
        bank = granted(visitors.host, visitors.pod_id, name="Sparebanken", kinds=frozenset({"payment", "step-count"}))
        now = visitors.life.clock.now()
        walked = steps("walked", now - timedelta(hours=5), 60, 60_000)
        paid = [bought("boots", 3, 1249.0, "clothing"), bought("lamp", 9, 1960.0, "furniture"), walked]
        deliver(visitors.host, bank.permit, [record(each) for each in paid])

    def reckon() -> None:
        of = calculating.find_service(host(), "ducky")
        calculating.agree(host(), visitors.vault, of, notice=NOTICE)
        shown = calculating.preview(host(), visitors.own(), of, "2026-10")
        calculating.calculate(host(), visitors.own(), of, "2026-10", shown.digest)

    def take_part() -> None:
        of = calculating.find_service(host(), "ducky")
        (challenge,) = challenges.offered(host(), of)
        grant = challenges.join(host(), visitors.own(), of, challenge.id, notice=NOTICE)
        (part,) = challenges.taking_part(host(), visitors.own())
        challenges.tell(host(), visitors.own(), grant, part.percent)

    def be_told_to_wait() -> None:
        service.faults.turn("429", "1")
        with pytest.raises(SourceBusy):
            challenges.offered(host(), calculating.find_service(host(), "ducky"))

    if visitors.act("open-service", open_service):
        visitors.life.think()
        visitors.act("reckon", reckon)
        visitors.act("take-part", take_part)
        visitors.act("be-told-to-wait", be_told_to_wait)


def _beside(visitors: Visitors, service: Reckoner) -> Any:
    return replace(visitors.host, outbound=Wire(frozenset({AT}), service=service), lookups=Lookups())


def forget_opinions(visitors: Visitors) -> None:
    """Under newer keys: what a service reckoned is dropped by the citizen, and the challenge is left."""
    service = Reckoner(now=visitors.life.clock.now, client_id="tvilling", secret=SECRET)

    def work() -> None:
        host = _beside(visitors, service)
        for part in challenges.taking_part(host, visitors.own()):
            challenges.leave(host, visitors.own(), part.grant)
        for each, _ in calculating.kept(host, visitors.own()):
            with host.storage.write() as tx:
                calculations.drop(tx, visitors.own(), each.calculation_id)

    visitors.act("forget-opinions", work)

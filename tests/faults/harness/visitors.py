"""Everybody who comes to the doors of a second citizen's house: apps, partners, scripts, sources, consoles, researchers.

Each method is one or two acts of the life (workload.py). What they write is checked row by row (writes.py), and by the
checker's look at the second pod.
"""

from __future__ import annotations

import io
import json
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from authenticator import Authenticator
from bank_house import BankHouse, bank_at
from console import TEXTS
from deliveries import CITIZEN, deliver, granted, permit_again, reading, readings
from faults.harness import second_thoughts
from oauth_client import REDIRECT, PartnerClient, new_key
from passkey_browser import Browser
from representing import attorney_of
from solid_app import SolidApp
from twin_activities import record
from twin_proposals import add_municipality, two_years_of_waste
from werkzeug.test import Client
from whole_house import House, whole_app

from consent.grant import GrantTerms
from partner_bridge import bulk, pulling
from partner_bridge import reading as read_grants
from partner_bridge.sources import Source, add_source, remove_source
from pod_server import (
    compaction,
    consent_receipts,
    console_sessions,
    delegation,
    grants,
    household,
    log_keys,
    partner_keys,
    partner_limits,
    partner_notices,
    partner_standing,
    pods,
    proposals,
    quota,
    reminders,
    resealing,
    sandbox,
    settling,
    signing_keys,
    turning_the_twin,
    witnessing,
)
from pod_server.authentication import accounts, session, tickets
from pod_server.authorization.enforcement import require_owner
from pod_server.authorization_server import scripts, software_statements
from pod_server.authorization_server.connections import disconnect, list_connections
from pod_server.authorization_server.tokens import AuthenticatedPartner
from pod_server.lookups import Lookups
from pod_server.notifications import webhook
from pod_server.opening import custodian_vault, open_pod
from pod_server.outbound import Response
from pod_server.partner_standing import By
from pod_server.partners import Limits
from pod_server.sign_in import links, providers
from pod_server.sign_in.answers import Known
from pod_server.sign_in.requests import Asked
from pod_server.storage.errors import StorageFull
from research_views import invitations
from research_views.release import release
from tvilling.witness import create_app, make_key, open_witness, public_key
from twin_agent import act as twin_act
from twin_agent import propose

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from faults.harness.workload import Life

KARI = By("operator", "Kari Saksbehandler")
LOCAL = "127.0.0.1"


class Visitors:
    """What a life owes to others."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self.pod_id: Any = None
        self.made: Any = None
        self.grant: Any = None
        self.rounds = 0

    @property
    def host(self) -> Any:
        return self.life.host

    def act(self, name: str, work: Callable[[], object]) -> bool:
        """An act of which nothing but the rows is checked."""

        def guarded() -> None:
            try:
                work()
            except Exception as error:
                # Through a door a full disk is an answer, and what follows from it some error of the visitor's.
                if self.life.recorder.struck():
                    raise StorageFull from error
                raise

        return self.life.act(name, guarded)

    def move_in(self) -> None:
        """The second citizen, and a partner of theirs."""
        made: list[Any] = []

        def make() -> dict[str, Any]:
            made.append(pods.create_pod(self.host, "ola", name=f"{self.life.marker} Ola"))
            return {"pod": made[0].pod_id}

        if not self.life.act("make-pod", make, handle="ola"):
            self.life.relieve()
            assert self.life.act("make-pod", make, handle="ola")
        self.made, self.pod_id = made[-1], made[-1].pod_id
        self.grant = None
        self.act("give-another", lambda: setattr(self, "grant", granted(self.host, self.pod_id, name="Naboen")))

    @property
    def vault(self) -> Any:
        return custodian_vault(self.host, self.pod_id)

    def citizen(self) -> Any:
        return replace(self.made, vault=self.vault)

    def own(self) -> Any:
        return open_pod(self.host, require_owner(self.vault), vault=self.vault)

    def house(self, host: Any = None) -> House:
        host = host or self.host
        return House(None, host, whole_app(host))  # type: ignore[arg-type]

    # Ways in

    def sign_in(self) -> None:
        def work() -> None:
            local = replace(self.host, allow_insecure=True)
            cookie = session.create_session(local, self.pod_id, self.vault, device="Firefox")
            loaded = session.load_session(local, cookie)
            assert loaded is not None
            tickets.redeem_ticket(local, tickets.issue_ticket(local, loaded))
            link = accounts.create_sign_in_link(local, self.pod_id)
            other = accounts.redeem_sign_in_link(local, link.rpartition("/")[2], LOCAL)
            self.life.clock.advance(timedelta(minutes=30))
            session.load_session(local, other)
            session.end_session(local, other)
            accounts._count_try(local, "ola")
            accounts._forget_tries(local, "ola")

        self.act("sign-in", work)

    def passkey(self) -> None:
        def work() -> None:
            host = replace(self.host, allow_insecure=True)
            house = self.house(host)
            browser = Browser(house, house.browser(self.citizen()))
            key = Authenticator()
            added = browser.add(key)
            assert added.status_code < 300, added.text
            signed_in = Browser(house, house.app.test_client()).sign_in(key)
            assert signed_in.status_code < 300, signed_in.text
            from pod_server.sign_in import passkeys

            loaded = session.load_session(host, session.create_session(host, self.pod_id, self.vault))
            assert loaded is not None
            (first, *_) = passkeys.list_passkeys(host, loaded)
            passkeys.remove(host, loaded, first.id)

        self.act("passkey", work)

    def provider(self) -> None:
        def work() -> None:
            host = replace(self.host, allow_insecure=True, lookups=Lookups())
            slug = f"id-{self.rounds}"
            made = providers.add_provider(
                host, slug, name="ID-porten", issuer="https://id.example", client_id="c", algorithm="ES256"
            )
            loaded = session.load_session(host, session.create_session(host, self.pod_id, self.vault))
            assert loaded is not None
            asked = Asked(slug, "link", loaded.id, "s", "n", "v", "/", 0)
            known = Known(made, asked, f"subject-{self.life.number}", None, "token")
            links.link(host, loaded, known)
            links.sign_in(host, known)
            links.unlink(host, loaded, slug)
            providers.remove_provider(host, slug)

        self.act("provider", work)

    def app(self) -> None:
        """An app signs the citizen in, renews its token and is sent away."""

        def work() -> None:
            host = replace(self.host, allow_insecure=True)
            house = self.house(host)
            app = SolidApp(host, client=house.app.test_client())
            registered = app.register()
            assert registered.status_code == 201, registered.text
            SolidApp(host, client=house.app.test_client()).register()  # and nobody uses it
            tokens = app.let_in(house.browser(self.citizen()))
            renewed = app.refresh(tokens["refresh_token"])
            assert renewed.status_code == 200, renewed.text
            for each in list_connections(host, self.pod_id):
                disconnect(host, self.pod_id, each.id)

        self.act("app", work)

    def script(self) -> None:
        def work() -> None:
            made = scripts.create_credentials(self.host, require_owner(self.vault), self.made.webid)
            scripts.revoke_credentials(self.host, require_owner(self.vault), made.client_id)

        self.act("script", work)

    # Partners

    def partner_comes(self) -> None:
        """From the pushed request to the token, its renewal and its end."""

        def work() -> None:
            partner = PartnerClient(self.host, name=f"Innom {self.life.number}")
            given = partner.redeem(partner.code_from(self.pod_id)).json
            renewed = partner.token_request(grant_type="refresh_token", refresh_token=given["refresh_token"])
            assert renewed.status_code == 200, renewed.text
            for token in (renewed.json["access_token"], renewed.json.get("refresh_token", given["refresh_token"])):
                form = {**partner.signed_in(), "token": token}
                ended = partner.client.post("/-/oauth/revoke", data=form)
                assert ended.status_code == 200, ended.text
            asked = partner.push()
            assert asked.status_code == 201, asked.text
            partner.redeem(partner.code_from(self.pod_id))
            partner.code_from(self.pod_id)
            partner_standing.remove(self.host, partner.partner.client_id, by=KARI)

        self.act("partner-comes", work)

    def console(self) -> None:
        """An applicant tries in its sandbox, is admitted, limited, stopped, and lets its keys and notices be changed."""

        def work() -> None:
            host, key, other = self.host, new_key(), new_key("k2")
            notice = partner_notices.check("personal-footprint", ["electricity-reading"], TEXTS_BY_LANGUAGE)
            applied = partner_standing.apply(
                host, name=f"Søker {self.life.number}", number="974760673", contact="hei@bysykkel.no",
                jwks={"keys": [key.as_dict(private=False)]}, redirect_uris=[REDIRECT], notices=[notice],
            )  # fmt: skip
            client, by = applied.client_id, By("partner", "Søker")
            console_sessions.end_session(
                host, console_sessions.create_session(host, "partner", client_id=client, name="S")
            )
            token = console_sessions.create_link(host, "operator", name="Kari").rpartition("/")[2]
            console_sessions.redeem_link(host, token, "operator")
            sandbox.pod_of(host, client)
            partner_standing.refuse(host, client, "Avtalen mangler.", by=KARI)
            partner_standing.apply_again(host, client, by=by)
            partner_standing.admit(host, client, by=KARI)
            partner_standing.limit(host, client, Limits(records_per_day=1000), by=KARI)
            partner_limits.count_delivered(host, client, 1)
            partner_keys.add_key(host, client, json.dumps(other.as_dict(private=False)), by=by)
            newer = {language: text + "." for language, text in TEXTS_BY_LANGUAGE.items()}
            with host.storage.write() as tx:
                changed = partner_notices.check("personal-footprint", ["electricity-reading"], newer)
                version = partner_notices.propose(host, tx, client, changed)
                partner_notices.decide(host, tx, client, "personal-footprint", version)
            console_sessions.create_session(host, "partner", client_id=client, name="S")
            console_sessions.create_link(host, "partner", client_id=client, name="S")
            partner_standing.stop(host, client, by=by)
            partner_standing.restart(host, client, by=by)
            partner_standing.suspend(host, client, "Avtalen er sagt opp.", by=KARI)

        self.act("console", work)

    def trusted(self) -> None:
        def work() -> None:
            software_statements.trust(self.host, "https://other.example", by=KARI)
            software_statements.end_trust(self.host, "https://other.example", by=KARI)

        self.act("trust", work)

    def bulk(self) -> None:
        """A long delivery in lines, under a key of its own, taken in by pieces."""

        def work() -> None:
            given = self.grant
            asking = AuthenticatedPartner(given.partner.client_id, given.partner.name, None, "")
            made = [reading(2000 + 8 * self.life.number + n, meter="bulk") for n in range(4)]
            lines = b"".join(
                json.dumps({"grant": given.grant, "activity": json.loads(one.raw)}).encode() + b"\n" for one in made
            )
            bulk.take_in_lines(self.host, asking, io.BytesIO(lines), key=f"k{self.life.number}")

        self.act("bulk", work)

    def source(self) -> None:
        """A bank is added and connected; what it has is pulled, twice; it is disconnected, and removed."""
        with bank(self) as house:

            def connect() -> None:
                answer = house.connect()
                assert answer.status_code < 400, answer.text

            def fetch() -> None:
                (pulled,) = pulling.pull_due(house.host)
                assert not pulled.problem, pulled

            if self.act("connect-source", connect):
                self.act("pull", fetch)
                now = house.host.clock.protocol_now()
                for each in pulling.connections(house.host, self.pod_id).values():
                    self.act("pull", lambda each=each: pulling.pull_now(house.host, self.pod_id, each.grant, now))
                    self.act(
                        "disconnect-source", lambda each=each: pulling.disconnect(house.host, self.vault, each.grant)
                    )
            self.act("remove-source", lambda: remove_source(house.host, house.source.slug))

    # What the citizen decides

    def represent(self) -> None:
        def work() -> None:
            made = attorney_of(self.host, self.pod_id, self.life.pod_id)
            delegation.end(self.host, self.pod_id, made.id, actor=CITIZEN)

        self.act("represent", work)

    def read_grant(self) -> None:
        def work() -> None:
            now = self.host.clock.now()
            terms = GrantTerms(
                client_id=self.grant.partner.client_id, purpose="personal-footprint", kinds=frozenset({"electricity-reading"}),
                operations=frozenset({"read"}), granularity="P1D", history_from=now - timedelta(days=60),
                expires_at=now + timedelta(days=30),
            )  # fmt: skip
            given = grants.give(self.host, self.pod_id, terms, actor=CITIZEN)
            asking = AuthenticatedPartner(self.grant.partner.client_id, self.grant.partner.name, given.id, "")
            read_grants.read_graph(self.host, asking, given.id)

        self.act("read-grant", work)

    def remind(self) -> None:
        """A consent that ends soon is told of; the citizen keeps it; it is told of again and ends."""

        def work() -> None:
            now = self.host.clock.now()
            terms = GrantTerms(
                client_id=self.grant.partner.client_id, purpose="personal-footprint", kinds=frozenset({"electricity-reading"}),
                operations=frozenset({"append"}), granularity="event", history_from=now - timedelta(days=60),
                expires_at=now + timedelta(days=3),
            )  # fmt: skip
            given = grants.give(self.host, self.pod_id, terms, actor=CITIZEN)
            self.life.clock.advance(timedelta(days=2, hours=12))
            reminders.remind_due(self.host)
            reminders.keep(self.host, self.pod_id, given.id, actor=CITIZEN)
            grants.withdraw(self.host, self.pod_id, given.id, actor=CITIZEN)
            reminders.remind_due(self.host)

        self.act("remind", work)

    def household(self) -> None:
        def work() -> None:
            with self.host.storage.write() as tx:
                said = household.Household(f"{self.life.marker} {self.life.number}", household_size=3)
                household.save(tx, self.own(), said, at=self.host.clock.now())
                quota.set_quota(tx, self.pod_id, 10_000_000 + self.life.number)

        self.act("household", work)

    def propose(self) -> None:
        """Two years of waste, an offer for less of it, the citizen's yes to it, and the claim in the outbox."""

        def offered() -> None:
            municipality = add_municipality(self.host)
            made = granted(self.host, self.pod_id, name="Renholdsverket", kinds=frozenset({"waste-collection"}))
            assert municipality.client_id != made.partner.client_id
            deliver(self.host, made.permit, [record(each) for each in two_years_of_waste(2.0, 4.0)])

        def answered() -> None:
            with self.host.storage.read() as tx:
                stored = proposals.list_proposals(tx, self.own())
            for each in stored:
                if each.state == "waiting":
                    body = propose.read_body(each)
                    twin_act.approve(self.host, self.own(), each.proposal_id, body["plan_hash"])

        if self.act("earn", offered):
            self.life.think()
            self.act("approve", answered)

    def turn(self) -> None:
        """Two acts: within one the row would stand before and after as it did not in the middle."""
        for name, on in (("turn-off", False), ("turn-on", True)):
            self.act(name, lambda on=on: turning_the_twin.turn(self.host, self.pod_id, on=on, actor=CITIZEN))

    def subscribe(self) -> None:
        def work() -> None:
            host = self.host
            ends = webhook.microseconds(host.clock.protocol_now() + timedelta(days=1))
            row = webhook.add(host, self.pod_id, b"{}", "https://hook.example/", webhook.State("a", None), ends=ends)
            with host.storage.write() as tx:
                assert webhook.lease(host, tx, row)
                webhook.mark_arrived(host, tx, row, "answered 200", webhook.State("b", None))

        self.act("subscribe", work)

    # The operator's

    def compact(self) -> None:
        """Thirty-two small deliveries become one row."""

        def small() -> None:
            permit = permit_again(self.host, self.grant.partner, self.grant.grant)
            first = 40_000 + 40 * self.life.number
            for one in readings(first, 32, meter="small"):
                assert deliver(self.host, permit, [one]) == ["accepted"]

        if self.act("deliver-small", small):
            self.life.think()
            self.act("compact", lambda: compaction.compact(self.host, rest=lambda _: None))

    def rotate(self) -> None:
        self.act("rotate-log-key", lambda: (log_keys.rotate(self.host), log_keys.take_over(self.host)))
        self.act("rotate-receipt-key", lambda: consent_receipts.rotate_key(self.host))
        self.act("rotate-signing-keys", lambda: signing_keys.rotate(self.host, at_once=True))

    def settle(self) -> None:
        """The rules above many documents change; they follow in the background."""

        def work() -> None:
            with self.host.storage.write() as tx:
                turn, _ = settling.begin(tx, self.pod_id)
                settling.begin(tx, self.pod_id)
            del turn
            settling.settle_pod(self.host, self.vault)

        self.act("settle", work)

    def research(self) -> None:
        def work() -> None:
            host = self.host
            made = invitations.invite(host, "Forsker", purpose="klima", expires=host.clock.now() + timedelta(days=9))
            who = invitations.find_researcher(host, made.token)
            invitations.note_query(host, who, "SELECT * {}", "ok", 3)

        self.act("invite", work)
        if self.rounds == 0:
            self.act("release", lambda: release(self.host, "2026-10"))

    def witness(self) -> None:
        """A witness cosigns; what it keeps lies on another machine."""
        with tempfile.TemporaryDirectory() as elsewhere:
            folder = Path(elsewhere) / "witness"
            make_key(folder)
            name = "auditor.example/1"
            door = create_app(open_witness(folder, name, [witnessing.logs_key(self.host).encoded()], self.life.clock))

            class Elsewhere:
                def post(self, url: str, body: bytes, headers: Any) -> Response:
                    answer = Client(door).post(urlsplit(url).path, data=body, headers=dict(headers))
                    return Response(answer.status_code, {k.lower(): v for k, v in answer.headers}, answer.data, url)

            host = replace(
                self.host, outbound=Elsewhere(), witnesses=(("https://auditor.example", public_key(folder, name)),)
            )
            self.act("witness", lambda: witnessing.have_witnessed(host, at_once=True))

    def dispute(self) -> None:
        second_thoughts.dispute(self)

    def let_act(self) -> None:
        second_thoughts.let_act(self)

    def offer(self) -> None:
        second_thoughts.offer(self)

    def publish_keys(self) -> None:
        second_thoughts.publish_keys(self)

    def second_opinion(self) -> None:
        second_thoughts.second_opinion(self)

    def visits(self) -> list[Callable[[], None]]:
        """Everything once."""
        return [
            self.sign_in, self.passkey, self.provider, self.app, self.script, self.partner_comes, self.console, self.trusted,
            self.bulk, self.source, self.represent, self.read_grant, self.remind, self.household, self.turn,
            self.subscribe, self.compact, self.rotate, self.settle, self.research, self.witness, self.dispute, self.let_act,
            self.offer, self.publish_keys, self.second_opinion,
        ]  # fmt: skip

    def come_again(self) -> None:
        """A month later: what ran out is cleared away by whoever comes next. Then new keys for all, and a partner's erasure."""
        self.rounds += 1
        self.life.clock.advance(timedelta(days=31))
        self.life.tend()
        for visit in (self.sign_in, self.app, self.partner_comes, self.subscribe):
            visit()
        self.bulk()
        self.life.think()

        def renew() -> None:
            renewed = pods.renew_keys(self.host, self.vault, None)
            resealing.reseal(self.host, renewed.vault, rest=lambda _: None)

        self.act("renew-keys-again", renew)
        second_thoughts.forget_opinions(self)
        self.act("erase-again", lambda: grants.erase(self.host, self.pod_id, self.grant.grant, actor=CITIZEN))


TEXTS_BY_LANGUAGE = {name.removeprefix("notice_"): text for name, text in TEXTS.items()}


@contextmanager
def bank(visitors: Visitors) -> Iterator[BankHouse]:
    """The house with a bank on a real socket, for the second citizen of this life."""
    with bank_at(visitors.host) as (host, described, opened):
        added: list[Source] = []
        if not visitors.act("add-source", lambda: added.append(add_source(host, described))):
            visitors.life.relieve()
            assert visitors.act("add-source", lambda: added.append(add_source(host, described)))
        stranger, house, browsers = opened(added[-1]), visitors.house(host), []
        if not visitors.act("sign-in", lambda: browsers.append(house.browser(visitors.citizen()))):
            visitors.life.relieve()
            assert visitors.act("sign-in", lambda: browsers.append(house.browser(visitors.citizen())))
        yield BankHouse(house, stranger, added[-1], visitors.citizen(), browsers[-1])

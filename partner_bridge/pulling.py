"""The story of a pull: a source is asked, on a citizen's behalf and at its own pace, for what is new.

    1. a connection is due; whoever leases its row has it in hand           (pod_server/pulls.py)
    2. the grant decides: paused waits, ended ends the connection
    3. the vault opens, or the pod is locked and the pull waits
    4. an access token that is about to end is renewed; the new tokens are durable before they are shown
    5. what a ping asked to be fetched is fetched, once                       (callbacks.py)
    6. the connector says what to ask; each whole payload is delivered as any other, and how far the source is read is
       written in the transaction of what was read: killed anywhere, the next pull goes on there, and nothing is twice
    7. the row says how it went and when to ask again: after the source's own interval, after what it asked for
       (Retry-After), or after ever longer pauses

A withdrawal deletes the row in its own transaction: a pull that is under way finds no row to write in, and nothing of
what it had read comes in.
"""

from __future__ import annotations

import hmac
import random
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from consent.grant import GrantState, GrantTerms
from partner_bridge import callbacks, token_vault
from partner_bridge.channels import oauth_pull, static_token_pull
from partner_bridge.connectors import find_connector
from partner_bridge.connectors.normalising import Ask, Context, Pullable, normalise, to_item
from partner_bridge.delivery import ACCEPTED, PENDING, deliver
from partner_bridge.errors import (
    ConnectionGone,
    SignInAgain,
    SourceBusy,
    SourceError,
    SourceInvalid,
    SourceUnreachable,
    UnusablePayload,
)
from partner_bridge.sources import find_source
from partner_bridge.token_vault import Content, Tokens
from pod_server import grants, partners, pulls
from pod_server.authorization import grant_rows
from pod_server.authorization.enforcement import require_grant
from pod_server.authorization.errors import GrantRefused
from pod_server.identifiers import Actor, GrantId, PodId
from pod_server.lookups import LookupsBusy
from pod_server.opening import custodian_vault
from pod_server.storage.errors import StorageBusy
from pod_server.vault.errors import KeyErased, PodLocked, Tampered
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from datetime import datetime

    from partner_bridge.sources import Source
    from pod_server.activities import RecordOutcome
    from pod_server.host import Host
    from pod_server.partners import Partner
    from pod_server.pulls import Pull
    from pod_server.storage.ports import Transaction
    from pod_server.vault.vault import Vault

POLL_SECONDS = 0.5
AT_ONCE = 4
LEASE = timedelta(minutes=2)
"""Longer than one request and what it brings takes; each write renews it."""

FIRST_PAUSE = timedelta(seconds=10)
LONGEST_PAUSE = timedelta(hours=12)
WAIT_FOR_CITIZEN = timedelta(hours=12)
"""How often what waits for its citizen (locked, paused, sign in again) is looked at; whoever acts hurries it."""

VALID_FOR = timedelta(days=365)
HISTORY = timedelta(days=3 * 366)

_log = structlog.get_logger()


@dataclass
class Pulled:
    """What a pull did.

    Attributes:
        problem: A word for what stood in the way; empty where nothing did.
        accepted: New records.
        seen: Records that came, new or not, in whole or in part.
        ended: The connection is no more.
    """

    problem: str = ""
    accepted: int = 0
    seen: int = 0
    ended: bool = False


@dataclass
class _Hand:
    """A connection in hand."""

    host: Host
    source: Source
    party: Partner
    pull: Pull
    vault: Vault
    content: Content = field(repr=False)
    done: Pulled = field(default_factory=Pulled)

    def write(self, tx: Transaction, content: Content) -> None:
        """Keep tokens and cursor.

        Raises:
            ConnectionGone: the transaction must not happen.
        """
        until = self.host.clock.protocol_now() + LEASE
        version = token_vault.write(tx, self.vault, self.pull, content, until)
        self.pull, self.content = replace(self.pull, version=version), content


def connect(host: Host, vault: Vault, source: Source, tokens: Tokens, *, notice: tuple[str, str]) -> GrantId:
    """Write down that a citizen connected a source: their consent, where none holds, and what was got under it.

    Args:
        host: This host.
        vault: The citizen's own, open.
        source: Which.
        tokens: What it gave.
        notice: Version and SHA-256 of the text that the citizen was shown.

    Raises:
        NoSuchPartner: the source is no party of consents any more.
    """
    now = host.clock.now()
    kinds = find_connector(source.connector, host.connector_packages).kinds
    with host.storage.read() as tx:
        held = grant_rows.grants_in_pod(tx, host.host_key, vault.pod_id, client_id=source.client_id)
    grant = next((each for each in held if each.state_at(now) is GrantState.ACTIVE and each.terms.kinds == kinds), None)
    if grant is None:
        terms = GrantTerms(
            client_id=source.client_id,
            purpose=source.purpose,
            kinds=kinds,
            operations=frozenset({"append"}),
            granularity=finest(kinds),
            history_from=now - HISTORY,
            expires_at=now + VALID_FOR,
            notice_version=notice[0],
            notice_hash=notice[1],
        )
        grant = grants.give(host, vault.pod_id, terms, actor=Actor("citizen"), vault=vault)
    grant_id = GrantId(grant.id)
    with host.storage.write() as tx:
        pulls.keep_new(
            tx, vault, grant_id, source.slug, token_vault.encode(Content(tokens, {})), host.clock.protocol_now()
        )
    return grant_id


def finest(kinds: frozenset[str]) -> str:
    """The finest granularity that a connector's kinds know; sources that are asked know one kind each."""
    known = load_kinds().by_slug
    return next(known[kind].granularities[0] for kind in sorted(kinds))


def run_pulls(host: Host, stop: threading.Event) -> None:
    """Ask what is due until told to stop, a few sources side by side."""
    # Here, once: two workers that import these for the first time at the same moment meet half of a module in the other's
    # hands, and a pull fails until its lease ends.
    import oauthlib.oauth2  # noqa: F401, PLC0415
    import requests_oauthlib  # noqa: F401, PLC0415

    import partner_bridge.outbound_adapter  # noqa: F401, PLC0415

    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="pull") as workers:
        running: dict[tuple[PodId, GrantId], Future[Pulled | None]] = {}
        while not stop.wait(POLL_SECONDS):
            running = {name: each for name, each in running.items() if not each.done()}
            try:
                with host.storage.read() as tx:
                    waiting = pulls.due(tx, host.clock.protocol_now(), 2 * AT_ONCE)
            except StorageBusy:
                continue
            for name in waiting:
                if name not in running and len(running) < AT_ONCE:
                    running[name] = workers.submit(pull_guarded, host, *name)


def pull_due(host: Host) -> list[Pulled]:
    """Ask everything that is due now, once; for commands and tests."""
    with host.storage.read() as tx:
        waiting = pulls.due(tx, host.clock.protocol_now(), 1000)
    return [done for name in waiting if (done := pull_guarded(host, *name)) is not None]


def pull_guarded(host: Host, pod_id: PodId, grant: GrantId, vault: Vault | None = None) -> Pulled | None:
    """One pull whose failure, whatever it is, ends nothing but itself; None where there was nothing in hand."""
    try:
        return pull(host, pod_id, grant, vault)
    except Exception as error:  # noqa: BLE001 - one source must not stop the others; the lease ends by itself
        _log.error("pull.failed", grant=grant, kind=type(error).__name__)
        return None


def pull(host: Host, pod_id: PodId, grant: GrantId, vault: Vault | None = None) -> Pulled | None:
    """One pull from lease to answer.

    Args:
        host: This host.
        pod_id: Whose.
        grant: Under which grant.
        vault: The citizen's own, where they are here; else the custodian slot is tried.

    Returns:
        What was done; None where somebody else has it in hand, or it is not due.
    """
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        held = pulls.lease(tx, pod_id, grant, now, now + LEASE)
    if held is None:
        return None
    hand: _Hand | None = None
    try:
        hand = _take(host, held, vault)
        _read(hand)
    except ConnectionGone:
        return Pulled(ended=True)
    except GrantRefused as error:
        return _refused(host, held, error)
    except (PodLocked, KeyErased, Tampered) as error:
        return _wait(host, held, "locked" if isinstance(error, PodLocked) else "sign-in-again")
    except SourceInvalid:
        return _end(host, held)
    except SignInAgain:
        return _wait(host, held, SignInAgain.problem, hand)
    except SourceBusy as error:
        return _put_off(hand, held, host, error.problem, error.wait)
    except (SourceError, LookupsBusy):
        return _put_off(hand, held, host, SourceUnreachable.problem)
    except UnusablePayload:
        return _put_off(hand, held, host, "unreadable")
    with host.storage.write() as tx:
        next_at = host.clock.protocol_now() + hand.source.every
        finished = (host.clock.now(), hand.done.accepted)
        pulls.let_go(tx, hand.pull, next_at, 0, hand.done.problem, finished=finished)
    return hand.done


def _take(host: Host, held: Pull, vault: Vault | None) -> _Hand:
    """Steps 2 and 3."""
    source = find_source(host, held.slug)
    with host.storage.read() as tx:
        party = partners.find_partner(tx, source.client_id)
    if party is None or not party.active:
        raise SourceInvalid("the source is no party of consents any more")
    require_grant(host, party, held.grant, (), "append", host.clock.now(), pod_id=held.pod_id)
    vault = vault or custodian_vault(host, held.pod_id)
    return _Hand(host, source, party, held, vault, token_vault.read(vault, held))


def _read(hand: _Hand) -> None:
    """Steps 4 to 6: the connector's questions, one after the other, until it has no more."""
    host, connector = hand.host, find_connector(hand.source.connector, hand.host.connector_packages)
    if not isinstance(connector, Pullable):
        raise SourceInvalid("its connector's source cannot be asked")
    if hand.source.webhook and not hand.pull.user_key:
        _learn_user(hand)
    if hand.pull.callbacks and not _fetch_callbacks(hand, connector):
        return
    questions = connector.pull(dict(hand.content.cursor), host.clock.now())
    answer: bytes | None = None
    while True:
        try:
            step = next(questions) if answer is None else questions.send(answer)
        except StopIteration:
            return
        if isinstance(step, Ask):
            answer = _ask(hand, step)
            continue
        answer = b""
        if not _take_in(hand, connector, step.payload, step.cursor):
            return


def _fetch_callbacks(hand: _Hand, connector: Pullable) -> bool:
    """Step 5: False where the pull ends here, as `_take_in`. Struck out first: killed here, step 6 finds the same records."""
    with hand.host.storage.write() as tx:
        if not pulls.take_callbacks(tx, hand.pull):
            raise ConnectionGone
    for path in callbacks.not_fetched_yet(hand.host, hand.pull):
        try:
            answer = _ask(hand, Ask(path))
        except SignInAgain:
            # A forged callback may ask for what this token does not open; the questions tell whether the leave has ended.
            return True
        if not _take_in(hand, connector, answer, hand.content.cursor):
            return False
    return True


def user_key(host: Host, slug: str, user: str) -> str:
    """How a source's name for somebody is kept: found again by whoever is told it, and by nobody else."""
    return hmac.digest(host.host_key.derive("source users"), f"{slug}\x1f{user}".encode(), "sha256").hex()


def _learn_user(hand: _Hand) -> None:
    """By which name the source's calls tell of this citizen; each name is one connection's."""
    connector = find_connector(hand.source.connector, hand.host.connector_packages)
    path, user_of = getattr(connector, "user_path", ""), getattr(connector, "user_of", None)
    if not path or user_of is None:
        return
    key = user_key(hand.host, hand.source.slug, user_of(_ask(hand, Ask(path))))
    with hand.host.storage.write() as tx:
        other = pulls.pull_of_user(tx, hand.source.slug, key)
        if other is not None and (other.pod_id, other.grant) != (hand.pull.pod_id, hand.pull.grant):
            return  # two pods are connected to one account: calls go to the first, pulls to both
        pulls.keep_user(tx, hand.pull, key)
    hand.pull = replace(hand.pull, user_key=key)


def _ask(hand: _Hand, step: Ask) -> bytes:
    source = hand.source
    if source.channel == "token":
        return static_token_pull.get(hand.host, source, hand.content.tokens, step.path, step.accept)
    now = hand.host.clock.protocol_now().timestamp()
    ends = hand.content.tokens.expires_at
    if ends is not None and ends - oauth_pull.AHEAD_SECONDS <= now:
        _renew(hand)
    try:
        return oauth_pull.get(hand.host, source, hand.content.tokens, step.path, step.accept)
    except SignInAgain:
        # It may have ended the access token early, or rotated its keys: once more with a new one.
        _renew(hand)
        return oauth_pull.get(hand.host, source, hand.content.tokens, step.path, step.accept)


def _renew(hand: _Hand) -> None:
    tokens = oauth_pull.refresh(hand.host, hand.source, hand.content.tokens)
    # Durable before it is shown: the source may have ended the old refresh token the moment it gave the new one.
    with hand.host.storage.write() as tx:
        hand.write(tx, Content(tokens, hand.content.cursor))


def _take_in(hand: _Hand, connector: Pullable, payload: bytes, cursor: dict[str, object]) -> bool:
    """Deliver one payload with the cursor after it; False where the day's quota or the backlog ends the pull here."""
    host, content = hand.host, Content(hand.content.tokens, cursor)
    before = hand.pull, hand.content
    refused = False

    def settle(tx: Transaction, outcomes: Sequence[RecordOutcome]) -> None:
        nonlocal refused
        refused = any(outcome.status == "refused" for outcome in outcomes)
        if not refused:
            hand.write(tx, content)

    context = Context(host.clock.now())
    items = [to_item(hand.pull.grant, made, None) for made in normalise(connector, payload, context)]
    try:
        answers = deliver(host, hand.party, items, only_grant=hand.pull.grant, settle=settle)
    except BaseException:
        hand.pull, hand.content = before
        raise
    closed = next((each.error for each in answers if isinstance(each.error, GrantRefused)), None)
    hand.done.seen += len(answers)
    hand.done.accepted += sum(each.status in {ACCEPTED, PENDING} for each in answers)
    if hand.pull is before[0]:  # nothing was settled: the grant ended, or there was no room
        if closed is not None and not refused:
            raise closed
        hand.done.problem = "no-room"
        return False
    if any(isinstance(item.error, UnusablePayload) for item in items):
        hand.done.problem = "some-unreadable"
    return True


# How it went


def _refused(host: Host, held: Pull, error: GrantRefused) -> Pulled:
    """The grant said no: it is paused, and the pull waits; or it has ended, and so has the connection."""
    with host.storage.read() as tx:
        grant = grant_rows.grant_in_pod(tx, host.host_key, held.pod_id, held.grant)
    if grant is not None and grant.state_at(host.clock.now()) in {GrantState.PAUSED, GrantState.ACTIVE}:
        return _wait(host, held, "paused" if grant.state is GrantState.PAUSED else "no-room")
    del error
    return _end(host, held)


def _end(host: Host, held: Pull) -> Pulled:
    with host.storage.write() as tx:
        pulls.forget(tx, held.pod_id, held.grant)
    return Pulled(ended=True)


def _wait(host: Host, held: Pull, problem: str, hand: _Hand | None = None) -> Pulled:
    """For the citizen to do something."""
    with host.storage.write() as tx:
        pulls.let_go(tx, held, host.clock.protocol_now() + WAIT_FOR_CITIZEN, held.failures, problem)
    done = hand.done if hand is not None else Pulled()
    done.problem = problem
    return done


def _put_off(hand: _Hand | None, held: Pull, host: Host, problem: str, wait: timedelta | None = None) -> Pulled:
    """For the source to get well: as long as it asked for, else ever longer, a little differently for each connection."""
    now = host.clock.protocol_now()
    pause = min(FIRST_PAUSE * 2 ** min(held.failures, 20), LONGEST_PAUSE)
    pause += pause * random.uniform(0, 0.2)  # noqa: S311 - so that a source that recovers is not met by all at once
    next_at = now + (wait if wait is not None else pause)
    with host.storage.write() as tx:
        pulls.let_go(tx, held, next_at, held.failures + 1, problem, not_before=None if wait is None else now + wait)
    done = hand.done if hand is not None else Pulled()
    done.problem = problem
    return done


def disconnect(host: Host, vault: Vault, grant: str) -> bool:
    """Withdraw the consent that a source was asked under; then tell the source. True where the source was told.

    Raises:
        NoSuchGrant: the pod has no such grant.
    """
    with host.storage.read() as tx:
        held = pulls.find_pull(tx, vault.pod_id, grant)
    tokens: Tokens | None = None
    if held is not None:
        try:
            tokens = token_vault.read(vault, held).tokens
        except (KeyErased, Tampered, PodLocked):
            tokens = None
    grants.withdraw(host, vault.pod_id, grant, actor=Actor("citizen"))
    if held is None or tokens is None:
        return False
    source = find_source(host, held.slug)
    return source.channel == "oauth" and oauth_pull.revoke(host, source, tokens)


def connections(host: Host, pod_id: PodId) -> dict[str, Pull]:
    """A citizen's connections by source."""
    with host.storage.read() as tx:
        return {each.slug: each for each in pulls.pulls_of(tx, pod_id)}


def pull_now(host: Host, pod_id: PodId, grant: str, now: datetime) -> bool:
    """Hurry a connection; False where there is none. The worker asks it within a moment, or when the source allows."""
    with host.storage.write() as tx:
        return pulls.hurry(tx, pod_id, GrantId(grant), now)

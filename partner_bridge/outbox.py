"""The way out: messages put down by pod_server/outbox.py are signed and pushed to their partners.

A message is a Security Event Token (RFC 8417), pushed as RFC 8935 has it: the partner answers 202 and has it. Each
partner gets its messages in their order; one that does not answer holds up nobody but itself; a message is tried again
after ever longer pauses, and given up after about three days, visibly.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from partner_bridge.channels.oauth_pull import retry_after
from pod_server import outbox
from pod_server.authorization.errors import SealBroken
from pod_server.identifiers import Actor
from pod_server.log.errors import NoLog
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.outbound import OutboundError
from pod_server.partners import find_partner
from pod_server.signatures.jws import sign_jws
from pod_server.signing_keys import current
from pod_server.storage.errors import StorageBusy

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence

    from pod_server.host import Host
    from pod_server.partners import Partner
    from pod_server.storage.ports import Transaction

TOKEN_TYPE = "secevent+jwt"  # noqa: S105 - a media type (RFC 8417, section 2.3)
POLL_SECONDS = 0.2
LEASE = timedelta(seconds=30)
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(hours=6)
AT_ONCE = 8
RETRIES_AT_ONCE = 4
"""Of those: however many partners do not answer, half of the senders are there for the others."""

GIVE_UP_AFTER_ATTEMPTS = 26
"""With pauses that double from one second to six hours, the 26th try comes about three days after the first."""

_log = structlog.get_logger()


@dataclass(frozen=True)
class Sent:
    """What became of one try.

    Attributes:
        delivered: The partner has the message.
        answer: In a few words, for the pages.
        again: Whether another try makes sense.
        wait: How long the partner asked to be left alone.
    """

    delivered: bool
    answer: str
    again: bool = True
    wait: timedelta = timedelta(0)


def run_outbox(host: Host, stop: threading.Event) -> None:
    """Send what waits until told to stop; partners are served side by side, each one's messages in order."""
    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="outbox") as senders:
        busy: dict[str, tuple[Future[bool], bool]] = {}
        while not stop.wait(POLL_SECONDS):
            busy = {client: each for client, each in busy.items() if not each[0].done()}
            try:
                with host.storage.read() as tx:
                    waiting = outbox.first_waiting(tx, host.clock.protocol_now())
            except StorageBusy:
                continue  # the database server is away for the moment; the messages wait in it
            retried = {client: again for client, (_, again) in busy.items()}
            for message in next_to_send(waiting, retried):
                busy[message.client_id] = senders.submit(send_next, host, message), message.attempts > 0


def next_to_send(waiting: Sequence[outbox.OutboxMessage], busy: Mapping[str, bool]) -> list[outbox.OutboxMessage]:
    """Which messages go now: one a partner, new ones before those that were tried, and never a sender for each that is away.

    Args:
        waiting: What is due, in `first_waiting`'s order.
        busy: The partners that are being sent to, and whether it is another try.
    """
    chosen: list[outbox.OutboxMessage] = []
    retries = sum(busy.values())
    for message in waiting:
        if len(busy) + len(chosen) >= AT_ONCE:
            break
        again = message.attempts > 0
        if message.client_id in busy or (again and retries >= RETRIES_AT_ONCE):
            continue
        retries += again
        chosen.append(message)
    return chosen


def send_waiting(host: Host) -> int:
    """Send everything that is due now, and return how many messages arrived; for commands and tests."""
    arrived = 0
    while True:
        with host.storage.read() as tx:
            due = outbox.first_waiting(tx, host.clock.protocol_now())
        if not due:
            return arrived
        arrived += sum(send_next(host, message) for message in due)


def send_next(host: Host, message: outbox.OutboxMessage) -> bool:
    """Try one message: take it, send it, write down what became of it. True where the partner now has it."""
    now = host.clock.protocol_now()
    with host.storage.write() as tx:
        if not outbox.lease(tx, message, now, now + LEASE):
            return False
        partner = find_partner(tx, message.client_id)
    try:
        sent = _send(host, message, partner)
    except Exception:  # noqa: BLE001 - see below
        # Whatever it was, the message must not stand at the head of the partner's line untried for ever.
        _log.exception("outbox_message_failed", message_id=message.message_id)
        sent = Sent(delivered=False, answer="an error on our side")
    attempts = message.attempts + 1
    again_at = None
    if sent.again and attempts < GIVE_UP_AFTER_ATTEMPTS:
        pause = min(FIRST_PAUSE * 2 ** min(attempts - 1, 20), LONGEST_PAUSE)
        again_at = host.clock.protocol_now() + max(pause, sent.wait)
    with host.storage.write() as tx:
        if sent.delivered:
            outbox.mark_delivered(tx, message, sent.answer, host.clock.now())
        else:
            outbox.mark_failed(tx, message, sent.answer, again_at=again_at)
        if message.pod_id != outbox.NO_POD and (sent.delivered or again_at is None):
            _tell_the_citizen(host, tx, message, partner, delivered=sent.delivered)
    return sent.delivered


def token_of(host: Host, message: outbox.OutboxMessage) -> str:
    """The message as its partner gets it: the same `jti` at every try, so that it counts once."""
    with host.storage.read() as tx:
        body = outbox.read_body(host.host_key, tx, message)
    claims = {
        "iss": host.base_url,
        "aud": message.client_id,
        "iat": int(host.clock.protocol_now().timestamp()),
        "jti": message.message_id,
        "events": {f"{host.base_url}/vocab/events#{message.kind}": {**body, "sequence": message.sequence}},
    }
    return sign_jws(current(host), claims, typ=TOKEN_TYPE)


def _send(host: Host, message: outbox.OutboxMessage, partner: Partner | None) -> Sent:
    if partner is None or not partner.is_told:
        return Sent(delivered=False, answer="the partner is no longer registered", again=False)
    if partner.webhook is None:
        return Sent(delivered=False, answer="the partner has named no address for messages", again=False)
    try:
        token = token_of(host, message)
    except SealBroken:
        return Sent(delivered=False, answer="the message was damaged where it lay", again=False)
    try:
        response = host.outbound.post(
            partner.webhook,
            token.encode("ascii"),
            {"Content-Type": f"application/{TOKEN_TYPE}", "Accept": "application/json"},
        )
    except OutboundError as error:
        return Sent(delivered=False, answer=str(error))
    if response.status in {202, 204} or (response.status == 200 and not response.body):
        return Sent(delivered=True, answer=f"answered {response.status}")
    if response.status == 200:
        # A page of somebody else's at this address says 200 too: whoever took a message says 202 and nothing else (RFC 8935).
        return Sent(delivered=False, answer="answered 200 with a page instead of a receipt")
    wait = timedelta(0)
    if response.status in {429, 503} and (asked := response.headers.get("retry-after", "")):
        wait = retry_after(asked, host.clock.protocol_now())
    return Sent(delivered=False, answer=f"answered {response.status}", wait=wait)


def _tell_the_citizen(
    host: Host, tx: Transaction, message: outbox.OutboxMessage, partner: Partner | None, *, delivered: bool
) -> None:
    event = LogEvent(
        at=host.clock.now(),
        actor=Actor("partner", message.client_id, partner.name if partner else ""),
        action="receive-message",
        outcome="done" if delivered else "given-up",
        detail={"message": message.message_id, "kind": message.kind},
    )
    try:
        append_to_log(tx, message.pod_id, event)
    except NoLog:
        _log.info("outbox_pod_is_gone", message_id=message.message_id)

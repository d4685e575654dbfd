"""Webhooks: channels that outlive processes, and notifications that are sent to them (WebhookChannel2023).

A channel is a row, sealed for this host, with the last state of the resource that its receiver was told of. What is sent
is the difference between that and the resource now, so that a receiver that stands still makes nothing grow, and a crash
loses nothing: the difference is found again. Each notification is sent at least once.

The sender shows who it is as Solid-OIDC has it: a token of this host for its own WebID, bound by DPoP to a key of the
sender's that signs nothing else. The specification asks for an authenticated request and leaves the form open; this is
the form that the Community Solid Server chose. The WebID is described at `/.well-known/solid`.

Source: Solid WebhookChannel2023 (editor's draft 0.1), section 3; Solid-OIDC; RFC 9449.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from pod_server import signing_keys
from pod_server.authorization.errors import SealBroken
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.authorization_server.dpop import token_hash
from pod_server.clock import microseconds
from pod_server.identifiers import PodId
from pod_server.notifications.changes import State
from pod_server.notifications.errors import TooManyWebhooks
from pod_server.outbound import OutboundError
from pod_server.signatures import sign_jws, webhook_proof_key

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.storage.ports import Row as StoredRow
    from pod_server.storage.ports import Transaction

CHANNELS_CHANGED = PodId(0)
"""Signalled when a webhook was asked for: no pod has this number."""

WEBHOOKS_PER_POD = 100
WEBHOOKS_IN_ALL = 20_000

LEASE = timedelta(seconds=30)
FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(hours=6)
GIVE_UP_AFTER_ATTEMPTS = 26
"""With pauses that double from one second to six hours, the 26th try comes about three days after the first."""

_TOKEN_LIFETIME = timedelta(minutes=5)
_LABEL = "webhook channel"
_COLUMNS = "pod_id, channel_id, created, ends, state, attempts, next_attempt, turn, last_answer, sealed, told"


class _Sealed(msgspec.Struct, frozen=True, array_like=True):
    subscription: bytes
    send_to: str


class _Told(msgspec.Struct, frozen=True, array_like=True):
    mark: str | None


@dataclass(frozen=True)
class Row:
    """One webhook.

    Attributes:
        pod_id: The topic's pod.
        channel_id: The last segment of the channel's IRI.
        created: When it was asked for, microseconds since 1970, real time.
        ends: Its end, likewise.
        state: `open` or `given-up`.
        attempts: Tries since the last that arrived.
        next_attempt: Before this nothing is sent.
        turn: Grows with each delivery.
        last_answer: What became of the last try, in a few words.
        subscription: What was asked for, as channel.py encoded it.
        send_to: Where to.
        told: The last state that the receiver was told of, remembered by its mark.
    """

    pod_id: PodId
    channel_id: str
    created: int
    ends: int
    state: str
    attempts: int
    next_attempt: int
    turn: int
    last_answer: str
    subscription: bytes
    send_to: str
    told: State


@dataclass(frozen=True)
class Sent:
    """What became of one try: whether it arrived, the answer in a few words, whether another try makes sense."""

    arrived: bool
    answer: str
    again: bool = True


def add(host: Host, pod_id: PodId, subscription: bytes, send_to: str, state: State, *, ends: int) -> Row:
    """A new webhook, which knows the resource as it is now.

    Raises:
        TooManyWebhooks: the pod, or the host, has enough.
    """
    channel_id = secrets.token_hex(16)
    now = microseconds(host.clock.protocol_now())
    sealed = _seal(host, channel_id, "sealed", _Sealed(subscription, send_to))
    with host.storage.write() as tx:
        tx.execute("DELETE FROM webhook_channel WHERE pod_id = ? AND ends <= ?", (pod_id, now))
        own = tx.one("SELECT COUNT(*) FROM webhook_channel WHERE pod_id = ?", (pod_id,))
        every = tx.one("SELECT COUNT(*) FROM webhook_channel")
        if (own and own[0] >= WEBHOOKS_PER_POD) or (every and every[0] >= WEBHOOKS_IN_ALL):
            raise TooManyWebhooks("End webhooks that nobody needs, or subscribe to a container for all its members.")
        tx.execute(
            f"INSERT INTO webhook_channel ({_COLUMNS}) VALUES (?, ?, ?, ?, 'open', 0, 0, 0, '', ?, ?)",
            (pod_id, channel_id, now, ends, sealed, _seal_told(host, channel_id, state)),
        )
    return Row(pod_id, channel_id, now, ends, "open", 0, 0, 0, "", subscription, send_to, State(state.mark, None))


def find(host: Host, tx: Transaction, pod_id: PodId, channel_id: str) -> Row | None:
    """One webhook, or None where there is none that this host can read."""
    row = tx.one(f"SELECT {_COLUMNS} FROM webhook_channel WHERE pod_id = ? AND channel_id = ?", (pod_id, channel_id))
    return None if row is None else _row(host, row)


def open_since(host: Host, tx: Transaction, created: int) -> list[Row]:
    """The webhooks asked for at this time or later that are open and have not ended."""
    now = microseconds(host.clock.protocol_now())
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM webhook_channel WHERE created >= ? AND state = 'open' AND ends > ? ORDER BY created",
        (created, now),
    )
    return [row for row in (_row(host, one) for one in rows) if row is not None]


def remove(tx: Transaction, pod_id: PodId, channel_id: str) -> None:
    """End a webhook for good."""
    tx.execute("DELETE FROM webhook_channel WHERE pod_id = ? AND channel_id = ?", (pod_id, channel_id))


def lease(host: Host, tx: Transaction, row: Row) -> bool:
    """Take the next try of a webhook; False where another process has it, told more, or it has ended or is not due."""
    now = host.clock.protocol_now()
    taken = tx.execute(
        "UPDATE webhook_channel SET next_attempt = ?, attempts = attempts + 1 WHERE pod_id = ? AND channel_id = ? "
        "AND state = 'open' AND turn = ? AND next_attempt <= ? AND ends > ?",
        (microseconds(now + LEASE), row.pod_id, row.channel_id, row.turn, microseconds(now), microseconds(now)),
    )
    return taken == 1


def mark_arrived(host: Host, tx: Transaction, row: Row, answer: str, told: State | None) -> None:
    """The receiver has the notification; with `told`, all there was to tell up to that state."""
    tx.execute(
        "UPDATE webhook_channel SET attempts = 0, next_attempt = 0, last_answer = ? WHERE pod_id = ? AND channel_id = ?",
        (answer, row.pod_id, row.channel_id),
    )
    if told is not None:
        tx.execute(
            "UPDATE webhook_channel SET told = ?, turn = turn + 1 WHERE pod_id = ? AND channel_id = ?",
            (_seal_told(host, row.channel_id, told), row.pod_id, row.channel_id),
        )


def mark_failed(tx: Transaction, row: Row, answer: str, *, again_at: int | None) -> None:
    """The try failed: again later, or given up, which the channel then says."""
    state, next_attempt = ("given-up", 0) if again_at is None else ("open", again_at)
    tx.execute(
        "UPDATE webhook_channel SET state = ?, next_attempt = ?, last_answer = ? WHERE pod_id = ? AND channel_id = ?",
        (state, next_attempt, answer, row.pod_id, row.channel_id),
    )


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many tries."""
    doubled: timedelta = FIRST_PAUSE * 2 ** min(attempts - 1, 20)
    return min(doubled, LONGEST_PAUSE)


def sender(host: Host) -> str:
    """The WebID that this host's notifications are sent in the name of."""
    return f"{host.base_url}/.well-known/solid#notifications"


def send(host: Host, send_to: str, message: bytes, media_type: str) -> Sent:
    """Try to deliver one notification."""
    try:
        answer = host.outbound.post(send_to, message, {"Content-Type": media_type, **_credentials(host, send_to)})
    except OutboundError as error:
        return Sent(arrived=False, answer=str(error))
    said = f"answered {answer.status}"
    # 410: the receiver wants no more, for good (RFC 9110, section 15.5.11).
    return Sent(arrived=200 <= answer.status < 300, answer=said, again=answer.status != 410)


def _credentials(host: Host, send_to: str) -> dict[str, str]:
    issued = int(host.clock.protocol_now().timestamp())
    name = sender(host)
    proof_key = webhook_proof_key(host.host_key)
    token = sign_jws(
        signing_keys.current(host),
        {
            "iss": host.base_url,
            "aud": [name, "solid"],
            "sub": name,
            "webid": name,
            "azp": name,
            "client_id": name,
            "iat": issued,
            "exp": issued + int(_TOKEN_LIFETIME.total_seconds()),
            "jti": secrets.token_urlsafe(16),
            "cnf": {"jkt": proof_key.kid},
        },
        typ="at+jwt",
    )
    proof = sign_jws(
        proof_key,
        {
            "htm": "POST",
            "htu": send_to.partition("#")[0].partition("?")[0],
            "iat": issued,
            "jti": secrets.token_urlsafe(16),
            "ath": token_hash(token),
        },
        typ="dpop+jwt",
        headers={"jwk": dict(proof_key.public_jwk)},
    )
    return {"Authorization": f"DPoP {token}", "DPoP": proof}


def _seal(host: Host, channel_id: str, column: str, value: msgspec.Struct) -> bytes:
    return seal(host.host_key, _LABEL, (channel_id, column), msgspec.msgpack.encode(value)).encode("ascii")


def _seal_told(host: Host, channel_id: str, state: State) -> bytes:
    return _seal(host, channel_id, "told", _Told(state.mark))


def _row(host: Host, row: StoredRow) -> Row | None:
    pod_id, channel_id, created, ends, state, attempts, next_attempt, turn, last_answer, sealed, told = row
    try:
        opened = unseal(host.host_key, _LABEL, (channel_id, "sealed"), bytes(sealed).decode("ascii"))
        knows = unseal(host.host_key, _LABEL, (channel_id, "told"), bytes(told).decode("ascii"))
        asked = msgspec.msgpack.decode(opened, type=_Sealed)
        mark = msgspec.msgpack.decode(knows, type=_Told).mark
    except (SealBroken, msgspec.DecodeError):
        return None
    return Row(
        pod_id=PodId(pod_id),
        channel_id=channel_id,
        created=created,
        ends=ends,
        state=state,
        attempts=attempts,
        next_attempt=next_attempt,
        turn=turn,
        last_answer=last_answer,
        subscription=asked.subscription,
        send_to=asked.send_to,
        told=State(mark, None),
    )

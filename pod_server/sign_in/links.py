"""Which pod somebody's identity at a provider opens, and what it opens: an open pod, by the host's custodian slot.

A locked pod is not opened by anybody's word: it needs the passphrase, or a passkey that was let.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server.authentication.session import create_session
from pod_server.authorization.errors import SealBroken
from pod_server.authorization.sealed_for_host import seal, unseal
from pod_server.clock import microseconds, moment
from pod_server.identifiers import Actor, PodId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.sign_in.errors import AnswerInvalid, LinkedElsewhere, NotLinked, PodStaysLocked
from pod_server.vault.errors import PodLocked
from pod_server.vault.vault import unlock_with_custodian

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.authentication.session import Session
    from pod_server.host import Host
    from pod_server.sign_in.answers import Known
    from pod_server.storage.ports import Transaction

LINK_LABEL = "upstream-link"
"""What the pod of a link is sealed under."""


@dataclass(frozen=True)
class Link:
    """A citizen's link to a provider.

    Attributes:
        slug: Which provider.
        made_at: When, real time.
        last_used_at: When it last signed them in; None for never.
    """

    slug: str
    made_at: datetime
    last_used_at: datetime | None


def link(host: Host, session: Session, known: Known) -> None:
    """Let somebody's identity at a provider open the signed-in citizen's pod.

    Raises:
        AnswerInvalid: another session asked for it.
        SignInTooOld: the citizen signed in too long ago for something that lasts.
        LinkedElsewhere: that identity opens another pod.
    """
    if known.asked.purpose != "link" or known.asked.session != session.id:
        raise AnswerInvalid("another sign-in asked for this")
    session.require_fresh(host.clock.protocol_now())
    with host.storage.write() as tx:
        present = tx.one("SELECT pod_id FROM upstream_link WHERE subject_hash = ?", (known.subject_hash,))
        if present is not None and present[0] != session.pod_id:
            raise LinkedElsewhere(known.provider.name)
        # One identity a provider: a new one takes the old one's place.
        tx.execute("DELETE FROM upstream_link WHERE pod_id = ? AND slug = ?", (session.pod_id, known.provider.slug))
        tx.execute(
            "INSERT INTO upstream_link (pod_id, subject_hash, slug, sealed, made_at) VALUES (?, ?, ?, ?, ?)",
            (
                session.pod_id,
                known.subject_hash,
                known.provider.slug,
                seal(host.host_key, LINK_LABEL, (known.subject_hash,), json.dumps(session.pod_id).encode()),
                microseconds(host.clock.protocol_now()),
            ),
        )
        _log(host, tx, session.pod_id, "link-sign-in", {"provider": known.provider.name})


def sign_in(host: Host, known: Known, *, device: str = "") -> str:
    """Sign in whom a provider knows; returns the session cookie's value.

    Raises:
        NotLinked: nobody here has linked that identity.
        PodStaysLocked: the pod is theirs, and locked.
    """
    with host.storage.read() as tx:
        row = tx.one("SELECT pod_id, slug, sealed FROM upstream_link WHERE subject_hash = ?", (known.subject_hash,))
    if row is None or row[1] != known.provider.slug:
        raise NotLinked(known.provider.name)
    pod_id = PodId(row[0])
    if json.loads(unseal(host.host_key, LINK_LABEL, (known.subject_hash,), row[2])) != pod_id:
        raise SealBroken("a link lies in another place")
    try:
        vault = unlock_with_custodian(host.host_key, host.key_store, pod_id)
    except PodLocked:
        raise PodStaysLocked(known.provider.name) from None
    with host.storage.write() as tx:
        now = microseconds(host.clock.protocol_now())
        tx.execute("UPDATE upstream_link SET last_used_at = ? WHERE subject_hash = ?", (now, known.subject_hash))
        _log(host, tx, pod_id, "unlock", {"means": "provider", "provider": known.provider.name})
    return create_session(
        host,
        pod_id,
        vault,
        means="upstream",
        device=device,
        upstream_hash=known.session_hash,
        upstream_hint=json.dumps({"slug": known.provider.slug, "id_token": known.id_token}),
    )


def list_links(host: Host, session: Session) -> list[Link]:
    """The citizen's links."""
    with host.storage.read() as tx:
        rows = tx.all(
            "SELECT slug, made_at, last_used_at FROM upstream_link WHERE pod_id = ? ORDER BY made_at", (session.pod_id,)
        )
    return [Link(slug, moment(made), None if used is None else moment(used)) for slug, made, used in rows]


def unlink(host: Host, session: Session, slug: str) -> bool:
    """End a link: that identity signs in no more; True if there was such a one."""
    with host.storage.write(urgent=True) as tx:
        ended = tx.execute("DELETE FROM upstream_link WHERE pod_id = ? AND slug = ?", (session.pod_id, slug))
        if ended:
            _log(host, tx, session.pod_id, "unlink-sign-in", {"provider": slug})
    return bool(ended)


def _log(host: Host, tx: Transaction, pod_id: PodId, action: str, detail: dict[str, str]) -> None:
    event = LogEvent(at=host.clock.now(), actor=Actor("citizen"), action=action, detail=detail)
    append_to_log(tx, pod_id, event, random=secrets.token_bytes)

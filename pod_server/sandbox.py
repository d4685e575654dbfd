"""A partner's sandbox citizen: a pod of nobody's, so that a newcomer can go the whole way before anybody admitted it.

It is a pod like any other, and every door treats it so; what sets it apart is said in one place each. Its handle begins
with `sandbox-`, which no person's does. It can consent to its own partner alone, so it is never in research, and its
twin is off, so it has no figures, proposals or claims. A partner that has only applied can ask it and nobody else.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from pod_server import pods, problems
from pod_server.authorization import mandates
from pod_server.identifiers import SANDBOX_PREFIX, Actor, PodId
from pod_server.opening import find_pod
from pod_server.partners import APPLIED, SELF, NoSuchPartner, PartnerError, find_partner
from pod_server.quota import set_quota

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.partners import Partner
    from pod_server.storage.ports import Transaction

QUOTA_BYTES = 5_000_000
NAME = "Sandkasse"


class NotAdmitted(PartnerError):
    """A partner asked somebody whom it may not ask: it is not admitted, or it is a sandbox citizen of another's."""


def is_sandbox(handle: str) -> bool:
    """Whether a handle is a sandbox citizen's."""
    return handle.startswith(SANDBOX_PREFIX)


def require_may_consent(tx: Transaction, partner: Partner, pod_id: PodId) -> None:
    """Hold who asks against whom it asks: applicants ask their own sandbox citizen, and nobody else asks it.

    Raises:
        NotAdmitted: this citizen cannot consent to this partner.
    """
    if partner.client_id == SELF.client_id:
        return
    row = tx.one("SELECT handle FROM pod WHERE pod_id = ?", (pod_id,))
    own = partner.sandbox is not None and partner.sandbox == pod_id
    if row is not None and is_sandbox(row[0]) and not own:
        raise NotAdmitted("A sandbox citizen consents to its own partner alone.")
    if partner.state == APPLIED and not own:
        raise NotAdmitted(
            "This organisation has applied to be a partner and is not admitted yet. It may not ask you for anything, "
            "and nothing was given to it."
        )


def pod_of(host: Host, client_id: str) -> PodId:
    """The number of the sandbox citizen's pod, made now where the partner has none yet.

    Raises:
        NoSuchPartner: there is no such partner.
    """
    with host.storage.read() as tx:
        partner = find_partner(tx, client_id)
    if partner is None:
        raise NoSuchPartner("No partner has this client identifier.")
    if partner.sandbox is not None:
        return partner.sandbox
    made = pods.create_pod(
        host,
        f"{SANDBOX_PREFIX}{secrets.token_hex(8)}",
        name=NAME,
        sandbox=True,
        actor=Actor("operator", "", "sandbox"),
    )
    with host.storage.write() as tx:
        mandates.end_standing_mandate(tx, made.pod_id)
        set_quota(tx, made.pod_id, QUOTA_BYTES)
    with host.storage.write() as tx:
        claimed = tx.execute(
            "UPDATE partner SET sandbox = ? WHERE client_id = ? AND sandbox IS NULL", (made.pod_id, client_id)
        )
    if not claimed:  # another request made one at the same moment
        pods.remove_pod(host, made.pod_id)
        return pod_of(host, client_id)
    return made.pod_id


def begin_anew(host: Host, client_id: str) -> None:
    """Remove the sandbox citizen with all it holds; the next one is made when it is next needed."""
    with host.storage.write() as tx:
        partner = find_partner(tx, client_id)
        tx.execute("UPDATE partner SET sandbox = NULL WHERE client_id = ?", (client_id,))
    if partner is not None and partner.sandbox is not None:
        pods.remove_pod(host, partner.sandbox)


def handle_of(host: Host, pod_id: PodId) -> str:
    """The sandbox pod's handle."""
    with host.storage.read() as tx:
        return find_pod(tx, pod_id).handle


problems.declare(NotAdmitted, "partner-not-admitted", "The partner is not admitted to ask this", 403)

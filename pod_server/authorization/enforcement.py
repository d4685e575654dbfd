"""Decide, and make the Permit: the only module that does (tests/unit/authorization walks the syntax trees).

Each function is one authority. A refusal is raised, since going on would be a breach; refusals to partners are logged
in the citizen's log before they are told.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from consent.decision import Refused, decide_grant, decide_reading
from consent.grant import GrantState
from consent.reasons import Reason
from pod_server import acting, partners
from pod_server.authentication.session import Session
from pod_server.authentication.tickets import Redeemed
from pod_server.authorization import grant_rows, mandates
from pod_server.authorization.errors import (
    AccessDenied,
    MandateMissing,
    NotConsentedToResearch,
    NotTheOwner,
    Unauthenticated,
    refusal_error,
)
from pod_server.authorization.permit import Permit
from pod_server.clock import microseconds
from pod_server.identifiers import Actor, GrantId, Handle, PodId, WebId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.vault.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from consent.grant import Grant
    from pod_server.authorization import wac
    from pod_server.authorization.permit import Authority
    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

RESEARCH_CLIENT = "research"
"""The client that a citizen's consent to research names; its own releases are its only readers."""

_EVERYTHING = frozenset({"read", "append", "write", "control"})


class Client(Protocol):
    """A partner who has proved who they are, or the house's own client (`self`, `research`)."""

    @property
    def client_id(self) -> str:
        """The client identifier."""
        ...

    @property
    def name(self) -> str:
        """What a person would call it."""
        ...


OwnerProof = Session | Redeemed | Vault
"""A citizen's session, its live stream's ticket, or the pod's vault opened with one of its slots: each shows whose pod
it is. Nothing else does, however many `pod_id`s it has."""


class Agent(Protocol):
    """Whoever came to the Solid door (authorization_server/tokens.py)."""

    @property
    def webid(self) -> WebId | None:
        """The person, or None for a stranger."""
        ...

    @property
    def client_id(self) -> str:
        """The client identifier."""
        ...

    @property
    def origin(self) -> str | None:
        """The `Origin` header, or None."""
        ...


class PodAtTheDoor(Protocol):
    """What the access rules need to know of a pod."""

    @property
    def pod_id(self) -> PodId:
        """The pod's number."""
        ...

    @property
    def handle(self) -> Handle:
        """The pod's handle."""
        ...


def webid_of(host: Host, handle: Handle) -> WebId:
    """The WebID of the citizen with this handle."""
    return WebId(f"{host.base_url}/{handle}/profile/card#me")


def require_owner(proof: OwnerProof, *, assisted: bool = False, pod_id: PodId | None = None) -> Permit:
    """The owner's Permit, on the strength of a session or an opened vault.

    Args:
        proof: A session, a redeemed ticket or an opened vault.
        assisted: True where the operator's command acts as the citizen; the log says so.
        pod_id: The pod that is asked for, where the caller names one.

    Raises:
        NotTheOwner: the proof is for another pod than the one asked for, or is none: a vault that opens the public
            scope alone was opened by nobody.
    """
    if not isinstance(proof, OwnerProof) or (isinstance(proof, Vault) and proof.is_public_only):
        raise NotTheOwner("Sign in as the owner first.")
    if pod_id is not None and pod_id != proof.pod_id:
        raise NotTheOwner("This belongs to somebody else.")
    return Permit(
        authority="owner",
        pod_id=proof.pod_id,
        actor=Actor("operator-assisted" if assisted else "citizen"),
        operations=_EVERYTHING,
    )


def require_public(pod: PodAtTheDoor) -> Permit:
    """Leave for anybody to read what the citizen made public; the vault's public scope is all it opens."""
    return Permit(authority="public", pod_id=pod.pod_id, actor=Actor("anonymous"), operations=frozenset({"read"}))


def require_rules(pod: PodAtTheDoor) -> Permit:
    """Leave to see whether names are in use and to read the access rules, in order to decide; for nothing else."""
    return Permit(authority="rules", pod_id=pod.pod_id, actor=Actor("host"), operations=frozenset({"read"}))


def require_wac(
    host: Host,
    *,
    agent: Agent,
    pod: PodAtTheDoor,
    needs: Sequence[wac.Need],
    read_rules: Callable[[Permit, str], Sequence[wac.Authorization] | None],
    read_group: Callable[[str], wac.Graph | None] | None = None,
    in_public_scope: Callable[[str], bool] | None = None,
) -> tuple[Permit, wac.Access]:
    """Leave under the pod's own access rules (Web Access Control).

    Args:
        host: This host.
        agent: Who asks.
        pod: Which pod.
        needs: What is needed where.
        read_rules: Reads one ACL document, given a Permit that is good for that alone.
        read_group: Reads the document of a group that the rules name; without it groups give nobody anything.
        in_public_scope: Whether a resource lies where strangers read; without it, all that everyone may read does.

    Returns:
        The Permit, and the modes for the WAC-Allow header.

    Raises:
        Unauthenticated: strangers may not; somebody who signs in may.
        AccessDenied: this person, or this app, may not.
    """
    from pod_server.authorization import wac  # noqa: PLC0415 - the partner door starts without an RDF library

    owner = webid_of(host, pod.handle)
    actor = _agent_actor(agent, owner)
    reading_rules = Permit(authority="rules", pod_id=pod.pod_id, actor=actor, operations=frozenset({"read"}))
    access = wac.decide(
        needs,
        asker=wac.Asker(agent.webid, agent.origin),
        owner=owner,
        root_iri=f"{host.base_url}/{pod.handle}/",
        read_rules=lambda path: read_rules(reading_rules, path),
        read_group=read_group or wac.no_groups,
    )
    if access.missing:
        if agent.webid is None:
            raise Unauthenticated("The access rules of this place do not let strangers do this.")
        raise AccessDenied(
            "The access rules of this place do not let you do this.",
            [{"mode": str(need.mode.value), "path": need.path} for need in access.missing],
        )
    modes = _modes_of(agent)
    if modes is not None:
        access = _within(modes, needs, access)
    if access.missing:
        raise AccessDenied(
            "You have not let this app do this. End its access on the page My data, and it may ask for more.",
            [{"mode": _app_mode(need), "path": need.path} for need in access.missing],
        )
    only_reading = all(need.mode is wac.AccessMode.READ and not wac.is_acl(need.path) for need in needs)
    if agent.webid is None:
        # Strangers read in the public scope alone; where the citizen lets them do more than everybody, they act like
        # an app.
        for_everyone = only_reading and wac.AccessMode.READ in access.public
        if for_everyone and in_public_scope is not None:
            # The citizen has opened it, but it is not moved yet (settling.py): the rules' word is enough.
            for_everyone = in_public_scope(needs[0].path)
        authority: Authority = "public" if for_everyone else "app"
    elif agent.client_id.startswith("script-"):
        authority = "script"
    else:
        authority = "owner" if agent.webid == owner and not agent.client_id else "app"
    permit = Permit(
        authority=authority,
        pod_id=pod.pod_id,
        actor=actor,
        operations=frozenset(need.mode.value for need in needs),
        webid=agent.webid,
        scope=tuple(need.path for need in needs),
    )
    return permit, access


def _modes_of(agent: Agent) -> frozenset[str] | None:
    """The modes that a citizen let an app use; None for everybody who comes without such a limit."""
    modes: frozenset[str] | None = getattr(agent, "modes", None)
    return modes


def _app_mode(need: wac.Need) -> str:
    """The mode of an app's leave that a need falls under.

    An access rule is Control's matter. Control on anything else is how the lifecycle asks for the citizen's own view of
    the activities, which nobody else has: to read it is reading.
    """
    from pod_server.authorization import wac  # noqa: PLC0415 - as in require_wac

    if wac.is_acl(need.path):
        return wac.AccessMode.CONTROL.value
    return wac.AccessMode.READ.value if need.mode is wac.AccessMode.CONTROL else need.mode.value


def _within(modes: frozenset[str], needs: Sequence[wac.Need], access: wac.Access) -> wac.Access:
    """What is left of the person's access for an app that may use these modes; what everybody has is never taken."""
    missing = [need for need in needs if _app_mode(need) not in modes]
    if all(need.path == needs[0].path for need in missing):
        missing = [need for need in missing if need.mode not in access.public]
    kept = frozenset(mode for mode in access.user if mode.value in modes) | access.public
    return replace(access, user=kept, missing=tuple(missing))


def _agent_actor(agent: Agent, owner: WebId) -> Actor:
    if agent.webid is None:
        return Actor("anonymous")
    if agent.webid == owner and _modes_of(agent) is not None:
        return Actor("app", agent.client_id, str(getattr(agent, "client_name", "")))
    if agent.webid == owner:
        return Actor("script" if agent.client_id.startswith("script-") else "citizen", agent.client_id)
    return Actor("app", agent.webid, agent.client_id)


def require_grant(  # noqa: PLR0917 - the order in which one says it: who, under what, which, what, when
    host: Host,
    client: Client,
    grant_id: str,
    kinds: Collection[str],
    operation: str,
    at: datetime,
    *,
    pod_id: PodId | None = None,
    count: int = 1,
    found: Mapping[str, Grant] | None = None,
) -> Permit:
    """A partner's Permit under one grant.

    Args:
        host: This host.
        client: The partner, already authenticated.
        grant_id: The grant as the partner names it; any text.
        kinds: The kinds in question; refused where the grant covers none of them. Empty: whatever it covers. Each
            record is then held against the terms by `Permit.refusal_for`.
        operation: `append` or `read`.
        at: Now, city's time.
        pod_id: Where only a grant in this pod will do.
        count: How many records were to be delivered, for the log of a refusal.
        found: What `find_grants` has just found, this grant's id among those it was asked for. Who writes reads the
            grant's state again, in the transaction that writes.

    Raises:
        NoSuchGrant: unknown, another citizen's or another partner's grant: the same answer for each.
        GrantRefused: one of its subclasses says why; the refusal is in the citizen's log.
    """
    if found is None:
        found = find_grants(host, [grant_id])
    grant = found.get(grant_id)
    if grant is not None and getattr(client, "grant", None) not in {None, grant.id}:
        grant = None  # the token was made for one grant alone; to it the others do not exist
    decision = decide_grant(grant, client.client_id, operation, at, pod_id=pod_id)
    if grant is not None and not isinstance(decision, Refused) and kinds and grant.terms.kinds.isdisjoint(kinds):
        decision = Refused((Reason.KIND_NOT_GRANTED,))
    if isinstance(decision, Refused):
        if grant is not None:
            with host.storage.write() as tx:
                if grant.terms.client_id == client.client_id:
                    grant_rows.add_use(tx, PodId(grant.pod_id), grant.id, at, accepted=0, duplicates=0, refused=count)
                record_refusal(
                    tx,
                    pod_id=PodId(grant.pod_id),
                    actor=_actor_of(client),
                    action="deliver" if operation == "append" else "read",
                    refused=decision,
                    grant=grant.id,
                    purpose=grant.terms.purpose,
                    count=count,
                    at=at,
                )
        if decision.reason is Reason.NOT_YOUR_GRANT:
            decision = Refused((Reason.NO_SUCH_GRANT,))
        raise refusal_error(decision)
    assert grant is not None
    return Permit(
        authority="grant",
        pod_id=PodId(grant.pod_id),
        actor=_actor_of(client),
        operations=grant.terms.operations,
        purpose=grant.terms.purpose,
        kinds=grant.terms.kinds,
        grant=GrantId(grant.id),
        epoch=grant.epoch,
        state_version=grant.state_version,
        terms=grant.terms,
        delivered_by=str(getattr(client, "delivered_by", "")),
    )


def _actor_of(client: Client) -> Actor:
    """How the log names whoever comes under a grant: an app by the address where it describes itself."""
    document = str(getattr(client, "document", ""))
    through = str(getattr(client, "through", ""))
    return Actor("app", document, client.name) if document else Actor("partner", client.client_id, client.name, through)


def find_grants(host: Host, grant_ids: Iterable[str]) -> dict[str, Grant]:
    """What a delivery's grants are, before it is decided on each; those that do not exist are left out.

    Args:
        host: This host.
        grant_ids: As the partner names them; any text.
    """
    named = [grant_id for grant_id in grant_ids if len(grant_id) <= 64 and grant_id.isascii()]
    grants: dict[str, Grant] = {}
    for first in range(0, len(named), _GRANTS_A_QUESTION):
        with host.storage.read() as tx:
            grants.update(grant_rows.find_grants(tx, host.host_key, named[first : first + _GRANTS_A_QUESTION]))
    return grants


_GRANTS_A_QUESTION = 500


def require_acknowledged(host: Host, proof: Vault, grant_id: GrantId, accepted_at: datetime) -> Permit:
    """Leave to take in what a partner delivered while the pod was locked, on the strength of the opened vault.

    Args:
        host: This host.
        proof: The pod's vault, opened with one of its slots.
        grant_id: The grant under which it was delivered.
        accepted_at: When the delivery was acknowledged; the grant held then.

    Raises:
        NotTheOwner: a vault that opens the public scope alone was opened by nobody.
        GrantRefused: the grant was erased since, or was never the pod's.
    """
    pod_id = require_owner(proof).pod_id
    with host.storage.read() as tx:
        grant = grant_rows.grant_in_pod(tx, host.host_key, pod_id, grant_id)
        partner = None if grant is None else partners.find_partner(tx, grant.terms.client_id)
    if grant is None:
        raise refusal_error(Refused((Reason.NO_SUCH_GRANT,)))
    if grant.state is GrantState.ERASED:
        raise refusal_error(Refused((Reason.CONSENT_ERASED,)))
    return Permit(
        authority="grant",
        pod_id=pod_id,
        actor=Actor("partner", grant.terms.client_id, partner.name if partner else ""),
        operations=grant.terms.operations,
        purpose=grant.terms.purpose,
        kinds=grant.terms.kinds,
        grant=grant_id,
        epoch=grant.epoch,
        state_version=grant.state_version,
        terms=grant.terms,
        accepted_at=accepted_at,
    )


def record_refusal(
    tx: Transaction,
    *,
    pod_id: PodId,
    actor: Actor,
    action: str,
    refused: Refused,
    grant: str,
    purpose: str,
    count: int,
    at: datetime,
) -> None:
    """Write a refusal into the citizen's log, in the caller's transaction."""
    event = LogEvent(
        at=at,
        actor=actor,
        action=action,
        purpose=purpose,
        grant=grant,
        outcome=str(refused.reason),
        count=count,
    )
    append_to_log(tx, pod_id, event, random=secrets.token_bytes)


def recheck_grant(
    tx: Transaction, permit: Permit, at: datetime, *, adding: int = 0, state: grant_rows.StateRow | None = None
) -> Refused | None:
    """Read a grant's state again inside the writing transaction: None, or why nothing may be written any more.

    The writer holds the database's write lock (or the row's), so a withdrawal either committed before and is seen here,
    or commits after this transaction: its commit is the point after which no write succeeds, in any process.

    Args:
        tx: The writing transaction.
        permit: What `require_grant` gave, however long ago.
        at: Now, city's time.
        adding: How many records are about to be taken in, held against the day's quota.
        state: What this very transaction has just read, with the pod taken; else it is read here.

    Another epoch than the Permit's is no refusal: the pod got new keys meanwhile, and the writer seals under the present
    one.
    """
    if permit.authority not in {"grant", "release"}:
        return None
    if permit.grant is None:
        return Refused((Reason.NO_SUCH_GRANT,))
    row = state or grant_rows.state_now(tx, permit.pod_id, permit.grant)
    if row is None:
        return Refused((Reason.NO_SUCH_GRANT,))
    present, version, _, expires_at, quota = row
    if permit.accepted_at is not None:
        return Refused((Reason.CONSENT_ERASED,)) if present == GrantState.ERASED else None
    ended = _ENDED.get(GrantState(present))
    if ended is not None:
        return Refused((ended,))
    if microseconds(at) >= expires_at:
        return Refused((Reason.CONSENT_EXPIRED,))
    if permit.authority == "grant" and _is_stopped(tx, client_of(permit)):
        return Refused((Reason.PARTNER_SUSPENDED,))
    if permit.delivered_by and not _may_act(tx, permit):
        return Refused((Reason.ACTING_ENDED,))
    if version != permit.state_version:
        return Refused((Reason.CONSENT_CHANGED,))
    if adding and quota is not None and grant_rows.used_on(tx, permit.pod_id, permit.grant, at) + adding > quota:
        return Refused((Reason.QUOTA_EXCEEDED,))
    return None


def _may_act(tx: Transaction, permit: Permit) -> bool:
    """Whether the integrator's leave still stands; read once a transaction."""
    assert permit.terms is not None
    known = ("may act", permit.terms.client_id, permit.delivered_by)
    if known not in tx.memory:
        tx.memory[known] = acting.may_act(tx, permit.terms.client_id, permit.delivered_by)
    return bool(tx.memory[known])


def client_of(permit: Permit) -> str:
    """The partner or app under whose grant a Permit was given."""
    return permit.actor.id if permit.terms is None else permit.terms.client_id


def _is_stopped(tx: Transaction, client_id: str) -> bool:
    """Whether the partner was stopped since it came to the door; read once a transaction, however many grants."""
    known = ("partner stopped", client_id)
    if known not in tx.memory:
        tx.memory[known] = partners.is_stopped(tx, client_id)
    return bool(tx.memory[known])


def recheck_reading(tx: Transaction, permit: Permit, at: datetime) -> Refused | None:
    """Read a grant's state and the day's readings again, in the transaction that logs a reading: None, or why not.

    What was opened before is handed out only after this transaction: the commit of a withdrawal is the point after
    which no reading succeeds either.
    """
    if permit.authority != "grant" or permit.terms is None or permit.grant is None:
        return Refused((Reason.NO_SUCH_GRANT,))
    refused = recheck_grant(tx, permit, at)
    if refused is not None:
        return refused
    return decide_reading(permit.terms, grant_rows.reads_on(tx, permit.pod_id, permit.grant, at))


_ENDED = {
    GrantState.REQUESTED: Reason.NO_SUCH_GRANT,
    GrantState.REFUSED: Reason.NO_SUCH_GRANT,
    GrantState.PAUSED: Reason.CONSENT_PAUSED,
    GrantState.WITHDRAWN: Reason.CONSENT_WITHDRAWN,
    GrantState.EXPIRED: Reason.CONSENT_EXPIRED,
    GrantState.ERASED: Reason.CONSENT_ERASED,
}


def record_use(
    tx: Transaction, permit: Permit, at: datetime, *, accepted: int, duplicates: int = 0, refused: int = 0
) -> None:
    """Count a delivery under its grant, in the transaction that writes it."""
    assert permit.grant is not None
    grant_rows.add_use(tx, permit.pod_id, permit.grant, at, accepted=accepted, duplicates=duplicates, refused=refused)


def record_read(tx: Transaction, permit: Permit, at: datetime) -> None:
    """Count a reading under its grant, in the transaction that logs it."""
    assert permit.grant is not None
    grant_rows.add_read(tx, permit.pod_id, permit.grant, at)


def require_mandate(host: Host, pod_id: PodId, act: str) -> Permit:
    """The twin's Permit for one of its standing acts (`observe`, `compute`, `infer`, `propose`).

    Raises:
        MandateMissing: the citizen turned the twin off, or the act is none of those.
    """
    with host.storage.read() as tx:
        return mandate_in(tx, pod_id, act)


def mandate_in(tx: Transaction, pod_id: PodId, act: str) -> Permit:
    """`require_mandate` inside a transaction: the agent asks again in the one that writes its figures.

    Raises:
        MandateMissing: as above.
    """
    if act not in mandates.STANDING_ACTS or not mandates.has_standing_mandate(tx, pod_id):
        raise MandateMissing("The twin has no standing mandate for this act.")
    return Permit(
        authority="mandate",
        pod_id=pod_id,
        actor=Actor("twin"),
        operations=frozenset({"read", "write", act}),
        purpose="personal-footprint",
    )


def require_single_mandate(tx: Transaction, pod_id: PodId, *, act: str, about: str, at: datetime) -> Permit:
    """The twin's Permit for one act that leaves the pod; uses up the citizen's yes in the caller's transaction.

    Args:
        tx: The transaction in which the act is put into the outbox.
        pod_id: Whose twin.
        act: `send-claim`, say.
        about: What exactly was approved: the plan's hash.
        at: Now, city's time.

    Raises:
        MandateMissing: no such yes, or it was used, or it has run out.
    """
    if not mandates.use_single_mandate(tx, pod_id, act=act, about=about, at=at):
        raise MandateMissing("The citizen has not approved this, or the approval was used or has run out.")
    return Permit(authority="mandate", pod_id=pod_id, actor=Actor("twin"), operations=frozenset({"read", act}))


def require_release(host: Host, pod_id: PodId, at: datetime) -> Permit:
    """Leave to read the figures for a research release, under the citizen's own consent to research.

    Raises:
        NotConsentedToResearch: there is none that holds now.
    """
    with host.storage.read() as tx:
        held = grant_rows.grants_in_pod(tx, host.host_key, pod_id, client_id=RESEARCH_CLIENT)
    for grant in held:
        if grant.state_at(at) is GrantState.ACTIVE and "read" in grant.terms.operations:
            return Permit(
                authority="release",
                pod_id=pod_id,
                actor=Actor("research", RESEARCH_CLIENT),
                operations=frozenset({"read"}),
                purpose=grant.terms.purpose,
                kinds=grant.terms.kinds,
                grant=GrantId(grant.id),
                epoch=grant.epoch,
                state_version=grant.state_version,
                terms=grant.terms,
            )
    raise NotConsentedToResearch("The citizen has given no consent to research that holds now.")

"""Who may answer for whom on this host: recorded, ended, and asked for inside each act's own transaction.

The law is consent/delegation.py. Here an authority is a row of the represented citizen's pod, sealed for the host, since
it is asked for while that citizen is away. Every act of a representative is decided again in the transaction that writes
it: the commit that ends a power of attorney is the point after which no act under it succeeds, as with a withdrawal.

What an authority opens is consents, and nothing else: no Permit comes of it, so no document, figure or log entry of the
represented citizen is read for a representative.

Registries outside (Folkeregisteret, Altinn) plug in as a `RepresentationRegistry`: `synchronise` records what they say and
ends what they no longer say. None is asked while somebody waits: the row decides. The one that is here reads a signed file
(register_file.py).
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol

from consent.delegation import EXPLAINED, WITHOUT_KEYS, Act, Authority, Representation, too_young, why_not
from pod_server import power_receipts, problems
from pod_server.errors import NoSuchPod, PodError, PodMoved
from pod_server.identifiers import Actor, Handle, PodId
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.opening import find_pod
from pod_server.vault.envelope import EnvelopeKey, Place, Scope
from pod_server.vault.errors import PodLocked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pod_server.host import Host
    from pod_server.storage.ports import Row, Transaction
    from pod_server.vault.host_key import HostKey

OPERATOR_RECORDED = "operator"
UNNAMED = "•••"
"""In the log of who named another by a number: whose it is, they learn from the other's yes."""

OFFERED = "offered"
"""The state of a power of attorney that its attorney has not accepted: it covers nothing."""

_LABEL = "representation"
_COLUMNS = "pod_id, representation_id, representative_pod, source, state, told_age, terms"
_KINDS = {
    Authority.GUARDIAN_OF_CHILD: "guardian",
    Authority.GUARDIAN_OF_ADULT: "guardian",
    Authority.POWER_OF_ATTORNEY: "attorney",
}
REPRESENTATIVES = frozenset(_KINDS.values())
"""The kinds of actor that act under an authority."""


class NotRepresented(PodError):
    """No authority, another's, or one that does not cover this: one answer, so that nobody can probe for wards."""


class TooYoung(PodError):
    """A child below the age of consent; the guardian answers (GDPR Art. 8(1))."""


problems.declare(NotRepresented, "not-your-ward", "You may not do this for somebody else", 403)
problems.declare(TooYoung, "too-young", "A guardian answers for somebody so young", 403)


class RepresentationRegistry(Protocol):
    """Somebody outside this host who knows who may answer for whom."""

    name: str
    """Stands as the source in each row: short, and never `operator`."""

    def authorities_over(self, pod_id: PodId) -> Iterable[tuple[PodId, Representation]]:
        """All that stands now over one citizen: the representative's pod and the authority, its id the registry's own.

        Raises:
            OSError: it cannot be asked now; what was recorded stays as it is.
        """
        ...


@dataclass(frozen=True)
class Recorded:
    """One authority as this host has it.

    Attributes:
        pod_id: Of whom.
        representative: The pod of who may answer.
        source: Who says so.
        standing: Whether nobody ended it; dates and ages are the law's affair.
        told_age: The highest age at which both were told that something changed hands.
        terms: The authority itself.
        offered: Whether it waits for the other's yes (own_powers.py).
        unnamed: Whether the giver named the other by a number, and must not learn whose it is before they say yes.
        receipt: The signed receipt of its latest event, for one that a citizen gave; else empty.
    """

    pod_id: PodId
    representative: PodId
    source: str
    standing: bool
    told_age: int
    terms: Representation
    offered: bool = False
    unnamed: bool = False
    receipt: str = ""

    @property
    def id(self) -> str:
        """The authority's name."""
        return self.terms.id

    def actor(self, name: str) -> Actor:
        """The representative as the represented citizen's log names them."""
        return Actor(_KINDS[self.terms.authority], self.id, name)


def record(
    host: Host, pod_id: PodId, representative: PodId, terms: Representation, *, source: str = OPERATOR_RECORDED
) -> Recorded:
    """Write an authority down; the logs of both tell of it.

    Args:
        host: This host.
        pod_id: Of whom.
        representative: Who may answer for them.
        terms: The authority; `new_id` names a new one.
        source: Who says so.

    Raises:
        NotRepresented: somebody would answer for themselves, or a child for anybody.
        NoSuchPod: one of the two is not here.
    """
    now = host.clock.now()
    made = Recorded(pod_id, representative, source, terms.ended_at is None, 0, terms)
    with host.storage.write() as tx:
        for each in (pod_id, representative):
            find_pod(tx, each)
        if pod_id == representative:
            raise NotRepresented("Nobody has an authority over themselves.")
        if terms.authority is Authority.GUARDIAN_OF_CHILD and representative_is_a_child(host, tx, representative, now):
            raise NotRepresented("A child is nobody's guardian.")
        insert(host, tx, made, "standing")
        tell_both(tx, made, "representation-recorded", now)
    host.signal.notify([pod_id, representative])
    return made


def insert(host: Host, tx: Transaction, made: Recorded, state: str) -> None:
    """Write a new authority's row, in the caller's transaction."""
    tx.send(
        f"INSERT INTO representation ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (made.pod_id, made.id, made.representative, made.source, state, made.told_age, _seal(host.host_key, made)),
    )


def update(host: Host, tx: Transaction, changed: Recorded, state: str) -> None:
    """Write an authority's new state and terms, in the caller's transaction."""
    tx.send(
        "UPDATE representation SET state = ?, terms = ? WHERE pod_id = ? AND representation_id = ?",
        (state, _seal(host.host_key, changed), changed.pod_id, changed.id),
    )


def new_id() -> str:
    """`r-` and 26 lower-case base32 characters: 130 random bits."""
    return "r-" + base64.b32encode(secrets.token_bytes(17)).decode().lower()[:26]


def end(host: Host, pod_id: PodId, representation_id: str, *, actor: Actor) -> None:
    """End an authority: from this commit on no act under it succeeds. Ending it again changes nothing.

    Raises:
        NotRepresented: there is none of this name over this citizen.
    """
    with host.storage.write(urgent=True) as tx:
        found = find(tx, host, pod_id, representation_id)
        if found is None:
            raise NotRepresented("There is no such authority.")
        if not found.standing and not found.offered:
            return
        now = host.clock.now()
        terms = replace(found.terms, ended_at=now)
        ended = replace(found, standing=False, offered=False, terms=terms)
        if found.receipt:
            names = [handle_of(tx, each) for each in (found.pod_id, found.representative)]
            receipt = power_receipts.sign(host, terms, "ended", now, principal=names[0], attorney=names[1])
            ended = replace(ended, receipt=receipt)
        # A guardian who is no longer one leaves consents that the child is still to look at.
        update(host, tx, ended, "ended")
        tell_both(tx, ended, "representation-ended", now, actor=actor)
    host.signal.notify([pod_id, found.representative])


def find(tx: Transaction, host: Host, pod_id: PodId, representation_id: str) -> Recorded | None:
    """One authority over one citizen."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM representation WHERE pod_id = ? AND representation_id = ?",
        (pod_id, representation_id),
    )
    return None if row is None else _of_row(host.host_key, row)


def over(tx: Transaction, host: Host, pod_id: PodId) -> list[Recorded]:
    """Every authority over one citizen, the ended ones too."""
    rows = tx.all(f"SELECT {_COLUMNS} FROM representation WHERE pod_id = ? ORDER BY representation_id", (pod_id,))
    return [_of_row(host.host_key, row) for row in rows]


def held_by(tx: Transaction, host: Host, representative: PodId) -> list[Recorded]:
    """Every authority that one citizen has over others, the ended ones too."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM representation WHERE representative_pod = ? ORDER BY representation_id",
        (representative,),
    )
    return [_of_row(host.host_key, row) for row in rows]


def held_now(host: Host, representative: PodId) -> list[Recorded]:
    """The authorities that cover anything at all at this moment."""
    now = host.clock.now()
    with host.storage.read() as tx:
        held = held_by(tx, host, representative)
    return [each for each in held if each.standing and each.terms.stands_at(now, host.age_rules)]


def require_held(host: Host, representative: PodId, representation_id: str) -> Recorded:
    """The authority that a signed-in citizen names; what they may do under it, each act's own transaction decides.

    Raises:
        NotRepresented: there is none, it is another's, or it covers nothing any more.
    """
    for each in held_now(host, representative):
        if each.id == representation_id:
            return each
    raise NotRepresented("You have no such authority now.")


def require(host: Host, tx: Transaction, pod_id: PodId, actor: Actor, act: Act, *, purpose: str) -> None:
    """Hold one act to the law, in the transaction that writes it.

    Raises:
        NotRepresented: the representative has no authority for this, or none any more.
        PodLocked: the citizen locked the pod, and this is more than ending something.
        TooYoung: a child acts alone, below the age of consent.
    """
    now = host.clock.now()
    if actor.kind in REPRESENTATIVES:
        found = find(tx, host, pod_id, actor.id)
        if found is None or not found.standing:
            raise NotRepresented("You have no such authority now.")
        if against := why_not(found.terms, act, purpose, now, host.age_rules):
            raise NotRepresented(" ".join(EXPLAINED[each] for each in against))
        if act not in WITHOUT_KEYS and "custodian" not in host.key_store.slot_kinds(pod_id):
            raise PodLocked
    elif actor.kind in {"citizen", "operator-assisted"}:
        born = [each.terms.born for each in over(tx, host, pod_id) if each.terms.born is not None]
        if too_young(born, purpose, act, now, host.age_rules):
            age = host.age_rules.age_for(purpose)
            raise TooYoung(
                f"Below {age} years a guardian says yes to this. Saying no and taking back is always possible."
            )


def is_too_young(host: Host, pod_id: PodId, purpose: str) -> bool:
    """Whether a page should say beforehand that a guardian answers."""
    with host.storage.read() as tx:
        born = [each.terms.born for each in over(tx, host, pod_id) if each.terms.born is not None]
    return too_young(born, purpose, Act.GIVE, host.clock.now(), host.age_rules)


def representative_is_a_child(host: Host, tx: Transaction, pod_id: PodId, now: datetime) -> bool:
    """Whether somebody is known here to be a child themselves."""
    return any(
        each.terms.born is not None and each.terms.stands_at(now, host.age_rules) for each in over(tx, host, pod_id)
    )


def note_for_representative(host: Host, held: Recorded, act: str, purpose: str, grant_id: str) -> None:
    """The representative's own log tells what they did for somebody; the represented citizen's has it from the act itself."""
    with host.storage.write() as tx:
        append_to_log(
            tx,
            held.representative,
            LogEvent(
                at=host.clock.now(),
                actor=Actor("citizen"),
                action="acted-for",
                purpose=purpose,
                outcome="done",
                count=1,
                detail={
                    "authority": held.id,
                    "partner": handle_of(tx, held.pod_id) or "",
                    "act": act,
                    "grant": grant_id,
                },
            ),
            random=secrets.token_bytes,
        )


def forget_representative(tx: Transaction, representative: PodId) -> None:
    """Who is removed answers for nobody; how old a child is stays known."""
    tx.execute(
        "UPDATE representation SET state = 'ended' WHERE representative_pod = ? AND state IN ('standing', 'offered')",
        (representative,),
    )


def synchronise(host: Host, registry: RepresentationRegistry, pod_id: PodId) -> tuple[int, int]:
    """Take over what a registry says of one citizen; how many authorities began, and how many ended.

    Raises:
        OSError: the registry cannot be asked; nothing was changed.
    """
    said = {terms.id: (representative, terms) for representative, terms in registry.authorities_over(pod_id)}
    with host.storage.read() as tx:
        known = {each.id: each for each in over(tx, host, pod_id) if each.source == registry.name}
    gone = [each for each in known.values() if each.standing and each.id not in said]
    for each in gone:
        end(host, pod_id, each.id, actor=Actor("operator", "", registry.name))
    new = [(representative, terms) for name, (representative, terms) in said.items() if name not in known]
    for representative, terms in new:
        record(host, pod_id, representative, terms, source=registry.name)
    return len(new), len(gone)


def citizens_of_source(host: Host, source: str) -> set[PodId]:
    """Everybody over whom a register has said something that stands."""
    with host.storage.read() as tx:
        rows = tx.all("SELECT DISTINCT pod_id FROM representation WHERE state = 'standing' AND source = ?", (source,))
    return {PodId(pod_id) for (pod_id,) in rows}


def unsettled(host: Host) -> Iterator[Recorded]:
    """Authorities over children with something left to hand over: the agent looks at them (coming_of_age.py)."""
    with host.storage.read() as tx:
        rows = tx.all(f"SELECT {_COLUMNS} FROM representation WHERE state <> 'settled'")
    for row in rows:
        recorded = _of_row(host.host_key, row)
        if recorded.terms.born is not None:
            yield recorded


def note_told(tx: Transaction, recorded: Recorded, age: int, *, settled: bool) -> None:
    """Keep which age both were told of; `settled` where nothing is left to hand over."""
    state = "settled" if settled else "standing" if recorded.standing else "ended"
    tx.send(
        "UPDATE representation SET told_age = ?, state = ? WHERE pod_id = ? AND representation_id = ?",
        (age, state, recorded.pod_id, recorded.id),
    )


def handle_of(tx: Transaction, pod_id: PodId) -> Handle | None:
    """The public name of one of the two; None where they live here no more."""
    try:
        return find_pod(tx, pod_id).handle
    except (NoSuchPod, PodMoved):
        return None


def tell_both(tx: Transaction, recorded: Recorded, action: str, now: datetime, *, actor: Actor | None = None) -> None:
    """One event in the logs of both, as far as both live here."""
    represented, representative = (handle_of(tx, each) for each in (recorded.pod_id, recorded.representative))
    if recorded.unnamed:
        told: dict[PodId, str] = {recorded.pod_id: UNNAMED, recorded.representative: represented or ""}
    else:
        told = {recorded.pod_id: representative or "", recorded.representative: represented or ""}
    for pod_id, own in ((recorded.pod_id, represented), (recorded.representative, representative)):
        if own is None:
            continue
        append_to_log(
            tx,
            pod_id,
            LogEvent(
                at=now,
                actor=actor or Actor("operator", "", "" if recorded.source == OPERATOR_RECORDED else recorded.source),
                action=action if pod_id == recorded.pod_id else f"{action}-held",
                outcome="done",
                count=1,
                detail={"authority": recorded.id, "as": str(recorded.terms.authority), "partner": told[pod_id]},
            ),
            random=secrets.token_bytes,
        )


def _key(host_key: HostKey, pod_id: int) -> EnvelopeKey:
    return EnvelopeKey(host_key.derive(_LABEL), PodId(pod_id), Scope("slot"))


def _place(representation_id: str) -> Place:
    """An authority that is moved to another row, or to another pod's, does not open there."""
    return Place(_LABEL, representation_id.encode())


def _seal(host_key: HostKey, recorded: Recorded) -> bytes:
    terms = recorded.terms
    value: dict[str, Any] = {
        "authority": terms.authority,
        "acts": sorted(terms.acts),
        "begins": terms.begins.isoformat(),
        "ends": terms.ends.isoformat() if terms.ends else None,
        "evidence": terms.evidence,
        "born": terms.born.isoformat() if terms.born else None,
        "purposes": sorted(terms.purposes) if terms.purposes is not None else None,
        "ended_at": terms.ended_at.isoformat() if terms.ended_at else None,
        "unnamed": recorded.unnamed,
        "receipt": recorded.receipt,
        # A power that nobody accepted must not stand because somebody wrote another word into the row's plain column.
        "offered": recorded.offered,
    }
    return _key(host_key, recorded.pod_id).seal(
        _place(terms.id), json.dumps(value, ensure_ascii=False).encode(), os.urandom
    )


def _of_row(host_key: HostKey, row: Row) -> Recorded:
    pod_id, name, representative, source, state, told_age, sealed = row
    value = json.loads(_key(host_key, pod_id).open(_place(name), bytes(sealed)))
    terms = Representation(
        id=name,
        authority=Authority(value["authority"]),
        acts=frozenset(Act(each) for each in value["acts"]),
        begins=datetime.fromisoformat(value["begins"]),
        ends=datetime.fromisoformat(value["ends"]) if value["ends"] else None,
        evidence=value["evidence"],
        born=date.fromisoformat(value["born"]) if value["born"] else None,
        purposes=frozenset(value["purposes"]) if value["purposes"] is not None else None,
        ended_at=datetime.fromisoformat(value["ended_at"]) if value["ended_at"] else None,
    )
    offered = bool(value.get("offered", False))
    return Recorded(
        PodId(pod_id),
        PodId(representative),
        source,
        state == "standing" and not offered,
        int(told_age),
        terms,
        offered and state == OFFERED,
        bool(value.get("unnamed", False)),
        str(value.get("receipt", "")),
    )

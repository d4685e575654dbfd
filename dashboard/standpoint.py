"""Whose consents a page is about, and who acts: a citizen for themselves, or for somebody whom they represent.

The address says it (`/-/for/<authority>/…`), so that one tab can be a guardian's and another one's own, and a plain banner
says it on the page. Nothing of the represented citizen's pod is opened for it but what giving a consent needs: its keys are
made with the custodian slot.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from consent.delegation import Act, why_not
from dashboard.visits import answered_form, citizens_visit
from pod_server import delegation
from pod_server.identifiers import Actor

if TYPE_CHECKING:
    from dashboard.frame import Visit
    from pod_server.authentication.session import Session
    from pod_server.delegation import Recorded
    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.vault.vault import Vault


@dataclass(frozen=True)
class Standpoint:
    """Who acts, and for whom.

    Attributes:
        visit: The look at the page; its banner names the represented citizen.
        session: Whose browser it is.
        pod_id: Whose consents.
        actor: As the log of that pod names who acts.
        held: The authority, or None where citizens act for themselves.
    """

    visit: Visit
    session: Session
    pod_id: PodId
    actor: Actor
    held: Recorded | None = None

    @property
    def base(self) -> str:
        """What the addresses of acts begin with."""
        return "/-" if self.held is None else f"/-/for/{self.held.id}"

    @property
    def home(self) -> str:
        """The consent centre that one comes back to."""
        return "/-/my-data" if self.held is None else self.base

    @property
    def vault(self) -> Vault | None:
        """The session's for one's own pod; None leaves it to the custodian slot of the other's."""
        return self.session.vault() if self.held is None else None

    def may(self, act: Act, purpose: str) -> bool:
        """Whether a page should offer this; the act's own transaction decides."""
        if self.held is None:
            return True
        return not why_not(self.held.terms, act, purpose, self.visit.now, self.visit.host.age_rules)

    def note(self, act: Act, purpose: str, grant_id: str) -> None:
        """Tell the representative's own log what they did; nothing where citizens act for themselves."""
        if self.held is not None:
            delegation.note_for_representative(self.visit.host, self.held, act, purpose, grant_id)


def standpoint(host: Host, authority: str = "", *, form: bool = False) -> Standpoint:
    """Where the reader stands.

    Args:
        host: This host.
        authority: The name of the authority in the page's address; "" for one's own consents.
        form: Whether this is a filled-in form, whose token is then checked.

    Raises:
        NotSignedIn: there is no session, or it has ended.
        CsrfMismatch: the form was not made for this session.
        NotRepresented: the citizen has no such authority now.
    """
    visit, session, _ = answered_form(host) if form else citizens_visit(host)
    if not authority:
        return Standpoint(visit, session, session.pod_id, Actor("citizen"))
    held = delegation.require_held(host, session.pod_id, authority)
    with host.storage.read() as tx:
        own, represented = (delegation.handle_of(tx, each) for each in (session.pod_id, held.pod_id))
    if represented is None:
        raise delegation.NotRepresented("They live here no more.")
    visit = replace(visit, acting_for=represented, acting_home=f"/-/for/{held.id}")
    return Standpoint(visit, session, held.pod_id, held.actor(own or ""), held)

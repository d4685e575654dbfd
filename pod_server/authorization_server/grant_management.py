"""A partner asks about its own grant, gives it up, or asks the citizen to change it (OAuth Grant Management, draft)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from consent.decision import Refused
from consent.errors import TermsInvalid
from consent.grant import GrantState, merged
from consent.reasons import Reason
from pod_server import consent_receipts, grants
from pod_server.authorization import grant_rows
from pod_server.authorization.errors import refusal_error
from pod_server.authorization_server.authorization_details import details_of
from pod_server.authorization_server.errors import OAuthError
from pod_server.identifiers import Actor, PodId

if TYPE_CHECKING:
    from consent.grant import Grant, GrantTerms
    from pod_server.authorization_server.tokens import AuthenticatedPartner
    from pod_server.host import Host
    from pod_server.partners import Partner


def _own_grant(host: Host, partner: AuthenticatedPartner, grant_id: str) -> Grant:
    """The partner's grant; unknown, refused, another's and not this token's are one answer."""
    with host.storage.read() as tx:
        grant = grant_rows.find_grant(tx, host.host_key, grant_id)
    if (
        grant is None
        or grant.terms.client_id != partner.client_id
        or grant.state is GrantState.REFUSED
        or partner.grant not in {None, grant_id}
    ):
        raise refusal_error(Refused((Reason.NO_SUCH_GRANT,)))
    return grant


ACTIONS = ("create", "merge", "replace")


def terms_after(host: Host, partner: Partner, action: str, grant_id: str, asked: GrantTerms) -> GrantTerms:
    """What the citizen is to be asked, where a partner wants to change a grant of its own (Grant Management, section 5).

    `replace` asks for the new terms in the place of the old ones, `merge` for both together. Either way the citizen is
    asked for the whole anew, under the text that holds now: nothing is widened without an answer (GDPR Art. 4(11)).

    Raises:
        OAuthError: an unknown action, a grant that is not this partner's or has ended, or another purpose.
    """
    if action not in ACTIONS:
        raise OAuthError("invalid_request", "grant_management_action is to be create, merge or replace")
    if action == "create":
        if grant_id:
            raise OAuthError("invalid_request", "grant_id belongs to merge and replace")
        return asked
    with host.storage.read() as tx:
        grant = grant_rows.find_grant(tx, host.host_key, grant_id) if len(grant_id) <= 64 else None
    if (
        grant is None
        or grant.terms.client_id != partner.client_id
        or grant.state_at(host.clock.now()) not in {GrantState.ACTIVE, GrantState.PAUSED, GrantState.EXPIRED}
    ):
        raise OAuthError("invalid_grant_id", "no grant of yours that could be changed has this grant_id")
    if grant.terms.purpose != asked.purpose:
        raise OAuthError("invalid_authorization_details", "another purpose is another consent: create one")
    try:
        return merged(grant.terms, asked) if action == "merge" else asked
    except TermsInvalid as error:
        # Figures are read alone: to deliver is another consent.
        raise OAuthError("invalid_authorization_details", str(error)) from error


def query(host: Host, partner: AuthenticatedPartner, grant_id: str) -> dict[str, Any]:
    """What the grant allows, where it stands, and the signed receipt of what last happened to it.

    Raises:
        NoSuchGrant: no such grant is this partner's.
    """
    grant = _own_grant(host, partner, grant_id)
    with host.storage.read() as tx:
        receipt = consent_receipts.latest(host, tx, PodId(grant.pod_id), grant.id)
    return {
        "grant_id": grant.id,
        **({"receipt": receipt} if receipt else {}),
        "state": str(grant.state_at(host.clock.now())),
        "authorization_details": details_of(host, grant, grants.subject_of(host, grant)),
    }


def give_up(host: Host, partner: AuthenticatedPartner, grant_id: str) -> None:
    """The partner ends the consent from its side; the citizen's log says who did. Doing it twice changes nothing.

    Raises:
        NoSuchGrant: no such grant is this partner's.
    """
    grant = _own_grant(host, partner, grant_id)
    if grant.state is not GrantState.ERASED:
        # The citizen's log names an app by the address where it describes itself.
        actor = (
            Actor("app", partner.document, partner.name)
            if partner.document
            else Actor("partner", partner.client_id, partner.name)
        )
        grants.withdraw(host, PodId(grant.pod_id), grant.id, actor=actor)

"""Renewing a consent: one step while the text that was agreed to still says the same; else the new text is shown first.

A consent holds for what the citizen was told (GDPR Art. 7(2)); a year more under other words is a new decision.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from flask import redirect, request

from consent.delegation import Act
from dashboard import frame
from dashboard.views.consent_request import ask_about, notice_text
from pod_server import grants
from pod_server.consent_receipts import keep_notice
from pod_server.parties import find_party

if TYPE_CHECKING:
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.standpoint import Standpoint
    from pod_server.host import Host

RENEWED_FOR = timedelta(days=365)


def renew_grant(host: Host, who: Standpoint, grant_id: str) -> AnyResponse:
    """A year more, or the page with the text as it reads now.

    Raises:
        NoSuchGrant: none of the citizen's own.
        EventOutOfOrder: the consent was withdrawn or erased.
    """
    visit = who.visit
    grant = grants.find_grant(host, who.pod_id, grant_id)
    notice = None
    with host.storage.read() as tx:
        partner = find_party(host, tx, grant.terms.client_id)
    # Commands and own files show no text, and there is none to read again.
    shown = grant.terms.notice_version.split(" ")[0] if grant.terms.notice_hash else None
    ask = None
    if partner is not None and shown is not None:
        ask = ask_about(visit, partner, grant.terms, f"{who.base}/grants/{grant_id}/renew")
    if ask is not None and shown != ask.notice_version:
        if request.form.get("read") != ask.notice_version:
            return frame.page("renew.html.jinja", visit, ask=ask, home=who.home, request_path=who.home)
        version = f"{ask.notice_version} {visit.language}"
        notice = (version, keep_notice(host, version, notice_text(visit, ask)))
    grants.renew(
        host,
        who.pod_id,
        grant_id,
        actor=who.actor,
        expires_at=visit.now + RENEWED_FOR,
        notice=notice,
    )
    who.note(Act.RENEW, grant.terms.purpose, grant_id)
    return redirect(f"{who.home}?done=renew", code=303)

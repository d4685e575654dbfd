"""A consent's receipt: a page to read and print, the signed file itself, and what checking it takes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Response, jsonify

from dashboard import frame
from dashboard.views.shown_to_readers import figure_titles
from dashboard.visits import citizens_visit
from pod_server import consent_receipts, grants
from pod_server.http_problems import NoSuchPage
from pod_server.partners import RESEARCH, SELF
from vocab.consent_records import CONTEXT_FILE, SHAPE_FILE
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes

if TYPE_CHECKING:
    from pathlib import Path

    from consent.ledger import GrantEvent
    from dashboard.frame import Visit
    from pod_server.host import Host

_JSON_LD = "application/ld+json"
_KEPT = "public, max-age=3600"


@dataclass(frozen=True)
class ReceiptPage:
    """A receipt in the reader's words; what stands in it is what the signed file says."""

    partner: str
    facts: list[tuple[str, str]]
    events: list[tuple[str, str]]
    notice: str
    notice_words: str
    issuer: str
    signature: str
    method: str


def receipt_page(host: Host, grant_id: str) -> Response:
    """The latest receipt of one consent, to read and to print.

    Raises:
        NotSignedIn: sign in first.
        NoSuchGrant: none of the citizen's own.
    """
    visit, session, own = citizens_visit(host)
    grants.find_grant(host, session.pod_id, grant_id)
    # A copy that waited for the pod to be opened: the citizen is here with the key.
    consent_receipts.file_if_open(host, session.pod_id, own.vault)
    view = next(each for each in grants.list_grants(host, session.pod_id) if each.grant.id == grant_id)
    with host.storage.read() as tx:
        receipt = consent_receipts.latest(host, tx, session.pod_id, grant_id)
    return frame.page(
        "receipt.html.jinja",
        visit,
        receipt=_page_of(visit, view, receipt) if receipt else None,
        grant=grant_id,
        request_path=f"/-/grants/{grant_id}/receipt",
    )


def receipt_file(host: Host, grant_id: str) -> Response:
    """The signed receipt as JSON-LD.

    Raises:
        NotSignedIn: sign in first.
        NoSuchGrant: none of the citizen's own.
        NoSuchPage: the consent is older than receipts.
    """
    _, session, _ = citizens_visit(host)
    grants.find_grant(host, session.pod_id, grant_id)
    with host.storage.read() as tx:
        receipt = consent_receipts.latest(host, tx, session.pod_id, grant_id)
    if receipt is None:
        raise NoSuchPage("This consent is older than the receipts.")
    answer = Response(json.dumps(receipt, ensure_ascii=False, indent=1), content_type=_JSON_LD)
    answer.headers["Content-Disposition"] = f'attachment; filename="{grant_id}.jsonld"'
    answer.headers["Cache-Control"] = "no-store"
    return answer


def _page_of(visit: Visit, view: grants.GrantView, receipt: dict[str, Any]) -> ReceiptPage:
    t, w, terms = visit.words, visit.wording, view.grant.terms
    kinds, purpose = load_kinds().by_slug, load_purposes().get(terms.purpose)
    record = receipt["record"]
    house = {str(SELF.client_id): t("partner.self"), str(RESEARCH.client_id): t("partner.research")}
    partner = str(house.get(terms.client_id, record["dataController"]["name"]))
    contact, address = record["dataController"]["contactPoint"]
    said = {"not stated": t("receipt.not-stated")}
    state = str(record["state"])
    covered = w.listing(
        [
            t(
                "receipt.fineness",
                kind=kinds[kind].labels[visit.language].title,
                granularity=t(f"granularity.{terms.granularity_of(kind)}").lower(),
            )
            for kind in sorted(terms.kinds)
        ]
        + figure_titles(visit, terms.figures)
        + sorted(terms.documents)
    )
    retention = (
        t("receipt.retention-read", partner=partner, duration=visit.wording.duration(terms.retention))
        if terms.operations == {"read"}
        else t("receipt.retention-append")
    )
    notice = record["notice"]
    return ReceiptPage(
        partner=partner,
        facts=[
            (t("receipt.state"), t(f"state.{state}")),
            (t("receipt.purpose"), w.of(purpose.titles) if purpose else terms.purpose),
            (t("receipt.data"), covered),
            (t("receipt.allows"), t(f"receipt.operations-{'-'.join(sorted(terms.operations))}", partner=partner)),
            (t("receipt.history"), w.date(terms.history_from)),
            (t("receipt.until"), w.date(terms.expires_at)),
            (t("receipt.retention"), retention),
            (t("receipt.controller"), partner),
            (t("receipt.contact"), said.get(contact["contact"], contact["contact"])),
            (t("receipt.address"), said.get(address["streetAddress"], address["streetAddress"])),
            (t("receipt.subject", partner=partner), record["dataSubject"]["identifier"]),
            (t("receipt.law"), t("receipt.law-words")),
            (t("receipt.withdraw"), t("receipt.withdraw-words")),
        ],
        events=[event_words(visit, event, partner) for event in view.events],
        notice=str(notice.get("sha256", "")),
        notice_words=t("receipt.notice-words", version=notice["version"]),
        issuer=visit.host.base_url,
        signature=str(receipt["proof"]["proofValue"]),
        method=str(receipt["proof"]["verificationMethod"]),
    )


def event_words(visit: Visit, event: GrantEvent, partner: str) -> tuple[str, str]:
    """One event of a consent: when, and what happened by whom."""
    t = visit.words
    return visit.wording.when(
        event.at
    ), f"{t(f'receipt.event-{event.kind}')} {t(f'receipt.by-{event.by}', partner=partner)}"


def notice(host: Host, notice_hash: str) -> Response:
    """The exact text with this SHA-256: a partner's question, nothing about a citizen.

    Raises:
        NoSuchPage: nobody here answered such a text.
    """
    text = consent_receipts.find_notice(host, notice_hash)
    if text is None:
        raise NoSuchPage("Nobody here has answered such a text.")
    return _public(text.encode(), "text/plain; charset=utf-8")


def context(_host: Host) -> Response:
    """The context of consent records."""
    return _public(CONTEXT_FILE.read_bytes(), _JSON_LD)


def shape(_host: Host) -> Response:
    """The SHACL shape of consent records."""
    return _file(SHAPE_FILE, "text/turtle; charset=utf-8")


def issuer(host: Host) -> Response:
    """The keys that this host signs receipts with."""
    answer = jsonify(consent_receipts.issuer_document(host))
    answer.content_type = _JSON_LD
    answer.headers["Cache-Control"] = _KEPT
    return answer


def _file(path: Path, content_type: str) -> Response:
    return _public(path.read_bytes(), content_type)


def _public(body: bytes, content_type: str) -> Response:
    answer = Response(body, content_type=content_type)
    answer.headers["Cache-Control"] = _KEPT
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer

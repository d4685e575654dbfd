"""The story of a reading: a partner looks at what a citizen chose to show it, and the citizen sees that it did.

    1. the grant decides: whose, state, operation (a Permit of the authority `grant`, never an access rule);
    2. what is asked for is held against what was chosen: figures, kinds, window;
    3. the pod is opened (a locked one answers `pod-locked`) and what is covered is taken out (shared.py);
    4. one transaction: the grant's state and the day's readings are read again, and the leaf is written in the citizen's
       log with who, what and why; only then is anything handed out.

A refusal is logged before it is told, as at the other doors. One leaf a reading, however much was read.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import partner_bridge.errors  # noqa: F401 - declares the problems
from consent.decision import Refused
from consent.reasons import Reason
from partner_bridge.errors import NothingToRead, ReadingInvalid
from partner_bridge.read_answers import figures_document, graph_document
from partner_bridge.shared import shared_activities, shared_figures
from pod_server import documents, figures
from pod_server.authorization.enforcement import (
    recheck_reading,
    record_read,
    record_refusal,
    record_use,
    require_grant,
)
from pod_server.authorization.errors import refusal_error
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.opening import open_pod
from pod_server.representation import stored, trig, turtle
from pod_server.vault.errors import PodLocked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pod_server.authorization.enforcement import Client
    from pod_server.authorization.permit import Permit
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.representation.graph import Graph

LONGEST_READ = timedelta(days=31)
"""How much of the window one reading of activities covers; the answer says where the next one begins."""


def read_figures(host: Host, partner: Client, grant_id: str, only: Sequence[str] = ()) -> dict[str, Any]:
    """The figures that a grant lets its partner see now, as JSON-LD.

    Args:
        host: This host.
        partner: Who reads, already authenticated.
        grant_id: The grant as the partner names it.
        only: Fewer figures than granted; empty for all of them.

    Raises:
        GrantRefused: the grant, or the day's readings, do not allow it; a subclass says why.
        PodLocked: the citizen has locked the pod.
    """
    at = host.clock.now()
    permit = require_grant(host, partner, grant_id, (), "read", at)
    covered = permit.terms.figures if permit.terms else frozenset()
    wanted = frozenset(only) or covered
    if not wanted or not wanted <= covered:
        raise _refused(host, permit, Refused((Reason.FIGURE_NOT_GRANTED,)), at)
    own = _opened(host, permit, at)
    with host.storage.read() as tx:
        content = figures.load_figures(tx, own)
    assert permit.terms is not None
    values = shared_figures(content, permit.terms, at, only=wanted)
    _log(host, permit, at, action="read-figures", count=len(values), detail={"figures": _listed(wanted)})
    return figures_document(host, permit, values, at)


def read_graph(
    host: Host, partner: Client, grant_id: str, only: Sequence[str] = (), asked: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], datetime | None]:
    """The activities that a grant lets its partner see, of at most 31 days, as JSON-LD; and where the next begin.

    Args:
        host: This host.
        partner: Who reads, already authenticated.
        grant_id: The grant as the partner names it.
        only: Fewer kinds than granted; empty for all of them.
        asked: `from` and `to`, ISO 8601 times with a zone or dates; without them the last 31 days.

    Returns:
        The document, and from when to read on where the window or what was asked for is longer; None at its end.

    Raises:
        ReadingInvalid: `from` or `to` is no time.
        GrantRefused, PodLocked: as `read_figures`.
    """
    at = host.clock.now()
    permit = require_grant(host, partner, grant_id, (), "read", at)
    assert permit.terms is not None
    wanted = frozenset(only) or permit.terms.kinds
    if not wanted:
        raise _refused(host, permit, Refused((Reason.FIGURE_NOT_GRANTED,)), at)
    if not wanted <= permit.terms.kinds:
        raise _refused(host, permit, Refused((Reason.KIND_NOT_GRANTED,)), at)
    let_on: frozenset[str] | None = getattr(partner, "kinds", None)  # what the municipality lets the partner handle now
    if let_on is not None and not wanted <= let_on:
        raise _refused(host, permit, Refused((Reason.KIND_BARRED,)), at)
    until = min(_moment((asked or {}).get("to"), "to") or at, at)
    first = max(_moment((asked or {}).get("from"), "from") or until - LONGEST_READ, permit.terms.history_from)
    last = min(until, first + LONGEST_READ)
    own = _opened(host, permit, at)
    found = list(shared_activities(host, own, permit.terms, at, kinds=wanted, start=first, end=last))
    detail = {"kinds": _listed(wanted), "from": first.date().isoformat(), "to": last.date().isoformat()}
    _log(host, permit, at, action="read-activities", count=len(found), detail=detail)
    return graph_document(host, permit, found, at), last if last < until else None


def read_document(host: Host, partner: Client, grant_id: str, path: str) -> Graph:
    """One document that a grant lets its party read whole, as a graph whose own IRIs lie below the grant's address.

    A document is kept relative to its pod's root, so it is read here against a root that this one party knows: the
    pod's address and the WebID stand in no answer, unless the document's own words hold them.

    Args:
        host: This host.
        partner: Who reads, already authenticated.
        grant_id: The grant as the party names it.
        path: Which document, as the consent names it.

    Raises:
        GrantRefused, PodLocked: as `read_figures`.
        NothingToRead: there is no such document now, or it is no RDF.
    """
    at = host.clock.now()
    permit = require_grant(host, partner, grant_id, (), "read", at)
    assert permit.terms is not None
    if path not in permit.terms.documents:
        raise _refused(host, permit, Refused((Reason.FIGURE_NOT_GRANTED,)), at)
    own = _opened(host, permit, at)
    with host.storage.read() as tx:
        found = documents.get(tx, own, path)
    graph = None
    if found is not None and found.media_type in {turtle.MEDIA_TYPE, trig.MEDIA_TYPE}:
        graph = stored.read(found.content, f"{host.base_url}/bridge/grants/{permit.grant}/pod/")
    detail = {"document": path[:200]}
    if graph is None:
        _log(host, permit, at, action="read-document", count=1, detail=detail, outcome="nothing-to-read")
        raise NothingToRead("There is no such document now, or it is none that a graph could be read from.")
    _log(host, permit, at, action="read-document", count=1, detail=detail)
    return graph


def _opened(host: Host, permit: Permit, at: datetime) -> OpenPod:
    try:
        return open_pod(host, permit)
    except PodLocked:
        _log(host, permit, at, action="read", count=1, detail={}, outcome="pod-locked")
        raise


def _log(
    host: Host, permit: Permit, at: datetime, *, action: str, count: int, detail: dict[str, str], outcome: str = "done"
) -> None:
    """Step 4: the transaction after which what was taken out is handed out."""
    assert permit.grant is not None
    with host.storage.write() as tx:
        refused = recheck_reading(tx, permit, at)
        if refused is not None:
            _write_refusal(tx, permit, refused, at)
        else:
            if outcome == "done":
                record_read(tx, permit, at)
            else:
                record_use(tx, permit, at, accepted=0, refused=1)
            append_to_log(
                tx,
                permit.pod_id,
                LogEvent(
                    at=at,
                    actor=permit.actor,
                    action=action,
                    purpose=permit.purpose,
                    grant=permit.grant,
                    outcome=outcome,
                    count=count,
                    detail=detail,
                ),
                random=secrets.token_bytes,
            )
    if refused is not None:
        raise refusal_error(refused)


def _refused(host: Host, permit: Permit, refused: Refused, at: datetime) -> Exception:
    """Log a refusal and give the exception to raise."""
    with host.storage.write() as tx:
        _write_refusal(tx, permit, refused, at)
    return refusal_error(refused)


def _write_refusal(tx: Any, permit: Permit, refused: Refused, at: datetime) -> None:
    assert permit.grant is not None
    record_use(tx, permit, at, accepted=0, refused=1)
    record_refusal(
        tx,
        pod_id=permit.pod_id,
        actor=permit.actor,
        action="read",
        refused=refused,
        grant=permit.grant,
        purpose=permit.purpose,
        count=1,
        at=at,
    )


def _listed(names: frozenset[str]) -> str:
    text = " ".join(sorted(names))
    return text if len(text) <= 200 else f"{text[:199].rsplit(' ', 1)[0]} …"


def _moment(text: str | None, name: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
        moment = (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ReadingInvalid(f"{name} is a date or a time, such as 2026-11-01 or 2026-11-01T00:00:00Z") from error
    return moment

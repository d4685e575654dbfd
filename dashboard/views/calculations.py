"""A second opinion: what a service would be shown, item by item, what it answered, and the twin's own figure beside it. No script.

Nothing here is sent by looking. Consent and sending are two presses; the form of the second carries the digest of what the
page showed, so that nothing else can leave.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from flask import redirect, request

from consent.grant import GrantState
from dashboard import frame
from dashboard.visits import answered_form, citizens_visit
from partner_bridge import calculating
from partner_bridge.connectors import find_calculator
from partner_bridge.errors import (
    NotAsShown,
    NothingToCalculate,
    SourceBusy,
    SourceUnreachable,
    UnusablePayload,
)
from pod_server import calculations, grants
from pod_server.authorization.errors import GrantRefused
from pod_server.consent_receipts import keep_notice
from pod_server.identifiers import Actor
from vocab.errors import NoFactor
from vocab.factors import load_factors
from vocab.purposes import load_purposes

if TYPE_CHECKING:
    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from partner_bridge.calculating import Kept, Preview
    from partner_bridge.sources import Source
    from pod_server.calculations import Calculation
    from pod_server.host import Host
    from pod_server.opening import OpenPod

PATH = "/-/calculations"
NOTICE = "calculation-1"
_DONE = frozenset({"agreed", "withdrawn", "calculated", "dropped"})


@dataclass(frozen=True)
class Row:
    """One group of one month: what was, or would be, shown, and both figures in words; never added.

    Attributes:
        theirs: The service's best figure, and its likely range; empty where nothing was answered, or told.
        ours: The twin's own for the same sum; empty where it has no factor.
    """

    group: str
    category: str
    kroner: str
    theirs: tuple[str, str] = ("", "")
    ours: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class Answered:
    """One answer that is kept."""

    name: str
    service: str
    version: str
    month: str
    when: str
    address: str
    rows: list[Row]


@dataclass(frozen=True)
class Offer:
    """One service on the page."""

    source: Source
    facts: list[tuple[str, str]]
    state: str
    look: str
    grant: str
    month: str
    in_words: str
    months: list[tuple[str, str]]
    shown: Preview
    rows: list[Row]
    exact: str
    is_answered: bool


def page(host: Host, *, problem: str = "", status: int = 200, month: str = "") -> Response:
    """Every service, what the chosen month would show it, and every answer that is kept.

    Raises:
        NotSignedIn: there is no session, or it has ended.
    """
    seen, _, own = citizens_visit(host)
    wanted = month or request.args.get("month", "")
    done = request.args.get("done", "")
    answer = frame.page(
        "calculations.html.jinja",
        seen,
        offers=[_offer(host, seen, own, each, wanted) for each in calculating.services(host)],
        answers=[_answered(seen, own, *each) for each in calculating.kept(host, own)],
        done=seen.words(f"calculation.done-{done}") if done in _DONE else "",
        problem=problem,
        request_path=PATH,
    )
    answer.status_code = status
    return answer


def agree(host: Host, slug: str) -> AnyResponse:
    """The citizen consents; nothing is sent by that.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        SourceInvalid: there is no such service.
    """
    seen, session, own = answered_form(host)
    service = calculating.find_service(host, slug)
    if calculating.standing(host, own, service) is None:
        calculating.agree(host, session.vault(), service, notice=_notice(host, seen, service))
    return redirect(f"{PATH}?done=agreed", code=303)


def withdraw(host: Host, slug: str) -> AnyResponse:
    """One press, and nothing is sent any more. What was answered stays until it is dropped, or the consent erased.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        SourceInvalid: there is no such service.
    """
    _, session, own = answered_form(host)
    held = calculating.standing(host, own, calculating.find_service(host, slug))
    if held is not None:
        grants.withdraw(host, session.pod_id, held.id, actor=Actor("citizen"))
    return redirect(f"{PATH}?done=withdrawn", code=303)


def send(host: Host, slug: str) -> AnyResponse:
    """Send one month's sums exactly as shown, and keep the answer.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        SourceInvalid: there is no such service, or no such month.
    """
    seen, _, own = answered_form(host)
    t = seen.words
    service = calculating.find_service(host, slug)
    month, shown = request.form.get("month", "")[:7], request.form.get("shown", "")[:64]
    try:
        calculating.calculate(host, own, service, month, shown)
    except GrantRefused:
        return page(host, problem=t("calculation.problem-refused", service=service.name), status=403, month=month)
    except NotAsShown:
        return page(host, problem=t("calculation.problem-changed"), status=409, month=month)
    except NothingToCalculate:
        return page(host, problem=t("calculation.problem-nothing"), status=409, month=month)
    except SourceBusy as error:
        minutes = max(1, round(error.wait.total_seconds() / 60))
        words = t("calculation.problem-busy", service=service.name, minutes=seen.wording.number(minutes))
        return page(host, problem=words, status=503, month=month)
    except SourceUnreachable:
        return page(host, problem=t("calculation.problem-unreachable", service=service.name), status=502, month=month)
    except UnusablePayload:
        return page(host, problem=t("calculation.problem-unusable", service=service.name), status=502, month=month)
    return redirect(f"{PATH}?done=calculated&month={month}", code=303)


def drop(host: Host, name: str) -> AnyResponse:
    """Throw one answer away.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    _, _, own = answered_form(host)
    with host.storage.write() as tx:
        calculations.drop(tx, own, name)
    return redirect(f"{PATH}?done=dropped", code=303)


def _offer(host: Host, seen: Visit, own: OpenPod, service: Source, wanted: str) -> Offer:
    t, w = seen.words, seen.wording
    every = calculating.months(host)
    month = wanted if wanted in every else every[0]
    shown = calculating.preview(host, own, service, month)
    held = calculating.standing(host, own, service)
    paused = held is not None and held.state_at(seen.now) is GrantState.PAUSED
    state = "off" if held is None else "paused" if paused else "on"
    rows = [Row(t(f"group.{line.spend_class}"), line.category, w.number(line.amount)) for line in shown.lines]
    return Offer(
        service,
        _facts(seen, service),
        state,
        {"off": "plain", "paused": "wait", "on": "good"}[state],
        "" if held is None else held.id,
        month,
        _month(seen, month, inside=True),
        [(each, _month(seen, each)) for each in every],
        shown,
        rows,
        shown.body.decode(),
        calculating.is_answered(host, own, service, shown),
    )


def _facts(seen: Visit, service: Source) -> list[tuple[str, str]]:
    t, w = seen.words, seen.wording
    declared = find_calculator(service.connector).declaration
    purpose = load_purposes().get(service.purpose)
    return [
        (t("fact.purpose"), w.of(purpose.descriptions) if purpose else service.purpose),
        (t("offer.terms"), w.of(declared.terms._asdict())),
        (t("offer.limits"), " ".join(w.of(each._asdict()) for each in declared.limits)),
        (t("offer.guesses"), " ".join(w.of(each._asdict()) for each in declared.guesses)),
        (t("source.how-long"), t("calculation.how-long")),
    ]


def _answered(seen: Visit, own: OpenPod, stored: Calculation, content: Kept) -> Answered:
    t, w = seen.words, seen.wording
    rows = []
    for line in content.lines:
        told = "" if line.low is None or line.high is None else w.interval(line.low, line.high)
        rows.append(
            Row(
                t(f"group.{line.estimateOf.spendClass}"),
                line.estimateOf.category,
                w.number(line.estimateOf.amount),
                (w.mass(line.best), told),
                _ours(seen, line.estimateOf.spendClass, line.estimateOf.amount, content.month),
            )
        )
    return Answered(
        stored.calculation_id,
        content.attributedTo.name,
        content.attributedTo.version,
        _month(seen, content.month),
        w.when(stored.created),
        f"{own.pod.root(seen.host.base_url)}calculations/{stored.calculation_id}",
        rows,
    )


def _ours(seen: Visit, group: str, amount: float, month: str) -> tuple[str, str]:
    """The twin's own figure for the same sum, by the factor that it counts payments with."""
    at = datetime(int(month[:4]), int(month[5:]), 15, tzinfo=UTC)
    try:
        factor = load_factors().find("payment", group, at)
    except NoFactor:
        return "", ""
    return seen.wording.mass(amount * factor.mean), seen.wording.interval(amount * factor.low, amount * factor.high)


def _month(seen: Visit, month: str, *, inside: bool = False) -> str:
    """A month and its year; inside a sentence Norwegian writes it small."""
    words = seen.wording.month(int(month[:4]), int(month[5:]))
    return words.lower() if inside and seen.language != "en" else words


def _notice(host: Host, seen: Visit, service: Source) -> tuple[str, str]:
    """The text that the citizen was shown, as it is kept."""
    text = "\n".join([service.name, *(f"{name}: {words}" for name, words in _facts(seen, service))])
    version = f"{NOTICE} {seen.language}"
    return version, keep_notice(host, version, text)

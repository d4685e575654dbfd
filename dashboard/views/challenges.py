"""Team challenges: what is offered, where one takes part and what would be told there; joining, telling and leaving. No script."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from flask import redirect, request

from dashboard import frame
from dashboard.visits import answered_form, citizens_visit
from dashboard.wording import TRONDHEIM
from partner_bridge import calculating
from partner_bridge import challenges as bridge
from partner_bridge.connectors.team_challenges import MEASURES
from partner_bridge.errors import (
    NotAsShown,
    NothingToCalculate,
    SourceBusy,
    SourceInvalid,
    SourceUnreachable,
    UnusablePayload,
)
from pod_server.authorization.errors import GrantRefused
from pod_server.consent_receipts import keep_notice
from pod_server.lookups import LookupsBusy
from vocab.purposes import load_purposes
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from datetime import date

    from flask import Response
    from werkzeug.wrappers import Response as AnyResponse

    from dashboard.frame import Visit
    from partner_bridge.challenges import Participation
    from partner_bridge.connectors.team_challenges import Challenge
    from partner_bridge.sources import Source
    from pod_server.host import Host

PATH = "/-/challenges"
NOTICE = "challenge-1"
_DONE = frozenset({"joined", "told", "left"})
_NOT_TAKEN = (SourceUnreachable, UnusablePayload, LookupsBusy)


@dataclass(frozen=True)
class Offered:
    """A challenge that can be joined."""

    service: Source
    challenge: Challenge
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Mine:
    """A challenge that one takes part in, or left without the service having heard."""

    part: Participation
    facts: list[tuple[str, str]]


def page(host: Host, *, problem: str = "", status: int = 200) -> Response:
    """What is offered and where one takes part.

    Raises:
        NotSignedIn: there is no session, or it has ended.
    """
    seen, _, own = citizens_visit(host)
    t = seen.words
    mine = bridge.taking_part(host, own)
    joined = {(each.joined.service, each.joined.challenge) for each in mine}
    offered: list[Offered] = []
    silent: list[str] = []
    for service in calculating.services(host):
        try:
            found = bridge.offered(host, service)
        except (SourceBusy, *_NOT_TAKEN):
            silent.append(t("challenge.silent", service=service.name))
            continue
        offered += [
            Offered(service, each, _facts(seen, each)) for each in found if (service.slug, each.id) not in joined
        ]
    done = request.args.get("done", "")
    answer = frame.page(
        "challenges.html.jinja",
        seen,
        offered=offered,
        mine=[Mine(each, _told(seen, each)) for each in mine],
        silent=silent,
        done=t(f"challenge.done-{done}") if done in _DONE else "",
        problem=problem,
        request_path=PATH,
    )
    answer.status_code = status
    return answer


def join(host: Host, slug: str, challenge: str) -> AnyResponse:
    """Consent to one challenge, and tell its service a name made for it.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
        SourceInvalid: no such service or challenge.
    """
    seen, _, own = answered_form(host)
    service = calculating.find_service(host, slug)
    try:
        about = next((each for each in bridge.offered(host, service) if each.id == challenge), None)
        if about is None:
            raise SourceInvalid("there is no such challenge now")
        bridge.join(host, own, service, challenge, notice=_notice(host, seen, service, about))
    except SourceBusy as error:
        return _busy(host, seen, error)
    except _NOT_TAKEN:
        return page(host, problem=seen.words("challenge.problem-unreachable"), status=502)
    return redirect(f"{PATH}?done=joined", code=303)


def tell(host: Host, grant: str) -> AnyResponse:
    """Tell how far one is, exactly as shown.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    seen, _, own = answered_form(host)
    t, shown = seen.words, request.form.get("percent", "")
    try:
        bridge.tell(host, own, grant, int(shown) if shown.isascii() and shown.isdigit() and len(shown) < 4 else -1)
    except GrantRefused:
        return page(host, problem=t("challenge.problem-refused"), status=403)
    except NotAsShown:
        return page(host, problem=t("challenge.problem-changed"), status=409)
    except NothingToCalculate:
        return page(host, problem=t("challenge.problem-none"), status=404)
    except SourceBusy as error:
        return _busy(host, seen, error)
    except _NOT_TAKEN:
        return page(host, problem=t("challenge.problem-unreachable"), status=502)
    return redirect(f"{PATH}?done=told", code=303)


def leave(host: Host, grant: str) -> AnyResponse:
    """Take part no more; whatever the service answers, nothing more is told.

    Raises:
        NotSignedIn, CsrfMismatch: as they say.
    """
    seen, _, own = answered_form(host)
    try:
        bridge.leave(host, own, grant)
    except NothingToCalculate:
        return page(host, problem=seen.words("challenge.problem-none"), status=404)
    except (SourceBusy, *_NOT_TAKEN):
        return page(host, problem=seen.words("challenge.problem-left"), status=502)
    return redirect(f"{PATH}?done=left", code=303)


def _busy(host: Host, seen: Visit, error: SourceBusy) -> Response:
    minutes = max(1, round(error.wait.total_seconds() / 60))
    return page(host, problem=seen.words("challenge.problem-busy", minutes=seen.wording.number(minutes)), status=503)


def _facts(seen: Visit, each: Challenge) -> list[tuple[str, str]]:
    t, w = seen.words, seen.wording
    figure, purpose = load_shared_figures()[MEASURES[each.measure]], load_purposes()[bridge.PURPOSE]
    facts = [
        (t("challenge.goal"), t(f"challenge.goal-{each.measure}", goal=w.number(each.goal))),
        (t("challenge.days"), _days(seen, each.starts, each.ends)),
        (t("fact.purpose"), w.of(purpose.descriptions)),
        (t("challenge.read"), w.of(figure.descriptions)),
        (t("challenge.leaves"), t("challenge.leaves-words")),
    ]
    if each.participation is not None:
        facts.insert(2, (t("challenge.team"), t("challenge.team-words", percent=w.number(each.participation))))
    return facts


def _told(seen: Visit, each: Participation) -> list[tuple[str, str]]:
    t, w, joined = seen.words, seen.wording, each.joined
    return [
        (t("challenge.goal"), t(f"challenge.goal-{joined.measure}", goal=w.number(joined.goal))),
        (t("challenge.days"), _days(seen, joined.starts, joined.ends)),
        (t("challenge.name"), joined.participant),
        (t("challenge.last"), w.when(datetime.fromisoformat(joined.told)) if joined.told else t("challenge.untold")),
        (t("challenge.now"), t("challenge.now-words", percent=w.number(each.percent))),
    ]


def _days(seen: Visit, first: date, last: date) -> str:
    ends = [seen.wording.date(datetime(day.year, day.month, day.day, 12, tzinfo=TRONDHEIM)) for day in (first, last)]
    return f"{ends[0]} – {ends[1]}"


def _notice(host: Host, seen: Visit, service: Source, challenge: Challenge) -> tuple[str, str]:
    """The text that the citizen was shown, as it is kept."""
    facts = (f"{name}: {words}" for name, words in _facts(seen, challenge))
    version = f"{NOTICE} {seen.language}"
    return version, keep_notice(host, version, "\n".join([service.name, challenge.title, *facts]))

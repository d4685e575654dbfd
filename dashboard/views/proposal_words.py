"""A proposal of the twin in words: what it found, exactly what would be sent, what is not sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from dashboard.figures import moment_of
from pod_server import offers, outbox, proposals
from twin_agent.propose import read_body, unit_of
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from dashboard.frame import Visit
    from pod_server.host import Host
    from pod_server.opening import OpenPod
    from pod_server.proposals import Proposal
    from pod_server.storage.ports import Transaction
    from vocab.programmes import Programme


@dataclass(frozen=True)
class ProposalWords:
    """One proposal as the pages show it."""

    id: str
    state: str
    plan_hash: str
    category: str
    headline: str
    summary: str
    words: str
    forgotten: str
    before: float | None
    after: float | None
    limit: float | None
    unit: str
    reasons: list[str]
    letter: list[tuple[str, str]]
    created: datetime
    expires: datetime | None
    delivery: str
    programme: str
    period: str
    look: str

    @property
    def bar_scale(self) -> float:
        """What the bars are drawn against."""
        return max(self.before or 0.0, self.after or 0.0, self.limit or 0.0) or 1.0


def period_words(visit: Visit, period: str) -> str:
    """`2025-11-01/2026-10-31` as people say it: `nov. 2025 til okt. 2026`; other text as it stands."""
    try:
        first, last = (date.fromisoformat(end) for end in period.split("/"))
    except ValueError:
        return period
    w = visit.wording
    return visit.words(
        "letter.period-months",
        start=w.month_short(first.month),
        first=first.year,
        end=w.month_short(last.month),
        last=last.year,
    )


def words_of(
    visit: Visit, proposal: Proposal, deliveries: dict[str, str], programmes: Mapping[tuple[str, int], Programme]
) -> ProposalWords:
    """A stored proposal in the reader's words."""
    t, w = visit.words, visit.wording
    body = read_body(proposal)
    facts: dict[str, Any] = body.get("facts", {})
    letter: dict[str, Any] = body.get("letter", {})
    slug = str(body.get("programme", ""))
    programme = programmes.get((slug, int(letter.get("rule_version", 0))))
    title = w.of(programme.titles) if programme else slug
    change = float(facts.get("change", 0.0)) * 100
    rule = rule_words(visit, programme) if programme else title
    forgotten = "" if facts else t("proposal.forgotten")
    words = forgotten or t("proposal.fits", rule=rule, reward=w.of(programme.rewards) if programme else title)
    coverage = facts.get("coverage_days") or []
    reasons = [t("proposal.reason-rule", programme=title, version=str(letter.get("rule_version", "")))]
    if "before" in facts:
        told = {name: w.number(float(facts[name])) for name in ("before", "after", "limit")}
        bounded = facts.get("threshold") is None
        said = "proposal.reason-bound" if bounded else "proposal.reason-sum"
        reasons.append(t(said, **told, percent=w.number(change, 1), unit=str(facts.get("unit", "kg"))))
    if coverage:
        reasons.append(t("proposal.reason-coverage", days=w.listing([w.number(float(each)) for each in coverage])))
    answer = letter.get("answer")
    letter_lines = [
        (t("letter.to"), str(letter.get("to", ""))),
        (t("letter.programme"), t("letter.programme-version", name=title, version=str(letter.get("rule_version", "")))),
        (t("letter.period"), period_words(visit, str(letter.get("period", "")))),
        (
            rule,
            t("letter.yes") if answer in {True, "yes"} else str(answer),
        ),
    ]
    expires = body.get("expires")
    return ProposalWords(
        id=proposal.proposal_id,
        state=proposal.state,
        plan_hash=str(body.get("plan_hash", "")),
        category=load_kinds().by_slug[programme.kind_slug].category if programme else "",
        headline=title,
        summary=title,
        words=words,
        forgotten=forgotten,
        before=_number(facts, "before"),
        after=_number(facts, "after"),
        limit=_number(facts, "limit"),
        unit=str(facts.get("unit", "kg")),
        reasons=reasons,
        letter=letter_lines,
        created=moment_of(body["created"]) if body.get("created") else proposal.created,
        expires=moment_of(expires) if expires else None,
        delivery=deliveries.get(proposal.proposal_id, ""),
        programme=slug,
        period=str(letter.get("period", "")),
        look={"approved": "good", "sent": "good", "declined": "plain"}.get(proposal.state, "plain"),
    )


def _became(visit: Visit, message: outbox.OutboxMessage, reply: Mapping[str, str]) -> str:
    """What became of a claim: on its way, received without an answer yet, or what was answered."""
    t = visit.words
    if not reply or message.replied is None:
        waits = f" · {t('claim.none-yet')}" if message.state == "delivered" else ""
        return f"{t(f'delivery.{message.state}')}{waits}"
    words = str(t(f"claim.{reply['answer']}", date=visit.wording.date(message.replied)))
    if because := reply.get("because"):
        words += f": {t(f'claim.because-{because}')}"
    if reference := reply.get("reference"):
        words += f" {t('claim.reference', reference=reference)}"
    return words


def rule_words(visit: Visit, programme: Programme) -> str:
    """A programme's rule in the house's own words: what is measured, over how long, and the bound."""
    t, w = visit.words, visit.wording
    kind = load_kinds().by_slug[programme.kind_slug]
    bound = (
        t(
            "programme.at-most",
            limit=w.number(programme.at_most, 0 if programme.at_most >= 10 else 1),
            unit=unit_of(programme),
        )
        if programme.at_most is not None
        else t("programme.less", percent=w.number(programme.less_percent or 0, 0))
    )
    return str(
        t(
            f"programme.rule-{programme.measure}",
            kind=kind.labels[visit.language].title,
            bound=bound,
            months=programme.months,
        )
    )


def _programmes(tx: Transaction, stored: Sequence[Proposal]) -> dict[tuple[str, int], Programme]:
    """The versions that proposals speak of, ended or not."""
    named = {
        (str(body.get("programme", "")), int(body.get("letter", {}).get("rule_version", 0)))
        for body in map(read_body, stored)
    }
    return {each: found.programme for each in named if (found := offers.of_version(tx, *each)) is not None}


def _number(facts: dict[str, Any], name: str) -> float | None:
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) else None


def all_proposals(host: Host, visit: Visit, own: OpenPod) -> list[ProposalWords]:
    """Every proposal, newest first, with what became of the letter it led to."""
    with host.storage.read() as tx:
        stored = proposals.list_proposals(tx, own)
        claims = {each.message_id: each for each in outbox.messages(tx, pod_id=own.pod_id) if each.kind == "claim"}
        replies = {
            each.message_id: outbox.read_reply(host.host_key, tx, each) for each in claims.values() if each.replied
        }
        programmes = _programmes(tx, stored)
    latest = next(iter(claims.values()), None)
    deliveries: dict[str, str] = {}
    for each in stored:
        # Which message it led to is written with it; in older ones it is not.
        message = claims.get(str(read_body(each).get("message", ""))) or latest
        if each.state in {"approved", "sent"} and message is not None:
            deliveries[each.proposal_id] = _became(visit, message, replies.get(message.message_id, {}))
    words = [words_of(visit, each, deliveries, programmes) for each in stored]
    return sorted(words, key=lambda each: each.created, reverse=True)


def waiting_proposals(host: Host, visit: Visit, own: OpenPod) -> list[ProposalWords]:
    """Those that wait for an answer."""
    return [each for each in all_proposals(host, visit, own) if each.state == "waiting"]

"""A partner's question: who asks, what for, how fine, how long; three answers that weigh the same.

Nothing is preselected, and the partner's wishes are labelled as wishes (GDPR Art. 4(11), 7(2), recital 32; EDPB
05/2020). It works as a plain form, without script.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import redirect, request

from consent.comparison import Difference, changes
from consent.delegation import Act, why_not
from consent.errors import TermsInvalid
from consent.grant import USUAL_READS_PER_DAY, shortest_interval
from dashboard import frame
from dashboard.standpoint import standpoint
from dashboard.views.shown_to_readers import preview
from dashboard.visits import own_pod
from pod_server import delegation, grants, partner_notices, recovery_drill
from pod_server.authorization.errors import NoSuchGrant
from pod_server.authorization_server.apps import redirect_origin
from pod_server.authorization_server.asking_browser import keep_word, open_question, require_same_browser
from pod_server.authorization_server.interactions import (
    Answer,
    Interaction,
    answer_interaction,
    load_interaction,
    turn_away,
    turn_away_from_anothers,
)
from pod_server.grants import REPROMPT_AFTER
from vocab.kinds import load_kinds
from vocab.purposes import load_purposes
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

    from werkzeug.wrappers import Response as AnyResponse

    from consent.comparison import Change
    from consent.grant import Grant, GrantTerms
    from dashboard.frame import Visit
    from dashboard.standpoint import Standpoint
    from pod_server.host import Host
    from pod_server.identifiers import PodId
    from pod_server.opening import OpenPod
    from pod_server.partner_notices import Notice
    from pod_server.partners import Partner

NOTICE_VERSION = "1"
"""Raised whenever the words of this page change in meaning; the grant keeps it with the hash of all that was shown."""

READ_NOTICE_VERSION = "read-1"
"""The same for the words of a question to read, which are others."""

_SHORTER_MONTHS = (1, 3, 6)
_MONTH_DAYS = 30.44


@dataclass(frozen=True)
class Option:
    """One thing to tick or choose."""

    value: str
    title: str
    words: str
    is_wish: bool = False
    now: tuple[str, ...] = ()
    """What the reader would see of it at this moment; for the citizen's eyes alone."""


@dataclass(frozen=True)
class Ask:
    """Everything on the page."""

    action: str
    partner: str
    headline: str
    purpose_title: str
    purpose_words: str
    appends: bool
    kinds: list[Option]
    granularities: list[Option]
    durations: list[Option]
    know: list[tuple[str, str, str]]
    narrow_words: str
    notice_version: str
    reads: bool = False
    figures: list[Option] = field(default_factory=list)
    documents: list[Option] = field(default_factory=list)
    changes: tuple[tuple[str, bool], ...] = ()
    replaces: str = ""
    partner_says: str = ""
    """What the partner tells of the purpose, in its own words, which the municipality has read; empty where it tells none."""


def granularities_of(kind: str, asked: str) -> list[str]:
    """What a citizen may choose for one kind: what was asked, or anything coarser that the kind offers."""
    offered = load_kinds().by_slug[kind].granularities
    finest = shortest_interval(asked)
    coarser = [each for each in offered if shortest_interval(each) > finest]
    return [asked, *coarser]


def granularity_chosen(terms: GrantTerms, kinds: AbstractSet[str], chosen: str | None) -> Mapping[str, str]:
    """For each kind the finest of its choices that is no finer than `chosen`; None chooses the coarsest."""
    result: dict[str, str] = {}
    for kind in sorted(kinds):
        choices = granularities_of(kind, terms.granularity_of(kind))
        if chosen is None:
            result[kind] = choices[-1]
        else:
            least = shortest_interval(chosen)
            result[kind] = next((each for each in choices if shortest_interval(each) >= least), choices[-1])
    return result


def months_between(now: datetime, end: datetime) -> int:
    """About how many months lie between two times; at least one."""
    return max(1, round((end - now).total_seconds() / 86_400 / _MONTH_DAYS))


def after_months(now: datetime, months: int) -> datetime:
    """The same day so many months later, or the month's last."""
    index = now.year * 12 + now.month - 1 + months
    year, month = index // 12, index % 12 + 1
    for day in range(now.day, 27, -1):
        try:
            return now.replace(year=year, month=month, day=day)
        except ValueError:
            continue
    return now.replace(year=year, month=month)


def durations_of(terms: GrantTerms, now: datetime) -> list[tuple[int, datetime, bool]]:
    """How long it may hold: (months, until, whether that is the partner's wish), the shortest first."""
    wished = months_between(now, terms.expires_at)
    shorter = [(each, after_months(now, each), False) for each in _SHORTER_MONTHS if each < wished]
    return [*shorter[-2:], (wished, terms.expires_at, True)]


def ask_of(visit: Visit, interaction: Interaction, who: Standpoint, standing: Grant | None) -> Ask:
    """A partner's question in the reader's language; with what would change, where it takes a consent's place."""
    address = f"/-/consent/{interaction.id}" + (f"?for={who.held.id}" if who.held else "")
    ask = ask_about(visit, interaction.client, interaction.terms, address)
    if standing is None:
        return ask
    t, w = visit.words, visit.wording
    return replace(
        ask,
        replaces=t("ask.replaces", date=w.date(standing.given_at), partner=ask.partner),
        changes=tuple(
            (change_in_words(visit, each), each.what.more) for each in changes(standing.terms, interaction.terms)
        ),
    )


def change_in_words(visit: Visit, change: Change) -> str:
    """One difference from the consent that stands, as a sentence."""
    t, w = visit.words, visit.wording

    def said(value: str | int | datetime | None) -> str:
        if value is None:
            return t("change.no-limit")
        if isinstance(value, datetime):
            return w.date(value)
        if isinstance(value, int):
            return w.number(value)
        if change.what in {Difference.FINER, Difference.COARSER}:
            return t(f"granularity.{value}").lower()
        return w.duration(value)

    about = change.about
    if about in load_kinds().by_slug:
        about = load_kinds().by_slug[about].labels[visit.language].title
    elif about in load_shared_figures():
        about = w.of(load_shared_figures()[about].titles)
    elif about:
        about = t(f"change.to-{about}")
    return t(f"change.{change.what}", about=about, before=said(change.before), after=said(change.after))


def ask_about(visit: Visit, client: Partner, terms: GrantTerms, action: str) -> Ask:
    """What a consent of these terms means, in the reader's language; `action` takes the answer."""
    t, w = visit.words, visit.wording
    partner = client.name
    kinds = load_kinds().by_slug
    purpose = load_purposes().get(terms.purpose)
    without = " " + t("ask.no-text") if terms.operations == {"read"} else ""
    options = [
        Option(kind, kinds[kind].labels[visit.language].title, kinds[kind].labels[visit.language].description + without)
        for kind in sorted(terms.kinds)
    ]
    wishes = {terms.granularity_of(kind) for kind in terms.kinds}
    finest = min(wishes, key=shortest_interval, default="")
    choices: dict[str, None] = {}
    for kind in sorted(terms.kinds):
        choices |= dict.fromkeys(granularities_of(kind, terms.granularity_of(kind)))
    granularities = [
        Option(each, t(f"granularity.{each}"), t(f"granularity-words.{each}"), is_wish=each == finest)
        for each in sorted(choices, key=shortest_interval, reverse=True)
    ]
    durations = [
        Option(
            f"P{months}M",
            t("ask.months-one" if months == 1 else "ask.months", count=months),
            t("ask.until-wish" if is_wish else "ask.until", date=w.date(until)),
            is_wish=is_wish,
        )
        for months, until, is_wish in durations_of(terms, visit.now)
    ]
    shortest = durations[0].title if durations else ""
    coarsest = granularities[0].title.lower() if granularities else ""
    contact = client.about.get("contact", "")
    again = w.date(visit.now + REPROMPT_AFTER)
    reads = "read" in terms.operations
    readable = [
        Option(slug, w.of(figure.titles), w.of(figure.descriptions))
        for slug, figure in load_shared_figures().items()
        if slug in terms.figures
    ]
    said = notice_of(visit.host, client, terms)
    version = READ_NOTICE_VERSION if terms.operations == {"read"} else NOTICE_VERSION
    whole = [Option(path, path, t("ask.document-words")) for path in sorted(terms.documents)]
    names = w.listing(
        [*(option.title[:1].lower() + option.title[1:] for option in [*readable, *options]), *sorted(terms.documents)]
    )
    return Ask(
        action=action,
        partner=partner,
        headline=t(
            "ask.headline-append" if "append" in terms.operations else "ask.headline-read", partner=partner, kinds=names
        ),
        purpose_title=w.of(purpose.titles) if purpose else terms.purpose,
        purpose_words=w.of(purpose.descriptions) if purpose else "",
        appends="append" in terms.operations,
        reads=reads,
        figures=readable,
        documents=whole,
        kinds=options,
        granularities=granularities,
        durations=durations,
        know=[
            *(
                [("eye", t("know.unchecked"), t("know.unchecked-words", place=urlsplit(client.document).netloc))]
                if client.document
                else []
            ),
            *([("lock", t("know.stored"), t("know.stored-words"))] if "append" in terms.operations else []),
            ("eye", t("know.seen"), t("know.seen-read" if reads else "know.seen-words", partner=partner)),
            *(
                [
                    ("refresh-cw", t("know.often"), _how_often(visit, partner, terms)),
                    (
                        "clock",
                        t("know.kept"),
                        t("know.kept-words", partner=partner, duration=w.duration(terms.retention)),
                    ),
                ]
                if reads
                else []
            ),
            (
                "history",
                t("know.history"),
                t(
                    "know.history-words" if "append" in terms.operations else "know.history-read",
                    date=w.date(terms.history_from),
                )
                + (" " + t("know.history-until", date=w.date(terms.valid_to)) if terms.valid_to else ""),
            ),
            ("x", t("know.no"), t("know.no-words", date=again)),
            (
                "undo-2",
                t("know.withdraw"),
                t("know.withdraw-words" if "append" in terms.operations else "know.withdraw-read", partner=partner),
            ),
            (
                "users",
                t("know.responsible"),
                t(
                    "know.responsible-words" if "append" in terms.operations else "know.responsible-read",
                    partner=partner,
                )
                + (t("know.responsible-contact", contact=contact) if contact else ""),
            ),
        ],
        narrow_words=t("ask.narrow", granularity=coarsest, duration=shortest)
        if coarsest
        else t("ask.narrow-short", duration=shortest),
        # The partner's own text is part of the notice: another version of it is another notice.
        notice_version=version if said is None else f"{version}.{said.version}",
        partner_says="" if said is None else w.of(dict(said.texts)),
    )


def notice_of(host: Host, client: Partner, terms: GrantTerms) -> Notice | None:
    """What a partner tells citizens of a purpose; None for one that tells nothing of its own."""
    with host.storage.read() as tx:
        return partner_notices.shown_for(tx, client, terms.purpose)


def _how_often(visit: Visit, partner: str, terms: GrantTerms) -> str:
    most = terms.reads_per_day or USUAL_READS_PER_DAY
    return visit.words("know.often-one" if most == 1 else "know.often-words", partner=partner, count=most)


def with_preview(host: Host, visit: Visit, own: OpenPod, terms: GrantTerms, ask: Ask) -> Ask:
    """The question with what its partner would see now beside each thing to choose; a question to deliver as it is."""
    if not ask.reads:
        return ask
    lines = preview(host, visit, own, terms)
    figures, kinds, documents = (
        [replace(option, now=tuple(lines.get(option.value, ()))) for option in options]
        for options in (ask.figures, ask.kinds, ask.documents)
    )
    return replace(ask, figures=figures, kinds=kinds, documents=documents)


def notice_text(visit: Visit, ask: Ask) -> str:
    """What the citizen is shown, word for word, in the order of the page: the text that the consent keeps the hash of."""
    t = visit.words
    return "\n".join(
        str(line)
        for line in (
            ask.partner, ask.headline, t("ask.you-decide"), t("ask.why"), ask.purpose_title, ask.purpose_words,
            *((t("ask.partner-says", partner=ask.partner), ask.partner_says) if ask.partner_says else ()),
            *((ask.replaces, *(words for words, _ in ask.changes)) if ask.replaces else ()),
            t("ask.what-append") if ask.appends else t("ask.what-read"), *_lines(visit, ask, ask.figures),
            *_lines(visit, ask, ask.kinds), *_lines(visit, ask, ask.documents),
            *((t("ask.how-fine"), *_lines(visit, ask, ask.granularities)) if len(ask.granularities) > 1 else ()),
            t("ask.how-long"), *_lines(visit, ask, ask.durations),
            t("ask.know"), *(line for _, question, answer in ask.know for line in (question, answer)),
            t("ask.notice", version=ask.notice_version),
            t("ask.answer"), t("ask.give"), ask.narrow_words, t("ask.refuse"), t("ask.receipt"),
        )
    )  # fmt: skip


def _lines(visit: Visit, ask: Ask, options: list[Option]) -> list[str]:
    wish = visit.words("ask.wishes", partner=ask.partner)
    return [line for each in options for line in (each.title, *([str(wish)] if each.is_wish else []), each.words)]


def _with_redirects(visit: Visit, interaction: Interaction) -> Visit:
    """Browsers hold a form's redirect against `form-action` too, so the partner's own address is let in here alone."""
    origins = {redirect_origin(each) for each in interaction.answers_to}
    return replace(visit, redirect_origins=tuple(sorted(origins)))


def consent_request(
    host: Host, interaction_id: str, *, problem: str = "", chosen: AbstractSet[str] = frozenset()
) -> AnyResponse:
    """The page; or straight back to the partner, where the citizen said no to it lately.

    Raises:
        NotSignedIn: sign in first; the question waits.
        InteractionGone: answered, run out, or never asked.
        QuestionElsewhere: another browser opened it first.
    """
    who = standpoint(host, request.args.get("for", ""))
    visit = who.visit
    interaction = load_interaction(host, interaction_id)
    word = open_question(host, request, interaction_id)
    standing, elsewhere = _standing(host, who, interaction)
    if elsewhere:
        return redirect(elsewhere, code=303)
    if address := turn_away(host, interaction_id, who.pod_id):
        # Refused lately: the partner has its answer, and the citizen is not asked again.
        return redirect(address, code=303)
    purpose = interaction.terms.purpose
    answer = frame.page(
        "consent-request.html.jinja",
        _with_redirects(visit, interaction),
        status=422 if problem else 200,
        ask=_previewed(host, who, interaction, ask_of(visit, interaction, who, standing)),
        problem=problem,
        chosen=chosen,
        drill_first=who.held is None and recovery_drill.is_needed_first(host, who.pod_id),
        too_young=host.age_rules.age_for(purpose)
        if who.held is None and delegation.is_too_young(host, who.pod_id, purpose)
        else 0,
        others=_others(host, who, interaction),
        request_path=f"/-/consent/{interaction_id}",
    )
    keep_word(host, answer, word)
    return answer


def _previewed(host: Host, who: Standpoint, interaction: Interaction, ask: Ask) -> Ask:
    """With what would be read, as it stands now; a representative is shown none of it, since a consent alone is theirs to give."""
    if who.held is not None:
        return ask
    return with_preview(host, who.visit, own_pod(host, who.session), interaction.terms, ask)


def _standing(host: Host, who: Standpoint, interaction: Interaction) -> tuple[Grant | None, str]:
    """The consent that the question would change, or where the browser goes where it is not this citizen's.

    Nothing of its terms has been shown by then, to anybody but the citizen whose it is or who answers for them.
    """
    if not interaction.instead_of:
        return None, ""

    def of(pod_id: PodId) -> Grant | None:
        try:
            return grants.find_grant(host, pod_id, interaction.instead_of)
        except NoSuchGrant:
            return None

    if (found := of(who.pod_id)) is not None:
        return found, ""
    for each in delegation.held_now(host, who.session.pod_id):
        if of(each.pod_id) is not None:
            return None, f"/-/consent/{interaction.id}?for={each.id}"
    return None, turn_away_from_anothers(host, interaction.id)


def _others(host: Host, who: Standpoint, interaction: Interaction) -> list[tuple[str, str, bool]]:
    """For whom else the reader may answer this: (address, handle or "" for oneself, whether that is so now)."""
    if interaction.instead_of:
        return []
    purpose = interaction.terms.purpose
    address = f"/-/consent/{interaction.id}"
    held = [
        each
        for each in delegation.held_now(host, who.session.pod_id)
        if not why_not(each.terms, Act.GIVE, purpose, who.visit.now, host.age_rules)
    ]
    if not held:
        return []
    with host.storage.read() as tx:
        named = [(each, delegation.handle_of(tx, each.pod_id)) for each in held]
    return [
        (address, "", who.held is None),
        *(
            (f"{address}?for={each.id}", handle, who.held is not None and who.held.id == each.id)
            for each, handle in named
            if handle
        ),
    ]


def answer_consent_request(host: Host, interaction_id: str) -> AnyResponse:
    """Take the citizen's answer down and send the browser back to the partner.

    Raises:
        NotSignedIn, CsrfMismatch, InteractionGone, QuestionElsewhere: as they say.
    """
    who = standpoint(host, request.args.get("for", ""), form=True)
    visit = who.visit
    require_same_browser(host, request, interaction_id)
    interaction = load_interaction(host, interaction_id)
    standing, elsewhere = _standing(host, who, interaction)
    if elsewhere:
        return redirect(elsewhere, code=303)
    t, terms = visit.words, interaction.terms
    answer = request.form.get("answer", "")
    chosen = frozenset(request.form.getlist("kind")) & terms.kinds
    figures = frozenset(request.form.getlist("figure")) & terms.figures
    documents = frozenset(request.form.getlist("document")) & terms.documents
    ticked = chosen | figures | documents
    ask = ask_of(visit, interaction, who, standing)
    if address := turn_away(host, interaction_id, who.pod_id):
        # The citizen has said no in another tab meanwhile; asking again so soon is pressing.
        return redirect(address, code=303)
    version, notice = f"{ask.notice_version} {visit.language}", notice_text(visit, ask)
    if answer == "refuse":
        given = Answer(refused=True, notice_version=version, notice=notice)
    elif answer in {"give", "narrow"}:
        if recovery_drill.is_needed_first(host, who.pod_id):
            return consent_request(host, interaction_id, problem=t("drill.first"), chosen=ticked)
        if not ticked:
            return consent_request(host, interaction_id, problem=t("ask.nothing-chosen"))
        durations = {f"P{months}M": until for months, until, _ in durations_of(terms, visit.now)}
        if answer == "narrow":
            fineness, until = None, next(iter(durations.values()))
        else:
            fineness = request.form.get("granularity", "")
            found = durations.get(request.form.get("duration", ""))
            if found is None:
                return consent_request(host, interaction_id, problem=t("ask.no-duration"), chosen=ticked)
            if chosen and fineness not in {option.value for option in ask.granularities}:
                return consent_request(host, interaction_id, problem=t("ask.no-granularity"), chosen=ticked)
            until = found
        given = Answer(
            refused=False,
            kinds=chosen,
            figures=figures,
            documents=documents,
            granularity=granularity_chosen(terms, chosen, fineness) if chosen else None,
            expires_at=until,
            notice_version=version,
            notice=notice,
        )
    else:
        return consent_request(host, interaction_id, problem=t("ask.no-answer"), chosen=ticked)
    try:
        address = answer_interaction(host, interaction_id, who.pod_id, given, who.actor, vault=who.vault)
    except TermsInvalid as invalid:
        return consent_request(host, interaction_id, problem=str(invalid), chosen=ticked)
    who.note(Act.REFUSE if given.refused else Act.GIVE, terms.purpose, interaction.instead_of)
    return redirect(address, code=303)

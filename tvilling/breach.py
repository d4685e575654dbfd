"""`tvilling breach`: whom a partner's breach concerns, and the words to tell them (GDPR Art. 33 and 34).

The counts of deliveries and readings per grant and day (`consent_use`) say about whom a partner sent or read anything in a period,
without any key: locked pods are found like open ones. What the partner kept of it, only the partner knows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from pod_server.authorization.grant_rows import grant_in_pod
from pod_server.clock import microseconds
from pod_server.identifiers import Actor, ClientId, PodId
from pod_server.log import ledger
from pod_server.log.event import LogEvent
from pod_server.partners import Partner, find_partner, list_partners
from tvilling.errors import SettingsError
from vocab.kinds import load_kinds
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from datetime import datetime

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

Language = Literal["nb", "nn", "en"]
LANGUAGES: tuple[Language, ...] = ("nb", "nn", "en")
NOTIFY_WITHIN = timedelta(hours=72)
"""GDPR Art. 33(1), from when the breach became known."""

_DAY_MICROSECONDS = 86_400_000_000
_LOGS_A_TRANSACTION = 50


@dataclass
class Affected:
    """One citizen about whom the partner sent something in the period.

    Attributes:
        handle: Whose pod.
        pod_id: Its number.
        grants: The consents under which it came.
        kinds: The kinds of activity that those consents cover.
        figures: The figures of the twin that those consents let the partner read.
        records: How many records were delivered or tried, and how often was read, in the period.
        locked: Whether the citizen locked the pod. Who, under which consent, which kinds and how many is known of locked pods
            too; what the records said is known of none of them here, and of a locked one to nobody but its citizen.
    """

    handle: str
    pod_id: PodId
    grants: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    figures: set[str] = field(default_factory=set)
    records: int = 0
    locked: bool = False


@dataclass(frozen=True)
class Breach:
    """Whom it concerns.

    Attributes:
        partner: The partner.
        first, last: The days of the period (UTC), both included.
        affected: Citizens by handle; simulated neighbours are left out.
        simulated: How many simulated neighbours were left out.
    """

    partner: Partner
    first: datetime
    last: datetime
    affected: list[Affected]
    simulated: int

    @property
    def kinds(self) -> list[str]:
        """Every kind concerned."""
        return sorted({kind for one in self.affected for kind in one.kinds})

    @property
    def figures(self) -> list[str]:
        """Every figure concerned."""
        return sorted({figure for one in self.affected for figure in one.figures})

    @property
    def categories(self) -> list[str]:
        """Every category concerned, as pages group kinds; a sum of all is of none."""
        of_kinds = {load_kinds().by_slug[kind].category for kind in self.kinds}
        of_figures = {load_shared_figures()[figure].category for figure in self.figures}
        return sorted((of_kinds | of_figures) - {""})

    @property
    def records(self) -> int:
        """How many records, of all citizens together."""
        return sum(one.records for one in self.affected)

    @property
    def locked(self) -> int:
        """How many of the affected have locked their pods."""
        return sum(one.locked for one in self.affected)

    def words(self, language: Language) -> list[tuple[str, str]]:
        """What is concerned, as (title, description)."""
        kinds, figures = load_kinds().by_slug, load_shared_figures()
        labels = [kinds[kind].labels[language] for kind in self.kinds]
        return [
            *((label.title, label.description) for label in labels),
            *((figures[each].titles[language], figures[each].descriptions[language]) for each in self.figures),
        ]


def find_breach(host: Host, partner: str, first: datetime, last: datetime) -> Breach:
    """Whom a partner's breach concerns.

    Args:
        host: The host.
        partner: A client identifier, or a name that one partner alone has; removed partners too.
        first: The first day; the time of day does not count.
        last: The last day.

    Raises:
        SettingsError: no such partner, or the period ends before it begins.
    """
    if last < first:
        raise SettingsError("the period ends before it begins: --from is the first day, --to the last")
    found = _partner(host, partner)
    days = tuple(microseconds(day) // _DAY_MICROSECONDS for day in (first, last))
    citizens: dict[PodId, Affected] = {}
    simulated: set[PodId] = set()
    with host.storage.read() as tx:
        rows = tx.all(
            "SELECT consent.pod_id, pod.handle, pod.simulated, pod.state, consent.grant_id, consent.kinds, "
            "SUM(consent_use.accepted + consent_use.duplicates + consent_use.refused + consent_use.reads) "
            "FROM consent "
            "JOIN consent_use ON consent_use.pod_id = consent.pod_id AND consent_use.grant_id = consent.grant_id "
            "JOIN pod ON pod.pod_id = consent.pod_id "
            "WHERE consent.client_id = ? AND consent_use.day BETWEEN ? AND ? "
            "GROUP BY consent.pod_id, pod.handle, pod.simulated, pod.state, consent.grant_id, consent.kinds "
            "ORDER BY pod.handle, consent.grant_id",
            (found.client_id, *days),
        )
        readable = {row[4]: _figures_of(host, tx, PodId(row[0]), row[4]) for row in rows if row[6]}
    for pod_id, handle, is_simulated, state, grant_id, kinds, records in rows:
        if not records:
            continue
        if is_simulated:
            simulated.add(PodId(pod_id))
            continue
        one = citizens.setdefault(PodId(pod_id), Affected(handle, PodId(pod_id), locked=state == "locked"))
        one.grants.append(grant_id)
        one.kinds |= set(json.loads(kinds))
        one.figures |= readable[grant_id]
        one.records += int(records)
    return Breach(found, first, last, list(citizens.values()), len(simulated))


def _figures_of(host: Host, tx: Transaction, pod_id: PodId, grant_id: str) -> frozenset[str]:
    """What of the twin's figures a consent let its partner read; the host's own copy of the terms says it."""
    grant = grant_in_pod(tx, host.host_key, pod_id, grant_id)
    return grant.terms.figures if grant else frozenset()


def record_breach(host: Host, breach: Breach) -> None:
    """Write into each affected citizen's log that a breach at the partner concerns them."""
    affected = breach.affected
    detail: dict[str, str | int] = {
        "partner": breach.partner.name[:200],
        "from": breach.first.date().isoformat(),
        "to": breach.last.date().isoformat(),
    }
    for start in range(0, len(affected), _LOGS_A_TRANSACTION):
        with host.storage.write() as tx:
            for one in affected[start : start + _LOGS_A_TRANSACTION]:
                event = LogEvent(
                    at=host.clock.now(),
                    actor=Actor("operator"),
                    action="breach-notice",
                    grant=one.grants[0],
                    count=one.records,
                    detail=detail,
                )
                ledger.append(tx, one.pod_id, event)
        host.signal.notify([one.pod_id for one in affected[start : start + _LOGS_A_TRANSACTION]])


def notice(breach: Breach, base_url: str, language: Language) -> str:
    """The notice to the citizens (Art. 34(2)): what happened, to which data, what it may lead to, what they can do.

    Args:
        breach: Whom it concerns.
        base_url: Of the host, for the address of the consent centre.
        language: `nb`, `nn` or `en`.
    """
    what = "\n".join(f"- {title}: {description}" for title, description in breach.words(language))
    contact = breach.partner.about.get("contact", "")
    first, last = (f"{day.day}.{day.month}.{day.year}" for day in (breach.first, breach.last))
    if language == "nb":
        whom = f"{breach.partner.name} ({contact})" if contact else breach.partner.name
        return (
            f"Brudd på personopplysningssikkerheten hos {breach.partner.name}\n\n"
            f"{breach.partner.name} har hatt et brudd på sikkerheten som gjelder opplysninger om deg. Det gjelder det de "
            f"sendte til poden din eller leste i den fra og med {first} til og med {last}:\n{what}\n\n"
            "Opplysningene kan ha kommet på avveier hos dem. Poden din er ikke åpnet: nøklene til den har de aldri hatt.\n\n"
            "Hva du kan gjøre:\n"
            f"- Trekk samtykket tilbake, eller slett alt som kom under det: {base_url}/-/my-data\n"
            f"- Spør {whom} hva de har om deg, og be dem slette det.\n"
            "- Klag til Datatilsynet (datatilsynet.no) om du mener at reglene er brutt.\n"
        )
    whom = f"{breach.partner.name} ({contact})" if contact else breach.partner.name
    if language == "nn":
        return (
            f"Brot på personopplysningstryggleiken hos {breach.partner.name}\n\n"
            f"{breach.partner.name} har hatt eit brot på tryggleiken som gjeld opplysningar om deg. Det gjeld det dei sende til "
            f"poden din, eller las i han, frå og med {first} til og med {last}:\n{what}\n\n"
            "Opplysningane kan ha kome på avvegar hos dei. Poden din er ikkje opna: nøklane til han har dei aldri hatt.\n\n"
            "Kva du kan gjere:\n"
            f"- Trekk samtykket tilbake, eller slett alt som kom under det: {base_url}/-/my-data\n"
            f"- Spør {whom} kva dei har om deg, og be dei slette det.\n"
            "- Klag til Datatilsynet (datatilsynet.no) om du meiner at reglane er brotne.\n"
        )
    return (
        f"A personal data breach at {breach.partner.name}\n\n"
        f"{breach.partner.name} has had a breach of security that concerns data about you. It concerns what they sent to "
        f"your pod or read in it from {breach.first.date().isoformat()} to {breach.last.date().isoformat()}, both days included:\n{what}\n\n"
        "The data may have come into others' hands at their place. Your pod was not opened: they never had its keys.\n\n"
        "What you can do:\n"
        f"- Withdraw the consent, or erase everything that came under it: {base_url}/-/my-data\n"
        f"- Ask {whom} what they hold about you, and have them delete it.\n"
        "- Complain to the Norwegian Data Protection Authority (datatilsynet.no) if you think that rules were broken.\n"
    )


def authority_notice(breach: Breach, base_url: str, *, known_at: datetime) -> dict[str, Any]:
    """The notification to Datatilsynet, field by field of Art. 33(3), with what this host knows and blanks for the rest.

    Args:
        breach: Whom it concerns.
        base_url: Of the host.
        known_at: When the command ran: the latest time at which the breach can have become known here.

    Returns:
        The members of Art. 33(3)(a) to (d), the deadline of Art. 33(1), and what nobody but the partner or the controller
        can fill in, each as a text that says so.
    """
    missing = "To be filled in by whoever notifies: this host cannot know it."
    name, contact = breach.partner.name, breach.partner.about.get("contact", "")
    return {
        "to": "Datatilsynet (melding om avvik, https://www.datatilsynet.no/)",
        "article": "GDPR Art. 33(3)",
        "known_here_at": known_at.isoformat(),
        "notify_before": (known_at + NOTIFY_WITHIN).isoformat(),
        "reasons_for_delay": "Needed where the notification comes later than 72 hours after the breach was known (Art. 33(1)).",
        "nature": {
            "description": missing,
            "where": f"at {name}, who delivers to pods of {base_url} or reads in them; no key of a pod was ever there",
            "from": breach.first.date().isoformat(),
            "to": breach.last.date().isoformat(),
            "categories_of_data_subjects": ["citizens with a pod who gave this partner a consent"],
            "approximate_number_of_data_subjects": len(breach.affected),
            "categories_of_records": [title for title, _ in breach.words("en")],
            "approximate_number_of_records": breach.records,
            "of_locked_pods": (
                f"{breach.locked} of the citizens have locked their pods: consents, kinds and counts are known of them too, "
                "the contents to nobody here."
            ),
        },
        "contact_point": {"controller": name, "contact": contact or missing, "host": base_url},
        "likely_consequences": missing,
        "measures_taken": [
            "The citizens' notice (Art. 34(2)) is ready in three languages.",
            f"The partner can be stopped at once: tvilling partner suspend {breach.partner.client_id}.",
            "Each citizen may withdraw, or have everything that came under the consent erased, with one press.",
        ],
        "measures_proposed": missing,
    }


def _partner(host: Host, text: str) -> Partner:
    with host.storage.read() as tx:
        known = find_partner(tx, ClientId(text))
    if known is not None:
        return known
    named = [one for one in list_partners(host) if one.name.casefold() == text.casefold()]
    if len(named) != 1:
        raise SettingsError(f"no partner, or more than one, is called {text!r}; `tvilling partner list` shows them")
    return named[0]

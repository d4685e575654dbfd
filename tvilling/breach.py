"""`tvilling breach`: whom a partner's breach concerns, and the words to tell them (GDPR Art. 33 and 34).

The counts of deliveries and readings per grant and day (`consent_use`) say about whom a partner sent or read anything in a period,
without any key: locked pods are found like open ones. What the partner kept of it, only the partner knows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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

LANGUAGES = ("nb", "en")
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
    """

    handle: str
    pod_id: PodId
    grants: list[str] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    figures: set[str] = field(default_factory=set)
    records: int = 0


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
            "SELECT consent.pod_id, pod.handle, pod.simulated, consent.grant_id, consent.kinds, "
            "SUM(consent_use.accepted + consent_use.duplicates + consent_use.refused + consent_use.reads) "
            "FROM consent "
            "JOIN consent_use ON consent_use.pod_id = consent.pod_id AND consent_use.grant_id = consent.grant_id "
            "JOIN pod ON pod.pod_id = consent.pod_id "
            "WHERE consent.client_id = ? AND consent_use.day BETWEEN ? AND ? "
            "GROUP BY consent.pod_id, pod.handle, pod.simulated, consent.grant_id, consent.kinds "
            "ORDER BY pod.handle, consent.grant_id",
            (found.client_id, *days),
        )
        readable = {row[3]: _figures_of(host, tx, PodId(row[0]), row[3]) for row in rows if row[5]}
    for pod_id, handle, is_simulated, grant_id, kinds, records in rows:
        if not records:
            continue
        if is_simulated:
            simulated.add(PodId(pod_id))
            continue
        one = citizens.setdefault(PodId(pod_id), Affected(handle, PodId(pod_id)))
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


def notice(breach: Breach, base_url: str, language: str) -> str:
    """The notice to the citizens (Art. 34(2)): what happened, to which data, what it may lead to, what they can do.

    Args:
        breach: Whom it concerns.
        base_url: Of the host, for the address of the consent centre.
        language: `nb` or `en`.
    """
    kinds = load_kinds()
    shown = load_shared_figures()
    lines = [
        f"- {label.title}: {label.description}"
        for label in (kinds.by_slug[kind].labels[language] for kind in breach.kinds)
    ]
    lines += [f"- {shown[each].titles[language]}: {shown[each].descriptions[language]}" for each in breach.figures]
    what = "\n".join(lines)
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


def _partner(host: Host, text: str) -> Partner:
    with host.storage.read() as tx:
        known = find_partner(tx, ClientId(text))
    if known is not None:
        return known
    named = [one for one in list_partners(host) if one.name.casefold() == text.casefold()]
    if len(named) != 1:
        raise SettingsError(f"no partner, or more than one, is called {text!r}; `tvilling partner list` shows them")
    return named[0]

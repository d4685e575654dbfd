"""A consent as a record that both parties can keep: DPV consent record, receipt, and the ODRL agreement beside it.

The fields are those of ISO/IEC TS 27560 in the profile of the Data Privacy Vocabulary 2.3 (DPV-27560, sections 8 and
9; the GDPR schema version), in JSON-LD whose one context is served under /vocab/consent/. vocab/consent/shape.ttl says
what a record must hold. The agreement is what a policy engine may carry out (ODRL 2.2). A record tells the partner
nothing of the citizen but the pairwise subject (GDPR Art. 5(1)(c), 7(1)).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from consent.grant import GrantState
from consent.ledger import EventKind, GrantEvent
from vocab.consent_records import CONTEXT_PATH, personal_data_of
from vocab.purposes import load_purposes
from vocab.shared_figures import load_shared_figures

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from consent.grant import Grant, GrantTerms

RECORD_SCHEMA = "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"
RECEIPT_SCHEMA = "https://w3id.org/dpv/schema/dpv-27560#receipt-eu-gdpr"
GDPR = "http://data.europa.eu/eli/reg/2016/679/oj"
LANGUAGES = ("nb", "nn", "en")
LANGUAGE_WHERE_NOBODY_READ = "nb"

NOT_STATED = "not stated"

_STATUS: dict[EventKind, tuple[str, ...]] = {
    EventKind.REQUESTED: ("dpv:ConsentRequested",),
    EventKind.GIVEN: ("dpv:ConsentGiven", "dpv:ExpressedConsent"),
    EventKind.REFUSED: ("dpv:ConsentRefused",),
    EventKind.PAUSED: ("dpv:ConsentStatusInvalidForProcessing", "tv:ConsentPaused"),
    EventKind.RESUMED: ("dpv:ConsentGiven", "tv:ConsentResumed"),
    EventKind.RENEWED: ("dpv:RenewedConsentGiven", "dpv:ExpressedConsent"),
    EventKind.NARROWED: ("dpv:RenewedConsentGiven", "dpv:ExpressedConsent", "tv:ConsentNarrowed"),
    EventKind.WITHDRAWN: ("dpv:ConsentWithdrawn",),
    EventKind.EXPIRED: ("dpv:ConsentExpired",),
    EventKind.ERASED: ("dpv:ConsentInvalidated", "tv:ConsentErased"),
}
"""DPV has no status for a pause, a narrowing or an erasure: ours stand beside the nearest of DPV's."""

_UNTIL: dict[EventKind, str] = {
    EventKind.REQUESTED: "the citizen has answered",
    EventKind.PAUSED: "the citizen resumes, renews or withdraws",
    EventKind.REFUSED: "the citizen gives a new consent",
    EventKind.WITHDRAWN: "the citizen gives a new consent",
    EventKind.EXPIRED: "the citizen renews or gives a new consent",
    EventKind.ERASED: "the citizen gives a new consent",
}

_METHODS = {
    "citizen": "an answer on the host's pages, signed in",
    "assistant": "the operator's command, at the citizen's request",
    "guardian": "a guardian's answer on the host's pages, signed in, under an authority the host recorded (GDPR Art. 8(2))",
    "attorney": "an answer on the host's pages under a power of attorney the host recorded",
    "partner": "the partner's own call at the authorization server",
    "host": "the host's clock",
}

_RIGHTS = (
    ("eu-gdpr:A7-3", "Right to withdraw consent"),
    ("eu-gdpr:A15", "Right of access"),
    ("eu-gdpr:A16", "Right to rectification"),
    ("eu-gdpr:A17", "Right to erasure"),
    ("eu-gdpr:A20", "Right to data portability"),
    ("eu-gdpr:A77", "Right to complain to the supervisory authority"),
)

_PROCESSING = {"append": ("dpv:Collect", "dpv:Store", "dpv:Derive"), "read": ("dpv:Share", "dpv:Use")}
_ACTIONS = {"append": "tv:append", "read": "odrl:read"}


@dataclass(frozen=True)
class Party:
    """An organisation in a record.

    Attributes:
        iri: Names it.
        identifier: As the parties know it: the client identifier, the host's address.
        name: What people call it.
        contact: Where people reach it.
        address: Its postal address.
    """

    iri: str
    identifier: str
    name: str
    contact: str = NOT_STATED
    address: str = NOT_STATED


@dataclass(frozen=True)
class Circumstances:
    """What a record says beyond the grant and its events.

    Attributes:
        base_url: The host's address, without a slash at the end.
        subject: The pairwise subject: the one name of the citizen that the partner knows.
        partner: To whom the consent was given.
        host: Who keeps the pods, and so processes on the citizen's word.
    """

    base_url: str
    subject: str
    partner: Party
    host: Party


def notice_language(notice_version: str) -> str:
    """The language that a notice was read in: the last word of its version, such as `1 nb`.

    >>> notice_language("1 en"), notice_language("research-1")
    ('en', 'nb')
    """
    last = notice_version.rsplit(" ", 1)[-1]
    return last if last in LANGUAGES else LANGUAGE_WHERE_NOBODY_READ


def consent_receipt(
    grant: Grant, events: Sequence[GrantEvent], circumstances: Circumstances, *, at: datetime
) -> dict[str, Any]:
    """The receipt of a consent's latest event, unsigned: the record, the agreement, and the receipt's own header.

    Args:
        grant: The consent as it stands after the events.
        events: All that happened to it, in order; at least one.
        circumstances: The parties and the citizen's name among them.
        at: When the receipt is made.
    """
    name = f"{_grant_iri(circumstances, grant)}#receipt-{len(events)}"
    receipt = {
        "@context": f"{circumstances.base_url}{CONTEXT_PATH}",
        "id": name,
        "type": "ConsentReceipt",
        "conformsTo": RECEIPT_SCHEMA,
        "hasIdentifier": name,
        "created": _time(at),
        "publisher": circumstances.host.iri,
        "record": consent_record(grant, events, circumstances, at=at),
    }
    agreement = consent_agreement(grant, events, circumstances, at=at)
    return receipt if agreement is None else {**receipt, "agreement": agreement}


def consent_record(
    grant: Grant, events: Sequence[GrantEvent], circumstances: Circumstances, *, at: datetime
) -> dict[str, Any]:
    """The DPV consent record: who, what, why, how long, what was shown, and everything that happened since."""
    terms, base = grant.terms, circumstances.base_url
    iri = _grant_iri(circumstances, grant)
    notice: dict[str, Any] = {
        "type": "ConsentNotice",
        "language": notice_language(terms.notice_version),
        "version": terms.notice_version or "no text was shown",
    }
    if terms.notice_hash:
        notice |= {"id": f"{base}/vocab/consent/notices/{terms.notice_hash}", "sha256": terms.notice_hash}
    record: dict[str, Any] = {
        "id": f"{iri}#record",
        "type": "ConsentRecord",
        "conformsTo": RECORD_SCHEMA,
        "identifier": f"{iri}#record",
        "created": _time(events[0].at),
        "modified": _time(events[-1].at),
        "state": str(grant.state_at(at)),
        "dataSubject": {"id": f"{iri}#subject", "type": "DataSubject", "identifier": circumstances.subject},
        "dataController": _party(circumstances.partner, "DataController"),
        "dataProcessor": _party(circumstances.host, "DataProcessor"),
        "notice": notice,
        "process": _process(grant, circumstances),
        "consentStatus": [_status(event, terms, circumstances, iri) for event in events],
    }
    return record


def consent_agreement(
    grant: Grant, events: Sequence[GrantEvent], circumstances: Circumstances, *, at: datetime
) -> dict[str, Any] | None:
    """The ODRL agreement: what the partner may do, to what, for which purpose, until when; None where it never began.

    A consent that ended keeps its agreement, with the end as it came; a pause is a prohibition beside the permission.
    """
    if not any(event.kind is EventKind.GIVEN for event in events):
        return None
    terms, iri = grant.terms, _grant_iri(circumstances, grant)
    until = _end_of(terms, events)
    rules = [
        {
            "target": target,
            "action": _ACTIONS[operation],
            "constraint": [
                {"leftOperand": "odrl:purpose", "operator": "odrl:isA", "rightOperandReference": purpose_iri(terms)},
                {"leftOperand": "odrl:dateTime", "operator": "odrl:lt", "rightOperand": _moment(until)},
            ],
        }
        for target in [*_targets(terms), *(f"{iri}#{_named(path)}" for path in sorted(terms.documents))]
        for operation in sorted(terms.operations)
    ]
    agreement: dict[str, Any] = {
        "id": f"{iri}#agreement",
        "type": "Agreement",
        "assigner": f"{iri}#subject",
        "assignee": circumstances.partner.iri,
        "permission": rules,
    }
    if grant.state_at(at) is GrantState.PAUSED:
        agreement["prohibition"] = [{"target": rule["target"], "action": rule["action"]} for rule in rules]
    if "read" in terms.operations:
        agreement["obligation"] = {
            "action": "odrl:delete",
            "target": f"{iri}#record",
            "constraint": {
                "leftOperand": "odrl:elapsedTime",
                "operator": "odrl:lteq",
                "rightOperand": {"@value": terms.retention, "@type": "xsd:duration"},
            },
        }
    return agreement


def _targets(terms: GrantTerms) -> list[str]:
    """What the agreement is about: classes of activities, and figures."""
    return [personal_data_of(kind)[0] for kind in sorted(terms.kinds)] + [
        load_shared_figures()[figure].iri for figure in sorted(terms.figures)
    ]


def _named(path: str) -> str:
    """What the record calls a document: its path in the characters of a fragment."""
    return "document-" + hashlib.sha256(path.encode()).hexdigest()[:16]


def _end_of(terms: GrantTerms, events: Sequence[GrantEvent]) -> datetime:
    """When the agreement ends: as agreed, or at the first ending since it was last given."""
    end: datetime | None = None
    for event in events:
        if event.kind in {EventKind.GIVEN, EventKind.RENEWED}:
            end = None
        elif event.kind in {EventKind.WITHDRAWN, EventKind.ERASED, EventKind.EXPIRED}:
            end = end or event.at
    return min(terms.expires_at, end or terms.expires_at)


def _process(grant: Grant, circumstances: Circumstances) -> dict[str, Any]:
    terms, base = grant.terms, circumstances.base_url
    purpose = load_purposes().get(terms.purpose)
    control = f"{base}/-/my-data#{grant.id}"
    kept_until = (
        {"type": "TemporalDuration", "value": terms.retention}
        if terms.operations == {"read"}
        else {"type": "UntilEventDuration", "value": "the citizen erases what came under this consent"}
    )
    iri = _grant_iri(circumstances, grant)
    recipients = [f"{iri}#subject"] if "append" in terms.operations else []
    recipients += [circumstances.partner.iri] if "read" in terms.operations else []
    process: dict[str, Any] = {
        "type": "Process",
        "purpose": {
            "id": purpose_iri(terms),
            "type": "Purpose",
            "broader": purpose.broader if purpose else "https://w3id.org/dpv#Purpose",
            "title": dict(purpose.titles) if purpose else {"en": terms.purpose},
            "description": dict(purpose.descriptions) if purpose else {"en": terms.purpose},
        },
        "personalData": [
            {
                "id": f"{iri}#data-{kind}",
                "type": "PersonalData",
                "broader": list(personal_data_of(kind)),
                "granularity": terms.granularity_of(kind),
                "necessity": "dpv:Optional",
            }
            for kind in sorted(terms.kinds)
        ]
        + [
            {
                "id": f"{iri}#figure-{figure}",
                "type": "PersonalData",
                "broader": [load_shared_figures()[figure].iri, load_shared_figures()[figure].personal_data],
                "granularity": "P1M" if load_shared_figures()[figure].period == "month" else "P1D",
                "necessity": "dpv:Optional",
            }
            for figure in sorted(terms.figures)
        ]
        + [
            {
                "id": f"{iri}#{_named(path)}",
                "type": "PersonalData",
                "broader": ["https://w3id.org/dpv#PersonalData"],
                "identifier": path,
                "necessity": "dpv:Optional",
            }
            for path in sorted(terms.documents)
        ],
        "processing": sorted({each for operation in terms.operations for each in _PROCESSING[operation]}),
        "dataSource": circumstances.partner.iri if "append" in terms.operations else f"{iri}#subject",
        "historyFrom": _time(terms.history_from),
        "storageCondition": [
            {"type": "StorageLocation", "location": circumstances.host.iri},
            {"type": "StorageDuration", "duration": kept_until},
        ],
        "dataController": circumstances.partner.iri,
        "recipient": recipients,
        "legalBasis": "eu-gdpr:A6-1-a",
        "jurisdiction": "loc:NO",
        "applicableLaw": GDPR,
        "consentControl": [
            {"type": "dpv:WithdrawConsent", "exercisedAt": control},
            {"type": "dpv:ReaffirmConsent", "exercisedAt": control},
        ],
        "right": [
            {
                "type": ["DataSubjectRight", right],
                "title": {"en": title},
                "exercisedAt": f"{base}/-/my-data" if right != "eu-gdpr:A77" else "https://www.datatilsynet.no/",
            }
            for right, title in _RIGHTS
        ],
    }
    if terms.valid_to is not None:
        process["validTo"] = _time(terms.valid_to)
    if terms.quota_per_day is not None:
        process["quotaPerDay"] = terms.quota_per_day
    if terms.reads_per_day is not None:
        process["readsPerDay"] = terms.reads_per_day
    return process


def _status(event: GrantEvent, terms: GrantTerms, circumstances: Circumstances, iri: str) -> dict[str, Any]:
    by = {
        "partner": circumstances.partner.iri,
        "host": circumstances.host.iri,
        "guardian": f"{iri}#guardian",
        "attorney": f"{iri}#attorney",
    }.get(event.by, f"{iri}#subject")
    if event.kind in _UNTIL:
        duration = {"type": "UntilEventDuration", "value": _UNTIL[event.kind]}
    else:
        duration = {"type": "UntilTimeDuration", "value": _time(event.expires_at or terms.expires_at)}
    return {
        "type": list(_STATUS[event.kind]),
        "indicatedAtTime": _time(event.at),
        "indicatedBy": by,
        "indicationMethod": _METHODS.get(event.by, _METHODS["citizen"]),
        "duration": duration,
    }


def _party(party: Party, role: str) -> dict[str, Any]:
    return {
        "id": party.iri,
        "type": role,
        "name": party.name,
        "hasIdentifier": party.identifier,
        "contactPoint": [
            {"type": "ContactPoint", "contact": party.contact or NOT_STATED},
            {"type": "PostalAddress", "streetAddress": party.address or NOT_STATED},
        ],
    }


def _grant_iri(circumstances: Circumstances, grant: Grant) -> str:
    """Where the partner asks about the grant (Grant Management); nothing in it names the citizen."""
    return f"{circumstances.base_url}/-/oauth/grants/{grant.id}"


def purpose_iri(terms: GrantTerms) -> str:
    """The IRI of a consent's purpose."""
    purpose = load_purposes().get(terms.purpose)
    return purpose.iri if purpose else f"https://w3id.org/tvilling/purpose/{terms.purpose}"


def _time(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _moment(at: datetime) -> dict[str, str]:
    return {"@value": _time(at), "@type": "xsd:dateTime"}

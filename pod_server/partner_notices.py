"""What a partner tells citizens of each purpose, version by version, and which purposes and kinds it may ask for.

The text stands on the page that asks, under the partner's name, and goes into the hash of what the citizen was shown. So
another text is another version, the municipality reads it first, and a consent to an earlier one is renewed by reading
the new one (GDPR Art. 7(2); dashboard/views/renew_grant.py).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pod_server.clock import microseconds, moment
from pod_server.organisations import tidy_text
from pod_server.partners import APPLIED, PartnerInvalid
from vocab.kinds import load_kinds
from vocab.purposes import find_purpose

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from typing import Any

    from pod_server.host import Host
    from pod_server.partners import Partner
    from pod_server.storage.ports import Transaction

LANGUAGES = ("nb", "nn", "en")
LEAST_TEXT, MOST_TEXT = 20, 1200
MOST_VERSIONS_WAITING = 5
_COLUMNS = "purpose, version, kinds, texts, notice_hash, state, reason, made_at, decided_at"


@dataclass(frozen=True)
class Proposed:
    """A notice as it was checked, before anybody admitted it: `check` makes it."""

    purpose: str
    kinds: tuple[str, ...]
    texts: Mapping[str, str]


@dataclass(frozen=True)
class Notice:
    """One version of one purpose's notice.

    Attributes:
        state: `proposed`, `current`, `replaced` or `refused`.
        hash: SHA-256 of the three texts, in hex.
        reason: Why it was refused.
    """

    purpose: str
    version: int
    kinds: tuple[str, ...]
    texts: Mapping[str, str]
    hash: str
    state: str
    reason: str
    made: datetime
    decided: datetime | None


def check(purpose: str, kinds: Sequence[str], texts: Mapping[str, str]) -> Proposed:
    """A notice that could stand on the page that asks.

    Args:
        purpose: A slug or IRI of the vocabulary; free text is none.
        kinds: Slugs or types of the vocabulary.
        texts: By language, all three.

    Raises:
        PartnerInvalid: the message begins with the field.
    """
    found = find_purpose(purpose)
    if found is None:
        raise PartnerInvalid("purpose: one of the vocabulary's purposes; free text is none")
    known = load_kinds()
    slugs: set[str] = set()
    for name in kinds:
        kind = known.by_slug.get(name) or known.by_type.get(name)
        if kind is None:
            raise PartnerInvalid("kind: a kind of activity that is not known here")
        slugs.add(kind.slug)
    if not slugs:
        raise PartnerInvalid("kind: at least one")
    try:
        tidy = {
            language: tidy_text(texts.get(language, ""), f"notice_{language}", least=LEAST_TEXT, most=MOST_TEXT)
            for language in LANGUAGES
        }
    except ValueError as error:
        raise PartnerInvalid(str(error)) from error
    return Proposed(found.slug, tuple(sorted(slugs)), tidy)


def hash_of(texts: Mapping[str, str]) -> str:
    """SHA-256 over the texts as JSON with sorted names and no spaces (RFC 8785 for these values), in hex."""
    plain = json.dumps(dict(texts), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(plain.encode()).hexdigest()


def propose(host: Host, tx: Transaction, client_id: str, proposed: Proposed) -> int:
    """Keep a notice as its purpose's next version; returns the version.

    Raises:
        PartnerInvalid: it says what the latest version says already, or too many versions wait.
    """
    versions = [each for each in of_partner(tx, client_id) if each.purpose == proposed.purpose]
    if sum(each.state == "proposed" for each in versions) >= MOST_VERSIONS_WAITING:
        raise PartnerInvalid("notice: as many versions of this purpose wait as may; wait for the municipality's answer")
    if versions and (versions[0].texts, versions[0].kinds) == (dict(proposed.texts), proposed.kinds):
        raise PartnerInvalid("notice: the same as the latest version")
    version = max((each.version for each in versions), default=0) + 1
    tx.execute(
        "INSERT INTO partner_notice (client_id, purpose, version, kinds, texts, notice_hash, state, made_at) "
        "VALUES (?, ?, ?, ?, ?, ?, 'proposed', ?)",
        (
            client_id,
            proposed.purpose,
            version,
            json.dumps(proposed.kinds),
            json.dumps(dict(proposed.texts), ensure_ascii=False),
            hash_of(proposed.texts),
            microseconds(host.clock.protocol_now()),
        ),
    )
    return version


def decide(host: Host, tx: Transaction, client_id: str, purpose: str, version: int, *, reason: str = "") -> None:
    """The municipality's answer to a proposed version: with a reason it is refused, without one it is current.

    Raises:
        PartnerInvalid: no such version waits.
    """
    now = microseconds(host.clock.protocol_now())
    if not reason:
        tx.execute(
            "UPDATE partner_notice SET state = 'replaced' WHERE client_id = ? AND purpose = ? AND version < ? "
            "AND state IN ('current', 'proposed')",
            (client_id, purpose, version),
        )
    changed = tx.execute(
        "UPDATE partner_notice SET state = ?, reason = ?, decided_at = ? "
        "WHERE client_id = ? AND purpose = ? AND version = ? AND state = 'proposed'",
        ("refused" if reason else "current", reason, now, client_id, purpose, version),
    )
    if not changed:
        raise PartnerInvalid("notice: no such version waits for an answer")


def admit_proposed(host: Host, tx: Transaction, client_id: str) -> None:
    """Admit the newest proposed version of each purpose, in the transaction that admits the partner."""
    seen: set[str] = set()
    for each in of_partner(tx, client_id):
        if each.state == "proposed" and each.purpose not in seen:
            decide(host, tx, client_id, each.purpose, each.version)
        seen.add(each.purpose)


def of_partner(tx: Transaction, client_id: str) -> list[Notice]:
    """Every version of every purpose of a partner's: purposes in order, newest version first."""
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM partner_notice WHERE client_id = ? ORDER BY purpose, version DESC", (client_id,)
    )
    return [_notice(row) for row in rows]


def _notice(row: Sequence[Any]) -> Notice:
    return Notice(
        purpose=row[0],
        version=row[1],
        kinds=tuple(json.loads(row[2])),
        texts=json.loads(row[3]),
        hash=row[4],
        state=row[5],
        reason=row[6],
        made=moment(row[7]),
        decided=None if row[8] is None else moment(row[8]),
    )


def shown_for(tx: Transaction, partner: Partner, purpose: str) -> Notice | None:
    """What stands on the page that asks: the current version, or for an applicant's sandbox the newest proposed one."""
    wanted = "proposed" if partner.state == APPLIED else "current"
    return next(
        (each for each in of_partner(tx, partner.client_id) if each.purpose == purpose and each.state == wanted), None
    )


def why_not(tx: Transaction, partner: Partner, purpose: str, kinds: Collection[str]) -> str:
    """Why a partner may not ask for these kinds for this purpose; empty where it may.

    A partner that the operator added by command has told no notices, and is held by its limits alone.
    """
    if partner.limits.kinds is not None and not set(kinds) <= partner.limits.kinds:
        beyond = ", ".join(sorted(set(kinds) - partner.limits.kinds))
        return f"the municipality does not let you ask for {beyond}"
    told = of_partner(tx, partner.client_id)
    if not told:
        return ""
    shown = shown_for(tx, partner, purpose)
    if shown is None:
        return f"you have no admitted notice for the purpose {purpose}; propose one in your console"
    if not set(kinds) <= set(shown.kinds):
        beyond = ", ".join(sorted(set(kinds) - set(shown.kinds)))
        return f"your notice for {purpose} does not speak of {beyond}; propose a new version in your console"
    return ""

"""Who may answer for a citizen, in which acts, for how long; and from which age nobody may any more.

Three authorities, each with the law it rests on:

- **guardian of a child**: whoever has parental responsibility consents for a child below the age of consent (GDPR Art.
  8(1); 13 years in Norway: personopplysningsloven § 5), as in a child's other personal matters (barneloven § 30;
  vergemålsloven §§ 2 and 3 on who is a minor and who is guardian). The power ends by itself on the birthday.
- **guardian of an adult**: within the mandate of the appointment alone (vergemålsloven §§ 20 and 21), and never instead
  of the citizen, who keeps every act of their own (§ 33: a guardian acts for someone able to consent with their consent).
- **power of attorney**: what the citizen allowed, no more (avtaleloven §§ 10 and 11), until a day, and withdrawn whenever
  the citizen likes (§ 12).

A consent that a guardian gave stays valid when the child comes of age, who may confirm, change or withdraw it (EDPB
Guidelines 05/2020, section 7.1.5). This house asks for more: what the young person does not confirm in time is paused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from consent.errors import TermsInvalid
from consent.ledger import EventKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from consent.ledger import GrantEvent

HOME = ZoneInfo("Europe/Oslo")
"""Where birthdays begin."""

LONGEST_POWER = timedelta(days=5 * 366)
"""A power of attorney ends within five years, as a consent does."""

LONGEST_EVIDENCE = 500
_OLDEST = 130


class Authority(StrEnum):
    """On what a representative's acts rest."""

    GUARDIAN_OF_CHILD = "guardian-of-child"
    GUARDIAN_OF_ADULT = "guardian-of-adult"
    POWER_OF_ATTORNEY = "power-of-attorney"


class Act(StrEnum):
    """What can be done with a consent."""

    GIVE = "give"
    REFUSE = "refuse"
    NARROW = "narrow"
    PAUSE = "pause"
    RESUME = "resume"
    RENEW = "renew"
    WITHDRAW = "withdraw"
    ERASE = "erase"


ALL_BUT_ERASING = frozenset(Act) - {Act.ERASE}
"""What an authority covers where nobody says otherwise: an erasure has no way back, so it is named or not allowed."""

OPENING = frozenset({Act.GIVE, Act.RESUME, Act.RENEW})
"""The acts by which a partner may do more than before. The others only ever take away, and no age hinders them."""

WITHOUT_KEYS = frozenset({Act.PAUSE, Act.WITHDRAW})
"""What a representative may do for a pod that its citizen locked: end what they may have given, and nothing else."""


class NotEntitled(StrEnum):
    """Why a representative may not do this."""

    NOT_YET = "not-yet"
    RAN_OUT = "ran-out"
    ENDED = "ended"
    OLD_ENOUGH = "old-enough"
    ACT_NOT_COVERED = "act-not-covered"
    PURPOSE_NOT_COVERED = "purpose-not-covered"


EXPLAINED: dict[NotEntitled, str] = {
    NotEntitled.NOT_YET: "The authority has not begun.",
    NotEntitled.RAN_OUT: "The authority has run out.",
    NotEntitled.ENDED: "The authority was ended.",
    NotEntitled.OLD_ENOUGH: "The young person is old enough to decide this.",
    NotEntitled.ACT_NOT_COVERED: "The authority does not cover this act.",
    NotEntitled.PURPOSE_NOT_COVERED: "The authority does not cover this purpose.",
}


@dataclass(frozen=True)
class AgeRules:
    """From which age on a person answers for themselves.

    Attributes:
        consent: For online services offered to a child, in whole years: 13 to 16 (GDPR Art. 8(1)).
        of_purposes: Another age for single purposes. Being counted in statistics is no online service offered to a child:
            there the general rule of 15 years holds.
        confirm_within: How long a young person who came of age has to confirm what was given for them.
    """

    consent: int = 13
    of_purposes: Mapping[str, int] = field(default_factory=lambda: {"research-statistics": 15})
    confirm_within: timedelta = timedelta(days=90)

    def __post_init__(self) -> None:
        """Hold the ages to what the law allows.

        Raises:
            TermsInvalid: an age below 13, which no member state may set, or above the age of majority.
        """
        if not 13 <= self.consent <= 16:
            raise TermsInvalid("age", "the age of consent is 13 to 16 years (GDPR Art. 8(1))")
        for purpose, age in self.of_purposes.items():
            if not self.consent <= age <= 18:
                raise TermsInvalid("age", f"for {purpose} from the age of consent to 18 years")
        if self.confirm_within < timedelta(days=1):
            raise TermsInvalid("confirm_within", "a day at least")

    def age_for(self, purpose: str) -> int:
        """From which age on a person answers for themselves, for one purpose."""
        return self.of_purposes.get(purpose, self.consent)

    @property
    def steps(self) -> tuple[int, ...]:
        """The ages at which something changes hands, the lowest first."""
        return tuple(sorted({self.consent, *self.of_purposes.values()}))


def birthday(born: date, age: int) -> date:
    """The day on which an age is reached; who was born on 29 February reaches it on 1 March of other years."""
    try:
        return born.replace(year=born.year + age)
    except ValueError:
        return date(born.year + age, 3, 1)


def is_of_age(born: date, age: int, at: datetime) -> bool:
    """Whether somebody has reached an age: from midnight of the birthday on, in Norway."""
    return at.astimezone(HOME).date() >= birthday(born, age)


def too_young(born: Iterable[date], purpose: str, act: Act, at: datetime, rules: AgeRules) -> bool:
    """Whether a person born then is too young to do this alone (GDPR Art. 8(1)).

    Saying no, taking back and giving less are open to everybody: they need no maturity to be protected by.
    """
    return act in OPENING and any(not is_of_age(each, rules.age_for(purpose), at) for each in born)


@dataclass(frozen=True)
class Representation:
    """One person's authority to answer for another.

    Attributes:
        id: `r-…`, in the log of both.
        authority: On what it rests.
        acts: Which acts it covers.
        begins: From when on.
        evidence: What was shown when it was recorded: a case number, a signed power. Words, not the document.
        ends: When it ends by itself; None for a guardian, whose power ends with the age or the appointment.
        born: A child's date of birth; with the age rules it says when the power ends.
        purposes: Only for these purposes; None for all.
        ended_at: When it was ended early, or None.
    """

    id: str
    authority: Authority
    acts: frozenset[Act]
    begins: datetime
    evidence: str
    ends: datetime | None = None
    born: date | None = None
    purposes: frozenset[str] | None = None
    ended_at: datetime | None = None

    def __post_init__(self) -> None:
        """Refuse an authority that the law does not know.

        Raises:
            TermsInvalid: the field at fault is named.
        """
        if not self.acts:
            raise TermsInvalid("acts", "an authority covers at least one act")
        if not self.evidence.strip() or len(self.evidence) > LONGEST_EVIDENCE:
            raise TermsInvalid("evidence", f"say what was shown, in 1 to {LONGEST_EVIDENCE} characters")
        if any(not letter.isprintable() for letter in self.evidence):
            raise TermsInvalid("evidence", "control and formatting characters are not text")
        if self.begins.tzinfo is None or (self.ends is not None and self.ends.tzinfo is None):
            raise TermsInvalid("begins", "a time without its zone")
        if self.ends is not None and self.ends <= self.begins:
            raise TermsInvalid("ends", "the authority ends before it begins")
        if (self.born is None) == (self.authority is Authority.GUARDIAN_OF_CHILD):
            raise TermsInvalid("born", "a child's date of birth, and a child's alone, is recorded")
        if self.born is not None:
            today = self.begins.astimezone(HOME).date()
            if self.born > today or today.year - self.born.year > _OLDEST:
                raise TermsInvalid("born", "no date of birth of somebody who lives")
        if self.authority is Authority.POWER_OF_ATTORNEY and (
            self.ends is None or self.ends - self.begins > LONGEST_POWER
        ):
            raise TermsInvalid("ends", "a power of attorney ends within five years")
        if self.purposes is not None and not self.purposes:
            raise TermsInvalid("purposes", "one purpose at least, or all")

    def stands_at(self, at: datetime, rules: AgeRules) -> bool:
        """Whether it covers anything at all at a time; what in particular, `why_not` says."""
        if self.ended_at is not None or at < self.begins or (self.ends is not None and at >= self.ends):
            return False
        return self.born is None or not is_of_age(self.born, max(rules.steps), at)


def why_not(
    representation: Representation, act: Act, purpose: str, at: datetime, rules: AgeRules
) -> tuple[NotEntitled, ...]:
    """Whether a representative may do this now: every reason against it, the weightiest first; empty where they may.

    Args:
        representation: The authority that is relied on.
        act: What they want to do.
        purpose: The purpose of the consent in question.
        at: Now, in the city's time.
        rules: The ages of this host.
    """
    against: list[NotEntitled] = []
    if representation.ended_at is not None:
        against.append(NotEntitled.ENDED)
    if at < representation.begins:
        against.append(NotEntitled.NOT_YET)
    if representation.ends is not None and at >= representation.ends:
        against.append(NotEntitled.RAN_OUT)
    if representation.born is not None and is_of_age(representation.born, rules.age_for(purpose), at):
        against.append(NotEntitled.OLD_ENOUGH)
    if act not in representation.acts:
        against.append(NotEntitled.ACT_NOT_COVERED)
    if representation.purposes is not None and purpose not in representation.purposes:
        against.append(NotEntitled.PURPOSE_NOT_COVERED)
    return tuple(against)


def stands_on_a_guardians_word(events: Iterable[GrantEvent]) -> bool:
    """Whether the latest yes to a consent was a guardian's: what a young person is to confirm."""
    latest = ""
    for event in events:
        if event.kind in {EventKind.GIVEN, EventKind.RENEWED, EventKind.RESUMED}:
            latest = event.by
    return latest == "guardian"

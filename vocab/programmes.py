"""Incentive programmes as data: what is measured, against what, how much less, for what reward, by whose decision.

A municipality publishes them (partner_bridge/offers.py) as JSON whose members are those of `CONTEXT`, so that the same text is
linked data; vocab/programmes/shape.ttl says the same of it as `read_programme` does. The rule is a closed list of measures and
bounds, never words of the publisher's: the twin judges it in the pod, and the pages say it in the house's own words.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from vocab.errors import NotAProgramme
from vocab.kinds import load_kinds
from vocab.plausibility import person_in
from vocab.terms import DCTERMS, SKOS, TVILLING, XSD

Measure = Literal["quantity-per-person", "footprint-per-person"]
Gives = Literal["transit-pass", "property-tax-discount", "fee-discount", "other"]
MONTHS = {"P1M": 1, "P3M": 3, "P12M": 12}
_LEAST_DAYS = {"P1M": 28, "P3M": 89, "P12M": 365}
LONGEST_OPEN = timedelta(days=3 * 366)
SLUG = re.compile(r"[a-z][a-z0-9-]{1,39}\Z")
_DECISION = re.compile(r"[0-9A-Za-zÆØÅæøå][0-9A-Za-zÆØÅæøå ./:-]{0,79}\Z")
_FORBIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})

_Title = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]
_Sentence = Annotated[str, msgspec.Meta(min_length=1, max_length=400)]


class _Titles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nb: _Title
    nn: _Title
    en: _Title


class _Sentences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    nb: _Sentence
    nn: _Sentence
    en: _Sentence


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    title: _Titles
    description: _Sentences
    reward: _Titles
    gives: Gives
    measures_kind: str
    measure: Measure
    period: Literal["P1M", "P3M", "P12M"]
    coverage_days: Annotated[int, msgspec.Meta(ge=1, le=366)]
    opens: date
    closes: date
    decision: str
    decision_page: str
    less_percent: Annotated[int, msgspec.Meta(ge=1, le=90)] | None = None
    at_most: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] | None = None
    household_from: Annotated[int, msgspec.Meta(ge=1, le=6)] = 1


CONTEXT: dict[str, Any] = {
    "tv": TVILLING,
    "xsd": XSD,
    "id": "@id",
    "type": "@type",
    "Programme": "tv:Programme",
    "slug": f"{SKOS}notation",
    "version": "tv:ruleVersion",
    "publisher": f"{DCTERMS}publisher",
    "title": {"@id": f"{SKOS}prefLabel", "@container": "@language"},
    "description": {"@id": f"{SKOS}definition", "@container": "@language"},
    "reward": {"@id": "tv:reward", "@container": "@language"},
    "gives": "tv:gives",
    "measuresKind": "tv:measuresKind",
    "measure": "tv:measure",
    "period": {"@id": "tv:period", "@type": "xsd:duration"},
    "coverageDays": "tv:minimumCoverageDays",
    "lessPercent": "tv:lessPercent",
    "atMost": {"@id": "tv:atMost", "@type": "xsd:decimal"},
    "householdFrom": "tv:householdFrom",
    "opens": {"@id": "tv:opens", "@type": "xsd:date"},
    "closes": {"@id": "tv:closes", "@type": "xsd:date"},
    "decision": "tv:decision",
    "decisionPage": {"@id": f"{DCTERMS}source", "@type": "@id"},
}
"""The members as linked data; `tv:` words are explained in vocab/ontology/tvilling.ttl."""


@dataclass(frozen=True)
class Programme:
    """One programme.

    Attributes:
        slug: Its name at this host.
        rule_version: Counted up by the host whenever anything in it changes; a claim names it.
        client_id: The municipality that published it, and to which a claim goes.
        gives: What kind of thing it gives.
        kind_slug: The kind of activity it measures.
        measure: The household's quantity, or its kilograms of CO2e, divided by its members where the kind is the household's.
        period: `P1M`, `P3M` or `P12M`: the last so many whole months.
        less_percent: By so many per cent the measure must lie below the as many months before; None where `at_most` is said.
        at_most: The measure must be at most this, in the kind's unit or in kg; None where `less_percent` is said.
        minimum_coverage_days: Each period that is looked at must have records spread over at least so many days.
        household_from: Open to households of at least so many.
        open_from: The first day on which it can be claimed.
        open_to: The last day.
        decision: What the municipality decided it by, as its archive calls it.
        decision_page: Where to read that.
        titles: By language, as the descriptions and rewards.
    """

    slug: str
    rule_version: int
    client_id: str
    gives: Gives
    kind_slug: str
    measure: Measure
    period: str
    less_percent: int | None
    at_most: float | None
    minimum_coverage_days: int
    household_from: int
    open_from: date
    open_to: date
    decision: str
    decision_page: str
    titles: dict[str, str]
    descriptions: dict[str, str]
    rewards: dict[str, str]

    @property
    def iri(self) -> str:
        """What the rule's graph calls it."""
        return f"https://w3id.org/tvilling/programme/{self.slug}"

    @property
    def months(self) -> int:
        """How many whole months it measures."""
        return MONTHS[self.period]

    @property
    def threshold(self) -> float | None:
        """The share by which the measure must fall, or None."""
        return None if self.less_percent is None else self.less_percent / 100


@lru_cache(maxsize=256)
def read_programme(content: bytes, slug: str, version: int = 1, client_id: str = "") -> Programme:
    """A programme from the JSON in which it was published.

    Args:
        content: The members of `CONTEXT` that a publisher writes.
        slug: The name under which it is published.
        version: The host's count.
        client_id: Who published it.

    Raises:
        NotAProgramme: it says which member, and why; it repeats nothing of what was sent.
    """
    if not SLUG.match(slug):
        raise NotAProgramme("", "its name is 2 to 40 of a-z, 0-9 and hyphens, a letter first")
    try:
        said = msgspec.json.decode(content, type=_Document)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `")
        raise NotAProgramme(path.rstrip("`").removeprefix("$."), _unnamed(reason)) from None
    except (msgspec.DecodeError, RecursionError):
        raise NotAProgramme("", "not well-formed JSON") from None
    _check(said)
    return Programme(
        slug=slug,
        rule_version=version,
        client_id=client_id,
        gives=said.gives,
        kind_slug=said.measures_kind,
        measure=said.measure,
        period=said.period,
        less_percent=said.less_percent,
        at_most=said.at_most,
        minimum_coverage_days=said.coverage_days,
        household_from=said.household_from,
        open_from=said.opens,
        open_to=said.closes,
        decision=said.decision,
        decision_page=said.decision_page,
        titles=msgspec.structs.asdict(said.title),
        descriptions=msgspec.structs.asdict(said.description),
        rewards=msgspec.structs.asdict(said.reward),
    )


def _unnamed(reason: str) -> str:
    # msgspec repeats an unknown member's name and an unknown word; neither is ours to say again.
    return (
        re.sub(r"[`'].*[`']", "of another name", reason) if "unknown" in reason or "Invalid enum" in reason else reason
    )


def _check(said: _Document) -> None:
    for member in ("title", "description", "reward"):
        for language, text in msgspec.structs.asdict(getattr(said, member)).items():
            if not text.strip() or any(unicodedata.category(letter) in _FORBIDDEN for letter in text):
                raise NotAProgramme(f"{member}.{language}", "a control character, or nothing to read")
            if person_in(text):
                raise NotAProgramme(f"{member}.{language}", "it names a person: an offer is public")
    if said.measures_kind not in load_kinds().by_slug:
        raise NotAProgramme("measuresKind", f"one of {', '.join(sorted(load_kinds().by_slug))}")
    if (said.less_percent is None) is (said.at_most is None):
        raise NotAProgramme("lessPercent", "either lessPercent or atMost, and one of them")
    if said.at_most is not None and said.at_most != float(f"{said.at_most:.2g}"):
        raise NotAProgramme("atMost", "at most two digits that are not zero: a fine bound would tell of a household")
    if said.coverage_days > _LEAST_DAYS[said.period]:
        raise NotAProgramme("coverageDays", f"at most {_LEAST_DAYS[said.period]} for this period")
    if not timedelta(0) <= said.closes - said.opens <= LONGEST_OPEN:
        raise NotAProgramme("closes", "on or after the day on which it opens, within three years")
    if not _DECISION.match(said.decision) or person_in(said.decision):
        raise NotAProgramme("decision", "the reference of the decision: letters, digits, spaces and ./:-, at most 80")
    try:
        page = urlsplit(said.decision_page)
    except ValueError:
        page = None
    plain = (
        said.decision_page.isascii()
        and said.decision_page.isprintable()
        and not set(" \"'<>\\") & set(said.decision_page)
    )
    if (
        page is None
        or page.scheme != "https"
        or not page.hostname
        or page.username
        or not plain
        or len(said.decision_page) > 300
    ):
        raise NotAProgramme("decisionPage", "an https address of at most 300 characters")

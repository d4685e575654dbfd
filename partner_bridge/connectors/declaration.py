"""What a connector says of itself: the one text from which the catalogue, the pages and the documentation are made.

A declaration is data that stands in the connector's own file: who delivers, by which channels, how fine, how often, how far
back, on what terms, and what in the format is a guess. Nothing in it is believed that can be checked (`require_sound`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args
from urllib.parse import urlsplit

from consent.errors import TermsInvalid
from consent.grant import shortest_interval
from partner_bridge.errors import DeclarationInvalid
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

Channel = Literal["push", "oauth-pull", "token-pull", "webhook", "file", "agent", "calculation", "offers"]
"""How deliveries come in (DESIGN.md, section 2): the partner pushes as an OAuth client; this host asks after the citizen
signed in there, or with a token they pasted; the partner calls; the citizen brings a file; an agent in the house pushes.
`calculation` is no way in: the citizen has a service reckon with sums that say nothing of whom (calculating.py). `offers` is
none either: a municipality publishes what it offers, and the pod judges whether it fits (partner_bridge/offers.py)."""

Frequency = Literal["continuous", "hourly", "daily", "weekly", "monthly", "irregular"]
"""How often something new comes, where the citizen does nothing for it."""

CHANNELS: tuple[Channel, ...] = get_args(Channel)
FREQUENCIES: tuple[Frequency, ...] = get_args(Frequency)

_SLUG = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
_LONGEST_NAME = 60
_LONGEST_WORDS = 400
_LINES_AT_MOST = 12
_LONGEST_HISTORY = timedelta(days=100 * 366)
_FORBIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
"""Controls, marks that turn the writing's direction, private characters: in a text they can only deceive (threat T37)."""


class Words(NamedTuple):
    """One sentence in the three languages of the pages."""

    nb: str
    nn: str
    en: str


@dataclass(frozen=True)
class Organisation:
    """Who delivers.

    Attributes:
        slug: Names it in addresses: `atb`.
        name: What people call it.
        homepage: Its own pages, https; empty where there are none.
    """

    slug: str
    name: str
    homepage: str = ""


@dataclass(frozen=True)
class Declaration:
    """What one connector can bring, and on what terms.

    Attributes:
        organisation: Who delivers.
        channels: By which of the six channels.
        granularity: The finest interval it makes, an ISO 8601 duration, or `event` for things that simply happen.
        frequency: How often something new comes.
        history: How far back a first delivery reaches; zero: from then on; None: as far as the partner, or the file, goes.
        terms: On what terms it comes, for the citizen who decides.
        format_source: Where the format is described: an https address, or a page of this house (`docs/partners.md`).
        guesses: What in the format nobody has published, and is therefore guessed.
        limits: What it does not tell, or leaves out.
    """

    organisation: Organisation
    channels: tuple[Channel, ...]
    granularity: str
    frequency: Frequency
    history: timedelta | None
    terms: Words
    format_source: str
    guesses: tuple[Words, ...] = ()
    limits: tuple[Words, ...] = ()


def require_sound(connector: object) -> None:
    """Hold what a connector says of itself against what can be known.

    Raises:
        DeclarationInvalid: names every part that does not hold.
    """
    faults = list(_faults(connector))
    if faults:
        raise DeclarationInvalid("; ".join(faults))


def _faults(connector: object) -> Iterator[str]:
    if not _SLUG.match(_text(connector, "name")):
        yield "name: a-z, 0-9 and hyphens, at most 31 of them, a letter first"
    yield from _faults_of_text("title", _text(connector, "title"), _LONGEST_NAME)
    kinds = getattr(connector, "kinds", None)
    known = load_kinds().by_slug
    if not isinstance(kinds, frozenset) or not kinds:
        yield "kinds: a frozenset with one kind at least"
    elif unknown := sorted(str(kind) for kind in kinds if kind not in known):
        yield f"kinds: {', '.join(unknown)[:100]} is none of {', '.join(sorted(known))}"
    if getattr(connector, "form", None) not in {"json", "text"}:
        yield "form: json or text"
    declared = getattr(connector, "declaration", None)
    alone = declared.channels[0] if isinstance(declared, Declaration) and len(declared.channels) == 1 else ""
    method = {"calculation": "read_answer", "offers": "read_offer"}.get(alone, "normalise")
    if not callable(getattr(connector, method, None)):
        yield f"{method}: a method is expected"
    if isinstance(declared, Declaration):
        yield from _faults_of_declaration(declared, can_pull=callable(getattr(connector, "pull", None)))
    else:
        yield "declaration: a Declaration is expected"


def _faults_of_declaration(declared: Declaration, *, can_pull: bool) -> Iterator[str]:
    organisation = declared.organisation
    if not isinstance(organisation, Organisation) or not _SLUG.match(_text(organisation, "slug")):
        yield "organisation: an Organisation whose slug is made of a-z, 0-9 and hyphens is expected"
    else:
        yield from _faults_of_text("organisation", organisation.name, _LONGEST_NAME)
        if organisation.homepage and not _is_https(organisation.homepage):
            yield "organisation: its homepage is an https address"
    channels = declared.channels
    if not isinstance(channels, tuple) or not channels or len(set(channels)) != len(channels):
        yield "channels: a tuple with one channel at least, each once"
    elif not set(channels) <= set(CHANNELS):
        yield f"channels: some of {', '.join(CHANNELS)}"
    elif {"calculation", "offers"} & set(channels) and len(channels) > 1:
        yield "channels: who calculates or offers brings nothing in, so calculation and offers stand alone"
    elif can_pull is not bool({"oauth-pull", "token-pull"} & set(channels)):
        yield "channels: a connector is pulled where it has the method `pull`, and only there"
    try:
        shortest_interval(declared.granularity)
    except (TermsInvalid, TypeError):
        yield "granularity: a duration of ISO 8601 such as PT1H, or event"
    if declared.frequency not in FREQUENCIES:
        yield f"frequency: one of {', '.join(FREQUENCIES)}"
    history = declared.history
    if history is not None and not (isinstance(history, timedelta) and timedelta(0) <= history <= _LONGEST_HISTORY):
        yield "history: a timedelta of at most a hundred years, or None"
    source = declared.format_source
    if not isinstance(source, str) or not (_is_https(source) or re.match(r"docs/[a-z-]{1,40}\.md\Z", source)):
        yield "format_source: an https address, or docs/….md"
    yield from _faults_of_words("terms", (declared.terms,))
    yield from _faults_of_words("guesses", declared.guesses)
    yield from _faults_of_words("limits", declared.limits)


def _faults_of_words(member: str, lines: object) -> Iterator[str]:
    if not isinstance(lines, tuple) or len(lines) > _LINES_AT_MOST:
        yield f"{member}: a tuple of at most {_LINES_AT_MOST} Words"
        return
    for line in lines:
        if not isinstance(line, Words):
            yield f"{member}: Words(nb=…, nn=…, en=…) are expected"
        else:
            for language, text in zip(Words._fields, line, strict=True):
                yield from _faults_of_text(f"{member} ({language})", text, _LONGEST_WORDS)


def _faults_of_text(member: str, text: object, longest: int) -> Iterator[str]:
    if not isinstance(text, str) or not text.strip() or len(text) > longest:
        yield f"{member}: a text of 1 to {longest} characters"
    elif any(unicodedata.category(character) in _FORBIDDEN for character in text):
        yield f"{member}: a control character, or one that turns the direction of writing"


def _text(value: object, member: str) -> str:
    found = getattr(value, member, None)
    return found if isinstance(found, str) else ""


def _is_https(address: str) -> bool:
    try:
        parts = urlsplit(address)
    except (ValueError, AttributeError):
        return False
    return (
        parts.scheme == "https"
        and bool(parts.hostname)
        and len(address) <= 300
        and address.isascii()
        and (address.isprintable() and not set(" \"'<>") & set(address) and not parts.username)
    )

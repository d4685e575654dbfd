"""The kinds of activity: one decoder, one canonical form and one RDF reading, all built from the data in activities/.

Each kind is a folder with a SHACL shape, a JSON-LD context, labels and examples. The decoder is a msgspec Struct made
from shape and context, so that reading and validating a record is one step of about a microsecond; a property test
holds it to the shape (tests/properties/test_activity_kinds.py).

Source: JSON-LD 1.1 (W3C Recommendation), SHACL (W3C Recommendation), section 4; terms in vocab/SOURCES.md.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, Protocol, cast, get_args

import msgspec
import pyoxigraph as ox

from vocab.errors import BrokenVocabulary, Implausible, NotAnActivity, PersonInText
from vocab.plausibility import Bound, Measure, person_in
from vocab.terms import DCTERMS, FOLDER, QUDT, RDF, RDFS, SHACL, SKOS, TVILLING, XSD, Graph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vocab.terms import Subject

CONTEXT_PATH = "/vocab/context.jsonld"
"""Where a host serves the one context; a record may name it, and needs not."""

MAXIMUM_RECORD_BYTES = 8192
_LENGTHS_REMEMBERED = 256
"""One record's size; the largest valid record is far smaller unless its zones run on."""

_SHORTEST_PERSON = 5
_PERSONS = {
    "national-number": "holds a national identity number (eleven digits with the right check digits); leave it out",
    "e-mail": "holds an e-mail address, and no field asks for one; leave it out",
    "telephone": "holds a telephone number, and no field asks for one; leave it out",
}
_DOUBLE = ox.NamedNode(f"{XSD}double")
_DATE_TIME = f"{XSD}dateTime"


class Activity(Protocol):
    """One record of something done, decoded. Members of a single kind (`mode`, `food_class` …) are attributes too."""

    @property
    def id(self) -> str:
        """Its `@id`, as sent."""
        ...

    @property
    def type(self) -> str:
        """Its `@type`: ElectricityReading, GroceryLine and so on."""
        ...

    @property
    def kind(self) -> str:
        """The kind's slug."""
        ...

    @property
    def start(self) -> datetime:
        """When it began, in UTC."""
        ...

    @property
    def end(self) -> datetime:
        """When it ended, in UTC; never before its start."""
        ...

    @property
    def quantity(self) -> float:
        """How much, in `unit`; finite, not negative."""
        ...

    @property
    def unit(self) -> str:
        """The kind's one unit."""
        ...

    @property
    def correction(self) -> bool:
        """True where it declares to replace an accepted record of the same name."""
        ...

    @property
    def inferred(self) -> bool:
        """True where the partner concluded it rather than measured it."""
        ...

    @property
    def source(self) -> str | None:
        """A free word on where it came from."""
        ...

    def __getattr__(self, name: str) -> Any: ...


@dataclass(frozen=True)
class Label:
    """A kind's name and what it can reveal, in one language, as the consent screen says it."""

    title: str
    description: str


@dataclass(frozen=True)
class Member:
    """One member of a kind's record, as its shape has it.

    `constraints` are the shape's own words (sh:pattern, sh:maxLength …), for the documentation; `free_text` says that
    people write in it.
    """

    name: str
    attribute: str
    iri: str
    datatype: str
    required: bool
    repeated: bool
    allowed: tuple[str, ...]
    constraints: dict[str, str] = field(default_factory=dict)
    free_text: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of activity.

    Attributes:
        slug: Its name in commands, grants and addresses: `electricity-reading`.
        type_name: Its `@type`: `ElectricityReading`.
        iri: Its class.
        category: Where its footprint is counted: electricity, food, travel, consumption, waste, steps.
        household_level: True where a record is the whole household's and is divided among its members.
        unit: The one unit of its quantity.
        labels: By language: nb, nn, en.
        granularities: What a citizen may choose from, finest first: ISO 8601 durations, or "event".
        discriminator_member: The member that, beside the kind, chooses the emission factor; or None.
        maximum_age: Older records are implausible.
        maximum_duration: Longer records are implausible.
        bounds: What is too much to be usual, or possible.
        free_text: Attribute and name of each member that people write in.
        personal_data: IRIs of DPV's personal data categories.
        members: The record's members, common ones first.
        folder: Where its data lies.
    """

    slug: str
    type_name: str
    iri: str
    category: str
    household_level: bool
    unit: str
    labels: dict[str, Label]
    granularities: tuple[str, ...]
    discriminator_member: str | None
    maximum_age: timedelta
    maximum_duration: timedelta
    bounds: tuple[Bound, ...]
    free_text: tuple[tuple[str, str], ...]
    personal_data: tuple[str, ...]
    members: tuple[Member, ...]
    folder: Path
    struct: type[msgspec.Struct]
    _most_by_length: dict[timedelta, float] = field(default_factory=dict, compare=False, repr=False)

    def discriminator(self, activity: Activity) -> str:
        """What beside the kind chooses the factor: a food class, a mode, a fraction; "" where nothing does."""
        if self.discriminator_member is None:
            return ""
        return getattr(activity, _snake_case(self.discriminator_member)) or ""

    def implausible(self, activity: Activity, at: datetime) -> str | None:
        """Why a record's times cannot be right at the time `at`, or None. A future end is for the consent to judge."""
        if activity.end - activity.start > self.maximum_duration:
            return f"the record spans more than {_days(self.maximum_duration)}"
        if activity.start < at - self.maximum_age:
            return f"the record is older than {_days(self.maximum_age)}"
        return None

    def require_plausible(self, activity: Activity, at: datetime) -> tuple[datetime, datetime]:
        """Refuse what cannot be true, or is about somebody whom no field asks for.

        Args:
            activity: A decoded record of this kind.
            at: When it was delivered.

        Returns:
            Its start and end, which had to be read for it.

        Raises:
            NotAnActivity: its times cannot be right.
            Implausible: it holds more than there can be; the error says how much there can be.
            PersonInText: a free text names a person. The error says what, never which.
        """
        # Every record of every delivery passes here: each time is read once, and most records are as long as another.
        start, end = activity.start, activity.end
        length = end - start
        if length > self.maximum_duration or start < at - self.maximum_age:
            raise NotAnActivity("$.start", self.implausible(activity, at) or "")
        most = self._most_by_length.get(length)
        if activity.quantity > (self._most(length) if most is None else most):
            raise self._impossible(activity.quantity, length)
        for attribute, name in self.free_text:
            text = getattr(activity, attribute)
            if text is not None and len(text) >= _SHORTEST_PERSON:
                found = person_in(text)
                if found is not None:
                    raise PersonInText(f"$.{name}", _PERSONS[found])
        return start, end

    def _most(self, length: timedelta) -> float:
        """The most that a record so long may hold, by the strictest of the bounds."""
        most = min((each.allowed(length.total_seconds()) for each in self.bounds), default=math.inf)
        if len(self._most_by_length) < _LENGTHS_REMEMBERED:
            self._most_by_length[length] = most
        return most

    def _impossible(self, quantity: float, length: timedelta) -> Implausible:
        bound = next(each for each in self.bounds if quantity > each.allowed(length.total_seconds()))
        what = "" if bound.measure == "quantity" else " " + bound.measure.replace("-", " ")
        return Implausible(
            "$.quantity", f"more than {bound.impossible:g} {self.unit}{what} is not possible: check unit and times"
        )

    def unusual(self, activity: Activity) -> Bound | None:
        """The bound above which a record that was taken in is unlikely; None where it is usual."""
        seconds = (activity.end - activity.start).total_seconds()
        return next((each for each in self.bounds if activity.quantity > each.usual(seconds)), None)

    def examples(self, verdict: Literal["valid", "invalid"]) -> dict[str, bytes]:
        """The example records by name."""
        files = sorted((self.folder / "examples" / verdict).glob("*.json"))
        return {file.stem: file.read_bytes() for file in files}


class Kinds:
    """All kinds, and the one decoder over them."""

    def __init__(self, kinds: tuple[Kind, ...], context: dict[str, Any]) -> None:
        self.by_slug = {kind.slug: kind for kind in kinds}
        self.by_type = {kind.type_name: kind for kind in kinds}
        self.context = context
        union: Any = kinds[0].struct
        for kind in kinds[1:]:
            union = union | kind.struct
        self.any_record = union
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(union, strict=True)
        self._encoder = msgspec.json.Encoder(order="sorted")
        self._context_splice = b'{"@context":' + msgspec.json.encode(context) + b","

    def decode(self, raw: bytes | msgspec.Raw, base: str | None = None) -> Activity:
        """Read and validate one record.

        Args:
            raw: One JSON object, flat compact JSON-LD.
            base: The host's base URL; a record may name its context there, or relatively, and nowhere else.

        Raises:
            NotAnActivity: where it is not exactly what one kind's shape says.
        """
        if len(memoryview(raw)) > MAXIMUM_RECORD_BYTES:
            raise NotAnActivity("$", f"a record has at most {MAXIMUM_RECORD_BYTES} bytes")
        try:
            activity = self._decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise _not_an_activity(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise NotAnActivity("$", "not well-formed JSON in UTF-8") from None
        return activity if activity.context is None else self.in_our_context(activity, base)

    @staticmethod
    def in_our_context(activity: Any, base: str | None) -> Activity:
        """A decoded record without the name of its context.

        Raises:
            NotAnActivity: it names another than the host's.
        """
        context = activity.context
        if context is not None:
            if context != CONTEXT_PATH and (base is None or context != base.rstrip("/") + CONTEXT_PATH):
                raise NotAnActivity("$.@context", f"only {CONTEXT_PATH} of this host is known here")
            msgspec.structs.force_setattr(activity, "context", None)
        return cast("Activity", activity)

    def encode(self, activity: Activity) -> bytes:
        """The canonical record: sorted members, times in UTC, no defaults, no context. This is stored and hashed."""
        return self._encoder.encode(activity)

    def quads(self, raw_json: bytes, base: str) -> list[ox.Quad]:
        """The RDF of one accepted record, its name resolved against `base`: the quads that any JSON-LD reader gets.

        pyoxigraph parses numbers well but writes doubles in their shortest form; JSON-LD prescribes another text for
        them (JSON-LD 1.1 API, section 8.2.2, "%1.15E"), which is given back here.
        """
        if b'"@context"' in raw_json:
            record = {key: value for key, value in json.loads(raw_json).items() if key != "@context"}
            raw_json = json.dumps(record).encode()
        document = self._context_splice + raw_json.lstrip()[1:]
        quads = []
        for quad in ox.parse(document, format=ox.RdfFormat.JSON_LD, base_iri=base):
            literal = quad.object
            if isinstance(literal, ox.Literal) and literal.datatype == _DOUBLE:
                text = canonical_double(float(literal.value))
                if text != literal.value:
                    quads.append(ox.Quad(quad.subject, quad.predicate, ox.Literal(text, datatype=_DOUBLE)))
                    continue
            quads.append(ox.Quad(quad.subject, quad.predicate, quad.object))
        return quads


def canonical_double(value: float) -> str:
    """A number as JSON-LD 1.1 API, section 8.2.2, writes it: 16 significant digits, trailing zeros cut, `1.0E0`."""
    return re.sub(r"(\d)0*E\+?(-)?0*(\d)", r"\1E\2\3", f"{value:1.15E}")


@cache
def load_kinds() -> Kinds:
    """Read every kind's folder, once a process.

    Raises:
        BrokenVocabulary: shape, context and labels do not fit together.
    """
    folders = sorted(file.parent for file in (FOLDER / "activities").glob("*/shape.ttl"))
    if not folders:
        raise BrokenVocabulary("no activity kinds are installed")
    context: dict[str, Any] = {}
    for file in [FOLDER / "activities" / "common.jsonld", *(folder / "context.jsonld" for folder in folders)]:
        for term, definition in json.loads(file.read_text("utf-8"))["@context"].items():
            if context.setdefault(term, definition) != definition:
                raise BrokenVocabulary(f"the term {term!r} is defined twice, differently")
    return Kinds(tuple(_load_kind(folder, context) for folder in folders), context)


def shapes_graph_files() -> list[Path]:
    """The Turtle files that together are the SHACL shapes graph of every kind."""
    return [FOLDER / "activities" / "common.ttl", *sorted((FOLDER / "activities").glob("*/shape.ttl"))]


def _load_kind(folder: Path, context: dict[str, Any]) -> Kind:
    graph = Graph([FOLDER / "activities" / "common.ttl", folder / "shape.ttl", folder / "kind.ttl"])
    (shape,) = graph.subjects(f"{RDF}type", f"{SHACL}NodeShape")
    iri = graph.required(shape, f"{SHACL}targetClass")
    type_name = iri.removeprefix(TVILLING)
    node = ox.NamedNode(iri)
    slug = graph.required(node, f"{SKOS}notation")
    if slug != folder.name:
        raise BrokenVocabulary(f"the folder {folder.name} holds the kind {slug}")
    terms = _terms_by_iri(context)
    properties = [each for each in graph.objects(shape, f"{SHACL}property") if not isinstance(each, ox.Literal)]
    members = sorted(
        (_member(graph, each, terms) for each in properties),
        key=lambda member: (_COMMON_ORDER.get(member.name, 99), not member.required, member.name),
    )
    titles = graph.by_language(node, f"{SKOS}prefLabel")
    descriptions = graph.by_language(node, f"{SKOS}definition")
    (unit,) = next(member.allowed for member in members if member.name == "unit")
    granularities = [str(each.value) for each in graph.objects(node, f"{TVILLING}granularity")]
    return Kind(
        slug=slug,
        type_name=type_name,
        iri=iri,
        category=graph.required(node, f"{TVILLING}category"),
        household_level=graph.required(node, f"{TVILLING}householdLevel") == "true",
        unit=unit,
        labels={language: Label(titles[language], descriptions[language]) for language in ("nb", "nn", "en")},
        granularities=tuple(sorted(granularities, key=_granularity_order)),
        discriminator_member=graph.text(node, f"{TVILLING}discriminator"),
        maximum_age=_duration(graph.required(node, f"{TVILLING}maximumAge")),
        maximum_duration=_duration(graph.required(node, f"{TVILLING}maximumDuration")),
        bounds=tuple(_bound(graph, each) for each in graph.objects(node, f"{TVILLING}plausible")),
        free_text=tuple((member.attribute, member.name) for member in members if member.free_text),
        personal_data=tuple(str(each.value) for each in graph.objects(node, "https://w3id.org/dpv#hasPersonalData")),
        members=tuple(members),
        folder=folder,
        struct=_struct(type_name, slug, _record_name_rule(graph), members),
    )


_COMMON_ORDER = {"start": 1, "end": 2, "quantity": 3, "unit": 4, "correction": 100, "inferred": 101, "source": 102}


def _terms_by_iri(context: dict[str, Any]) -> dict[str, str]:
    terms = {}
    for term, definition in context.items():
        if not term.startswith("@"):
            terms[definition if isinstance(definition, str) else definition["@id"]] = term
    return terms


def _member(graph: Graph, shape: Subject, terms: dict[str, str]) -> Member:
    iri = graph.required(shape, f"{SHACL}path")
    name = terms.get(iri) or iri.removeprefix(TVILLING)
    if ":" in name:
        raise BrokenVocabulary(f"no term of the context stands for {iri}")
    listed = graph.objects(shape, f"{SHACL}in")
    allowed: tuple[str, ...] = ()
    if listed and not isinstance(listed[0], ox.Literal):
        members = [each for each in graph.items(listed[0]) if not isinstance(each, ox.BlankNode)]
        allowed = tuple(terms.get(each.value, each.value) for each in members)
    facets = ("pattern", "minLength", "maxLength", "minInclusive", "maxInclusive", "lessThanOrEquals")
    constraints = {facet: value for facet in facets if (value := graph.text(shape, f"{SHACL}{facet}")) is not None}
    return Member(
        name=name,
        attribute=_snake_case(name),
        iri=iri,
        datatype=graph.text(shape, f"{SHACL}datatype") or "",
        required=int(graph.text(shape, f"{SHACL}minCount") or 0) > 0,
        repeated=graph.text(shape, f"{SHACL}maxCount") is None,
        allowed=allowed,
        constraints=constraints,
        free_text=graph.text(shape, f"{TVILLING}freeText") == "true",
    )


def _bound(graph: Graph, node: ox.NamedNode | ox.BlankNode | ox.Literal) -> Bound:
    if isinstance(node, ox.Literal):
        raise BrokenVocabulary("a bound that is a literal")
    bound = Bound(
        graph.required(node, f"{TVILLING}measure"),
        float(graph.required(node, f"{TVILLING}unlikelyAbove")),
        float(graph.required(node, f"{TVILLING}impossibleAbove")),
        graph.required(node, f"{DCTERMS}source"),
    )
    if bound.measure not in get_args(Measure) or not 0 < bound.unlikely <= bound.impossible:
        raise BrokenVocabulary(f"a bound that bounds nothing: {bound}")
    return bound


def _record_name_rule(graph: Graph) -> Any:
    rule = ox.NamedNode(f"{TVILLING}RecordName")
    return Annotated[
        str,
        msgspec.Meta(
            min_length=int(graph.required(rule, f"{SHACL}minLength")),
            max_length=int(graph.required(rule, f"{SHACL}maxLength")),
            pattern=_python_pattern(graph.required(rule, f"{SHACL}pattern")),
        ),
    ]


def _python_type(member: Member) -> Any:
    python_type: Any
    if member.allowed:
        python_type = Literal.__getitem__(member.allowed)
    elif member.datatype == f"{XSD}boolean":
        python_type = bool
    elif member.datatype == f"{XSD}double":
        limits = {"minInclusive": "ge", "maxInclusive": "le"}
        bounds: dict[str, Any] = {
            limits[facet]: float(value) for facet, value in member.constraints.items() if facet in limits
        }
        python_type = Annotated[float, msgspec.Meta(**bounds)]
    elif member.datatype in {f"{XSD}string", _DATE_TIME}:
        facets: dict[str, Any] = {}
        if "pattern" in member.constraints:
            facets["pattern"] = _python_pattern(member.constraints["pattern"])
        if "minLength" in member.constraints:
            facets["min_length"] = int(member.constraints["minLength"])
        if "maxLength" in member.constraints:
            facets["max_length"] = int(member.constraints["maxLength"])
        python_type = Annotated[str, msgspec.Meta(**facets)]
    else:
        raise BrokenVocabulary(f"no reading is known for {member.datatype or member.iri}")
    return list[python_type] if member.repeated else python_type


def _python_pattern(pattern: str) -> str:
    # XPath's $ is the end of the text; Python's also matches before a last line break.
    return pattern[:-1] + r"\Z" if pattern.endswith("$") else pattern


def _struct(type_name: str, slug: str, record_name: Any, members: list[Member]) -> type[msgspec.Struct]:
    """The Struct of one kind: immutable, closed, told apart by `@type`, invisible to the garbage collector."""
    fields: list[Any] = [("id", record_name), ("context", Annotated[str, msgspec.Meta(max_length=300)] | None, None)]
    rename = {"id": "@id", "context": "@context"}
    doubles = [member.attribute for member in members if member.datatype == f"{XSD}double"]
    for member in members:
        attribute = f"{member.attribute}_text" if member.datatype == _DATE_TIME else member.attribute
        rename[attribute] = member.name
        if member.required:
            fields.append((attribute, _python_type(member)))
        elif member.datatype == f"{XSD}boolean":
            fields.append((attribute, bool, False))
        else:
            # JSON-LD reads a null as an absent member, and so do we.
            fields.append((attribute, _python_type(member) | None, None))
    return msgspec.defstruct(
        type_name,
        fields,
        namespace={
            "__post_init__": _settle(doubles),
            "start": property(lambda self: datetime.fromisoformat(self.start_text)),
            "end": property(lambda self: datetime.fromisoformat(self.end_text)),
            "type": property(lambda _: type_name),
            "kind": property(lambda _: slug),
        },
        tag_field="@type",
        tag=type_name,
        rename=rename,
        forbid_unknown_fields=True,
        omit_defaults=True,
        frozen=True,
        kw_only=True,
        gc=False,
    )


def _settle(doubles: list[str]) -> Callable[[Any], None]:
    optional = [attribute for attribute in doubles if attribute != "quantity"]
    force = msgspec.structs.force_setattr

    def settle(self: Any) -> None:
        """Bring a record to its canonical form: times in UTC, no negative zero."""
        written = self.start_text
        start, text = _instant(written) or _no_such_time("start")
        if text is not written:
            force(self, "start_text", text)
        written = self.end_text
        end, text = _instant(written) or _no_such_time("end")
        if text is not written:
            force(self, "end_text", text)
        if start > end:
            raise ValueError("the record ends before it starts")
        if not self.quantity:
            force(self, "quantity", 0.0)
        for attribute in optional:
            value = getattr(self, attribute)
            if value is not None:
                force(self, attribute, value + 0.0)

    return settle


@lru_cache(maxsize=8192)
def _instant(text: str) -> tuple[datetime, str] | None:
    """What a time's text means, and its canonical text; None where there is no such time.

    A partner tells of the same hours of many citizens, so that most texts were met just before.
    """
    try:
        instant = datetime.fromisoformat(text)
        # Most come in canonical form, "2026-11-23T10:00:00Z": 20 characters, nothing to rewrite.
        if len(text) == 20:
            return instant, text
        instant = instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    written = instant.isoformat()[:-6]
    return instant, (written.rstrip("0") if instant.microsecond else written) + "Z"


def _no_such_time(member: str) -> NoReturn:
    raise ValueError(f"{member} is not a time that exists")


_PLAIN_MESSAGES = (
    (re.compile(r"^Invalid enum value .*"), "not one of the allowed values"),
    (re.compile(r"^Invalid value .*"), "not a known kind of activity"),
    (re.compile(r"^Expected `str` matching regex .*", re.DOTALL), "not of the form that the kind's shape asks"),
    (re.compile(r"^Object contains unknown field .*", re.DOTALL), "has a member that the kind does not know"),
)


def _not_an_activity(error: msgspec.ValidationError) -> NotAnActivity:
    message, _, path = str(error).partition(" - at `")
    for pattern, plain in _PLAIN_MESSAGES:
        message = pattern.sub(plain, message)
    return NotAnActivity(path.rstrip("`") or "$", message)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _days(duration: timedelta) -> str:
    return f"{duration.days} days"


_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?\Z")


def _duration(text: str) -> timedelta:
    """An ISO 8601 duration; years count 365.25 days and months 30.4375, which is exact enough for plausibility."""
    match = _DURATION.match(text)
    if match is None or text.endswith(("P", "T")):
        raise BrokenVocabulary(f"{text!r} is not a duration")
    years, months, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return timedelta(days=365.25 * years + 30.4375 * months + days, hours=hours, minutes=minutes, seconds=seconds)


def _granularity_order(text: str) -> timedelta:
    return timedelta(0) if text == "event" else _duration(text)


__all__ = [
    "CONTEXT_PATH",
    "QUDT",
    "RDFS",
    "Activity",
    "Kind",
    "Kinds",
    "Label",
    "Member",
    "canonical_double",
    "load_kinds",
    "shapes_graph_files",
]

"""The catalogue of what can come into a citizen's pod, made from what the connectors of this host say of themselves.

One dataset a connector and kind, one data service a door; personal data, so that what is offered is not the data but the way by
which a citizen may have it: under their own consent. Built once as JSON-LD; Turtle is the same graph.

Source: DCAT 3 (W3C Recommendation, 22 August 2024); DCAT-AP-NO 3 (https://data.norge.no/specification/dcat-ap-no); ODRL 2.2; the
EU's authority tables for themes, frequencies, languages, licences and access rights. Shapes: vocab/catalogue-shape.ttl.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pyoxigraph import RdfFormat, parse, serialize

from partner_bridge.connectors import CALCULATORS, MUNICIPALITY, registry
from pod_server.representation import turtle
from vocab.catalogue_words import (
    ACCESS_WORDS,
    ANSWER_WORDS,
    CATALOGUE_WORDS,
    DOOR_WORDS,
    LANGUAGES,
    MADE_BY,
    OFFERED_WORDS,
)
from vocab.kinds import load_kinds
from vocab.terms import DCTERMS, XSD

if TYPE_CHECKING:
    from datetime import date

    from partner_bridge.connectors.calculator import Calculator
    from partner_bridge.connectors.declaration import Channel, Declaration, Frequency, Words
    from partner_bridge.connectors.normalising import Connector
    from vocab.kinds import Kind

PATH = "/vocab/catalogue"

_AUTHORITY = "http://publications.europa.eu/resource/authority/"
_THEMES = {
    "electricity": "ENER",
    "food": "AGRI",
    "travel": "TRAN",
    "consumption": "ECON",
    "waste": "ENVI",
    "steps": "HEAL",
}
"""Of the six categories: energy; agriculture, fisheries, forestry and food; transport; economy; environment; health."""

_FREQUENCIES: dict[Frequency, str] = {
    "continuous": "CONT",
    "hourly": "HOURLY",
    "daily": "DAILY",
    "weekly": "WEEKLY",
    "monthly": "MONTHLY",
    "irregular": "IRREG",
}
_DOORS: dict[str, tuple[str, frozenset[Channel]]] = {
    "push": ("/bridge/connectors", frozenset({"push", "agent"})),
    "webhooks": ("/bridge/webhooks", frozenset({"webhook"})),
    "sources": ("/-/sources", frozenset({"oauth-pull", "token-pull"})),
    "files": ("/-/files", frozenset({"file"})),
}
"""The doors by which the six channels come in; a service that calculates brings nothing in (`_calculated`)."""

CONTEXT: dict[str, Any] = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": DCTERMS,
    "foaf": "http://xmlns.com/foaf/0.1/",
    "vcard": "http://www.w3.org/2006/vcard/ns#",
    "odrl": "http://www.w3.org/ns/odrl/2/",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "xsd": XSD,
    "id": "@id",
    "type": "@type",
    "title": {"@id": "dct:title", "@container": "@language"},
    "description": {"@id": "dct:description", "@container": "@language"},
    "label": {"@id": "rdfs:label", "@container": "@language"},
    "identifier": "dct:identifier",
    "name": "foaf:name",
    "fn": "vcard:fn",
    **{
        term: {"@id": iri, "@type": "@id"}
        for term, iri in {
            "homepage": "foaf:homepage",
            "documentation": "foaf:page",
            "contactPage": "vcard:hasURL",
            "publisher": "dct:publisher",
            "contactPoint": "dcat:contactPoint",
            "dataset": "dcat:dataset",
            "service": "dcat:service",
            "theme": "dcat:theme",
            "themeTaxonomy": "dcat:themeTaxonomy",
            "language": "dct:language",
            "license": "dct:license",
            "accessRights": "dct:accessRights",
            "accrualPeriodicity": "dct:accrualPeriodicity",
            "temporal": "dct:temporal",
            "conformsTo": "dct:conformsTo",
            "distribution": "dcat:distribution",
            "accessURL": "dcat:accessURL",
            "accessService": "dcat:accessService",
            "format": "dct:format",
            "rights": "dct:rights",
            "policy": "odrl:hasPolicy",
            "permission": "odrl:permission",
            "duty": "odrl:duty",
            "action": "odrl:action",
            "target": "odrl:target",
            "endpointURL": "dcat:endpointURL",
            "endpointDescription": "dcat:endpointDescription",
            "servesDataset": "dcat:servesDataset",
        }.items()
    },
    "startDate": {"@id": "dcat:startDate", "@type": "xsd:date"},
    "temporalResolution": {"@id": "dcat:temporalResolution", "@type": "xsd:duration"},
}
PREFIXES = {name: iri for name, iri in CONTEXT.items() if isinstance(iri, str) and iri.startswith("http")}


def catalogue_document(base_url: str, packages: tuple[str, ...], today: date) -> dict[str, Any]:
    """The catalogue as JSON-LD.

    Args:
        base_url: The host's.
        packages: What the host allows beside the house's own connectors.
        today: From which day a first delivery's reach is counted; nothing else in it changes with the days.
    """
    here = f"{base_url}{PATH}"
    connectors = list(registry(packages).connectors.values())
    datasets = [
        _dataset(base_url, today, connector, load_kinds().by_slug[slug])
        for connector in connectors
        for slug in sorted(connector.kinds)
    ]
    services = [
        _service(base_url, door, address, served)
        for door, (address, channels) in _DOORS.items()
        if (served := [each for each in connectors if channels & set(each.declaration.channels)])
    ]
    datasets += [_calculated(base_url, each) for each in CALCULATORS.values()]
    services.append(_calculations(base_url))
    datasets.append(_offers(base_url))
    services.append(_offers_door(base_url))
    organisations = {each.declaration.organisation.slug: each.declaration.organisation for each in CALCULATORS.values()}
    organisations |= {each.declaration.organisation.slug: each.declaration.organisation for each in connectors}
    organisations.setdefault(MUNICIPALITY.declaration.organisation.slug, MUNICIPALITY.declaration.organisation)
    agents: list[dict[str, Any]] = [
        {"id": f"{here}#organisation-{each.slug}", "type": "foaf:Agent", "name": each.name}
        | ({"homepage": each.homepage} if each.homepage else {})
        for each in organisations.values()
    ]
    agents.append(
        {"id": f"{here}#publisher", "type": "foaf:Agent", "name": _title_of(base_url), "homepage": f"{base_url}/-/"}
    )
    catalogue = {
        "id": here,
        "type": "dcat:Catalog",
        **_texts(CATALOGUE_WORDS),
        "identifier": here,
        **_responsible(here),
        "homepage": here,
        "language": [f"{_AUTHORITY}language/{code}" for code in ("NOB", "NNO", "ENG")],
        # Of the catalogue, not of anybody's data: those are offered under no licence but their citizen's consent.
        "license": f"{_AUTHORITY}licence/CC0",
        "themeTaxonomy": f"{_AUTHORITY}data-theme",
        "dataset": [each["id"] for each in datasets],
        "service": [each["id"] for each in services],
    }
    contact = {
        "id": f"{here}#contact",
        "type": "vcard:Organization",
        "fn": _title_of(base_url),
        "contactPage": f"{base_url}/-/partners",
    }
    return {"@context": CONTEXT, "@graph": [catalogue, *datasets, *services, *agents, contact]}


@lru_cache(maxsize=16)
def catalogue_bytes(base_url: str, packages: tuple[str, ...], today: date, media_type: str) -> bytes:
    """The catalogue as JSON-LD, or the very same graph as Turtle; strangers ask for it, so that a day's is made once."""
    body = json.dumps(catalogue_document(base_url, packages, today), ensure_ascii=False).encode()
    if media_type != turtle.MEDIA_TYPE:
        return body
    triples = (quad.triple for quad in parse(body, format=RdfFormat.JSON_LD))
    return serialize(triples, format=RdfFormat.TURTLE, prefixes=PREFIXES) or b""


def dataset_iri(base_url: str, connector: Connector, kind: str) -> str:
    """What a connector brings of one kind, by its own address."""
    return f"{base_url}{PATH}#{connector.name}-{kind}"


def _dataset(base_url: str, today: date, connector: Connector, kind: Kind) -> dict[str, Any]:
    here = f"{base_url}{PATH}"
    declared = connector.declaration
    iri = dataset_iri(base_url, connector, kind.slug)
    made: dict[str, Any] = {
        "id": iri,
        "type": "dcat:Dataset",
        "title": {code: f"{kind.labels[code].title}: {connector.title}" for code in LANGUAGES},
        "description": {code: _described(declared, kind, code) for code in LANGUAGES},
        "identifier": iri,
        "publisher": f"{here}#organisation-{declared.organisation.slug}",
        "contactPoint": f"{here}#contact",
        "theme": f"{_AUTHORITY}data-theme/{_THEMES[kind.category]}",
        "accessRights": f"{_AUTHORITY}access-right/RESTRICTED",
        "accrualPeriodicity": f"{_AUTHORITY}frequency/{_FREQUENCIES[declared.frequency]}",
        "conformsTo": f"{base_url}/vocab/kinds/{kind.slug}/shape.ttl",
        "documentation": [f"{base_url}/vocab/kinds/{kind.slug}"],
        "distribution": _distribution(base_url, connector, iri),
    }
    if declared.format_source.startswith("https://"):
        made["documentation"].append(declared.format_source)
    if declared.granularity != "event":
        made["temporalResolution"] = declared.granularity
    if declared.history is not None:
        begins = today - declared.history
        made["temporal"] = {"type": "dct:PeriodOfTime", "startDate": begins.isoformat()}
    return made


def _calculated(base_url: str, calculator: Calculator) -> dict[str, Any]:
    """What a calculation service answers: figures that come of the citizen's own sums, and no activities."""
    here, declared = f"{base_url}{PATH}", calculator.declaration
    iri = f"{here}#{calculator.name}-calculation"
    said = [ANSWER_WORDS[1], *(_by_language(line) for line in (*declared.guesses, *declared.limits))]
    return {
        "id": iri,
        "type": "dcat:Dataset",
        "title": {code: f"{ANSWER_WORDS[0][code]}: {calculator.title}" for code in LANGUAGES},
        "description": {code: " ".join(each[code] for each in said) for code in LANGUAGES},
        "identifier": iri,
        "publisher": f"{here}#organisation-{declared.organisation.slug}",
        "contactPoint": f"{here}#contact",
        "theme": f"{_AUTHORITY}data-theme/ENVI",
        "accessRights": f"{_AUTHORITY}access-right/RESTRICTED",
        "accrualPeriodicity": f"{_AUTHORITY}frequency/{_FREQUENCIES[declared.frequency]}",
        "conformsTo": "http://www.w3.org/ns/prov#",
        "documentation": [f"{base_url}/-/calculations"],
        "temporalResolution": declared.granularity,
        "distribution": _distribution(base_url, calculator, iri),
    }


def _calculations(base_url: str) -> dict[str, Any]:
    here = f"{base_url}{PATH}"
    return {
        "id": f"{here}#door-calculations",
        "type": "dcat:DataService",
        **_texts(DOOR_WORDS["calculations"]),
        **_responsible(here),
        "endpointURL": f"{base_url}/-/calculations",
        "endpointDescription": f"{base_url}/openapi.json",
        "servesDataset": [f"{here}#{each}-calculation" for each in CALCULATORS],
    }


def _offers(base_url: str) -> dict[str, Any]:
    """What municipalities offer: the one dataset here that is public, and of nobody's pod."""
    here, declared = f"{base_url}{PATH}", MUNICIPALITY.declaration
    iri = f"{here}#{MUNICIPALITY.name}-offers"
    said = [OFFERED_WORDS[1], *(_by_language(line) for line in (*declared.guesses, *declared.limits))]
    return {
        "id": iri,
        "type": "dcat:Dataset",
        "title": OFFERED_WORDS[0],
        "description": {code: " ".join(each[code] for each in said) for code in LANGUAGES},
        "identifier": iri,
        "publisher": f"{here}#organisation-{declared.organisation.slug}",
        "contactPoint": f"{here}#contact",
        "theme": f"{_AUTHORITY}data-theme/GOVE",
        "accessRights": f"{_AUTHORITY}access-right/PUBLIC",
        "accrualPeriodicity": f"{_AUTHORITY}frequency/{_FREQUENCIES[declared.frequency]}",
        "conformsTo": f"{base_url}/vocab/ontology.ttl",
        "documentation": [f"{base_url}/-/offers"],
        "distribution": {
            "id": f"{iri}-published",
            "type": "dcat:Distribution",
            **_texts(OFFERED_WORDS),
            "accessURL": f"{base_url}/vocab/offers",
            "accessService": [f"{here}#door-offers"],
            "format": f"{_AUTHORITY}file-type/JSON_LD",
            "rights": {"type": "dct:RightsStatement", "label": _by_language(declared.terms)},
            "policy": {
                "type": "odrl:Offer",
                "permission": {"type": "odrl:Permission", "action": "odrl:use", "target": iri},
            },
        },
    }


def _offers_door(base_url: str) -> dict[str, Any]:
    here = f"{base_url}{PATH}"
    return {
        "id": f"{here}#door-offers",
        "type": "dcat:DataService",
        **_texts(DOOR_WORDS["offers"]),
        **_responsible(here),
        "endpointURL": f"{base_url}/vocab/offers",
        "endpointDescription": f"{base_url}/openapi.json",
        "servesDataset": [f"{here}#{MUNICIPALITY.name}-offers"],
    }


def _distribution(base_url: str, connector: Connector | Calculator, dataset: str) -> dict[str, Any]:
    doors = [door for door, (_, channels) in _DOORS.items() if channels & set(connector.declaration.channels)]
    doors += ["calculations"] if "calculation" in connector.declaration.channels else []
    return {
        "id": f"{dataset}-in-a-pod",
        "type": "dcat:Distribution",
        **_texts(ACCESS_WORDS),
        "accessURL": f"{base_url}/-/my-data",
        "accessService": [f"{base_url}{PATH}#door-{door}" for door in doors],
        "format": f"{_AUTHORITY}file-type/JSON_LD",
        "rights": {"type": "dct:RightsStatement", "label": _by_language(connector.declaration.terms)},
        # ODRL 2.2: whoever delivers may do so once the citizen consented; nobody else is permitted anything.
        "policy": {
            "type": "odrl:Offer",
            "permission": {
                "type": "odrl:Permission",
                "action": "odrl:distribute",
                "target": dataset,
                "duty": {"type": "odrl:Duty", "action": "odrl:obtainConsent"},
            },
        },
    }


def _service(base_url: str, door: str, address: str, served: list[Connector]) -> dict[str, Any]:
    here = f"{base_url}{PATH}"
    return {
        "id": f"{here}#door-{door}",
        "type": "dcat:DataService",
        **_texts(DOOR_WORDS[door]),
        **_responsible(here),
        "endpointURL": f"{base_url}{address}",
        "endpointDescription": f"{base_url}/openapi.json",
        "servesDataset": [dataset_iri(base_url, each, kind) for each in served for kind in sorted(each.kinds)],
    }


def _responsible(here: str) -> dict[str, str]:
    return {"publisher": f"{here}#publisher", "contactPoint": f"{here}#contact"}


def _title_of(base_url: str) -> str:
    return MADE_BY.format(host=urlsplit(base_url).netloc)


def _texts(words: tuple[dict[str, str], dict[str, str]]) -> dict[str, Any]:
    return {"title": words[0], "description": words[1]}


def _described(declared: Declaration, kind: Kind, code: str) -> str:
    said = [kind.labels[code].description]
    said += [_by_language(line)[code] for line in (*declared.guesses, *declared.limits)]
    return " ".join(said)


def _by_language(words: Words) -> dict[str, str]:
    return dict(zip(LANGUAGES, words, strict=True))

"""What consent records are written in: their JSON-LD context, their SHACL shape, and each kind's category of data."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pyoxigraph import NamedNode

from vocab.kinds import load_kinds
from vocab.terms import FOLDER, SKOS, Graph

CONTEXT_PATH = "/vocab/consent/context.jsonld"
SHAPE_FILE = FOLDER / "consent" / "shape.ttl"
CONTEXT_FILE = FOLDER / "consent" / "context.jsonld"


@cache
def load_consent_context() -> dict[str, Any]:
    """The value of the context that every consent record names."""
    context: dict[str, Any] = json.loads(CONTEXT_FILE.read_bytes())["@context"]
    return context


@cache
def personal_data_of(kind_slug: str) -> tuple[str, str]:
    """A kind's class, and the DPV category of personal data that it falls under, as IRIs.

    Raises:
        BrokenVocabulary: vocab/consent/personal-data.ttl says nothing of the kind.
    """
    kind = load_kinds().by_slug[kind_slug]
    graph = Graph([FOLDER / "consent" / "personal-data.ttl"])
    return kind.iri, graph.required(NamedNode(kind.iri), f"{SKOS}broader")

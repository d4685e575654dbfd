"""The IRIs of the vocabularies we use, and small ways to read them from a graph."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyoxigraph as ox

from vocab.errors import BrokenVocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable

FOLDER = Path(__file__).parent

TVILLING = "https://w3id.org/tvilling#"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
XSD = "http://www.w3.org/2001/XMLSchema#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
SHACL = "http://www.w3.org/ns/shacl#"
PROV = "http://www.w3.org/ns/prov#"
QUDT = "http://qudt.org/schema/qudt/"
UNIT = "http://qudt.org/vocab/unit/"
ECFO = "https://w3id.org/ecfo#"
PECO = "https://w3id.org/peco#"
DCTERMS = "http://purl.org/dc/terms/"
TIME = "http://www.w3.org/2006/time#"

Subject = ox.NamedNode | ox.BlankNode


class Graph:
    """A small graph in memory, read by subject and predicate."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.store = ox.Store()
        self.files = tuple(files)
        for file in self.files:
            self.store.load(path=str(file), format=ox.RdfFormat.TURTLE, base_iri=TVILLING)

    def objects(self, subject: Subject, predicate: str) -> list[ox.NamedNode | ox.BlankNode | ox.Literal]:
        """Every object, in a stable order."""
        found = [quad.object for quad in self.store.quads_for_pattern(subject, ox.NamedNode(predicate), None)]
        return sorted((each for each in found if not isinstance(each, ox.Triple)), key=str)

    def subjects(self, predicate: str, object_: str) -> list[Subject]:
        """Every subject that has this predicate with this IRI, in a stable order."""
        found = self.store.quads_for_pattern(None, ox.NamedNode(predicate), ox.NamedNode(object_))
        return sorted((quad.subject for quad in found if not isinstance(quad.subject, ox.Triple)), key=str)

    def text(self, subject: Subject, predicate: str) -> str | None:
        """The one value (a literal's text or an IRI), or None.

        Raises:
            BrokenVocabulary: there are several.
        """
        found = self.objects(subject, predicate)
        if len(found) > 1:
            raise BrokenVocabulary(f"{subject} has {len(found)} values of {predicate}")
        return str(found[0].value) if found else None

    def required(self, subject: Subject, predicate: str) -> str:
        """The one value.

        Raises:
            BrokenVocabulary: there is none, or there are several.
        """
        value = self.text(subject, predicate)
        if value is None:
            raise BrokenVocabulary(f"{subject} lacks {predicate}")
        return value

    def by_language(self, subject: Subject, predicate: str) -> dict[str, str]:
        """The literals by their language tag."""
        return {
            str(each.language): each.value
            for each in self.objects(subject, predicate)
            if isinstance(each, ox.Literal) and each.language
        }

    def items(self, head: Subject) -> list[ox.NamedNode | ox.BlankNode | ox.Literal]:
        """The members of an RDF list."""
        members: list[ox.NamedNode | ox.BlankNode | ox.Literal] = []
        node: ox.NamedNode | ox.BlankNode | ox.Literal = head
        while not (isinstance(node, ox.NamedNode) and node.value == f"{RDF}nil"):
            if isinstance(node, ox.Literal):
                raise BrokenVocabulary("a list whose tail is a literal")
            members.append(self.objects(node, f"{RDF}first")[0])
            node = self.objects(node, f"{RDF}rest")[0]
        return members

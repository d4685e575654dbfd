"""What a document of activities says beside its records: how the figures count them.

    <#counting>        tv:Counting: among how many the household's records are divided
    <#left-out-…>      tv:LeftOut: one record that the figures leave out, the reason, and what counts instead
    <#said-…>          tv:Rectification: what the citizen said of a record, and what became of it (GDPR Art. 16 and 18)

They are nodes of their own, so that a record stays what its partner delivered and what its kind's shape accepts. Whoever
adds up the records of which no tv:LeftOut of the same document tells comes to the figures (docs/solid-apps.md).

Source: PROV-O (W3C Recommendation 2013); the terms are in vocab/ontology/tvilling.ttl, their shape in
vocab/counting-shape.ttl.
"""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import TYPE_CHECKING

from pyoxigraph import Literal, NamedNode, Triple

from pod_server.left_out import REASONS, record_id
from vocab.kinds import load_kinds
from vocab.terms import PROV, RDF, TVILLING, XSD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    from pod_server.activities import StoredActivity
    from pod_server.left_out import Counting, LeftOut
    from pod_server.rectifications import Rectification

Key = tuple[str, str]

_TYPE = NamedNode(f"{RDF}type")
_ENTITY = NamedNode(f"{PROV}Entity")
_ATTRIBUTED = NamedNode(f"{PROV}wasAttributedTo")
_GENERATED = NamedNode(f"{PROV}generatedAtTime")
_DERIVED = NamedNode(f"{PROV}wasDerivedFrom")


def statements(
    document_iri: str,
    records: Iterable[StoredActivity],
    counting: Counting,
    *,
    every: Mapping[Key, StoredActivity],
    document_of: Callable[[StoredActivity], str],
    container_of: Callable[[str], str],
    owner: str,
) -> Iterator[Triple]:
    """The statements of one document.

    Args:
        document_iri: The document's own address.
        records: Its records.
        counting: How they stand.
        every: The records among which that was decided, by grant and id.
        document_of: The address of the document that holds a record.
        container_of: The address of a grant's container.
        owner: The citizen's WebID.
    """
    here = NamedNode(f"{document_iri}#counting")
    yield Triple(here, _TYPE, _term("Counting"))
    yield Triple(here, _TYPE, _ENTITY)
    yield Triple(here, _ATTRIBUTED, _term("Twin"))
    yield Triple(here, _term("members"), Literal(counting.members))
    for record in records:
        key = (record.grant, record_id(record.raw))
        said, left_out = counting.said.get(key), counting.left_out.get(key)
        if said is None and left_out is None:
            continue
        subject = _record_iri(record, document_iri)
        if said is not None:
            yield from _rectification(document_iri, subject, said, owner)
        if left_out is not None:
            found = None if left_out.instead is None else every.get((left_out.instead.grant, left_out.instead.by))
            instead = None if found is None else _record_iri(found, document_of(found))
            yield from _left_out(document_iri, key, subject, left_out, instead, container_of)


def _left_out(  # noqa: PLR0917 - called in one place
    document_iri: str,
    key: Key,
    subject: NamedNode,
    left_out: LeftOut,
    instead: NamedNode | None,
    container_of: Callable[[str], str],
) -> Iterator[Triple]:
    # Named after the record, so that the same statement has the same address at the next look.
    node = NamedNode(f"{document_iri}#left-out-{hashlib.sha256(key[1].encode()).hexdigest()[:20]}")
    yield Triple(node, _TYPE, _term("LeftOut"))
    yield Triple(node, _TYPE, _ENTITY)
    yield Triple(node, _term("leavesOut"), subject)
    yield Triple(node, _term("notCountedBecause"), NamedNode(left_out.reason))
    yield Triple(node, _ATTRIBUTED, _term("Twin"))
    if left_out.rectification is not None:
        yield Triple(node, _DERIVED, _said_iri(document_iri, left_out.rectification))
    if left_out.instead is not None:
        if left_out.instead.grant:
            yield Triple(node, _term("countedUnder"), NamedNode(container_of(left_out.instead.grant)))
        if instead is not None:
            yield Triple(node, _term("countedInstead"), instead)
        elif left_out.instead.by:
            yield Triple(node, _term("countedAs"), Literal(left_out.instead.by))


def _rectification(document_iri: str, subject: NamedNode, said: Rectification, owner: str) -> Iterator[Triple]:
    node = _said_iri(document_iri, said)
    yield Triple(node, _TYPE, _term("Rectification"))
    yield Triple(node, _TYPE, _ENTITY)
    yield Triple(node, _term("rectifies"), subject)
    yield Triple(node, _term("claimed"), NamedNode(f"{REASONS}said-{said.claim}"))
    yield Triple(node, _term("rectificationState"), Literal(said.state))
    yield Triple(node, _ATTRIBUTED, NamedNode(owner))
    yield Triple(node, _GENERATED, _instant(said.created))
    for number, step in enumerate(said.trail, 1):
        at = NamedNode(f"{node.value}-{number}")
        yield Triple(node, _term("step"), at)
        yield Triple(at, _TYPE, NamedNode(f"{PROV}InstantaneousEvent"))
        yield Triple(at, NamedNode(f"{PROV}atTime"), _instant(step.at))
        yield Triple(at, _term("stepWhat"), Literal(step.what))


def _said_iri(document_iri: str, said: Rectification) -> NamedNode:
    return NamedNode(f"{document_iri}#said-{said.rectification_id}")


def _record_iri(record: StoredActivity, document_iri: str) -> NamedNode:
    subject = load_kinds().quads(record.raw, document_iri)[0].subject
    assert isinstance(subject, NamedNode)
    return subject


def _term(name: str) -> NamedNode:
    return NamedNode(f"{TVILLING}{name}")


def _instant(at: datetime) -> Literal:
    text = at.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return Literal(text, datatype=NamedNode(f"{XSD}dateTime"))

"""JSON-LD: contexts by reference are the house's own or refused."""

from __future__ import annotations

import pytest
from pyoxigraph import Literal, NamedNode, Triple

from pod_server.representation import json_ld
from pod_server.representation.errors import MalformedRepresentation, RemoteContextRefused

BASE = "http://localhost/doc"
KNOWN = {"/vocab/context.jsonld": {"name": "http://example.org/name"}}


def test_a_context_of_the_house_may_be_named():
    graph = json_ld.read(b'{"@context": ["/vocab/context.jsonld"], "@id": "", "name": "Kari"}', BASE, KNOWN)
    assert graph.triples == (Triple(NamedNode(BASE), NamedNode("http://example.org/name"), Literal("Kari")),)


@pytest.mark.parametrize(
    "body",
    [
        b'{"@context": "https://schema.org/", "name": "x"}',
        b'{"@context": [{"a": "urn:a"}, "file:///etc/passwd"], "a": 1}',
        b'{"@context": {"@import": "https://schema.org/"}, "a": 1}',
        b'{"@context": {"a": {"@id": "urn:a", "@context": "http://169.254.169.254/"}}, "a": {"b": 1}}',
        b'{"@context": "/vocab/context.jsonld/../../secret", "a": 1}',
    ],
)
def test_every_other_context_elsewhere_is_refused(body):
    with pytest.raises(RemoteContextRefused):
        json_ld.read(body, BASE, KNOWN)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[" * 200_000, b'{"@id": "a", "@graph": [{"@id": "b", "urn:p": 1}]}', b"\xff"]
)
def test_what_is_not_one_graph_of_json_ld_is_malformed(body):
    with pytest.raises(MalformedRepresentation):
        json_ld.read(body, BASE, KNOWN)

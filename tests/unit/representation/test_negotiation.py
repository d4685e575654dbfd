"""Content negotiation: quality values decide, the server's order breaks ties (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import pytest

from pod_server.representation import negotiation
from pod_server.representation.errors import NotAcceptable, UnsupportedMediaType

TURTLE, JSON_LD, N_TRIPLES, TRIG, N_QUADS = negotiation.RDF_MEDIA_TYPES


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, TURTLE),
        ("", TURTLE),
        ("*/*", TURTLE),
        ("application/ld+json", JSON_LD),
        ("application/n-triples", N_TRIPLES),
        ("text/turtle;q=0.5, application/ld+json", JSON_LD),
        ("text/turtle;q=0.5, application/ld+json;q=0.4", TURTLE),
        ("application/*", JSON_LD),
        ("text/html, application/xhtml+xml, */*;q=0.8", TURTLE),
        ("text/turtle;q=0, */*", JSON_LD),
        ('application/ld+json;profile="http://www.w3.org/ns/json-ld#expanded"', JSON_LD),
    ],
)
def test_the_best_of_what_is_accepted_is_chosen(accept, chosen):
    assert negotiation.choose(accept, negotiation.RDF_MEDIA_TYPES) == chosen


@pytest.mark.parametrize("accept", ["text/html", "image/png, text/plain;q=0.2", "text/turtle;q=0"])
def test_what_cannot_be_made_is_refused_with_what_can(accept):
    with pytest.raises(NotAcceptable) as caught:
        negotiation.choose(accept, negotiation.RDF_MEDIA_TYPES)
    assert caught.value.available == list(negotiation.RDF_MEDIA_TYPES)


@pytest.mark.parametrize(
    ("content_type", "media_type"),
    [("Text/Turtle; charset=utf-8", "text/turtle"), (None, ""), ("", ""), ("text/turtle;", "text/turtle")],
)
def test_a_media_type_has_no_parameters_or_capitals(content_type, media_type):
    assert negotiation.media_type_of(content_type) == media_type


def test_rdf_xml_is_not_read():
    with pytest.raises(UnsupportedMediaType):
        negotiation.read(b"<rdf/>", "application/rdf+xml", "http://localhost/")

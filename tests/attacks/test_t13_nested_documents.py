"""T13: a document that is nested so deep that a parser's stack would end the process is refused before it is parsed."""

from __future__ import annotations

import pytest
from pyoxigraph import RdfFormat
from solid_app import SolidApp, make_town

from pod_server.representation.errors import MalformedRepresentation
from pod_server.representation.nesting import DEEPEST, check_nesting

JSON, TURTLE = RdfFormat.JSON_LD, RdfFormat.TURTLE
DEEP = 30_000
BOMBS = {
    "objects": (b'{"http://a/b":' * DEEP + b"1" + b"}" * DEEP, JSON),
    "unknown members": (b'{"a":' * DEEP + b"1" + b"}" * DEEP, JSON),
    "lists": (b'{"@list":[' * DEEP + b"1" + b"]}" * DEEP, JSON),
    "contexts": (b'{"@context":{"a":{"@id":"http://a/","@context":' * DEEP + b"{}" + b"}}}" * DEEP, JSON),
    "objects that never end": (b'{"a":' * DEEP, JSON),
    "objects behind a text with brackets": (b'{"a]]]]}}}}":' * DEEP + b"1" + b"}" * DEEP, JSON),
    "objects behind escaped quotes": (b'{"a\\"\\\\":' * DEEP + b"1" + b"}" * DEEP, JSON),
    "triple terms": (b"<#a> <#b> " + b"<<( <#a> <#b> " * DEEP + b"1 " + b")>>" * DEEP + b" .", TURTLE),
    "triple terms behind a comment": (
        b"# ''' \" <\n<#a> <#b> " + b"<<( <#a> <#b> " * DEEP + b"1 " + b")>>" * DEEP + b" .", TURTLE,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_deep_nesting_is_refused_before_any_parser_sees_it(name):
    body, rdf_format = BOMBS[name]
    with pytest.raises(MalformedRepresentation, match="nested"):
        check_nesting(body, rdf_format)


@pytest.mark.parametrize(
    ("body", "rdf_format"),
    [
        (b"[" + b"{}," * 5_000 + b"{}]", JSON),
        (b'{"a": "' + b"[{" * 5_000 + b'"}', JSON),
        (b'{"a":' * (DEEPEST - 1) + b"1" + b"}" * (DEEPEST - 1), JSON),
        (b'<#a> <#b> "' + b"cout << x; " * 500 + b'" .', TURTLE),
        (b"# " + b"<< " * 500 + b"\n<#a> <#b> <#c> .", TURTLE),
        (b"<#a> <#b> " + b"(" * 20_000 + b")" * 20_000 + b" .", TURTLE),
        (b"", JSON),
    ],
)
def test_long_and_ordinary_documents_pass(body, rdf_format):
    check_nesting(body, rdf_format)


@pytest.mark.parametrize(
    ("body", "media_type"),
    [(BOMBS["unknown members"][0], "application/ld+json"), (BOMBS["triple terms"][0], "text/turtle")],
)
def test_a_worker_outlives_a_bomb_in_a_pod(city, body, media_type):
    town = make_town(city)
    kari = town.citizen("kari")
    app = SolidApp(town.host, client=town.stranger())
    app.register()
    token = app.let_in(kari)["access_token"]
    put = app.use("PUT", "/kari/bomb", token, data=body, headers={"Content-Type": media_type})
    assert put.status_code == 400
    assert "nested" in put.json["detail"]
    assert app.use("GET", "/kari/", token).status_code == 200

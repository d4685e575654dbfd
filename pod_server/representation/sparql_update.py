"""The part of SPARQL 1.1 Update that Solid clients send: INSERT and DELETE of data, or of matches of plain patterns.

    [PREFIX …] INSERT DATA { … } | DELETE DATA { … } | DELETE WHERE { … } | [DELETE { … }] [INSERT { … }] WHERE { … } ; …

Graphs, filters, LOAD and everything else that could reach outside the one document is refused. An operation is cut
into its blocks here; the blocks are triples, which n3_patch.py parses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pod_server.representation.errors import MalformedRepresentation, PatchNotProcessable
from pod_server.representation.n3_patch import (
    blank_nodes_as_variables,
    check_variables,
    formula,
    parse_with_variables,
    prefix_lines,
)
from pod_server.representation.patch import Patch, Pattern

MEDIA_TYPE = "application/sparql-update"

_TOKEN = re.compile(
    r'(?P<opaque>"""(?:[^\\]|\\.)*?"""|\'\'\'(?:[^\\]|\\.)*?\'\'\'|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|\\.)'
    r'|(?P<iri><[^<>"{}|^`\x00-\x20]*>)'
    r"|(?P<comment>\#[^\n]*)"
    r"|(?P<space>\s+)"
    r"|(?P<open>\{)|(?P<close>\})|(?P<semicolon>;)"
    r"|(?P<word>[\w:.-]+)"
    r"|(?P<other>.)",
    re.DOTALL,
)

_LINK = "urn:tvilling:block"


@dataclass
class _Cutter:
    """Walks over the tokens of an update; `text` keeps comments out, so that a brace in one cannot count."""

    tokens: list[tuple[str, str]]
    place: int = 0

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.place] if self.place < len(self.tokens) else ("end", "")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.place += 1
        return token

    def word(self) -> str:
        self.skip_space()
        kind, text = self.peek()
        return text.upper() if kind == "word" else ""

    def skip_space(self) -> None:
        while self.peek()[0] == "space":
            self.place += 1

    def block(self) -> str:
        """The text between two braces; braces within it (GRAPH, OPTIONAL, UNION) are refused."""
        self.skip_space()
        if self.take()[0] != "open":
            raise MalformedRepresentation("a block in braces was expected in the update")
        parts: list[str] = []
        while True:
            kind, text = self.take()
            if kind == "close":
                return "".join(parts)
            if kind == "open":
                raise PatchNotProcessable("graphs and group patterns are not supported in an update of one document")
            if kind == "end":
                raise MalformedRepresentation("a brace is not closed in the update")
            parts.append(text)


def read(body: bytes, base_iri: str) -> list[Patch]:
    """Read an update: its operations, to be applied in order.

    Raises:
        MalformedRepresentation: not SPARQL Update.
        PatchNotProcessable: SPARQL Update of a form that is not supported here.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise MalformedRepresentation("the update is not UTF-8") from error
    tokens = [(match.lastgroup or "other", match[0]) for match in _TOKEN.finditer(text)]
    cutter = _Cutter([("space", " ") if kind == "comment" else (kind, token) for kind, token in tokens])
    prefixes: dict[str, str] = {}
    patches: list[Patch] = []
    while True:
        base_iri = _prologue(cutter, prefixes, base_iri)
        if cutter.peek()[0] == "end":
            break
        patches.append(_operation(cutter, prefixes, base_iri))
        cutter.skip_space()
        kind, _ = cutter.take()
        if kind == "end":
            break
        if kind != "semicolon":
            raise MalformedRepresentation("operations of an update are separated by semicolons")
    if not patches:
        raise PatchNotProcessable("the update holds no operation")
    return patches


def _prologue(cutter: _Cutter, prefixes: dict[str, str], base_iri: str) -> str:
    while (word := cutter.word()) in {"PREFIX", "BASE"}:
        cutter.take()
        if word == "BASE":
            # A base of the client's own would let relative IRIs mean something else than this document.
            raise PatchNotProcessable("BASE is not supported; relative IRIs are relative to the document")
        cutter.skip_space()
        name = cutter.take()[1]
        cutter.skip_space()
        kind, iri = cutter.take()
        if kind != "iri" or not name.endswith(":"):
            raise MalformedRepresentation("a PREFIX line is a name with a colon, then an IRI in angle brackets")
        prefixes[name[:-1]] = iri[1:-1]
    return base_iri


def _operation(cutter: _Cutter, prefixes: dict[str, str], base_iri: str) -> Patch:
    deletions: str | None = None
    insertions: str | None = None
    conditions: str | None = None
    data = False
    first = cutter.word()
    if first not in {"INSERT", "DELETE"}:
        raise PatchNotProcessable("only INSERT and DELETE are supported in an update of one document")
    cutter.take()
    if cutter.word() == "DATA":
        cutter.take()
        data = True
        block = cutter.block()
        deletions, insertions = (block, None) if first == "DELETE" else (None, block)
    elif first == "DELETE" and cutter.word() == "WHERE":
        cutter.take()
        deletions = conditions = cutter.block()
    else:
        if first == "DELETE":
            deletions = cutter.block()
            if cutter.word() == "INSERT":
                cutter.take()
                insertions = cutter.block()
        else:
            insertions = cutter.block()
        if cutter.word() != "WHERE":
            raise PatchNotProcessable("WHERE is missing, or something stands before it that is not supported")
        cutter.take()
        conditions = cutter.block()
    return _patch(conditions, deletions, insertions, prefixes, base_iri, data=data)


def _patch(
    conditions: str | None,
    deletions: str | None,
    insertions: str | None,
    prefixes: dict[str, str],
    base_iri: str,
    *,
    data: bool,
) -> Patch:
    where = blank_nodes_as_variables(_triples(conditions, prefixes, base_iri))
    deleted = _triples(deletions, prefixes, base_iri)
    inserted = _triples(insertions, prefixes, base_iri)
    if any(term.__class__.__name__ == "BlankNode" for pattern in deleted for term in pattern):
        raise PatchNotProcessable("blank nodes must not stand in what is deleted (SPARQL 1.1 Update, section 4.1.2)")
    if data:
        check_variables((), deleted, inserted)
    check_variables(where, deleted, inserted)
    return Patch(where, deleted, inserted, strict=False, prefixes=dict(prefixes))


def _triples(block: str | None, prefixes: dict[str, str], base_iri: str) -> tuple[Pattern, ...]:
    if block is None or not block.strip():
        return ()
    # In a formula, as in SPARQL and unlike in Turtle, the last full stop may be left out.
    quads, _ = parse_with_variables(f"{prefix_lines(prefixes)}<{_LINK}> <{_LINK}> {{ {block} }} .", base_iri)
    links = [quad.object for quad in quads if str(quad.subject) == f"<{_LINK}>" and str(quad.predicate) == f"<{_LINK}>"]
    if len(links) != 1:
        raise PatchNotProcessable("the update uses a name that is kept for the server's own use")
    return formula(quads, links[0])

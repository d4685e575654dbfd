"""What a query may not contain, found as SPARQL's own grammar finds it, not by looking for words.

Codepoint escapes are undone first, then comments, strings and IRIs are passed over whole: a keyword inside one of them
is no keyword, and a keyword hidden by them is found. This gives a clear refusal; that nothing could come of it anyway is
the child process's doing (child.py).

Source: SPARQL 1.1 Query Language (W3C Recommendation 2013), section 19.2 (codepoint escapes) and 19.8 (grammar).
"""

from __future__ import annotations

import re

from pod_server.queries.errors import QueryRefused

MAXIMUM_QUERY_CHARACTERS = 20_000

_ESCAPE = re.compile(r"\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})")
_TOKEN = re.compile(
    r"""
      (?P<iri> <[^<>"{}|^`\\\x00-\x20]*> )
    | (?P<comment> \#[^\n\r]* )
    | (?P<long_string> \"{3}(?:\"{0,2}(?:[^"\\]|\\.))*\"{3} | '{3}(?:'{0,2}(?:[^'\\]|\\.))*'{3} )
    | (?P<string> "(?:[^"\\\n\r]|\\.)*" | '(?:[^'\\\n\r]|\\.)*' )
    | (?P<variable> [?$][\w·]+ )
    | (?P<name> [^\W\d_][\w.-]*:[\w.:%\\-]* | :[\w.:%\\-]* | _:[\w.-]* )
    | (?P<language> @[A-Za-z]+(?:-[A-Za-z0-9]+)* )
    | (?P<word> [^\W\d_]\w* )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)

_REFUSED = {
    "SERVICE": "SERVICE would ask another server; this endpoint asks nobody.",
    "LOAD": "LOAD would read other data; this endpoint answers queries only.",
    "INSERT": "Nothing can be changed here; this endpoint answers queries only.",
    "DELETE": "Nothing can be changed here; this endpoint answers queries only.",
    "DROP": "Nothing can be changed here; this endpoint answers queries only.",
    "CLEAR": "Nothing can be changed here; this endpoint answers queries only.",
    "CREATE": "Nothing can be changed here; this endpoint answers queries only.",
    "COPY": "Nothing can be changed here; this endpoint answers queries only.",
    "MOVE": "Nothing can be changed here; this endpoint answers queries only.",
    "ADD": "Nothing can be changed here; this endpoint answers queries only.",
}


_DATA_SET = "FROM"
_TOUCHING = frozenset({"SERVICE", _DATA_SET})
"""Parsers let keywords touch ("ASKFROM<…>", "SERVICE:x"); no other keyword of SPARQL contains these two."""


def check_query(query: str, *, may_choose_data_set: bool = False) -> None:
    """Refuse what an endpoint does not do.

    Args:
        query: The query's text.
        may_choose_data_set: Whether FROM and FROM NAMED may choose among the graphs that are there.

    Raises:
        QueryRefused: an update, SERVICE, FROM where it is not allowed, or an overlong text; the message says which.
    """
    if len(query) > MAXIMUM_QUERY_CHARACTERS:
        raise QueryRefused(f"A query has at most {MAXIMUM_QUERY_CHARACTERS} characters.")
    found = keywords(query)
    for refused, reason in _REFUSED.items():
        if any(_is(word, refused) for word in found):
            raise QueryRefused(reason)
    if not may_choose_data_set and any(_is(word, _DATA_SET) for word in found):
        raise QueryRefused("FROM names other data; every query here is over the same graphs; GRAPH chooses among them.")


def chooses_data_set(query: str) -> bool:
    """Whether a query has FROM or FROM NAMED.

    Raises:
        QueryRefused: a prefix has `from` in it, and so cannot be told from the keyword that touches a name.
    """
    plain = _ESCAPE.sub(_character, query)
    tokens = [match for match in _TOKEN.finditer(plain) if match.lastgroup in {"word", "name"}]
    if any(token.lastgroup == "name" and _DATA_SET in token.group().split(":")[0].upper() for token in tokens):
        raise QueryRefused("Put a space behind FROM, and call no prefix that.")
    return any(token.lastgroup == "word" and _DATA_SET in token.group().upper() for token in tokens)


def _is(word: str, keyword: str) -> bool:
    return word == keyword or (keyword in _TOUCHING and keyword in word)


def keywords(query: str) -> set[str]:
    """The bare words of a query and the prefixes of its names, in upper case, once escapes are undone."""
    plain = _ESCAPE.sub(_character, query)
    words = {match.group().upper() for match in _TOKEN.finditer(plain) if match.lastgroup == "word"}
    return words | {
        match.group().split(":")[0].upper() for match in _TOKEN.finditer(plain) if match.lastgroup == "name"
    }


def _character(match: re.Match[str]) -> str:
    code = int(match.group(1) or match.group(2), 16)
    return chr(code) if code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF else "\ufffd"

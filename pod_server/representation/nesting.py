"""How deep a document is nested, looked at before it is parsed.

pyoxigraph reads JSON-LD and RDF 1.2's triple terms by recursion, and some fifteen kilobytes of brackets would end the
whole process (measured: a depth of 990 on a stack of 2 MiB).
"""

from __future__ import annotations

import re
from itertools import accumulate
from typing import TYPE_CHECKING

from pyoxigraph import RdfFormat

from pod_server.representation.errors import MalformedRepresentation

if TYPE_CHECKING:
    from collections.abc import Iterable

DEEPEST = 100
"""Hand-written and generated documents stay below thirty."""

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_JSON_TEXT = re.compile(rb'"[^"]*"')
_NOT_BRACKETS = bytes(each for each in range(256) if each not in b"[]{}")
_STEP = {each: 1 if each in b"[{" else -1 for each in b"[]{}"}
_TOKEN = re.compile(
    rb'<<|>>|<[^<>"{}|^`\\\x00-\x20]*>|"""(?:[^"\\]|\\.|"(?!""))*"""|'
    rb"'''(?:[^'\\]|\\.|'(?!''))*'''|"
    rb'"(?:[^"\\\n\r]|\\.)*"|'
    rb"'(?:[^'\\\n\r]|\\.)*'|#[^\n\r]*",
    re.DOTALL,
)


def check_nesting(body: bytes, rdf_format: RdfFormat) -> None:
    """Hold a document's depth against DEEPEST; costs a look at its length where it has few brackets.

    Raises:
        MalformedRepresentation: it is nested deeper.
    """
    if rdf_format == RdfFormat.JSON_LD:
        if body.count(b"{") + body.count(b"[") > DEEPEST:
            # What is left of a text that is no JSON is counted too; the parser refuses it where it stops being JSON.
            brackets = _JSON_TEXT.sub(b"", _ESCAPED.sub(b"", body)).translate(None, _NOT_BRACKETS)
            _check(_STEP[each] for each in brackets)
    elif body.count(b"<<") > DEEPEST:
        tokens = (found.group() for found in _TOKEN.finditer(body))
        _check(1 if token == b"<<" else -1 for token in tokens if token in {b"<<", b">>"})


def _check(steps: Iterable[int]) -> None:
    if max(accumulate(steps), default=0) > DEEPEST:
        raise MalformedRepresentation(f"the document is nested deeper than {DEEPEST} levels")

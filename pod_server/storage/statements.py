"""What a statement is about: which pods, which tables, and whether it changes them.

Every statement on citizens' data names its pod (`pod_id = ?`, `pod_id IN (?, ?)`, or a column of an INSERT). So an
engine that has many writers knows from the statement itself what a writing transaction must have to itself, an engine
that has many machines knows where to send it, and a test can hold the house to it (tests/unit/storage/test_statements.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from pod_server.storage.schema_version import tables_of_pods

if TYPE_CHECKING:
    from collections.abc import Sequence

REACHED_BY_ANOTHER_NAME = {
    "app_code": "an app shows a code, not a pod",
    "app_connection": "tokens name the connection",
    "app_refresh_token": "an app shows a token, not a pod",
    "authorization_code": "a partner shows a code, not a pod",
    "grant_route": "partners know grants, not pods: this is the way from one to the other",
    "live_ticket": "a page shows a ticket, not a pod",
    "outbox": "each partner's messages are sent in their order, whichever pods they concern",
    "passkey": "a device shows a credential, not a pod",
    "refresh_token": "a partner shows a token, not a pod",
    "script_credential": "a script names its client identifier",
    "session": "a cookie names a session",
    "sign_in_link": "a link names itself",
    "upstream_link": "a provider names a person, not a pod",
}
"""Tables with a pod's rows that are also found by a random name or by partner. They hold no citizen's data but who may
come in; a statement on one takes the whole table, because two names of one row would not exclude each other."""

READ_BY_EVERYBODY = frozenset({"partner", "research_invitation", "app_registration"})
"""Tables that writers of other things look into: reading them excludes only those who change them."""

READ_WITHOUT_EXCLUDING = frozenset({"pod"})
"""Tables with a public name beside their number: what is found by the name is read again by the number before anything
is decided on it, and that nobody gets a name twice is the constraint's affair."""

ALONE_BY_CONSTRUCTION = frozenset({"grant_route", "schema_version", "seen_once"})
"""Rows written once under names that nobody else writes, or by migrations only: nothing is read there to be changed."""

_STRING = re.compile(r"'(?:[^']|'')*'")
_COMMENT = re.compile(r"--[^\n]*")
_TABLE = re.compile(r"\b(?:FROM|INTO|JOIN|UPDATE)\s+(?!SET\b|SELECT\b)(\w+)", re.IGNORECASE)
_NAMED_QUERY = re.compile(
    r"(?:\bWITH\b(?:\s+RECURSIVE)?|,)\s*(\w+)\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(", re.IGNORECASE
)
_EQUALS = re.compile(r"\bpod_id\s*=\s*(?=\?)", re.IGNORECASE)
_AMONG = re.compile(r"\bpod_id\s+IN\s*\(([\s?,]+)\)", re.IGNORECASE)
_INSERT = re.compile(r"^\s*INSERT\s+INTO\s+\w+\s*\(([^)]*)\)\s*VALUES\s*\(", re.IGNORECASE)
_CHANGES = re.compile(r"^\s*(?:INSERT|UPDATE|DELETE|WITH\b.*\b(?:INSERT|UPDATE|DELETE)\b)", re.IGNORECASE | re.DOTALL)

LockKind = Literal["shared", "alone"]


@dataclass(frozen=True, slots=True)
class Subject:
    """What a statement is about.

    Attributes:
        pods: The places of the parameters that name pods, from 0.
        tables: The tables it touches, sorted.
        changes: Whether it changes rows.
        takes: The tables that a writing transaction must take first, with how; sorted.
        skips: Whether it passes over rows that others hold, and so waits for nobody.
    """

    pods: tuple[int, ...]
    tables: tuple[str, ...]
    changes: bool
    takes: tuple[tuple[str, LockKind], ...]
    skips: bool

    def pods_named(self, parameters: Sequence[Any]) -> list[int]:
        """The pods that a statement with these parameters is about, sorted; 0 stands for none."""
        return sorted({parameters[place] for place in self.pods} - {0})


@cache
def subject_of(sql: str) -> Subject:
    """Read what a statement is about; each text is read once."""
    text = _STRING.sub(lambda found: "'" + "x" * (len(found.group()) - 2) + "'", _COMMENT.sub("", sql))
    named_queries = {name.lower() for name in _NAMED_QUERY.findall(text)}
    tables = sorted({name.lower() for name in _TABLE.findall(text)} - named_queries)
    pods = _pods(text)
    changes = _CHANGES.match(text) is not None
    skips = "SKIP LOCKED" in text.upper()
    takes: list[tuple[str, LockKind]] = []
    if not skips:
        for table in tables:
            if table in ALONE_BY_CONSTRUCTION or (table in READ_WITHOUT_EXCLUDING and not changes):
                continue
            if pods and table in tables_of_pods() and table not in REACHED_BY_ANOTHER_NAME:
                continue
            takes.append((table, "shared" if table in READ_BY_EVERYBODY and not changes else "alone"))
    return Subject(pods, tuple(tables), changes, tuple(takes), skips)


def _pods(text: str) -> tuple[int, ...]:
    places = [text.count("?", 0, found.end()) for found in _EQUALS.finditer(text)]
    for found in _AMONG.finditer(text):
        first = text.count("?", 0, found.start(1))
        places += range(first, first + found.group(1).count("?"))
    insert = _INSERT.match(text)
    if insert is not None:
        columns = [column.strip().lower() for column in insert.group(1).split(",")]
        if "pod_id" in columns:
            values = _top_level_values(text[insert.end() :])
            place = columns.index("pod_id")
            if values[place].strip() == "?":
                places.append(sum(value.count("?") for value in values[:place]))
    return tuple(sorted(set(places)))


def _top_level_values(text: str) -> list[str]:
    """The values of a VALUES list from just after its opening parenthesis to its closing one."""
    values, depth, value = [], 0, ""
    for letter in text:
        if letter == "," and depth == 0:
            values.append(value)
            value = ""
            continue
        if letter == ")" and depth == 0:
            break
        depth += (letter == "(") - (letter == ")")
        value += letter
    return [*values, value]

"""Statements and values as they travel: `$1` for a question mark, types by their numbers, rows from the binary form."""

from __future__ import annotations

import re
import struct
from functools import cache
from typing import TYPE_CHECKING, Any

from pod_server.storage.errors import TextUnstorable
from pod_server.storage.statements import subject_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.pq.abc import PGresult

    from pod_server.storage.ports import Row

_UNKNOWN, _BOOL, _BYTEA, _INT8, _INT2, _INT4, _TEXT, _FLOAT8, _NUMERIC = 0, 16, 17, 20, 21, 23, 25, 701, 1700
"""Type numbers of pg_type; the schema has BIGINT, TEXT and BYTEA, the others come from expressions."""


def says_the_same(one: PGresult, other: PGresult) -> bool:
    """Whether two answers to one statement are the same."""
    return (
        one.status == other.status
        and one.command_status == other.command_status
        and (one.ntuples, one.nfields) == (other.ntuples, other.nfields)
        and all(
            one.get_value(row, column) == other.get_value(row, column)
            for row in range(one.ntuples)
            for column in range(one.nfields)
        )
    )


def type_of(value: Any) -> int:
    """The type to declare for a parameter; an int is always a bigint, so that no statement is prepared twice."""
    if value is None:
        return _UNKNOWN
    if isinstance(value, str):
        return _TEXT
    return _INT8 if isinstance(value, int) else _BYTEA


def without_nul(sql: str, value: str) -> str:
    """A text with U+0000 as PostgreSQL can be asked for it. Nothing stored holds it, so a question finds nothing.

    Raises:
        TextUnstorable: it was to be stored.
    """
    if subject_of(sql).changes:
        raise TextUnstorable
    return value.replace("\0", "\uffff")


_QUOTED_OR_PARAMETER = re.compile(r"'(?:[^']|'')*'|--[^\n]*|\?")


@cache
def numbered(sql: str) -> bytes:
    """The statement with `$1`, `$2`, … for its question marks."""
    number = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal number
        if found.group() != "?":
            return found.group()
        number += 1
        return f"${number}"

    return _QUOTED_OR_PARAMETER.sub(replace, sql).encode()


def _read_integer(value: bytes) -> int:
    return int.from_bytes(value, "big", signed=True)


def _read_float(value: bytes) -> float:
    number: float = struct.unpack("!d", value)[0]
    return number


def _read_numeric(value: bytes) -> int | float:
    """A numeric in PostgreSQL's binary form (digits to the base 10,000); SUM of a bigint is one."""
    count, weight, sign, _scale = struct.unpack_from("!hhHh", value)
    digits: tuple[int, ...] = struct.unpack_from(f"!{count}h", value, 8)
    total: int | float = sum(digit * 10_000 ** (weight - place) for place, digit in enumerate(digits))
    return -total if sign == 0x4000 else total


_READERS: dict[int, Callable[[bytes], Any]] = {
    _INT8: _read_integer,
    _INT4: _read_integer,
    _INT2: _read_integer,
    _BOOL: _read_integer,
    _BYTEA: bytes,
    _FLOAT8: _read_float,
    _NUMERIC: _read_numeric,
}


def _read_text(value: bytes) -> str:
    return value.decode()


def rows_of(result: PGresult, *, at_most: int) -> list[Row]:
    """The first rows of an answer, as Python's values."""
    if not at_most:
        return []
    readers = [(column, _READERS.get(result.ftype(column), _read_text)) for column in range(result.nfields)]
    get = result.get_value
    return [
        tuple([None if (value := get(row, column)) is None else read(value) for column, read in readers])
        for row in range(at_most)
    ]

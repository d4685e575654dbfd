"""Files of lines, as people and spreadsheets save them: their text, the lines that hold anything, the rows of a CSV.

A file costs what it holds: blank lines are passed over at the speed of a search, and nobody gets more than a million
lines read by one file, whatever they hold.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from partner_bridge.errors import UnusablePayload

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_LINES = 1_000_000
"""A meter's readings of a hundred years by the hour, or a car's log of eleven days by the second."""

_HELD = re.compile(r"\S[^\n]*")


def text_of(payload: bytes) -> str:
    """A file's text: UTF-8, or the Windows encoding that spreadsheets save in."""
    try:
        return payload.decode("utf-8-sig")
    except UnicodeDecodeError:
        return payload.decode("cp1252", errors="replace")


def lines_of(payload: bytes) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1; ended by LF, CR LF or CR.

    Raises:
        UnusablePayload: there are more than a million.
    """
    text = text_of(payload)
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    number, counted_to = 1, 0
    for count, held in enumerate(_HELD.finditer(text), 1):
        if count > MOST_LINES:
            raise UnusablePayload(f"more than {MOST_LINES} lines: divide the file")
        number += text.count("\n", counted_to, held.start())
        # What stands blank before the first word is the line's too: a column may be empty.
        begun = text.rfind("\n", counted_to, held.start()) + 1 or counted_to
        counted_to = held.end()
        yield number, text[begun:counted_to]


def rows_of(payload: bytes, delimiter: str) -> Iterator[tuple[int, list[str] | None]]:
    """The rows of a CSV file with the numbers of their last lines; None for one that is no row, such as a field without end.

    Raises:
        UnusablePayload: there are more than a million lines.
    """
    at = 0

    def lines() -> Iterator[str]:
        nonlocal at
        for number, line in lines_of(payload):
            at = number
            yield line

    reader = csv.reader(lines(), delimiter=delimiter)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield at, None
            continue
        yield at, row

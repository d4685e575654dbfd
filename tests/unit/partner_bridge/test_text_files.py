"""Lines and rows of files: numbered as an editor numbers them, and no dearer than what they hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from partner_bridge.channels.file_drop import read_content
from partner_bridge.connectors import find_connector, text_files
from partner_bridge.connectors.text_files import lines_of, rows_of
from partner_bridge.errors import UnusablePayload

LINE = st.text(st.sampled_from("a,; \tø7"), max_size=6)


@settings(max_examples=30)
@given(st.lists(LINE, max_size=8), st.sampled_from(["\n", "\r\n", "\r"]), st.booleans())
def test_every_line_that_holds_anything_comes_whole_with_its_number(lines, end, closed):
    payload = (end.join(lines) + (end if closed else "")).encode()
    assert list(lines_of(payload)) == [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def test_a_row_is_numbered_by_its_last_line_and_a_broken_one_is_none():
    payload = b'start,value\n\n"two\nlines",1\n\n   \nlast,2\n' + b'"' + b"x" * 200_000 + b'"\nafter,3\n'
    rows = list(rows_of(payload, ","))
    assert rows[:3] == [(1, ["start", "value"]), (4, ["twolines", "1"]), (7, ["last", "2"])]
    assert (8, None) in rows


def test_an_empty_first_column_stays_a_column():
    assert list(rows_of(b"\t7\n", "\t")) == [(1, ["", "7"])]


def test_millions_of_blank_lines_cost_no_rows():
    assert list(rows_of(b"\n \r\n" * 700_000 + b"a,1", ",")) == [(1_400_001, ["a", "1"])]
    assert list(lines_of(b" " * 3_000_000)) == []


def test_a_file_of_too_many_lines_is_refused_at_the_bound(monkeypatch):
    monkeypatch.setattr(text_files, "MOST_LINES", 3)
    rows = rows_of(b"a\n" * 4, ",")
    assert [next(rows)[0] for _ in range(3)] == [1, 2, 3]
    with pytest.raises(UnusablePayload, match="divide the file"):
        next(rows)


def test_blank_lines_between_lines_of_json_are_none():
    connector = find_connector("garmin")
    payloads = list(read_content("a.ndjson", b'{"a": 1}\n' + b"\n \n" * 1000 + b'  {"a": 2}\r\n', connector))
    assert payloads == [b'{"a": 1}', b'{"a": 2}']

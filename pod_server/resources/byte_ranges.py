"""Range requests (RFC 9110, section 14): one range of bytes of a representation.

Several ranges at once are answered with the whole (section 14.2 lets a server ignore Range): those who ask for them are
few, the multipart form costs every reader a parser, and a list of a thousand overlapping ranges is an old attack.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from werkzeug.http import parse_date, unquote_etag

from pod_server import problems
from pod_server.resources.errors import ResourceError

_RANGE = re.compile(r"\s*bytes\s*=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*\Z", re.IGNORECASE)


class RangeNotSatisfiable(ResourceError):
    """The range lies beyond the end; `size_bytes` is the length, which `headers` say too."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__("the range begins beyond the end of the document, or is empty")
        self.size_bytes = size_bytes
        self.headers = {"Content-Range": f"bytes */{size_bytes}"}


problems.declare(
    RangeNotSatisfiable, "range-not-satisfiable", "The document has no such range", 416, members=("size_bytes",)
)


def choose_range(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """The first byte and the one after the last that a Range header asks for; None for the whole.

    None too where the header asks for several ranges, another unit, or is malformed: those are ignored (section 14.2).

    Raises:
        RangeNotSatisfiable: nothing of the range is there (section 14.1.2).

    >>> choose_range("bytes=2-3", 10), choose_range("bytes=-3", 10), choose_range("bytes=4-", 10)
    ((2, 4), (7, 10), (4, 10))
    """
    found = _RANGE.match(header or "")
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        if int(suffix) == 0 or size_bytes == 0:
            raise RangeNotSatisfiable(size_bytes)
        return max(0, size_bytes - int(suffix)), size_bytes
    start, stop = int(first), int(last) + 1 if last else size_bytes
    if last and stop <= start:
        return None  # "last < first" is no range at all (section 14.1.1)
    if start >= size_bytes:
        raise RangeNotSatisfiable(size_bytes)
    return start, min(stop, size_bytes)


def range_is_of_this(if_range: str | None, tag: str | None, modified: datetime | None, now: datetime) -> bool:
    """Whether If-Range names the representation as it is (section 13.1.5): without a match the whole is sent.

    Args:
        if_range: The header.
        tag: The opaque part of the strong entity tag.
        modified: Last-Modified.
        now: The same clock's time. A date is a strong validator only when a second has passed since (section 8.8.2.2).
    """
    if if_range is None:
        return True
    value = if_range.strip()
    if value.startswith(("W/", "w/")):
        return False
    if value.startswith('"'):
        return tag is not None and unquote_etag(value) == (tag, False)
    date = parse_date(value)
    if date is None or modified is None:
        return False
    last_modified = modified.replace(microsecond=0)
    return date == last_modified and now - last_modified >= timedelta(seconds=1)

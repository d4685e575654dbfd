"""Sizes as operators write them."""

from __future__ import annotations

import pytest

from pod_server import quota


@pytest.mark.parametrize(
    ("text", "size"), [("7", 7), ("10GiB", 10 << 30), ("500 MB", 500_000_000), ("1kib", 1024), (" 2TB ", 2 * 10**12)]
)
def test_sizes_are_read_as_operators_write_them(text, size):
    assert quota.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1.5GB", "10 XB", "1e9", "9" * 20])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="no size"):
        quota.parse_size(text)

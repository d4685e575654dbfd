"""Randomness as an argument: `os.urandom` in production, published or seeded bytes in vectors and tests."""

from __future__ import annotations

from collections.abc import Callable

RandomBytes = Callable[[int], bytes]
"""Draws that many bytes, uniform and unpredictable."""

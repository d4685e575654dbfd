"""What a control request can be refused for."""

from __future__ import annotations


class BadRequest(Exception):
    """A control request that names nobody, or nothing that can be done; told with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status

"""What can go wrong when a pod is taken out, brought in or sent to another server."""

from __future__ import annotations


class PodFileError(ValueError):
    """The root of this package's errors; the messages are for whoever gave the command."""


class PodFileInvalid(PodFileError):
    """The file is no exported pod, was cut short or changed, or holds what no export holds."""


class ArrivalRefused(PodFileError):
    """A statement of a pod's arrival on another host does not hold; nothing was changed."""


class OtherServerError(PodFileError):
    """Another Solid server did not do what was asked of it; the message says what and where."""

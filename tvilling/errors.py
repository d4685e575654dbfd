"""What can go wrong at the front door; each message says what is wrong and how to mend it."""

from __future__ import annotations


class TvillingError(Exception):
    """The root of the front door's errors."""


class SettingsError(TvillingError):
    """A setting or a command's argument cannot be used."""


class ProcessError(TvillingError):
    """One of the host's processes did not start, or ended."""


class JourneyError(TvillingError):
    """A step of the unattended journey did not end as it must."""


class FolderInUse(TvillingError):
    """Somebody has the data folder open who must not have it now."""


class BackupError(TvillingError):
    """A backup cannot be made there, or what lies there is no whole backup."""


class RestoreError(TvillingError):
    """A backup cannot be put back here."""


class MoveError(TvillingError):
    """A house cannot be moved from one engine to the other as asked."""

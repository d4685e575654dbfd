"""What can go wrong with a log."""

from __future__ import annotations

from pod_server import problems


class LogError(Exception):
    """The root of the log's errors."""


class LogBroken(LogError):
    """What is stored or exported is not what the log committed to. The message says where."""


class NoLog(LogError):
    """The pod has no log; nothing may be done with a pod whose log cannot be written."""


class EventRefused(LogError):
    """An event does not have the form that keeps data values out of the log."""


problems.declare(LogBroken, "log-broken", "The log does not verify", 500)
problems.declare(NoLog, "log-missing", "The pod has no log", 500)

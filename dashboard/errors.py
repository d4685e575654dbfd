"""What can go wrong on the pages themselves."""

from __future__ import annotations

from pod_server import problems


class PagesError(Exception):
    """The root of the pages' errors."""


class AssetsNotBuilt(PagesError):
    """The design system's files are not in static/built."""


class SimulatorUnreachable(PagesError):
    """The demo's partners did not answer."""


class NotTheDemo(PagesError):
    """The demo's page was asked for on a host without simulated partners."""


class RecomputeBusy(PagesError):
    """As many full recomputes are running as a worker does at a time.

    Attributes:
        retry_after: Whole seconds after which to try again.
    """

    retry_after = 5


class ExportBusy(PagesError):
    """A worker makes as many files of whole pods as it does at a time.

    Attributes:
        retry_after: Whole seconds after which to try again.
    """

    retry_after = 10


problems.declare(ExportBusy, "export-busy", "Another pod's file is being made", 503)
problems.declare(AssetsNotBuilt, "assets-not-built", "The page assets have not been built", 503)
problems.declare(SimulatorUnreachable, "simulator-unreachable", "The simulated partners did not answer", 502)
problems.declare(NotTheDemo, "not-the-demo", "This host is not a demo", 404)
problems.declare(RecomputeBusy, "recompute-busy", "Other figures are being counted anew", 503)

"""Driving: what the car's plug or log counted, day by day and month by month; never a journey. No script."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from dashboard import frame
from dashboard.visits import citizens_visit
from dashboard.wording import local
from partner_bridge.connectors.driving import Driving
from partner_bridge.connectors.obd_csv import ObdCsv
from pod_server import activities
from pod_server.authorization import grant_rows
from pod_server.partners import SELF, find_partner
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from flask import Response

    from pod_server.host import Host
    from vocab.kinds import Activity

COUNTS = ("speeding", "harsh_braking", "harsh_acceleration", "harsh_cornering", "phone_use")
DAYS_SHOWN = 31
_MONTHS_READ = timedelta(days=460)
"""Fifteen months: what an insurer keeps, and what the months' table tells."""


@dataclass
class Driven:
    """A day of one source, or a month of all.

    Attributes:
        when: In the reader's words.
        source: Who told; empty for a month.
        kilometres: None where nobody told any.
        counts: As `COUNTS`; None where nobody counted.
        untold: Days without a distance.
    """

    when: str
    source: str = ""
    kilometres: float | None = None
    counts: list[float | None] = field(default_factory=lambda: [None] * len(COUNTS))
    untold: int = 0

    def add(self, activity: Activity) -> None:
        """One day more."""
        if activity.distance_missing:
            self.untold += 1
        else:
            self.kilometres = (self.kilometres or 0.0) + activity.quantity
        for position, name in enumerate(COUNTS):
            told = getattr(activity, name)
            if told is not None:
                self.counts[position] = (self.counts[position] or 0.0) + told


def driving(host: Host) -> Response:
    """The page.

    Raises:
        NotSignedIn: there is no session, or it has ended.
    """
    seen, session, own = citizens_visit(host)
    w = seen.wording
    with host.storage.read() as tx:
        held = grant_rows.grants_in_pod(tx, host.host_key, session.pod_id)
        found = {each.id: find_partner(tx, each.terms.client_id) for each in held}
    own_files = seen.words("partner.self")
    names = {
        grant: own_files if partner.client_id == SELF.client_id else partner.name
        for grant, partner in found.items()
        if partner is not None
    }
    days: list[Driven] = []
    months: dict[tuple[int, int], Driven] = {}
    kinds = load_kinds()
    for stored in activities.read_activities(host, own, kind="driving-day", start=seen.now - _MONTHS_READ):
        activity = kinds.decode(stored.raw)
        began = local(activity.start)
        day = Driven(w.date(activity.start), names.get(str(stored.grant), ""))
        day.add(activity)
        days.append(day)
        months.setdefault((began.year, began.month), Driven(w.month(began.year, began.month))).add(activity)
    return frame.page(
        "driving.html.jinja",
        seen,
        days=days[::-1][:DAYS_SHOWN],
        months=[months[key] for key in sorted(months, reverse=True)],
        counts=COUNTS,
        guesses=[getattr(each, seen.language) for each in (*Driving.declaration.guesses, *ObdCsv.declaration.guesses)],
        request_path="/-/driving",
    )

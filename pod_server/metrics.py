"""What an operator watches, in Prometheus' text format: counts of the whole host, never of one citizen.

Only callers on this machine are answered: the numbers tell how many people use a partner. A scraper on another machine
comes through the operator's own proxy.

Source: Prometheus, "Text-based format", version 0.0.4.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from pod_server import feed, problems

if TYPE_CHECKING:
    from pod_server.host import Host

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class MetricsElsewhere(Exception):
    """Somebody on another machine asked for the numbers."""


problems.declare(MetricsElsewhere, "metrics-elsewhere", "The numbers are told on this machine only", 403)


def require_this_machine(remote_address: str | None) -> None:
    """Let callers of the loopback range through.

    Raises:
        MetricsElsewhere: the caller is elsewhere, or unknown.
    """
    try:
        here = ipaddress.ip_address(remote_address or "").is_loopback
    except ValueError:
        here = False
    if not here:
        raise MetricsElsewhere("Ask from the host itself.")


def describe(host: Host) -> str:
    """The numbers as text."""
    with host.storage.read() as tx:
        pods = tx.all("SELECT state, simulated, COUNT(*) FROM pod GROUP BY state, simulated ORDER BY state, simulated")
        grants = tx.all("SELECT state, COUNT(*) FROM consent GROUP BY state ORDER BY state")
        totals = tx.one(
            "SELECT COALESCE(SUM(accepted), 0), COALESCE(SUM(duplicates), 0), COALESCE(SUM(refused), 0) FROM consent_use"
        )
        messages = tx.all("SELECT state, COUNT(*) FROM outbox GROUP BY state ORDER BY state")
        waiting_pods, waiting_changes = feed.pending(tx)
    lines: list[str] = []

    def tell(name: str, kind: str, help_text: str, samples: list[tuple[str, int]]) -> None:
        lines.append(f"# HELP {name} {help_text}")
        lines.append(f"# TYPE {name} {kind}")
        lines.extend(f"{name}{labels} {value}" for labels, value in samples)

    tell(
        "tvilling_pods",
        "gauge",
        "Pods on this host.",
        [(f'{{state="{state}",simulated="{bool(simulated)}"}}', count) for state, simulated, count in pods],
    )
    tell("tvilling_grants", "gauge", "Grants by state.", [(f'{{state="{state}"}}', count) for state, count in grants])
    told = zip(("accepted", "duplicate", "refused"), totals or (0, 0, 0), strict=True)
    tell(
        "tvilling_activities_total",
        "counter",
        "Activities that partners delivered, by what they were answered.",
        [(f'{{answer="{answer}"}}', int(count)) for answer, count in told],
    )
    tell(
        "tvilling_outbox_messages",
        "gauge",
        "Messages to partners by state.",
        [(f'{{state="{state}"}}', count) for state, count in messages],
    )
    tell("tvilling_feed_pods_waiting", "gauge", "Pods with changes that no agent has taken in.", [("", waiting_pods)])
    tell("tvilling_feed_changes_waiting", "gauge", "Changes that no agent has taken in.", [("", waiting_changes)])
    return "\n".join(lines) + "\n"

"""What a partner has used of what the municipality lets it do: requests a minute, records a day, across processes.

Only partners with a limit are counted: the others cost nothing. A count is taken before the work, in one short
transaction, so that requests side by side cannot pass a limit together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pod_server import problems
from pod_server.clock import microseconds
from pod_server.partners import PartnerError, find_partner

if TYPE_CHECKING:
    from pod_server.host import Host
    from pod_server.partners import Partner

_SECONDS = {"minute": 60, "day": 86_400}


class PartnerLimited(PartnerError):
    """A limit that the municipality set is used up.

    Attributes:
        retry_after: Whole seconds after which to try again.
    """

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def count_request(host: Host, partner: Partner) -> None:
    """Count one request of a partner whose requests are limited.

    Raises:
        PartnerLimited: this minute's are used up.
    """
    if partner.limits.requests_per_minute is not None:
        _count(host, partner, "minute", 1, partner.limits.requests_per_minute, "requests a minute")


def count_delivered(host: Host, client_id: str, records: int) -> None:
    """Count what a partner is about to deliver, where its records are limited.

    Raises:
        PartnerLimited: so many are more than what is left of the day (UTC); none is counted.
    """
    with host.storage.read() as tx:
        partner = find_partner(tx, client_id)
    if partner is not None and partner.limits.records_per_day is not None and records:
        _count(host, partner, "day", records, partner.limits.records_per_day, "records a day")


def used(host: Host, client_id: str) -> dict[str, int]:
    """What was used of this `minute` and this `day` (UTC)."""
    now = int(host.clock.protocol_now().timestamp())
    with host.storage.read() as tx:
        rows = tx.all("SELECT span, number, used FROM partner_window WHERE client_id = ?", (client_id,))
    return {span: int(count) for span, number, count in rows if number == now // _SECONDS[span]}


def _count(host: Host, partner: Partner, span: str, adding: int, most: int, words: str) -> None:  # noqa: PLR0917 - private
    now = microseconds(host.clock.protocol_now()) // 1_000_000
    length = _SECONDS[span]
    number = now // length
    with host.storage.write() as tx:
        tx.execute(
            "INSERT INTO partner_window (client_id, span, number, used) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (client_id, span) DO UPDATE SET used = excluded.used "
            "+ CASE WHEN partner_window.number = excluded.number THEN partner_window.used ELSE 0 END, "
            "number = excluded.number",
            (partner.client_id, span, number, adding),
        )
        row = tx.one("SELECT used FROM partner_window WHERE client_id = ? AND span = ?", (partner.client_id, span))
        if row is not None and row[0] > most:
            # Raised inside the block: what was counted is taken back with it.
            raise PartnerLimited(
                f"You may send {most} {words}, and this would be more. The municipality sets the limit; your console "
                "shows how much of it is used.",
                int(length - now % length),
            )


problems.declare(PartnerLimited, "partner-limited", "The partner's limit is used up", 429)

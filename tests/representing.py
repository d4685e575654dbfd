"""Guardians, wards and attorneys for tests."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from consent.delegation import ALL_BUT_ERASING, Authority, Representation
from pod_server import delegation

if TYPE_CHECKING:
    from pod_server.delegation import Recorded
    from pod_server.host import Host
    from pod_server.identifiers import PodId

BORN = date(2014, 3, 1)
"""Twelve years old on the tests' day, thirteen 98 days later."""


def guardian_of(host: Host, child: PodId, guardian: PodId, **terms: Any) -> Recorded:
    """Record a guardian of a child of twelve."""
    return _record(host, child, guardian, Authority.GUARDIAN_OF_CHILD, born=BORN, **terms)


def attorney_of(host: Host, citizen: PodId, attorney: PodId, **terms: Any) -> Recorded:
    """Record a power of attorney for 300 days."""
    terms = {"ends": host.clock.now() + timedelta(days=300), **terms}
    return _record(host, citizen, attorney, Authority.POWER_OF_ATTORNEY, **terms)


def _record(host: Host, of: PodId, by: PodId, authority: Authority, **terms: Any) -> Recorded:
    made = Representation(
        **{
            "id": delegation.new_id(),
            "authority": authority,
            "acts": ALL_BUT_ERASING,
            "begins": host.clock.now(),
            "evidence": "case 26/1234, papers seen",
            **terms,
        }
    )
    return delegation.record(host, of, by, made)

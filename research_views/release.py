"""A month's release: read under consent, bound, charge the account, draw the noise, suppress, publish, keep.

The steps, in this order and no other:
1. the month is over, and was never charged;
2. each citizen's consent is read again, the reading is told to the citizen's log, and the figures are read;
3. each citizen becomes one bounded vector, and the vectors are added up in memory;
4. the account is charged, durably;
5. noise is drawn, once;
6. what is too uncertain is suppressed, the rest becomes a data cube;
7. the cube is kept; it is never made again, whatever happens to it.

A citizen who withdraws is out of the next release; published ones stand, and the consent text says so.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import zstandard

from pod_server.authorization.enforcement import recheck_grant, require_release
from pod_server.authorization.errors import NotConsentedToResearch
from pod_server.clock import microseconds, moment
from pod_server.errors import NoSuchPod
from pod_server.figures import load_figures
from pod_server.log.event import LogEvent
from pod_server.log.ledger import append as append_to_log
from pod_server.opening import OpenPod, open_pod
from pod_server.pods import list_pods
from pod_server.vault.errors import PodLocked
from research_views import bounding, budget, cube, noise
from research_views.errors import NoSuchRelease, PeriodAlreadyReleased, PeriodMalformed, PeriodNotOver
from vocab.kinds import load_kinds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pod_server.authorization.permit import Permit
    from pod_server.host import Host

_PERIOD = re.compile(r"(20\d\d)-(0[1-9]|1[0-2])\Z")
_LOCAL = ZoneInfo("Europe/Oslo")
"""The twin sums by local months (twin_agent/compute.py), and a release takes its sums."""

_PODS_A_TRANSACTION = 100


@dataclass(frozen=True)
class Release:
    """One published month, as the command and the pages show it."""

    period: str
    iri: str
    issued: str
    rho: float
    epsilon: float
    delta: float
    observations: int
    suppressed: int
    entry: int
    simulated: bool
    cells: tuple[cube.Observation, ...]
    suppressed_cells: tuple[bounding.Cell, ...]


def release(host: Host, period: str) -> Release:
    """Publish one month, once.

    Args:
        host: The host.
        period: A month that is over, `YYYY-MM`.

    Raises:
        PeriodMalformed: not a month.
        PeriodNotOver: the month goes on, or has not begun.
        PeriodAlreadyReleased: its budget was spent, by a release that stands or one that was cut short.
        BudgetExhausted: the year's or the lifetime's budget does not suffice.
        AccountBroken: the account does not hold.
    """
    # 1. the month is over, and was never charged
    now = host.clock.now()
    _, end = month(period)
    if now < end:
        raise PeriodNotOver(f"{period} ends at {end.isoformat()}; a release is drawn once, from whole figures.")
    if any(entry.period == period for entry in budget.budget(host).entries):
        raise PeriodAlreadyReleased(f"The budget of {period} was spent; a month is never drawn again.")

    # 2. and 3. consent, log, figures; bounded and added up in memory
    simulated = any(pod.simulated for pod in list_pods(host))
    table = bounding.tabulate(_participants(host, period, now))

    # 4. the account is charged, durably
    rho = budget.RHO_A_MONTH
    sensitivity = bounding.sensitivity_steps()
    scale = noise.scale_for(sensitivity, rho)
    entry = budget.charge(
        host,
        period,
        rho,
        at=now,
        details={
            "measure": "footprint by district and category, monthly",
            "mechanism": "OpenDP vector Gaussian over whole numbers",
            "unit_of_privacy": "one citizen",
            "sensitivity_steps": sensitivity,
            "scale_steps": scale,
            "delta": noise.DELTA,
        },
    )

    # 5. noise is drawn, once
    noisy = noise.draw([*table.counts, *table.sums], sensitivity=sensitivity, rho=rho)
    counts, sums = noisy[: len(table.counts)], noisy[len(table.counts) :]

    # 6. suppressed, or published
    published = cube.publish(table.cells, counts, sums, scale_steps=scale)
    guarantee = cube.Guarantee(rho, noise.epsilon_of(rho), noise.DELTA, scale, entry.hash)
    quads = cube.describe(
        published, base_url=host.base_url, period=period, issued=now, guarantee=guarantee, simulated=simulated
    )

    # 7. kept
    made = Release(
        period=period,
        iri=cube.release_iri(host.base_url, period),
        issued=now.isoformat(),
        rho=rho,
        epsilon=round(guarantee.epsilon, 4),
        delta=noise.DELTA,
        observations=len(published.observations),
        suppressed=len(published.suppressed),
        entry=entry.index,
        simulated=simulated,
        cells=published.observations,
        suppressed_cells=published.suppressed,
    )
    with host.storage.write() as tx:
        tx.execute(
            "INSERT INTO research_release (period, entry_index, issued, content_hash, summary, quads) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                period,
                entry.index,
                microseconds(now),
                hashlib.sha256(quads).digest(),
                _encode_summary(made),
                zstandard.ZstdCompressor().compress(quads),
            ),
        )
    return made


def releases(host: Host) -> list[Release]:
    """Every published month, the newest first."""
    with host.storage.read() as tx:
        rows = tx.all("SELECT summary FROM research_release ORDER BY period DESC")
    return [_decode_summary(row[0]) for row in rows]


def find_release(host: Host, period: str) -> Release:
    """One published month.

    Raises:
        NoSuchRelease: it was not published.
    """
    with host.storage.read() as tx:
        row = tx.one("SELECT summary FROM research_release WHERE period = ?", (period,))
    if row is None:
        raise NoSuchRelease(f"There is no release of {period[:20]}.")
    return _decode_summary(row[0])


@dataclass(frozen=True)
class ReleaseGraph:
    """One published month as RDF."""

    iri: str
    issued: datetime
    n_triples: bytes


def release_graphs(host: Host) -> list[ReleaseGraph]:
    """Every published month as N-Triples: all that the endpoint's child process gets to see."""
    with host.storage.read() as tx:
        rows = tx.all("SELECT period, issued, quads FROM research_release ORDER BY period")
    decompressor = zstandard.ZstdDecompressor()
    return [
        ReleaseGraph(cube.release_iri(host.base_url, period), moment(issued), decompressor.decompress(quads))
        for period, issued, quads in rows
    ]


def month(period: str) -> tuple[datetime, datetime]:
    """The first moment of a month and of the next, as the clocks of Trondheim count them; in UTC.

    Raises:
        PeriodMalformed: not `YYYY-MM`.
    """
    match = _PERIOD.match(period)
    if match is None:
        raise PeriodMalformed("A period is a month such as 2026-10.")
    year, number = int(match.group(1)), int(match.group(2))
    start = datetime(year, number, 1, tzinfo=_LOCAL)
    return start.astimezone(UTC), datetime(year + number // 12, number % 12 + 1, 1, tzinfo=_LOCAL).astimezone(UTC)


def _participants(host: Host, period: str, now: datetime) -> Iterator[bounding.Participant]:
    pods = list_pods(host)
    for first in range(0, len(pods), _PODS_A_TRANSACTION):
        opened: list[OpenPod] = []
        for pod in pods[first : first + _PODS_A_TRANSACTION]:
            try:
                opened.append(open_pod(host, require_release(host, pod.pod_id, now)))
            except (NotConsentedToResearch, PodLocked, NoSuchPod):
                continue
        contents: list[tuple[OpenPod, bytes]] = []
        with host.storage.write() as tx:
            for citizen in opened:
                if recheck_grant(tx, citizen.permit, now) is not None:
                    continue
                content = load_figures(tx, citizen)
                if content is None:
                    continue
                permit = citizen.permit
                append_to_log(
                    tx,
                    citizen.pod_id,
                    LogEvent(
                        at=now,
                        actor=permit.actor,
                        action="research-release",
                        purpose=permit.purpose,
                        grant=permit.grant or "",
                        detail={"period": period},
                    ),
                )
                contents.append((citizen, content))
        for citizen, content in contents:
            yield _participant(citizen, content, period, now)


def _participant(citizen: OpenPod, content: bytes, period: str, now: datetime) -> bounding.Participant:
    allowed = _categories(citizen.permit, *month(period), now)
    figures = json.loads(content).get("months", {}).get(period, {})
    # A category's figures are [low, mean, high, quantity]; the mean is released.
    kilograms = {category: float(sums[1]) for category, sums in figures.items() if category in allowed}
    return bounding.Participant(citizen.pod.area, kilograms)


def _categories(permit: Permit, start: datetime, end: datetime, now: datetime) -> set[str]:
    """The categories whose kinds the consent covers for the whole month."""
    return {
        kind.category
        for kind in load_kinds().by_slug.values()
        if permit.refusal_for(kind.slug, start, end, now) is None
    }


def _encode_summary(made: Release) -> bytes:
    summary: dict[str, Any] = {**vars(made)}
    summary["cells"] = [vars(cell) for cell in made.cells]
    summary["suppressed_cells"] = [vars(cell) for cell in made.suppressed_cells]
    return json.dumps(summary).encode()


def _decode_summary(summary: bytes) -> Release:
    content = json.loads(summary)
    content["cells"] = tuple(cube.Observation(**cell) for cell in content["cells"])
    content["suppressed_cells"] = tuple(bounding.Cell(**cell) for cell in content["suppressed_cells"])
    return Release(**content)

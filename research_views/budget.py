"""The account of the privacy budget: append-only, hash-chained, in two places, written before any noise is drawn.

Every entry is charged in rho (zCDP), where costs simply add up. The year's limit follows the months that figures are of,
the lifetime's limit all entries. One copy of the account lies in the database, the other beside the keys: a database
restored from an old backup has forgotten releases, the copy beside the keys has not (a restore is data of any age and
the newest keys). Where the copies disagree the longer one holds, if it continues the shorter; else nothing is released.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from research_views.errors import AccountBroken, BudgetExhausted, PeriodAlreadyReleased
from research_views.noise import DELTA, epsilon_of

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from pod_server.host import Host
    from pod_server.storage.ports import Transaction

RHO_A_YEAR = 0.185
"""The pilot's limit for one year's figures: epsilon 3.0 at delta 1e-6."""

RHO_A_MONTH = RHO_A_YEAR / 12
"""What one month's release costs."""

RHO_A_LIFETIME = 1.05
"""The limit for everything ever released: epsilon 8.0 at delta 1e-6."""

ACCOUNT_FILE = "privacy-budget.jsonl"
_ZEROS = bytes(32)
_SLACK = 1e-12


@dataclass(frozen=True)
class Entry:
    """One charge: for which month, how much, when; and its place in the chain."""

    index: int
    period: str
    rho: float
    at: str
    details: dict[str, Any]
    hash: str


@dataclass(frozen=True)
class Account:
    """What has been spent and what is left, in rho and as the epsilon it comes to at `delta`."""

    delta: float
    rho_a_month: float
    rho_a_year: float
    rho_a_lifetime: float
    rho_spent: float
    rho_left: float
    epsilon_spent: float
    epsilon_a_year: float
    epsilon_a_lifetime: float
    by_year: dict[str, float]
    entries: tuple[Entry, ...]


def budget(host: Host) -> Account:
    """The account, checked.

    Raises:
        AccountBroken: the chain or its second copy does not hold.
    """
    with host.storage.read() as tx:
        lines = _agreed(_lines_of_database(tx), _lines_of_file(_file(host)))
    entries = tuple(_entry(index, line, digest) for index, (line, digest) in enumerate(_chained(lines)))
    spent = sum(entry.rho for entry in entries)
    by_year: dict[str, float] = {}
    for entry in entries:
        by_year[entry.period[:4]] = by_year.get(entry.period[:4], 0.0) + entry.rho
    return Account(
        delta=DELTA,
        rho_a_month=RHO_A_MONTH,
        rho_a_year=RHO_A_YEAR,
        rho_a_lifetime=RHO_A_LIFETIME,
        rho_spent=spent,
        rho_left=RHO_A_LIFETIME - spent,
        epsilon_spent=epsilon_of(spent),
        epsilon_a_year=epsilon_of(RHO_A_YEAR),
        epsilon_a_lifetime=epsilon_of(RHO_A_LIFETIME),
        by_year=by_year,
        entries=entries,
    )


def charge(host: Host, period: str, rho: float, *, at: datetime, details: dict[str, Any]) -> Entry:
    """Write one entry, durably, in both places. Only after this may noise be drawn.

    Args:
        host: The host.
        period: The month, `YYYY-MM`. It can be charged once, for ever.
        rho: The cost.
        at: Now, city's time.
        details: What else the entry shall say: mechanism, bounds, unit of privacy. No figures.

    Raises:
        PeriodAlreadyReleased: the month was charged before, finished or not.
        BudgetExhausted: the year's or the lifetime's limit would be passed.
        AccountBroken: the chain or its second copy does not hold.
    """
    file = _file(host)
    with host.storage.write(urgent=True) as tx:
        known = _lines_of_database(tx)
        lines = _agreed(known, _lines_of_file(file))
        for missing in range(len(known), len(lines)):
            _insert(tx, missing, lines)
        spent = [json.loads(line) for line in lines]
        if any(entry["period"] == period for entry in spent):
            raise PeriodAlreadyReleased(
                f"The budget of {period} was spent. A month's noise is drawn once: drawing it again would let "
                "the noise be averaged away."
            )
        of_the_year = sum(entry["rho"] for entry in spent if entry["period"][:4] == period[:4])
        of_all_time = sum(entry["rho"] for entry in spent)
        if of_the_year + rho > RHO_A_YEAR + _SLACK:
            raise BudgetExhausted(f"The budget of {period[:4]} (rho {RHO_A_YEAR}) does not hold another {rho:.5f}.")
        if of_all_time + rho > RHO_A_LIFETIME + _SLACK:
            raise BudgetExhausted(f"The lifetime's budget (rho {RHO_A_LIFETIME}) does not hold another {rho:.5f}.")
        content = {**details, "period": period, "rho": rho, "at": at.isoformat()}
        line = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        lines = [*lines, line]
        # The file first: if the machine stops before the commit, the month counts as spent, which errs on the safe side.
        _write_file(file, lines)
        _insert(tx, len(lines) - 1, lines)
    digest = _chained(lines)[-1][1]
    return _entry(len(lines) - 1, line, digest)


def _file(host: Host) -> Path:
    return host.data_folder / "keys" / ACCOUNT_FILE


def _chained(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    chained = []
    previous = _ZEROS
    for line in lines:
        previous = hashlib.sha256(previous + line).digest()
        chained.append((line, previous))
    return chained


def _lines_of_database(tx: Transaction) -> list[bytes]:
    rows = tx.all("SELECT entry_index, content, previous_hash, hash FROM privacy_budget_entry ORDER BY entry_index")
    lines = [bytes(row[1]) for row in rows]
    previous = _ZEROS
    for place, ((index, _, before, digest), (_, expected)) in enumerate(zip(rows, _chained(lines), strict=True)):
        if index != place or bytes(before) != previous or bytes(digest) != expected:
            raise AccountBroken(f"Entry {place} of the account in the database is not what the chain says.")
        previous = expected
    return lines


def _lines_of_file(file: Path) -> list[bytes]:
    if not file.exists():
        return []
    lines: list[bytes] = []
    previous = _ZEROS
    for place, text in enumerate(file.read_bytes().splitlines()):
        digest, _, line = text.partition(b" ")
        previous = hashlib.sha256(previous + line).digest()
        if digest != previous.hex().encode():
            raise AccountBroken(f"Entry {place} of the account beside the keys is not what the chain says.")
        lines.append(line)
    return lines


def _agreed(database: list[bytes], file: list[bytes]) -> list[bytes]:
    shorter, longer = sorted((database, file), key=len)
    if longer[: len(shorter)] != shorter:
        raise AccountBroken("The account in the database and the one beside the keys tell different stories.")
    if len(file) < len(database):
        # Entries are written to the file first. A shorter file was rolled back, and so may the database have been.
        raise AccountBroken(
            "The account beside the keys is shorter than the database's: an older copy of the keys folder was put back. "
            "Put the newest copy of keys/privacy-budget.jsonl in its place."
        )
    return longer


def _write_file(file: Path, lines: list[bytes]) -> None:
    """Replace the file whole, so that a crash leaves the old or the new one, never half a line."""
    text = b"".join(digest.hex().encode() + b" " + line + b"\n" for line, digest in _chained(lines))
    beside = file.with_suffix(".new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _insert(tx: Transaction, index: int, lines: list[bytes]) -> None:
    chained = _chained(lines[: index + 1])
    previous = chained[-2][1] if index else _ZEROS
    tx.execute(
        "INSERT INTO privacy_budget_entry (entry_index, content, previous_hash, hash) VALUES (?, ?, ?, ?)",
        (index, lines[index], previous, chained[-1][1]),
    )


def _entry(index: int, line: bytes, digest: bytes) -> Entry:
    content = json.loads(line)
    period, rho, at = content.pop("period"), content.pop("rho"), content.pop("at")
    return Entry(index=index, period=period, rho=rho, at=at, details=content, hash=digest.hex())

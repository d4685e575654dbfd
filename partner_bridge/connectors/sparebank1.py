"""SpareBank 1 (SMN): what was paid from an account, classified by the bank, and the bank's own CSV export.

Format: `GET …/personal/banking/transactions/classified` answers `{transactions: [{transaction: {amount, date (epoch ms), mcc,
cleanedDescription, bookingStatus, accountKey, …}, categories: [{main, sub, confidence}]}]}`, media type
`application/vnd.sparebank1.v1+json`; the accounts come from `GET …/accounts` (docs/partners.md). Pulled.

Traps: `id` changes between sessions and `nonUniqueId` is not unique, so a record is named after account, day, amount and
text, and an ordinal among its likes; a day is therefore always read whole. What is pending may still change, and is left
out until it is booked, which may be days later: each pull begins some days before the last one ended. Amounts have signs:
what comes in is no payment. A transfer between people carries the other one's name: text is kept only where a merchant's
code stands beside it, and messages, names and account numbers of others never.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Generator, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import (
    Ask,
    Context,
    Normalised,
    Took,
    decode_as,
    instant,
    shown_text,
)
from partner_bridge.connectors.text_files import rows_of
from partner_bridge.errors import UnusablePayload
from vocab.spending import spend_class

MEDIA_TYPE = "application/vnd.sparebank1.v1+json; charset=utf-8"
FIRST_PULL = timedelta(days=365)
BOOKED_LATE = timedelta(days=7)
WINDOW = timedelta(days=31)
ROW_LIMIT = 1000
_OSLO = ZoneInfo("Europe/Oslo")
_CSV_COLUMNS = {"date": ("dato", "bokføringsdato"), "text": ("beskrivelse", "forklaring"), "out": ("ut", "ut av konto")}


class _Transaction(msgspec.Struct, gc=False):
    booking_status: str = msgspec.field(name="bookingStatus")
    amount: float | None = None
    date: int | None = None
    mcc: str = ""
    text: str = msgspec.field(name="cleanedDescription", default="")
    account: str = msgspec.field(name="accountKey", default="")
    currency: str = msgspec.field(name="accountCurrency", default="NOK")


class _Category(msgspec.Struct, gc=False):
    main: str = ""
    confidence: int = 0


class _Classified(msgspec.Struct, gc=False):
    transaction: _Transaction
    categories: list[_Category] = []


class _Transactions(msgspec.Struct, gc=False):
    transactions: list[_Classified]
    errors: list[str] = []


class _Account(msgspec.Struct, gc=False):
    key: str


class _Accounts(msgspec.Struct, gc=False):
    accounts: list[_Account]


class SpareBank1:
    """Classified transactions, pulled."""

    name = "sparebank1"
    title = "SpareBank 1"
    kinds = frozenset({"payment"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("sparebank1", "SpareBank 1 SMN", "https://www.sparebank1.no"),
        channels=("oauth-pull",),
        granularity="event",
        frequency="daily",
        history=FIRST_PULL,
        terms=Words(
            nb="Hentes bare mens du er tilkoblet; du logger inn hos dem, og kan koble fra når du vil.",
            nn="Blir henta berre medan du er tilkopla; du loggar inn hos dei, og kan kople frå når du vil.",
            en="Fetched only while you are connected; you sign in there, and can disconnect whenever you like.",
        ),
        format_source="docs/partners.md",
        limits=(
            Words(
                nb="Det som ennå ikke er bokført, og penger som kommer inn, er ikke med.",
                nn="Det som enno ikkje er bokført, og pengar som kjem inn, er ikkje med.",
                en="What is not booked yet, and money that comes in, is left out.",
            ),
            Words(
                nb="Navn, meldinger og kontonumre til andre tas aldri imot.",
                nn="Namn, meldingar og kontonummer til andre blir aldri tekne imot.",
                en="Other people's names, messages and account numbers are never taken in.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One payment a booked transaction out of the account."""
        answered: _Transactions = decode_as(payload, _Transactions)
        likes: Counter[tuple[str, str, float, str]] = Counter()
        for each in answered.transactions:
            paid = each.transaction
            if paid.booking_status != "BOOKED":
                continue
            if paid.amount is None or paid.date is None:
                yield UnusablePayload("a booked transaction without an amount or a date")
                continue
            if paid.amount >= 0:
                continue  # what comes in is no payment
            if paid.currency != "NOK":
                yield UnusablePayload("an account in another currency than NOK")
                continue
            try:
                at = datetime.fromtimestamp(paid.date / 1000, UTC)
                start = instant(at)
            except (OverflowError, OSError, ValueError):
                yield UnusablePayload("a date outside the calendar")
                continue
            day = at.astimezone(_OSLO).date().isoformat()
            like = (paid.account, day, paid.amount, paid.text)
            likes[like] += 1
            best = max(each.categories, key=lambda category: category.confidence, default=None)
            yield payment(
                like, likes[like], start, merchant=paid.mcc, text=paid.text, category=best.main if best else ""
            )

    def pull(self, cursor: dict[str, Any], now: datetime) -> Generator[Ask | Took, bytes, None]:
        """Every account, from some days before it was read to last time, in windows of whole days."""
        today = now.astimezone(_OSLO).date()
        accounts: _Accounts = decode_as((yield Ask("/accounts", MEDIA_TYPE)), _Accounts)
        for account in sorted(each.key for each in accounts.accounts):
            read_to = cursor.get(account)
            first = date.fromisoformat(read_to) - BOOKED_LATE if read_to else today - FIRST_PULL
            window = WINDOW
            while first <= today:
                last = min(first + window - timedelta(days=1), today)
                query = urlencode(
                    {
                        "accountKey": account,
                        "fromDate": first.isoformat(),
                        "toDate": last.isoformat(),
                        "rowLimit": ROW_LIMIT,
                        "transactionSource": "ALL",
                    }
                )
                body = yield Ask(f"/transactions/classified?{query}", MEDIA_TYPE)
                answered: _Transactions = decode_as(body, _Transactions)
                if answered.errors:
                    raise UnusablePayload(f"the bank could not read everything: {answered.errors[0][:60]}")
                if len(answered.transactions) >= ROW_LIMIT and window > timedelta(days=1):
                    window = max(window // 4, timedelta(days=1))  # perhaps cut: fewer days at a time
                    continue
                cursor = cursor | {account: last.isoformat()}
                yield Took(body, cursor)
                first = last + timedelta(days=1)


class SpareBank1Csv:
    """The CSV file that the bank's pages let a citizen save."""

    name = "sparebank1-csv"
    title = "SpareBank 1 (CSV)"
    kinds = frozenset({"payment"})
    form: Literal["json", "text"] = "text"
    declaration = Declaration(
        organisation=Organisation("sparebank1", "SpareBank 1 SMN", "https://www.sparebank1.no"),
        channels=("file",),
        granularity="event",
        frequency="irregular",
        history=None,
        terms=Words(
            nb="Din egen fil, under ditt eget samtykke; ingen andre får vite at du har lagt den inn.",
            nn="Di eiga fil, under ditt eige samtykke; ingen andre får vite at du har lagt ho inn.",
            en="Your own file, under your own consent; nobody else learns that you brought it.",
        ),
        format_source="docs/partners.md",
        limits=(
            Words(
                nb="Det som ennå ikke er bokført, og penger som kommer inn, er ikke med.",
                nn="Det som enno ikkje er bokført, og pengar som kjem inn, er ikkje med.",
                en="What is not booked yet, and money that comes in, is left out.",
            ),
            Words(
                nb="Navn, meldinger og kontonumre til andre tas aldri imot.",
                nn="Namn, meldingar og kontonummer til andre blir aldri tekne imot.",
                en="Other people's names, messages and account numbers are never taken in.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One payment a row with money out; the names of others stand in such rows too, so texts are left out."""
        rows = rows_of(payload, ";")
        _, names_given = next(rows, (1, None))
        heading = [name.strip().lower() for name in names_given or []]
        places = {
            member: next((heading.index(name) for name in names if name in heading), None)
            for member, names in _CSV_COLUMNS.items()
        }
        if places["date"] is None or places["out"] is None:
            raise UnusablePayload("the first line names no columns Dato and Ut")
        likes: Counter[tuple[str, str, float, str]] = Counter()
        for number, row in rows:
            if row is None:
                yield UnusablePayload(f"line {number} is no row of a CSV file")
                continue
            cells = {member: row[at].strip() for member, at in places.items() if at is not None and at < len(row)}
            if not cells.get("out"):
                continue
            try:
                amount = -abs(float(cells["out"].replace("\u00a0", "").replace(" ", "").replace(",", ".")))
                day = datetime.strptime(cells["date"], "%d.%m.%Y").date()  # noqa: DTZ007 - a day in Norway
            except (ValueError, KeyError):
                yield UnusablePayload(
                    f"line {number}: a date like 24.10.2026 and an amount like -1 234,50 are expected"
                )
                continue
            start = instant(datetime.combine(day, time(), _OSLO))
            like = ("csv", day.isoformat(), amount, cells.get("text", ""))
            likes[like] += 1
            yield payment(like, likes[like], start, merchant="", text="", category="")


def payment(
    like: tuple[str, str, float, str],
    ordinal: int,
    start: str,
    *,
    merchant: str,
    text: str,
    category: str,
    source: tuple[str, str] = ("sparebank1", "SpareBank 1"),
) -> Normalised:
    """A payment, named after account, day, amount and text, and its ordinal among its likes of the day.

    Args:
        like: Account, local day, amount (negative: money out, NOK), and the text, which only the name is made of.
        ordinal: From 1.
        start: When, in UTC.
        merchant: ISO 18245, or anything else where none is known: then no text is kept.
        text: What the merchant is called.
        category: The bank's own word.
        source: Who told, as it stands in the record and begins its name.
    """
    account, day, amount, said = like
    digest = hashlib.sha256("\x1f".join((account, f"{amount:.2f}", said)).encode()).hexdigest()[:20]
    activity: dict[str, Any] = {
        "@id": f"{source[0]}:{day}/{digest}/{ordinal}",
        "@type": "Payment",
        "start": start,
        "end": start,
        "quantity": round(-amount, 2),
        "unit": "CCY_NOK",
        "source": source[1],
    }
    if len(merchant) == 4 and merchant.isascii() and merchant.isdigit():
        activity["merchantCategory"] = merchant
        if shown := shown_text(text, 120):
            activity["name"] = shown
        if found := spend_class(merchant):
            activity["spendClass"] = found
    if shown := shown_text(category, 80):
        activity["bankCategory"] = shown
    return Normalised(activity)

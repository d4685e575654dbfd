"""Accounts by the Berlin Group's NextGenPSD2, version 1.3, as Evry (Tietoevry) brings them for a bank.

Format: the bank's answer to `GET /v1/accounts/{id}/transactions?bookingStatus=both`, asked with `Consent-ID`, `X-Request-ID` and,
where the customer is present, `PSU-IP-Address`: `{account: {iban | resourceId}, transactions: {booked: [{transactionId,
bookingDate, transactionAmount: {currency, amount}, creditorName, remittanceInformationUnstructured, merchantCategoryCode}],
pending: […]}}`. How an integrator wraps such answers for a host like this is a guess: as they are, whole days at a time, with
the headers' `consentId` and `xRequestId` beside them.

Traps, as SpareBank 1's own interface has them: `transactionId` is left out by some banks and changes at others, so a record is
named after account, day, amount and text and an ordinal among its likes, and a day is sent whole. What is pending may still
change, and is left out. Amounts are texts with a point and a sign; what comes in is no payment. Names, messages and accounts of
others are kept only where a merchant's code stands beside them. The customer's network address is nobody's business here: a
payload that carries `psuIpAddress` is taken in without it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.elhub_csv import LOCAL
from partner_bridge.connectors.normalising import Context, Normalised, decode_as, instant
from partner_bridge.connectors.sparebank1 import payment
from partner_bridge.errors import UnusablePayload

_AMOUNT = re.compile(r"-?[0-9]{1,9}(\.[0-9]{1,3})?\Z")


class _Amount(msgspec.Struct, gc=False):
    currency: str
    amount: str


class _Entry(msgspec.Struct, gc=False):
    amount: _Amount = msgspec.field(name="transactionAmount")
    booked_on: date | None = msgspec.field(name="bookingDate", default=None)
    creditor: str = msgspec.field(name="creditorName", default="")
    message: str = msgspec.field(name="remittanceInformationUnstructured", default="")
    merchant: str = msgspec.field(name="merchantCategoryCode", default="")


class _Transactions(msgspec.Struct, gc=False):
    booked: list[msgspec.Raw] = []
    pending: list[msgspec.Raw] = []


class _Account(msgspec.Struct, gc=False):
    iban: str = ""
    resource_id: str = msgspec.field(name="resourceId", default="")


class _Report(msgspec.Struct, gc=False):
    account: _Account
    transactions: _Transactions


class BerlinGroup:
    """Booked transactions of an account, pushed by who acts for the bank."""

    name = "berlin-group"
    title = "Berlin Group 1.3"
    kinds = frozenset({"payment"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("evry", "Evry (Tietoevry)", "https://www.tietoevry.com"),
        channels=("push", "file"),
        granularity="event",
        frequency="daily",
        history=timedelta(days=90),
        terms=Words(
            nb="Samtykket er til banken. Evry leverer på bankens vegne, og bare så lenge banken eller kommunen lar dem.",
            nn="Samtykket er til banken. Evry leverer på vegner av banken, og berre så lenge banken eller kommunen lèt dei.",
            en="The consent is to the bank. Evry delivers on its behalf, only as long as the bank or the municipality lets it.",
        ),
        format_source="https://www.berlin-group.org/nextgenpsd2-downloads",
        guesses=(
            Words(
                nb="Hvordan en integrator pakker inn bankens svar, er ikke publisert. Konvolutten er gjettet.",
                nn="Korleis ein integrator pakkar inn svaret frå banken, er ikkje publisert. Konvolutten er gissa.",
                en="How an integrator wraps the bank's answers is not published. The envelope is a guess.",
            ),
        ),
        limits=(
            Words(
                nb="Det som ikke er bokført, penger inn, navn og meldinger til andre, og nettadressen din er ikke med.",
                nn="Det som ikkje er bokført, pengar inn, namn og meldingar til andre, og nettadressa di er ikkje med.",
                en="What is not booked, money in, others' names and messages, and your network address are left out.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One payment a booked entry out of the account."""
        report: _Report = decode_as(payload, _Report)
        account = report.account.iban.replace(" ", "").upper() or report.account.resource_id
        if not account:
            raise UnusablePayload("the account has neither iban nor resourceId, and its records no lasting name")
        likes: Counter[tuple[str, str, float, str]] = Counter()
        for number, raw in enumerate(report.transactions.booked, 1):
            try:
                made = _payment_of(account, decode_as(bytes(raw), _Entry), likes)
            except UnusablePayload as error:
                yield UnusablePayload(f"booked entry {number}: {error}")
                continue
            if made is not None:
                yield made


def _payment_of(account: str, entry: _Entry, likes: Counter[tuple[str, str, float, str]]) -> Normalised | None:
    if entry.booked_on is None:
        raise UnusablePayload("a bookingDate is missing")
    if not _AMOUNT.match(entry.amount.amount):
        raise UnusablePayload("an amount like -412.90 is expected")
    if entry.amount.currency != "NOK":
        raise UnusablePayload("another currency than NOK")
    amount = float(entry.amount.amount)
    if amount >= 0:
        return None  # what comes in is no payment
    text = entry.creditor or entry.message
    day = entry.booked_on.isoformat()
    like = (account, day, amount, text)
    likes[like] += 1
    return payment(
        like,
        likes[like],
        instant(datetime.combine(entry.booked_on, time(), LOCAL)),
        merchant=entry.merchant,
        text=text,
        category="",
        source=("berlin-group", "Berlin Group"),
    )

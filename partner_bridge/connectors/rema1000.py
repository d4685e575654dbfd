"""Rema 1000: receipts with lines, as Æ shows them: `heads` and `rows` (docs/partners.md).

`heads`: `{purchaseDate (epoch ms), storeName, amount, discount}`; `rows`: `{productDescription, prodtxt3 (EAN),
quantity, amount, discount}`.

Traps: a line counts pieces, a footprint needs kilograms, which stand in the name (KJØTTDEIG STORFE 400G), follow from
the product, or are the quantity itself where goods were weighed; a code that begins with 2 is the shop's own and may
carry the weight; deposits, bags and fees are no food; a returned article takes its earlier line back; two like lines
are two purchases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from partner_bridge.connectors.declaration import Declaration, Organisation, Words
from partner_bridge.connectors.normalising import Context, Normalised, decode_as, instant, name_part
from partner_bridge.errors import UnusablePayload
from vocab.products import product_class


class _Head(msgspec.Struct, gc=False):
    purchase_date: int = msgspec.field(name="purchaseDate")
    store_name: str = msgspec.field(name="storeName", default="Rema 1000")
    amount: float | None = None
    discount: float = 0.0


class _Row(msgspec.Struct, gc=False):
    product_description: str = msgspec.field(name="productDescription")
    prodtxt3: str | None = None
    quantity: float = 1.0
    amount: float | None = None
    discount: float = 0.0


class _Payload(msgspec.Struct, gc=False):
    heads: _Head
    rows: list[_Row]


_NO_FOOD = re.compile(
    r"\b(pant|bærepose|bærenett|plastpose|handlenett|gavekort|avrunding|øreavrunding|rabatt)\b", re.IGNORECASE
)
_GTIN = re.compile(r"(\d{8}|\d{12,14})\Z")
_PER_KILOGRAM = re.compile(r"\b(pr\.?\s*kg|kg\s*pris|løsvekt)\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Line:
    """A row that stands, with its returns taken off."""

    ordinal: int
    row: _Row
    quantity: float
    amount: float | None


class Rema1000:
    """Receipts with lines."""

    name = "rema1000"
    title = "Rema 1000"
    kinds = frozenset({"grocery-line"})
    form: Literal["json", "text"] = "json"
    declaration = Declaration(
        organisation=Organisation("rema1000", "Rema 1000", "https://www.rema.no"),
        channels=("push", "file"),
        granularity="event",
        frequency="weekly",
        history=None,
        terms=Words(
            nb="Kommer under samtykket ditt, eller som filen med opplysningene dine som du har rett til å få av dem (personvernforordningen artikkel 20).",
            nn="Kjem under samtykket ditt, eller som fila med opplysningane dine som du har rett til å få av dei (personvernforordninga artikkel 20).",
            en="Comes under your consent, or as the file of your data that you have a right to get from them (GDPR, Article 20).",
        ),
        format_source="docs/partners.md",
        limits=(
            Words(
                nb="Mengden i kilo leses av varens navn der den står der; ellers følger den av varen.",
                nn="Mengda i kilo blir lesen av namnet på vara der ho står der; elles følgjer ho av vara.",
                en="The weight is read from the product's name where it stands there; otherwise it follows from the product.",
            ),
            Words(
                nb="Pant, poser og gebyr er ikke mat og er ikke med.",
                nn="Pant, posar og gebyr er ikkje mat og er ikkje med.",
                en="Deposits, bags and fees are no food and are left out.",
            ),
        ),
    )

    def normalise(self, payload: bytes, context: Context) -> Iterator[Normalised | UnusablePayload]:  # noqa: ARG002
        """One activity a line of food with a known weight; a problem for each line whose weight nothing tells."""
        receipt: _Payload = decode_as(payload, _Payload)
        try:
            at = instant(datetime.fromtimestamp(receipt.heads.purchase_date / 1000, UTC))
        except (ValueError, OverflowError, OSError):
            raise UnusablePayload("purchaseDate is not a time in milliseconds") from None
        receipt_name = f"rema1000:{receipt.heads.purchase_date}-{name_part(receipt.heads.store_name)}"[:150]
        lines, unmatched = _without_returns(receipt.rows)
        for ordinal in unmatched:
            yield UnusablePayload(f"row {ordinal}: an article is returned that this receipt does not sell")
        for line in lines:
            description = " ".join(line.row.product_description.split())
            if not description or _NO_FOOD.search(description):
                continue
            gtin = (line.row.prodtxt3 or "").strip()
            food_class, piece_kilograms = product_class(description, gtin if _GTIN.match(gtin) else None)
            weighed = kilograms(description, gtin, line.quantity, piece_kilograms)
            if weighed is None:
                yield UnusablePayload(f"row {line.ordinal}: neither name nor code tells what this article weighs")
                continue
            activity = {
                "@id": f"{receipt_name}/{line.ordinal}",
                "@type": "GroceryLine",
                "start": at,
                "end": at,
                "quantity": round(weighed, 6),
                "unit": "KiloGM",
                "name": description[:120],
                "store": receipt.heads.store_name[:80] or "Rema 1000",
                "receipt": receipt_name[:80],
            }
            if receipt.heads.amount is not None and 0 <= receipt.heads.amount <= 100_000:
                # What was paid, deposits and bags included (G): by it the bank's debit is recognised.
                activity["receiptTotalNok"] = round(receipt.heads.amount, 2)
            if _GTIN.match(gtin):
                activity["gtin"] = gtin
            if food_class:
                activity["foodClass"] = food_class
            if line.amount is not None:
                activity["amountNok"] = round(line.amount - line.row.discount, 2)
            yield Normalised(activity)


def kilograms(description: str, gtin: str, quantity: float, piece_kilograms: float | None) -> float | None:
    """What a line weighs, or None where nothing tells.

    In this order: the quantity itself where it was weighed (a broken number, or a price by the kilogram); the weight
    in a shop's own code; a piece's weight (which the vocabulary reads from the name or knows) times the pieces.
    """
    if _PER_KILOGRAM.search(description) or (quantity != int(quantity)):
        return quantity
    if len(gtin) == 13 and gtin.startswith(("23", "25")) and quantity == 1:
        # GS1 Norway keeps these prefixes for goods weighed in the shop: digits 8 to 12 are grams.
        grams = int(gtin[7:12])
        if 10 <= grams <= 30_000:
            return grams / 1000
    return None if piece_kilograms is None else piece_kilograms * quantity


def _without_returns(rows: list[_Row]) -> tuple[list[_Line], list[int]]:
    """The lines that stand once returns are taken off like articles, and the ordinals of returns of nothing."""
    lines = [_Line(ordinal, row, row.quantity, row.amount) for ordinal, row in enumerate(rows, 1) if row.quantity > 0]
    unmatched: list[int] = []
    for ordinal, row in enumerate(rows, 1):
        if row.quantity >= 0:
            continue
        left = -row.quantity
        for index, line in enumerate(lines):
            like = (line.row.prodtxt3, line.row.product_description) == (row.prodtxt3, row.product_description)
            if like and line.quantity > 0 and left > 0:
                taken = min(left, line.quantity)
                share = 1 - taken / line.quantity
                amount = None if line.amount is None else line.amount * share
                lines[index] = _Line(line.ordinal, line.row, line.quantity - taken, amount)
                left -= taken
        if left > 0:
            unmatched.append(ordinal)
    return [line for line in lines if line.quantity > 0], unmatched

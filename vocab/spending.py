"""What money was spent on, from the card networks' merchant category codes (ISO 18245); data in spending.csv."""

from __future__ import annotations

import csv
from functools import cache

from vocab.errors import BrokenVocabulary
from vocab.terms import FOLDER


@cache
def _ranges() -> tuple[tuple[int, int, str], ...]:
    with (FOLDER / "spending.csv").open(encoding="utf-8", newline="") as file:
        rows = tuple((int(row["first"]), int(row["last"]), row["class"]) for row in csv.DictReader(file))
    if not rows or any(first > last for first, last, _ in rows):
        raise BrokenVocabulary("spending.csv holds no ranges, or one that ends before it begins")
    return rows


def spend_class(merchant_category: str) -> str | None:
    """The class of a four-digit merchant category code, as factors name it; None where no factor is for it.

    Groceries, fuel, power and tickets are None on purpose: what they emit comes from sources that know the quantity.
    """
    if not (merchant_category.isascii() and merchant_category.isdigit()):
        return None
    code = int(merchant_category)
    return next((name for first, last, name in _ranges() if first <= code <= last), None)

"""What kind of food an item on a receipt is, and how heavy: by barcode, else by its name.

A small list of our own (products.csv): patterns over the shortened, upper-case names that Norwegian receipts print, and
barcodes from the range that shops use internally, for the demonstration. An item that nothing matches has no food
class, and so no factor: unknown, never a guess.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache

from vocab.terms import FOLDER


@dataclass(frozen=True)
class Product:
    """One row: a pattern or a barcode, the food class (None: not food we have a factor for) and a piece's weight."""

    pattern: re.Pattern[str] | None
    gtin: str | None
    food_class: str | None
    kg_per_piece: float | None


_WEIGHT = re.compile(r"(?<![0-9.,])(\d{1,4}(?:[.,]\d{1,3})?) ?(KG|G|L|DL|CL|ML)\b")
_KILOGRAMS = {"KG": 1.0, "G": 0.001, "L": 1.0, "DL": 0.1, "CL": 0.01, "ML": 0.001}
_PACK = re.compile(r"(?<![0-9])(\d{1,2}) ?X ?(?=\d)")


@cache
def load_products() -> tuple[Product, ...]:
    """The list, in the order in which it is tried."""
    with (FOLDER / "products.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Product(
                pattern=re.compile(rf"\b(?:{row['pattern']})") if row["pattern"] else None,
                gtin=row["gtin"] or None,
                food_class=row["food_class"] or None,
                kg_per_piece=float(row["kg_per_piece"]) if row["kg_per_piece"] else None,
            )
            for row in csv.DictReader(file)
        )


def product_class(name: str, gtin: str | None = None) -> tuple[str | None, float | None]:
    """The food class of an item and the weight of one piece.

    Args:
        name: As the receipt prints it: "KJØTTDEIG 14% 400G".
        gtin: Its barcode, if known; it decides before the name does.

    Returns:
        The class (a discriminator of grocery-line factors) or None; kilograms a piece, from the name where it says
        ("400G", "2X1,5L"; a litre counts as a kilogram), else from the list, else None.
    """
    upper = name.upper()
    stated = _stated_weight(upper)
    if gtin is not None:
        for product in load_products():
            if product.gtin == gtin:
                return product.food_class, product.kg_per_piece
    for product in load_products():
        if product.pattern is not None and product.pattern.search(upper):
            return product.food_class, stated if stated is not None else product.kg_per_piece
    return None, stated


def _stated_weight(upper: str) -> float | None:
    match = _WEIGHT.search(upper)
    if match is None:
        return None
    pack = _PACK.search(upper)
    pieces = int(pack.group(1)) if pack is not None and pack.end() <= match.start() + 1 else 1
    return round(pieces * float(match.group(1).replace(",", ".")) * _KILOGRAMS[match.group(2)], 6)

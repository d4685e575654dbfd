"""What a household buys at the grocer's: kilograms by group after the consumption survey, as receipts with lines.

The survey's household (docs/partners.md) ate 453 kg a year: meat 49.9, fish 18.4, dairy and egg 114, vegetables and
potato 76, fruit 62.8, bread and cereal 82.5. A household has 2.15 persons (G). Prices and shares of articles are guesses that
bring meat and fish to Statistics Norway's 12,000 and 3,600 NOK a year (2022). What such a household spends on food in all,
65,751 NOK, it does not spend at the one grocer: the rest are other grocers and other goods, seen by the bank alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING, Any

from tvilling.city.electricity import LOCAL

if TYPE_CHECKING:
    from tvilling.city.households import Household

PERSONS_IN_THE_SURVEY = 2.15
FOOD_NOK_A_YEAR, MEAT_NOK_A_YEAR, FISH_NOK_A_YEAR = 65_751.0, 12_000.0, 3_600.0
"""What a household spends (Statistics Norway, 2022)."""

KILOGRAMS_A_YEAR = {"meat": 49.9, "fish": 18.4, "dairy": 114.0, "vegetables": 76.0, "fruit": 62.8, "bread": 82.5}
STORES = {
    "500101": "REMA 1000 MIDTBYEN",
    "500102": "REMA 1000 ØSTBYEN",
    "500103": "REMA 1000 LERKENDAL",
    "500104": "REMA 1000 HEIMDAL",
}
LEAST_WEIGHED = 0.25
SHOPPING_DAYS = (1, 4)
"""Tuesday and Friday."""


@dataclass(frozen=True)
class Article:
    """What stands on the shelf.

    Attributes:
        group: Of the survey.
        name: As the receipt prints it.
        kilograms: One piece's; 1.0 for goods that are weighed.
        price: NOK a piece, or a kilogram where weighed.
        share: Of the group's purchases.
        code: Barcode: the range that shops use internally, since these articles are invented.
        weighed: Sold by weight.
    """

    group: str
    name: str
    kilograms: float
    price: float
    share: float
    code: str
    weighed: bool = False


def barcode(number: int) -> str:
    """The 13 digits of an internal article: 29, the number, and the check digit (GS1 General Specifications 7.9)."""
    digits = f"29{number:010d}"
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits))
    return digits + str(-total % 10)


ARTICLES = (
    Article("meat", "KJØTTDEIG STORFE 400G", 0.4, 69.90, 0.25, barcode(1)),
    Article("meat", "KYLLINGFILET 600G", 0.6, 104.90, 0.22, barcode(3)),
    Article("meat", "SVIN KOTELETTER 500G", 0.5, 74.90, 0.13, barcode(12)),
    Article("meat", "WIENERPØLSE 450G", 0.45, 44.90, 0.16, barcode(101)),
    Article("meat", "YTREFILET STORFE 400G", 0.4, 224.90, 0.12, barcode(110)),
    Article("meat", "SKINKE SPEKET 120G", 0.12, 54.90, 0.12, barcode(111)),
    Article("fish", "LAKSEFILET 400G", 0.4, 84.90, 0.45, barcode(8)),
    Article("fish", "TORSK FILET 400G", 0.4, 72.90, 0.55, barcode(102)),
    Article("dairy", "LETTMELK 1L", 1.0, 21.90, 0.74, barcode(4)),
    Article("dairy", "NORVEGIA OST 500G", 0.5, 69.90, 0.11, barcode(7)),
    Article("dairy", "YOGHURT NATURELL 500G", 0.5, 24.90, 0.08, barcode(103)),
    Article("dairy", "EGG 12STK 720G", 0.72, 39.90, 0.07, barcode(104)),
    Article("vegetables", "POTET 2KG", 2.0, 34.90, 0.42, barcode(6)),
    Article("vegetables", "GULROT 750G", 0.75, 22.90, 0.28, barcode(105)),
    Article("vegetables", "TOMAT KLASE LØSVEKT", 1.0, 44.90, 0.30, barcode(106), weighed=True),
    Article("fruit", "BANANER LØSVEKT", 1.0, 24.90, 0.45, barcode(10), weighed=True),
    Article("fruit", "EPLE NORSK 1KG", 1.0, 34.90, 0.55, barcode(107)),
    Article("bread", "KNEIPPBRØD 750G", 0.75, 24.90, 0.62, barcode(5)),
    Article("bread", "HAVREGRYN 1KG", 1.0, 21.90, 0.16, barcode(108)),
    Article("bread", "SPAGHETTI 500G", 0.5, 18.90, 0.22, barcode(109)),
)
MINCED_BEEF = ARTICLES[0]
_WEIGHTS = {article.code: article.kilograms for article in ARTICLES}
_BOTTLE_DEPOSIT = {"productDescription": "PANT", "prodtxt3": None, "quantity": 2, "amount": 6.0, "discount": 0.0}
_BAG = {"productDescription": "BÆREPOSE", "prodtxt3": barcode(900), "quantity": 1, "amount": 4.5, "discount": 0.0}


def receipts_of_day(household: Household, day: date, seed: int) -> list[dict[str, Any]]:
    """A day's receipts, each in the grocer's own format; most days have none."""
    return list(_receipts(household, day, seed))


@lru_cache(maxsize=4096)
def kilograms_of_day(household: Household, day: date, seed: int) -> float:
    """The food on a day's receipts, kg."""
    return sum(
        _WEIGHTS.get(line["prodtxt3"], 0.0) * float(line["quantity"])
        for receipt in _receipts(household, day, seed)
        for line in receipt["rows"]
    )


def nok_a_year(household: Household, group: str | None = None) -> float:
    """What such a household means to spend at the one grocer a year, on one group or on all of the survey's."""
    return sum(
        _kilograms_a_year(household, article) * article.price / article.kilograms
        for article in ARTICLES
        if group in {None, article.group}
    )


def _kilograms_a_year(household: Household, article: Article) -> float:
    persons = household.household_size / PERSONS_IN_THE_SURVEY
    wanted = KILOGRAMS_A_YEAR[article.group] * persons * household.food_share * article.share
    return wanted * household.meat_share if article.group == "meat" else wanted


@lru_cache(maxsize=4096)
def _receipts(household: Household, day: date, seed: int) -> tuple[dict[str, Any], ...]:
    if day.weekday() not in SHOPPING_DAYS or (household.simulated and not _quiet_shopping_day(household, day)):
        return ()
    random = Random(f"{seed}/{household.handle}/groceries/{day}")  # noqa: S311 - a city for show
    trips_a_week = 0.5 if household.simulated else len(SHOPPING_DAYS)
    rows = []
    for article in ARTICLES:
        wanted = _kilograms_a_year(household, article) / 52.18 / trips_a_week
        if article.weighed:
            weight = round(wanted * random.uniform(0.5, 1.5), 3)
            if weight < LEAST_WEIGHED:
                # Nobody weighs a single cherry: more of it, more seldom, so that over the year the kilograms are right.
                weight = LEAST_WEIGHED if random.random() < weight / LEAST_WEIGHED else 0.0
            if weight:
                rows.append(row(article, weight))
            continue
        # Whole pieces, rounded by chance, so that over the year the kilograms are right.
        pieces = int(wanted / article.kilograms * random.uniform(0.6, 1.4) + random.random())
        if pieces:
            rows.append(row(article, pieces))
    if not rows:
        return ()
    if random.random() < 0.3:
        rows.append(_BOTTLE_DEPOSIT)
    if random.random() < 0.4:
        rows.append(_BAG)
    at = datetime(day.year, day.month, day.day, 16, random.randrange(60), random.randrange(60), tzinfo=LOCAL)
    return (receipt(household, at + timedelta(minutes=random.randrange(120)), rows),)


def _quiet_shopping_day(household: Household, day: date) -> bool:
    """A quiet neighbour shops for two weeks at a time, every other Friday."""
    odd = sum(household.handle.encode()) % 2
    return day.weekday() == SHOPPING_DAYS[1] and (day.toordinal() // 7) % 2 == odd


def row(article: Article, quantity: float) -> dict[str, Any]:
    """One line of a receipt."""
    return {
        "productDescription": article.name,
        "prodtxt3": article.code,
        "quantity": quantity,
        "amount": round(article.price * quantity, 2),
        "discount": 0.0,
    }


def receipt(household: Household, at: datetime, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole receipt."""
    return {
        "heads": {
            "purchaseDate": int(at.timestamp() * 1000),
            "storeName": STORES[household.area],
            "amount": round(sum(line["amount"] for line in rows), 2),
            "discount": 0.0,
        },
        "rows": rows,
    }

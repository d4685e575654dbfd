"""No figure without its source, place, period, bounds and reason; and none of another country's grid or heat."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from vocab.errors import NoFactor
from vocab.factors import Factor, load_factors
from vocab.kinds import load_kinds
from vocab.products import load_products, product_class
from vocab.terms import FOLDER

TABLE = load_factors()
NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("factor", TABLE.factors, ids=lambda factor: factor.iri.rsplit("/", 1)[1])
def test_every_factor_says_where_it_comes_from_and_how_sure_it_is(factor: Factor) -> None:
    assert 0 <= factor.low <= factor.mean <= factor.high
    boundary = factor.iri.endswith(
        ("/steps", "/transit-bicycle")
    )  # decided, not measured: counted elsewhere or nowhere
    assert boundary == (factor.high == 0)
    assert boundary or factor.high > factor.low, "a figure without a spread claims too much"
    assert factor.unit == load_kinds().by_slug[factor.kind_slug].unit
    assert factor.url.startswith("https://")
    assert factor.period_start < factor.period_end
    assert factor.review_date > date(2026, 11, 23), "the figure is overdue for review"
    texts = [factor.source, factor.citation, factor.licence, factor.place, factor.origin, factor.directness]
    for words in (factor.label, factor.spread_reason, *factor.bound_labels.values()):
        assert set(words) == {"nb", "nn", "en"}
        texts += words.values()
    assert all(text.strip() for text in texts)


@pytest.mark.parametrize("factor", TABLE.factors, ids=lambda factor: factor.iri.rsplit("/", 1)[1])
def test_no_foreign_grid_or_heat_factor_reaches_trondheim(factor: Factor) -> None:
    powered_by_the_grid = factor.kind_slug in {"electricity-reading", "heat-reading"} or factor.discriminator == "tram"
    if powered_by_the_grid:
        assert factor.origin.startswith("NO"), f"{factor.iri} was measured in {factor.origin}"
        assert factor.place.startswith("NO")


def test_the_review_dates_and_licences_are_listed_in_the_sources() -> None:
    sources = (FOLDER / "SOURCES.md").read_text("utf-8")
    for factor in TABLE.factors:
        assert factor.url in sources, f"{factor.url} is missing from SOURCES.md"


@pytest.mark.parametrize(
    ("slug", "discriminator", "figures"),
    [
        ("electricity-reading", "", (0.008, 0.015, 0.019)),
        ("grocery-line", "beef-mince", (26.61, 33.3, 99.48)),
        ("transit-trip", "bus", (0.0295, 0.059, 0.09)),
        ("waste-collection", "residual", (0.35, 0.355, 0.36)),
    ],
)
def test_the_cited_figures_are_restated_exactly(slug: str, discriminator: str, figures: tuple[float, ...]) -> None:
    factor = TABLE.find(slug, discriminator, NOVEMBER)
    assert (factor.low, factor.mean, factor.high) == figures


@pytest.mark.parametrize(("year", "mean"), [(2016, 0.017), (2019, 0.017), (2020, 0.008), (2022, 0.019), (2026, 0.015)])
def test_electricity_follows_the_year(year: int, mean: float) -> None:
    assert TABLE.find("electricity-reading", "", datetime(year, 6, 1, tzinfo=UTC)).mean == mean


def test_what_is_not_known_is_an_error_and_not_a_zero() -> None:
    for slug, discriminator, at in [
        ("grocery-line", "", NOVEMBER),
        ("grocery-line", "moon-cheese", NOVEMBER),
        ("electricity-reading", "", datetime(2031, 1, 1, tzinfo=UTC)),
    ]:
        with pytest.raises(NoFactor):
            TABLE.find(slug, discriminator, at)


def test_a_place_falls_back_to_the_wider_one_and_never_to_a_narrower() -> None:
    assert TABLE.find("electricity-reading", "", NOVEMBER, "NO-5001").place == "NO"
    assert TABLE.find("grocery-line", "milk", NOVEMBER, "NO").place == "WORLD"
    with pytest.raises(NoFactor):
        TABLE.find("waste-collection", "residual", NOVEMBER, "NO")


def test_every_discriminator_a_shape_allows_has_a_factor() -> None:
    for kind in load_kinds().by_slug.values():
        member = next((each for each in kind.members if each.name == kind.discriminator_member), None)
        for allowed in member.allowed if member else ():
            TABLE.find(kind.slug, allowed, NOVEMBER)


def test_every_food_class_that_products_name_has_a_factor() -> None:
    classes = {product.food_class for product in load_products() if product.food_class}
    assert classes
    for food_class in classes:
        TABLE.find("grocery-line", food_class, NOVEMBER)


@pytest.mark.parametrize(
    ("name", "gtin", "answer"),
    [
        ("KJØTTDEIG 14% 400G", None, ("beef-mince", 0.4)),
        ("KJØTTDEIG SVIN 400G", None, ("pork", 0.4)),
        ("Tine lettmelk 1,75 l", None, ("milk", 1.75)),
        ("COCA COLA 4X1,5L", None, (None, 6.0)),
        ("POTETGULL 250G", None, (None, 0.25)),
        ("VEGANSK FARSE", None, ("plant-mince", 0.3)),
        ("HVA SOM HELST", "2900000000018", ("beef-mince", 0.4)),
        ("SJAMPO", None, (None, None)),
    ],
)
def test_an_item_is_known_by_barcode_then_by_name_or_not_at_all(name, gtin, answer) -> None:
    assert product_class(name, gtin) == answer

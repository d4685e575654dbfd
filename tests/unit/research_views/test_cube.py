"""What is published, what is suppressed, and that the two kinds of suppressed cell look alike."""

from __future__ import annotations

from datetime import UTC, datetime

import pyoxigraph as ox

from research_views.bounding import COUNT_WEIGHT, STEPS, Cell
from research_views.cube import LARGEST_RELATIVE_DEVIATION, SMALLEST_COUNT, Guarantee, describe, publish

FOOD = Cell("500101", "food")
WASTE = Cell("500104", "waste")
SCALE = 8.9 * STEPS


def steps(participants: float) -> int:
    return int(participants * COUNT_WEIGHT * STEPS)


def test_a_cell_is_published_with_its_noise_and_its_interval() -> None:
    (food,) = publish([FOOD], [steps(150)], [0], scale_steps=SCALE).observations
    assert (food.area, food.category, food.participants, food.mean) == ("500101", "food", 150.0, 108.0)
    assert food.mean_lower < food.mean < food.mean_upper
    assert abs((food.mean_upper - food.mean) / food.mean_sd - 1.96) < 0.01
    assert food.total == 150 * 108


def test_too_few_or_too_uncertain_is_suppressed() -> None:
    assert publish([FOOD], [steps(SMALLEST_COUNT - 1)], [0], scale_steps=SCALE).suppressed == (FOOD,)
    assert publish([FOOD], [steps(-20)], [0], scale_steps=SCALE).suppressed == (FOOD,)
    assert publish([FOOD], [steps(150)], [-150 * STEPS], scale_steps=SCALE).suppressed == (FOOD,)
    wide = 150 * LARGEST_RELATIVE_DEVIATION * STEPS
    assert publish([FOOD], [steps(150)], [0], scale_steps=wide).suppressed == (FOOD,)


def graph_of(counts: list[int]) -> ox.Store:
    published = publish([FOOD, WASTE], counts, [0, 0], scale_steps=SCALE)
    text = describe(
        published, base_url="https://pods.example", period="2026-10", issued=datetime(2026, 11, 2, tzinfo=UTC),
        guarantee=Guarantee(0.0154, 0.78, 1e-6, SCALE, "00"), simulated=True,
    )  # fmt: skip
    store = ox.Store()
    store.load(input=text, format=ox.RdfFormat.N_TRIPLES)
    return store


def test_an_empty_cell_and_an_uncertain_one_are_told_by_the_same_triples() -> None:
    def told(counts: list[int]) -> set[str]:
        query = "SELECT ?p ?o { <https://pods.example/research/releases/2026-10#500104-waste> ?p ?o }"
        return {f"{row['p']} {row['o']}" for row in graph_of(counts).query(query)}

    assert told([steps(150), 0]) == told([steps(150), steps(SMALLEST_COUNT) - 1]) != set()
    assert not any("participants" in triple or "Footprint" in triple for triple in told([steps(150), 0]))


def test_the_cube_is_well_formed() -> None:
    store = graph_of([steps(150), steps(200)])
    prefix = "PREFIX qb: <http://purl.org/linked-data/cube#> "
    for constraint in (
        # The integrity constraints of RDF Data Cube, section 10: IC-1, IC-2, IC-11, IC-12, IC-14.
        "ASK { ?o a qb:Observation FILTER NOT EXISTS { ?o qb:dataSet ?d } }",
        "ASK { ?d a qb:DataSet FILTER NOT EXISTS { ?d qb:structure ?s } }",
        "ASK { ?o qb:dataSet/qb:structure/qb:component/qb:dimension ?dim FILTER NOT EXISTS { ?o ?dim ?v } }",
        (
            "ASK { ?a qb:dataSet ?s . ?b qb:dataSet ?s FILTER(?a != ?b) "
            "FILTER NOT EXISTS { ?s qb:structure/qb:component/qb:dimension ?dim . ?a ?dim ?x . ?b ?dim ?y FILTER(?x != ?y) } }"
        ),
        "ASK { ?o qb:dataSet/qb:structure/qb:component/qb:measure ?m FILTER NOT EXISTS { ?o ?m ?v } }",
    ):
        assert not bool(store.query(prefix + constraint)), constraint
    assert bool(store.query(prefix + "ASK { ?o a qb:Observation }"))


def test_the_metadata_say_how_private_and_how_partial_it_is() -> None:
    store = graph_of([steps(150), steps(200)])
    (row,) = store.query(
        "PREFIX tv: <https://w3id.org/tvilling#> PREFIX prov: <http://www.w3.org/ns/prov#> "
        "SELECT * { ?d prov:wasGeneratedBy ?m ; tv:selectionBias ?bias . "
        "?m a <https://w3id.org/dpv#DifferentialPrivacy> ; tv:rho ?rho ; tv:epsilon ?e ; tv:delta ?d2 ; tv:privacyUnit ?u }"
    )
    assert float(row["rho"].value) == 0.0154
    assert "Simulated" in row["bias"].value

"""What the connector makes of its sample, and that nothing in a payload breaks it. Run it with pytest."""

from pathlib import Path

from tvilling_citybike import Citybike

from partner_bridge.connectors.trial import try_anything, try_payload

SAMPLE = (Path(__file__).parent / "sample.json").read_bytes()


def test_a_trip_is_a_trip_where_a_bicycle_was_ridden_and_put_back():
    made = try_payload(Citybike(), SAMPLE)
    assert made.problems == ()
    assert [(each.id, each.mode, each.quantity) for each in made.activities] == [
        ("citybike:8a41-1", "bicycle", 1.23),
        ("citybike:8a41-3", "bicycle", 4.4),
    ]


def test_whatever_stands_in_a_payload_nothing_breaks():
    assert try_anything(Citybike(), SAMPLE) > 50

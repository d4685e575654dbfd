"""Running sums equal a full SPARQL recompute: for any activities, in any order, in any batches, with corrections,
sources that overlap, and erasures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from twin_activities import KINDS, activity, driving, electricity, groceries, payment, steps, trip, waste

from twin_agent.compute import PodSums, SumsKey, decode_sums, encode_sums
from twin_agent.figures import bring_up_to_date, new_figures
from twin_agent.left_out import told_twice
from twin_agent.recompute import differences, recompute_records

START = datetime(2026, 10, 24, 20, tzinfo=UTC)
"""The night in which summer time ends, a week before a month does."""

GRANTS = ("g-a", "g-b", "g-c")
HOURS = st.sampled_from([0, 1, 2, 3, 4, 5, 26, 27, 168, 169, 170, 171, 172, 173, 174, 175])
QUANTITY = st.floats(min_value=0, max_value=50, allow_nan=False, allow_subnormal=False).map(lambda x: round(x, 6))
METERS = st.sampled_from([None, "m1", "m2"])


@st.composite
def members(draw, name: str) -> dict[str, object]:
    """One activity of any kind; electricity often, in lengths that overlap."""
    hour = START + timedelta(hours=draw(HOURS))
    quantity = draw(QUANTITY)
    which = draw(st.sampled_from(["minutes", "hour", "hour", "long", "food", "trip", "waste", "unknown"]))
    if which in {"minutes", "hour", "long"}:
        minutes = draw(
            {"minutes": st.sampled_from([1, 15, 30]), "hour": st.just(60), "long": st.sampled_from([120, 1440, 44640])}[
                which
            ]
        )
        start = hour + timedelta(minutes=draw(st.sampled_from([0, 15, 30])) if which == "minutes" else 0)
        more: dict[str, object] = {}
        if meter := draw(METERS):
            more["meter"] = meter
        if draw(st.booleans()):
            more["quality"] = draw(st.sampled_from(["measured", "estimated"]))
        return electricity(name, start, minutes, quantity, **more)
    if which == "food":
        return groceries(name, hour, quantity, draw(st.sampled_from(["beef-mince", "potatoes"])))
    if which == "unknown":
        return groceries(name, hour, quantity, None)
    if which == "trip":
        return trip(name, hour, quantity, draw(st.sampled_from(["bus", "tram"])))
    return waste(name, hour, quantity, draw(st.sampled_from(["residual", "paper"])))


AMOUNTS = st.sampled_from([46.0, 46.0, 99.9, 268.35])
SHOPS = st.sampled_from(["REMA 1000 Ilsvika", "Kiwi Øya", "REMA"])
DAYS = st.sampled_from([0, 0, 1, 2, 3, 5, 6, 7, 8, 9, 12])


@st.composite
def told_by_several(draw, name: str) -> dict[str, object]:
    """One activity of a kind that others tell of too, in few amounts, days and minutes, so that many meet."""
    at = START + timedelta(days=draw(DAYS), minutes=draw(st.sampled_from([0, 10, 15, 16, 130])))
    which = draw(
        st.sampled_from(
            ["line", "line", "debit", "debit", "debit", "trip", "fare", "walk", "walk", "all-day", "car", "car"]
        )
    )
    match which:
        case "line":
            more = {"receipt": draw(st.sampled_from(["r/1", "r 2", "ø3"])), "store": draw(SHOPS)}
            if draw(st.booleans()):
                more |= {"receiptTotalNok": draw(AMOUNTS)}
            return groceries(
                name, at, draw(QUANTITY), draw(st.sampled_from(["milk", None])), amountNok=draw(AMOUNTS), **more
            )
        case "debit":
            shop = draw(
                st.sampled_from([{"name": draw(SHOPS), "merchantCategory": "5411"}, {"merchantCategory": "4111"}])
            )
            spent = draw(st.sampled_from([{}, {"spendClass": "clothing"}, {"spendClass": "books"}]))
            return payment(name, at, draw(AMOUNTS), **shop, **spent)
        case "trip":
            return trip(name, at, draw(QUANTITY), draw(st.sampled_from(["bus", "tram"])), inferred=draw(st.booleans()))
        case "fare":
            ticket = draw(st.sampled_from(["8812", "88/13"]))
            return trip(name, at, 6.0, "bus", inferred=True, ticket=ticket, amountNok=draw(AMOUNTS))
        case "car":
            engine = draw(st.sampled_from([{"engine": "petrol"}, {"engine": "diesel"}, {}]))
            told_by = draw(st.sampled_from([{}, {"source": "OBD"}]))
            return driving(name, at, draw(st.integers(0, 60)), **engine, **told_by)
        case "walk":
            count, device = (
                draw(st.integers(0, 900)),
                draw(st.sampled_from([{}, {"source": "iPhone"}, {"source": "Watch"}])),
            )
            return steps(name, at, draw(st.sampled_from([1, 15, 60])), count, **device)
        case _:
            return steps(name, at, draw(st.sampled_from([61, 1440])), draw(st.integers(0, 3000)))


@st.composite
def histories(draw) -> list[tuple[str, dict[str, object]]]:
    """What came in, in order: (grant, members). A name that comes twice in a grant is corrected the second time."""
    count = draw(st.integers(1, 25))
    result = []
    for _ in range(count):
        grant = draw(st.sampled_from(GRANTS))
        name = f"r{draw(st.integers(0, 40))}"
        result.append((grant, draw(members(name) | told_by_several(name))))
    return result


def standing(history: list[tuple[str, dict[str, object]]]) -> dict[tuple[str, str], dict[str, object]]:
    return {(grant, str(record["@id"])): record for grant, record in history}


def figures_of(sums: PodSums, household_size: int) -> dict[str, dict[str, list[float]]]:
    figures = new_figures(household_size)
    months = {key.month for key in sums.months}
    bring_up_to_date(figures, sums.months, sorted(months), START + timedelta(days=40))
    return figures.months


def recomputed(
    records: dict[tuple[str, str], dict[str, object]], household_size: int
) -> dict[str, dict[str, list[float]]]:
    raws = ((grant, KINDS.encode(activity(record))) for (grant, _), record in records.items())
    return recompute_records(raws, household_size=household_size)


@settings(max_examples=120, deadline=None)
@given(histories(), st.integers(1, 5), st.data())
def test_sums_equal_the_recompute_for_any_order_and_split(history, household_size, data) -> None:
    records = standing(history)
    order = data.draw(st.permutations(list(records)))
    cut = data.draw(st.integers(0, len(order)))
    sums = PodSums()
    for grant, name in order[:cut]:
        sums.add(grant, activity(records[grant, name]))
    stored = {key: encode_sums(each) for key, each in sums.months.items()}
    later = PodSums()  # another process, later, from what was sealed
    for key, content in stored.items():
        later.put(key, decode_sums(content))
    for grant, name in order[cut:]:
        later.add(grant, activity(records[grant, name]))
    assert differences(figures_of(later, household_size), recomputed(records, household_size)) == []


@st.composite
def meetings(draw) -> dict[tuple[str, str], dict[str, object]]:
    """Few days about a month's end on which everything costs the same: tickets and debits, or trips, that compete."""
    records = {}
    which = draw(st.sampled_from(["debits", "trips"]))
    for number in range(draw(st.integers(2, 9))):
        grant, name = draw(st.sampled_from(GRANTS)), f"m{number}"
        at = START + timedelta(days=draw(st.integers(4, 9)) if which == "debits" else 0)
        if which == "trips":
            at += timedelta(minutes=draw(st.sampled_from([0, 15, 16, 30, 31])))
            record = trip(name, at, float(2**number), "bus", inferred=draw(st.booleans()))
        elif draw(st.booleans()):
            record = trip(name, at, 1.0, inferred=True, ticket=f"t{number}", amountNok=46.0)
        else:
            spent = draw(st.sampled_from(["clothing", "books", "culture", "electronics"]))
            record = payment(name, at, 46.0, merchantCategory="4111", spendClass=spent)
        records[grant, name] = record
    return records


@settings(max_examples=100, deadline=None)
@given(meetings())
def test_what_competes_to_be_one_event_is_settled_alike_by_both_roads(records) -> None:
    sums = PodSums()
    for (grant, _), record in records.items():
        sums.add(grant, activity(record))
    assert differences(figures_of(sums, 1), recomputed(records, 1)) == []


@settings(max_examples=40, deadline=None)
@given(histories(), st.sampled_from(GRANTS))
def test_without_an_erased_grant_the_sums_are_those_of_the_others(history, erased) -> None:
    sums = PodSums()
    for (grant, _), record in standing(history).items():
        sums.add(grant, activity(record))
    for key in [key for key in sums.months if key.grant == erased]:
        del sums.months[key]
    left = {key: record for key, record in standing(history).items() if key[0] != erased}
    assert differences(figures_of(sums, 2), recomputed(left, 2)) == []


@settings(max_examples=40, deadline=None)
@given(histories(), st.sampled_from(GRANTS))
def test_a_grant_summed_anew_after_a_correction_equals_the_recompute(history, grant) -> None:
    sums = PodSums()
    for each, record in history:  # the wrong sums: what was corrected is in them too
        sums.add(each, activity(record))
    records = standing(history)
    for again in GRANTS if grant else ():
        sums.forget(again)
        for (each, _), record in records.items():
            if each == again:
                sums.add(each, activity(record))
    assert differences(figures_of(sums, 1), recomputed(records, 1)) == []


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 47), min_size=1), st.sets(st.integers(0, 47)))
def test_hours_told_by_two_sources_count_once_each(read_hours, grid_hours) -> None:
    sums = PodSums()
    for hour in read_hours:
        for quarter in range(4):
            start = START + timedelta(hours=hour, minutes=15 * quarter)
            sums.add("g-reader", activity(electricity(f"q{hour}-{quarter}", start, 15, 0.25)))
    for hour in grid_hours:
        sums.add("g-grid", activity(electricity(f"h{hour}", START + timedelta(hours=hour), 60, 1.0)))
    counted = sum(month["electricity"][3] for month in figures_of(sums, 1).values())
    assert counted == len(read_hours | grid_hours)


def test_a_partial_sum_survives_its_stored_form() -> None:
    sums = PodSums()
    sums.add("g-a", activity(electricity("e", START, 60, 1.5, meter="m1")))
    sums.add("g-a", activity(electricity("f", START, 1, 0.5)))
    sums.add("g-a", activity(electricity("g", START, 120, 0.5)))
    key = SumsKey("g-a", "2026-10")
    assert decode_sums(encode_sums(sums.months[key])) == sums.months[key]


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(1, 5))
def test_the_records_that_are_not_left_out_are_those_that_the_recompute_counts(history, household_size) -> None:
    """What a pod's documents say of each record one by one adds up to the figures that were summed by month and hour."""
    records = standing(history)
    raws = {key: (key[0], KINDS.encode(activity(record))) for key, record in records.items()}
    out = told_twice(raws.values())
    sums = PodSums()
    for (grant, _), record in records.items():
        sums.add(grant, activity(record))
    counted = PodSums()
    for key, record in records.items():
        if key not in out:
            # Each under a grant of its own day and name, where no rule meets another record.
            counted.add(key[0], activity(record))
    assert differences(figures_of(sums, household_size), figures_of(counted, household_size)) == []
    assert told_twice(raw for key, raw in raws.items() if key not in out) == {}
    assert all(each.grant in GRANTS for each in out.values())

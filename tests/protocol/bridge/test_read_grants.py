"""GET /bridge/grants/<grant>/figures and …/graph: what a citizen chose to show, logged, and nothing beside it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from pyoxigraph import RdfFormat, parse
from twin_activities import electricity, groceries, trip
from twin_citizen import Citizen

from pod_server import grants, partner_standing, rectifications
from pod_server.identifiers import Actor
from pod_server.log import ledger
from pod_server.partner_standing import By
from pod_server.partners import Limits
from pod_server.pods import lock_pod
from pod_server.vault.key_derivation import Argon2Cost, Passphrase

CITIZEN = Actor("citizen")
WORDS, CHEAP = Passphrase("tolv små katter"), Argon2Cost(64, 1, 1)
FIGURES = frozenset({"footprint-month", "electricity-day"})


@pytest.fixture
def kari(city):
    """A citizen whose twin has counted two days of electricity, a trip and a bag of groceries."""
    kari = Citizen(city, city.citizen("kari"))
    at = city.host.clock.now()
    hours = [
        electricity(f"e{hour}", at - timedelta(hours=48) + timedelta(hours=hour), 60, 1.5, meter="707057500012345678")
        for hour in range(48)
    ]
    kari.deliver("TrønderEnergi", *hours)
    kari.deliver(
        "AtB",
        trip("t1", at - timedelta(days=2), 12.0, ticket="A-1"),
        groceries("g1", at - timedelta(days=1), 0.4, "beef", store="Rema 1000 Lade", receipt="R-77"),
    )
    kari.deliver("TrønderEnergi", electricity("october", datetime(2026, 10, 10, 12, tzinfo=UTC), 60, 40.0))
    kari.think()
    return kari


@pytest.fixture
def reader(door, kari):
    """A partner, and how it is let read."""

    class Reader:
        client = door.partner("Leser AS")

        def given(self, **terms):
            wanted = {
                "operations": frozenset({"read"}),
                "kinds": frozenset(),
                "figures": FIGURES,
                "history_from": datetime(2026, 9, 30, 22, tzinfo=UTC),
                "reads_per_day": 3,
                "purpose": "personal-footprint",
            } | terms
            return door.grant(kari.pod_id, self.client, **wanted)

        def get(self, path, accept="application/ld+json"):
            self.client._bulk = None  # a clock that was set forward has ended the token
            return self.client.fetch(f"{door.host.base_url}/bridge/grants/{path}", accept=accept)

    return Reader()


def log_of(kari, action=None):
    with kari.host.storage.read() as tx:
        found = ledger.read_events(tx, kari.made.vault, kari.pod_id, limit=200)
    return [each.event for each in found if action in {None, each.event.action}]


def slug(answer):
    return answer.json()["type"].rpartition("/")[2]


def test_what_was_chosen_is_read_with_its_uncertainty_and_nothing_else(reader, kari):
    answer = reader.get(f"{reader.given()}/figures")
    assert answer.status_code == 200, answer.text
    parts = answer.json()["part"]
    assert {part["figure"].rpartition("/")[2] for part in parts} == FIGURES
    (month,) = (part for part in parts if part["figure"].endswith("/footprint-month"))
    counted = kari.figures()["months"]["2026-10"]
    assert month["month"] == "2026-10", "November is not over"
    assert month["low"] < month["value"] < month["high"]
    assert month["value"] == pytest.approx(sum(each[1] for each in counted.values()), rel=0.005)
    days = {part["day"]: part for part in parts if "day" in part}
    assert days["2026-11-22"]["value"] == pytest.approx(1.5 * 24)
    assert "low" not in days["2026-11-22"]
    assert "2026-11-23" not in days, "the difference of two readings would tell of the minutes between"
    assert answer.json()["purpose"].endswith("/personal-footprint")


def test_turtle_and_json_ld_are_one_graph(reader):
    grant = reader.given()
    as_json, as_turtle = reader.get(f"{grant}/figures"), reader.get(f"{grant}/figures", "text/turtle")
    assert as_turtle.headers["Content-Type"].startswith("text/turtle")
    graphs = [
        {(str(quad.predicate), str(quad.object)) for quad in parse(answer.content, format=form)}
        for answer, form in ((as_json, RdfFormat.JSON_LD), (as_turtle, RdfFormat.TURTLE))
    ]
    when = "<http://www.w3.org/ns/prov#generatedAtTime>"
    assert len(graphs[0]) > 10
    assert {each for each in graphs[0] if each[0] != when} == {each for each in graphs[1] if each[0] != when}
    assert slug(reader.get(f"{grant}/figures", "image/png")) == "not-acceptable"


def test_nothing_is_handed_out_when_its_leaf_cannot_be_written(reader, kari, monkeypatch):
    """Point 33 of the consent checklist, at the door where partners read."""
    grant = reader.given()
    assert reader.get(f"{grant}/figures?figure=footprint-month").json()["part"]
    with monkeypatch.context() as patch:
        patch.setattr("partner_bridge.reading.append_to_log", lambda *_, **__: 1 / 0)
        answer = reader.get(f"{grant}/figures")
    assert answer.status_code == 500
    assert "part" not in answer.json()
    (view,) = (view for view in grants.list_grants(kari.host, kari.pod_id) if view.grant.id == grant)
    assert view.reads == 1


def test_every_reading_is_one_leaf_with_who_what_and_why(reader, kari):
    grant = reader.given()
    before = len(log_of(kari))
    reader.get(f"{grant}/figures")
    reader.get(f"{grant}/figures?figure=footprint-month")
    assert len(log_of(kari)) == before + 2
    narrow, wide = log_of(kari, "read-figures")
    assert (wide.actor.kind, wide.actor.name, wide.purpose, wide.grant) == (
        "partner", "Leser AS", "personal-footprint", grant,
    )  # fmt: skip
    assert wide.detail == {"figures": "electricity-day footprint-month"}
    assert narrow.detail == {"figures": "footprint-month"}
    (view,) = (view for view in grants.list_grants(kari.host, kari.pod_id) if view.grant.id == grant)
    assert (view.reads, view.reads_lately, view.last_read, view.accepted) == (2, 2, kari.host.clock.now(), 0)


def test_as_often_as_agreed_and_no_more(reader, kari, clock):
    grant = reader.given()
    assert [reader.get(f"{grant}/figures").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert [event.outcome for event in log_of(kari, "read")] == ["read-too-often"]
    clock.advance(timedelta(days=1))
    assert reader.get(f"{grant}/figures").status_code == 200


def test_what_was_not_chosen_is_refused_and_the_refusal_logged(reader, kari):
    grant = reader.given(figures=frozenset({"footprint-month"}))
    assert slug(reader.get(f"{grant}/figures?figure=electricity-day")) == "figure-not-granted"
    assert slug(reader.get(f"{grant}/graph")) == "figure-not-granted"
    of_kinds = reader.given(kinds=frozenset({"transit-trip"}), figures=frozenset())
    assert slug(reader.get(f"{of_kinds}/graph?kind=grocery-line")) == "kind-not-granted"
    assert slug(reader.get(f"{of_kinds}/figures")) == "figure-not-granted"
    assert [event.outcome for event in log_of(kari, "read")] == [
        "figure-not-granted", "kind-not-granted", "figure-not-granted", "figure-not-granted",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("act", "problem"),
    [("pause", "consent-paused"), ("withdraw", "consent-withdrawn"), ("erase", "consent-erased")],
)
def test_the_next_reading_after_an_end_is_refused_while_the_token_is_fresh(reader, kari, act, problem):
    grant = reader.given()
    assert reader.get(f"{grant}/figures").status_code == 200
    getattr(grants, act)(kari.host, kari.pod_id, grant, actor=CITIZEN)
    assert slug(reader.get(f"{grant}/figures")) == problem
    if act == "pause":
        grants.resume(kari.host, kari.pod_id, grant, actor=CITIZEN)
        assert reader.get(f"{grant}/figures").status_code == 200


def test_narrowing_renewing_and_expiry_hold_for_readings_too(reader, kari, clock):
    grant = reader.given(expires_at=kari.host.clock.now() + timedelta(days=2))
    grants.narrow(
        kari.host, kari.pod_id, grant, actor=CITIZEN, kinds=frozenset(), figures_kept=frozenset({"footprint-month"})
    )
    assert {part["figure"] for part in reader.get(f"{grant}/figures").json()["part"]} == {
        "https://w3id.org/tvilling/figure/footprint-month"
    }
    clock.advance(timedelta(days=3))
    assert slug(reader.get(f"{grant}/figures")) == "consent-expired"
    grants.renew(kari.host, kari.pod_id, grant, actor=CITIZEN, expires_at=clock.now() + timedelta(days=9))
    assert reader.get(f"{grant}/figures").status_code == 200


def test_ending_a_reader_for_good_leaves_the_twins_figures_alone(reader, kari):
    """Who only read has no share in the figures: nothing is to be counted anew."""
    grant = reader.given()
    before = kari.figures()
    grants.erase(kari.host, kari.pod_id, grant, actor=CITIZEN)
    assert kari.figures() == before


def test_another_partner_and_another_operation_see_nothing(reader, door, kari):
    grant = reader.given()
    stranger = door.partner("Nysgjerrig AS")
    answer = stranger.fetch(f"{door.host.base_url}/bridge/grants/{grant}/figures")
    assert (answer.status_code, slug(answer)) == (404, "no-such-grant")
    to_deliver = door.grant(kari.pod_id, reader.client)
    assert slug(reader.get(f"{to_deliver}/graph")) == "operation-not-granted"


def test_a_locked_pod_says_so_and_the_citizen_sees_the_attempt(reader, kari):
    grant = reader.given()
    locked = lock_pod(kari.host, kari.made.vault, WORDS, cost=CHEAP)
    answer = reader.get(f"{grant}/figures")
    assert (answer.status_code, slug(answer)) == (403, "pod-locked")
    with kari.host.storage.read() as tx:
        events = [each.event for each in ledger.read_events(tx, locked.vault, kari.pod_id, limit=5)]
    assert [(event.action, event.outcome, event.grant) for event in events if event.action == "read"] == [
        ("read", "pod-locked", grant)
    ]


def test_activities_come_without_free_text_and_under_names_of_this_grant_alone(reader, kari):
    grant = reader.given(kinds=frozenset({"transit-trip", "grocery-line", "electricity-reading"}), figures=frozenset())
    answer = reader.get(f"{grant}/graph")
    assert answer.status_code == 200, answer.text
    parts = answer.json()["part"]
    assert len(parts) == 50
    (bus,) = (part for part in parts if part["type"] == "TransitTrip")
    assert (bus["quantity"], bus["mode"]) == (12.0, "bus")
    (beef,) = (part for part in parts if part["type"] == "GroceryLine")
    assert beef["foodClass"] == "beef"
    for private in ("A-1", "Rema", "R-77", "707057500012345678", "KJØTTDEIG", "kari", "TrønderEnergi", '"t1"', "e12"):
        assert private not in answer.text
    assert len({part["series"] for part in parts}) == 2
    assert len({part["id"] for part in parts}) == 50
    again = reader.get(f"{grant}/graph?kind=transit-trip&from=2026-11-01&to=2026-11-30").json()["part"]
    assert [part["id"] for part in again] == [bus["id"]]
    (event,) = log_of(kari, "read-activities")[1:]
    assert event.count == 50


def test_what_the_citizen_disputes_is_not_read(reader, kari):
    """GDPR Art. 18: kept and not used, until it is taken back."""
    grant = reader.given(figures=frozenset(), kinds=frozenset({"transit-trip"}), granularity="event")
    distance = b"12.0"
    assert distance in reader.get(f"{grant}/graph").content
    atb = kari.grants["AtB"].grant
    said = rectifications.say(kari.host, kari.own(), atb, "t1", "not-mine", tell=False)
    assert distance not in reader.get(f"{grant}/graph").content
    rectifications.take_back(kari.host, kari.own(), said.rectification_id)
    assert distance in reader.get(f"{grant}/graph").content


def test_a_kind_that_the_municipality_bars_later_is_not_read_either(reader, kari):
    grant = reader.given(kinds=frozenset({"transit-trip", "grocery-line"}), figures=frozenset())
    limits = Limits(kinds=frozenset({"transit-trip"}))
    partner_standing.limit(kari.host, reader.client.client_id, limits, by=By("operator", "the test"))
    assert slug(reader.get(f"{grant}/graph")) == "kind-barred"
    assert len(reader.get(f"{grant}/graph?kind=transit-trip").json()["part"]) == 1
    assert [event.outcome for event in log_of(kari, "read")] == ["kind-barred"]


def test_finer_than_agreed_comes_as_sums_of_whole_past_days(reader):
    grant = reader.given(kinds=frozenset({"electricity-reading"}), figures=frozenset(), granularity="P1D")
    parts = reader.get(f"{grant}/graph").json()["part"]
    assert [(part["start"], part["quantity"], part["sum"]) for part in parts] == [
        ("2026-11-20T23:00:00Z", 16.5, True),
        ("2026-11-21T23:00:00Z", 36.0, True),
    ]


def test_a_long_window_is_read_in_months_and_the_answer_says_where_it_goes_on(reader, kari):
    grant = reader.given(
        kinds=frozenset({"transit-trip"}), figures=frozenset(), history_from=kari.host.clock.now() - timedelta(days=50)
    )
    first = reader.get(f"{grant}/graph?from=2020-01-01")
    assert first.json()["part"] == []
    following = first.headers["Link"].partition(">")[0].removeprefix("<").partition("/bridge/grants/")[2]
    second = reader.get(following)
    assert len(second.json()["part"]) == 1
    assert "Link" not in second.headers
    assert slug(reader.get(f"{grant}/graph?from=yesterday")) == "reading-invalid"


def test_a_withdrawal_between_opening_and_logging_gives_nothing(reader, kari, monkeypatch):
    """The commit of a withdrawal is the point after which no reading succeeds, whatever was opened before it."""
    import partner_bridge.reading

    grant = reader.given()
    real = partner_bridge.reading.shared_figures

    def withdrawn_meanwhile(*arguments, **options):
        values = real(*arguments, **options)
        grants.withdraw(kari.host, kari.pod_id, grant, actor=CITIZEN)
        return values

    monkeypatch.setattr(partner_bridge.reading, "shared_figures", withdrawn_meanwhile)
    answer = reader.get(f"{grant}/figures")
    assert slug(answer) == "consent-withdrawn"
    assert "part" not in json.loads(answer.text)
    assert log_of(kari, "read-figures") == []

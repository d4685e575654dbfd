"""Whom a partner's breach concerns is found by the day, without any key, and told in two languages."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest
from click.testing import CliRunner
from deliveries import CITIZEN, add_partner, deliver, granted, readings

from consent.grant import GrantTerms
from partner_bridge.reading import read_figures
from pod_server import grants
from pod_server.log.ledger import all_events
from pod_server.pods import create_pod
from tvilling.cli import main


@pytest.fixture
def breach(tmp_path):
    def run(*arguments, code=0):
        done = CliRunner().invoke(main, ["breach", *arguments, "--data", str(tmp_path / "data"), "--json"])
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if code == 0 else done.stderr

    return run


def test_those_of_whom_the_partner_sent_something_in_the_period_are_found_and_nobody_else(city, breach):
    host = city.host
    shop, other = add_partner(host, "Butikken AS"), add_partner(host, "En annen AS")
    kari, ola, per, simulated = (
        create_pod(host, "kari"),
        create_pod(host, "ola"),
        create_pod(host, "per"),
        create_pod(host, "nabo", simulated=True),
    )
    for made in (kari, ola, simulated):
        deliver(host, granted(host, made.pod_id, partner=shop).permit, readings(0, 3))
    deliver(host, granted(host, per.pod_id, partner=other).permit, readings(0, 3))
    granted(host, per.pod_id, partner=shop)  # a consent under which nothing came
    host.key_store.remove_slot(ola.pod_id, "custodian")  # locked
    city.clock.advance(timedelta(days=3))
    late = granted(host, per.pod_id, partner=shop, kinds=frozenset({"electricity-reading"}))
    deliver(host, late.permit, readings(0, 5))

    found = breach(shop.client_id, "--from", "2026-11-23", "--to", "2026-11-24")
    assert [one["handle"] for one in found["citizens"]] == ["kari", "ola"]
    assert found["simulated_left_out"] == 1
    assert found["kinds"] == ["electricity-reading", "grocery-line"]
    assert found["categories"] == ["electricity", "food"]
    assert found["citizens"][0]["records"] == 3
    assert "Butikken AS" in found["notices"]["nb"]
    assert "Varelinjer" in found["notices"]["nb"]
    assert "Grocery lines" in found["notices"]["en"]
    assert "/-/my-data" in found["notices"]["en"]
    assert "Butikken AS" in found["notices"]["nn"]
    assert "72 hours" in found["note"]
    assert [one["locked"] for one in found["citizens"]] == [False, False]
    told = found["authority"]
    nature = told["nature"]
    assert nature["approximate_number_of_data_subjects"] == 2
    assert nature["approximate_number_of_records"] == 6
    assert nature["categories_of_records"] == ["Electricity", "Grocery lines"]
    assert {"nature", "contact_point", "likely_consequences", "measures_taken", "measures_proposed"} <= told.keys()
    known, deadline = (datetime.fromisoformat(told[each]) for each in ("known_here_at", "notify_before"))
    assert deadline - known == timedelta(hours=72)
    assert "To be filled in" in told["likely_consequences"], "what only a person can know is left to a person"
    by_name = breach("butikken as", "--from", "2026-11-26", "--to", "2026-11-26")
    assert [(one["handle"], one["records"]) for one in by_name["citizens"]] == [("per", 5)]
    assert "Varelinjer" not in by_name["notices"]["nb"]
    nobody = breach(shop.client_id, "--from", "2026-01-01", "--to", "2026-01-31")
    assert (nobody["citizens"], nobody["notices"]) == ([], {})

    # Withdrawing or erasing does not make it undone.
    grants.erase(host, per.pod_id, late.grant, actor=CITIZEN)
    again = breach(shop.client_id, "--from", "2026-11-26", "--to", "2026-11-26")
    assert [one["handle"] for one in again["citizens"]] == ["per"]


def test_recording_it_tells_the_citizens_log_and_nothing_else_does(city, breach):
    made = create_pod(city.host, "kari")
    partner = granted(city.host, made.pod_id)
    deliver(city.host, partner.permit, readings(0, 3))
    period = ("--from", "2026-11-23", "--to", "2026-11-23")

    def told():
        with city.host.storage.read() as tx:
            return [one.event for one in all_events(tx, made.vault, made.pod_id) if one.event.action == "breach-notice"]

    breach(partner.partner.client_id, *period)
    assert told() == []
    assert breach(partner.partner.client_id, *period, "--record")["recorded"] is True
    (event,) = told()
    assert event.detail["partner"] == "Strømmen AS"


def test_a_period_or_partner_that_cannot_be_is_told(city, breach):
    assert "no partner" in breach("nobody", "--from", "2026-11-01", "--to", "2026-11-02", code=1)
    partner = add_partner(city.host)
    assert "ends before" in breach(partner.client_id, "--from", "2026-11-02", "--to", "2026-11-01", code=1)
    assert "no date" in breach(partner.client_id, "--from", "yesterday", "--to", "2026-11-01", code=1)


def test_a_reader_s_breach_names_the_figures_it_read(city, breach):
    host = city.host
    reader, kari = add_partner(host, "Leseren AS"), create_pod(host, "kari")
    now = host.clock.now()
    terms = GrantTerms(
        client_id=reader.client_id, purpose="personal-footprint", kinds=frozenset(), operations=frozenset({"read"}),
        figures=frozenset({"electricity-day"}), granularity="event", history_from=now - timedelta(days=9),
        expires_at=now + timedelta(days=9),
    )  # fmt: skip
    grant = grants.give(host, kari.pod_id, terms, actor=CITIZEN)
    assert breach(reader.client_id, "--from", "2026-11-23", "--to", "2026-11-24")["citizens"] == []
    read_figures(host, reader, grant.id)
    found = breach(reader.client_id, "--from", "2026-11-23", "--to", "2026-11-24")
    assert [(one["handle"], one["records"]) for one in found["citizens"]] == [("kari", 1)]
    assert found["categories"] == ["electricity"]
    assert "Strømforbruket per dag" in found["notices"]["nb"]

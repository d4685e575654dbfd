"""`tvilling partner` and `tvilling operator`: the municipality's decisions by command, and who made them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from oauth_client import REDIRECT, new_key

from pod_server import partner_notices, partner_standing
from tvilling.cli import main

TEXTS = dict.fromkeys(partner_notices.LANGUAGES, "We add your trips by city bike.")


@pytest.fixture
def applicant(host):
    """The client identifier of somebody who has applied."""
    return partner_standing.apply(
        host,
        name="Bysykkel AS",
        number="974760673",
        contact="hei@bysykkel.no",
        jwks={"keys": [new_key().as_dict(private=False)]},
        redirect_uris=[REDIRECT],
        notices=[partner_notices.check("travel-footprint", ["transit-trip"], TEXTS)],
    ).client_id


@pytest.fixture
def tvilling(host):
    """Run a command on the host's folder, in this process."""

    def run(*arguments, code=0):
        options = ["--data", str(host.data_folder), "--base-url", host.base_url, "--json"]
        done = CliRunner().invoke(main, [*arguments, *options], catch_exceptions=False)
        assert done.exit_code == code, done.output
        return json.loads(done.stdout) if code == 0 else done.stderr

    return run


def test_an_application_is_read_admitted_limited_stopped_and_let_on(tvilling, applicant):
    (waiting,) = tvilling("partner", "applications")
    assert (waiting["client_id"], waiting["notices"][0]["texts"]["en"]) == (applicant, TEXTS["en"])
    tvilling("partner", "admit", applicant, "--records-per-day", "1000", "--by", "Kari")
    assert tvilling("partner", "applications") == []
    limits = tvilling("partner", "limit", applicant, "--kind", "transit-trip", "--by", "Kari")
    assert (limits["records_per_day"], limits["kinds"]) == (None, ["transit-trip"])
    assert "at least one kind" in tvilling("partner", "limit", applicant, "--kind", "heartbeats", code=1)
    assert tvilling("partner", "suspend", applicant, "--reason", "Lekkasje", "--by", "Kari")["reason"] == "Lekkasje."
    assert "is suspended" in tvilling("partner", "suspend", applicant, "--reason", "Igjen", code=1)
    (listed,) = tvilling("partner", "list")
    assert (listed["state"], listed["active"]) == ("suspended", False)
    tvilling("partner", "resume", applicant, "--by", "Ola")
    acts = [(each["act"], each["by"]) for each in tvilling("operator", "acts", "--partner", applicant)]
    assert {("admit", "Kari"), ("limit", "Kari"), ("suspend", "Kari"), ("resume", "Ola")} <= set(acts)


def test_a_refusal_tells_its_reason_and_removal_takes_the_sandbox_along(tvilling, applicant, host):
    from pod_server import sandbox
    from pod_server.pods import list_pods

    sandbox.pod_of(host, applicant)
    assert tvilling("partner", "refuse", applicant, "--reason", "Uklart formål")["reason"] == "Uklart formål."
    tvilling("partner", "remove", applicant)
    assert list_pods(host) == []
    assert "No partner" in tvilling("partner", "resume", applicant, code=1)


def test_the_link_to_the_operators_pages_is_for_somebody(tvilling, host):
    link = tvilling("operator", "link", "--name", "Kari Nordmann")["link"]
    assert link.startswith(f"{host.base_url}/-/operator/enter/")
    assert "cannot be seen" in tvilling("operator", "link", "--name", "Kari\u202e", code=1)

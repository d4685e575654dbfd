"""The whole city once, by public doors only: the command a newcomer's script would run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from ending import end


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data = tmp_path_factory.mktemp("once") / "data"
    # Fewer neighbours than the city has: enough for a release in which some areas are large enough to be told.
    process = subprocess.Popen(
        [sys.executable, "-m", "tvilling", "demo", "--once", "--json", "--neighbours", "450", "--data", str(data)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said, words = process.communicate(timeout=220)
    finally:
        end(process)
    assert said.strip(), words[-3000:]
    return process.returncode, json.loads(said), words, data


pytestmark = [pytest.mark.timeout(240), pytest.mark.xdist_group("city")]


def test_everything_holds_and_the_exit_code_says_so(run):
    code, report, words, _ = run
    assert "failures" not in report, words[-3000:]
    assert code == 0


def test_the_report_has_every_field_with_something_in_it(run):
    _, report, _, data = run
    assert report["citizens"] == 454
    assert report["data"] == str(data)
    assert report["base_url"].startswith("http://localhost:")
    assert {partner["name"] for partner in report["partners"]} >= {
        "Oss.no",
        "TrønderEnergi",
        "Rema 1000",
        "AtB",
        "Trondheim Renholdsverk",
        "SpareBank 1 Forsikring",
        "SpareBank 1 Kort",
    }
    assert report["integrator"] == {"delivers": "evry", "for": "kort", "taken": [True, False, True]}
    assert {source["slug"] for source in report["sources"]} >= {
        "sparebank1-smn",
        "oss-pull",
        "garmin",
        "garmin-push",
        "google-health",
    }
    # Ducky reckons with sums, and cannot tell of how many people they are.
    assert all(
        source["served"] > 0 and (source["connected"] > 0 or source["slug"] == "ducky") for source in report["sources"]
    )
    assert report["offers"] == ["property-tax", "tram-pass"]
    assert report["second_opinion"]["sums"] > 0
    assert report["second_opinion"]["kept"] == 1
    assert report["challenge"] == {"join": 303, "tell": 303, "leave": 303}
    assert all(program["delivered"] > 0 for program in report["meter_programs"].values())
    assert report["files"]["amir"] > 500
    assert report["activities_stored"] > 50_000
    assert report["refused_after_withdrawal"] >= 1
    assert report["live_events_seen"] >= 3
    assert report["claims"] == 1
    assert report["log_verified"] is True
    assert set(report["release"]) == {"period", "rho", "observations", "suppressed"}
    assert report["release"]["observations"] > 0
    assert report["seconds"] > 0


def test_each_partner_got_one_answer_for_each_record_it_offered(run):
    for partner in run[1]["partners"]:
        assert partner["accepted"] + partner["duplicates"] + partner["refused"] == partner["offered"], partner
        if partner["offered"]:
            assert partner["accepted"] > 0, partner


def test_intervals_are_intervals_and_the_recompute_agrees(run):
    _, report, _, _ = run
    assert set(report["footprint_kg"]) == {"kari", "ola", "ingrid", "amir"}
    for handle, categories in report["footprint_kg"].items():
        assert {"electricity", "food", "travel", "waste"} <= set(categories)
        for category, interval in categories.items():
            low, mean, high = interval
            assert 0 <= low <= mean <= high
            assert high > 0 or category == "steps"  # a step burns nothing; it is counted all the same
            assert report["recomputed_kg"][handle][category] == pytest.approx(interval, rel=1e-6)


def test_the_processes_said_nothing_of_what_the_pods_hold(run):
    _, _, words, _ = run
    for secret in ("KJØTTDEIG", "NSR:StopPlace", "passphrase=", "DPoP ey"):
        assert secret not in words
    assert "Traceback" not in words


def test_a_folder_with_something_in_it_is_refused_in_words(run):
    done = subprocess.run(
        [sys.executable, "-m", "tvilling", "demo", "--once", "--json", "--data", str(run[3])],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "not empty" in done.stderr
